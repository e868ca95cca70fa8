//! Removes the populations of old runs, so that the data folder does not grow without end. Their journals stay.

use std::fs;
use std::path::{Path, PathBuf};

use crate::environment::Environment;
use crate::failure::Failure;
use crate::outside::store::RunId;

/// Removes the populations of runs of a workflow that are over and older than the last `limits.runs_kept`, after one of
/// its runs ended. It looks back from the oldest run that is kept to the first one that has none left, and at the run that
/// ended: the work does not grow with the number of runs.
///
/// # Errors
/// If the store cannot be read or a folder cannot be removed; what is left is removed after a later run.
pub async fn remove_old(environment: &Environment, ended: &RunId) -> Result<(), Failure> {
    let workflow = ended.workflow();
    let last = environment.store.workflow(workflow).await?.last;
    let kept = u64::try_from(environment.limits.runs_kept.max(1)).unwrap_or(u64::MAX);
    let old = last.saturating_sub(kept);
    for number in (1..=old).rev() {
        let populations = folders(&environment.run_folder(&RunId::new(workflow, number)));
        if populations.is_empty() {
            break;
        }
        remove(environment, &RunId::new(workflow, number), populations).await?;
    }
    if ended.number().is_some_and(|number| number <= old) {
        remove(environment, ended, folders(&environment.run_folder(ended))).await?;
    }
    Ok(())
}

async fn remove(environment: &Environment, run: &RunId, populations: Vec<PathBuf>) -> Result<(), Failure> {
    let is_over = environment.store.run(run).await?.is_none_or(|entry| entry.head.status().is_over());
    if !is_over {
        return Ok(());
    }
    for folder in populations {
        fs::remove_dir_all(&folder)
            .map_err(|error| Failure::io(format!("cannot remove {}", folder.display()), &error))?;
        tracing::info!(%run, "the populations of an old run were removed");
    }
    Ok(())
}

/// The folders of a run's populations. The workflow's file next to them stays.
fn folders(run: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(run).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}
