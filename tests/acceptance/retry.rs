//! Error, wait, retry.

use engine::driver::Order;
use engine::event::Vars;
use engine::failure::Class;
use engine::run::{Status, TaskStatus};
use serde_json::json;

use crate::side::Side;
use crate::world::{World, instant};

on_both!(
    an_import_is_tried_again_until_the_crm_is_there,
    a_wait_that_a_crash_cut_short_is_over_when_its_time_has_passed,
    a_loop_that_is_used_up_waits_for_an_operator,
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
    while driven.journal.run().tasks.iter().filter(|task| task.activity == "again" && !task.position.is_null()).count()
        < 2
    {
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
    let world = down_until_twelve_past(side);
    let ended = world.run(&workflow(2)).await;
    assert_eq!(ended.status, Status::Suspended);
    assert_eq!(ended.tasks("import").len(), 3);
    assert_eq!(ended.task("again").failure.clone().unwrap().class, Class::Exhausted);
    assert_eq!(world.option(OPTION).await, None);
}
