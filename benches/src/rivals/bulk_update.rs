//! Updates of Salesforce's contacts by a bulk job, from a table of SQLite, against simple-salesforce's `bulk2`.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use crm::salesforce::{Salesforce, SalesforceAccount};
use crm::secret::{NoVault, Vault};
use engine::outside::clock::SystemClock;
use serde_json::{Value, json};

use super::{Args, compare, python, sqlite3};
use crate::measure::{Beside, Fallible, title};
use crate::work::{Done, Work, elsewhere_all};
use crate::world::{World, run};

const RATIO_MAX: f64 = 0.8;
const RECORDS: u32 = 100_000;
const TABLE: &str =
    "CREATE TABLE contact(id TEXT PRIMARY KEY, first_name TEXT, last_name TEXT, title TEXT, phone TEXT);";

/// Measures it.
pub(crate) fn bench(args: &Args) -> Fallible<()> {
    let records = args.records.unwrap_or(RECORDS);
    title(&format!("{records} updates of Salesforce by a bulk job, from a table of SQLite"))?;
    let beside = Beside::start(&["salesforce".to_owned(), format!("--contacts={records}")])?;
    let account = beside.hello.to_string();
    let place = tempfile::tempdir()?;
    let table = place.path().join("marketing.db");
    sqlite3(&table, TABLE)?;
    let folder = place.path().to_owned();
    elsewhere_all(&Work::ContactsToTable { account: account.clone(), folder }, records)?;
    let ours = || {
        let place = tempfile::tempdir()?;
        fs::copy(&table, place.path().join("marketing.db"))?;
        let work = Work::BulkUpdate { account: account.clone(), folder: place.path().to_owned() };
        Ok(elsewhere_all(&work, records)?.processor_seconds)
    };
    let rival = || python("bulk_update.py", &[&account, &table.to_string_lossy()], records);
    compare(args, ["database.query and crm.export", "simple-salesforce"], RATIO_MAX, ours, rival)
}

/// Puts all contacts of the stand-in into the table, which is not measured.
#[tokio::main]
pub(crate) async fn prepare(account: &str, folder: &Path) -> Fallible<Done> {
    let set = json!({
        "id": "Id", "first_name": "FirstName", "last_name": "LastName", "title": "Title", "phone": "Phone"
    });
    let activities = json!({
        "import": {
            "type": "crm.import", "account": "salesforce", "object": "Contact",
            "fields": ["FirstName", "LastName", "Title", "Phone"], "to": "save"
        },
        "save": { "type": "database.update", "table": "contact", "operation": "insert", "set": set }
    });
    perform(account, folder, &activities, "save").await
}

/// Updates them with Campanile.
#[tokio::main]
pub(crate) async fn ours(account: &str, folder: &Path) -> Fallible<Done> {
    let set = json!({
        "Id": "id", "FirstName": "first_name", "LastName": "last_name", "Title": "title", "Phone": "phone"
    });
    let activities = json!({
        "read": { "type": "database.query", "table": "contact", "to": "export" },
        "export": {
            "type": "crm.export", "account": "salesforce", "object": "Contact", "operation": "update", "set": set
        }
    });
    perform(account, folder, &activities, "export").await
}

async fn perform(account: &str, folder: &Path, activities: &Value, last: &str) -> Fallible<Done> {
    let told: Value = serde_json::from_str(account)?;
    let account = json!({ "url": told["url"], "clientId": told["clientId"], "clientSecret": told["clientSecret"] });
    let account: SalesforceAccount = serde_json::from_value(account)?;
    let vault: Arc<dyn Vault> = Arc::new(NoVault);
    let salesforce = Salesforce::new("salesforce", account, &vault, Arc::new(SystemClock))?;
    let engine = World::new(folder)?.account_named("salesforce", Arc::new(salesforce)).engine();
    let begin = Instant::now();
    let run = run(&engine, "work.json", &json!({ "version": 1, "activities": activities }).to_string()).await?;
    let ok = run.tasks.iter().filter(|task| task.activity == last).flat_map(|task| task.ports.get("ok"));
    let records = ok.flatten().map(|segment| segment.rows).sum();
    Ok(Done { seconds: begin.elapsed().as_secs_f64(), records, ..Done::default() })
}
