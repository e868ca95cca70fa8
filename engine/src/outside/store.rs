//! What keeps journals and options. The crate `store` has it on sled and on redb.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::event::Recorded;
use crate::failure::{Class, Failure};
use crate::identity::RESERVED;
use crate::run::RunHead;
#[cfg(doc)]
use crate::run::Status;
use crate::scope::IndexScope;

/// The largest event, in bytes of JSON; sled 0.34 keeps larger values apart, where a power cut loses them.
pub const EVENT_BYTES_MAX: usize = 16 * 1024;
/// The longest text of an option, in bytes.
pub const OPTION_BYTES_MAX: usize = 8 * 1024;
/// The longest name of an option, in bytes.
pub const OPTION_NAME_BYTES_MAX: usize = 200;

/// Whether an option can be called so, whoever sets it.
///
/// # Errors
/// What would be right, where it cannot.
pub fn check_option_name(name: &str) -> Result<(), Failure> {
    if name.starts_with(RESERVED) {
        let message = format!("options whose name begins with {RESERVED} belong to Campanile");
        return Err(Failure::new(Class::Config, message).help("choose another name"));
    }
    if name.is_empty() || name.len() > OPTION_NAME_BYTES_MAX || name.chars().any(char::is_control) {
        let message = format!("an option's name has 1 to {OPTION_NAME_BYTES_MAX} bytes and no control characters");
        return Err(Failure::new(Class::Config, message));
    }
    Ok(())
}

/// Journals, run heads and options of one data folder. Only one process has it open.
#[async_trait]
pub trait Store: Send + Sync {
    /// Which folder this is, and how often it was opened.
    fn identity(&self) -> Identity;

    /// Gives the folder a new id: what relied on the old one no longer belongs to it.
    ///
    /// # Errors
    /// If the store cannot be written.
    async fn renew(&self) -> Result<(), StoreError>;

    /// Adds events to a run's journal, brings its head and its workflow's hold up to date and moves options, all or
    /// nothing, durable before it returns.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] and [`StoreError::OptionMoved`] if something moved meanwhile, [`StoreError::Held`] if
    /// another run holds the workflow; nothing was written.
    async fn append(&self, append: Append) -> Result<(), StoreError>;

    /// At most `limit` events of a run from number `from` on; none for a run that does not exist.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if an event is missing or was changed.
    async fn events(&self, run: &RunId, from: u64, limit: usize) -> Result<Vec<Recorded>, StoreError>;

    /// The head of a run, if there is such a run.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn run(&self, run: &RunId) -> Result<Option<RunEntry>, StoreError>;

    /// Runs, the latest first.
    ///
    /// # Errors
    /// If the store cannot be read, or a run is missing.
    async fn runs(&self, filter: &RunFilter, page: Page) -> Result<Vec<RunEntry>, StoreError>;

    /// The number of the next run of a workflow, which runs hold it, and which wait for it.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn workflow(&self, name: &str) -> Result<WorkflowRuns, StoreError>;

    /// All options.
    ///
    /// # Errors
    /// Where the store cannot be read.
    async fn options(&self) -> Result<BTreeMap<String, OptionValue>, StoreError>;

    /// One option.
    ///
    /// # Errors
    /// Where the store cannot be read.
    async fn option(&self, name: &str) -> Result<Option<OptionValue>, StoreError>;

    /// Moves options outside of a run, as an operator does.
    ///
    /// # Errors
    /// [`StoreError::OptionMoved`] where one moved meanwhile; nothing was written.
    async fn set_options(&self, options: Vec<OptionChange>) -> Result<(), StoreError>;

    /// Changes whenever anything was appended, so that a follower knows when to read again.
    fn watch(&self) -> watch::Receiver<u64>;
}

/// Which data folder this is. Whatever relies on the folder, such as a ledger in a database, keeps its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Made once, when the folder is made; a copy of the folder has the same.
    pub folder: String,
    /// How often the folder was opened, this time included.
    pub starts: u64,
}

/// Events for a run's journal, and what changes with them.
#[derive(Debug, Clone, PartialEq)]
pub struct Append {
    /// The run.
    pub run: RunId,
    /// The number of the first event: how many the journal has before (0 for a new run).
    pub expected: u64,
    /// The events.
    pub events: Vec<Recorded>,
    /// Options that move.
    pub options: Vec<OptionChange>,
    /// What becomes of the workflow's hold.
    pub hold: Hold,
}

impl Append {
    /// Events that move no option and leave the hold as it is.
    pub fn events(run: &RunId, expected: u64, events: Vec<Recorded>) -> Self {
        Self { run: run.clone(), expected, events, options: Vec::new(), hold: Hold::Keep }
    }
}

/// How an append treats the hold of the run's workflow. A run holds its workflow from the append that takes the hold until
/// an append after which its status holds no more ([`Status::holds`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// It takes nothing.
    Keep,
    /// It takes the hold, unless another run has it or waits for it.
    Take,
    /// It takes the hold together with the runs that have it.
    Share,
    /// The run waits for the hold, behind at most so many others.
    Queue(usize),
}

/// What the store knows of the runs of one workflow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowRuns {
    /// The highest number of a run; 0 if there is none.
    pub last: u64,
    /// The runs that hold the workflow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holders: Vec<RunId>,
    /// The runs that wait for it, the first in turn first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queue: Vec<RunId>,
}

/// A run as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunEntry {
    /// The run.
    pub id: RunId,
    /// Its place among all runs, from 0.
    pub place: u64,
    /// How many events its journal has.
    pub events: u64,
    /// The run in short.
    pub head: RunHead,
}

/// Which runs a list has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Only those of this workflow.
    pub workflow: Option<String>,
    /// Only those that are not over, or that still owe alerts. Of these there are few, whatever the folder holds.
    pub open: bool,
}

impl RunFilter {
    /// The runs that are not over, or that still owe alerts.
    pub fn open() -> Self {
        Self { workflow: None, open: true }
    }

    /// These, of one workflow only.
    #[must_use]
    pub fn of(self, workflow: &str) -> Self {
        Self { workflow: Some(workflow.to_owned()), ..self }
    }

    /// Whether a run is among them.
    pub fn has(&self, entry: &RunEntry) -> bool {
        let is_open = !entry.head.status().is_over() || entry.head.owed > 0;
        (is_open || !self.open) && self.workflow.as_deref().is_none_or(|workflow| workflow == entry.id.workflow())
    }
}

/// Which part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Only runs that began before the one at this place; all if `None`.
    pub before: Option<u64>,
    /// The most runs.
    pub limit: usize,
}

impl Page {
    /// The whole list.
    pub const ALL: Self = Self::first(usize::MAX);

    /// The latest runs.
    pub const fn first(limit: usize) -> Self {
        Self { before: None, limit }
    }
}

/// Names a run: the workflow's name and a number, such as `dynamicsImport-7`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(String);

impl RunId {
    /// The `number`-th run of a workflow, from 1.
    pub fn new(workflow: &str, number: u64) -> Self {
        Self(format!("{workflow}-{number}"))
    }

    /// From what an operator wrote; `None` where it cannot be a run's name.
    pub fn parse(text: &str) -> Option<Self> {
        let (workflow, number) = text.rsplit_once('-')?;
        let sound = crate::workflow::is_name(workflow) && number.parse::<u64>().is_ok_and(|n| n > 0);
        sound.then(|| Self(text.to_owned()))
    }

    /// The workflow's name.
    pub fn workflow(&self) -> &str {
        self.0.rsplit_once('-').map_or(&self.0, |(workflow, _)| workflow)
    }

    /// Its number among the workflow's runs.
    pub fn number(&self) -> Option<u64> {
        self.0.rsplit_once('-')?.1.parse().ok()
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A named value that outlives runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OptionValue {
    /// Its text.
    pub value: String,
    /// When it was set.
    pub at: Timestamp,
    /// Who set it: a run and task, or `operator`.
    pub by: String,
    /// For an automatic index: what was already imported in the time that the next import reads again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<SeenFile>,
    /// For an automatic index: of which records all up to its time were imported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<IndexScope>,
}

/// A file of ids and versions, see the automatic index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeenFile {
    /// Its place within the data folder.
    pub path: PathBuf,
    /// How many it holds.
    pub records: u64,
    /// BLAKE3 of the file, in hexadecimal.
    pub checksum: String,
}

/// A move of an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionChange {
    /// The option.
    pub name: String,
    /// What it must be before.
    pub expect: Expect,
    /// What it becomes; `None` removes it.
    pub value: Option<OptionValue>,
}

/// What an option must be before it is moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// Anything.
    Any,
    /// This text, or absent.
    Is(Option<String>),
}

/// Why the store did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The journal moved on.
    #[error("the journal of run {run} has {actual} events, not {expected}: another writer is at work")]
    Conflict {
        /// The run.
        run: RunId,
        /// What the writer believed.
        expected: u64,
        /// What there is.
        actual: u64,
    },
    /// An option moved meanwhile.
    #[error("option {name} was changed meanwhile")]
    OptionMoved {
        /// The option.
        name: String,
    },
    /// Another run holds the workflow.
    #[error("run {by} of the same workflow is not over")]
    Held {
        /// The run that has the hold, or that waits for it before this one.
        by: RunId,
    },
    /// As many runs wait for the workflow as may.
    #[error("{} wait for the workflow already", .waiting)]
    QueueFull {
        /// How many.
        waiting: usize,
    },
    /// Another process has the store open.
    #[error("the data folder {folder} is in use by another process")]
    InUse {
        /// The data folder.
        folder: PathBuf,
    },
    /// Another process took the store over while this one slept.
    #[error("the data folder was taken over by another process (epoch {theirs}, ours is {ours})")]
    Fenced {
        /// Our epoch.
        ours: u64,
        /// The store's epoch.
        theirs: u64,
    },
    /// It was written by a version that this one does not know.
    #[error("{what} has format {found}; this version reads up to {known}")]
    Format {
        /// What was read.
        what: String,
        /// Its format.
        found: u64,
        /// The newest format known.
        known: u64,
    },
    /// What was read is not what was written.
    #[error("{what} is damaged: {how}")]
    Damaged {
        /// What was read.
        what: String,
        /// What is wrong with it.
        how: String,
    },
    /// A value is too large.
    #[error("{what} has {bytes} bytes; the most is {limit}")]
    TooLarge {
        /// What was to be written.
        what: String,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The disk.
    #[error("the store cannot {action}: {message}")]
    Io {
        /// What it was doing.
        action: String,
        /// The system's words.
        message: String,
        /// Whether the disk is full.
        full: bool,
    },
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let help = match &error {
            StoreError::Io { full: true, .. } => Some("make room on this disk, then resume the run"),
            StoreError::InUse { .. } => Some("wait until it ends, or use another folder with --data"),
            StoreError::Damaged { .. } => Some("put the data folder back from a backup; nothing was sent or changed"),
            StoreError::Format { .. } => Some("use the version of Campanile that wrote it, or a newer one"),
            _ => None,
        };
        let class = match error {
            StoreError::TooLarge { .. } => Class::Limit,
            StoreError::Held { .. } | StoreError::QueueFull { .. } => Class::Conflict,
            _ => Class::Storage,
        };
        let failure = Self::new(class, error.to_string());
        match help {
            Some(help) => failure.help(help),
            None => failure,
        }
    }
}
