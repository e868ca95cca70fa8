//! Rejects: records refused one by one, each with the reason. They have one shape everywhere: the record's columns, then
//! `errorCode`, `errorSymbol`, `errorMessage`, `errorField` and `errorHelp`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use engine::context::Cx;
use engine::event::Level;
use engine::failure::Failure;
use engine::reject::{COLUMNS, Reject};
use engine::types::is_hidden;
use serde::{Deserialize, Serialize};

/// How many kinds of rejects one task tells apart in its journal.
const KINDS_MAX: usize = 16;
/// How many of them a failure tells.
const KINDS_TOLD_MAX: usize = 3;
/// The longest message of a kind, in characters; the record itself has the whole message.
const MESSAGE_CHARS_MAX: usize = 160;

/// The columns of rejects, of those of the records. A record that was a reject before loses its old reason.
pub fn columns(records: &Schema) -> SchemaRef {
    let reasons = COLUMNS.map(|name| Arc::new(Field::new(name, DataType::Utf8, true)));
    let fields: Vec<FieldRef> = kept(records).map(|(_, field)| Arc::clone(field)).chain(reasons).collect();
    Arc::new(Schema::new(fields))
}

/// Records with the reason of each.
///
/// # Errors
/// Where there are not as many reasons as records.
pub fn batch(records: &RecordBatch, rejects: &[Reject]) -> Result<RecordBatch, Failure> {
    let text =
        |of: fn(&Reject) -> Option<&str>| -> ArrayRef { Arc::new(rejects.iter().map(of).collect::<StringArray>()) };
    let schema = records.schema();
    let mut values: Vec<ArrayRef> = kept(&schema).map(|(place, _)| Arc::clone(records.column(place))).collect();
    values.extend([
        text(|reject| Some(&reject.code)),
        text(|reject| Some(&reject.symbol)),
        text(|reject| Some(&reject.message)),
        text(|reject| reject.field.as_deref()),
        text(|reject| reject.help.as_deref()),
    ]);
    let mut fields = columns(&schema).fields().to_vec();
    for (field, column) in crate::rows::hidden(records) {
        fields.push(field);
        values.push(column);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), values).map_err(|error| Failure::internal(error.to_string()))
}

fn kept(records: &Schema) -> impl Iterator<Item = (usize, &FieldRef)> {
    let all = records.fields().iter().enumerate();
    all.filter(|(_, field)| !is_hidden(field) && !COLUMNS.contains(&field.name().as_str()))
}

/// Counts rejects by code, for warnings in the journal; it is part of a task's position, so that none is forgotten in a
/// crash.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Kinds(BTreeMap<String, Kind>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kind {
    records: u64,
    /// Of the first one.
    message: String,
}

impl Kinds {
    /// Counts one.
    pub fn count(&mut self, reject: &Reject) {
        if let Some(kind) = self.0.get_mut(&reject.code) {
            kind.records += 1;
            return;
        }
        let (code, message) = match self.0.len() < KINDS_MAX {
            true => (reject.code.clone(), reject.message.chars().take(MESSAGE_CHARS_MAX).collect()),
            false => ("others".to_owned(), "see the records".to_owned()),
        };
        self.0.entry(code).or_insert(Kind { records: 0, message }).records += 1;
    }

    /// What was counted, the most frequent first, as a message has room for.
    pub fn told(&self) -> String {
        let mut kinds: Vec<(&String, &Kind)> = self.0.iter().collect();
        kinds.sort_by_key(|(_, kind)| std::cmp::Reverse(kind.records));
        let told = kinds.iter().take(KINDS_TOLD_MAX);
        let mut told: Vec<String> =
            told.map(|(code, Kind { records, message })| format!("{records} × {code} ({message})")).collect();
        if kinds.len() > KINDS_TOLD_MAX {
            told.push("others".to_owned());
        }
        told.join("; ")
    }

    /// Writes a warning for each code into the journal, whether or not the port of the rejects leads on.
    ///
    /// # Errors
    /// Where the store does not take it.
    pub async fn warn(&self, cx: &Cx) -> Result<(), Failure> {
        for (code, Kind { records, message }) in &self.0 {
            let noun = if *records == 1 { "record" } else { "records" };
            cx.log(Level::Warning, format!("{records} {noun} rejected, {code}: {message}")).await?;
        }
        Ok(())
    }
}
