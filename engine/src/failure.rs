//! What goes wrong while a run works, for the operator; it is kept in the journal.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::expr::ExprError;
use crate::printable;

/// The longest message that the journal keeps, in bytes of JSON; sled must be given small values only.
pub const MESSAGE_BYTES_MAX: usize = 4096;

/// What kind of failure it is: it decides whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Class {
    /// It may pass by itself: the network, an overloaded server.
    Transient,
    /// An allowance is used up; it comes back with time.
    Quota,
    /// The login was refused.
    Auth,
    /// The workflow, the configuration or the other system must be changed first.
    Config,
    /// Nothing has this name: a run, an option, a reject.
    NotFound,
    /// Somebody else changed what we were about to change.
    Conflict,
    /// The other system no longer knows the place where we were reading.
    CursorLost,
    /// It is not known whether a write took hold.
    InDoubt,
    /// The data itself cannot be worked on.
    Data,
    /// The loop that this activity bounds has used up its attempts.
    Exhausted,
    /// A limit of ours was reached.
    Limit,
    /// The run was stopped.
    Stopped,
    /// The disk, the store or a file of ours.
    Storage,
    /// A fault of ours.
    Internal,
}

impl Class {
    /// Whether it stays as it is until somebody changes the login or the configuration: a loop does not try it again.
    pub fn is_lasting(self) -> bool {
        matches!(self, Self::Auth | Self::Config | Self::NotFound)
    }

    /// Whether an activity's `retry` applies; login and configuration end at once, since a wrong secret stays wrong.
    pub fn is_retried(self) -> bool {
        matches!(self, Self::Transient | Self::Quota | Self::Conflict | Self::CursorLost | Self::Storage)
    }
}

/// A task that failed: what happened, and what now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// Decides whether it is tried again.
    pub class: Class,
    /// Where and what, without a secret.
    pub message: String,
    /// What the operator can do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The system's own code, such as `0x80072322`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The earliest time at which trying again makes sense, in seconds from now, as the other system asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
}

impl Failure {
    /// A failure of this class; its texts are cut to [`MESSAGE_BYTES_MAX`] each, whoever wrote them.
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        Self { class, message: cut(message.into()), help: None, code: None, retry_after_s: None }
    }

    /// With what the operator can do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(cut(help.into()));
        self
    }

    /// With the system's own code.
    #[must_use]
    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(cut(code.into()));
        self
    }

    /// A file of ours that could not be read or written.
    pub fn io(what: impl fmt::Display, error: &std::io::Error) -> Self {
        let failure = Self::new(Class::Storage, format!("{what}: {error}"));
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                failure.help("make room on this disk, then resume the run")
            }
            _ => failure,
        }
    }

    /// A fault of ours, which should be reported.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Class::Internal, message).help("this is a fault of Campanile; please report it")
    }
}

/// In one line, since servers' own texts are in it, and no longer than the journal keeps.
fn cut(text: String) -> String {
    let mut text = match printable::line(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(shown) => shown,
    };
    // As JSON has it, for that is what the journal keeps.
    let written = |letter: char| match letter {
        '"' | '\\' | '\n' | '\r' | '\t' => 2,
        letter if letter.is_ascii_control() => 6,
        letter => letter.len_utf8(),
    };
    let mut bytes = 0;
    let end = text.char_indices().find(|(_, letter)| {
        bytes += written(*letter);
        bytes > MESSAGE_BYTES_MAX
    });
    if let Some((end, _)) = end {
        text.truncate(end);
        text.push('…');
    }
    text
}

impl From<ExprError> for Failure {
    fn from(error: ExprError) -> Self {
        let failure = match error.row {
            Some(row) => Self::new(Class::Data, format!("record {}: {}", row + 1, error.message)),
            None => Self::new(Class::Config, error.message),
        };
        match error.help {
            Some(help) => failure.help(help),
            None => failure,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        // Some systems say their code in the text too.
        if let Some(code) = self.code.as_ref().filter(|code| !self.message.contains(code.as_str())) {
            write!(f, " ({code})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}
