//! Dynamics, against the Dataverse stand-in.

use std::sync::Arc;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crm::dynamics::{Dynamics, DynamicsAccount};
use crm::secret::NoVault;
use engine::outside::clock::SystemClock;
use engine::outside::crm::Crm;
use jiff::Timestamp;
use sandbox::{Attribute, Change, Fault, Options, RetryAfter, Route, Sandbox, Tracking};
use serde_json::json;

use crate::stand::{Names, Stand, Trouble};

pub(crate) struct Dataverse {
    sandbox: Sandbox,
    crm: Dynamics,
    seen: AtomicU64,
    /// How often it was busy.
    busy: AtomicUsize,
}

/// Too many requests, too much time of execution, too many requests at once.
const BUSY: [&str; 3] = ["0x80072322", "0x80072321", "0x80072326"];

pub(crate) fn start(contacts: u32) -> Dataverse {
    let now = Some("2026-03-03T10:00:00Z".parse().unwrap());
    let sandbox = Sandbox::start(Options { contacts, accounts: 2, now, frozen: true, ..Options::default() }).unwrap();
    let extid = Attribute { name: "new_extid".into(), kind: "String".into(), ..Attribute::default() };
    let number = Attribute { name: "new_number".into(), kind: "Integer".into(), ..Attribute::default() };
    sandbox.admin().add_attribute("contact", &extid).unwrap();
    sandbox.admin().add_attribute("contact", &number).unwrap();
    sandbox.admin().set_tracking(&Tracking { audit: Some(true), ..Tracking::default() }).unwrap();
    sandbox.admin().add_key("contact", "new_extid_key", &["new_extid".to_owned()]).unwrap();
    let page = if contacts > 0 { 5_000 } else { 5 };
    let account: DynamicsAccount = serde_json::from_value(json!({
        "url": sandbox.url(), "tokenUrl": sandbox.token_url(), "tenantId": sandbox.tenant_id(),
        "clientId": sandbox.client_id(), "clientSecret": sandbox.client_secret(),
        "limits": { "recordsPerPage": page, "retryWaitMin": "1ms" },
    }))
    .unwrap();
    let crm = Dynamics::new("dynamics", account, &NoVault, Arc::new(SystemClock)).unwrap();
    Dataverse { sandbox, crm, seen: AtomicU64::new(0), busy: AtomicUsize::new(0) }
}

impl Stand for Dataverse {
    fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    fn crm(&self) -> &dyn Crm {
        &self.crm
    }

    fn names(&self) -> Names {
        Names {
            object: "contacts",
            id: "contactid",
            name: "lastname",
            mail: "emailaddress1",
            key: "new_extid",
            typed: ["new_number", "annualincome", "birthdate", "lastonholdtime"],
            changed: "modifiedon",
        }
    }

    fn id(&self, n: u32) -> String {
        format!("c0000000-0000-4000-8000-{n:012}")
    }

    fn put(&self, n: u32, name: &str, changed: Timestamp) {
        let person = json!({ "lastname": name, "modifiedon": changed.to_string() });
        self.sandbox.admin().put("contacts", &self.id(n), &person).unwrap();
    }

    fn delete(&self, n: u32) -> Timestamp {
        let admin = self.sandbox.admin();
        let now = admin.clock().now;
        admin.delete("contacts", &self.id(n)).unwrap();
        admin.advance_clock(60).unwrap();
        now
    }

    fn trouble(&self, trouble: Trouble) {
        let once =
            |fault: Fault| self.sandbox.admin().add_fault(Fault { times: Some(1), ..fault }).map(|_| ()).unwrap();
        self.sandbox.admin().clear_faults();
        match trouble {
            Trouble::LostReply => [Route::Write, Route::Batch, Route::Bulk].into_iter().for_each(|route| {
                once(Fault { route, cut_after_commit: true, ..Fault::default() });
            }),
            Trouble::Busy => once(Fault {
                status: Some(429),
                code: Some(BUSY[self.busy.fetch_add(1, Ordering::SeqCst) % BUSY.len()].into()),
                retry_after: Some(RetryAfter::Seconds(1)),
                ..Fault::default()
            }),
            Trouble::TokenEnds => once(Fault { route: Route::Page, status: Some(401), ..Fault::default() }),
            Trouble::Between { changed, deleted } => {
                let edit = |n: u32, fields: serde_json::Value| json!({ "set": "contacts", "id": self.id(n), "fields": fields });
                let before = json!([edit(changed, json!({ "lastname": "Changed" })), edit(deleted, json!(null))]);
                once(Fault { route: Route::Page, before: serde_json::from_value(before).unwrap(), ..Fault::default() });
            }
        }
    }

    fn log(&self, from: u64) -> Vec<Change> {
        self.sandbox.admin().changes(from)
    }

    fn seen(&self) -> &AtomicU64 {
        &self.seen
    }

    fn methods(&self) -> Vec<(Option<usize>, bool)> {
        vec![(None, false), (None, true), (Some(2), false), (Some(1), false)]
    }
}
