//! How fast the stand-in writes when it answers at once: batches of single upserts, change sets, bulk messages.
//!
//! `cargo run --release -p sandbox --example writes [contacts]`; it fails where a limit is broken.

#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::expect_used, reason = "a measurement")]

mod wire;

use std::fmt::Write;

use sandbox::{Attribute, Options, Sandbox};

/// Records a second that the server must write at least, its own time counted: some times what a client can send.
const RECORDS_PER_SECOND_MIN: f64 = 50_000.0;
/// Ids that each kind of request has for itself.
const OWN: usize = 1_000_000;
/// Requests of each kind. The fastest tenth counts: the machine may do other things.
const REQUESTS: usize = 30;

struct Client {
    http: reqwest::Client,
    root: String,
    token: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let contacts = std::env::args().nth(1).map_or(1_000_000, |count| count.parse().expect("a number of contacts"));
    let sandbox = Sandbox::start(Options { contacts, accounts: contacts / 20, ..Options::default() }).unwrap();
    let attribute = Attribute { name: "new_extid".into(), kind: "String".into(), ..Attribute::default() };
    sandbox.admin().add_attribute("contact", &attribute).unwrap();
    sandbox.admin().add_key("contact", "new_extid_key", &["new_extid".into()]).unwrap();
    let client = Client::new(&sandbox).await;
    let mut least = f64::INFINITY;
    let kinds = [("single operations", 100), ("single operations", 1_000), ("a change set", 1_000)];
    for (place, (name, size)) in kinds.into_iter().enumerate() {
        for pass in ["created", "updated"] {
            let kind = "multipart/mixed; boundary=b";
            let body = |first: usize| batch(place * OWN + first, size, name == "a change set");
            let name = format!("batch of {size}, {name}, {pass}");
            least = least.min(client.measure(&sandbox, &name, "$batch", kind, size, body).await);
        }
    }
    for (message, keyed, pass) in [
        ("CreateMultiple", false, "created"),
        ("UpdateMultiple", false, "updated"),
        ("UpsertMultiple", true, "created"),
        ("UpsertMultiple", true, "updated"),
    ] {
        let path = format!("contacts/Microsoft.Dynamics.CRM.{message}");
        let body = |first: usize| bulk(first, 1_000, keyed);
        let name = format!("{message} of 1,000, {pass}");
        least = least.min(client.measure(&sandbox, &name, &path, "application/json", 1_000, body).await);
    }
    let written = sandbox.admin().state().sets["contacts"].written;
    println!("resident memory at most {} MiB, with {written} records written", wire::resident_kib() / 1024);
    assert!(least > RECORDS_PER_SECOND_MIN, "{least:.0} records a second are too few");
}

/// The fields of a record, about as many as an export has.
fn fields(number: usize) -> String {
    format!(
        r#""firstname":"First {number}","lastname":"Last {number}","emailaddress1":"person{number}@example.com","telephone1":"+44 20 {number:07}","jobtitle":"Analyst","address1_city":"London","address1_country":"GB","donotemail":false,"numberofchildren":2,"birthdate":"1980-05-31""#
    )
}

fn id(number: usize) -> String {
    format!("ba5e0000-0000-4000-8000-{number:012x}")
}

fn batch(first: usize, size: usize, together: bool) -> String {
    let mut body = String::new();
    let mark = if together { "s" } else { "b" };
    if together {
        body.push_str("--b\nContent-Type: multipart/mixed; boundary=s\n\n");
    }
    for number in first..first + size {
        write!(body, "--{mark}\nContent-Type: application/http\nContent-Transfer-Encoding: binary\nContent-ID: {number}\n\nPATCH /api/data/v9.2/contacts({}) HTTP/1.1\nContent-Type: application/json\nIf-None-Match: null\n\n{{{}}}\n", id(number), fields(number)).unwrap();
    }
    if together {
        body.push_str("--s--\n");
    }
    body.push_str("--b--\n");
    body
}

fn bulk(first: usize, size: usize, keyed: bool) -> String {
    let target = |number: usize| {
        let key = if keyed {
            format!(r#""@odata.id":"contacts(new_extid='x{number}')""#)
        } else {
            format!(r#""contactid":"{}""#, id(number + 3 * OWN))
        };
        format!(r#"{{"@odata.type":"Microsoft.Dynamics.CRM.contact",{key},{}}}"#, fields(number))
    };
    let targets: Vec<String> = (first..first + size).map(target).collect();
    format!("{{\"Targets\":[{}]}}", targets.join(","))
}

impl Client {
    async fn new(sandbox: &Sandbox) -> Self {
        let http = wire::client();
        let scope = format!("{}/.default", sandbox.url());
        let token =
            wire::token(&http, &sandbox.token_url(), &sandbox.client_id(), &sandbox.client_secret(), &scope).await;
        Self { http, root: format!("{}/api/data/v9.2/", sandbox.url()), token }
    }

    async fn measure(
        &self,
        sandbox: &Sandbox,
        name: &str,
        path: &str,
        content_type: &str,
        size: usize,
        body: impl Fn(usize) -> String,
    ) -> f64 {
        let from = sandbox.admin().state().requests + 1;
        for number in 0..REQUESTS {
            let request = self.http.post(format!("{}{path}", self.root)).bearer_auth(&self.token);
            let request = request.header("Content-Type", content_type).body(body(number * size));
            let response = request.send().await.unwrap();
            let status = response.status();
            let text = response.text().await.unwrap();
            assert!(
                status.is_success() && !text.contains("HTTP/1.1 4"),
                "{name}: {}",
                text.get(..2_000).unwrap_or(&text)
            );
        }
        let mut times: Vec<f64> = sandbox.admin().requests(from).iter().map(|request| request.duration_ms).collect();
        times.sort_by(f64::total_cmp);
        let (fast, median) = (times[times.len() / 10], times[times.len() / 2]);
        let rate = f64::from(u32::try_from(size).unwrap()) / fast * 1_000.0;
        println!("{name}: {fast:.2} ms a request (median {median:.2}), {rate:.0} records a second");
        rate
    }
}
