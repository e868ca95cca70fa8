//! Versions of source records that exports send: an older one is not sent over a newer one.
//!
//! ```text
//!   a batch is cut, or is to be sent again ─▶ memory: is a newer version there? ─▶ older, in the temp file
//!   a batch is sent ─▶ memory: on their way ─▶ answer ─▶ memory: written, or not
//! ```
//!
//! Only a run that may have read older versions needs what is remembered, so that usually nothing is.

use std::sync::Arc;

use arrow::array::RecordBatch;
use engine::context::Cx;
use engine::failure::Failure;
use engine::outside::crm::{Operation, Outcome};
use engine::outside::memory::Memory;
use engine::version::{Target, Versions};

use super::batches::Cut;
use super::ledger::Ledger;
use super::ledger::state::{Entry, Fate};
use super::request::Request;
use crate::older::OlderVersions;

/// What other runs have sent of the same records.
pub(super) struct Newest {
    memory: Arc<dyn Memory>,
    /// The account and object that are written.
    to: String,
    key: Vec<String>,
    fields: Vec<String>,
    is_insert: bool,
    /// The latest run that may need to know what this export sends.
    until: Option<u64>,
}

/// The versions of a batch, remembered for another run while it is sent.
pub(super) struct Tracked {
    memory: Arc<dyn Memory>,
    target: Target,
    until: u64,
    /// Of each record that is sent, or known to be there, by its place in the batch.
    versions: Vec<(usize, String, i64)>,
    /// Which records of the batch are sent.
    is_sent: Vec<bool>,
}

impl Newest {
    /// None if older versions are written as well.
    pub(super) async fn new(cx: &Cx, request: &Request) -> Result<Option<Arc<Self>>, Failure> {
        if request.older == OlderVersions::Write {
            return Ok(None);
        }
        let write = &request.write;
        Ok(Some(Arc::new(Self {
            memory: Arc::clone(cx.memory()),
            to: format!("{} {}", request.account, write.object.name),
            key: write.key.clone(),
            fields: write.fields.iter().map(|field| field.field.name.clone()).collect(),
            is_insert: write.operation == Operation::Insert,
            until: cx.remembers_until().await?,
        })))
    }

    fn target(&self, versions: &Versions) -> Target {
        Target::new(versions, &self.to, &self.key, Some(self.fields.clone()))
    }

    /// The places of records of which a newer version is there, or on its way.
    pub(super) async fn older(&self, rows: &RecordBatch) -> Result<Vec<usize>, Failure> {
        match Versions::of(rows) {
            Some(versions) => self.memory.older(&self.target(&versions), &versions).await,
            None => Ok(Vec::new()),
        }
    }

    /// Leaves out such records of a batch that may have been sent already, and has that durable. Of an insert, it must first
    /// be found out what became of it.
    pub(super) async fn leave_out_overtaken(&self, ledger: &Ledger, batch: u64, cut: &mut Cut) -> Result<(), Failure> {
        if self.is_insert {
            return Ok(());
        }
        let mut older = self.older(&cut.rows).await?;
        older.retain(|row| matches!(cut.fates.get(*row), Some(Fate::Send(_))));
        if older.is_empty() {
            return Ok(());
        }
        let rows = older.iter().filter_map(|row| u32::try_from(*row).ok()).collect();
        ledger.append(&Entry::Older { batch, rows })?.durable().await?;
        older.into_iter().for_each(|row| cut.fates[row] = Fate::Older);
        Ok(())
    }

    /// What must be remembered of a batch, if another run may need it.
    pub(super) fn track(&self, cut: &Cut) -> Option<Tracked> {
        let until = self.until?;
        let versions = Versions::of(&cut.rows)?;
        let is_there = |fate: &Fate| !matches!(fate, Fate::Decided(Outcome::Refused(_)) | Fate::Older);
        let of = |(row, fate): (usize, &Fate)| {
            let (id, version) = versions.get(row).filter(|_| is_there(fate))?;
            Some((row, id.to_owned(), version))
        };
        let (memory, target) = (Arc::clone(&self.memory), self.target(&versions));
        let is_sent = cut.fates.iter().map(|fate| matches!(fate, Fate::Send(_))).collect();
        let versions: Vec<_> = cut.fates.iter().enumerate().filter_map(of).collect();
        (!versions.is_empty()).then_some(Tracked { memory, target, until, versions, is_sent })
    }
}

impl Tracked {
    /// Remembers that the batch is on its way.
    pub(super) async fn sending(&self) -> Result<(), Failure> {
        let versions = self.versions.iter().map(|(_, id, version)| (id.clone(), *version)).collect();
        self.memory.sending(&self.target, versions, self.until).await
    }

    /// Remembers what came of it: the outcomes of the records that were sent, in their order. What is in doubt may be there.
    pub(super) async fn sent(self, outcomes: &[Outcome]) -> Result<(), Failure> {
        let mut outcomes = outcomes.iter();
        let is_refused: Vec<bool> = self
            .is_sent
            .iter()
            .map(|is_sent| *is_sent && matches!(outcomes.next(), Some(Outcome::Refused(_))))
            .collect();
        let versions = self.versions.into_iter().map(|(row, id, version)| (id, version, !is_refused[row])).collect();
        self.memory.sent(&self.target, versions).await
    }
}
