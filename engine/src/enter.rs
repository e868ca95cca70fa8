//! A run that begins at one activity, with records of its own.

use std::path::Path;

use arrow::array::RecordBatch;
use indexmap::IndexMap;

use crate::event::Entry;
use crate::failure::Failure;
use crate::outside::desk::RejectId;
use crate::population::Writer;

/// The folder of the records within the run's.
const FOLDER: &str = "entry";
/// Stands for the port, whose name is a folder too.
const PORT: &str = "in";

/// Where a run begins instead of at its roots, and the records that arrive there.
#[derive(Debug)]
pub struct Entering {
    /// The activity.
    pub activity: String,
    /// The records.
    pub records: Vec<RecordBatch>,
    /// The rejects that they are, where they are sent again.
    pub rejects: Vec<RejectId>,
}

impl Entering {
    /// Writes the records into the run's folder, durably.
    pub(crate) async fn write(self, run_folder: &Path) -> Result<Entry, Failure> {
        let writer = Writer::new(run_folder, FOLDER, 1, &IndexMap::new());
        for batch in self.records {
            writer.write(PORT, batch).await;
        }
        let sealed = writer.seal().await.await;
        let sealed = sealed.map_err(|_| Failure::internal("the thread that writes populations ended"))??;
        Ok(Entry { activity: self.activity, population: sealed.into_values().collect() })
    }
}
