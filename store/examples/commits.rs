//! Prints how fast the store commits on this disk: `cargo run --release -p store --example commits [folder]`.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement, not a part of the product")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::event::{EVENT_VERSION, Event, Level, Recorded};
use engine::outside::store::{Append, RunId, Store};
use jiff::Timestamp;
use store::{Kind, OnDisk};

const COMMITS: u64 = 2000;

fn event(number: u64) -> Recorded {
    let message = format!("record {number}: {}", "x".repeat(150));
    let event = Event::Logged { task: 1, level: Level::Info, message };
    Recorded { v: EVENT_VERSION, at: Timestamp::UNIX_EPOCH, event }
}

#[tokio::main]
async fn main() {
    let place = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    for kind in [Kind::Sled, Kind::Redb] {
        let folder = tempfile::tempdir_in(&place).unwrap();
        measure(folder.path(), kind).await;
    }
}

async fn measure(folder: &Path, kind: Kind) {
    let store = Arc::new(OnDisk::open(folder, kind).unwrap());
    let run = RunId::new("alone", 1);
    let mut times = Vec::new();
    for number in 0..COMMITS {
        let begin = Instant::now();
        store.append(Append::events(&run, number, vec![event(number)])).await.unwrap();
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    let at = |percent: usize| times[times.len() * percent / 100].as_secs_f64() * 1e3;
    let all: Duration = times.iter().sum();
    let rate = f64::from(u32::try_from(COMMITS).unwrap()) / all.as_secs_f64();
    println!("{kind}: one caller: p50 {:.2} ms, p99 {:.2} ms, {rate:.0} durable appends/s", at(50), at(99));

    let begin = Instant::now();
    let callers = (1..=64).map(|caller| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let run = RunId::new("many", caller);
            for number in 0..COMMITS / 10 {
                store.append(Append::events(&run, number, vec![event(number)])).await.unwrap();
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    let appends = f64::from(u32::try_from(64 * COMMITS / 10).unwrap());
    println!("{kind}: 64 callers: {:.0} durable appends/s", appends / begin.elapsed().as_secs_f64());

    let begin = Instant::now();
    store.events(&run, 0, usize::MAX).await.unwrap();
    println!("{kind}: reading {COMMITS} events: {:.1} ms", begin.elapsed().as_secs_f64() * 1e3);
    drop(store);
    let begin = Instant::now();
    drop(OnDisk::open(folder, kind).unwrap());
    println!("{kind}: opening and closing: {:.1} ms", begin.elapsed().as_secs_f64() * 1e3);
}
