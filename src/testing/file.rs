//! What a test file says. These comments are the JSON Schema's, and so an author's manual.

mod before;
mod expect;
mod step;

use indexmap::IndexMap;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

pub(crate) use before::{Account, Before, CrmBefore, DatabaseBefore, Generated, Kind, Login, Rows};
pub(crate) use expect::{ChangeKind, Expect, ExpectActivity, ExpectChange, ExpectRequests, ExpectRows, Status};
pub(crate) use step::{CrmChange, Deed, Kill, Moment, ResendStep, RunStep, Step, TableStep};

/// Tests of a workflow: `x.test.json` beside `x.json`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TestFile {
    /// Where the schema lies, for editors.
    #[serde(rename = "$schema", default)]
    #[expect(dead_code, reason = "for editors")]
    pub(crate) schema: Option<String>,
    /// The version of this format: 1.
    #[schemars(range(min = 1, max = 1))]
    #[expect(dead_code, reason = "the schema holds it to 1")]
    pub(crate) version: u32,
    /// What the tests are about.
    #[expect(dead_code, reason = "for its readers")]
    #[serde(default)]
    pub(crate) notes: Option<String>,
    /// The workflow's file, from this one's folder. Without it, the one beside: `x.json` of `x.test.json`.
    #[serde(default)]
    pub(crate) workflow: Option<String>,
    /// Short names for long values: a text that is `@C01` stands for what `C01` names. Each # of a name stands for a digit,
    /// as in `"C##": "c0000000-0000-4000-8000-0000000000##"`. A text that really begins with @ is written with two.
    #[serde(default)]
    #[expect(dead_code, reason = "the names are put in place before the rest is read")]
    pub(crate) names: IndexMap<String, String>,
    /// What each test begins with; a key that a test gives in its own `before` replaces this one's.
    #[serde(default)]
    pub(crate) before: Before,
    /// The tests, by name. Each has a CRM, a database and a data folder of its own.
    #[schemars(extend("minProperties" = 1))]
    pub(crate) tests: IndexMap<String, Test>,
}

/// A test: what is there before, what is done, and what is expected after each step.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Test {
    /// What it shows.
    #[expect(dead_code, reason = "for its readers")]
    #[serde(default)]
    pub(crate) notes: Option<String>,
    /// What it begins with.
    #[serde(default)]
    pub(crate) before: Before,
    /// What is done, in this order.
    #[schemars(length(min = 1))]
    pub(crate) steps: Vec<Step>,
}

/// An instant in UTC, written as `2026-03-03 10:00:00` or `2026-03-03T10:00:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instant(pub(crate) Timestamp);

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let utc = if text.ends_with('Z') { text.clone() } else { format!("{text}Z") };
        let at = utc.parse().map_err(|_| serde::de::Error::custom(format!("\"{text}\" is no instant")))?;
        Ok(Self(at))
    }
}

impl JsonSchema for Instant {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Instant".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^\\d{4}-\\d{2}-\\d{2}[ T]\\d{2}:\\d{2}:\\d{2}Z?$",
            "description": "an instant in UTC, such as 2026-03-03 10:00:00",
        })
    }
}
