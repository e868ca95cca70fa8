//! The contents of a file past the engine: what a test of a workflow puts there before and looks at after.

use std::path::Path;

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, params_from_iter};
use serde_json::Value as Json;

use super::connect;
use super::sql::{each, names, quoted};

/// The tables of an SQLite file, as they are: values are text, numbers and null, as SQLite keeps them.
#[derive(Debug)]
pub struct Contents {
    connection: Connection,
}

impl Contents {
    /// Opens the file; a new one becomes the small marketing database, as of [`Sqlite::open`](super::Sqlite::open).
    ///
    /// # Errors
    /// What SQLite says.
    pub fn open(path: &Path) -> Result<Self, String> {
        Ok(Self { connection: connect(path).map_err(said)? })
    }

    /// Does what statements say.
    ///
    /// # Errors
    /// What SQLite says; statements before the wrong one have taken hold.
    pub fn perform(&self, sql: &str) -> Result<(), String> {
        self.connection.execute_batch(sql).map_err(said)
    }

    /// Makes a table of columns and what each is declared as, in place of one that there is.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn make(&self, table: &str, columns: &[(String, String)]) -> Result<(), String> {
        let declared = each(columns, ", ", |(name, kind)| format!("{} {kind}", quoted(name)));
        let table = quoted(table);
        self.perform(&format!("DROP TABLE IF EXISTS {table}; CREATE TABLE {table} ({declared})"))
    }

    /// Empties a table.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn empty(&self, table: &str) -> Result<(), String> {
        self.perform(&format!("DELETE FROM {}", quoted(table)))
    }

    /// Adds a row. Lists and objects are kept as JSON, true and false as 1 and 0.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn add(&self, table: &str, columns: &[String], values: &[Json]) -> Result<(), String> {
        let columns = names(columns.iter().map(String::as_str));
        let places = each(values, ", ", |_| "?".to_owned());
        let sql = format!("INSERT INTO {} ({columns}) VALUES ({places})", quoted(table));
        let mut statement = self.connection.prepare_cached(&sql).map_err(said)?;
        statement.execute(params_from_iter(values.iter().map(of_json))).map_err(said)?;
        Ok(())
    }

    /// All rows of a table, a value for each of these columns, in the order of SQLite's own.
    ///
    /// # Errors
    /// What SQLite says, such as that there is no such table or column.
    pub fn rows(&self, table: &str, columns: &[String]) -> Result<Vec<Vec<Json>>, String> {
        // A count needs no column.
        let chosen = if columns.is_empty() { "NULL".to_owned() } else { names(columns.iter().map(String::as_str)) };
        let mut statement =
            self.connection.prepare(&format!("SELECT {chosen} FROM {}", quoted(table))).map_err(said)?;
        let cells = |row: &rusqlite::Row<'_>| (0..columns.len()).map(|n| Ok(to_json(row.get_ref(n)?))).collect();
        let rows = statement.query_map([], cells).map_err(said)?;
        rows.collect::<rusqlite::Result<_>>().map_err(said)
    }
}

fn said(error: rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(_, Some(message)) => message,
        error => error.to_string(),
    }
}

fn of_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(is) => Value::Integer((*is).into()),
        // A whole number beyond 64 bits keeps its digits only as text.
        Json::Number(number) => match (number.as_i64(), number.as_f64().filter(|_| number.is_f64())) {
            (Some(whole), _) => Value::Integer(whole),
            (None, Some(real)) => Value::Real(real),
            (None, None) => Value::Text(number.to_string()),
        },
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(_) | Json::Object(_) => Value::Text(json.to_string()),
    }
}

fn to_json(value: ValueRef<'_>) -> Json {
    match value {
        ValueRef::Null => Json::Null,
        ValueRef::Integer(whole) => whole.into(),
        ValueRef::Real(real) => real.into(),
        ValueRef::Text(text) | ValueRef::Blob(text) => String::from_utf8_lossy(text).into_owned().into(),
    }
}
