//! Writing: by which messages, in batches of which size.
//!
//! ```text
//!   multiple   CreateMultiple, UpdateMultiple, UpsertMultiple   one transaction, all or none; the fastest
//!      │ refused: on as
//!   batch      $batch, going on after errors                    every record by itself
//!   single     one request a record
//! ```
//!
//! A payload is the record's place (what stands in the parentheses of its address), a line end, and its JSON.

mod encode;
mod outcome;
mod send;

use engine::failure::{Class, Failure};
use engine::outside::crm::{Operation, Write, WriteField, WritePlan};

use super::column;
use super::session::Session;

pub(super) use encode::encode;
pub(super) use send::{address, message, send};

/// One transaction for all records.
pub(super) const MULTIPLE: &str = "multiple";
/// One request for all records, each by itself.
pub(super) const BATCH: &str = "batch";
/// One request for each record.
const SINGLE: &str = "single";

/// The most records of `CreateMultiple` and its like: Microsoft's own advice.
const MULTIPLE_MAX: usize = 1_000;
/// The most requests of `$batch` that Dataverse takes.
const BATCH_MAX: usize = 1_000;
/// As many of them as are sent where the author says nothing: they are done one after the other, within two minutes.
const BATCH_USUAL: usize = 100;
/// The fewest records of a batch for which a lane of its own is worth it.
const RECORDS_A_LANE_MIN: u64 = 100;
/// The most bytes of the payloads of one batch; Dataverse itself ends at some 100 MB, and the time runs out before.
const BYTES_MAX: usize = 4 << 20;

/// How so many records would be written.
pub(super) fn plan(session: &Session, write: &Write, records: u64) -> Result<WritePlan, Failure> {
    check(session, write)?;
    let lanes = session.http.limits().requests_at_once.max(1) as usize;
    let at_once = write.at_once_max.unwrap_or(lanes).clamp(1, lanes);
    // A rule against duplicates is to be asked about each record once. Of upserts only single ones tell what they did.
    let (method, usual, most) = match write.batch_max {
        Some(0 | 1) => (SINGLE, 1, 1),
        _ if write.detect_duplicates || !is_for_multiple(write, records) => (BATCH, BATCH_USUAL, BATCH_MAX),
        _ => (MULTIPLE, MULTIPLE_MAX, MULTIPLE_MAX),
    };
    let share = records.div_ceil(at_once as u64).max(RECORDS_A_LANE_MIN);
    let share = usize::try_from(share).unwrap_or(usize::MAX).min(usual);
    let records_max = write.batch_max.unwrap_or(share).clamp(1, most);
    Ok(WritePlan { method: method.to_owned(), records_max, bytes_max: BYTES_MAX, at_once })
}

/// Records from which on an upsert is worth two more questions a batch, by which it is known which records were new.
const UPSERT_MULTIPLE_MIN: u64 = 2_000;

fn is_for_multiple(write: &Write, records: u64) -> bool {
    let by_id = write.key.contains(&write.object.id);
    match write.operation {
        Operation::Insert => true,
        Operation::Update if by_id => true,
        Operation::Update | Operation::Upsert => records >= UPSERT_MULTIPLE_MIN && send::can_tell(write),
        Operation::Delete => false,
    }
}

/// Whether the object allows it.
fn check(session: &Session, write: &Write) -> Result<(), Failure> {
    let (object, account) = (write.object.as_ref(), session.account());
    let refuse = |message: String, help: &str| {
        Err(Failure::new(Class::Config, format!("{account}: {}: {message}", object.name)).help(help))
    };
    if !column::is_identifier(&object.name) || !column::is_identifier(&object.internal_name) {
        return refuse("this is not the name of an object".to_owned(), "choose an object that `discover` lists");
    }
    for WriteField { field, .. } in &write.fields {
        let is_key = write.key.contains(&field.name) || field.name == object.id;
        let may = match write.operation {
            Operation::Insert => field.creatable,
            Operation::Update => field.updatable,
            Operation::Upsert => field.creatable || field.updatable,
            Operation::Delete => true,
        };
        if !column::is_identifier(&field.name) || column::is_lookup_type(field) || !may && !is_key {
            return refuse(
                format!("{} cannot be written", field.name),
                "leave it out of the mapping; the CRM sets this field by itself, or not in this operation",
            );
        }
    }
    let is_by_id = write.key.len() == 1 && write.key[0] == object.id;
    match write.operation {
        Operation::Insert if write.key.is_empty() => Ok(()),
        Operation::Insert => refuse("an insert has no key".to_owned(), "say \"operation\": \"upsert\""),
        Operation::Delete if !is_by_id => {
            refuse(format!("records are deleted by {} only", object.id), "look the ids up first")
        }
        _ if is_by_id => Ok(()),
        _ => match object.key(&write.key) {
            Some(key) => match &key.unusable {
                None => Ok(()),
                Some(reason) => refuse(
                    format!("the alternate key {} cannot be used: {reason}", key.name),
                    "do so in the CRM, or use another key",
                ),
            },
            None => {
                let usable = object.keys.iter().filter(|key| key.unusable.is_none());
                let keys = usable.map(|key| key.fields.join(" and "));
                let keys: Vec<String> = std::iter::once(object.id.clone()).chain(keys).collect();
                refuse(
                    format!("{} is no key by which records are found", write.key.join(" and ")),
                    &format!("choose one of these: {}", keys.join("; ")),
                )
            }
        },
    }
}
