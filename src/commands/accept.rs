//! `campanile accept`

use std::process::ExitCode;

use engine::accept::Accepted;
use engine::outside::store::RunId;
use server::folder;

use crate::fault::Fault;
use crate::global::Global;
use crate::terminal;

/// Continue after a restored backup or a wanted change of what the data folder relies on.
///
/// Campanile stops when its data folder, its database or the organisation of an account is not the one it knows: work on
/// it would lose or repeat records. This takes it as it is. Runs that are not over and rely on it are stopped for good;
/// what they and other copies did meanwhile is not known.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// This data folder, as it is now: its store was put back, or is a copy, or is gone.
    Data,
    /// The database, as it is now: it was put back from a backup, or replaced.
    Database,
    /// That the option of an automatic index is missing: the next import reads everything, although the database has
    /// records of earlier ones.
    Index {
        /// The option, such as LASTIMPORT_dynamicsImport_import.
        name: String,
    },
    /// The organisation that an account leads to now.
    Account {
        /// The account in campanile.toml.
        name: String,
    },
}

pub(super) async fn perform(args: &Args, global: &Global) -> Result<ExitCode, Fault> {
    let project = global.project(None)?;
    global.nothing_to_ask(&project)?;
    let what = match &args.what {
        What::Data => {
            folder::accept(&project.data, &project.store_folder()).map_err(Fault::Failure)?;
            Accepted::Data
        }
        What::Database => Accepted::Database,
        What::Index { name } => Accepted::Index(name.clone()),
        What::Account { name } => Accepted::Account(name.clone()),
    };
    let stopped: Vec<RunId> = global.ask(&project, async |client| client.post("/accept", &what).await).await?;
    if global.json {
        terminal::json(&stopped);
        return Ok(ExitCode::SUCCESS);
    }
    terminal::note("accepted as it is now");
    for run in &stopped {
        let restart = global.command("restart", run);
        terminal::note(&format!("run {run} was stopped; to start what it began with again: {restart}"));
    }
    Ok(ExitCode::SUCCESS)
}
