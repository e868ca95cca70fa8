//! What the marketing database can do for us. One implementation a database, in the crate `database`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use indexmap::IndexMap;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::failure::{Class, Failure};
use crate::outside::crm::{FieldKind, Object, ObjectField};
use crate::reject::Reject;

/// The marketing database.
#[async_trait]
pub trait Database: Send + Sync {
    /// The names of its tables, ours excluded.
    ///
    /// # Errors
    /// Where the database cannot be reached.
    async fn tables(&self) -> Result<Vec<String>, Failure>;

    /// One table, with its columns as Arrow types.
    ///
    /// # Errors
    /// `Class::Config` where there is no such table; the message offers similar names.
    async fn table(&self, name: &str) -> Result<Table, Failure>;

    /// Makes a table, or adds to it the columns that it lacks; nothing that is there changes.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses; then nothing was made.
    async fn extend(&self, table: &NewTable) -> Result<Extended, Failure> {
        Err(Failure::new(Class::Config, format!("this database cannot make the table {}", table.name)))
    }

    /// Finds the rows of a table whose columns equal the keys, and returns their columns `lookup.columns`.
    ///
    /// `keys` has one column for each of `lookup.keys`, in their order. A null in a key matches nothing; text matches as
    /// [`Table::collations`] says.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses.
    async fn lookup(&self, lookup: &Lookup, keys: RecordBatch) -> Result<Matches, Failure>;

    /// Reads what a search needs of a table into memory, of which it may take so many bytes, to find so many keys there.
    /// `None` if that is too much, or if the database finds them as fast by [`Database::lookup`].
    ///
    /// # Errors
    /// If the database cannot be reached or refuses.
    async fn gather(&self, _lookup: &Lookup, _keys: u64, _bytes: usize) -> Result<Option<Box<dyn Gathered>>, Failure> {
        Ok(None)
    }

    /// Reads rows of a table, each once and at most so many, in an order of the database's own; from the place on that the
    /// rows before gave, or from the beginning. Rows made meanwhile may be among them or not.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses, or a value is not of its column's declared type.
    async fn read(&self, scan: &Scan, from: Option<Value>) -> Result<Scanned, Failure>;

    /// Writes rows in one transaction, and in the same transaction what became of them to the ledger under
    /// `ledger.task` and `ledger.batch`, and their versions if they must be remembered. A batch that the ledger already has is
    /// not written again: what it holds is returned, so that a task that continues after a crash writes nothing twice.
    ///
    /// # Errors
    /// Where the transaction did not take hold as a whole; a row that the database refuses is in
    /// [`Written::rejects`] instead, and the others are written.
    async fn write(&self, ledger: &LedgerKey, write: &Write, rows: RecordBatch) -> Result<Written, Failure>;

    /// How many batches of a task the ledger has.
    ///
    /// # Errors
    /// If the database cannot be reached or refuses.
    async fn batches(&self, _task: &str) -> Result<Option<u64>, Failure> {
        Ok(None)
    }

    /// What the database keeps of a data folder, if it was ever attached to it. A database that is not there is not made.
    ///
    /// # Errors
    /// If the database cannot be reached or refuses.
    async fn mark(&self, _folder: &str) -> Result<Option<DatabaseMark>, Failure> {
        Ok(None)
    }

    /// Keeps the token of a data folder's start; `false` if this database keeps none.
    ///
    /// # Errors
    /// If the database cannot be reached or refuses.
    async fn attach(&self, _attach: &Attach) -> Result<bool, Failure> {
        Ok(false)
    }

    /// Forgets a data folder.
    ///
    /// # Errors
    /// If the database cannot be reached or refuses.
    async fn detach(&self, _folder: &str) -> Result<(), Failure> {
        Ok(())
    }

    /// Forgets the versions that a data folder's runs remembered until a run before this place among all runs.
    ///
    /// # Errors
    /// If the database cannot be reached or refuses.
    async fn forget_versions(&self, _folder: &str, _before: u64) -> Result<(), Failure> {
        Ok(())
    }

    /// The options of automatic indexes whose imports have brought records here, from any data folder. A database that is
    /// not there is not made.
    ///
    /// # Errors
    /// If the database cannot be reached or refuses.
    async fn indexes(&self) -> Result<BTreeSet<String>, Failure> {
        Ok(BTreeSet::new())
    }

    /// Keeps that the imports with this option have brought records here.
    ///
    /// # Errors
    /// If the database cannot be reached or refuses.
    async fn know_index(&self, _option: &str) -> Result<(), Failure> {
        Ok(())
    }

    /// Forgets the ledger of a task, once what it holds is in the journal.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses.
    async fn forget(&self, task: &str) -> Result<(), Failure>;
}

/// How the names of our own tables begin, such as that of the ledger.
const RESERVED_TABLES: &str = "campanile_";

/// Whether a table is one of ours, whatever its name is written in.
pub fn is_reserved(table: &str) -> bool {
    table.get(..RESERVED_TABLES.len()).is_some_and(|start| start.eq_ignore_ascii_case(RESERVED_TABLES))
}

/// No workflow reads or writes our own tables.
///
/// # Errors
/// If it is one of them.
pub fn check_reserved(table: &str) -> Result<(), Failure> {
    if !is_reserved(table) {
        return Ok(());
    }
    let message = format!("table {table} is Campanile's own: names that begin with {RESERVED_TABLES} are reserved");
    Err(Failure::new(Class::Config, message).help("give your table another name"))
}

/// What a database keeps of a data folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseMark {
    /// The database's id for this folder.
    pub database: String,
    /// The token of the folder's last start that used it.
    pub start: String,
    /// How many batches the folder has written to it, each counted in its own transaction.
    pub writes: u64,
}

/// A data folder begins to use a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attach {
    /// The folder's id.
    pub folder: String,
    /// The id that the database has for it.
    pub database: String,
    /// A token that no other start has.
    pub start: String,
}

/// A table of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub columns: SchemaRef,
    /// The columns of its primary key.
    pub primary_key: Vec<String>,
    /// Other sets of columns that the database holds unique.
    pub unique: Vec<Vec<String>>,
    /// How text in its keys is compared.
    pub collations: Collations,
}

/// How a database compares text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Collation {
    /// Byte by byte.
    #[default]
    Exact,
    /// Without the case of A to Z.
    NoCase,
    /// Without spaces at the end.
    TrimEnd,
}

impl Collation {
    /// The one text that stands for all that are equal to this one.
    pub fn fold(self, text: &str) -> Cow<'_, str> {
        match self {
            Self::NoCase if text.bytes().any(|byte| byte.is_ascii_uppercase()) => text.to_ascii_lowercase().into(),
            Self::TrimEnd => text.trim_end_matches(' ').into(),
            Self::Exact | Self::NoCase => text.into(),
        }
    }
}

/// How a table compares text in its keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collations {
    /// Columns that are not compared byte by byte.
    pub columns: BTreeMap<String, Collation>,
    /// How the columns of each set that is held unique are compared there, the primary key included.
    pub unique: Vec<BTreeMap<String, Collation>>,
}

impl Collations {
    /// How each column of a key is compared: as the database does that holds just these columns unique, else as it compares
    /// the column itself.
    pub fn of(&self, key: &[String]) -> Vec<Collation> {
        let in_set = |set: &&BTreeMap<String, Collation>| {
            set.len() == key.len() && key.iter().all(|column| named(set, column).is_some())
        };
        let sets: Vec<_> = self.unique.iter().filter(in_set).collect();
        let of = |column: &String| {
            let own = || named(&self.columns, column).unwrap_or_default();
            let mut held = sets.iter().filter_map(|set| named(set, column));
            // Of several sets, the one that takes more for equal refuses what the others would let through.
            held.clone().find(|collation| *collation != Collation::Exact).or(held.next()).unwrap_or_else(own)
        };
        key.iter().map(of).collect()
    }
}

fn named(columns: &BTreeMap<String, Collation>, name: &str) -> Option<Collation> {
    columns.iter().find(|(column, _)| column.eq_ignore_ascii_case(name)).map(|(_, collation)| *collation)
}

/// A reading of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// The table.
    pub table: String,
    /// Its columns that are returned.
    pub columns: Vec<String>,
    /// The most rows at once.
    pub rows_max: usize,
    /// The zone of a date and time that does not say its own, in a column of instants.
    pub zone: TimeZone,
}

/// Rows that were read.
#[derive(Debug, Clone)]
pub struct Scanned {
    /// The rows; a value that is not what its column is declared as is null in them.
    pub rows: RecordBatch,
    /// Which of them have such a value, by their place, in order, and why they cannot be taken as they are.
    pub misfits: Vec<(usize, Reject)>,
    /// Where the next rows begin; none after the last. Only the database understands it.
    pub next: Option<Value>,
}

/// A table to make, or to extend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewTable {
    /// Its name.
    pub name: String,
    /// Its columns; the first is the primary key of a table that is made.
    pub columns: Vec<NewColumn>,
}

impl NewTable {
    /// A table with all that can be read of an object, its id first; called as the object where no name is given.
    pub fn of(object: &Object, name: Option<&str>) -> Self {
        let column = |field: &ObjectField| NewColumn {
            name: field.name.clone(),
            kind: field.kind,
            length: field.length,
            labels: field.options.clone(),
        };
        let id = object.fields.get(&object.id).into_iter();
        let others = object.fields.values().filter(|field| field.readable && field.name != object.id);
        let columns = id.chain(others).map(column).collect();
        Self { name: name.unwrap_or(&object.name).to_owned(), columns }
    }
}

/// A column to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewColumn {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: FieldKind,
    /// The longest text, in characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u32>,
    /// Values and labels of a picklist; they are kept in the table [`LABELS`].
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub labels: IndexMap<String, String>,
}

/// The table that has the labels of picklists: `table_name`, `column_name`, `value`, `label`.
pub const LABELS: &str = "picklist_label";

/// What became of a table that was extended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extended {
    /// Whether it was made.
    pub made: bool,
    /// The columns that it got.
    pub added: Vec<String>,
    /// Columns that were there with another type, which they keep.
    pub differs: Vec<String>,
    /// Labels of picklists that are new or have changed.
    pub labels: u64,
}

/// A search by keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// The table searched.
    pub table: String,
    /// Its columns that must equal the keys.
    pub keys: Vec<String>,
    /// Its columns that are returned.
    pub columns: Vec<String>,
    /// The zone of a date and time that does not say its own, in a column of instants.
    pub zone: TimeZone,
}

/// What a search found.
#[derive(Debug, Clone)]
pub struct Matches {
    /// One row for each key, in the keys' order; null where none or several were found.
    pub rows: RecordBatch,
    /// How many rows of the table equal each key, counted up to 2.
    pub found: Vec<u8>,
}

/// What a search needs of a table, in memory, as it was when it was read.
pub trait Gathered: Send + Sync {
    /// Finds what [`Database::lookup`] would have found then.
    ///
    /// # Errors
    /// If a value that is returned is not of its column's declared type.
    fn find(&self, keys: &RecordBatch) -> Result<Matches, Failure>;

    /// How much memory it takes, about.
    fn bytes(&self) -> usize;
}

/// What to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The table.
    pub table: String,
    /// How.
    pub operation: Operation,
    /// The columns that identify a row; empty for `Insert`. Text is compared as [`Table::collations`] says.
    pub key: Vec<String>,
    /// Whether a null in the rows empties the column (`true`) or leaves it as it is.
    pub null_empties: bool,
    /// What becomes of an older version of a source record. The versions are in hidden columns of the rows.
    pub older: Older,
}

/// What becomes of a row that is an older version of its source record than one that was written before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Older {
    /// It is written; versions are neither compared nor remembered.
    #[default]
    Write,
    /// It is left out.
    LeaveOut {
        /// What is written is remembered until the run at this place among all runs is over, and all before it. If
        /// `None`, no run can write anything older, and nothing is remembered.
        until: Option<u64>,
    },
}

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Operation {
    /// New rows only.
    Insert,
    /// Existing rows only.
    Update,
    /// Existing rows, and new ones where the key is not found.
    Upsert,
    /// Existing rows are deleted; a row that is not there is no error. Only the key is given.
    Delete,
}

/// Names one batch of one task; the same after a crash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerKey {
    /// The id of the data folder, whose batches are counted.
    pub folder: String,
    /// Data folder, run and task.
    pub task: String,
    /// The batch's number within the task, from 0.
    pub batch: u64,
}

/// What became of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Written {
    /// Rows made, changed, found equal, deleted, and (for `Update` and `Delete`) not found, by the names `inserted`,
    /// `updated`, `unchanged`, `deleted`, `absent`.
    pub counts: BTreeMap<String, u64>,
    /// Rows that the database refused.
    pub rejects: Vec<Refused>,
    /// Rows that were left out, since a newer version of their source record was written before, by their places in the
    /// batch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub older: Vec<u32>,
    /// Whether the ledger already had this batch.
    #[serde(skip)]
    pub replayed: bool,
}

/// A row that the database refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    /// Its place in the batch, from 0.
    pub row: u32,
    /// The database's code, such as `SQLITE_CONSTRAINT_UNIQUE`.
    pub code: String,
    /// The database's words.
    pub message: String,
    /// The column, where the database names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
}
