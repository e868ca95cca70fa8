//! What a large stand-in costs: the time until a million contacts are ready, the memory, and the time of a page.
//!
//! `cargo run --release -p sandbox --example million [contacts]`; it fails where a limit is broken.

#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::expect_used, reason = "a measurement")]

mod wire;

use std::time::{Duration, Instant};

use sandbox::{Options, Sandbox};

/// Until the first answer.
const START_MAX: Duration = Duration::from_secs(5);
/// Resident memory in kibibytes.
const MEMORY_KIB_MAX: u64 = 1024 * 1024;
/// A page of 5,000 records with 12 fields, made by the server.
const PAGE_MS_MAX: f64 = 20.0;

const FIELDS: &str = "firstname,lastname,fullname,emailaddress1,telephone1,jobtitle,address1_city,address1_country,birthdate,statecode,modifiedon,_parentcustomerid_value";

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let contacts = std::env::args().nth(1).map_or(1_000_000, |count| count.parse().expect("a number of contacts"));
    let started = Instant::now();
    let sandbox = Sandbox::start(Options { contacts, accounts: contacts / 20, ..Options::default() }).unwrap();
    let http = wire::client();
    let scope = format!("{}/.default", sandbox.url());
    let token = wire::token(&http, &sandbox.token_url(), &sandbox.client_id(), &sandbox.client_secret(), &scope).await;
    let root = format!("{}/api/data/v9.2/contacts?$select={FIELDS}", sandbox.url());
    let window = "$filter=modifiedon ge 2025-06-01T00:00:00Z and modifiedon lt 2025-12-01T00:00:00Z&$orderby=modifiedon,contactid";
    for (name, path, pages) in [
        ("by id", root.clone(), 20),
        ("by window of modifiedon", format!("{root}&{window}"), 20),
        ("by last name (no index)", format!("{root}&$orderby=lastname"), 2),
    ] {
        let from = sandbox.admin().state().requests + 1;
        let mut next = Some(path);
        for _ in 0..pages {
            let Some(link) = next else { break };
            let body: serde_json::Value = http
                .get(link)
                .bearer_auth(&token)
                .header("Prefer", "odata.maxpagesize=5000")
                .send()
                .await
                .unwrap()
                .json()
                .await
                .unwrap();
            next = body["@odata.nextLink"].as_str().map(str::to_owned);
        }
        if from <= 2 {
            println!("{contacts} contacts: first {pages} pages read after {:?}", started.elapsed());
            assert!(started.elapsed() < START_MAX);
        }
        let requests = sandbox.admin().requests(from);
        let mut times: Vec<f64> = requests.iter().map(|request| request.duration_ms).collect();
        let first = times[0];
        times.sort_by(f64::total_cmp);
        let median = times[times.len() / 2];
        println!(
            "{name}: {} pages, first {first:.1} ms, median {median:.1} ms, {} bytes each",
            times.len(),
            requests[0].bytes
        );
        assert!(name.contains("no index") || median < PAGE_MS_MAX);
    }
    let kib = wire::resident_kib();
    println!("resident memory at most {} MiB, the client's share included", kib / 1024);
    assert!(kib < MEMORY_KIB_MAX);
}
