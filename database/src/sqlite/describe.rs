//! What tables there are, and what is in them.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use engine::failure::Failure;
use engine::outside::database::{Table, check_reserved, is_reserved};
use engine::types::meta;
use rusqlite::Connection;

use super::affinity::{Affinity, arrow_type, declared_length};
use super::collation;
use super::error::failed;
use super::not_found;

/// A table, with what only SQLite knows of it.
pub(super) struct Described {
    pub(super) table: Table,
    pub(super) columns: Vec<Column>,
    /// The name of its `rowid`; `None` for a table that has none.
    pub(super) rowid: Option<&'static str>,
}

pub(super) struct Column {
    pub(super) name: String,
    pub(super) affinity: Affinity,
    pub(super) arrow: DataType,
    pub(super) has_default: bool,
}

impl Described {
    /// A column by its name; SQLite takes names for equal that differ in ASCII case only.
    pub(super) fn column(&self, name: &str) -> Result<&Column, Failure> {
        let found = self.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name));
        found.ok_or_else(|| {
            let known: Vec<_> = self.columns.iter().map(|column| column.name.as_str()).collect();
            not_found(&format!("column of table {}", self.table.name), name, &known)
        })
    }
}

/// Names of tables; those of SQLite and ours are left out.
pub(super) fn tables(connection: &Connection) -> Result<Vec<String>, Failure> {
    let read = || {
        let mut list = connection.prepare_cached(
            "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'virtual')
             AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name",
        )?;
        let names = list.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
        Ok(names.into_iter().filter(|name| !is_reserved(name)).collect())
    };
    read().map_err(|e| failed("cannot list the tables", e))
}

pub(super) fn described(connection: &Connection, name: &str) -> Result<Described, Failure> {
    check_reserved(name)?;
    let found = describe(connection, name).map_err(|e| failed(&format!("cannot describe table {name:?}"), e))?;
    match found {
        Some(found) => Ok(found),
        None => {
            let known = tables(connection)?;
            Err(not_found("table", name, &known.iter().map(String::as_str).collect::<Vec<_>>()))
        }
    }
}

fn describe(connection: &Connection, name: &str) -> rusqlite::Result<Option<Described>> {
    let mut list = connection.prepare_cached(
        "SELECT name, wr, strict FROM pragma_table_list WHERE schema = 'main' AND type <> 'shadow'
         AND name = ?1 COLLATE NOCASE ORDER BY name = ?1 DESC",
    )?;
    let mut rows = list.query([name])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let (name, without_rowid, strict): (String, bool, bool) = (row.get(0)?, row.get(1)?, row.get(2)?);

    let mut columns = Vec::new();
    let mut fields = Vec::new();
    let mut primary_key: Vec<(i64, String)> = Vec::new();
    let mut info = connection.prepare_cached(
        "SELECT name, type, \"notnull\", dflt_value IS NOT NULL, pk FROM pragma_table_xinfo(?1, 'main') WHERE hidden <> 1",
    )?;
    let mut rows = info.query([&name])?;
    while let Some(row) = rows.next()? {
        let (column, declared): (String, String) = (row.get(0)?, row.get(1)?);
        let (not_null, has_default, place): (bool, bool, i64) = (row.get(2)?, row.get(3)?, row.get(4)?);
        if place > 0 {
            primary_key.push((place, column.clone()));
        }
        let arrow = arrow_type(&declared);
        let affinity = Affinity::of(&declared, strict);
        let mut metadata = metadata(&declared, (place > 0).then_some(&name));
        if arrow == DataType::Utf8 && affinity.makes_numbers() {
            metadata.insert(meta::MAKES_NUMBERS.to_owned(), "true".to_owned());
        }
        fields.push(Arc::new(Field::new(&column, arrow.clone(), !not_null).with_metadata(metadata)));
        columns.push(Column { name: column, affinity, arrow, has_default });
    }
    primary_key.sort_unstable();
    let rowid = ["rowid", "_rowid_", "oid"];
    let free = rowid.into_iter().find(|name| !columns.iter().any(|column| column.name.eq_ignore_ascii_case(name)));
    let table = Table {
        columns: Arc::new(Schema::new(fields)),
        primary_key: primary_key.into_iter().map(|(_, column)| column).collect(),
        unique: unique_sets(connection, &name)?,
        collations: collation::collations(connection, &name, &columns)?,
        name,
    };
    Ok(Some(Described { table, columns, rowid: free.filter(|_| !without_rowid) }))
}

fn metadata(declared: &str, key_of: Option<&String>) -> HashMap<String, String> {
    let mut metadata = HashMap::new();
    if !declared.is_empty() {
        metadata.insert(meta::SYSTEM_TYPE.to_owned(), declared.to_owned());
    }
    if let Some(length) = declared_length(declared) {
        metadata.insert(meta::LENGTH.to_owned(), length.to_string());
    }
    if let Some(table) = key_of {
        metadata.insert(meta::KEY.to_owned(), table.clone());
    }
    metadata
}

/// Those that hold for all rows and are made of columns: no partial index, none on expressions, not the primary key.
fn unique_sets(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Vec<String>>> {
    let mut list = connection.prepare_cached(
        "SELECT name FROM pragma_index_list(?1, 'main') WHERE \"unique\" AND NOT partial AND origin <> 'pk' ORDER BY seq DESC",
    )?;
    let indexes: Vec<String> = list.query_map([table], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let mut info =
        connection.prepare_cached("SELECT name FROM pragma_index_xinfo(?1, 'main') WHERE key ORDER BY seqno")?;
    let mut sets = Vec::new();
    for index in indexes {
        let columns: Vec<Option<String>> =
            info.query_map([index], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        sets.extend(columns.into_iter().collect::<Option<Vec<String>>>());
    }
    Ok(sets)
}
