//! `campanile explain`

use std::path::{PathBuf, absolute};
use std::process::ExitCode;

use activities::PALETTE;
use server::client::CallError;
use server::explain::{Asked, Explained, explain};
use server::opening;

use crate::commands::accounts;
use crate::commands::check::read;
use crate::commands::run::not_started;
use crate::fault::Fault;
use crate::global::Global;
use crate::table::{counted, number};
use crate::terminal;

/// Show what an activity would ask of its CRM now: the query sent, what stays local, how many records and calls.
///
/// It reads the option of the automatic index and asks the CRM for its clock, a count, its limits and who keeps deletions.
/// Nothing is written.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 explained, 1 the CRM or the data folder cannot be asked, 2 the workflow is not right."
)]
pub(crate) struct Args {
    /// The workflow's file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The activity.
    #[arg(value_name = "ACTIVITY")]
    activity: String,
    /// How many records are thought to come into an export, or into a reading by ids.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    records: u64,
}

pub(super) async fn perform(args: &Args, global: &Global) -> Result<ExitCode, Fault> {
    let text = read(&args.file)?;
    let project = global.project(Some(&args.file))?;
    let asked = Asked {
        file: absolute(&args.file).unwrap_or_else(|_| args.file.clone()),
        text,
        activity: args.activity.clone(),
        records: args.records,
        identity: project.identity.clone(),
    };
    let told = match project.data.exists() {
        true => global.call(&project, async |client| client.post("/explain", &asked).await).await,
        // Nothing was run yet, so there is no option.
        false => explain(&opening::looking(&project, PALETTE), &asked).await.map_err(CallError::Refused),
    };
    let told: Explained = told.map_err(|error| not_started(error, asked.text, &args.file))?;
    if global.json {
        terminal::json(&told);
    } else {
        print(&told);
    }
    Ok(ExitCode::SUCCESS)
}

fn print(told: &Explained) {
    let line = |name: &str, value: String| terminal::line(&format!("{name:<12} {value}"));
    terminal::line(&format!(
        "{}: {} {} of {} ({})\n",
        told.activity, told.kind, told.object, told.account, told.system
    ));
    if let Some(way) = &told.way {
        let at_once = match told.kind == "write" {
            true => format!(", {} in parallel", counted(told.ranges, "batch")),
            false => String::new(),
        };
        line("method", format!("{way}{at_once}"));
    }
    told.before.iter().for_each(|request| line("asked first", request.clone()));
    if let Some(request) = &told.request {
        line("request", request.clone());
    }
    if let Some(period) = &told.period {
        let from =
            period.from.map_or_else(|| "the beginning of what the CRM keeps".to_owned(), |from| from.to_string());
        let to = period.to.map_or_else(|| "now".to_owned(), |to| to.to_string());
        line("deleted", format!("from {from} to {to}, both included"));
    }
    if let Some(window) = &told.window {
        let from = window.from.map_or_else(|| "the beginning".to_owned(), |from| format!("{from} (included)"));
        line("window", format!("{} from {from} to {} (excluded)", window.field, window.to));
    }
    match (&told.filter, &told.sent) {
        (Some(filter), Some(sent)) if told.exact => {
            line("filter", filter.clone());
            line("  sent", format!("{sent} (whole)"));
        }
        (Some(filter), Some(sent)) => {
            line("filter", filter.clone());
            line("  sent", format!("{sent} (lets more through)"));
            line("  local", "the whole filter is evaluated again here".to_owned());
        }
        (Some(filter), None) => {
            line("filter", filter.clone());
            line("  local", "nothing of it can be sent: it is evaluated here".to_owned());
        }
        (None, _) => {}
    }
    if !told.rules.is_empty() {
        line("dropped by", told.rules.join(", "));
    }
    if let Some(records) = told.records {
        line("records", number(records));
    }
    calls(told, line);
    told.notes.iter().for_each(|note| line("note", note.clone()));
    told.unknown.iter().for_each(|note| line("not known", note.clone()));
    if !told.limits.is_empty() {
        terminal::line("");
        accounts::limits(&told.limits).print("");
    }
}

fn calls(told: &Explained, line: impl Fn(&str, String)) {
    let each = told.per_call.map(|each| format!(" of {} at most", counted(each, "record"))).unwrap_or_default();
    if let Some(batches) = told.batches {
        line("batches", format!("{}{each}", number(batches)));
    }
    let each = if told.batches.is_some() { "" } else { each.as_str() };
    let parts = match told.ranges {
        parts if parts > 0 && told.kind == "read" => format!(", {} in parallel", counted(parts, "part")),
        _ => String::new(),
    };
    let how = if told.kind == "read" || told.kind == "fetch" { "about" } else { "at least" };
    match told.calls {
        Some(calls) => line("calls", format!("{how} {}{each}{parts}", number(calls))),
        None => line("calls", format!("at least {}{each}", number(told.before.len() as u64 + 1))),
    }
}
