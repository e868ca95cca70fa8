//! Batches of the same size whenever records are read.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use engine::failure::Failure;
use engine::population::{Batches, Population};

use crate::rows::wrong;

/// Cuts what is read into batches of `rows` records; the last has what is left.
pub(crate) struct Chunks {
    batches: Batches,
    rows: usize,
    waiting: Vec<RecordBatch>,
}

impl Chunks {
    pub(crate) fn new(batches: Batches, rows: usize) -> Self {
        Self { batches, rows: rows.max(1), waiting: Vec::new() }
    }

    /// Those of a population from a record on, counted from 0.
    ///
    /// # Errors
    /// Where what comes before it cannot be read.
    pub(crate) async fn from(population: &Population, record: u64, rows: usize) -> Result<Self, Failure> {
        let mut left = record;
        let mut segment = 0;
        for sealed in population.segments() {
            if sealed.rows > left {
                break;
            }
            left -= sealed.rows;
            segment += 1;
        }
        let mut batches = population.read_from(segment);
        let mut waiting = Vec::new();
        while left > 0 {
            let Some(batch) = batches.next().await else { break };
            let batch = batch?;
            let skipped = usize::try_from(left).map_or(batch.num_rows(), |left| left.min(batch.num_rows()));
            left -= skipped as u64;
            if skipped < batch.num_rows() {
                waiting.push(batch.slice(skipped, batch.num_rows() - skipped));
            }
        }
        Ok(Self { batches, rows: rows.max(1), waiting })
    }

    /// The next batch; `None` after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<RecordBatch>, Failure> {
        let mut rows: usize = self.waiting.iter().map(RecordBatch::num_rows).sum();
        while rows < self.rows {
            let Some(batch) = self.batches.next().await else { break };
            let batch = batch?;
            rows += batch.num_rows();
            self.waiting.push(batch);
        }
        let Some(first) = self.waiting.first().filter(|_| rows > 0) else { return Ok(None) };
        let all = concat_batches(&first.schema(), &self.waiting).map_err(wrong)?;
        let length = self.rows.min(rows);
        self.waiting.clear();
        if length < rows {
            self.waiting.push(all.slice(length, rows - length));
        }
        Ok(Some(all.slice(0, length)))
    }
}
