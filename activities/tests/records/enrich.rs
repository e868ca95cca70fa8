//! Enrichment.

use std::collections::BTreeSet;

use engine::run::Status;
use serde_json::{Value, json};

use crate::harness::World;

const TABLES: &str = "
    CREATE TABLE country(iso TEXT, label TEXT, size INTEGER, since DATE);
    INSERT INTO country VALUES ('GB', 'United Kingdom', 67, '1801-01-01'), ('US', 'United States', 340, NULL),
        ('IE', 'Ireland', 5, NULL), ('XX', 'One', 1, NULL), ('XX', 'Two', 2, NULL), ('', 'Nowhere', 0, NULL);";

fn activities(settings: Value) -> Value {
    let mut enrich = json!({ "type": "enrich", "table": "country", "join": { "iso": "land" } });
    enrich.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    json!({
        "records": {
            "type": "records", "to": "enrich", "segment": 2,
            "columns": { "name": "text", "land": "text", "age": "text" },
            "rows": [["Ada", "GB", "36"], ["Grace", "US", "x"], ["José", "ZZ", "1"], ["Kai", null, "2"], ["Lin", "", "3"], ["Max", "XX", "4"]]
        },
        "enrich": enrich
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_of_the_row_that_belongs_to_a_record_are_added() {
    let settings = json!({ "add": { "country_label": "label", "since": "since" }, "compute": { "long": "name + \" of \" + country_label", "n": "len(long)" } });
    let ran = World::new(TABLES).run(&activities(settings)).await;
    assert_eq!(ran.status, Status::Finished, "{:?}", ran.task("enrich").failure);
    assert_eq!(
        ran.port("enrich", "ok").await,
        [
            "Ada|GB|36|United Kingdom|1801-01-01|Ada of United Kingdom|21",
            "Grace|US|x|United States|∅|Grace of United States|22",
            "José|ZZ|1|∅|∅|∅|0",
            "Kai|∅|2|∅|∅|∅|0",
            "Lin||3|∅|∅|∅|0",
        ]
    );
    let help = "make the rows of table country different in what they are joined by, or join by more columns";
    let message = "several rows of table country have this iso";
    let reject = format!("Max|XX|4|JOIN_AMBIGUOUS|JOIN_AMBIGUOUS|{message}|iso|{help}");
    assert_eq!(ran.port("enrich", "reject").await, [reject]);
    assert_eq!(ran.warnings().await, [format!("1 record rejected, JOIN_AMBIGUOUS: {message}")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_without_a_row_can_be_dropped_and_those_that_fail_are_rejects() {
    let settings = json!({ "unmatched": "drop", "compute": { "next": "to_int(age) + 1" } });
    let ran = World::new(TABLES).run(&activities(settings)).await;
    assert_eq!(ran.status, Status::Finished, "{:?}", ran.task("enrich").failure);
    assert_eq!(ran.port("enrich", "ok").await, ["Ada|GB|36|37"]);
    assert_eq!(ran.tally("enrich").dropped["unmatched"], 3);
    let rejects = ran.port("enrich", "reject").await;
    assert!(rejects[0].starts_with("Grace|US|x|EXPRESSION|EXPRESSION|"), "{rejects:?}");
    assert!(rejects[1].starts_with("Max|XX|4|JOIN_AMBIGUOUS|"), "{rejects:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_read_at_once_and_one_that_is_searched_give_the_same() {
    let activities = activities(json!({ "add": { "country_label": "label", "size": "size" }, "unmatched": "drop" }));
    // The second has too many rows for six records.
    let rows = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 100)
        INSERT INTO country SELECT 'Q' || n, 'other', n, NULL FROM c;";
    let read = World::new(TABLES).run(&activities).await;
    let searched = World::new(&format!("{TABLES}{rows}")).run(&activities).await;
    for port in ["ok", "reject"] {
        assert_eq!(read.port("enrich", port).await, searched.port("enrich", port).await);
    }
    assert_eq!(read.port("enrich", "ok").await.len(), 2);
    assert_eq!(read.tally("enrich").dropped, searched.tally("enrich").dropped);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_before_the_run() {
    let world = World::new(TABLES);
    let settings = json!({
        "join": { "izo": "land", "size": "age" },
        "add": { "name": "label", "x": "lable" },
        "compute": { "y": "nam" }
    });
    assert_eq!(
        world.problems(&activities(settings)).await,
        [
            "enrich/join/izo: table country has no column \"izo\" (did you mean \"iso\"?)",
            "enrich/join/size: this is text, but column size of table country is a whole number (write to_int(…))",
            "enrich/add/name: there is a column \"name\" already (give the new column another name)",
            "enrich/add/x: table country has no column \"lable\" (did you mean \"label\"?)",
        ]
    );
    let unknown = json!({ "table": "contry", "add": { "l": "label" } });
    assert!(world.problems(&activities(unknown)).await[0].starts_with("enrich/table: "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_after_any_event_changes_nothing() {
    let activities = activities(json!({ "add": { "country_label": "label" }, "compute": { "at": "now()" } }));
    // The records, and what `now()` was for each.
    let apart = |rows: Vec<String>| -> (Vec<String>, BTreeSet<String>) {
        rows.iter().map(|row| row.rsplit_once('|').unwrap()).map(|(row, at)| (row.to_owned(), at.to_owned())).unzip()
    };
    let whole = World::new(TABLES).run(&activities).await;
    for writes in 1..20 {
        let mut world = World::new(TABLES);
        world.limits.segment_seconds = 0;
        let ran = world.run_dying(&activities, writes).await;
        let (rows, times) = apart(ran.port("enrich", "ok").await);
        assert_eq!((rows, times.len()), (apart(whole.port("enrich", "ok").await).0, 1), "after {writes} writes");
        assert_eq!(ran.port("enrich", "reject").await, whole.port("enrich", "reject").await, "after {writes} writes");
    }
}
