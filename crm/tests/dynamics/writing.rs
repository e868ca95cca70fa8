//! What becomes of records whose batch is too large for somebody on the way.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::Schema;
use async_trait::async_trait;
use engine::failure::Failure;
use engine::outside::crm::{Batch, Crm, Operation, Outcome, Steps, Write, WriteField};
use sandbox::{Fault, Route};
use serde_json::{Value, json};

use crate::common::world;

struct NoSteps;

#[async_trait]
impl Steps for NoSteps {
    fn last(&self) -> Option<Value> {
        None
    }

    async fn record(&self, _: Value) -> Result<(), Failure> {
        Ok(())
    }
}

#[tokio::test]
async fn what_is_known_of_the_first_half_of_a_batch_that_was_too_large_is_not_forgotten_for_the_second() {
    let world = world(0, json!({ "retryWaitMin": "1ms", "retries": 0 }));
    let object = world.contacts().await;
    let name = WriteField { field: object.fields["lastname"].clone(), raw: false, target: None };
    let write = Write::new(object, Operation::Insert, [""; 0], vec![name]);
    let names: ArrayRef = Arc::new(StringArray::from(vec!["Name 0", "Name 1", "Name 2", "Name 3"]));
    let schema = Schema::new(vec![write.fields[0].field.column(false)]);
    let records = RecordBatch::try_new(Arc::new(schema), vec![names]).unwrap();
    let plan = world.crm.write_plan(&write, 4).unwrap();
    assert_eq!(plan.method, "batch");
    let encoded = world.crm.encode(&write, &plan, &records).unwrap();
    let payloads: Vec<_> = encoded.into_iter().map(|payload| payload.unwrap().bytes).collect();

    let fault = |status, containing: &str| Fault {
        route: Route::Batch,
        containing: Some(containing.to_owned()),
        status: Some(status),
        times: Some(1),
        ..Fault::default()
    };
    world.admin().add_fault(fault(413, "Name 0")).unwrap();
    world.admin().add_fault(fault(503, "Name 3")).unwrap();
    let batch = Batch { write: &write, plan: &plan, name: "b", payloads: &payloads, again: false, steps: &NoSteps };
    let outcomes = world.crm.send(batch).await.unwrap();
    let is_made = |outcome: &Outcome| matches!(outcome, Outcome::Done { .. });
    assert_eq!(outcomes.iter().map(is_made).collect::<Vec<_>>(), [true, true, false, false], "{outcomes:?}");
    assert!(matches!(outcomes[3], Outcome::InDoubt { .. }), "{outcomes:?}");
}
