//! Versions of source records that exports have written, remembered for runs that may still write older ones.

use engine::version::{Target, Versions};
use rusqlite::{Connection, OptionalExtension, Result, params};

/// Makes the tables of the second form of the file.
pub(super) const STEP: &str = "
    CREATE TABLE version_target(
        id INTEGER PRIMARY KEY, account TEXT NOT NULL, object TEXT NOT NULL, target TEXT NOT NULL, columns TEXT NOT NULL,
        until INTEGER NOT NULL, UNIQUE(account, object, target, columns)
    ) STRICT;
    CREATE TABLE version(
        target INTEGER NOT NULL, id TEXT NOT NULL, version INTEGER, sending INTEGER, PRIMARY KEY(target, id)
    ) STRICT, WITHOUT ROWID;";

pub(super) fn older(connection: &Connection, target: &Target, versions: &Versions) -> Result<Vec<usize>> {
    let mut known = connection
        .prepare_cached("SELECT id, columns FROM version_target WHERE account = ?1 AND object = ?2 AND target = ?3")?;
    let known = known.query_map(params![target.account, target.object, target.to], |row| {
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
        return Ok(Vec::new());
    }
    let mut find = connection.prepare_cached(&format!(
        "SELECT max(max(coalesce(version, sending), coalesce(sending, version))) FROM version
         WHERE id = ?1 AND target IN ({})",
        targets.join(", ")
    ))?;
    let mut older = Vec::new();
    for row in 0..versions.records() {
        let Some((id, version)) = versions.get(row) else { continue };
        let known: Option<i64> = find.query_row([id], |row| row.get(0))?;
        if known.is_some_and(|known| known > version) {
            older.push(row);
        }
    }
    Ok(older)
}

pub(super) fn sending(connection: &Connection, target: &Target, versions: &[(String, i64)], until: u64) -> Result<()> {
    let until = i64::try_from(until).unwrap_or(i64::MAX);
    let Target { account, object, to, .. } = target;
    let number: i64 = connection.query_row(
        "INSERT INTO version_target(account, object, target, columns, until) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET until = max(until, excluded.until) RETURNING id",
        params![account, object, to, columns(target), until],
        |row| row.get(0),
    )?;
    let mut keep = connection.prepare_cached(
        "INSERT INTO version(target, id, sending) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET sending = max(coalesce(sending, excluded.sending), excluded.sending)",
    )?;
    versions.iter().try_for_each(|(id, version)| keep.execute(params![number, id, version]).map(drop))
}

pub(super) fn sent(connection: &Connection, target: &Target, versions: &[(String, i64, bool)]) -> Result<()> {
    let Target { account, object, to, .. } = target;
    let number = "SELECT id FROM version_target WHERE account = ?1 AND object = ?2 AND target = ?3 AND columns = ?4";
    let number = connection.query_row(number, params![account, object, to, columns(target)], |row| row.get(0));
    let Some(number) = number.optional()?.map(|number: i64| number) else { return Ok(()) };
    let mut written = connection.prepare_cached(
        "UPDATE version SET version = max(coalesce(version, ?3), ?3), sending = nullif(sending, ?3)
         WHERE target = ?1 AND id = ?2",
    )?;
    let mut refused =
        connection.prepare_cached("UPDATE version SET sending = nullif(sending, ?3) WHERE target = ?1 AND id = ?2")?;
    versions.iter().try_for_each(|(id, version, is_written)| {
        let settle = if *is_written { &mut written } else { &mut refused };
        settle.execute(params![number, id, version]).map(drop)
    })
}

pub(super) fn forget(connection: &Connection, before: u64) -> Result<()> {
    let before = i64::try_from(before).unwrap_or(i64::MAX);
    let over = "SELECT id FROM version_target WHERE until < ?1";
    connection.execute(&format!("DELETE FROM version WHERE target IN ({over})"), [before])?;
    connection.execute("DELETE FROM version_target WHERE until < ?1", [before]).map(drop)
}

fn columns(target: &Target) -> String {
    serde_json::to_string(&target.columns).unwrap_or_default()
}
