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

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema};

use crate::types::meta;

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

/// The column of versions, if records with these columns have one.
pub fn of_schema(schema: &Schema) -> Option<&Field> {
    schema.field_with_name(VERSION).ok().filter(|field| field.metadata().contains_key(meta::HIDDEN))
}

/// A column of versions whose records have their ids in another column.
pub fn with_id(version: &Field, id: &str) -> FieldRef {
    let of = |name: &str| version.metadata().get(name).map(String::as_str).unwrap_or_default();
    column(of(meta::ACCOUNT), of(meta::OBJECT), id)
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
    /// The versions that travel with the records of a batch, if any do.
    pub fn of(batch: &RecordBatch) -> Option<Self> {
        let schema = batch.schema();
        let metadata = of_schema(&schema)?.metadata();
        let column = |name: &str| -> Option<&ArrayRef> { batch.column_by_name(name) };
        Some(Self {
            account: metadata.get(meta::ACCOUNT)?.clone(),
            object: metadata.get(meta::OBJECT)?.clone(),
            ids: column(metadata.get(meta::ID)?)?.as_string_opt::<i32>()?.clone(),
            versions: column(VERSION)?.as_primitive_opt::<Int64Type>()?.clone(),
        })
    }

    /// The id and version of a record, if both are known.
    pub fn get(&self, row: usize) -> Option<(&str, i64)> {
        let is_known = self.ids.is_valid(row) && self.versions.is_valid(row);
        is_known.then(|| (self.ids.value(row), self.versions.value(row)))
    }
}
