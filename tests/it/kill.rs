//! The process ends by SIGKILL at any moment, and `resume` gives the same database, and the same records in the CRMs, as a
//! run that was never killed.

use std::collections::BTreeMap;

use sandbox::{Change, ChangeKind, Fault, Route};
use serde_json::json;

use crate::world::{PAGE, World, main_job, wait_for};

const CONTACTS: u32 = 10 * PAGE;

fn whole() -> World {
    let world = World::new(CONTACTS);
    let file = world.workflow("dynamicsImport", &main_job());
    world.ask(&["run", &file]).expect(0);
    world
}

/// How often a run may be over before it could be killed, on a machine that has much else to do.
const ATTEMPTS: usize = 10;

/// A run that was killed at a moment.
fn killed(when: &str, is_time: impl Fn(&World) -> bool) -> World {
    for _ in 0..ATTEMPTS {
        let world = World::new(CONTACTS);
        let slow = Fault { route: Route::Page, delay_ms: Some(40), ..Fault::default() };
        world.sandbox.admin().add_fault(slow).unwrap();
        let file = world.workflow("dynamicsImport", &main_job());
        let mut working = world.begin(&["run", &file]);
        wait_for(when, || is_time(&world));
        working.kill();
        let view = world.run("dynamicsImport-1");
        assert_eq!(view["driven"], false);
        match view["status"].as_str() {
            Some("running") => return world,
            Some("finished") => {}
            _ => panic!("killed {when}: {view}"),
        }
    }
    panic!("every run was over {when}, before it could be killed");
}

fn check(whole: &World, when: &str, is_time: impl Fn(&World) -> bool) {
    let world = killed(when, is_time);
    world.ask(&["resume", "dynamicsImport-1"]).expect(0);
    assert_eq!(world.recipients(), whole.recipients(), "killed {when}");
    assert_eq!(world.options(), whole.options(), "killed {when}");
    let counts = |world: &World| {
        let view = world.run("dynamicsImport-1");
        let save = view["tasks"].as_array().unwrap().iter().find(|task| task["activity"] == "save").cloned().unwrap();
        (save["counts"].clone(), save["out"].clone(), view["transitions"].clone())
    };
    assert_eq!(counts(&world), counts(whole), "killed {when}");
}

#[test]
fn a_run_that_was_killed_goes_on_to_the_same_database() {
    let whole = whole();
    assert!(whole.recipients().len() > 1_500);
    for pages in [1, 4, 8] {
        check(&whole, &format!("after {pages} pages"), |world| world.sealed("dynamicsImport-1") >= pages);
    }
    check(&whole, "while it writes to the database", |world| !world.recipients_so_far().is_empty());
}

#[test]
fn a_run_that_was_killed_many_times_goes_on_to_the_same_database() {
    let whole = whole();
    let world = World::new(CONTACTS);
    world.sandbox.admin().add_fault(Fault { route: Route::Page, delay_ms: Some(40), ..Fault::default() }).unwrap();
    let file = world.workflow("dynamicsImport", &main_job());
    let mut working = world.begin(&["run", &file]);
    for pages in [2, 4, 6, 8] {
        wait_for("more pages", || world.sealed("dynamicsImport-1") >= pages || !working.is_working());
        working.kill();
        working = world.begin(&["resume", "dynamicsImport-1"]);
    }
    working.end().expect(0);
    assert_eq!((world.recipients(), world.options()), (whole.recipients(), whole.options()));
}

/// More than a few, so that those without a key go by bulk jobs.
const PEOPLE: usize = 2_200;
const MEMBERS: usize = 1_200;

/// What was created, by the value of a field of its own, and how often.
fn created(changes: &[Change], field: &str) -> BTreeMap<String, usize> {
    let mut created = BTreeMap::new();
    for change in changes.iter().filter(|change| change.kind == ChangeKind::Created) {
        let value = change.fields.iter().find(|changed| changed.field == field).map(|changed| changed.new.to_string());
        *created.entry(value.unwrap_or_default()).or_default() += 1;
    }
    created
}

/// Dynamics by batches, Salesforce by collections (with an external id) and by bulk jobs (without any key), all at once; one
/// request in ten takes hold and is never answered, one in twenty is refused.
#[test]
fn exports_that_were_killed_many_times_and_lost_answers_made_each_record_once() {
    let world = World::new(0);
    world.configure(&[("limits", "{ retries = 3, retryWaitMin = \"10ms\" }")]);
    world.add_salesforce("bulk = { recordsPerJob = 400, pollMin = \"5ms\", pollMax = \"20ms\" }\nlimits = { retries = 3, retryWaitMin = \"10ms\" }\n");
    let admin = world.sandbox.admin();
    let key = json!({ "name": "Number__c", "type": "string", "length": 20, "externalId": true, "unique": true });
    admin.salesforce().add_field("Contact", &serde_json::from_value(key).unwrap()).unwrap();
    let people: Vec<_> = (1..=PEOPLE).map(|number| (None, format!("Person {number}"))).collect();
    world.people(&people);
    for (number, route) in (0..).zip([Route::Batch, Route::Bulk, Route::Write]) {
        let some = |probability, seed| Fault { route, probability: Some(probability), seed, ..Fault::default() };
        admin.add_fault(Fault { cut_after_commit: true, ..some(0.1, number) }).unwrap();
        admin.add_fault(Fault { status: Some(503), ..some(0.05, 10 + number) }).unwrap();
    }
    let again = json!({ "attempts": 20, "backoff": "10ms", "backoffMax": "10ms" });
    let file = world.workflow(
        "all",
        &json!({
            "everybody": { "type": "database.query", "table": "person", "to": ["contacts", "leads"] },
            "some": { "type": "database.query", "table": "person", "filter": format!("number <= {MEMBERS}"), "to": "members" },
            "contacts": { "type": "crm.export", "account": "dynamics", "object": "contacts", "operation": "insert",
                "set": { "lastname": "last_name" }, "retry": again },
            "leads": { "type": "crm.export", "account": "salesforce", "object": "Lead", "operation": "insert",
                "set": { "LastName": "last_name", "Company": "last_name" }, "retry": again },
            "members": { "type": "crm.export", "account": "salesforce", "object": "Contact", "operation": "upsert",
                "key": ["Number__c"], "set": { "Number__c": "number", "LastName": "last_name" }, "retry": again },
        }),
    );
    let changes = || (world.changes(), admin.salesforce().changes(0));
    let mut working = world.begin(&["run", &file]);
    let mut kills = 0;
    for written in (1..).map(|step| step * 500).take_while(|written| *written < 2 * PEOPLE) {
        wait_for("more records", || {
            let (dynamics, salesforce) = changes();
            dynamics.len() + salesforce.len() >= written || !working.is_working()
        });
        if working.is_working() {
            working.kill();
            kills += 1;
        }
        working = world.begin(&["resume", "all-1"]);
    }
    working.end().expect(0);
    assert!(kills > 4, "it was killed {kills} times");
    let (dynamics, salesforce) = changes();
    let (leads, members): (Vec<Change>, Vec<Change>) = salesforce.into_iter().partition(|change| change.set == "Lead");
    for (made, field, count) in
        [(&dynamics, "lastname", PEOPLE), (&leads, "LastName", PEOPLE), (&members, "Number__c", MEMBERS)]
    {
        let made = created(made, field);
        assert_eq!(
            (made.len(), made.values().max()),
            (count, Some(&1)),
            "{field}: {:?}",
            made.iter().find(|(_, n)| **n > 1)
        );
    }
    let view = world.run("all-1");
    for task in view["tasks"].as_array().unwrap() {
        assert!(task["out"].get("reject").is_none() && task["out"].get("inDoubt").is_none(), "{task}");
    }
}

/// 400 records without any key go by two collections, which the CRM has and answers a second later.
#[test]
fn an_export_that_is_interrupted_hears_the_answers_that_are_under_way() {
    let world = World::new(0);
    world.add_salesforce("");
    let admin = world.sandbox.admin();
    let slow = json!({ "route": "any", "containing": "composite/sobjects", "delayMs": 1000 });
    admin.add_fault(serde_json::from_value(slow).unwrap()).unwrap();
    world.people(&(0..400).map(|number| (None, format!("Person {number}"))).collect::<Vec<_>>());
    let file = world.workflow(
        "leads",
        &json!({
            "people": { "type": "database.query", "table": "person", "to": "leads" },
            "leads": { "type": "crm.export", "account": "salesforce", "object": "Lead", "operation": "insert",
                "set": { "LastName": "last_name", "Company": "last_name" } },
        }),
    );
    let mut working = world.begin(&["run", &file]);
    wait_for("the first records", || !admin.salesforce().changes(0).is_empty() || !working.is_working());
    working.interrupt();
    working.end().expect(1);
    world.ask(&["resume", "leads-1"]).expect(0);
    let view = world.run("leads-1");
    let leads = view["tasks"].as_array().unwrap().iter().find(|task| task["activity"] == "leads").unwrap();
    assert_eq!(leads["out"], json!({ "ok": 400 }), "nothing is in doubt");
    assert_eq!(created(&admin.salesforce().changes(0), "LastName").values().sum::<usize>(), 400);
}
