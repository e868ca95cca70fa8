//! Why one record was refused, in the words of the columns that every reject has.

use serde::{Deserialize, Serialize};

/// The columns of a reject that say why, after those of the record.
pub const COLUMNS: [&str; 5] = ["errorCode", "errorSymbol", "errorMessage", "errorField", "errorHelp"];

/// The code of a record whose key an earlier record of its task has.
pub const KEY_REPEATED: &str = "KEY_REPEATED";

/// Why a record was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reject {
    /// The system's machine code as it spells it, or a word of ours.
    pub code: String,
    /// Its readable name; equal to the code where the system has one word only.
    pub symbol: String,
    /// What is wrong.
    pub message: String,
    /// The field or column that is wrong, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Reject {
    /// With a code that is a word by itself.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), symbol: code.to_owned(), message: message.into(), field: None, help: None }
    }

    /// With the field or column that is wrong.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// With what now.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}
