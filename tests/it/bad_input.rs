//! Bad input: a clear message with what to do, options and database as they were or resumable, never a panic.

use std::fs;
use std::path::{Path, PathBuf};

use sandbox::{Fault, Route};
use serde_json::{Value, json};

use crate::world::{World, import_to, main_job, wait_for};

#[test]
fn malformed_json_and_what_is_not_even_text() {
    let world = World::new(0);
    for (text, says) in [
        (&b"{ \"version\": 1, \"activities\": {"[..], "this is not JSON"),
        (b"", "the file is empty"),
        (b"[1, 2]", "object"),
        (b"{ \"version\": 1, \"activities\": { \"\xff\": 1 } }", "this is not UTF-8"),
        (b"{ \"version\": 2, \"activities\": {} }", "version"),
    ] {
        world.write("workflows/a.json", "");
        fs::write(world.path("workflows/a.json"), text).unwrap();
        world.ask(&["check", "workflows/a.json"]).expect(2).says(&[says]);
        world.ask(&["run", "workflows/a.json"]).expect(2).says(&[says]);
    }
    let deep = "[".repeat(100_000);
    world.write("workflows/a.json", &deep);
    world.ask(&["run", "workflows/a.json"]).expect(2);
    world.ask(&["run", "workflows/none.json"]).expect(2).says(&["workflows/none.json", "cannot read"]);
    world.ask(&["run", "workflows"]).expect(2).says(&["cannot read"]);
    assert!(!world.path(".campanile").exists());
}

#[test]
fn ten_thousand_activities_are_checked_and_too_many_are_refused() {
    let world = World::new(0);
    let chain = |count: usize| {
        let activity = |n: usize| {
            let to = if n + 1 < count { json!({ "to": format!("a{}", n + 1) }) } else { json!({}) };
            let mut activity = json!({ "type": if n == 0 { "start" } else { "script" }, "script": "vars.n = 1;" });
            if n == 0 {
                activity.as_object_mut().unwrap().remove("script");
            }
            activity.as_object_mut().unwrap().extend(to.as_object().unwrap().clone());
            (format!("a{n}"), activity)
        };
        Value::Object((0..count).map(activity).collect())
    };
    let file = world.workflow("long", &chain(10_000));
    world.ask(&["check", &file]).expect(0);
    let file = world.workflow("longer", &chain(20_001));
    world.ask(&["check", &file]).expect(2).says(&["there are 20001 activities; the most is 20000"]);
}

#[test]
fn a_loop_that_nothing_bounds() {
    let world = World::new(0);
    let script = |to: &str| json!({ "type": "script", "script": "vars.n = 1;", "to": to });
    let file = world.workflow("round", &json!({ "a": script("b"), "b": script("a") }));
    world.ask(&["run", &file]).expect(2).says(&["nothing bounds the loop a → b → a", "attempts"]);
}

#[test]
fn a_filter_that_does_not_parse_is_told_with_its_place() {
    let world = World::new(0);
    let mut activities = import_to("end", &json!({ "end": { "type": "end" } }));
    activities["import"]["filter"] = json!("lastname ==");
    let file = world.workflow("a", &activities);
    let problems = world.ask(&["check", "--json", &file]).expect(2).json();
    assert_eq!(problems[0]["pointer"], "/activities/import/filter");
    let text = fs::read_to_string(world.path(&file)).unwrap();
    let column = usize::try_from(problems[0]["column"].as_u64().unwrap()).unwrap();
    let filter = text.find("lastname ==").unwrap();
    assert!((filter..=filter + 13).contains(&column), "column {column}, the filter begins at {filter}");
}

#[test]
fn a_value_of_a_form_that_has_several_is_refused_at_its_place() {
    let world = World::new(0);
    for (settings, pointer, says) in [
        (json!({ "retry": { "attempts": 2, "backoff": "400d" } }), "/retry/backoff", "up to 366d"),
        (
            json!({ "retry": { "attempts": 2, "backoffMax": "1 lightyear" } }),
            "/retry/backoffMax",
            "is not a length of time",
        ),
        (
            json!({ "automaticIndex": { "overlap": "400d" } }),
            "/automaticIndex/overlap",
            "\"400d\" is not a length of time",
        ),
        (
            json!({ "automaticIndex": { "overlap": "soon" } }),
            "/automaticIndex/overlap",
            "\"soon\" is not a length of time",
        ),
        (json!({ "automaticIndex": { "option": "" } }), "/automaticIndex/option", "1 to 200 bytes"),
        (json!({ "automaticIndex": { "option": "a\nb" } }), "/automaticIndex/option", "no control characters"),
    ] {
        let mut activities = import_to("end", &json!({ "end": { "type": "end" } }));
        activities["import"].as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let problems = world.ask(&["check", &world.workflow("a", &activities), "--json"]).expect(2).json();
        assert_eq!(problems.as_array().unwrap().len(), 1, "{problems}");
        assert_eq!(problems[0]["pointer"], format!("/activities/import{pointer}"), "{problems}");
        assert!(problems[0]["message"].as_str().unwrap().contains(says), "{problems}");
    }
    let others = json!({ "unique": { "type": "dedupe", "by": ["lastname"], "keep": { "bigest": "lastname" } } });
    let file = world.workflow("a", &import_to("unique", &others));
    world.ask(&["check", &file]).expect(2).says(&["has no key \"bigest\"", "there are: largest, nonEmpty, smallest"]);
    let others = json!({ "unique": { "type": "dedupe", "by": ["lastname"], "keep": { "largst": "lastname" } } });
    let file = world.workflow("a", &import_to("unique", &others));
    world.ask(&["check", &file]).expect(2).says(&["has no key \"largst\"", "did you mean \"largest\"?"]);
}

#[test]
fn a_byte_order_mark_stands_in_nobodys_way() {
    let world = World::new(0);
    let file = world.workflow("a", &json!({ "start": { "type": "start" } }));
    let text = fs::read_to_string(world.path(&file)).unwrap();
    world.write(&file, &format!("\u{feff}{text}"));
    world.ask(&["check", &file]).expect(0);
    world.ask(&["run", &file]).expect(0);
}

#[test]
fn a_script_that_loops_for_ever_is_ended_by_a_limit() {
    let world = World::new(0);
    let script = json!({ "begin": { "type": "script", "script": "loop { }" } });
    let file = world.workflow("a", &script);
    let answer = world.ask(&["run", &file, "--json"]).expect(1);
    assert_eq!(answer.json()["status"], "suspended");
    assert!(answer.json()["tasks"][0]["failure"]["message"].as_str().unwrap().len() > 10);
    // A filter has no loops at all.
    let mut activities = import_to("end", &json!({ "end": { "type": "end" } }));
    activities["import"]["filter"] = json!("loop { }");
    let file = world.workflow("b", &activities);
    world.ask(&["run", &file]).expect(2);
}

#[test]
fn a_wrong_secret_is_tried_once_and_then_suspends_or_leads_on() {
    let world = World::new(10);
    world.configure(&[("clientSecret", "\"wrong\"")]);
    let file = world.workflow("a", &import_to("end", &json!({ "end": { "type": "end" } })));
    let answer = world.ask(&["run", &file, "--json"]).expect(1).says(&["AADSTS7000215", "help:"]);
    assert_eq!(answer.json()["status"], "suspended");
    assert!(!answer.err.contains(&world.sandbox.client_secret()), "no secret is ever shown");
    assert_eq!(world.requests("token"), 1);

    let mut activities = import_to("end", &json!({ "end": { "type": "end" }, "sorry": { "type": "end" } }));
    activities["import"]["to"] = json!({ "ok": "end", "error": "sorry" });
    let file = world.workflow("b", &activities);
    world.ask(&["run", &file]).expect(0);
    assert_eq!(world.requests("token"), 2);
    assert_eq!(world.options(), json!({}));
}

#[test]
fn an_unreachable_host_suspends_the_run() {
    let world = World::new(10);
    world.configure(&[("url", "\"http://127.0.0.1:9\""), ("tokenUrl", "\"http://127.0.0.1:9/token\"")]);
    let file = world.workflow("a", &import_to("end", &json!({ "end": { "type": "end" } })));
    let answer = world.ask(&["run", &file, "--json"]).expect(1).says(&["127.0.0.1", "campanile resume a-1"]);
    assert_eq!(answer.json()["status"], "suspended");
    assert_eq!(world.options(), json!({}));
}

/// Faults that hit a later page of the main job: the run is suspended, nothing is written; then it goes on.
fn a_page_goes_wrong(fault: Fault, says: &str) {
    let world = World::new(1_000);
    let whole = World::new(1_000);
    let file = world.workflow("dynamicsImport", &main_job());
    world.sandbox.admin().add_fault(fault).unwrap();
    let answer = world.ask(&["run", &file, "--json"]).expect(1).says(&[says, "campanile resume"]);
    assert_eq!(answer.json()["status"], "suspended");
    assert_eq!((world.options(), world.recipients().len()), (json!({}), 0));

    world.sandbox.admin().clear_faults();
    world.ask(&["resume", "dynamicsImport-1"]).expect(0);
    let file = whole.workflow("dynamicsImport", &main_job());
    whole.ask(&["run", &file]).expect(0);
    assert_eq!(world.recipients(), whole.recipients());
    assert_eq!(world.options(), whole.options());
}

#[test]
fn a_page_of_broken_json() {
    let body = Some("{ \"value\": [ { \"lastname\": ".to_owned());
    let content_type = Some("application/json".to_owned());
    a_page_goes_wrong(Fault { route: Route::Page, skip: 1, body, content_type, ..Fault::default() }, "import");
}

#[test]
fn a_next_link_to_another_host_is_not_followed() {
    let next_link_host = Some("127.0.0.1:9".to_owned());
    a_page_goes_wrong(
        Fault { route: Route::Page, next_link_host, ..Fault::default() },
        "points to http://127.0.0.1:9, which is not beneath",
    );
}

#[test]
fn a_connection_that_is_cut_in_the_middle_of_a_page() {
    a_page_goes_wrong(
        Fault { route: Route::Page, skip: 1, cut_after_bytes: Some(2_000), ..Fault::default() },
        "import",
    );
}

/// A run of the main job that was killed in a wait between the import and the rest.
fn killed_after_the_import() -> World {
    let world = World::new(500);
    let mut activities = main_job();
    activities["import"]["to"]["ok"] = json!("pause");
    activities["pause"] = json!({ "type": "wait", "for": "1s", "to": "dedupe" });
    let file = world.workflow("a", &activities);
    let mut working = world.begin(&["run", &file]);
    world.until("a-1", |run| run["tasks"].as_array().unwrap().iter().any(|task| task["activity"] == "pause"));
    working.kill();
    world
}

fn change_one_byte(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x01;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_damaged_segment_stops_the_run_before_anything_is_written() {
    let world = killed_after_the_import();
    let sealed = files_below(&world.path(".campanile/runs/a-1"), "arrow");
    let length = fs::metadata(&sealed[0]).unwrap().len();
    change_one_byte(&sealed[0], usize::try_from(length / 2).unwrap());
    let says = ["is not the one that was written", "help:", "campanile resume a-1"];
    let answer = world.ask(&["resume", "a-1", "--json"]).expect(1).says(&says);
    assert_eq!(answer.json()["status"], "suspended");
    assert_eq!((world.options(), world.recipients().len()), (json!({}), 0));
    world.ask(&["preview", "a-1", "import"]).expect(1).says(&["is not the one that was written"]);
    // Put back, it goes on.
    change_one_byte(&sealed[0], usize::try_from(length / 2).unwrap());
    world.ask(&["resume", "a-1"]).expect(0);
    assert!(world.recipients().len() > 300);
}

#[test]
fn a_journal_with_one_byte_changed_is_refused() {
    let world = killed_after_the_import();
    let told = "\"activity\":\"pause\"";
    let (path, at) = files_below(&world.path(".campanile/store"), "")
        .into_iter()
        .find_map(|path| {
            let bytes = fs::read(&path).unwrap();
            let at = bytes.windows(told.len()).position(|window| window == told.as_bytes())?;
            Some((path, at))
        })
        .expect("the journal lies open in the store");
    change_one_byte(&path, at + told.len() - 3);
    for args in [&["resume", "a-1"], &["show", "a-1"], &["stop", "a-1"]] {
        world.ask(args).expect(1).says(&["damaged", "help:"]);
    }
    world.ask(&["runs"]);
    assert_eq!(world.recipients().len(), 0);
}

fn files_below(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path, extension));
        } else if extension.is_empty() || path.extension().is_some_and(|end| end == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn a_database_that_is_none_suspends_the_run_until_it_is_put_right() {
    let world = World::new(100);
    let file = world.workflow("dynamicsImport", &main_job());
    world.write(".campanile/marketing.db", &"this is no database ".repeat(100));
    let answer = world.ask(&["run", &file, "--json"]).expect(1).says(&["marketing.db"]);
    assert_eq!(answer.json()["status"], "suspended");
    fs::remove_file(world.path(".campanile/marketing.db")).unwrap();
    world.ask(&["resume", "dynamicsImport-1"]).expect(0);
    wait_for("the recipients", || !world.recipients().is_empty());
}

#[test]
fn check_refuses_our_own_tables_also_without_a_database() {
    let world = World::new(0);
    let read = json!({ "read": { "type": "database.query", "table": "Campanile_ledger" } });
    let file = world.workflow("a", &read);
    world.ask(&["check", &file]).expect(2).says(&["names that begin with campanile_ are reserved"]);
    assert!(!world.path(".campanile").exists());
}
