//! After an unknown end, which records of an upsert took hold: they are not written once more, since that would set off
//! the organisation's flows and triggers a second time.

use std::collections::HashMap;

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use bytes::Bytes;
use engine::failure::Failure;
use engine::outside::crm::{FETCH_MAX, Outcome, Read, ReadField, What, Write};
use jiff::Timestamp;
use serde_json::{Map, Value as Json};

use super::super::fetch;
use super::super::session::Session;
use super::key_of;
use crate::numbers;

/// Beside the fields that were written, what tells whether a record was changed since it was made.
const MADE: &str = "CreatedDate";
const CHANGED: &str = "LastModifiedDate";

/// Of each payload of an upsert by an external id, what became of it where Salesforce has just these values.
pub(super) async fn landed(
    session: &Session,
    write: &Write,
    payloads: &[Bytes],
) -> Result<Vec<Option<Outcome>>, Failure> {
    let key = write.key.first().map(String::as_str).unwrap_or_default();
    let records: Vec<Map<String, Json>> = payloads
        .iter()
        .map(|payload| serde_json::from_slice(payload).map_err(|error| Failure::internal(error.to_string())))
        .collect::<Result<_, _>>()?;
    let keys: Vec<String> = records.iter().map(|record| text_key(write, record.get(key))).collect();
    let written = write.fields.iter().map(|field| field.field.name.as_str());
    let names: Vec<&str> = [write.object.id.as_str(), MADE, CHANGED, key].into_iter().chain(written).collect();
    let fields = names.iter().filter_map(|name| write.object.fields.get(*name));
    let mut read = Vec::new();
    for field in fields.filter(|field| field.readable) {
        if !read.iter().any(|known: &ReadField| known.field.name == field.name) {
            read.push(ReadField { field: field.clone(), raw: true });
        }
    }
    let read = Read::new(write.object.clone(), read);
    let mut found: HashMap<String, (RecordBatch, usize)> = HashMap::new();
    for chunk in keys.chunks(FETCH_MAX) {
        let page = fetch::fetch(session, &read, key, chunk).await?;
        for row in 0..page.records.num_rows() {
            if let Some(value) = cell(&page.records, key, row) {
                found.insert(key_of(write, value), (page.records.clone(), row));
            }
        }
    }
    let outcome = |(key, record): (&String, &Map<String, Json>)| {
        let (batch, row) = found.get(key)?;
        let has = |name: &str| cell(batch, name, *row);
        let is_same = record.iter().filter(|(name, _)| *name != "attributes").all(|(name, value)| match value {
            Json::Object(related) => related.iter().all(|(key, value)| same(value, has(&format!("{name}.{key}")))),
            value => same(value, has(name)),
        });
        let what = if has(MADE) == has(CHANGED) { What::Created } else { What::Updated };
        let id = has(&write.object.id)?.to_owned();
        is_same.then_some(Outcome::Done { id, what })
    };
    Ok(keys.iter().zip(&records).map(outcome).collect())
}

fn text_key(write: &Write, value: Option<&Json>) -> String {
    match value {
        Some(Json::String(text)) => key_of(write, text),
        Some(other) => key_of(write, &other.to_string()),
        None => String::new(),
    }
}

fn cell<'a>(batch: &'a RecordBatch, name: &str, row: usize) -> Option<&'a str> {
    let column: &StringArray = batch.column_by_name(name)?.as_string_opt::<i32>()?;
    column.is_valid(row).then(|| column.value(row))
}

/// Whether a value that was sent is the one that Salesforce has, which writes instants and numbers its own way. What is not
/// sure to be the same is taken as different: it is then written once more.
fn same(sent: &Json, has: Option<&str>) -> bool {
    match (sent, has) {
        (Json::Null, None) => true,
        (Json::String(sent), None) => sent.is_empty(),
        (Json::String(sent), Some(has)) => {
            let instant = |text: &str| text.parse::<Timestamp>().ok();
            sent == has || instant(sent).is_some_and(|at| instant(has) == Some(at))
        }
        (Json::Bool(sent), Some(has)) => has == if *sent { "true" } else { "false" },
        (Json::Number(sent), Some(has)) => numbers::are_same(&sent.to_string(), has),
        _ => false,
    }
}
