//! What can be asked of a data folder. Every door to it, the socket first, leads here.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::accept::Accepted;
use engine::engine::{Driven, Engine};
use engine::event::{Backfill, Event, Recorded, TaskId, Vars};
use engine::failure::{Class, Failure};
use engine::identity::RESERVED;
use engine::indexes;
use engine::outside::store::{Expect, OptionChange, OptionValue, Page, RunEntry, RunFilter, RunId, check_option_name};
use engine::progress::Pause;
use engine::run::{Run, Status};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;

use crate::api::{Restart, Resume};
use crate::folder;
use crate::preview::{self, Preview, Wanted};
use crate::project::{Origin, Project};
use crate::refusal::Refusal;
use crate::view::{Kinds, ProgressView, RunLine, RunView, TaskView, WaitView};

/// The longest that a follower may ask to wait for news.
pub const FOLLOW_WAIT_MAX: Duration = Duration::from_secs(30);
/// The most events in one answer.
pub const EVENTS_MAX: usize = 1_000;

/// What can be asked of a data folder that this process has open.
#[derive(Debug)]
pub struct Service {
    /// Runs it.
    pub engine: Arc<Engine>,
    pub(crate) project: Arc<Project>,
    /// Held while rejects are changed or sent, so that none is sent twice.
    pub(crate) resending: tokio::sync::Mutex<()>,
    /// Types of activities by run: a run never changes its file.
    kinds: Mutex<HashMap<RunId, Arc<Kinds>>>,
}

/// A workflow to run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Submission {
    /// The workflow's file, for its name and for messages.
    pub file: PathBuf,
    /// The workflow.
    pub text: String,
    /// The configuration of who submits it.
    pub config: Option<PathBuf>,
    /// [`Project::identity`] of who submits it.
    pub identity: String,
    /// Variables it begins with.
    #[serde(default)]
    pub vars: Vars,
    /// The window that imports have instead of that of their automatic index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backfill: Option<Backfill>,
}

/// A run that began.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Began {
    /// Its name.
    pub run: RunId,
    /// How many events it had before.
    pub events: u64,
}

/// News of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct News {
    /// The number of the event to ask for next.
    pub next: u64,
    /// What the run is at.
    pub status: Status,
    /// Whether nothing drives the run any more and all its events were told.
    pub ended: bool,
    /// The tasks that these events tell of, and those that work.
    pub tasks: Vec<TaskView>,
    /// What happened.
    pub journal: Vec<Recorded>,
}

impl Service {
    /// A service of an engine.
    pub fn new(engine: Arc<Engine>, project: Arc<Project>) -> Self {
        Self { engine, project, resending: tokio::sync::Mutex::default(), kinds: Mutex::default() }
    }

    /// The latest runs, the oldest of them first.
    pub(crate) async fn runs(&self, filter: &RunFilter, page: Page) -> Result<Vec<RunLine>, Refusal> {
        // A run that ended or began while the heads were read is not one that was interrupted.
        let driven: HashSet<RunId> = self.engine.driving().into_iter().map(|(run, _)| run).collect();
        let runs = self.engine.environment.store.runs(filter, page).await?;
        let now = self.engine.environment.clock.now();
        let is_driven = |run: &RunId| driven.contains(run) || self.engine.is_driving(run);
        let open = self.engine.environment.memory.open().await?;
        let line = |run: RunEntry| {
            // Of those that it left in doubt, those that are not settled.
            let in_doubt = open.get(&run.id).copied().unwrap_or(0);
            RunLine { in_doubt, ..RunLine::new(&run, is_driven(&run.id), now) }
        };
        Ok(runs.into_iter().rev().map(line).collect())
    }

    /// Starts a workflow.
    pub(crate) async fn submit(self: &Arc<Self>, submission: Submission) -> Result<Began, Refusal> {
        self.same_project(&submission.identity)?;
        let service = Arc::clone(self);
        // Whoever asked may go away; a run that has begun is driven all the same.
        let start = tokio::spawn(async move {
            let file = submission.file.display().to_string();
            let (run, _) =
                service.engine.start_with(&file, &submission.text, submission.vars, submission.backfill).await?;
            let origin = Origin { file: submission.file, config: submission.config };
            origin.keep(&service.engine.environment.run_folder(&run));
            Ok(Began { run, events: 0 })
        });
        start.await.map_err(|error| Failure::internal(error.to_string()))?
    }

    /// Accounts, limits and scripts are those that this process began with.
    pub(crate) fn same_project(&self, identity: &str) -> Result<(), Refusal> {
        if identity == self.project.identity {
            return Ok(());
        }
        let ours = match &self.project.config_file {
            Some(file) => format!("{} as it was when that process began", file.display()),
            None => "no campanile.toml".to_owned(),
        };
        let message =
            format!("the process {} works in this data folder with another configuration: {ours}", std::process::id());
        let help = "wait until it ends, or use another folder with --data";
        Err(Failure::new(Class::Conflict, message).help(help).into())
    }

    /// A run as it is.
    pub(crate) async fn run(&self, id: &RunId) -> Result<RunView, Refusal> {
        let kinds = self.kinds(id);
        let now = self.engine.environment.clock.now();
        let view = |run: &Run, driven: Option<&Driven>| {
            let mut view = RunView::new(id, run, &kinds, driven.is_some(), now);
            add_progress(&mut view.tasks, driven, now);
            view
        };
        let mut view = self.seen(id, view).await?;
        view.in_doubt = self.engine.environment.memory.open().await?.get(id).copied().unwrap_or(0);
        Ok(view)
    }

    /// Events of a run from this number on.
    pub(crate) async fn journal(&self, id: &RunId, from: u64) -> Result<Vec<Recorded>, Refusal> {
        let events = self.engine.environment.store.events(id, from, EVENTS_MAX).await?;
        if events.is_empty() && from == 0 {
            return Err(no_run(id).into());
        }
        Ok(events)
    }

    /// What happened since the event of this number; waits so long for something to happen.
    pub(crate) async fn news(&self, id: &RunId, from: u64, wait: Duration) -> Result<News, Refusal> {
        let driven = self.driven(id);
        if let Some(driven) = &driven {
            let (mut changed, mut done) = (driven.journal.watch(), driven.done.clone());
            tokio::select! {
                _ = changed.wait_for(|events| *events > from) => {}
                _ = done.wait_for(Option::is_some) => {}
                () = tokio::time::sleep(wait.min(FOLLOW_WAIT_MAX)) => {}
            }
        }
        // Asked before the events are read: of a run that nothing drives they are all there.
        let driven = self.driven(id);
        let mut journal = self.engine.environment.store.events(id, from, EVENTS_MAX + 1).await?;
        let all = journal.len() <= EVENTS_MAX;
        journal.truncate(EVENTS_MAX);
        if let Some(driven) = &driven {
            // An event is durable a moment before the run is as it says; told with the task as it was, it would not be
            // told again.
            let folded = driven.journal.run().events.saturating_sub(from);
            journal.truncate(usize::try_from(folded).unwrap_or(EVENTS_MAX));
        }
        let kinds = self.kinds(id);
        let now = self.engine.environment.clock.now();
        let news = |run: &Run, live: Option<&Driven>| {
            let told: BTreeSet<TaskId> = journal.iter().filter_map(|recorded| task_of(&recorded.event)).collect();
            let tasks = run.tasks.iter().filter(|task| told.contains(&task.id) || task.is_live());
            let mut tasks: Vec<_> = tasks.map(|task| TaskView::new(run, task, &kinds, live.is_some(), now)).collect();
            add_progress(&mut tasks, live, now);
            (run.status(), tasks)
        };
        let (status, tasks) = self.seen(id, news).await?;
        let next = from + journal.len() as u64;
        Ok(News { next, status, ended: driven.is_none() && all, tasks, journal })
    }

    /// Goes on with a run.
    pub(crate) async fn resume(self: &Arc<Self>, id: &RunId, resume: Resume) -> Result<Began, Refusal> {
        let Resume { identity, vars, wake } = resume;
        self.same_project(&identity)?;
        if wake {
            // Most runs that are resumed wait for nothing but the operator.
            self.wakeup(id, None).await.ok();
        }
        let events = self.engine.environment.store.run(id).await?.map_or(0, |run| run.events);
        let (service, run) = (Arc::clone(self), id.clone());
        let resume =
            tokio::spawn(async move { service.engine.resume_with(&run, vars).await.map(|_| Began { run, events }) });
        Ok(resume.await.map_err(|error| Failure::internal(error.to_string()))??)
    }

    /// Ends a run and starts anew what it began with.
    pub(crate) async fn restart(self: &Arc<Self>, id: &RunId, restart: &Restart) -> Result<Began, Refusal> {
        self.same_project(&restart.identity)?;
        let (service, old, again) = (Arc::clone(self), id.clone(), restart.again);
        let restart = tokio::spawn(async move {
            let (run, _) = service.engine.restart(&old, again).await?;
            if let Some(origin) = service.project.origin(&old) {
                origin.keep(&service.engine.environment.run_folder(&run));
            }
            Ok(Began { run, events: 0 })
        });
        restart.await.map_err(|error| Failure::internal(error.to_string()))?
    }

    /// Ends a run for good.
    pub(crate) async fn stop(&self, id: &RunId) -> Result<RunView, Refusal> {
        self.engine.stop(id).await?;
        self.run(id).await
    }

    /// Ends the waits of a run before their time, those of one activity or all: of a `wait`, before a retry, and for a CRM.
    pub(crate) async fn wakeup(&self, id: &RunId, activity: Option<&str>) -> Result<RunView, Refusal> {
        let has_woken = self.driven(id).is_some_and(|driven| wake_tasks(&driven, activity));
        match self.engine.wake(id, activity).await {
            Err(failure) if !has_woken => Err(failure.into()),
            _ => self.run(id).await,
        }
    }

    /// Lets a run start nothing new.
    pub(crate) async fn pause(&self, id: &RunId) -> Result<RunView, Refusal> {
        self.engine.pause(id).await?;
        self.run(id).await
    }

    /// The first records on a port of a task.
    pub(crate) async fn preview(&self, id: &RunId, wanted: Wanted) -> Result<Preview, Refusal> {
        let folder = self.engine.environment.run_folder(id);
        let found = self.seen(id, |run, _| preview::find(id, run, &wanted)).await??;
        let read = tokio::task::spawn_blocking(move || preview::read(&folder, found, wanted.limit)).await;
        Ok(read.map_err(|error| Failure::internal(error.to_string()))??)
    }

    /// Takes something as it is. A folder that gets a new id has it in its record next to the store too.
    pub(crate) async fn accept(&self, what: &Accepted) -> Result<Vec<RunId>, Refusal> {
        let stopped = self.engine.accept(what).await?;
        if *what == Accepted::Data {
            folder::keep(&self.project.data, &self.engine.environment.store.identity())?;
        }
        Ok(stopped)
    }

    /// All options.
    pub(crate) async fn options(&self) -> Result<BTreeMap<String, OptionValue>, Refusal> {
        let mut options = self.engine.environment.store.options().await?;
        options.retain(|name, _| !name.starts_with(RESERVED));
        Ok(options)
    }

    /// One option.
    pub(crate) async fn option(&self, name: &str) -> Result<OptionValue, Refusal> {
        let option = self.engine.environment.store.option(name).await?;
        match option.filter(|_| !name.starts_with(RESERVED)) {
            Some(option) => Ok(option),
            None => {
                let options = self.options().await?;
                let help = engine::problem::suggestion(name, options.keys().map(String::as_str));
                let failure = Failure::new(Class::NotFound, format!("there is no option {name}"));
                Err(help.map_or(failure.clone(), |help| failure.help(help)).into())
            }
        }
    }

    /// Sets an option, as an operator does.
    pub(crate) async fn set_option(&self, name: &str, value: String) -> Result<OptionValue, Refusal> {
        check_option_name(name)?;
        let at = self.engine.environment.clock.now();
        let option = OptionValue { value, at, by: "operator".to_owned(), seen: None, scope: None };
        let change = OptionChange { name: name.to_owned(), expect: Expect::Any, value: Some(option.clone()) };
        self.engine.environment.store.set_options(vec![change]).await?;
        Ok(option)
    }

    /// Removes an option; tells what it was.
    pub(crate) async fn remove_option(&self, name: &str) -> Result<OptionValue, Refusal> {
        let option = self.option(name).await?;
        let change =
            OptionChange { name: name.to_owned(), expect: Expect::Is(Some(option.value.clone())), value: None };
        // Who removes it wants the next import to read everything.
        let wanted = indexes::want_everything(name, self.engine.environment.clock.now());
        self.engine.environment.store.set_options(vec![change, wanted]).await?;
        Ok(option)
    }

    /// What drives a run now, if this process does. A run that it drove is what its journal says, since somebody may have
    /// stopped it meanwhile.
    fn driven(&self, id: &RunId) -> Option<Driven> {
        self.engine.driven(id).filter(|driven| driven.done.borrow().is_none())
    }

    async fn seen<T>(&self, id: &RunId, see: impl FnOnce(&Run, Option<&Driven>) -> T) -> Result<T, Failure> {
        if let Some(driven) = self.driven(id) {
            return Ok(see(&driven.journal.run(), Some(&driven)));
        }
        let (_, run) = self.engine.load(id).await?;
        Ok(see(&run, None))
    }

    /// The types of a run's activities, for show only.
    fn kinds(&self, id: &RunId) -> Arc<Kinds> {
        let mut all = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kinds) = all.get(id) {
            return Arc::clone(kinds);
        }
        let pinned = self.engine.environment.run_folder(id).join(engine::pinned::WORKFLOW);
        let workflow = fs::read(pinned).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
        let Some(workflow) = workflow else { return Arc::default() };
        let activities = workflow["activities"].as_object().into_iter().flatten();
        let kind = |(name, activity): (&String, &Value)| Some((name.clone(), activity["type"].as_str()?.to_owned()));
        let kinds: Arc<Kinds> = Arc::new(activities.filter_map(kind).collect());
        all.insert(id.clone(), Arc::clone(&kinds));
        kinds
    }
}

/// Ends the waits within tasks that work, such as for a CRM that limits its callers; whether there were any.
fn wake_tasks(driven: &Driven, activity: Option<&str>) -> bool {
    let run = driven.journal.run();
    let is_meant =
        |task: TaskId| activity.is_none_or(|activity| run.task(task).is_some_and(|task| task.activity == activity));
    let board = driven.board.lock().unwrap_or_else(PoisonError::into_inner);
    let waiting = board.iter().filter(|(task, progress)| is_meant(**task) && progress.pause().is_some());
    waiting.map(|(_, progress)| progress.wake()).count() > 0
}

fn no_run(id: &RunId) -> Failure {
    Failure::new(Class::NotFound, format!("there is no run {id}"))
        .help("`campanile runs` lists the runs of this data folder")
}

fn add_progress(tasks: &mut [TaskView], driven: Option<&Driven>, now: Timestamp) {
    let Some(driven) = driven else { return };
    let board = driven.board.lock().unwrap_or_else(PoisonError::into_inner);
    for task in tasks {
        let Some(progress) = board.get(&task.task) else { continue };
        task.progress = Some(ProgressView { done: progress.done(), total: progress.total() });
        if let Some(Pause { reason, until, attempt }) = progress.pause() {
            let left = until.saturating_duration_since(Instant::now());
            let until = now.checked_add(left).unwrap_or(Timestamp::MAX);
            task.wait = Some(WaitView::new(reason, until, attempt, now));
        }
    }
}

fn task_of(event: &Event) -> Option<TaskId> {
    match event {
        Event::TaskStarted { task, .. }
        | Event::Sealed { task, .. }
        | Event::WindowOpened { task, .. }
        | Event::OptionSet { task, .. }
        | Event::OptionMoved { task, .. }
        | Event::OptionHeld { task, .. }
        | Event::TaskWaiting { task, .. }
        | Event::TaskEnded { task, .. }
        | Event::TaskFailed { task, .. }
        | Event::Logged { task, .. } => Some(*task),
        Event::Started { .. }
        | Event::Admitted
        | Event::Attention { .. }
        | Event::Alerted { .. }
        | Event::Woken { .. }
        | Event::Paused
        | Event::Resumed { .. }
        | Event::Stopped
        | Event::Finished => None,
    }
}
