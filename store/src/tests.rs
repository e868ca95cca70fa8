//! One list of tests for every kind of store.

mod contract;
mod damage;
mod kill;
mod owner;

use std::collections::BTreeMap;
use std::future::Future;

use engine::event::{EVENT_VERSION, Event, Level, Recorded};
use engine::outside::store::{Expect, OptionChange, OptionValue, RunId, Store};

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
    OptionValue { value: value.to_owned(), at: Timestamp::UNIX_EPOCH, by: "test".to_owned(), seen: None }
}

fn moved(name: &str, expect: Expect, value: Option<&str>) -> OptionChange {
    OptionChange { name: name.to_owned(), expect, value: value.map(option) }
}

fn was(text: &str) -> Expect {
    Expect::Is(Some(text.to_owned()))
}

/// All that a store says it holds.
type Content = (Vec<(RunId, Vec<Recorded>)>, BTreeMap<String, OptionValue>);

async fn content(store: &dyn Store) -> Result<Content, engine::outside::store::StoreError> {
    let mut runs = Vec::new();
    for (run, count) in store.runs().await? {
        let events = store.events(&run, 0).await?;
        assert_eq!(events.len() as u64, count, "the list of runs and the journal of {run} differ");
        runs.push((run, events));
    }
    Ok((runs, store.options().await?))
}

/// A little of everything.
async fn fill(store: &dyn Store) {
    for number in [3, 1, 2] {
        store.append(&run(number), 0, events(&["one", "two"]), vec![]).await.unwrap();
        let index = moved(&format!("LAST_{number}"), Expect::Any, Some("2026/01/02 03:04:05"));
        store.append(&run(number), 2, events(&["three"]), vec![index]).await.unwrap();
    }
    store.set_options(vec![moved("LAST_2", Expect::Any, None)]).await.unwrap();
}
