//! `campanile schema`

use std::process::ExitCode;

use activities::PALETTE;

use crate::terminal;

/// Print the JSON Schema of workflow files, for editors.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(super) fn perform(Args {}: &Args) -> ExitCode {
    terminal::line(&format!("{:#}", engine::schema::workflow_schema(PALETTE)));
    ExitCode::SUCCESS
}
