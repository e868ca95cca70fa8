//! How a run is shown to programs: the one conversion from the engine's [`Run`] to JSON.

use std::collections::BTreeMap;

use engine::event::{TaskId, Vars};
use engine::failure::Failure;
use engine::outside::store::{RunEntry, RunId};
use engine::run::{HeldOption, Run, Status, Task, TaskStatus};
use indexmap::IndexMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Types of activities by the activity's name.
pub type Kinds = BTreeMap<String, String>;

/// A run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunView {
    /// Its name, such as `dynamicsImport-7`.
    pub run: String,
    /// Its workflow.
    pub workflow: String,
    /// What it is at.
    pub status: Status,
    /// Whether a process drives it now; a run that is `running` without one broke off and can be resumed.
    pub driven: bool,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// Records that it left in doubt, or met so, and that are not settled.
    #[serde(default, skip_serializing_if = "is_none")]
    pub in_doubt: u64,
    /// How long it took, or has taken so far.
    pub seconds: f64,
    /// Its tasks, in the order in which they began.
    pub tasks: Vec<TaskView>,
    /// The events that went along transitions, and their records.
    pub transitions: Vec<TransitionView>,
    /// Options that stayed where they were although what they stand for was read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<HeldView>,
    /// The run's variables, then those of its tasks in the order in which they ended.
    pub vars: Vars,
}

/// A task.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskView {
    /// Its number.
    pub task: TaskId,
    /// The activity.
    pub activity: String,
    /// The activity's type.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is at.
    pub status: TaskState,
    /// How long it took, or has taken so far.
    pub seconds: f64,
    /// Records that came in.
    #[serde(rename = "in")]
    pub came: u64,
    /// Records that went out, by port; while it works, those that are sealed.
    pub out: IndexMap<String, u64>,
    /// Records let go, by rule.
    pub dropped: BTreeMap<String, u64>,
    /// Records it made or read from elsewhere.
    pub added: u64,
    /// What else it counted.
    pub counts: BTreeMap<String, u64>,
    /// From 1.
    pub attempt: u32,
    /// Why it failed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// What followed its failure, if the run did not stop for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then: Option<AfterFailure>,
    /// When it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
    /// What it waits for now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<WaitView>,
    /// How far it is, while it works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<ProgressView>,
}

/// What a task is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TaskState {
    /// It works, or did when its process ended.
    Running,
    /// It is tried again later.
    Waiting,
    /// It ended well.
    Finished,
    /// It failed, and the run went on.
    Failed,
    /// It failed and waits for an operator.
    Suspended,
    /// It was stopped.
    Stopped,
}

/// What followed the failure of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AfterFailure {
    /// Its port `error` led on.
    ErrorPort,
    /// Nothing: its `onError` says `ignore`.
    Ignored,
}

/// A wait of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WaitView {
    /// What for.
    pub reason: String,
    /// Until when.
    pub until: Timestamp,
    /// How long that is from now on.
    pub seconds_left: u64,
    /// Which attempt follows, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
}

impl WaitView {
    /// A wait, as seen now.
    pub(crate) fn new(reason: String, until: Timestamp, attempt: Option<u32>, now: Timestamp) -> Self {
        let seconds_left = u64::try_from(until.duration_since(now).as_secs()).unwrap_or(0);
        Self { reason, until, seconds_left, attempt }
    }
}

/// An option that stayed where it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldView {
    /// The import's task.
    pub task: TaskId,
    /// The import.
    pub activity: String,
    /// The option.
    pub option: String,
    /// Why.
    pub reason: String,
}

/// How far a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressView {
    /// Records done.
    pub done: u64,
    /// Records in all, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}

/// What went along one transition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransitionView {
    /// The activity it leaves.
    pub from: String,
    /// By which port.
    pub port: String,
    /// The activity it leads to; none where the port leads nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// How many events.
    pub events: u64,
    /// How many records; none where no population goes along.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<u64>,
}

/// One line of a list of runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunLine {
    /// Its name.
    pub run: String,
    /// Its workflow.
    pub workflow: String,
    /// What it is at.
    pub status: Status,
    /// Whether a process drives it now; a run that is `running` or `waiting` without one was interrupted.
    pub driven: bool,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// When a task that waits for a time goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Timestamp>,
    /// How long it took, or has taken so far.
    pub seconds: f64,
    /// How many tasks.
    pub tasks: u32,
    /// Records that its tasks made or read from elsewhere.
    pub records: u64,
    /// Records that were refused.
    pub rejects: u64,
    /// Records of which it is not known whether they were written.
    pub in_doubt: u64,
    /// Options that stayed where they were, as something did not end well.
    pub held: u32,
    /// Why it failed last, of a run that has not finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

impl RunView {
    /// A run as it is now.
    pub fn new(id: &RunId, run: &Run, kinds: &Kinds, driven: bool, now: Timestamp) -> Self {
        Self {
            run: id.to_string(),
            workflow: id.workflow().to_owned(),
            status: run.status(),
            driven,
            started: run.started,
            in_doubt: 0,
            seconds: seconds(run.started, run.ended.unwrap_or_else(|| last_sign(run, driven, now))),
            tasks: run.tasks.iter().map(|task| TaskView::new(run, task, kinds, driven, now)).collect(),
            transitions: transitions(run),
            held: held(run),
            vars: vars(run),
        }
    }
}

impl RunLine {
    /// A run as its head says.
    pub fn new(run: &RunEntry, driven: bool, now: Timestamp) -> Self {
        let head = &run.head;
        let until = if driven { Some(now) } else { head.ended.or(head.updated) };
        Self {
            run: run.id.to_string(),
            workflow: run.id.workflow().to_owned(),
            status: head.status(),
            driven,
            started: head.started,
            ended: head.ended,
            next: head.next(),
            seconds: seconds(head.started, until.unwrap_or(now)),
            tasks: head.tasks,
            records: head.records,
            rejects: head.rejects,
            in_doubt: head.in_doubt,
            held: head.held,
            failure: head.failure.clone().filter(|_| head.status() != Status::Finished),
        }
    }
}

impl TaskView {
    /// A task as it is now.
    pub fn new(run: &Run, task: &Task, kinds: &Kinds, driven: bool, now: Timestamp) -> Self {
        let live_until = if driven { now } else { task.started };
        Self {
            task: task.id,
            activity: task.activity.clone(),
            kind: kinds.get(&task.activity).cloned().unwrap_or_default(),
            status: state(task.status),
            seconds: seconds(task.started.checked_add(task.stood).ok(), task.ended.unwrap_or(live_until)),
            came: run.came(task),
            out: out(run, task),
            dropped: task.tally.dropped.clone(),
            added: task.tally.added,
            counts: task.tally.counts.clone(),
            attempt: task.attempt,
            failure: task.failure.clone().filter(|_| task.status != TaskStatus::Ended),
            then: after_failure(run, task),
            retry_at: task.waits_until(),
            wait: wait(task, now),
            progress: None,
        }
    }
}

fn after_failure(run: &Run, task: &Task) -> Option<AfterFailure> {
    if run.status() == Status::Failed && task.ended == run.ended {
        return None;
    }
    let is_led_on = task.emitted.iter().any(|port| port == "error");
    (task.status == TaskStatus::Failed).then_some(if is_led_on {
        AfterFailure::ErrorPort
    } else {
        AfterFailure::Ignored
    })
}

fn wait(task: &Task, now: Timestamp) -> Option<WaitView> {
    let until = task.waits_until()?;
    let is_retry = matches!(task.status, TaskStatus::Retrying(_));
    let reason = match &task.failure {
        Some(failure) if is_retry => failure.to_string(),
        _ => "it holds what came for a while".to_owned(),
    };
    Some(WaitView::new(reason, until, is_retry.then_some(task.attempt + 1), now))
}

fn held(run: &Run) -> Vec<HeldView> {
    let view = |(task, held): (&TaskId, &HeldOption)| HeldView {
        task: *task,
        activity: run.task(*task).map(|task| task.activity.clone()).unwrap_or_default(),
        option: held.option.clone(),
        reason: held.reason.clone(),
    };
    run.held.iter().map(view).collect()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_none(records: &u64) -> bool {
    *records == 0
}

fn state(status: TaskStatus) -> TaskState {
    match status {
        TaskStatus::Running => TaskState::Running,
        TaskStatus::Retrying(_) | TaskStatus::Waiting(_) => TaskState::Waiting,
        TaskStatus::Ended => TaskState::Finished,
        TaskStatus::Failed => TaskState::Failed,
        TaskStatus::Suspended => TaskState::Suspended,
        TaskStatus::Stopped => TaskState::Stopped,
    }
}

/// Records on a port of a task; none where it has no population. What left by `error` is what came in.
fn carried(run: &Run, task: &Task, port: &str) -> Option<u64> {
    run.rows(task.id, port).or_else(|| {
        let (from, port) = task.inputs.first().filter(|_| port == "error")?;
        run.rows(*from, port)
    })
}

/// Of a task that has ended, only what it let out counts: what else it sealed went nowhere.
fn out(run: &Run, task: &Task) -> IndexMap<String, u64> {
    let ended = matches!(task.status, TaskStatus::Ended | TaskStatus::Failed);
    let sealed = task.ports.keys().filter(|port| !ended || task.emitted.contains(port));
    let bare = task.emitted.iter().filter(|port| !task.ports.contains_key(*port));
    sealed.chain(bare).map(|port| (port.clone(), carried(run, task, port).unwrap_or(0))).collect()
}

fn transitions(run: &Run) -> Vec<TransitionView> {
    let mut all: IndexMap<(&str, &str, Option<&str>), TransitionView> = IndexMap::new();
    for task in &run.tasks {
        for port in &task.emitted {
            let records = carried(run, task, port);
            let mut targets: Vec<Option<&str>> = run.graph().targets(&task.activity, port).map(Some).collect();
            if targets.is_empty() {
                targets.push(None);
            }
            for to in targets {
                let view = all.entry((&task.activity, port, to)).or_insert_with(|| TransitionView {
                    from: task.activity.clone(),
                    port: port.clone(),
                    to: to.map(str::to_owned),
                    events: 0,
                    records: None,
                });
                view.events += 1;
                view.records = records.map(|records| view.records.unwrap_or(0) + records).or(view.records);
            }
        }
    }
    // A port that leads nowhere and carries no records tells nobody anything.
    let told = all.into_values().filter(|view| view.to.is_some() || view.records.is_some());
    told.collect()
}

fn vars(run: &Run) -> Vars {
    let mut vars = run.instance_vars.clone();
    let mut ended: Vec<&Task> = run.tasks.iter().filter(|task| task.ended.is_some()).collect();
    ended.sort_by_key(|task| (task.ended, task.id));
    for task in ended {
        // What a task only passed on may be older than what another one set meanwhile.
        let own = task.vars.iter().filter(|(name, value)| task.vars_in.get(*name) != Some(value));
        vars.extend(own.map(|(name, value)| (name.clone(), value.clone())));
    }
    vars
}

/// A run that nothing drives has taken no more time than until its last task ended.
fn last_sign(run: &Run, driven: bool, now: Timestamp) -> Timestamp {
    if driven {
        return now;
    }
    let signs = run.tasks.iter().map(|task| task.ended.unwrap_or(task.started));
    signs.max().or(run.started).unwrap_or(now)
}

fn seconds(from: Option<Timestamp>, to: Timestamp) -> f64 {
    let seconds = from.map_or(0.0, |from| to.duration_since(from).as_secs_f64());
    (seconds.max(0.0) * 1000.0).round() / 1000.0
}
