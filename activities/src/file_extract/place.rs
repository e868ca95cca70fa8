//! Where a file may be: within the folder for files, and in place of no other file of the same run.

use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use engine::context::Cx;
use engine::failure::{Class, Failure};
use engine::private::{self, Access};

/// What stands for something else in a path.
const PLACEHOLDERS: [&str; 4] = ["workflow", "run", "task", "date"];
/// The longest name of a file, in bytes; file systems take 255, and a part needs more.
const NAME_BYTES_MAX: usize = 160;
/// The folder of a run where its tasks write down which files are theirs.
const TAKEN: &str = "files";

/// What is wrong with a path, and what would be right, as far as its text tells.
pub(crate) fn check(path: &str) -> Result<(), (String, String)> {
    let filled = fill(path, |_| "x".to_owned())?;
    let wrong = |what: &str| {
        let help = "write a path within the folder for files, such as out/rejects.csv".to_owned();
        Err((format!("\"{path}\" {what}"), help))
    };
    let parts = Path::new(&filled);
    if parts.is_absolute() || filled.starts_with(['/', '\\']) || filled.get(1..3).is_some_and(|drive| drive == ":\\") {
        return wrong("is an absolute path");
    }
    if parts.components().any(|part| part == Component::ParentDir) || filled.split('\\').any(|part| part == "..") {
        return wrong("leads out of its folder");
    }
    if filled.is_empty() || filled.ends_with('/') || parts.file_name().is_none() {
        return wrong("names no file");
    }
    if filled.chars().any(char::is_control) {
        return wrong("has a character that cannot be printed");
    }
    if parts.components().any(|part| part.as_os_str().len() > NAME_BYTES_MAX) {
        return wrong("has too long a name");
    }
    Ok(())
}

/// The path with its placeholders filled in.
fn fill(path: &str, value: impl Fn(&str) -> String) -> Result<String, (String, String)> {
    let mut filled = String::new();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('{') {
        let name = after.split_once('}').filter(|(name, _)| PLACEHOLDERS.contains(name));
        let Some((name, after)) = name else {
            let known = PLACEHOLDERS.map(|name| format!("{{{name}}}")).join(", ");
            return Err((format!("\"{path}\" has a {{ that begins nothing known"), format!("there are {known}")));
        };
        filled.push_str(before);
        filled.push_str(&value(name));
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// A file that this task may write.
pub(super) struct Place {
    /// Its path within the folder for files, with `/` between the parts.
    pub(super) name: String,
    path: PathBuf,
    /// What is unlike in every task of every run.
    suffix: String,
}

impl Place {
    /// Finds the file's place and takes it for this task.
    ///
    /// # Errors
    /// Where the path leads out of the folder for files, also by a link.
    pub(super) fn take(cx: &Cx, run_folder: &Path, path: &str) -> Result<Self, Failure> {
        let key = cx.task_key();
        let (run, task) = key.rsplit_once('/').unwrap_or((&key, "0"));
        let filled = fill(path, |name| match name {
            "workflow" => cx.workflow.clone(),
            "run" => run.to_owned(),
            "task" => task.to_owned(),
            _ => cx.clock().now().to_zoned(cx.time_zone.clone()).date().to_string(),
        });
        let filled = filled.and_then(|filled| check(&filled).map(|()| filled));
        let filled = filled.map_err(|(message, help)| Failure::new(Class::Config, message).help(help))?;
        let filled: PathBuf = Path::new(&filled).components().filter(|part| *part != Component::CurDir).collect();
        let io = |error: &io::Error| Failure::io(format!("cannot write {}", filled.display()), error);
        let folder = folder_within(cx.files(), cx.files_access(), filled.parent().unwrap_or(Path::new("")))?;
        let name = filled.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let taken = run_folder.join(TAKEN);
        private::make_folders(&taken).map_err(|error| io(&error))?;
        let own = Path::new(&name).with_extension("").display().to_string();
        let extension = Path::new(&name).extension().map(|extension| format!(".{}", extension.to_string_lossy()));
        let own = format!("{own}-{task}{}", extension.unwrap_or_default());
        let name = match take(&taken, &filled, task).map_err(|error| io(&error))? {
            true => name,
            false => own,
        };
        let path = folder.join(&name);
        if path.is_dir() {
            return Err(Failure::new(Class::Config, format!("{} is a folder", path.display())));
        }
        let inner = filled.with_file_name(&name);
        let parts: Vec<_> = inner.iter().map(|part| part.to_string_lossy()).collect();
        Ok(Self { name: parts.join("/"), path, suffix: format!("{run}-{task}") })
    }

    /// Where the file is until it is complete.
    pub(super) fn part(&self) -> PathBuf {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        self.path.with_file_name(format!(".{name}.{}.part", self.suffix))
    }

    /// Puts the complete file in its place, durably.
    ///
    /// # Errors
    /// Where the disk does not take it.
    pub(super) fn put(&self) -> Result<(), Failure> {
        let put = || {
            fs::rename(self.part(), &self.path)?;
            self.path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
        };
        put().map_err(|error| Failure::io(format!("cannot write {}", self.path.display()), &error))
    }
}

/// Takes a file for a task, unless another task of the run has it. One process drives a run, so its tasks take turns here.
fn take(taken: &Path, file: &Path, task: &str) -> io::Result<bool> {
    static TURN: Mutex<()> = Mutex::new(());
    let mark = taken.join(blake3::hash(file.as_os_str().as_encoded_bytes()).to_hex().as_str());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    match fs::read_to_string(&mark) {
        // Older versions wrote the task in a second step: a kill in between left the mark empty.
        Ok(owner) if !owner.is_empty() => Ok(owner == task),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => private::replace(&mark, task.as_bytes()).map(|()| true),
    }
}

/// Makes a folder within the folder for files; no link on the way may lead out of it.
fn folder_within(files: &Path, access: Access, folder: &Path) -> Result<PathBuf, Failure> {
    let io = |path: &Path, error: &io::Error| Failure::io(format!("cannot make the folder {}", path.display()), error);
    if let Some(above) = files.parent() {
        private::make_folders(above).map_err(|error| io(above, &error))?;
    }
    access.make_folder(files).map_err(|error| io(files, &error))?;
    let root = files.canonicalize().map_err(|error| io(files, &error))?;
    let mut path = root.clone();
    for part in folder {
        path.push(part);
        access.make_folder(&path).map_err(|error| io(&path, &error))?;
        path = path.canonicalize().map_err(|error| io(&path, &error))?;
        if !path.starts_with(&root) {
            let message = format!("{} leads out of the folder for files, by a link", folder.display());
            let help = "write into another folder, or remove the link";
            return Err(Failure::new(Class::Config, message).help(help));
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_while_a_task_takes_its_file_does_not_give_it_another_name() {
        let taken = tempfile::tempdir().unwrap();
        let file = Path::new("rejects.csv");
        assert!(take(taken.path(), file, "3").unwrap());
        let mark = fs::read_dir(taken.path()).unwrap().next().unwrap().unwrap().path();
        fs::write(mark, "").unwrap();
        assert!(take(taken.path(), file, "3").unwrap(), "the resumed task");
        assert!(!take(taken.path(), file, "4").unwrap(), "another task");
        assert!(take(taken.path(), file, "3").unwrap());
    }
}
