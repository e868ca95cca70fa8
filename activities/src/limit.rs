//! `limit`: lets the first records through.

use std::ops::Range;

use async_trait::async_trait;
use engine::activity::{Port, Spec};
use engine::failure::Failure;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::kit::{self, Batch, Begin, Fate, OK, Records, Routed};

/// Lets the first records through, in the order of arrival, and drops the others.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limit {
    /// How many records.
    records: u64,
    /// Passes the other records on through the port `complement` instead of dropping them.
    #[serde(default)]
    complement: bool,
}

/// What the palette shows.
pub static SPEC: Spec = Spec {
    kind: "limit",
    elsewhere: &["first", "head", "top", "take", "sample"],
    ports: &[Port::always(OK), kit::complement()],
    drops: &[("limit", "records beyond the limit, without `complement`")],
    example: r#"{ "type": "limit", "records": 2, "complement": true, "to": { "ok": "next", "complement": "next" } }"#,
    sample: r#"{
        "in": [{ "id": "C1" }, { "id": "C2" }, { "id": "C3" }],
        "ok": [{ "id": "C1" }, { "id": "C2" }],
        "complement": [{ "id": "C3" }]
    }"#,
    ..kit::spec::<Limit>()
};

#[async_trait]
impl Records for Limit {
    const NAMED: &'static str = "a limit";
    type Plan = ();

    async fn plan(&self, _: &mut Begin<'_>) -> Result<(), Failure> {
        Ok(())
    }

    fn all(&self, (): &(), places: Range<u64>) -> Option<Fate> {
        let is_cut = places.start < self.records && self.records < places.end;
        (!is_cut).then(|| self.fate(places.start))
    }

    async fn batch(&self, (): &(), batch: &Batch, out: &mut Routed) -> Result<(), Failure> {
        out.route(&batch.records, |row| Some(self.fate(batch.first + row as u64)))
    }
}

impl Limit {
    fn fate(&self, place: u64) -> Fate {
        if place < self.records { Fate::To(OK) } else { Fate::outside(self.complement, "limit") }
    }
}
