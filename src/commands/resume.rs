//! `campanile resume`

use std::process::ExitCode;
use std::sync::Arc;

use engine::allow;
use engine::event::Vars;
use engine::outside::store::RunId;
use engine::run::Status;
use server::api::Resume;
use server::project::Project;
use server::service::Began;
use server::view::RunLine;

use crate::commands::run;
use crate::fault::Fault;
use crate::follow::Follower;
use crate::global::{Global, run_name};
use crate::terminal;

/// How many of the latest runs of a workflow are looked at.
const LATER_RUNS_MAX: usize = 1000;
/// How many of those that finished are named.
const LATER_RUNS_SHOWN_MAX: usize = 5;

/// Resume a run that was suspended, paused or interrupted, and follow it to its end.
///
/// Its waits end. It continues from what its tasks have sealed, with the file it began with. Records of which a later run
/// has written a newer version stay as they are; later runs that finished are listed. Without --config it takes the
/// configuration that the run was started with.
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

/// Which later runs of the workflow have finished, and what that means for this one; none if there is no such run. They are
/// only for information: a resume does not fail for them.
async fn later_runs(follower: &mut Follower, run: &RunId) -> Option<String> {
    let path = format!("/runs?workflow={}&limit={LATER_RUNS_MAX}", run.workflow());
    let runs = follower.once(async |client| client.get::<Vec<RunLine>>(&path).await).await.ok()?;
    let is_later = |line: &&RunLine| {
        let number = RunId::parse(&line.run).and_then(|line| line.number());
        line.status == Status::Finished && number > run.number()
    };
    let later: Vec<&str> = runs.iter().filter(is_later).map(|line| line.run.as_str()).collect();
    let (shown, others) = later.split_at(later.len().min(LATER_RUNS_SHOWN_MAX));
    let others = if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
    let have = if later.len() == 1 { "a later run of the workflow has" } else { "later runs of the workflow have" };
    (!later.is_empty()).then(|| {
        format!(
            "{have} finished: {}{others}; records of which a newer version is written stay as they are (rule older)",
            shown.join(", ")
        )
    })
}

pub(super) async fn perform(args: &Args, global: &Global) -> Result<ExitCode, Fault> {
    let project = Arc::new(Project::of_run(&global.given(), &args.run)?);
    global.nothing_to_ask(&project)?;
    let mut follower = Follower::new(Arc::clone(&project)).await?;
    let resume = Resume { identity: project.identity.clone(), vars: allowed(args), wake: true };
    let path = format!("/runs/{}/resume", args.run);
    let later = later_runs(&mut follower, &args.run).await;
    let events = match follower.once(async |client| client.post::<Began>(&path, &resume).await).await {
        Ok(Began { events, .. }) => events,
        Err(error) => {
            follower.end().await;
            return Err(error.into());
        }
    };
    if let Some(later) = later {
        terminal::note(&later);
    }
    let view = follower.follow(&args.run, events).await?;
    let code = run::ended(&args.run, &view, global);
    follower.end().await;
    Ok(code)
}
