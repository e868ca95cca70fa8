//! `campanile check`

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use activities::PALETTE;
use engine::document::FILE_BYTES_MAX;
use engine::outside::store::OptionValue;
use engine::problem::did_you_mean;
use indexmap::IndexSet;
use serde::Serialize;
use server::api::{Checked, FindingsView, check_workflow};
use server::client::CallError;
use server::online::check_online;
use server::opening;
use server::project::Project;
use server::refusal::ProblemView;

use crate::fault::Fault;
use crate::global::{Global, quoted};
use crate::{report, terminal, testing};

/// Check workflows: every problem at once, with its place, its cause and its cure.
///
/// It needs no data folder and no network. If there is a data folder, its options say which imports have changed since
/// their automatic index began. What only a CRM or the database can tell is taken from the descriptions that
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
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
struct Listed {
    #[serde(flatten)]
    problem: ProblemView,
    /// `warning` of what does not keep the workflow from running, [`NOT_ASKED`] of what a CRM could not be asked; a
    /// problem has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<&'static str>,
}

/// What a workflow with an automatic index contains.
const INDEX_SETTING: &str = "automaticIndex";
/// The folder of a project that has its workflows.
const WORKFLOWS: &str = "workflows";
/// The most workflows that are listed if none was meant.
const LISTED_MAX: usize = 12;
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
const NOT_ASKED: &str = "notAsked";

pub(super) async fn perform(args: &Args, global: &Global) -> Result<ExitCode, Fault> {
    let mut all: IndexSet<Listed> = IndexSet::new();
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
        report::risks(found.warnings.iter().chain(&found.unasked));
        report::unchecked(&found.unchecked);
        found.notes.iter().for_each(|note| terminal::note(&format!("  {note}")));
        let problems = found.problems.into_iter().map(|problem| Listed { problem, severity: None });
        let warnings = found.warnings.into_iter().map(|problem| Listed { problem, severity: Some("warning") });
        let unasked = found.unasked.into_iter().map(|problem| Listed { problem, severity: Some(NOT_ASKED) });
        // Files that share a configuration share its problems.
        all.extend(problems.chain(warnings).chain(unasked));
    }
    if global.json {
        terminal::json(&all);
    }
    Ok(if all.iter().any(|listed| listed.severity.is_none()) {
        ExitCode::from(report::NOT_RIGHT)
    } else if all.iter().any(|listed| listed.severity == Some(NOT_ASKED)) {
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
    let mut found = match online {
        true => check_online(&opening::looking(&project, PALETTE), &checked).await,
        false => check_workflow(&opening::bare(&project, PALETTE), &checked).await,
    };
    add_changed_indexes(&mut found, &checked, &Arc::new(project), global).await;
    Ok((checked.text, found))
}

/// Imports that have changed since their automatic index began, where there is a data folder that says so.
async fn add_changed_indexes(found: &mut FindingsView, checked: &Checked, project: &Arc<Project>, global: &Global) {
    if !checked.text.contains(INDEX_SETTING) || !project.data.exists() {
        return;
    }
    let options = global.call(project, async |client| client.get::<BTreeMap<String, OptionValue>>("/options").await);
    match options.await {
        Ok(options) => {
            let (file, text) = (checked.file.display().to_string(), &checked.text);
            let name = checked.file.file_stem().unwrap_or_default().to_string_lossy();
            let changed = opening::bare(project, PALETTE).changed_indexes(&file, &name, text, &options);
            found.warnings.extend(changed.into_iter().map(ProblemView::from));
        }
        Err(error) => {
            let why = match error {
                CallError::Refused(refusal) => refusal.message,
                CallError::Gone { .. } => "the process that has the data folder open ended".to_owned(),
            };
            found.unchecked.push(format!("whether imports have changed since their automatic index began: {why}"));
        }
    }
}

/// Reads a workflow's text.
///
/// # Errors
/// A problem where it cannot be read, or is not UTF-8.
pub(crate) fn read(file: &Path) -> Result<String, Fault> {
    let failed = |error: std::io::Error| {
        let help = (error.kind() == ErrorKind::NotFound).then(|| nearby(file)).flatten();
        one_problem(file, "not-readable", format!("cannot read this file: {error}"), (1, 1), help)
    };
    let length = std::fs::metadata(file).map_err(failed)?.len();
    // A little more than the most: then the check says so, as of any other problem.
    if length > 2 * FILE_BYTES_MAX as u64 {
        let message = format!("{} has {length} bytes; the most is {FILE_BYTES_MAX}", file.display());
        return Err(one_problem(file, "file-too-large", message, (1, 1), None));
    }
    let bytes = std::fs::read(file).map_err(failed)?;
    // As some editors of Windows begin their files.
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).map(<[u8]>::to_vec).unwrap_or(bytes);
    String::from_utf8(bytes).map_err(|error| {
        let valid = String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]);
        let line = valid.matches('\n').count() + 1;
        let column = valid.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let message = "this is not UTF-8".to_owned();
        let help = Some("save the file in that encoding".to_owned());
        one_problem(file, "not-utf-8", message, (line, column), help)
    })
}

/// The workflow that was probably meant by a file that does not exist: by its name alone, as in a project's folder or above
/// it, or misspelt.
fn nearby(file: &Path) -> Option<String> {
    let here = std::env::current_dir().ok()?;
    let project = here.ancestors().find(|folder| folder.join(WORKFLOWS).is_dir())?;
    let workflows = project.join(WORKFLOWS);
    let beside = file.parent().filter(|folder| folder.is_dir() && !folder.as_os_str().is_empty());
    let name = file.file_stem()?.to_str()?;
    let suggest = |found: PathBuf| {
        let shown = found.strip_prefix(&here).unwrap_or(&found).display().to_string();
        Some(format!("did you mean `{}`?", quoted(&shown)))
    };
    for folder in [Some(workflows.as_path()), beside, Some(Path::new("."))].into_iter().flatten() {
        let names = workflows_in(folder);
        let exact = names.iter().find(|other| *other == name).map(String::as_str);
        if let Some(near) = exact.or_else(|| did_you_mean(name, names.iter().map(String::as_str))) {
            return suggest(folder.join(format!("{near}.json")));
        }
    }
    let names = workflows_in(&workflows);
    (!names.is_empty() && names.len() <= LISTED_MAX).then(|| {
        let shown = workflows.strip_prefix(&here).unwrap_or(&workflows).display().to_string();
        format!("{shown} has: {}", names.join(", "))
    })
}

/// The names of the workflows in a folder.
fn workflows_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let name = |entry: std::fs::DirEntry| {
        let name = entry.file_name().to_str()?.strip_suffix(".json")?.to_owned();
        (!name.contains('.')).then_some(name)
    };
    let mut names: Vec<String> = entries.filter_map(name).collect();
    names.sort();
    names
}

fn one_problem(file: &Path, code: &str, message: String, place: (usize, usize), help: Option<String>) -> Fault {
    let (line, column) = place;
    let problem = ProblemView {
        file: file.display().to_string(),
        pointer: String::new(),
        line,
        column,
        code: code.to_owned(),
        message,
        help,
    };
    Fault::Problems { problems: vec![problem], text: String::new() }
}
