//! Salesforce, by its REST API, sObject Collections and Bulk API 2.0.
//!
//! ```text
//!   account   what the configuration says      login    four flows, one token       session  one request
//!   describe  objects, fields, paths           query    Read ─▶ SOQL; soql renders the filter
//!   read      pages of REST or of a job        page     bytes ─▶ texts, which records makes Arrow
//!   changes   the feed: a span, then by ids    fetch    count, parts, records by keys
//!   deleted   what the log of deletions has    replication  getUpdated and getDeleted, which both ask
//!   write     collections, bulk jobs           job      what all jobs have in common
//!   created   what our own user created
//!   quota     the share of the day's requests  error    codes and what now
//! ```
//!
//! Fields of related records are fields with a path for a name, such as `Account.AccountNumber`. A lookup that may lead to
//! several objects has a companion, `OwnerId_type`, which says to which.

mod account;
mod changes;
mod created;
mod deleted;
mod describe;
mod error;
mod fetch;
mod field;
mod job;
mod jwt;
mod login;
mod page;
mod query;
mod quota;
mod read;
mod replication;
mod session;
mod soql;
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
use jiff::{SignedDuration, Timestamp};

pub use account::{BulkLimits, LoginFlow, SalesforceAccount};

use session::Session;

use crate::secret::Vault;

/// What is known of every organisation.
pub static SYSTEM: System = System {
    name: "Salesforce",
    index_fields: &["LastModifiedDate", "SystemModstamp"],
    changed_by: "LastModifiedById",
    client_ids: false,
    query_all: Some("IsDeleted"),
    change_feed: true,
    new_feed: "",
    new_log: "",
    untimed_deletions: "",
    new_key: "another is made in Object Manager: a field with External ID and Unique ticked",
};

/// One Salesforce organisation.
#[derive(Debug, Clone)]
pub struct Salesforce {
    session: Arc<Session>,
}

impl Salesforce {
    /// An account of this name; nothing is sent yet.
    ///
    /// `vault` is the encrypted store, for secrets that are in it and for a refresh token that is replaced; `clock` tells
    /// what waits for the quota how late it is.
    ///
    /// # Errors
    /// `Class::Config` where an address is missing, malformed or not encrypted, where what the login needs is missing or
    /// cannot be found, or where a secret stands in the configuration of an account that is not on a loopback address.
    pub fn new(
        name: &str,
        account: SalesforceAccount,
        vault: &Arc<dyn Vault>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Failure> {
        Ok(Self { session: Arc::new(Session::new(name, account, vault, clock)?) })
    }
}

#[async_trait]
impl Crm for Salesforce {
    fn system(&self) -> &'static System {
        &SYSTEM
    }

    async fn now(&self) -> Result<Timestamp, Failure> {
        steps::now(&self.session).await
    }

    async fn organisation(&self) -> Result<Option<String>, Failure> {
        self.session.organisation().await
    }

    async fn objects(&self) -> Result<Vec<ObjectName>, Failure> {
        describe::objects(&self.session).await
    }

    async fn describe(&self, object: &str) -> Result<Object, Failure> {
        describe::describe(&self.session, object).await
    }

    async fn describe_path(&self, object: &Object, path: &str) -> Result<ObjectField, Failure> {
        describe::describe_path(&self.session, object, path).await
    }

    fn query(&self, read: &Read) -> Result<Query, Failure> {
        match &read.feed {
            None => query::Plan::new(&self.session, read).map(query::Plan::into_query),
            Some(feed) => changes::query(&self.session, read, feed),
        }
    }

    async fn count(&self, read: &Read) -> Result<Option<u64>, Failure> {
        match &read.feed {
            None => fetch::count(&self.session, read).await.map(Some),
            Some(feed) => changes::count(&self.session, read, feed).await,
        }
    }

    fn read_way(&self, read: &Read, records: Option<u64>, parts: u64) -> Result<Way, Failure> {
        way::read(&self.session, read, records, parts)
    }

    async fn ranges(&self, read: &Read, at_most: usize) -> Result<Vec<Range>, Failure> {
        fetch::ranges(&self.session, read, at_most).await
    }

    fn read(&self, read: Arc<Read>, from: Option<Cursor>) -> BoxStream<'static, Result<Page, Failure>> {
        match read.feed.clone() {
            None => read::pages(self.session.clone(), read, from),
            Some(feed) => changes::pages(self.session.clone(), read, feed, from),
        }
    }

    async fn fetch(&self, read: &Read, key: &str, values: &[String]) -> Result<Page, Failure> {
        fetch::fetch(&self.session, read, key, values).await
    }

    fn fetch_way(&self, read: &Read, records: u64) -> Result<Way, Failure> {
        way::fetch(&self.session, read, records)
    }

    fn key(&self, object: &Object, field: &str, value: &str) -> Result<String, String> {
        field::key(object, field, value)
    }

    fn kept(&self, field: &ObjectField, value: Value) -> Value {
        field::kept(field, value)
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

    fn write_plan(&self, write: &Write, records: u64) -> Result<WritePlan, Failure> {
        write::plan(&self.session, write, records)
    }

    fn write_way(&self, write: &Write, plan: &WritePlan, batches: u64) -> Way {
        way::write(&self.session, write, plan, batches)
    }

    fn encode(
        &self,
        write: &Write,
        plan: &WritePlan,
        records: &RecordBatch,
    ) -> Result<Vec<Result<Payload, Reject>>, Failure> {
        write::encode(write, plan, records)
    }

    async fn send(&self, batch: Batch<'_>) -> Result<Vec<Outcome>, Failure> {
        write::send(&self.session, batch).await
    }

    fn known(&self, batch: Batch<'_>) -> Vec<Option<Outcome>> {
        write::known(&batch)
    }

    fn longest_request(&self, plan: &WritePlan) -> SignedDuration {
        write::longest_request(plan)
    }

    async fn user(&self) -> Result<Option<String>, Failure> {
        created::user(&self.session).await.map(Some)
    }

    async fn created(&self, read: &Read, span: (Timestamp, Timestamp), most: usize) -> Result<Option<Page>, Failure> {
        created::created(&self.session, read, span, most).await
    }

    async fn limits(&self) -> Result<Vec<Allowance>, Failure> {
        steps::limits(&self.session).await
    }

    async fn test(&self) -> Vec<Step> {
        steps::test(&self.session).await
    }
}
