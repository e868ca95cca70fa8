//! Starts runs and resumes them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot, watch};

use crate::alerting::Telling;
use crate::check::{self, Findings, Workflow};
use crate::describe::Ask;
use crate::document::escape;
use crate::driver::{Board, Driver, Order, Ordered};
use crate::environment::Environment;
use crate::event::{Event, Vars};
use crate::failure::{Class, Failure};
use crate::flow::Known;
use crate::journal::{AppendError, Journal};
use crate::outside::store::{OptionValue, RunId, StoreError};
use crate::pinned::{Pinned, WORKFLOW};
use crate::problem::Problem;
use crate::retention;
use crate::run::{Run, Status};
use crate::schema::Schemas;
use crate::scope;
use crate::script::Functions;
use crate::temp;

/// How many orders of an operator wait at most.
const ORDERS_MAX: usize = 16;

/// Starts runs, resumes them, and knows those that this process drives.
pub struct Engine {
    /// The outside.
    pub environment: Arc<Environment>,
    schemas: Schemas,
    driven: Mutex<HashMap<RunId, Driven>>,
    /// Runs whose driver is about to be made.
    beginning: Mutex<HashSet<RunId>>,
    /// Held while a run gets its number or its driver, or has an event recorded without one: no run has two.
    pub(crate) turn: tokio::sync::Mutex<()>,
    pub(crate) telling: Telling,
}

/// A run that this process drives, or drove until now.
#[derive(Clone)]
pub struct Driven {
    /// Its journal, with the run as it is.
    pub journal: Arc<Journal>,
    /// How far its tasks are.
    pub board: Board,
    /// What it is at once nothing drives it any more.
    pub done: watch::Receiver<Option<Result<Status, Failure>>>,
    orders: mpsc::Sender<Ordered>,
}

impl Driven {
    /// Waits until nothing drives it any more.
    ///
    /// # Errors
    /// Where its journal cannot be written.
    pub async fn wait(&self) -> Result<Status, Failure> {
        let mut done = self.done.clone();
        match done.wait_for(Option::is_some).await {
            Ok(status) => status.clone().unwrap_or_else(|| Err(Failure::internal("the run has no end"))),
            Err(_) => Err(Failure::internal("the driver of the run broke off")),
        }
    }

    /// Asks something of it, and tells once it is done; `false` where nothing drives it any more, so that nothing was.
    pub async fn order(&self, order: Order) -> bool {
        let (done, is_done) = oneshot::channel();
        self.orders.send((order, done)).await.is_ok() && is_done.await.is_ok()
    }

    pub(crate) fn is_driven(&self) -> bool {
        self.done.borrow().is_none()
    }
}

/// Marks a run that is about to get its driver.
pub(crate) struct Beginning<'a> {
    engine: &'a Engine,
    id: RunId,
}

impl Drop for Beginning<'_> {
    fn drop(&mut self) {
        self.engine.beginning.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

/// Why a run did not start.
#[derive(Debug)]
pub enum NotStarted {
    /// The workflow is not right.
    Problems(Vec<Problem>),
    /// Something else stands in the way.
    Failure(Failure),
}

impl<F: Into<Failure>> From<F> for NotStarted {
    fn from(failure: F) -> Self {
        Self::Failure(failure.into())
    }
}

impl Engine {
    /// An engine on this outside.
    pub fn new(environment: Arc<Environment>) -> Self {
        let (schemas, driven, turn) = (Schemas::default(), Mutex::default(), tokio::sync::Mutex::default());
        Self { environment, schemas, driven, beginning: Mutex::default(), turn, telling: Telling::default() }
    }

    /// Reads a workflow and checks it against what is known of the outside.
    pub async fn check(&self, file: &str, name: &str, text: &str, ask: Ask) -> (Option<Workflow>, Findings) {
        self.check_pinned(file, name, &Pinned::now(&self.environment, text), &Vars::new(), ask).await
    }

    pub(crate) async fn check_pinned(
        &self,
        file: &str,
        name: &str,
        pinned: &Pinned,
        given: &Vars,
        ask: Ask,
    ) -> (Option<Workflow>, Findings) {
        let (workflow, mut problems) = self.read(file, name, pinned);
        let Some(mut workflow) = workflow else {
            return (None, Findings { problems, ..Findings::default() });
        };
        workflow.vars.extend(given.clone());
        let known = Known::gather(&self.environment, &workflow.needs(), ask).await;
        let mut findings = workflow.flow(&known);
        problems.append(&mut findings.problems);
        problems.sort_by_key(|problem| (problem.line, problem.column));
        // An expression that cannot be read is found by the schema and by its activity.
        let mut told = HashSet::new();
        problems.retain(|problem| told.insert((problem.line, problem.column, problem.code, problem.message.clone())));
        findings.problems = problems;
        (Some(workflow), findings)
    }

    /// The imports of a workflow that have changed since their automatic index began, so that older records are missing, by
    /// the options of a data folder.
    pub fn changed_indexes(
        &self,
        file: &str,
        name: &str,
        text: &str,
        options: &BTreeMap<String, OptionValue>,
    ) -> Vec<Problem> {
        let (Some(workflow), _) = self.read(file, name, &Pinned::now(&self.environment, text)) else {
            return Vec::new();
        };
        let changed = workflow.indexes().filter_map(|(activity, option, scope)| {
            let kept = options.get(&option)?;
            let why = kept.scope.as_ref()?.lacks(&scope?)?;
            let pointer = format!("/activities/{}/automaticIndex", escape(activity));
            let (message, help) = (scope::message(&option, &why), scope::help(&option, &kept.value, file));
            Some(workflow.problem(&pointer, "index-changed", message, Some(help)))
        });
        changed.collect()
    }

    /// Reads a workflow and checks all that needs nothing of the outside.
    pub(crate) fn read(&self, file: &str, name: &str, pinned: &Pinned) -> (Option<Workflow>, Vec<Problem>) {
        let (mut workflow, problems) = check::read(self.environment.palette, &self.schemas, file, name, &pinned.text);
        if let Some(workflow) = &mut workflow {
            workflow.functions = Functions::of(&pinned.library, &self.environment.limits.script);
        }
        (workflow, problems)
    }

    /// Goes on with a run that was suspended, paused, or broken off; one that is driven already is told to go on.
    ///
    /// # Errors
    /// If there is no such run, it is over, another run holds its workflow, or its file or journal is not what was written.
    pub async fn resume(self: &Arc<Self>, id: &RunId) -> Result<Driven, Failure> {
        self.resume_with(id, Vars::new()).await
    }

    /// As [`resume`](Self::resume), with variables of the run set first, by which an operator lets a guard pass.
    ///
    /// # Errors
    /// As of [`resume`](Self::resume).
    pub async fn resume_with(self: &Arc<Self>, id: &RunId, vars: Vars) -> Result<Driven, Failure> {
        let _turn = self.turn.lock().await;
        if let Some(driven) = self.order(id, Order::Resume(vars.clone())).await {
            return Ok(driven);
        }
        let (workflow, run) = self.load(id).await?;
        let status = run.status();
        if status.is_over() {
            let message = format!("run {id} is over");
            return Err(Failure::new(Class::Config, message).help("start the workflow again with `campanile run`"));
        }
        self.check_stores(&workflow).await?;
        self.check_accounts(&workflow).await?;
        let _beginning = self.beginning(id);
        let needs_word = run.needs_resume();
        let journal = self.journal(id, run);
        if needs_word || !vars.is_empty() {
            let (hold, _) = workflow.when_running.holds();
            match journal.append_holding(vec![Event::Resumed { vars }], hold).await {
                Err(AppendError::Store(StoreError::Held { by })) => return Err(self.held(&by).await),
                resumed => resumed?,
            }
        } else if journal.run().is_interrupted {
            // It may wait for its time and record nothing else before it is interrupted again.
            journal.append(vec![Event::Resumed { vars }]).await?;
        }
        Ok(self.drive(workflow, journal))
    }

    /// Ends a run for good, whether this process drives it or not.
    ///
    /// # Errors
    /// Where there is no such run, or it is over.
    pub async fn stop(self: &Arc<Self>, id: &RunId) -> Result<Status, Failure> {
        let _turn = self.turn.lock().await;
        if let Some(driven) = self.order(id, Order::Stop).await {
            return driven.wait().await;
        }
        let (workflow, run) = self.load(id).await?;
        let workflow = Arc::new(workflow);
        if !run.status().is_over() {
            let journal = self.journal(id, run.clone());
            temp::remember_all(&self.environment, &workflow, &journal).await?;
        }
        let journal = self.append(id, run, Event::Stopped).await?;
        temp::forget_all(&self.environment, &workflow, &journal).await;
        Ok(Status::Stopped)
    }

    /// Lets a run start nothing new, whether this process drives it or not.
    ///
    /// # Errors
    /// Where there is no such run, or it is over.
    pub async fn pause(&self, id: &RunId) -> Result<(), Failure> {
        let _turn = self.turn.lock().await;
        if self.order(id, Order::Pause).await.is_some() {
            return Ok(());
        }
        let (_, run) = self.load(id).await?;
        self.append(id, run, Event::Paused).await.map(drop)
    }

    /// Ends the waits of a run before their time, those of one activity or all, whether this process drives it or not.
    /// One that nothing drives stays so, and no longer waits once it is resumed.
    ///
    /// # Errors
    /// Where there is no such run, or nothing of what is named waits.
    pub async fn wake(&self, id: &RunId, activity: Option<&str>) -> Result<(), Failure> {
        let _turn = self.turn.lock().await;
        let activity = activity.map(str::to_owned);
        if let Some(driven) = self.driven(id).filter(Driven::is_driven) {
            check_waits(id, &driven.journal.run(), activity.as_deref())?;
            if self.order(id, Order::Wake(activity.clone())).await.is_some() {
                return Ok(());
            }
        }
        let (_, run) = self.load(id).await?;
        check_waits(id, &run, activity.as_deref())?;
        self.append(id, run, Event::Woken { activity }).await.map(drop)
    }

    /// Has an order done by what drives a run; `None` where nothing does, so that the run is what its journal says.
    async fn order(&self, id: &RunId, order: Order) -> Option<Driven> {
        let driven = self.driven(id).filter(Driven::is_driven)?;
        if driven.order(order).await {
            return Some(driven);
        }
        // It was at its end when the order came.
        driven.wait().await.ok();
        None
    }

    /// Records an operator's order to a run that nothing drives.
    async fn append(&self, id: &RunId, run: Run, order: Event) -> Result<Arc<Journal>, Failure> {
        let journal = self.journal(id, run);
        journal.append(vec![order]).await.map_err(|error| match error {
            AppendError::Illegal(_) => Failure::new(Class::Config, format!("run {id} is over already")),
            error @ AppendError::Store(_) => error.into(),
        })?;
        Ok(journal)
    }

    /// A run that this process drives; one that is over is known for a moment more.
    pub fn driven(&self, id: &RunId) -> Option<Driven> {
        self.driven.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// A run that is about to get its driver counts as driven, until this is dropped.
    pub(crate) fn beginning(&self, id: &RunId) -> Beginning<'_> {
        self.beginning.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
        Beginning { engine: self, id: id.clone() }
    }

    /// Whether this process drives a run, or is about to.
    pub fn is_driving(&self, id: &RunId) -> bool {
        // In this order: a run is among those that begin until it is among those that are driven.
        let begins = self.beginning.lock().unwrap_or_else(PoisonError::into_inner).contains(id);
        begins || self.driven(id).is_some_and(|driven| driven.is_driven())
    }

    /// Runs that this process drives now.
    pub fn driving(&self) -> Vec<(RunId, Driven)> {
        let driven = self.driven.lock().unwrap_or_else(PoisonError::into_inner);
        let now = driven.iter().filter(|(_, driven)| driven.is_driven());
        now.map(|(id, driven)| (id.clone(), driven.clone())).collect()
    }

    /// A run as its journal tells it, with the workflow it runs.
    ///
    /// # Errors
    /// Where there is no such run, or its file or journal is not what was written.
    pub async fn load(&self, id: &RunId) -> Result<(Workflow, Run), Failure> {
        let events = self.environment.store.events(id, 0, usize::MAX).await?;
        let pinned = Pinned::read(&self.environment, id, &events)?;
        let (workflow, problems) = self.read(&self.file(id), id.workflow(), &pinned);
        let Some(workflow) = workflow.filter(|_| problems.is_empty()) else {
            let problem = problems.first().map(|problem| problem.message.clone()).unwrap_or_default();
            let message = format!("the file of run {id} is not understood by this version: {problem}");
            return Err(Failure::new(Class::Config, message));
        };
        let run = Run::fold(Arc::clone(&workflow.graph), &events).map_err(|illegal| {
            Failure::new(Class::Storage, format!("run {id}: {illegal}")).help("put the data folder back from a backup")
        })?;
        Ok((workflow, run))
    }

    pub(crate) async fn pinned(&self, id: &RunId) -> Result<Pinned, Failure> {
        Pinned::read(&self.environment, id, &self.environment.store.events(id, 0, usize::MAX).await?)
    }

    /// Where the file lies that a run began with.
    pub(crate) fn file(&self, id: &RunId) -> String {
        self.environment.run_folder(id).join(WORKFLOW).display().to_string()
    }

    pub(crate) fn journal(&self, id: &RunId, run: Run) -> Arc<Journal> {
        let environment = &self.environment;
        Arc::new(Journal::new(id.clone(), Arc::clone(&environment.store), Arc::clone(&environment.clock), run))
    }

    pub(crate) fn drive(self: &Arc<Self>, workflow: Workflow, journal: Arc<Journal>) -> Driven {
        let (orders, receiver) = mpsc::channel(ORDERS_MAX);
        let (end, done) = watch::channel(None);
        let board = Board::default();
        let driver = Driver::new(
            Arc::clone(&self.environment),
            Arc::new(workflow),
            Arc::clone(&journal),
            Arc::clone(&board),
            receiver,
        );
        let driven = Driven { journal: Arc::clone(&journal), board, done, orders };
        let mut all = self.driven.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(journal.id.clone(), driven.clone());
        drop(all);
        let engine = Arc::clone(self);
        tokio::spawn(async move {
            let ended = tokio::select! {
                ended = driver.drive() => ended,
                never = engine.tell_as_owed(&journal) => match never {},
            };
            // Its last event may be the one.
            engine.tell_owed(&journal.id, &journal.run());
            if matches!(&ended, Ok(status) if status.is_over())
                && let Err(failure) = retention::remove_old(&engine.environment, &journal.id).await
            {
                tracing::warn!(%failure, "old populations stay");
            }
            if let Err(failure) = &ended {
                tracing::error!(run = %journal.id, %failure, "the run cannot be driven on");
            }
            end.send_replace(Some(ended));
            engine.forget(&journal);
        });
        driven
    }

    /// A run that nothing drives is what its journal says; meanwhile it may be driven anew.
    fn forget(&self, journal: &Arc<Journal>) {
        let mut all = self.driven.lock().unwrap_or_else(PoisonError::into_inner);
        if all.get(&journal.id).is_some_and(|driven| Arc::ptr_eq(&driven.journal, journal)) {
            all.remove(&journal.id);
        }
    }
}

fn check_waits(id: &RunId, run: &Run, activity: Option<&str>) -> Result<(), Failure> {
    let waits = || run.tasks.iter().filter(|task| task.waits_until().is_some()).map(|task| task.activity.as_str());
    match activity {
        None if waits().next().is_none() => {
            Err(Failure::new(Class::Config, format!("nothing of run {id} waits for a time")))
        }
        Some(activity) if !waits().any(|waiting| waiting == activity) => {
            let names: Vec<&str> = waits().collect();
            let failure = Failure::new(Class::Config, format!("{activity} of run {id} does not wait for a time"));
            Err(if names.is_empty() { failure } else { failure.help(format!("what waits: {}", names.join(", "))) })
        }
        _ => Ok(()),
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("environment", &self.environment).finish_non_exhaustive()
    }
}
