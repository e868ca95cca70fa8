//! What a task costs that does nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use async_trait::async_trait;
use engine::event::{EVENT_VERSION, Event, Level, Recorded};
use engine::outside::store::{OptionChange, OptionValue, RunId, Store, StoreError};
use jiff::Timestamp;
use serde_json::{Map, json};
use store::{Kind, OnDisk};
use tokio::sync::watch;

use crate::measure::{Fallible, float, ms, target, title};
use crate::world::{World, run};

const TASKS: u64 = 200;
const COMMITS_MAX: f64 = 3.0;

/// Measures it.
#[tokio::main]
pub(crate) async fn bench() -> Fallible<()> {
    title(&format!("a chain of {TASKS} tasks that do nothing, sled"))?;
    let folder = tempfile::tempdir()?;
    let disk = OnDisk::open(&folder.path().join("store"), Kind::Sled)?;
    let one = one_commit(&disk).await?;
    let store = Arc::new(Counting { inner: disk, appends: AtomicU64::new(0) });
    let engine = World::on(folder.path(), Arc::clone(&store) as Arc<dyn Store>)?.engine();
    let chain = workflow(TASKS);
    let empty = workflow(1);
    run(&engine, "empty.json", &empty).await?;
    let before = store.appends.swap(0, Ordering::Relaxed);
    let begin = Instant::now();
    run(&engine, "chain.json", &chain).await?;
    let seconds = begin.elapsed().as_secs_f64();
    let appends = store.appends.load(Ordering::Relaxed);
    let each = float(appends - before) / float(TASKS - 1);
    let task = seconds / float(TASKS);
    println!(
        "  {appends} commits in {seconds:.2} s: {} a task, {:.1} times one commit alone, {}",
        ms(task),
        task / one,
        ms(one)
    );
    target("commits of a task", each, COMMITS_MAX, "");
    Ok(())
}

fn workflow(tasks: u64) -> String {
    let activities: Map<_, _> = (1..=tasks)
        .map(|n| {
            let to = (n < tasks).then(|| format!("task{}", n + 1));
            let mut activity = json!({ "type": "nothing" });
            if let Some(to) = to {
                activity["to"] = json!(to);
            }
            (format!("task{n}"), activity)
        })
        .collect();
    json!({ "version": 1, "activities": activities }).to_string()
}

/// The time of one commit with nothing around it, on average, as that of a task is.
async fn one_commit(disk: &OnDisk) -> Fallible<f64> {
    let id = RunId::new("alone", 1);
    let begin = Instant::now();
    for number in 0..TASKS {
        let event = Event::Logged { task: 1, level: Level::Info, message: "x".repeat(150) };
        let recorded = Recorded { v: EVENT_VERSION, at: Timestamp::UNIX_EPOCH, event };
        disk.append(&id, number, vec![recorded], Vec::new()).await?;
    }
    Ok(begin.elapsed().as_secs_f64() / float(TASKS))
}

/// A store that counts its commits.
struct Counting {
    inner: OnDisk,
    appends: AtomicU64,
}

#[async_trait]
impl Store for Counting {
    async fn append(
        &self,
        run: &RunId,
        expected: u64,
        events: Vec<Recorded>,
        options: Vec<OptionChange>,
    ) -> Result<(), StoreError> {
        self.appends.fetch_add(1, Ordering::Relaxed);
        self.inner.append(run, expected, events, options).await
    }

    async fn events(&self, run: &RunId, from: u64) -> Result<Vec<Recorded>, StoreError> {
        self.inner.events(run, from).await
    }

    async fn runs(&self) -> Result<Vec<(RunId, u64)>, StoreError> {
        self.inner.runs().await
    }

    async fn options(&self) -> Result<BTreeMap<String, OptionValue>, StoreError> {
        self.inner.options().await
    }

    async fn option(&self, name: &str) -> Result<Option<OptionValue>, StoreError> {
        self.inner.option(name).await
    }

    async fn set_options(&self, options: Vec<OptionChange>) -> Result<(), StoreError> {
        self.inner.set_options(options).await
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.inner.watch()
    }
}
