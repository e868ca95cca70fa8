//! `crm.delete`: deletes records in a CRM by their ids. It is an export with another operation; see `crm.export`.

use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use engine::activity::{Activity, Columns, Effect, Flow, Need, Port, Spec};
use engine::context::Cx;
use engine::expr::Source;
use engine::failure::Failure;
use engine::flow::FlowCx;
use engine::outside::crm::{FieldKind, Object, Operation, Write, WriteField};
use engine::plan::{Plan, PlanCx};
use engine::types::Type;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::conversion::Conversion;
use crate::crm_export::{Batch, Guards, Identify, Request, Volume, check_volume, digest, export, field, flow, sent};
use crate::older::OlderVersions;
use crate::rows;

/// Deletes records in a CRM by their ids.
///
/// A record that is not there any more is fine: it leaves by `ok` with `outcome` `absent`. An empty id is a reject,
/// `KEY_EMPTY`; text that is no id, `ID_MALFORMED`; an id that came before, `KEY_REPEATED`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CrmDelete {
    /// The account of the CRM, from the configuration.
    account: String,
    /// The object whose records are deleted, such as `contacts`.
    object: String,
    /// The id of each record: a column or an expression.
    id: Source,
    /// The most records that one task deletes. Where there are more it deletes none, and the run is suspended;
    /// `campanile resume --allow-deletes N` goes on.
    #[serde(default = "max_deletes")]
    max_deletes: u64,
    /// How ids are sent. Without it, the connector decides by the CRM and the number of records.
    #[serde(default)]
    batch: Batch,
    /// How many records are usual. Otherwise nothing is deleted; `campanile resume --allow-volume N` goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    volume: Option<Volume>,
}

/// Deletes that nobody has to allow: a wrong join should not cost more than an afternoon.
fn max_deletes() -> u64 {
    1_000
}

/// What the palette shows.
pub static SPEC: Spec = Spec {
    kind: "crm.delete",
    elsewhere: &["delete", "remove", "erase", "purge"],
    effect: Effect::Writes,
    ports: &[Port::always("ok"), Port::with_records("reject"), Port::with_records("inDoubt")],
    example: r#"{
        "type": "crm.delete", "account": "dynamics", "object": "contacts",
        "id": "crm_id",
        "maxDeletes": 500,
        "to": { "ok": "next", "reject": "next" }
    }"#,
    ..Spec::of::<CrmDelete>()
};

#[async_trait]
impl Activity for CrmDelete {
    fn flow(&self, input: &Columns, cx: &mut FlowCx<'_>) -> Flow {
        let input = &rows::require("a delete", input, cx);
        check_volume(self.volume.as_ref(), cx);
        cx.object(&self.account, &self.object);
        if let Some(bound) = cx.expression("/id", &self.id, input, None)
            && let ty @ (Type::List(_) | Type::Date | Type::DateTime | Type::Bool) = bound.ty()
        {
            cx.problem("/id", "wrong-type", format!("this is {ty}, which is no id"), None);
        }
        flow(input)
    }

    async fn run(&self, cx: &mut Cx) -> Result<(), Failure> {
        let crm = cx.crm(&self.account).await?;
        let object = cx.object(&self.account, &self.object).await?;
        export(cx, crm, self.request(object)?).await
    }

    async fn plan(&self, cx: &PlanCx) -> Result<Option<Plan>, Failure> {
        let object = cx.object(&self.account, &self.object).await?;
        self.request(object)?.plan().map(Some)
    }

    async fn record_key(&self, _: &Cx) -> Result<Vec<Source>, Failure> {
        Ok(vec![self.id.clone()])
    }

    async fn sent(&self, cx: &Cx, records: &RecordBatch) -> Result<Vec<Map<String, Value>>, Failure> {
        let object = cx.object(&self.account, &self.object).await?;
        sent(cx, &self.request(object)?, records).await
    }

    fn needs(&self) -> Vec<Need> {
        Need::object(&self.account, &self.object, Vec::new())
    }
}

impl CrmDelete {
    fn request(&self, object: Arc<Object>) -> Result<Request, Failure> {
        let mut id = field(&object, &object.id)?;
        id.kind = FieldKind::Text;
        let fields = vec![WriteField { field: id, raw: false, target: None }];
        let write = Write {
            batch_max: self.batch.size,
            at_once_max: self.batch.parallel,
            ..Write::new(Arc::clone(&object), Operation::Delete, [&object.id], fields)
        };
        let guards = Guards { max_rejects: None, max_deletes: Some(self.max_deletes), volume: self.volume };
        Ok(Request {
            account: self.account.clone(),
            object: self.object.clone(),
            write,
            values: vec![(self.id.clone(), Conversion::Default)],
            types: Vec::new(),
            identify: Identify::Key,
            compare: false,
            older: OlderVersions::Write,
            guards,
            rejects_file: None,
            settings: digest(self)?,
        })
    }
}
