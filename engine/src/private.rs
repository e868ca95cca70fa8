//! Folders and files that only their owner may look into: they hold people's records.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Makes a folder, in one that is there. One that is there already stays as its owner made it.
///
/// # Errors
/// Where it cannot be made.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    unless_there(DirBuilder::new().mode(FOLDER_MODE).create(folder))
}

/// Makes an empty file, for whatever writes it afterwards. One that is there already stays as it is.
///
/// # Errors
/// Where it cannot be made.
pub fn make_file(file: &Path) -> io::Result<()> {
    unless_there(OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(file).map(drop))
}

fn unless_there(made: io::Result<()>) -> io::Result<()> {
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}
