//! Finding rows by key without reading the table for each of them.
//!
//! Where no index of the table has the key, a temporary one is made: a table in `temp` from key to `rowid`, read once
//! and kept for the batches that follow, for as long as nobody else changes the file.

use engine::failure::Failure;
use rusqlite::{Connection, OptionalExtension};

use super::collation;
use super::describe::Described;
use super::error::failed;
use super::sql::{each, main_table, quoted};

/// How many temporary indexes are kept.
const KEPT_MAX: usize = 4;

/// How rows are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Access {
    /// In the table itself.
    Table,
    /// By way of a table in `temp` of this name, with columns `k0`, `k1`, … and `row`.
    Temporary(String),
}

impl Access {
    /// `FROM … WHERE …`, with the table as `t` and the keys bound from `?first` on. Text is compared as the table does.
    pub(super) fn rows(&self, described: &Described, keys: &[String], first: usize) -> String {
        let table = main_table(&described.table.name);
        let numbered = || keys.iter().enumerate();
        match self {
            Self::Table => format!("FROM {table} AS t WHERE {}", equal(described, "t.", keys, first)),
            Self::Temporary(name) => {
                let equal = |(n, _): (usize, &String)| format!("f.k{n} = ?{}", first + n);
                let rowid = described.rowid.unwrap_or("rowid");
                // CROSS JOIN keeps SQLite from beginning with the table.
                format!(
                    "FROM temp.{} AS f CROSS JOIN {table} AS t ON t.{rowid} = f.row WHERE {}",
                    quoted(name),
                    each(numbered(), " AND ", equal)
                )
            }
        }
    }
}

/// The condition that these columns equal the keys bound from `?first` on, as the table compares them.
pub(super) fn equal(described: &Described, alias: &str, keys: &[String], first: usize) -> String {
    let collations = described.table.collations.of(keys);
    each(keys.iter().zip(collations).enumerate(), " AND ", |(n, (key, collation))| {
        format!("{alias}{} = ?{} COLLATE {}", quoted(key), first + n, collation::name(collation))
    })
}

/// The temporary indexes of a connection. All is called within a transaction, but for `settle` and `reset`.
#[derive(Debug, Default)]
pub(super) struct Finders {
    kept: Vec<Kept>,
    made: u64,
    /// What other programs had committed when this transaction began.
    others: i64,
    /// Changes of our own when the last transaction ended.
    ours: u64,
}

#[derive(Debug)]
struct Kept {
    table: String,
    keys: Vec<String>,
    name: String,
}

impl Finders {
    /// Drops the indexes when anything changed that they do not know of.
    pub(super) fn begin(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let others = connection.pragma_query_value(None, "data_version", |row| row.get(0))?;
        if others != self.others || connection.total_changes() != self.ours {
            for kept in std::mem::take(&mut self.kept) {
                drop_table(connection, &kept.name)?;
            }
        }
        self.others = others;
        Ok(())
    }

    /// How rows of this table are found by these keys.
    pub(super) fn access(
        &mut self,
        connection: &Connection,
        described: &Described,
        keys: &[String],
    ) -> Result<Access, Failure> {
        let access = || {
            let table = &described.table.name;
            if let Some(kept) = self.kept.iter().find(|kept| kept.table == *table && kept.keys == keys) {
                return Ok(Access::Temporary(kept.name.clone()));
            }
            if described.rowid.is_none()
                || is_indexed(connection, described, keys)?
                || changes_by_itself(connection, table, keys)?
            {
                return Ok(Access::Table);
            }
            if self.kept.len() == KEPT_MAX {
                drop_table(connection, &self.kept.remove(0).name)?;
            }
            self.made += 1;
            let name = format!("campanile_find_{}", self.made);
            make(connection, described, keys, &name)?;
            self.kept.push(Kept { table: table.clone(), keys: keys.to_vec(), name: name.clone() });
            Ok(Access::Temporary(name))
        };
        let mut access = access;
        access().map_err(|e: rusqlite::Error| failed(&format!("cannot search table {}", described.table.name), e))
    }

    /// A table was written, and the index `maintained` with it: its others are out of date.
    pub(super) fn written(
        &mut self,
        connection: &Connection,
        table: &str,
        maintained: Option<&str>,
    ) -> rusqlite::Result<()> {
        let is_stale = |kept: &Kept| kept.table == table && maintained != Some(&kept.name);
        let (stale, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.kept).into_iter().partition(is_stale);
        self.kept = kept;
        stale.iter().try_for_each(|stale| drop_table(connection, &stale.name))
    }

    /// The transaction took hold.
    pub(super) fn settle(&mut self, connection: &Connection) {
        self.ours = connection.total_changes();
    }

    /// The transaction was rolled back, and the tables in `temp` with it.
    pub(super) fn reset(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.kept.clear();
        let names: Vec<String> = connection
            .prepare_cached(
                "SELECT name FROM sqlite_temp_schema WHERE name GLOB 'campanile_find_*' AND type = 'table'",
            )?
            .query_map([], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        names.iter().try_for_each(|name| drop_table(connection, name))
    }
}

fn drop_table(connection: &Connection, name: &str) -> rusqlite::Result<()> {
    connection.execute_batch(&format!("DROP TABLE IF EXISTS temp.{}", quoted(name)))
}

fn make(connection: &Connection, described: &Described, keys: &[String], name: &str) -> rusqlite::Result<()> {
    let affinity = |key: &String| {
        let column = described.columns.iter().find(|column| column.name == *key);
        column.map_or("BLOB", |column| column.affinity.name())
    };
    let collations = described.table.collations.of(keys).into_iter().map(collation::name);
    let columns = each(keys.iter().zip(collations).enumerate(), ", ", |(n, (key, collation))| {
        format!("k{n} {} COLLATE {collation}", affinity(key))
    });
    let places = each(0..keys.len(), ", ", |n| format!("k{n}"));
    let present = each(keys, " AND ", |key| format!("{} IS NOT NULL", quoted(key)));
    let sources = each(keys, ", ", |key| quoted(key));
    let (temp, table) = (quoted(name), main_table(&described.table.name));
    let rowid = described.rowid.unwrap_or("rowid");
    connection.execute_batch(&format!(
        "CREATE TABLE temp.{temp}({columns}, row INTEGER, PRIMARY KEY({places}, row)) WITHOUT ROWID;
         INSERT INTO temp.{temp}({places}, row) SELECT {sources}, {rowid} FROM {table} WHERE {present}
             ORDER BY {}",
        each(1..=keys.len(), ", ", |n| n.to_string())
    ))
}

/// Whether SQLite finds a row by all of the keys at once.
fn is_indexed(connection: &Connection, described: &Described, keys: &[String]) -> rusqlite::Result<bool> {
    let query = Access::Table.rows(described, keys, 1);
    let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN SELECT 1 {query}"))?;
    let steps: Vec<String> = plan.raw_query().mapped(|row| row.get(3)).collect::<rusqlite::Result<_>>()?;
    let finds = |step: &String| {
        step.starts_with("SEARCH") && (step.contains("PRIMARY KEY") || step.matches("=?").count() == keys.len())
    };
    Ok(steps.iter().all(finds))
}

/// Whether a trigger or a foreign key may change keys of this table behind our back. Better once too often.
fn changes_by_itself(connection: &Connection, table: &str, keys: &[String]) -> rusqlite::Result<bool> {
    let cascades: Option<i64> = connection
        .query_row(
            "SELECT 1 FROM pragma_foreign_key_list(?1, 'main') WHERE on_update NOT IN ('NO ACTION', 'RESTRICT')",
            [table],
            |row| row.get(0),
        )
        .optional()?;
    let triggers: Vec<String> = connection
        .prepare_cached("SELECT lower(sql) FROM sqlite_schema WHERE type = 'trigger' AND sql IS NOT NULL")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let words = ["delete from", "insert ", "replace "];
    let mentioned = |sql: &String| {
        let body = sql.split_once("begin").map_or("", |(_, body)| body);
        let changed =
            keys.iter().any(|key| body.contains(&key.to_lowercase())) || words.iter().any(|w| body.contains(w));
        body.contains(&table.to_lowercase()) && changed
    };
    Ok(cascades.is_some() || triggers.iter().any(mentioned))
}
