//! Starts runs: checks the workflow, takes its hold, and gives the run its number.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use crate::activity::Need;
use crate::check::{Findings, Workflow};
use crate::describe::Ask;
use crate::driver::first_vars;
use crate::engine::{Driven, Engine, NotStarted};
use crate::enter::Entering;
use crate::event::{Backfill, Event, Vars};
use crate::failure::{Class, Failure};
use crate::identity;
use crate::indexes;
use crate::journal::AppendError;
use crate::outside::store::{Hold, RunId, StoreError, WorkflowRuns};
use crate::pinned::{Checksums, Pinned};
use crate::problem::suggestion;
use crate::run::{Run, Status};
use crate::workflow::WhenRunning;

/// What a run begins with next to its workflow.
#[derive(Default)]
struct Begin<'a> {
    vars: Vars,
    entering: Option<Entering>,
    backfill: Option<Backfill>,
    /// A run that is not over, whose place it takes.
    replaces: Option<&'a RunId>,
}

impl Engine {
    /// Starts a run of a workflow and drives it.
    ///
    /// # Errors
    /// Where the workflow is not right, or the data folder does not take it.
    pub async fn start(self: &Arc<Self>, file: &str, text: &str, vars: Vars) -> Result<(RunId, Driven), NotStarted> {
        self.start_with(file, text, vars, None).await
    }

    /// Starts a run of a workflow whose imports have another window than that of their automatic index, and drives it.
    ///
    /// # Errors
    /// As [`start`](Self::start); and where the window is none, or no import has an automatic index.
    pub async fn start_with(
        self: &Arc<Self>,
        file: &str,
        text: &str,
        vars: Vars,
        backfill: Option<Backfill>,
    ) -> Result<(RunId, Driven), NotStarted> {
        let name = Path::new(file).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let pinned = Pinned::now(&self.environment, text);
        let (workflow, _) = self.ready(file, name, &pinned, &vars).await?;
        if let Some(backfill) = &backfill {
            check_backfill(&workflow, backfill, self.environment.clock.now())?;
        }
        indexes::check(&self.environment, &workflow, backfill.as_ref()).await?;
        let vars = first_vars(&workflow, &vars);
        self.begin(workflow, &pinned, Begin { vars, backfill, ..Begin::default() }).await
    }

    /// Starts a run of what another run began with, file and shared scripts, at one of its activities, with records of
    /// its own: only that activity and what follows it work.
    ///
    /// # Errors
    /// Where there is no such run or its files are not what was written; else as [`start`](Self::start).
    pub async fn enter(
        self: &Arc<Self>,
        origin: &RunId,
        vars: Vars,
        entering: Entering,
    ) -> Result<(RunId, Driven), NotStarted> {
        let pinned = self.pinned(origin).await?;
        let (workflow, _) = self.ready(&self.file(origin), origin.workflow(), &pinned, &vars).await?;
        self.begin(workflow, &pinned, Begin { vars, entering: Some(entering), ..Begin::default() }).await
    }

    /// Starts a new run of what a run began with: the same file and shared scripts, the same variables, the same window of
    /// a backfill. A run that is not over is stopped for good, and what its tasks kept to go on with is dropped; but only
    /// once the new run is in the store. With `again` also if a task of it began to make records without a key, which
    /// are made again then.
    ///
    /// # Errors
    /// If there is no such run, it sends rejects again, or it made what would be made again; else as
    /// [`start`](Self::start). Then the run stays as it is.
    pub async fn restart(self: &Arc<Self>, id: &RunId, again: bool) -> Result<(RunId, Driven), NotStarted> {
        let events = self.environment.store.events(id, 0, usize::MAX).await?;
        let pinned = Pinned::read(&self.environment, id, &events)?;
        let Some(Event::Started { vars, entry: None, backfill, .. }) =
            events.into_iter().next().map(|first| first.event)
        else {
            let message = format!("run {id} sends rejects again, so it has no beginning to start from");
            return Err(Failure::new(Class::Config, message).help("send them with `campanile rejects resend`").into());
        };
        let (workflow, findings) = self.ready(&self.file(id), id.workflow(), &pinned, &vars).await?;
        indexes::check(&self.environment, &workflow, backfill.as_ref()).await?;
        let (_, run) = self.load(id).await?;
        let has_begun = |activity: &&str| run.tasks.iter().any(|task| task.activity == *activity);
        if let Some(activity) = findings.making_again().find(has_begun).filter(|_| !again) {
            let message =
                format!("{activity} of run {id} began to make records that nothing names: a restart makes them again");
            let help = match run.status().is_over() {
                true => "if they are to be made again, say --again".to_owned(),
                false => format!("go on with `campanile resume {id}`; if they are to be made again, say --again"),
            };
            return Err(Failure::new(Class::Conflict, message).help(help).into());
        }
        let replaces = Some(id).filter(|_| !run.status().is_over());
        self.begin(workflow, &pinned, Begin { vars, backfill, replaces, entering: None }).await
    }

    /// The workflow, where nothing is wrong with it as the outside is now, and what else was found.
    async fn ready(
        &self,
        file: &str,
        name: &str,
        pinned: &Pinned,
        given: &Vars,
    ) -> Result<(Workflow, Findings), NotStarted> {
        // Before anything is made: a database that is missing must not be made again.
        if let (Some(workflow), problems) = self.read(file, name, pinned)
            && problems.is_empty()
        {
            self.check_stores(&workflow).await?;
        }
        let (workflow, findings) = self.check_pinned(file, name, pinned, given, Ask::Refresh).await;
        for warning in &findings.warnings {
            tracing::warn!(at = warning.pointer, "{}", warning.message);
        }
        for note in &findings.unchecked {
            tracing::warn!("not checked: {note}");
        }
        match workflow {
            Some(workflow) if findings.problems.is_empty() => {
                // A system that did not answer just now is not asked again at once.
                if findings.unchecked.is_empty() {
                    self.check_accounts(&workflow).await?;
                }
                Ok((workflow, findings))
            }
            _ => Err(NotStarted::Problems(findings.problems)),
        }
    }

    /// The rejects desk, the memory between runs and the database are still those that this data folder knows.
    ///
    /// # Errors
    /// If one of them is another. A database that cannot be asked now is compared when an activity uses it.
    pub(crate) async fn check_stores(&self, workflow: &Workflow) -> Result<(), Failure> {
        identity::check_desk(&self.environment).await?;
        identity::check_memory(&self.environment).await?;
        for node in workflow.activities.values() {
            lasting(identity::check_node(&self.environment, node).await)?;
        }
        Ok(())
    }

    /// The accounts still lead to the organisations that this data folder knows.
    ///
    /// # Errors
    /// If one leads to another. What does not answer now is compared when an activity uses it.
    pub(crate) async fn check_accounts(&self, workflow: &Workflow) -> Result<(), Failure> {
        for need in workflow.needs() {
            let Need::Account(account) = need else { continue };
            let Ok(crm) = self.environment.crm(&account) else { continue };
            lasting(identity::check_account(&self.environment, &account, crm.as_ref()).await)?;
        }
        Ok(())
    }

    /// Gives a run its number, and drives it. Runs that it takes the place of are stopped only once it is in the store.
    async fn begin(
        self: &Arc<Self>,
        workflow: Workflow,
        pinned: &Pinned,
        begin: Begin<'_>,
    ) -> Result<(RunId, Driven), NotStarted> {
        let Begin { vars, entering, backfill, replaces } = begin;
        let name = workflow.name.as_str();
        let rule = workflow.when_running;
        let (id, driven, stops) = {
            let _turn = self.turn.lock().await;
            let others = self.environment.store.workflow(name).await?;
            self.check_hold(rule, &others, replaces).await?;
            let id = RunId::new(name, others.last + 1);
            let folder = self.environment.run_folder(&id);
            let Checksums { file, scripts } = pinned.write(&folder)?;
            let entry = match entering {
                Some(entering) => {
                    // Kept before the run can begin: two runs at the same time never send the same reject.
                    self.environment.desk.sending(&entering.rejects, &id).await?;
                    Some(entering.write(&folder).await?)
                }
                None => None,
            };
            let _beginning = self.beginning(&id);
            let journal = self.journal(&id, Run::new(Arc::clone(&workflow.graph)));
            let started = |queued| Event::Started {
                workflow: name.to_owned(),
                file: file.clone(),
                scripts: Some(scripts.clone()),
                vars: vars.clone(),
                entry: entry.clone(),
                backfill: backfill.clone(),
                folder: Some(self.environment.store.identity().folder),
                queued,
            };
            let (take, wait) = rule.holds();
            // It waits for the run whose place it takes, which is stopped next.
            let wait = wait.or(replaces.map(|_| Hold::Queue(WhenRunning::QUEUE_MAX)));
            let mut begun = journal.append_holding(vec![started(false)], take).await;
            if let (Err(AppendError::Store(StoreError::Held { .. })), Some(wait)) = (&begun, wait) {
                begun = journal.append_holding(vec![started(true)], wait).await;
            }
            begun.map_err(Failure::from)?;
            let stops: Vec<RunId> = match rule {
                WhenRunning::StopOther => others.holders,
                _ => replaces.cloned().into_iter().collect(),
            };
            (id, self.drive(workflow, journal), stops)
        };
        for other in stops {
            if let Err(failure) = self.stop(&other).await {
                tracing::warn!(run = %other, %failure, "the run that was to be stopped was not");
            }
        }
        Ok((id, driven))
    }

    /// Refuses before anything is written for a run that cannot begin or queue.
    async fn check_hold(
        &self,
        rule: WhenRunning,
        others: &WorkflowRuns,
        replaces: Option<&RunId>,
    ) -> Result<(), Failure> {
        let other = others.holders.iter().chain(&others.queue).find(|other| Some(*other) != replaces);
        match (rule, other) {
            (WhenRunning::Refuse, Some(by)) => Err(self.held(by).await),
            (WhenRunning::Queue | WhenRunning::QueueAll, _) => {
                let most = if rule == WhenRunning::Queue { 1 } else { WhenRunning::QUEUE_MAX };
                match others.queue.first().filter(|_| others.queue.len() >= most) {
                    Some(first) => Err(queue_full(first, others.queue.len())),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// Why a workflow cannot be started or resumed while this run holds it.
    pub(crate) async fn held(&self, by: &RunId) -> Failure {
        let status = match self.environment.store.run(by).await {
            Ok(Some(entry)) => entry.head.status(),
            _ => Status::Running,
        };
        let is_driven = self.is_driving(by);
        let (what, help) = match status {
            Status::Paused => {
                ("is paused", format!("continue it with `campanile resume {by}`, or end it with `campanile stop {by}`"))
            }
            _ if !is_driven => (
                "was interrupted",
                format!("continue it with `campanile resume {by}`, or end it with `campanile stop {by}`"),
            ),
            _ => (
                "is not over",
                format!(
                    "wait until it ends, or stop it with `campanile stop {by}`; \"whenRunning\" in the workflow can let starts queue, stop the other run or run in parallel"
                ),
            ),
        };
        Failure::new(Class::Conflict, format!("run {by} of the same workflow {what}")).help(help)
    }
}

/// Only what stays wrong keeps a run from beginning.
fn lasting(checked: Result<(), Failure>) -> Result<(), Failure> {
    checked.or_else(|failure| if failure.class == Class::Config { Err(failure) } else { Ok(()) })
}

fn queue_full(first: &RunId, waiting: usize) -> Failure {
    let message = match waiting {
        1 => format!("run {first} already waits for the workflow"),
        _ => format!("{waiting} runs already wait for the workflow, {first} first"),
    };
    let help = format!("wait until it begins, or stop it with `campanile stop {first}`");
    Failure::new(Class::Conflict, message).help(help)
}

fn check_backfill(workflow: &Workflow, backfill: &Backfill, now: Timestamp) -> Result<(), Failure> {
    let wrong = |message: String| Err(Failure::new(Class::Config, message));
    if backfill.from >= backfill.to {
        let message =
            format!("the backfill ends at {}, which is not after its beginning, {}", backfill.to, backfill.from);
        return wrong(message);
    }
    if backfill.to > now {
        let failure =
            Failure::new(Class::Config, format!("the backfill ends at {}, which has not passed", backfill.to));
        return Err(failure.help("let it end at a time that has passed"));
    }
    let is_indexed =
        |name: &str| workflow.activities.get(name).is_some_and(|node| node.activity.index_option().is_some());
    let mut indexed = workflow.activities.keys().map(String::as_str).filter(|name| is_indexed(name)).peekable();
    match &backfill.activity {
        None if indexed.peek().is_none() => {
            wrong(format!("no import of {} has an automatic index, so there is no window to fill", workflow.name))
        }
        Some(activity) if !is_indexed(activity) => {
            let names: Vec<&str> = indexed.collect();
            let failure = Failure::new(Class::Config, format!("\"{activity}\" is no import with an automatic index"));
            Err(match suggestion(activity, names.iter().copied()) {
                Some(help) => failure.help(help),
                None => failure,
            })
        }
        _ => Ok(()),
    }
}
