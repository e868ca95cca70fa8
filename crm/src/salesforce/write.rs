//! Writing: few records by sObject Collections, many by one job of Bulk API 2.0 a batch.
//!
//! Neither has a key of its own that makes two requests one. An upsert by a unique external id, an update and a deletion
//! are the same when repeated. An insert is not: by collections it is never sent twice, and what became of it is in doubt
//! where no answer came; by a bulk job it is exact, because the job's id is recorded before anything is in it.

mod bulk;
mod collections;
mod landed;
mod payload;

use arrow::array::RecordBatch;
use engine::failure::{Class, Failure};
use engine::outside::crm::{Batch, Operation, Outcome, Payload, Write, WritePlan};
use engine::reject::Reject;
use jiff::SignedDuration;

use super::session::Session;
use super::{error, field};

/// The way of few records.
const COLLECTIONS: &str = "collections";
/// The way of many.
pub(super) const BULK: &str = "bulk";
/// Records of one request of collections.
const ROWS_MAX: usize = 200;
/// Records of one request that deletes: their ids stand in the address, which stays short of 2,000 characters.
const DELETED_ROWS_MAX: usize = 90;
/// Requests of collections at once; more only make transactions wait for each other.
const COLLECTIONS_AT_ONCE: usize = 4;
/// Jobs at once; each is worked on in parallel by Salesforce itself.
const JOBS_AT_ONCE: usize = 2;
/// The most bytes of a request of collections.
const COLLECTIONS_BYTES_MAX: usize = 4 << 20;
/// The most bytes of a job: Salesforce takes 150 MB in base64, its header included.
const JOB_BYTES_MAX: usize = 99 << 20;

/// How so many records would be written.
pub(super) fn plan(session: &Session, write: &Write, records: u64) -> Result<WritePlan, Failure> {
    require_key(session.account(), write)?;
    let is_many = records > u64::from(session.bulk.from);
    // A job knows neither the header that lets alerts of duplicate rules pass, nor a key that must exist already.
    let may_be_bulk = write.detect_duplicates && !is_update_by_key(write);
    let most = |own: usize| write.batch_max.unwrap_or(own).clamp(1, own);
    // No more than there are lanes: what waits for one stands in the way of other runs.
    let lanes = session.http.limits().requests_at_once.max(1) as usize;
    let at_once = |own: usize| write.at_once_max.unwrap_or(own).clamp(1, lanes);
    Ok(if is_many && may_be_bulk {
        WritePlan {
            method: BULK.to_owned(),
            records_max: most(session.bulk.records_per_job.max(1) as usize),
            bytes_max: JOB_BYTES_MAX,
            at_once: at_once(JOBS_AT_ONCE),
        }
    } else {
        WritePlan {
            method: COLLECTIONS.to_owned(),
            records_max: most(if write.operation == Operation::Delete { DELETED_ROWS_MAX } else { ROWS_MAX }),
            bytes_max: COLLECTIONS_BYTES_MAX,
            at_once: at_once(COLLECTIONS_AT_ONCE),
        }
    })
}

/// Whether the records that are changed must be found by an external id first.
pub(super) fn is_update_by_key(write: &Write) -> bool {
    write.operation == Operation::Update && !is_by_id(write)
}

pub(super) fn is_by_id(write: &Write) -> bool {
    write.key.len() == 1 && write.key[0] == write.object.id
}

/// Whether two such requests are one.
fn is_repeatable(write: &Write) -> bool {
    write.operation != Operation::Insert
}

fn require_key(account: &str, write: &Write) -> Result<(), Failure> {
    let object = &write.object;
    let config = |message: String| Failure::new(Class::Config, format!("{account}: {message}"));
    if write.chosen_ids {
        return Err(config(format!("Salesforce gives records of {} their ids itself", object.name))
            .help("let the record bring an external id, and say \"operation\": \"upsert\" with it as \"key\""));
    }
    let usable: Vec<&str> =
        object.keys.iter().filter(|key| key.unusable.is_none()).map(|key| key.name.as_str()).collect();
    let choice = match usable.as_slice() {
        [] => format!("{} has no external id that is Unique; an administrator adds one in Object Manager", object.name),
        keys => format!("{} can be found by {} or {}", object.name, object.id, keys.join(", ")),
    };
    match (write.operation, write.key.as_slice()) {
        (Operation::Insert, []) => Ok(()),
        (Operation::Insert, _) => Err(config(format!("an insert into {} has no key", object.name))),
        (Operation::Delete, _) if !is_by_id(write) => {
            Err(config(format!("{} is deleted by {} only", object.name, object.id)))
        }
        (_, [one]) if *one == object.id => Ok(()),
        (_, [_]) => match object.key(&write.key) {
            None => Err(config(format!("{} is no key of {}", write.key[0], object.name)).help(choice)),
            Some(key) => match &key.unusable {
                Some(why) => {
                    Err(config(format!("{} of {} cannot be relied on: {why}", key.name, object.name)).help(choice))
                }
                None => Ok(()),
            },
        },
        (_, []) => Err(config(format!("a key is missing for {}", object.name)).help(choice)),
        (_, several) => {
            Err(config(format!("{} cannot be found by {} together", object.name, several.join(", "))).help(choice))
        }
    }
}

/// Turns records into payloads.
pub(super) fn encode(
    write: &Write,
    plan: &WritePlan,
    records: &RecordBatch,
) -> Result<Vec<Result<Payload, Reject>>, Failure> {
    payload::encode(write, plan.method == BULK, records)
}

/// What a job is told to do.
pub(super) fn job_of(write: &Write) -> serde_json::Value {
    bulk::job_of(write)
}

/// Sends a batch.
pub(super) async fn send(session: &Session, batch: Batch<'_>) -> Result<Vec<Outcome>, Failure> {
    match batch.plan.method.as_str() {
        BULK => bulk::send(session, batch).await,
        COLLECTIONS => collections::send(session, batch).await,
        other => Err(Failure::internal(format!("{other} is no way to write to Salesforce"))),
    }
}

/// What is known of a batch that has no answer, from its steps alone.
pub(super) fn known(batch: &Batch<'_>) -> Vec<Option<Outcome>> {
    match batch.plan.method.as_str() {
        BULK => bulk::known(batch),
        _ => collections::known(batch),
    }
}

/// Salesforce ends a request after ten minutes. A job that was closed may wait for its turn, and is gone after seven days.
pub(super) fn longest_request(plan: &WritePlan) -> SignedDuration {
    match plan.method.as_str() {
        BULK => SignedDuration::from_hours(7 * 24),
        _ => SignedDuration::from_mins(15),
    }
}

/// Why a record without this key is refused: it is not there.
fn not_found(write: &Write) -> Reject {
    let message = format!("no {} has this {}", write.object.name, write.key.join(", "));
    let said = error::Said { error_code: "NOT_FOUND".to_owned(), message, fields: write.key.clone() };
    error::reject(&said)
}

/// A record's key in the CRM's own terms.
fn key_of(write: &Write, value: &str) -> String {
    let name = write.key.first().map_or("", String::as_str);
    field::key(&write.object, name, value).unwrap_or_else(|_| value.to_owned())
}
