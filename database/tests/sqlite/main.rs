//! SQLite as the marketing database.

#![expect(clippy::unwrap_used, reason = "test code")]

mod gather;
mod kill;
mod lookup;
mod page;
#[path = "../../../tests/soak/rounds.rs"]
mod rounds;
mod types;
mod versions;
mod write;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use database::Sqlite;
use engine::failure::Failure;
use engine::outside::database::{Database, LedgerKey, Older, Operation, Write, Written};
use rusqlite::Connection;
use tempfile::TempDir;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A file with tables of a test's own.
struct Place {
    _folder: TempDir,
    path: PathBuf,
    sqlite: Sqlite,
    batches: std::cell::Cell<u64>,
}

impl Place {
    fn new(schema: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("marketing.db");
        Connection::open(&path).unwrap().execute_batch(schema).unwrap();
        let sqlite = Sqlite::open(&path).unwrap();
        Self { _folder: folder, path, sqlite, batches: std::cell::Cell::new(0) }
    }

    /// Another program's view of the file.
    fn other(&self) -> Connection {
        Connection::open(&self.path).unwrap()
    }

    /// All rows of a query, each as `a|b`, null as `∅`.
    fn rows(&self, query: &str) -> Vec<String> {
        let connection = self.other();
        let mut statement = connection.prepare(query).unwrap();
        let count = statement.column_count();
        let text = |row: &rusqlite::Row<'_>, n| match row.get::<_, rusqlite::types::Value>(n).unwrap() {
            rusqlite::types::Value::Null => "∅".to_owned(),
            rusqlite::types::Value::Integer(value) => value.to_string(),
            rusqlite::types::Value::Real(value) => format!("{value:?}"),
            rusqlite::types::Value::Text(text) => text,
            rusqlite::types::Value::Blob(bytes) => format!("{bytes:?}"),
        };
        let row = |row: &rusqlite::Row<'_>| Ok((0..count).map(|n| text(row, n)).collect::<Vec<_>>().join("|"));
        statement.query_map([], row).unwrap().map(Result::unwrap).collect()
    }

    /// Writes to table `t` as a batch of its own.
    fn write(&self, operation: Operation, key: &[&str], rows: RecordBatch) -> Result<Written, Failure> {
        self.write_as(&write("t", operation, key), rows)
    }

    fn write_as(&self, write: &Write, rows: RecordBatch) -> Result<Written, Failure> {
        self.batches.set(self.batches.get() + 1);
        let ledger = LedgerKey { folder: "folder".to_owned(), task: "run/1".to_owned(), batch: self.batches.get() };
        block_on(self.sqlite.write(&ledger, write, rows))
    }
}

fn write(table: &str, operation: Operation, key: &[&str]) -> Write {
    let key = key.iter().map(|&key| key.to_owned()).collect();
    Write { table: table.to_owned(), operation, key, null_empties: true, older: Older::Write }
}

/// Columns of text.
fn texts(columns: &[(&str, &[Option<&str>])]) -> RecordBatch {
    let array = |values: &[Option<&str>]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
    RecordBatch::try_from_iter_with_nullable(columns.iter().map(|(name, values)| (name, array(values), true))).unwrap()
}

/// `inserted`, `updated`, `unchanged`, `absent`.
fn counts(written: &Written) -> [u64; 4] {
    let of = |counts: &BTreeMap<String, u64>, name: &str| counts[name];
    ["inserted", "updated", "unchanged", "absent"].map(|name| of(&written.counts, name))
}

/// Row and code of each reject.
fn rejects(written: &Written) -> Vec<(u32, &str)> {
    written.rejects.iter().map(|refused| (refused.row, refused.code.as_str())).collect()
}
