//! What a task that writes to other systems keeps until it has ended well, to go on with after a crash: a temp folder of what
//! it has done so far, and a ledger in the database.
//!
//! The folder belongs to run, activity and the content of what came in, not to the task: a try again through a loop of the
//! workflow is another task with the same records, and finds it. The ledger belongs to the task.

use std::fs;
use std::path::{Path, PathBuf};

use crate::activity::Effect;
use crate::check::Workflow;
use crate::environment::Environment;
use crate::event::TaskId;
use crate::journal::Journal;
use crate::population::Population;
use crate::run::Task;

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

/// Whether a task keeps such things. One that passes on what a loop has used its attempts up for has written nothing: what
/// was written before stays known.
pub(crate) fn is_kept_by(workflow: &Workflow, task: &Task) -> bool {
    !task.exhausted && is_writer(workflow, task)
}

/// Whether its activity writes to the outside.
pub(crate) fn is_writer(workflow: &Workflow, task: &Task) -> bool {
    workflow.activities.get(&task.activity).is_some_and(|node| node.spec.effect == Effect::Writes)
}

/// Forgets what one task kept, once its end is in the journal.
pub(crate) async fn forget(environment: &Environment, journal: &Journal, task: &Task, inputs: &[Population]) {
    remove(&folder(&environment.run_folder(&journal.id), &task.activity, inputs));
    let run = journal.run().key(&journal.id);
    forget_ledger(environment, &run, task.id).await;
}

/// Forgets all that the tasks of a run that is over kept: also those that failed, and one whose end was recorded just before
/// a crash.
pub(crate) async fn forget_all(environment: &Environment, workflow: &Workflow, journal: &Journal) {
    remove(&environment.run_folder(&journal.id).join(TEMP));
    let (run, writers): (String, Vec<TaskId>) = {
        let run = journal.run();
        let writers = run.tasks.iter().filter(|task| is_writer(workflow, task)).map(|task| task.id);
        (run.key(&journal.id), writers.collect())
    };
    for task in writers {
        forget_ledger(environment, &run, task).await;
    }
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
