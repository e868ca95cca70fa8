//! How long files and lines may be.

use crate::files::{below, text};

/// The longest file, in lines.
const FILE_LINES_MAX: usize = 600;
/// The longest line, in columns. rustfmt holds code to 120; this is for what it leaves alone: comments and macros.
const LINE_COLUMNS_MAX: usize = 130;
/// What a newcomer reads first must stay a page to read.
const ARCHITECTURE_LINES_MAX: usize = 150;

#[test]
fn no_file_is_too_long() {
    for file in below("", "rs") {
        let lines = text(&file).lines().count();
        assert!(lines <= FILE_LINES_MAX, "{file} has {lines} lines; the most is {FILE_LINES_MAX}");
    }
    let lines = text("docs/architecture.md").lines().count();
    assert!(lines <= ARCHITECTURE_LINES_MAX, "docs/architecture.md has {lines} lines");
}

#[test]
fn no_line_is_too_long() {
    let mut long = Vec::new();
    for file in below("", "rs").into_iter().filter(|file| file.split('/').any(|part| part == "src")) {
        for (number, line) in (1..).zip(text(&file).lines()) {
            // Neither a text nor a row of a table can be broken.
            if line.contains('"') || (line.trim_start().starts_with("//") && line.contains(" | ")) {
                continue;
            }
            let columns = line.chars().count();
            if columns > LINE_COLUMNS_MAX {
                long.push(format!("{file}:{number} has {columns} columns; the most is {LINE_COLUMNS_MAX}"));
            }
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}
