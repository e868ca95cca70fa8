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
mod column;
mod error;
mod metadata;
mod odata;
mod page;
mod query;
mod read;
mod session;
mod steps;

use std::sync::Arc;

use async_trait::async_trait;
use engine::failure::Failure;
use engine::outside::crm::{Crm, Cursor, Object, ObjectName, Page, Query, Read, Step, System};
use futures::stream::BoxStream;
use jiff::Timestamp;

pub use account::DynamicsAccount;
pub use page::PageDecoder;

use session::Session;

use crate::secret::{Secret, SecretSource};

/// What is known of every environment.
pub static SYSTEM: System =
    System { name: "Dynamics", index_fields: &["modifiedon"], client_ids: true, query_all: None, change_feed: true };

/// One Dynamics 365 environment.
#[derive(Debug, Clone)]
pub struct Dynamics {
    session: Arc<Session>,
}

impl Dynamics {
    /// An account of this name; nothing is sent yet.
    ///
    /// `resolve` finds the secret, as [`SecretSource::resolve`] does.
    ///
    /// # Errors
    /// `Class::Config` where an address is missing, malformed or not encrypted, where the secret stands in the
    /// configuration of an account that is not on a loopback address, or where it cannot be found.
    pub fn new(
        name: &str,
        account: DynamicsAccount,
        resolve: impl FnOnce(&SecretSource) -> Result<Secret, Failure>,
    ) -> Result<Self, Failure> {
        Ok(Self { session: Arc::new(Session::new(name, account, resolve)?) })
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

    async fn objects(&self) -> Result<Vec<ObjectName>, Failure> {
        metadata::objects(&self.session).await
    }

    async fn describe(&self, object: &str) -> Result<Object, Failure> {
        metadata::describe(&self.session, object).await
    }

    fn query(&self, read: &Read) -> Result<Query, Failure> {
        query::Plan::new(&self.session, read).map(query::Plan::into_query)
    }

    fn read(&self, read: Arc<Read>, from: Option<Cursor>) -> BoxStream<'static, Result<Page, Failure>> {
        read::pages(self.session.clone(), read, from)
    }

    async fn test(&self) -> Vec<Step> {
        steps::test(&self.session).await
    }
}
