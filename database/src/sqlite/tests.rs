//! What cannot be brought about from outside.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use engine::failure::Class;
use engine::outside::database::{LedgerKey, Older, Operation, Write};
use rusqlite::Connection;

use super::find::Finders;
use super::{Session, connect, write};

fn batch(rows: usize) -> RecordBatch {
    let keys: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows).map(|n| format!("{n} {}", "x".repeat(500)))));
    RecordBatch::try_from_iter([("k", keys)]).unwrap()
}

fn count(connection: &Connection) -> i64 {
    connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
}

#[test]
fn a_full_disk_or_a_lock_fails_the_batch_and_it_can_be_written_later() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("marketing.db");
    let other = Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE t(k TEXT)").unwrap();
    let mut session = Session { connection: connect(&path).unwrap(), finders: Finders::default() };
    session.connection.busy_timeout(Duration::ZERO).unwrap();
    let upsert = Write {
        table: "t".to_owned(),
        operation: Operation::Upsert,
        key: vec!["k".to_owned()],
        null_empties: true,
        older: Older::Write,
    };
    let write = |session: &mut Session, batch_number, rows| {
        let ledger = LedgerKey { folder: "folder".to_owned(), task: "run/1".to_owned(), batch: batch_number };
        write::write(session, &ledger, &upsert, &batch(rows))
    };
    write(&mut session, 0, 10).unwrap();

    session.connection.pragma_update(None, "max_page_count", 8).unwrap();
    let full = write(&mut session, 1, 1000).unwrap_err();
    assert_eq!((full.class, full.code.as_deref()), (Class::Storage, Some("SQLITE_FULL")));
    assert_eq!(full.help.as_deref(), Some("make room on this disk, then resume the run"));
    assert_eq!(count(&other), 10);

    session.connection.pragma_update(None, "max_page_count", 100_000).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let locked = write(&mut session, 1, 1000).unwrap_err();
    assert_eq!((locked.class, locked.code.as_deref()), (Class::Transient, Some("SQLITE_BUSY")));
    other.execute_batch("ROLLBACK").unwrap();

    let written = write(&mut session, 1, 1000).unwrap();
    assert_eq!((written.counts["inserted"], written.counts["unchanged"], written.replayed), (990, 10, false));
    assert_eq!(count(&other), 1000);
}
