//! Cuts the population into batches, from the first record that no batch holds on, ahead of who sends them.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::RecordBatch;
use engine::failure::Failure;
use engine::outside::crm::{Crm, FETCH_MAX, Outcome, What, Write, WritePlan};
use engine::progress::part_of_task;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::Instrument;

use super::compare::Compare;
use super::ledger::state::Fate;
use super::mapping::Mapping;
use super::newest::Newest;
use super::remember::Found;
use crate::chunks::{Chunks, together};
use crate::rows;
use crate::sets::Firsts;

/// The most records of one batch, sent or not, where few of them are sent.
const RECORDS_MAX: usize = 10_000;

/// Records that belong together.
#[derive(Debug, Clone)]
pub(super) struct Cut {
    /// The place of the first one.
    pub(super) from: u64,
    /// As they came in.
    pub(super) rows: RecordBatch,
    /// What is to become of each.
    pub(super) fates: Vec<Fate>,
}

/// A task that cuts batches, so that no lane waits for records to be mapped. It ends with this.
pub(super) struct Cuts {
    ready: mpsc::Receiver<Cut>,
    task: JoinHandle<Result<(), Failure>>,
}

impl Cuts {
    /// Cuts so many batches before they are taken.
    pub(super) fn start(mut cutter: Cutter, ahead: usize) -> Self {
        let (sender, ready) = mpsc::channel(ahead);
        let cut = async move {
            while let Ok(room) = sender.reserve().await
                && let Some(cut) = cutter.next().await?
            {
                room.send(cut);
                // Who waits for it was woken on this thread, and would otherwise wait for the next one as well.
                tokio::task::yield_now().await;
            }
            Ok(())
        };
        Self { ready, task: tokio::spawn(part_of_task(cut).in_current_span()) }
    }

    /// The next batch. After the last one `None`, or why there are no more, once. Nothing is lost where this is dropped.
    pub(super) async fn next(&mut self) -> Result<Option<Cut>, Failure> {
        if let Some(cut) = self.ready.recv().await {
            return Ok(Some(cut));
        }
        let broke_off = |error| Failure::internal(format!("the cutting of batches broke off: {error}"));
        (&mut self.task).await.map_err(broke_off)?.map(|()| None)
    }
}

impl Drop for Cuts {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Cuts.
pub(super) struct Cutter {
    pub(super) crm: Arc<dyn Crm>,
    pub(super) write: Arc<Write>,
    pub(super) plan: WritePlan,
    pub(super) mapping: Arc<Mapping>,
    pub(super) firsts: Option<Firsts>,
    pub(super) compare: Option<Compare>,
    /// What earlier exports did with some of the records.
    pub(super) found: Option<Arc<Found>>,
    /// What other runs have written meanwhile.
    pub(super) newest: Option<Arc<Newest>>,
    pub(super) rows: Chunks,
    /// The place of the next record to look at.
    pub(super) place: u64,
    pub(super) waiting: VecDeque<(RecordBatch, VecDeque<Fate>)>,
    /// The place of the first one that waits.
    pub(super) from: u64,
}

impl Cutter {
    /// The next batch; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Cut>, Failure> {
        let (mut taken, mut fates, mut payloads, mut bytes) = (Vec::new(), Vec::new(), 0, 0);
        let sent_max = self.plan.records_max.max(1);
        'full: while payloads < sent_max && fates.len() < RECORDS_MAX.max(sent_max) {
            if self.waiting.is_empty() && !self.load().await? {
                break;
            }
            let Some((rows, waiting)) = self.waiting.front_mut() else { break };
            let before = fates.len();
            let mut full = false;
            while let Some(fate) = waiting.front() {
                if let Fate::Send(payload) = fate {
                    full = payloads == sent_max || (payloads > 0 && bytes + payload.len() > self.plan.bytes_max);
                    if full {
                        break;
                    }
                    payloads += 1;
                    bytes += payload.len();
                }
                fates.extend(waiting.pop_front());
            }
            let count = fates.len() - before;
            taken.push(rows.slice(0, count));
            *rows = rows.slice(count, rows.num_rows() - count);
            if full {
                break 'full;
            }
            self.waiting.pop_front();
        }
        if fates.is_empty() {
            return Ok(None);
        }
        taken.retain(|rows| rows.num_rows() > 0);
        let from = self.from;
        self.from += fates.len() as u64;
        Ok(Some(Cut { from, rows: together(&taken)?, fates }))
    }

    /// Looks at more records; tells whether there were any.
    async fn load(&mut self) -> Result<bool, Failure> {
        let Some(rows) = self.rows.next(FETCH_MAX).await? else { return Ok(false) };
        let mapped = self.mapping.map(&*self.crm, &rows, self.place, self.firsts.as_ref())?;
        let mut asked: Vec<bool> = mapped.rejects.iter().map(Option::is_none).collect();
        let mut fates: Vec<Option<Fate>> =
            mapped.rejects.into_iter().map(|reject| Some(Fate::Decided(Outcome::Refused(reject?)))).collect();
        for (row, place) in (0..rows.num_rows()).zip(self.place..) {
            let found = self.found.as_ref().and_then(|found| found.get(place));
            if let Some(known) = found.filter(|_| asked[row]) {
                asked[row] = false;
                fates[row] = Some(Fate::Decided(known.outcome()));
            }
        }
        if let Some(newest) = &self.newest {
            for row in newest.older(&rows).await?.into_iter().filter(|row| asked[*row]).collect::<Vec<_>>() {
                asked[row] = false;
                fates[row] = Some(Fate::Older);
            }
        }
        if let Some(compare) = &self.compare {
            let unchanged = compare.unchanged(&*self.crm, &mapped.records, &mapped.keys, &asked).await?;
            for (row, id) in unchanged.into_iter().enumerate() {
                if let Some(id) = id {
                    asked[row] = false;
                    fates[row] = Some(Fate::Decided(Outcome::Done { id, what: What::Unchanged }));
                }
            }
        }
        if asked.contains(&true) {
            let sound = rows::filter(&mapped.records, &asked)?;
            let mut encoded = self.crm.encode(&self.write, &self.plan, &sound)?.into_iter();
            for (fate, _) in fates.iter_mut().zip(asked).filter(|(_, asked)| *asked) {
                let record = encoded.next().ok_or_else(|| Failure::internal("a record was not encoded"))?;
                *fate = Some(match record {
                    Ok(payload) => Fate::Send(payload.bytes),
                    Err(reject) => Fate::Decided(Outcome::Refused(reject)),
                });
            }
        }
        self.place += rows.num_rows() as u64;
        self.waiting.push_back((rows, fates.into_iter().flatten().collect()));
        Ok(true)
    }
}
