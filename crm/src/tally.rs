//! What became of each record of a batch, and how far it has come where no record may be sent twice.
//!
//! ```text
//!   open ─▶ about to be sent ─┬─ answered ────────────▶ known
//!           (a durable step)  ├─ refused as a whole ──▶ open (a durable step, before any wait); it is sent again
//!                             └─ no answer ───────────▶ in doubt; the others go on
//! ```

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use engine::failure::{Class, Failure};
use engine::outside::crm::{Batch, Outcome, Steps};
use serde::{Deserialize, Serialize};

use crate::http::Gate;

/// Why records are in doubt that were about to be sent when the process ended.
const INTERRUPTED: &str = "Campanile was interrupted before it recorded an answer";

/// What must be known when the batch is sent again.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    /// What became of each record. One without an outcome was surely not taken, unless it is one of `asked`.
    known: Vec<Option<Outcome>>,
    /// The places of records that were about to be sent.
    asked: Vec<usize>,
    /// Why no answer came for them, if the process saw that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unanswered: Option<String>,
}

/// The records of a batch by their places, from 0.
pub(crate) struct Tally<'a> {
    steps: &'a dyn Steps,
    /// Why a record without an answer is not sent again; none where sending it twice is the same as sending it once.
    doubt: Option<&'static str>,
    known: Vec<Option<Outcome>>,
    /// Whether the last step says that nothing is under way, and all that is known.
    rests: AtomicBool,
}

impl<'a> Tally<'a> {
    /// Begins a batch, or goes on with one.
    pub(crate) fn resume(batch: &Batch<'a>, doubt: Option<&'static str>) -> Self {
        let records = batch.payloads.len();
        let step = batch.steps.last().and_then(|step| serde_json::from_value::<Step>(step).ok());
        let step = step.filter(|step| step.known.len() == records);
        let asked = || (0..records).filter(|_| batch.again).collect();
        let unknown = || Step { known: vec![None; records], asked: asked(), unanswered: None };
        let Step { known, asked, unanswered } = step.unwrap_or_else(unknown);
        let mut tally = Self { steps: batch.steps, doubt, known, rests: AtomicBool::new(false) };
        tally.give_up(&asked, unanswered.as_deref().unwrap_or(INTERRUPTED));
        tally
    }

    /// Records without an outcome.
    pub(crate) fn open(&self) -> Vec<usize> {
        (0..self.known.len()).filter(|row| self.known[*row].is_none()).collect()
    }

    pub(crate) fn outcome(&self, row: usize) -> Option<&Outcome> {
        self.known[row].as_ref()
    }

    pub(crate) fn set(&mut self, row: usize, outcome: Outcome) {
        self.known[row] = Some(outcome);
        *self.rests.get_mut() = false;
    }

    /// Forgets a refusal that may pass: the record is to be sent once more.
    pub(crate) fn reopen(&mut self, row: usize) {
        self.known[row] = None;
        *self.rests.get_mut() = false;
    }

    /// The gate of a request for these records.
    pub(crate) fn gate<'t>(&'t self, rows: &'t [usize]) -> impl Gate + 't {
        Requested { tally: self, rows }
    }

    /// Records that nothing is under way, before a wait or a failure.
    pub(crate) async fn rest(&self) -> Result<(), Failure> {
        if self.doubt.is_none() || self.rests.load(Ordering::Relaxed) { Ok(()) } else { self.note(&[]).await }
    }

    /// Records what is known, and that these were about to be sent.
    pub(crate) async fn note(&self, asked: &[usize]) -> Result<(), Failure> {
        self.record(asked, None).await
    }

    async fn record(&self, asked: &[usize], unanswered: Option<String>) -> Result<(), Failure> {
        let step = Step { known: self.known.clone(), asked: asked.to_vec(), unanswered };
        let step = serde_json::to_value(step).map_err(|error| Failure::internal(error.to_string()))?;
        self.steps.record(step).await?;
        self.rests.store(asked.is_empty(), Ordering::Relaxed);
        Ok(())
    }

    /// A request for these brought no outcome. `Ok` where they are in doubt now, and the others may go on.
    ///
    /// # Errors
    /// The failure, where the batch is to be sent again. What is known is not lost by that.
    pub(crate) async fn failed(&mut self, rows: &[usize], failure: Failure) -> Result<(), Failure> {
        let Some(doubt) = self.doubt else { return Err(failure) };
        match failure.class {
            Class::InDoubt if rows.len() == self.known.len() => {
                self.record(rows, Some(failure.message.clone())).await?;
                Err(failure)
            }
            Class::InDoubt => {
                tracing::warn!(records = rows.len(), %failure, doubt, "they are in doubt");
                self.give_up(rows, &failure.message);
                Ok(())
            }
            _ => {
                self.rest().await?;
                Err(failure)
            }
        }
    }

    /// Those of these records that are open are in doubt, because no answer came for this reason.
    fn give_up(&mut self, rows: &[usize], unanswered: &str) {
        let Some(doubt) = self.doubt else { return };
        for row in rows {
            if let Some(open) = self.known.get_mut(*row).filter(|known| known.is_none()) {
                *open = Some(Outcome::InDoubt { reason: format!("{unanswered}; {doubt}") });
            }
        }
        *self.rests.get_mut() = false;
    }

    /// The outcomes of those that have one.
    pub(crate) fn into_known(self) -> Vec<Option<Outcome>> {
        self.known
    }

    /// The outcomes of all records.
    ///
    /// # Errors
    /// Only a fault of ours.
    pub(crate) fn finish(self) -> Result<Vec<Outcome>, Failure> {
        let lost = || Failure::internal("a record without an outcome");
        self.known.into_iter().map(|outcome| outcome.ok_or_else(lost)).collect()
    }
}

/// A request for some records of a tally.
struct Requested<'t> {
    tally: &'t Tally<'t>,
    rows: &'t [usize],
}

#[async_trait]
impl Gate for Requested<'_> {
    async fn rests(&self) -> Result<(), Failure> {
        self.tally.rest().await
    }

    /// Of the first request of a batch, if it holds all of it, the batch's intent says this already.
    async fn leaves(&self) -> Result<(), Failure> {
        let Self { tally, rows } = self;
        let is_intended = rows.len() == tally.known.len() && tally.steps.last().is_none();
        if tally.doubt.is_none() || is_intended { Ok(()) } else { tally.note(rows).await }
    }
}
