//! Import by a bulk query of Salesforce: `crm.import` beside a plain loop that creates the job, downloads its CSV, decodes it
//! with arrow-csv and writes and syncs the same files.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::csv::ReaderBuilder;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use crm::salesforce::{Salesforce, SalesforceAccount};
use crm::secret::{NoVault, Vault};
use engine::outside::clock::SystemClock;
use engine::outside::crm::Crm;
use reqwest::Client;
use serde_json::{Value, json};

use super::download::client;
use super::plain::{FILE_BYTES, Open, number};
use crate::measure::{Beside, Fallible, median, target, title};
use crate::work::{Done, Work, elsewhere_all, memory, show};
use crate::world::World;

/// The most that it may take, of the plain loop.
const RATIO_MAX: f64 = 1.5;
/// Records of one answer of the plain loop.
const PAGE: u32 = 50_000;
/// Between two questions whether the job is done.
const POLL: Duration = Duration::from_millis(200);
const FIELDS: [(&str, DataType); 9] = [
    ("Id", DataType::Utf8),
    ("FirstName", DataType::Utf8),
    ("LastName", DataType::Utf8),
    ("Email", DataType::Utf8),
    ("Phone", DataType::Utf8),
    ("MailingCity", DataType::Utf8),
    ("Birthdate", DataType::Date32),
    ("CreatedDate", DataType::Timestamp(TimeUnit::Microsecond, None)),
    ("LastModifiedDate", DataType::Timestamp(TimeUnit::Microsecond, None)),
];

/// How much is measured.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Contacts of each import.
    #[arg(long, default_value_t = 1_000_000)]
    records: u32,
    /// Rounds, of which the middle one counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Contacts of one more import, for the memory; 0 leaves it out.
    #[arg(long, default_value_t = 10_000_000)]
    large: u32,
}

impl Default for Args {
    fn default() -> Self {
        Self { records: 1_000_000, rounds: 3, large: 10_000_000 }
    }
}

/// Measures it.
pub(crate) fn bench(args: &Args) -> Fallible<()> {
    title(&format!("import of {} contacts by a bulk query of Salesforce", args.records))?;
    let beside = start(args.records)?;
    let (mut plain, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..args.rounds.max(1) {
        plain.push(once(&beside, false, args.records)?);
        ours.push(once(&beside, true, args.records)?);
    }
    show("plain loop", &plain);
    show("crm.import", &ours);
    let ratios = ours.iter().zip(&plain).map(|(ours, plain)| ours.seconds / plain.seconds).collect();
    target("crm.import ÷ plain loop (middle of each round's)", median(ratios), RATIO_MAX, "");
    memory("peak memory", &ours);
    drop(beside);
    if args.large > 0 {
        let beside = start(args.large)?;
        let large = [once(&beside, true, args.large)?];
        show(&format!("crm.import of {}", args.large), &large);
        memory("peak memory", &large);
    }
    Ok(())
}

fn start(contacts: u32) -> Fallible<Beside> {
    Beside::start(&["salesforce".to_owned(), format!("--contacts={contacts}")])
}

fn once(beside: &Beside, is_ours: bool, records: u32) -> Fallible<Done> {
    let (place, account) = (tempfile::tempdir()?, beside.hello.to_string());
    let folder = place.path().to_owned();
    let work = if is_ours { Work::BulkOurs { account, folder } } else { Work::BulkPlain { account, folder } };
    elsewhere_all(&work, records)
}

/// Imports all contacts with Campanile.
#[tokio::main]
pub(crate) async fn ours(account: &str, folder: &Path) -> Fallible<Done> {
    let told: Value = serde_json::from_str(account)?;
    let account = json!({ "url": told["url"], "clientId": told["clientId"], "clientSecret": told["clientSecret"] });
    let account: SalesforceAccount = serde_json::from_value(account)?;
    let vault: Arc<dyn Vault> = Arc::new(NoVault);
    let salesforce: Arc<dyn Crm> = Arc::new(Salesforce::new("salesforce", account, &vault, Arc::new(SystemClock))?);
    let names: Vec<&str> = FIELDS.iter().map(|(name, _)| *name).collect();
    let workflow = json!({ "version": 1, "activities": { "import": {
        "type": "crm.import", "account": "salesforce", "object": "Contact", "fields": names, "parallel": 1,
    } } });
    let engine = World::new(folder)?.account_named("salesforce", salesforce).engine();
    let begin = Instant::now();
    let run = crate::world::run(&engine, "bulk.json", &workflow.to_string()).await?;
    let seconds = begin.elapsed().as_secs_f64();
    let ok = run.tasks.iter().flat_map(|task| task.ports.get("ok")).flatten();
    Ok(Done { seconds, records: ok.map(|segment| segment.rows).sum(), ..Done::default() })
}

/// Imports all contacts as plainly as can be.
#[tokio::main]
pub(crate) async fn plain(account: &str, folder: &Path) -> Fallible<Done> {
    let told: Value = serde_json::from_str(account)?;
    let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
    let client = client()?;
    let begin = Instant::now();
    let form = [
        ("grant_type", "client_credentials".to_owned()),
        ("client_id", text("clientId")),
        ("client_secret", text("clientSecret")),
    ];
    let login = client.post(format!("{}/services/oauth2/token", text("url"))).form(&form).send().await?;
    let login: Value = login.error_for_status()?.json().await?;
    let token = login["access_token"].as_str().ok_or("no token")?.to_owned();
    let jobs = format!("{}/services/data/v67.0/jobs/query", text("url"));
    let names: Vec<&str> = FIELDS.iter().map(|(name, _)| *name).collect();
    let query = json!({ "operation": "query", "query": format!("SELECT {} FROM Contact", names.join(", ")) });
    let job = client.post(&jobs).bearer_auth(&token).json(&query).send().await?.error_for_status()?;
    let job: Value = job.json().await?;
    let job = format!("{jobs}/{}", job["id"].as_str().ok_or("no job")?);
    loop {
        let state: Value = client.get(&job).bearer_auth(&token).send().await?.error_for_status()?.json().await?;
        match state["state"].as_str() {
            Some("JobComplete") => break,
            Some("UploadComplete" | "InProgress") => tokio::time::sleep(POLL).await,
            other => return Err(format!("the job is {other:?}").into()),
        }
    }
    let fields: SchemaRef = Arc::new(Schema::new(FIELDS.map(|(name, kind)| Field::new(name, kind, true)).to_vec()));
    let numbered = fields.fields().iter().cloned().chain([Arc::new(Field::new("_seq", DataType::Int64, false))]);
    let numbered: SchemaRef = Arc::new(Schema::new(numbered.collect::<Vec<_>>()));
    let mut done = Done::default();
    let mut open: Option<Open> = None;
    let mut next = Some(tokio::spawn(page(client.clone(), token.clone(), job.clone(), None)));
    while let Some(came) = next.take() {
        let (body, locator) = came.await??;
        next = locator.map(|locator| tokio::spawn(page(client.clone(), token.clone(), job.clone(), Some(locator))));
        let reader = ReaderBuilder::new(Arc::clone(&fields)).with_header(true).with_batch_size(8 * 1024);
        for batch in reader.build(body.as_ref())? {
            let records = number(&numbered, &batch?, done.records)?;
            done.records += records.num_rows() as u64;
            let file = match &mut open {
                Some(open) => open,
                None => open.insert(Open::new(folder, done.segments, &numbered)?),
            };
            if file.write(&records)? >= FILE_BYTES
                && let Some(full) = open.take()
            {
                full.seal()?;
                done.segments += 1;
            }
        }
    }
    if let Some(last) = open {
        last.seal()?;
    }
    Ok(Done { seconds: begin.elapsed().as_secs_f64(), ..done })
}

async fn page(
    client: Client,
    token: String,
    job: String,
    locator: Option<String>,
) -> Fallible<(Bytes, Option<String>)> {
    let locator = locator.map(|locator| format!("&locator={locator}")).unwrap_or_default();
    let url = format!("{job}/results?maxRecords={PAGE}{locator}");
    let reply = client.get(url).bearer_auth(&token).header("Accept", "text/csv").send().await?.error_for_status()?;
    let locator = reply.headers().get("sforce-locator").and_then(|value| value.to_str().ok()).map(str::to_owned);
    Ok((reply.bytes().await?, locator.filter(|locator| locator != "null")))
}
