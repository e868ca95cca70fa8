//! Several processes and one data folder.

use std::os::unix::fs::PermissionsExt;
use std::{fs, thread};

use sandbox::{Fault, Route};
use serde_json::{Value, json};

use crate::world::{PAGE, World, import_to, wait_for};

const END: &str = "end";

fn ends() -> Value {
    json!({ "end": { "type": "end" } })
}

/// Every page takes a while, so that others can look on.
fn slow(world: &World, delay_ms: u64) {
    world
        .sandbox
        .admin()
        .add_fault(Fault { route: Route::Page, delay_ms: Some(delay_ms), ..Fault::default() })
        .unwrap();
}

#[test]
fn show_preview_options_and_a_second_run_work_while_a_run_goes_on() {
    let world = World::new(20 * PAGE);
    slow(&world, 150);
    let first = world.workflow("first", &import_to(END, &ends()));
    let second = world.workflow("second", &json!({ "begin": { "type": "script", "script": "vars.done = 1;" } }));
    let mut working = world.begin(&["run", &first, "--json"]);
    let preview = || world.ask(&["preview", "first-1", "import", "--limit", "3", "--json"]);
    wait_for("the first records", || preview().code == Some(0));
    assert_eq!(preview().json().as_array().unwrap().len(), 3);
    let columns: Vec<String> = preview().json()[0].as_object().unwrap().keys().cloned().collect();
    assert!(!columns.contains(&"_seq".to_owned()), "{columns:?}");
    let shown = world.ask(&["preview", "first-1", "import", "ok", "--format", "csv"]).expect(0);
    assert_eq!(shown.out.lines().count(), 21);
    shown.says(&["records so far"]);

    let view = world.run("first-1");
    assert_eq!((&view["status"], &view["driven"]), (&json!("running"), &json!(true)));
    world.ask(&["options", "set", "FLOOR", "5"]).expect(0);
    let answer = world.ask(&["run", &second, "--json"]).expect(0).says(&["has the data folder open"]);
    assert_eq!((&answer.json()["status"], &answer.json()["vars"]["done"]), (&json!("finished"), &json!(1)));
    assert!(working.is_working(), "the first run was over too early to tell anything");

    let answer = working.end().expect(0);
    let rows = answer.json()["tasks"][0]["out"]["ok"].as_u64().unwrap();
    assert_eq!(rows, u64::from(20 * PAGE));
    assert!(!world.path(".campanile/owner.json").exists() && !world.path(".campanile/socket").exists());
    assert_eq!(world.options()["FLOOR"], "5");
}

#[test]
fn a_follower_takes_its_run_over_when_the_owner_is_killed() {
    let world = World::new(20 * PAGE);
    slow(&world, 100);
    let (first, second) =
        (world.workflow("first", &import_to(END, &ends())), world.workflow("second", &import_to(END, &ends())));
    let mut owner = world.begin(&["run", &first]);
    wait_for("the owner", || world.path(".campanile/owner.json").exists());
    let follower = world.begin(&["run", &second, "--json"]);
    wait_for("both imports", || world.sealed("first-1") > 2 && world.sealed("second-1") > 2);
    owner.kill();
    let answer = follower.end().expect(0).says(&["is gone; the run goes on here"]);
    assert_eq!(answer.json()["tasks"][0]["out"]["ok"], 20 * PAGE);
    assert_eq!(world.run("first-1")["driven"], false);
    let answer = world.ask(&["resume", "first-1", "--json"]).expect(0);
    assert_eq!(answer.json()["tasks"][0]["out"]["ok"], 20 * PAGE);
}

#[test]
fn the_owner_stays_until_what_others_submitted_is_done() {
    let world = World::new(12 * PAGE);
    let short = world.workflow("short", &json!({ "pause": { "type": "wait", "for": "2s" } }));
    let long = world.workflow("long", &import_to(END, &ends()));
    slow(&world, 250);
    let owner = world.begin(&["run", &short, "--json"]);
    wait_for("the owner", || world.path(".campanile/owner.json").exists());
    let follower = world.begin(&["run", &long]);
    wait_for("its farewell", || owner.err().contains("still driving long-1"));
    follower.interrupt();
    follower.end().expect(1).says(&["the run goes on in process"]);
    let answer = owner.end().expect(0);
    assert_eq!(answer.json()["status"], "finished");
    assert_eq!(world.run("long-1")["status"], "finished");
}

#[test]
fn ctrl_c_leaves_a_run_that_can_be_resumed() {
    let world = World::new(10 * PAGE);
    slow(&world, 150);
    let file = world.workflow("first", &import_to(END, &ends()));
    let working = world.begin(&["run", &file, "--json"]);
    wait_for("some pages", || world.sealed("first-1") > 2);
    working.interrupt();
    let answer = working.end().expect(1).says(&["was interrupted", "campanile resume first-1"]);
    assert_eq!((&answer.json()["status"], &answer.json()["driven"]), (&json!("running"), &json!(false)));
    assert!(world.ask(&["runs"]).out.contains("interrupted"));
    let asked = world.requests("page");
    world.sandbox.admin().clear_faults();
    let answer = world.ask(&["resume", "first-1", "--json"]).expect(0);
    assert_eq!(answer.json()["tasks"][0]["out"]["ok"], 10 * PAGE);
    assert!(world.requests("page") - asked < 9, "what was sealed is not asked for again");
}

#[test]
fn a_run_is_paused_and_stopped_from_another_process_and_without_one() {
    let world = World::new(0);
    let file =
        world.workflow("a", &json!({ "one": { "type": "wait", "for": "3s", "to": "two" }, "two": { "type": "end" } }));
    let working = world.begin(&["run", &file, "--json"]);
    world.until("a-1", |run| run["tasks"][0]["status"] == "waiting");
    world.ask(&["pause", "a-1"]).expect(0);
    let answer = working.end().expect(1).says(&["is paused", "campanile resume a-1"]);
    assert_eq!(answer.json()["status"], "paused");
    world.ask(&["stop", "a-1"]).expect(0);
    assert_eq!(world.run("a-1")["status"], "stopped");
    world.ask(&["stop", "a-1"]).expect(1).says(&["is over already"]);

    let working = world.begin(&["run", &file, "--json"]);
    world.until("a-2", |run| run["tasks"][0]["status"] == "waiting");
    world.ask(&["stop", "a-2"]).expect(0);
    assert_eq!(working.end().expect(1).json()["status"], "stopped");
}

#[test]
fn many_processes_that_begin_at_once_share_one_data_folder() {
    let world = World::new(0);
    let file = world.workflow_when_running("a", "allow", &json!({ "pause": { "type": "wait", "for": "200ms" } }));
    thread::scope(|scope| {
        let runs: Vec<_> = (0..6).map(|_| scope.spawn(|| world.ask(&["run", &file, "--json"]))).collect();
        let mut names: Vec<String> = Vec::new();
        for run in runs {
            let answer = run.join().unwrap().expect(0);
            names.push(answer.json()["run"].as_str().unwrap().to_owned());
        }
        names.sort();
        assert_eq!(names, ["a-1", "a-2", "a-3", "a-4", "a-5", "a-6"]);
    });
}

#[test]
fn a_second_start_is_refused_while_a_run_is_not_over_and_nothing_is_done_twice() {
    let world = World::new(10 * PAGE);
    slow(&world, 150);
    let file = world.workflow("a", &import_to(END, &ends()));
    let working = world.begin(&["run", &file, "--json"]);
    wait_for("the first page", || world.sealed("a-1") > 0);
    let refused = world.ask(&["run", &file]).expect(1);
    refused.says(&["run a-1 of the same workflow is not over", "campanile stop a-1", "whenRunning"]);
    working.end().expect(0);
    let runs = world.ask(&["runs", "--json"]).expect(0).json();
    assert_eq!(runs.as_array().unwrap().len(), 1, "{runs}");
    world.ask(&["run", &file]).expect(0);
}

#[test]
fn an_interrupted_run_is_resumed_before_its_workflow_starts_again() {
    let world = World::new(10 * PAGE);
    slow(&world, 150);
    let file = world.workflow("a", &import_to(END, &ends()));
    let mut working = world.begin(&["run", &file, "--json"]);
    wait_for("some pages", || world.sealed("a-1") > 2);
    working.kill();
    world.sandbox.admin().clear_faults();
    let answer = world.ask(&["run", &file, "--json"]).expect(0);
    let answer = answer.says(&["run a-1 was interrupted", "run a-1 is finished", "run a-2"]);
    assert_eq!(answer.json()["run"], "a-2");
    assert_eq!(world.run("a-1")["tasks"][0]["out"]["ok"], 10 * PAGE);
}

#[test]
fn a_start_that_queues_begins_once_the_run_before_it_is_over() {
    let world = World::new(0);
    let file = world.workflow_when_running("a", "queue", &json!({ "pause": { "type": "wait", "for": "1s" } }));
    let first = world.begin(&["run", &file, "--json"]);
    world.until("a-1", |run| run["status"] == "running" || run["status"] == "waiting");
    let second = world.begin(&["run", &file, "--json"]);
    world.until("a-2", |run| run["status"] == "queued");
    world.ask(&["run", &file]).expect(1).says(&["run a-2 already waits for the workflow"]);
    first.end().expect(0);
    assert_eq!(second.end().expect(0).json()["status"], "finished");
}

#[test]
fn another_configuration_is_refused_while_a_run_goes_on() {
    let world = World::new(0);
    let file = world.workflow("a", &json!({ "pause": { "type": "wait", "for": "2s" } }));
    let working = world.begin(&["run", &file]);
    wait_for("the owner", || world.path(".campanile/owner.json").exists());
    world.write("other.toml", "[limits]\ntasksAtOnce = 2\n");
    let answer = world.ask(&["run", &file, "--config", "other.toml", "--data", ".campanile"]);
    answer.expect(1).says(&["with another configuration", "help:"]);
    working.end().expect(0);
}

#[test]
fn the_socket_is_private_also_where_the_data_folder_is_far_away_or_open() {
    let world = World::new(0);
    let file = world.workflow("a", &json!({ "pause": { "type": "wait", "for": "1500ms" } }));
    let far = format!("{}/data", "far".repeat(40));
    fs::create_dir_all(world.path("open")).unwrap();
    fs::set_permissions(world.path("open"), fs::Permissions::from_mode(0o755)).unwrap();
    for data in [far.as_str(), "open", "near"] {
        // What a dead owner left stands in nobody's way.
        fs::create_dir_all(world.path(data)).unwrap();
        let mode = if data == "open" { 0o755 } else { 0o700 };
        fs::set_permissions(world.path(data), fs::Permissions::from_mode(mode)).unwrap();
        world.write(&format!("{data}/owner.json"), r#"{"pid": 1, "version": "0.0.0", "socket": "/nowhere/socket"}"#);
        let working = world.begin(&["run", &file, "--data", data]);
        let owner = || serde_json::from_slice::<Value>(&fs::read(world.path(&format!("{data}/owner.json"))).ok()?).ok();
        wait_for("the owner", || owner().is_some_and(|owner| owner["version"] != "0.0.0"));
        let socket = owner().unwrap()["socket"].as_str().unwrap().to_owned();
        let socket = std::path::Path::new(&socket);
        let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(socket), mode(socket.parent().unwrap())), (0o600, 0o700), "{data}");
        assert_eq!(socket.starts_with(world.path("").canonicalize().unwrap()), data == "near", "{}", socket.display());
        world.ask(&["runs", "--data", data]).expect(0);
        working.end().expect(0);
        assert!(!socket.exists());
        assert_eq!(data == "near", socket.parent().unwrap().exists(), "a folder of its own goes with the socket");
    }
}

#[test]
fn what_is_made_in_an_open_data_folder_is_private_and_so_is_a_database_elsewhere() {
    let world = World::new(5);
    fs::create_dir(world.path("open")).unwrap();
    fs::set_permissions(world.path("open"), fs::Permissions::from_mode(0o755)).unwrap();
    let text = fs::read_to_string(world.path("campanile.toml")).unwrap();
    world.write("campanile.toml", &format!("database = \"sqlite:elsewhere/m.db\"\n{text}"));
    let save = json!({ "save": { "type": "database.update", "table": "recipient", "key": ["email"],
        "set": { "email": "emailaddress1", "last_name": "lastname" } } });
    let file = world.workflow("a", &import_to("save", &save));
    world.ask(&["run", &file, "--data", "open"]);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let made: Vec<_> = fs::read_dir(world.path("open")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(made.len() >= 4, "{made:?}");
    for path in &made {
        assert_eq!(mode(path) & 0o077, 0, "{}: {:o}", path.display(), mode(path));
    }
    assert_eq!(mode(&world.path("elsewhere/m.db")), 0o600);
    assert_eq!(mode(&world.path("open")), 0o755, "it stays as its owner made it");
}
