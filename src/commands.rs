//! The commands, one file each.

mod accept;
mod accounts;
mod alerts;
mod backfill;
pub(crate) mod check;
mod demo;
mod discover;
mod explain;
mod help;
mod options;
mod order;
mod preview;
mod rejects;
mod restart;
mod resume;
mod run;
mod runs;
pub(crate) mod sandbox;
mod schema;
mod secrets;
mod show;
mod test;
mod unstarted;

use std::process::ExitCode;

use clap::Subcommand;
use engine::failure::Failure;

use crate::fault::Fault;
use crate::global::Global;

/// What is to be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(demo::Args),
    Check(check::Args),
    Test(test::Args),
    Discover(discover::Args),
    Explain(explain::Args),
    Run(run::Args),
    Backfill(backfill::Args),
    Resume(resume::Args),
    Restart(restart::Args),
    Stop(order::Stop),
    Pause(order::Pause),
    Wakeup(order::Wakeup),
    Runs(runs::Args),
    Show(show::Args),
    Preview(preview::Args),
    #[command(subcommand)]
    Rejects(rejects::Args),
    #[command(subcommand)]
    Options(options::Args),
    #[command(subcommand)]
    Accounts(accounts::Args),
    #[command(subcommand)]
    Alerts(alerts::Args),
    #[command(subcommand)]
    Secrets(secrets::Args),
    Accept(accept::Args),
    Sandbox(sandbox::Args),
    Schema(schema::Args),
    Help(help::Args),
}

/// Does it.
///
/// # Errors
/// Why it could not be done.
pub(crate) fn perform(command: Command, global: &Global) -> Result<ExitCode, Fault> {
    match &command {
        Command::Schema(args) => return Ok(schema::perform(args)),
        Command::Help(args) => return help::perform(args),
        // Each process of a test has a runtime of its own.
        Command::Test(args) => return test::perform(args, global),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::io("cannot start the runtime", &error))?;
    let done = runtime.block_on(async {
        match command {
            Command::Demo(args) => Box::pin(demo::perform(&args, global)).await,
            Command::Check(args) => check::perform(&args, global).await,
            Command::Discover(args) => discover::perform(&args, global).await,
            Command::Explain(args) => explain::perform(&args, global).await,
            Command::Run(args) => Box::pin(run::perform(&args, global)).await,
            Command::Accept(args) => accept::perform(&args, global).await,
            Command::Backfill(args) => Box::pin(backfill::perform(&args, global)).await,
            Command::Resume(args) => Box::pin(resume::perform(&args, global)).await,
            Command::Restart(args) => Box::pin(restart::perform(&args, global)).await,
            Command::Stop(args) => order::stop(&args, global).await,
            Command::Pause(args) => order::pause(&args, global).await,
            Command::Wakeup(args) => order::wakeup(&args, global).await,
            Command::Runs(args) => runs::perform(&args, global).await,
            Command::Show(args) => show::perform(&args, global).await,
            Command::Preview(args) => preview::perform(&args, global).await,
            Command::Rejects(args) => Box::pin(rejects::perform(&args, global)).await,
            Command::Options(args) => options::perform(&args, global).await,
            Command::Accounts(args) => accounts::perform(&args, global).await,
            Command::Alerts(args) => alerts::perform(&args, global).await,
            Command::Secrets(args) => secrets::perform(&args, global),
            Command::Sandbox(args) => sandbox::perform(&args, global).await,
            Command::Schema(args) => Ok(schema::perform(&args)),
            Command::Help(args) => help::perform(&args),
            Command::Test(args) => test::perform(&args, global),
        }
    });
    // A thread that waits for a disk or a script must not hold up the end.
    runtime.shutdown_background();
    done
}
