//! The accounts of the configuration as CRMs.

use std::collections::BTreeMap;
use std::sync::Arc;

use crm::dynamics::{self, Dynamics};
use crm::secret::SecretSource;
use engine::outside::crm::{Account, Crm};

use crate::config;

/// The accounts by name.
pub(crate) fn open(accounts: &BTreeMap<String, config::Account>) -> BTreeMap<String, Account> {
    accounts.iter().map(|(name, account)| (name.clone(), one(name.clone(), account.clone()))).collect()
}

/// Each kind of CRM stands here once.
fn one(name: String, account: config::Account) -> Account {
    match account {
        config::Account::Dynamics(account) => Account::new(&dynamics::SYSTEM, move || {
            let made = Dynamics::new(&name, account.clone(), SecretSource::resolve)?;
            Ok(Arc::new(made) as Arc<dyn Crm>)
        }),
    }
}
