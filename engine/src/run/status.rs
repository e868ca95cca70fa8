//! What a run is at.

use serde::{Deserialize, Serialize};

use super::{Run, TaskStatus};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum End {
    Finished,
    Stopped,
    Aborted,
}

/// What a run is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Status {
    /// It waits until the workflow is free: another run of it holds it.
    Queued,
    /// Something works, or can.
    Running,
    /// All that is left waits for a time to come.
    Waiting,
    /// An operator paused it.
    Paused,
    /// A failure waits for an operator.
    Suspended,
    /// Everything is done.
    Finished,
    /// A failure ended it.
    Failed,
    /// An operator stopped it.
    Stopped,
}

impl Status {
    /// Whether nothing can follow.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Finished | Self::Failed | Self::Stopped)
    }

    /// Whether a process drives a run at this; if none does, the run was interrupted.
    pub fn is_driven(self) -> bool {
        matches!(self, Self::Queued | Self::Running | Self::Waiting)
    }

    /// Whether a run at this holds its workflow, so that another start of the workflow follows its `whenRunning`. A run
    /// that waits for a person after a failure does not.
    pub fn holds(self) -> bool {
        matches!(self, Self::Running | Self::Waiting | Self::Paused)
    }
}

impl From<End> for Status {
    fn from(end: End) -> Self {
        match end {
            End::Finished => Self::Finished,
            End::Stopped => Self::Stopped,
            End::Aborted => Self::Failed,
        }
    }
}

impl Run {
    /// What the run is at.
    pub fn status(&self) -> Status {
        if let Some(end) = self.end {
            return end.into();
        }
        if self.queued {
            Status::Queued
        } else if self.is_any(|status| status == TaskStatus::Running) {
            Status::Running
        } else if self.paused {
            Status::Paused
        } else if self.is_any(|status| status == TaskStatus::Suspended) {
            Status::Suspended
        } else if self.tasks.iter().any(|task| task.waits_until().is_some()) {
            Status::Waiting
        } else {
            Status::Running
        }
    }

    /// Whether it waits until its workflow is free.
    pub fn is_queued(&self) -> bool {
        self.queued && self.end.is_none()
    }

    /// Whether it goes on only with an operator's word.
    pub fn needs_resume(&self) -> bool {
        self.paused || self.is_any(|status| status == TaskStatus::Suspended)
    }
}
