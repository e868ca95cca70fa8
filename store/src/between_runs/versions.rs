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

#[cfg(test)]
mod tests {
    use super::*;

    fn target(columns: &[&str]) -> Target {
        let columns = Some(columns.iter().map(|&column| column.to_owned()).collect());
        Target { account: "crm".into(), object: "Lead".into(), to: "other Contact".into(), columns }
    }

    fn memory() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(STEP).unwrap();
        connection
    }

    /// The newest version that is known of a record.
    fn newest(memory: &Connection, target: &Target) -> Option<i64> {
        let is_older = |version: &i64| {
            let versions = Versions::new("crm", "Lead", [("r1", *version)]);
            !older(memory, target, &versions).unwrap().is_empty()
        };
        (0..9).filter(is_older).max().map(|older| older + 1)
    }

    #[test]
    fn what_is_on_its_way_counts_until_it_is_refused_and_what_is_written_for_good() {
        let (memory, target) = (memory(), target(&["name"]));
        assert_eq!(newest(&memory, &target), None);
        sending(&memory, &target, &[("r1".into(), 3)], 7).unwrap();
        assert_eq!(newest(&memory, &target), Some(3));
        sent(&memory, &target, &[("r1".into(), 3, true)]).unwrap();
        sending(&memory, &target, &[("r1".into(), 5)], 7).unwrap();
        assert_eq!(newest(&memory, &target), Some(5));
        sent(&memory, &target, &[("r1".into(), 5, false)]).unwrap();
        assert_eq!(newest(&memory, &target), Some(3));
    }

    #[test]
    fn only_what_is_written_over_is_compared_and_forgotten_once_no_run_needs_it() {
        let memory = memory();
        sending(&memory, &target(&["name", "city"]), &[("r1".into(), 3)], 7).unwrap();
        assert_eq!(newest(&memory, &target(&["city"])), Some(3));
        assert_eq!(newest(&memory, &target(&["phone"])), None);
        assert_eq!(newest(&memory, &Target { account: "another".into(), ..target(&["city"]) }), None);
        forget(&memory, 7).unwrap();
        assert_eq!(newest(&memory, &target(&["city"])), Some(3));
        forget(&memory, 8).unwrap();
        assert_eq!(newest(&memory, &target(&["city"])), None);
    }
}
