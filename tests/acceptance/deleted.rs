//! Objects deleted in the CRM, and all elements of it: Salesforce.

use engine::describe::Ask;
use engine::run::Status;
use serde_json::{Value, json};

use crate::side::Side;
use crate::world::World;

/// X1 to X5, deleted when they are in the scenario; the log is kept for 15 days.
fn deletions() -> (World, Vec<String>) {
    let world = World::new(Side::Salesforce, "2026-02-20 09:00:00");
    let salesforce = world.sandbox.admin().salesforce();
    let ids: Vec<String> = (1..=5).map(|n| salesforce.id("Contact", 1_000 + n).unwrap()).collect();
    for id in &ids {
        salesforce.put("Contact", id, &json!({ "LastName": "Deleted" })).unwrap();
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
        assert!(salesforce.delete("Contact", &ids[n - 1]).unwrap());
    }
    world.at("2026-03-08 09:00:00");
    (world, ids)
}

fn workflow(more: &Value) -> String {
    let mut import =
        json!({ "type": "crm.importDeleted", "account": "salesforce", "object": "Contact", "to": "forget" });
    import.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let forget = json!({
        "type": "database.update", "table": "recipient", "operation": "delete", "key": ["crm_id"], "set": { "crm_id": "Id" },
    });
    json!({ "version": 1, "activities": { "import": import, "forget": forget } }).to_string()
}

/// The names of the records on ok.
fn named(ids: &[String], found: &[String]) -> Vec<String> {
    let name =
        |id: &String| ids.iter().position(|known| known == id).map_or_else(|| id.clone(), |n| format!("X{}", n + 1));
    let mut names: Vec<String> = found.iter().map(name).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_period_of_deletions_has_both_its_ends_and_a_day_alone_is_the_whole_day() {
    let (world, ids) = deletions();
    for (start, end, expected) in [
        ("2026/03/01 00:00:00", "2026/03/07 00:00:00", vec!["X1", "X2", "X3"]),
        ("2026/03/01", "2026/03/07", vec!["X1", "X2", "X3", "X4"]),
        ("2026-03-05 12:00:30", "2026-03-05 12:00:30", vec!["X2"]),
    ] {
        let ended = world.run(&workflow(&json!({ "start": start, "end": end }))).await;
        assert_eq!(ended.status, Status::Finished, "{start} {end}");
        assert_eq!(named(&ids, &ended.column("import", "ok", "Id").await), expected, "{start} {end}");
        assert_eq!(ended.columns("import", "ok").await, ["Id", "deletedon"]);
    }
    let reversed = workflow(&json!({ "start": "2026/03/07", "end": "2026/03/01" }));
    let (_, findings) = world.engine().check("x.json", "x", &reversed, Ask::Kept).await;
    assert_eq!(findings.problems.iter().map(|problem| problem.code).collect::<Vec<_>>(), ["end-before-start"]);
}

#[tokio::test]
async fn deletions_that_are_no_longer_kept_are_an_error_with_the_earliest_date_and_the_cure() {
    let (world, ids) = deletions();
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
    assert_eq!(named(&ids, &ended.column("import", "ok", "Id").await), ["X1", "X2", "X3", "X4", "X5"]);
}

#[tokio::test]
async fn deleted_recipients_are_deleted_and_a_second_time_they_are_absent() {
    let (world, ids) = deletions();
    let database = rusqlite::Connection::open(world.folder.path().join("marketing.db")).unwrap();
    for id in &ids[..3] {
        database.execute("INSERT INTO recipient (crm_id) VALUES (?1)", [id]).unwrap();
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
    let (world, ids) = deletions();
    let text = workflow(&json!({ "automaticIndex": true }));
    let first = world.run(&text).await;
    assert_eq!(named(&ids, &first.column("import", "ok", "Id").await), ["X1", "X2", "X3", "X4", "X5"]);
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
