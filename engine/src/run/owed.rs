//! Of which stops somebody is still to be told.

use jiff::Timestamp;

use super::Run;
use crate::event::{TaskId, Then};
use crate::failure::Failure;

/// A failure with which a run came to need a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// When.
    pub at: Timestamp,
    /// The task that failed.
    pub task: TaskId,
    /// Why.
    pub failure: Failure,
    /// Whether the run ended with it; else it waits for an operator.
    pub is_end: bool,
    /// Who is still to be told, by name.
    pub receivers: Vec<String>,
}

impl Run {
    /// Whether a failure makes the run need a person, of whom nobody has a reason to know yet: a second failure while the
    /// run waits for an operator is seen by whoever comes for the first.
    pub fn is_stopped_by(&self, then: &Then) -> bool {
        match then {
            Then::Abort => true,
            Then::Suspend => !self.is_any(|status| status == super::TaskStatus::Suspended),
            Then::Retry { .. } | Then::ErrorPort | Then::Ignore => false,
        }
    }

    /// Whether this receiver is still to be told of the stop that the event of this number made.
    pub fn owes(&self, of: u64, receiver: &str) -> bool {
        self.owed.get(&of).is_some_and(|stop| stop.receivers.iter().any(|owed| owed == receiver))
    }

    /// The event that is being applied is a failure of which these are to be told.
    pub(super) fn owe(&mut self, at: Timestamp, task: TaskId, failure: &Failure, then: &Then, receivers: &[String]) {
        if receivers.is_empty() {
            return;
        }
        let (failure, receivers) = (failure.clone(), receivers.to_vec());
        self.owed.insert(self.events, Stop { at, task, failure, is_end: *then == Then::Abort, receivers });
    }

    pub(super) fn told(&mut self, of: u64, receiver: &str) {
        let Some(stop) = self.owed.get_mut(&of) else { return };
        stop.receivers.retain(|owed| owed != receiver);
        if stop.receivers.is_empty() {
            self.owed.remove(&of);
        }
    }
}
