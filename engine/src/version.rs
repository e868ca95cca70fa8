//! The version that each record has in the system it came from. It travels with the records in a hidden column, so that a
//! task that writes can tell which of two versions of one source record is newer.
//!
//! ```text
//!   email  …  contactid  _version {account, object, id: "contactid"}  _seq
//! ```
//!
//! The metadata of the column say of which records it is, and which column has their ids.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema};
use arrow::error::ArrowError;

use crate::types::{is_hidden, meta};

/// The column of versions: numbers that grow with every change of a record; null if the version is not known.
pub const VERSION: &str = "_version";
/// The hidden column of ids, where no column that authors see has them.
pub const VERSION_ID: &str = "_version_id";

/// The column of versions, of records of an account's object whose ids are in the column `id`.
pub fn column(account: &str, object: &str, id: &str) -> FieldRef {
    let metadata = [(meta::HIDDEN, ""), (meta::ACCOUNT, account), (meta::OBJECT, object), (meta::ID, id)];
    let metadata: HashMap<String, String> =
        metadata.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Arc::new(Field::new(VERSION, DataType::Int64, true).with_metadata(metadata))
}

/// The hidden column of ids.
pub fn id_column() -> FieldRef {
    let metadata = HashMap::from([(meta::HIDDEN.to_owned(), String::new())]);
    Arc::new(Field::new(VERSION_ID, DataType::Utf8, true).with_metadata(metadata))
}

/// Where the column of versions is among these, and what it is.
fn find(schema: &Schema) -> Option<(usize, &Field)> {
    // By what it is and not by its name, which a column of a database may have as well.
    let mut hidden =
        schema.fields().iter().enumerate().filter(|(_, field)| field.metadata().contains_key(meta::HIDDEN));
    hidden.find(|(_, field)| field.name() == VERSION).map(|(place, field)| (place, field.as_ref()))
}

/// A column of versions whose records have their ids in another column.
pub fn with_id(version: &Field, id: &str) -> FieldRef {
    let of = |name: &str| version.metadata().get(name).map(String::as_str).unwrap_or_default();
    column(of(meta::ACCOUNT), of(meta::OBJECT), id)
}

/// Where versions of source records are written to, and which of its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The account that the source records come from.
    pub account: String,
    /// Their object.
    pub object: String,
    /// What is written: a table, or an object of an account.
    pub to: String,
    /// Its columns that are written; none if the whole record is, as by a deletion.
    pub columns: Option<Vec<String>>,
}

impl Target {
    /// Where records of `source` are written to. Columns of the key only find the record, unless nothing else is written.
    pub fn new(source: &Versions, to: &str, key: &[String], written: Option<Vec<String>>) -> Self {
        let columns = written.map(|written| {
            let others: Vec<String> = written.iter().filter(|column| !key.contains(column)).cloned().collect();
            if others.is_empty() { written } else { others }
        });
        let (account, object) = (source.account.clone(), source.object.clone());
        Self { account, object, to: to.to_owned(), columns }
    }

    /// Whether one that writes the same record, with these columns, writes over what this one has written.
    pub fn overlaps(&self, columns: Option<&[String]>) -> bool {
        match (&self.columns, columns) {
            (Some(ours), Some(theirs)) => ours.iter().any(|column| theirs.contains(column)),
            _ => true,
        }
    }
}

/// Of which source records the records of a batch are, and in which version.
#[derive(Debug, Clone)]
pub struct Versions {
    /// The account that they came from.
    pub account: String,
    /// The object.
    pub object: String,
    /// The id of each.
    pub ids: StringArray,
    /// The version of each.
    pub versions: Int64Array,
}

impl Versions {
    /// Versions of records by their ids.
    pub fn new<'a>(account: &str, object: &str, records: impl IntoIterator<Item = (&'a str, i64)>) -> Self {
        let (ids, versions): (Vec<&str>, Vec<i64>) = records.into_iter().unzip();
        let (account, object) = (account.to_owned(), object.to_owned());
        Self { account, object, ids: ids.into(), versions: versions.into() }
    }

    /// The versions that travel with the records of a batch, if any do.
    pub fn of(batch: &RecordBatch) -> Option<Self> {
        let schema = batch.schema();
        let (place, field) = find(&schema)?;
        let metadata = field.metadata();
        let id = metadata.get(meta::ID)?;
        let is_id = |field: &FieldRef| field.name() == id && is_hidden(field) == (id == VERSION_ID);
        let ids = schema.fields().iter().position(is_id)?;
        Some(Self {
            account: metadata.get(meta::ACCOUNT)?.clone(),
            object: metadata.get(meta::OBJECT)?.clone(),
            ids: batch.column(ids).as_string_opt::<i32>()?.clone(),
            versions: batch.column(place).as_primitive_opt::<Int64Type>()?.clone(),
        })
    }

    /// Lets these versions travel with rows that are made of the records.
    ///
    /// # Errors
    /// If there are not as many rows as records.
    pub fn attach(&self, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let new = [column(&self.account, &self.object, VERSION_ID), id_column()];
        let fields: Vec<FieldRef> = rows.schema().fields().iter().cloned().chain(new).collect();
        let mut columns = rows.columns().to_vec();
        columns.push(Arc::new(self.versions.clone()));
        columns.push(Arc::new(self.ids.clone()));
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
    }

    /// Takes the versions from rows that they travel with.
    ///
    /// # Errors
    /// Never, of a batch that is one.
    pub fn detach(rows: &RecordBatch) -> Result<(RecordBatch, Option<Self>), ArrowError> {
        let versions = Self::of(rows);
        if versions.is_none() {
            return Ok((rows.clone(), None));
        }
        let schema = rows.schema();
        let visible: Vec<usize> = (0..rows.num_columns()).filter(|place| !is_hidden(schema.field(*place))).collect();
        Ok((rows.project(&visible)?, versions))
    }

    /// Of how many records they are.
    pub fn records(&self) -> usize {
        self.versions.len()
    }

    /// The id and version of a record, if both are known.
    pub fn get(&self, row: usize) -> Option<(&str, i64)> {
        let is_known = self.ids.is_valid(row) && self.versions.is_valid(row);
        is_known.then(|| (self.ids.value(row), self.versions.value(row)))
    }
}
