//! What a task that writes to other systems keeps until it has ended well, to go on with after a crash: a temp folder of what
//! it has done so far, and a ledger in the database.
//!
//! The folder belongs to run, activity and the content of what came in, not to the task: a try again through a loop of the
//! workflow is another task with the same records, and finds it. The ledger belongs to the task.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::activity::Effect;
use crate::check::Workflow;
use crate::context::Cx;
use crate::environment::Environment;
use crate::event::{Segment, TaskId};
use crate::failure::{Class, Failure};
use crate::identity;
use crate::journal::Journal;
use crate::outside::store::RunId;
use crate::population::Population;
use crate::run::{Run, Task, TaskStatus};
use crate::unfinished;

/// The folder of a run in which its temp folders lie.
const TEMP: &str = "temp";

/// Names what came in by its content, with the order of the records.
pub(crate) fn digest(inputs: &[Population]) -> String {
    let mut hasher = blake3::Hasher::new();
    for population in inputs {
        for segment in population.segments() {
            hasher.update(segment.checksum.as_bytes());
            hasher.update(&segment.rows.to_le_bytes());
        }
        hasher.update(b";");
    }
    hasher.finalize().to_hex().chars().take(32).collect()
}

/// Where the temp folder of an activity with these inputs is.
pub(crate) fn folder(run_folder: &Path, activity: &str, inputs: &[Population]) -> PathBuf {
    run_folder.join(TEMP).join(format!("{activity}-{}", digest(inputs)))
}

/// Names an export among all: the same for a try again with the same records.
pub(crate) fn export(run: &RunId, activity: &str, inputs: &[Population]) -> String {
    format!("{run}/{activity}/{}", digest(inputs))
}

/// Whether a task keeps such things. One that passes on what a loop has used its attempts up for has written nothing: what
/// was written before stays known.
pub(crate) fn is_kept_by(workflow: &Workflow, task: &Task) -> bool {
    !task.exhausted && is_writer(workflow, task)
}

/// Whether its activity writes to the outside.
pub(crate) fn is_writer(workflow: &Workflow, task: &Task) -> bool {
    workflow.activities.get(&task.activity).is_some_and(|node| node.spec.effect == Effect::Writes)
}

/// Forgets what one task kept, once its end is in the journal: its results are handed on.
pub(crate) async fn forget(environment: &Environment, journal: &Journal, task: &Task, inputs: &[Population]) {
    remove(&folder(&environment.run_folder(&journal.id), &task.activity, inputs));
    let export = export(&journal.id, &task.activity, inputs);
    if let Err(failure) = environment.memory.handed_on(&export).await {
        tracing::warn!(export, %failure, "the memory between runs keeps what is handed on");
    }
    let run = journal.run().key(&journal.id);
    forget_ledger(environment, &run, task.id).await;
}

/// Forgets all that the tasks of a run that is over kept, and what others remembered for it: also those that failed, and one
/// whose end was recorded just before a crash.
pub(crate) async fn forget_all(environment: &Environment, workflow: &Workflow, journal: &Journal) {
    let writers = writers(workflow, journal);
    for task in writers.iter().filter(|task| task.status == TaskStatus::Ended && is_kept_by(workflow, task)) {
        let inputs = inputs(environment, journal, &journal.run(), task);
        let export = export(&journal.id, &task.activity, &inputs);
        if let Err(failure) = environment.memory.handed_on(&export).await {
            tracing::warn!(export, %failure, "the memory between runs keeps what is handed on");
        }
    }
    remove(&environment.run_folder(&journal.id).join(TEMP));
    let run = journal.run().key(&journal.id);
    for task in writers {
        forget_ledger(environment, &run, task.id).await;
    }
    unfinished::forget_versions(environment).await;
}

/// Has the tasks of a run that may never go on remember what they have written, before its end is in the journal.
///
/// # Errors
/// If one cannot; what it kept must stay.
pub(crate) async fn remember_all(
    environment: &Arc<Environment>,
    workflow: &Arc<Workflow>,
    journal: &Arc<Journal>,
) -> Result<(), Failure> {
    remember_others(environment, workflow, journal, TaskId::MAX).await
}

/// As [`remember_all`], without a task that ends well now.
///
/// # Errors
/// If one cannot; what it kept must stay.
pub(crate) async fn remember_others(
    environment: &Arc<Environment>,
    workflow: &Arc<Workflow>,
    journal: &Arc<Journal>,
    ends: TaskId,
) -> Result<(), Failure> {
    let may_go_on = |task: &&Task| task.status != TaskStatus::Ended && task.id != ends;
    for task in writers(workflow, journal).iter().filter(may_go_on) {
        remember(environment, workflow, journal, task).await?;
    }
    Ok(())
}

/// Has one task remember what it has written.
///
/// # Errors
/// If it cannot. If the configuration no longer has what it wrote to, there is nothing that could be written twice.
pub(crate) async fn remember(
    environment: &Arc<Environment>,
    workflow: &Arc<Workflow>,
    journal: &Arc<Journal>,
    task: &Task,
) -> Result<(), Failure> {
    let Some(node) = workflow.activities.get(&task.activity).filter(|_| is_kept_by(workflow, task)) else {
        return Ok(());
    };
    let cx = Cx::of_task(environment, workflow, journal, task);
    if !folder(&cx.journal_folder(), &task.activity, &cx.inputs).exists() {
        return Ok(());
    }
    match node.activity.remember(&cx).await {
        Err(failure) if failure.class == Class::Config => {
            tracing::warn!(task = task.id, %failure, "what the task has written is not remembered");
            Ok(())
        }
        Err(failure) => Err(failure),
        Ok(()) => identity::remembered(environment).await,
    }
}

fn writers(workflow: &Workflow, journal: &Journal) -> Vec<Task> {
    journal.run().tasks.iter().filter(|task| is_writer(workflow, task)).cloned().collect()
}

/// The populations that came in to a task.
pub(crate) fn inputs(environment: &Environment, journal: &Journal, run: &Run, task: &Task) -> Vec<Population> {
    let folder = environment.run_folder(&journal.id);
    let segments =
        |from: TaskId, port: &str| -> Vec<Segment> { run.population(from, port).unwrap_or_default().to_vec() };
    task.inputs.iter().map(|(from, port)| Population::new(&folder, segments(*from, port))).collect()
}

async fn forget_ledger(environment: &Environment, run: &str, task: TaskId) {
    let key = format!("{run}/{task}");
    if let Err(failure) = environment.database.forget(&key).await {
        tracing::warn!(task = key, %failure, "the database keeps the ledger of a task that is over");
    }
}

/// What stays is in nobody's way: it is removed with the run.
fn remove(folder: &Path) {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(folder = %folder.display(), %error, "a temp folder stays");
        }
        _ => {}
    }
}
