//! Prints how fast rows are written and found on this disk: `cargo run --release -p database --example upsert [folder]`.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement, not a part of the product")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, Date32Array, RecordBatch, StringArray};
use database::Sqlite;
use engine::outside::database::{Database, LedgerKey, Lookup, Older, Operation, Write};

const ROWS: i32 = 400_000;
const BATCH: i32 = 8_000;

fn batch(from: i32, key: &str, city: &str) -> RecordBatch {
    let text = |value: &dyn Fn(i32) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values((from..from + BATCH).map(value)))
    };
    RecordBatch::try_from_iter([
        (key, text(&|n| format!("person.{n}@example.org"))),
        ("first_name", text(&|n| format!("First{}", n % 1000))),
        ("last_name", text(&|n| format!("Last{n}"))),
        ("city", text(&|_| city.to_owned())),
        ("country", text(&|n| if n % 2 == 0 { "GB".to_owned() } else { "US".to_owned() })),
        ("birth_date", Arc::new(Date32Array::from_iter_values((from..from + BATCH).map(|n| n % 20_000)))),
    ])
    .unwrap()
}

/// By the clock, and by the processor's time, which other programs at work do not change.
fn rate(what: &str, begin: Instant, busy_before: f64) -> String {
    let (passed, busy) = (begin.elapsed().as_secs_f64(), busy_s() - busy_before);
    format!("{:.0} {what}/s, {:.0} {what} per second of processor", f64::from(ROWS) / passed, f64::from(ROWS) / busy)
}

/// How long this process has kept processors busy; Linux counts it in hundredths of a second.
fn busy_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let ticks = after_name.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

#[tokio::main]
async fn main() {
    let place = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    for (key, what) in [("email", "with an index"), ("phone", "without an index")] {
        let folder = tempfile::tempdir_in(&place).unwrap();
        let database = Sqlite::open(&folder.path().join("marketing.db")).unwrap();
        for (pass, city) in [("new", "London"), ("changed", "Paris"), ("unchanged", "Paris")] {
            let write = Write {
                table: "recipient".to_owned(),
                operation: Operation::Upsert,
                key: vec![key.to_owned()],
                null_empties: true,
                older: Older::LeaveOut { until: None },
            };
            let batches: Vec<_> = (0..ROWS).step_by(8_000).map(|from| batch(from, key, city)).collect();
            let (begin, busy_before) = (Instant::now(), busy_s());
            for (number, rows) in (0..).zip(batches) {
                let ledger = LedgerKey { folder: "folder".to_owned(), task: pass.to_owned(), batch: number };
                let written = database.write(&ledger, &write, rows).await.unwrap();
                assert!(written.rejects.is_empty());
            }
            println!("upsert by a key {what}, {pass}: {}", rate("rows", begin, busy_before));
        }
        let lookup = Lookup {
            table: "recipient".to_owned(),
            keys: vec![key.to_owned()],
            columns: vec!["id".to_owned(), "city".to_owned()],
            zone: jiff::tz::TimeZone::UTC,
        };
        let batches: Vec<_> =
            (0..ROWS).step_by(8_000).map(|from| batch(from, key, "").project(&[0]).unwrap()).collect();
        let (begin, busy_before) = (Instant::now(), busy_s());
        for keys in batches {
            assert!(database.lookup(&lookup, keys).await.unwrap().found.iter().all(|found| *found == 1));
        }
        println!("lookup by a key {what}: {}", rate("keys", begin, busy_before));
    }
}
