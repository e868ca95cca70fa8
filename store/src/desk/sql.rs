//! What the desk asks of SQLite. Times are microseconds since 1970, in UTC.

use std::collections::{BTreeMap, HashSet};

use engine::outside::desk::{
    DAYS_MAX, Filing, Group, KeptReject, NewReject, RejectId, RejectState, Settlement, Wanted,
};
use engine::outside::memory::MemoryId;
use engine::outside::store::RunId;
use engine::reject::Reject;
use jiff::Timestamp;
use rusqlite::types::{ToSql, Type};
use rusqlite::{Connection, OptionalExtension, Result, Row, params, params_from_iter};
use serde_json::{Map, Value};

/// What makes the file of each form of that of the one before; the first of an empty one.
pub(super) const STEPS: [&str; 4] = [
    "
    CREATE TABLE IF NOT EXISTS shape(name TEXT PRIMARY KEY, columns BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS reject(
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        run TEXT NOT NULL, task INTEGER NOT NULL, place INTEGER NOT NULL,
        workflow TEXT NOT NULL, activity TEXT NOT NULL,
        shape TEXT NOT NULL, key TEXT, record TEXT NOT NULL,
        code TEXT NOT NULL, symbol TEXT NOT NULL, message TEXT NOT NULL, field TEXT, help TEXT,
        corrected INTEGER NOT NULL DEFAULT 0, sendable INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 1,
        first_at INTEGER NOT NULL, at INTEGER NOT NULL,
        state TEXT NOT NULL DEFAULT 'open', by_run TEXT, closed_at INTEGER, reason TEXT,
        UNIQUE(run, task, place)
    ) STRICT;
    CREATE INDEX IF NOT EXISTS reject_key ON reject(workflow, activity, key);
    CREATE INDEX IF NOT EXISTS reject_closed ON reject(closed_at);",
    "ALTER TABLE reject ADD COLUMN sent TEXT;",
    "CREATE INDEX IF NOT EXISTS reject_known ON reject(workflow, activity, key, run, task)
       WHERE state = 'open' AND corrected = 0;",
    "
    ALTER TABLE reject ADD COLUMN question INTEGER;
    CREATE UNIQUE INDEX reject_question ON reject(question) WHERE question IS NOT NULL;",
];

/// Not closed.
const OPEN: &str = "state IN ('open', 'sending')";

/// Below every other place: a reject that was known before by its key stands at this, less its place in its task.
const KNOWN_BY_KEY: i64 = -(1 << 50);
/// Below those: an open question has this place, less its number.
const QUESTION: i64 = -(1 << 52);

/// The highest number that a reject ever had.
pub(super) fn last(connection: &Connection) -> Result<RejectId> {
    let last = connection.query_row("SELECT seq FROM sqlite_sequence WHERE name = 'reject'", [], |row| row.get(0));
    Ok(last.optional()?.unwrap_or(0))
}

/// Asks for the reject of a key that a task refuses: the one that an earlier attempt of it put at this place, else one that
/// another task refused. Each is one step into an index, however many records of one key a task refuses.
pub(super) fn known_by_key() -> String {
    let of_key =
        "SELECT id FROM reject WHERE workflow = ?1 AND activity = ?2 AND key = ?3 AND state = 'open' AND corrected = 0
           AND question IS NULL";
    let others = ["run < ?4", "run > ?4", "run = ?4 AND task < ?5", "run = ?4 AND task > ?5"]
        .map(|other| format!("SELECT id FROM ({of_key} AND {other} ORDER BY run DESC, task DESC, id DESC LIMIT 1)"));
    format!(
        "SELECT coalesce(({of_key} AND run = ?4 AND task = ?5 AND place = ?6), (SELECT max(id) FROM ({})))",
        others.join(" UNION ALL ")
    )
}

/// Keeps rejects. One whose record was refused before is the same reject, with one attempt more: what was sent again, and
/// what an earlier task of the activity refused of the same key, unless somebody corrected that.
pub(super) fn keep(connection: &Connection, task: &Filing, rejects: &[NewReject]) -> Result<()> {
    let shape = blake3::hash(&task.shape).to_hex().to_string();
    connection.execute("INSERT OR IGNORE INTO shape(name, columns) VALUES (?1, ?2)", params![shape, task.shape])?;
    let mut again = connection.prepare_cached(
        "UPDATE reject SET attempts = attempts + (run <> ?2 OR task <> ?3), run = ?2, task = ?3, place = ?4, at = ?5,
           code = ?6, symbol = ?7, message = ?8, field = ?9, help = ?10, sent = ?11, key = ?12, state = 'open',
           by_run = NULL, closed_at = NULL
         WHERE id = ?1",
    )?;
    let mut known_by_key = connection.prepare_cached(&known_by_key())?;
    let mut renewed = connection.prepare_cached("UPDATE reject SET record = ?2, shape = ?3 WHERE id = ?1")?;
    let mut new = connection.prepare_cached(
        "INSERT INTO reject(run, task, place, at, first_at, code, symbol, message, field, help,
           workflow, activity, shape, key, record, sendable, sent)
         VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
         ON CONFLICT(run, task, place) DO UPDATE SET at = excluded.at, code = excluded.code, symbol = excluded.symbol,
           message = excluded.message, field = excluded.field, help = excluded.help, shape = excluded.shape,
           key = excluded.key, record = excluded.record, sent = excluded.sent, corrected = 0",
    )?;
    let (run, at) = (task.run.as_str(), task.at.as_microsecond());
    for NewReject { place, again: known, key, reject, record, sent } in rejects {
        let Reject { code, symbol, message, field, help } = reject;
        let place = place.cast_signed();
        let sent = sent.clone().map(|sent| Value::Object(sent).to_string());
        // A place that no new one has, whatever an earlier attempt of the task told.
        if let Some(id) = known
            && again.execute(params![id, run, task.task, -id, at, code, symbol, message, field, help, sent, key])? > 0
        {
            continue;
        }
        let record = Value::Object(record.clone()).to_string();
        if key.is_some() {
            let place = KNOWN_BY_KEY - place;
            let asked = params![task.run.workflow(), task.activity, key, run, task.task, place];
            if let Some(id) = known_by_key.query_row(asked, |row| row.get::<_, Option<i64>>(0))? {
                again.execute(params![id, run, task.task, place, at, code, symbol, message, field, help, sent, key])?;
                renewed.execute(params![id, record, shape])?;
                continue;
            }
        }
        new.execute(params![
            run,
            task.task,
            place,
            at,
            code,
            symbol,
            message,
            field,
            help,
            task.run.workflow(),
            task.activity,
            shape,
            key,
            record,
            task.sendable,
            sent
        ])?;
    }
    Ok(())
}

/// Keeps open questions. One that an earlier task kept is the same, met once more; one that is settled stays so.
pub(super) fn ask(connection: &Connection, task: &Filing, questions: &[(MemoryId, NewReject)]) -> Result<()> {
    let shape = blake3::hash(&task.shape).to_hex().to_string();
    connection.execute("INSERT OR IGNORE INTO shape(name, columns) VALUES (?1, ?2)", params![shape, task.shape])?;
    let mut ask = connection.prepare_cached(
        "INSERT INTO reject(run, task, place, at, first_at, code, symbol, message, field, help,
           workflow, activity, shape, key, record, sendable, sent, question)
         VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, FALSE, ?15, ?16)
         ON CONFLICT(question) WHERE question IS NOT NULL DO UPDATE SET
           attempts = attempts + (run <> excluded.run OR task <> excluded.task),
           run = excluded.run, task = excluded.task, at = excluded.at, workflow = excluded.workflow,
           activity = excluded.activity, message = excluded.message, help = excluded.help
         WHERE state = 'open'",
    )?;
    for (question, NewReject { key, reject, record, sent, .. }) in questions {
        let Reject { code, symbol, message, field, help } = reject;
        let (run, workflow, at) = (task.run.as_str(), task.run.workflow(), task.at.as_microsecond());
        let record = Value::Object(record.clone()).to_string();
        let sent = sent.clone().map(|sent| Value::Object(sent).to_string());
        let place = QUESTION - question;
        ask.execute(params![
            run,
            task.task,
            place,
            at,
            code,
            symbol,
            message,
            field,
            help,
            workflow,
            task.activity,
            shape,
            key,
            record,
            sent,
            question
        ])?;
    }
    Ok(())
}

/// Closes questions that were answered.
pub(super) fn answer(connection: &Connection, answers: &[(MemoryId, String)], at: Timestamp) -> Result<()> {
    let mut answer = connection.prepare_cached(&format!(
        "UPDATE reject SET state = 'settled', reason = ?2, closed_at = ?3 WHERE question = ?1 AND {OPEN}"
    ))?;
    for (question, outcome) in answers {
        answer.execute(params![question, outcome, at.as_microsecond()])?;
    }
    Ok(())
}

pub(super) fn settle(connection: &Connection, task: &Filing, end: &Settlement) -> Result<()> {
    let (run, at) = (task.run.as_str(), task.at.as_microsecond());
    connection.execute(
        "DELETE FROM reject WHERE run = ?1 AND task = ?2 AND place >= ?3 AND attempts = 1",
        params![run, task.task, end.rejects.cast_signed()],
    )?;
    let mut failed = connection.prepare_cached(
        "DELETE FROM reject WHERE run = ?1 AND task = ?2 AND place >= 0 AND attempts = 1 AND corrected = 0 AND state = 'open'",
    )?;
    for task in &end.failed {
        failed.execute(params![run, task])?;
    }
    let closes = "SET state = 'passed', by_run = ?2, closed_at = ?3";
    let mut passed = connection.prepare_cached(&format!("UPDATE reject {closes} WHERE id = ?1 AND {OPEN}"))?;
    for id in &end.passed {
        passed.execute(params![id, run, at])?;
    }
    let mut by_key = connection.prepare_cached(&format!(
        "UPDATE reject {closes} WHERE key = ?1 AND workflow = ?4 AND activity = ?5 AND NOT (run = ?2 AND task = ?6) AND question IS NULL AND {OPEN}"
    ))?;
    for key in &end.passed_keys {
        by_key.execute(params![key, run, at, task.run.workflow(), task.activity, task.task])?;
    }
    // An open question stays until it is settled.
    let removable = format!("NOT (question IS NOT NULL AND {OPEN})");
    let count = format!("SELECT count(*) FROM reject WHERE {removable}");
    let count: i64 = connection.query_row(&count, [], |row| row.get(0))?;
    let too_many = count.saturating_sub(i64::try_from(end.kept_max).unwrap_or(i64::MAX));
    if too_many > 0 {
        let oldest = format!(
            "DELETE FROM reject WHERE id IN
               (SELECT id FROM reject WHERE {removable} ORDER BY closed_at IS NULL, closed_at, id LIMIT ?1)"
        );
        connection.execute(&oldest, [too_many])?;
        connection.execute("DELETE FROM shape WHERE name NOT IN (SELECT shape FROM reject)", [])?;
    }
    Ok(())
}

pub(super) fn open_keys(connection: &Connection, workflow: &str, activity: &str) -> Result<HashSet<String>> {
    let mut keys = connection.prepare_cached(&format!(
        "SELECT DISTINCT key FROM reject WHERE workflow = ?1 AND activity = ?2 AND key IS NOT NULL AND question IS NULL AND {OPEN}"
    ))?;
    keys.query_map([workflow, activity], |row| row.get(0))?.collect()
}

/// What is wanted as a condition, and its parameters.
fn condition(wanted: &Wanted) -> (String, Vec<Box<dyn ToSql>>) {
    let mut terms = Vec::new();
    let mut values: Vec<Box<dyn ToSql>> = Vec::new();
    for (column, value) in [("workflow", &wanted.workflow), ("activity", &wanted.activity), ("code", &wanted.code)] {
        if let Some(value) = value {
            values.push(Box::new(value.clone()));
            terms.push(format!("{column} = ?{}", values.len()));
        }
    }
    if !wanted.ids.is_empty() {
        // As one parameter, since SQLite takes only so many.
        values.push(Box::new(Value::from(wanted.ids.clone()).to_string()));
        terms.push(format!("id IN (SELECT value FROM json_each(?{}))", values.len()));
    }
    if !wanted.closed {
        terms.push(OPEN.to_owned());
    }
    let terms = if terms.is_empty() { "TRUE".to_owned() } else { terms.join(" AND ") };
    (terms, values)
}

pub(super) fn list(connection: &Connection, wanted: &Wanted) -> Result<Vec<KeptReject>> {
    let (condition, mut values) = condition(wanted);
    values.push(Box::new(wanted.limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX))));
    let mut list = connection.prepare_cached(&format!(
        "SELECT id, run, task, workflow, activity, key, code, symbol, message, field, help, record, corrected, sendable,
           attempts, first_at, at, state, by_run, closed_at, reason, shape, sent, question
         FROM reject WHERE {condition} ORDER BY at DESC, id DESC LIMIT ?{}",
        values.len()
    ))?;
    list.query_map(params_from_iter(values), reject)?.collect()
}

fn reject(row: &Row<'_>) -> Result<KeptReject> {
    let (run, by_run): (String, Option<String>) = (row.get(1)?, row.get(18)?);
    let closed_at = || time(row, 19);
    let by = || run_id(18, &by_run.clone().unwrap_or_default());
    let state = match row.get::<_, String>(17)?.as_str() {
        "sending" => RejectState::Sending { run: by()? },
        "passed" => RejectState::Passed { run: by()?, at: closed_at()? },
        "ignored" => {
            RejectState::Ignored { reason: row.get::<_, Option<String>>(20)?.unwrap_or_default(), at: closed_at()? }
        }
        "settled" => {
            RejectState::Settled { outcome: row.get::<_, Option<String>>(20)?.unwrap_or_default(), at: closed_at()? }
        }
        _ => RejectState::Open,
    };
    Ok(KeptReject {
        id: row.get(0)?,
        run: run_id(1, &run)?,
        task: row.get(2)?,
        workflow: row.get(3)?,
        activity: row.get(4)?,
        key: row.get(5)?,
        reject: Reject {
            code: row.get(6)?,
            symbol: row.get(7)?,
            message: row.get(8)?,
            field: row.get(9)?,
            help: row.get(10)?,
        },
        record: object(11, &row.get::<_, String>(11)?)?,
        sent: row.get::<_, Option<String>>(22)?.map(|sent| object(22, &sent)).transpose()?,
        corrected: row.get(12)?,
        sendable: row.get(13)?,
        attempts: row.get(14)?,
        first_at: time(row, 15)?,
        at: time(row, 16)?,
        state,
        shape: row.get(21)?,
        question: row.get(23)?,
    })
}

fn object(column: usize, text: &str) -> Result<Map<String, Value>> {
    serde_json::from_str(text).map_err(|error| wrong(column, Type::Text, error))
}

fn run_id(column: usize, text: &str) -> Result<RunId> {
    RunId::parse(text).ok_or_else(|| wrong(column, Type::Text, std::io::Error::other("not the name of a run")))
}

fn time(row: &Row<'_>, column: usize) -> Result<Timestamp> {
    Timestamp::from_microsecond(row.get(column)?).map_err(|error| wrong(column, Type::Integer, error))
}

fn wrong(column: usize, kind: Type, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, kind, Box::new(error))
}

pub(super) fn groups(connection: &Connection, wanted: &Wanted) -> Result<Vec<Group>> {
    let (condition, values) = condition(wanted);
    // A bare column beside max() is that of the row which has it.
    let mut groups = connection.prepare_cached(&format!(
        "SELECT workflow, activity, code, symbol, message, count(*), min(first_at), max(at)
         FROM reject WHERE {condition} GROUP BY workflow, activity, code ORDER BY 6 DESC, 1, 2, 3"
    ))?;
    let group = |row: &Row<'_>| {
        Ok(Group {
            workflow: row.get(0)?,
            activity: row.get(1)?,
            code: row.get(2)?,
            symbol: row.get(3)?,
            message: row.get(4)?,
            rejects: row.get::<_, i64>(5)?.cast_unsigned(),
            first_at: time(row, 6)?,
            last_at: time(row, 7)?,
            days: BTreeMap::new(),
        })
    };
    let mut groups: Vec<Group> =
        groups.query_map(params_from_iter(values.iter()), group)?.collect::<Result<Vec<Group>>>()?;
    let place = values.len();
    let mut days = connection.prepare_cached(&format!(
        "SELECT date(at / 1000000, 'unixepoch'), count(*) FROM reject
         WHERE {condition} AND workflow = ?{} AND activity = ?{} AND code = ?{} GROUP BY 1 ORDER BY 1 DESC LIMIT {DAYS_MAX}",
        place + 1,
        place + 2,
        place + 3
    ))?;
    for group in &mut groups {
        let own: [&dyn ToSql; 3] = [&group.workflow, &group.activity, &group.code];
        let all = values.iter().map(|value| value.as_ref() as &dyn ToSql).chain(own);
        let day = |row: &Row<'_>| Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned()));
        group.days = days.query_map(params_from_iter(all), day)?.collect::<Result<_>>()?;
    }
    Ok(groups)
}

pub(super) fn shape(connection: &Connection, name: &str) -> Result<Option<Vec<u8>>> {
    let mut shape = connection.prepare_cached("SELECT columns FROM shape WHERE name = ?1")?;
    shape.query_map([name], |row| row.get(0))?.next().transpose()
}

pub(super) fn correct(connection: &Connection, id: RejectId, record: &Map<String, Value>) -> Result<()> {
    let record = Value::Object(record.clone()).to_string();
    connection.execute("UPDATE reject SET record = ?2, corrected = 1 WHERE id = ?1", params![id, record]).map(drop)
}

pub(super) fn ignore(connection: &Connection, ids: &[RejectId], reason: &str, at: Timestamp) -> Result<u64> {
    let mut ignore = connection.prepare_cached(&format!(
        "UPDATE reject SET state = 'ignored', closed_at = ?2, reason = ?3 WHERE id = ?1 AND {OPEN}"
    ))?;
    let mut closed = 0;
    for id in ids {
        closed += ignore.execute(params![id, at.as_microsecond(), reason])? as u64;
    }
    Ok(closed)
}

pub(super) fn sending(connection: &Connection, ids: &[RejectId], run: &RunId) -> Result<()> {
    let mut sending = connection
        .prepare_cached(&format!("UPDATE reject SET state = 'sending', by_run = ?2 WHERE id = ?1 AND {OPEN}"))?;
    for id in ids {
        sending.execute(params![id, run.as_str()])?;
    }
    Ok(())
}
