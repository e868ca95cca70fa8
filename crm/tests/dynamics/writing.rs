//! What becomes of records whose batch is too large for somebody on the way.

use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::Schema;
use async_trait::async_trait;
use bytes::Bytes;
use engine::failure::{Class, Failure};
use engine::outside::crm::{Batch, Crm, Operation, Outcome, Steps, Write, WriteField, WritePlan};
use sandbox::{Fault, RetryAfter, Route};
use serde_json::{Value, json};

use crate::common::{World, connect, world};

/// Steps in memory.
#[derive(Default)]
pub(crate) struct Kept(Mutex<Vec<Value>>);

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
        Self::with(json!({ "retryWaitMin": "1ms", "retries": 0 }), None, "batch").await
    }

    async fn with(limits: Value, batch_max: Option<usize>, method: &str) -> Self {
        let world = world(0, limits);
        let object = world.contacts().await;
        let name = WriteField { field: object.fields["lastname"].clone(), raw: false, target: None };
        let detect_duplicates = method != "multiple";
        let write =
            Write { batch_max, detect_duplicates, ..Write::new(object, Operation::Insert, [""; 0], vec![name]) };
        let names: ArrayRef = Arc::new(StringArray::from(vec!["Name 0", "Name 1", "Name 2", "Name 3"]));
        let schema = Schema::new(vec![write.fields[0].field.column(false)]);
        let records = RecordBatch::try_new(Arc::new(schema), vec![names]).unwrap();
        let plan = world.crm.write_plan(&write, 4).unwrap();
        assert_eq!(plan.method, method);
        let encoded = world.crm.encode(&write, &plan, &records).unwrap();
        let payloads = encoded.into_iter().map(|payload| payload.unwrap().bytes).collect();
        Self { world, write, plan, payloads, steps: Kept::default() }
    }

    /// Another process, with the steps of the first.
    fn restarted(mut self) -> Self {
        self.world.admin().clear_faults();
        self.world.crm = connect(&self.world.sandbox, &self.world.sandbox.client_secret(), json!({}));
        self
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

#[tokio::test]
async fn an_insert_that_is_killed_while_it_waits_is_not_in_doubt() {
    let busy = Fault { status: Some(429), retry_after: Some(RetryAfter::Seconds(60)), ..Fault::default() };
    let ended = Fault { status: Some(401), ..Fault::default() };
    let slow_login = Fault { route: Route::Token, delay_ms: Some(60_000), ..Fault::default() };
    for (method, batch_max, route) in
        [("multiple", None, Route::Bulk), ("batch", None, Route::Batch), ("single", Some(1), Route::Write)]
    {
        for faults in [vec![busy.clone()], vec![ended.clone(), slow_login.clone()]] {
            let mut insert = Insert::with(json!({}), batch_max, method).await;
            if method == "single" {
                insert.payloads.truncate(1);
            }
            for fault in faults {
                let route = if fault.route == Route::Any { route } else { fault.route };
                insert.world.admin().add_fault(Fault { route, ..fault }).unwrap();
            }
            let rests = async {
                while insert.steps.last().is_none() {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
            };
            tokio::select! {
                ended = insert.send(false) => panic!("{method}: it does not wait: {ended:?}"),
                rested = tokio::time::timeout(std::time::Duration::from_secs(30), rests) => rested.expect(method),
            }
            let insert = insert.restarted();
            let records = insert.payloads.len();
            assert_eq!(insert.send(true).await.unwrap(), vec!["created"; records], "{method}");
            assert_eq!(insert.made(), records, "{method}");
        }
    }
}

#[tokio::test]
async fn an_insert_whose_record_failed_inside_is_in_doubt_and_one_that_was_refused_is_not() {
    let insert = Insert::new().await;
    let part = |status: u16, code: &str, containing: &str| Fault {
        route: Route::Part,
        containing: Some(containing.to_owned()),
        status: Some(status),
        code: Some(code.to_owned()),
        times: Some(1),
        ..Fault::default()
    };
    insert.world.admin().add_fault(part(500, "0x80044151", "Name 1")).unwrap();
    insert.world.admin().add_fault(part(400, "0x80040203", "Name 2")).unwrap();
    assert_eq!(insert.send(false).await.unwrap(), ["created", "in doubt", "refused", "created"]);
}
