//! Populations: the records on a transition, in sealed Arrow files.
//!
//! ```text
//!   write(batch) ─▶ [thread: LZ4, BLAKE3] ─▶ .000001.arrow.part ─▶ sync ─▶ rename ─▶ sync folder ─▶ journal
//! ```
//!
//! A file is recorded only after all of that; whoever opens it compares its checksum first. Files that the journal does
//! not name are leftovers of a crash and are removed. From its second attempt on, the names of a task's files have the
//! attempt's number, `000001-2.arrow`.

mod reader;
mod writer;

use std::path::{Path, PathBuf};

use crate::event::Segment;

pub use reader::{Batches, read_segment};
pub use writer::{Writer, WriterLimits};

/// The files of a population and the folder they are relative to.
#[derive(Debug, Clone)]
pub struct Population {
    run_folder: PathBuf,
    segments: Vec<Segment>,
}

impl Population {
    /// A population of a run.
    pub fn new(run_folder: &Path, segments: Vec<Segment>) -> Self {
        Self { run_folder: run_folder.to_owned(), segments }
    }

    /// Its files, in order.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// How many records it has.
    pub fn rows(&self) -> u64 {
        self.segments.iter().map(|segment| segment.rows).sum()
    }

    /// Reads it from a segment on, counted from 0, a bounded number of batches ahead.
    pub fn read_from(&self, segment: usize) -> Batches {
        Batches::new(self.run_folder.clone(), self.segments.iter().skip(segment).cloned().collect())
    }

    /// Reads it all.
    pub fn read(&self) -> Batches {
        self.read_from(0)
    }

    /// The run's folder.
    pub fn run_folder(&self) -> &Path {
        &self.run_folder
    }
}
