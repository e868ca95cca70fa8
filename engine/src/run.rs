//! The state of a run: a pure fold over its journal, with no clock, no I/O and no async.
//!
//! ```text
//!                    ┌──────────────── apply(event) ◀─────────────┐
//!                    ▼                                            │
//!   arrivals ─▶ [queue of an activity] ─▶ task ─▶ ports ─▶ arrivals at the targets
//!                    │                     │
//!                ready(now)             settled()
//!                    ▼                     ▼
//!             what may begin        which options may move
//! ```
//!
//! The rules that the journal freezes:
//!
//! 1. A run begins with one arrival at each root of the graph; or, where it has an entry, with one arrival there, which
//!    carries the entry's population.
//! 2. A task that ends puts an event on the ports its `TaskEnded` names, and each transition from such a port makes one
//!    arrival at its target. `ok` and `complement` are always named; `reject` and the like when they have records.
//! 3. A task that failed puts one on `error` if that port leads on; it carries the population that came in.
//! 4. An arrival starts one task. Where an activity waits for all its inbound transitions, the n-th arrivals of each
//!    start one task together; what can no longer arrive is not waited for.
//! 5. Tasks of one activity run one after the other, in the order of arrival; tasks of different activities at once.
//! 6. An activity with `attempts` lets so many tasks of it pass on one line of descent; the next one is told that it is
//!    exhausted. An operator's resume begins the count anew. Where it would lead a failure that lasts (login,
//!    configuration) from a port `error` back to the activity that failed, it is exhausted at once.
//! 7. While a run is paused, or a failure waits for an operator, what runs goes on and nothing else begins.
//! 8. The window of an import is settled when nothing that descends from it runs or waits. Its option moves if every
//!    task that descends from it ended well; a failed one counts as well once a later task of the same activity that
//!    descends from it ended well; an import that failed itself moves no option, the one that made it good does.
//! 9. Receivers in `alerts` of `TaskFailed` and `Attention` are owed an alert until `Alerted`, whatever becomes of the run
//!    meanwhile. An interruption is known once it is recorded, until the run continues.
//! 10. A task that waits, before a retry or because it asked to, continues once its time has come or an operator ended the
//!     wait. It is at work for rules 5 and 8, and takes no place of a working task.
//! 11. A run that began queued does nothing until it is `admitted`.

mod apply;
mod head;
mod join;
mod owed;
mod settle;
mod status;
mod task;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;

use crate::event::{ArrivalId, Backfill, Entry, IndexWindow, Recorded, Segment, TaskId, Vars};
use crate::graph::Graph;
use crate::outside::store::RunId;

pub use head::RunHead;
pub use owed::{Cause, Stop};
pub use settle::{Ending, Settled};
pub use status::Status;

use status::End;
pub use task::{Task, TaskStatus};

/// The most tasks of one run.
pub const TASKS_MAX: u32 = 100_000;

/// A run as its journal tells it.
#[derive(Debug, Clone)]
pub struct Run {
    graph: Arc<Graph>,
    /// How many events it has applied.
    pub events: u64,
    /// The workflow's name.
    pub workflow: String,
    /// BLAKE3 of the file it runs.
    pub file: String,
    /// The id of the data folder it began in.
    pub folder: Option<String>,
    /// BLAKE3 of its shared scripts, where they were pinned.
    pub scripts: Option<String>,
    /// Where it began instead of at its roots.
    pub entry: Option<Entry>,
    /// The window that its imports have instead of that of their automatic index.
    pub backfill: Option<Backfill>,
    /// When it began.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Its tasks; the task numbered n is at n − 1.
    pub tasks: Vec<Task>,
    /// `instance.vars`.
    pub instance_vars: Vars,
    /// Arrivals not yet taken, by activity, in the order of arrival.
    queues: HashMap<String, VecDeque<Arrival>>,
    windows: BTreeMap<TaskId, IndexWindow>,
    /// What a script has set the option of a window to since it was opened.
    put: BTreeMap<TaskId, String>,
    /// Options that moved or were held, by the import's task.
    pub settled: BTreeMap<TaskId, String>,
    /// Options that stayed where they were although their window is done, by the import's task.
    pub held: BTreeMap<TaskId, HeldOption>,
    /// Stops of which somebody is still to be told, by the number of the event that made them.
    pub owed: BTreeMap<u64, Stop>,
    arrived: u64,
    queued: bool,
    paused: bool,
    /// Whether it was found interrupted, and has not continued since.
    pub is_interrupted: bool,
    end: Option<End>,
}

/// An option that stayed where it was although its window is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldOption {
    /// The option.
    pub option: String,
    /// Why.
    pub reason: String,
}

/// An event that waits at an activity.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Arrival {
    id: ArrivalId,
    /// Whose population it carries, and from which port.
    population: Option<(TaskId, String)>,
    order: u64,
}

/// What may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ready {
    /// A new task.
    Begin {
        /// Its number.
        task: TaskId,
        /// The activity.
        activity: String,
        /// The arrivals that it takes.
        takes: Vec<ArrivalId>,
    },
    /// A task that was begun and has not ended.
    GoOn {
        /// Its number.
        task: TaskId,
        /// The attempt to begin.
        attempt: u32,
    },
}

/// An event that cannot follow the ones before it: the journal is not of this workflow, or damaged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {number} of the journal cannot follow the ones before it: {why}")]
pub struct Illegal {
    /// Its number, from 0.
    pub number: u64,
    /// Why.
    pub why: String,
}

impl Run {
    /// A run of which nothing has happened yet.
    pub fn new(graph: Arc<Graph>) -> Self {
        Self {
            graph,
            events: 0,
            workflow: String::new(),
            file: String::new(),
            folder: None,
            scripts: None,
            entry: None,
            backfill: None,
            started: None,
            ended: None,
            tasks: Vec::new(),
            instance_vars: Vars::new(),
            queues: HashMap::new(),
            windows: BTreeMap::new(),
            put: BTreeMap::new(),
            settled: BTreeMap::new(),
            held: BTreeMap::new(),
            owed: BTreeMap::new(),
            arrived: 0,
            queued: false,
            paused: false,
            is_interrupted: false,
            end: None,
        }
    }

    /// The run that a journal tells.
    ///
    /// # Errors
    /// Where an event cannot follow the ones before it.
    pub fn fold<'a>(graph: Arc<Graph>, journal: impl IntoIterator<Item = &'a Recorded>) -> Result<Self, Illegal> {
        let mut run = Self::new(graph);
        for event in journal {
            run.apply(event)?;
        }
        Ok(run)
    }

    /// Names the run in other systems, where several data folders may have runs of one name.
    pub fn key(&self, id: &RunId) -> String {
        match &self.folder {
            Some(folder) => format!("{folder}/{id}"),
            None => id.to_string(),
        }
    }

    /// What is at a number.
    pub fn task(&self, id: TaskId) -> Option<&Task> {
        self.tasks.get((id as usize).checked_sub(1)?)
    }

    /// The files of a population, by the task and port that made it; task 0 is the beginning of the run.
    pub fn population(&self, from: TaskId, port: &str) -> Option<&[Segment]> {
        match (from, &self.entry) {
            (0, Some(entry)) => Some(&entry.population),
            _ => self.task(from)?.ports.get(port).map(Vec::as_slice),
        }
    }

    /// How many records a population has; none where there is no such population.
    pub fn rows(&self, from: TaskId, port: &str) -> Option<u64> {
        self.population(from, port).map(|segments| segments.iter().map(|segment| segment.rows).sum())
    }

    /// How many records all its tasks rejected.
    pub fn rejects(&self) -> u64 {
        self.tasks.iter().filter_map(|task| self.rows(task.id, "reject")).sum()
    }

    /// How many records came into a task.
    pub fn came(&self, task: &Task) -> u64 {
        task.inputs.iter().filter_map(|(from, port)| self.rows(*from, port)).sum()
    }

    /// The graph that it runs.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Takes an event in.
    ///
    /// # Errors
    /// Where it cannot follow the ones before it; the run is as it was.
    pub fn apply(&mut self, recorded: &Recorded) -> Result<(), Illegal> {
        self.legal(&recorded.event).map_err(|why| Illegal { number: self.events, why })?;
        self.step(recorded);
        self.events += 1;
        Ok(())
    }

    fn is_any(&self, is: impl Fn(TaskStatus) -> bool) -> bool {
        self.tasks.iter().any(|task| is(task.status))
    }

    /// Whether nothing runs and nothing waits.
    pub fn is_done(&self) -> bool {
        self.queues.values().all(VecDeque::is_empty) && !self.tasks.iter().any(Task::is_live)
    }

    /// The tasks that wait for a time, and the time; none while nothing may begin.
    pub fn waits(&self) -> Vec<(TaskId, Timestamp)> {
        if self.needs_resume() {
            return Vec::new();
        }
        self.tasks.iter().filter_map(|task| Some((task.id, task.waits_until()?))).collect()
    }

    /// What may begin now, the longest waiting first. Tasks that already work are in it, since after a crash they do not.
    pub fn ready(&self, now: Timestamp) -> Vec<Ready> {
        self.ready_once(|_, until| until <= now)
    }

    /// As [`ready`](Self::ready); `has_come` says whether the time that a task waits for has come.
    pub fn ready_once(&self, has_come: impl Fn(TaskId, Timestamp) -> bool) -> Vec<Ready> {
        if self.end.is_some() || self.queued {
            return Vec::new();
        }
        let mut ready = Vec::new();
        let held = self.needs_resume();
        for task in &self.tasks {
            let may = task.waits_until().is_none_or(|until| !held && has_come(task.id, until));
            if let Some(attempt) = task.next_attempt().filter(|_| may) {
                ready.push(Ready::GoOn { task: task.id, attempt });
            }
        }
        if held || self.tasks.len() >= TASKS_MAX as usize {
            return ready;
        }
        let mut begins: Vec<(u64, &str, Vec<ArrivalId>)> = Vec::new();
        for (activity, queue) in &self.queues {
            if queue.is_empty() || self.is_busy(activity) {
                continue;
            }
            if let Some((order, takes)) = self.takes(activity, queue) {
                begins.push((order, activity, takes));
            }
        }
        begins.sort_unstable();
        for (task, (_, activity, takes)) in (1 + self.tasks.len()..).zip(begins) {
            let task = TaskId::try_from(task).unwrap_or(TASKS_MAX);
            ready.push(Ready::Begin { task, activity: activity.to_owned(), takes });
        }
        ready
    }

    fn is_busy(&self, activity: &str) -> bool {
        self.tasks.iter().any(|task| task.activity == activity && task.is_live())
    }
}
