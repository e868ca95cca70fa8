//! The process ends by SIGKILL at any moment, and `resume` gives the same database, and the same records in the CRMs, as a
//! run that was never killed.

use std::time::Duration;

use sandbox::{Change, ChangeKind, Fault, Route};
use serde_json::json;

use crate::everything::Everything;
use crate::rounds::rounds;
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

/// While one request in twenty is carried out and never answered, and one in thirty is refused.
#[test]
fn imports_and_exports_killed_at_random_moments_leave_each_record_once() {
    rounds("kills of imports and exports", 1, |dice, done| {
        let everything = Everything::new(*dice.of(&[0, 3]));
        everything.lose_answers(dice);
        for _ in 0..3 + dice.below(8) {
            let Some(mut working) = everything.begin(|_| {}) else { break };
            std::thread::sleep(Duration::from_millis(dice.below(1_200)));
            *done.entry("kills").or_default() += u64::from(working.is_working());
            working.kill();
        }
        everything.to_the_end();
        everything.check();
        *done.entry("records in doubt").or_default() += everything.in_doubt();
    });
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
    let is_new = |change: &Change| change.kind == ChangeKind::Created;
    assert_eq!(admin.salesforce().changes(0).iter().filter(|change| is_new(change)).count(), 400);
}
