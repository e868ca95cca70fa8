//! Never older: a run that is resumed does not put older versions of records over newer ones.

use engine::run::Status;
use serde_json::{Value, json};

use crate::cuts::add_fault;
use crate::side::Side;
use crate::world::{Ended, World};

on_both!(
    an_update_that_is_resumed_leaves_what_a_later_run_has_written,
    an_export_that_is_resumed_leaves_what_a_later_run_has_sent,
    an_export_that_is_resumed_and_dies_after_any_event_leaves_the_same,
    older_versions_are_sent_where_the_workflow_says_so,
);

/// Two contacts, of which C01 changes between two runs.
fn world(side: Side) -> World {
    let world = World::new(side, "2026-03-03 10:00:00");
    world.sql_write("DELETE FROM recipient");
    world.contact(1, json!({ "lastname": "Older-1", "firstname": "-" }));
    world.contact(2, json!({ "lastname": "Same-2", "firstname": "-" }));
    world.at("2026-03-03 10:01:00");
    world
}

fn change(world: &World) {
    world.contact(1, json!({ "lastname": "Newer-1" }));
    world.at("2026-03-03 10:02:00");
}

fn workflow(name: &str, writes: &Value) -> String {
    json!({ "version": 1, "activities": {
        "import": { "type": "crm.import", "account": "dynamics", "object": "contacts", "fields": ["lastname"], "to": name },
        name: writes,
    } })
    .to_string()
}

fn save() -> String {
    let set = json!({ "crm_id": "contactid", "last_name": "lastname" });
    workflow("save", &json!({ "type": "database.update", "table": "recipient", "key": ["crm_id"], "set": set }))
}

/// Copies the last name into the first name.
fn export(more: &Value) -> String {
    let mut export = json!({
        "type": "crm.export", "account": "dynamics", "object": "contacts", "operation": "update",
        "set": { "contactid": "contactid", "firstname": "lastname" }
    });
    export.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    workflow("export", &export)
}

/// The names of C01 and C02 that were copied.
fn copied(world: &World) -> [String; 2] {
    let name = |number| world.side.record(&world.sandbox, &world.id(number)).unwrap()["firstname"].to_string();
    [1, 2].map(name)
}

/// How many versions of source records are remembered.
fn remembered(world: &World, file: &str, table: &str) -> i64 {
    let connection = rusqlite::Connection::open(world.folder.path().join(file)).unwrap();
    connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

async fn suspended(world: &World, workflow: &str) -> Ended {
    let first = world.run(workflow).await;
    assert_eq!(first.status, Status::Suspended);
    change(world);
    first
}

async fn an_update_that_is_resumed_leaves_what_a_later_run_has_written(side: Side) {
    let world = world(side);
    world.database.refuse(true);
    let first = suspended(&world, &save()).await;
    world.database.refuse(false);
    assert_eq!(world.run(&save()).await.status, Status::Finished);
    assert_eq!(remembered(&world, "marketing.db", "campanile_version"), 2);
    let resumed = world.resume(&first.id).await;
    assert_eq!((resumed.status, resumed.dropped("save", "older")), (Status::Finished, 1));
    assert_eq!((resumed.out("save", "ok"), resumed.count("save", "unchanged")), (1, 1));
    assert_eq!(world.sql("SELECT last_name FROM recipient ORDER BY crm_id"), ["Newer-1", "Same-2"]);
    assert_eq!(remembered(&world, "marketing.db", "campanile_version"), 0, "no run needs them any more");
}

async fn an_export_that_is_resumed_leaves_what_a_later_run_has_sent(side: Side) {
    for (fault, dropped) in [
        // It did not take hold; then it did, and C02 changed by that.
        (json!({ "containing": "Older-1", "status": 503 }), 1),
        (json!({ "containing": "Older-1", "cutAfterCommit": true }), 2),
    ] {
        let world = world(side);
        add_fault(&world, fault, None);
        let first = suspended(&world, &export(&json!({}))).await;
        world.sandbox.admin().clear_faults();
        assert_eq!(world.run(&export(&json!({}))).await.status, Status::Finished);
        assert_eq!(copied(&world), ["\"Newer-1\"", "\"Same-2\""]);
        assert_eq!(remembered(&world, "memory.db", "version"), 2);
        let resumed = world.resume(&first.id).await;
        assert_eq!((resumed.status, resumed.dropped("export", "older")), (Status::Finished, dropped));
        assert_eq!(copied(&world), ["\"Newer-1\"", "\"Same-2\""]);
        assert_eq!(remembered(&world, "memory.db", "version"), 0, "no run needs them any more");
    }
}

async fn an_export_that_is_resumed_and_dies_after_any_event_leaves_the_same(side: Side) {
    let export = export(&json!({}));
    for crash in 0.. {
        let mut world = world(side);
        add_fault(&world, json!({ "containing": "Older-1", "status": 503 }), None);
        let first = suspended(&world, &export).await;
        world.sandbox.admin().clear_faults();
        assert_eq!(world.run(&export).await.status, Status::Finished);
        let engine = world.engine_on(world.store.reopened_failing_after(crash));
        let ended = match engine.resume(&first.id).await {
            Ok(driven) => driven.wait().await.is_ok(),
            Err(_) => false,
        };
        drop(engine);
        world.store = world.store.reopened();
        let resumed = world.resume_unless_over(&first.id).await;
        let context = format!("crash after event {crash}");
        assert_eq!((resumed.status, resumed.dropped("export", "older")), (Status::Finished, 1), "{context}");
        assert_eq!(copied(&world), ["\"Newer-1\"", "\"Same-2\""], "{context}");
        if ended {
            assert!(crash > 1, "{crash}");
            return;
        }
    }
}

async fn older_versions_are_sent_where_the_workflow_says_so(side: Side) {
    let world = world(side);
    let export = export(&json!({ "older": "write" }));
    add_fault(&world, json!({ "containing": "Older-1", "status": 503 }), None);
    let first = suspended(&world, &export).await;
    world.sandbox.admin().clear_faults();
    assert_eq!(world.run(&export).await.status, Status::Finished);
    let resumed = world.resume(&first.id).await;
    assert_eq!((resumed.status, resumed.dropped("export", "older")), (Status::Finished, 0));
    assert_eq!(copied(&world), ["\"Older-1\"", "\"Same-2\""]);
}
