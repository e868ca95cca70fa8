//! `campanile show`

use std::process::ExitCode;
use std::sync::Arc;

use engine::event::Recorded;
use engine::outside::store::RunId;
use engine::run::Status;
use server::client::Client;
use server::project::Project;
use server::view::{AfterFailure, RunView, TaskState, TaskView, TransitionView};

use crate::fault::Fault;
use crate::global::{Global, run_name};
use crate::progress::{counts, waiting, word};
use crate::table::{Table, counted, duration, instant, number};
use crate::{report, terminal};

/// The most tasks that a table shows; `--json` has them all.
const TASKS_SHOWN_MAX: usize = 200;

/// Show a run: its status, its tasks with their attempts, rejects and doubts, the records on its transitions, what it waits
/// for, why tasks failed, and which options are held.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The run, such as dynamicsImport-7.
    #[arg(value_name = "RUN", value_parser = run_name)]
    run: RunId,
    /// Show every event of its journal as well.
    #[arg(long)]
    journal: bool,
}

pub(super) async fn perform(args: &Args, global: &Global) -> Result<ExitCode, Fault> {
    let project = Arc::new(Project::of_run(&global.given(), &args.run)?);
    let path = format!("/runs/{}", args.run);
    let (view, journal) = global
        .ask(&project, async |client| {
            let view: RunView = client.get(&path).await?;
            let journal = if args.journal { journal(client, &args.run).await? } else { Vec::new() };
            Ok((view, journal))
        })
        .await?;
    if global.json {
        let mut json = serde_json::to_value(&view).unwrap_or_default();
        if args.journal {
            json["journal"] = serde_json::to_value(&journal).unwrap_or_default();
        }
        terminal::json(&json);
        return Ok(ExitCode::SUCCESS);
    }
    tables(&view);
    reasons(&view);
    if !view.vars.is_empty() {
        terminal::line("");
        for (name, value) in &view.vars {
            terminal::line(&format!("vars.{name} = {value}"));
        }
    }
    if args.journal {
        terminal::line("");
        for recorded in &journal {
            terminal::line(&event(recorded));
        }
    }
    report::what_now(&view, &args.run, global);
    Ok(ExitCode::SUCCESS)
}

async fn journal(client: &Client, run: &RunId) -> Result<Vec<Recorded>, server::client::CallError> {
    let mut all: Vec<Recorded> = Vec::new();
    loop {
        let more: Vec<Recorded> = client.get(&format!("/runs/{run}/journal?from={}", all.len())).await?;
        if more.is_empty() {
            return Ok(all);
        }
        all.extend(more);
    }
}

fn event(recorded: &Recorded) -> String {
    let mut json = serde_json::to_value(&recorded.event).unwrap_or_default();
    let name = json["event"].as_str().unwrap_or_default().to_owned();
    if let Some(fields) = json.as_object_mut() {
        fields.remove("event");
    }
    format!("{}  {name:<12}  {json}", instant(recorded.at))
}

/// A run in one line.
pub(super) fn headline(view: &RunView) -> String {
    let status = with_doubts(status(view.status, view.driven), view.in_doubt);
    format!("{}  {status}  {}", view.run, duration(view.seconds))
}

/// The status of a run, as people read it.
pub(super) fn status(status: Status, driven: bool) -> &'static str {
    match status {
        Status::Queued => "queued",
        Status::Running | Status::Waiting if !driven => "interrupted",
        Status::Running => "running",
        Status::Waiting => "waiting",
        Status::Paused => "paused",
        Status::Suspended => "suspended",
        Status::Finished => "finished",
        Status::Failed => "failed",
        Status::Stopped => "stopped",
    }
}

/// What a run is at, with the records in doubt that it left.
pub(super) fn with_doubts(status: &str, in_doubt: u64) -> String {
    if in_doubt == 0 { status.to_owned() } else { format!("{status}, {} in doubt", number(in_doubt)) }
}

/// Prints a run's tasks and transitions.
pub(super) fn tables(view: &RunView) {
    terminal::line(&headline(view));
    terminal::line("");
    let hidden = view.tasks.len().saturating_sub(TASKS_SHOWN_MAX);
    if hidden > 0 {
        terminal::line(&format!("… {} before these; --json has them all", counted(hidden as u64, "task")));
    }
    let mut table = Table::new(&[
        ">TASK",
        "ACTIVITY",
        "TYPE",
        "STATUS",
        ">ATTEMPT",
        ">SECS",
        ">IN",
        ">ADDED",
        ">REJECTS",
        ">IN DOUBT",
        "COUNTS",
    ]);
    for task in view.tasks.iter().skip(hidden) {
        let on = |port: &str| number(task.out.get(port).copied().unwrap_or(0));
        table.row(vec![
            task.task.to_string(),
            task.activity.clone(),
            task.kind.clone(),
            word(task.status).to_owned(),
            task.attempt.to_string(),
            format!("{:.1}", task.seconds),
            number(task.came),
            number(task.added),
            on(REJECT),
            on(IN_DOUBT),
            counts(task, &[REJECT, IN_DOUBT]),
        ]);
    }
    table.print("");
    if !view.transitions.is_empty() {
        terminal::line("");
        transitions(&view.transitions).print("");
    }
}

/// The ports that have columns of their own.
const REJECT: &str = "reject";
const IN_DOUBT: &str = "inDoubt";

/// Prints what a run waits for, why its tasks failed and what followed, and the options that are held.
fn reasons(view: &RunView) {
    let hidden = view.tasks.len().saturating_sub(TASKS_SHOWN_MAX);
    let shown = || view.tasks.iter().skip(hidden);
    let waits: Vec<String> = shown().filter_map(waiting).collect();
    let failures: Vec<String> = shown().filter_map(|task| failure(view, task)).collect();
    let held = view.held.iter().map(|held| {
        format!("! {} (task {}): option {} is held: {}", held.activity, held.task, held.option, held.reason)
    });
    let held: Vec<String> = held.collect();
    for part in [waits, failures, held].iter().filter(|part| !part.is_empty()) {
        terminal::line("");
        part.iter().for_each(|line| terminal::line(line));
    }
}

/// Why a task failed last and what followed; a wait names its reason itself.
fn failure(view: &RunView, task: &TaskView) -> Option<String> {
    let failure = task.failure.as_ref().filter(|_| task.status != TaskState::Waiting)?;
    let follows = match (task.status, task.then) {
        (TaskState::Suspended, _) => "the run waits for you",
        (TaskState::Failed, Some(AfterFailure::ErrorPort)) => "port error followed",
        (TaskState::Failed, Some(AfterFailure::Ignored)) => "ignored by onError",
        (TaskState::Failed, None) if view.status == Status::Failed => "the run ended by onError",
        _ => "the last failure",
    };
    let place = format!("{} (task {}, attempt {}): ", task.activity, task.task, task.attempt);
    Some(report::failed(&place, &format!("{failure} ({follows})"), failure.help.as_deref()))
}

/// The records on transitions.
pub(super) fn transitions(transitions: &[TransitionView]) -> Table {
    let mut table = Table::new(&["FROM", "PORT", "TO", ">EVENTS", ">RECORDS"]);
    for transition in transitions {
        table.row(vec![
            transition.from.clone(),
            transition.port.clone(),
            transition.to.clone().unwrap_or_else(|| "-".to_owned()),
            number(transition.events),
            transition.records.map(number).unwrap_or_default(),
        ]);
    }
    table
}
