//! Removes the populations of old runs, so that the data folder does not grow without end. Their journals stay.

use std::fs;
use std::path::{Path, PathBuf};

use crate::environment::Environment;
use crate::event::{Event, Recorded, Then};
use crate::failure::Failure;
use crate::outside::store::RunId;

/// Removes the populations of a workflow's runs that are over and older than the last `limits.runs_kept`.
///
/// # Errors
/// Where the store cannot be read or a folder cannot be removed; what is left is removed after a later run.
pub async fn remove_old(environment: &Environment, workflow: &str) -> Result<(), Failure> {
    let runs = environment.store.runs().await?;
    let mut runs: Vec<RunId> = runs.into_iter().map(|(id, _)| id).filter(|id| id.workflow() == workflow).collect();
    runs.sort_by_key(RunId::number);
    let old = runs.len().saturating_sub(environment.limits.runs_kept.max(1));
    for id in runs.drain(..old) {
        let populations = folders(&environment.run_folder(&id));
        if populations.is_empty() || !is_over(&environment.store.events(&id, 0).await?) {
            continue;
        }
        for folder in populations {
            fs::remove_dir_all(&folder)
                .map_err(|error| Failure::io(format!("cannot remove {}", folder.display()), &error))?;
        }
        tracing::info!(run = %id, "the populations of an old run were removed");
    }
    Ok(())
}

/// The workflow's file, which lies beside them, stays.
fn folders(run: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(run).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

fn is_over(journal: &[Recorded]) -> bool {
    journal.iter().any(|recorded| {
        matches!(recorded.event, Event::Finished | Event::Stopped | Event::TaskFailed { then: Then::Abort, .. })
    })
}
