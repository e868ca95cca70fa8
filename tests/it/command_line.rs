//! Exit codes, and the shapes of what is printed.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::world::{World, import_to, is_same, main_job, wait_for};

/// A run as JSON, without what differs from run to run.
fn steady(mut view: Value) -> Value {
    view.as_object_mut().unwrap().remove("started");
    view["seconds"] = json!("…");
    for task in view["tasks"].as_array_mut().unwrap() {
        task["seconds"] = json!("…");
    }
    view
}

#[test]
fn a_run_ends_with_one_object_of_its_tasks_counts_and_variables() {
    let world = World::new(60);
    let file = world.workflow("dynamicsImport", &main_job());
    let answer = world.ask(&["run", &file, "--json", "--var", "region=EMEA", "--var", "limit=5"]).expect(0);
    insta::assert_json_snapshot!(steady(answer.json()));
    assert_eq!(steady(world.run("dynamicsImport-1")), steady(answer.json()));
    let runs = world.ask(&["runs", "--json"]).expect(0).json();
    let line = &runs[0];
    assert_eq!(
        (&line["run"], &line["status"], &line["driven"]),
        (&json!("dynamicsImport-1"), &json!("finished"), &json!(false))
    );
    let human = world.ask(&["runs"]).expect(0);
    assert!(human.out.contains("dynamicsImport-1") && human.out.contains("finished"), "{}", human.out);
}

#[test]
fn check_tells_every_problem_with_an_excerpt_or_as_json() {
    let world = World::new(0);
    world.write(
        "workflows/wrong.json",
        r#"{
  "version": 1,
  "activities": {
    "start": { "type": "start", "to": "imports" },
    "import": { "type": "crm.import", "account": "dynamic", "object": "contacts", "field": ["lastname"], "to": "pause" },
    "pause": { "type": "wait", "for": "soon", "to": { "okay": "end" } },
    "end": { "type": "end" }
  }
}
"#,
    );
    world.write("workflows/right.json", r#"{"version": 1, "activities": {"start": {"type": "start"}}}"#);
    let answer = world.ask(&["check", "workflows/wrong.json", "workflows/right.json"]).expect(2);
    assert_eq!(answer.out, "");
    insta::assert_snapshot!(answer.err);
    let answer = world.ask(&["check", "--json", "workflows/right.json", "workflows/wrong.json"]).expect(2);
    insta::assert_json_snapshot!(answer.json());
    let answer = world.ask(&["check", "--json", "workflows/right.json"]).expect(0);
    assert_eq!(answer.json(), json!([]));
    world.ask(&["run", "workflows/wrong.json"]).expect(2).says(&["there is no activity \"imports\""]);
    assert!(!world.path(".campanile").exists(), "a workflow that is not right leaves nothing behind");
}

#[test]
fn check_says_what_it_could_not_check_and_a_run_finds_it() {
    let world = World::new(10);
    let file = world.workflow("a", &import_to("end", &json!({ "end": { "type": "end" } })));
    world.ask(&["check", &file]).expect(0).says(&["not checked: the fields of contacts in dynamics"]);
    let wrong = json!({ "import": { "type": "crm.import", "account": "dynamics", "object": "contacts", "fields": ["lastnam"] } });
    let wrong = world.workflow("wrong", &wrong);
    world.ask(&["check", &wrong]).expect(0);
    world.ask(&["run", &wrong]).expect(2).says(&["lastnam", "did you mean \"lastname\"?"]);
    // Once its description is kept, no network is needed to tell.
    world.configure(&[("url", "\"http://127.0.0.1:9\"")]);
    world.ask(&["check", &wrong]).expect(2).says(&["did you mean \"lastname\"?"]);
}

#[test]
fn what_is_wrong_with_the_configuration_is_told_with_its_place() {
    let world = World::new(0);
    let file = world.workflow("a", &json!({ "start": { "type": "start" } }));
    world.write(
        "campanile.toml",
        "[limits]\ntasksAtOnce = \"many\"\nsegmentMb = 5\n[accounts.dynamics]\nkind = \"dynamics\"\n",
    );
    for args in [&["check", &file][..], &["run", &file], &["runs"]] {
        world.ask(args).expect(2).says(&["this is text, not a whole number", "segmentMib", "needs \"url\""]);
    }
}

#[test]
fn a_command_line_that_is_not_right_ends_with_2() {
    let world = World::new(0);
    let file = world.workflow("a", &import_to("end", &json!({ "end": { "type": "end" } })));
    world.ask(&["check", &file, "--config", "nope.toml"]).expect(2).says(&["nope.toml", "help:"]);
    world.ask(&["run", &file, "--config", "nope.toml"]).expect(2).says(&["nope.toml", "help:"]);
    let backward = ["backfill", &file, "--from", "2026-03-02", "--to", "2026-03-01"];
    world.ask(&backward).expect(2).says(&["not after its beginning", "help:"]);
    world.ask(&["options", "get", ""]).expect(2).says(&["an option's name has 1 to 200 bytes"]);
    world.write("campanile.toml", "");
    for command in ["test", "limits"] {
        world.ask(&["accounts", command]).expect(2).says(&["there are no accounts", "[accounts.NAME]"]);
    }
}

#[test]
fn options_are_listed_read_set_and_removed() {
    let world = World::new(0);
    world.ask(&["options", "list"]).expect(1).says(&["there is no data folder"]);
    // Before the first run, so that it begins where the option says.
    world.ask(&["options", "set", "FLOOR of é", "50"]).expect(0);
    assert_eq!(world.ask(&["options", "get", "FLOOR of é"]).expect(0).out, "50\n");
    assert_eq!(world.options(), json!({ "FLOOR of é": "50" }));
    world.ask(&["options", "get", "FLOOR"]).expect(1).says(&["there is no option FLOOR"]);
    world.ask(&["options", "remove", "FLOOR of é"]).expect(0);
    assert_eq!(world.options(), json!({}));
}

#[test]
fn an_account_is_tested_step_by_step_and_a_missing_secret_is_named() {
    let world = World::new(0);
    let tested = world.ask(&["accounts", "test", "--json"]).expect(0).json();
    assert_eq!(tested["dynamics"].as_array().unwrap().len(), 5);
    world.ask(&["accounts", "test", "dynamic"]).expect(2).says(&["did you mean \"dynamics\"?"]);
    world.configure(&[("clientSecret", "{ env = \"NO_SUCH_SECRET\" }")]);
    world.ask(&["accounts", "test"]).expect(1).says(&["the environment variable NO_SUCH_SECRET is not set"]);
    // It stands in nobody's way who does not need it.
    let file = world.workflow("a", &json!({ "start": { "type": "start" } }));
    world.ask(&["run", &file]).expect(0);
    let file = world.workflow("b", &import_to("end", &json!({ "end": { "type": "end" } })));
    world.ask(&["run", &file]).expect(2).says(&["NO_SUCH_SECRET is not set"]);
}

#[test]
fn a_suspended_run_says_how_to_go_on_and_does_so_from_another_folder() {
    let world = World::new(300);
    world.configure(&[("clientSecret", "\"wrong\"")]);
    let file = world.workflow("a", &import_to("end", &json!({ "end": { "type": "end" } })));
    let answer = world.ask(&["run", &file, "--json"]).expect(1);
    assert_eq!(answer.json()["status"], "suspended");
    assert!(answer.err.contains("campanile resume a-1"), "{}", answer.err);
    assert!(answer.err.contains("secret"), "{}", answer.err);

    world.configure(&[]);
    let elsewhere = tempfile::tempdir().unwrap();
    assert!(!is_same(elsewhere.path(), &world.path("")));
    let data = world.path(".campanile");
    let mut command = world.command(&["resume", "a-1", "--json", "--data", data.to_str().unwrap()]);
    let output = command.current_dir(elsewhere.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    world.ask(&["resume", "a-1"]).expect(1).says(&["run a-1 is over"]);
    world.ask(&["resume", "a-2"]).expect(1).says(&["there is no run a-2"]);
    world.ask(&["resume", "nothing"]).expect(2).says(&["such as dynamicsImport-7"]);
}

#[test]
fn the_sandbox_describes_itself_in_its_first_line_and_ends_on_ctrl_c() {
    let world = World::new(0);
    let working = world.begin(&["sandbox", "--contacts", "10", "--json"]);
    wait_for("its first line", || working.out().contains('\n'));
    working.interrupt();
    let answer = working.end().expect(0);
    let keys: Vec<String> = answer.json().as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["dynamics", "tokenUrl", "tenantId", "clientId", "clientSecret", "admin", "salesforce"]);
}

#[test]
fn the_demo_imports_all_and_then_only_what_changed() {
    let world = World::new(0);
    let answer =
        world.ask(&["demo", "--contacts", "2000"]).expect(0).says(&["exactly those that changed", "What next:"]);
    assert!(answer.out.contains("complement"), "{}", answer.out);
    let again = world.ask(&["demo", "--contacts", "500"]).expect(0);
    assert!(again.err.contains("demo/2"), "a demo begins in a folder of its own: {}", again.err);
    let mode = std::fs::metadata(world.path(".campanile")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "later runs keep people's records there");
}

#[test]
fn a_backfill_to_a_time_that_has_not_passed_does_not_begin() {
    let world = World::new(0);
    let file = world.workflow("a", &main_job());
    world
        .ask(&["backfill", &file, "--from", "2026-01-01", "--to", "2926-01-01"])
        .expect(1)
        .says(&["has not passed", "let it end at a time that has passed"]);
    assert_eq!(world.ask(&["runs", "--json"]).json(), serde_json::json!([]));
}
