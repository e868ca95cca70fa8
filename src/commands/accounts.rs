//! `campanile accounts`

use std::process::ExitCode;

use activities::PALETTE;
use clap::Subcommand;
use engine::outside::crm::Step;
use indexmap::IndexMap;
use server::api::account_list;
use server::opening;

use crate::fault::Fault;
use crate::global::Global;
use crate::table::Table;
use crate::{report, terminal};

/// List the accounts of the configuration, and test whether they work.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the accounts.
    List,
    /// Test accounts step by step: host, login, rights. What is missing is named.
    Test {
        /// The account; without it all are tested.
        name: Option<String>,
    },
}

pub(super) async fn perform(args: &Args, global: &Global) -> Result<ExitCode, Fault> {
    let project = global.project(None)?;
    // Nothing of the data folder is needed, so it works whoever has it open.
    let engine = opening::bare(&project, PALETTE);
    match &args.what {
        What::List => {
            let accounts = account_list(&engine);
            if global.json {
                terminal::json(&accounts);
            } else if accounts.is_empty() {
                terminal::note("there are no accounts; add [accounts.NAME] to campanile.toml");
            } else {
                let mut table = Table::new(&["ACCOUNT", "SYSTEM"]);
                accounts.into_iter().for_each(|account| table.row(vec![account.name, account.system]));
                table.lines().iter().for_each(|line| terminal::line(line));
            }
            Ok(ExitCode::SUCCESS)
        }
        What::Test { name } => {
            let names: Vec<String> = match name {
                Some(name) => vec![name.clone()],
                None => engine.environment.accounts.keys().cloned().collect(),
            };
            let mut tested: IndexMap<String, Vec<Step>> = IndexMap::new();
            for name in names {
                let steps = engine.environment.account(&name)?.test().await;
                if !global.json {
                    told(&name, &steps);
                }
                tested.insert(name, steps);
            }
            if global.json {
                terminal::json(&tested);
            }
            let works = tested.values().flatten().all(|step| step.result.is_ok());
            Ok(if works { ExitCode::SUCCESS } else { ExitCode::from(report::FAILED) })
        }
    }
}

fn told(account: &str, steps: &[Step]) {
    terminal::line(account);
    for step in steps {
        match &step.result {
            Ok(found) => terminal::line(&format!("  ✓ {}: {found}", step.name)),
            Err(failure) => {
                terminal::line(&format!("  × {}", step.name));
                report::failure(failure);
            }
        }
    }
}
