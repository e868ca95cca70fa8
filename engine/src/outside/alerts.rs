//! Tells people that a run needs them. The crate `server` does it by a webhook and by mail.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;

use super::store::RunId;
use crate::event::TaskId;
use crate::failure::Failure;

/// Those who are told when a run comes to need a person.
#[async_trait]
pub trait Alerts: Send + Sync {
    /// Their names, such as `webhook`, which journals keep; none where nobody is to be told.
    fn receivers(&self) -> Vec<String>;

    /// With how many rejects and records in doubt a run may finish without an alert.
    fn limits(&self) -> AlertLimits {
        AlertLimits::default()
    }

    /// Tells one of them. What may pass by itself is tried again, within a time that is bounded.
    ///
    /// # Errors
    /// Where there is no such receiver, or it does not take it; nothing of it is tried again then.
    async fn tell(&self, receiver: &str, alert: &Alert) -> Result<(), Failure>;
}

/// With how much a run may finish without an alert; any number of what has no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AlertLimits {
    /// Rejects.
    pub rejects: Option<u64>,
    /// Records in doubt that nothing has settled.
    pub in_doubt: Option<u64>,
}

impl AlertLimits {
    /// Whether this is more than a limit.
    pub fn is_over(self, rejects: u64, in_doubt: u64) -> bool {
        let over = |limit: Option<u64>, records| limit.is_some_and(|limit| records > limit);
        over(self.rejects, rejects) || over(self.in_doubt, in_doubt)
    }
}

/// What people are told of a run that needs them. It holds no secret, and of records only what the failure says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// The same each time the same stop is told, as after a crash: the run, and number and time of the event that stopped it.
    pub id: String,
    /// The workflow's name.
    pub workflow: String,
    /// The run; none if none began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// The task that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// Its activity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activity: Option<String>,
    /// What the run came to.
    pub status: Need,
    /// When, by our clock.
    pub at: Timestamp,
    /// Why.
    pub message: String,
    /// What helps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The command that is next.
    pub next: String,
}

/// What a run came to that needs a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Need {
    /// It waits for an operator.
    Suspended,
    /// A failure ended it.
    Failed,
    /// Its process ended before it did.
    Interrupted,
    /// It finished, with more rejects or records in doubt than may pass without an alert.
    Finished,
    /// It did not begin.
    NotStarted,
}

/// Nobody is told.
#[derive(Debug, Clone, Copy)]
pub struct NoAlerts;

#[async_trait]
impl Alerts for NoAlerts {
    fn receivers(&self) -> Vec<String> {
        Vec::new()
    }

    async fn tell(&self, _: &str, _: &Alert) -> Result<(), Failure> {
        Ok(())
    }
}
