//! Error, wait, retry.

use std::collections::BTreeSet;

use engine::driver::Order;
use engine::event::Vars;
use engine::failure::Class;
use engine::run::{Status, Task, TaskStatus};
use serde_json::json;

use crate::receiver::Receiver;
use crate::side::Side;
use crate::world::{PATIENCE, World, events, instant};

on_both!(
    an_import_is_tried_again_until_the_crm_is_there,
    a_wait_that_a_crash_cut_short_is_over_when_its_time_has_passed,
    a_loop_that_is_used_up_waits_for_an_operator,
    a_crash_around_the_end_of_a_loop_tells_the_operator_once,
);

const OPTION: &str = "LASTIMPORT_dynamicsImport_import";

fn workflow(attempts: u32) -> String {
    json!({
        "version": 1,
        "activities": {
            "import": {
                "type": "crm.import", "account": "dynamics", "object": "contacts", "fields": ["lastname"],
                "automaticIndex": true, "to": { "error": "again" },
            },
            "again": { "type": "wait", "for": "5m", "attempts": attempts, "to": "import" },
        },
    })
    .to_string()
}

/// A CRM of one contact, whose token endpoint is down until 10:12.
fn down_until_twelve_past(side: Side) -> World {
    let world = World::new(side, "2026-03-03 10:00:00");
    world.contact(1, json!({ "lastname": "A", "modifiedon": instant("2026-03-01 10:00:00").to_string() }));
    let fault = json!({ "route": "token", "status": 503, "until": instant("2026-03-03 10:12:00").to_string() });
    world.sandbox.admin().add_fault(serde_json::from_value(fault).unwrap()).unwrap();
    world
}

async fn an_import_is_tried_again_until_the_crm_is_there(side: Side) {
    let world = down_until_twelve_past(side);
    let ended = world.run(&workflow(5)).await;
    assert_eq!(ended.status, Status::Finished);
    let imports = ended.tasks("import");
    let states: Vec<_> = imports.iter().map(|task| task.status).collect();
    assert_eq!(states, [TaskStatus::Failed, TaskStatus::Failed, TaskStatus::Failed, TaskStatus::Ended]);
    let ahead = crate::world::AHEAD;
    let times: Vec<_> = imports.iter().map(|task| (task.started - ahead).to_string()).collect();
    assert_eq!(times, ["2026-03-03T10:00:00Z", "2026-03-03T10:05:00Z", "2026-03-03T10:10:00Z", "2026-03-03T10:15:00Z"]);
    assert_eq!(ended.tasks("again").len(), 3);
    assert_eq!(ended.out("import", "ok"), 1);
    assert_eq!(ended.var("import", "crmEndDate"), "2026/03/03 10:15:00");
}

async fn a_wait_that_a_crash_cut_short_is_over_when_its_time_has_passed(side: Side) {
    let world = down_until_twelve_past(side);
    world.clock.stop_at(Some("2026-03-03 10:06:00"));
    let engine = world.engine();
    let (id, driven) = engine.start("dynamicsImport.json", &side.say(&workflow(5)), Vars::new()).await.unwrap();
    let mut changed = driven.journal.watch();
    let waits = |task: &&Task| task.activity == "again" && (task.ended.is_some() || task.waits_until().is_some());
    while driven.journal.run().tasks.iter().filter(waits).count() < 2 {
        changed.changed().await.unwrap();
    }
    driven.order(Order::Leave).await;
    driven.wait().await.unwrap();
    drop(engine);
    world.at("2026-03-03 10:13:00");
    world.clock.stop_at(None);
    let ended = world.resume(&id).await;
    assert_eq!(ended.status, Status::Finished);
    assert_eq!(ended.tasks("import").len(), 3, "two that failed, and one at once after the restart");
    assert_eq!(ended.var("import", "crmEndDate"), "2026/03/03 10:13:00");
}

async fn a_loop_that_is_used_up_waits_for_an_operator(side: Side) {
    let receiver = Receiver::new();
    let mut world = down_until_twelve_past(side);
    world.webhook = Some(receiver.url.clone());
    // What may pass by itself is sent again, with the same key.
    receiver.answer([503]);
    let ended = world.run(&workflow(2)).await;
    assert_eq!(ended.status, Status::Suspended);
    assert_eq!(ended.tasks("import").len(), 3);
    let failure = ended.task("again").failure.clone().unwrap();
    assert_eq!(failure.class, Class::Exhausted);
    assert_eq!(world.option(OPTION).await, None);

    let came = receiver.until(2);
    let (key, alert) = came.last().unwrap();
    assert!(came.len() == 2 && came[0].0 == *key, "{came:?}");
    let number = events(&world.store, &ended.id).await.len() - 2;
    let stopped = instant("2026-03-03 10:17:00").as_millisecond();
    assert_eq!(*key, format!("dynamicsImport-1/{number}/{stopped}"));
    let text = alert["text"].as_str().unwrap();
    for part in ["dynamicsImport-1", "is suspended", "again", &failure.message, "campanile resume dynamicsImport-1"] {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
    let expected = json!({
        "id": key, "workflow": "dynamicsImport", "run": "dynamicsImport-1", "task": 6, "activity": "again",
        "status": "suspended", "at": "2026-03-03T10:17:00Z", "message": failure.message, "help": failure.help,
        "next": "campanile resume dynamicsImport-1", "text": text, "host": alert["host"], "folder": alert["folder"],
    });
    assert_eq!(*alert, expected);
    for part in [&alert["host"], &alert["folder"]] {
        assert!(part.as_str().is_some_and(|part| !part.is_empty() && text.contains(part)), "{alert}");
    }

    // A process that begins anew has nobody to tell; a run that goes on and stops again has.
    let engine = world.engine();
    engine.tell_what_was_owed().await;
    assert!(engine.until_told(PATIENCE).await);
    assert_eq!(receiver.came().len(), 2);
    receiver.recover();
    world.sandbox.admin().clear_faults();
    let fault = json!({ "route": "token", "status": 503 });
    world.sandbox.admin().add_fault(serde_json::from_value(fault).unwrap()).unwrap();
    assert_eq!(world.resume(&ended.id).await.status, Status::Suspended);
    let came = receiver.came();
    assert_eq!(came.len(), 3);
    assert_ne!(came[2].0, came[0].0);
}

async fn a_crash_around_the_end_of_a_loop_tells_the_operator_once(side: Side) {
    let whole = down_until_twelve_past(side).run(&workflow(2)).await;
    let count = whole.run.events;
    // From before the last failure to after it was told.
    for crash in count - 3..=count {
        let receiver = Receiver::new();
        let mut world = down_until_twelve_past(side);
        world.webhook = Some(receiver.url.clone());
        let engine = world.engine_on(world.store.reopened_failing_after(crash));
        let (id, driven) = engine.start("dynamicsImport.json", &side.say(&workflow(2)), Vars::new()).await.unwrap();
        driven.wait().await.ok();
        assert!(engine.until_told(PATIENCE).await);
        drop(engine);
        world.store = world.store.reopened();
        let told_before = receiver.came().len();
        let engine = world.engine();
        engine.tell_what_was_owed().await;
        assert!(engine.until_told(PATIENCE).await);
        let (_, run) = engine.load(&id).await.unwrap();
        if run.status() != Status::Suspended {
            assert_eq!((told_before, receiver.came().len()), (0, 0), "crash after event {crash}: nothing has happened");
            assert_eq!(world.resume(&id).await.status, Status::Suspended);
        }
        let keys: BTreeSet<String> = receiver.came().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys.len(), 1, "crash after event {crash}: {keys:?}");
        // A receiver hears of it twice, with one key, only where the crash is between its answer and the next event.
        let twice = crash == count && told_before == 1;
        assert_eq!(receiver.came().len(), 1 + usize::from(twice), "crash after event {crash}");
    }
}
