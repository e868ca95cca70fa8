//! Salesforce, against its stand-in.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crm::salesforce::{Salesforce, SalesforceAccount};
use crm::secret::{NoVault, Vault};
use engine::outside::clock::SystemClock;
use engine::outside::crm::Crm;
use jiff::Timestamp;
use sandbox::{Change, Fault, Options, Route, SalesforceField, SalesforceOptions, Sandbox};
use serde_json::json;

use crate::stand::{Names, Stand, Trouble};

pub(crate) struct Org {
    sandbox: Sandbox,
    crm: Salesforce,
    seen: AtomicU64,
}

pub(crate) fn start(contacts: u32) -> Org {
    let now = Some("2026-03-03T10:00:00Z".parse().unwrap());
    let salesforce = SalesforceOptions { contacts, accounts: 2, leads: 0 };
    let sandbox = Sandbox::start(Options { now, frozen: true, salesforce, ..Options::default() }).unwrap();
    let field = |name: &str, kind: &str| SalesforceField {
        name: name.to_owned(),
        kind: Some(kind.to_owned()),
        ..SalesforceField::default()
    };
    let key = SalesforceField { external_id: Some(true), unique: Some(true), ..field("Ext__c", "string") };
    let last_name = SalesforceField { name: "LastName".to_owned(), length: Some(50), ..SalesforceField::default() };
    let number = SalesforceField { scale: Some(0), ..field("Number__c", "int") };
    for field in [key, last_name, number, field("Income__c", "currency"), field("Hold__c", "datetime")] {
        sandbox.admin().salesforce().add_field("Contact", &field).unwrap();
    }
    let told = sandbox.salesforce();
    let page = if contacts > 0 { 2_000 } else { 5 };
    let account: SalesforceAccount = serde_json::from_value(json!({
        "url": told["url"], "clientId": told["clientId"], "clientSecret": told["clientSecret"],
        "limits": { "recordsPerPage": page, "retryWaitMin": "1ms" }, "bulk": { "pollMin": "1ms" },
    }))
    .unwrap();
    let vault: Arc<dyn Vault> = Arc::new(NoVault);
    let crm = Salesforce::new("salesforce", account, &vault, Arc::new(SystemClock)).unwrap();
    Org { sandbox, crm, seen: AtomicU64::new(0) }
}

impl Stand for Org {
    fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    fn crm(&self) -> &dyn Crm {
        &self.crm
    }

    fn names(&self) -> Names {
        Names {
            object: "Contact",
            id: "Id",
            name: "LastName",
            mail: "Email",
            key: "Ext__c",
            typed: ["Number__c", "Income__c", "Birthdate", "Hold__c"],
            changed: "LastModifiedDate",
        }
    }

    fn id(&self, n: u32) -> String {
        self.sandbox.admin().salesforce().id("Contact", n).unwrap()
    }

    fn put(&self, n: u32, name: &str, changed: Timestamp) {
        let person = json!({ "LastName": name, "SystemModstamp": changed.to_string() });
        self.sandbox.admin().salesforce().undelete("Contact", &self.id(n)).unwrap();
        self.sandbox.admin().salesforce().put("Contact", &self.id(n), &person).unwrap();
    }

    fn delete(&self, n: u32) -> Timestamp {
        let admin = self.sandbox.admin();
        let now = admin.clock().now;
        admin.salesforce().delete("Contact", &self.id(n)).unwrap();
        admin.advance_clock(60).unwrap();
        now
    }

    fn trouble(&self, trouble: Trouble) {
        let once =
            |fault: Fault| self.sandbox.admin().add_fault(Fault { times: Some(1), ..fault }).map(|_| ()).unwrap();
        self.sandbox.admin().clear_faults();
        match trouble {
            Trouble::LostReply => [Route::Write, Route::Bulk].into_iter().for_each(|route| {
                once(Fault { route, cut_after_commit: true, ..Fault::default() });
            }),
            Trouble::Busy => once(Fault {
                status: Some(403),
                code: Some("REQUEST_LIMIT_EXCEEDED".into()),
                message: Some("ConcurrentRequests (Concurrent API Requests) Limit exceeded.".into()),
                ..Fault::default()
            }),
            Trouble::TokenEnds => once(Fault { route: Route::Query, status: Some(401), ..Fault::default() }),
            // Salesforce gives no fewer than 200 records a page: the connector's own tests have a case with as many.
            Trouble::Between { changed, deleted } => {
                let edit =
                    |n: u32, fields: serde_json::Value| json!({ "set": "Contact", "id": self.id(n), "fields": fields });
                let before = json!([edit(changed, json!({ "LastName": "Changed" })), edit(deleted, json!(null))]);
                once(Fault {
                    route: Route::Record,
                    before: serde_json::from_value(before).unwrap(),
                    ..Fault::default()
                });
            }
        }
    }

    fn log(&self, from: u64) -> Vec<Change> {
        self.sandbox.admin().salesforce().changes(from)
    }

    fn seen(&self) -> &AtomicU64 {
        &self.seen
    }

    fn methods(&self) -> Vec<(Option<usize>, bool)> {
        vec![(None, false), (None, true), (Some(2), true), (Some(1), false)]
    }
}
