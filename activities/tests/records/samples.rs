//! The samples of the manual: each is run, with the records in one file and in a file each.

use activities::PALETTE;
use engine::run::Status;
use serde_json::{Map, Value, json};

use crate::harness::World;

/// What the records of a sample are, by the first value of each column.
fn columns(records: &[Value]) -> Map<String, Value> {
    let names = records[0].as_object().unwrap().keys();
    let word = |name: &str| match records.iter().map(|record| &record[name]).find(|value| !value.is_null()) {
        Some(Value::Bool(_)) => "bool",
        Some(Value::Number(number)) if number.is_i64() => "int",
        Some(Value::Number(_)) => "float",
        Some(Value::Array(_)) => "list",
        Some(Value::String(text)) if text.parse::<jiff::Timestamp>().is_ok() => "datetime",
        Some(Value::String(text)) if text.parse::<jiff::civil::Date>().is_ok() => "date",
        _ => "text",
    };
    names.map(|name| (name.clone(), word(name).into())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sample_of_the_manual_comes_out_as_it_says() {
    for spec in PALETTE.iter().filter(|spec| !spec.sample.is_empty()) {
        let sample: Value = serde_json::from_str(spec.sample).unwrap();
        let records = sample["in"].as_array().unwrap();
        let columns = columns(records);
        let rows: Vec<Vec<&Value>> =
            records.iter().map(|record| columns.keys().map(|name| &record[name]).collect()).collect();
        for segment in [1, records.len()] {
            let world = World::new(sample["database"].as_str().unwrap_or_default());
            let activities = json!({
                "records": { "type": "records", "columns": columns, "rows": rows, "segment": segment, "to": "it" },
                "it": serde_json::from_str::<Value>(spec.example).unwrap(),
                "next": { "type": "end" },
            });
            let ran = world.run(&activities).await;
            assert_eq!(ran.status, Status::Finished, "{}", spec.kind);
            for port in spec.ports {
                let wanted = sample[port.name.as_ref()].as_array().cloned().unwrap_or_default();
                assert_eq!(ran.json("it", &port.name).await, wanted, "{}, port {}", spec.kind, port.name);
            }
        }
    }
}

#[test]
fn an_activity_that_sorts_records_out_has_a_sample() {
    let lacking = PALETTE.iter().filter(|spec| {
        let sorts = spec.effect == engine::activity::Effect::Pure && !spec.drops.is_empty() && !spec.ports.is_empty();
        sorts && spec.sample.is_empty()
    });
    assert_eq!(lacking.map(|spec| spec.kind).collect::<Vec<_>>(), [""; 0]);
}
