//! What is done in a test.

use engine::allow;
use engine::outside::desk::RejectId;
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Expect, Instant, Rows, Status};

/// A step. What it names happens in this order: the clock, changes, faults, what is done on the rejects desk, then what
/// Campanile does; then what is expected is looked at.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Step {
    /// What it is about.
    #[serde(default)]
    pub(crate) label: Option<String>,
    /// Sets the CRMs' clocks, such as `2026-03-03 11:00:00` (UTC).
    #[serde(default)]
    pub(crate) clock: Option<Instant>,
    /// Changes in the CRMs, by account, as people make them.
    #[serde(default)]
    pub(crate) crm: IndexMap<String, CrmChange>,
    /// Statements that change the database.
    #[serde(default)]
    pub(crate) sql: Vec<String>,
    /// Sets options, as an operator does; null removes one.
    #[serde(default)]
    pub(crate) options: IndexMap<String, Option<String>>,
    /// Faults of the CRMs from now on, by account, in place of those before; an empty list ends them.
    #[serde(default)]
    pub(crate) faults: IndexMap<String, Vec<sandbox::Fault>>,
    /// Corrects rejects by their numbers on the desk, from 1, as `campanile rejects correct` does: columns and their new
    /// values.
    #[serde(default)]
    pub(crate) correct: IndexMap<String, Map<String, Value>>,
    /// Closes rejects that nobody will send.
    #[serde(default)]
    pub(crate) ignore: Option<IgnoreStep>,
    /// Makes a table of the database from an object of a CRM, or adds what it lacks, as `campanile discover` does.
    #[serde(default)]
    pub(crate) create_table: Option<TableStep>,
    /// Checks the workflow against the CRMs, as `campanile check --online` does; `problems` of `expect` are what it finds.
    #[serde(default)]
    pub(crate) check: Option<Nothing>,
    /// Starts the workflow.
    #[serde(default)]
    pub(crate) run: Option<RunStep>,
    /// Goes on with the last run, as a new process does.
    #[serde(default)]
    pub(crate) resume: Option<ResumeStep>,
    /// Ends the last run for good where it is not over, and starts anew what it began with.
    #[serde(default)]
    pub(crate) restart: Option<RestartStep>,
    /// Sends rejects again; the run that does becomes the last one.
    #[serde(default)]
    pub(crate) resend: Option<ResendStep>,
    /// Lets the last run start nothing new until it is resumed; one that was broken off in the midst of a task stays so.
    #[serde(default)]
    pub(crate) pause: Option<Nothing>,
    /// Ends the last run for good.
    #[serde(default)]
    pub(crate) stop: Option<Nothing>,
    /// What the workflow waits for beyond this time does not come: its process is ended while it waits.
    #[serde(default)]
    pub(crate) until: Option<Instant>,
    /// Ends its process at once, as a power cut does; a `resume` goes on.
    #[serde(default)]
    pub(crate) kill: Option<Kill>,
    /// What is expected then.
    #[serde(default)]
    pub(crate) expect: Option<Expect>,
}

/// What Campanile does in a step.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Deed<'a> {
    CreateTable(&'a TableStep),
    Check,
    Run(&'a RunStep),
    Resume(&'a ResumeStep),
    Restart(&'a RestartStep),
    Resend(&'a ResendStep),
    Pause,
    Stop,
}

impl Step {
    /// Whether it changes something before Campanile does anything.
    pub(crate) fn changes(&self) -> bool {
        let Self { clock, crm, sql, options, faults, correct, ignore, .. } = self;
        let nothing = crm.is_empty() && sql.is_empty() && options.is_empty() && faults.is_empty() && correct.is_empty();
        clock.is_some() || ignore.is_some() || !nothing
    }

    /// What it says that Campanile does; a step that is right says one thing at most.
    pub(crate) fn deeds(&self) -> Vec<Deed<'_>> {
        let deeds = [
            self.create_table.as_ref().map(Deed::CreateTable),
            self.check.as_ref().map(|_| Deed::Check),
            self.run.as_ref().map(Deed::Run),
            self.resume.as_ref().map(Deed::Resume),
            self.restart.as_ref().map(Deed::Restart),
            self.resend.as_ref().map(Deed::Resend),
            self.pause.as_ref().map(|_| Deed::Pause),
            self.stop.as_ref().map(|_| Deed::Stop),
        ];
        deeds.into_iter().flatten().collect()
    }

    /// What a run is at then, where nothing else is said.
    pub(crate) fn usual_status(&self) -> Option<Status> {
        match self.deeds().first()? {
            Deed::Stop => Some(Status::Stopped),
            deed if !deed.drives() => None,
            _ if self.kill.is_some() => Some(Status::BrokenOff),
            _ => Some(Status::Finished),
        }
    }
}

impl Deed<'_> {
    /// As the file calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CreateTable(_) => "createTable",
            Self::Check => "check",
            Self::Run(_) => "run",
            Self::Resume(_) => "resume",
            Self::Restart(_) => "restart",
            Self::Resend(_) => "resend",
            Self::Pause => "pause",
            Self::Stop => "stop",
        }
    }

    /// Whether it drives a run.
    pub(crate) fn drives(self) -> bool {
        matches!(self, Self::Run(_) | Self::Resume(_) | Self::Restart(_) | Self::Resend(_))
    }

    /// Whether it is done to a run that began before.
    pub(crate) fn needs_run(self) -> bool {
        matches!(self, Self::Resume(_) | Self::Restart(_) | Self::Resend(_) | Self::Pause | Self::Stop)
    }
}

/// Nothing more is to be said: `{}`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// Changes in a CRM.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CrmChange {
    /// Fields that are added, or that become others, by object; as in `before`.
    #[serde(default)]
    pub(crate) fields: IndexMap<String, Vec<Map<String, Value>>>,
    /// Records that are made, or of which the fields given change, by object; each with its id.
    #[serde(default)]
    pub(crate) put: IndexMap<String, Rows>,
    /// Ids of records that are deleted, by object.
    #[serde(default)]
    pub(crate) delete: IndexMap<String, Vec<String>>,
    /// Records that are merged into another, by object; Salesforce has it.
    #[serde(default)]
    pub(crate) merge: IndexMap<String, Vec<Merge>>,
}

/// Records that become one.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Merge {
    /// The id of the one that stays.
    pub(crate) into: String,
    /// The ids of those that go into it.
    pub(crate) records: Vec<String>,
}

/// A start of the workflow.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RunStep {
    /// Variables that it begins with, besides those of `before`.
    #[serde(default)]
    pub(crate) vars: Map<String, Value>,
    /// Imports read what changed in this window, as `campanile backfill` does.
    #[serde(default)]
    pub(crate) backfill: Option<BackfillStep>,
}

/// A window that is imported again.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct BackfillStep {
    /// The first instant that is imported.
    pub(crate) from: Instant,
    /// The first instant that is not.
    pub(crate) to: Instant,
    /// Only this import has the window; all that have an automatic index where none is named.
    #[serde(default)]
    pub(crate) activity: Option<String>,
}

/// How a run goes on.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ResumeStep {
    /// What its guards let pass, as the operator allows it with `--allow-deletes` and so on.
    #[serde(default)]
    pub(crate) allow: Option<Allow>,
}

/// How a run starts anew.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RestartStep {
    /// Also where records that nothing names are made again, as with `--again`.
    #[serde(default)]
    pub(crate) again: bool,
}

/// Which rejects are sent again: all that wait, unless something is said.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ResendStep {
    /// Those with these numbers.
    #[serde(default)]
    pub(crate) ids: Vec<RejectId>,
    /// Those of this activity.
    #[serde(default)]
    pub(crate) activity: Option<String>,
    /// Those with this code.
    #[serde(default)]
    pub(crate) code: Option<String>,
}

/// Rejects that nobody will send.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct IgnoreStep {
    /// Their numbers on the desk, from 1.
    pub(crate) ids: Vec<RejectId>,
    /// Why.
    pub(crate) reason: String,
}

/// A table that is made of an object.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TableStep {
    /// The account.
    pub(crate) account: String,
    /// The object.
    pub(crate) object: String,
    /// What the table is called; as the object, where nothing is said.
    #[serde(default)]
    pub(crate) table: Option<String>,
}

/// What guards let pass.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Allow {
    /// So many deletions.
    #[serde(default)]
    pub(crate) deletes: Option<u64>,
    /// So many rejects.
    #[serde(default)]
    pub(crate) rejects: Option<u64>,
    /// So many records.
    #[serde(default)]
    pub(crate) volume: Option<u64>,
}

impl Allow {
    /// As the variables of the run that guards read.
    pub(crate) fn vars(self) -> Map<String, Value> {
        let allowed = [(allow::DELETES, self.deletes), (allow::REJECTS, self.rejects), (allow::VOLUME, self.volume)];
        allowed.into_iter().filter_map(|(name, number)| Some((name.to_owned(), number?.into()))).collect()
    }
}

/// When a process is ended.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Kill {
    /// What happened last: an event of the journal, or `fault`, once a request met one of the faults.
    pub(crate) after: Moment,
    /// Of which activity; without it, of any.
    #[serde(default)]
    pub(crate) activity: Option<String>,
    /// The how many of them it is, from 1; without it, the first.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub(crate) nth: Option<u32>,
}

/// What happened last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Moment {
    /// The run began.
    Started,
    /// A task began.
    TaskStarted,
    /// A window of an automatic index was opened.
    WindowOpened,
    /// Records and where they go on from are kept.
    Sealed,
    /// A task ended well.
    TaskEnded,
    /// A task failed.
    TaskFailed,
    /// A request met a fault. Give the fault a `delayMs`, so that its answer is not there before the process ends.
    Fault,
}
