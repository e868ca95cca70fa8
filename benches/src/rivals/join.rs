//! Records that each look for a row of a table as large, against a LEFT JOIN by the command line of SQLite.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use super::{Args, compare, measured, sqlite3};
use crate::measure::{Fallible, title};
use crate::sets::task_seconds;
use crate::work::{Done, Work, elsewhere_all};
use crate::world::{World, run};

const RATIO_MAX: f64 = 0.6;
const RECORDS: u32 = 1_000_000;
const QUERY: &str = "SELECT p.*, s.label FROM person p LEFT JOIN score s ON s.email = p.emailaddress1";

/// Measures it.
pub(crate) fn bench(args: &Args) -> Fallible<()> {
    let records = args.records.unwrap_or(RECORDS);
    title(&format!("{records} records, each with a row of a table as large"))?;
    let place = tempfile::tempdir()?;
    let file = place.path().join("marketing.db");
    sqlite3(&file, &tables(records))?;
    let joined = place.path().join("joined.csv");
    let sqlite = || {
        let output = Stdio::from(File::create(&joined)?);
        let mut command = Command::new("sqlite3");
        Ok(measured(command.args(["-readonly", "-csv"]).arg(&file).arg(QUERY).stdout(output))?.0)
    };
    let ours = |from: From| {
        let place = tempfile::tempdir()?;
        std::fs::copy(&file, place.path().join("marketing.db"))?;
        let work = Work::Join { records, from, folder: place.path().to_owned() };
        Ok(elsewhere_all(&work, records)?.processor_seconds)
    };
    let names = ["enrich, with the making of the records", "sqlite3 -csv"];
    compare(args, names, RATIO_MAX, || ours(From::Made), sqlite)?;
    let names = ["database.query, enrich and file.extract", "sqlite3 -csv"];
    compare(args, names, RATIO_MAX, || ours(From::Table), sqlite)
}

/// Where the records come from, and where they go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum From {
    /// They are made, and end as a population.
    Made,
    /// They are read from the table of people, and end in a CSV file.
    Table,
}

/// People as the activity `people` makes them, and a table with a row for nine of ten of them, in another order.
fn tables(records: u32) -> String {
    format!(
        "CREATE TABLE person(contactid TEXT PRIMARY KEY, emailaddress1 TEXT, lastname TEXT, modifiedon TIMESTAMP);
         WITH RECURSIVE n(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < {records} - 1)
         INSERT INTO person SELECT printf('c0000000-0000-4000-8000-%012d', n),
             iif(n % 3 = 0, 'P', 'p') || 'erson.' || (n * 7919 % {records}) || '@example.com', 'Lovelace ' || n,
             strftime('%Y-%m-%d %H:%M:%f000Z', n * 2654435761 % 31536000, 'unixepoch') FROM n;
         CREATE TABLE score(email TEXT PRIMARY KEY, label TEXT);
         INSERT INTO score SELECT emailaddress1, 'label ' || rowid FROM person WHERE rowid % 10 <> 0
             ORDER BY substr(emailaddress1, 8), emailaddress1;"
    )
}

/// Joins them with Campanile.
#[tokio::main]
pub(crate) async fn ours(records: u32, from: From, folder: &Path) -> Fallible<Done> {
    let source = match from {
        From::Made => json!({ "type": "people", "records": records, "groups": records, "to": "enrich" }),
        From::Table => json!({ "type": "database.query", "table": "person", "to": "enrich" }),
    };
    let mut workflow = json!({ "version": 1, "activities": {
        "people": source,
        "enrich": {
            "type": "enrich", "table": "score", "join": { "email": "emailaddress1" }, "add": { "label": "label" }
        }
    } });
    if from == From::Table {
        workflow["activities"]["enrich"]["to"] = json!("file");
        workflow["activities"]["file"] = json!({ "type": "file.extract", "path": "joined.csv" });
    }
    let run = run(&World::new(folder)?.engine(), "join.json", &workflow.to_string()).await?;
    let ok = run.tasks.iter().filter(|task| task.activity == "enrich").flat_map(|task| task.ports.get("ok"));
    let records = ok.flatten().map(|segment| segment.rows).sum();
    Ok(Done { seconds: task_seconds(&run, "enrich")?, records, ..Done::default() })
}
