//! Writing: records become payloads, payloads become batches, a batch has one outcome a record.
//!
//! ```text
//!   records ─encode─▶ payloads ─▶ batch ─┬─ intended (its bytes are durable) ─send─▶ outcomes ─▶ answered
//!                                        └─ after a crash or an unknown end: send again, with `again` set
//! ```
//!
//! Whoever calls keeps the bytes of a batch durably before it is sent, and never changes them. A connector that is
//! called with [`Batch::again`] must act by the rule that makes two writes one: a key that the CRM enforces, an id that
//! we chose, a job whose id was recorded. Where there is no such rule it sends nothing and says [`Outcome::InDoubt`].

use async_trait::async_trait;
use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

use super::{Object, ObjectField};
use crate::failure::Failure;
use crate::reject::Reject;

/// A request to write records.
#[derive(Debug, Clone)]
pub struct Write {
    /// Of what.
    pub object: Arc<Object>,
    /// What is done.
    pub operation: Operation,
    /// The fields by which existing records are found: the id, or those of one of [`Object::keys`]; empty for an insert.
    /// Each is one of `fields`.
    pub key: Vec<String>,
    /// What is written, in the order of the columns of the records.
    pub fields: Vec<WriteField>,
    /// Whether the id is one of `fields` because we chose it for new records: a record that is there already is then ours.
    pub chosen_ids: bool,
    /// Whether the CRM's own rules against duplicates apply.
    pub detect_duplicates: bool,
    /// The rule by which the CRM assigns owners to new records, where it has such rules (Salesforce, of leads and cases).
    pub assignment_rule: Option<String>,
    /// The most records of one batch, where the author said so.
    pub batch_max: Option<usize>,
    /// The most batches at once, where the author said so.
    pub at_once_max: Option<usize>,
}

impl Write {
    /// By the CRM's own rules against duplicates, and in batches of the usual sizes; new records get their ids there.
    pub fn new(
        object: Arc<Object>,
        operation: Operation,
        key: impl IntoIterator<Item = impl Into<String>>,
        fields: Vec<WriteField>,
    ) -> Self {
        Self {
            object,
            operation,
            key: key.into_iter().map(Into::into).collect(),
            fields,
            chosen_ids: false,
            detect_duplicates: true,
            assignment_rule: None,
            batch_max: None,
            at_once_max: None,
        }
    }
}

/// What a write does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Operation {
    /// Makes new records.
    Insert,
    /// Changes records that are there, and makes none.
    Update,
    /// Changes the record that has the key, and makes one where none has it.
    Upsert,
    /// Deletes records by their ids.
    Delete,
}

/// A field to write.
#[derive(Debug, Clone)]
pub struct WriteField {
    /// As described.
    pub field: ObjectField,
    /// The column is text that goes to the CRM as it is.
    pub raw: bool,
    /// Of a reference that may point to several objects: which one it is, by internal name; a column of the records with the
    /// field's name and `_type` says it record by record.
    pub target: Option<String>,
}

/// How a connector will write so many records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WritePlan {
    /// The connector's word for the way, such as `collections` or `bulk`; durable, so that it stays the same after a crash.
    pub method: String,
    /// The most records of one batch.
    pub records_max: usize,
    /// The most bytes of the payloads of one batch.
    pub bytes_max: usize,
    /// Batches that are worth sending at once; the account's own limits may allow fewer.
    pub at_once: usize,
}

/// One record as it will be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// What identifies the record in the CRM, normalised so that two equal ones are the same record; none for an insert.
    pub key: Option<String>,
    /// The record as the connector wrote it; only it understands it.
    pub bytes: Bytes,
}

/// A batch to send. Its bytes are durable, and always the same.
#[derive(Clone, Copy)]
pub struct Batch<'a> {
    /// What the export writes.
    pub write: &'a Write,
    /// How.
    pub plan: &'a WritePlan,
    /// Names the batch among all batches of all exports of this data folder.
    pub name: &'a str,
    /// Its records.
    pub payloads: &'a [Bytes],
    /// Whether it may have been sent before, by this process or an earlier one.
    pub again: bool,
    /// What must be known after a crash while it is being sent.
    pub steps: &'a dyn Steps,
}

impl std::fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch").field("name", &self.name).field("again", &self.again).finish_non_exhaustive()
    }
}

/// Where a connector keeps, durably, how far the sending of one batch has come, such as the id of a bulk job.
#[async_trait]
pub trait Steps: Send + Sync {
    /// The last step that was recorded, by this process or an earlier one.
    fn last(&self) -> Option<Value>;

    /// Records a step; it is durable when this returns.
    ///
    /// # Errors
    /// Where the disk does not take it; the connector must then not go on.
    async fn record(&self, step: Value) -> Result<(), Failure>;
}

/// What became of one record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// The CRM has it.
    Done {
        /// The record's id in the CRM.
        id: String,
        /// What happened.
        what: What,
    },
    /// The CRM refused this record.
    Refused(Reject),
    /// It is not known, and cannot be found out, whether it took hold.
    InDoubt {
        /// Why not, for a person who looks it up.
        reason: String,
    },
}

/// What happened to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum What {
    /// It is new.
    Created,
    /// It was there, and has the new values.
    Updated,
    /// It was there, and nothing was written.
    Unchanged,
    /// It is gone.
    Deleted,
    /// It was gone before.
    Absent,
}

impl What {
    /// The word in populations and counts.
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
            Self::Deleted => "deleted",
            Self::Absent => "absent",
        }
    }
}
