//! Alerts that a workflow did not start: a schedule has no person who reads why.

use std::path::Path;

use engine::failure::{Class, Failure};
use server::alerts::Unstarted;
use server::opening;
use server::project::Project;
use server::refusal::ProblemView;

use crate::fault::Fault;
use crate::global::quoted;
use crate::{report, terminal};

/// Alerts the receivers of the configuration, unless a person watches the terminal or interrupted the start.
pub(super) async fn alert(file: &Path, project: &Project, fault: &Fault) {
    if terminal::is_watched() {
        return;
    }
    let workflow = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let shown = quoted(&std::path::absolute(file).unwrap_or_else(|_| file.to_owned()).display().to_string());
    let what = match fault {
        Fault::Failure(failure) if failure.class == Class::Stopped => return,
        Fault::Failure(failure) | Fault::NotRight(failure) => {
            let Failure { help, .. } = failure;
            let next = format!("campanile run {shown}");
            Unstarted { workflow, message: failure.to_string(), help: help.clone(), next }
        }
        Fault::Problems { problems, .. } => {
            let next = format!("campanile check {shown}");
            let help = problems.first().and_then(|problem| problem.help.clone());
            Unstarted { workflow, message: in_short(problems), help, next }
        }
    };
    for (receiver, failure) in opening::receivers(project).not_started(&what).await {
        report::warning(&format!("{receiver} was not told that {} did not start: {failure}", what.workflow));
    }
}

/// The first problem with its place, and how many follow.
fn in_short(problems: &[ProblemView]) -> String {
    let Some(ProblemView { line, column, message, .. }) = problems.first() else { return String::new() };
    match problems.len() - 1 {
        0 => format!("line {line}, column {column}: {message}"),
        more => format!("line {line}, column {column}: {message}; and {more} more"),
    }
}
