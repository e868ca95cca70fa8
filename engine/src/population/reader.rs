//! Reads segments, after their checksum was compared.

use std::fs::File;
use std::io::Seek;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_ipc::reader::FileReader;
use tokio::sync::mpsc;

use crate::event::Segment;
use crate::failure::{Class, Failure};

/// How many batches are decoded ahead of who reads them.
const BATCHES_AHEAD_MAX: usize = 2;

/// Reads one segment: its columns and its batches.
///
/// # Errors
/// Where the file is missing or is not the one that was written.
pub fn read_segment(
    run_folder: &Path,
    segment: &Segment,
) -> Result<(SchemaRef, impl Iterator<Item = Result<RecordBatch, Failure>> + use<>), Failure> {
    let path = run_folder.join(&segment.path);
    let name = segment.path.display().to_string();
    let mut file = File::open(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => damaged(&name, "it is missing; limits.runsKept says how many runs keep theirs"),
        _ => Failure::io(format!("cannot read {}", path.display()), &error),
    })?;
    // Summed as it streams by: a file read whole would leave its memory to the allocator.
    let mut hasher = blake3::Hasher::new();
    let summed = hasher.update_reader(&mut file).map(|hasher| hasher.finalize()).and_then(|sum| {
        file.rewind()?;
        Ok(sum)
    });
    let sum = summed.map_err(|error| Failure::io(format!("cannot read {}", path.display()), &error))?;
    if hasher.count() != segment.bytes {
        return Err(damaged(&name, &format!("it has {} bytes, not {}", hasher.count(), segment.bytes)));
    }
    if sum.to_hex().as_str() != segment.checksum {
        return Err(damaged(&name, "its checksum is another"));
    }
    let reader = FileReader::try_new_buffered(file, None).map_err(|error| damaged(&name, &error.to_string()))?;
    let schema = reader.schema();
    Ok((schema, reader.map(move |batch| batch.map_err(|error| damaged(&name, &error.to_string())))))
}

fn damaged(name: &str, how: &str) -> Failure {
    Failure::new(Class::Storage, format!("the population file {name} is not the one that was written: {how}"))
        .help("put the file back from a backup and resume the run, or stop the run and start the workflow again")
}

/// The batches of a population, decoded on a thread of their own.
#[derive(Debug)]
pub struct Batches {
    receiver: mpsc::Receiver<Result<(usize, RecordBatch), Failure>>,
}

impl Batches {
    pub(super) fn new(run_folder: PathBuf, segments: Vec<Segment>) -> Self {
        let (sender, receiver) = mpsc::channel(BATCHES_AHEAD_MAX);
        tokio::task::spawn_blocking(move || {
            for (number, segment) in segments.iter().enumerate() {
                let batches = match read_segment(&run_folder, segment) {
                    Ok((_, batches)) => batches,
                    Err(failure) => {
                        sender.blocking_send(Err(failure)).ok();
                        return;
                    }
                };
                for batch in batches {
                    // Nobody reads on: that is not an error of ours.
                    if sender.blocking_send(batch.map(|batch| (number, batch))).is_err() {
                        return;
                    }
                }
            }
        });
        Self { receiver }
    }

    /// The next batch; `None` after the last.
    ///
    /// # Errors
    /// Where a file is missing or is not the one that was written.
    pub async fn next(&mut self) -> Option<Result<RecordBatch, Failure>> {
        Some(self.receiver.recv().await?.map(|(_, batch)| batch))
    }

    /// The next batch with the number of its segment, counted from where the reading began.
    ///
    /// # Errors
    /// Where a file is missing or is not the one that was written.
    pub async fn next_numbered(&mut self) -> Option<Result<(usize, RecordBatch), Failure>> {
        self.receiver.recv().await
    }
}
