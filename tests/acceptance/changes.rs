//! Imports that follow the CRM's own feed of changes.

use engine::event::{Event, Vars};
use engine::outside::store::RunId;
use engine::run::Status;
use serde_json::json;
use store::Memory;

use crate::side::Side;
use crate::world::{World, events, instant};

on_both!(
    the_feed_brings_what_changed_and_tells_what_was_deleted,
    a_commit_later_than_any_overlap_comes_all_the_same,
    a_crash_after_any_event_of_a_run_that_follows_changes_leaves_what_a_run_without_one_leaves,
);

const OPTION: &str = "LASTIMPORT_dynamicsImport_import";

/// Follows contacts that are active into the recipients.
fn workflow() -> String {
    let import = json!({
        "type": "crm.import", "account": "dynamics", "object": "contacts", "fields": ["lastname"], "filter": "statecode == 0",
        "automaticIndex": { "changes": true }, "to": { "ok": "save", "deleted": "forget" },
    });
    let save = json!({
        "type": "database.update", "table": "recipient", "key": ["crm_id"],
        "set": { "crm_id": "contactid", "last_name": "lastname" },
    });
    let forget = json!({
        "type": "database.update", "table": "recipient", "operation": "delete", "key": ["crm_id"], "set": { "crm_id": "contactid" },
    });
    json!({ "version": 1, "activities": { "import": import, "save": save, "forget": forget } }).to_string()
}

/// N1 to N6, a minute ago.
fn six(side: Side) -> World {
    let world = World::new(side, "2026-03-03 10:00:00");
    for number in 1..=6 {
        world.contact(number, json!({ "lastname": format!("N{number}") }));
    }
    world.at("2026-03-03 10:01:00");
    world
}

/// What happens after the first import, up to 11:00.
fn changes(world: &World) {
    world.at("2026-03-03 10:59:00");
    world.contact(1, json!({ "lastname": "New" }));
    world.contact(3, json!({ "lastname": "Gone from view", "statecode": 1 }));
    world.contact(7, json!({ "lastname": "N7" }));
    world.side.delete(&world.sandbox, &world.id(2));
    world.at("2026-03-03 11:00:00");
}

fn names(world: &World) -> Vec<String> {
    let rows = world.sql("SELECT crm_id, last_name FROM recipient WHERE crm_id IS NOT NULL ORDER BY crm_id");
    rows.iter().map(|row| world.short(row)).collect()
}

async fn the_feed_brings_what_changed_and_tells_what_was_deleted(side: Side) {
    let world = six(side);
    let first = world.run(&workflow()).await;
    assert_eq!((first.status, first.out("import", "ok")), (Status::Finished, 6));
    assert_eq!(world.option(OPTION).await.as_deref(), Some("2026/03/03 10:01:00"));
    changes(&world);
    let second = world.run(&workflow()).await;
    assert_eq!(second.column("import", "ok", "lastname").await, ["New", "N7"]);
    assert_eq!(second.dropped("import", "filter"), 1);
    assert_eq!(second.column("import", "deleted", "contactid").await, ["C02"]);
    let times = if side == Side::Dynamics { "∅" } else { "2026-03-03T10:59:00Z" };
    assert_eq!(second.column("import", "deleted", "deletedon").await, [times], "where the CRM tells it");
    assert_eq!((second.count("forget", "deleted"), second.count("forget", "absent")), (1, 0));
    assert_eq!(names(&world), ["C01 | New", "C03 | N3", "C04 | N4", "C05 | N5", "C06 | N6", "C07 | N7"]);
    assert_eq!(world.option(OPTION).await.as_deref(), Some("2026/03/03 11:00:00"));
    assert_eq!(second.var("import", "crmEndDate"), "2026/03/03 11:00:00");
    let third = world.run(&workflow()).await;
    assert_eq!((third.status, third.out("import", "ok"), third.out("import", "deleted")), (Status::Finished, 0, 0));

    world.at("2026-03-20 11:00:00");
    let late = world.run(&workflow()).await;
    let failure = late.task("import").failure.clone().unwrap();
    assert!(failure.message.contains(OPTION), "{failure}");
    assert!(failure.help.as_ref().is_some_and(|help| help.contains("options remove")), "{failure:?}");
    assert_eq!(world.option(OPTION).await.as_deref(), Some("2026/03/03 11:00:00"));
}

async fn a_commit_later_than_any_overlap_comes_all_the_same(side: Side) {
    let world = six(side);
    assert_eq!(world.run(&workflow()).await.out("import", "ok"), 6);
    world.at("2026-03-03 10:02:00");
    let modified = instant("2026-03-03 10:02:00").to_string();
    let visible = instant("2026-03-03 10:50:00").to_string();
    world.contact(7, json!({ "lastname": "Late", "modifiedon": modified, "@visibleFrom": visible }));
    world.at("2026-03-03 10:10:00");
    world.contact(1, json!({ "lastname": "Meanwhile" }));
    let mut came = Vec::new();
    for time in ["2026-03-03 10:30:00", "2026-03-03 11:00:00", "2026-03-03 11:30:00"] {
        world.at(time);
        came.extend(world.run(&workflow()).await.column("import", "ok", "lastname").await);
    }
    came.sort();
    // Dynamics tells again what was changed while another transaction was open.
    if side == Side::Dynamics {
        came.dedup();
    }
    assert_eq!(came, ["Late", "Meanwhile"]);
}

async fn a_crash_after_any_event_of_a_run_that_follows_changes_leaves_what_a_run_without_one_leaves(side: Side) {
    let world = || async {
        let mut world = six(side);
        world.limits = json!({ "retries": 0, "recordsPerPage": 1 });
        world.run(&workflow()).await;
        changes(&world);
        world
    };
    let calm = world().await;
    let whole = calm.run(&workflow()).await;
    let count = events(&calm.store, &whole.id).await.len() as u64;
    let expected = (names(&calm), calm.option(OPTION).await);
    assert!(count > 12, "{count}");
    for crash in 0..=count {
        let mut world = world().await;
        let broken: Memory = world.store.reopened_failing_after(crash);
        let engine = world.engine_on(broken);
        if let Ok((_, driven)) = engine.start("dynamicsImport.json", &side.say(&workflow()), Vars::new()).await {
            driven.wait().await.ok();
        }
        drop(engine);
        world.store = world.store.reopened();
        let id = RunId::new("dynamicsImport", 2);
        let ended = match events(&world.store, &id).await.last() {
            None => Some(world.run(&workflow()).await),
            Some(Event::Finished) => None,
            Some(_) => Some(world.resume(&id).await),
        };
        if let Some(ended) = ended {
            let came = (ended.status, ended.out("import", "ok"), ended.out("import", "deleted"));
            assert_eq!(came, (Status::Finished, 2, 1), "crash {crash}");
        }
        assert_eq!((names(&world), world.option(OPTION).await), expected, "crash after event {crash}");
        let next = world.run(&workflow()).await;
        assert_eq!((next.out("import", "ok"), next.out("import", "deleted")), (0, 0), "crash {crash}");
    }
}
