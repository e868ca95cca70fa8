//! The record kit, shown by the activities that are made with it.

use engine::run::Status;
use serde_json::{Value, json};

use crate::harness::{Ran, World};

const ACTIVITIES: [(&str, &str); 2] = [("limit", "records"), ("filter", "if")];

/// Numbers below 20, four a file.
fn activities(kind: &str, setting: &str, value: &Value, complement: bool) -> Value {
    let rows: Vec<[i64; 1]> = (0..20).map(|n| [n]).collect();
    let mut it = json!({ "type": kind, "complement": complement });
    it[setting] = value.clone();
    json!({
        "records": { "type": "records", "columns": { "n": "int" }, "rows": rows, "segment": 4, "to": "it" },
        "it": it,
    })
}

async fn outcome(ran: &Ran) -> (String, String, String, String) {
    assert_eq!(ran.status, Status::Finished, "{:?}", ran.task("it").failure);
    let port = async |port| ran.port("it", port).await.join(" ");
    let dropped = ran.tally("it").dropped.iter().map(|(rule, records)| format!("{rule} {records}"));
    (port("ok").await, port("complement").await, port("reject").await, dropped.collect::<Vec<_>>().join(" "))
}

fn numbers(range: std::ops::Range<i64>) -> String {
    range.map(|n| n.to_string()).collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_lets_the_first_records_through_and_copies_only_the_file_that_it_cuts() {
    for (records, copied) in [(0, 0), (1, 1), (4, 0), (10, 1), (20, 0), (1_000_000, 0)] {
        let cut = records.min(20);
        let ran = World::new("").run(&activities("limit", "records", &json!(records), true)).await;
        let wanted = (numbers(0..cut), numbers(cut..20), String::new(), String::new());
        assert_eq!(outcome(&ran).await, wanted);
        let uncopied = ran.passed_on("records", "it", "ok") + ran.passed_on("records", "it", "complement");
        assert_eq!(uncopied, 5 - copied, "{records}");
        let ran = World::new("").run(&activities("limit", "records", &json!(records), false)).await;
        let dropped = if cut == 20 { String::new() } else { format!("limit {}", 20 - cut) };
        assert_eq!(outcome(&ran).await, (numbers(0..cut), String::new(), String::new(), dropped));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_keeps_what_is_true_and_refuses_what_cannot_be_computed() {
    let ran = World::new("").run(&activities("filter", "if", &json!("12 % n == 0"), true)).await;
    let (ok, complement, reject, dropped) = outcome(&ran).await;
    assert_eq!((ok.as_str(), dropped.as_str()), ("1 2 3 4 6 12", ""));
    assert_eq!(complement, "5 7 8 9 10 11 13 14 15 16 17 18 19");
    assert!(reject.starts_with("0|EXPRESSION|"), "{reject}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_after_any_event_changes_nothing() {
    for (kind, setting) in ACTIVITIES {
        let value = if kind == "limit" { json!(10) } else { json!("n % 3 != 0 && n != 100 / (n - 7)") };
        for complement in [true, false] {
            let activities = activities(kind, setting, &value, complement);
            let whole = outcome(&World::new("").run(&activities).await).await;
            for writes in 1..12 {
                let ran = World::new("").run_dying(&activities, writes).await;
                assert_eq!(outcome(&ran).await, whole, "{kind}, {writes} writes");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_record_at_all_is_a_population_on_every_port() {
    for (kind, setting) in ACTIVITIES {
        let value = if kind == "limit" { json!(10) } else { json!("n > 3") };
        let mut activities = activities(kind, setting, &value, true);
        activities["records"]["rows"] = json!([]);
        let ran = World::new("").run(&activities).await;
        assert_eq!(ran.task("it").emitted, ["ok", "complement"]);
        assert!(["ok", "complement"].iter().all(|port| ran.task("it").ports.contains_key(*port)));
    }
}
