//! redb 4; each commit is durable by its default.

use std::path::Path;

use engine::outside::store::StoreError;
use redb::{DatabaseError, ReadableDatabase, StorageError, TableDefinition, TableError};

use super::{Batch, Disk, Entries, damaged, failed, io_in_database};

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("campanile");
/// Beyond it redb drops pages from memory.
const CACHE_BYTES: usize = 32 * 1024 * 1024;

type Table = redb::ReadOnlyTable<&'static [u8], &'static [u8]>;

pub(super) struct Redb(redb::Database);

impl Redb {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let db = redb::Builder::new().set_cache_size(CACHE_BYTES).create(path).map_err(|e| match e {
            DatabaseError::DatabaseAlreadyOpen => StoreError::InUse { folder: path.to_owned() },
            DatabaseError::UpgradeRequired(found) => {
                // redb names only what it found; 3 is the file format of redb 3 and 4.
                StoreError::Format { what: "the redb file".to_owned(), found: found.into(), known: 3 }
            }
            DatabaseError::Storage(e) => storage("open", e),
            other => damaged("the store", other.to_string()),
        })?;
        Ok(Self(db))
    }

    /// `None` before the first commit made the table.
    fn table(&self) -> Result<Option<Table>, StoreError> {
        let read = self.0.begin_read().map_err(|e| any("read", e))?;
        match read.open_table(TABLE) {
            Ok(table) => Ok(Some(table)),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(e) => Err(any("read", e)),
        }
    }
}

impl Disk for Redb {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(table) = self.table()? else {
            return Ok(None);
        };
        let value = table.get(key).map_err(|e| storage("read", e))?;
        Ok(value.map(|value| value.value().to_vec()))
    }

    fn range(&self, from: &[u8], to: &[u8]) -> Result<Entries, StoreError> {
        let Some(table) = self.table()? else {
            return Ok(Vec::new());
        };
        let entries = table.range(from..to).map_err(|e| storage("read", e))?;
        let owned = |entry: Result<_, _>| {
            let (key, value): (redb::AccessGuard<'_, &[u8]>, redb::AccessGuard<'_, &[u8]>) =
                entry.map_err(|e| storage("read", e))?;
            Ok((key.value().to_vec(), value.value().to_vec()))
        };
        entries.map(owned).collect()
    }

    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        let write = self.0.begin_write().map_err(|e| any("write", e))?;
        {
            let mut table = write.open_table(TABLE).map_err(|e| any("write", e))?;
            for (key, value) in batch {
                match value {
                    Some(value) => {
                        drop(table.insert(key.as_slice(), value.as_slice()).map_err(|e| storage("write", e))?)
                    }
                    None => drop(table.remove(key.as_slice()).map_err(|e| storage("write", e))?),
                }
            }
        }
        write.commit().map_err(|e| any("write", e))
    }
}

fn any(action: &str, error: impl Into<redb::Error>) -> StoreError {
    match error.into() {
        redb::Error::Io(e) => io_in_database(action, &e),
        redb::Error::PreviousIo => failed(action, "an earlier read or write of the disk failed", false),
        other => damaged("the store", other.to_string()),
    }
}

fn storage(action: &str, error: StorageError) -> StoreError {
    any(action, error)
}
