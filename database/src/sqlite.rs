//! SQLite. Its connection lives on a thread of its own; calls wait in a queue.

mod affinity;
mod cell;
mod collation;
mod column;
mod contents;
mod describe;
mod error;
mod extend;
mod find;
mod folders;
mod gather;
mod lookup;
mod scan;
mod setup;
mod sql;
#[cfg(test)]
mod tests;
mod versions;
mod write;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use engine::failure::{Class, Failure};
use engine::outside::database::{
    Attach, Database, DatabaseMark, Extended, Gathered, LedgerKey, Lookup, Matches, NewTable, Scan, Scanned, Table,
    Write, Written,
};
use engine::private;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use tokio::sync::oneshot;

pub use contents::Contents;
use error::failed;
use find::Finders;

/// How long a call waits for another program that writes to the same file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of the file is kept in memory, in KiB; SQLite's own 2 MiB make keys in no order slow.
const CACHE_KIB: i64 = 64 * 1024;
/// How many pages of 4 KiB the write-ahead log has before they are copied to the file.
const CHECKPOINT_PAGES: i64 = 4096;
/// Statements kept prepared.
const STATEMENTS_MAX: usize = 64;

/// The marketing database in an SQLite file.
///
/// Its journal is the write-ahead log, and each commit waits for the disk. Other programs may use the file meanwhile.
#[derive(Debug)]
pub struct Sqlite {
    queue: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

type Job = Box<dyn FnOnce(&mut Session) + Send>;

/// What the thread works with.
struct Session {
    connection: Connection,
    finders: Finders,
}

impl Sqlite {
    /// Opens the file. One that does not exist, or has no table, becomes a small marketing database with the tables
    /// `recipient` and `country`; any other is left as it is.
    ///
    /// # Errors
    /// Where the file or its folder cannot be read and written, or it is no SQLite file.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            private::make_folders(folder).map_err(|e| Failure::io(format!("cannot make {}", folder.display()), &e))?;
        }
        // What SQLite puts beside it is as readable as this file.
        let real = private::make_file(path).map_err(|e| Failure::io(format!("cannot open {}", path.display()), &e))?;
        let connection = connect(&real).map_err(|e| failed(&format!("cannot open {}", path.display()), e))?;
        let (queue, jobs) = mpsc::channel::<Job>();
        let mut session = Session { connection, finders: Finders::default() };
        let thread = thread::Builder::new().name("sqlite".to_owned()).spawn(move || {
            for job in jobs {
                job(&mut session);
            }
        });
        let thread = thread.map_err(|e| Failure::io("cannot start a thread for the database", &e))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Session) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let gone = || Failure::internal("the thread of the database ended");
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |session| {
            // Nobody hears it where the caller stopped waiting.
            drop(answer.send(work(session)));
        });
        self.queue.as_ref().ok_or_else(gone)?.send(job).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let mut connection = Connection::open_with_flags(path, OpenFlags::default() | OpenFlags::SQLITE_OPEN_NOFOLLOW)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    // Else a misspelt column in quotes is a text.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    setup::fill_if_empty(&mut connection)?;
    Ok(connection)
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // Whoever waited for an answer knows already.
            drop(thread.join());
        }
    }
}

#[async_trait]
impl Database for Sqlite {
    async fn tables(&self) -> Result<Vec<String>, Failure> {
        self.call(|session| describe::tables(&session.connection)).await
    }

    async fn table(&self, name: &str) -> Result<Table, Failure> {
        let name = name.to_owned();
        self.call(move |session| Ok(describe::described(&session.connection, &name)?.table)).await
    }

    async fn extend(&self, table: &NewTable) -> Result<Extended, Failure> {
        let table = table.clone();
        self.call(move |session| extend::extend(&mut session.connection, &table)).await
    }

    async fn lookup(&self, lookup: &Lookup, keys: RecordBatch) -> Result<Matches, Failure> {
        let lookup = lookup.clone();
        self.call(move |session| lookup::lookup(session, &lookup, &keys)).await
    }

    async fn gather(&self, lookup: &Lookup, keys: u64, bytes: usize) -> Result<Option<Box<dyn Gathered>>, Failure> {
        let lookup = lookup.clone();
        self.call(move |session| gather::gather(&session.connection, &lookup, keys, bytes)).await
    }

    async fn read(&self, scan: &Scan, from: Option<Value>) -> Result<Scanned, Failure> {
        let scan = scan.clone();
        self.call(move |session| scan::read(&session.connection, &scan, from.as_ref())).await
    }

    async fn write(&self, ledger: &LedgerKey, write: &Write, rows: RecordBatch) -> Result<Written, Failure> {
        let (ledger, write) = (ledger.clone(), write.clone());
        self.call(move |session| write::write(session, &ledger, &write, &rows)).await
    }

    async fn batches(&self, task: &str) -> Result<Option<u64>, Failure> {
        let task = task.to_owned();
        self.call(move |session| write::batches(&session.connection, &task).map(Some)).await
    }

    async fn mark(&self, folder: &str) -> Result<Option<DatabaseMark>, Failure> {
        let folder = folder.to_owned();
        self.call(move |session| folders::mark(&session.connection, &folder)).await
    }

    async fn attach(&self, attach: &Attach) -> Result<bool, Failure> {
        let attach = attach.clone();
        self.call(move |session| folders::attach(&session.connection, &attach)).await?;
        Ok(true)
    }

    async fn detach(&self, folder: &str) -> Result<(), Failure> {
        let folder = folder.to_owned();
        self.call(move |session| {
            folders::detach(&session.connection, &folder)?;
            versions::forget(&mut session.connection, &folder, u64::MAX)
        })
        .await
    }

    async fn forget_versions(&self, folder: &str, before: u64) -> Result<(), Failure> {
        let folder = folder.to_owned();
        self.call(move |session| versions::forget(&mut session.connection, &folder, before)).await
    }

    async fn indexes(&self) -> Result<BTreeSet<String>, Failure> {
        self.call(|session| folders::indexes(&session.connection)).await
    }

    async fn know_index(&self, option: &str) -> Result<(), Failure> {
        let option = option.to_owned();
        self.call(move |session| folders::know_index(&session.connection, &option)).await
    }

    async fn forget(&self, task: &str) -> Result<(), Failure> {
        let task = task.to_owned();
        self.call(move |session| write::forget(&session.connection, &task)).await
    }
}

/// `Class::Config`, with the names that are most like the one that was not found.
fn not_found(what: &str, name: &str, known: &[&str]) -> Failure {
    let failure = Failure::new(Class::Config, format!("there is no {what} {name:?}"));
    let mut similar: Vec<_> =
        known.iter().map(|known| (strsim::jaro_winkler(&fold(name), &fold(known)), *known)).collect();
    similar.retain(|(likeness, _)| *likeness > 0.75);
    similar.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let names: Vec<_> = similar.iter().take(3).map(|(_, name)| *name).collect();
    match names.is_empty() {
        true if known.len() <= 20 => failure.help(format!("there are {}", known.join(", "))),
        true => failure,
        false => failure.help(format!("did you mean {}?", names.join(" or "))),
    }
}

fn fold(name: &str) -> String {
    name.to_lowercase()
}
