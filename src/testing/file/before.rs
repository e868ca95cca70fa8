//! What a test begins with.

use engine::workflow::Span;
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::Instant;

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

/// An account of a test: its kind, or its kind and more.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Account {
    /// Its kind.
    Kind(Kind),
    /// Its kind, and how it logs in or its limits.
    Full(FullAccount),
}

/// An account's kind, how it logs in, and its limits.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FullAccount {
    /// Its kind.
    pub(crate) kind: Kind,
    /// How it logs in; keys, passwords and tokens are its stand-in's. Without it, by a secret (client credentials).
    #[serde(default)]
    pub(crate) login: Login,
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

/// How an account logs in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Login {
    /// By the application's secret.
    #[default]
    ClientCredentials,
    /// By the application's certificate, of Dynamics.
    Certificate,
    /// By what is signed with the key of a certificate, of Salesforce.
    Jwt,
    /// By a user's name, password and security token, of Salesforce.
    Password,
    /// By a refresh token of a user who has consented once, of Salesforce.
    RefreshToken,
}

impl Login {
    /// What the test file calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ClientCredentials => "clientCredentials",
            Self::Certificate => "certificate",
            Self::Jwt => "jwt",
            Self::Password => "password",
            Self::RefreshToken => "refreshToken",
        }
    }
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
    /// Rules that refuse duplicates, by object: a name, and the fields that make two records the same. An export with
    /// `"duplicateRules": "ignore"` passes them.
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
