//! One execution of an activity, as the journal tells it.

use indexmap::IndexMap;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::event::{Segment, Tally, TaskId, Vars};
use crate::failure::Failure;

/// One execution of an activity.
#[derive(Debug, Clone)]
pub struct Task {
    /// Its number, from 1.
    pub id: TaskId,
    /// The activity.
    pub activity: String,
    /// From 1; one more each time it begins again, also after a crash.
    pub attempt: u32,
    /// How often it was tried again by its own `retry`, since it began or an operator let it go on.
    pub retried: u32,
    /// What it is at.
    pub status: TaskStatus,
    /// The tasks whose events started it.
    pub parents: Vec<TaskId>,
    /// The populations that came in, by the task and port that made them, in the order of the inbound transitions.
    pub inputs: Vec<(TaskId, String)>,
    /// The variables that came in.
    pub vars_in: Vars,
    /// The variables that go out.
    pub vars: Vars,
    /// The files of its populations, by port.
    pub ports: IndexMap<String, Vec<Segment>>,
    /// The ports it put an event on.
    pub emitted: Vec<String>,
    /// Where it goes on, in its own words.
    pub position: Value,
    /// What it counted.
    pub tally: Tally,
    /// Why it failed last.
    pub failure: Option<Failure>,
    /// When it first began.
    pub started: Timestamp,
    /// When it ended, well or not.
    pub ended: Option<Timestamp>,
    /// How long it stood between a failure and its next attempt.
    pub stood: SignedDuration,
    /// Whether its attempt count is that of a loop that has used up its attempts.
    pub exhausted: bool,
    /// Whether the time that it asked to wait for has come, or an operator ended the wait.
    pub waited: bool,
    /// Whether an operator's resume began its count of a loop anew.
    pub(super) forgiven: bool,
}

/// What a task is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskStatus {
    /// It works; or it did when the process died.
    Running,
    /// It is tried again at this time.
    Retrying(Timestamp),
    /// It asked to continue at this time.
    Waiting(Timestamp),
    /// It ended well.
    Ended,
    /// It failed, and its port `error` led on or the failure was ignored.
    Failed,
    /// It failed and waits for an operator.
    Suspended,
    /// It was stopped.
    Stopped,
}

impl Task {
    /// Whether it has not come to its end: it works, or waits for a time or an operator.
    pub fn is_live(&self) -> bool {
        matches!(self.status, TaskStatus::Running | TaskStatus::Suspended) || self.waits_until().is_some()
    }

    /// The attempt with which it may begin again; continuing after a wait is no new attempt.
    pub(super) fn next_attempt(&self) -> Option<u32> {
        match self.status {
            TaskStatus::Running | TaskStatus::Retrying(_) => Some(self.attempt + 1),
            TaskStatus::Waiting(_) => Some(self.attempt),
            TaskStatus::Ended | TaskStatus::Failed | TaskStatus::Suspended | TaskStatus::Stopped => None,
        }
    }

    /// The time that it waits for, before a retry or because it asked to.
    pub fn waits_until(&self) -> Option<Timestamp> {
        match self.status {
            TaskStatus::Retrying(at) | TaskStatus::Waiting(at) => Some(at),
            _ => None,
        }
    }
}
