//! `campanile restart`

use std::process::ExitCode;
use std::sync::Arc;

use engine::outside::store::RunId;
use server::api::Restart;
use server::project::Project;
use server::service::Began;

use crate::commands::run;
use crate::fault::Fault;
use crate::follow::Follower;
use crate::global::{Global, run_name};
use crate::terminal;

/// Start anew what a run began with, and follow it to its end: the same file and variables, from the beginning.
///
/// A run that is not over is ended for good first. What its tasks kept to go on with, such as the temp file of an export, is
/// dropped; its journal and populations stay. To go on instead, use `campanile resume`; to run the file as it is now,
/// `campanile run`. Without --config it takes the configuration that the run was started with.
#[derive(Debug, clap::Args)]
#[command(after_help = "With --json the last line on stdout is the new run as one object.\n\
                        Exit codes: 0 finished, 1 failed, suspended or interrupted, 2 the workflow has errors.")]
pub(crate) struct Args {
    /// The run, such as dynamicsImport-7.
    #[arg(value_name = "RUN", value_parser = run_name)]
    run: RunId,
    /// Also where records that the run made in a CRM, and that nothing names, are made again.
    #[arg(long)]
    again: bool,
}

pub(super) async fn perform(args: &Args, global: &Global) -> Result<ExitCode, Fault> {
    let project = Arc::new(Project::of_run(&global.given(), &args.run)?);
    global.nothing_to_ask(&project)?;
    let mut follower = Follower::new(Arc::clone(&project)).await?;
    let restart = Restart { identity: project.identity.clone(), again: args.again };
    let path = format!("/runs/{}/restart", args.run);
    let run = match follower.once(async |client| client.post::<Began>(&path, &restart).await).await {
        Ok(Began { run, .. }) => run,
        Err(error) => {
            follower.end().await;
            return Err(run::refused(error));
        }
    };
    terminal::note(&format!("run {run}"));
    let view = follower.follow(&run, 0).await?;
    let code = run::ended(&run, &view, global);
    follower.end().await;
    Ok(code)
}
