//! Which source record each record is, whatever run brings it: by its key, or by the values that are sent of it.

use std::fmt::Write as _;

use arrow::array::{Array, RecordBatch};
use engine::expr::Value;
use engine::failure::Failure;
use serde_json::{Map, Value as Json};

use super::identity::{KeyOf, text};
use super::mapping::{Mapped, Mapping};
use crate::{rows, sets};

/// A source record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// The same for the same record, whatever run brings it.
    pub(super) digest: String,
    /// Its key as people read it, if it has one.
    pub(super) key: Option<String>,
    /// The id that we chose for it by its place: another run would choose another one.
    pub(super) chosen: Option<String>,
}

impl Mapping {
    /// Which source records these are; `None` of one that every run gives the same id.
    pub(super) fn sources(&self, batch: &RecordBatch, mapped: &Mapped) -> Result<Vec<Option<Source>>, Failure> {
        let mut keys = Vec::new();
        for (_, bound) in self.identity.named_by() {
            let (array, failing) = rows::eval(bound, batch, self.values())?;
            keys.push((array, failing.into_iter().map(|(row, _)| row).collect::<Vec<usize>>()));
        }
        let chosen = self.chosen_name().and_then(|name| mapped.records.column_by_name(name));
        let source = |row: usize| {
            if chosen.is_some() && matches!(mapped.keys[row], KeyOf::Is(_)) {
                return None;
            }
            let is_named = |(array, failing): &(arrow::array::ArrayRef, Vec<usize>)| {
                !failing.contains(&row) && !sets::is_empty(array, row)
            };
            let key = (!keys.is_empty() && keys.iter().all(is_named))
                .then(|| keys.iter().map(|(array, _)| text(array, row)).collect::<Vec<String>>());
            let digest = match &key {
                Some(parts) => digest(self.identity.of_key(), parts.iter().map(|part| Some(part.clone()))),
                None => digest(self.identity.of_values(), self.written(&mapped.records, row)),
            };
            let chosen = chosen.map(|ids| text(ids, row));
            Some(Source { digest, key: key.map(|parts| parts.join(", ")), chosen })
        };
        Ok((0..batch.num_rows()).map(source).collect())
    }

    /// The names and values of what is sent of a record, without an id that we chose.
    fn written(&self, records: &RecordBatch, row: usize) -> impl Iterator<Item = Option<String>> {
        let schema = records.schema();
        let columns = schema.fields().iter().zip(records.columns());
        let own = columns.filter(|(field, _)| Some(field.name().as_str()) != self.chosen_name());
        let parts = own.flat_map(|(field, array)| {
            let value = array.is_valid(row).then(|| Value::at(array.as_ref(), row).to_string());
            [Some(field.name().clone()), value]
        });
        parts.collect::<Vec<_>>().into_iter()
    }

    /// The values that are sent of a record, by field, without an id that we chose.
    pub(super) fn values_sent(&self, records: &RecordBatch, row: usize) -> Map<String, Json> {
        let schema = records.schema();
        let columns = schema.fields().iter().zip(records.columns());
        let own = columns.filter(|(field, _)| Some(field.name().as_str()) != self.chosen_name());
        own.map(|(field, array)| (field.name().clone(), Value::at(array.as_ref(), row).to_json())).collect()
    }
}

/// Each part with its length, so that no two lists of parts are written alike.
fn digest(of: &[String], parts: impl Iterator<Item = Option<String>>) -> String {
    let mut name = String::new();
    for part in of.iter().cloned().map(Some).chain(parts) {
        match part {
            Some(part) => write!(name, "{}:{part};", part.len()).ok(),
            None => write!(name, "-;").ok(),
        };
    }
    blake3::hash(name.as_bytes()).to_hex().chars().take(32).collect()
}
