//! Batches of the same size whenever a file is read.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use engine::failure::Failure;
use engine::population::Batches;

use crate::rows::wrong;

/// Cuts what is read into batches of `rows` records; the last has what is left.
pub(super) struct Chunks {
    batches: Batches,
    rows: usize,
    waiting: Vec<RecordBatch>,
}

impl Chunks {
    pub(super) fn new(batches: Batches, rows: usize) -> Self {
        Self { batches, rows: rows.max(1), waiting: Vec::new() }
    }

    /// The next batch; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<RecordBatch>, Failure> {
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
