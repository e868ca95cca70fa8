//! The little that a database must do for us, and the care taken around it.

mod redb;
mod sled;

use std::any::Any;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::str::FromStr;

use engine::outside::store::StoreError;

/// The database underneath.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// sled 0.34, with its file synced after each flush.
    Sled,
    /// redb 4.
    Redb,
}

impl Kind {
    /// The name of its file or folder, and in the witness.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sled => "sled",
            Self::Redb => "redb",
        }
    }

    /// The file that exists once the database does, below the store's folder.
    pub(crate) fn main_file(self) -> &'static str {
        match self {
            Self::Sled => "sled/db",
            Self::Redb => "redb",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "sled" => Ok(Self::Sled),
            "redb" => Ok(Self::Redb),
            other => Err(format!("{other} is no kind of store; there are sled and redb")),
        }
    }
}

/// Keys with what they become; `None` removes.
pub(crate) type Batch = Vec<(Vec<u8>, Option<Vec<u8>>)>;
/// Keys with their values, in the order of the keys.
pub(crate) type Entries = Vec<(Vec<u8>, Vec<u8>)>;

/// An ordered map on disk.
pub(crate) trait Disk: Send + Sync {
    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// What lies from `from` on and before `to`.
    fn range(&self, from: &[u8], to: &[u8]) -> Result<Entries, StoreError>;

    /// All or nothing, and durable through a power cut before it returns.
    fn commit(&self, batch: &Batch) -> Result<(), StoreError>;
}

/// Opens the database below a folder, making it where there is none.
pub(crate) fn open(folder: &Path, kind: Kind) -> Result<Careful, StoreError> {
    let path = folder.join(kind.name());
    let disk = calmly(During::Reading, "open", || match kind {
        Kind::Sled => Ok(Box::new(sled::Sled::open(&path)?) as Box<dyn Disk>),
        Kind::Redb => Ok(Box::new(redb::Redb::open(&path)?) as Box<dyn Disk>),
    })?;
    Ok(Careful(Some(disk)))
}

/// Turns panics of a database into errors: sled panics on damage and on a full disk, also while it is dropped.
pub(crate) struct Careful(Option<Box<dyn Disk>>);

impl Careful {
    #[cfg(test)]
    pub(crate) fn around(disk: impl Disk + 'static) -> Self {
        Self(Some(Box::new(disk)))
    }

    fn disk(&self) -> Result<&dyn Disk, StoreError> {
        self.0.as_deref().ok_or_else(|| failed("use a closed database", "it was closed", false))
    }
}

impl Disk for Careful {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        calmly(During::Reading, "read", || self.disk()?.get(key))
    }

    fn range(&self, from: &[u8], to: &[u8]) -> Result<Entries, StoreError> {
        calmly(During::Reading, "read", || self.disk()?.range(from, to))
    }

    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        calmly(During::Writing, "write", || self.disk()?.commit(batch))
    }
}

impl Drop for Careful {
    fn drop(&mut self) {
        let disk = self.0.take();
        // All that was acknowledged is durable already; a panic here must not end the process.
        drop(catch_unwind(AssertUnwindSafe(|| drop(disk))));
    }
}

#[derive(Clone, Copy)]
enum During {
    Reading,
    Writing,
}

fn calmly<T>(during: During, action: &str, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let message = words_of(panic.as_ref());
        let full = message.contains("StorageFull") || message.contains("No space left");
        match during {
            During::Reading if !full => Err(damaged("the store", message)),
            _ => Err(failed(action, message, full)),
        }
    })
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let words = panic.downcast_ref::<String>().map(String::as_str);
    words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("the database panicked").to_owned()
}

/// [`StoreError::Damaged`], shortly.
pub(crate) fn damaged(what: impl Into<String>, how: impl Into<String>) -> StoreError {
    StoreError::Damaged { what: what.into(), how: how.into() }
}

/// [`StoreError::Io`], shortly.
pub(crate) fn failed(action: impl Into<String>, message: impl Into<String>, full: bool) -> StoreError {
    StoreError::Io { action: action.into(), message: message.into(), full }
}

/// What the system said to us.
pub(crate) fn io_failed(action: impl Into<String>, error: &io::Error) -> StoreError {
    let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    failed(action, error.to_string(), full)
}

/// What the system said to a database: a file that is too short or makes no sense is damage, not a fault of the disk.
fn io_in_database(action: &str, error: &io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            damaged("the store", error.to_string())
        }
        _ => io_failed(action, error),
    }
}
