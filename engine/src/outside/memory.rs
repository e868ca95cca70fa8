//! What later runs must know of what exports have written. The crate `store` has it in an SQLite file.
//!
//! ```text
//!   export ─┬─ no answer came ────────────▶ in doubt ─┬─ settled as created ─▶ created ─┬─ handed on ─▶ over
//!           └─ stopped before it handed on ▶ created   └─ settled as not created ────────┴────────────▶ over
//! ```
//!
//! A later export of the same record does not send it again: what is in doubt it sets aside, what is created it passes on.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::failure::Failure;
use crate::outside::store::RunId;

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

    async fn open(&self) -> Result<BTreeMap<RunId, u64>, Failure> {
        Ok(BTreeMap::new())
    }

    async fn last(&self) -> Result<MemoryId, Failure> {
        Ok(0)
    }
}
