//! `people`: makes records, for what follows to work on.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use engine::activity::{Activity, Columns, Flow, Port, Spec};
use engine::context::Cx;
use engine::failure::Failure;
use engine::flow::FlowCx;
use schemars::JsonSchema;
use serde::Deserialize;

/// Rows of a batch.
const BATCH: u64 = 5_000;

/// Makes people, some of them several times.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct People {
    /// How many records.
    records: u64,
    /// How many different mail addresses they have, in mixed case.
    groups: u64,
}

/// What the palette shows.
pub(crate) static SPEC: Spec = Spec {
    kind: "people",
    inbound: false,
    ports: &[Port::always("ok")],
    example: r#"{ "type": "people", "records": 100, "groups": 90 }"#,
    ..Spec::of::<People>()
};

#[async_trait]
impl Activity for People {
    fn flow(&self, _: &Columns, _: &mut FlowCx<'_>) -> Flow {
        Flow::from([("ok".to_owned(), Columns::Known(columns()))])
    }

    async fn run(&self, cx: &mut Cx) -> Result<(), Failure> {
        let schema = columns();
        let mut from = cx.position::<u64>()?.unwrap_or_default();
        while from < self.records {
            let to = (from + BATCH).min(self.records);
            cx.write("ok", self.batch(&schema, from..to)?).await;
            cx.tally().added += to - from;
            from = to;
            cx.checkpoint(&from).await?;
        }
        Ok(())
    }
}

impl People {
    fn batch(&self, schema: &SchemaRef, numbers: std::ops::Range<u64>) -> Result<RecordBatch, Failure> {
        // A prime step visits the groups in no order of their own.
        let group = |n: u64| n.wrapping_mul(7_919) % self.groups.max(1);
        let mail = |n: u64| format!("{}erson.{}@example.com", if n.is_multiple_of(3) { 'P' } else { 'p' }, group(n));
        let time = |n: u64| i64::try_from(n.wrapping_mul(2_654_435_761) % 31_536_000).unwrap_or_default() * 1_000_000;
        let times = TimestampMicrosecondArray::from_iter_values(numbers.clone().map(time)).with_timezone("UTC");
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(
                numbers.clone().map(|n| format!("c0000000-0000-4000-8000-{n:012}")),
            )),
            Arc::new(StringArray::from_iter_values(numbers.clone().map(mail))),
            Arc::new(StringArray::from_iter_values(numbers.map(|n| format!("Lovelace {n}")))),
            Arc::new(times),
        ];
        RecordBatch::try_new(Arc::clone(schema), arrays).map_err(|error| Failure::internal(error.to_string()))
    }
}

fn columns() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("contactid", DataType::Utf8, true),
        Field::new("emailaddress1", DataType::Utf8, true),
        Field::new("lastname", DataType::Utf8, true),
        Field::new("modifiedon", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
    ]))
}
