//! The workflow file, as authors write it.

use indexmap::IndexMap;
use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::outside::store::Hold;

/// The version of the file's form that this build writes and knows.
pub const VERSION: u64 = 1;
/// The most activities of a workflow.
pub const ACTIVITIES_MAX: usize = 20_000;
/// Attempts that a `wait` allows the loop that leads through it, where its author says nothing.
pub const ATTEMPTS_DEFAULT: u32 = 5;

/// A workflow: named activities and the transitions between them.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkflowFile {
    /// Where this schema lies, for editors.
    #[serde(rename = "$schema", default)]
    pub schema: Option<String>,
    /// The version of the file's form: 1. A newer one needs a newer Campanile.
    #[schemars(extend("const" = 1))]
    pub version: u64,
    /// What people call the workflow.
    #[serde(default)]
    pub label: Option<String>,
    /// For whoever reads it.
    #[serde(default)]
    pub notes: Option<String>,
    /// The time zone of its dates, an IANA name such as `Europe/Paris`; UTC where nothing is said.
    #[serde(default)]
    #[schemars(extend("examples" = ["Europe/Paris"]))]
    pub time_zone: Option<String>,
    /// What happens when an activity fails and nothing else is said.
    #[serde(default)]
    pub on_error: OnError,
    /// What a start does while another run of the workflow is not over.
    #[serde(default)]
    pub when_running: WhenRunning,
    /// Variables and the values they begin with; whoever starts a run may give others.
    #[serde(default)]
    pub vars: Map<String, Value>,
    /// The activities, by name.
    #[schemars(extend("minProperties" = 1))]
    pub activities: Map<String, Value>,
    /// Where the activities stand in a drawing; it changes nothing else.
    #[serde(default)]
    pub layout: IndexMap<String, (f64, f64)>,
}

/// What every activity may say.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Common {
    /// What people call the activity.
    pub label: Option<String>,
    /// For whoever reads it.
    pub notes: Option<String>,
    /// Where its transitions lead: an activity, a list of them, or a map from port to either.
    #[schemars(extend("examples" = ["next", ["next", "other"], { "ok": "next", "error": "other" }]))]
    pub to: To,
    /// What happens when it fails and its port `error` leads nowhere.
    #[schemars(extend("examples" = ["suspend", "ignore", "abort"]))]
    pub on_error: Option<OnError>,
    /// How it is tried again by itself before it fails.
    #[schemars(extend("examples" = [{ "attempts": 3, "backoff": "10s" }]))]
    pub retry: Option<Retry>,
    /// How often one loop may pass through it before its port `exhausted`.
    #[schemars(range(min = 1, max = 1000), extend("examples" = [5]))]
    pub attempts: Option<u32>,
    /// The time zone of its dates, in place of the workflow's.
    #[schemars(extend("examples" = ["Europe/Paris"]))]
    pub time_zone: Option<String>,
}

/// What happens when an activity fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OnError {
    /// The run waits for an operator, who resumes or stops it.
    #[default]
    Suspend,
    /// Nothing follows from the activity; the rest goes on.
    Ignore,
    /// The whole run ends as failed.
    Abort,
}

/// What a start does while another run of the workflow holds it. Running, paused, waiting and interrupted runs hold their
/// workflow; suspended ones do not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum WhenRunning {
    /// The start is refused and names the run that holds the workflow.
    #[default]
    Refuse,
    /// The new run waits until the workflow is free; a third start is refused.
    Queue,
    /// The new run waits until the workflow is free, behind those that wait already; 100 at most.
    QueueAll,
    /// The runs that hold the workflow are stopped for good, then the new run begins.
    StopOther,
    /// The new run begins next to the others. Records that both read are written by both.
    Allow,
}

impl WhenRunning {
    /// The most runs that wait for a workflow.
    pub const QUEUE_MAX: usize = 100;

    /// How a run that begins takes the workflow's hold, and how it waits if it cannot take it.
    pub fn holds(self) -> (Hold, Option<Hold>) {
        match self {
            Self::Refuse => (Hold::Take, None),
            Self::Queue => (Hold::Take, Some(Hold::Queue(1))),
            Self::QueueAll | Self::StopOther => (Hold::Take, Some(Hold::Queue(Self::QUEUE_MAX))),
            Self::Allow => (Hold::Share, None),
        }
    }
}

/// Tries again by itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Retry {
    /// How often in all, the first time included. Failures of login or configuration are not retried.
    #[schemars(range(min = 1, max = 100))]
    pub attempts: u32,
    /// How long before the second attempt; each further one waits twice as long.
    #[serde(default = "Retry::backoff_default")]
    pub backoff: Span,
    /// The longest wait between two attempts.
    #[serde(default = "Retry::backoff_max_default")]
    pub backoff_max: Span,
}

impl Retry {
    fn backoff_default() -> Span {
        Span(SignedDuration::from_secs(10))
    }

    fn backoff_max_default() -> Span {
        Span(SignedDuration::from_mins(15))
    }

    /// How long before the attempt after `attempt`, from 1.
    pub fn pause(&self, attempt: u32) -> SignedDuration {
        let factor = 1_i32.checked_shl(attempt.saturating_sub(1).min(30)).unwrap_or(i32::MAX);
        self.backoff.0.checked_mul(factor).unwrap_or(self.backoff_max.0).min(self.backoff_max.0)
    }
}

/// Transitions by port, in the order of the file; a plain target or list is the port `ok`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct To(pub IndexMap<String, Vec<String>>);

impl<'de> Deserialize<'de> for To {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Targets {
            One(String),
            Many(Vec<String>),
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Ok(Targets),
            Ports(IndexMap<String, Targets>),
        }
        let list = |targets| match targets {
            Targets::One(target) => vec![target],
            Targets::Many(targets) => targets,
        };
        Ok(Self(match Form::deserialize(deserializer)? {
            Form::Ok(targets) => IndexMap::from([("ok".to_owned(), list(targets))]),
            Form::Ports(ports) => ports.into_iter().map(|(port, targets)| (port, list(targets))).collect(),
        }))
    }
}

impl JsonSchema for To {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "To".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let target = serde_json::json!({ "type": "string", "description": "the name of an activity" });
        let targets = serde_json::json!({ "type": "array", "items": target, "minItems": 1, "uniqueItems": true });
        schemars::json_schema!({
            "description": "where transitions lead: an activity, a list of them, or a map from port to either",
            "anyOf": [
                target,
                targets,
                { "type": "object", "additionalProperties": { "anyOf": [target, targets] } },
            ]
        })
    }
}

/// The name in schemas of what [`Span::parse`] reads.
pub const SPAN_FORMAT: &str = "span";

/// A length of time, written as `30s`, `5m`, `2h` or `1d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub SignedDuration);

impl Span {
    /// The longest span: a year.
    pub const MAX: SignedDuration = SignedDuration::from_hours(366 * 24);

    /// From its text.
    ///
    /// # Errors
    /// What would be right, where it is not a span or longer than [`Span::MAX`].
    pub fn parse(text: &str) -> Result<Self, String> {
        let duration = match text.strip_suffix('d').map(str::trim).and_then(|days| days.parse::<i64>().ok()) {
            Some(days) => days.checked_mul(24).map(SignedDuration::from_hours),
            None => text.parse::<SignedDuration>().ok(),
        };
        duration
            .filter(|duration| !duration.is_negative() && *duration <= Self::MAX)
            .map(Self)
            .ok_or_else(|| format!("\"{text}\" is not a length of time: write 30s, 5m, 2h or 1d, up to 366d"))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "format": SPAN_FORMAT,
            "pattern": "^\\s*\\d+(\\.\\d+)?\\s*[a-zµ]+(\\s*\\d+(\\.\\d+)?\\s*[a-zµ]+)*\\s*$",
            "description": "a length of time, such as 30s, 5m, 2h or 1d",
            "examples": ["5m"],
        })
    }
}

/// Whether it can name a workflow or an activity: letters, digits, `_` and `-`, beginning with a letter or `_`,
/// 64 characters at most. Names become folders, options and run names.
pub fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    text.len() <= 64
        && chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}
