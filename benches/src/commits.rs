//! What a task costs that does nothing.

use std::sync::Arc;
use std::time::Instant;

use engine::event::{EVENT_VERSION, Event, Level, Recorded};
use engine::outside::store::{Append, RunId, Store};
use jiff::Timestamp;
use serde_json::{Map, json};
use store::{Kind, OnDisk};

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
    // It numbers its commits.
    let commits = disk.watch();
    let engine = World::on(folder.path(), Arc::new(disk))?.engine();
    let chain = workflow(TASKS);
    let empty = workflow(1);
    let first = *commits.borrow();
    run(&engine, "empty.json", &empty).await?;
    let second = *commits.borrow();
    let begin = Instant::now();
    run(&engine, "chain.json", &chain).await?;
    let seconds = begin.elapsed().as_secs_f64();
    let (of_one, of_all) = (second - first, *commits.borrow() - second);
    let each = float(of_all - of_one) / float(TASKS - 1);
    let task = seconds / float(TASKS);
    println!(
        "  {of_all} commits in {seconds:.2} s: {} a task, {:.1} times one commit alone, {}",
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
        disk.append(Append::events(&id, number, vec![recorded])).await?;
    }
    Ok(begin.elapsed().as_secs_f64() / float(TASKS))
}
