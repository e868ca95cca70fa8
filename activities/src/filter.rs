//! `filter`: lets the records through for which a condition is true.

use arrow::array::Array;
use async_trait::async_trait;
use engine::activity::{Port, Spec};
use engine::expr::Source;
use engine::failure::Failure;
use engine::reject::Reject;
use engine::types::Type;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::kit::{self, Batch, Begin, Condition, Fate, OK, Records, Routed};
use crate::rows;

/// Lets the records through for which a condition is true, and drops the others. A record for which the condition is null,
/// such as a comparison with an empty value, is not let through. A record for which it cannot be computed is a reject.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Filter {
    /// The condition, such as `statecode == 0 && !is_empty(emailaddress1)`.
    #[serde(rename = "if")]
    condition: Source,
    /// Passes the other records on through the port `complement` instead of dropping them.
    #[serde(default)]
    complement: bool,
}

/// What the palette shows.
pub static SPEC: Spec = Spec {
    kind: "filter",
    elsewhere: &["where", "select", "condition", "segment", "exclude", "criteria"],
    ports: &[Port::always(OK), kit::complement(), Port::with_records(kit::REJECT)],
    drops: &[("filter", "records for which the condition is not true, without `complement`")],
    example: r#"{
        "type": "filter", "if": "country == \"NO\" && !is_empty(email)", "complement": true,
        "to": { "ok": "next", "complement": "next" }
    }"#,
    sample: r#"{
        "in": [
            { "country": "NO", "email": "ada@example.com" },
            { "country": "NO", "email": null },
            { "country": null, "email": "eve@example.com" }
        ],
        "ok": [{ "country": "NO", "email": "ada@example.com" }],
        "complement": [{ "country": "NO", "email": null }, { "country": null, "email": "eve@example.com" }]
    }"#,
    ..kit::spec::<Filter>()
};

#[async_trait]
impl Records for Filter {
    const NAMED: &'static str = "a filter";
    type Plan = Condition;

    fn expressions(&self) -> Vec<(String, &Source, Option<Type>)> {
        vec![("/if".to_owned(), &self.condition, Some(Type::Bool))]
    }

    async fn plan(&self, begin: &mut Begin<'_>) -> Result<Condition, Failure> {
        begin.condition(&self.condition).await
    }

    async fn batch(&self, condition: &Condition, batch: &Batch, out: &mut Routed) -> Result<(), Failure> {
        let (wanted, failing) = condition.matches(batch)?;
        let mut reasons: Vec<Option<Reject>> = vec![None; wanted.len()];
        for (row, error) in failing {
            reasons[row] = Some(rows::failed("if", error));
        }
        let refused = out.refuse(&batch.records, reasons)?;
        out.route(&batch.records, |row| match () {
            () if refused[row] => None,
            () if wanted.is_valid(row) && wanted.value(row) => Some(Fate::To(OK)),
            () => Some(Fate::outside(self.complement, "filter")),
        })
    }
}
