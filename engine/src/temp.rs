//! The temp folder of a task that writes to other systems: what it has done so far, kept until it has ended well.
//!
//! It belongs to run, activity and the content of what came in, not to the task: a try again through a loop of the
//! workflow is another task with the same records, and finds it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::population::Population;

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

/// Removes one task's, once its end is in the journal.
pub(crate) fn forget(run_folder: &Path, activity: &str, inputs: &[Population]) {
    remove(&folder(run_folder, activity, inputs));
}

/// Removes all of a run that is over.
pub(crate) fn forget_all(run_folder: &Path) {
    remove(&run_folder.join(TEMP));
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
