//! How fast contacts are written, and how near that comes to what the answers' time allows.
//!
//! `cargo run --release -p crm --example write [records] [latency in ms] [records of a batch]`
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement for people to read")]

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use async_trait::async_trait;
use crm::dynamics::{Dynamics, DynamicsAccount};
use crm::secret::NoVault;
use engine::failure::Failure;
use engine::outside::clock::SystemClock;
use engine::outside::crm::{Batch, Crm, Operation, Steps, Write, WriteField};
use futures::StreamExt;
use sandbox::{Options, Sandbox};
use serde_json::{Value, json};

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

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>().unwrap());
    let records = arguments.next().unwrap_or(20_000);
    let latency = arguments.next().unwrap_or(50);
    let batch = arguments.next().unwrap_or(100);
    let sandbox = Sandbox::start(Options::default()).unwrap();
    sandbox.admin().set_latency(latency as u64);
    let account: DynamicsAccount = serde_json::from_value(json!({
        "url": sandbox.url(), "tokenUrl": sandbox.token_url(), "tenantId": sandbox.tenant_id(),
        "clientId": sandbox.client_id(), "clientSecret": sandbox.client_secret(),
    }))
    .unwrap();
    let crm = Dynamics::new("dynamics", account, &NoVault, Arc::new(SystemClock)).unwrap();
    let object = Arc::new(crm.describe("contacts").await.unwrap());
    let names = ["lastname", "firstname", "emailaddress1", "address1_city"];
    let field = |name: &&str| WriteField { field: object.fields[*name].clone(), raw: false, target: None };
    let write = Write {
        operation: Operation::Insert,
        key: Vec::new(),
        fields: names.iter().map(field).collect(),
        chosen_ids: false,
        detect_duplicates: false,
        assignment_rule: None,
        batch_max: Some(batch),
        at_once_max: None,
        object,
    };
    let column = |name: &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values((0..records).map(|n| format!("{name} of person {n}"))))
    };
    let schema = Schema::new(names.map(|name| Field::new(name, DataType::Utf8, true)).to_vec());
    let table = RecordBatch::try_new(Arc::new(schema), names.iter().map(|name| column(name)).collect()).unwrap();

    let plan = crm.write_plan(&write, records as u64).unwrap();
    let begin = Instant::now();
    let payloads: Vec<_> =
        crm.encode(&write, &plan, &table).unwrap().into_iter().map(|payload| payload.unwrap().bytes).collect();
    let seconds = begin.elapsed().as_secs_f64();
    let bytes: usize = payloads.iter().map(bytes::Bytes::len).sum();
    println!(
        "encode: {:.2} million records/s, {:.0} MB/s",
        records as f64 / seconds / 1e6,
        bytes as f64 / seconds / 1e6
    );

    let begin = Instant::now();
    let send = async |payloads: &[bytes::Bytes]| {
        let batch = Batch { write: &write, plan: &plan, name: "b", payloads, again: false, steps: &NoSteps };
        crm.send(batch).await.unwrap().len()
    };
    let batches: Vec<_> = payloads.chunks(plan.records_max).collect();
    let sent: usize = futures::stream::iter(batches.into_iter().map(send))
        .buffer_unordered(plan.at_once)
        .fold(0, async |sum, n| sum + n)
        .await;
    let rate = sent as f64 / begin.elapsed().as_secs_f64();
    println!("{}: {sent} records, {rate:.0} records/s, {} lanes of {}", plan.method, plan.at_once, plan.records_max);
    if latency > 0 {
        let ideal = (plan.at_once * plan.records_max) as f64 / (latency as f64 / 1e3);
        println!("{:.0} % of lanes x batch / latency", rate / ideal * 100.0);
    }
}
