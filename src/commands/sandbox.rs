//! `campanile sandbox`

use std::path::PathBuf;
use std::process::ExitCode;

use engine::failure::{Class, Failure};
use sandbox::{Limits, Options, SalesforceOptions, Sandbox, Tls};

use crate::fault::Fault;
use crate::follow::interruptions;
use crate::global::Global;
use crate::table::counted;
use crate::terminal;

/// What Dynamics lets one user do within its window of five minutes.
const REQUESTS_MAX: u64 = 6_000;
const EXECUTION_MS_MAX: u64 = 20 * 60 * 1_000;
/// The requests of one user that Dynamics works on at once.
const AT_ONCE_MAX: u64 = 52;

/// Start a stand-in for Microsoft Dynamics and Salesforce on this machine, with generated people and companies, until
/// Ctrl-C.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "With --json the first line on stdout is an object with dynamics, tokenUrl, tenantId, clientId, clientSecret, \
                        salesforce and admin; with --tls also dynamicsTls, tokenUrlTls and authorityFile.\n`campanile help sandbox-controls` has the controls below admin: faults, clock, records, logs."
)]
pub(crate) struct Args {
    /// The port on 127.0.0.1; 0 for any that is free.
    #[arg(long, value_name = "N", default_value_t = 0)]
    port: u16,
    /// Generated contacts of each system.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    contacts: u32,
    /// The seed: the same one makes the same people.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Listen encrypted as well, on another port, and write the certificate of its authority to this file, in PEM, for
    /// clients to trust. It is made anew at every start.
    #[arg(long, value_name = "FILE")]
    tls: Option<PathBuf>,
}

pub(super) async fn perform(args: &Args, global: &Global) -> Result<ExitCode, Fault> {
    let mut interrupted = interruptions()?;
    let tls = args.tls.clone().map(|authority_file| Tls { port: 0, authority_file });
    let sandbox = start(Options { port: args.port, seed: args.seed, tls, ..options(args.contacts) })?;
    sandbox.admin().set_limits(Limits {
        requests: Some(REQUESTS_MAX),
        execution_ms: Some(EXECUTION_MS_MAX),
        concurrency: Some(AT_ONCE_MAX),
        real_time: true,
        ..Limits::default()
    });
    if global.json {
        terminal::json(&sandbox.describe());
    } else {
        terminal::line(&format!("Dynamics with {} at {}", counted(args.contacts.into(), "contact"), sandbox.url()));
        let salesforce = sandbox.salesforce();
        let url = salesforce["url"].as_str().unwrap_or_default();
        terminal::line(&format!("Salesforce with {} at {url}", counted(args.contacts.into(), "contact")));
        if let (Some(url), Some(file)) = (sandbox.tls_url(), sandbox.authority_file()) {
            terminal::line(&format!("encrypted at {url}, with the authority in {}", file.display()));
        }
        terminal::line(&format!("controls at {}\n", sandbox.admin_url()));
        terminal::line("for campanile.toml:\n");
        terminal::line(&account(&sandbox, "dynamics"));
        terminal::line(&salesforce_account(&sandbox, "salesforce"));
        terminal::line("Ctrl-C ends it");
    }
    interrupted.wait_for(|interrupted| *interrupted).await.ok();
    Ok(ExitCode::SUCCESS)
}

/// A stand-in with so many contacts in each system, who work for a tenth as many companies.
pub(super) fn options(contacts: u32) -> Options {
    let salesforce = SalesforceOptions { contacts, accounts: contacts / 10, leads: contacts / 10 };
    Options { contacts, accounts: contacts / 10, salesforce, ..Options::default() }
}

pub(super) fn start(options: Options) -> Result<Sandbox, Fault> {
    Sandbox::start(options).map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        Fault::Failure(Failure::new(Class::Config, format!("the sandbox cannot start: {error}{cause}")))
    })
}

/// The stand-in as an account in `campanile.toml`.
pub(super) fn account(sandbox: &Sandbox, name: &str) -> String {
    format!(
        "[accounts.{name}]\nkind = \"dynamics\"\nurl = \"{}\"\ntokenUrl = \"{}\"\ntenantId = \"{}\"\nclientId = \"{}\"\n\
         clientSecret = \"{}\"\n",
        sandbox.url(),
        sandbox.token_url(),
        sandbox.tenant_id(),
        sandbox.client_id(),
        sandbox.client_secret()
    )
}

/// The stand-in's Salesforce organisation as an account in `campanile.toml`.
fn salesforce_account(sandbox: &Sandbox, name: &str) -> String {
    let told = sandbox.salesforce();
    format!(
        "[accounts.{name}]\nkind = \"salesforce\"\nurl = {}\nclientId = {}\nclientSecret = {}\n",
        told["url"], told["clientId"], told["clientSecret"]
    )
}
