//! `campanile run`

use std::path::{Path, PathBuf, absolute};
use std::process::ExitCode;
use std::sync::Arc;

use activities::PALETTE;
use engine::check;
use engine::event::{Backfill, Vars};
use engine::failure::{Class, Failure};
use engine::outside::store::RunId;
use engine::run::Status;
use engine::schema::Schemas;
use serde_json::Value;
use server::alerts::has_started;
use server::api::{Checked, FindingsView, Resume, check_workflow};
use server::client::CallError;
use server::opening;
use server::project::Project;
use server::service::{Began, Submission};
use server::view::{RunLine, RunView};

use crate::commands::{check::read, show, unstarted};
use crate::fault::Fault;
use crate::follow::Follower;
use crate::global::Global;
use crate::{report, terminal};

/// How many runs of a workflow that are not over are looked at before it is started again.
const OPEN_RUNS_MAX: usize = 1000;

/// Run a workflow to its end, or until it needs you.
///
/// An interrupted run of the workflow is resumed first. While another run of it is not over, a start is refused, unless the
/// workflow's `whenRunning` says otherwise. If another process has the data folder open, the run is submitted to it and
/// followed; if that process dies, this one takes the run over. Ctrl-C interrupts a run so that it can be resumed.
#[derive(Debug, clap::Args)]
#[command(after_help = "With --json the last line on stdout is the run as one object.\n\
                        Exit codes: 0 finished, 1 failed, suspended, interrupted or refused, 2 the workflow has errors.")]
pub(crate) struct Args {
    /// The workflow's file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// A variable that the run begins with. A number, true, false, null or a "quoted" text is taken as such, anything
    /// else as text.
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = var)]
    vars: Vec<(String, Value)>,
}

pub(super) async fn perform(args: &Args, global: &Global) -> Result<ExitCode, Fault> {
    let project = global.project(Some(&args.file))?;
    let vars = args.vars.iter().cloned().collect();
    let global = &global.for_project(&project);
    let (run, view, follower) = start(&args.file, &project, vars, None).await?;
    let code = ended(&run, &view, global);
    follower.end().await;
    Ok(code)
}

/// Starts a workflow and follows it to its end. If it does not start, there is no run to alert of it: this does.
pub(super) async fn start(
    file: &Path,
    project: &Arc<Project>,
    vars: Vars,
    backfill: Option<Backfill>,
) -> Result<(RunId, RunView, Follower), Fault> {
    let (run, view, mut follower) = match begin(file, project, vars, backfill).await {
        Ok(begun) => begun,
        Err(NotBegun { fault, is_held }) => {
            if !is_held {
                unstarted::alert(file, project, &fault).await;
            }
            return Err(fault);
        }
    };
    has_started(&project.data, run.workflow());
    let view = match view {
        Some(view) => view,
        None => follower.follow(&run, 0).await?,
    };
    Ok((run, view, follower))
}

/// Why a workflow did not start.
struct NotBegun {
    fault: Fault,
    /// Another run of it is at work, as is usual, and the next start has what this one would have had.
    is_held: bool,
}

impl From<Fault> for NotBegun {
    fn from(fault: Fault) -> Self {
        Self { fault, is_held: false }
    }
}

/// The run that began; or an earlier one that was resumed and did not finish, with how it is.
async fn begin(
    file: &Path,
    project: &Arc<Project>,
    vars: Vars,
    backfill: Option<Backfill>,
) -> Result<(RunId, Option<RunView>, Follower), NotBegun> {
    let text = read(file)?;
    check_alone(file, &text, project).await?;
    let submission = Submission {
        file: absolute(file).unwrap_or_else(|_| file.to_owned()),
        text,
        config: project.config_file.clone(),
        identity: project.identity.clone(),
        vars,
        backfill,
    };
    let mut follower = Follower::new(Arc::clone(project)).await?;
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let holds = match resume_interrupted(&mut follower, project, &name).await? {
        Earlier::NotFinished(run, view) => return Ok((run, Some(*view), follower)),
        Earlier::Open { holds } => holds,
    };
    let began = follower.once(async |client| client.post::<Began>("/runs", &submission).await).await;
    let run = match began {
        Ok(Began { run, .. }) => run,
        Err(error) => {
            follower.end().await;
            let is_held = holds && matches!(&error, CallError::Refused(refusal) if refusal.class == Class::Conflict);
            return Err(NotBegun { fault: not_started(error, submission.text, file), is_held });
        }
    };
    terminal::note(&format!("run {run}"));
    // What the CRM says is known by now, so that risks are told which a check before the first run could not know.
    let checked = Checked { file: file.to_owned(), text: submission.text };
    if let Ok(found) = follower.once(async |client| client.post::<FindingsView>("/check", &checked).await).await {
        report::risks(&found.warnings);
    }
    Ok((run, None, follower))
}

/// What earlier runs of a workflow are at before it starts.
enum Earlier {
    /// One was resumed and did not finish: then the workflow is not started.
    NotFinished(RunId, Box<RunView>),
    /// Those that were interrupted have finished; whether another one is at work or paused.
    Open { holds: bool },
}

/// Resumes the interrupted runs of a workflow, the oldest first, before it is started again, and names those that wait for
/// a person.
async fn resume_interrupted(follower: &mut Follower, project: &Arc<Project>, workflow: &str) -> Result<Earlier, Fault> {
    let path = format!("/runs?workflow={workflow}&open=true&limit={OPEN_RUNS_MAX}");
    let open = follower.once(async |client| client.get::<Vec<RunLine>>(&path).await).await.map_err(Fault::from)?;
    let waiting: Vec<&str> =
        open.iter().filter(|run| run.status == Status::Suspended).map(|run| run.run.as_str()).collect();
    if !waiting.is_empty() {
        let need = if waiting.len() == 1 { "an earlier run waits" } else { "earlier runs wait" };
        terminal::note(&format!(
            "{need} for a person: {}; see `campanile show {}`. Resumed later, no run puts an older version of a record over a \
             newer one",
            waiting.join(", "),
            waiting[0]
        ));
    }
    let interrupted = open.iter().filter(|run| !run.driven && run.status.is_driven());
    for run in interrupted.filter_map(|run| RunId::parse(&run.run)) {
        terminal::note(&format!("run {run} was interrupted; it is resumed before the workflow starts again"));
        let resume = Resume { identity: project.identity.clone(), vars: Vars::new(), wake: false };
        let path = format!("/runs/{run}/resume");
        let began = follower.once(async |client| client.post::<Began>(&path, &resume).await).await;
        let view = follower.follow(&run, began.map_err(Fault::from)?.events).await?;
        if view.status != Status::Finished {
            terminal::note("the workflow is not started again, as that run did not finish");
            return Ok(Earlier::NotFinished(run, Box::new(view)));
        }
        terminal::note(&format!("run {run} is finished"));
    }
    Ok(Earlier::Open { holds: open.iter().any(|run| run.driven || run.status == Status::Paused) })
}

/// What is wrong with the file itself is told before a data folder is made for it.
async fn check_alone(file: &Path, text: &str, project: &Project) -> Result<(), Fault> {
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let (_, problems) = check::read(PALETTE, &Schemas::default(), &file.display().to_string(), &name, text);
    if problems.is_empty() {
        return Ok(());
    }
    let checked = Checked { file: file.to_owned(), text: text.to_owned() };
    let found = check_workflow(&opening::bare(project, PALETTE), &checked).await;
    Err(Fault::Problems { problems: found.problems, text: checked.text })
}

/// Why runs of files that were pinned did not start.
pub(super) fn refused(error: CallError) -> Fault {
    let file = match &error {
        CallError::Refused(refusal) => refusal.problems.first().map(|problem| problem.file.clone()),
        CallError::Gone { .. } => None,
    };
    let file = file.unwrap_or_default();
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    not_started(error, text, Path::new(&file))
}

/// Why a workflow is not right, or what else stands in the way.
pub(super) fn not_started(error: CallError, text: String, file: &Path) -> Fault {
    match error {
        CallError::Refused(mut refusal) if !refusal.problems.is_empty() => {
            for problem in &mut refusal.problems {
                problem.file = file.display().to_string();
            }
            Fault::Problems { problems: refusal.problems, text }
        }
        CallError::Gone { heard: true } => {
            let message = "the process that has the data folder open ended while it was asked to start the run";
            Fault::Failure(Failure::new(Class::InDoubt, message).help("`campanile runs` tells whether the run began"))
        }
        error => error.into(),
    }
}

/// Prints how a run ended, or why it stands; tells the exit code.
pub(super) fn ended(run: &RunId, view: &RunView, global: &Global) -> ExitCode {
    report::what_now(view, run, global);
    if global.json {
        terminal::json(view);
    } else {
        show::tables(view);
    }
    let finished = view.status == Status::Finished;
    if finished { ExitCode::SUCCESS } else { ExitCode::from(report::FAILED) }
}

fn var(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("write it as name=value")?;
    let mut letters = name.chars();
    let sound = letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && letters.all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !sound {
        return Err(format!("\"{name}\" cannot name a variable: use letters, digits and _, beginning with a letter"));
    }
    let value = match serde_json::from_str::<Value>(value) {
        Ok(json) if !json.is_array() && !json.is_object() => json,
        _ => Value::String(value.to_owned()),
    };
    Ok((name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_variable_is_a_number_a_truth_or_a_quoted_text_where_it_looks_so() {
        let value = |text| var(text).unwrap().1;
        assert_eq!(value("a=5"), json!(5));
        assert_eq!(value("a=true"), json!(true));
        assert_eq!(value("a=\"5\""), json!("5"));
        assert_eq!(value("a=five=5"), json!("five=5"));
        assert_eq!(value("a="), json!(""));
        assert_eq!(value("a=[1]"), json!("[1]"));
        assert!(var("a").is_err() && var("=5").is_err() && var("a-b=5").is_err());
    }
}
