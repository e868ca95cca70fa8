//! What `show` and `runs` say of a run: why tasks failed, what followed, what it waits for, what is held.

use sandbox::{Fault, Route};
use serde_json::{Value, json};

use crate::world::{World, import_to, wait_for};

/// A workflow of one import and what is added to it.
fn import(more: &Value) -> Value {
    let mut activities = import_to("end", &json!({ "end": { "type": "end" } }));
    activities["import"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    activities
}

/// The CRM refuses this often, with this status.
fn refuse(world: &World, status: u16, times: u64) {
    let retry_after = (status == 429).then(|| serde_json::from_value(json!(600)).unwrap());
    let fault =
        Fault { route: Route::Query, status: Some(status), times: Some(times), retry_after, ..Fault::default() };
    world.sandbox.admin().add_fault(fault).unwrap();
}

#[test]
fn a_run_that_stands_says_why_on_stdout_and_in_the_list_of_runs() {
    let world = World::new(30);
    world.configure(&[("clientSecret", "\"wrong\"")]);
    let file = world.workflow("a", &import(&json!({})));
    let answer = world.ask(&["run", &file]).expect(1);
    assert_eq!(answer.err.matches("the client secret").count(), 1, "each result prints once: {}", answer.err);
    assert!(answer.err.contains("help: "), "{}", answer.err);
    let shown = world.ask(&["show", "a-1"]).expect(0).out;
    for part in ["import (task 1, attempt 1): ", "the client secret", "(the run waits for you)", "help: "] {
        assert!(shown.contains(part), "{part:?} is not in: {shown}");
    }
    let runs = world.ask(&["runs"]).expect(0).out;
    let line = runs.lines().nth(1).unwrap();
    assert!(line.contains("suspended") && line.contains("the client secret"), "{runs}");
    for column in ["REJECTS", "IN DOUBT", "HELD"] {
        assert!(runs.contains(column), "{runs}");
    }
}

#[test]
fn a_failure_that_was_ignored_and_the_option_that_it_holds_are_shown() {
    let world = World::new(30);
    // A script that fails after the import holds the import's option.
    let script = json!({ "type": "script", "script": "throw \"no luck\"", "onError": "ignore" });
    let activities = import_to("script", &json!({ "script": script }));
    let file = world.workflow("a", &activities);
    world.ask(&["run", &file]).expect(0);
    let shown = world.ask(&["show", "a-1"]).expect(0).out;
    for part in ["no luck (ignored by onError)", "option LASTIMPORT_a_import is held: script (task 2) did not end well"]
    {
        assert!(shown.contains(part), "{part:?} is not in: {shown}");
    }
    let line = &world.ask(&["runs", "--json"]).json()[0];
    assert_eq!((&line["held"], &line["rejects"], &line["inDoubt"]), (&json!(1), &json!(0), &json!(0)));
}

#[test]
fn a_wait_for_a_crm_that_limits_its_callers_is_shown_and_ended_by_wakeup() {
    let world = World::new(30);
    world.configure(&[("limits", "{ retries = 3, retryWaitMax = \"1h\" }")]);
    let file = world.workflow("a", &import(&json!({})));
    refuse(&world, 429, 1);
    let working = world.begin(&["run", &file]);
    let run = world.until("a-1", |run| run["tasks"][0]["wait"].is_object());
    let wait = &run["tasks"][0]["wait"];
    assert_eq!(wait["attempt"], 2);
    assert!(wait["secondsLeft"].as_u64().unwrap() > 500, "{wait}");
    let shown = world.ask(&["show", "a-1"]).expect(0).out;
    assert!(
        shown.contains("import (task 1) waits until ") && shown.contains(" min), attempt 2: dynamics: "),
        "{shown}"
    );
    wait_for("the wait to show in the progress", || working.err().contains("waits until"));
    world.ask(&["wakeup", "a-1", "end"]).expect(1).says(&["end of run a-1 does not wait"]);
    world.ask(&["wakeup", "a-1"]).expect(0);
    let answer = working.end().expect(0);
    assert!(answer.out.contains("reached the end: 30"), "{}", answer.out);
    world.ask(&["wakeup", "a-1"]).expect(1);
}

#[test]
fn a_retry_shows_when_and_which_attempt_and_resume_begins_it_now() {
    let world = World::new(30);
    let file =
        world.workflow("a", &import(&json!({ "retry": { "attempts": 3, "backoff": "2h", "backoffMax": "2h" } })));
    // The count, which an import does without, and the first page.
    refuse(&world, 503, 2);
    let working = world.begin(&["run", &file]);
    world.until("a-1", |run| run["status"] == "waiting");
    let shown = world.ask(&["show", "a-1"]).expect(0).out;
    assert!(
        shown.contains("(in 2 h 00 min), attempt 2: ") || shown.contains("(in 1 h 59 min), attempt 2: "),
        "{shown}"
    );
    assert!(working.err().contains("(next try "), "{}", working.err());
    let runs = world.ask(&["runs"]).expect(0).out;
    assert!(runs.contains("NEXT TRY") && runs.contains("waiting"), "{runs}");
    world.ask(&["resume", "a-1"]).expect(0);
    working.end().expect(0);
}

#[test]
fn a_table_in_a_pipe_has_each_row_in_one_line_and_its_zeros() {
    let world = World::new(30);
    let file = world.workflow("a", &import(&json!({ "filter": "lastname == \"Nobody at all\"" })));
    let answer = world.ask(&["run", &file]).expect(0);
    let row = answer.out.lines().find(|line| line.contains("crm.import")).unwrap();
    let cells: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(cells[..5], ["1", "import", "crm.import", "finished", "1"], "{row}");
    assert_eq!(cells[6..10], ["0", "0", "0", "0"], "in, added, rejects, in doubt: {row}");
}

#[test]
fn a_wait_of_the_workflow_is_shown_and_ended_by_the_name_of_its_activity() {
    let world = World::new(0);
    let pause = json!({ "type": "wait", "for": "2h", "to": "end" });
    let file = world.workflow("a", &json!({ "pause": pause, "end": { "type": "end" } }));
    let working = world.begin(&["run", &file]);
    world.until("a-1", |run| run["status"] == "waiting");
    let shown = world.ask(&["show", "a-1"]).expect(0).out;
    assert!(shown.contains("pause (task 1) waits until ") && shown.contains(" min)"), "{shown}");
    world.ask(&["wakeup", "a-1", "pause"]).expect(0);
    working.end().expect(0);
}
