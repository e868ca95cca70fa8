//! A run in short, kept with its journal: lists, retention and numbering read heads and no events.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Status;
use super::status::End;
use crate::event::{Attention, Event, Recorded, Segment, Tally, TaskId, Then};

/// The longest text of [`RunHead::failure`], in bytes; a head stays as small as an event.
const FAILURE_BYTES_MAX: usize = 300;

/// A run in short: the part of the fold that needs no graph. It says the same as [`Run`](super::Run) of the same events.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunHead {
    /// When it began.
    pub started: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// The time of its last event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated: Option<Timestamp>,
    /// How many tasks began.
    pub tasks: u32,
    /// Records that its tasks made or read from elsewhere.
    pub records: u64,
    /// Records on ports `reject`.
    pub rejects: u64,
    /// Records on ports `inDoubt`.
    pub in_doubt: u64,
    /// Options that stayed where they were although their window is done.
    pub held: u32,
    /// Alerts that are still to be sent.
    pub owed: u32,
    /// Whether it was found interrupted, and has not continued since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interrupted: bool,
    /// Whether it began at one activity, as rejects do that are sent again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub entered: bool,
    /// The last failure, cut to [`FAILURE_BYTES_MAX`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Tasks that have not come to their end.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    live: BTreeMap<TaskId, Live>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    queued: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    paused: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<End>,
}

/// A task that has not come to its end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Live {
    activity: String,
    state: State,
    /// Records it has made or read so far, which are in [`RunHead::records`] already.
    #[serde(default, skip_serializing_if = "is_zero")]
    added: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum State {
    #[default]
    Running,
    /// Before a retry, or because it asked to.
    Waiting(Timestamp),
    Suspended,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl RunHead {
    /// The status of the run.
    pub fn status(&self) -> Status {
        let is_any = |is: fn(State) -> bool| self.live.values().any(|task| is(task.state));
        match self.end {
            Some(end) => end.into(),
            None if self.queued => Status::Queued,
            None if is_any(|state| state == State::Running) => Status::Running,
            None if self.paused => Status::Paused,
            None if is_any(|state| state == State::Suspended) => Status::Suspended,
            None if is_any(|state| matches!(state, State::Waiting(_))) => Status::Waiting,
            None => Status::Running,
        }
    }

    /// When the next task is tried again; none where no task waits for a time.
    pub fn next(&self) -> Option<Timestamp> {
        let times = self.live.values().filter_map(|task| match task.state {
            State::Waiting(at) => Some(at),
            _ => None,
        });
        times.min()
    }

    /// Takes an event in that the fold has taken for legal.
    pub fn apply(&mut self, Recorded { at, event, .. }: &Recorded) {
        self.updated = Some(*at);
        match event {
            Event::Started { entry, queued, .. } => {
                self.started = Some(*at);
                self.entered = entry.is_some();
                self.queued = *queued;
            }
            Event::Admitted => {
                self.queued = false;
                self.interrupted = false;
            }
            Event::TaskStarted { task, activity, .. } => {
                self.tasks += u32::from(!self.live.contains_key(task));
                let live = self.live.entry(*task).or_default();
                live.activity.clone_from(activity);
                live.state = State::Running;
                self.interrupted = false;
            }
            Event::TaskWaiting { task, until } => self.live.entry(*task).or_default().state = State::Waiting(*until),
            Event::Woken { activity } => self.wake(*at, activity.as_deref()),
            Event::Sealed { task, segments, tally, .. } => {
                self.rejects += rows(segments.get("reject"));
                self.in_doubt += rows(segments.get("inDoubt"));
                self.count(*task, tally);
            }
            Event::TaskEnded { task, tally, stop_all, .. } => {
                self.count(*task, tally);
                self.live.remove(task);
                if *stop_all {
                    self.live.clear();
                }
            }
            Event::TaskFailed { task, failure, then, alerts } => {
                let mut text = failure.to_string();
                text.truncate(text.floor_char_boundary(FAILURE_BYTES_MAX));
                self.failure = Some(text);
                self.owe(alerts);
                self.fail(*at, *task, then);
            }
            Event::Attention { why, alerts } => {
                self.interrupted |= *why == Attention::Interrupted;
                self.owe(alerts);
            }
            Event::Alerted { .. } => self.owed = self.owed.saturating_sub(1),
            Event::OptionHeld { .. } => self.held += 1,
            Event::Paused => self.paused = true,
            Event::Resumed { .. } => {
                self.paused = false;
                self.interrupted = false;
                for task in self.live.values_mut().filter(|task| task.state == State::Suspended) {
                    task.state = State::Running;
                }
            }
            Event::Stopped => self.over(*at, End::Stopped),
            Event::Finished => self.over(*at, End::Finished),
            Event::WindowOpened { .. } | Event::OptionSet { .. } | Event::OptionMoved { .. } | Event::Logged { .. } => {
            }
        }
    }

    fn owe(&mut self, alerts: &[String]) {
        self.owed += u32::try_from(alerts.len()).unwrap_or(u32::MAX);
    }

    fn fail(&mut self, at: Timestamp, task: TaskId, then: &Then) {
        match then {
            Then::Retry { at } => self.live.entry(task).or_default().state = State::Waiting(*at),
            Then::Suspend => self.live.entry(task).or_default().state = State::Suspended,
            Then::ErrorPort | Then::Ignore => drop(self.live.remove(&task)),
            Then::Abort => self.over(at, End::Aborted),
        }
    }

    fn wake(&mut self, now: Timestamp, activity: Option<&str>) {
        for task in self.live.values_mut().filter(|task| activity.is_none_or(|only| task.activity == only)) {
            if let State::Waiting(at) = &mut task.state {
                *at = now.min(*at);
            }
        }
    }

    /// A tally counts from the beginning of its task.
    fn count(&mut self, task: TaskId, tally: &Tally) {
        let live = self.live.entry(task).or_default();
        self.records += tally.added.saturating_sub(live.added);
        live.added = tally.added;
    }

    fn over(&mut self, at: Timestamp, end: End) {
        self.live.clear();
        self.end = Some(end);
        self.ended = Some(at);
    }
}

fn rows(segments: Option<&Vec<Segment>>) -> u64 {
    segments.into_iter().flatten().map(|segment| segment.rows).sum()
}
