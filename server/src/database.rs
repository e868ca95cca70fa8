//! The marketing database, opened when it is first used: most commands never need it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use ::database::Sqlite;
use arrow::array::RecordBatch;
use async_trait::async_trait;
use engine::failure::{Class, Failure};
use engine::outside::database::{
    Attach, Database, DatabaseMark, Extended, Gathered, LedgerKey, Lookup, Matches, NewTable, Scan, Scanned, Table,
    Write, Written,
};
use serde_json::Value;
use tokio::sync::OnceCell;

/// Whether a database that is not there yet is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// It is made, with its first tables.
    Make,
    /// It is left alone, and whoever asks is told that it cannot be asked.
    Leave,
}

pub(crate) struct Lazy {
    path: PathBuf,
    missing: Missing,
    opened: OnceCell<Arc<dyn Database>>,
}

impl Lazy {
    /// `url` is one that [`Config`](crate::config::Config) accepted.
    pub(crate) fn new(url: &str, missing: Missing) -> Self {
        let path = PathBuf::from(url.strip_prefix(SQLITE).unwrap_or(url));
        Self { path, missing, opened: OnceCell::new() }
    }

    fn is_missing(&self) -> bool {
        self.opened.get().is_none() && !self.path.exists()
    }

    async fn database(&self) -> Result<&Arc<dyn Database>, Failure> {
        // What failed is tried anew by the next caller: the cause may be cured meanwhile.
        let open = async || {
            if self.missing == Missing::Leave && !self.path.exists() {
                let message = format!("the database {} is not there yet; the first run makes it", self.path.display());
                return Err(Failure::new(Class::Transient, message));
            }
            let path = self.path.clone();
            let opened = tokio::task::spawn_blocking(move || Sqlite::open(&path)).await;
            let opened = opened.map_err(|error| Failure::internal(error.to_string()))??;
            Ok(Arc::new(opened) as Arc<dyn Database>)
        };
        self.opened.get_or_try_init(open).await
    }
}

/// How the address of an SQLite file begins.
pub(crate) const SQLITE: &str = "sqlite:";

#[async_trait]
impl Database for Lazy {
    async fn tables(&self) -> Result<Vec<String>, Failure> {
        self.database().await?.tables().await
    }

    async fn table(&self, name: &str) -> Result<Table, Failure> {
        self.database().await?.table(name).await
    }

    async fn extend(&self, table: &NewTable) -> Result<Extended, Failure> {
        self.database().await?.extend(table).await
    }

    async fn lookup(&self, lookup: &Lookup, keys: RecordBatch) -> Result<Matches, Failure> {
        self.database().await?.lookup(lookup, keys).await
    }

    async fn gather(&self, lookup: &Lookup, keys: u64, bytes: usize) -> Result<Option<Box<dyn Gathered>>, Failure> {
        self.database().await?.gather(lookup, keys, bytes).await
    }

    async fn read(&self, scan: &Scan, from: Option<Value>) -> Result<Scanned, Failure> {
        self.database().await?.read(scan, from).await
    }

    async fn write(&self, ledger: &LedgerKey, write: &Write, rows: RecordBatch) -> Result<Written, Failure> {
        self.database().await?.write(ledger, write, rows).await
    }

    async fn batches(&self, task: &str) -> Result<Option<u64>, Failure> {
        self.database().await?.batches(task).await
    }

    async fn mark(&self, folder: &str) -> Result<Option<DatabaseMark>, Failure> {
        if self.is_missing() {
            return Ok(None);
        }
        self.database().await?.mark(folder).await
    }

    async fn attach(&self, attach: &Attach) -> Result<bool, Failure> {
        self.database().await?.attach(attach).await
    }

    async fn detach(&self, folder: &str) -> Result<(), Failure> {
        if self.is_missing() {
            return Ok(());
        }
        self.database().await?.detach(folder).await
    }

    async fn forget_versions(&self, folder: &str, before: u64) -> Result<(), Failure> {
        if self.is_missing() {
            return Ok(());
        }
        self.database().await?.forget_versions(folder, before).await
    }

    async fn indexes(&self) -> Result<BTreeSet<String>, Failure> {
        if self.is_missing() {
            return Ok(BTreeSet::new());
        }
        self.database().await?.indexes().await
    }

    async fn know_index(&self, option: &str) -> Result<(), Failure> {
        if self.is_missing() {
            return Ok(());
        }
        self.database().await?.know_index(option).await
    }

    async fn forget(&self, task: &str) -> Result<(), Failure> {
        // What is not there has nothing to forget, and is not made for it.
        if self.is_missing() {
            return Ok(());
        }
        self.database().await?.forget(task).await
    }
}
