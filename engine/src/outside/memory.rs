//! What later runs must know of what exports have written. The crate `store` has it in an SQLite file.
//!
//! **Results**, until a run has handed them on:
//!
//! ```text
//!   export ─┬─ no answer came ────────────▶ in doubt ─┬─ settled as created ─▶ created ─┬─ handed on ─▶ over
//!           └─ stopped before it handed on ▶ created   └─ settled as not created ────────┴────────────▶ over
//! ```
//!
//! A later export of the same record does not send it again: what is in doubt it sets aside, what is created it passes on.
//!
//! **Own writes**, until the import that brings them back has passed them:
//!
//! ```text
//!   export ─ the version that its write left ─▶ own write ─ an import's window begins after it ─▶ forgotten
//! ```

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::failure::Failure;
use crate::outside::store::RunId;
use crate::version::{Target, Versions};

/// Numbers what a data folder remembers, from 1.
pub type MemoryId = i64;

/// The memory of one data folder.
#[async_trait]
pub trait Memory: Send + Sync {
    /// Keeps what became of records, and gives their numbers in their order. What it knows of them already, by export and
    /// place, is replaced unless it knows more: an answer is never replaced by a doubt.
    ///
    /// # Errors
    /// `Class::Limit` if it would remember more than `most` records; if it cannot be written.
    async fn keep(&self, export: &Export, records: Vec<NewMemory>, most: usize) -> Result<Vec<MemoryId>, Failure>;

    /// Keeps the ids of records that answers to an export explain, so that no question is taken for one of them. `None` says
    /// that there are too many, and nothing more is concluded from records that are there.
    ///
    /// # Errors
    /// If it cannot be written.
    async fn explain(&self, export: &str, ids: Option<Vec<String>>) -> Result<(), Failure>;

    /// The ids that [`explain`](Memory::explain) kept of an export; `None` if they are not known.
    ///
    /// # Errors
    /// If it cannot be read.
    async fn explained(&self, export: &str) -> Result<Option<Vec<String>>, Failure>;

    /// What it remembers of the records of an object.
    ///
    /// # Errors
    /// If it cannot be read.
    async fn of(&self, account: &str, object: &str) -> Result<Vec<Remembered>, Failure>;

    /// What has this number.
    ///
    /// # Errors
    /// If it cannot be read.
    async fn get(&self, id: MemoryId) -> Result<Option<Remembered>, Failure>;

    /// Marks what an export of this run found, so that it is over once that export has handed it on.
    ///
    /// # Errors
    /// If it cannot be written.
    async fn take(&self, ids: &[MemoryId], export: &str, run: &RunId) -> Result<(), Failure>;

    /// Answers questions; one that is answered already stays as it is.
    ///
    /// # Errors
    /// If it cannot be written.
    async fn settle(&self, answers: &[(MemoryId, Answer)]) -> Result<(), Failure>;

    /// Ends what an export has handed on: what it created itself, and what it took. Its open questions stay.
    ///
    /// # Errors
    /// If it cannot be written.
    async fn handed_on(&self, export: &str) -> Result<(), Failure>;

    /// The places of those versions that are older than one that is known to be written, or to be on its way, into what a
    /// write to this target writes over.
    ///
    /// # Errors
    /// If it cannot be read.
    async fn older(&self, _target: &Target, _versions: &Versions) -> Result<Vec<usize>, Failure> {
        Ok(Vec::new())
    }

    /// Remembers versions that are about to be sent, until the run at this place among all runs is over, and all before it.
    ///
    /// # Errors
    /// If it cannot be written.
    async fn sending(&self, _target: &Target, _versions: Vec<(String, i64)>, _until: u64) -> Result<(), Failure> {
        Ok(())
    }

    /// Remembers what became of versions that were sent: whether they may be written.
    ///
    /// # Errors
    /// If it cannot be written.
    async fn sent(&self, _target: &Target, _versions: Vec<(String, i64, bool)>) -> Result<(), Failure> {
        Ok(())
    }

    /// Forgets the versions that were remembered until a run before this place among all runs.
    ///
    /// # Errors
    /// If it cannot be written.
    async fn forget_versions(&self, _before: u64) -> Result<(), Failure> {
        Ok(())
    }

    /// Keeps the versions that an export left, each in the place of an earlier one of the same record. Beyond `most` the oldest
    /// make way; how many did is returned.
    ///
    /// # Errors
    /// If it cannot be written.
    async fn keep_own(&self, readers: &[Reader], writes: Vec<OwnWrite>, most: usize) -> Result<u64, Failure>;

    /// The own writes that an import may bring back.
    ///
    /// # Errors
    /// If it cannot be read.
    async fn own(&self, reader: &Reader) -> Result<Vec<OwnWrite>, Failure>;

    /// Forgets the own writes before an instant of the CRM's clock: the import reads no records any more that changed before it.
    ///
    /// # Errors
    /// If it cannot be written.
    async fn forget_own(&self, reader: &Reader, before: Timestamp) -> Result<(), Failure>;

    /// How many questions are open that a run asked or was the last to meet.
    ///
    /// # Errors
    /// If it cannot be read.
    async fn open(&self) -> Result<BTreeMap<RunId, u64>, Failure>;

    /// The highest number that it ever gave; 0 if none.
    ///
    /// # Errors
    /// If it cannot be read.
    async fn last(&self) -> Result<MemoryId, Failure>;
}

/// An export that remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// Names it among all: run, activity and what came in.
    pub name: String,
    /// Its run.
    pub run: RunId,
    /// The account that it writes to.
    pub account: String,
    /// And the object.
    pub object: String,
}

/// What became of one record.
#[derive(Debug, Clone, PartialEq)]
pub struct NewMemory {
    /// Its place among the records that came in.
    pub place: u64,
    /// Names the source record: a digest of its key, or of the values sent.
    pub source: String,
    /// What became of it.
    pub state: State,
}

/// What is remembered of a record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "is")]
pub enum State {
    /// It was sent, and it is not known whether it took hold.
    InDoubt(Doubt),
    /// The CRM has it, and no run has handed that on.
    Created {
        /// Its id in the CRM; none if a person knows only that it is there.
        id: Option<String>,
    },
    /// A run has handed it on, or it was not created.
    Over,
}

/// A record in doubt.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Doubt {
    /// Why it is not known.
    pub reason: String,
    /// The values that were sent, by field.
    pub sent: Map<String, Value>,
    /// The id that we chose for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Since when it can have been created, by the CRM's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Until when, by the CRM's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// A record that is remembered.
#[derive(Debug, Clone, PartialEq)]
pub struct Remembered {
    /// Its number.
    pub id: MemoryId,
    /// The export that sent it.
    pub export: Export,
    /// As in [`NewMemory`].
    pub source: String,
    /// What is known.
    pub state: State,
}

/// The answer to a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// The CRM has it.
    Created {
        /// Its id, if it is known.
        id: Option<String>,
    },
    /// The CRM does not have it: the next export sends it again.
    NotCreated,
}

impl Answer {
    /// In words.
    pub fn in_words(&self) -> String {
        match self {
            Self::Created { id: Some(id) } => format!("created as {id}"),
            Self::Created { id: None } => "created".to_owned(),
            Self::NotCreated => "not created".to_owned(),
        }
    }
}

/// An import that brings back what its workflow's exports write.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reader {
    /// Its workflow.
    pub workflow: String,
    /// The activity.
    pub activity: String,
    /// The organisation that its account leads to.
    pub organisation: String,
    /// The object.
    pub object: String,
}

/// A record as an export left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnWrite {
    /// Its id in the CRM.
    pub id: String,
    /// The version that the write left.
    pub version: i64,
    /// The user who wrote it, as the CRM names users.
    pub user: String,
    /// When, by the CRM's clock.
    pub at: Timestamp,
}

/// A memory that keeps nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoMemory;

#[async_trait]
impl Memory for NoMemory {
    async fn keep(&self, _: &Export, records: Vec<NewMemory>, _: usize) -> Result<Vec<MemoryId>, Failure> {
        Ok(vec![0; records.len()])
    }

    async fn explain(&self, _: &str, _: Option<Vec<String>>) -> Result<(), Failure> {
        Ok(())
    }

    async fn explained(&self, _: &str) -> Result<Option<Vec<String>>, Failure> {
        Ok(None)
    }

    async fn of(&self, _: &str, _: &str) -> Result<Vec<Remembered>, Failure> {
        Ok(Vec::new())
    }

    async fn get(&self, _: MemoryId) -> Result<Option<Remembered>, Failure> {
        Ok(None)
    }

    async fn take(&self, _: &[MemoryId], _: &str, _: &RunId) -> Result<(), Failure> {
        Ok(())
    }

    async fn settle(&self, _: &[(MemoryId, Answer)]) -> Result<(), Failure> {
        Ok(())
    }

    async fn handed_on(&self, _: &str) -> Result<(), Failure> {
        Ok(())
    }

    async fn keep_own(&self, _: &[Reader], _: Vec<OwnWrite>, _: usize) -> Result<u64, Failure> {
        Ok(0)
    }

    async fn own(&self, _: &Reader) -> Result<Vec<OwnWrite>, Failure> {
        Ok(Vec::new())
    }

    async fn forget_own(&self, _: &Reader, _: Timestamp) -> Result<(), Failure> {
        Ok(())
    }

    async fn open(&self) -> Result<BTreeMap<RunId, u64>, Failure> {
        Ok(BTreeMap::new())
    }

    async fn last(&self) -> Result<MemoryId, Failure> {
        Ok(0)
    }
}
