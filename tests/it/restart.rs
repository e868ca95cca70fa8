//! `campanile restart`: what a run began with, anew.

use std::collections::BTreeSet;

use sandbox::{Change, ChangeKind, Fault, Route};
use serde_json::{Value, json};

use crate::world::{World, wait_for};

/// 25 new records, ten a batch; the second batch is refused as a whole, once.
fn suspended() -> World {
    let world = World::new(0);
    world.people(&(0..25).map(|number| (None, format!("Name {number:02}"))).collect::<Vec<_>>());
    let activities = json!({
        "people": { "type": "database.query", "table": "person", "to": "export" },
        "export": { "type": "crm.export", "account": "dynamics", "object": "contacts", "operation": "insert",
            "set": { "lastname": "last_name", "firstname": "vars.mark" }, "batch": { "size": 10, "parallel": 1 } },
    });
    let file = world.workflow("people", &activities);
    let containing = Some("Name 10".to_owned());
    let fault = Fault { route: Route::Any, containing, status: Some(403), times: Some(1), ..Fault::default() };
    world.sandbox.admin().add_fault(fault).unwrap();
    world.ask(&["run", &file, "--var", "mark=M1"]).expect(1).says(&["run people-1 is suspended"]);
    assert_eq!(created(&world).len(), 10);
    world
}

/// The ids of records that were made.
fn created(world: &World) -> Vec<String> {
    let made = world.changes().into_iter().filter(|change| change.kind == ChangeKind::Created);
    made.map(|change| change.id).collect()
}

#[test]
fn a_restart_drops_the_temp_file_and_begins_anew_and_no_record_is_made_twice() {
    let world = suspended();
    let temp = world.path(".campanile/runs/people-1/temp");
    assert!(temp.exists());
    // It is started as it began, whatever became of the file.
    world.workflow("people", &json!({ "other": { "type": "start" } }));
    let run = world.ask(&["restart", "people-1", "--json"]).expect(0).json();
    assert_eq!((&run["run"], &run["status"]), (&json!("people-2"), &json!("finished")));
    assert_eq!(world.run("people-1")["status"], "stopped");
    assert!(!temp.exists());
    let ids = created(&world);
    assert_eq!((ids.len(), ids.iter().collect::<BTreeSet<_>>().len()), (25, 25));
    let record = world.sandbox.admin().record("contacts", &ids[24]).unwrap().unwrap();
    assert_eq!(record["firstname"], "M1", "it has the variables of the first");

    // Also what is over can be restarted; its records are there already.
    let run = world.ask(&["restart", "people-2", "--json"]).expect(0).json();
    assert_eq!((&run["run"], &run["status"]), (&json!("people-3"), &json!("finished")));
    assert_eq!(world.run("people-2")["status"], "finished");
    assert_eq!(created(&world).len(), 25);
    world.ask(&["restart", "people-9"]).expect(1).says(&["people-9"]);
}

#[test]
fn a_run_that_cannot_be_started_anew_stays_as_it_is() {
    let world = suspended();
    world.configure(&[("clientSecret", "{ env = \"CAMPANILE_TEST_NO_SUCH_SECRET\" }")]);
    world.ask(&["restart", "people-1"]).expect(2).says(&["CAMPANILE_TEST_NO_SUCH_SECRET"]);
    assert_eq!(world.run("people-1")["status"], "suspended");
    assert!(world.path(".campanile/runs/people-1/temp").exists());
}

/// Contacts that were made in either system, by their last names.
fn names_created(world: &World) -> Vec<String> {
    let admin = world.sandbox.admin();
    let changes = admin.changes(0).into_iter().chain(admin.salesforce().changes(0));
    let made = changes.filter(|change| change.kind == ChangeKind::Created);
    let name = |change: Change| {
        let field = change.fields.into_iter().find(|field| field.field.eq_ignore_ascii_case("lastname"));
        field.unwrap().new.as_str().unwrap().to_owned()
    };
    let mut names: Vec<String> = made.map(name).collect();
    names.sort();
    names
}

/// 25 records are exported ten a batch, and the process is killed when the CRM has the second batch but did not answer.
#[track_caller]
fn killed_in_the_middle_and_started_anew(export: &Value, account: &str, second_batch: &Value) {
    let world = World::new(0);
    world.add_salesforce(account);
    let key = json!({ "name": "ExtId__c", "type": "string", "externalId": true, "unique": true });
    world.sandbox.admin().salesforce().add_field("Contact", &serde_json::from_value(key).unwrap()).unwrap();
    let names: Vec<String> = (0..25).map(|number| format!("Name {number:02}")).collect();
    world.people(&names.iter().map(|name| (None, name.clone())).collect::<Vec<_>>());
    let people = json!({ "type": "database.query", "table": "person", "to": "export" });
    let file = world.workflow("people", &json!({ "people": people, "export": export }));
    let mut unanswered = second_batch.clone();
    unanswered["delayMs"] = json!(3_600_000);
    world.sandbox.admin().add_fault(serde_json::from_value(unanswered).unwrap()).unwrap();
    let mut working = world.begin(&["run", &file]);
    wait_for("the second batch", || names_created(&world).len() == 20 || !working.is_working());
    working.kill();
    assert_eq!(names_created(&world), names[..20]);
    let view = world.run("people-1");
    assert_eq!((&view["status"], &view["driven"]), (&json!("running"), &json!(false)));

    world.sandbox.admin().clear_faults();
    let run = world.ask(&["restart", "people-1", "--json"]).expect(0).json();
    assert_eq!((&run["run"], &run["status"]), (&json!("people-2"), &json!("finished")));
    assert_eq!(world.run("people-1")["status"], "stopped");
    assert!(!world.path(".campanile/runs/people-1/temp").exists());
    assert_eq!(names_created(&world), names, "each once");
}

#[test]
fn an_export_to_dynamics_that_was_killed_in_the_middle_is_started_anew_and_no_record_is_made_twice() {
    let export = json!({ "type": "crm.export", "account": "dynamics", "object": "contacts", "operation": "insert",
        "set": { "lastname": "last_name" }, "batch": { "size": 10, "parallel": 1 } });
    killed_in_the_middle_and_started_anew(&export, "", &json!({ "containing": "Name 10" }));
}

#[test]
fn an_export_to_salesforce_that_was_killed_in_the_middle_is_started_anew_and_no_record_is_made_twice() {
    let export = json!({ "type": "crm.export", "account": "salesforce", "object": "Contact", "operation": "upsert",
        "key": ["ExtId__c"], "set": { "ExtId__c": "last_name", "LastName": "last_name" },
        "batch": { "size": 10, "parallel": 1 } });
    killed_in_the_middle_and_started_anew(&export, "", &json!({ "containing": "Name 10" }));
    // The same by jobs.
    let jobs = "bulk = { from = 20, pollMin = \"5ms\", pollMax = \"5ms\" }\n";
    killed_in_the_middle_and_started_anew(&export, jobs, &json!({ "containing": "UploadComplete", "skip": 1 }));
}

#[test]
fn what_a_restart_would_make_again_it_makes_only_when_told_to() {
    let world = World::new(0);
    world.add_salesforce("");
    world.people(&(0..3).map(|number| (None, format!("Name {number}"))).collect::<Vec<_>>());
    let file = world.workflow(
        "people",
        &json!({
            "people": { "type": "database.query", "table": "person", "to": "export" },
            "export": { "type": "crm.export", "account": "salesforce", "object": "Contact", "operation": "insert",
                "set": { "LastName": "last_name" } },
        }),
    );
    world.ask(&["run", &file]).expect(0).says(&["insert-in-doubt", "each run makes them anew"]);
    world.ask(&["restart", "people-1"]).expect(1).says(&["makes them again", "--again"]);
    assert_eq!(names_created(&world).len(), 3);
    world.ask(&["restart", "people-1", "--again"]).expect(0);
    assert_eq!(names_created(&world).len(), 6);
}
