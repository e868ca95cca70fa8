//! Import of contacts of Dynamics into a table of SQLite, against a hand-written loop of requests, orjson and `executemany`.

use std::path::Path;
use std::time::Instant;

use serde_json::{Map, json};

use super::{Args, compare, python, sqlite3};
use crate::measure::{Beside, Fallible, title};
use crate::work::{Done, Work, elsewhere_all};
use crate::world::{World, dynamics, run};

const RATIO_MAX: f64 = 0.65;
const RECORDS: u32 = 100_000;
/// The fields that are loaded, with the types of their columns.
const FIELDS: [(&str, &str); 22] = [
    ("contactid", "TEXT PRIMARY KEY"),
    ("firstname", "TEXT"),
    ("middlename", "TEXT"),
    ("lastname", "TEXT"),
    ("fullname", "TEXT"),
    ("salutation", "TEXT"),
    ("emailaddress1", "TEXT"),
    ("telephone1", "TEXT"),
    ("mobilephone", "TEXT"),
    ("jobtitle", "TEXT"),
    ("birthdate", "DATE"),
    ("gendercode", "INTEGER"),
    ("numberofchildren", "INTEGER"),
    ("address1_line1", "TEXT"),
    ("address1_city", "TEXT"),
    ("address1_postalcode", "TEXT"),
    ("address1_country", "TEXT"),
    ("address1_latitude", "REAL"),
    ("donotemail", "BOOLEAN"),
    ("statecode", "INTEGER"),
    ("createdon", "TIMESTAMP"),
    ("modifiedon", "TIMESTAMP"),
];

/// Measures it.
pub(crate) fn bench(args: &Args) -> Fallible<()> {
    let records = args.records.unwrap_or(RECORDS);
    title(&format!("import of {records} contacts of {} fields into a table of SQLite", FIELDS.len()))?;
    let beside = Beside::start(&["sandbox".to_owned(), format!("--contacts={records}")])?;
    let account = beside.hello.to_string();
    let ours = || {
        let place = tempfile::tempdir()?;
        make(&place.path().join("marketing.db"))?;
        let work = Work::Load { account: account.clone(), folder: place.path().to_owned() };
        Ok(elsewhere_all(&work, records)?.processor_seconds)
    };
    let names = FIELDS.map(|(name, _)| name).join(",");
    let rival = || {
        let place = tempfile::tempdir()?;
        let table = place.path().join("marketing.db");
        make(&table)?;
        python("load.py", &[&account, &table.to_string_lossy(), &names], records)
    };
    compare(args, ["crm.import and database.update", "requests, orjson, executemany"], RATIO_MAX, ours, rival)
}

fn make(file: &Path) -> Fallible<()> {
    let columns = FIELDS.map(|(name, kind)| format!("{name} {kind}")).join(", ");
    sqlite3(file, &format!("CREATE TABLE contact({columns});"))
}

/// Loads them with Campanile.
#[tokio::main]
pub(crate) async fn ours(account: &str, folder: &Path) -> Fallible<Done> {
    let names: Vec<&str> = FIELDS.iter().map(|(name, _)| *name).collect();
    let set: Map<_, _> = names.iter().map(|name| ((*name).to_owned(), json!(name))).collect();
    let workflow = json!({ "version": 1, "activities": {
        "import": { "type": "crm.import", "account": "dynamics", "object": "contacts", "fields": names, "to": "save" },
        "save": {
            "type": "database.update", "table": "contact", "operation": "upsert", "key": ["contactid"], "set": set
        }
    } });
    let engine = World::new(folder)?.account(dynamics(serde_json::from_str(account)?)?).engine();
    let begin = Instant::now();
    let run = run(&engine, "load.json", &workflow.to_string()).await?;
    let ok = run.tasks.iter().filter(|task| task.activity == "save").flat_map(|task| task.ports.get("ok"));
    let records = ok.flatten().map(|segment| segment.rows).sum();
    Ok(Done { seconds: begin.elapsed().as_secs_f64(), records, ..Done::default() })
}
