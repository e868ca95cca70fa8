//! Own writes: what the workflow's export wrote comes back with its next import, is counted, and is dropped where its author
//! says so.

use std::collections::BTreeMap;

use engine::event::{Backfill, Event, Level, Vars};
use engine::outside::store::RunId;
use engine::run::Status;
use serde_json::{Value, json};
use store::Memory;

use crate::cuts::add_fault;
use crate::side::Side;
use crate::world::{Ended, World, events, instant};

on_both!(
    ninety_that_are_inserted_come_back_and_are_counted_once,
    ninety_that_are_updated_come_back_and_none_passes_where_they_are_dropped,
    a_feed_of_changes_brings_own_writes_back_as_well,
    a_record_that_somebody_else_changed_since_comes_whether_or_not_in_the_same_second,
    a_record_that_somebody_else_changed_before_its_version_was_read_comes,
    the_import_of_another_workflow_brings_all,
    a_backfill_brings_all,
    where_the_versions_cannot_be_read_all_come_and_a_warning_says_so,
    a_crash_after_any_event_drops_what_a_run_without_one_drops,
    own_writes_that_no_import_reads_any_more_are_forgotten,
    dropping_where_there_are_none_is_a_problem,
);

const OPTION: &str = "LASTIMPORT_dynamicsImport_import";

/// An import of what changed, and an export of the recipients.
fn workflow(import: &Value, export: &Value) -> String {
    let mut all = json!({ "version": 1, "activities": {
        "import": { "type": "crm.import", "account": "dynamics", "object": "contacts", "fields": ["lastname"],
            "automaticIndex": true },
        "people": { "type": "database.query", "table": "recipient", "to": "export" },
        "export": { "type": "crm.export", "account": "dynamics", "object": "contacts" },
    } });
    for (activity, settings) in [("import", import), ("export", export)] {
        all["activities"][activity].as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    }
    all.to_string()
}

fn update() -> Value {
    json!({ "operation": "update", "compare": true, "set": { "contactid": "crm_id", "lastname": "last_name" } })
}

/// Ninety contacts of a week before, at 10:00, and as many recipients with other last names.
fn ninety(side: Side) -> World {
    let world = World::new(side, "2026-03-03 10:00:00");
    world.sql_write("DELETE FROM recipient");
    for number in 1..=90 {
        let at = instant("2026-02-24 10:00:00").to_string();
        world.contact(number, json!({ "lastname": format!("N{number}"), "modifiedon": at, "createdon": at }));
        let id = world.id(number);
        world.sql_write(&format!("INSERT INTO recipient (crm_id, last_name) VALUES ('{id}', 'New {number}')"));
    }
    world
}

async fn finished(world: &World, workflow: &str) -> Ended {
    let ended = world.run(workflow).await;
    assert_eq!(ended.status, Status::Finished, "{:?}", ended.run);
    ended
}

/// How many records came of the import, and how many of them, or besides them, were own writes.
fn came(ended: &Ended) -> (u64, u64, u64) {
    (ended.out("import", "ok"), ended.count("import", "ownWrites"), ended.dropped("import", "ownWrites"))
}

/// The ways of writing so many.
fn ways(side: Side) -> Vec<Value> {
    match side {
        Side::Dynamics => vec![json!({})],
        Side::Salesforce => vec![json!({}), json!({ "from": 20, "pollMin": "5ms", "pollMax": "5ms" })],
    }
}

async fn ninety_that_are_inserted_come_back_and_are_counted_once(side: Side) {
    for bulk in ways(side) {
        let mut world = World::new(side, "2026-03-03 10:00:00");
        world.bulk = bulk;
        world.sql_write(
            "DELETE FROM recipient;
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 90)
             INSERT INTO recipient (first_name, last_name) SELECT 'N' || i, 'Name ' || i FROM n",
        );
        let workflow = workflow(&json!({}), &json!({ "operation": "insert", "set": { "lastname": "last_name" } }));
        let first = finished(&world, &workflow).await;
        assert_eq!((first.count("export", "created"), came(&first)), (90, (0, 0, 0)));
        world.sql_write("DELETE FROM recipient");
        world.at("2026-03-03 10:02:00");
        assert_eq!(came(&finished(&world, &workflow).await), (90, 90, 0));
        // The overlap reads them again.
        world.at("2026-03-03 10:04:00");
        let third = finished(&world, &workflow).await;
        assert_eq!((third.dropped("import", "alreadyImported"), came(&third)), (90, (0, 0, 0)));
        assert_eq!(world.option(OPTION).await.as_deref(), Some("2026/03/03 10:04:00"));
    }
}

async fn ninety_that_are_updated_come_back_and_none_passes_where_they_are_dropped(side: Side) {
    for bulk in ways(side) {
        let mut world = ninety(side);
        world.bulk = bulk;
        let workflow = workflow(&json!({ "ownWrites": "drop" }), &update());
        assert_eq!(finished(&world, &workflow).await.count("export", "updated"), 90);
        world.at("2026-03-03 11:00:00");
        let second = finished(&world, &workflow).await;
        assert_eq!((second.task("import").tally.added, came(&second)), (90, (0, 0, 90)));
        assert_eq!(world.option(OPTION).await.as_deref(), Some("2026/03/03 11:00:00"));
    }
}

async fn a_feed_of_changes_brings_own_writes_back_as_well(side: Side) {
    let world = ninety(side);
    let workflow = workflow(&json!({ "automaticIndex": { "changes": true }, "ownWrites": "drop" }), &update());
    // The first reading of a feed is full.
    world.sql_write("UPDATE recipient SET crm_id = NULL");
    finished(&world, &workflow).await;
    world.at("2026-03-03 10:30:00");
    for number in 1..=90 {
        let id = world.id(number);
        world.sql_write(&format!("UPDATE recipient SET crm_id = '{id}' WHERE last_name = 'New {number}'"));
    }
    assert_eq!(finished(&world, &workflow).await.count("export", "updated"), 90);
    world.at("2026-03-03 11:00:00");
    world.contact(7, json!({ "lastname": "Another" }));
    world.at("2026-03-03 11:30:00");
    assert_eq!(came(&finished(&world, &workflow).await), (1, 0, 89));
}

async fn a_record_that_somebody_else_changed_since_comes_whether_or_not_in_the_same_second(side: Side) {
    let world = ninety(side);
    let workflow = workflow(&json!({ "ownWrites": "drop" }), &update());
    finished(&world, &workflow).await;
    world.contact(5, json!({ "lastname": "Same second" }));
    world.at("2026-03-03 10:30:00");
    world.contact(6, json!({ "lastname": "Later" }));
    world.at("2026-03-03 11:00:00");
    world.sql_write("DELETE FROM recipient");
    let second = finished(&world, &workflow).await;
    assert_eq!(came(&second), (2, 0, 88));
    let mut names = second.column("import", "ok", "lastname").await;
    names.sort();
    assert_eq!(names, ["Later", "Same second"]);
    let columns = ["lastname", "contactid", "modifiedon"].map(|name| side.say(name));
    assert_eq!(second.columns("import", "ok").await, columns, "what tells own writes is not passed on");
}

/// What the export asks for to know the versions that it left.
fn reading_back(side: Side) -> &'static str {
    match side {
        Side::Dynamics => "contactid%20eq%20",
        Side::Salesforce => "/composite/sobjects/Contact",
    }
}

async fn a_record_that_somebody_else_changed_before_its_version_was_read_comes(side: Side) {
    let world = ninety(side);
    let (set, id) = (side.say("contacts"), world.id(5));
    let fields = json!({ (side.say("lastname")): "In between" });
    let edit = json!({ "containing": reading_back(side), "before": [{ "set": set, "id": id, "fields": fields }] });
    add_fault(&world, edit, Some(1));
    // What is compared is read before.
    let export = json!({ "operation": "update", "set": { "contactid": "crm_id", "lastname": "last_name" } });
    let workflow = workflow(&json!({ "ownWrites": "drop" }), &export);
    finished(&world, &workflow).await;
    world.at("2026-03-03 11:00:00");
    world.sql_write("DELETE FROM recipient");
    let second = finished(&world, &workflow).await;
    assert_eq!(came(&second), (1, 0, 89));
    assert_eq!(second.column("import", "ok", "lastname").await, ["In between"]);
}

async fn the_import_of_another_workflow_brings_all(side: Side) {
    let world = ninety(side);
    let text = workflow(&json!({ "ownWrites": "drop" }), &update());
    finished(&world, &text).await;
    world.at("2026-03-03 11:00:00");
    let engine = world.engine();
    let (_, driven) = engine.start("another.json", &side.say(&text), Vars::new()).await.unwrap();
    driven.wait().await.unwrap();
    let run = driven.journal.run().clone();
    let import = run.tasks.iter().find(|task| task.activity == "import").unwrap();
    assert_eq!((run.status(), import.tally.added, &import.tally.dropped), (Status::Finished, 90, &BTreeMap::new()));
    assert_eq!(came(&finished(&world, &text).await), (0, 0, 90), "and its own still knows them");
}

async fn a_backfill_brings_all(side: Side) {
    let world = ninety(side);
    let workflow = workflow(&json!({ "ownWrites": "drop" }), &update());
    finished(&world, &workflow).await;
    world.at("2026-03-03 11:00:00");
    let engine = world.engine();
    let (from, to) = (instant("2026-03-03 09:00:00"), instant("2026-03-03 10:30:00"));
    let backfill = Some(Backfill { from, to, activity: None });
    let text = side.say(&workflow);
    let (_, driven) = engine.start_with("dynamicsImport.json", &text, Vars::new(), backfill).await.unwrap();
    driven.wait().await.unwrap();
    let run = driven.journal.run().clone();
    let import = run.tasks.iter().find(|task| task.activity == "import").unwrap();
    assert_eq!((import.tally.added, &import.tally.dropped), (90, &BTreeMap::new()));
}

async fn where_the_versions_cannot_be_read_all_come_and_a_warning_says_so(side: Side) {
    let world = ninety(side);
    add_fault(&world, json!({ "containing": reading_back(side), "status": 400, "code": "0x80040203" }), None);
    let export = json!({ "operation": "update", "set": { "contactid": "crm_id", "lastname": "last_name" } });
    let workflow = workflow(&json!({ "ownWrites": "drop" }), &export);
    let first = finished(&world, &workflow).await;
    assert_eq!(first.count("export", "updated"), 90);
    let warns = |event: &Event| matches!(event, Event::Logged { level: Level::Warning, message, .. } if message.contains("90 records"));
    assert_eq!(events(&world.store, &first.id).await.iter().filter(|event| warns(event)).count(), 1);
    world.sandbox.admin().clear_faults();
    world.at("2026-03-03 11:00:00");
    world.sql_write("DELETE FROM recipient");
    assert_eq!(came(&finished(&world, &workflow).await), (90, 0, 0));
}

/// What is imported is written back, changed.
fn back_again() -> String {
    let export =
        json!({ "operation": "update", "set": { "contactid": "contactid", "lastname": "\"Seen \" + lastname" } });
    let mut workflow: Value = serde_json::from_str(&workflow(&json!({ "ownWrites": "drop" }), &export)).unwrap();
    workflow["activities"]["import"]["to"] = json!("export");
    workflow["activities"].as_object_mut().unwrap().remove("people");
    workflow.to_string()
}

/// Runs it twice; the run of this number is broken off after so many writes of the journal, and resumed.
async fn twice(side: Side, broken: u64, crash: Option<u64>) -> Option<(Vec<(u64, u64, u64)>, usize, Option<String>)> {
    let mut world = ninety(side);
    let mut ended = Vec::new();
    for (number, at) in [(1, "2026-03-03 10:00:00"), (2, "2026-03-03 11:00:00")] {
        world.at(at);
        let id = RunId::new("dynamicsImport", number);
        if let Some(crash) = crash.filter(|_| number == broken) {
            let broken: Memory = world.store.reopened_failing_after(crash);
            let engine = world.engine_on(broken);
            if let Ok((_, driven)) = engine.start("dynamicsImport.json", &side.say(&back_again()), Vars::new()).await {
                driven.wait().await.ok();
            }
            drop(engine);
            world.store = world.store.reopened();
            if events(&world.store, &id).await.is_empty() {
                return None;
            }
            let run = world.resume_unless_over(&id).await;
            assert_eq!(run.status, Status::Finished, "run {number}, crash {crash}");
            ended.push(came(&run));
        } else {
            ended.push(came(&finished(&world, &back_again()).await));
        }
    }
    Some((ended, crate::export::changed(&world).len(), world.option(OPTION).await))
}

async fn a_crash_after_any_event_drops_what_a_run_without_one_drops(side: Side) {
    let whole = twice(side, 0, None).await.unwrap();
    assert_eq!(whole, (vec![(90, 0, 0), (0, 0, 90)], 90, Some("2026/03/03 11:00:00".to_owned())));
    for run in [1, 2] {
        for crash in 0..12 {
            if let Some(ended) = twice(side, run, Some(crash)).await {
                assert_eq!(ended, whole, "run {run}, crash after event {crash}");
            }
        }
    }
}

async fn own_writes_that_no_import_reads_any_more_are_forgotten(side: Side) {
    let world = ninety(side);
    let workflow = workflow(&json!({}), &update());
    let remembered = || {
        let memory = rusqlite::Connection::open(world.folder.path().join("memory.db")).unwrap();
        memory.query_row("SELECT count(*) FROM own_write", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    finished(&world, &workflow).await;
    assert_eq!(remembered(), 90);
    for (at, expected) in [("10:30:00", 90), ("11:00:00", 0)] {
        world.at(&format!("2026-03-03 {at}"));
        finished(&world, &workflow).await;
        assert_eq!(remembered(), expected, "{at}");
    }
}

async fn dropping_where_there_are_none_is_a_problem(side: Side) {
    let world = ninety(side);
    let elsewhere = json!({ "object": "accounts", "operation": "insert", "set": { "name": "last_name" } });
    for (import, export) in [
        (json!({ "ownWrites": "drop", "automaticIndex": false }), update()),
        (json!({ "ownWrites": "drop" }), elsewhere),
    ] {
        let text = side.say(&workflow(&import, &export));
        let (_, findings) = world.engine().check("x.json", "x", &text, engine::describe::Ask::Refresh).await;
        let codes: Vec<_> = findings.problems.iter().map(|problem| problem.code).collect();
        assert!(codes.contains(&"no-own-writes"), "{codes:?}");
    }
}
