//! sled 0.34, made durable.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use engine::outside::store::StoreError;

use super::{Batch, Disk, Entries, damaged, failed, io_failed, io_in_database};

/// Beyond it sled drops pages from memory.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;
/// sled keeps a page beyond a quarter of a segment as a file apart, which a power cut loses. It splits a page by its
/// number of items (16, and 10 more not yet joined), not by size: 26 events of 16 KiB fit into a quarter of this.
const SEGMENT_BYTES: usize = 2 * 1024 * 1024;
/// sled's file of settings, and what follows them in it.
const SETTINGS: &str = "conf";
const SETTINGS_CHECKSUM_BYTES: usize = 4;
/// sled lets go of its lock a little after it was dropped. Our own lock is held meanwhile, so nobody else has it.
const LOCK_ATTEMPTS_MAX: u32 = 200;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

pub(super) struct Sled {
    db: ::sled::Db,
    /// sled's flush writes to the operating system but does not wait for the disk.
    file: File,
    blobs: PathBuf,
    /// Blobs are never changed, so each is synced once.
    synced: Mutex<BTreeSet<PathBuf>>,
}

impl Sled {
    pub(super) fn open(folder: &Path) -> Result<Self, StoreError> {
        remove_unfinished_snapshots(folder).map_err(|e| io_failed("remove an unfinished snapshot", &e))?;
        remove_torn_settings(folder).map_err(|e| io_failed("remove its torn settings", &e))?;
        let db = open_unlocked(folder)?;
        let file = File::open(folder.join("db")).map_err(|e| io_failed("open its file", &e))?;
        let sync = |path: &Path| File::open(path).and_then(|f| f.sync_all());
        sync(&folder.join(SETTINGS)).map_err(|e| io_failed("sync its settings", &e))?;
        sync(folder).map_err(|e| io_failed("sync its folder", &e))?;
        Ok(Self { db, file, blobs: folder.join("blobs"), synced: Mutex::default() })
    }

    fn sync(&self) -> std::io::Result<()> {
        self.file.sync_data()?;
        let mut synced = self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = BTreeSet::new();
        for entry in fs::read_dir(&self.blobs)? {
            found.insert(entry?.path());
        }
        if found != *synced {
            for path in found.difference(&synced) {
                File::open(path)?.sync_all()?;
            }
            File::open(&self.blobs)?.sync_all()?;
            *synced = found;
        }
        Ok(())
    }
}

/// A crash leaves `snap.….generating`, and sled then takes it for the newest snapshot and reports corruption.
fn remove_unfinished_snapshots(folder: &Path) -> std::io::Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "generating") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// sled writes its settings without a sync. A power cut can leave a part of them, or zeros, and sled then reports
/// corruption. They are always the same, so sled makes them again. Settings that are not ours are left to sled.
fn remove_torn_settings(folder: &Path) -> std::io::Result<()> {
    let ours = format!("segment_size: {SEGMENT_BYTES}\nuse_compression: false\nversion: 0.34\n");
    let found = match fs::read(folder.join(SETTINGS)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    let is_whole = found.len() == ours.len() + SETTINGS_CHECKSUM_BYTES && found.starts_with(ours.as_bytes());
    let is_part = found.iter().zip(ours.as_bytes()).all(|(found, ours)| found == ours || *found == 0);
    if is_part && !is_whole { fs::remove_file(folder.join(SETTINGS)) } else { Ok(()) }
}

fn open_unlocked(folder: &Path) -> Result<::sled::Db, StoreError> {
    let config = ::sled::Config::new()
        .path(folder)
        .cache_capacity(CACHE_BYTES)
        .segment_size(SEGMENT_BYTES)
        .flush_every_ms(None)
        .use_compression(false);
    let mut attempts = 1;
    loop {
        match config.open() {
            Err(::sled::Error::Io(e)) if e.to_string().contains("could not acquire lock") => {
                if attempts == LOCK_ATTEMPTS_MAX {
                    return Err(StoreError::InUse { folder: folder.to_owned() });
                }
                attempts += 1;
                thread::sleep(LOCK_PAUSE);
            }
            opened => return opened.map_err(|e| error("open", e)),
        }
    }
}

impl Disk for Sled {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.db.get(key).map_err(|e| error("read", e))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn range(&self, from: &[u8], to: &[u8]) -> Result<Entries, StoreError> {
        let entries = self.db.range(from..to);
        entries.map(|entry| entry.map(|(k, v)| (k.to_vec(), v.to_vec())).map_err(|e| error("read", e))).collect()
    }

    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut changes = ::sled::Batch::default();
        for (key, value) in batch {
            match value {
                Some(value) => changes.insert(key.as_slice(), value.as_slice()),
                None => changes.remove(key.as_slice()),
            }
        }
        self.db.apply_batch(changes).map_err(|e| error("write", e))?;
        self.db.flush().map_err(|e| error("write", e))?;
        self.sync().map_err(|e| io_failed("sync", &e))
    }
}

fn error(action: &str, error: ::sled::Error) -> StoreError {
    match error {
        ::sled::Error::Io(e) => io_in_database(action, &e),
        ::sled::Error::ReportableBug(words) => failed(action, words, false),
        other => damaged("the store", other.to_string()),
    }
}
