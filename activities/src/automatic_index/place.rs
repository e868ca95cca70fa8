//! The place in a system's feed of changes: a text of the system's own, in a file that is recorded with the option as the
//! memory of the overlap is, so that both move together.

use std::fs;
use std::path::Path;

use engine::failure::{Class, Failure};
use engine::outside::store::{OptionValue, SeenFile};
use engine::private;

use super::{FOLDER, Opened, prefix, wrong};

const EXTENSION: &str = "feed";

/// Keeps the place that the window's import came to.
///
/// # Errors
/// Where the file cannot be written.
pub fn keep(data: &Path, window: &Opened, task: &str, place: &str) -> Result<SeenFile, Failure> {
    let folder = data.join(FOLDER);
    let name = format!("{}{}.{EXTENSION}", prefix(window), task.replace('/', "-"));
    let path = Path::new(FOLDER).join(name);
    let write = || {
        private::make_folders(&folder)?;
        private::replace(&data.join(&path), place.as_bytes())
    };
    write().map_err(|error| wrong(&path, &error))?;
    Ok(SeenFile { path, records: 0, checksum: blake3::hash(place.as_bytes()).to_hex().to_string() })
}

/// Whether a file that is recorded with an option keeps a place rather than what was seen.
pub fn is_place(file: &SeenFile) -> bool {
    file.path.extension().is_some_and(|extension| extension == EXTENSION)
}

/// The place that is recorded with an option; none where the option is missing.
///
/// # Errors
/// Where the option is there and keeps no place, or the file is not the one that was written.
pub fn of(data: &Path, name: &str, option: Option<&OptionValue>) -> Result<Option<String>, Failure> {
    let place = kept(data, name, option)?;
    match option {
        Some(option) if place.is_none() => {
            let message = format!(
                "option {name} is {}, but keeps no place in the feed of changes: it was set by hand, or by an import by date",
                option.value
            );
            Err(Failure::new(Class::Config, message).help(anew(name)))
        }
        _ => Ok(place),
    }
}

/// The place that is recorded with an option, where one is.
///
/// # Errors
/// Where the file is not the one that was written.
pub fn kept(data: &Path, name: &str, option: Option<&OptionValue>) -> Result<Option<String>, Failure> {
    let file = option.and_then(|option| option.seen.as_ref()).filter(|file| is_place(file));
    let Some(file) = file else { return Ok(None) };
    let path = data.join(&file.path);
    let bytes = fs::read(&path).map_err(|error| Failure::io(format!("cannot read {}", path.display()), &error))?;
    match (blake3::hash(&bytes).to_hex().as_str() == file.checksum, String::from_utf8(bytes)) {
        (true, Ok(place)) => Ok(Some(place)),
        _ => {
            let message = format!("{} is not the file that was written", path.display());
            Err(Failure::new(Class::Storage, message).help(format!("put it back from a backup; or {}", anew(name))))
        }
    }
}

fn anew(name: &str) -> String {
    format!("`campanile options remove {name}`: the next run then reads everything once, and goes on from there")
}

/// The failure of a reading whose place the system no longer knows, in words that say what now.
pub fn lost(failure: Failure, name: &str) -> Failure {
    if failure.class != Class::CursorLost {
        return failure;
    }
    let message =
        format!("the CRM no longer knows the place of option {name} in its feed of changes: {}", failure.message);
    let help = format!(
        "`campanile options remove {name}` and run again: everything is read once; then find what was deleted meanwhile by \
         comparing the keys, with a crm.importDeleted that has \"ids\""
    );
    // Trying again cannot help.
    Failure { class: Class::Config, message, ..failure }.help(help)
}
