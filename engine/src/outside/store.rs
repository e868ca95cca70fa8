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
    if name.is_empty() || name.len() > OPTION_NAME_BYTES_MAX || name.chars().any(char::is_control) {
        let message = format!("an option's name has 1 to {OPTION_NAME_BYTES_MAX} bytes and no control characters");
        return Err(Failure::new(Class::Config, message));
    }
    Ok(())
}

/// Journals and options of one data folder. Only one process has it open.
#[async_trait]
pub trait Store: Send + Sync {
    /// Adds events to a run's journal and moves options, all or nothing, durable before it returns.
    ///
    /// `events` are numbered from `expected`, which must be the number of events the journal has (0 for a new run).
    ///
    /// # Errors
    /// [`StoreError::Conflict`] and [`StoreError::OptionMoved`] where something moved meanwhile; nothing was written.
    async fn append(
        &self,
        run: &RunId,
        expected: u64,
        events: Vec<Recorded>,
        options: Vec<OptionChange>,
    ) -> Result<(), StoreError>;

    /// The events of a run from number `from` on; empty for a run that does not exist.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] where an event is missing or was changed.
    async fn events(&self, run: &RunId, from: u64) -> Result<Vec<Recorded>, StoreError>;

    /// All runs, in the order in which they began, with the number of their events.
    ///
    /// # Errors
    /// Where the store cannot be read.
    async fn runs(&self) -> Result<Vec<(RunId, u64)>, StoreError>;

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
        let class = if matches!(error, StoreError::TooLarge { .. }) { Class::Limit } else { Class::Storage };
        let failure = Self::new(class, error.to_string());
        match help {
            Some(help) => failure.help(help),
            None => failure,
        }
    }
}
