//! What a test expects.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What is expected after a step. What it does not name is not looked at.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Expect {
    /// What the run is at. Without it `finished` is expected of a run that nobody stops or kills.
    #[serde(default)]
    pub(crate) status: Option<Status>,
    /// Codes of the problems for which the workflow does not start, or that a `check` finds, in any order.
    #[serde(default)]
    pub(crate) problems: Option<Vec<String>>,
    /// What the activities did, by name. A number that is not named is not looked at, save in `out` and `dropped`.
    #[serde(default)]
    pub(crate) activities: IndexMap<String, ExpectActivity>,
    /// Variables after the last task; null where there must be none of the name.
    #[serde(default)]
    pub(crate) vars: Map<String, Value>,
    /// Options and their texts; null where there must be none of the name.
    #[serde(default)]
    pub(crate) options: IndexMap<String, Option<String>>,
    /// Tables of the database, in the columns named.
    #[serde(default)]
    pub(crate) database: IndexMap<String, ExpectRows>,
    /// Records of the CRMs, by account and object, in the fields named.
    #[serde(default)]
    pub(crate) crm: IndexMap<String, IndexMap<String, ExpectRows>>,
    /// All that this step's run created, updated and deleted in the CRMs, by account and object. What it names no object
    /// for must not have changed; `{}` of an account: it wrote nothing.
    #[serde(default)]
    pub(crate) changes: IndexMap<String, IndexMap<String, Vec<ExpectChange>>>,
    /// What this step's run asked of the CRMs, by account.
    #[serde(default)]
    pub(crate) requests: IndexMap<String, ExpectRequests>,
    /// All warnings that this step wrote into the journal: of each, a part of its text.
    #[serde(default)]
    pub(crate) warnings: Option<Vec<String>>,
    /// The rejects desk, with what is closed: columns `id`, `activity`, `key`, `code`, `symbol`, `message`, `field`, `help`,
    /// `attempts`, `state` (`open`, `corrected`, `sending`, `passed`, `ignored`) and `reason`, and of the record
    /// `record.` and a column's name.
    #[serde(default)]
    pub(crate) rejects: Option<ExpectRows>,
    /// What people were told in this step, as `[alerts]` of the configuration would tell them: columns `run`, `task`,
    /// `activity`, `status` (`suspended`, `failed`), `message`, `help` and `next`. In a test nobody else is told.
    #[serde(default)]
    pub(crate) alerts: Option<ExpectRows>,
    /// Files that activities wrote, by path: their lines. Null where there must be none.
    #[serde(default)]
    pub(crate) files: IndexMap<String, Option<Vec<String>>>,
}

/// What a run is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Status {
    /// Everything is done.
    Finished,
    /// A task failed and waits for an operator.
    Suspended,
    /// A failure ended it.
    Failed,
    /// An operator stopped it.
    Stopped,
    /// An operator lets it start nothing new.
    Paused,
    /// Its process was ended by `kill` or `until`, and it can be resumed.
    BrokenOff,
}

/// What an activity did: of several tasks of it, the last, unless `tasks` or `failed` is asked for.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ExpectActivity {
    /// How many tasks it had.
    #[serde(default)]
    pub(crate) tasks: Option<u64>,
    /// How many of them failed.
    #[serde(default)]
    pub(crate) failed: Option<u64>,
    /// Records that came in.
    #[serde(default, rename = "in")]
    pub(crate) came: Option<u64>,
    /// Records made or read from elsewhere.
    #[serde(default)]
    pub(crate) added: Option<u64>,
    /// Records out by port; a port that is not named must have none.
    #[serde(default)]
    pub(crate) out: Option<IndexMap<String, u64>>,
    /// Records dropped by rule; a rule that is not named must have dropped none.
    #[serde(default)]
    pub(crate) dropped: Option<IndexMap<String, u64>>,
    /// What else it counted, such as `inserted`.
    #[serde(default)]
    pub(crate) counts: IndexMap<String, u64>,
    /// Variables that it set; null where there must be none of the name.
    #[serde(default)]
    pub(crate) vars: Map<String, Value>,
    /// A part of the message with which it failed last.
    #[serde(default)]
    pub(crate) failure: Option<String>,
    /// Records by port, in the columns named.
    #[serde(default)]
    pub(crate) records: IndexMap<String, ExpectRows>,
}

/// Rows that are expected: how many; a list of objects; or columns and a list of values for each row.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum ExpectRows {
    /// How many.
    Count(u64),
    /// An object a row: these rows and no others, in any order, in all columns that one of them names.
    Objects(Vec<Map<String, Value>>),
    /// A list of values a row.
    Table(ExpectTable),
}

/// Columns, and the rows that are expected.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ExpectTable {
    /// The columns that are looked at.
    pub(crate) columns: Vec<String>,
    /// A list of values for each row, one a column.
    pub(crate) rows: Vec<Vec<Value>>,
    /// The rows are in this order.
    #[serde(default)]
    pub(crate) in_order: bool,
    /// There may be other rows besides.
    #[serde(default)]
    pub(crate) contains: bool,
}

/// A record that was created, updated or deleted.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ExpectChange {
    /// What became of it.
    pub(crate) kind: ChangeKind,
    /// Its id; without it, of any record.
    #[serde(default)]
    pub(crate) id: Option<String>,
    /// Fields and what they became; fields that are not named are not looked at.
    #[serde(default)]
    pub(crate) fields: Map<String, Value>,
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum ChangeKind {
    /// It was made.
    Created,
    /// It was changed.
    Updated,
    /// It was deleted.
    Deleted,
}

/// What was asked of a CRM.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ExpectRequests {
    /// How many requests there were, by what they asked for: `token`, `metadata`, `query`, `page`, `record`, `write` and the
    /// other words of the sandbox's log.
    #[serde(default)]
    pub(crate) count: IndexMap<String, u64>,
    /// Each of these texts stands in the address of a request.
    #[serde(default)]
    pub(crate) containing: Vec<String>,
    /// None of these texts stands in the address of a request.
    #[serde(default)]
    pub(crate) without: Vec<String>,
}
