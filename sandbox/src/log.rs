//! What was asked and what was changed, kept in memory with named limits.

use std::collections::VecDeque;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::data::By;

/// Changes kept for `GET /admin/changes` of either system; the oldest fall out.
pub(crate) const CHANGES_KEPT: usize = 500_000;

/// Requests kept for `GET /admin/requests`; the oldest fall out.
pub(crate) const REQUESTS_KEPT: usize = 100_000;

/// Request headers that the log shows. The token is never among them.
pub(crate) const HEADERS_LOGGED: &[&str] = &[
    "accept",
    "accept-encoding",
    "content-type",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-unmodified-since",
    "odata-version",
    "prefer",
    "sforce-duplicate-rule-header",
    "sforce-query-options",
    "user-agent",
];

/// One request and how it was answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Counts up from 1 and never starts again.
    pub number: u64,
    /// When it came, by the sandbox's clock.
    pub at: String,
    /// `GET`, `POST`, …
    pub method: String,
    /// Path and query as they came.
    pub path: String,
    /// What it asked for: `token`, `whoami`, `metadata`, `query`, `page`, `record`, `write` or `other`.
    pub route: String,
    /// Those of its headers that change the answer.
    pub headers: IndexMap<String, String>,
    /// Status of the answer; 0 if the connection was cut before it.
    pub status: u16,
    /// Length of the answer's body in bytes, before any cut.
    pub bytes: usize,
    /// Time to make the answer in real milliseconds, without injected delays.
    pub duration_ms: f64,
    /// Numbers of the faults that fired on it.
    pub faults: Vec<u64>,
}

/// One change of one record.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Counts up from 1 and never starts again.
    pub number: u64,
    /// When, by the sandbox's clock.
    pub at: String,
    /// Who.
    pub by: By,
    /// What.
    pub kind: ChangeKind,
    /// Set of the record, such as `contacts`.
    pub set: String,
    /// Its id.
    pub id: String,
    /// Every field that the change named, also if its value stayed the same.
    pub fields: Vec<FieldChange>,
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ChangeKind {
    /// It was not there.
    Created,
    /// It was there.
    Updated,
    /// It is gone.
    Deleted,
}

/// One field of a change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldChange {
    /// Logical name.
    pub field: String,
    /// Value before.
    pub old: serde_json::Value,
    /// Value after.
    pub new: serde_json::Value,
}

/// Entries in order with their numbers, of which the last `kept` are kept.
#[derive(Debug)]
pub(crate) struct Numbered<T> {
    entries: VecDeque<T>,
    next: u64,
    kept: usize,
}

impl<T> Numbered<T> {
    /// An empty log that keeps so many entries.
    pub(crate) fn new(kept: usize) -> Self {
        Self { entries: VecDeque::new(), next: 1, kept }
    }

    /// Adds the entry that `make` makes of its number.
    pub(crate) fn push(&mut self, make: impl FnOnce(u64) -> T) {
        if self.entries.len() == self.kept {
            self.entries.pop_front();
        }
        self.entries.push_back(make(self.next));
        self.next += 1;
    }

    /// Entries from this number on with their numbers, as far as they are kept.
    pub(crate) fn from(&self, number: u64) -> impl Iterator<Item = (u64, &T)> {
        let first = self.next - u64::try_from(self.entries.len()).unwrap_or(0);
        let from = number.clamp(first, self.next);
        let place = usize::try_from(from - first).unwrap_or(usize::MAX);
        (from..).zip(self.entries.range(place..))
    }

    /// Forgets the entries from this number on, and gives their numbers anew.
    pub(crate) fn forget_from(&mut self, number: u64) {
        while self.next > number && self.entries.pop_back().is_some() {
            self.next -= 1;
        }
    }

    /// The number of the next entry.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Forgets the entries; numbers go on.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }
}
