//! `campanile options`

use std::collections::BTreeMap;
use std::process::ExitCode;

use activities::automatic_index;
use clap::Subcommand;
use engine::check::INDEX_OPTION_PREFIX;
use engine::outside::store::{OptionValue, check_option_name};
use server::api::NewValue;
use server::client::step;

use crate::fault::Fault;
use crate::global::Global;
use crate::table::{Table, instant};
use crate::terminal;

/// List, read, set and remove options: named values that outlive runs, such as where an import goes on.
#[derive(Debug, Subcommand)]
pub(crate) enum Args {
    /// List all options.
    List,
    /// Print the value of an option.
    Get {
        /// The option.
        name: String,
    },
    /// Set an option; it is made where it is missing.
    Set {
        /// The option.
        name: String,
        /// Its value.
        value: String,
    },
    /// Remove an option. An import whose option is missing imports everything.
    Remove {
        /// The option.
        name: String,
    },
}

pub(super) async fn perform(args: &Args, global: &Global) -> Result<ExitCode, Fault> {
    let project = global.project(None)?;
    match args {
        // No path of the API names it.
        Args::Get { name } | Args::Set { name, .. } | Args::Remove { name } if name.is_empty() => {
            check_option_name(name).map_err(Fault::NotRight)?;
        }
        Args::List => {
            let options: BTreeMap<String, OptionValue> =
                global.ask(&project, async |client| client.get("/options").await).await?;
            if global.json {
                terminal::json(&options);
            } else {
                list(&options);
            }
        }
        Args::Get { name } => {
            let path = format!("/options/{}", step(name));
            let option: OptionValue = global.ask(&project, async |client| client.get(&path).await).await?;
            if global.json {
                terminal::json(&option);
            } else {
                terminal::line(&option.value);
            }
        }
        Args::Set { name, value } => {
            let path = format!("/options/{}", step(name));
            let new = NewValue { value: value.clone() };
            // It may say where the first run begins, before there is a data folder.
            let option: OptionValue = global.call(&project, async |client| client.put(&path, &new).await).await?;
            told(global, name, &option, "is");
            if name.starts_with(INDEX_OPTION_PREFIX) && automatic_index::to_instant(name, value).is_err() {
                terminal::note(&format!(
                    "warning: options that an automatic index reads hold {}, in UTC; an import that reads this will fail",
                    automatic_index::FORMAT
                ));
            }
        }
        Args::Remove { name } => {
            let path = format!("/options/{}", step(name));
            let option: OptionValue = global.ask(&project, async |client| client.delete(&path).await).await?;
            told(global, name, &option, "is removed; it was");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn told(global: &Global, name: &str, option: &OptionValue, word: &str) {
    if global.json {
        terminal::json(option);
    } else {
        terminal::note(&format!("option {name} {word} {}", option.value));
    }
}

fn list(options: &BTreeMap<String, OptionValue>) {
    if options.is_empty() {
        terminal::note("there are no options yet");
        return;
    }
    let mut table = Table::new(&["OPTION", "VALUE", "SET AT", "BY"]);
    for (name, option) in options {
        table.row(vec![name.clone(), option.value.clone(), instant(option.at), option.by.clone()]);
    }
    table.print("");
}
