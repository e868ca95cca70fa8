//! Starts of one workflow while a run of it is not over.

use std::sync::Arc;
use std::time::Duration;

use engine::driver::Order;
use engine::engine::{Driven, Engine, NotStarted};
use engine::event::{Event, Vars};
use engine::failure::{Class, Failure};
use engine::outside::store::{RunId, Store};
use engine::run::Status;
use store::Memory;

use crate::crash::Bench;

fn workflow(rule: &str) -> String {
    format!(r#"{{ "version": 1, "whenRunning": "{rule}", "activities": {{ "forever": {{ "type": "forever" }} }} }}"#)
}

/// Fails at once, so that the run waits for a person.
const SUSPENDS: &str = r#"{ "version": 1, "activities": { "numbers": { "type": "numbers", "count": 3, "to": "fails" }, "fails": { "type": "note", "name": "fails", "fails": 99 } } }"#;

async fn start(engine: &Arc<Engine>, text: &str) -> Result<(RunId, Driven), Failure> {
    engine.start("w.json", text, Vars::new()).await.map_err(|why| match why {
        NotStarted::Failure(failure) => failure,
        NotStarted::Problems(problems) => panic!("{problems:?}"),
    })
}

async fn refusal(engine: &Arc<Engine>, text: &str) -> Failure {
    start(engine, text).await.err().unwrap()
}

async fn status(store: &Memory, number: u64) -> Option<Status> {
    store.run(&RunId::new("w", number)).await.unwrap().map(|run| run.head.status())
}

async fn until(store: &Memory, number: u64, wanted: Status) {
    for _ in 0..500 {
        if status(store, number).await == Some(wanted) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("run w-{number} is {:?}, not {wanted:?}", status(store, number).await);
}

#[tokio::test]
async fn a_second_start_is_refused_and_names_the_run_that_is_not_over() {
    let (bench, store) = (Bench::new(), Memory::new());
    let engine = bench.engine(Arc::new(store.reopened()));
    let (one, _) = start(&engine, &workflow("refuse")).await.unwrap();
    let refused = refusal(&engine, &workflow("refuse")).await;
    assert_eq!(refused.class, Class::Conflict);
    assert!(refused.message.contains("w-1 of the same workflow is not over"), "{refused:?}");
    assert_eq!(status(&store, 2).await, None);
    assert!(!bench.folder.path().join("runs/w-2").exists(), "nothing was made for it");
    // Also by a process that finds the run interrupted, and a paused one.
    let driven = engine.driven(&one).unwrap();
    driven.order(Order::Leave).await;
    drop(engine);
    let engine = bench.engine(Arc::new(store.reopened()));
    let refused = refusal(&engine, &workflow("refuse")).await;
    assert!(refused.message.contains("was interrupted"), "{refused:?}");
    engine.pause(&one).await.unwrap();
    let refused = refusal(&engine, &workflow("refuse")).await;
    assert!(refused.help.as_ref().unwrap().contains("campanile resume w-1"), "{refused:?}");
    engine.stop(&one).await.unwrap();
    assert_eq!(start(&engine, &workflow("refuse")).await.unwrap().0, RunId::new("w", 2));
}

#[tokio::test]
async fn a_suspended_run_lets_others_begin_and_is_resumed_once_they_are_over() {
    let (bench, store) = (Bench::new(), Memory::new());
    let engine = bench.engine(Arc::new(store.reopened()));
    let (one, driven) = start(&engine, SUSPENDS).await.unwrap();
    assert_eq!(driven.wait().await, Ok(Status::Suspended));
    let (two, _) = start(&engine, &workflow("refuse")).await.unwrap();
    let refused = engine.resume(&one).await.err().unwrap();
    assert!(refused.message.contains("w-2 of the same workflow is not over"), "{refused:?}");
    engine.stop(&two).await.unwrap();
    engine.resume(&one).await.unwrap();
    until(&store, 1, Status::Suspended).await;
}

#[tokio::test]
async fn a_run_that_queues_begins_when_the_workflow_is_free_also_after_its_process_ended() {
    let (bench, store) = (Bench::new(), Memory::new());
    let engine = bench.engine(Arc::new(store.reopened()));
    let (one, _) = start(&engine, &workflow("queue")).await.unwrap();
    let (two, waiting) = start(&engine, &workflow("queue")).await.unwrap();
    assert_eq!(status(&store, 2).await, Some(Status::Queued));
    let refused = refusal(&engine, &workflow("queue")).await;
    assert!(refused.message.contains("run w-2 already waits"), "{refused:?}");
    waiting.order(Order::Leave).await;
    engine.stop(&one).await.unwrap();
    assert_eq!(status(&store, 2).await, Some(Status::Queued), "nothing drives it");
    drop(engine);
    let engine = bench.engine(Arc::new(store.reopened()));
    engine.resume(&two).await.unwrap();
    until(&store, 2, Status::Running).await;
    let (three, _) = start(&engine, &workflow("queueAll")).await.unwrap();
    let (four, _) = start(&engine, &workflow("queueAll")).await.unwrap();
    engine.stop(&three).await.unwrap();
    engine.stop(&two).await.unwrap();
    until(&store, 4, Status::Running).await;
    engine.stop(&four).await.unwrap();
}

#[tokio::test]
async fn a_start_stops_the_other_run_or_joins_it_as_the_workflow_says() {
    let (bench, store) = (Bench::new(), Memory::new());
    let engine = bench.engine(Arc::new(store.reopened()));
    start(&engine, &workflow("stopOther")).await.unwrap();
    start(&engine, &workflow("stopOther")).await.unwrap();
    assert_eq!(status(&store, 1).await, Some(Status::Stopped));
    until(&store, 2, Status::Running).await;
    start(&engine, &workflow("allow")).await.unwrap();
    until(&store, 3, Status::Running).await;
    assert_eq!(status(&store, 2).await, Some(Status::Running));
    for number in [2, 3] {
        engine.stop(&RunId::new("w", number)).await.unwrap();
    }
}

#[tokio::test]
async fn a_restart_that_cannot_begin_leaves_the_run_as_it_was() {
    let (bench, store) = (Bench::new(), Memory::new());
    let engine = bench.engine(Arc::new(store.reopened()));
    let (one, _) = start(&engine, &workflow("refuse")).await.unwrap();
    until(&store, 1, Status::Running).await;
    let events = store.run(&one).await.unwrap().unwrap().events;
    drop(engine);
    // The folder of the next run cannot be made.
    std::fs::write(bench.folder.path().join("runs/w-2"), "in the way").unwrap();
    let engine = bench.engine(Arc::new(store.reopened()));
    assert!(engine.restart(&one, false).await.is_err());
    assert_eq!(store.run(&one).await.unwrap().unwrap().events, events, "it was not stopped");
    std::fs::remove_file(bench.folder.path().join("runs/w-2")).unwrap();
    let (two, _) = engine.restart(&one, false).await.unwrap();
    assert_eq!(status(&store, 1).await, Some(Status::Stopped));
    until(&store, 2, Status::Running).await;
    let events = store.events(&two, 0, usize::MAX).await.unwrap();
    assert!(matches!(events[0].event, Event::Started { .. }));
    engine.stop(&two).await.unwrap();
}
