//! An SQLite file of ours in a data folder: made when it is first written, readable by its owner only, each commit durable.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::failure::{Class, Failure};
use engine::private;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

/// How long a call waits for another program that reads the same file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// One file, opened when it is first used.
#[derive(Debug, Clone)]
pub(crate) struct SqliteFile {
    path: PathBuf,
    kind: &'static Kind,
    pub(crate) opened: Arc<Mutex<Option<Connection>>>,
}

/// What the file is.
#[derive(Debug)]
pub(crate) struct Kind {
    /// In messages, such as `the rejects desk`.
    pub(crate) name: &'static str,
    /// What makes the file of each form of that of the one before; the first of an empty one.
    pub(crate) steps: &'static [&'static str],
    /// What to do where the file is damaged.
    pub(crate) damaged: &'static str,
}

impl SqliteFile {
    pub(crate) fn new(path: PathBuf, kind: &'static Kind) -> Self {
        Self { path, kind, opened: Arc::default() }
    }

    /// Reads; of a file that is not there, what is empty.
    pub(crate) async fn read<T: Default + Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        match self.path.exists() {
            true => self.call(move |connection| read(connection)).await,
            false => Ok(T::default()),
        }
    }

    /// Writes in one transaction, durable before it returns.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        self.call(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let written = write(&transaction)?;
            transaction.commit()?;
            Ok(written)
        })
        .await
    }

    /// Changes what is there; of a file that is not there, nothing.
    pub(crate) async fn change<T: Default + Send + 'static>(
        &self,
        write: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        if self.path.exists() { self.write(write).await } else { Ok(T::default()) }
    }

    async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let (path, kind, opened) = (self.path.clone(), self.kind, Arc::clone(&self.opened));
        let work = move || {
            let mut opened = opened.lock().unwrap_or_else(PoisonError::into_inner);
            let connection = match &mut *opened {
                Some(connection) => connection,
                closed => closed.insert(kind.open(&path)?),
            };
            work(connection).map_err(|error| kind.failed(&path, &error))
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| Failure::internal(error.to_string()))?
    }
}

impl Kind {
    fn open(&self, path: &Path) -> Result<Connection, Failure> {
        // What SQLite puts beside it is as readable as this file.
        let real =
            private::make_file(path).map_err(|error| Failure::io(format!("cannot open {}", path.display()), &error))?;
        // The form of the file that this build writes; newer ones are refused.
        let newest = i64::try_from(self.steps.len()).unwrap_or(i64::MAX);
        let prepare = || {
            let flags = OpenFlags::default() | OpenFlags::SQLITE_OPEN_NOFOLLOW;
            let mut connection = Connection::open_with_flags(&real, flags)?;
            connection.busy_timeout(BUSY_TIMEOUT)?;
            connection.pragma_update(None, "journal_mode", "wal")?;
            connection.pragma_update(None, "synchronous", "full")?;
            let format: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
            if format < newest {
                let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                let known = usize::try_from(format).unwrap_or_default();
                self.steps[known..].iter().try_for_each(|step| transaction.execute_batch(step))?;
                transaction.pragma_update(None, "user_version", newest)?;
                transaction.commit()?;
            }
            Ok((connection, format))
        };
        let (connection, format) = prepare().map_err(|error| self.failed(path, &error))?;
        if format > newest {
            let message = format!("{} has format {format}; this version reads up to {newest}", path.display());
            let failure = Failure::new(Class::Storage, message);
            return Err(failure.help("use the version of Campanile that wrote it, or a newer one"));
        }
        Ok(connection)
    }

    fn failed(&self, path: &Path, error: &rusqlite::Error) -> Failure {
        let failure = Failure::new(Class::Storage, format!("{} {}: {error}", self.name, path.display()));
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => failure.help("make room on this disk, then resume the run"),
            Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
                failure.help(self.damaged)
            }
            _ => failure,
        }
    }
}
