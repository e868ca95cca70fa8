//! How fast a whole reading is, over loopback HTTP from the stand-in: `cargo run --release -p crm --example read`.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement, run by hand")]

use std::sync::Arc;
use std::time::Instant;

use crm::dynamics::{Dynamics, DynamicsAccount};
use crm::secret::NoVault;
use engine::outside::clock::SystemClock;
use engine::outside::crm::{Crm, Read, ReadField};
use futures::StreamExt;
use sandbox::{Options, Sandbox};
use serde_json::json;

const CONTACTS: u32 = 500_000;
const FIELDS: [&str; 12] = [
    "contactid",
    "firstname",
    "lastname",
    "emailaddress1",
    "telephone1",
    "address1_city",
    "address1_country",
    "birthdate",
    "statecode",
    "parentcustomerid",
    "createdon",
    "modifiedon",
];

#[tokio::main]
async fn main() {
    let sandbox = Sandbox::start(Options { contacts: CONTACTS, accounts: 1_000, ..Options::default() }).unwrap();
    let account: DynamicsAccount = serde_json::from_value(json!({
        "url": sandbox.url(), "tokenUrl": sandbox.token_url(), "tenantId": sandbox.tenant_id(),
        "clientId": sandbox.client_id(), "clientSecret": sandbox.client_secret(),
    }))
    .unwrap();
    let crm = Dynamics::new("dynamics", account, &NoVault, Arc::new(SystemClock)).unwrap();
    let object = Arc::new(crm.describe("contacts").await.unwrap());
    let fields = FIELDS.iter().map(|name| ReadField { field: object.fields[*name].clone(), raw: false }).collect();
    let read = Arc::new(Read::new(object, fields));
    let begin = Instant::now();
    let mut pages = crm.read(read, None);
    let mut records = 0;
    while let Some(page) = pages.next().await {
        records += page.unwrap().records.num_rows();
    }
    let seconds = begin.elapsed().as_secs_f64();
    let bytes: usize = sandbox.admin().requests(0).iter().map(|request| request.bytes).sum();
    let served: f64 = sandbox.admin().requests(0).iter().map(|request| request.duration_ms).sum();
    println!(
        "{records} records in {seconds:.2} s: {:.0} records/s, {:.0} MB/s; the stand-in itself took {:.2} s",
        f64::from(u32::try_from(records).unwrap()) / seconds,
        f64::from(u32::try_from(bytes / 1_000).unwrap()) / seconds / 1e3,
        served / 1e3
    );
}
