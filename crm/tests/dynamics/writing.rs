//! What becomes of records whose batch is too large for somebody on the way.

use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::Schema;
use async_trait::async_trait;
use bytes::Bytes;
use engine::failure::{Class, Failure};
use engine::outside::crm::{Batch, Crm, Operation, Outcome, Steps, Write, WriteField, WritePlan};
use sandbox::{Fault, Route};
use serde_json::{Value, json};

use crate::common::{World, world};

/// Steps in memory.
#[derive(Default)]
struct Kept(Mutex<Vec<Value>>);

#[async_trait]
impl Steps for Kept {
    fn last(&self) -> Option<Value> {
        self.0.lock().unwrap().last().cloned()
    }

    async fn record(&self, step: Value) -> Result<(), Failure> {
        self.0.lock().unwrap().push(step);
        Ok(())
    }
}

/// An insert of four contacts without ids of our own.
struct Insert {
    world: World,
    write: Write,
    plan: WritePlan,
    payloads: Vec<Bytes>,
    steps: Kept,
}

impl Insert {
    async fn new() -> Self {
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
        let payloads = encoded.into_iter().map(|payload| payload.unwrap().bytes).collect();
        Self { world, write, plan, payloads, steps: Kept::default() }
    }

    fn fault(&self, status: u16, containing: &str) {
        let fault = Fault {
            route: Route::Batch,
            containing: Some(containing.to_owned()),
            status: Some(status),
            times: Some(1),
            ..Fault::default()
        };
        self.world.admin().add_fault(fault).unwrap();
    }

    async fn send(&self, again: bool) -> Result<Vec<&'static str>, Failure> {
        let Self { write, plan, payloads, steps, .. } = self;
        let outcomes = self.world.crm.send(Batch { write, plan, name: "b", payloads, again, steps }).await?;
        let word = |outcome: &Outcome| match outcome {
            Outcome::Done { what, .. } => what.word(),
            Outcome::Refused(_) => "refused",
            Outcome::InDoubt { .. } => "in doubt",
        };
        Ok(outcomes.iter().map(word).collect())
    }

    fn made(&self) -> usize {
        self.world.admin().records("contacts").unwrap().len()
    }
}

#[tokio::test]
async fn what_is_known_of_the_first_half_of_a_batch_that_was_too_large_is_not_forgotten_for_the_second() {
    let insert = Insert::new().await;
    insert.fault(413, "Name 0");
    insert.fault(503, "Name 3");
    assert_eq!(insert.send(false).await.unwrap(), ["created", "created", "in doubt", "in doubt"]);
}

#[tokio::test]
async fn only_the_part_of_a_batch_that_had_no_answer_is_in_doubt() {
    let insert = Insert::new().await;
    insert.fault(413, "Name 0");
    insert.fault(413, "Name 0");
    insert.fault(503, "Name 1");
    assert_eq!(insert.send(false).await.unwrap(), ["created", "in doubt", "created", "created"]);
}

#[tokio::test]
async fn what_was_surely_not_sent_is_sent_when_the_export_goes_on() {
    // The whole batch, and the second half of one.
    for halved in [false, true] {
        let insert = Insert::new().await;
        if halved {
            insert.fault(413, "Name 0");
        }
        insert.fault(429, "Name 3");
        let failure = insert.send(false).await.unwrap_err();
        assert_eq!((failure.class, insert.made()), (Class::Quota, if halved { 2 } else { 0 }));
        assert_eq!(insert.send(true).await.unwrap(), ["created"; 4]);
        assert_eq!(insert.made(), 4);
    }
}
