//! Between data folders, databases and organisations: what does not belong together stops, and says how to continue.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::rounds::rounds;
use crate::world::{PAGE, World, import_to, wait_for};

fn save() -> Value {
    json!({ "save": { "type": "database.update", "table": "recipient", "key": ["crm_id"],
        "set": { "crm_id": "contactid", "last_name": "lastname" } } })
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else if path.is_file() && path.file_name().unwrap() != "reserve" {
            fs::copy(&path, &target).unwrap();
        }
    }
}

fn with_database(world: &World) {
    let text = fs::read_to_string(world.path("campanile.toml")).unwrap();
    world.write("campanile.toml", &format!("database = \"sqlite:shared.db\"\n{text}"));
}

fn rows(world: &World) -> i64 {
    let database = rusqlite::Connection::open(world.path("shared.db")).unwrap();
    database.query_row("SELECT count(*) FROM recipient", [], |row| row.get(0)).unwrap()
}

#[test]
fn two_data_folders_on_one_database_write_all_their_records() {
    let world = World::new(3 * PAGE);
    with_database(&world);
    let table = |name: &str| {
        json!({ name: { "type": "database.update", "table": "recipient", "operation": "insert",
            "set": { "crm_id": "contactid", "last_name": "lastname" } } })
    };
    let mut activities = import_to("save", &table("save"));
    activities["import"]["automaticIndex"] = json!(false);
    let file = world.workflow("a", &activities);
    // Both runs are a-1, and both tasks write their batches 0, 1 and so on.
    let first = world.begin(&["run", &file, "--data", "one"]);
    world.ask(&["run", &file, "--data", "two"]).expect(0);
    first.end().expect(0);
    assert_eq!(rows(&world), 2 * i64::from(3 * PAGE));
}

/// An import whose records are inserted, so that one written twice is seen.
fn insert(world: &World) -> String {
    with_database(world);
    world.slow_pages(20);
    let save = json!({ "save": { "type": "database.update", "table": "recipient", "operation": "insert",
        "set": { "crm_id": "contactid", "last_name": "lastname" } } });
    world.workflow("a", &import_to("save", &save))
}

#[test]
fn two_data_folders_on_one_database_killed_at_random_moments_write_all_their_records_once() {
    rounds("two data folders on one database", 1, |dice, done| {
        let world = World::new(6 * PAGE);
        let file = insert(&world);
        let begin = |folder: &str| world.begin(&["run", &file, "--data", folder]);
        for _ in 0..4 {
            let mut two = [begin("one"), begin("two")];
            std::thread::sleep(Duration::from_millis(50 + dice.below(500)));
            for working in &mut two {
                *done.entry("kills").or_default() += u64::from(working.is_working());
                working.kill();
            }
        }
        for folder in ["one", "two"] {
            // It goes on with an interrupted run; one that had ended is followed by another, which finds nothing new.
            let run = || world.ask(&["run", &file, "--data", folder]);
            let mut answer = run();
            if answer.code == Some(1) && answer.err.contains("accept index") {
                // No run had begun here when the other folder's import ended: this one does not import everything unasked.
                world.ask(&["accept", "index", "LASTIMPORT_a_import", "--data", folder]).expect(0);
                answer = run();
            }
            answer.expect(0);
        }
        assert_eq!(rows(&world), 2 * i64::from(6 * PAGE));
    });
}

#[test]
fn a_copy_of_a_data_folder_made_at_random_moments_and_its_original_do_not_both_go_on() {
    rounds("copies of data folders", 2, |dice, done| {
        let world = World::new(6 * PAGE);
        let file = insert(&world);
        let mut working = world.begin(&["run", &file, "--data", "original"]);
        // Before it has an identity, a copy is another folder.
        wait_for("the folder", || world.path("original/folder.json").exists());
        std::thread::sleep(Duration::from_millis(dice.below(600)));
        *done.entry("kills").or_default() += u64::from(working.is_working());
        working.kill();
        copy(&world.path("original"), &world.path("copy"));
        *done.entry("copies").or_default() += 1;
        let [first, second] = *dice.of(&[["original", "copy"], ["copy", "original"]]);
        world.ask(&["run", &file, "--data", first]).expect(0);
        let count = rows(&world);
        assert_eq!(count, i64::from(6 * PAGE));
        world.ask(&["run", &file, "--data", second]).expect(1).says(&["campanile accept data"]);
        assert_eq!(rows(&world), count);
    });
}

#[test]
fn a_missing_or_older_database_stops_the_next_run_until_it_is_accepted() {
    let world = World::new(3 * PAGE);
    with_database(&world);
    let file = world.workflow("a", &import_to("save", &save()));
    world.ask(&["run", &file]).expect(0);
    fs::copy(world.path("shared.db"), world.path("older.db")).unwrap();
    world.ask(&["run", &file]).expect(0);
    fs::rename(world.path("shared.db"), world.path("newest.db")).unwrap();
    let refused = world.ask(&["run", &file]).expect(1);
    refused.says(&["is not the one that this data folder wrote to", "campanile accept database"]);
    assert!(!world.path("shared.db").exists(), "no new one is made");
    fs::copy(world.path("older.db"), world.path("shared.db")).unwrap();
    world.ask(&["run", &file]).expect(1).says(&["older copy"]);
    fs::remove_file(world.path("shared.db")).unwrap();
    fs::rename(world.path("newest.db"), world.path("shared.db")).unwrap();
    world.ask(&["run", &file]).expect(0);

    fs::rename(world.path("older.db"), world.path("shared.db")).unwrap();
    world.ask(&["accept", "database"]).expect(0);
    world.ask(&["run", &file]).expect(0);
    assert_eq!(world.ask(&["runs", "--json"]).expect(0).json().as_array().unwrap().len(), 4, "the others never began");
}

#[test]
fn a_database_without_its_write_ahead_log_stops_the_resume_of_a_run() {
    let world = World::new(20 * PAGE);
    with_database(&world);
    world.slow_pages(100);
    let file = world.workflow("a", &import_to("save", &save()));
    let mut working = world.begin(&["run", &file]);
    wait_for("rows", || world.path("shared.db-wal").exists() && world.sealed("a-1") > 6);
    working.kill();
    fs::remove_file(world.path("shared.db-wal")).unwrap();
    fs::remove_file(world.path("shared.db-shm")).ok();
    let refused = world.ask(&["resume", "a-1"]);
    assert_ne!(refused.code, Some(0), "{}", refused.err);
}

#[test]
fn a_copy_of_a_data_folder_and_an_older_one_stop() {
    let world = World::new(PAGE);
    with_database(&world);
    let file = world.workflow("a", &import_to("save", &save()));
    world.ask(&["run", &file]).expect(0);
    copy(&world.path(".campanile"), &world.path("copied"));
    copy(&world.path(".campanile/store"), &world.path("older-store"));
    world.ask(&["run", &file]).expect(0);
    world.ask(&["run", &file, "--data", "copied"]).expect(1).says(&["do not belong together", "campanile accept data"]);

    // The store alone was put back.
    fs::remove_dir_all(world.path(".campanile/store")).unwrap();
    world.ask(&["run", &file]).expect(1).says(&["the store of the data folder", "is missing"]);
    copy(&world.path("older-store"), &world.path(".campanile/store"));
    world.ask(&["run", &file]).expect(1).says(&["is an older copy"]);
    world.ask(&["accept", "data"]).expect(0);
    world.ask(&["run", &file]).expect(0);
}

#[test]
fn a_new_data_folder_on_a_database_that_has_the_records_imports_nothing_again_without_a_word() {
    let world = World::new(PAGE);
    with_database(&world);
    let file = world.workflow("a", &import_to("save", &save()));
    world.ask(&["run", &file]).expect(0);
    let option = "LASTIMPORT_a_import";
    let came = |run: &str, data: &str| {
        let view = world.ask(&["show", run, "--json", "--data", data]).expect(0).json();
        view["tasks"][0]["out"]["ok"].as_u64().unwrap()
    };
    let refused = world.ask(&["run", &file, "--data", "two"]).expect(1);
    refused.says(&["would import everything again", option, "campanile options set", "campanile accept index"]);
    world.ask(&["options", "set", option, "2026/03/03 09:59:59", "--data", "two"]).expect(0);
    world.ask(&["run", &file, "--data", "two"]).expect(0);
    assert_eq!(came("a-1", "two"), 0, "it continues from there");

    world.ask(&["run", &file, "--data", "three"]).expect(1);
    world.ask(&["accept", "index", option, "--data", "three"]).expect(0);
    world.ask(&["run", &file, "--data", "three"]).expect(0);
    assert_eq!(came("a-1", "three"), u64::from(PAGE));

    // Removed on purpose: everything comes once more.
    world.ask(&["options", "remove", option]).expect(0);
    world.ask(&["run", &file]).expect(0);
    assert_eq!(came("a-2", ".campanile"), u64::from(PAGE));
    world.ask(&["run", &file]).expect(0);

    // A backfill has a window of its own.
    world.ask(&["backfill", &file, "--from", "2026-01-01", "--to", "2026-02-01", "--data", "four"]).expect(0);
    world.ask(&["run", &file, "--data", "four"]).expect(1);
}

#[test]
fn a_desk_that_is_missing_is_not_an_empty_one() {
    let world = World::new(0);
    world.database(
        "CREATE TABLE source(id INTEGER PRIMARY KEY, mail TEXT); INSERT INTO source(mail) VALUES (NULL), ('a');
         CREATE TABLE target(email TEXT)",
    );
    let save = json!({ "type": "database.update", "table": "target", "key": ["email"], "set": { "email": "mail" } });
    let read = json!({ "type": "database.query", "table": "source", "to": "save" });
    let file = world.workflow("a", &json!({ "read": read, "save": save }));
    world.ask(&["run", &file]).expect(0);
    assert_eq!(world.ask(&["rejects", "list", "--json"]).expect(0).json()["rejects"].as_array().map(Vec::len), Some(1));
    fs::remove_file(world.path(".campanile/rejects.db")).unwrap();
    world.ask(&["rejects", "list"]).expect(1).says(&["rejects desk lacks rejects"]);
    world.ask(&["run", &file]).expect(1).says(&["rejects desk lacks rejects"]);
    world.ask(&["accept", "data"]).expect(0);
    world.ask(&["run", &file]).expect(0);
}

#[test]
fn a_run_whose_files_are_gone_does_not_keep_a_folder_from_being_accepted() {
    let world = World::new(0);
    let file = world.workflow("a", &json!({ "only": { "type": "script", "script": "throw `no`;" } }));
    world.ask(&["run", &file]).expect(1);
    fs::remove_dir_all(world.path(".campanile/runs/a-1")).unwrap();
    world.ask(&["accept", "data"]).expect(0).says(&["run a-1 was stopped"]);
    assert_eq!(world.ask(&["runs", "--json"]).expect(0).json()[0]["status"], "stopped");
    world.ask(&["run", &file]).expect(1).says(&["run a-2"]);
}

#[test]
fn an_account_that_leads_to_another_organisation_stops_what_uses_it() {
    let world = World::new(10 * PAGE);
    world.slow_pages(150);
    let file = world.workflow("a", &import_to("end", &json!({ "end": { "type": "end" } })));
    let mut working = world.begin(&["run", &file]);
    wait_for("some pages", || world.sealed("a-1") > 2);
    working.kill();
    let other = World::with_seed(PAGE, 2);
    let kept = fs::read_to_string(world.path("campanile.toml")).unwrap();
    world.write("campanile.toml", &fs::read_to_string(other.path("campanile.toml")).unwrap());
    let refused = world.ask(&["resume", "a-1"]).expect(1);
    refused.says(&["leads to another organisation", "campanile accept account dynamics"]);
    world.ask(&["run", &file]).expect(1);
    world.write("campanile.toml", &kept);
    world.sandbox.admin().clear_faults();
    world.ask(&["resume", "a-1"]).expect(0);
    world.write("campanile.toml", &fs::read_to_string(other.path("campanile.toml")).unwrap());
    world.ask(&["run", &file]).expect(1).says(&["leads to another organisation"]);
    world.ask(&["accept", "account", "dynamics"]).expect(0);
    world.ask(&["run", &file]).expect(0);
    // The next import has bound the account, and its index, to the organisation that was accepted.
    world.write("campanile.toml", &kept);
    world.ask(&["run", &file]).expect(1).says(&["leads to another organisation"]);
}

#[test]
fn a_workflow_has_one_data_folder_wherever_it_is_run_from() {
    let world = World::new(PAGE);
    fs::create_dir_all(world.path("elsewhere")).unwrap();
    let file = world.workflow("a", &import_to("save", &save()));
    world.ask(&["run", &file]).expect(0).says(&["new data folder"]);
    let mut command = world.command(&["run", "../workflows/a.json"]);
    let output = command.current_dir(world.path("elsewhere")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!world.path("elsewhere/.campanile").exists());
    assert_eq!(world.ask(&["runs", "--json"]).expect(0).json().as_array().unwrap().len(), 2);
}
