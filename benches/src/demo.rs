//! The demo workflow against a stand-in for Dynamics in a process of its own.

use std::path::Path;
use std::time::Instant;

use engine::run::Run;
use sandbox::{Options, SalesforceOptions, Sandbox};
use serde_json::{Value, json};

use crate::measure::{Beside, Fallible, end_with_input, float, median, target, title};
use crate::sets::task_seconds;
use crate::work::{Done, Work, elsewhere};
use crate::world::{World, dynamics, run};

const WORKFLOW: &str = include_str!("../../workflows/dynamicsImport.json");
const SECONDS_MAX: f64 = 5.0;
const BESIDES_MIB: f64 = 256.0 + 200.0;

/// How much is measured.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Contacts of the stand-in.
    #[arg(long, default_value_t = 100_000)]
    contacts: u32,
    /// Rounds, of which the middle one counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

impl Default for Args {
    fn default() -> Self {
        Self { contacts: 100_000, rounds: 3 }
    }
}

/// Serves until the input ends.
pub(crate) fn serve(args: &Args) -> Fallible<()> {
    let sandbox = Sandbox::start(options(args.contacts))?;
    println!("{}", account(&sandbox));
    end_with_input();
    sandbox.wait();
    Ok(())
}

/// Serves Salesforce until the input ends.
pub(crate) fn serve_salesforce(args: &Args) -> Fallible<()> {
    let salesforce = SalesforceOptions { contacts: args.contacts, ..SalesforceOptions::default() };
    let sandbox = Sandbox::start(Options { salesforce, seed: 7, ..Options::default() })?;
    println!("{}", sandbox.salesforce());
    end_with_input();
    sandbox.wait();
    Ok(())
}

/// Measures it.
pub(crate) fn bench(args: &Args) -> Fallible<()> {
    title(&format!("the demo workflow on {} contacts", args.contacts))?;
    let beside = Beside::start(&["sandbox".to_owned(), format!("--contacts={}", args.contacts)])?;
    let mut rounds = Vec::new();
    for _ in 0..args.rounds.max(1) {
        let folder = tempfile::tempdir()?;
        let done = elsewhere(&Work::Demo { account: beside.hello.to_string(), folder: folder.path().to_owned() })?;
        println!(
            "  {:.2} s, {:.2} s of processor, {} MiB at most, {} records imported: {}",
            done.seconds,
            done.processor_seconds,
            done.peak_kib / 1024,
            done.records,
            done.note
        );
        rounds.push(done);
    }
    let seconds = median(rounds.iter().map(|done| done.seconds).collect());
    target("the run", seconds, SECONDS_MAX, " s");
    let most = rounds.iter().map(|done| done.peak_kib).max().unwrap_or_default();
    target("peak memory", float(most) / 1024.0, BESIDES_MIB, " MiB");
    Ok(())
}

/// Runs it once, in a new data folder.
#[tokio::main]
pub(crate) async fn once(account: &str, folder: &Path) -> Fallible<Done> {
    let engine = World::new(folder)?.account(dynamics(serde_json::from_str(account)?)?).engine();
    let begin = Instant::now();
    let run = run(&engine, "dynamicsImport.json", WORKFLOW).await?;
    let seconds = begin.elapsed().as_secs_f64();
    let import = run.tasks.iter().filter(|task| task.activity == "import").flat_map(|task| task.ports.get("ok"));
    let records = import.flatten().map(|segment| segment.rows).sum();
    Ok(Done { seconds, records, note: activities(&run), ..Done::default() })
}

/// How long each activity took.
fn activities(run: &Run) -> String {
    let each = run.tasks.iter().map(|task| {
        let seconds = task_seconds(run, &task.activity).unwrap_or(f64::NAN);
        format!("{} {seconds:.2}", task.activity)
    });
    each.collect::<Vec<_>>().join(", ")
}

/// A stand-in with so many contacts.
pub(crate) fn options(contacts: u32) -> Options {
    Options { contacts, accounts: contacts / 10, seed: 7, ..Options::default() }
}

/// Its account, as a configuration says it.
pub(crate) fn account(sandbox: &Sandbox) -> Value {
    json!({
        "url": sandbox.url(), "tokenUrl": sandbox.token_url(), "tenantId": sandbox.tenant_id(),
        "clientId": sandbox.client_id(), "clientSecret": sandbox.client_secret()
    })
}
