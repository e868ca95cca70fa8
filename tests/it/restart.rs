//! `campanile restart`: what a run began with, anew.

use std::collections::BTreeSet;

use sandbox::{ChangeKind, Fault, Route};
use serde_json::json;

use crate::world::World;

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
