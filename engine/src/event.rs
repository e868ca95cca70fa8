//! What a journal holds. These shapes are frozen: a field may be added with a default, none may change its meaning.

use std::collections::BTreeMap;
use std::path::PathBuf;

use indexmap::IndexMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::failure::Failure;
use crate::outside::store::SeenFile;
use crate::scope::IndexScope;

/// The version of events that this build writes; older ones are read, newer ones refused.
pub const EVENT_VERSION: u64 = 1;

/// Variables by name.
pub type Vars = Map<String, Value>;
/// Numbers the tasks of a run, from 1.
pub type TaskId = u32;

/// An event with its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// [`EVENT_VERSION`] of its writer.
    pub v: u64,
    /// When, by our clock.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened to a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Event {
    /// The run began; what it runs lies in its folder.
    Started {
        /// The workflow's name.
        workflow: String,
        /// BLAKE3 of the pinned file.
        file: String,
        /// BLAKE3 of the pinned shared scripts; an older version pinned none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scripts: Option<String>,
        /// Variables given by who started it.
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        vars: Vars,
        /// Where it begins instead of at its roots.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        entry: Option<Entry>,
        /// The window that imports have instead of that of their automatic index.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        backfill: Option<Backfill>,
        /// The id of the data folder it began in, part of what names its writes elsewhere; an older version kept none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        folder: Option<String>,
        /// Whether it waits until its workflow is free; then nothing begins before `Admitted`.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        queued: bool,
    },
    /// The workflow is free: a run that began queued goes on.
    Admitted,
    /// A task began, or began again. Its first beginning takes the arrivals it works on.
    TaskStarted {
        /// The task.
        task: TaskId,
        /// The activity.
        activity: String,
        /// From 1; more than one where it goes on after a failure or a crash.
        attempt: u32,
        /// The arrivals that it takes, on its first attempt.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        takes: Vec<ArrivalId>,
    },
    /// Files of a population are complete and durable, and the task goes on from `position`.
    Sealed {
        /// The task.
        task: TaskId,
        /// Files by port.
        #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
        segments: IndexMap<String, Vec<Segment>>,
        /// Where the task goes on, in its own words.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        position: Value,
        /// What it has counted so far.
        #[serde(default)]
        tally: Tally,
    },
    /// An import opened the window of an automatic index.
    WindowOpened {
        /// The task.
        task: TaskId,
        /// The window.
        window: IndexWindow,
    },
    /// A script set an option.
    OptionSet {
        /// The task.
        task: TaskId,
        /// The option.
        option: String,
        /// Its new text.
        value: String,
    },
    /// An option moved to the end of a window, since all that depends on that import ended well.
    OptionMoved {
        /// The import's task.
        task: TaskId,
        /// The option.
        option: String,
        /// Its new text.
        value: String,
    },
    /// An option stayed where it was although its window is done, and why.
    OptionHeld {
        /// The import's task.
        task: TaskId,
        /// The option.
        option: String,
        /// Why.
        reason: String,
    },
    /// A task ended well.
    TaskEnded {
        /// The task.
        task: TaskId,
        /// The ports it puts an event on.
        ports: Vec<String>,
        /// Variables it set, for what comes after it.
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        vars: Vars,
        /// Variables it set for the whole run.
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        instance_vars: Vars,
        /// What it counted.
        #[serde(default)]
        tally: Tally,
        /// Whether every other task is to stop, as an `end` may say.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        stop_all: bool,
    },
    /// A task failed.
    TaskFailed {
        /// The task.
        task: TaskId,
        /// Why.
        failure: Failure,
        /// What follows.
        then: Then,
        /// Who is to be told of it, by name, since with it the run needs a person; each until an `Alerted` names them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        alerts: Vec<String>,
    },
    /// A task waits for a time to come: until then it does nothing and takes no place of a working task.
    TaskWaiting {
        /// The task.
        task: TaskId,
        /// The time.
        until: Timestamp,
    },
    /// An operator ended waits early, those of a `wait` and those before a retry.
    Woken {
        /// The activity whose wait ended; without it, every wait of the run did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        activity: Option<String>,
    },
    /// The run needs a person although no task failed.
    Attention {
        /// Why.
        why: Attention,
        /// The receivers of an alert, by name; each is owed one until an `Alerted` names them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        alerts: Vec<String>,
    },
    /// Somebody was told that the run needs a person, or was given up.
    Alerted {
        /// The number of the `TaskFailed` or `Attention` that it was about, from 0.
        of: u64,
        /// Who.
        receiver: String,
        /// Why they were given up; none where they were told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<Failure>,
    },
    /// A note in the journal, from a script or about a reject.
    Logged {
        /// The task.
        task: TaskId,
        /// How grave.
        level: Level,
        /// What.
        message: String,
    },
    /// No new task starts until `Resumed`.
    Paused,
    /// It goes on; failed tasks that wait for an operator start again.
    Resumed {
        /// Variables of the whole run that the operator set with it, such as `allowDeletes`.
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        vars: Vars,
    },
    /// It was stopped for good.
    Stopped,
    /// Nothing is left to do.
    Finished,
}

/// Where a run begins that does not begin at its roots: only this activity and what follows it work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The activity.
    pub activity: String,
    /// The population that arrives there.
    pub population: Vec<Segment>,
}

/// A window of time that is imported again. The options of the automatic indexes stay where they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Backfill {
    /// The first instant that is imported.
    pub from: Timestamp,
    /// The first instant that is not.
    pub to: Timestamp,
    /// The import that it is for; all that have an automatic index where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<String>,
}

impl Backfill {
    /// Whether it is for this activity.
    pub fn is_of(&self, activity: &str) -> bool {
        self.activity.as_deref().is_none_or(|only| only == activity)
    }
}

/// Why a run needs a person although no task failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Attention {
    /// Its process ended before the run did; the process that opened the data folder next found it so.
    Interrupted,
    /// It finishes, with more rejects or records in doubt than may pass without an alert.
    OverLimit {
        /// Its rejects.
        rejects: u64,
        /// Its records in doubt that nothing has settled.
        in_doubt: u64,
    },
}

/// What follows a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Then {
    /// It is tried again at this time, by the activity's `retry`.
    Retry {
        /// When.
        at: Timestamp,
    },
    /// The port `error` leads on.
    ErrorPort,
    /// The run waits for an operator.
    Suspend,
    /// Nothing follows from this task.
    Ignore,
    /// The whole run ends.
    Abort,
}

/// How grave a note is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Level {
    /// For the record.
    Info,
    /// Somebody should look.
    Warning,
    /// Something is wrong.
    Error,
}

/// One arrival of an event at an activity: it was put by a task on one of its ports, and led by one transition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArrivalId {
    /// The task that put it; 0 for the beginning of the run.
    pub from: TaskId,
    /// The port it was put on; empty at the beginning of the run.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub port: String,
    /// The activity it arrived at.
    pub to: String,
}

/// A file of a population.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Segment {
    /// Its place within the run's folder.
    pub path: PathBuf,
    /// Records.
    pub rows: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// BLAKE3 of the file, in hexadecimal.
    pub checksum: String,
}

/// The window of an automatic index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexWindow {
    /// The option.
    pub option: String,
    /// Its text before; `None` where it was missing.
    pub before: Option<String>,
    /// The text it will have.
    pub after: String,
    /// Of which records all up to then are imported once it has it; an older version kept none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<IndexScope>,
}

/// What a task counted. Its account balances where `in + added = out + dropped`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tally {
    /// Records it made or read from elsewhere.
    #[serde(default)]
    pub added: u64,
    /// Records it let go, by the rule that says why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dropped: BTreeMap<String, u64>,
    /// Anything else worth counting, such as `inserted`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counts: BTreeMap<String, u64>,
    /// What the next import must know to have been imported already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<SeenFile>,
}
