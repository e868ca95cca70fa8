//! Export of changed contacts against a stand-in in a process of its own: one that answers at once shows what we take
//! ourselves, one that answers after 50 ms whether the lanes are kept full.

use std::path::Path;

use serde_json::json;

use crate::measure::{Beside, Fallible, float, rate, title};
use crate::sets::task_seconds;
use crate::work::{Done, Work, elsewhere_all, memory, middle, show};
use crate::world::{World, dynamics, run};

/// Our own share must be faster than this.
const RECORDS_A_SECOND_MIN: f64 = 50_000.0;
/// Of the stand-in where latency is measured.
const LATENCY_MS: u32 = 50;
/// Requests at once, and records of each, where latency is measured.
const LANES: u32 = 8;
const LANE_RECORDS: u32 = 100;
/// Of what the lanes allow.
const SHARE_MIN: f64 = 0.9;

/// How much is measured.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Contacts that are changed.
    #[arg(long, default_value_t = 100_000)]
    records: u32,
    /// Rounds, of which the middle one counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Contacts of one more export, for the memory; 0 leaves it out.
    #[arg(long, default_value_t = 1_000_000)]
    large: u32,
}

impl Default for Args {
    fn default() -> Self {
        Self { records: 100_000, rounds: 3, large: 1_000_000 }
    }
}

/// Measures it.
pub(crate) fn bench(args: &Args) -> Fallible<()> {
    title(&format!("export of {} changed contacts", args.records))?;
    let beside = Beside::start(&["sandbox".to_owned(), format!("--contacts={}", args.records)])?;
    let rounds = |lanes| {
        let round = |_| export(&beside, args.records, lanes);
        (0..args.rounds.max(1)).map(round).collect::<Fallible<Vec<Done>>>()
    };
    let at_once = rounds(None)?;
    show("answered at once", &at_once);
    rate("crm.export", float(u64::from(args.records)) / middle(&at_once), RECORDS_A_SECOND_MIN, " records/s");

    latency(&beside, LATENCY_MS)?;
    let late = rounds(Some((LANES, LANE_RECORDS)))?;
    latency(&beside, 0)?;
    show(&format!("{LATENCY_MS} ms a request, {LANES} lanes of {LANE_RECORDS} records"), &late);
    let possible = f64::from(LANES * LANE_RECORDS) * 1_000.0 / f64::from(LATENCY_MS);
    let share = float(u64::from(args.records)) / middle(&late) / possible;
    rate("share of what the lanes allow, in percent", share * 100.0, SHARE_MIN * 100.0, " %");
    drop(beside);
    if args.large > 0 {
        let beside = Beside::start(&["sandbox".to_owned(), format!("--contacts={}", args.large)])?;
        let large = [export(&beside, args.large, None)?];
        show(&format!("{} contacts, answered at once", args.large), &large);
        memory("peak memory", &large);
    }
    Ok(())
}

/// Exports all contacts of a stand-in; the processor's time has the import before it in it.
fn export(beside: &Beside, records: u32, lanes: Option<(u32, u32)>) -> Fallible<Done> {
    let folder = tempfile::tempdir()?;
    let work = Work::Export { account: beside.hello.to_string(), lanes, folder: folder.path().to_owned() };
    elsewhere_all(&work, records)
}

/// Sets how long each answer of the stand-in takes at least.
#[tokio::main(flavor = "current_thread")]
async fn latency(beside: &Beside, ms: u32) -> Fallible<()> {
    let url = format!("{}/admin/latency", beside.text("url")?);
    crate::import::client()?.put(url).json(&json!({ "baseMs": ms })).send().await?.error_for_status()?;
    Ok(())
}

/// Imports all contacts, which is not measured, and writes each back with another last name.
#[tokio::main]
pub(crate) async fn once(account: &str, lanes: Option<(u32, u32)>, folder: &Path) -> Fallible<Done> {
    let batch = lanes.map(|(at_once, records)| json!({ "size": records, "parallel": at_once }));
    let mut export = json!({
        "type": "crm.export", "account": "dynamics", "object": "contacts", "operation": "update",
        "set": { "contactid": "contactid", "lastname": "lastname", "jobtitle": "\"of \" + lastname" },
    });
    if let Some(batch) = batch {
        export["batch"] = batch;
    }
    let workflow = json!({ "version": 1, "activities": {
        "import": { "type": "crm.import", "account": "dynamics", "object": "contacts", "fields": ["lastname"], "to": "export" },
        "export": export,
    } });
    let engine = World::new(folder)?.account(dynamics(serde_json::from_str(account)?)?).engine();
    let run = run(&engine, "export.json", &workflow.to_string()).await?;
    let ok = run.tasks.iter().filter(|task| task.activity == "export").flat_map(|task| task.ports.get("ok"));
    let records = ok.flatten().map(|segment| segment.rows).sum();
    Ok(Done { seconds: task_seconds(&run, "export")?, records, ..Done::default() })
}
