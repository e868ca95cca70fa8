//! Where rejected records are kept beyond runs, until they are put right. The crate `store` has it in an SQLite file.

use std::collections::{BTreeMap, HashSet};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::event::TaskId;
use crate::failure::Failure;
use crate::outside::memory::MemoryId;
use crate::outside::store::RunId;
use crate::reject::Reject;

/// Numbers the rejects of a data folder, from 1.
pub type RejectId = i64;

/// The rejects desk of one data folder.
#[async_trait]
pub trait Desk: Send + Sync {
    /// Keeps rejects of a task. One that is there already, of an earlier attempt of the same task, is replaced.
    ///
    /// # Errors
    /// Where the desk cannot be written.
    async fn keep(&self, task: &Filing, rejects: Vec<NewReject>) -> Result<(), Failure>;

    /// Ends what a task tells the desk: forgets rejects that only an earlier attempt of it had, closes those that passed,
    /// and lets go of the oldest where there are too many, closed ones first.
    ///
    /// # Errors
    /// Where the desk cannot be written.
    async fn settle(&self, task: &Filing, end: Settlement) -> Result<(), Failure>;

    /// The highest number that a reject ever had; 0 if the desk is empty or its file is missing.
    ///
    /// # Errors
    /// If the desk cannot be read.
    async fn last(&self) -> Result<RejectId, Failure> {
        Ok(RejectId::MAX)
    }

    /// The keys of the rejects of an activity that are not closed.
    ///
    /// # Errors
    /// Where the desk cannot be read.
    async fn open_keys(&self, workflow: &str, activity: &str) -> Result<HashSet<String>, Failure>;

    /// Rejects, the latest first.
    ///
    /// # Errors
    /// Where the desk cannot be read.
    async fn list(&self, wanted: &Wanted) -> Result<Vec<KeptReject>, Failure>;

    /// Rejects counted by workflow, activity and code, the most frequent first.
    ///
    /// # Errors
    /// Where the desk cannot be read.
    async fn groups(&self, wanted: &Wanted) -> Result<Vec<Group>, Failure>;

    /// The columns of records, as they were kept by this name.
    ///
    /// # Errors
    /// Where the desk cannot be read.
    async fn shape(&self, name: &str) -> Result<Option<Vec<u8>>, Failure>;

    /// Puts a corrected record in the place of the one that was refused.
    ///
    /// # Errors
    /// Where the desk cannot be written.
    async fn correct(&self, id: RejectId, record: Map<String, Value>) -> Result<(), Failure>;

    /// Closes rejects that nobody will send, and tells how many of them were not closed before.
    ///
    /// # Errors
    /// Where the desk cannot be written.
    async fn ignore(&self, ids: &[RejectId], reason: &str, at: Timestamp) -> Result<u64, Failure>;

    /// Marks rejects as being sent by a run.
    ///
    /// # Errors
    /// Where the desk cannot be written.
    async fn sending(&self, ids: &[RejectId], run: &RunId) -> Result<(), Failure>;

    /// Keeps records in doubt, by the open question that each is. They can only be settled.
    ///
    /// # Errors
    /// If the desk cannot be written.
    async fn ask(&self, task: &Filing, questions: Vec<(MemoryId, NewReject)>) -> Result<(), Failure>;

    /// Closes questions, each with its answer in words.
    ///
    /// # Errors
    /// If the desk cannot be written.
    async fn answer(&self, questions: &[(MemoryId, String)], at: Timestamp) -> Result<(), Failure>;
}

/// The task that tells the desk something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filing {
    /// Its run.
    pub run: RunId,
    /// Its number.
    pub task: TaskId,
    /// Its activity.
    pub activity: String,
    /// Whether its records came in, so that they can be sent again.
    pub sendable: bool,
    /// The columns of its records, in a form that only the engine reads.
    pub shape: Vec<u8>,
    /// When.
    pub at: Timestamp,
}

/// A record that a task refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewReject {
    /// Its place among the rejects of the task, from 0.
    pub place: u64,
    /// The reject that was sent again and is refused anew; it stays the same reject.
    pub again: Option<RejectId>,
    /// What names the record in its system.
    pub key: Option<String>,
    /// Why.
    pub reject: Reject,
    /// Its values by column.
    pub record: Map<String, Value>,
    /// What went out of it, by field.
    pub sent: Option<Map<String, Value>>,
}

/// What else a task tells the desk at its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settlement {
    /// How many rejects it has.
    pub rejects: u64,
    /// Rejects that were sent again and passed.
    pub passed: Vec<RejectId>,
    /// Keys of records that passed: what other tasks of the activity refused of them is closed.
    pub passed_keys: Vec<String>,
    /// Tasks of the same run that failed with the same records: what they refused is told by this one.
    pub failed: Vec<TaskId>,
    /// The most rejects that the desk keeps.
    pub kept_max: usize,
}

/// Which rejects are asked for; all that is said must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Wanted {
    /// Of this workflow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    /// Of this activity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activity: Option<String>,
    /// With this code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// These; all where there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<RejectId>,
    /// Also those that are closed.
    pub closed: bool,
    /// At most so many; all where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// A reject on the desk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeptReject {
    /// Its number.
    pub id: RejectId,
    /// The run that refused it last.
    pub run: RunId,
    /// The task that refused it last.
    pub task: TaskId,
    /// The workflow.
    pub workflow: String,
    /// The activity.
    pub activity: String,
    /// What names the record in its system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Why.
    #[serde(flatten)]
    pub reject: Reject,
    /// Its values by column, corrected ones included.
    pub record: Map<String, Value>,
    /// What went out of it when it was refused last, by field: what the settings of the activity made of the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<Map<String, Value>>,
    /// Whether somebody corrected it.
    pub corrected: bool,
    /// Whether it can be sent again; what an import refused can only be read again.
    pub sendable: bool,
    /// How often it was refused.
    pub attempts: u32,
    /// When it was refused first.
    pub first_at: Timestamp,
    /// When it was refused last.
    pub at: Timestamp,
    /// What has become of it.
    pub state: RejectState,
    /// Names its columns, for [`Desk::shape`].
    pub shape: String,
    /// The open question that it is: it is not known whether the CRM took the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<MemoryId>,
}

/// What has become of a reject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "is")]
pub enum RejectState {
    /// It waits for somebody.
    Open,
    /// A run is sending it.
    Sending {
        /// The run.
        run: RunId,
    },
    /// It passed.
    Passed {
        /// By this run.
        run: RunId,
        /// When.
        at: Timestamp,
    },
    /// Nobody will send it.
    Ignored {
        /// Why.
        reason: String,
        /// When.
        at: Timestamp,
    },
    /// It was in doubt, and is answered.
    Settled {
        /// The answer, such as `created as 00Q5i000001`.
        outcome: String,
        /// When.
        at: Timestamp,
    },
}

/// Rejects with the same workflow, activity and code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// The workflow.
    pub workflow: String,
    /// The activity.
    pub activity: String,
    /// The code.
    pub code: String,
    /// Its readable name.
    pub symbol: String,
    /// The latest message.
    pub message: String,
    /// How many.
    pub rejects: u64,
    /// When the first was refused.
    pub first_at: Timestamp,
    /// When the last was refused.
    pub last_at: Timestamp,
    /// How many were refused on which day, in UTC; the latest [`DAYS_MAX`] days that have any.
    pub days: BTreeMap<String, u64>,
}

/// The most days that a [`Group`] tells apart.
pub const DAYS_MAX: usize = 14;

/// A desk that keeps nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoDesk;

#[async_trait]
impl Desk for NoDesk {
    async fn keep(&self, _: &Filing, _: Vec<NewReject>) -> Result<(), Failure> {
        Ok(())
    }

    async fn settle(&self, _: &Filing, _: Settlement) -> Result<(), Failure> {
        Ok(())
    }

    async fn open_keys(&self, _: &str, _: &str) -> Result<HashSet<String>, Failure> {
        Ok(HashSet::new())
    }

    async fn list(&self, _: &Wanted) -> Result<Vec<KeptReject>, Failure> {
        Ok(Vec::new())
    }

    async fn groups(&self, _: &Wanted) -> Result<Vec<Group>, Failure> {
        Ok(Vec::new())
    }

    async fn shape(&self, _: &str) -> Result<Option<Vec<u8>>, Failure> {
        Ok(None)
    }

    async fn correct(&self, _: RejectId, _: Map<String, Value>) -> Result<(), Failure> {
        Ok(())
    }

    async fn ignore(&self, _: &[RejectId], _: &str, _: Timestamp) -> Result<u64, Failure> {
        Ok(0)
    }

    async fn sending(&self, _: &[RejectId], _: &RunId) -> Result<(), Failure> {
        Ok(())
    }

    async fn ask(&self, _: &Filing, _: Vec<(MemoryId, NewReject)>) -> Result<(), Failure> {
        Ok(())
    }

    async fn answer(&self, _: &[(MemoryId, String)], _: Timestamp) -> Result<(), Failure> {
        Ok(())
    }
}
