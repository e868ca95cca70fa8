//! What every store does, in memory too.

use std::path::Path;
use std::sync::Arc;

use engine::event::EVENT_VERSION;
use engine::outside::store::{EVENT_BYTES_MAX, Expect, OPTION_BYTES_MAX, Store, StoreError};

use super::{block_on, content, event, events, fill, moved, run, was};
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
        assert_eq!(store.events(&run(1), 1).await.unwrap(), events(&["two", "three"]));
        assert_eq!(store.events(&run(1), 3).await.unwrap(), []);
        assert_eq!(store.events(&run(9), 0).await.unwrap(), []);
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

        let again = store.append(&run(1), 2, events(&["three"]), set()).await;
        assert_eq!(again, Err(StoreError::Conflict { run: run(1), expected: 2, actual: 3 }));
        let gap = store.append(&run(7), 1, events(&["two"]), set()).await;
        assert_eq!(gap, Err(StoreError::Conflict { run: run(7), expected: 1, actual: 0 }));
        let stale = moved("LAST_1", was("2025/01/01 00:00:00"), Some("x"));
        let held = store.append(&run(1), 3, events(&["four"]), [set(), vec![stale]].concat()).await;
        assert_eq!(held, Err(StoreError::OptionMoved { name: "LAST_1".to_owned() }));

        assert_eq!(content(&*store).await.unwrap(), before);
        store.append(&run(7), 0, vec![], vec![]).await.unwrap();
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
        let large = store.append(&run(1), 0, vec![event(&"x".repeat(EVENT_BYTES_MAX))], vec![]).await;
        assert!(matches!(large, Err(StoreError::TooLarge { limit: EVENT_BYTES_MAX, .. })), "{large:?}");
        let text = "x".repeat(OPTION_BYTES_MAX + 1);
        let large = store.set_options(vec![moved("A", Expect::Any, Some(&text))]).await;
        assert!(matches!(large, Err(StoreError::TooLarge { limit: OPTION_BYTES_MAX, .. })), "{large:?}");
        let mut newer = event("x");
        newer.v = EVENT_VERSION + 1;
        let refused = store.append(&run(1), 0, vec![newer], vec![]).await;
        assert!(matches!(refused, Err(StoreError::Format { found: 2, known: 1, .. })), "{refused:?}");
        assert_eq!(content(&*store).await.unwrap(), (vec![], Default::default()));

        // The largest that are allowed, many in one batch.
        let event = event(&"x".repeat(EVENT_BYTES_MAX - 200));
        store.append(&run(1), 0, vec![event.clone(); 40], vec![]).await.unwrap();
        store.set_options(vec![moved("A", Expect::Any, Some(&text[1..]))]).await.unwrap();
        drop(store);
        assert_eq!(open().events(&run(1), 0).await.unwrap(), vec![event; 40]);
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
                    store.append(&run(number), expected, events(&[&expected.to_string()]), vec![option]).await.unwrap();
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
