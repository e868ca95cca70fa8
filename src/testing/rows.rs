//! Rows as a test file writes them: objects, or columns and values.

use engine::document::Document;
use engine::problem::Problem;
use engine::words::counted;
use indexmap::IndexSet;
use serde_json::{Map, Value};

use super::file::{ExpectRows, Rows};

/// Columns, and for each row a value of each.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cells {
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<Value>>,
}

impl Cells {
    fn of_objects(objects: &[Map<String, Value>]) -> Self {
        let columns: IndexSet<&String> = objects.iter().flat_map(Map::keys).collect();
        let cell = |object: &Map<String, Value>, name: &&String| object.get(*name).cloned().unwrap_or_default();
        let row = |object: &Map<String, Value>| columns.iter().map(|name| cell(object, name)).collect();
        let rows = objects.iter().map(row).collect();
        Self { rows, columns: columns.iter().map(|name| (*name).clone()).collect() }
    }
}

impl Rows {
    /// Each row as an object; what it does not name is left out.
    pub(crate) fn objects(&self) -> Vec<Map<String, Value>> {
        match self {
            Self::Objects(objects) => objects.clone(),
            Self::Table(table) => {
                let row = |row: &Vec<Value>| table.columns.iter().cloned().zip(row.iter().cloned()).collect();
                table.rows.iter().map(row).collect()
            }
        }
    }

    /// The pointer to a row, from that of all rows.
    pub(crate) fn pointer(&self, pointer: &str, row: usize) -> String {
        match self {
            Self::Objects(_) => format!("{pointer}/{row}"),
            Self::Table(_) => format!("{pointer}/rows/{row}"),
        }
    }

    /// What is wrong with them.
    pub(crate) fn check(&self, pointer: &str, document: &Document) -> Vec<Problem> {
        match self {
            Self::Objects(_) => Vec::new(),
            Self::Table(table) => check(&table.columns, &table.rows, pointer, document),
        }
    }
}

impl ExpectRows {
    /// The rows that are expected.
    pub(crate) fn cells(&self) -> Cells {
        match self {
            Self::Count(_) => Cells::default(),
            Self::Objects(objects) => Cells::of_objects(objects),
            Self::Table(table) => Cells { columns: table.columns.clone(), rows: table.rows.clone() },
        }
    }

    /// What is wrong with them.
    pub(crate) fn check(&self, pointer: &str, document: &Document) -> Vec<Problem> {
        match self {
            Self::Count(_) | Self::Objects(_) => Vec::new(),
            Self::Table(table) => check(&table.columns, &table.rows, pointer, document),
        }
    }
}

/// Columns are named once, and each row has a value for each.
fn check(columns: &[String], rows: &[Vec<Value>], pointer: &str, document: &Document) -> Vec<Problem> {
    let again = columns.iter().enumerate().filter(|(n, name)| columns[..*n].contains(name));
    let again = again.map(|(n, name)| {
        let message = format!("the column \"{name}\" is named twice");
        document.problem(&format!("{pointer}/columns/{n}"), "given-twice", message, Some("remove one".to_owned()))
    });
    let uneven = rows.iter().enumerate().filter(|(_, row)| row.len() != columns.len());
    let uneven = uneven.map(|(n, row)| {
        let message = format!("this row has {}, for {}", counted(row.len(), "value"), counted(columns.len(), "column"));
        let help = "write one for each column, null where it is empty".to_owned();
        document.problem(&format!("{pointer}/rows/{n}"), "wrong-value", message, Some(help))
    });
    again.chain(uneven).collect()
}
