//! `campanile runs`

use std::process::ExitCode;

use engine::run::Status;
use server::api::RUNS_DEFAULT;
use server::view::RunLine;

use crate::commands::show;
use crate::fault::Fault;
use crate::global::Global;
use crate::table::{Table, duration, instant, number};
use crate::terminal;

/// List the latest runs of the data folder, with their rejects, records in doubt and held options, and why those that stand
/// still do.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many.
    #[arg(long, value_name = "N", default_value_t = RUNS_DEFAULT)]
    limit: usize,
}

pub(super) async fn perform(args: &Args, global: &Global) -> Result<ExitCode, Fault> {
    let project = global.project(None)?;
    let path = format!("/runs?limit={}", args.limit);
    let runs: Vec<RunLine> = global.ask(&project, async |client| client.get(&path).await).await?;
    if global.json {
        terminal::json(&runs);
        return Ok(ExitCode::SUCCESS);
    }
    if runs.is_empty() {
        terminal::note("there are no runs yet");
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(&[
        "RUN",
        "STATUS",
        "STARTED",
        ">DURATION",
        ">TASKS",
        ">RECORDS",
        ">REJECTS",
        ">IN DOUBT",
        ">HELD",
        "NEXT TRY",
        "WHY",
    ]);
    for run in &runs {
        let status = show::with_doubts(show::status(run.status, run.driven), run.in_doubt);
        // What passed by itself, or was handled by the workflow, is no reason to look at a run.
        let stands = matches!(run.status, Status::Suspended | Status::Failed | Status::Waiting);
        let why = run.failure.clone().filter(|_| stands);
        table.row(vec![
            run.run.clone(),
            status.to_owned(),
            run.started.map(instant).unwrap_or_default(),
            duration(run.seconds),
            number(run.tasks.into()),
            number(run.records),
            number(run.rejects),
            number(run.in_doubt),
            number(run.held.into()),
            run.next.map(instant).unwrap_or_default(),
            why.unwrap_or_default(),
        ]);
    }
    table.print("");
    Ok(ExitCode::SUCCESS)
}
