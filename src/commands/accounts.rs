//! `campanile accounts`

use std::process::ExitCode;

use activities::PALETTE;
use clap::Subcommand;
use engine::engine::Engine;
use engine::failure::{Class, Failure};
use engine::outside::crm::{Allowance, Step};
use indexmap::IndexMap;
use serde_json::json;
use server::api::account_list;
use server::opening;

use crate::fault::Fault;
use crate::global::Global;
use crate::table::{Table, number};
use crate::{report, terminal};

/// List the accounts of the configuration, test whether they work, and show what is left of their limits.
#[derive(Debug, Subcommand)]
pub(crate) enum Args {
    /// List the accounts.
    List,
    /// Test accounts step by step: host, login, rights. What is missing is named.
    Test {
        /// The account; without it all are tested.
        name: Option<String>,
    },
    /// Show what accounts may use and what is left of it.
    Limits {
        /// The account; without it all are asked.
        name: Option<String>,
    },
}

const NONE: &str = "there are no accounts";

pub(super) async fn perform(args: &Args, global: &Global) -> Result<ExitCode, Fault> {
    let project = global.project(None)?;
    // Nothing of the data folder is needed, so it works whoever has it open.
    let engine = opening::bare(&project, PALETTE);
    match args {
        Args::List => {
            let accounts = account_list(&engine);
            if global.json {
                terminal::json(&accounts);
            } else if accounts.is_empty() {
                terminal::note(&format!("{NONE}; add [accounts.NAME] to campanile.toml"));
            } else {
                let mut table = Table::new(&["ACCOUNT", "SYSTEM"]);
                accounts.into_iter().for_each(|account| table.row(vec![account.name, account.system]));
                table.print("");
            }
            Ok(ExitCode::SUCCESS)
        }
        Args::Test { name } => test(&named(name.as_deref(), &engine)?, &engine, global).await,
        Args::Limits { name } => left(&named(name.as_deref(), &engine)?, &engine, global).await,
    }
}

/// The accounts that are meant; there is at least one.
fn named(name: Option<&str>, engine: &Engine) -> Result<Vec<String>, Fault> {
    let accounts = &engine.environment.accounts;
    match name {
        Some(name) => {
            engine.environment.account(name).map_err(Fault::NotRight)?;
            Ok(vec![name.to_owned()])
        }
        None if accounts.is_empty() => {
            Err(Fault::NotRight(Failure::new(Class::Config, NONE).help("add [accounts.NAME] to campanile.toml")))
        }
        None => Ok(accounts.keys().cloned().collect()),
    }
}

async fn test(names: &[String], engine: &Engine, global: &Global) -> Result<ExitCode, Fault> {
    let mut tested: IndexMap<&str, Vec<Step>> = IndexMap::new();
    for name in names {
        let steps = engine.environment.account(name)?.test().await;
        if !global.json {
            told(name, &steps);
        }
        tested.insert(name, steps);
    }
    if global.json {
        terminal::json(&tested);
    }
    let works = tested.values().flatten().all(|step| step.result.is_ok());
    Ok(if works { ExitCode::SUCCESS } else { ExitCode::from(report::FAILED) })
}

/// One account that cannot be asked does not hide what the others say.
async fn left(names: &[String], engine: &Engine, global: &Global) -> Result<ExitCode, Fault> {
    let mut all: IndexMap<&str, Result<Vec<Allowance>, Failure>> = IndexMap::new();
    for name in names {
        let asked = match engine.environment.crm(name) {
            Ok(crm) => crm.limits().await,
            Err(failure) => Err(failure),
        };
        all.insert(name, asked);
    }
    if global.json {
        let told = |asked: &Result<Vec<Allowance>, Failure>| match asked {
            Ok(limits) => json!({ "limits": limits }),
            Err(failure) => json!({ "failure": failure }),
        };
        let all: IndexMap<&str, serde_json::Value> = all.iter().map(|(name, asked)| (*name, told(asked))).collect();
        terminal::json(&all);
    } else {
        for (name, asked) in &all {
            terminal::line(name);
            match asked {
                Ok(allowances) if allowances.is_empty() => {
                    terminal::line("  the system reports no limits for this account")
                }
                Ok(allowances) => limits(allowances).print("  "),
                Err(failure) => report::failure(failure),
            }
        }
    }
    let works = all.values().all(Result::is_ok);
    Ok(if works { ExitCode::SUCCESS } else { ExitCode::from(report::FAILED) })
}

/// Allowances as a table.
pub(super) fn limits(allowances: &[Allowance]) -> Table {
    let mut table = Table::new(&["LIMIT", ">LEFT", ">OF", ">PERCENT", "RESETS EVERY"]);
    for Allowance { name, max, left, window } in allowances {
        let percent = u128::from(*left) * 100 / u128::from((*max).max(1));
        table.row(vec![name.clone(), number(*left), number(*max), format!("{percent} %"), window.clone()]);
    }
    table
}

/// Prints how far a test came.
pub(super) fn told(tested: &str, steps: &[Step]) {
    terminal::line(tested);
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
