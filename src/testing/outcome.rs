//! How a test went.

use engine::problem::Problem;
use serde_json::Value;

/// How a test went.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// What was not as expected.
    pub(crate) differences: Vec<Difference>,
    /// What is wrong with the test file, found only when it was tried.
    pub(crate) problems: Vec<Problem>,
    /// How long it took.
    pub(crate) seconds: f64,
}

impl Outcome {
    /// Whether all was as expected.
    pub(crate) fn is_passed(&self) -> bool {
        self.differences.is_empty() && self.problems.is_empty()
    }
}

/// Something that was not as expected.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Difference {
    /// The step, from 1, with its label.
    pub(crate) step: String,
    /// Of what, such as `import: records on ok`.
    pub(crate) what: String,
    /// Of rows, their columns.
    pub(crate) columns: Vec<String>,
    /// What was expected; of rows, those that were not found.
    pub(crate) expected: Value,
    /// What was found; of rows, those that were not expected.
    pub(crate) found: Value,
}
