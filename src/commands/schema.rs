//! `campanile schema`

use std::process::ExitCode;

use activities::PALETTE;

use crate::{terminal, testing};

/// Print the JSON Schema of workflow files, for editors.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// That of test files instead.
    #[arg(long)]
    test: bool,
}

pub(super) fn perform(args: &Args) -> ExitCode {
    let schema = if args.test { testing::schema() } else { engine::schema::workflow_schema(PALETTE) };
    terminal::line(&format!("{schema:#}"));
    ExitCode::SUCCESS
}
