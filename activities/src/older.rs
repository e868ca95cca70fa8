//! What a write does with an older version of a source record.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Counts records that were dropped, since a newer version of them was written before.
pub(crate) const RULE: &str = "older";

/// What becomes of an older version of a source record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum OlderVersions {
    /// It is dropped by the rule `older`, if another run has written a newer version of the same record of the same account
    /// and object meanwhile.
    #[default]
    Drop,
    /// It is written over the newer one.
    Write,
}

impl OlderVersions {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
