//! The data folder's own record next to its store, `folder.json`: a store that is missing or older than it is not replaced
//! by a new, empty one.

use std::fs;
use std::path::Path;

use engine::failure::{Class, Failure};
use engine::outside::store::Identity;
use engine::private;

/// The record in a data folder.
const FILE: &str = "folder.json";

/// Checks, before the store is opened, that it is there if it ever was.
///
/// # Errors
/// If it is missing.
pub(crate) fn check_there(data: &Path, store: &Path) -> Result<(), Failure> {
    let has_runs = fs::read_dir(data.join("runs")).is_ok_and(|mut runs| runs.next().is_some());
    if has_store(store) || !(data.join(FILE).exists() || has_runs) {
        return Ok(());
    }
    let message = format!(
        "the store of the data folder {} is missing: a new one would import and send everything again",
        data.display()
    );
    let help = "put the folder store back from a backup; to begin with an empty one, `campanile accept data`";
    Err(Failure::new(Class::Storage, message).help(help))
}

fn has_store(store: &Path) -> bool {
    ["sled", "redb"].iter().any(|kind| store.join(kind).exists())
}

/// Checks the store that was opened, and keeps what it is now.
///
/// # Errors
/// If it is another or an older one.
pub(crate) fn check_same(data: &Path, now: &Identity) -> Result<(), Failure> {
    let before = fs::read(data.join(FILE)).ok().and_then(|text| serde_json::from_slice::<Identity>(&text).ok());
    let wrong = match before {
        Some(before) if before.folder != now.folder => "another one".to_owned(),
        Some(before) if before.starts >= now.starts => {
            format!("an older copy: it was opened {} times, and knows of {}", before.starts, now.starts - 1)
        }
        _ => return keep(data, now),
    };
    let message = format!("the store of the data folder {} is {wrong}", data.display());
    let help = "put the whole data folder back from one backup; to continue with this store, `campanile accept data`: then \
                runs that are not over are stopped, and what was done since is not known";
    Err(Failure::new(Class::Storage, message).help(help))
}

/// Keeps what the store is now.
pub(crate) fn keep(data: &Path, now: &Identity) -> Result<(), Failure> {
    let file = data.join(FILE);
    let text = serde_json::to_vec(now).map_err(|error| Failure::internal(error.to_string()))?;
    private::replace(&file, &text).map_err(|error| Failure::io(format!("cannot write {}", file.display()), &error))
}

/// Takes the store as it is from now on. What a missing one leaves behind is kept under another name.
///
/// # Errors
/// If the folder cannot be changed.
pub fn accept(data: &Path, store: &Path) -> Result<(), Failure> {
    let failed = |error: &std::io::Error| Failure::io(format!("cannot change {}", data.display()), error);
    if !has_store(store) {
        for part in ["runs", "overlap", "store"].map(|part| data.join(part)).iter().filter(|part| part.exists()) {
            let aside = (1..u32::MAX).map(|number| part.with_extension(format!("lost-{number}")));
            if let Some(aside) = aside.into_iter().find(|aside| !aside.exists()) {
                fs::rename(part, aside).map_err(|error| failed(&error))?;
            }
        }
    }
    match fs::remove_file(data.join(FILE)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(&error)),
        _ => Ok(()),
    }
}
