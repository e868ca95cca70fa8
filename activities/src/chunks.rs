//! Batches of the size that is asked for, whatever files and batches the records came in.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use engine::failure::Failure;
use engine::population::{Batches, Population};

use crate::rows::wrong;

/// The records of a population, from one of them on.
pub(crate) struct Chunks {
    batches: Batches,
    /// How many of those that come next are not wanted.
    skip: u64,
    waiting: Option<RecordBatch>,
}

impl Chunks {
    /// From this record on, counted from 0.
    pub(crate) fn from(population: &Population, record: u64) -> Self {
        let (mut segment, mut skip) = (0, record);
        for sealed in population.segments() {
            if sealed.rows > skip {
                break;
            }
            skip -= sealed.rows;
            segment += 1;
        }
        Self { batches: population.read_from(segment), skip, waiting: None }
    }

    /// Some records, as it is least work; `None` after the last.
    pub(crate) async fn some(&mut self) -> Result<Option<RecordBatch>, Failure> {
        if let Some(batch) = self.waiting.take() {
            return Ok(Some(batch));
        }
        while let Some(batch) = self.batches.next().await {
            let batch = batch?;
            let rows = batch.num_rows();
            match usize::try_from(self.skip) {
                Ok(skip) if skip < rows => {
                    self.skip = 0;
                    return Ok(Some(batch.slice(skip, rows - skip)));
                }
                _ => self.skip -= rows as u64,
            }
        }
        Ok(None)
    }

    /// So many records, or what is left of them; `None` after the last.
    pub(crate) async fn next(&mut self, records: usize) -> Result<Option<RecordBatch>, Failure> {
        let (mut all, mut missing) = (Vec::new(), records.max(1));
        while missing > 0
            && let Some(batch) = self.some().await?
        {
            let take = batch.num_rows().min(missing);
            missing -= take;
            if take < batch.num_rows() {
                self.waiting = Some(batch.slice(take, batch.num_rows() - take));
            }
            all.push(batch.slice(0, take));
        }
        if all.is_empty() { Ok(None) } else { together(&all).map(Some) }
    }
}

/// Batches as one.
pub(crate) fn together(batches: &[RecordBatch]) -> Result<RecordBatch, Failure> {
    match batches {
        [one] => Ok(one.clone()),
        [first, ..] => concat_batches(&first.schema(), batches).map_err(wrong),
        [] => Err(Failure::internal("a batch without records")),
    }
}
