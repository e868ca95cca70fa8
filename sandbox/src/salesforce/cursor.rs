//! Queries that have further pages.

use std::sync::Arc;

use indexmap::IndexMap;

use super::{Settings, error::Error, id::Id, soql::Plan};

/// Queries that have further pages, by their locators.
#[derive(Debug, Default)]
pub(super) struct Cursors {
    open: IndexMap<String, Cursor>,
    given: u32,
}

/// A query that has further pages: its records are fixed, what they hold is read with each page.
#[derive(Debug, Clone)]
pub(super) struct Cursor {
    /// What was asked.
    pub(super) plan: Arc<Plan>,
    /// With records in the bin: further pages remember it.
    pub(super) with_deleted: bool,
    /// The records.
    pub(super) numbers: Arc<Vec<u32>>,
    /// Records on a page.
    pub(super) page_size: usize,
    /// When it was last asked for.
    used: i64,
}

impl Cursor {
    /// A query just asked.
    pub(super) fn new(plan: Plan, with_deleted: bool, numbers: Vec<u32>, page_size: usize, now: i64) -> Self {
        Self { plan: Arc::new(plan), with_deleted, numbers: Arc::new(numbers), page_size, used: now }
    }
}

impl Cursors {
    /// Keeps a query and returns its locator.
    pub(super) fn keep(&mut self, cursor: Cursor, settings: &Settings) -> String {
        while self.open.len() >= settings.locators_max.max(1) {
            self.open.shift_remove_index(0);
        }
        self.given += 1;
        let locator = Id::new("01g", self.given).to_string();
        self.open.insert(locator.clone(), cursor);
        locator
    }

    /// A query by its locator, if it is not lost.
    pub(super) fn get(&mut self, locator: &str, settings: &Settings, now: i64) -> Result<Cursor, Error> {
        self.open.retain(|_, cursor| now - cursor.used < settings.locator_seconds);
        let cursor = self.open.get_mut(locator).ok_or_else(lost)?;
        cursor.used = now;
        Ok(cursor.clone())
    }

    /// Loses all of them.
    pub(super) fn clear(&mut self) {
        self.open.clear();
    }
}

/// `INVALID_QUERY_LOCATOR`.
pub(super) fn lost() -> Error {
    Error::new("INVALID_QUERY_LOCATOR", "invalid query locator")
}
