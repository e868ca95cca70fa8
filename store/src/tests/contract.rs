//! What every store does, in memory too.

use std::path::Path;
use std::sync::Arc;

use engine::event::{EVENT_VERSION, Event, Recorded, Then};
use engine::failure::{Class, Failure};
use engine::outside::store::{
    Append, EVENT_BYTES_MAX, Expect, Hold, OPTION_BYTES_MAX, Page, RunEntry, RunFilter, RunId, Store, StoreError,
    WorkflowRuns,
};
use engine::run::Status;
use jiff::Timestamp;

use super::{append, block_on, content, event, events, fill, moved, run, was};
use crate::{Kind, Memory, OnDisk};

/// Opens a store anew; what the one before it kept is there.
type Reopen = Box<dyn FnMut() -> Arc<dyn Store>>;

fn on_disk(folder: &Path, kind: Kind) -> Reopen {
    let folder = folder.to_owned();
    Box::new(move || Arc::new(OnDisk::open(&folder, kind).unwrap()))
}

macro_rules! contract {
    ($($name:ident),* $(,)?) => {
        mod sled {
            $(#[test] fn $name() {
                let folder = tempfile::tempdir().unwrap();
                super::$name(super::on_disk(folder.path(), crate::Kind::Sled));
            })*
        }
        mod redb {
            $(#[test] fn $name() {
                let folder = tempfile::tempdir().unwrap();
                super::$name(super::on_disk(folder.path(), crate::Kind::Redb));
            })*
        }
        mod memory {
            $(#[test] fn $name() {
                let first = super::Memory::new();
                super::$name(Box::new(move || std::sync::Arc::new(first.reopened())));
            })*
        }
    };
}

contract! {
    what_was_appended_is_read_back_also_by_the_next_process,
    an_append_that_expects_what_is_not_so_changes_nothing,
    an_option_moves_only_from_what_was_expected,
    what_is_too_large_or_from_a_newer_version_is_refused,
    appends_at_once_to_many_runs_all_take_hold,
    lists_say_what_the_journals_say,
    one_run_holds_a_workflow_until_it_ends_or_waits_for_a_person,
    runs_that_queue_take_turns,
}

fn what_was_appended_is_read_back_also_by_the_next_process(mut open: Reopen) {
    block_on(async {
        let store = open();
        let mut watch = store.watch();
        fill(&*store).await;
        assert!(watch.has_changed().unwrap());
        let seen = *watch.borrow_and_update();
        let first = content(&*store).await.unwrap();
        drop(store);

        let store = open();
        assert_eq!(content(&*store).await.unwrap(), first);
        let (runs, options) = first;
        assert_eq!(runs.iter().map(|(run, _)| run.as_str()).collect::<Vec<_>>(), ["import-3", "import-1", "import-2"]);
        assert_eq!(options.keys().collect::<Vec<_>>(), ["LAST_1", "LAST_3"]);
        assert_eq!(store.events(&run(1), 1, usize::MAX).await.unwrap(), events(&["two", "three"]));
        assert_eq!(store.events(&run(1), 3, usize::MAX).await.unwrap(), []);
        assert_eq!(store.events(&run(9), 0, usize::MAX).await.unwrap(), []);
        assert_eq!(store.option("LAST_1").await.unwrap().unwrap().value, "2026/01/02 03:04:05");
        assert_eq!(store.option("LAST_2").await.unwrap(), None);
        assert_eq!(*store.watch().borrow(), seen, "the number of commits goes on after a restart");
    });
}

fn an_append_that_expects_what_is_not_so_changes_nothing(mut open: Reopen) {
    block_on(async {
        let store = open();
        fill(&*store).await;
        let before = content(&*store).await.unwrap();
        let set = || vec![moved("NEW", Expect::Any, Some("x"))];

        let again = append(&*store, &run(1), 2, events(&["three"]), set()).await;
        assert_eq!(again, Err(StoreError::Conflict { run: run(1), expected: 2, actual: 3 }));
        let gap = append(&*store, &run(7), 1, events(&["two"]), set()).await;
        assert_eq!(gap, Err(StoreError::Conflict { run: run(7), expected: 1, actual: 0 }));
        let stale = moved("LAST_1", was("2025/01/01 00:00:00"), Some("x"));
        let held = append(&*store, &run(1), 3, events(&["four"]), [set(), vec![stale]].concat()).await;
        assert_eq!(held, Err(StoreError::OptionMoved { name: "LAST_1".to_owned() }));

        assert_eq!(content(&*store).await.unwrap(), before);
        append(&*store, &run(7), 0, vec![], vec![]).await.unwrap();
        assert_eq!(content(&*store).await.unwrap(), before, "no events, no run");
    });
}

fn an_option_moves_only_from_what_was_expected(mut open: Reopen) {
    block_on(async {
        let store = open();
        let set = |expect, value| store.set_options(vec![moved("A", expect, value)]);
        let refused = Err(StoreError::OptionMoved { name: "A".to_owned() });

        assert_eq!(set(was("1"), Some("2")).await, refused);
        set(Expect::Is(None), Some("1")).await.unwrap();
        assert_eq!(set(Expect::Is(None), Some("2")).await, refused);
        set(was("1"), Some("2")).await.unwrap();
        assert_eq!(set(was("1"), None).await, refused);
        assert_eq!(store.option("A").await.unwrap().unwrap().value, "2");
        set(was("2"), None).await.unwrap();
        assert_eq!(store.options().await.unwrap().len(), 0);
        // Within one request, the second change sees the first.
        let twice = vec![moved("A", Expect::Is(None), Some("1")), moved("A", was("1"), Some("2"))];
        store.set_options(twice).await.unwrap();
        assert_eq!(store.options().await.unwrap()["A"].value, "2");
    });
}

fn what_is_too_large_or_from_a_newer_version_is_refused(mut open: Reopen) {
    block_on(async {
        let store = open();
        let large = append(&*store, &run(1), 0, vec![event(&"x".repeat(EVENT_BYTES_MAX))], vec![]).await;
        assert!(matches!(large, Err(StoreError::TooLarge { limit: EVENT_BYTES_MAX, .. })), "{large:?}");
        let text = "x".repeat(OPTION_BYTES_MAX + 1);
        let large = store.set_options(vec![moved("A", Expect::Any, Some(&text))]).await;
        assert!(matches!(large, Err(StoreError::TooLarge { limit: OPTION_BYTES_MAX, .. })), "{large:?}");
        let mut newer = event("x");
        newer.v = EVENT_VERSION + 1;
        let refused = append(&*store, &run(1), 0, vec![newer], vec![]).await;
        assert!(matches!(refused, Err(StoreError::Format { found: 2, known: 1, .. })), "{refused:?}");
        assert_eq!(content(&*store).await.unwrap(), (vec![], Default::default()));

        // The largest that are allowed, many in one batch.
        let event = event(&"x".repeat(EVENT_BYTES_MAX - 200));
        append(&*store, &run(1), 0, vec![event.clone(); 40], vec![]).await.unwrap();
        store.set_options(vec![moved("A", Expect::Any, Some(&text[1..]))]).await.unwrap();
        drop(store);
        assert_eq!(open().events(&run(1), 0, usize::MAX).await.unwrap(), vec![event; 40]);
    });
}

fn appends_at_once_to_many_runs_all_take_hold(mut open: Reopen) {
    const WRITERS: u64 = 64;
    const APPENDS: u64 = 20;
    block_on(async {
        let store = open();
        let writers = (1..=WRITERS).map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for expected in 0..APPENDS {
                    let option = moved(&format!("O{number}"), Expect::Any, Some(&expected.to_string()));
                    append(&*store, &run(number), expected, events(&[&expected.to_string()]), vec![option])
                        .await
                        .unwrap();
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
        let commits = *store.watch().borrow();
        drop(store);
        let store = open();
        let (runs, options) = content(&*store).await.unwrap();
        assert_eq!(runs.len() as u64, WRITERS);
        let expected: Vec<_> = (0..APPENDS).map(|n| event(&n.to_string())).collect();
        assert!(runs.iter().all(|(_, events)| *events == expected));
        assert!(options.len() as u64 == WRITERS && options.values().all(|o| o.value == "19"));
        assert!(commits <= WRITERS * APPENDS);
    });
}

fn recorded(event: Event) -> Recorded {
    Recorded { v: EVENT_VERSION, at: Timestamp::UNIX_EPOCH, event }
}

fn started(queued: bool) -> Recorded {
    recorded(Event::Started {
        workflow: "import".to_owned(),
        file: String::new(),
        scripts: None,
        vars: Default::default(),
        entry: None,
        backfill: None,
        folder: None,
        queued,
    })
}

fn task_started() -> Recorded {
    recorded(Event::TaskStarted { task: 1, activity: "a".to_owned(), attempt: 1, takes: vec![] })
}

fn failed(then: Then, alerts: &[&str]) -> Recorded {
    let failure = Failure::new(Class::Transient, "no answer");
    let alerts = alerts.iter().map(|alert| (*alert).to_owned()).collect();
    recorded(Event::TaskFailed { task: 1, failure, then, alerts })
}

async fn hold(store: &dyn Store, number: u64, expected: u64, event: Recorded, hold: Hold) -> Result<(), StoreError> {
    store.append(Append { hold, ..Append::events(&run(number), expected, vec![event]) }).await
}

fn lists_say_what_the_journals_say(mut open: Reopen) {
    block_on(async {
        let store = open();
        let ids = |runs: Vec<RunEntry>| runs.iter().map(|run| run.id.to_string()).collect::<Vec<_>>();
        let other = RunId::new("export", 1);
        append(&*store, &run(1), 0, vec![started(false), recorded(Event::Finished)], vec![]).await.unwrap();
        append(&*store, &other, 0, vec![started(false)], vec![]).await.unwrap();
        let abort = failed(Then::Abort, &["ops", "crm"]);
        append(&*store, &run(2), 0, vec![started(false), task_started(), abort], vec![]).await.unwrap();
        append(&*store, &run(3), 0, vec![started(false)], vec![]).await.unwrap();
        drop(store);

        let store = open();
        let all = RunFilter::default();
        let list = async |filter: &RunFilter, page| ids(store.runs(filter, page).await.unwrap());
        assert_eq!(list(&all, Page::ALL).await, ["import-3", "import-2", "export-1", "import-1"]);
        assert_eq!(list(&all, Page::first(2)).await, ["import-3", "import-2"]);
        assert_eq!(list(&all, Page { before: Some(2), limit: 1 }).await, ["export-1"]);
        assert_eq!(list(&all.clone().of("import"), Page::first(2)).await, ["import-3", "import-2"]);
        assert_eq!(list(&all.of("import"), Page { before: Some(2), limit: 9 }).await, ["import-1"]);
        // A run that failed is open as long as it owes alerts.
        assert_eq!(list(&RunFilter::open(), Page::ALL).await, ["import-3", "import-2", "export-1"]);
        assert_eq!(list(&RunFilter::open().of("import"), Page::first(1)).await, ["import-3"]);
        let failed = store.run(&run(2)).await.unwrap().unwrap();
        assert_eq!((failed.events, failed.head.status(), failed.head.owed), (3, Status::Failed, 2));
        assert_eq!(failed.head.failure.as_deref(), Some("no answer"));
        for (expected, receiver) in [(3, "ops"), (4, "crm")] {
            let alerted = recorded(Event::Alerted { of: 2, receiver: receiver.to_owned(), failure: None });
            append(&*store, &run(2), expected, vec![alerted], vec![]).await.unwrap();
        }
        assert_eq!(list(&RunFilter::open(), Page::ALL).await, ["import-3", "export-1"]);
        assert_eq!(store.run(&run(9)).await.unwrap(), None);
        assert_eq!(store.workflow("import").await.unwrap().last, 3);
        assert_eq!(store.workflow("none").await.unwrap(), WorkflowRuns::default());
    });
}

fn one_run_holds_a_workflow_until_it_ends_or_waits_for_a_person(mut open: Reopen) {
    block_on(async {
        let store = open();
        let held = |number| Err(StoreError::Held { by: run(number) });
        hold(&*store, 1, 0, started(false), Hold::Take).await.unwrap();
        assert_eq!(hold(&*store, 2, 0, started(false), Hold::Take).await, held(1));
        assert_eq!(store.run(&run(2)).await.unwrap(), None, "nothing was written of it");
        drop(store);

        // A process that ended holds it still: its run can be resumed.
        let store = open();
        assert_eq!(hold(&*store, 2, 0, started(false), Hold::Take).await, held(1));
        append(&*store, &run(1), 1, vec![task_started()], vec![]).await.unwrap();
        append(&*store, &run(1), 2, vec![recorded(Event::Paused)], vec![]).await.unwrap();
        assert_eq!(hold(&*store, 2, 0, started(false), Hold::Take).await, held(1));
        append(&*store, &run(1), 3, vec![failed(Then::Suspend, &[]), recorded(Event::Paused)], vec![]).await.unwrap();
        assert_eq!(hold(&*store, 2, 0, started(false), Hold::Take).await, held(1), "it is paused");
        append(&*store, &run(1), 5, vec![recorded(Event::Resumed { vars: Default::default() })], vec![]).await.unwrap();
        append(&*store, &run(1), 6, vec![failed(Then::Suspend, &[])], vec![]).await.unwrap();
        hold(&*store, 2, 0, started(false), Hold::Take).await.unwrap();
        let resumed = recorded(Event::Resumed { vars: Default::default() });
        assert_eq!(hold(&*store, 1, 7, resumed.clone(), Hold::Take).await, held(2));
        hold(&*store, 1, 7, resumed, Hold::Share).await.unwrap();
        assert_eq!(store.workflow("import").await.unwrap().holders, [run(2), run(1)]);
        append(&*store, &run(2), 1, vec![recorded(Event::Stopped)], vec![]).await.unwrap();
        append(&*store, &run(1), 8, vec![recorded(Event::Stopped)], vec![]).await.unwrap();
        assert_eq!(store.workflow("import").await.unwrap(), WorkflowRuns { last: 2, ..WorkflowRuns::default() });
    });
}

fn runs_that_queue_take_turns(mut open: Reopen) {
    block_on(async {
        let store = open();
        hold(&*store, 1, 0, started(false), Hold::Take).await.unwrap();
        hold(&*store, 2, 0, started(true), Hold::Queue(2)).await.unwrap();
        hold(&*store, 3, 0, started(true), Hold::Queue(2)).await.unwrap();
        let full = hold(&*store, 4, 0, started(true), Hold::Queue(2)).await;
        assert_eq!(full, Err(StoreError::QueueFull { waiting: 2 }));
        drop(store);

        let store = open();
        let admitted = || recorded(Event::Admitted);
        let held = |number| Err(StoreError::Held { by: run(number) });
        assert_eq!(hold(&*store, 2, 1, admitted(), Hold::Take).await, held(1));
        append(&*store, &run(1), 1, vec![recorded(Event::Finished)], vec![]).await.unwrap();
        assert_eq!(hold(&*store, 3, 1, admitted(), Hold::Take).await, held(2), "it is not the first in turn");
        assert_eq!(hold(&*store, 4, 0, started(false), Hold::Take).await, held(2), "a new start does not overtake");
        hold(&*store, 2, 1, admitted(), Hold::Take).await.unwrap();
        append(&*store, &run(3), 1, vec![recorded(Event::Stopped)], vec![]).await.unwrap();
        let now = store.workflow("import").await.unwrap();
        assert_eq!(now, WorkflowRuns { last: 3, holders: vec![run(2)], queue: vec![] });
    });
}
