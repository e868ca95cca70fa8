//! How a table compares text in its keys.

use std::collections::BTreeMap;

use engine::outside::database::{Collation, Collations};
use rusqlite::Connection;

use super::describe::Column;
use super::sql::{main_table, quoted};

/// SQLite's name of it.
pub(super) fn name(collation: Collation) -> &'static str {
    match collation {
        Collation::Exact => "BINARY",
        Collation::NoCase => "NOCASE",
        Collation::TrimEnd => "RTRIM",
    }
}

/// One that another program defines is not known here, so text is compared byte by byte.
fn named(name: &str) -> Collation {
    let all = [Collation::NoCase, Collation::TrimEnd];
    all.into_iter().find(|collation| self::name(*collation).eq_ignore_ascii_case(name)).unwrap_or_default()
}

pub(super) fn collations(connection: &Connection, table: &str, columns: &[Column]) -> rusqlite::Result<Collations> {
    let mut mentioned = connection.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM main.sqlite_schema WHERE tbl_name = ?1 AND lower(sql) LIKE '%collate%')",
    )?;
    if !mentioned.query_row([table], |row| row.get(0))? {
        return Ok(Collations::default());
    }
    let own = columns.iter().map(|column| (column.name.clone(), of_column(connection, table, &column.name)));
    let own = own.filter(|(_, collation)| *collation != Collation::Exact).collect();
    Ok(Collations { columns: own, unique: unique(connection, table)? })
}

/// SQLite does not tell the collation of a column, but compares by it.
fn of_column(connection: &Connection, table: &str, column: &str) -> Collation {
    let (table, column) = (main_table(table), quoted(column));
    let compared = connection.query_row(
        &format!("SELECT x = 'A', x = 'a ' FROM (SELECT {column} AS x FROM {table} WHERE 0 UNION ALL SELECT 'a')"),
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    );
    match compared {
        Ok((true, _)) => Collation::NoCase,
        Ok((false, true)) => Collation::TrimEnd,
        // A collation that only another program has is an error here.
        Ok((false, false)) | Err(_) => Collation::Exact,
    }
}

/// Of the sets that [`describe`](super::describe) tells, and of the primary key.
fn unique(connection: &Connection, table: &str) -> rusqlite::Result<Vec<BTreeMap<String, Collation>>> {
    let mut list =
        connection.prepare_cached("SELECT name FROM pragma_index_list(?1, 'main') WHERE \"unique\" AND NOT partial")?;
    let indexes: Vec<String> = list.query_map([table], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let mut info = connection.prepare_cached("SELECT name, coll FROM pragma_index_xinfo(?1, 'main') WHERE key")?;
    let mut sets = Vec::new();
    for index in indexes {
        let column = |row: &rusqlite::Row<'_>| {
            let (column, collation): (Option<String>, String) = (row.get(0)?, row.get(1)?);
            Ok(column.map(|column| (column, named(&collation))))
        };
        // One on an expression is no set of columns.
        let columns: Option<BTreeMap<_, _>> =
            info.query_map([index], column)?.collect::<rusqlite::Result<Vec<_>>>()?.into_iter().collect();
        sets.extend(columns);
    }
    Ok(sets)
}
