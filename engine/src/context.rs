//! The context: the one door through which an activity sees the outside.

mod notes;
mod position;
mod sealing;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::datatypes::Schema;
use indexmap::IndexMap;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;

use crate::activity::Port;
use crate::check::Workflow;
use crate::environment::{Environment, Limits};
use crate::event::{Backfill, Event, IndexWindow, Level, Segment, Tally, TaskId, Vars};
use crate::expr::{Bound, Source, Values, Variable};
use crate::failure::{Class, Failure};
use crate::identity;
use crate::journal::Journal;
use crate::outside::clock::Clock;
use crate::outside::crm::Crm;
use crate::outside::database::Database;
use crate::outside::memory::{Memory, Reader};
use crate::outside::store::{OptionValue, RunId};
use crate::population::{Population, Writer};
use crate::private::{self, Access};
use crate::progress::Progress;
use crate::run::Task;
use crate::script::Functions;
use crate::temp;
use crate::unfinished;

pub use notes::Notes;
pub use position::{POSITION_BYTES_MAX, POSITION_FILE_BYTES_MAX};

use notes::set_option;
pub(crate) use sealing::Sealing;

/// What one task sees of the outside, and what it has done so far.
pub struct Cx {
    /// The workflow's name.
    pub workflow: String,
    /// The activity's name.
    pub activity: String,
    /// The task's number.
    pub task: TaskId,
    /// From 1; more where it goes on after a failure or a crash.
    pub attempt: u32,
    /// The time zone of its dates.
    pub time_zone: TimeZone,
    pub(crate) environment: Arc<Environment>,
    pub(crate) definition: Arc<Workflow>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) inputs: Vec<Population>,
    pub(crate) vars_in: Vars,
    pub(crate) instance_vars_in: Vars,
    /// As the journal has it.
    pub(crate) position: Value,
    pub(crate) waited: bool,
    pub(crate) backfill: Option<Backfill>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) cancelled: Arc<AtomicBool>,
    pub(crate) folder: PathBuf,
    pub(crate) writer: Option<Writer>,
    pub(crate) sealed: IndexMap<String, Vec<Segment>>,
    pub(crate) done: Done,
    pub(crate) passed_on: IndexMap<String, Vec<Segment>>,
    pub(crate) sealing: Option<Sealing>,
    pub(crate) last_seal: Instant,
    /// How many of its rejects are on the desk.
    pub(crate) filed: u64,
}

/// What a task leaves behind when it ends.
#[derive(Debug, Clone, Default)]
pub struct Done {
    pub(crate) vars: Vars,
    pub(crate) instance_vars: Vars,
    pub(crate) tally: Tally,
    pub(crate) chosen: Option<String>,
    pub(crate) stop_all: bool,
    pub(crate) waits_until: Option<Timestamp>,
}

impl Cx {
    /// As a task sees the outside when it begins or goes on.
    pub(crate) fn of_task(
        environment: &Arc<Environment>,
        workflow: &Arc<Workflow>,
        journal: &Arc<Journal>,
        task: &Task,
    ) -> Self {
        let run = journal.run();
        let zone = workflow.activities.get(&task.activity).map(|node| node.time_zone.clone());
        Self {
            workflow: workflow.name.clone(),
            activity: task.activity.clone(),
            task: task.id,
            attempt: task.attempt,
            time_zone: zone.unwrap_or(TimeZone::UTC),
            environment: Arc::clone(environment),
            definition: Arc::clone(workflow),
            journal: Arc::clone(journal),
            inputs: temp::inputs(environment, journal, &run, task),
            vars_in: task.vars_in.clone(),
            instance_vars_in: run.instance_vars.clone(),
            position: task.position.clone(),
            waited: task.waited,
            backfill: run.backfill.clone(),
            progress: Arc::default(),
            cancelled: Arc::default(),
            folder: format!("{}-{}", task.id, task.activity).into(),
            writer: None,
            sealed: task.ports.clone(),
            done: Done { tally: task.tally.clone(), ..Done::default() },
            passed_on: IndexMap::new(),
            sealing: None,
            last_seal: Instant::now(),
            filed: 0,
        }
    }

    /// The population that came in; of several, that of the first inbound transition.
    pub fn input(&self) -> Option<&Population> {
        self.inputs.first()
    }

    /// The activity's ways out, in addition to `error` and `exhausted`.
    pub fn ports(&self) -> Vec<Port> {
        self.definition.activities.get(&self.activity).map(|node| node.ports().to_vec()).unwrap_or_default()
    }

    /// The populations that came in, in the order of the inbound transitions.
    pub fn inputs(&self) -> &[Population] {
        &self.inputs
    }

    /// The variables that came in, with those set since.
    pub fn vars(&self) -> Vars {
        let mut vars = self.vars_in.clone();
        vars.extend(self.done.vars.clone());
        vars
    }

    /// `instance.vars` as they were when the task began, with those set since.
    pub fn instance_vars(&self) -> Vars {
        let mut vars = self.instance_vars_in.clone();
        vars.extend(self.done.instance_vars.clone());
        vars
    }

    /// Sets a variable for what comes after.
    pub fn set_var(&mut self, name: &str, value: impl Into<Value>) {
        self.done.vars.insert(name.to_owned(), value.into());
    }

    /// Sets a variable of the whole run, once this task has ended.
    pub fn set_instance_var(&mut self, name: &str, value: impl Into<Value>) {
        self.done.instance_vars.insert(name.to_owned(), value.into());
    }

    /// An account's CRM.
    ///
    /// # Errors
    /// If there is no such account any more, or it leads to another organisation than before.
    pub async fn crm(&self, account: &str) -> Result<Arc<dyn Crm>, Failure> {
        let crm = self.environment.crm(account)?;
        identity::check_account(&self.environment, account, crm.as_ref()).await?;
        Ok(crm)
    }

    /// The marketing database.
    pub fn database(&self) -> &Arc<dyn Database> {
        &self.environment.database
    }

    /// Time.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.environment.clock
    }

    /// Limits, as configured.
    pub fn limits(&self) -> &Limits {
        &self.environment.limits
    }

    /// Functions that scripts share, as they were when the run began.
    pub fn functions(&self) -> &Arc<Functions> {
        &self.definition.functions
    }

    /// What a CRM says of an object.
    ///
    /// # Errors
    /// Where the CRM says that there is none, or cannot be asked.
    pub async fn object(&self, account: &str, object: &str) -> Result<Arc<crate::outside::crm::Object>, Failure> {
        self.object_with(account, object, &[]).await
    }

    /// The same with fields of related records, by their paths.
    ///
    /// # Errors
    /// Where the CRM says that there is none, or cannot be asked.
    pub async fn object_with(
        &self,
        account: &str,
        object: &str,
        paths: &[String],
    ) -> Result<Arc<crate::outside::crm::Object>, Failure> {
        self.environment.descriptions.object_with(&self.environment, account, object, paths).await
    }

    /// The folder outside of which no activity reads or writes files.
    pub fn files(&self) -> &Path {
        &self.environment.files
    }

    /// Who may use the files that activities write.
    pub fn files_access(&self) -> Access {
        self.environment.files_access
    }

    /// A folder of this task's own, which stays until the run is removed.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn own_folder(&self) -> Result<PathBuf, Failure> {
        let folder = self.journal_folder().join(&self.folder);
        private::make_folders(&folder)
            .map_err(|error| Failure::io(format!("cannot make {}", folder.display()), &error))?;
        Ok(folder)
    }

    /// A folder for what this activity has done with these very records, which stays until a task has ended well with
    /// them or the run is over. A try again through a loop finds it.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn temp_folder(&self) -> Result<PathBuf, Failure> {
        let folder = temp::folder(&self.journal_folder(), &self.activity, &self.inputs);
        private::make_folders(&folder)
            .map_err(|error| Failure::io(format!("cannot make {}", folder.display()), &error))?;
        Ok(folder)
    }

    pub(crate) fn journal_folder(&self) -> PathBuf {
        self.environment.run_folder(&self.journal.id)
    }

    /// Names the records that came in by their content and order, the same after a crash and in a try again.
    pub fn input_digest(&self) -> String {
        temp::digest(&self.inputs)
    }

    /// Names what this activity does with these very records among all exports, the same after a crash and in a try again.
    pub fn export_name(&self) -> String {
        temp::export(&self.journal.id, &self.activity, &self.inputs)
    }

    /// What later runs must know of exports.
    pub fn memory(&self) -> &Arc<dyn Memory> {
        &self.environment.memory
    }

    /// Whether what this task writes must be remembered with its versions, since another run may have read older ones and
    /// not written them yet: the place of the latest such run among all runs.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn remembers_until(&self) -> Result<Option<u64>, Failure> {
        Ok(unfinished::latest_other(&self.environment, &self.journal.id).await?)
    }

    /// The imports that bring back what this workflow writes to an object, as the memory names them.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn readers(&self, account: &str, object: &str) -> Result<Vec<Reader>, Failure> {
        let activities = self.definition.brings_back(account, object);
        if activities.is_empty() {
            return Ok(Vec::new());
        }
        // A system that has no id for its organisation is known by the account.
        let organisation = identity::organisation(&self.environment, account).await?;
        let organisation = organisation.unwrap_or_else(|| format!("account {account}"));
        let reader = |activity: &str| Reader {
            workflow: self.workflow.clone(),
            activity: activity.to_owned(),
            organisation: organisation.clone(),
            object: object.to_owned(),
        };
        Ok(activities.into_iter().map(reader).collect())
    }

    /// The run.
    pub fn run_id(&self) -> &RunId {
        &self.journal.id
    }

    /// When the run began, by our clock.
    pub fn run_started(&self) -> Option<Timestamp> {
        self.journal.run().started
    }

    /// The run.
    pub fn run_name(&self) -> &str {
        self.journal.id.as_str()
    }

    /// The data folder, for files that outlive runs.
    pub fn data_folder(&self) -> &Path {
        &self.environment.folder
    }

    /// The id of the data folder.
    pub fn folder_id(&self) -> String {
        self.environment.store.identity().folder
    }

    /// Names the run in other systems, where several data folders may have runs of one name.
    pub fn run_key(&self) -> String {
        self.journal.run().key(&self.journal.id)
    }

    /// Names this task in other systems, the same after a crash.
    pub fn ledger_key(&self) -> String {
        format!("{}/{}", self.run_key(), self.task)
    }

    /// Names this task among all tasks of all runs of the data folder, the same after a crash.
    pub fn task_key(&self) -> String {
        format!("{}/{}", self.journal.id, self.task)
    }

    /// Where the task goes on, as it told at its last checkpoint; `None` when it begins.
    ///
    /// # Errors
    /// Where it was told by another version of the activity.
    pub fn position<T: DeserializeOwned>(&self) -> Result<Option<T>, Failure> {
        position::read(&self.position, &self.journal_folder().join(&self.folder))
    }

    /// The window that this import has instead of that of its automatic index, where the run is a backfill of it.
    pub fn backfill(&self) -> Option<&Backfill> {
        self.backfill.as_ref().filter(|backfill| backfill.is_of(&self.activity))
    }

    /// What this task has put on a port and what is durable of it.
    pub fn sealed(&self, port: &str) -> Population {
        Population::new(&self.journal_folder(), self.sealed.get(port).cloned().unwrap_or_default())
    }

    /// Reads an expression over columns.
    ///
    /// # Errors
    /// What is wrong with it first; `check` tells all.
    pub fn bind(&self, source: &Source, columns: &Schema) -> Result<Bound, Failure> {
        bind(source, columns, self.functions())
    }

    /// What an expression reads besides the record: variables, options, the time, the zone.
    ///
    /// # Errors
    /// Where the store cannot be read, or an expression reads what is not set: that must not depend on whether a record
    /// comes.
    pub async fn values<'a>(&self, bounds: impl IntoIterator<Item = &'a Bound>) -> Result<Values, Failure> {
        let bounds: Vec<&Bound> = bounds.into_iter().collect();
        let values = self.gather(bounds.clone()).await?;
        for bound in bounds {
            bound.resolve(&values)?;
        }
        Ok(values)
    }

    /// As [`values`](Self::values), for a task that goes on with what it kept.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn gather<'a>(&self, bounds: impl IntoIterator<Item = &'a Bound>) -> Result<Values, Failure> {
        let vars = (self.vars(), self.instance_vars());
        let values = values(&self.environment, vars, self.time_zone.clone(), bounds).await?;
        Ok(Values { indexes: self.definition.index_options(), ..values })
    }

    /// An option.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn option(&self, name: &str) -> Result<Option<OptionValue>, Failure> {
        Ok(self.environment.store.option(name).await?)
    }

    /// Sets an option; it takes effect at once, whatever becomes of the task.
    ///
    /// # Errors
    /// Where the store does not take it.
    pub async fn set_option(&self, name: &str, value: &str) -> Result<(), Failure> {
        set_option(&self.journal, &self.environment, self.task, name, value).await
    }

    /// A handle with which a script reads and sets options and writes notes from another thread.
    pub fn notes(&self) -> Notes {
        Notes {
            journal: Arc::clone(&self.journal),
            environment: Arc::clone(&self.environment),
            task: self.task,
            cancelled: Arc::clone(&self.cancelled),
            indexes: self.definition.index_options(),
        }
    }

    /// Records the window that an import opens.
    ///
    /// # Errors
    /// Where the store does not take it.
    pub async fn open_window(&self, window: IndexWindow) -> Result<(), Failure> {
        Ok(self.journal.append(vec![Event::WindowOpened { task: self.task, window }]).await?)
    }

    /// Writes a note into the journal.
    ///
    /// # Errors
    /// Where the store does not take it.
    pub async fn log(&self, level: Level, message: impl Into<String> + Send) -> Result<(), Failure> {
        let message = Failure::new(Class::Internal, message).message;
        Ok(self.journal.append(vec![Event::Logged { task: self.task, level, message }]).await?)
    }

    /// Tells an onlooker how far it is; `total` where it is known.
    pub fn progress(&self, done: u64, total: Option<u64>) {
        self.progress.set(done, total);
    }

    /// Fails where the run was stopped; to be asked within long work that never waits.
    ///
    /// # Errors
    /// `Class::Stopped`
    pub fn go_on(&self) -> Result<(), Failure> {
        match self.cancelled.load(Ordering::Relaxed) {
            true => Err(Failure::new(Class::Stopped, "the run was stopped")),
            false => Ok(()),
        }
    }

    /// Whether the time that this task asked to wait for has come, or an operator ended the wait.
    pub fn has_waited(&self) -> bool {
        self.waited
    }

    /// Has the task wait once its activity returns, which is called again at that time. Until then nothing of it
    /// works; as after a crash, it continues from what it sealed.
    pub fn wait_until(&mut self, until: Timestamp) {
        self.done.waits_until = Some(until);
    }

    /// What was counted so far, to be added to.
    pub fn tally(&mut self) -> &mut Tally {
        &mut self.done.tally
    }

    /// Counts records let go by a rule.
    pub fn dropped(&mut self, rule: &str, records: u64) {
        if records > 0 {
            *self.done.tally.dropped.entry(rule.to_owned()).or_default() += records;
        }
    }

    /// Counts anything else.
    pub fn count(&mut self, what: &str, records: u64) {
        *self.done.tally.counts.entry(what.to_owned()).or_default() += records;
    }

    /// Chooses the one port of [`When::Chosen`](crate::activity::When::Chosen) that carries an event.
    pub fn choose(&mut self, port: &str) {
        self.done.chosen = Some(port.to_owned());
    }

    /// Stops every other task of the run, once this task has ended.
    pub fn stop_all(&mut self) {
        self.done.stop_all = true;
    }
}

impl std::fmt::Debug for Cx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cx").field("activity", &self.activity).field("task", &self.task).finish_non_exhaustive()
    }
}

/// Reads an expression over columns; of what is wrong with it, the first.
pub(crate) fn bind(source: &Source, columns: &Schema, functions: &Arc<Functions>) -> Result<Bound, Failure> {
    source.bind_with(columns, functions).map_err(|errors| match errors.into_iter().next() {
        Some(error) => Failure::from(error),
        None => Failure::internal(format!("the expression {} is not understood", source.text())),
    })
}

/// What expressions read besides the record; `vars` are those of the event and those of the whole run.
pub(crate) async fn values<'a>(
    environment: &Environment,
    vars: (Vars, Vars),
    time_zone: TimeZone,
    bounds: impl IntoIterator<Item = &'a Bound>,
) -> Result<Values, Failure> {
    let mut options = BTreeMap::new();
    for bound in bounds {
        for variable in bound.expr().variables() {
            if let Variable::Option(name) | Variable::HasOption(name) = variable
                && let Some(value) = environment.store.option(name).await?
            {
                options.insert(name.clone(), value.value);
            }
        }
    }
    Ok(Values::new(vars.0, vars.1, Vars::new(), options, environment.clock.now(), time_zone))
}
