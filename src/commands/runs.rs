//! `campanile runs`

use std::process::ExitCode;

use server::api::RUNS_DEFAULT;
use server::view::RunLine;

use crate::commands::show;
use crate::fault::Fault;
use crate::global::Global;
use crate::table::{Table, duration, instant, number};
use crate::terminal;

/// List the latest runs of the data folder.
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
    let mut table = Table::new(&["RUN", "WORKFLOW", "STATUS", "STARTED", ">DURATION", ">TASKS", ">RECORDS"]);
    for run in &runs {
        let status = show::with_doubts(show::status(run.status, run.driven), run.in_doubt);
        table.row(vec![
            run.run.clone(),
            run.workflow.clone(),
            status,
            run.started.map(instant).unwrap_or_default(),
            duration(run.seconds),
            number(run.tasks.into()),
            number(run.records),
        ]);
    }
    table.lines().iter().for_each(|line| terminal::line(line));
    Ok(ExitCode::SUCCESS)
}
