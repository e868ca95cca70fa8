//! Drives one run: asks the fold what is ready, records, acts, records.
//!
//! Recovery is not separate code: a run that went on elsewhere is folded, and the fold is asked what is ready.

mod end;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};

use crate::check::Workflow;
use crate::context::Cx;
use crate::environment::Environment;
use crate::event::{Event, TaskId, Vars};
use crate::failure::{Class, Failure};
use crate::identity;
use crate::journal::{AppendError, Journal};
use crate::outside::clock::Deadline;
use crate::outside::store::{Hold, RunId, StoreError};
use crate::progress::Progress;
use crate::run::{Ready, Status, TASKS_MAX, Task, TaskStatus};
use crate::temp;

use end::{Outcome, Rest, exhausted, finish};

/// How long a task that writes may still hear the answers that are under way when its run is left.
const LEAVE_GRACE: Duration = Duration::from_secs(5);

/// What an operator asks of a run that is driven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Start nothing new.
    Pause,
    /// Go on, also with what failed, with these variables of the run set.
    Resume(Vars),
    /// End it for good.
    Stop,
    /// End the waits of this activity, or all, before their time.
    Wake(Option<String>),
    /// Let it be: what runs is broken off, and goes on when the run is resumed.
    Leave,
}

/// An order, and who waits until it is done.
pub type Ordered = (Order, oneshot::Sender<()>);

/// How far the tasks that work now are.
pub type Board = Arc<Mutex<HashMap<TaskId, Arc<Progress>>>>;

/// Drives a run until nothing is left to do or an operator is needed.
pub struct Driver {
    pub(crate) environment: Arc<Environment>,
    pub(crate) workflow: Arc<Workflow>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) board: Board,
    pub(crate) orders: mpsc::Receiver<Ordered>,
    working: HashMap<TaskId, Working>,
    /// The tasks that wait, each with the time that it waits for.
    deadlines: HashMap<(TaskId, Timestamp), Deadline>,
    tasks: JoinSet<(TaskId, Outcome)>,
}

struct Working {
    abort: AbortHandle,
    cancelled: Arc<AtomicBool>,
}

impl Working {
    /// It ends by itself, once it asks.
    fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    fn break_off(&self) {
        self.cancel();
        self.abort.abort();
    }
}

impl Driver {
    /// A driver of a run.
    pub fn new(
        environment: Arc<Environment>,
        workflow: Arc<Workflow>,
        journal: Arc<Journal>,
        board: Board,
        orders: mpsc::Receiver<Ordered>,
    ) -> Self {
        let (working, deadlines, tasks) = (HashMap::new(), HashMap::new(), JoinSet::new());
        Self { environment, workflow, journal, board, orders, working, deadlines, tasks }
    }

    /// Drives it.
    ///
    /// # Errors
    /// Where the journal cannot be written: the run can be resumed once that is cured.
    pub async fn drive(mut self) -> Result<Status, Failure> {
        let status = self.work().await;
        if status.is_err() {
            // The run may be resumed at once: what it did must have ended.
            self.break_off().await;
        }
        status
    }

    async fn work(&mut self) -> Result<Status, Failure> {
        self.forget_ended().await;
        loop {
            self.begin_what_is_ready().await?;
            let status = self.journal.run().status();
            // One that has come waits for a free place, not for time.
            let coming = self.deadlines.values().filter(|deadline| !deadline.has_come(self.environment.clock.as_ref()));
            let next = coming.min().copied();
            if status.is_over() {
                self.break_off().await;
                temp::forget_all(&self.environment, &self.workflow, &self.journal).await;
                return Ok(status);
            }
            if self.working.is_empty() {
                if self.journal.run().is_done() {
                    self.finish_run().await?;
                    continue;
                }
                if matches!(status, Status::Paused | Status::Suspended) {
                    return Ok(status);
                }
                if next.is_none() && status != Status::Queued {
                    return Err(self.stuck());
                }
            }
            let free = until_free(&self.environment, &self.journal.id);
            let clock = Arc::clone(&self.environment.clock);
            let wait = async {
                match next {
                    Some(deadline) => deadline.sleep(clock.as_ref()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(ended) = self.tasks.join_next_with_id(), if !self.tasks.is_empty() => self.task_ended(ended).await?,
                Some((order, done)) = self.orders.recv() => {
                    let leaves = order == Order::Leave;
                    self.obey(order).await?;
                    done.send(()).ok();
                    if leaves {
                        return Ok(self.journal.run().status());
                    }
                }
                () = wait => {}
                free = free, if status == Status::Queued => {
                    free?;
                    self.admit().await?;
                }
            }
        }
    }

    /// The workflow is free for a run that waited for it.
    async fn admit(&self) -> Result<(), Failure> {
        match self.journal.append_holding(vec![Event::Admitted], Hold::Take).await {
            // Another start was faster.
            Err(AppendError::Store(StoreError::Held { .. })) => Ok(()),
            admitted => Ok(admitted?),
        }
    }

    /// A crash may have come between the end of a writing task and its being forgotten. What it did must not be taken for
    /// its own by the next task of its activity, to which the same records may come.
    async fn forget_ended(&self) {
        let ended: Vec<Task> = {
            let run = self.journal.run();
            let latest: HashMap<&str, &Task> = run.tasks.iter().map(|task| (task.activity.as_str(), task)).collect();
            let latest = latest.into_values().filter(|task| task.status == TaskStatus::Ended);
            latest.filter(|task| temp::is_kept_by(&self.workflow, task)).cloned().collect()
        };
        for task in ended {
            self.forget(&task).await;
        }
    }

    /// What a writing task kept to go on after a crash is needed no more once its end is in the journal.
    async fn forget(&self, task: &Task) {
        let inputs = temp::inputs(&self.environment, &self.journal, &self.journal.run(), task);
        temp::forget(&self.environment, &self.journal, task, &inputs).await;
    }

    fn stuck(&self) -> Failure {
        let id = &self.journal.id;
        if self.journal.run().tasks.len() >= TASKS_MAX as usize {
            let message = format!("run {id} has had {TASKS_MAX} tasks, the most of one run");
            return Failure::new(Class::Limit, message).help("stop the run; lead its loops through fewer forks");
        }
        Failure::internal(format!("run {id}: nothing can go on, although something waits"))
    }

    async fn begin_what_is_ready(&mut self) -> Result<(), Failure> {
        // What begins changes what is ready, as an activity takes one arrival at a time.
        loop {
            let free = self.environment.limits.tasks_at_once.max(1).saturating_sub(self.working.len());
            self.note_waits();
            let (clock, deadlines) = (self.environment.clock.as_ref(), &self.deadlines);
            let has_come = |task, until| deadlines.get(&(task, until)).is_some_and(|wait| wait.has_come(clock));
            let ready = self.journal.run().ready_once(has_come);
            let new = ready.into_iter().filter(|ready| !self.working.contains_key(&task_of(ready)));
            let new: Vec<Ready> = new.take(free).collect();
            if new.is_empty() {
                return Ok(());
            }
            let begins = new.iter().map(|ready| match ready {
                Ready::Begin { task, activity, takes } => {
                    Event::TaskStarted { task: *task, activity: activity.clone(), attempt: 1, takes: takes.clone() }
                }
                Ready::GoOn { task, attempt } => {
                    let activity = self.journal.run().task(*task).map(|task| task.activity.clone());
                    let activity = activity.unwrap_or_default();
                    Event::TaskStarted { task: *task, activity, attempt: *attempt, takes: Vec::new() }
                }
            });
            // One by one, since each must be able to follow the one before it.
            for event in begins.collect::<Vec<_>>() {
                self.journal.append(vec![event]).await?;
            }
            for ready in &new {
                self.spawn(task_of(ready));
            }
        }
    }

    /// From when a task waits on, its deadline stays the same, however the clock is set meanwhile.
    fn note_waits(&mut self) {
        let waits = self.journal.run().waits();
        let known = std::mem::take(&mut self.deadlines);
        let deadline = |wait: (TaskId, Timestamp)| {
            known.get(&wait).copied().unwrap_or_else(|| Deadline::new(self.environment.clock.as_ref(), wait.1))
        };
        self.deadlines = waits.into_iter().map(|wait| (wait, deadline(wait))).collect();
    }

    fn spawn(&mut self, id: TaskId) {
        let run = self.journal.run();
        let Some(task) = run.task(id).cloned() else { return };
        let missing = run.missing(&task);
        drop(run);
        let workflow = Arc::clone(&self.workflow);
        let mut cx = Cx::of_task(&self.environment, &workflow, &self.journal, &task);
        let cancelled = Arc::clone(&cx.cancelled);
        let shown = Arc::clone(&cx.progress);
        self.board.lock().unwrap_or_else(PoisonError::into_inner).insert(id, Arc::clone(&shown));
        let span = tracing::info_span!("task", run = %self.journal.id, task = id, activity = %task.activity);
        let work = async move {
            let outcome = match workflow.activities.get(&task.activity) {
                None => Err(Failure::new(Class::Config, format!("there is no activity \"{}\"", task.activity))),
                Some(_) if !missing.is_empty() => {
                    let names: Vec<String> = missing.into_iter().map(|inbound| inbound.from).collect();
                    let message = format!("nothing came from {}, and nothing can come any more", names.join(", "));
                    Err(Failure::new(Class::Data, message))
                }
                Some(node) if task.exhausted => exhausted(&mut cx, node),
                Some(node) => match identity::check_node(&cx.environment, node).await {
                    Ok(()) => node.activity.run(&mut cx).await,
                    Err(failure) => Err(failure),
                },
            };
            match outcome {
                Ok(()) if let Some(until) = cx.done.waits_until => (id, Ok(Rest::Waits(until))),
                Ok(()) => (id, finish(&mut cx, workflow.activities.get(&task.activity), &task).await),
                Err(failure) => (id, Err(failure)),
            }
        };
        let work = crate::progress::of_task(shown, work);
        let abort = self.tasks.spawn(tracing::Instrument::instrument(work, span));
        self.working.insert(id, Working { abort, cancelled });
    }

    async fn task_ended(
        &mut self,
        ended: Result<(tokio::task::Id, (TaskId, Outcome)), tokio::task::JoinError>,
    ) -> Result<(), Failure> {
        let (id, outcome) = match ended {
            Ok((_, ended)) => ended,
            Err(error) => {
                let lost = self.working.iter().find(|(_, working)| working.abort.id() == error.id());
                let Some((id, _)) = lost else { return Ok(()) };
                (*id, Err(Failure::internal(format!("the activity broke off: {error}"))))
            }
        };
        self.working.remove(&id);
        self.board.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        let Some(task) = self.journal.run().task(id).cloned() else { return Ok(()) };
        // It had come to its end before it could be broken off.
        if task.status == TaskStatus::Stopped {
            return Ok(());
        }
        let workflow = Arc::clone(&self.workflow);
        let Some(node) = workflow.activities.get(&task.activity) else {
            let failure = Failure::internal(format!("there is no activity {}", task.activity));
            return self.record_failure(&task, None, failure).await;
        };
        match outcome {
            Ok(Rest::Waits(until)) => Ok(self.journal.append(vec![Event::TaskWaiting { task: id, until }]).await?),
            Ok(Rest::Ended(sealed, done, out)) => match self.record_end(&task, node, sealed, *done, &out).await {
                // Its variables, say, are too large for the journal: the task is at fault, and the run goes on.
                Err(failure) if failure.class == Class::Limit => self.record_failure(&task, Some(node), failure).await,
                recorded => {
                    self.break_off_stopped();
                    recorded
                }
            },
            Err(failure) => self.record_failure(&task, Some(node), failure).await,
        }
    }

    async fn obey(&mut self, order: Order) -> Result<(), Failure> {
        let event = match order {
            Order::Pause => Event::Paused,
            // With nothing to resume, what stands still is what waits for a time.
            Order::Resume(vars) if vars.is_empty() && !self.journal.run().needs_resume() => {
                Event::Woken { activity: None }
            }
            Order::Resume(vars) => {
                let (hold, _) = self.workflow.when_running.holds();
                return Ok(self.journal.append_holding(vec![Event::Resumed { vars }], hold).await?);
            }
            Order::Wake(activity) => Event::Woken { activity },
            Order::Stop => {
                self.leave().await;
                self.remember().await?;
                Event::Stopped
            }
            Order::Leave => {
                self.leave().await;
                return Ok(());
            }
        };
        Ok(self.journal.append(vec![event]).await?)
    }

    /// What tasks have written that may never go on.
    async fn remember(&self) -> Result<(), Failure> {
        temp::remember_all(&self.environment, &self.workflow, &self.journal).await
    }

    /// What another task stopped works no more.
    fn break_off_stopped(&self) {
        let run = self.journal.run();
        let is_stopped = |id: &TaskId| run.task(*id).is_some_and(|task| task.status == TaskStatus::Stopped);
        self.working.iter().filter(|(id, _)| is_stopped(id)).for_each(|(_, working)| working.break_off());
    }

    /// Breaks off what works. What writes hears the answers that are under way, so that less is in doubt afterwards; its end is
    /// not recorded, and it goes on from what it kept.
    async fn leave(&mut self) {
        {
            let run = self.journal.run();
            for (id, working) in &self.working {
                match run.task(*id).is_some_and(|task| temp::is_writer(&self.workflow, task)) {
                    true => working.cancel(),
                    false => working.break_off(),
                }
            }
        }
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        tokio::time::timeout(LEAVE_GRACE, ended).await.ok();
        self.break_off().await;
    }

    async fn break_off(&mut self) {
        self.working.values().for_each(Working::break_off);
        while self.tasks.join_next().await.is_some() {}
        self.working.clear();
        self.board.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").field("run", &self.journal.id).finish_non_exhaustive()
    }
}

/// Waits until no run holds the workflow of this one, and it is the first of those that wait.
async fn until_free(environment: &Environment, run: &RunId) -> Result<(), StoreError> {
    let mut changed = environment.store.watch();
    loop {
        let runs = environment.store.workflow(run.workflow()).await?;
        if runs.holders.is_empty() && runs.queue.first() == Some(run) {
            return Ok(());
        }
        if changed.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

fn task_of(ready: &Ready) -> TaskId {
    match ready {
        Ready::Begin { task, .. } | Ready::GoOn { task, .. } => *task,
    }
}

/// Variables that a run begins with: the workflow's, then those given. One that the file declares as null is not set
/// before it is given.
pub fn first_vars(workflow: &Workflow, given: &Vars) -> Vars {
    let mut vars = workflow.vars.clone();
    vars.retain(|_, value| !value.is_null());
    vars.extend(given.clone());
    vars
}
