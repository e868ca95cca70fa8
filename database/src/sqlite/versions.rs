//! Versions of source records that were written, remembered for runs that may still write older ones.
//!
//! ```text
//!   campanile_version_target   folder, account, object ─▶ table, columns     until: the latest run that needs it
//!   campanile_version          target, id ─▶ version
//! ```
//!
//! They are read and written in the transaction of the batch, so that a batch that is replayed decides nothing again.

use arrow::array::RecordBatch;
use engine::failure::Failure;
use engine::outside::database::{Older, Operation, Write};
use engine::version::{Target, Versions};
use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use super::error::failed;

/// Our tables.
const TARGETS: &str = "campanile_version_target";
const VERSIONS: &str = "campanile_version";

/// The newest versions of what a batch writes over.
pub(super) struct Newest<'a> {
    versions: Option<Versions>,
    operation: Operation,
    /// Finds the newest version of a source record, if any is remembered of the table.
    find: Option<CachedStatement<'a>>,
    /// Remembers one, with the number of the target.
    keep: Option<(i64, CachedStatement<'a>)>,
}

impl<'a> Newest<'a> {
    pub(super) fn new(
        connection: &'a Connection,
        folder: &str,
        write: &Write,
        rows: &RecordBatch,
        versions: Option<Versions>,
    ) -> Result<Self, Failure> {
        let mut newest = Self { versions: None, operation: write.operation, find: None, keep: None };
        let (Older::LeaveOut { until }, Some(versions)) = (write.older, versions) else { return Ok(newest) };
        let lower = |name: &str| name.to_ascii_lowercase();
        let names = rows.schema_ref().fields().iter().map(|field| lower(field.name())).collect();
        let key: Vec<String> = write.key.iter().map(|name| lower(name)).collect();
        let written = Some(names).filter(|_| write.operation != Operation::Delete);
        let target = Target::new(&versions, &lower(&write.table), &key, written);
        let prepare = || {
            newest.find = find(connection, folder, &target)?;
            if let Some(until) = until {
                let target = remembered(connection, folder, &target, until)?;
                newest.keep = Some((
                    target,
                    connection.prepare_cached(&format!(
                        "INSERT INTO main.{VERSIONS}(target, id, version) VALUES (?1, ?2, ?3)
                     ON CONFLICT (target, id) DO UPDATE SET version = max(version, excluded.version)"
                    ))?,
                ));
            }
            newest.versions = Some(versions);
            Ok(newest)
        };
        prepare().map_err(cannot)
    }

    /// Whether a newer version of the row's source record was written before.
    pub(super) fn is_newer_than(&mut self, row: usize) -> Result<bool, Failure> {
        let (Some(find), Some(versions)) = (&mut self.find, &self.versions) else { return Ok(false) };
        let Some((id, version)) = versions.get(row) else { return Ok(false) };
        let known: Option<i64> = find.query_row([id], |row| row.get(0)).map_err(cannot)?;
        Ok(known.is_some_and(|known| known > version))
    }

    /// Remembers the version of a row, of which this was counted.
    pub(super) fn remember(&mut self, row: usize, counted: &str) -> Result<(), Failure> {
        let (Some((target, keep)), Some(versions)) = (&mut self.keep, &self.versions) else { return Ok(()) };
        // A row that an update did not find was not written; one that is to be deleted is to stay absent.
        let is_written = counted != "absent" || self.operation == Operation::Delete;
        match versions.get(row).filter(|_| is_written) {
            Some((id, version)) => keep.execute(params![*target, id, version]).map(drop).map_err(cannot),
            None => Ok(()),
        }
    }
}

/// What finds the newest version in all that a write to this target writes over.
fn find<'a>(
    connection: &'a Connection,
    folder: &str,
    target: &Target,
) -> rusqlite::Result<Option<CachedStatement<'a>>> {
    if !exist(connection)? {
        return Ok(None);
    }
    let mut known = connection.prepare_cached(&format!(
        "SELECT id, columns FROM main.{TARGETS} WHERE folder = ?1 AND account = ?2 AND object = ?3 AND target = ?4"
    ))?;
    let known = known.query_map(params![folder, target.account, target.object, target.to], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
    })?;
    let mut targets = Vec::new();
    for known in known {
        let (id, columns) = known?;
        let columns: Option<Vec<String>> = serde_json::from_str(&columns).unwrap_or_default();
        if target.overlaps(columns.as_deref()) {
            targets.push(id.to_string());
        }
    }
    if targets.is_empty() {
        return Ok(None);
    }
    let sql = format!("SELECT max(version) FROM main.{VERSIONS} WHERE id = ?1 AND target IN ({})", targets.join(", "));
    connection.prepare_cached(&sql).map(Some)
}

/// The number of a target, which is remembered from now on.
fn remembered(connection: &Connection, folder: &str, target: &Target, until: u64) -> rusqlite::Result<i64> {
    if !exist(connection)? {
        connection.execute_batch(&format!(
            "CREATE TABLE main.{TARGETS}(
                 id INTEGER PRIMARY KEY, folder TEXT NOT NULL, account TEXT NOT NULL, object TEXT NOT NULL,
                 target TEXT NOT NULL, columns TEXT NOT NULL, until INTEGER NOT NULL,
                 UNIQUE(folder, account, object, target, columns)
             ) STRICT;
             CREATE TABLE main.{VERSIONS}(target INTEGER NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL,
                 PRIMARY KEY(target, id)) STRICT, WITHOUT ROWID;"
        ))?;
    }
    let columns = serde_json::to_string(&target.columns).unwrap_or_default();
    let mut insert = connection.prepare_cached(&format!(
        "INSERT INTO main.{TARGETS}(folder, account, object, target, columns, until) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO UPDATE SET until = max(until, excluded.until) RETURNING id"
    ))?;
    let Target { account, object, to, .. } = target;
    insert.query_row(params![folder, account, object, to, columns, place(until)], |row| row.get(0))
}

/// Forgets what a folder's runs remembered until a run before this place.
pub(super) fn forget(connection: &mut Connection, folder: &str, before: u64) -> Result<(), Failure> {
    let mut forget = || {
        let over = "folder = ?1 AND until < ?2";
        let is_over = format!("SELECT 1 FROM main.{TARGETS} WHERE {over} LIMIT 1");
        let over_is = params![folder, place(before)];
        if !exist(connection)? || connection.query_row(&is_over, over_is, |_| Ok(())).optional()?.is_none() {
            return Ok(());
        }
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let versions =
            format!("DELETE FROM main.{VERSIONS} WHERE target IN (SELECT id FROM main.{TARGETS} WHERE {over})");
        transaction.execute(&versions, over_is)?;
        transaction.execute(&format!("DELETE FROM main.{TARGETS} WHERE {over}"), over_is)?;
        transaction.commit()
    };
    forget().map_err(|e| failed("cannot forget versions of source records", e))
}

fn place(place: u64) -> i64 {
    i64::try_from(place).unwrap_or(i64::MAX)
}

fn exist(connection: &Connection) -> rusqlite::Result<bool> {
    let mut query = connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND name = ?1)")?;
    query.query_row([VERSIONS], |row| row.get(0))
}

fn cannot(error: rusqlite::Error) -> Failure {
    failed("cannot read or write versions of source records", error)
}
