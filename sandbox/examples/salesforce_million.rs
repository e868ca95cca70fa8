//! What a large Salesforce organisation costs: pages, collections, bulk queries and bulk loads of a million contacts.
//!
//! `cargo run --release -p sandbox --example salesforce_million [contacts]`; it fails where a limit is broken.

#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::expect_used, reason = "a measurement")]

mod wire;

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use reqwest::{Method, RequestBuilder};
use sandbox::{Options, SalesforceField, SalesforceOptions, Sandbox};
use serde_json::{Value as Json, json};

/// Until the first answer.
const START_MAX: Duration = Duration::from_secs(5);
/// Resident memory in kibibytes before anything is loaded.
const MEMORY_KIB_MAX: u64 = 1024 * 1024;
/// Records a second of collections, by the server's own time.
const COLLECTIONS_MIN: f64 = 100_000.0;
/// Rows that the bulk load has.
const LOADED: u32 = 1_000_000;
/// Until they are loaded.
const LOAD_MAX: Duration = Duration::from_secs(30);

struct Client {
    http: reqwest::Client,
    root: String,
    token: String,
}

impl Client {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.root)).bearer_auth(&self.token)
    }

    async fn json(&self, request: RequestBuilder) -> Json {
        let response = request.send().await.unwrap();
        assert!(response.status().is_success(), "{}", response.text().await.unwrap());
        response.json().await.unwrap()
    }

    /// Polls a job until it is complete.
    async fn wait(&self, path: &str) -> Json {
        loop {
            let job = self.json(self.request(Method::GET, path)).await;
            match job["state"].as_str().unwrap() {
                "JobComplete" => return job,
                "Failed" | "Aborted" => panic!("{job}"),
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let contacts = std::env::args().nth(1).map_or(1_000_000, |count| count.parse().expect("a number of contacts"));
    let started = Instant::now();
    let salesforce = SalesforceOptions { contacts, accounts: contacts / 20, leads: 0 };
    let sandbox = Sandbox::start(Options { salesforce, ..Options::default() }).unwrap();
    let client = log_in(&sandbox).await;
    pages(&client, contacts, started).await;
    collections(&sandbox, &client).await;
    bulk_query(&client).await;
    let kib = wire::resident_kib();
    println!("resident memory at most {} MiB, the client's share included", kib / 1024);
    assert!(kib < MEMORY_KIB_MAX * u64::from(contacts.div_ceil(5_000_000)));
    bulk_load(&sandbox, &client).await;
    println!("resident memory at most {} MiB after the load", wire::resident_kib() / 1024);
}

async fn log_in(sandbox: &Sandbox) -> Client {
    let http = wire::client();
    let ids = sandbox.salesforce();
    let text = |name: &str| ids[name].as_str().unwrap();
    let url = format!("{}/services/oauth2/token", sandbox.url());
    let token = wire::token(&http, &url, text("clientId"), text("clientSecret"), "api").await;
    Client { http, root: format!("{}/services/data/v67.0", sandbox.url()), token }
}

async fn pages(client: &Client, contacts: u32, started: Instant) {
    const FIELDS: &str = "Id, FirstName, LastName, Email, Phone, Title, MailingCity, MailingCountry, Birthdate, SystemModstamp, AccountId, Account.Name";
    for (name, condition) in [
        ("all", ""),
        ("window", "WHERE SystemModstamp >= 2025-06-01T00:00:00Z ORDER BY SystemModstamp, Id"),
        ("by mail", "WHERE Email LIKE 'ada%'"),
    ] {
        let from = Instant::now();
        let query = format!("SELECT {FIELDS} FROM Contact {condition}");
        let mut page = client.json(client.request(Method::GET, "/query").query(&[("q", &query)])).await;
        let first = from.elapsed();
        if condition.is_empty() {
            println!("{contacts} contacts: first page after {:?}", started.elapsed());
            assert!(started.elapsed() < START_MAX);
        }
        let (from, mut count) = (Instant::now(), 0);
        while let (Some(next), true) = (page["nextRecordsUrl"].as_str(), count < 20) {
            let (_, locator) = next.rsplit_once('/').unwrap();
            page = client.json(client.request(Method::GET, &format!("/query/{locator}"))).await;
            count += 1;
        }
        println!("{name}: {} records, first page {first:?}, {count} more in {:?}", page["totalSize"], from.elapsed());
    }
}

async fn collections(sandbox: &Sandbox, client: &Client) {
    let ids: Vec<String> =
        (0..200).map(|number| sandbox.admin().salesforce().id("Contact", number * 7).unwrap()).collect();
    let from = sandbox.admin().state().requests + 1;
    for round in 0..200 {
        let record = |id: &String| json!({"attributes": {"type": "Contact"}, "id": id, "FirstName": "Ada", "Title": format!("T{round}"), "Phone": "+44 20 1234567", "DoNotCall": true, "MailingCity": "London"});
        let body = json!({"allOrNone": false, "records": ids.iter().map(record).collect::<Vec<_>>()});
        let request = client.request(Method::PATCH, "/composite/sobjects").header("Content-Type", "application/json");
        let rows = client.json(request.body(body.to_string())).await;
        assert_eq!(rows.as_array().unwrap().len(), 200);
        assert!(rows[199]["success"].as_bool().unwrap());
    }
    let requests = sandbox.admin().requests(from);
    let seconds: f64 = requests.iter().map(|request| request.duration_ms / 1_000.0).sum();
    let rate = 200.0 * 200.0 / seconds;
    println!("collections: {rate:.0} records a second");
    assert!(rate > COLLECTIONS_MIN);
}

async fn bulk_query(client: &Client) {
    let started = Instant::now();
    let body =
        json!({"operation": "query", "query": "SELECT Id, FirstName, LastName, Email, SystemModstamp FROM Contact"});
    let job = client.json(client.request(Method::POST, "/jobs/query").body(body.to_string())).await;
    let path = format!("/jobs/query/{}", job["id"].as_str().unwrap());
    client.wait(&path).await;
    println!("bulk query: complete after {:?}", started.elapsed());
    let (mut locator, mut rows, mut pages, from) = (String::new(), 0_u64, 0, Instant::now());
    while locator != "null" {
        let results = client.request(Method::GET, &format!("{path}/results?maxRecords=50000&locator={locator}"));
        let page = results.send().await.unwrap();
        let header = |name: &str| page.headers()[name].to_str().unwrap().to_owned();
        rows += header("sforce-numberofrecords").parse::<u64>().unwrap();
        locator = header("sforce-locator");
        page.bytes().await.unwrap();
        pages += 1;
    }
    println!("bulk query: {rows} rows in {pages} pages of 50,000 in {:?}", from.elapsed());
}

async fn bulk_load(sandbox: &Sandbox, client: &Client) {
    let field = SalesforceField {
        name: "ExtId__c".into(),
        kind: Some("string".into()),
        external_id: Some(true),
        unique: Some(true),
        ..SalesforceField::default()
    };
    sandbox.admin().salesforce().add_field("Contact", &field).unwrap();
    let mut csv = String::from("ExtId__c,LastName,FirstName,Email,Phone\n");
    for row in 0..LOADED {
        writeln!(csv, "E{row},Name {row},Ada,ada{row}@example.com,+44 {row}").unwrap();
    }
    for turn in ["created", "changed"] {
        let body = json!({"object": "Contact", "operation": "upsert", "externalIdFieldName": "ExtId__c"});
        let job = client.json(client.request(Method::POST, "/jobs/ingest").body(body.to_string())).await;
        let path = format!("/jobs/ingest/{}", job["id"].as_str().unwrap());
        let upload = client.request(Method::PUT, &format!("{path}/batches")).header("Content-Type", "text/csv");
        assert_eq!(upload.body(csv.clone()).send().await.unwrap().status(), 201);
        let started = Instant::now();
        client.json(client.request(Method::PATCH, &path).body(json!({"state": "UploadComplete"}).to_string())).await;
        let job = client.wait(&path).await;
        println!(
            "bulk load: {} rows {turn}, {} failed, in {:?}",
            job["numberRecordsProcessed"],
            job["numberRecordsFailed"],
            started.elapsed()
        );
        assert!(job["numberRecordsFailed"] == 0 && started.elapsed() < LOAD_MAX);
    }
}
