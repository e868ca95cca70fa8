//! The accounts of the configuration as CRMs. One is made when it is first used: a secret that is missing stands in
//! nobody's way who does not need it.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use crm::dynamics::Dynamics;
use crm::secret::SecretSource;
use engine::failure::Failure;
use engine::outside::crm::{Crm, Cursor, Object, ObjectName, Page, Query, Read, Step};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use jiff::Timestamp;

use crate::config::Account;

/// The accounts by name.
pub(crate) fn open(accounts: &BTreeMap<String, Account>) -> BTreeMap<String, Arc<dyn Crm>> {
    let one = |(name, account): (&String, &Account)| {
        let lazy = Lazy { name: name.clone(), account: account.clone(), made: OnceLock::new() };
        (name.clone(), Arc::new(lazy) as Arc<dyn Crm>)
    };
    accounts.iter().map(one).collect()
}

struct Lazy {
    name: String,
    account: Account,
    made: OnceLock<Result<Arc<dyn Crm>, Failure>>,
}

impl Lazy {
    fn crm(&self) -> Result<&Arc<dyn Crm>, Failure> {
        let make = || match &self.account {
            Account::Dynamics(account) => {
                let made = Dynamics::new(&self.name, account.clone(), SecretSource::resolve)?;
                Ok(Arc::new(made) as Arc<dyn Crm>)
            }
        };
        self.made.get_or_init(make).as_ref().map_err(Failure::clone)
    }
}

#[async_trait]
impl Crm for Lazy {
    fn system(&self) -> &'static str {
        match self.account {
            Account::Dynamics(_) => "Dynamics",
        }
    }

    // Must be known of an account that cannot be made too: `check` asks for it.
    fn index_fields(&self) -> &'static [&'static str] {
        match self.account {
            Account::Dynamics(_) => &["modifiedon"],
        }
    }

    async fn now(&self) -> Result<Timestamp, Failure> {
        self.crm()?.now().await
    }

    async fn objects(&self) -> Result<Vec<ObjectName>, Failure> {
        self.crm()?.objects().await
    }

    async fn describe(&self, object: &str) -> Result<Object, Failure> {
        self.crm()?.describe(object).await
    }

    fn query(&self, read: &Read) -> Result<Query, Failure> {
        self.crm()?.query(read)
    }

    fn read(&self, read: Arc<Read>, from: Option<Cursor>) -> BoxStream<'static, Result<Page, Failure>> {
        match self.crm() {
            Ok(crm) => crm.read(read, from),
            Err(failure) => stream::once(async { Err(failure) }).boxed(),
        }
    }

    async fn test(&self) -> Vec<Step> {
        match self.crm() {
            Ok(crm) => crm.test().await,
            Err(failure) => vec![Step { name: "read the configuration".to_owned(), result: Err(failure) }],
        }
    }
}
