//! The accounts of the configuration as CRMs.

use std::collections::BTreeMap;
use std::sync::Arc;

use crm::dynamics::{self, Dynamics};
use crm::salesforce::{self, Salesforce};
use crm::secret::Vault;
use engine::outside::clock::Clock;
use engine::outside::crm::{Account, Crm};

use crate::config;

/// The accounts by name.
pub(crate) fn open(
    accounts: &BTreeMap<String, config::Account>,
    vault: &Arc<dyn Vault>,
    clock: &Arc<dyn Clock>,
) -> BTreeMap<String, Account> {
    let account = |(name, account): (&String, &config::Account)| {
        (name.clone(), one(name.clone(), account.clone(), Arc::clone(vault), Arc::clone(clock)))
    };
    accounts.iter().map(account).collect()
}

/// Each kind of CRM stands here once.
fn one(name: String, account: config::Account, vault: Arc<dyn Vault>, clock: Arc<dyn Clock>) -> Account {
    match account {
        config::Account::Dynamics(account) => Account::new(&dynamics::SYSTEM, move || {
            let made = Dynamics::new(&name, account.clone(), &*vault, Arc::clone(&clock))?;
            Ok(Arc::new(made) as Arc<dyn Crm>)
        }),
        config::Account::Salesforce(account) => Account::new(&salesforce::SYSTEM, move || {
            let made = Salesforce::new(&name, account.clone(), &vault, Arc::clone(&clock))?;
            Ok(Arc::new(made) as Arc<dyn Crm>)
        }),
    }
}
