//! What lies beside the database: the lock, the witness and the reserve.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use engine::outside::store::StoreError;
use engine::private;

use crate::disk::{Kind, damaged, failed, io_failed};
use crate::record::{FORMAT, FORMAT_MIN};

/// The room kept back, in bytes, so that a database that must write in order to open can do so on a full disk.
pub const RESERVE_BYTES: u64 = 16 * 1024 * 1024;

/// A line each; a disk writes a sector at once, so that a power cut spoils one of the two at most.
const SLOT_BYTES: usize = 512;
const SLOTS: u64 = 2;

/// Holds the folder for this process, until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    pub(crate) fn take(folder: &Path) -> Result<Self, StoreError> {
        let file = private::open(&folder.join("lock"));
        let file = file.map_err(|e| io_failed("open its lock", &e))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse { folder: folder.to_owned() }),
            Err(TryLockError::Error(e)) => Err(io_failed("lock the folder", &e)),
        }
    }
}

/// What the file beside the database says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Witnessed {
    pub(crate) kind: Kind,
    pub(crate) epoch: u64,
    pub(crate) commits: u64,
}

/// The file `witness`. It is written after the database is durable, so it never knows of more commits than the
/// database, unless the database lost some.
#[derive(Debug)]
pub(crate) struct Witness {
    path: PathBuf,
    file: File,
    kind: Kind,
    turn: u64,
}

impl Witness {
    /// What it says; `None` where there is no such file.
    pub(crate) fn read(folder: &Path) -> Result<Option<Witnessed>, StoreError> {
        read_witness(&folder.join("witness"))
    }

    /// Opens it for writing, and says for certain who owns the folder now.
    pub(crate) fn begin(folder: &Path, now: Witnessed) -> Result<Self, StoreError> {
        let path = folder.join("witness");
        let failed = |e: io::Error| io_failed("write its witness", &e);
        let file = private::open(&path).map_err(failed)?;
        let mut witness = Self { path, file, kind: now.kind, turn: 0 };
        for _ in 0..SLOTS {
            witness.write(now.epoch, now.commits)?;
            witness.file.sync_all().map_err(failed)?;
        }
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        Ok(witness)
    }

    /// Whether the folder is still that of the owner with this epoch. The file is opened by its name: a folder that was
    /// moved away or put back from a backup is not ours either.
    pub(crate) fn check(&self, epoch: u64) -> Result<(), StoreError> {
        match read_witness(&self.path)? {
            Some(found) if found.epoch == epoch => Ok(()),
            Some(found) => Err(StoreError::Fenced { ours: epoch, theirs: found.epoch }),
            None => Err(failed("find its witness", "the folder was moved or deleted", false)),
        }
    }

    /// Not synced: after a power cut it may say less than is true, which is no lie.
    pub(crate) fn write(&mut self, epoch: u64, commits: u64) -> Result<(), StoreError> {
        let said = format!("campanile store {FORMAT} {} epoch {epoch} commits {commits}", self.kind);
        let line = format!("{said} sum {}", sum(&said));
        let slot = format!("{line:<width$}\n", width = SLOT_BYTES - 1);
        let at = (self.turn % SLOTS) * SLOT_BYTES as u64;
        self.turn += 1;
        self.file.write_all_at(slot.as_bytes(), at).map_err(|e| io_failed("write its witness", &e))
    }
}

fn sum(said: &str) -> String {
    blake3::hash(said.as_bytes()).to_hex()[..16].to_owned()
}

fn read_witness(path: &Path) -> Result<Option<Witnessed>, StoreError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io_failed("read its witness", &e)),
    };
    let mut newest: Option<Witnessed> = None;
    for slot in bytes.chunks(SLOT_BYTES) {
        let line = String::from_utf8_lossy(slot);
        let Some((said, found)) = line.trim_end().rsplit_once(" sum ") else {
            continue;
        };
        if found != sum(said) {
            continue;
        }
        let witnessed = understood(said)?;
        if newest.is_none_or(|n| (n.epoch, n.commits) < (witnessed.epoch, witnessed.commits)) {
            newest = Some(witnessed);
        }
    }
    let how = "neither of its two lines can be read; without this file the store opens, but nobody can tell whether \
               its last commits are still there";
    newest.map(Some).ok_or_else(|| damaged(path.display().to_string(), how))
}

fn understood(said: &str) -> Result<Witnessed, StoreError> {
    let unknown = || damaged("the store's witness", format!("it says {said:?}"));
    let words: Vec<&str> = said.split(' ').collect();
    let ["campanile", "store", format, rest @ ..] = words.as_slice() else {
        return Err(unknown());
    };
    let found = format.parse().map_err(|_| unknown())?;
    if !(FORMAT_MIN..=FORMAT).contains(&found) {
        return Err(StoreError::Format { what: "the store".to_owned(), found, known: FORMAT });
    }
    let [kind, "epoch", epoch, "commits", commits] = rest else {
        return Err(unknown());
    };
    Ok(Witnessed {
        kind: kind.parse().map_err(|_| unknown())?,
        epoch: epoch.parse().map_err(|_| unknown())?,
        commits: commits.parse().map_err(|_| unknown())?,
    })
}

/// Makes the reserve where it is missing. A disk without that much room must not stop the work that it has room for.
pub(crate) fn keep_reserve(folder: &Path) {
    let path = folder.join("reserve");
    if fs::metadata(&path).is_ok_and(|m| m.len() == RESERVE_BYTES) {
        return;
    }
    if write_reserve(&path).is_err() {
        give_up_reserve(folder);
    }
}

fn write_reserve(path: &Path) -> io::Result<()> {
    let mut file = private::create(path)?;
    let block = vec![0; 1024 * 1024];
    for _ in 0..RESERVE_BYTES / block.len() as u64 {
        file.write_all(&block)?;
    }
    Ok(())
}

/// Whether there was a reserve to give up.
pub(crate) fn give_up_reserve(folder: &Path) -> bool {
    fs::remove_file(folder.join("reserve")).is_ok()
}
