//! Microsoft Dynamics 365 / Dataverse, by its Web API v9.2.
//!
//! ```text
//!   account   what the configuration says        session   one request with token, headers, error codes
//!   metadata  describe()                         query     Read ─▶ the first request; odata renders the filter
//!   read      pages, cursor, fetching ahead      page      bytes ─▶ texts, which records makes Arrow
//! ```
//!
//! A lookup such as `parentcustomerid` is two fields to a workflow: `parentcustomerid`, the id, which the wire calls
//! `_parentcustomerid_value`, and `parentcustomerid_type`, the other object's internal name such as `account`. The
//! second is read only where it is asked for; it cannot be filtered or ordered by in the CRM.

mod account;
mod certificate;
mod column;
mod deleted;
mod error;
mod fetch;
mod key;
mod login;
mod metadata;
mod multipart;
mod odata;
mod page;
mod path;
mod progress;
mod query;
mod ranges;
mod read;
mod session;
mod steps;
mod way;
mod write;

use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use engine::expr::Value;
use engine::failure::Failure;
use engine::outside::clock::Clock;
use engine::outside::crm::{
    Allowance, Batch, Crm, Cursor, DeletedPage, Object, ObjectField, ObjectName, Outcome, Page, Payload, Query, Range,
    Read, ReadDeleted, Step, System, Way, Write, WritePlan,
};
use engine::reject::Reject;
use futures::stream::BoxStream;
use jiff::Timestamp;

pub use account::DynamicsAccount;
pub use page::PageDecoder;

use session::Session;

use crate::secret::Vault;

/// What is known of every environment.
pub static SYSTEM: System = System {
    name: "Dynamics",
    index_fields: &["modifiedon"],
    changed_by: "modifiedby",
    client_ids: true,
    query_all: None,
    change_feed: true,
    new_feed: "switch change tracking on for its table",
    new_log: "switch auditing on for the environment and its table",
    untimed_deletions: "it tells all that its recycle bin has, also what was deleted before or after the period",
    new_key: "another is made in Power Apps: the table, Keys",
};

/// One Dynamics 365 environment.
#[derive(Debug, Clone)]
pub struct Dynamics {
    session: Arc<Session>,
}

impl Dynamics {
    /// An account of this name; nothing is sent yet.
    ///
    /// `vault` is the encrypted store, for a secret that is in it; `clock` tells what waits for the quota how late it is.
    ///
    /// # Errors
    /// `Class::Config` where an address is missing, malformed or not encrypted, where the secret stands in the
    /// configuration of an account that is not on a loopback address, or where it cannot be found.
    pub fn new(
        name: &str,
        account: DynamicsAccount,
        vault: &dyn Vault,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Failure> {
        Ok(Self { session: Arc::new(Session::new(name, account, |source| source.resolve(vault), clock)?) })
    }
}

#[async_trait]
impl Crm for Dynamics {
    fn system(&self) -> &'static System {
        &SYSTEM
    }

    async fn now(&self) -> Result<Timestamp, Failure> {
        steps::now(&self.session).await
    }

    async fn organisation(&self) -> Result<Option<String>, Failure> {
        steps::organisation(&self.session).await.map(Some)
    }

    async fn objects(&self) -> Result<Vec<ObjectName>, Failure> {
        metadata::objects(&self.session).await
    }

    async fn describe(&self, object: &str) -> Result<Object, Failure> {
        metadata::describe(&self.session, object).await
    }

    async fn describe_path(&self, object: &Object, path: &str) -> Result<ObjectField, Failure> {
        path::describe(&self.session, object, path).await
    }

    async fn count(&self, read: &Read) -> Result<Option<u64>, Failure> {
        ranges::count(&self.session, read).await
    }

    fn read_way(&self, read: &Read, records: Option<u64>, parts: u64) -> Result<Way, Failure> {
        way::read(&self.session, read, records, parts)
    }

    async fn ranges(&self, read: &Read, at_most: usize) -> Result<Vec<Range>, Failure> {
        Box::pin(ranges::ranges(&self.session, read, at_most)).await
    }

    async fn fetch(&self, read: &Read, key: &str, values: &[String]) -> Result<Page, Failure> {
        fetch::fetch(&self.session, read, key, values).await
    }

    fn fetch_way(&self, read: &Read, records: u64) -> Result<Way, Failure> {
        way::fetch(&self.session, read, records)
    }

    fn key(&self, object: &Object, field: &str, value: &str) -> Result<String, String> {
        key::normal(object, field, value)
    }

    fn kept(&self, field: &ObjectField, value: Value) -> Value {
        key::kept(field, value)
    }

    fn write_plan(&self, write: &Write, records: u64) -> Result<WritePlan, Failure> {
        write::plan(&self.session, write, records)
    }

    fn write_way(&self, write: &Write, plan: &WritePlan, batches: u64) -> Way {
        way::write(&self.session, write, plan, batches)
    }

    fn encode(
        &self,
        write: &Write,
        _plan: &WritePlan,
        records: &RecordBatch,
    ) -> Result<Vec<Result<Payload, Reject>>, Failure> {
        write::encode(write, records)
    }

    async fn send(&self, batch: Batch<'_>) -> Result<Vec<Outcome>, Failure> {
        write::send(&self.session, batch).await
    }

    fn query(&self, read: &Read) -> Result<Query, Failure> {
        query::Plan::new(&self.session, read)?.into_query(&self.session, read)
    }

    fn read(&self, read: Arc<Read>, from: Option<Cursor>) -> BoxStream<'static, Result<Page, Failure>> {
        read::pages(self.session.clone(), read, from)
    }

    fn deleted(
        &self,
        read: Arc<ReadDeleted>,
        from: Option<Cursor>,
    ) -> BoxStream<'static, Result<DeletedPage, Failure>> {
        deleted::pages(self.session.clone(), read, from)
    }

    async fn deleted_way(&self, read: &ReadDeleted) -> Result<Way, Failure> {
        deleted::way(&self.session, read).await
    }

    async fn tells_deleted(&self, object: &Object, is_incremental: bool) -> Result<bool, Failure> {
        deleted::is_timed(&self.session, object, is_incremental).await
    }

    async fn user(&self) -> Result<Option<String>, Failure> {
        steps::user(&self.session).await.map(Some)
    }

    async fn limits(&self) -> Result<Vec<Allowance>, Failure> {
        steps::limits(&self.session).await
    }

    async fn test(&self) -> Vec<Step> {
        steps::test(&self.session).await
    }
}
