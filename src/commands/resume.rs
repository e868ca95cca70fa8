//! `campanile resume`

use std::process::ExitCode;
use std::sync::Arc;

use engine::allow;
use engine::event::Vars;
use engine::outside::store::RunId;
use server::api::Resume;
use server::project::Project;
use server::service::Began;

use crate::commands::run;
use crate::fault::Fault;
use crate::follow::Follower;
use crate::global::{Global, run_name};

/// Resume a run that was suspended, paused or interrupted, and follow it to its end.
///
/// Its waits end. It continues from what its tasks have sealed, with the file it began with. Without --config it takes
/// the configuration that the run was started with.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The run, such as dynamicsImport-7.
    #[arg(value_name = "RUN", value_parser = run_name)]
    run: RunId,
    /// Let a delete in a CRM go on that stopped before so many records; its message has the number.
    #[arg(long, value_name = "RECORDS")]
    allow_deletes: Option<u64>,
    /// Let an export go on with up to so many rejects, instead of its maxRejects.
    #[arg(long, value_name = "RECORDS")]
    allow_rejects: Option<u64>,
    /// Let an export or delete go on with so many records, although its volume is unusual.
    #[arg(long, value_name = "RECORDS")]
    allow_volume: Option<u64>,
}

/// What the operator allows, as variables of the run that the guards read.
fn allowed(args: &Args) -> Vars {
    let all = [
        (allow::DELETES, args.allow_deletes),
        (allow::REJECTS, args.allow_rejects),
        (allow::VOLUME, args.allow_volume),
    ];
    all.into_iter().filter_map(|(name, records)| Some((name.to_owned(), records?.into()))).collect()
}

pub(super) async fn perform(args: &Args, global: &Global) -> Result<ExitCode, Fault> {
    let project = Arc::new(Project::of_run(&global.given(), &args.run)?);
    global.nothing_to_ask(&project)?;
    let mut follower = Follower::new(Arc::clone(&project)).await?;
    let resume = Resume { identity: project.identity.clone(), vars: allowed(args), wake: true };
    let path = format!("/runs/{}/resume", args.run);
    let events = match follower.once(async |client| client.post::<Began>(&path, &resume).await).await {
        Ok(Began { events, .. }) => events,
        Err(error) => {
            follower.end().await;
            return Err(error.into());
        }
    };
    let view = follower.follow(&args.run, events).await?;
    let code = run::ended(&args.run, &view, global);
    follower.end().await;
    Ok(code)
}
