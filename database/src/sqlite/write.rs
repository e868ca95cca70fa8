//! Writing a batch, and in the same transaction what became of it.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use engine::failure::{Class, Failure};
use engine::outside::database::{LedgerKey, Operation, Refused, Write, Written};
use engine::version::Versions;
use rusqlite::{Connection, OptionalExtension};

use super::Session;
use super::describe::described;
use super::error::failed;
use super::folders;
use super::sql::quoted;
use super::versions::Newest;
use row::{Outcome, Rows};

mod row;

/// Our table in the marketing database.
pub(super) const LEDGER: &str = "campanile_ledger";
/// What is counted, also where it is 0.
const COUNTED: &[&str] = &["inserted", "updated", "unchanged", "absent"];
/// What is counted of a deletion.
const COUNTED_OF_DELETE: &[&str] = &["deleted", "absent"];
/// How many rows of a batch may each undo the whole transaction, as a trigger with `RAISE(ROLLBACK)` does. The batch is
/// begun anew without them, one after the other.
const UNDOING_ROWS_MAX: usize = 100;

pub(super) fn write(
    session: &mut Session,
    ledger: &LedgerKey,
    write: &Write,
    rows: &RecordBatch,
) -> Result<Written, Failure> {
    let mut undoing = BTreeMap::new();
    loop {
        match attempt(session, ledger, write, rows, &undoing)? {
            Attempt::Done(written) => return Ok(written),
            Attempt::Undone(refused) if undoing.len() < UNDOING_ROWS_MAX => {
                undoing.insert(refused.row, refused);
            }
            Attempt::Undone(refused) => {
                let message = format!(
                    "more than {UNDOING_ROWS_MAX} rows each made table {} undo the whole batch; the last said: {}",
                    write.table, refused.message
                );
                return Err(Failure::new(Class::Data, message).help("let the trigger use RAISE(ABORT), not ROLLBACK"));
            }
        }
    }
}

/// Forgets what became of the batches of a task.
pub(super) fn forget(connection: &Connection, task: &str) -> Result<(), Failure> {
    let forget = || match has_ledger(connection)? {
        true => connection.execute(&format!("DELETE FROM main.{} WHERE task = ?1", quoted(LEDGER)), [task]).map(drop),
        false => Ok(()),
    };
    forget().map_err(|e| failed("cannot forget the ledger of a task", e))
}

/// How many batches of a task the ledger has.
pub(super) fn batches(connection: &Connection, task: &str) -> Result<u64, Failure> {
    let count = || match has_ledger(connection)? {
        true => connection.query_row(
            &format!("SELECT count(*) FROM main.{} WHERE task = ?1", quoted(LEDGER)),
            [task],
            |row| row.get::<_, i64>(0),
        ),
        false => Ok(0),
    };
    count().map(i64::unsigned_abs).map_err(|e| failed("cannot read the ledger", e))
}

enum Attempt {
    Done(Written),
    /// This row made SQLite roll the transaction back.
    Undone(Refused),
}

fn attempt(
    session: &mut Session,
    ledger: &LedgerKey,
    write: &Write,
    rows: &RecordBatch,
    undoing: &BTreeMap<u32, Refused>,
) -> Result<Attempt, Failure> {
    let cannot = format!("cannot write to table {}", write.table);
    session.connection.execute_batch("BEGIN IMMEDIATE").map_err(|e| failed(&cannot, e))?;
    let written = write_all(session, ledger, write, rows, undoing);
    let done = match written {
        Ok(Attempt::Done(written)) => match session.connection.execute_batch("COMMIT") {
            Ok(()) => {
                session.finders.settle(&session.connection);
                return Ok(Attempt::Done(written));
            }
            Err(e) => Err(failed(&cannot, e)),
        },
        undone => undone,
    };
    // SQLite has rolled back by itself after some errors.
    if !session.connection.is_autocommit() {
        session.connection.execute_batch("ROLLBACK").map_err(|e| failed(&cannot, e))?;
    }
    session.finders.reset(&session.connection).map_err(|e| failed(&cannot, e))?;
    done
}

fn write_all(
    session: &mut Session,
    ledger: &LedgerKey,
    write: &Write,
    rows: &RecordBatch,
    undoing: &BTreeMap<u32, Refused>,
) -> Result<Attempt, Failure> {
    let Session { connection, finders } = session;
    let batch = i64::try_from(ledger.batch).map_err(|_| Failure::internal("a batch number that is too large"))?;
    if let Some(written) = replayed(connection, &ledger.task, batch)? {
        return Ok(Attempt::Done(written));
    }
    let cannot = |e| failed(&format!("cannot write to table {}", write.table), e);
    finders.begin(connection).map_err(cannot)?;
    let table = described(connection, &write.table)?;
    let (rows, versions) = Versions::detach(rows).map_err(|e| Failure::internal(e.to_string()))?;
    let mut newest = Newest::new(connection, &ledger.folder, write, &rows, versions)?;
    let mut to_write = Rows::new(connection, finders, &table, write, &rows)?;

    let counted = if write.operation == Operation::Delete { COUNTED_OF_DELETE } else { COUNTED };
    let mut counts: BTreeMap<String, u64> = counted.iter().map(|name| ((*name).to_owned(), 0)).collect();
    let (mut rejects, mut older) = (Vec::new(), Vec::new());
    for row in 0..rows.num_rows() {
        let number = u32::try_from(row).map_err(|_| Failure::internal("a batch with too many rows"))?;
        if let Some(refused) = undoing.get(&number) {
            rejects.push(refused.clone());
            continue;
        }
        if newest.is_newer_than(row)? {
            older.push(number);
            continue;
        }
        match to_write.write(row, number)? {
            Outcome::Counted(name) => {
                newest.remember(row, name)?;
                *counts.entry(name.to_owned()).or_default() += 1;
            }
            Outcome::Refused(refused) if connection.is_autocommit() => return Ok(Attempt::Undone(refused)),
            Outcome::Refused(refused) => rejects.push(refused),
        }
    }
    let maintained = to_write.maintained();
    drop((to_write, newest));
    finders.written(connection, &table.table.name, maintained.as_deref()).map_err(cannot)?;

    let written = Written { counts, rejects, older, replayed: false };
    record(connection, &ledger.task, batch, &written)?;
    folders::count(connection, &ledger.folder).map_err(|e| failed("cannot count a batch", e))?;
    Ok(Attempt::Done(written))
}

fn replayed(connection: &Connection, task: &str, batch: i64) -> Result<Option<Written>, Failure> {
    let read = || match has_ledger(connection)? {
        true => connection
            .prepare_cached(&format!("SELECT outcome FROM main.{} WHERE task = ?1 AND batch = ?2", quoted(LEDGER)))?
            .query_row((task, batch), |row| row.get::<_, String>(0))
            .optional(),
        false => Ok(None),
    };
    let Some(outcome) = read().map_err(|e| failed("cannot read the ledger", e))? else { return Ok(None) };
    let written: Written = serde_json::from_str(&outcome).map_err(|e| {
        Failure::new(Class::Storage, format!("the ledger of task {task} cannot be understood: {e}"))
            .help(format!("somebody changed table {LEDGER}; put the database back from a backup"))
    })?;
    Ok(Some(Written { replayed: true, ..written }))
}

fn record(connection: &Connection, task: &str, batch: i64, written: &Written) -> Result<(), Failure> {
    let outcome = serde_json::to_string(written).map_err(|e| Failure::internal(e.to_string()))?;
    let ledger = quoted(LEDGER);
    let record = || {
        if !has_ledger(connection)? {
            connection.execute_batch(&format!(
                "CREATE TABLE main.{ledger}(task TEXT NOT NULL, batch INTEGER NOT NULL, outcome TEXT NOT NULL,
                 PRIMARY KEY(task, batch)) STRICT, WITHOUT ROWID"
            ))?;
        }
        let mut insert = connection
            .prepare_cached(&format!("INSERT INTO main.{ledger}(task, batch, outcome) VALUES (?1, ?2, ?3)"))?;
        insert.execute((task, batch, outcome)).map(drop)
    };
    record().map_err(|e: rusqlite::Error| failed("cannot write the ledger", e))
}

fn has_ledger(connection: &Connection) -> rusqlite::Result<bool> {
    let mut query = connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND name = ?1)")?;
    query.query_row([LEDGER], |row| row.get(0))
}
