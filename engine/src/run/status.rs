//! What a run is at.

use super::{Run, TaskStatus};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Finished,
    Stopped,
    Aborted,
}

/// What a run is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Status {
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
}

impl Run {
    /// What the run is at.
    pub fn status(&self) -> Status {
        match self.end {
            Some(End::Finished) => return Status::Finished,
            Some(End::Stopped) => return Status::Stopped,
            Some(End::Aborted) => return Status::Failed,
            None => {}
        }
        if self.is_any(|status| status == TaskStatus::Running) {
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

    /// Whether it goes on only with an operator's word.
    pub fn needs_resume(&self) -> bool {
        self.paused || self.is_any(|status| status == TaskStatus::Suspended)
    }
}
