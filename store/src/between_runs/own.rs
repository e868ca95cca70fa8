//! What the memory asks of SQLite about own writes.

use engine::outside::memory::{OwnWrite, Reader};
use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, Error, Result, Row, params};

/// What makes the file of the form before of that with own writes. Numbers grow, so that the least is the oldest.
pub(super) const TABLE: &str = "
    CREATE TABLE own_write(
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        workflow TEXT NOT NULL, activity TEXT NOT NULL, organisation TEXT NOT NULL, object TEXT NOT NULL,
        crm_id TEXT NOT NULL, version INTEGER NOT NULL, user TEXT NOT NULL, at INTEGER NOT NULL,
        UNIQUE(workflow, activity, organisation, object, crm_id)
    ) STRICT;";

const OF_READER: &str = "workflow = ?1 AND activity = ?2 AND organisation = ?3 AND object = ?4";

/// How many of the oldest made way.
pub(super) fn keep(connection: &Connection, readers: &[Reader], writes: &[OwnWrite], most: usize) -> Result<u64> {
    let mut keep = connection.prepare_cached(
        "INSERT OR REPLACE INTO own_write(workflow, activity, organisation, object, crm_id, version, user, at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    for Reader { workflow, activity, organisation, object } in readers {
        for OwnWrite { id, version, user, at } in writes {
            let at = at.as_microsecond();
            keep.execute(params![workflow, activity, organisation, object, id, version, user, at])?;
        }
    }
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    // There are no more records than numbers, and numbers need not be counted.
    if number("SELECT coalesce(max(number) - min(number) + 1, 0) FROM own_write")? <= most {
        return Ok(0);
    }
    let too_many = number("SELECT count(*) FROM own_write")?.saturating_sub(most).max(0);
    let oldest = "DELETE FROM own_write WHERE number IN (SELECT number FROM own_write ORDER BY number LIMIT ?1)";
    connection.execute(oldest, [too_many]).map(|forgotten| forgotten as u64)
}

pub(super) fn all(connection: &Connection, reader: &Reader) -> Result<Vec<OwnWrite>> {
    let all = format!("SELECT crm_id, version, user, at FROM own_write WHERE {OF_READER} ORDER BY number");
    let mut all = connection.prepare_cached(&all)?;
    let Reader { workflow, activity, organisation, object } = reader;
    all.query_map([workflow, activity, organisation, object], own_write)?.collect()
}

fn own_write(row: &Row<'_>) -> Result<OwnWrite> {
    let at = Timestamp::from_microsecond(row.get(3)?)
        .map_err(|error| Error::FromSqlConversionFailure(3, Type::Integer, Box::new(error)))?;
    Ok(OwnWrite { id: row.get(0)?, version: row.get(1)?, user: row.get(2)?, at })
}

pub(super) fn forget(connection: &Connection, reader: &Reader, before: Timestamp) -> Result<()> {
    let Reader { workflow, activity, organisation, object } = reader;
    let forget = format!("DELETE FROM own_write WHERE {OF_READER} AND at < ?5");
    connection.execute(&forget, params![workflow, activity, organisation, object, before.as_microsecond()]).map(drop)
}

#[cfg(test)]
mod tests {
    use engine::outside::memory::Memory;

    use super::*;
    use crate::between_runs::SqliteMemory;

    fn reader(workflow: &str) -> Reader {
        let text = str::to_owned;
        Reader { workflow: text(workflow), activity: text("import"), organisation: text("O"), object: text("Lead") }
    }

    fn write(id: &str, version: i64) -> OwnWrite {
        let at = Timestamp::from_second(version).unwrap();
        OwnWrite { id: id.to_owned(), version, user: "u".to_owned(), at }
    }

    async fn known(memory: &SqliteMemory, workflow: &str) -> Vec<(String, i64)> {
        let all = memory.own(&reader(workflow)).await.unwrap();
        all.into_iter().map(|own| (own.id, own.version)).collect()
    }

    #[tokio::test]
    async fn the_last_version_that_was_left_is_kept_of_each_record_and_only_for_its_readers() {
        let folder = tempfile::tempdir().unwrap();
        let memory = SqliteMemory::new(folder.path());
        memory.keep_own(&[reader("w")], vec![write("a", 1), write("b", 2)], 9).await.unwrap();
        for _ in 0..2 {
            memory.keep_own(&[reader("w")], vec![write("a", 3)], 9).await.unwrap();
        }
        let memory = SqliteMemory::new(folder.path());
        assert_eq!(known(&memory, "w").await, [("b".to_owned(), 2), ("a".to_owned(), 3)]);
        assert_eq!(known(&memory, "another").await, []);
        memory.forget_own(&reader("another"), Timestamp::MAX).await.unwrap();
        memory.forget_own(&reader("w"), Timestamp::from_second(3).unwrap()).await.unwrap();
        assert_eq!(known(&memory, "w").await, [("a".to_owned(), 3)]);
    }

    #[tokio::test]
    async fn the_oldest_make_way_beyond_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let memory = SqliteMemory::new(folder.path());
        memory.keep_own(&[reader("w")], vec![write("a", 1), write("b", 2)], 2).await.unwrap();
        let both = [reader("w"), reader("v")];
        assert_eq!(memory.keep_own(&both[..1], vec![write("a", 3)], 2).await.unwrap(), 0);
        assert_eq!(memory.keep_own(&both, vec![write("c", 4)], 2).await.unwrap(), 2);
        assert_eq!(known(&memory, "w").await, [("c".to_owned(), 4)]);
        assert_eq!(known(&memory, "v").await, [("c".to_owned(), 4)]);
    }
}
