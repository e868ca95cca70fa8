//! One workflow that moves records every way there is: imports from both systems into the database, and exports from it into
//! both, by batches, collections and bulk jobs, with and without a key. Whatever happens to it, each record ends up once.

use std::collections::BTreeMap;
use std::process::Command;

use sandbox::{Change, ChangeKind, Fault, Route};
use serde_json::{Value, json};

use crate::rounds::Dice;
use crate::world::{PAGE, Working, World};

const CONTACTS: u32 = 4 * PAGE;
const SALESFORCE_CONTACTS: u32 = 2 * PAGE;
/// They go to Salesforce by bulk jobs.
const PEOPLE: usize = 300;
/// They go there by collections, without a key: whose answer is lost is in doubt.
const STRANGERS: usize = 40;
/// How often the run may be resumed before it ends, where a fault stands in its way that is drawn for each request.
const RESUMES_MAX: usize = 60;

pub(crate) struct Everything {
    pub(crate) world: World,
    file: String,
}

impl Everything {
    pub(crate) fn new(retries: u64) -> Self {
        let world = World::with_salesforce(CONTACTS, SALESFORCE_CONTACTS);
        let limits = format!("{{ retries = {retries}, retryWaitMin = \"5ms\", recordsPerPage = {PAGE} }}");
        world.configure(&[("limits", &limits)]);
        let bulk = "{ from = 200, recordsPerJob = 100, pollMin = \"5ms\", pollMax = \"20ms\" }";
        world.add_salesforce(&format!("limits = {limits}\nbulk = {bulk}\n"));
        let key = json!({ "name": "Number__c", "type": "string", "length": 20, "externalId": true, "unique": true });
        world.sandbox.admin().salesforce().add_field("Account", &serde_json::from_value(key).unwrap()).unwrap();
        world.people(&(1..=PEOPLE).map(|number| (None, format!("Person {number}"))).collect::<Vec<_>>());
        world.database(&format!(
            "CREATE TABLE from_dynamics(id TEXT, name TEXT); CREATE TABLE from_salesforce(id TEXT, name TEXT);
             CREATE TABLE stranger(number INTEGER PRIMARY KEY, name TEXT);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {STRANGERS})
               INSERT INTO stranger SELECT i, 'Stranger ' || i FROM n"
        ));
        let file = world.workflow("all", &workflow());
        Self { world, file }
    }

    /// One request in twenty takes hold and is never answered, one in thirty is refused.
    pub(crate) fn lose_answers(&self, dice: &mut Dice) {
        for route in [Route::Batch, Route::Bulk, Route::Write, Route::Page] {
            let some = |probability, seed| Fault { route, probability: Some(probability), seed, ..Fault::default() };
            let add = |fault| self.world.sandbox.admin().add_fault(fault).unwrap();
            add(Fault { cut_after_commit: true, ..some(0.05, dice.below(1_000_000)) });
            add(Fault { status: Some(503), ..some(0.03, dice.below(1_000_000)) });
        }
    }

    /// Starts the run, or goes on with it; nothing if it is over.
    pub(crate) fn begin(&self, change: impl FnOnce(&mut Command)) -> Option<Working> {
        let shown = self.world.ask(&["show", "all-1", "--json"]);
        let args = match shown.code {
            Some(0) if shown.json()["status"] == "finished" => return None,
            Some(0) => ["resume", "all-1"],
            _ => {
                assert!(shown.err.contains("all-1"), "{}", shown.err);
                ["run", self.file.as_str()]
            }
        };
        Some(self.world.begin_with(&args, change))
    }

    /// Goes on until it has finished.
    pub(crate) fn to_the_end(&self) {
        for _ in 0..RESUMES_MAX {
            match self.begin(|_| {}) {
                Some(working) => drop(working.end()),
                None => return,
            }
        }
        panic!("it does not come to its end: {}", self.world.ask(&["show", "all-1"]).out);
    }

    /// Each record is where it belongs, once, and the run's counts say so.
    pub(crate) fn check(&self) {
        for (table, expected) in [("from_dynamics", CONTACTS), ("from_salesforce", SALESFORCE_CONTACTS)] {
            let sql = format!("SELECT count(*), count(DISTINCT id) FROM {table}");
            assert_eq!(self.world.row(&sql), [i64::from(expected); 2], "{table}");
        }
        let view = self.world.run("all-1");
        let out = |activity: &str| {
            let tasks = view["tasks"].as_array().unwrap().iter();
            tasks.filter(|task| task["activity"] == activity).map(|task| task["out"].clone()).next_back().unwrap()
        };
        for (activity, expected) in [("saveDynamics", CONTACTS), ("saveSalesforce", SALESFORCE_CONTACTS)] {
            assert_eq!(out(activity), json!({ "ok": expected }), "{activity}");
        }
        let admin = self.world.sandbox.admin();
        let salesforce = admin.salesforce().changes(0);
        let of = |changes: &[Change], set: &str| changes.iter().filter(|c| c.set == set).cloned().collect::<Vec<_>>();
        let leads = of(&salesforce, "Lead");
        let (strangers, leads): (Vec<Change>, Vec<Change>) =
            leads.into_iter().partition(|c| new_value(c, "Company") == "stranger");
        for (activity, changes, field) in [
            ("accounts", self.world.changes(), "name"),
            ("leads", leads, "LastName"),
            ("members", of(&salesforce, "Account"), "Number__c"),
        ] {
            let made = created(&changes, field);
            let twice: Vec<_> = made.iter().filter(|(_, times)| **times > 1).collect();
            assert_eq!((made.len(), twice), (PEOPLE, Vec::new()), "{activity}");
            assert_eq!(out(activity), json!({ "ok": PEOPLE }), "{activity}");
        }
        let made = created(&strangers, "LastName");
        let doubtful = out("strangers");
        let count = |port: &str| usize::try_from(doubtful[port].as_u64().unwrap_or(0)).unwrap();
        assert!(made.values().all(|times| *times == 1), "strangers: {made:?}");
        assert_eq!(count("ok") + count("inDoubt"), STRANGERS, "strangers: {doubtful}");
        assert!((count("ok")..=STRANGERS).contains(&made.len()), "strangers: {} made, {doubtful}", made.len());
    }

    /// How many records are in doubt.
    pub(crate) fn in_doubt(&self) -> u64 {
        let listed = self.world.ask(&["rejects", "list", "--json", "--limit", "1000"]).json();
        listed["rejects"].as_array().unwrap().iter().filter(|reject| reject["code"] == "IN_DOUBT").count() as u64
    }
}

fn workflow() -> Value {
    let again = json!({ "attempts": 20, "backoff": "10ms", "backoffMax": "10ms" });
    let import = |account: &str, object: &str, name: &str, to: &str| {
        json!({ "type": "crm.import", "account": account, "object": object, "fields": [name], "automaticIndex": true,
            "retry": again, "to": to })
    };
    let save = |table: &str, id: &str, name: &str| json!({ "type": "database.update", "table": table, "operation": "insert", "set": { "id": id, "name": name } });
    let export = |account: &str, object: &str, set: Value| {
        json!({ "type": "crm.export", "account": account, "object": object, "operation": "insert", "set": set,
            "batch": { "size": 50 }, "retry": again })
    };
    let mut members = export("salesforce", "Account", json!({ "Number__c": "number", "Name": "last_name" }));
    members["operation"] = json!("upsert");
    members["key"] = json!(["Number__c"]);
    let mut strangers = export("salesforce", "Lead", json!({ "LastName": "name", "Company": "\"stranger\"" }));
    strangers["batch"] = json!({ "size": 10, "parallel": 1 });
    json!({
        "importDynamics": import("dynamics", "contacts", "lastname", "saveDynamics"),
        "importSalesforce": import("salesforce", "Contact", "LastName", "saveSalesforce"),
        "saveDynamics": save("from_dynamics", "contactid", "lastname"),
        "saveSalesforce": save("from_salesforce", "Id", "LastName"),
        "people": { "type": "database.query", "table": "person", "to": ["accounts", "leads", "members"] },
        "others": { "type": "database.query", "table": "stranger", "to": "strangers" },
        "accounts": export("dynamics", "accounts", json!({ "name": "last_name" })),
        "leads": export("salesforce", "Lead", json!({ "LastName": "last_name", "Company": "last_name" })),
        "members": members,
        "strangers": strangers,
    })
}

fn new_value(change: &Change, field: &str) -> String {
    let value = change.fields.iter().find(|changed| changed.field == field).map(|changed| &changed.new);
    value.and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// What was created, by the value of a field of its own, and how often.
fn created(changes: &[Change], field: &str) -> BTreeMap<String, usize> {
    let mut created = BTreeMap::new();
    for change in changes.iter().filter(|change| change.kind == ChangeKind::Created) {
        *created.entry(new_value(change, field)).or_default() += 1;
    }
    created
}
