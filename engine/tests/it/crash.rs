//! The driver, with crashes at every event of the journal.

use std::sync::Arc;

use engine::engine::Engine;
use engine::event::{Event, Vars};
use engine::failure::{Class, Failure};
use engine::outside::alerts::NoAlerts;
use engine::outside::store::{RunId, Store};
use engine::run::Status;
use store::Memory;

use crate::palette::{SEEN, Seen, environment};

/// An import with an index, a branch that fails twice and is tried again through a loop that waits, and one that runs beside it.
const WORKFLOW: &str = r#"{
    "version": 1,
    "activities": {
        "numbers": { "type": "numbers", "count": 35, "index": "INDEX", "to": ["save", "beside"] },
        "save": { "type": "note", "name": "save", "fails": 2, "to": { "ok": "after", "error": "again" } },
        "again": { "type": "rest", "seconds": 60, "attempts": 5, "to": "save" },
        "after": { "type": "note", "name": "after" },
        "beside": { "type": "note", "name": "beside" }
    }
}"#;

pub(crate) struct Bench {
    pub(crate) folder: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn engine(&self, store: Arc<dyn Store>) -> Arc<Engine> {
        Arc::new(Engine::new(environment(store, self.folder.path(), Arc::new(NoAlerts))))
    }

    pub(crate) fn seen(&self) -> Seen {
        SEEN.lock().unwrap().get(&self.folder.path().display().to_string()).cloned().unwrap_or_default()
    }
}

async fn run(engine: &Arc<Engine>, text: &str) -> Option<Status> {
    let (_, driven) = engine.start("w.json", text, Vars::new()).await.ok()?;
    driven.wait().await.ok()
}

/// What is left after a run: the option, and what each activity last saw.
async fn outcome(bench: &Bench, store: &Memory) -> (Option<String>, Vec<(String, Vec<i64>)>) {
    let option = store.option("INDEX").await.unwrap().map(|option| option.value);
    (option, bench.seen().into_iter().map(|(name, (_, numbers))| (name, numbers)).collect())
}

#[tokio::test]
async fn a_crash_after_any_event_changes_nothing() {
    let bench = Bench::new();
    let store = Memory::new();
    let engine = bench.engine(Arc::new(store.reopened()));
    assert_eq!(run(&engine, WORKFLOW).await, Some(Status::Finished));
    let expected = outcome(&bench, &store).await;
    assert_eq!(expected.0.as_deref(), Some("after"));
    assert_eq!(expected.1[0].1, (0..35).collect::<Vec<_>>());
    let events = store.events(&RunId::new("w", 1), 0, usize::MAX).await.unwrap().len();
    assert!(events > 20, "{events}");

    for crash in 0..events as u64 {
        for keeps_the_last in [false, true] {
            let bench = Bench::new();
            let broken = match keeps_the_last {
                false => Memory::failing_after(crash),
                true => Memory::losing_answer_of(crash + 1),
            };
            let store = broken.reopened();
            let engine = bench.engine(Arc::new(broken));
            let before = run(&engine, WORKFLOW).await;
            let again = store.reopened();
            let engine = bench.engine(Arc::new(again.reopened()));
            let id = RunId::new("w", 1);
            let status = match store.events(&id, 0, usize::MAX).await.unwrap().last().map(|last| last.event.clone()) {
                None => run(&engine, WORKFLOW).await.unwrap(),
                Some(Event::Finished) => Status::Finished,
                Some(_) => engine.resume(&id).await.unwrap().wait().await.unwrap(),
            };
            assert_eq!(status, Status::Finished, "crash {crash}, before it {before:?}");
            assert_eq!(outcome(&bench, &again).await, expected, "crash {crash} {keeps_the_last}");
        }
    }
}

/// The same records come to it three times, and it sends them each time.
const CYCLES: &str = r#"{
    "version": 1,
    "activities": {
        "numbers": { "type": "numbers", "count": 3, "to": "send" },
        "send": { "type": "send", "to": "again" },
        "again": { "type": "pass", "attempts": 2, "to": { "ok": "send", "exhausted": "end" } },
        "end": { "type": "pass" }
    }
}"#;

#[tokio::test]
async fn what_a_task_did_before_a_crash_is_not_taken_for_the_next_ones_own() {
    let id = RunId::new("w", 1);
    let bench = Bench::new();
    let store = Memory::new();
    let engine = bench.engine(Arc::new(store.reopened()));
    assert_eq!(run(&engine, CYCLES).await, Some(Status::Finished));
    assert_eq!(bench.seen()["sent"].0, 3);
    let events = store.events(&id, 0, usize::MAX).await.unwrap().len() as u64;
    for crash in 2..events {
        let bench = Bench::new();
        let broken = Memory::losing_answer_of(crash);
        let store = broken.reopened();
        run(&bench.engine(Arc::new(broken)), CYCLES).await;
        if let Ok(driven) = bench.engine(Arc::new(store)).resume(&id).await {
            assert_eq!(driven.wait().await, Ok(Status::Finished), "crash {crash}");
        }
        assert_eq!(bench.seen()["sent"].0, 3, "crash {crash}");
    }
}

#[tokio::test]
async fn a_run_waits_for_an_operator_where_a_loop_is_used_up_and_the_option_waits_with_it() {
    let bench = Bench::new();
    let store = Memory::new();
    let engine = bench.engine(Arc::new(store.reopened()));
    let text = WORKFLOW.replace("\"attempts\": 5", "\"attempts\": 1");
    let (id, driven) = engine.start("w.json", &text, Vars::new()).await.unwrap();
    assert_eq!(driven.wait().await, Ok(Status::Suspended));
    assert_eq!(store.option("INDEX").await.unwrap(), None);
    let failure = {
        let run = driven.journal.run();
        run.tasks.iter().find(|task| task.activity == "again" && task.exhausted).unwrap().failure.clone().unwrap()
    };
    assert_eq!(failure.class, Class::Exhausted);
    assert!(failure.message.contains("not yet"), "{failure}");
    let status = engine.resume(&id).await.unwrap().wait().await;
    assert_eq!(status, Ok(Status::Finished));
    assert_eq!(store.option("INDEX").await.unwrap().unwrap().value, "after");
}

#[tokio::test]
async fn an_option_stays_where_it_is_when_a_branch_of_its_import_failed_for_good() {
    let bench = Bench::new();
    let store = Memory::new();
    let engine = bench.engine(Arc::new(store.reopened()));
    let text = WORKFLOW.replace("\"name\": \"beside\"", "\"name\": \"beside\", \"fails\": 99, \"onError\": \"ignore\"");
    let (id, driven) = engine.start("w.json", &text, Vars::new()).await.unwrap();
    assert_eq!(driven.wait().await, Ok(Status::Finished));
    assert_eq!(store.option("INDEX").await.unwrap(), None);
    let events = store.events(&id, 0, usize::MAX).await.unwrap();
    let held = events
        .iter()
        .any(|event| matches!(&event.event, Event::OptionHeld { reason, .. } if reason.contains("beside")));
    assert!(held, "{events:#?}");
}

#[tokio::test]
async fn an_option_moves_when_an_import_that_failed_in_its_window_was_made_good_by_another() {
    let bench = Bench::new();
    let store = Memory::new();
    let engine = bench.engine(Arc::new(store.reopened()));
    let text = r#"{ "version": 1, "activities": {
        "numbers": { "type": "numbers", "count": 35, "index": "INDEX", "fails": 1, "to": { "error": "again" } },
        "again": { "type": "pass", "attempts": 5, "to": "numbers" }
    } }"#;
    let (_, driven) = engine.start("w.json", text, Vars::new()).await.unwrap();
    assert_eq!(driven.wait().await, Ok(Status::Finished));
    assert_eq!(store.option("INDEX").await.unwrap().unwrap().by, "w-1/3");
}

/// The branch of an import fails, and the loop leads back to the import: both imports are good, and the option has the end of
/// the later one.
#[tokio::test]
async fn an_option_moves_when_the_branch_of_an_import_failed_and_its_loop_led_back_to_the_import() {
    let bench = Bench::new();
    let store = Memory::new();
    let engine = bench.engine(Arc::new(store.reopened()));
    let text = r#"{ "version": 1, "activities": {
        "numbers": { "type": "numbers", "count": 35, "index": "INDEX", "to": "save" },
        "save": { "type": "note", "name": "save", "fails": 1, "to": { "error": "again" } },
        "again": { "type": "pass", "attempts": 5, "to": "numbers" }
    } }"#;
    let (id, driven) = engine.start("w.json", text, Vars::new()).await.unwrap();
    assert_eq!(driven.wait().await, Ok(Status::Finished));
    let option = store.option("INDEX").await.unwrap().unwrap();
    assert_eq!((option.value.as_str(), option.by.as_str()), ("after", "w-1/4"));
    let events = store.events(&id, 0, usize::MAX).await.unwrap();
    assert!(!events.iter().any(|event| matches!(event.event, Event::OptionHeld { .. })), "{events:#?}");
}

#[tokio::test]
async fn a_loop_that_fails_a_thousand_times_and_a_message_of_control_characters_fit_into_the_journal() {
    let bench = Bench::new();
    let store = Memory::new();
    let engine = bench.engine(Arc::new(store.reopened()));
    let text = r#"{ "version": 1, "activities": {
        "numbers": { "type": "numbers", "count": 1, "index": "INDEX", "fails": 9999, "to": { "error": "again" } },
        "again": { "type": "pass", "attempts": 760, "onError": "ignore", "to": "numbers" }
    } }"#;
    assert_eq!(run(&engine, text).await, Some(Status::Finished));
    let message = Failure::new(Class::Data, "\u{1}".repeat(5_000)).help("\"".repeat(5_000));
    assert!(serde_json::to_string(&message).unwrap().len() < 9_000);
}

#[tokio::test]
async fn a_task_that_loses_a_record_cannot_end_well() {
    let bench = Bench::new();
    let engine = bench.engine(Arc::new(Memory::new()));
    let text = r#"{ "version": 1, "activities": {
        "numbers": { "type": "numbers", "count": 3, "to": "lose" },
        "lose": { "type": "lose" }
    } }"#;
    let (_, driven) = engine.start("w.json", text, Vars::new()).await.unwrap();
    assert_eq!(driven.wait().await, Ok(Status::Suspended));
    let failure = driven.journal.run().tasks[1].failure.clone().unwrap();
    assert!(failure.message.contains("3 in + 0 added is not 0 out"), "{failure}");
}

#[tokio::test]
async fn many_files_and_a_long_place_to_go_on_from_fit_into_the_journal_together() {
    let bench = Bench::new();
    let engine = bench.engine(Arc::new(Memory::new()));
    let text = r#"{ "version": 1, "activities": {
        "numbers": { "type": "numbers", "count": 3, "to": "spread" },
        "spread": { "type": "spread", "times": 39, "position": 12000 }
    } }"#;
    assert_eq!(run(&engine, text).await, Some(Status::Finished));
}

#[tokio::test]
async fn a_task_that_does_nothing_costs_two_durable_commits() {
    let bench = Bench::new();
    let store = Memory::new();
    let engine = bench.engine(Arc::new(store.reopened()));
    let text = r#"{ "version": 1, "activities": {
        "a": { "type": "pass", "to": "b" }, "b": { "type": "pass", "to": "c" }, "c": { "type": "pass" }
    } }"#;
    let (id, driven) = engine.start("w.json", text, Vars::new()).await.unwrap();
    assert_eq!(driven.wait().await, Ok(Status::Finished));
    // The run's beginning and end, and two for each task.
    assert_eq!(store.events(&id, 0, usize::MAX).await.unwrap().len(), 2 + 3 * 2);
}

#[tokio::test]
async fn a_population_that_was_changed_on_disk_is_noticed() {
    let bench = Bench::new();
    let store = Memory::new();
    let engine = bench.engine(Arc::new(store.reopened()));
    let text = WORKFLOW
        .replace("\"fails\": 2", "\"fails\": 1")
        .replace(", \"error\": \"again\"", "")
        .replace("\"again\": { \"type\": \"rest\", \"seconds\": 60, \"attempts\": 5, \"to\": \"save\" },", "");
    let (id, driven) = engine.start("w.json", &text, Vars::new()).await.unwrap();
    assert_eq!(driven.wait().await, Ok(Status::Suspended));
    let file = bench.folder.path().join("runs/w-1/1-numbers/ok/000002.arrow");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let driven = engine.resume(&id).await.unwrap();
    assert_eq!(driven.wait().await, Ok(Status::Suspended));
    let failed =
        driven.journal.run().tasks.iter().find(|task| task.activity == "save").unwrap().failure.clone().unwrap();
    assert!(failed.message.contains("000002.arrow") && failed.message.contains("checksum"), "{failed}");
    assert_eq!(store.option("INDEX").await.unwrap(), None);
}

#[tokio::test]
async fn only_the_latest_runs_keep_their_populations() {
    let bench = Bench::new();
    let store = Memory::new();
    let engine = bench.engine(Arc::new(store.reopened()));
    let text = r#"{ "version": 1, "activities": { "numbers": { "type": "numbers", "count": 3 } } }"#;
    for _ in 0..12 {
        assert_eq!(run(&engine, text).await, Some(Status::Finished));
    }
    let kept = |number: u32| bench.folder.path().join(format!("runs/w-{number}/1-numbers/ok/000001.arrow")).exists();
    assert_eq!((1..=12).map(kept).collect::<Vec<_>>(), [vec![false; 2], vec![true; 10]].concat());
    assert!(bench.folder.path().join("runs/w-1/workflow.json").exists());
}
