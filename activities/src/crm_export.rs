//! `crm.export`: writes records into a CRM, each once.
//!
//! ```text
//!   key of each record ─▶ which come first? (once, kept)
//!   records ─mapping─▶ values ─encode─▶ payloads ─▶ batches ─▶ temp file ─▶ lanes ─▶ CRM
//!              │                  │         │                     ▲          │
//!              └── refused ───────┴─────────┴── decided ──────────┴─ answers ┘
//!                                                                 │
//!   ok, reject, inDoubt, in the order of arrival  ◀───────────────┘
//! ```
//!
//! What is about to be sent is durable before it is sent, with its exact bytes, and what came of it before it is passed
//! on: see [`ledger`]. So a crash at any moment leaves either nothing sent, or a batch that is known to be in doubt, which
//! the connector decides by the rule that makes two writes one. The pieces: [`mapping`] and [`values`] make values of
//! records, [`identity`] tells which record is which, [`compare`] leaves out what is there already, [`batches`] cuts, and
//! [`lanes`] sends and passes on. `crm.delete` is the same with other settings.

mod batches;
mod begin;
mod check;
mod compare;
mod guards;
mod identity;
mod lanes;
mod ledger;
mod mapping;
mod newest;
mod remember;
mod request;
mod settle;
mod source;
mod values;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use engine::activity::{Activity, Columns, Effect, Flow, Need, Port, Spec};
use engine::context::Cx;
use engine::expr::Source;
use engine::failure::Failure;
use engine::flow::FlowCx;
use engine::outside::crm::Operation;
use engine::plan::{Plan, PlanCx};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::conversion::Conversion;
use crate::older::{self, OlderVersions};

pub(crate) use begin::sent;
pub use guards::Volume;
pub(crate) use guards::check_volume;
pub(crate) use lanes::{columns_in_doubt, columns_ok, export};
pub(crate) use request::{Guards, Identify, Request, digest, field};

/// Writes records into a CRM: inserts, updates, or both by a key. Each record is written once, also after a crash, an
/// error or a cut connection.
///
/// Of several records with the same key the first that arrived is sent; the others are rejects, `KEY_REPEATED`. A record
/// whose key is empty is a reject, `KEY_EMPTY`, and never an insert. A record that the CRM refuses is a reject with the
/// CRM's own code and words; the others of its batch are written. Where the CRM cannot tell whether a record took hold,
/// it leaves by `inDoubt` and is not sent again.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CrmExport {
    /// The account of the CRM, from the configuration.
    account: String,
    /// The object that is written, such as `contacts`.
    object: String,
    /// Whether records are made, changed, or both: `upsert` changes the record that has the key and makes one where none
    /// has it. Without it, records with a mapped key are changed, and without a key the workflow is not right: every
    /// record would be made anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    operation: Option<ExportOperation>,
    /// What is written: fields of the object, each with a column or an expression of the record, such as
    /// `"lastname": "last_name"`. A field that is not named keeps its value. In Salesforce a lookup may be set by an
    /// external id of the record that it leads to, such as `"Account.Number__c": "account_number"`; where that is null, the
    /// lookup keeps its value.
    set: IndexMap<String, Mapped>,
    /// The fields by which an existing record is found: an alternate key or an external id. Without it, the id, where it
    /// stands in `set`.
    #[serde(default)]
    key: Vec<String>,
    /// Of an insert, where the CRM takes ids that we choose: what makes a record the same one when it is exported again,
    /// such as `"recipient_id"`. Without it, the key of the population, or else its place in this run's population.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id_from: Option<IdFrom>,
    /// Whether records are read first, and those that have these values already are left out.
    #[serde(default)]
    compare: bool,
    /// What becomes of a record if a later run has sent a newer version of it, as when a run is resumed after days: `drop`
    /// (default) counts it by the rule `older`, `write` puts it over the newer one.
    #[serde(default, skip_serializing_if = "OlderVersions::is_default")]
    older: OlderVersions,
    /// How records are sent. Without it, the connector decides by the CRM and the number of records.
    #[serde(default)]
    batch: Batch,
    /// Whether the CRM's own rules against duplicates apply to records that are made.
    #[serde(default)]
    duplicate_rules: DuplicateRules,
    /// The rule by which the CRM assigns owners to new records, by id; Salesforce, for leads and cases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    assignment_rule: Option<String>,
    /// The most rejects before the export stops, with nothing more sent. `campanile resume --allow-rejects N` goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_rejects: Option<u64>,
    /// A CSV file for the rejects, within the folder for files, such as `rejects-{date}.csv`; see `file.extract`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rejects_file: Option<String>,
    /// How many records are usual. Otherwise nothing is sent; `campanile resume --allow-volume N` goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    volume: Option<Volume>,
}

/// What an export does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ExportOperation {
    /// Makes new records.
    Insert,
    /// Changes records that are there, and makes none.
    Update,
    /// Changes the record that has the key, and makes one where none has it.
    Upsert,
}

impl ExportOperation {
    fn operation(self) -> Operation {
        match self {
            Self::Insert => Operation::Insert,
            Self::Update => Operation::Update,
            Self::Upsert => Operation::Upsert,
        }
    }
}

/// What a field is set to.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Mapped {
    /// An expression over the record.
    Value(Source),
    /// One with more to say.
    With(MappedWith),
}

/// What a field is set to, and how.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MappedWith {
    /// An expression over the record.
    value: Source,
    /// How dates and times are written: `default` (an instant, by the workflow's time zone), `dateOnly`,
    /// `withoutTimeOffset` (the clock reading as it is), or `copy` (the text as it is, of any field).
    #[serde(default)]
    conversion: Conversion,
    /// Of a lookup that may point to several objects: which one it is, such as `accounts`. Where it differs from record
    /// to record, set the field of the lookup's name with `_type` at the end instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<String>,
}

impl Mapped {
    fn parts(&self) -> (&Source, Conversion, Option<&str>) {
        match self {
            Self::Value(source) => (source, Conversion::Default, None),
            Self::With(with) => (&with.value, with.conversion, with.target.as_deref()),
        }
    }

    fn pointer(&self, field: &str) -> String {
        let field = engine::document::escape(field);
        match self {
            Self::Value(_) => format!("/set/{field}"),
            Self::With(_) => format!("/set/{field}/value"),
        }
    }
}

/// What makes a record the same one.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum IdFrom {
    /// One expression.
    One(Source),
    /// Several together.
    Several(Vec<Source>),
}

impl IdFrom {
    fn sources(&self) -> Vec<Source> {
        match self {
            Self::One(source) => vec![source.clone()],
            Self::Several(sources) => sources.clone(),
        }
    }
}

/// How records are sent.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Batch {
    /// The most records of one batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub(crate) size: Option<usize>,
    /// The most batches at once; the account's own limits may allow fewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub(crate) parallel: Option<usize>,
}

/// The CRM's own rules against duplicates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum DuplicateRules {
    /// They apply, and what they find is a reject.
    #[default]
    Apply,
    /// They do not apply.
    Ignore,
}

/// What the palette shows.
pub static SPEC: Spec = Spec {
    kind: "crm.export",
    elsewhere: &[
        "salesforce",
        "dynamics",
        "dataverse",
        "crm",
        "export",
        "write",
        "destination",
        "push",
        "send",
        "upsert",
        "insert",
        "output",
        "sync",
        "mail",
        "email",
        "delivery",
        "sms",
    ],
    effect: Effect::Writes,
    ports: &[Port::always("ok"), Port::with_records("reject"), Port::with_records("inDoubt")],
    drops: &[(older::RULE, "records of which a later run has written a newer version")],
    example: r#"{
        "type": "crm.export", "account": "dynamics", "object": "contacts",
        "operation": "update",
        "set": {
            "contactid": "crm_id",
            "lastname": "last_name",
            "birthdate": { "value": "born", "conversion": "dateOnly" }
        },
        "compare": true,
        "maxRejects": 1000,
        "to": { "ok": "next", "reject": "next", "inDoubt": "next" }
    }"#,
    ..Spec::of::<CrmExport>()
};

#[async_trait]
impl Activity for CrmExport {
    fn flow(&self, input: &Columns, cx: &mut FlowCx<'_>) -> Flow {
        let input = &crate::rows::require("an export", input, cx);
        self.check(input, cx);
        flow(input)
    }

    async fn run(&self, cx: &mut Cx) -> Result<(), Failure> {
        let crm = cx.crm(&self.account).await?;
        let object = cx.object_with(&self.account, &self.object, &self.related()).await?;
        let request = Request::of_export(self, object, crm.system())?;
        export(cx, crm, request).await
    }

    async fn record_key(&self, cx: &Cx) -> Result<Vec<Source>, Failure> {
        if let Some(id_from) = &self.id_from {
            return Ok(id_from.sources());
        }
        let key = self.key(&*cx.object(&self.account, &self.object).await?);
        Ok(key.iter().filter_map(|field| Some(self.set.get(field)?.parts().0.clone())).collect())
    }

    async fn sent(&self, cx: &Cx, records: &RecordBatch) -> Result<Vec<Map<String, Value>>, Failure> {
        let object = cx.object_with(&self.account, &self.object, &self.related()).await?;
        let request = Request::of_export(self, object, cx.crm(&self.account).await?.system())?;
        sent(cx, &request, records).await
    }

    async fn remember(&self, cx: &Cx) -> Result<(), Failure> {
        let crm = cx.crm(&self.account).await?;
        let object = cx.object_with(&self.account, &self.object, &self.related()).await?;
        let request = Request::of_export(self, object, crm.system())?;
        remember::remember(cx, crm, request).await
    }

    async fn plan(&self, cx: &PlanCx) -> Result<Option<Plan>, Failure> {
        let crm = cx.crm(&self.account)?;
        let object = cx.object_with(&self.account, &self.object, &self.related()).await?;
        Request::of_export(self, object, crm.system())?.plan().map(Some)
    }

    fn needs(&self) -> Vec<Need> {
        Need::object(&self.account, &self.object, self.related())
    }

    fn changes_records(&self) -> Option<(&str, &str)> {
        Some((&self.account, &self.object))
    }
}

impl CrmExport {
    /// The fields of related records that are set.
    fn related(&self) -> Vec<String> {
        self.set.keys().filter(|name| name.contains('.')).cloned().collect()
    }
}

/// The columns of all ports.
pub(crate) fn flow(input: &Columns) -> Flow {
    let of = |make: fn(&arrow::datatypes::Schema) -> arrow::datatypes::SchemaRef| match input.known() {
        Some(schema) => Columns::Known(make(schema)),
        None => Columns::Unknown,
    };
    Flow::from([
        ("ok".to_owned(), of(columns_ok)),
        ("reject".to_owned(), of(crate::rejects::columns)),
        ("inDoubt".to_owned(), of(columns_in_doubt)),
    ])
}
