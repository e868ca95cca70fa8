//! The one door to DataFusion: which record of each group of equal ones comes first.
//!
//! ```text
//!   population ─▶ (key: 128 bits, rank ∥ place) ─▶ group by key, min(rank ∥ place) ─▶ one bit a record
//! ```
//!
//! All types take one path: whatever records are ranked by is encoded into bytes that compare as the values do, and the
//! place at their end makes the choice the same every time. What does not fit into memory is sorted on the disk, so only
//! the bits of [`Places`] grow with the population.

mod key;
mod places;
mod session;

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, AsArray, BinaryBuilder, RecordBatch, UInt64Array};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt64Type};
use datafusion::catalog::streaming::StreamingTable;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::functions_aggregate::expr_fn::{count, min};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::prelude::{col, lit};
use engine::failure::{Class, Failure};
use engine::population::{Batches, Population};
use futures::{StreamExt, TryStreamExt};

pub(crate) use key::{Empty, empties, folded, is_empty, keys};
pub(crate) use places::{Mark, Places};
pub(crate) use session::Held;

/// Of how many groups of several records the place of the best is told at most; a limit on memory.
pub(crate) const REPEATED_MAX: usize = 250_000;

/// Identifies a group: a hash of its keys, wide enough that two groups never share one.
pub(crate) type Key = u128;

/// What a batch is grouped and ranked by.
pub(crate) struct Ranked {
    /// The group of each record, or none.
    pub(crate) keys: Vec<Option<Key>>,
    /// What the records of a group are ranked by, the most important first; the first in this order is the best.
    pub(crate) ranks: Vec<(ArrayRef, SortOptions)>,
}

/// Tells what each batch is grouped and ranked by, given the place of its first record.
pub(crate) type Ranking = dyn Fn(&RecordBatch, u64) -> Result<Ranked, Failure> + Send + Sync;

/// The best record of each group.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Firsts {
    /// What each record is.
    pub(crate) places: Places,
    /// For groups of several records, the place of the best; not of all groups, where there are many.
    pub(crate) repeated: HashMap<Key, u64>,
}

/// Finds the best record of each group; of records that rank alike, the one that arrived first. Up to `memory` bytes
/// are used, shared with whatever else is grouped at the same time, and then the folder `spill`, which is removed. Of
/// `repeated_max` groups of several records the place of the best is told.
///
/// # Errors
/// Where the population cannot be read or ranked, or the disk does not take what does not fit into memory.
pub(crate) async fn firsts(
    population: &Population,
    ranking: Arc<Ranking>,
    repeated_max: usize,
    memory: usize,
    spill: &Path,
) -> Result<Firsts, Failure> {
    let places = Arc::new(Mutex::new(Places::new(population.rows())));
    let source = Source { schema: schema(), population: population.clone(), ranking, places: Arc::clone(&places) };
    let mut repeated = HashMap::new();
    let grouped = async {
        let mut stream = groups(source, memory, spill).await?;
        while let Some(batch) = stream.try_next().await? {
            let mut places = places.lock().unwrap_or_else(PoisonError::into_inner);
            take(&batch, &mut places, &mut repeated, repeated_max)?;
        }
        Ok(())
    };
    let grouped = grouped.await;
    session::clear(spill)?;
    grouped.map_err(failure)?;
    let places = std::mem::take(&mut *places.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(Firsts { places, repeated })
}

async fn groups(source: Source, memory: usize, spill: &Path) -> Result<SendableRecordBatchStream, DataFusionError> {
    let table = StreamingTable::try_new(Arc::clone(&source.schema), vec![Arc::new(source)])?;
    let by = vec![col("high"), col("low")];
    let found = vec![min(col("rank")).alias("first"), count(lit(1)).alias("records")];
    session::session(memory, spill)?.read_table(Arc::new(table))?.aggregate(by, found)?.execute_stream().await
}

fn take(
    groups: &RecordBatch,
    places: &mut Places,
    repeated: &mut HashMap<Key, u64>,
    repeated_max: usize,
) -> Result<(), DataFusionError> {
    let (high, low) = (groups.column(0).as_primitive::<UInt64Type>(), groups.column(1).as_primitive::<UInt64Type>());
    let (first, records) = (groups.column(2).as_binary::<i32>(), groups.column(3).as_primitive::<Int64Type>());
    for row in 0..groups.num_rows() {
        let place = first.value(row).last_chunk().copied().map(u64::from_be_bytes);
        let place = place.ok_or_else(|| DataFusionError::Internal("a group has no record".to_owned()))?;
        places.set(place, Mark::First);
        if records.value(row) > 1 && repeated.len() < repeated_max {
            repeated.insert(key::whole(high.value(row), low.value(row)), place);
        }
    }
    Ok(())
}

/// The population as DataFusion reads it: of each record, only its key, rank and place.
struct Source {
    schema: SchemaRef,
    population: Population,
    ranking: Arc<Ranking>,
    /// Where records without a group are told.
    places: Arc<Mutex<Places>>,
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("high", DataType::UInt64, false),
        Field::new("low", DataType::UInt64, false),
        Field::new("rank", DataType::Binary, false),
    ]))
}

impl PartitionStream for Source {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let reading = Reading {
            batches: self.population.read(),
            next: 0,
            schema: Arc::clone(&self.schema),
            ranking: Arc::clone(&self.ranking),
            places: Arc::clone(&self.places),
        };
        let stream = futures::stream::try_unfold(reading, |mut reading| async move {
            let batch = reading.next().await.map_err(|failure| DataFusionError::External(Box::new(failure)))?;
            Ok(batch.map(|batch| (batch, reading)))
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream.boxed()))
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("population", &self.population).finish_non_exhaustive()
    }
}

struct Reading {
    batches: Batches,
    next: u64,
    schema: SchemaRef,
    ranking: Arc<Ranking>,
    places: Arc<Mutex<Places>>,
}

impl Reading {
    async fn next(&mut self) -> Result<Option<RecordBatch>, Failure> {
        let Some(batch) = self.batches.next().await else { return Ok(None) };
        let batch = batch?;
        let first = self.next;
        self.next += batch.num_rows() as u64;
        let ranked = (self.ranking)(&batch, first)?;
        let ranks = key::rows(&ranked.ranks)?;
        let (mut high, mut low, mut bytes) = (Vec::new(), Vec::new(), BinaryBuilder::new());
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rank = Vec::new();
        for (place, (row, key)) in (first..).zip(ranked.keys.iter().enumerate()) {
            let Some(key) = key else {
                places.set(place, Mark::Alone);
                continue;
            };
            let [upper, lower] = key::halves(*key);
            high.push(upper);
            low.push(lower);
            rank.clear();
            if let Some(ranks) = &ranks {
                rank.extend_from_slice(ranks.row(row).data());
            }
            rank.extend_from_slice(&place.to_be_bytes());
            bytes.append_value(&rank);
        }
        drop(places);
        let columns: Vec<ArrayRef> =
            vec![Arc::new(UInt64Array::from(high)), Arc::new(UInt64Array::from(low)), Arc::new(bytes.finish())];
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns);
        batch.map(Some).map_err(|error| Failure::internal(error.to_string()))
    }
}

/// A failure of ours comes back as it was; others are those of the disk, the memory, or a fault.
fn failure(error: DataFusionError) -> Failure {
    match error.find_root() {
        DataFusionError::External(inner) if inner.is::<Failure>() => {
            inner.downcast_ref::<Failure>().cloned().unwrap_or_else(|| Failure::internal(inner.to_string()))
        }
        DataFusionError::IoError(error) => Failure::io("cannot sort on the disk", error),
        DataFusionError::ResourcesExhausted(_) => {
            Failure::new(Class::Limit, format!("the memory for set operations is used up: {error}"))
                .help("raise setMemoryMib in the limits of the configuration, then resume the run")
        }
        _ => Failure::internal(format!("a set operation failed: {error}")),
    }
}

#[cfg(test)]
mod tests;
