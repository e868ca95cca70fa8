//! What a CRM can do for us. One implementation a system, in the crate `crm`.

mod kept;
mod object;
mod read;
mod way;
mod write;

use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::expr::Value;
use crate::failure::{Class, Failure};
use crate::reject::Reject;

pub use kept::kept;
pub use object::{CHOICES_TOLD_MAX, FieldKind, Object, ObjectField, ObjectKey, ObjectName, Target, choices};
pub use read::{
    CURSOR_BYTES_MAX, Cursor, Deleted, DeletedPage, DeletedSpan, Feed, Misfit, OrderBy, Page, Query, Range, Read,
    ReadDeleted, ReadField, Versions, Window,
};
pub use way::Way;
pub use write::{Batch, Operation, Outcome, Payload, Steps, What, Write, WriteField, WritePlan};

/// A kind of CRM: what is known of all its accounts without asking.
#[derive(Debug)]
pub struct System {
    /// Its name as a reader knows it, such as `Dynamics`.
    pub name: &'static str,
    /// Index fields of the automatic index, the first that an object has is taken.
    pub index_fields: &'static [&'static str],
    /// The field that tells which user changed a record last, as [`Crm::user`] names users.
    pub changed_by: &'static str,
    /// Whether a new record may bring its own id, so that an insert that is sent twice is one.
    pub client_ids: bool,
    /// Whether deleted, archived and merged records can be read, and the field that tells them.
    pub query_all: Option<&'static str>,
    /// Whether changes and deletions can be read from a feed of the system's own, of the objects that have it.
    pub change_feed: bool,
    /// How an administrator has another object keep such a feed, for messages; empty where there is no such way.
    pub new_feed: &'static str,
    /// How an administrator has deletions of an object kept with their times, for messages; empty where there is no such way.
    pub new_log: &'static str,
    /// What a period of deletions brings where the system does not say when records were deleted, for messages; empty where
    /// it always does.
    pub untimed_deletions: &'static str,
    /// How an administrator makes a key besides the id, for messages; empty where there is no such way.
    pub new_key: &'static str,
}

/// An account of the configuration. Its connector is made when it is first used: a secret that is missing stands in
/// nobody's way who does not need it.
pub struct Account {
    /// What kind of CRM it is.
    pub system: &'static System,
    make: Box<dyn Fn() -> Result<Arc<dyn Crm>, Failure> + Send + Sync>,
    made: OnceLock<Arc<dyn Crm>>,
}

impl Account {
    /// An account whose connector is still to be made.
    pub fn new(
        system: &'static System,
        make: impl Fn() -> Result<Arc<dyn Crm>, Failure> + Send + Sync + 'static,
    ) -> Self {
        Self { system, make: Box::new(make), made: OnceLock::new() }
    }

    /// Its connector. Where it cannot be made, the next call tries again: somebody may have set the secret that is missing.
    ///
    /// # Errors
    /// `Class::Config` where the configuration is wrong or a secret is missing.
    pub fn crm(&self) -> Result<Arc<dyn Crm>, Failure> {
        if let Some(made) = self.made.get() {
            return Ok(Arc::clone(made));
        }
        let crm = (self.make)()?;
        Ok(Arc::clone(self.made.get_or_init(|| crm)))
    }

    /// Checks it step by step.
    pub async fn test(&self) -> Vec<Step> {
        match self.crm() {
            Ok(crm) => crm.test().await,
            Err(failure) => vec![Step { name: "read the configuration".to_owned(), result: Err(failure) }],
        }
    }
}

impl From<Arc<dyn Crm>> for Account {
    fn from(crm: Arc<dyn Crm>) -> Self {
        Self::new(crm.system(), move || Ok(Arc::clone(&crm)))
    }
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("system", &self.system.name).finish_non_exhaustive()
    }
}

/// One account of a CRM.
#[async_trait]
pub trait Crm: Send + Sync {
    /// What kind of CRM it is.
    fn system(&self) -> &'static System;

    /// The CRM's own clock, read from an answer of it now.
    ///
    /// # Errors
    /// Where the CRM cannot be reached or refuses the login.
    async fn now(&self) -> Result<Timestamp, Failure>;

    /// The id that the system itself has for the organisation that the account leads to; none if it has no such id.
    ///
    /// # Errors
    /// If the system cannot be reached or refuses the login.
    async fn organisation(&self) -> Result<Option<String>, Failure> {
        Ok(None)
    }

    /// The objects that the account may read, by name with label.
    ///
    /// # Errors
    /// Where the CRM cannot be reached or refuses the login.
    async fn objects(&self) -> Result<Vec<ObjectName>, Failure>;

    /// Describes one object with all its fields, asking the CRM.
    ///
    /// # Errors
    /// `Class::Config` where there is no such object; the message offers similar names.
    async fn describe(&self, object: &str) -> Result<Object, Failure>;

    /// Describes a field of a related record, such as `Account.AccountNumber`; its name is that path.
    ///
    /// # Errors
    /// `Class::Config` where there is no such way or field; the message offers similar names.
    async fn describe_path(&self, object: &Object, path: &str) -> Result<ObjectField, Failure> {
        let message = format!("{} of {}: {} reads no fields of related records", path, object.name, self.system().name);
        Err(Failure::new(Class::Config, message))
    }

    /// The query that [`read`](Crm::read) would begin with, for `explain`.
    ///
    /// # Errors
    /// Where the request cannot be expressed, such as a field that the object lacks.
    fn query(&self, read: &Read) -> Result<Query, Failure>;

    /// How many records a reading would bring, where the CRM tells that cheaply; it may be a little more or less.
    ///
    /// # Errors
    /// Where the CRM cannot be asked.
    async fn count(&self, _read: &Read) -> Result<Option<u64>, Failure> {
        Ok(None)
    }

    /// How [`read`](Crm::read) would go where so many records come, in so many parts side by side (0 as a whole).
    ///
    /// # Errors
    /// Where the request cannot be expressed.
    fn read_way(&self, read: &Read, _records: Option<u64>, _parts: u64) -> Result<Way, Failure> {
        Ok(Way { method: "query".to_owned(), request: self.query(read)?.text, ..Way::default() })
    }

    /// Parts of a reading that are worth reading side by side, at most so many; none where it is to be read as a whole.
    /// Together they bring every record once.
    ///
    /// # Errors
    /// Where the CRM cannot be asked.
    async fn ranges(&self, _read: &Read, _at_most: usize) -> Result<Vec<Range>, Failure> {
        Ok(Vec::new())
    }

    /// Reads records, a page at a time, from the beginning or from the cursor of an earlier page.
    ///
    /// Columns of each page are those of [`Read::schema`], in its order. A page whose records fit is decoded at once;
    /// records that do not fit their type are in [`Page::rejects`]. Between pages the stream fetches ahead.
    fn read(&self, read: Arc<Read>, from: Option<Cursor>) -> BoxStream<'static, Result<Page, Failure>>;

    /// Reads the records that have these values of a key field, the id or another one; those that are not there are
    /// missing. At most [`FETCH_MAX`] values, each as [`key`](Crm::key) gives it. The key is one of the read fields.
    ///
    /// # Errors
    /// Where the CRM cannot be asked.
    async fn fetch(&self, read: &Read, _key: &str, _values: &[String]) -> Result<Page, Failure> {
        Err(Failure::new(
            Class::Config,
            format!("{} cannot be read by ids from {}", read.object.name, self.system().name),
        ))
    }

    /// How [`fetch`](Crm::fetch) would go for so many ids.
    ///
    /// # Errors
    /// Where the request cannot be expressed.
    fn fetch_way(&self, read: &Read, _records: u64) -> Result<Way, Failure> {
        Err(Failure::new(
            Class::Config,
            format!("{} cannot be read by ids from {}", read.object.name, self.system().name),
        ))
    }

    /// A value of a key as the system compares it: two equal ones are the same record. Of an id, `Err` says why it is
    /// none.
    ///
    /// # Errors
    /// What is wrong with it, for a reject's message.
    fn key(&self, _object: &Object, _field: &str, value: &str) -> Result<String, String> {
        Ok(value.to_owned())
    }

    /// A value of a field as the system keeps it once it is written: text without what it takes away, a time without what it
    /// cuts off. Two values that are kept alike are the same there, so that neither replaces the other.
    fn kept(&self, _field: &ObjectField, value: Value) -> Value {
        kept(value)
    }

    /// Reads the ids of records that were deleted, in pages.
    fn deleted(
        &self,
        read: Arc<ReadDeleted>,
        _from: Option<Cursor>,
    ) -> BoxStream<'static, Result<DeletedPage, Failure>> {
        let message = format!("{} does not tell what was deleted of {}", self.system().name, read.object.name);
        stream::once(async { Err(Failure::new(Class::Config, message)) }).boxed()
    }

    /// How [`deleted`](Crm::deleted) would go. It asks the CRM who keeps what was deleted, and reads none of it.
    ///
    /// # Errors
    /// Where nobody keeps it, or not for so long; where the CRM cannot be asked.
    async fn deleted_way(&self, read: &ReadDeleted) -> Result<Way, Failure> {
        let message = format!("{} does not tell what was deleted of {}", self.system().name, read.object.name);
        Err(Failure::new(Class::Config, message))
    }

    /// Whether the system, as it is set up now, tells what was deleted of this object in a period, or since the last time
    /// (`is_incremental`); false where it does not say when, so that a period brings all that it still has.
    ///
    /// # Errors
    /// `Class::Config` where it does not: what must be switched on. Else why it cannot be asked.
    async fn tells_deleted(&self, _object: &Object, _is_incremental: bool) -> Result<bool, Failure> {
        Ok(true)
    }

    /// How so many records would be written.
    ///
    /// # Errors
    /// `Class::Config` where the object does not allow it, or the key is none of it; the message says what is possible.
    fn write_plan(&self, write: &Write, _records: u64) -> Result<WritePlan, Failure> {
        let message = format!("{} cannot be written to {}", write.object.name, self.system().name);
        Err(Failure::new(Class::Config, message))
    }

    /// How so many batches of a plan would be sent; the calls are those where nothing goes wrong.
    fn write_way(&self, _write: &Write, plan: &WritePlan, batches: u64) -> Way {
        Way { method: plan.method.clone(), calls: Some(batches), ..Way::default() }
    }

    /// Turns records into payloads, or says of each why it cannot be sent. A pure function: no request is made.
    ///
    /// Columns are those of [`Write::fields`], each of the field's own type or text, and then the `…_type` columns.
    ///
    /// # Errors
    /// Where the columns are not those.
    fn encode(
        &self,
        write: &Write,
        _plan: &WritePlan,
        _records: &RecordBatch,
    ) -> Result<Vec<Result<Payload, Reject>>, Failure> {
        Err(Failure::internal(format!("no way to write {}", write.object.name)))
    }

    /// Sends a batch and tells what became of each of its records, in their order.
    ///
    /// # Errors
    /// `Class::InDoubt` where it is not known what took hold; the batch may be sent again, with [`Batch::again`]. Any other
    /// class: what is still open of it was not accepted; it too may be sent again so, and goes on from its [`Batch::steps`].
    async fn send(&self, batch: Batch<'_>) -> Result<Vec<Outcome>, Failure> {
        Err(Failure::internal(format!("no way to write {}", batch.write.object.name)))
    }

    /// What is known, from its steps alone, of the records of a batch that may have been sent and has no answer. Nothing is
    /// asked; `None` of a record that was surely not taken.
    fn known(&self, batch: Batch<'_>) -> Vec<Option<Outcome>> {
        let reason = "its export ended before it was known whether the CRM took it".to_owned();
        vec![Some(Outcome::InDoubt { reason }); batch.payloads.len()]
    }

    /// The longest time after which a request without an answer may still take hold.
    fn longest_request(&self, _plan: &WritePlan) -> SignedDuration {
        SignedDuration::from_mins(15)
    }

    /// The user that the account logs in as, as the field [`System::changed_by`] has it; none if the system does not say it.
    ///
    /// # Errors
    /// Where the CRM cannot be asked.
    async fn user(&self) -> Result<Option<String>, Failure> {
        Ok(None)
    }

    /// Records that the account's own user created in a span of time, deleted ones included; `None` if there are more than
    /// `most`, or if the system does not tell who created them.
    ///
    /// # Errors
    /// Where the CRM cannot be asked.
    async fn created(
        &self,
        _read: &Read,
        _span: (Timestamp, Timestamp),
        _most: usize,
    ) -> Result<Option<Page>, Failure> {
        Ok(None)
    }

    /// Allowances of the account, and what is left of them.
    ///
    /// # Errors
    /// Where the CRM cannot be asked.
    async fn limits(&self) -> Result<Vec<Allowance>, Failure> {
        Ok(Vec::new())
    }

    /// Checks the account step by step, for `accounts test`.
    async fn test(&self) -> Vec<Step>;
}

/// The most values of one [`Crm::fetch`].
pub const FETCH_MAX: usize = 2_000;

/// One step of a test of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What was tried, such as "log in".
    pub name: String,
    /// What came of it; the failure's help says what is missing.
    pub result: Result<String, Failure>,
}

/// How much of something an account may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Allowance {
    /// Of what, such as `DailyApiRequests`.
    pub name: String,
    /// The whole allowance.
    pub max: u64,
    /// What is left of it.
    pub left: u64,
    /// The time after which it is whole again, in words, such as `24 hours`.
    pub window: String,
}
