//! A process that is killed loses nothing that it acknowledged.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use engine::outside::store::{Expect, RunId, Store, StoreError};

use super::{append, block_on, event, moved, on_each_disk, run};
use crate::{Kind, OnDisk};

const FOLDER: &str = "CAMPANILE_STORE_TEST_FOLDER";
const KIND: &str = "CAMPANILE_STORE_TEST_KIND";
const ROUNDS: u64 = 12;
const WRITERS: u64 = 4;

on_each_disk! { what_was_acknowledged_survives_a_kill_at_any_moment }

fn what_was_acknowledged_survives_a_kill_at_any_moment(kind: Kind) {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged: BTreeMap<RunId, u64> = BTreeMap::new();
    for round in 0..ROUNDS {
        for (run, number) in write_until_killed(folder.path(), kind, 5 + (round * 37) % 110) {
            acknowledged.insert(run, number);
        }
        let store = OnDisk::open(folder.path(), kind).unwrap();
        block_on(async {
            for (run, last) in &acknowledged {
                let events = store.events(run, 0, usize::MAX).await.unwrap();
                assert!(events.len() as u64 > *last, "round {round}: {run} acknowledged {last}, has {}", events.len());
                let whole = events.iter().zip(0_u64..).all(|(found, n)| *found == event(&n.to_string()));
                assert!(whole, "round {round}: an event of {run} is not what was appended");
                let option = store.option(run.as_str()).await.unwrap().unwrap();
                assert_eq!(option.value, (events.len() - 1).to_string(), "round {round}: option and events of {run}");
            }
        });
    }
    assert!(acknowledged.values().sum::<u64>() > ROUNDS * 10, "the child did hardly anything: {acknowledged:?}");
}

/// The last number that was acknowledged for each run.
fn write_until_killed(folder: &Path, kind: Kind, after_ms: u64) -> Vec<(RunId, u64)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::kill::child", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .env(KIND, kind.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // The time counts from when it writes.
    while lines.next().unwrap().unwrap() != "ready" {}
    assert!(matches!(OnDisk::open(folder, kind).err(), Some(StoreError::InUse { .. })));
    let reader = thread::spawn(move || {
        let mut last = BTreeMap::new();
        for line in lines.map_while(Result::ok) {
            // The last line may be cut.
            if let Some((run, number)) = line.strip_suffix('.').and_then(|l| l.split_once(' ')) {
                last.insert(RunId::parse(run).unwrap(), number.parse().unwrap());
            }
        }
        last.into_iter().collect()
    });
    thread::sleep(Duration::from_millis(after_ms));
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

/// The process that is killed; nothing when the tests run as they usually do.
#[test]
fn child() {
    let (Ok(folder), Ok(kind)) = (std::env::var(FOLDER), std::env::var(KIND)) else {
        return;
    };
    let store = Arc::new(OnDisk::open(Path::new(&folder), kind.parse().unwrap()).unwrap());
    println!("\nready");
    block_on(async move {
        let writers = (1..=WRITERS).map(|number| tokio::spawn(write_forever(Arc::clone(&store), run(number))));
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
    });
}

async fn write_forever(store: Arc<OnDisk>, run: RunId) {
    let begin = store.events(&run, 0, usize::MAX).await.unwrap().len() as u64;
    for number in begin.. {
        let text = number.to_string();
        let option = moved(run.as_str(), Expect::Any, Some(&text));
        append(&*store, &run, number, vec![event(&text)], vec![option]).await.unwrap();
        let line = format!("{run} {number}.\n");
        std::io::stdout().write_all(line.as_bytes()).unwrap();
    }
}
