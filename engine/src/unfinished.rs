//! Runs that are not over. Only they can still write what they read long ago, so that the versions that others write are
//! remembered for them, and forgotten once they are over.

use crate::environment::Environment;
use crate::outside::store::{Page, RunEntry, RunFilter, RunId, StoreError};
use crate::run::Status;

/// The latest of the other runs that may have read what they have not written yet, by its place among all runs.
pub(crate) async fn latest_other(environment: &Environment, run: &RunId) -> Result<Option<u64>, StoreError> {
    let open = environment.store.runs(&RunFilter::open(), Page::ALL).await?;
    let has_read = |entry: &&RunEntry| entry.head.status() != Status::Queued;
    let others = open.iter().filter(|entry| entry.id != *run && !entry.head.status().is_over()).filter(has_read);
    Ok(others.map(|entry| entry.place).max())
}

/// Forgets the versions that no run can need any more.
pub(crate) async fn forget_versions(environment: &Environment) {
    let open = match environment.store.runs(&RunFilter::open(), Page::ALL).await {
        Ok(open) => open,
        Err(error) => {
            tracing::warn!(%error, "versions stay remembered");
            return;
        }
    };
    let unfinished = open.iter().filter(|entry| !entry.head.status().is_over());
    let before = unfinished.map(|entry| entry.place).min().unwrap_or(u64::MAX);
    let folder = environment.store.identity().folder;
    let (database, memory) =
        (environment.database.forget_versions(&folder, before).await, environment.memory.forget_versions(before).await);
    for failure in [database, memory].into_iter().filter_map(Result::err) {
        tracing::warn!(%failure, "versions stay remembered");
    }
}
