//! One list of tests for every kind of store.

mod contract;
mod damage;
#[cfg(target_os = "linux")]
#[path = "../../tests/soak/disk.rs"]
mod disk;
mod kill;
mod owner;
#[cfg(target_os = "linux")]
mod power;
#[path = "../../tests/soak/rounds.rs"]
mod rounds;

use std::collections::BTreeMap;
use std::future::Future;

use engine::event::{EVENT_VERSION, Event, Level, Recorded};
use engine::outside::store::{
    Append, Expect, OptionChange, OptionValue, Page, RunEntry, RunFilter, RunId, Store, StoreError,
};

use jiff::Timestamp;

/// Makes each function `fn name(kind: Kind)` a test of every database.
macro_rules! on_each_disk {
    ($($name:ident),* $(,)?) => {
        mod sled {
            $(#[test] fn $name() { super::$name(crate::Kind::Sled) })*
        }
        mod redb {
            $(#[test] fn $name() { super::$name(crate::Kind::Redb) })*
        }
    };
}
use on_each_disk;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}

fn run(number: u64) -> RunId {
    RunId::new("import", number)
}

fn event(message: &str) -> Recorded {
    let event = Event::Logged { task: 1, level: Level::Info, message: message.to_owned() };
    Recorded { v: EVENT_VERSION, at: Timestamp::UNIX_EPOCH, event }
}

fn events(messages: &[&str]) -> Vec<Recorded> {
    messages.iter().map(|message| event(message)).collect()
}

fn option(value: &str) -> OptionValue {
    OptionValue { value: value.to_owned(), at: Timestamp::UNIX_EPOCH, by: "test".to_owned(), seen: None, scope: None }
}

fn moved(name: &str, expect: Expect, value: Option<&str>) -> OptionChange {
    OptionChange { name: name.to_owned(), expect, value: value.map(option) }
}

fn was(text: &str) -> Expect {
    Expect::Is(Some(text.to_owned()))
}

/// Appends events to a run, and moves options with them.
async fn append(
    store: &dyn Store,
    run: &RunId,
    expected: u64,
    events: Vec<Recorded>,
    options: Vec<OptionChange>,
) -> Result<(), StoreError> {
    store.append(Append { options, ..Append::events(run, expected, events) }).await
}

/// All runs, in the order in which they began.
async fn all_runs(store: &dyn Store) -> Result<Vec<RunEntry>, StoreError> {
    let mut runs = store.runs(&RunFilter::default(), Page::ALL).await?;
    runs.reverse();
    Ok(runs)
}

/// All that a store says it holds.
type Content = (Vec<(RunId, Vec<Recorded>)>, BTreeMap<String, OptionValue>);

async fn content(store: &dyn Store) -> Result<Content, engine::outside::store::StoreError> {
    let mut runs = Vec::new();
    for RunEntry { id, events: count, .. } in all_runs(store).await? {
        let events = store.events(&id, 0, usize::MAX).await?;
        assert_eq!(events.len() as u64, count, "the list of runs and the journal of {id} differ");
        runs.push((id, events));
    }
    Ok((runs, store.options().await?))
}

/// A little of everything.
async fn fill(store: &dyn Store) {
    for number in [3, 1, 2] {
        append(store, &run(number), 0, events(&["one", "two"]), vec![]).await.unwrap();
        let index = moved(&format!("LAST_{number}"), Expect::Any, Some("2026/01/02 03:04:05"));
        append(store, &run(number), 2, events(&["three"]), vec![index]).await.unwrap();
    }
    store.set_options(vec![moved("LAST_2", Expect::Any, None)]).await.unwrap();
}
