//! What the database keeps of the data folders that write to it, see [`engine::identity`].

use std::collections::BTreeSet;

use engine::failure::Failure;
use engine::outside::database::{Attach, DatabaseMark};
use rusqlite::{Connection, OptionalExtension};

use super::error::failed;

/// Our table of data folders.
pub(super) const FOLDERS: &str = "campanile_folder";
/// Our table of automatic indexes whose imports have brought records.
const INDEXES: &str = "campanile_index";

/// What is kept of a folder.
pub(super) fn mark(connection: &Connection, folder: &str) -> Result<Option<DatabaseMark>, Failure> {
    let read = || {
        if !exists(connection, FOLDERS)? {
            return Ok(None);
        }
        let sql = format!("SELECT database, start, writes FROM main.{FOLDERS} WHERE folder = ?1");
        let mark = connection.prepare_cached(&sql)?.query_row([folder], |row| {
            let writes: i64 = row.get(2)?;
            Ok(DatabaseMark { database: row.get(0)?, start: row.get(1)?, writes: writes.unsigned_abs() })
        });
        mark.optional()
    };
    read().map_err(|error| failed("cannot read which data folders it belongs to", error))
}

/// Keeps the token of a folder's start.
pub(super) fn attach(connection: &Connection, attach: &Attach) -> Result<(), Failure> {
    let write = || {
        connection.execute_batch(&format!(
            "CREATE TABLE IF NOT EXISTS main.{FOLDERS}(folder TEXT PRIMARY KEY, database TEXT NOT NULL,
                 start TEXT NOT NULL, writes INTEGER NOT NULL) STRICT, WITHOUT ROWID"
        ))?;
        let sql = format!(
            "INSERT INTO main.{FOLDERS}(folder, database, start, writes) VALUES (?1, ?2, ?3, 0)
             ON CONFLICT (folder) DO UPDATE SET database = excluded.database, start = excluded.start"
        );
        connection.execute(&sql, (&attach.folder, &attach.database, &attach.start)).map(drop)
    };
    write().map_err(|error| failed("cannot keep which data folder it belongs to", error))
}

/// Forgets a folder.
pub(super) fn detach(connection: &Connection, folder: &str) -> Result<(), Failure> {
    let write = || match exists(connection, FOLDERS)? {
        true => connection.execute(&format!("DELETE FROM main.{FOLDERS} WHERE folder = ?1"), [folder]).map(drop),
        false => Ok(()),
    };
    write().map_err(|error| failed("cannot forget a data folder", error))
}

/// Counts a batch of a folder, in the batch's own transaction. A folder that is not attached is not counted.
pub(super) fn count(connection: &Connection, folder: &str) -> rusqlite::Result<()> {
    if exists(connection, FOLDERS)? {
        let sql = format!("UPDATE main.{FOLDERS} SET writes = writes + 1 WHERE folder = ?1");
        connection.prepare_cached(&sql)?.execute([folder])?;
    }
    Ok(())
}

/// The options of automatic indexes.
pub(super) fn indexes(connection: &Connection) -> Result<BTreeSet<String>, Failure> {
    let read = || match exists(connection, INDEXES)? {
        true => {
            let mut options = connection.prepare_cached(&format!("SELECT option FROM main.{INDEXES}"))?;
            options.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()
        }
        false => Ok(BTreeSet::new()),
    };
    read().map_err(|error| failed("cannot read of which automatic indexes it has records", error))
}

/// Keeps one.
pub(super) fn know_index(connection: &Connection, option: &str) -> Result<(), Failure> {
    let write = || {
        connection.execute_batch(&format!(
            "CREATE TABLE IF NOT EXISTS main.{INDEXES}(option TEXT PRIMARY KEY) STRICT, WITHOUT ROWID"
        ))?;
        connection.execute(&format!("INSERT OR IGNORE INTO main.{INDEXES}(option) VALUES (?1)"), [option]).map(drop)
    };
    write().map_err(|error| failed("cannot keep of which automatic index it has records", error))
}

fn exists(connection: &Connection, table: &str) -> rusqlite::Result<bool> {
    let mut query = connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND name = ?1)")?;
    query.query_row([table], |row| row.get(0))
}
