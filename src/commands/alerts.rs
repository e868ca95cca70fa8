//! `campanile alerts`

use std::process::ExitCode;

use clap::Subcommand;
use engine::outside::alerts::Alerts;
use engine::outside::crm::Step;
use indexmap::IndexMap;
use server::opening;

use crate::commands::accounts::told;
use crate::fault::Fault;
use crate::global::Global;
use crate::{report, terminal};

/// Try whether those are told whom a run that needs somebody is to tell.
#[derive(Debug, Subcommand)]
pub(crate) enum Args {
    /// Send each receiver of [alerts] a test, step by step. What is missing is named.
    Test {
        /// The receiver, such as webhook; without it all are sent one.
        name: Option<String>,
    },
}

pub(super) async fn perform(args: &Args, global: &Global) -> Result<ExitCode, Fault> {
    let Args::Test { name } = args;
    let receivers = opening::receivers(&*global.project(None)?);
    let names = name.clone().map_or_else(|| receivers.receivers(), |name| vec![name]);
    let mut tested: IndexMap<String, Vec<Step>> = IndexMap::new();
    for name in names {
        let steps = receivers.test(&name).await?;
        if !global.json {
            told(&name, &steps);
        }
        tested.insert(name, steps);
    }
    if global.json {
        terminal::json(&tested);
    } else if tested.is_empty() {
        terminal::note("nobody is told; add [alerts] to campanile.toml");
    }
    let works = tested.values().flatten().all(|step| step.result.is_ok());
    Ok(if works { ExitCode::SUCCESS } else { ExitCode::from(report::FAILED) })
}
