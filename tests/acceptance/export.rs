//! Export: update, insert, rejects; deletion.

use engine::event::{Event, Level};
use engine::run::Status;
use sandbox::ChangeKind;
use serde_json::{Value, json};

use crate::side::Side;
use crate::world::{Ended, World, events};

on_both!(
    an_update_changes_what_is_there_and_makes_nothing,
    what_the_crm_has_already_is_not_written_where_it_is_compared,
    rejects_are_warned_of_where_their_port_leads_nowhere,
    an_insert_tells_the_ids_and_a_double_is_a_reject_sent_once,
    a_mapping_without_key_must_say_that_it_inserts,
    the_file_of_rejects_has_each_with_its_reason,
    deletion_reaches_its_aim_and_tells_what_was_gone,
    more_deletions_than_allowed_wait_for_an_operator,
);

/// Longer than either system takes a last name.
fn long() -> String {
    "x".repeat(100)
}

/// C03 Hopper, C04 Turing, C08 O'Brien; and records to export: a mark, the id, a last name.
pub(crate) fn world(side: Side, records: &[(&str, Option<u8>, &str)]) -> World {
    let world = World::new(side, "2026-03-03 10:00:00");
    for (number, name) in [(3, "Hopper"), (4, "Turing"), (8, "O'Brien")] {
        world.contact(number, json!({ "lastname": name }));
    }
    world.sql_write("DELETE FROM recipient");
    for (mark, number, name) in records {
        let id = number.map_or("NULL".to_owned(), |number| format!("'{}'", world.id(number)));
        let name = name.replace('\'', "''");
        world.sql_write(&format!(
            "INSERT INTO recipient (first_name, crm_id, last_name) VALUES ('{mark}', {id}, '{name}')"
        ));
    }
    world
}

pub(crate) fn six() -> Vec<(&'static str, Option<u8>, &'static str)> {
    let long: &'static str = long().leak();
    vec![
        ("E1", Some(3), "Hopper-Lee"),
        ("E2", Some(4), "Turing"),
        ("E3", Some(99), "Ghost"),
        ("E4", None, "Nobody"),
        ("E5", Some(8), long),
        ("E6", Some(3), "Hopper-Two"),
    ]
}

pub(crate) fn workflow(settings: &Value) -> String {
    let mut export = json!({ "type": "crm.export", "account": "dynamics", "object": "contacts" });
    export.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    json!({ "version": 1, "activities": {
        "people": { "type": "database.query", "table": "recipient", "to": "export" },
        "export": export,
    } })
    .to_string()
}

fn update(more: &Value) -> String {
    let mut settings = json!({ "operation": "update", "set": { "contactid": "crm_id", "lastname": "last_name" } });
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    workflow(&settings)
}

/// What was changed over the wire: how, and which contact.
pub(crate) fn changed(world: &World) -> Vec<(ChangeKind, String)> {
    let changes = world.side.changes(&world.sandbox).into_iter();
    let mut all: Vec<_> = changes.map(|change| (change.kind, world.short(&change.id))).collect();
    all.sort_by(|a, b| a.1.cmp(&b.1));
    all
}

fn last_name(world: &World, number: u8) -> Value {
    world.side.record(&world.sandbox, &world.id(number)).unwrap()["lastname"].clone()
}

async fn six_outcomes(ended: &Ended) {
    assert_eq!(ended.column("export", "ok", "first_name").await, ["E1", "E2"]);
    assert_eq!(ended.column("export", "ok", "crmId").await, ["C03", "C04"]);
    assert_eq!(ended.column("export", "reject", "first_name").await, ["E3", "E4", "E5", "E6"]);
    let codes = ended.column("export", "reject", "errorCode").await;
    let (absent, long, field): (&[&str], _, _) = match ended.side {
        Side::Dynamics => (&["0x80040217"], "0x80044331", "lastname"),
        Side::Salesforce => (&["NOT_FOUND", "INVALID_CROSS_REFERENCE_KEY"], "STRING_TOO_LONG", "LastName"),
    };
    assert!(absent.contains(&codes[0].as_str()), "{codes:?}");
    assert_eq!(codes[1..], ["KEY_EMPTY", long, "KEY_REPEATED"]);
    assert_eq!(ended.column("export", "reject", "errorField").await[2], field);
    for column in ["errorSymbol", "errorMessage", "errorHelp"] {
        assert!(!ended.column("export", "reject", column).await.contains(&"∅".to_owned()), "{column} is always told");
    }
}

async fn an_update_changes_what_is_there_and_makes_nothing(side: Side) {
    for size in [None, Some(1), Some(2), Some(6), Some(1_000)] {
        let world = world(side, &six());
        let batch = size.map_or(json!({}), |size| json!({ "batch": { "size": size } }));
        let ended = world.run(&update(&batch)).await;
        assert_eq!(ended.status, Status::Finished, "{size:?}");
        six_outcomes(&ended).await;
        assert_eq!(ended.column("export", "ok", "outcome").await, ["updated", "updated"]);
        let expected = ["C03", "C04"].map(|id| (ChangeKind::Updated, id.to_owned()));
        assert_eq!(changed(&world), expected, "batches of {size:?}");
        assert_eq!((last_name(&world, 3), last_name(&world, 8)), (json!("Hopper-Lee"), json!("O'Brien")));
        assert_eq!(world.side.record(&world.sandbox, &world.id(99)), None);
    }
}

async fn what_the_crm_has_already_is_not_written_where_it_is_compared(side: Side) {
    let world = world(side, &six());
    let ended = world.run(&update(&json!({ "compare": true }))).await;
    six_outcomes(&ended).await;
    assert_eq!(ended.column("export", "ok", "outcome").await, ["updated", "unchanged"]);
    assert_eq!(changed(&world), [(ChangeKind::Updated, "C03".to_owned())]);
}

async fn rejects_are_warned_of_where_their_port_leads_nowhere(side: Side) {
    let world = world(side, &six());
    let ended = world.run(&update(&json!({}))).await;
    assert_eq!(ended.status, Status::Finished);
    let events = events(&world.store, &ended.id).await;
    let warnings = events.iter().filter(|event| matches!(event, Event::Logged { level: Level::Warning, .. }));
    assert_eq!(warnings.count(), 4, "one for each code");
}

async fn an_insert_tells_the_ids_and_a_double_is_a_reject_sent_once(side: Side) {
    let world = world(side, &[("I1", None, "New-One"), ("I2", None, "Twice"), ("I3", None, "New-Two")]);
    world.contact(9, json!({ "lastname": "Twice" }));
    let admin = world.sandbox.admin();
    match side {
        Side::Dynamics => admin.add_rule("contact", "same name", &["lastname".to_owned()], true).unwrap(),
        Side::Salesforce => {
            let rule = serde_json::from_value(json!({ "name": "same name", "fields": ["LastName"] })).unwrap();
            admin.salesforce().add_duplicate_rule("Contact", &rule).unwrap();
        }
    }
    let settings = json!({ "operation": "insert", "set": { "lastname": "last_name" } });
    let ended = world.run(&workflow(&settings)).await;
    assert_eq!(ended.status, Status::Finished);
    assert_eq!(ended.column("export", "ok", "first_name").await, ["I1", "I3"]);
    assert_eq!(ended.column("export", "ok", "outcome").await, ["created", "created"]);
    let code = match side {
        Side::Dynamics => "0x80040333",
        Side::Salesforce => "DUPLICATES_DETECTED",
    };
    assert_eq!(ended.column("export", "reject", "errorCode").await, [code]);
    let ids = ended.column("export", "ok", "crmId").await;
    let names = ids.iter().map(|id| side.record(&world.sandbox, &world.long(id)).unwrap()["lastname"].clone());
    assert_eq!(names.collect::<Vec<_>>(), ["New-One", "New-Two"]);
    assert_eq!(changed(&world).len(), 2);
    assert_eq!(world.queries().len(), 1, "one request for the three, and none more: {:?}", world.queries());
}

async fn a_mapping_without_key_must_say_that_it_inserts(side: Side) {
    let world = world(side, &[]);
    let text = side.say(&workflow(&json!({ "set": { "lastname": "last_name" } })));
    let (_, findings) = world.engine().check("x.json", "x", &text, engine::describe::Ask::Refresh).await;
    assert_eq!(findings.problems.iter().map(|problem| problem.code).collect::<Vec<_>>(), ["insert-not-said"]);
}

fn delete(more: &Value) -> String {
    let mut delete = json!({ "type": "crm.delete", "account": "dynamics", "object": "contacts", "id": "crm_id" });
    delete.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "version": 1, "activities": {
        "people": { "type": "database.query", "table": "recipient", "to": "export" },
        "export": delete,
    } })
    .to_string()
}

fn five(side: Side) -> World {
    let records =
        [("D1", Some(3), ""), ("D2", Some(4), ""), ("D3", Some(99), ""), ("D4", Some(5), ""), ("D5", None, "")];
    let world = world(side, &records);
    world.contact(5, json!({ "lastname": "Gone" }));
    side.delete(&world.sandbox, &world.id(5));
    world
}

async fn deletion_reaches_its_aim_and_tells_what_was_gone(side: Side) {
    let world = five(side);
    let ended = world.run(&delete(&json!({ "maxDeletes": 10 }))).await;
    assert_eq!(ended.status, Status::Finished);
    assert_eq!(ended.column("export", "ok", "first_name").await, ["D1", "D2", "D3", "D4"]);
    assert_eq!(ended.column("export", "ok", "outcome").await, ["deleted", "deleted", "absent", "absent"]);
    assert_eq!(ended.column("export", "reject", "errorCode").await, ["KEY_EMPTY"]);
    assert_eq!(changed(&world), ["C03", "C04"].map(|id| (ChangeKind::Deleted, id.to_owned())));
}

async fn more_deletions_than_allowed_wait_for_an_operator(side: Side) {
    let world = five(side);
    world.sandbox.admin().clear_log();
    let ended = world.run(&delete(&json!({ "maxDeletes": 3 }))).await;
    assert_eq!(ended.status, Status::Suspended);
    let failure = ended.task("export").failure.clone().unwrap().message;
    assert!(failure.contains('4') && failure.contains('3'), "{failure}");
    assert_eq!(changed(&world), []);
    assert_eq!(world.queries(), Vec::<String>::new(), "nothing was asked of contacts");
}

async fn the_file_of_rejects_has_each_with_its_reason(side: Side) {
    let world = world(side, &six());
    let ended = world.run(&update(&json!({ "rejectsFile": "rejects.csv" }))).await;
    six_outcomes(&ended).await;
    let file = std::fs::read_to_string(world.folder.path().join("files/rejects.csv")).unwrap();
    let lines: Vec<&str> = file.trim_start_matches('\u{feff}').lines().collect();
    let columns =
        "crm_id,email,first_name,last_name,country_label,errorCode,errorSymbol,errorMessage,errorField,errorHelp";
    assert_eq!(lines[0], columns);
    assert_eq!(lines.len(), 5, "{file}");
    let codes = ended.column("export", "reject", "errorCode").await;
    for ((mark, code), line) in ["E3", "E4", "E5", "E6"].iter().zip(codes).zip(&lines[1..]) {
        assert!(line.contains(mark) && line.contains(&code), "{line}");
    }
}

/// Requests of Salesforce for collections, and bulk jobs that were made.
fn collections_and_jobs(world: &World) -> (usize, usize) {
    let asked = world.sandbox.admin().requests(0);
    let posted = |end: &str| {
        let posts = asked.iter().filter(|request| request.method == "POST");
        posts.filter(|request| request.path.split('?').next().is_some_and(|path| path.ends_with(end))).count()
    };
    (posted("/composite/sobjects"), posted("/jobs/ingest"))
}

#[tokio::test]
async fn a_field_that_salesforce_requires_is_a_reject_by_collections_and_by_bulk_alike() {
    for (from, expected) in [(2_000, (1, 0)), (1, (0, 1))] {
        let mut world = world(Side::Salesforce, &[("I1", None, "New"), ("I2", None, "")]);
        world.sql_write("UPDATE recipient SET last_name = NULL WHERE first_name = 'I2'");
        world.bulk = json!({ "from": from, "pollMin": "5ms" });
        let set = json!({ "firstname": "first_name", "lastname": "last_name" });
        let ended = world.run(&workflow(&json!({ "operation": "insert", "set": set }))).await;
        assert_eq!(ended.column("export", "ok", "first_name").await, ["I1"]);
        assert_eq!(ended.column("export", "reject", "first_name").await, ["I2"]);
        for column in ["errorCode", "errorSymbol"] {
            assert_eq!(ended.column("export", "reject", column).await, ["REQUIRED_FIELD_MISSING"], "from {from}");
        }
        assert_eq!(ended.column("export", "reject", "errorField").await, ["LastName"], "from {from}");
        assert_eq!(collections_and_jobs(&world), expected);
    }
}

#[tokio::test]
async fn two_thousand_records_go_to_salesforce_by_collections_and_one_more_by_a_job() {
    for (records, expected) in [(2_000, (10, 0)), (2_001, (0, 1))] {
        let world = world(Side::Salesforce, &[]);
        world.sql_write(&format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {records})
             INSERT INTO recipient (first_name, last_name) SELECT 'N' || i, 'Name ' || i FROM n"
        ));
        let ended = world.run(&workflow(&json!({ "operation": "insert", "set": { "lastname": "last_name" } }))).await;
        assert_eq!((ended.status, ended.out("export", "ok")), (Status::Finished, records));
        assert_eq!(collections_and_jobs(&world), expected, "{records} records");
        assert_eq!(changed(&world).len() as u64, records);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn record_1_of_one_table_is_not_record_1_of_another() {
    let world = world(Side::Dynamics, &[]);
    let mut activities = json!({});
    for table in ["form", "shop"] {
        world.sql_write(&format!(
            "CREATE TABLE {table} (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO {table} VALUES (1, '{table} 1'), (2, '{table} 2')"
        ));
        let export = format!("{table}Export");
        activities[table] = json!({ "type": "database.query", "table": table, "to": export });
        activities[export] = json!({ "type": "crm.export", "account": "dynamics", "object": "contacts",
            "operation": "insert", "set": { "lastname": "name" } });
    }
    let workflow = json!({ "version": 1, "activities": activities }).to_string();
    let ended = world.run(&workflow).await;
    assert_eq!((ended.count("formExport", "created"), ended.count("shopExport", "created")), (2, 2));
    assert_eq!(changed(&world).len(), 4);
    // Another run finds them all.
    assert_eq!(world.run(&workflow).await.status, Status::Finished);
    assert_eq!(changed(&world).len(), 4);
}
