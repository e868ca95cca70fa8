//! `campanile secrets`

use std::io::{IsTerminal, Read};
use std::process::ExitCode;

use clap::Subcommand;
use crm::secret::{Secret, Vault};
use engine::failure::{Class, Failure};
use server::secrets::{SECRET_BYTES_MAX, Secrets};

use crate::fault::Fault;
use crate::global::Global;
use crate::terminal;

/// Keep secrets of accounts in the encrypted store of the data folder; an account names one as `{ stored = "NAME" }`.
#[derive(Debug, Subcommand)]
pub(crate) enum Args {
    /// List the names of the secrets.
    List,
    /// Keep a secret, read from the keyboard without being shown, or from standard input.
    Set {
        /// Its name.
        name: String,
    },
    /// Remove a secret.
    Remove {
        /// Its name.
        name: String,
    },
}

pub(super) fn perform(args: &Args, global: &Global) -> Result<ExitCode, Fault> {
    let secrets = Secrets::of(&global.project(None)?.data);
    match args {
        Args::List => {
            let names = secrets.names()?;
            if global.json {
                terminal::json(&names);
            } else if names.is_empty() {
                terminal::note("there are no stored secrets");
            } else {
                names.iter().for_each(|name| terminal::line(name));
            }
        }
        Args::Set { name } => {
            secrets.keep(name, &asked(name)?)?;
            terminal::note(&format!("secret {name} is stored; an account names it as {{ stored = \"{name}\" }}"));
        }
        Args::Remove { name } => {
            secrets.remove(name)?;
            terminal::note(&format!("secret {name} is removed"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn asked(name: &str) -> Result<Secret, Failure> {
    let failed = |error: &std::io::Error| Failure::io("cannot read the secret", error);
    let mut text = String::new();
    if std::io::stdin().is_terminal() {
        text = rpassword::prompt_password(format!("secret {name}: ")).map_err(|error| failed(&error))?;
    } else {
        let most = SECRET_BYTES_MAX as u64 + 1;
        std::io::stdin().take(most).read_to_string(&mut text).map_err(|error| failed(&error))?;
    }
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(Failure::new(Class::Config, "the secret is empty; nothing is stored")),
        text => Ok(Secret::new(text)),
    }
}
