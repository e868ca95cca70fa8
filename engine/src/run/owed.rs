//! Alerts that a run still owes.

use jiff::Timestamp;

use super::Run;
use crate::event::{Attention, TaskId, Then};
use crate::failure::Failure;

/// An event with which a run came to need a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub cause: Cause,
    /// Who is still to be told, by name.
    pub receivers: Vec<String>,
}

/// Why a run came to need a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// A task failed.
    Failed {
        /// The task.
        task: TaskId,
        /// Why.
        failure: Failure,
        /// Whether the run ended with it; else it waits for an operator.
        is_end: bool,
    },
    /// Something else.
    Other(Attention),
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

    /// These are owed an alert of the event that is being applied.
    pub(super) fn owe(&mut self, at: Timestamp, cause: Cause, receivers: &[String]) {
        if !receivers.is_empty() {
            self.owed.insert(self.events, Stop { at, cause, receivers: receivers.to_vec() });
        }
    }

    pub(super) fn told(&mut self, of: u64, receiver: &str) {
        let Some(stop) = self.owed.get_mut(&of) else { return };
        stop.receivers.retain(|owed| owed != receiver);
        if stop.receivers.is_empty() {
            self.owed.remove(&of);
        }
    }
}
