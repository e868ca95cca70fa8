//! The one way in which files and folders are made: they hold people's records, so only their owner may look into them,
//! and a symbolic link that someone else put in their place is not followed.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::OFlags;
use schemars::JsonSchema;
use serde::Deserialize;

const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Who may use a file that an activity writes, as `chmod` counts; the folders that are made for it fit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Access {
    /// Only the user that Campanile runs as.
    #[default]
    #[serde(rename = "600")]
    Owner,
    /// The group may read it.
    #[serde(rename = "640")]
    GroupReads,
    /// The group may read and write it.
    #[serde(rename = "660")]
    GroupWrites,
    /// Everyone may read it.
    #[serde(rename = "644")]
    EveryoneReads,
}

impl Access {
    fn of_file(self) -> u32 {
        match self {
            Self::Owner => FILE_MODE,
            Self::GroupReads => 0o640,
            Self::GroupWrites => 0o660,
            Self::EveryoneReads => 0o644,
        }
    }

    /// Whoever may read a file may look into its folder.
    fn of_folder(self) -> u32 {
        self.of_file() | 0o100 | (self.of_file() & 0o044) >> 2
    }

    /// Makes an empty file to write to, as [`create`], for these.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn create(self, file: &Path) -> io::Result<File> {
        let made = create(file)?;
        if self != Self::Owner {
            // Whatever the umask of this process is.
            made.set_permissions(Permissions::from_mode(self.of_file()))?;
        }
        Ok(made)
    }

    /// Makes a folder for these, in one that is there. One that is there already stays as its owner made it.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn make_folder(self, folder: &Path) -> io::Result<()> {
        match DirBuilder::new().mode(FOLDER_MODE).create(folder) {
            Ok(()) if self != Self::Owner => fs::set_permissions(folder, Permissions::from_mode(self.of_folder())),
            made => unless_there(made),
        }
    }
}

/// Makes a folder, in one that is there. One that is there already stays as its owner made it.
///
/// # Errors
/// Where it cannot be made.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    unless_there(DirBuilder::new().mode(FOLDER_MODE).create(folder))
}

/// Makes a folder and those above it that are missing.
///
/// # Errors
/// Where one cannot be made.
pub fn make_folders(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)
}

/// Makes an empty file, for a library that opens it by its name. One that is there already stays as it is. Returns its
/// path with every link in its folders resolved, so that the library need not follow any.
///
/// # Errors
/// Where it cannot be made, or is a symbolic link.
pub fn make_file(file: &Path) -> io::Result<PathBuf> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = file.file_name().ok_or_else(|| io::Error::other("it names no file"))?;
    let path = folder.canonicalize()?.join(name);
    unless_there(OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&path).map(drop))?;
    match fs::symlink_metadata(&path)?.is_symlink() {
        true => Err(io::Error::other(LINK)),
        false => Ok(path),
    }
}

/// Makes an empty file to write to; what was there by this name, a link too, is removed first.
///
/// # Errors
/// Where it cannot be made.
pub fn create(file: &Path) -> io::Result<File> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(file)
}

/// Opens a file to read and write, with what it has; one that is missing is made.
///
/// # Errors
/// Where it cannot be opened, or is a symbolic link.
pub fn open(file: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE);
    let opened = options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed()).open(file);
    opened.map_err(|error| match rustix::io::Errno::from_io_error(&error) {
        Some(rustix::io::Errno::LOOP) => io::Error::other(LINK),
        _ => error,
    })
}

/// Puts a file with these bytes in its place, durably and at once: whoever reads it sees the old or the new one whole, also
/// where several replace it at the same time.
///
/// # Errors
/// Where the disk does not take it; the old one is still there.
pub fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    static PARTS: AtomicU64 = AtomicU64::new(0);
    let name = file.file_name().ok_or_else(|| io::Error::other("it names no file"))?.to_string_lossy();
    let number = PARTS.fetch_add(1, Ordering::Relaxed);
    let part = file.with_file_name(format!(".{name}.{}-{number}.part", std::process::id()));
    let write = || {
        let mut written = create(&part)?;
        written.write_all(bytes)?;
        written.sync_all()?;
        fs::rename(&part, file)?;
        file.parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    write().inspect_err(|_| {
        fs::remove_file(&part).ok();
    })
}

const LINK: &str = "it is a symbolic link, which is not followed; name the file itself";

fn unless_there(made: io::Result<()>) -> io::Result<()> {
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::thread;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).map_or(0, |metadata| metadata.permissions().mode() & 0o777)
    }

    #[test]
    fn a_link_in_the_place_of_a_file_is_not_followed() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let (victim, link) = (folder.path().join("victim"), folder.path().join("link"));
        fs::write(&victim, "mine")?;
        let plant = || symlink(&victim, &link);
        plant()?;
        assert!(open(&link).is_err_and(|error| error.to_string().contains("symbolic link")));
        assert!(make_file(&link).is_err_and(|error| error.to_string().contains("symbolic link")));
        create(&link)?.write_all(b"ours")?;
        assert_eq!(fs::read_to_string(&link)?, "ours");
        fs::remove_file(&link)?;
        plant()?;
        replace(&link, b"ours")?;
        assert_eq!((fs::read_to_string(&link)?, fs::read_to_string(&victim)?), ("ours".to_owned(), "mine".to_owned()));
        Ok(())
    }

    #[test]
    fn what_is_made_is_for_its_owner_only() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name);
        make_folders(&path("a/b"))?;
        create(&path("created"))?;
        open(&path("opened"))?;
        make_file(&path("made"))?;
        replace(&path("replaced"), b"")?;
        assert_eq!(["a", "a/b"].map(|name| mode(&path(name))), [0o700; 2]);
        assert_eq!(["created", "opened", "made", "replaced"].map(|name| mode(&path(name))), [0o600; 4]);
        Ok(())
    }

    #[test]
    fn several_that_replace_a_file_at_the_same_time_leave_one_whole_file_and_nothing_else() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("file");
        thread::scope(|scope| {
            let writers: Vec<_> =
                (0..8).map(|_| scope.spawn(|| (0..20).try_for_each(|_| replace(&file, &[7; 9000])))).collect();
            writers
                .into_iter()
                .try_for_each(|writer| writer.join().unwrap_or_else(|_| Err(io::Error::other("panicked"))))
        })?;
        assert_eq!(fs::read(&file)?, [7; 9000]);
        assert_eq!(fs::read_dir(folder.path())?.count(), 1);
        Ok(())
    }
}
