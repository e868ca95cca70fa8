//! Campanile's command line: one file a command, in `commands/`.

mod commands;
mod fault;
mod follow;
mod global;
mod logging;
mod progress;
mod report;
mod table;
mod terminal;
mod testing;

use std::process::ExitCode;

use clap::Parser;
use rustix::process::{self, Resource, Rlimit};

use crate::commands::Command;
use crate::global::Global;

/// An open, Campaign-style workflow engine: it moves people's records between CRMs and a marketing database, on
/// schedules, resumably, without losing or repeating a record.
#[derive(Debug, Parser)]
#[command(name = "campanile", version, max_term_width = 100, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: Global,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  it is done; of a run: finished
  1  it failed; of a run: failed, suspended, stopped, or left to be resumed
  2  a workflow, the configuration or the command line is not right

`campanile help` lists the pages of the manual; `campanile help first-workflow` is where to begin.";

/// A core dump would put the secrets that this process has in memory into a file.
fn leave_no_core_dumps() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let left = process::setrlimit(Resource::Core, none);
    // The limit does not hold for a program that the system hands dumps to; nor may another process read the memory then.
    #[cfg(target_os = "linux")]
    let left = left.and(process::set_dumpable_behavior(process::DumpableBehavior::NotDumpable));
    if let Err(error) = left {
        report::warning(&format!("core dumps of this process cannot be switched off: {error}"));
    }
}

fn main() -> ExitCode {
    leave_no_core_dumps();
    let Cli { command, global } = Cli::parse();
    report::begin(&global);
    if let Err(fault) = logging::begin(&global, !matches!(command, Command::Test(_))) {
        return report::fault(&fault);
    }
    match commands::perform(command, &global) {
        Ok(code) => code,
        Err(fault) => report::fault(&fault),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn neither_a_file_nor_a_program_gets_a_dump_of_this_process() {
        leave_no_core_dumps();
        assert!(matches!(process::dumpable_behavior(), Ok(process::DumpableBehavior::NotDumpable)));
        assert_eq!(process::getrlimit(Resource::Core).maximum, Some(0));
    }
}
