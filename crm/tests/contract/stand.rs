//! What a definition needs of a stand-in, and small steps that the definitions share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{Field, Schema};
use async_trait::async_trait;
use engine::failure::{Class, Failure};
use engine::outside::crm::{
    Batch, Crm, Cursor, Object, Operation, Outcome, Page, Payload, Read, ReadField, Steps, What, Window, Write,
    WriteField, WritePlan,
};
use engine::reject::Reject;
use futures::StreamExt;
use jiff::Timestamp;
use sandbox::{By, Change, ChangeKind, Sandbox};
use serde_json::Value;

/// How a system calls what the definitions are about: people.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names {
    pub(crate) object: &'static str,
    pub(crate) id: &'static str,
    /// A text of at most 50 characters, not null.
    pub(crate) name: &'static str,
    /// A text that may be null.
    pub(crate) mail: &'static str,
    /// A text that is an alternate key, or an external id.
    pub(crate) key: &'static str,
    /// A whole number, a number with places, a day, and an instant.
    pub(crate) typed: [&'static str; 4],
    /// The time of the last change.
    pub(crate) changed: &'static str,
}

/// What goes wrong with the next request of its kind.
#[derive(Debug, Clone)]
pub(crate) enum Trouble {
    /// A write takes hold, and its reply is lost.
    LostReply,
    /// A request is refused once, with a time after which to come again.
    Busy,
    /// All tokens end before the second page.
    TokenEnds,
    /// Before the second page, or before records are read by ids, one person is changed now and another deleted.
    Between { changed: u32, deleted: u32 },
}

/// A system's stand-in with an account that speaks to it, five records a page.
pub(crate) trait Stand: Sync {
    fn sandbox(&self) -> &Sandbox;
    fn crm(&self) -> &dyn Crm;
    fn names(&self) -> Names;
    /// The id of the n-th person.
    fn id(&self, n: u32) -> String;
    /// Puts the n-th person there, last changed at this time.
    fn put(&self, n: u32, name: &str, changed: Timestamp);
    /// Deletes the n-th person, and lets a minute pass; tells when.
    fn delete(&self, n: u32) -> Timestamp;
    fn trouble(&self, trouble: Trouble);
    /// What was done to records, from this number on.
    fn log(&self, from: u64) -> Vec<Change>;
    /// The first number that was not asked for yet.
    fn seen(&self) -> &AtomicU64;
    /// Of all writes over the wire since the last call: what was done to which record, in order.
    fn changes(&self) -> Vec<(What, String)> {
        let changes = self.log(self.seen().load(Ordering::SeqCst));
        if let Some(last) = changes.last() {
            self.seen().store(last.number + 1, Ordering::SeqCst);
        }
        let what = |kind| match kind {
            ChangeKind::Created => What::Created,
            ChangeKind::Updated => What::Updated,
            ChangeKind::Deleted => What::Deleted,
        };
        let wire = changes.into_iter().filter(|change| matches!(change.by, By::Wire));
        wire.map(|change| (what(change.kind), change.id)).collect()
    }
    /// Ways to write, as most records of a batch and whether rules against duplicates apply.
    fn methods(&self) -> Vec<(Option<usize>, bool)>;
}

/// The time at which the tests begin.
pub(crate) fn noon() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

/// So many seconds later.
pub(crate) fn later(seconds: i64) -> Timestamp {
    Timestamp::from_second(noon().as_second() + seconds).unwrap()
}

pub(crate) async fn object(stand: &dyn Stand) -> Arc<Object> {
    Arc::new(stand.crm().describe(stand.names().object).await.unwrap())
}

/// A reading of id and time.
pub(crate) async fn read(stand: &dyn Stand) -> Read {
    let object = object(stand).await;
    let names = stand.names();
    let field = |name: &str| ReadField { field: object.fields[name].clone(), raw: false };
    let fields = [names.id, names.changed, names.name].map(field);
    Read::new(object.clone(), fields.to_vec())
}

/// Within a window of the time of change.
pub(crate) fn windowed(stand: &dyn Stand, read: Read, to: Timestamp) -> Read {
    Read { window: Some(Window { field: stand.names().changed.to_owned(), from: None, to }), ..read }
}

pub(crate) async fn pages(stand: &dyn Stand, read: &Read, from: Option<Cursor>) -> Vec<Page> {
    let pages: Vec<Result<Page, Failure>> = stand.crm().read(Arc::new(read.clone()), from).collect().await;
    pages.into_iter().collect::<Result<_, _>>().unwrap()
}

/// The ids of these pages, in order.
pub(crate) fn ids(pages: &[Page]) -> Vec<String> {
    let of = |page: &Page| {
        page.records.column(0).as_string::<i32>().iter().map(|id| id.unwrap().to_owned()).collect::<Vec<_>>()
    };
    pages.iter().flat_map(of).collect()
}

/// A write of these fields, the first of which are the key.
pub(crate) async fn write(stand: &dyn Stand, operation: Operation, key: &[&str], fields: &[&str]) -> Write {
    let object = object(stand).await;
    let field = |name: &&str| WriteField { field: object.fields[*name].clone(), raw: false, target: None };
    let fields = fields.iter().map(field).collect();
    Write { detect_duplicates: false, ..Write::new(object.clone(), operation, key.iter().copied(), fields) }
}

/// Records of texts, in the order of the write's fields.
pub(crate) fn texts(write: &Write, rows: &[Vec<Option<String>>]) -> RecordBatch {
    let column =
        |place: usize| -> ArrayRef { Arc::new(rows.iter().map(|row| row[place].as_deref()).collect::<StringArray>()) };
    let fields = write.fields.iter().map(|field| Field::new(&field.field.name, arrow::datatypes::DataType::Utf8, true));
    let columns = (0..write.fields.len()).map(column).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), columns).unwrap()
}

pub(crate) fn row(texts: &[&str]) -> Vec<Option<String>> {
    texts.iter().map(|text| Some((*text).to_owned())).collect()
}

/// Steps in memory.
#[derive(Default)]
pub(crate) struct Kept(Mutex<Option<Value>>);

#[async_trait]
impl Steps for Kept {
    fn last(&self) -> Option<Value> {
        self.0.lock().unwrap().clone()
    }

    async fn record(&self, step: Value) -> Result<(), Failure> {
        *self.0.lock().unwrap() = Some(step);
        Ok(())
    }
}

/// One record's end: the outcome, or why it was not sent.
pub(crate) type End = Result<Outcome, Reject>;

/// Writes records as an export does: a batch without a known end is sent again.
pub(crate) async fn send(stand: &dyn Stand, write: &Write, records: &RecordBatch) -> Vec<End> {
    let plan = stand.crm().write_plan(write, records.num_rows() as u64).unwrap();
    let encoded = stand.crm().encode(write, &plan, records).unwrap();
    let mut ends: Vec<Option<End>> = encoded.iter().map(|one| one.as_ref().err().cloned().map(Err)).collect();
    let sent: Vec<(usize, Payload)> =
        encoded.into_iter().enumerate().filter_map(|(place, one)| Some((place, one.ok()?))).collect();
    for (number, batch) in sent.chunks(plan.records_max).enumerate() {
        let payloads: Vec<_> = batch.iter().map(|(_, payload)| payload.bytes.clone()).collect();
        let outcomes = deliver(stand, write, &plan, &format!("batch-{number}"), &payloads).await;
        assert_eq!(outcomes.len(), payloads.len());
        for ((place, _), outcome) in batch.iter().zip(outcomes) {
            ends[*place] = Some(Ok(outcome));
        }
    }
    ends.into_iter().map(Option::unwrap).collect()
}

async fn deliver(
    stand: &dyn Stand,
    write: &Write,
    plan: &WritePlan,
    name: &str,
    payloads: &[bytes::Bytes],
) -> Vec<Outcome> {
    let steps = Kept::default();
    for again in [false, true, true] {
        let batch = Batch { write, plan, name, payloads, again, steps: &steps };
        match stand.crm().send(batch).await {
            Ok(outcomes) => return outcomes,
            Err(failure) => assert!(failure.class == Class::InDoubt, "{failure}"),
        }
    }
    panic!("no end after three sendings");
}

/// Ends as words: `created`, `InDoubt`, or a code.
pub(crate) fn words(ends: &[End]) -> Vec<String> {
    let word = |end: &End| match end {
        Ok(Outcome::Done { what, .. }) => what.word().to_owned(),
        Ok(Outcome::Refused(reject)) | Err(reject) => reject.code.clone(),
        Ok(Outcome::InDoubt { .. }) => "in doubt".to_owned(),
    };
    ends.iter().map(word).collect()
}

/// The ids of those that the CRM has.
pub(crate) fn done(ends: &[End]) -> Vec<String> {
    ends.iter().filter_map(|end| if let Ok(Outcome::Done { id, .. }) = end { Some(id.clone()) } else { None }).collect()
}
