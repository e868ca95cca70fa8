//! `campanile check`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use activities::PALETTE;
use engine::document::FILE_BYTES_MAX;
use serde::Serialize;
use server::api::{Checked, FindingsView, check_workflow};
use server::online::check_online;
use server::opening;
use server::project::Project;
use server::refusal::ProblemView;

use crate::fault::Fault;
use crate::global::Global;
use crate::{report, terminal, testing};

/// Check workflows: every problem at once, with its place, its cause and its cure.
///
/// It needs no data folder and no network. What only a CRM or the database can tell is taken from the descriptions that
/// the last run kept; what could not be checked is said. With --online the CRMs are asked, and what has changed in them
/// since the last run is a problem where the workflow uses it: fields that are gone, other types, values of picklists,
/// keys that cannot be used, change tracking that is off.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "With --json: a list of {file, pointer, line, column, code, message, help} on stdout; a warning has \
                        \"severity\": \"warning\" besides, what a CRM could not be asked \"notAsked\".\nExit codes: 0 all is right, \
                        also with warnings, 1 a CRM could not be asked, 2 something is not right."
)]
pub(crate) struct Args {
    /// Workflow files, and tests of workflows.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Ask the CRMs what they have now. Nothing is kept of it.
    #[arg(long)]
    online: bool,
}

/// A problem or a risk, as `--json` prints it.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Told {
    #[serde(flatten)]
    problem: ProblemView,
    /// `warning` of what does not keep the workflow from running, [`NOT_ASKED`] of what a CRM could not be asked; a
    /// problem has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<&'static str>,
}

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
const NOT_ASKED: &str = "notAsked";

pub(super) async fn perform(args: &Args, global: &Global) -> Result<ExitCode, Fault> {
    let mut all: Vec<Told> = Vec::new();
    for file in &args.files {
        let (text, found) = match one(file, args.online, global).await {
            Ok(found) => found,
            // The configuration's own problems are problems of the check.
            Err(Fault::Problems { problems, text }) => (text, FindingsView { problems, ..FindingsView::default() }),
            Err(fault) => {
                if global.json {
                    terminal::json(&all);
                }
                return Err(fault);
            }
        };
        if !global.json {
            report::problems(&found.problems, &text);
            if found.problems.is_empty() {
                let known = if found.unasked.is_empty() { "" } else { " in what could be checked" };
                terminal::note(&format!("{}: no problems{known}", file.display()));
            }
        }
        found.warnings.iter().chain(&found.unasked).for_each(report::risk);
        report::unchecked(&found.unchecked);
        found.notes.iter().for_each(|note| terminal::note(&format!("  {note}")));
        let problems = found.problems.into_iter().map(|problem| Told { problem, severity: None });
        let warnings = found.warnings.into_iter().map(|problem| Told { problem, severity: Some("warning") });
        let unasked = found.unasked.into_iter().map(|problem| Told { problem, severity: Some(NOT_ASKED) });
        for told in problems.chain(warnings).chain(unasked) {
            if !all.contains(&told) {
                all.push(told);
            }
        }
    }
    if global.json {
        terminal::json(&all);
    }
    Ok(if all.iter().any(|told| told.severity.is_none()) {
        ExitCode::from(report::NOT_RIGHT)
    } else if all.iter().any(|told| told.severity == Some(NOT_ASKED)) {
        ExitCode::from(report::FAILED)
    } else {
        ExitCode::SUCCESS
    })
}

async fn one(file: &Path, online: bool, global: &Global) -> Result<(String, FindingsView), Fault> {
    // So that `check workflows/*.json` takes what lies beside the workflows.
    if testing::is_test(file) {
        return testing::load(file, global).map(|_| (String::new(), FindingsView::default()));
    }
    let text = read(file)?;
    let project = Project::load(&global.given(), Some(file))?;
    let checked = Checked { file: file.to_owned(), text };
    let found = match online {
        true => check_online(&opening::looking(&project, PALETTE), &checked).await,
        false => check_workflow(&opening::bare(&project, PALETTE), &checked).await,
    };
    Ok((checked.text, found))
}

/// Reads a workflow's text.
///
/// # Errors
/// A problem where it cannot be read, or is not UTF-8.
pub(crate) fn read(file: &Path) -> Result<String, Fault> {
    let failed =
        |error: std::io::Error| one_problem(file, "not-readable", format!("cannot read this file: {error}"), 1, 1);
    let length = std::fs::metadata(file).map_err(failed)?.len();
    // A little more than the most: then the check says so, as of any other problem.
    if length > 2 * FILE_BYTES_MAX as u64 {
        let message = format!("{} has {length} bytes; the most is {FILE_BYTES_MAX}", file.display());
        return Err(one_problem(file, "file-too-large", message, 1, 1));
    }
    let bytes = std::fs::read(file).map_err(failed)?;
    // As some editors of Windows begin their files.
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).map(<[u8]>::to_vec).unwrap_or(bytes);
    String::from_utf8(bytes).map_err(|error| {
        let valid = String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]);
        let line = valid.matches('\n').count() + 1;
        let column = valid.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        one_problem(file, "not-utf-8", "this is not UTF-8; save the file in that encoding".to_owned(), line, column)
    })
}

fn one_problem(file: &Path, code: &str, message: String, line: usize, column: usize) -> Fault {
    let problem = ProblemView {
        file: file.display().to_string(),
        pointer: String::new(),
        line,
        column,
        code: code.to_owned(),
        message,
        help: None,
    };
    Fault::Problems { problems: vec![problem], text: String::new() }
}
