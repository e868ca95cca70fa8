//! What operators ask of runs, while something drives them and while nothing does.

use std::sync::Arc;
use std::time::Duration;

use engine::desk::together;
use engine::engine::{Driven, Engine};
use engine::event::{Event, Vars};
use engine::outside::desk::{KeptReject, RejectState, Wanted};
use engine::outside::store::{RunId, Store};
use engine::run::{Run, Status, TaskStatus};
use store::Memory;

use crate::crash::Bench;
use crate::palette::FORGOTTEN;

/// How late a slow store answers, long beside all else that a task does.
const PAUSE: Duration = Duration::from_millis(20);

const COUNTS: &str = r#"{ "version": 1, "activities": { "numbers": { "type": "numbers", "count": 100000 } } }"#;

#[tokio::test]
async fn a_run_is_stopped_while_the_journal_takes_what_its_tasks_tell() {
    let bench = Bench::new();
    let store = Memory::new();
    let engine = bench.engine(Arc::new(store.reopened().slow(PAUSE)));
    let (id, driven) = engine.start("w.json", COUNTS, Vars::new()).await.unwrap();
    driven.journal.watch().wait_for(|events| *events > 4).await.unwrap();
    // Now the next place to go on from is on its way to the disk.
    tokio::time::sleep(PAUSE / 2).await;
    assert_eq!(engine.stop(&id).await, Ok(Status::Stopped));
    let events = store.events(&id, 0, usize::MAX).await.unwrap();
    assert!(matches!(events.last().unwrap().event, Event::Stopped), "{events:?}");
    assert_eq!(driven.journal.run().events, events.len() as u64, "the run is what its journal says");
}

#[tokio::test]
async fn a_run_that_two_resume_at_once_is_driven_once() {
    let bench = Bench::new();
    let store = Memory::new();
    let engine = bench.engine(Arc::new(store.reopened()));
    let (id, driven) = engine.start("w.json", COUNTS, Vars::new()).await.unwrap();
    driven.journal.watch().wait_for(|events| *events > 4).await.unwrap();
    assert!(driven.order(engine::driver::Order::Leave).await);
    drop(engine);
    let engine = bench.engine(Arc::new(store.reopened().slow(PAUSE)));
    let (one, other) = tokio::join!(engine.resume(&id), engine.resume(&id));
    let (one, other) = (one.unwrap(), other.unwrap());
    assert!(Arc::ptr_eq(&one.journal, &other.journal));
    assert_eq!(engine.stop(&id).await, Ok(Status::Stopped));
    assert!(!other.order(engine::driver::Order::Pause).await, "nothing drives it any more");
}

#[tokio::test]
async fn what_stops_all_else_ends_the_run() {
    let bench = Bench::new();
    let engine = bench.engine(Arc::new(Memory::new()));
    let text = r#"{ "version": 1, "activities": {
        "forever": { "type": "forever" },
        "numbers": { "type": "numbers", "count": 3, "to": "halt" },
        "halt": { "type": "halt" }
    } }"#;
    let (_, driven) = engine.start("w.json", text, Vars::new()).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(10), driven.wait()).await;
    assert_eq!(ended.expect("it waits for what was stopped"), Ok(Status::Finished));
}

/// On one thread both have come to their ends before either end is recorded.
#[tokio::test]
async fn what_stops_all_else_also_stops_what_has_ended_and_is_not_recorded() {
    let bench = Bench::new();
    let engine = bench.engine(Arc::new(Memory::new()));
    let text = r#"{ "version": 1, "activities": {
        "numbers": { "type": "numbers", "count": 3, "to": ["halt", "beside"] },
        "halt": { "type": "halt" },
        "beside": { "type": "note", "name": "beside" }
    } }"#;
    let (_, driven) = engine.start("w.json", text, Vars::new()).await.unwrap();
    assert_eq!(driven.wait().await, Ok(Status::Finished));
}

#[tokio::test]
async fn a_run_that_is_stopped_while_nothing_drives_it_leaves_no_ledger() {
    let bench = Bench::new();
    let store = Memory::new();
    let engine = bench.engine(Arc::new(store.reopened()));
    let text = r#"{ "version": 1, "activities": {
        "numbers": { "type": "numbers", "count": 3, "to": "send" },
        "send": { "type": "send", "to": "needy" },
        "needy": { "type": "note", "name": "note", "fails": 9 }
    } }"#;
    let (id, driven) = engine.start("w.json", text, Vars::new()).await.unwrap();
    assert_eq!(driven.wait().await, Ok(Status::Suspended));
    let forgotten = || FORGOTTEN.lock().unwrap().remove(&bench.folder.path().display().to_string());
    forgotten();
    assert_eq!(engine.stop(&id).await, Ok(Status::Stopped));
    let folder = store.identity().folder;
    assert_eq!(forgotten(), Some(vec![format!("{folder}/{id}/2")]));
}

#[tokio::test]
async fn a_resume_begins_the_count_of_attempts_anew() {
    let bench = Bench::new();
    let engine = bench.engine(Arc::new(Memory::new()));
    let text = r#"{ "version": 1, "activities": {
        "numbers": { "type": "numbers", "count": 3, "to": "note" },
        "note": { "type": "note", "name": "note", "fails": 3, "retry": { "attempts": 2 } }
    } }"#;
    let (id, driven) = engine.start("w.json", text, Vars::new()).await.unwrap();
    assert_eq!(driven.wait().await, Ok(Status::Suspended));
    assert_eq!(engine.resume(&id).await.unwrap().wait().await, Ok(Status::Finished));
    assert_eq!(bench.seen()["note"].0, 4);
}

/// Two that wait for longer than the test, and one that is tried again in as long.
const WAITS: &str = r#"{ "version": 1, "activities": {
    "numbers": { "type": "numbers", "count": 3, "to": ["one", "other", "note"] },
    "one": { "type": "rest", "seconds": 1000000, "to": "seen" },
    "seen": { "type": "note", "name": "seen" },
    "other": { "type": "rest", "seconds": 2000000 },
    "note": { "type": "note", "name": "note", "fails": 1, "retry": { "attempts": 2, "backoff": "30d", "backoffMax": "30d" } }
} }"#;

async fn until(driven: &Driven, is: impl Fn(&Run) -> bool) {
    let mut events = driven.journal.watch();
    let comes = events.wait_for(|_| is(&driven.journal.run()));
    tokio::time::timeout(Duration::from_secs(10), comes).await.expect("it does not come to that").unwrap();
}

#[tokio::test]
async fn an_operator_ends_one_wait_or_all_and_a_crash_ends_none() {
    let bench = Bench::new();
    let store = Memory::new();
    let engine = bench.engine(Arc::new(store.reopened()));
    let (id, driven) = engine.start("w.json", WAITS, Vars::new()).await.unwrap();
    until(&driven, |run| run.waits().len() == 3).await;
    assert_eq!(driven.journal.run().status(), Status::Waiting);
    engine.wake(&id, Some("one")).await.unwrap();
    until(&driven, |run| run.tasks.iter().any(|task| task.activity == "seen" && task.status == TaskStatus::Ended))
        .await;
    assert_eq!(driven.journal.run().waits().len(), 2);
    let failure = engine.wake(&id, Some("one")).await.unwrap_err();
    assert!(failure.to_string().contains("one of run w-1 does not wait"), "{failure}");

    // The process ends, and the next one waits on.
    assert!(driven.order(engine::driver::Order::Leave).await);
    let engine = bench.engine(Arc::new(store.reopened()));
    let driven = engine.resume(&id).await.unwrap();
    tokio::time::sleep(PAUSE).await;
    assert_eq!(driven.journal.run().waits().len(), 2);
    engine.wake(&id, None).await.unwrap();
    assert_eq!(driven.wait().await, Ok(Status::Finished));
    let attempts = |name: &str| driven.journal.run().tasks.iter().find(|task| task.activity == name).unwrap().attempt;
    assert_eq!((attempts("one"), attempts("note")), (1, 2), "to continue after a wait is no new attempt");
}

#[tokio::test]
async fn a_resume_ends_the_waits_of_a_run_that_only_waits_and_not_those_of_a_paused_one() {
    let bench = Bench::new();
    let store = Memory::new();
    let engine = bench.engine(Arc::new(store.reopened()));
    let (id, driven) = engine.start("w.json", WAITS, Vars::new()).await.unwrap();
    until(&driven, |run| run.waits().len() == 3).await;
    engine.pause(&id).await.unwrap();
    assert_eq!(driven.wait().await, Ok(Status::Paused), "what waits does not keep a paused run going");
    let driven = engine.resume(&id).await.unwrap();
    tokio::time::sleep(PAUSE).await;
    assert_eq!(driven.journal.run().waits().len(), 3);
    engine.resume(&id).await.unwrap();
    assert_eq!(driven.wait().await, Ok(Status::Finished));
}

#[tokio::test]
async fn a_wait_that_was_ended_while_nothing_drove_its_run_is_over_when_it_is_resumed() {
    let bench = Bench::new();
    let store = Memory::new();
    let engine = bench.engine(Arc::new(store.reopened()));
    let (id, driven) = engine.start("w.json", WAITS, Vars::new()).await.unwrap();
    until(&driven, |run| run.waits().len() == 3).await;
    assert!(driven.order(engine::driver::Order::Leave).await);
    driven.wait().await.unwrap();
    let engine = bench.engine(Arc::new(store.reopened()));
    engine.wake(&id, None).await.unwrap();
    assert_eq!(engine.resume(&id).await.unwrap().wait().await, Ok(Status::Finished));
}

async fn rejects(engine: &Engine) -> Vec<KeptReject> {
    let mut all = engine.environment.desk.list(&Wanted { closed: true, ..Wanted::default() }).await.unwrap();
    all.sort_by_key(|reject| reject.id);
    all
}

/// Sends all again that wait, and tells the run.
async fn resend(engine: &Arc<Engine>) -> RunId {
    let open = engine.environment.desk.list(&Wanted::default()).await.unwrap();
    let groups = together(engine, open).await.groups;
    assert_eq!(groups.len(), 1, "{groups:?}");
    let (id, driven) = engine.resend(&groups[0]).await.unwrap();
    assert_eq!(driven.wait().await, Ok(Status::Finished));
    id
}

#[tokio::test]
async fn what_passes_and_is_refused_further_on_is_not_sent_to_the_first_again() {
    let bench = Bench::new();
    let engine = bench.engine(Arc::new(Memory::new()));
    let text = r#"{ "version": 1, "activities": {
        "numbers": { "type": "numbers", "count": 3, "to": "export" },
        "export": { "type": "refuse", "name": "export", "number": 1, "tasks": [1], "to": "save" },
        "save": { "type": "refuse", "name": "save", "number": 1, "tasks": [1, 2] }
    } }"#;
    let (_, driven) = engine.start("w.json", text, Vars::new()).await.unwrap();
    assert_eq!(driven.wait().await, Ok(Status::Finished));
    let second = resend(&engine).await;
    let now = rejects(&engine).await;
    let of = |reject: &KeptReject| (reject.activity.clone(), matches!(reject.state, RejectState::Open));
    assert_eq!(now.iter().map(of).collect::<Vec<_>>(), [("export".to_owned(), false), ("save".to_owned(), true)]);
    assert!(matches!(&now[0].state, RejectState::Passed { run, .. } if *run == second), "{now:?}");
    resend(&engine).await;
    assert_eq!(bench.seen()["export"].0, 2, "it has passed there");
    assert!(rejects(&engine).await.iter().all(|reject| matches!(reject.state, RejectState::Passed { .. })));
}

#[tokio::test]
async fn what_an_operator_allowed_a_run_is_not_allowed_the_one_that_sends_its_rejects_again() {
    let bench = Bench::new();
    let engine = bench.engine(Arc::new(Memory::new()));
    let text = r#"{ "version": 1, "activities": {
        "numbers": { "type": "numbers", "count": 3, "to": "export" },
        "export": { "type": "refuse", "name": "export", "number": 1, "tasks": [1] }
    } }"#;
    let vars = ["allowDeletes", "allowRejects", "allowVolume", "region"].map(|name| (name.to_owned(), 9.into()));
    let (_, driven) = engine.start("w.json", text, Vars::from_iter(vars)).await.unwrap();
    assert_eq!(driven.wait().await, Ok(Status::Finished));
    let (_, sends) = engine.load(&resend(&engine).await).await.unwrap();
    assert_eq!(sends.instance_vars.keys().collect::<Vec<_>>(), ["count", "region"]);
}

#[tokio::test]
async fn what_a_loop_brings_back_to_where_it_was_sent_is_closed_when_it_passes() {
    let bench = Bench::new();
    let engine = bench.engine(Arc::new(Memory::new()));
    let text = r#"{ "version": 1, "activities": {
        "numbers": { "type": "numbers", "count": 3, "to": "export" },
        "export": { "type": "refuse", "name": "export", "number": 1, "tasks": [1, 2, 3],
            "to": { "reject": "wait" } },
        "wait": { "type": "pass", "attempts": 1, "to": { "ok": "export", "exhausted": "giveUp" } },
        "giveUp": { "type": "pass" }
    } }"#;
    let (_, driven) = engine.start("w.json", text, Vars::new()).await.unwrap();
    assert_eq!(driven.wait().await, Ok(Status::Finished));
    assert!(matches!(rejects(&engine).await[0].state, RejectState::Open));
    resend(&engine).await;
    let now = rejects(&engine).await;
    assert!(now.iter().all(|reject| matches!(reject.state, RejectState::Passed { .. })), "{now:?}");
}
