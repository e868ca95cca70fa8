//! What a run keeps to its end as it was when it began: its workflow's file, and the scripts that workflows share.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::environment::Environment;
use crate::event::{Event, Recorded};
use crate::failure::{Class, Failure};
use crate::outside::store::RunId;
use crate::private;

/// The workflow's file in a run's folder.
pub const WORKFLOW: &str = "workflow.json";
/// The shared scripts in a run's folder: a list of names and texts.
const SCRIPTS: &str = "scripts.json";

/// Functions that scripts share, by file name.
pub type Library = Arc<[(String, String)]>;

/// What a run begins with.
#[derive(Debug)]
pub(crate) struct Pinned {
    /// The workflow's file.
    pub(crate) text: String,
    pub(crate) library: Library,
}

/// BLAKE3 of what was pinned, as the journal keeps it.
pub(crate) struct Checksums {
    pub(crate) file: String,
    pub(crate) scripts: String,
}

impl Pinned {
    /// What a run would begin with now.
    pub(crate) fn now(environment: &Environment, text: &str) -> Self {
        Self { text: text.to_owned(), library: environment.library.as_slice().into() }
    }

    /// What a run began with.
    ///
    /// # Errors
    /// Where there is no such run, or what lies in its folder is not what was written.
    pub(crate) fn read(environment: &Environment, id: &RunId, journal: &[Recorded]) -> Result<Self, Failure> {
        let Some(Event::Started { file, scripts, .. }) = journal.first().map(|recorded| &recorded.event) else {
            let help = "`campanile runs` lists the runs of this data folder";
            return Err(Failure::new(Class::NotFound, format!("there is no run {id}")).help(help));
        };
        let folder = environment.run_folder(id);
        let text = read(&folder.join(WORKFLOW), file, id)?;
        let library = match scripts {
            Some(scripts) => serde_json::from_str(&read(&folder.join(SCRIPTS), scripts, id)?)
                .map_err(|error| Failure::internal(format!("the scripts of run {id}: {error}")))?,
            // An older version pinned none.
            None => environment.library.as_slice().into(),
        };
        Ok(Self { text, library })
    }

    /// Writes it into a run's folder, durably.
    ///
    /// # Errors
    /// Where the disk does not take it.
    pub(crate) fn write(&self, folder: &Path) -> Result<Checksums, Failure> {
        let scripts = serde_json::to_string(&self.library).map_err(|error| Failure::internal(error.to_string()))?;
        let write = || {
            private::make_folders(folder)?;
            private::replace(&folder.join(WORKFLOW), self.text.as_bytes())?;
            private::replace(&folder.join(SCRIPTS), scripts.as_bytes())
        };
        write().map_err(|error| Failure::io(format!("cannot write into {}", folder.display()), &error))?;
        Ok(Checksums { file: checksum(&self.text), scripts: checksum(&scripts) })
    }
}

fn checksum(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

fn read(path: &Path, written: &str, id: &RunId) -> Result<String, Failure> {
    let text =
        fs::read_to_string(path).map_err(|error| Failure::io(format!("cannot read {}", path.display()), &error))?;
    if checksum(&text) != written {
        let message = format!("{} is not the file that run {id} began with", path.display());
        return Err(Failure::new(Class::Storage, message).help("put the file back from a backup"));
    }
    Ok(text)
}
