//! `campanile pause`

use std::process::ExitCode;
use std::sync::Arc;

use engine::outside::store::RunId;
use engine::run::Status;
use server::project::Project;
use server::view::RunView;

use crate::commands::show;
use crate::fault::Fault;
use crate::global::{Global, run_name};
use crate::terminal;

/// Let a run start nothing new; what works now goes on. `campanile resume` lets it go on.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The run, such as dynamicsImport-7.
    #[arg(value_name = "RUN", value_parser = run_name)]
    run: RunId,
}

pub(super) async fn perform(args: &Args, global: &Global) -> Result<ExitCode, Fault> {
    let project = Arc::new(Project::of_run(&global.given(), &args.run)?);
    let path = format!("/runs/{}/pause", args.run);
    let view: RunView = global.ask(&project, async |client| client.post(&path, &()).await).await?;
    if global.json {
        terminal::json(&view);
    } else {
        terminal::line(&show::headline(&view));
        if view.status == Status::Running {
            terminal::note("what works now goes on to its end; nothing else begins");
        }
    }
    Ok(ExitCode::SUCCESS)
}
