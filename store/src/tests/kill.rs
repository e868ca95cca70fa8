//! A process that is killed loses nothing that it acknowledged.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use engine::outside::store::{Expect, RunId, Store};

use super::rounds::{Dice, rounds};
use super::{append, block_on, event, moved, on_each_disk, run};
use crate::{Kind, OnDisk};

const FOLDER: &str = "CAMPANILE_STORE_TEST_FOLDER";
const KIND: &str = "CAMPANILE_STORE_TEST_KIND";
/// How often a store is killed before it is thrown away.
pub(super) const KILLS: u64 = 12;
const WRITERS: u64 = 4;

on_each_disk! { what_was_acknowledged_survives_a_kill_at_random_moments }

fn what_was_acknowledged_survives_a_kill_at_random_moments(kind: Kind) {
    rounds(&format!("kills of a store in {kind}"), 1, |dice, done| {
        let folder = tempfile::tempdir().unwrap();
        let written = written_until_killed_many_times(folder.path(), kind, dice, |_, _| {});
        // On a machine that is busy with something else, a child does little before it is killed.
        assert!(written > 0, "no child did anything");
        *done.entry("kills").or_default() += KILLS;
    });
}

/// How many events were acknowledged. `around` gets the command before it starts, and nothing once it was killed.
pub(super) fn written_until_killed_many_times(
    folder: &Path,
    kind: Kind,
    dice: &mut Dice,
    around: impl Fn(Option<&mut Command>, &mut Dice),
) -> u64 {
    let mut acknowledged: BTreeMap<RunId, u64> = BTreeMap::new();
    for round in 0..KILLS {
        let after = Duration::from_millis(5 + dice.below(110));
        for (run, number) in write_until_killed(folder, kind, after, |command| around(Some(command), dice)) {
            acknowledged.insert(run, number);
        }
        around(None, dice);
        let store = OnDisk::open(folder, kind).unwrap_or_else(|error| panic!("round {round}: {error}"));
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
    acknowledged.values().sum()
}

/// The last number that was acknowledged for each run.
fn write_until_killed(
    folder: &Path,
    kind: Kind,
    after: Duration,
    change: impl FnOnce(&mut Command),
) -> Vec<(RunId, u64)> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "tests::kill::child", "--nocapture", "--test-threads=1"]);
    command.env(FOLDER, folder).env(KIND, kind.to_string()).stdout(Stdio::piped());
    change(&mut command);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // The time counts from when it writes. Where the disk takes nothing, it does not come so far.
    if !lines.by_ref().map_while(Result::ok).any(|line| line == "ready") {
        child.wait().unwrap();
        return Vec::new();
    }
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
    thread::sleep(after);
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
