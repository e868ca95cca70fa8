//! What Campanile is measured by: `cargo run --release -p benches -- import`, and so on; `all` for everything.
//!
//! Each bench compares what it measures with something else in the same run, since the machine's load is in both:
//!
//! ```text
//!   import   crm.import ÷ a plain loop ÷ the download alone, each in a process of its own, against a server of pages
//!   bulk     crm.import by a bulk query of Salesforce ÷ a plain loop
//!   export   crm.export against a stand-in that answers at once, and one that answers after 50 ms
//!   check    check of a large workflow, in process and through the binary; start of the binary
//!   demo     workflows/dynamicsImport.json against the sandbox in a process of its own
//!   commits  durable commits of a task that does nothing
//!   sets     deduplication under the limit of memory
//!   update   updates of Salesforce by a bulk job ÷ simple-salesforce
//!   load     crm.import and database.update ÷ a loop of requests, orjson and executemany
//!   join     enrich with a table as large ÷ a LEFT JOIN of sqlite3
//! ```

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod check;
mod commits;
mod contacts;
mod demo;
mod export;
mod import;
mod measure;
mod nothing;
mod people;
mod rivals;
mod server;
mod sets;
mod work;
mod world;

use clap::{Parser, Subcommand};

use crate::measure::Fallible;

#[derive(Debug, Parser)]
#[command(name = "bench", about = "What Campanile is measured by")]
struct Cli {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// Import of contacts against a plain loop and the download alone.
    Import(import::Args),
    /// Import by a bulk query of Salesforce against a plain loop.
    Bulk(import::bulk::Args),
    /// Export of changed contacts.
    Export(export::Args),
    /// Check of a large workflow, and start of the binary.
    Check,
    /// The demo workflow.
    Demo(demo::Args),
    /// Durable commits of a task that does nothing.
    Commits,
    /// Deduplication under the limit of memory.
    Sets(sets::Args),
    /// Updates of Salesforce by a bulk job against simple-salesforce; `make rivals` installs it.
    Update(rivals::Args),
    /// Import into a table against a hand-written loop in Python; `make rivals` installs what it needs.
    Load(rivals::Args),
    /// Enrichment with a large table against the command line of SQLite.
    Join(rivals::Args),
    /// Everything, with the defaults.
    All,
    /// A server of pages, until its input ends.
    #[command(hide = true)]
    Serve(server::Args),
    /// A stand-in for Dynamics, until its input ends.
    #[command(hide = true)]
    Sandbox(demo::Args),
    /// A stand-in for Salesforce, until its input ends.
    #[command(hide = true)]
    Salesforce(demo::Args),
    /// One measured piece of work in this process; JSON in, JSON out.
    #[command(hide = true)]
    Work { work: String },
}

fn main() -> Fallible<()> {
    match Cli::parse().bench {
        Bench::Import(args) => import::bench(&args),
        Bench::Bulk(args) => import::bulk::bench(&args),
        Bench::Export(args) => export::bench(&args),
        Bench::Check => check::bench(),
        Bench::Demo(args) => demo::bench(&args),
        Bench::Commits => commits::bench(),
        Bench::Sets(args) => sets::bench(&args),
        Bench::Update(args) => rivals::bulk_update::bench(&args),
        Bench::Load(args) => rivals::load::bench(&args),
        Bench::Join(args) => rivals::join::bench(&args),
        Bench::All => {
            check::bench()?;
            commits::bench()?;
            demo::bench(&demo::Args::default())?;
            sets::bench(&sets::Args::default())?;
            import::bench(&import::Args::default())?;
            import::bulk::bench(&import::bulk::Args::default())?;
            export::bench(&export::Args::default())?;
            rivals::bulk_update::bench(&rivals::Args::default())?;
            rivals::load::bench(&rivals::Args::default())?;
            rivals::join::bench(&rivals::Args::default())
        }
        Bench::Serve(args) => server::serve(&args),
        Bench::Sandbox(args) => demo::serve(&args),
        Bench::Salesforce(args) => demo::serve_salesforce(&args),
        Bench::Work { work } => work::perform(&work),
    }
}
