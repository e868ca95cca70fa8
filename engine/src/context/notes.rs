//! Options and notes from any thread.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use jiff::Timestamp;

use crate::environment::Environment;
use crate::event::{Event, Level, TaskId};
use crate::failure::{Class, Failure};
use crate::journal::Journal;
use crate::outside::store::{Expect, OptionChange, OptionValue, check_option_name};

/// Reads and sets options and writes notes for a task, from any thread.
#[derive(Clone)]
pub struct Notes {
    pub(super) journal: Arc<Journal>,
    pub(super) environment: Arc<Environment>,
    pub(super) task: TaskId,
    pub(super) cancelled: Arc<AtomicBool>,
    pub(super) indexes: BTreeSet<String>,
}

impl Notes {
    /// An option's text.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn option(&self, name: &str) -> Result<Option<String>, Failure> {
        Ok(self.environment.store.option(name).await?.map(|option| option.value))
    }

    /// Whether it is the option of one of the workflow's own automatic indexes.
    pub fn is_index(&self, option: &str) -> bool {
        self.indexes.contains(option)
    }

    /// Sets an option, at once.
    ///
    /// # Errors
    /// Where the store does not take it.
    pub async fn set_option(&self, name: &str, value: &str) -> Result<(), Failure> {
        set_option(&self.journal, &self.environment, self.task, name, value).await
    }

    /// Writes a note into the journal.
    ///
    /// # Errors
    /// Where the store does not take it.
    pub async fn log(&self, level: Level, message: String) -> Result<(), Failure> {
        let message = Failure::new(Class::Internal, message).message;
        Ok(self.journal.append(vec![Event::Logged { task: self.task, level, message }]).await?)
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.environment.clock.now()
    }

    /// Set once the run is stopped.
    pub fn cancelled(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.cancelled)
    }
}

impl std::fmt::Debug for Notes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notes").field("task", &self.task).finish_non_exhaustive()
    }
}

/// What an import saw goes along when the option is set to the end of its window by hand.
pub(super) async fn set_option(
    journal: &Arc<Journal>,
    environment: &Environment,
    task: TaskId,
    name: &str,
    value: &str,
) -> Result<(), Failure> {
    check_option_name(name)?;
    let (option, text) = (name.to_owned(), value.to_owned());
    let at = environment.clock.now();
    let by = format!("{}/{task}", journal.id);
    journal
        .append_with(|run| {
            let seen = run.seen_until(&option, &text);
            let moved = OptionValue { value: text.clone(), at, by, seen, scope: run.scope_until(&option, &text) };
            let change = OptionChange { name: option.clone(), expect: Expect::Any, value: Some(moved) };
            (vec![Event::OptionSet { task, option, value: text }], vec![change])
        })
        .await?;
    Ok(())
}
