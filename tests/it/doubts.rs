//! Records in doubt on the command line: shown, set aside by later runs, and settled.

use sandbox::ChangeKind;
use serde_json::{Value, json};

use crate::world::World;

/// 25 leads, ten a request; the second request gets no answer, and Salesforce did not carry it out.
fn with_ten_in_doubt() -> (World, String) {
    with_ten_in_doubt_and("")
}

/// With more lines of the configuration.
fn with_ten_in_doubt_and(more: &str) -> (World, String) {
    let world = World::new(0);
    world.add_salesforce(&format!("limits = {{ retries = 0 }}\n{more}"));
    world.people(&(0..25).map(|number| (None, format!("Name {number:02}"))).collect::<Vec<_>>());
    let file = world.workflow(
        "leads",
        &json!({
            "people": { "type": "database.query", "table": "person", "filter": "is_empty(crm_id)", "to": "leads" },
            "leads": { "type": "crm.export", "account": "salesforce", "object": "Lead", "operation": "insert",
                "set": { "LastName": "last_name", "Company": "last_name" },
                "batch": { "size": 10, "parallel": 1 }, "to": "save" },
            "save": { "type": "database.update", "table": "person", "operation": "update", "key": ["number"],
                "set": { "number": "number", "crm_id": "crmId" } },
        }),
    );
    let fault = json!({ "route": "any", "containing": "Name 1", "body": "[", "cutAfterBytes": 1, "times": 1 });
    world.sandbox.admin().add_fault(serde_json::from_value(fault).unwrap()).unwrap();
    world.ask(&["run", &file]).expect(0).says(&["10 records are in doubt", "campanile rejects settle"]);
    (world, file)
}

fn created(world: &World) -> usize {
    let changes = world.sandbox.admin().salesforce().changes(0);
    changes.into_iter().filter(|change| change.kind == ChangeKind::Created).count()
}

fn out(world: &World, run: &str) -> Value {
    let view = world.run(run);
    let tasks = view["tasks"].as_array().unwrap().iter();
    tasks.filter(|task| task["activity"] == "leads").map(|task| task["out"].clone()).next().unwrap()
}

#[test]
fn records_in_doubt_are_shown_set_aside_and_settled_by_a_person() {
    let (world, file) = with_ten_in_doubt();
    assert!(world.ask(&["show", "leads-1"]).expect(0).out.contains("finished, 10 in doubt"));
    assert!(world.ask(&["runs"]).expect(0).out.contains("finished, 10 in doubt"));
    let listed = world.ask(&["rejects", "list", "--json"]).expect(0).json();
    let doubts = listed["rejects"].as_array().unwrap();
    assert_eq!((doubts.len(), &doubts[0]["code"]), (10, &json!("IN_DOUBT")));
    let mut ids: Vec<String> = doubts.iter().map(|doubt| doubt["id"].to_string()).collect();
    ids.sort_by_key(|id| id.parse::<u64>().unwrap());
    world.ask(&["rejects", "show", &ids[0]]).expect(0);
    for refused in
        [&["rejects", "ignore", "--reason", "x", &ids[0]][..], &["rejects", "correct", &ids[0], "last_name=X"]]
    {
        world.ask(refused).expect(1).says(&["is in doubt", "rejects settle"]);
    }
    world.ask(&["rejects", "resend"]).expect(0).says(&["what is in doubt", "nothing to send"]);

    world.ask(&["run", &file]).expect(0);
    assert_eq!((out(&world, "leads-2"), created(&world)), (json!({ "ok": 0, "inDoubt": 10 }), 15));
    assert_eq!(world.ask(&["rejects", "list", "--json"]).json()["rejects"].as_array().unwrap().len(), 10, "still ten");

    world.ask(&["rejects", "settle", &ids[0], "--not-created"]).expect(0).says(&["settled: not created"]);
    world
        .ask(&["rejects", "settle", &ids[1], "--created", "00Q5i00000aBcDe"])
        .expect(0)
        .says(&["created as 00Q5i00000aBcDe"]);
    world.ask(&["rejects", "settle", &ids[1], "--not-created"]).expect(1).says(&["is settled"]);
    world.ask(&["rejects", "settle", &ids[2]]).expect(2);
    world.ask(&["run", &file]).expect(0);
    assert_eq!((out(&world, "leads-3"), created(&world)), (json!({ "ok": 2, "inDoubt": 8 }), 16));
    assert!(world.ask(&["show", "leads-1"]).expect(0).out.contains("finished, 8 in doubt"));
}

#[test]
fn the_memory_is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let (world, _) = with_ten_in_doubt();
    for file in ["memory.db", "rejects.db"] {
        let mode = std::fs::metadata(world.path(".campanile").join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

#[test]
fn what_was_refused_before_a_guard_stopped_is_on_the_desk_and_can_be_previewed() {
    let world = World::new(0);
    world.add_salesforce("limits = { retries = 0 }\n");
    let name = |number| if number < 15 { format!("Name {number:02}") } else { "x".repeat(100) };
    world.people(&(0..20).map(|number| (None, name(number))).collect::<Vec<_>>());
    let file = world.workflow(
        "leads",
        &json!({
            "people": { "type": "database.query", "table": "person", "to": "leads" },
            "leads": { "type": "crm.export", "account": "salesforce", "object": "Lead", "operation": "insert",
                "set": { "LastName": "last_name", "Company": "\"X\"" }, "maxRejects": 2 },
        }),
    );
    let says = ["5 records were rejected", "15 created before", "run leads-1 is suspended"];
    world.ask(&["run", &file]).expect(1).says(&says);
    let rejects =
        |world: &World| world.ask(&["rejects", "list", "--json"]).expect(0).json()["rejects"].as_array().unwrap().len();
    assert_eq!(rejects(&world), 5);
    let preview = world.ask(&["preview", "leads-1", "leads", "reject", "--json"]).expect(0).json();
    assert_eq!(preview.as_array().unwrap().len(), 5);
    world.ask(&["stop", "leads-1"]).expect(0);
    assert_eq!((rejects(&world), created(&world)), (5, 15));
    world.ask(&["run", &file]).expect(1);
    assert_eq!(created(&world), 15, "they are not created again");
    world.ask(&["resume", "leads-2", "--allow-rejects", "20"]).expect(0);
    assert_eq!((out(&world, "leads-2"), created(&world)), (json!({ "ok": 15, "reject": 5 }), 15));
}

#[test]
fn a_run_that_finishes_with_records_in_doubt_alerts() {
    let receiver = crate::receiver::Receiver::new();
    let alerts = format!("[alerts]\nwebhook = {{ url = \"{}\" }}\n", receiver.url);
    let (world, file) = with_ten_in_doubt_and(&alerts);
    let came = receiver.came();
    assert_eq!(came.len(), 1, "{came:?}");
    assert_eq!((&came[0].1["status"], &came[0].1["run"]), (&json!("finished"), &json!("leads-1")));
    assert!(came[0].1["message"].as_str().unwrap().contains("10 records in doubt"), "{came:?}");
    // The next run meets them, and leaves them so.
    world.ask(&["run", &file]).expect(0);
    assert_eq!(receiver.came().len(), 2);
    let config = std::fs::read_to_string(world.path("campanile.toml")).unwrap();
    world.write("campanile.toml", &config.replace("[alerts]", "[alerts]\ninDoubt = 10"));
    world.ask(&["run", &file]).expect(0);
    assert_eq!(receiver.came().len(), 2, "as many as may pass");
}

#[test]
fn a_memory_that_is_missing_or_older_is_not_an_empty_one() {
    let (world, file) = with_ten_in_doubt();
    let memory = |name: &str| world.path(".campanile").join(name);
    let rename = |from: &str, to: &str| {
        for end in ["", "-wal", "-shm"] {
            let from = memory(&format!("{from}{end}"));
            if from.exists() {
                std::fs::rename(from, memory(&format!("{to}{end}"))).unwrap();
            }
        }
    };
    rename("memory.db", "kept.db");
    let refused = world.ask(&["run", &file]).expect(1);
    refused.says(&["the memory between runs lacks records", "campanile accept data"]);
    assert_eq!(created(&world), 15, "nothing is sent a second time");
    rename("kept.db", "memory.db");
    world.ask(&["run", &file]).expect(0);
    assert_eq!(created(&world), 15);
    rename("memory.db", "older.db");
    world.ask(&["accept", "data"]).expect(0);
    world.ask(&["run", &file]).expect(0);
    assert_eq!(created(&world), 25, "whoever accepts it has them sent");
}
