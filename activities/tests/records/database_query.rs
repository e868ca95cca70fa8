use std::sync::Arc;

use engine::outside::store::{Expect, OptionChange, OptionValue, Store};
use engine::run::Status;
use jiff::Timestamp;
use serde_json::{Value, json};
use store::Memory;

use crate::harness::World;

const TABLE: &str = "CREATE TABLE person (id INTEGER PRIMARY KEY, email TEXT, crm_id TEXT);
    INSERT INTO person VALUES (3, 'c@example.com', NULL), (1, 'a@example.com', 'x'), (2, '', NULL), (9, NULL, NULL);";

fn query(table: &str, settings: &Value) -> Value {
    let mut query = json!({ "type": "database.query", "table": table });
    query.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    json!({ "people": query })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_records_that_the_filter_lets_through_come_out_and_the_others_are_counted() {
    let world = World::new(TABLE);
    let ran = world.run(&query("person", &json!({ "fields": ["email", "id"], "filter": "is_empty(crm_id)" }))).await;
    assert_eq!(ran.status, Status::Finished);
    assert_eq!(ran.port("people", "ok").await, ["|2", "c@example.com|3", "∅|9"]);
    assert_eq!(ran.tally("people").added, 4);
    assert_eq!(ran.tally("people").dropped["filter"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_read_is_refused_and_the_others_come_out() {
    let world = World::new(
        "CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT, born DATE, tags INTEGER LIST);
         INSERT INTO person VALUES (1, 'Ada', '1815-12-10', '[1, 2]'), (2, CAST(x'5a6feb' AS TEXT), 'soon', NULL),
             (3, 'Grace', '1906-12-09 10:00', '[3]'), (4, 'Alan', NULL, '[4, \"x\"]'), (5, 'Edsger', NULL, '[5]');",
    );
    let ran = world
        .run(&query("person", &json!({ "fields": ["id", "name"], "filter": "born != date(\"2000-01-01\")" })))
        .await;
    assert_eq!(ran.status, Status::Finished);
    assert_eq!(ran.port("people", "ok").await, ["1|Ada", "4|Alan", "5|Edsger"]);
    let rejects = ran.port("people", "reject").await;
    assert!(
        rejects[0]
            .starts_with("2|∅|VALUE_TYPE|VALUE_TYPE|column name of table person holds text that is not valid UTF-8")
    );
    assert!(rejects[0].contains("(in the row with rowid 2)"), "{rejects:?}");
    assert!(rejects[1].starts_with("3|Grace|VALUE_TYPE") && rejects[1].contains("|born|"), "{rejects:?}");
    assert_eq!((rejects.len(), ran.tally("people").added), (2, 5));
    let ran = world.run(&query("person", &json!({ "fields": ["id", "tags"] }))).await;
    assert_eq!(ran.port("people", "ok").await, ["1|1,2", "2|∅", "3|3", "5|5"]);
    assert_eq!(ran.port("people", "reject").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_table_is_read_to_its_end_whether_it_has_row_ids_or_not() {
    for without_rowid in ["", "WITHOUT ROWID"] {
        let world = World::new(&format!(
            "CREATE TABLE big (a INTEGER, b TEXT, PRIMARY KEY (b, a)) {without_rowid};
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 25000)
             INSERT INTO big SELECT i, 'x' || (i % 7) FROM n;"
        ));
        let ran = world.run(&query("big", &json!({ "fields": ["a"] }))).await;
        let mut rows = ran.port("people", "ok").await;
        assert_eq!(rows.len(), 25_000);
        rows.sort();
        rows.dedup();
        assert_eq!(rows.len(), 25_000, "each row once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reading_that_was_broken_off_goes_on_with_the_filter_it_began_with() {
    let mut world = World::new(
        "CREATE TABLE big (b TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 25000)
         INSERT INTO big SELECT 'x' || (i % 5) FROM n;",
    );
    world.limits.segment_seconds = 0;
    let activities = query("big", &json!({ "filter": "b != option(\"UNWANTED\")" }));
    let store = Arc::new(Memory::new());
    unwanted(&store, "x1").await;
    // Begun, and broken off once a part is sealed.
    let dying = Arc::new(store.reopened_failing_after(3));
    let (id, broken) = world.live(&dying, None, &activities, std::future::pending()).await;
    assert!(broken.is_none());
    unwanted(&store, "x2").await;
    let (_, ran) = world.live(&Arc::new(store.reopened()), id.as_ref(), &activities, std::future::pending()).await;
    let rows = ran.unwrap().port("people", "ok").await;
    let count = |b: &str| rows.iter().filter(|row| *row == b).count();
    assert_eq!((count("x0"), count("x1"), count("x2")), (5_000, 0, 5_000));
}

async fn unwanted(store: &Memory, b: &str) {
    let by = "operator".to_owned();
    let value = OptionValue { value: b.to_owned(), at: Timestamp::UNIX_EPOCH, by, seen: None, scope: None };
    let change = OptionChange { name: "UNWANTED".to_owned(), expect: Expect::Any, value: Some(value) };
    store.set_options(vec![change]).await.unwrap();
}

/// The place in such a table cannot be kept, and must not be guessed: the reading would go round and round.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_table_whose_key_is_no_text_is_told_and_not_read_again_and_again() {
    let world = World::new(
        "CREATE TABLE big (b TEXT PRIMARY KEY, a INTEGER) WITHOUT ROWID;
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 25000)
         INSERT INTO big SELECT CAST(x'78FF' AS TEXT) || i, i FROM n;",
    );
    let ran = world.run(&query("big", &json!({ "fields": ["a"] }))).await;
    let failure = ran.run.tasks[0].failure.clone().unwrap();
    assert!(failure.message.contains("big") && failure.message.contains("b has bytes that are no text"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_before_the_run() {
    let world = World::new(TABLE);
    let settings = json!({ "fields": ["email", "emial", "email"], "filter": "crm_ide == 1" });
    assert_eq!(
        world.problems(&query("person", &settings)).await,
        [
            "people/fields/1: table person has no column \"emial\" (did you mean \"email\"?)",
            "people/fields/2: email is chosen twice",
            "people/filter: there is no column `crm_ide` (did you mean `crm_id`?)",
        ]
    );
}
