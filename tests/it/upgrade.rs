//! A data folder that an older version left is upgraded, its runs are resumed, and nothing is done twice.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sandbox::{ChangeKind, Options, SalesforceOptions};
use serde_json::{Value, json};

use crate::world::{Answer, World};

/// The key of the secrets of all fixtures.
const KEY: &str = "Y2FtcGFuaWxlIHRlc3RzOiBubyBzZWNyZXQgaGVyZS4=";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// The project that a version left, with a CRM that has the records of the one that it worked with.
fn left_by(name: &str, options: Options) -> World {
    let (world, fixture) = (World::of(options), fixture(name));
    let unpacked = Command::new("tar").arg("xzf").arg(fixture.join("data.tar.gz")).current_dir(world.path("")).status();
    assert!(unpacked.unwrap().success());
    fs::rename(world.path("data"), world.path(".campanile")).unwrap();
    for file in fs::read_dir(fixture.join("workflows")).unwrap() {
        let file = file.unwrap();
        world.write(&format!("workflows/{}", file.file_name().display()), &fs::read_to_string(file.path()).unwrap());
    }
    let address = world.sandbox.url().trim_end_matches('/').to_owned();
    let config = fs::read_to_string(fixture.join("campanile.toml")).unwrap();
    world.write("campanile.toml", &config.replace("{stand-in}", &address));
    for change in made_before(name) {
        world.sandbox.admin().put(text(&change["set"]), text(&change["id"]), &change["fields"]).unwrap();
    }
    world
}

/// What the version had changed in its CRM.
fn made_before(name: &str) -> Vec<Value> {
    serde_json::from_str(&fs::read_to_string(fixture(name).join("changes.json")).unwrap()).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

impl World {
    /// As [`ask`](World::ask), with the key of the secrets.
    fn ask_with_key(&self, args: &[&str]) -> Answer {
        Answer::of(self.command(args).env("CAMPANILE_SECRET_KEY", KEY)).expect(0)
    }

    fn task(&self, run: &str, activity: &str) -> Value {
        let view = self.ask_with_key(&["show", run, "--json"]).json();
        view["tasks"].as_array().unwrap().iter().find(|task| task["activity"] == activity).unwrap().clone()
    }

    fn count(&self, sql: &str) -> (u32, u32) {
        let database = rusqlite::Connection::open(self.path(".campanile/marketing.db")).unwrap();
        database.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    }
}

/// The stand-in of `tests/fixtures/f4aeb70/make.sh`.
fn stand_in_of_f4aeb70() -> Options {
    let (now, salesforce) = (Some("2026-03-03T10:00:00Z".parse().unwrap()), SalesforceOptions::default());
    Options { contacts: 600, accounts: 60, seed: 5, now, frozen: true, salesforce, ..Options::default() }
}

#[test]
fn what_f4aeb70_left_is_still_there_after_the_upgrade() {
    let world = left_by("f4aeb70", stand_in_of_f4aeb70());
    let runs = world.ask_with_key(&["runs", "--json"]).json();
    let mut runs: Vec<_> =
        runs.as_array().unwrap().iter().map(|run| (text(&run["run"]), text(&run["status"]))).collect();
    runs.sort_unstable();
    assert_eq!(runs, [("copy-1", "running"), ("newContacts-1", "suspended"), ("people-1", "finished")]);
    let export = world.task("newContacts-1", "export");
    assert_eq!((&export["status"], &export["in"]), (&json!("suspended"), &json!(40)));
    assert_eq!(world.task("people-1", "save")["out"], json!({ "reject": 4, "ok": 105 }));

    let rejects = world.ask_with_key(&["rejects", "list", "--json"]).json();
    let mut codes: Vec<&str> =
        rejects["rejects"].as_array().unwrap().iter().map(|reject| text(&reject["code"])).collect();
    codes.sort_unstable();
    assert_eq!(codes, ["KEY_EMPTY", "KEY_REPEATED", "KEY_REPEATED", "KEY_REPEATED"]);
    let options = json!({ "LASTIMPORT_people_import": "2026/03/03 10:00:00", "greeting": "hello" });
    assert_eq!(world.options(), options);
    assert_eq!(world.ask_with_key(&["secrets", "list", "--json"]).json(), json!(["dynamics"]));
}

#[test]
fn the_runs_that_f4aeb70_left_are_resumed_and_repeat_nothing() {
    let world = left_by("f4aeb70", stand_in_of_f4aeb70());
    world.ask_with_key(&["resume", "newContacts-1"]);
    assert_eq!(world.task("newContacts-1", "export")["out"], json!({ "ok": 40 }));
    let before = made_before("f4aeb70").into_iter().map(|change| text(&change["fields"]["lastname"]).to_owned());
    let mut created: BTreeMap<String, usize> = before.map(|name| (name, 1)).collect();
    assert_eq!(created.len(), 15, "the third batch was carried out, and its answer was lost");
    for change in world.changes() {
        assert_eq!(change.kind, ChangeKind::Created);
        let name = change.fields.iter().find(|field| field.field == "lastname").unwrap();
        *created.entry(text(&name.new).to_owned()).or_default() += 1;
    }
    let expected: BTreeMap<String, usize> = (1..=40).map(|number| (format!("Person {number}"), 1)).collect();
    assert_eq!(created, expected);

    let asked = || world.requests("query") + world.requests("page");
    let before = asked();
    let first = || fs::read(world.path(".campanile/runs/copy-1/1-import/ok/000001.arrow")).unwrap();
    let kept = first();
    world.ask_with_key(&["resume", "copy-1"]);
    assert_eq!(world.count("SELECT count(*), count(DISTINCT crm_id) FROM copy"), (600, 600));
    assert_eq!(first(), kept);
    assert!(asked() - before <= 9, "of the 12 pages, those that the journal has are not read again");
    assert_eq!(world.options()["LASTIMPORT_copy_import"], "2026/03/03 10:00:00");

    // The next run continues where the one before the upgrade ended.
    world.ask_with_key(&["run", "workflows/people.json"]);
    assert_eq!(world.task("people-2", "save")["out"], json!({ "ok": 0 }));
    assert_eq!(world.count("SELECT count(*), count(DISTINCT email) FROM recipient"), (105, 105));
}
