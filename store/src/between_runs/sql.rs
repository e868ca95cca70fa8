//! What the memory asks of SQLite.

use std::collections::BTreeMap;

use engine::outside::memory::{Answer, Doubt, Export, MemoryId, NewMemory, Remembered, State};
use engine::outside::store::RunId;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Result, Row, params};

/// What makes the file of each form of that of the one before; the first of an empty one.
pub(super) const STEPS: [&str; 3] = [
    "
    CREATE TABLE record(
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        export TEXT NOT NULL, place INTEGER NOT NULL, run TEXT NOT NULL, account TEXT NOT NULL, object TEXT NOT NULL,
        source TEXT NOT NULL, state TEXT NOT NULL, crm_id TEXT, doubt TEXT, taken_by TEXT, met_by TEXT,
        UNIQUE(export, place)
    ) STRICT;
    CREATE INDEX record_object ON record(account, object) WHERE state <> 'over';
    CREATE INDEX record_taken ON record(taken_by) WHERE taken_by IS NOT NULL;
    CREATE TABLE explained(export TEXT NOT NULL, crm_id TEXT NOT NULL, PRIMARY KEY(export, crm_id)) STRICT, WITHOUT ROWID;
    CREATE TABLE explanation(export TEXT PRIMARY KEY, complete INTEGER NOT NULL) STRICT, WITHOUT ROWID;",
    super::versions::STEP,
    super::own::TABLE,
];

/// Their numbers; none if there would be more than `most`.
pub(super) fn keep(
    connection: &Connection,
    export: &Export,
    records: &[NewMemory],
    most: usize,
) -> Result<Option<Vec<MemoryId>>> {
    let mut known =
        connection.prepare_cached("SELECT id, state, crm_id, doubt FROM record WHERE export = ?1 AND place = ?2")?;
    let mut new = connection.prepare_cached(
        "INSERT INTO record(export, place, run, account, object, source, state, crm_id, doubt)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    let mut better =
        connection.prepare_cached("UPDATE record SET state = ?2, crm_id = ?3, doubt = ?4 WHERE id = ?1")?;
    let all: i64 = connection.query_row("SELECT count(*) FROM record WHERE state <> 'over'", [], |row| row.get(0))?;
    let mut room = i64::try_from(most).unwrap_or(i64::MAX).saturating_sub(all);
    let mut ids = Vec::with_capacity(records.len());
    for record in records {
        let place = record.place.cast_signed();
        let before = known.query_row(params![export.name, place], |row| Ok((row.get::<_, i64>(0)?, state(row, 1)?)));
        if let Some((id, before)) = before.optional()? {
            ids.push(id);
            if let Some(state) = later(before, &record.state) {
                let (word, crm_id, doubt) = columns(&state)?;
                better.execute(params![id, word, crm_id, doubt])?;
            }
            continue;
        }
        room -= 1;
        if room < 0 {
            return Ok(None);
        }
        let (word, crm_id, doubt) = columns(&record.state)?;
        let Export { name, run, account, object } = export;
        new.execute(params![name, place, run.as_str(), account, object, record.source, word, crm_id, doubt])?;
        ids.push(connection.last_insert_rowid());
    }
    forget_over(connection, most)?;
    Ok(Some(ids))
}

/// What is known after `new` is heard, if that is more than before.
fn later(before: State, new: &State) -> Option<State> {
    match (before, new) {
        (State::InDoubt(before), State::InDoubt(new)) => {
            let since = before.since.min(new.since);
            Some(State::InDoubt(Doubt { since, until: new.until.and(before.until.max(new.until)), ..new.clone() }))
        }
        (State::InDoubt(_) | State::Created { .. }, State::Created { .. }) => Some(new.clone()),
        _ => None,
    }
}

/// What is over is only kept so that it is not asked again; the oldest of it makes room.
fn forget_over(connection: &Connection, most: usize) -> Result<()> {
    let all: i64 = connection.query_row("SELECT count(*) FROM record", [], |row| row.get(0))?;
    let too_many = all.saturating_sub(i64::try_from(most).unwrap_or(i64::MAX));
    if too_many > 0 {
        let oldest = "DELETE FROM record WHERE id IN (SELECT id FROM record WHERE state = 'over' ORDER BY id LIMIT ?1)";
        connection.execute(oldest, [too_many])?;
    }
    Ok(())
}

pub(super) fn explain(connection: &Connection, export: &str, ids: Option<&[String]>) -> Result<()> {
    let complete = "INSERT INTO explanation VALUES (?1, ?2) ON CONFLICT DO UPDATE SET complete = excluded.complete";
    connection.execute(complete, params![export, ids.is_some()])?;
    let mut insert = connection.prepare_cached("INSERT OR IGNORE INTO explained VALUES (?1, ?2)")?;
    for id in ids.unwrap_or_default() {
        insert.execute([export, id])?;
    }
    if ids.is_none() {
        connection.execute("DELETE FROM explained WHERE export = ?1", [export])?;
    }
    Ok(())
}

pub(super) fn explained(connection: &Connection, export: &str) -> Result<Option<Vec<String>>> {
    let complete = "SELECT complete FROM explanation WHERE export = ?1";
    let complete: Option<bool> = connection.query_row(complete, [export], |row| row.get(0)).optional()?;
    if complete != Some(true) {
        return Ok(None);
    }
    let mut ids = connection.prepare_cached("SELECT crm_id FROM explained WHERE export = ?1 ORDER BY crm_id")?;
    ids.query_map([export], |row| row.get(0))?.collect::<Result<_>>().map(Some)
}

/// The highest number that a record ever had.
pub(super) fn last(connection: &Connection) -> Result<MemoryId> {
    let last = connection.query_row("SELECT seq FROM sqlite_sequence WHERE name = 'record'", [], |row| row.get(0));
    Ok(last.optional()?.unwrap_or(0))
}

const COLUMNS: &str = "id, export, run, account, object, source, state, crm_id, doubt";

pub(super) fn of(connection: &Connection, account: &str, object: &str) -> Result<Vec<Remembered>> {
    let mut of = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM record WHERE account = ?1 AND object = ?2 AND state <> 'over' ORDER BY id"
    ))?;
    of.query_map([account, object], remembered)?.collect()
}

pub(super) fn get(connection: &Connection, id: MemoryId) -> Result<Option<Remembered>> {
    let get = format!("SELECT {COLUMNS} FROM record WHERE id = ?1");
    connection.query_row(&get, [id], remembered).optional()
}

pub(super) fn take(connection: &Connection, ids: &[MemoryId], export: &str, run: &RunId) -> Result<()> {
    let mut take = connection.prepare_cached("UPDATE record SET taken_by = ?2, met_by = ?3 WHERE id = ?1")?;
    ids.iter().try_for_each(|id| take.execute(params![id, export, run.as_str()]).map(drop))
}

pub(super) fn settle(connection: &Connection, answers: &[(MemoryId, Answer)]) -> Result<()> {
    let settle = "UPDATE record SET state = ?2, crm_id = ?3, doubt = NULL WHERE id = ?1 AND state = 'doubt'";
    let mut settle = connection.prepare_cached(settle)?;
    for (id, answer) in answers {
        match answer {
            Answer::Created { id: crm_id } => settle.execute(params![id, "created", crm_id])?,
            Answer::NotCreated => settle.execute(params![id, "over", None::<String>])?,
        };
    }
    forget_explained(connection)
}

pub(super) fn handed_on(connection: &Connection, export: &str) -> Result<()> {
    // One without an id comes again, since nothing that came of it says that it is there.
    let over = "SET state = 'over', taken_by = NULL WHERE state = 'created' AND crm_id IS NOT NULL";
    connection.execute(&format!("UPDATE record {over} AND export = ?1"), [export])?;
    connection.execute(&format!("UPDATE record {over} AND taken_by = ?1"), [export])?;
    connection.execute("UPDATE record SET taken_by = NULL WHERE taken_by = ?1", [export])?;
    forget_explained(connection)
}

/// What explains records is needed only as long as a question of its export is open.
fn forget_explained(connection: &Connection) -> Result<()> {
    let asking = "(SELECT export FROM record WHERE state = 'doubt')";
    connection.execute(&format!("DELETE FROM explained WHERE export NOT IN {asking}"), [])?;
    connection.execute(&format!("DELETE FROM explanation WHERE export NOT IN {asking}"), []).map(drop)
}

pub(super) fn open(connection: &Connection) -> Result<BTreeMap<RunId, u64>> {
    let mut open = connection.prepare_cached(
        "SELECT run, count(*) FROM (SELECT id, run FROM record WHERE state = 'doubt'
           UNION SELECT id, met_by FROM record WHERE state = 'doubt' AND met_by IS NOT NULL)
         GROUP BY run",
    )?;
    let count = |row: &Row<'_>| Ok((run_id(row, 0)?, row.get::<_, i64>(1)?.cast_unsigned()));
    open.query_map([], count)?.collect()
}

fn remembered(row: &Row<'_>) -> Result<Remembered> {
    let export = Export { name: row.get(1)?, run: run_id(row, 2)?, account: row.get(3)?, object: row.get(4)? };
    Ok(Remembered { id: row.get(0)?, export, source: row.get(5)?, state: state(row, 6)? })
}

/// State, id and doubt as three columns.
fn columns(state: &State) -> Result<(&'static str, Option<&str>, Option<String>)> {
    Ok(match state {
        State::InDoubt(doubt) => {
            let doubt = serde_json::to_string(doubt).map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))?;
            ("doubt", None, Some(doubt))
        }
        State::Created { id } => ("created", id.as_deref(), None),
        State::Over => ("over", None, None),
    })
}

fn state(row: &Row<'_>, from: usize) -> Result<State> {
    Ok(match row.get::<_, String>(from)?.as_str() {
        "doubt" => {
            let text = row.get::<_, Option<String>>(from + 2)?.unwrap_or_default();
            State::InDoubt(serde_json::from_str(&text).map_err(|error| wrong(from + 2, error))?)
        }
        "created" => State::Created { id: row.get(from + 1)? },
        _ => State::Over,
    })
}

fn run_id(row: &Row<'_>, column: usize) -> Result<RunId> {
    let text: String = row.get(column)?;
    RunId::parse(&text).ok_or_else(|| wrong(column, std::io::Error::other("not the name of a run")))
}

fn wrong(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}
