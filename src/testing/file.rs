//! What a test file says. These comments are the JSON Schema's, and so an author's manual.

use engine::workflow::Span;
use indexmap::IndexMap;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

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

/// What a test begins with.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Before {
    /// What the CRMs' clocks show, such as `2026-03-03 10:00:00` (UTC). They stand still; only a step, or a wait of the
    /// workflow, moves them. Without it, `2026-01-01 00:00:00`.
    #[serde(default)]
    pub(crate) clock: Option<Instant>,
    /// How far Campanile's own clock runs ahead of the CRMs', such as `7m`. Without it, not at all.
    #[serde(default)]
    pub(crate) ahead: Option<Span>,
    /// CRM accounts by the names that the workflow has for them. Those of `campanile.toml` are there already. Each is a
    /// stand-in of its own, and nobody's real CRM is asked.
    #[serde(default)]
    pub(crate) accounts: Option<IndexMap<String, Account>>,
    /// What the CRMs hold, by account.
    #[serde(default)]
    pub(crate) crm: Option<IndexMap<String, CrmBefore>>,
    /// What the database holds. It begins as a new data folder's does, with the tables `recipient` and `country`.
    #[serde(default)]
    pub(crate) database: Option<DatabaseBefore>,
    /// Options and their texts.
    #[serde(default)]
    pub(crate) options: Option<IndexMap<String, String>>,
    /// Variables that each run begins with.
    #[serde(default)]
    pub(crate) vars: Option<Map<String, Value>>,
}

/// An account of a test: its kind, or its kind and limits.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Account {
    /// Its kind.
    Kind(Kind),
    /// Its kind and limits.
    Full(FullAccount),
}

/// An account's kind and limits.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FullAccount {
    /// Its kind.
    pub(crate) kind: Kind,
    /// Limits, as in `campanile.toml`. `retries` is 0 unless it is given, so that a fault shows at once.
    #[serde(default)]
    pub(crate) limits: Map<String, Value>,
}

/// A kind of CRM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Kind {
    /// Microsoft Dynamics 365 or Dataverse.
    Dynamics,
    /// Salesforce.
    Salesforce,
}

impl Account {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Kind(kind) => *kind,
            Self::Full(account) => account.kind,
        }
    }
}

/// What a CRM holds.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CrmBefore {
    /// Generated people and companies.
    #[serde(default)]
    pub(crate) generated: Option<Generated>,
    /// How the system behaves, as the sandbox's page has it: of Dynamics, what it remembers of changes and deletions, such
    /// as `{"audit": true}`; of Salesforce, its settings, such as `{"deletedDays": 30}`.
    #[serde(default)]
    pub(crate) settings: Map<String, Value>,
    /// Fields besides the product's, by object, such as `{"name": "new_number", "type": "Integer"}`. The sandbox's page
    /// lists what a field can say.
    #[serde(default)]
    pub(crate) fields: IndexMap<String, Vec<Map<String, Value>>>,
    /// Alternate keys by object, of Dynamics: a name, and the fields that it is made of. Salesforce has external ids
    /// instead: fields with `"externalId": true`.
    #[serde(default)]
    pub(crate) keys: IndexMap<String, IndexMap<String, Vec<String>>>,
    /// Rules that refuse duplicates, by object: a name, and the fields that make two records the same.
    #[serde(default)]
    pub(crate) duplicates: IndexMap<String, IndexMap<String, Vec<String>>>,
    /// Records by object, each with its id.
    #[serde(default)]
    pub(crate) records: IndexMap<String, Rows>,
}

/// Generated people and companies; the same seed makes the same.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Generated {
    /// How many contacts.
    #[serde(default)]
    #[schemars(range(max = 1_000_000))]
    pub(crate) contacts: u32,
    /// How many leads, of Salesforce.
    #[serde(default)]
    #[schemars(range(max = 1_000_000))]
    pub(crate) leads: u32,
    /// How many companies they work for.
    #[serde(default)]
    #[schemars(range(max = 1_000_000))]
    pub(crate) accounts: u32,
    /// The seed; 1 where nothing is said.
    #[serde(default)]
    pub(crate) seed: Option<u64>,
}

/// What the database holds.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct DatabaseBefore {
    /// Statements that are performed first.
    #[serde(default)]
    pub(crate) sql: Vec<String>,
    /// Tables by name.
    #[serde(default)]
    pub(crate) tables: IndexMap<String, TableBefore>,
}

/// A table of the database.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TableBefore {
    /// Columns and what they are declared as, such as `"email": "TEXT"`. With it the table is made anew; without it, it must
    /// be there.
    #[serde(default)]
    pub(crate) make: IndexMap<String, String>,
    /// All its rows.
    #[serde(default)]
    pub(crate) rows: Rows,
}

/// Rows: a list of objects, or columns and a list of values for each row.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Rows {
    /// An object a row.
    Objects(Vec<Map<String, Value>>),
    /// A list of values a row.
    Table(RowTable),
}

/// Columns, and a list of values for each row.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RowTable {
    /// The columns.
    pub(crate) columns: Vec<String>,
    /// A list of values for each row, one a column.
    pub(crate) rows: Vec<Vec<Value>>,
}

impl Default for Rows {
    fn default() -> Self {
        Self::Objects(Vec::new())
    }
}

/// A step. What it names happens in this order: the clock, changes, faults, then what Campanile does; then what is
/// expected is looked at.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Step {
    /// What it is about.
    #[serde(default)]
    pub(crate) label: Option<String>,
    /// Sets the CRMs' clocks, such as `2026-03-03 11:00:00` (UTC).
    #[serde(default)]
    pub(crate) clock: Option<Instant>,
    /// Changes in the CRMs, by account, as people make them.
    #[serde(default)]
    pub(crate) crm: IndexMap<String, CrmChange>,
    /// Statements that change the database.
    #[serde(default)]
    pub(crate) sql: Vec<String>,
    /// Sets options, as an operator does; null removes one.
    #[serde(default)]
    pub(crate) options: IndexMap<String, Option<String>>,
    /// Faults of the CRMs from now on, by account, in place of those before; an empty list ends them.
    #[serde(default)]
    pub(crate) faults: IndexMap<String, Vec<sandbox::Fault>>,
    /// Starts the workflow.
    #[serde(default)]
    pub(crate) run: Option<RunStep>,
    /// Goes on with the last run, as a new process does.
    #[serde(default)]
    pub(crate) resume: Option<DriveStep>,
    /// Ends the last run for good.
    #[serde(default)]
    pub(crate) stop: Option<Nothing>,
    /// What is expected then.
    #[serde(default)]
    pub(crate) expect: Option<Expect>,
}

/// Nothing more is to be said: `{}`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// Changes in a CRM.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CrmChange {
    /// Records that are made, or of which the fields given change, by object; each with its id.
    #[serde(default)]
    pub(crate) put: IndexMap<String, Rows>,
    /// Ids of records that are deleted, by object.
    #[serde(default)]
    pub(crate) delete: IndexMap<String, Vec<String>>,
    /// Records that are merged into another, by object; Salesforce has it.
    #[serde(default)]
    pub(crate) merge: IndexMap<String, Vec<Merge>>,
}

/// Records that become one.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Merge {
    /// The id of the one that stays.
    pub(crate) into: String,
    /// The ids of those that go into it.
    pub(crate) records: Vec<String>,
}

/// A start of the workflow.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RunStep {
    /// Variables that it begins with, besides those of `before`.
    #[serde(default)]
    pub(crate) vars: Map<String, Value>,
    /// Imports read what changed in this window, as `campanile backfill` does.
    #[serde(default)]
    pub(crate) backfill: Option<BackfillStep>,
    /// What the workflow waits for beyond this time does not come: its process is ended while it waits.
    #[serde(default)]
    pub(crate) until: Option<Instant>,
    /// Ends its process at once, as a power cut does; a `resume` goes on.
    #[serde(default)]
    pub(crate) kill: Option<Kill>,
}

/// A window that is imported again.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct BackfillStep {
    /// The first instant that is imported.
    pub(crate) from: Instant,
    /// The first instant that is not.
    pub(crate) to: Instant,
    /// Only this import has the window; all that have an automatic index where none is named.
    #[serde(default)]
    pub(crate) activity: Option<String>,
}

/// How it goes on.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct DriveStep {
    /// What its guards let pass, as the operator allows it with `--allow-deletes` and so on.
    #[serde(default)]
    pub(crate) allow: Option<Allow>,
    /// What the workflow waits for beyond this time does not come: its process is ended while it waits.
    #[serde(default)]
    pub(crate) until: Option<Instant>,
    /// Ends its process at once, as a power cut does.
    #[serde(default)]
    pub(crate) kill: Option<Kill>,
}

/// What guards let pass.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Allow {
    /// So many deletions.
    #[serde(default)]
    pub(crate) deletes: Option<u64>,
    /// So many rejects.
    #[serde(default)]
    pub(crate) rejects: Option<u64>,
    /// So many records.
    #[serde(default)]
    pub(crate) volume: Option<u64>,
}

impl Allow {
    /// As the variables of the run that guards read.
    pub(crate) fn vars(self) -> Map<String, Value> {
        let allowed = [("allowDeletes", self.deletes), ("allowRejects", self.rejects), ("allowVolume", self.volume)];
        allowed.into_iter().filter_map(|(name, number)| Some((name.to_owned(), number?.into()))).collect()
    }
}

/// When a process is ended.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Kill {
    /// What happened last: an event of the journal, or `fault`, once a request met one of the faults.
    pub(crate) after: Moment,
    /// Of which activity; without it, of any.
    #[serde(default)]
    pub(crate) activity: Option<String>,
    /// The how many of them it is, from 1; without it, the first.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub(crate) nth: Option<u32>,
}

/// What happened last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Moment {
    /// The run began.
    Started,
    /// A task began.
    TaskStarted,
    /// A window of an automatic index was opened.
    WindowOpened,
    /// Records and where they go on from are kept.
    Sealed,
    /// A task ended well.
    TaskEnded,
    /// A task failed.
    TaskFailed,
    /// A request met a fault. Give the fault a `delayMs`, so that its answer is not there before the process ends.
    Fault,
}

/// What is expected after a step. What it does not name is not looked at.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Expect {
    /// What the run is at. Without it `finished` is expected of a run that nobody stops or kills.
    #[serde(default)]
    pub(crate) status: Option<Status>,
    /// Codes of the problems for which the workflow does not start, in any order.
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
