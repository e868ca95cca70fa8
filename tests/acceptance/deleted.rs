//! Objects deleted in the CRM, and all elements of it.

use engine::describe::Ask;
use engine::event::Event;
use engine::run::Status;
use sandbox::Tracking;
use serde_json::{Value, json};

use crate::side::Side;
use crate::world::{Ended, World, events};

on_both!(
    a_period_of_deletions_has_both_its_ends_and_a_day_alone_is_the_whole_day,
    deleted_recipients_are_deleted_and_a_second_time_they_are_absent,
);

/// X1 to X5, deleted when they are in the scenario; Salesforce keeps its log for 15 days, Dynamics audits.
fn deletions(side: Side) -> World {
    let world = World::new(side, "2026-02-20 09:00:00");
    world.sandbox.admin().set_tracking(&Tracking { audit: Some(true), ..Tracking::default() }).unwrap();
    for n in 1..=5 {
        world.contact(n, json!({ "lastname": "Deleted" }));
    }
    let times = [
        (5, "2026-02-28 23:59:59"),
        (1, "2026-03-01 00:00:00"),
        (2, "2026-03-05 12:00:30"),
        (3, "2026-03-07 00:00:00"),
        (4, "2026-03-07 00:00:01"),
    ];
    for (n, time) in times {
        world.at(time);
        side.delete(&world.sandbox, &world.id(n));
    }
    world.at("2026-03-08 09:00:00");
    world
}

fn workflow(more: &Value) -> String {
    let mut import =
        json!({ "type": "crm.importDeleted", "account": "dynamics", "object": "contacts", "to": "forget" });
    import.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let forget = json!({
        "type": "database.update", "table": "recipient", "operation": "delete", "key": ["crm_id"], "set": { "crm_id": "contactid" },
    });
    json!({ "version": 1, "activities": { "import": import, "forget": forget } }).to_string()
}

/// The records on ok, X1 as C01.
async fn found(ended: &Ended) -> Vec<String> {
    let mut found = ended.column("import", "ok", "contactid").await;
    found.sort();
    found
}

async fn a_period_of_deletions_has_both_its_ends_and_a_day_alone_is_the_whole_day(side: Side) {
    let world = deletions(side);
    for (start, end, expected) in [
        ("2026/03/01 00:00:00", "2026/03/07 00:00:00", vec!["C01", "C02", "C03"]),
        ("2026/03/01", "2026/03/07", vec!["C01", "C02", "C03", "C04"]),
        ("2026-03-05 12:00:30", "2026-03-05 12:00:30", vec!["C02"]),
    ] {
        let ended = world.run(&workflow(&json!({ "start": start, "end": end }))).await;
        assert_eq!(ended.status, Status::Finished, "{start} {end}");
        assert_eq!(found(&ended).await, expected, "{start} {end}");
        assert_eq!(ended.columns("import", "ok").await, [side.say("contactid"), "deletedon".to_owned()]);
        assert!(!ended.column("import", "ok", "deletedon").await.contains(&"∅".to_owned()), "{start} {end}");
    }
    let reversed = workflow(&json!({ "start": "2026/03/07", "end": "2026/03/01" }));
    let (_, findings) = world.engine().check("x.json", "x", &side.say(&reversed), Ask::Kept).await;
    assert_eq!(findings.problems.iter().map(|problem| problem.code).collect::<Vec<_>>(), ["end-before-start"]);
}

#[tokio::test]
async fn deletions_that_are_no_longer_kept_are_an_error_with_the_earliest_date_and_the_cure() {
    let world = deletions(Side::Salesforce);
    let early = workflow(&json!({ "start": "2026/02/10", "end": "2026/03/07" }));
    let ended = world.run(&early).await;
    assert_eq!(ended.status, Status::Suspended);
    let failure = ended.task("import").failure.clone().unwrap();
    assert!(failure.message.contains("2026-02-2"), "{failure}");
    assert!(failure.help.as_ref().is_some_and(|help| help.contains("ids")), "{failure:?}");
    assert_eq!(ended.out("import", "ok"), 0);
    let mut settings = world.sandbox.admin().salesforce().settings();
    settings.deleted_days = 30;
    world.sandbox.admin().salesforce().set_settings(settings);
    let ended = world.run(&early).await;
    assert_eq!(found(&ended).await, ["C01", "C02", "C03", "C04", "C05"]);
}

async fn deleted_recipients_are_deleted_and_a_second_time_they_are_absent(side: Side) {
    let world = deletions(side);
    let database = rusqlite::Connection::open(world.folder.path().join("marketing.db")).unwrap();
    for n in 1..=3 {
        database.execute("INSERT INTO recipient (crm_id) VALUES (?1)", [world.id(n)]).unwrap();
    }
    drop(database);
    let text = workflow(&json!({ "start": "2026/03/01 00:00:00", "end": "2026/03/07 00:00:00" }));
    let first = world.run(&text).await;
    assert_eq!((first.count("forget", "deleted"), first.count("forget", "absent")), (3, 0));
    assert_eq!(world.recipients().len(), 2, "the others stay");
    let second = world.run(&text).await;
    assert_eq!((second.count("forget", "deleted"), second.count("forget", "absent")), (0, 3));
}

#[tokio::test]
async fn deletions_come_once_from_where_the_crm_said_that_it_covered_all() {
    let world = deletions(Side::Salesforce);
    let text = workflow(&json!({ "automaticIndex": true }));
    let first = world.run(&text).await;
    assert_eq!(found(&first).await, ["C01", "C02", "C03", "C04", "C05"]);
    let option = world.option("LASTIMPORT_dynamicsImport_import").await.unwrap();
    assert!(option.as_str() <= "2026/03/08 09:00:00", "{option}");
    assert_eq!(first.var("import", "crmEndDate"), option);
    let six = world.sandbox.admin().salesforce().id("Contact", 1_006).unwrap();
    world.sandbox.admin().salesforce().put("Contact", &six, &json!({ "LastName": "Six" })).unwrap();
    world.at("2026-03-08 10:00:00");
    world.sandbox.admin().salesforce().delete("Contact", &six).unwrap();
    world.at("2026-03-08 12:00:00");
    let second = world.run(&text).await;
    assert_eq!(second.column("import", "ok", "Id").await, [six]);
    assert_eq!(second.var("import", "crmStartDate"), option);
    world.at("2026-03-08 13:00:00");
    assert_eq!(world.run(&text).await.out("import", "ok"), 0);
}

#[tokio::test]
async fn without_change_tracking_each_new_deletion_comes_once_by_the_audit_log_late_entries_too() {
    let world = World::new(Side::Dynamics, "2026-03-03 10:00:00");
    let track = |tracking: Tracking| world.sandbox.admin().set_tracking(&tracking).unwrap();
    let contact = |on: bool| [("contact".to_owned(), on)].into();
    track(Tracking { tables: contact(false), audit: Some(true), ..Tracking::default() });
    for n in 1..=6 {
        world.contact(n, json!({ "lastname": "Deleted" }));
    }
    let text = workflow(&json!({ "automaticIndex": true }));
    assert_eq!(world.run(&text).await.out("import", "ok"), 0);
    world.at("2026-03-03 10:10:00");
    Side::Dynamics.delete(&world.sandbox, &world.id(1));
    let late = json!({
        "operation": 3, "objecttypecode": "contact", "objectid": { "table": "contact", "id": world.id(2) },
        "createdon": "2026-03-03T10:09:00Z", "@visibleFrom": "2026-03-03T10:11:00Z",
    });
    world.sandbox.admin().put("audits", "a0000000-0000-4000-8000-000000000002", &late).unwrap();
    assert_eq!(found(&world.run(&text).await).await, ["C01"]);
    world.at("2026-03-03 10:12:00");
    Side::Dynamics.delete(&world.sandbox, &world.id(3));
    let third = world.run(&text).await;
    assert_eq!(
        (found(&third).await, third.dropped("import", "alreadyImported")),
        (vec!["C02".into(), "C03".into()], 1)
    );
    assert_eq!(third.column("import", "ok", "deletedon").await, ["2026-03-03T10:09:00Z", "2026-03-03T10:12:00Z"]);
    // Each minute the last five are read again, and what was told in any of them is known.
    for minute in 13..20 {
        world.at(&format!("2026-03-03 10:{minute}:00"));
        assert_eq!(world.run(&text).await.out("import", "ok"), 0, "10:{minute}");
    }
    track(Tracking { tables: contact(true), ..Tracking::default() });
    Side::Dynamics.delete(&world.sandbox, &world.id(4));
    world.at("2026-03-03 10:20:00");
    assert_eq!(found(&world.run(&text).await).await, ["C04"], "tracking that begins now does not know of it");
    assert_eq!(world.run(&text).await.out("import", "ok"), 0);
}

#[tokio::test]
async fn between_the_audit_log_and_a_feed_that_begins_no_deletion_is_lost_or_comes_twice() {
    let world = World::new(Side::Dynamics, "2026-03-03 10:00:00");
    let track = |tracking: Tracking| world.sandbox.admin().set_tracking(&tracking).unwrap();
    track(Tracking { audit: Some(false), ..Tracking::default() });
    for n in 1..=7 {
        world.contact(n, json!({ "lastname": "Deleted" }));
    }
    [1, 2].into_iter().for_each(|n| Side::Dynamics.delete(&world.sandbox, &world.id(n)));
    track(Tracking { audit: Some(true), ..Tracking::default() });
    Side::Dynamics.delete(&world.sandbox, &world.id(3));
    // Of 1 and 2 the log gets its entries late.
    for (n, deleted, written) in [(1, "09:58:30", "10:00:30"), (2, "09:59:59", "10:03:00")] {
        let late = json!({
            "operation": 3, "objecttypecode": "contact", "objectid": { "table": "contact", "id": world.id(n) },
            "createdon": format!("2026-03-03T{deleted}Z"), "@visibleFrom": format!("2026-03-03T{written}Z"),
        });
        world.sandbox.admin().put("audits", &format!("a0000000-0000-4000-8000-00000000000{n}"), &late).unwrap();
    }
    let text = workflow(&json!({ "automaticIndex": true }));
    assert_eq!(found(&world.run(&text).await).await, ["C03"], "what the log has");
    Side::Dynamics.delete(&world.sandbox, &world.id(4));
    for (time, expected) in
        [("10:01:00", vec!["C01", "C04"]), ("10:02:00", vec![]), ("10:04:00", vec!["C02"]), ("10:06:00", vec![])]
    {
        world.at(&format!("2026-03-03 {time}"));
        assert_eq!(found(&world.run(&text).await).await, expected, "{time}");
    }
    // From then on the feed alone tells.
    Side::Dynamics.delete(&world.sandbox, &world.id(5));
    let audits = || world.sandbox.admin().requests(1).iter().filter(|request| request.path.contains("audits?")).count();
    let before = audits();
    assert_eq!(found(&world.run(&text).await).await, ["C05"]);
    assert_eq!(audits(), before);
    assert_eq!(world.run(&text).await.out("import", "ok"), 0);
}

#[tokio::test]
async fn without_auditing_or_a_recycle_bin_dynamics_is_asked_to_keep_what_was_deleted() {
    let world = World::new(Side::Dynamics, "2026-03-01 09:00:00");
    world.contact(1, json!({ "lastname": "Deleted" }));
    Side::Dynamics.delete(&world.sandbox, &world.id(1));
    let text = workflow(&json!({ "start": "2026/03/01", "end": "2026/03/01" }));
    let ended = world.run(&text).await;
    assert_eq!((ended.status, ended.out("import", "ok")), (Status::Suspended, 0));
    let failure = ended.task("import").failure.clone().unwrap();
    let help = failure.help.clone().unwrap_or_default();
    assert!(help.contains("auditing") && help.contains("recycle bin"), "{failure:?}");

    let bin = Tracking { recycle_bin_days: Some(30), ..Tracking::default() };
    world.sandbox.admin().set_tracking(&bin).unwrap();
    world.contact(2, json!({ "lastname": "Deleted" }));
    Side::Dynamics.delete(&world.sandbox, &world.id(2));
    let ended = world.resume(&ended.id).await;
    assert_eq!(ended.status, Status::Finished);
    assert_eq!(found(&ended).await, ["C02"], "what the bin has; it began after C01 was gone");
    let said =
        |event: &Event| matches!(event, Event::Logged { message, .. } if message.contains("does not say when 1"));
    assert!(events(&world.store, &ended.id).await.iter().any(said), "a bin has no times");
}

#[tokio::test]
async fn a_deletion_of_what_was_never_imported_does_nothing() {
    let world = World::new(Side::Dynamics, "2026-03-03 10:00:00");
    world.contact(1, json!({ "lastname": "Known" }));
    let text = workflow(&json!({ "automaticIndex": true }));
    assert_eq!(world.run(&text).await.out("import", "ok"), 0);
    world.sql_write(&format!("INSERT INTO recipient (crm_id) VALUES ('{}')", world.id(1)));
    world.contact(2, json!({ "lastname": "Made and deleted between two imports" }));
    for n in [1, 2] {
        Side::Dynamics.delete(&world.sandbox, &world.id(n));
    }
    world.at("2026-03-03 11:00:00");
    let second = world.run(&text).await;
    assert_eq!(second.status, Status::Finished);
    assert_eq!(found(&second).await, ["C01", "C02"], "the CRM tells of both");
    assert_eq!((second.count("forget", "deleted"), second.count("forget", "absent")), (1, 1));
    assert_eq!(world.recipients().len(), 2, "the others stay");
}

#[tokio::test]
async fn all_elements_are_queried_where_that_is_asked_for() {
    let world = World::new(Side::Salesforce, "2026-03-08 09:00:00");
    let salesforce = world.sandbox.admin().salesforce();
    let ids: Vec<String> = (1..=3).map(|n| salesforce.id("Contact", 1_000 + n).unwrap()).collect();
    for (id, name) in ids.iter().zip(["Live", "Deleted", "Loser"]) {
        salesforce.put("Contact", id, &json!({ "LastName": name })).unwrap();
    }
    salesforce.delete("Contact", &ids[1]).unwrap();
    salesforce.merge("Contact", &ids[0], &ids[2..]).unwrap();
    let text = |all: bool| {
        let import = json!({
            "type": "crm.import", "account": "salesforce", "object": "Contact", "fields": ["LastName", "MasterRecordId"],
            "all": all,
        });
        json!({ "version": 1, "activities": { "import": import } }).to_string()
    };
    let visible = world.run(&text(false)).await;
    assert_eq!(visible.column("import", "ok", "LastName").await, ["Live"]);
    let all = world.run(&text(true)).await;
    assert_eq!(all.columns("import", "ok").await, ["LastName", "MasterRecordId", "Id", "IsDeleted"]);
    let (names, deleted) =
        (all.column("import", "ok", "LastName").await, all.column("import", "ok", "IsDeleted").await);
    let masters = all.column("import", "ok", "MasterRecordId").await;
    let mut rows: Vec<String> =
        (0..names.len()).map(|n| format!("{} {} {}", names[n], deleted[n], masters[n])).collect();
    rows.sort();
    assert_eq!(rows, ["Deleted true ∅".to_owned(), "Live false ∅".to_owned(), format!("Loser true {}", ids[0])]);
}
