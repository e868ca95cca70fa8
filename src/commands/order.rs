//! `campanile pause`, `campanile wakeup` and `campanile stop`: orders to a run that are done at once.

use std::process::ExitCode;
use std::sync::Arc;

use engine::outside::store::RunId;
use engine::run::Status;
use server::client::step;
use server::project::Project;
use server::view::RunView;

use crate::commands::show;
use crate::fault::Fault;
use crate::global::{Global, run_name};
use crate::terminal;

/// Let a run start nothing new; what works now goes on. `campanile resume` lets it go on.
#[derive(Debug, clap::Args)]
pub(crate) struct Pause {
    /// The run, such as dynamicsImport-7.
    #[arg(value_name = "RUN", value_parser = run_name)]
    run: RunId,
}

/// End the waits of a run now: those of a `wait`, before a retry, and for a CRM that limits its callers.
#[derive(Debug, clap::Args)]
pub(crate) struct Wakeup {
    /// The run, such as dynamicsImport-7.
    #[arg(value_name = "RUN", value_parser = run_name)]
    run: RunId,
    /// Only the waits of this activity.
    #[arg(value_name = "ACTIVITY")]
    activity: Option<String>,
}

/// End a run for good, whether a process drives it or not. Its journal and populations stay.
#[derive(Debug, clap::Args)]
pub(crate) struct Stop {
    /// The run, such as dynamicsImport-7.
    #[arg(value_name = "RUN", value_parser = run_name)]
    run: RunId,
}

pub(super) async fn pause(args: &Pause, global: &Global) -> Result<ExitCode, Fault> {
    let view = order(&args.run, "pause", global).await?;
    if view.status == Status::Running && !global.json {
        terminal::note("what works now goes on to its end; nothing else begins");
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn wakeup(args: &Wakeup, global: &Global) -> Result<ExitCode, Fault> {
    let word = match &args.activity {
        Some(activity) => format!("wakeup?activity={}", step(activity)),
        None => "wakeup".to_owned(),
    };
    order(&args.run, &word, global).await?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn stop(args: &Stop, global: &Global) -> Result<ExitCode, Fault> {
    order(&args.run, "stop", global).await?;
    Ok(ExitCode::SUCCESS)
}

async fn order(run: &RunId, word: &str, global: &Global) -> Result<RunView, Fault> {
    let project = Arc::new(Project::of_run(&global.given(), run)?);
    let path = format!("/runs/{run}/{word}");
    let view: RunView = global.ask(&project, async |client| client.post(&path, &()).await).await?;
    if global.json {
        terminal::json(&view);
    } else {
        terminal::line(&show::headline(&view));
    }
    Ok(view)
}
