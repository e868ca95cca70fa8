//! Deduplication.

use std::collections::HashMap;

use engine::run::Status;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::harness::World;

fn activities(records: &Value, settings: &Value) -> Value {
    let mut dedupe = json!({ "type": "dedupe" });
    dedupe.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    json!({ "records": records, "dedupe": dedupe })
}

fn contacts(segment: usize) -> Value {
    json!({
        "type": "records", "to": "dedupe", "segment": segment,
        "columns": { "id": "text", "mail": "text", "phone": "text", "modified": "datetime" },
        "rows": [
            ["C01", "ada@example.com", null, "2026-03-01T08:00:00Z"],
            ["C02", "ADA@example.com", "", "2026-03-02T08:00:00Z"],
            ["C03", "grace@example.com", "1", "2026-03-02T09:00:00Z"],
            ["C04", null, null, "2026-03-02T09:00:00Z"],
            ["C05", "", null, null],
            ["C06", "ada@example.com", "2", null],
            ["C07", null, null, null],
            ["C08", "grace@example.com", "3", "2026-03-02T09:00:00Z"]
        ]
    })
}

async fn check(settings: Value, ok: &str, complement: &str, dropped: &str) {
    for segment in [1, 3, 100] {
        let world = World::new("");
        let ran = world.run(&activities(&contacts(segment), &settings)).await;
        assert_eq!(ran.status, Status::Finished, "{:?}", ran.task("dedupe").failure);
        let ids = |rows: Vec<String>| rows.iter().map(|row| &row[1..3]).collect::<Vec<_>>().join(" ");
        assert_eq!(ids(ran.port("dedupe", "ok").await), ok, "{settings}");
        assert_eq!(ids(ran.port("dedupe", "complement").await), complement, "{settings}");
        let rules = ran.tally("dedupe").dropped.iter().map(|(rule, records)| format!("{rule} {records}"));
        assert_eq!(rules.collect::<Vec<_>>().join(" "), dropped, "{settings}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_record_of_each_group_stays_in_the_order_of_arrival() {
    let by = json!(["lower(mail)"]);
    check(json!({ "by": by }), "01 03 04 05 07", "", "duplicate 3").await;
    let largest = json!({ "by": by, "keep": { "largest": "modified" }, "complement": true });
    check(largest, "02 03 04 05 07", "01 06 08", "").await;
    check(json!({ "by": by, "keep": { "smallest": "modified" } }), "01 03 04 05 07", "", "duplicate 3").await;
    check(json!({ "by": by, "keep": { "nonEmpty": "phone" } }), "03 04 05 06 07", "", "duplicate 3").await;
    let several = json!({ "by": by, "keep": [{ "nonEmpty": "phone" }, { "largest": "id" }], "complement": true });
    check(several, "04 05 06 07 08", "01 02 03", "").await;
    let mail = json!(["mail"]);
    check(json!({ "by": mail }), "01 02 03 04 05 07", "", "duplicate 2").await;
    check(json!({ "by": mail, "emptyKeys": "match" }), "01 02 03 04 05", "", "duplicate 3").await;
    check(json!({ "by": mail, "emptyKeys": "drop" }), "01 02 03", "", "duplicate 2 emptyKey 3").await;
    let drop = json!({ "by": mail, "emptyKeys": "drop", "complement": true });
    check(drop, "01 02 03", "06 08", "emptyKey 3").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_without_a_duplicate_are_not_written_again() {
    let world = World::new("");
    let ran = world.run(&activities(&contacts(2), &json!({ "by": ["lower(mail)"], "complement": true }))).await;
    assert_eq!(ran.passed_on("records", "dedupe", "ok"), 1);
    assert_eq!(ran.port("dedupe", "ok").await.len(), 5);
    assert_eq!(ran.port("dedupe", "complement").await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_record_at_all_is_a_population_on_both_ports() {
    let none = json!({ "type": "records", "columns": { "mail": "text" }, "rows": [], "to": "dedupe" });
    let ran = World::new("").run(&activities(&none, &json!({ "by": ["mail"], "complement": true }))).await;
    assert_eq!(ran.status, Status::Finished);
    assert_eq!(ran.task("dedupe").emitted, ["ok", "complement"]);
    assert!(ran.task("dedupe").ports.contains_key("ok") && ran.task("dedupe").ports.contains_key("complement"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expression_that_fails_names_the_record() {
    let world = World::new("");
    let ran = world.run(&activities(&contacts(3), &json!({ "by": ["to_int(phone)"] }))).await;
    assert_eq!(ran.status, Status::Finished);
    let ran =
        world.run(&activities(&contacts(3), &json!({ "by": ["if id == \"C05\" { to_int(id) } else { 1 }"] }))).await;
    assert_eq!(ran.status, Status::Suspended);
    assert!(ran.failure("dedupe").starts_with("record 5: "), "{}", ran.failure("dedupe"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_before_the_run() {
    let settings = json!({ "by": ["lower(mial)"], "keep": [{ "largest": "modifed" }] });
    assert_eq!(
        World::new("").problems(&activities(&contacts(1), &settings)).await,
        [
            "dedupe/by/0: there is no column `mial` (did you mean `mail`?)",
            "dedupe/keep/0/largest: there is no column `modifed` (did you mean `modified`?)",
        ]
    );
    let alone = json!({ "dedupe": { "type": "dedupe", "by": ["mail"] } });
    assert_eq!(
        World::new("").problems(&alone).await,
        ["dedupe: a deduplication works on records, but none come here \
         (lead into it from an activity that brings records, such as an import)"]
    );
}

type Row = (Option<String>, Option<i64>, Option<i64>, Option<String>);

/// Keys are few, so that groups are common; some are null, empty, or alike only to the eye.
fn row() -> impl Strategy<Value = Row> {
    let key = prop::option::of(prop::sample::select(vec!["", "a", "A", "é", "e\u{301}", "ß", "aa", "日本"]));
    let number = || prop::option::of(-2..3_i64);
    (key.prop_map(|key| key.map(str::to_owned)), number(), number(), prop::option::of("[a-c]{0,2}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_choice_is_that_of_a_simple_loop() {
    let mut runner = TestRunner::new(Config { cases: 40, failure_persistence: None, ..Config::default() });
    let rows = prop::collection::vec(row(), 0..40);
    let strategy = (rows, 1..12_usize, prop::sample::select(vec!["keep", "match", "drop"]), 0..4_usize, any::<bool>());
    runner
        .run(&strategy, |(rows, segment, empty, keep, complement)| {
            tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(compare(&rows, segment, empty, keep, complement));
            });
            Ok(())
        })
        .unwrap();
}

async fn compare(rows: &[Row], segment: usize, empty: &str, keep: usize, complement: bool) {
    let keeps = [
        json!("any"),
        json!({ "largest": "c" }),
        json!([{ "nonEmpty": "d" }, { "smallest": "c" }]),
        json!([{ "smallest": "d" }, "any"]),
    ];
    // Smaller is better.
    let order = |n: Option<i64>, sign: i64| (n.is_none(), n.map(|n| n * sign));
    let rank = |row: &Row| {
        let none = ((false, None), (false, None));
        match keep {
            0 => (false, none.0, none.1),
            1 => (false, order(row.2, -1), none.1),
            2 => (row.3.as_deref().unwrap_or_default().is_empty(), order(row.2, 1), none.1),
            _ => (false, none.0, (row.3.is_none(), row.3.clone())),
        }
    };
    let mut best: HashMap<_, usize> = HashMap::new();
    let is_empty = |row: &Row| row.0.as_deref().unwrap_or_default().is_empty() || row.1.is_none();
    for (n, row) in rows.iter().enumerate() {
        if empty == "match" || !is_empty(row) {
            let best = best.entry((&row.0, row.1)).or_insert(n);
            if rank(row) < rank(&rows[*best]) {
                *best = n;
            }
        }
    }
    let (mut ok, mut rest) = (Vec::new(), Vec::new());
    for (n, row) in rows.iter().enumerate() {
        match best.get(&(&row.0, row.1)) {
            Some(best) if *best == n => ok.push(n),
            Some(_) if complement => rest.push(n),
            None if empty == "keep" => ok.push(n),
            _ => {}
        }
    }
    let all: Vec<Value> = rows.iter().enumerate().map(|(n, (a, b, c, d))| json!([n, a, b, c, d])).collect();
    let columns = json!({ "n": "int", "a": "text", "b": "int", "c": "int", "d": "text" });
    let records = json!({ "type": "records", "columns": columns, "rows": all, "segment": segment, "to": "dedupe" });
    let settings = json!({ "by": ["a", "b"], "keep": keeps[keep], "emptyKeys": empty, "complement": complement });
    let ran = World::new("").run(&activities(&records, &settings)).await;
    let numbers = |rows: Vec<String>| -> Vec<usize> {
        rows.iter().map(|row| row.split('|').next().unwrap().parse().unwrap()).collect()
    };
    assert_eq!(ran.status, Status::Finished, "{:?}", ran.task("dedupe").failure);
    assert_eq!(numbers(ran.port("dedupe", "ok").await), ok, "{settings}");
    assert_eq!(numbers(ran.port("dedupe", "complement").await), rest, "{settings}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_after_any_event_changes_nothing() {
    let activities = activities(&contacts(2), &json!({ "by": ["lower(mail)"], "complement": true }));
    let whole = World::new("").run(&activities).await;
    for writes in 1..25 {
        let world = World::new("");
        let ran = world.run_dying(&activities, writes).await;
        assert_eq!(ran.status, Status::Finished);
        for port in ["ok", "complement"] {
            assert_eq!(ran.port("dedupe", port).await, whole.port("dedupe", port).await, "after {writes} writes");
        }
    }
}
