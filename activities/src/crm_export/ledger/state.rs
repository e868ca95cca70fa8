//! What a ledger says: the fold of its entries. No I/O.
//!
//! ```text
//!   records of the input   0 ─────────────┬──────────────┬────────────┬─── next ─▶ not yet looked at
//!                             batch 0     │   batch 1    │  batch 2   │
//!                             answered    │   intended   │  answered  │
//!                                              └─▶ sent again, with `again`
//! ```
//!
//! Batches cover the input from its first record on, one after the other and without a gap, so no record is ever in two.
//! A batch holds the payloads of its records that are sent, and what was decided of those that are not.

use bytes::{Buf, BufMut, Bytes};
use engine::outside::crm::{Outcome, WritePlan};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::pinned::Pinned;

/// What must be the same whenever the export goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Header {
    /// How records are written.
    pub(crate) plan: WritePlan,
    /// BLAKE3 of the activity's settings.
    pub(crate) settings: String,
    /// What expressions read beside the records.
    pub(crate) pinned: Pinned,
    /// The checksum of the file that tells the first record of each key.
    pub(crate) firsts: Option<String>,
    /// Records that come in.
    pub(crate) records: u64,
    /// The checksum of the file that has what earlier exports did with some of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) found: Option<String>,
}

/// What is to become of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// This is sent.
    Send(Bytes),
    /// Nothing is sent, since this is known already.
    Decided(Outcome),
    /// Nothing is sent, since a newer version of the record is.
    Older,
}

/// An entry.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Entry {
    /// The first one.
    Header(Box<Header>),
    /// A batch will be sent.
    Intended { batch: u64, from: u64, records: Vec<Fate> },
    /// How far the sending of a batch has come, in the connector's words.
    Step { batch: u64, step: Value },
    /// These records of a batch are not sent again, since newer versions of them are.
    Older { batch: u64, rows: Vec<u32> },
    /// What became of the records of a batch that were sent, in their order.
    Answered { batch: u64, outcomes: Vec<Outcome> },
}

const HEADER: u8 = 1;
const INTENDED: u8 = 2;
const STEP: u8 = 3;
pub(super) const ANSWERED: u8 = 4;
const OVERTAKEN: u8 = 5;
const SEND: u8 = 0;
const DECIDED: u8 = 1;
const OLDER: u8 = 2;

#[derive(Serialize, Deserialize)]
struct StepText {
    batch: u64,
    step: Value,
}

#[derive(Serialize, Deserialize)]
struct OlderText {
    batch: u64,
    rows: Vec<u32>,
}

#[derive(Serialize, Deserialize)]
struct AnsweredText {
    batch: u64,
    outcomes: Vec<Outcome>,
}

impl Entry {
    /// Its kind and its bytes.
    pub(crate) fn encode(&self) -> Result<(u8, Vec<u8>), serde_json::Error> {
        Ok(match self {
            Self::Header(header) => (HEADER, serde_json::to_vec(header)?),
            Self::Step { batch, step } => (STEP, serde_json::to_vec(&StepText { batch: *batch, step: step.clone() })?),
            Self::Answered { batch, outcomes } => {
                (ANSWERED, serde_json::to_vec(&AnsweredText { batch: *batch, outcomes: outcomes.clone() })?)
            }
            Self::Older { batch, rows } => {
                (OVERTAKEN, serde_json::to_vec(&OlderText { batch: *batch, rows: rows.clone() })?)
            }
            Self::Intended { batch, from, records } => (INTENDED, intended(*batch, *from, records)?),
        })
    }

    /// Reads it; `None` where this build does not understand it.
    pub(crate) fn decode(kind: u8, payload: Bytes) -> Option<Self> {
        match kind {
            HEADER => serde_json::from_slice(&payload).ok().map(Self::Header),
            STEP => {
                let StepText { batch, step } = serde_json::from_slice(&payload).ok()?;
                Some(Self::Step { batch, step })
            }
            ANSWERED => {
                let AnsweredText { batch, outcomes } = serde_json::from_slice(&payload).ok()?;
                Some(Self::Answered { batch, outcomes })
            }
            OVERTAKEN => {
                let OlderText { batch, rows } = serde_json::from_slice(&payload).ok()?;
                Some(Self::Older { batch, rows })
            }
            INTENDED => read_intended(payload),
            _ => None,
        }
    }
}

/// Payloads as they are: they may be large, and are read back byte by byte the same.
fn intended(batch: u64, from: u64, records: &[Fate]) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = Vec::new();
    bytes.put_u64_le(batch);
    bytes.put_u64_le(from);
    bytes.put_u64_le(records.len() as u64);
    for record in records {
        match record {
            Fate::Send(payload) => {
                bytes.put_u8(SEND);
                bytes.put_u64_le(payload.len() as u64);
                bytes.put_slice(payload);
            }
            Fate::Decided(outcome) => {
                let outcome = serde_json::to_vec(outcome)?;
                bytes.put_u8(DECIDED);
                bytes.put_u64_le(outcome.len() as u64);
                bytes.put_slice(&outcome);
            }
            Fate::Older => {
                bytes.put_u8(OLDER);
                bytes.put_u64_le(0);
            }
        }
    }
    Ok(bytes)
}

fn read_intended(mut bytes: Bytes) -> Option<Entry> {
    let batch = bytes.try_get_u64_le().ok()?;
    let from = bytes.try_get_u64_le().ok()?;
    let count = bytes.try_get_u64_le().ok()?;
    let mut records = Vec::new();
    for _ in 0..count {
        let tag = bytes.try_get_u8().ok()?;
        let length = usize::try_from(bytes.try_get_u64_le().ok()?).ok()?;
        if length > bytes.remaining() {
            return None;
        }
        let value = bytes.split_to(length);
        records.push(match tag {
            SEND => Fate::Send(value),
            DECIDED => Fate::Decided(serde_json::from_slice(&value).ok()?),
            OLDER => Fate::Older,
            _ => return None,
        });
    }
    bytes.is_empty().then_some(Entry::Intended { batch, from, records })
}

/// What is known of a batch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Batch {
    /// The place of its first record.
    pub(crate) from: u64,
    /// Its records, sent or not.
    pub(crate) records: u64,
    /// Those that are sent.
    pub(crate) payloads: u64,
    /// Where its entry is.
    pub(crate) at: u64,
    /// Those that are no longer to be sent, by their places in the batch.
    pub(crate) older: Vec<u32>,
    /// The last step.
    pub(crate) step: Option<Value>,
    /// Where its answer is.
    pub(crate) answered: Option<u64>,
}

/// What a ledger says.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct State {
    /// `None` where nothing was recorded yet.
    pub(crate) header: Option<Header>,
    /// By number.
    pub(crate) batches: Vec<Batch>,
}

impl State {
    /// The place of the first record that no batch holds.
    pub(crate) fn next(&self) -> u64 {
        self.batches.last().map_or(0, |batch| batch.from + batch.records)
    }

    /// Takes in the entry that is at `at`.
    ///
    /// # Errors
    /// Why it cannot follow the ones before it.
    pub(crate) fn apply(&mut self, at: u64, entry: Entry) -> Result<(), String> {
        match entry {
            Entry::Header(header) if self.header.is_none() => self.header = Some(*header),
            Entry::Header(_) => return Err("a second header".to_owned()),
            _ if self.header.is_none() => return Err("an entry before the header".to_owned()),
            Entry::Intended { batch, from, records } => {
                if batch != self.batches.len() as u64 || from != self.next() || records.is_empty() {
                    return Err(format!("batch {batch} from record {from} on cannot follow"));
                }
                let payloads = records.iter().filter(|fate| matches!(fate, Fate::Send(_))).count() as u64;
                let records = records.len() as u64;
                self.batches.push(Batch { from, records, payloads, at, older: Vec::new(), step: None, answered: None });
            }
            Entry::Older { batch, rows } => {
                let known = self.unanswered(batch)?;
                known.payloads = known.payloads.saturating_sub(rows.len() as u64);
                known.older.extend(rows);
            }
            Entry::Step { batch, step } => self.unanswered(batch)?.step = Some(step),
            Entry::Answered { batch, outcomes } => {
                let known = self.unanswered(batch)?;
                if outcomes.len() as u64 != known.payloads {
                    return Err(format!("batch {batch} has {} outcomes, not {}", outcomes.len(), known.payloads));
                }
                known.answered = Some(at);
            }
        }
        Ok(())
    }

    fn unanswered(&mut self, batch: u64) -> Result<&mut Batch, String> {
        let known = usize::try_from(batch).ok().and_then(|batch| self.batches.get_mut(batch));
        known.filter(|known| known.answered.is_none()).ok_or(format!("batch {batch} does not wait for an answer"))
    }
}
