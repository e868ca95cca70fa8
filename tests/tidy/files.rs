//! The files of the tree.

use std::fs;
use std::path::{Path, PathBuf};

/// The folder of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a file, by its path below the root.
pub(crate) fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All files below a folder with this extension, by their paths below the root, in order. What a build or a run left
/// behind is not looked at.
pub(crate) fn below(folder: &str, extension: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(shown(&path));
            }
        }
    }
    found.sort();
    found
}

/// The Rust files of a crate's own code, its tests left out.
pub(crate) fn code() -> Vec<String> {
    let mut files = below("", "rs");
    files.retain(|file| {
        let parts: Vec<&str> = file.split('/').collect();
        parts.iter().take(2).any(|part| *part == "src") && !parts.contains(&"tests") && !file.ends_with("/tests.rs")
    });
    files
}

/// A file's code without comments and without the tests at its end.
pub(crate) fn code_of(file: &str) -> String {
    let text = text(file);
    let own = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = own.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

fn shown(path: &Path) -> String {
    let path: PathBuf = path.strip_prefix(root()).unwrap().to_owned();
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}
