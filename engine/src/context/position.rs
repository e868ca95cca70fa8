//! Where a task goes on: in the journal, or in a file of the task's own where it is too large for that.
//!
//! There are two such files, taken in turns: one is named by the journal, the other is being written.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::failure::{Class, Failure};
use crate::private;

/// The longest position of a task that stands in the journal itself, in bytes of JSON; a longer one is a file.
pub const POSITION_BYTES_MAX: usize = 12 * 1024;
/// The longest position of a task, in bytes of JSON.
pub const POSITION_FILE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What the journal has instead of a long position.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Apart {
    #[serde(rename = "@file")]
    file: PathBuf,
    checksum: String,
}

/// The position as the journal takes it; `recorded` is what it has now, `folder` the task's own.
pub(super) fn write(position: &impl Serialize, recorded: &Value, folder: &Path) -> Result<Value, Failure> {
    let position = serde_json::to_value(position).map_err(|error| Failure::internal(error.to_string()))?;
    let text = position.to_string();
    if text.len() <= POSITION_BYTES_MAX {
        return Ok(position);
    }
    if text.len() > POSITION_FILE_BYTES_MAX {
        let message =
            format!("the place to go on from has {} bytes; the most is {POSITION_FILE_BYTES_MAX}", text.len());
        return Err(Failure::new(Class::Limit, message));
    }
    let is_first = apart(recorded).is_some_and(|apart| apart.file == Path::new("position-1.json"));
    let file = PathBuf::from(if is_first { "position-2.json" } else { "position-1.json" });
    let path = folder.join(&file);
    let write = || {
        private::make_folders(folder)?;
        let mut written = private::create(&path)?;
        written.write_all(text.as_bytes())?;
        written.sync_all()?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|error| Failure::io(format!("cannot write {}", path.display()), &error))?;
    let apart = Apart { file, checksum: blake3::hash(text.as_bytes()).to_hex().to_string() };
    serde_json::to_value(apart).map_err(|error| Failure::internal(error.to_string()))
}

/// The position that the journal has; `None` where it has none.
pub(super) fn read<T: DeserializeOwned>(recorded: &Value, folder: &Path) -> Result<Option<T>, Failure> {
    if recorded.is_null() {
        return Ok(None);
    }
    let read = match apart(recorded) {
        None => serde_json::from_value(recorded.clone()),
        Some(apart) => serde_json::from_slice(&load(&folder.join(&apart.file), &apart.checksum)?),
    };
    read.map(Some).map_err(|error| {
        Failure::new(Class::Internal, format!("the position of this task is not understood: {error}"))
            .help("stop the run and start the workflow again")
    })
}

fn apart(recorded: &Value) -> Option<Apart> {
    recorded.get("@file")?;
    serde_json::from_value(recorded.clone()).ok()
}

fn load(path: &Path, checksum: &str) -> Result<Vec<u8>, Failure> {
    let bytes = fs::read(path).map_err(|error| Failure::io(format!("cannot read {}", path.display()), &error))?;
    match blake3::hash(&bytes).to_hex().as_str() == checksum {
        true => Ok(bytes),
        false => Err(Failure::new(Class::Storage, format!("{} is not the file that was written", path.display()))
            .help("put the data folder back from a backup, or stop the run and start the workflow again")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_long_position_is_a_file_and_the_one_the_journal_names_is_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let long = |mark: &str| json!({ "mark": mark, "cursor": "x".repeat(POSITION_BYTES_MAX) });
        let read = |recorded: &Value| super::read::<Value>(recorded, folder.path()).unwrap().unwrap()["mark"].clone();
        let first = write(&long("1"), &Value::Null, folder.path()).unwrap();
        let second = write(&long("2"), &first, folder.path()).unwrap();
        assert_eq!(
            (read(&first), read(&second)),
            (json!("1"), json!("2")),
            "until the second is recorded, both are there"
        );
        let third = write(&long("3"), &second, folder.path()).unwrap();
        assert_eq!((read(&second), read(&third)), (json!("2"), json!("3")));
        assert!(super::read::<Value>(&first, folder.path()).is_err(), "written over, and noticed");
        assert_eq!(write(&json!({ "mark": "short" }), &third, folder.path()).unwrap(), json!({ "mark": "short" }));
    }
}
