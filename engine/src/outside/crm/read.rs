//! Reading: what is asked for, and the pages that come.

use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::{concat, filter};
use arrow::datatypes::{FieldRef, Int64Type, Schema, SchemaRef};
use arrow::error::ArrowError;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Object, ObjectField};
use crate::expr::Expr;

/// The longest resume cursor, in bytes: it goes into the journal.
pub const CURSOR_BYTES_MAX: usize = 8 * 1024;

/// A request to read records.
#[derive(Debug, Clone)]
pub struct Read {
    /// What is read.
    pub object: Arc<Object>,
    /// Columns, in order.
    pub fields: Vec<ReadField>,
    /// Records to return; what the CRM cannot evaluate exactly it leaves out, so that more may come.
    pub filter: Option<Expr>,
    /// The order in which they come; empty for an order that pages best.
    pub order: Vec<OrderBy>,
    /// The automatic index's window.
    pub window: Option<Window>,
    /// The part of the whole that this reading is for, where several read side by side.
    pub range: Option<Range>,
    /// Reads the system's feed of changes instead of asking by `window`; the filter may then be evaluated here alone.
    pub feed: Option<Feed>,
    /// Also what people who use the CRM no longer see: deleted, archived and merged records.
    pub all: bool,
}

impl Read {
    /// A reading of these fields of all records.
    pub fn new(object: Arc<Object>, fields: Vec<ReadField>) -> Self {
        Self { object, fields, filter: None, order: Vec::new(), window: None, range: None, feed: None, all: false }
    }

    /// The columns of each page.
    pub fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(self.fields.iter().map(ReadField::column).collect::<Vec<_>>()))
    }
}

/// A field to read.
#[derive(Debug, Clone)]
pub struct ReadField {
    /// As described.
    pub field: ObjectField,
    /// The value as the CRM wrote it, as text.
    pub raw: bool,
}

impl ReadField {
    /// The column it becomes, with label, length, key and the system's type in its metadata.
    pub fn column(&self) -> FieldRef {
        self.field.column(self.raw)
    }
}

/// One column to order by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderBy {
    /// The field.
    pub field: String,
    /// From the largest down. Nulls come first ascending, last descending.
    pub descending: bool,
}

/// The part of time that an incremental import reads, by one date field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The index field.
    pub field: String,
    /// The first instant read; none reads from the beginning.
    pub from: Option<Timestamp>,
    /// The first instant not read.
    pub to: Timestamp,
}

/// A part of a reading, by the values of one field. Durable: a reading goes on range by range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Range {
    /// The field.
    pub field: String,
    /// The first value that belongs to it, as the system writes it; none for all from the least on, nulls included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The first value that no longer belongs to it; none for all up to the greatest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// A place in a system's feed of changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feed {
    /// What the last page of the last reading gave as [`Page::feed`]; none for a first, full reading.
    pub since: Option<String>,
    /// The CRM's clock when the reading began; what happens later is for the next one.
    pub to: Timestamp,
}

/// A request for the ids of records that were deleted.
#[derive(Debug, Clone)]
pub struct ReadDeleted {
    /// Of what.
    pub object: Arc<Object>,
    /// When.
    pub span: DeletedSpan,
}

/// When records were deleted that are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeletedSpan {
    /// From the first instant to the last, both included.
    Period {
        /// The first instant.
        from: Timestamp,
        /// The last instant.
        to: Timestamp,
    },
    /// Whatever the system has not told yet.
    Since {
        /// What [`DeletedPage::covered`] said last; none where nothing was asked before.
        from: Option<Timestamp>,
        /// The place in the feed that [`DeletedPage::feed`] said last.
        feed: Option<String>,
    },
}

/// Some deleted records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeletedPage {
    /// Each with the time of its deletion where the system tells it.
    pub records: Vec<Deleted>,
    /// How to read on after this page; `None` after the last one.
    pub next: Option<Cursor>,
    /// On the last page: up to when the system says that this is all. The next reading begins there.
    pub covered: Option<Timestamp>,
    /// On the last page of a feed: where the next reading begins.
    pub feed: Option<String>,
}

/// A deleted record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deleted {
    /// Its id.
    pub id: String,
    /// When.
    pub at: Option<Timestamp>,
}

/// What a CRM would be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The request as it is sent, without host.
    pub text: String,
    /// The part of it that stands for the author's filter, if any of it could be sent.
    pub filter: Option<String>,
    /// Whether that part lets exactly the right records through.
    pub exact: bool,
}

/// Where a reading goes on; only the connector that made it understands it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(pub Value);

/// Some records as they came.
#[derive(Debug, Clone)]
pub struct Page {
    /// Those that fit their types.
    pub records: RecordBatch,
    /// The version of each of `records`.
    pub versions: Option<Versions>,
    /// Those that do not.
    pub rejects: Vec<Misfit>,
    /// Records that a feed of changes reports as deleted, among these.
    pub deleted: Vec<Deleted>,
    /// How to read on after this page; `None` after the last one.
    pub next: Option<Cursor>,
    /// On the last page of a feed of changes: where the next import begins.
    pub feed: Option<String>,
    /// On the last page of a feed of changes, where the system says it: up to when this is all.
    pub covered: Option<Timestamp>,
}

impl Page {
    /// These records, without versions, and nothing after them.
    pub fn new(records: RecordBatch) -> Self {
        let (rejects, deleted) = (Vec::new(), Vec::new());
        Self { records, versions: None, rejects, deleted, next: None, feed: None, covered: None }
    }
}

/// The versions of records.
#[derive(Debug, Clone)]
pub struct Versions {
    /// As the CRM names them: two equal ones are the same content.
    pub exact: StringArray,
    /// Numbers that grow with every change of a record, of which two changes in quick succession may have the same; null if
    /// it is not known.
    pub order: Int64Array,
}

impl Versions {
    /// Those of so many records, from one of them on.
    #[must_use]
    pub fn slice(&self, from: usize, rows: usize) -> Self {
        Self { exact: self.exact.slice(from, rows), order: self.order.slice(from, rows) }
    }

    /// Those of the records that stay.
    ///
    /// # Errors
    /// If `keep` is not of as many records.
    pub fn filter(&self, keep: &BooleanArray) -> Result<Self, ArrowError> {
        let exact = filter(&self.exact, keep)?.as_string::<i32>().clone();
        Ok(Self { exact, order: filter(&self.order, keep)?.as_primitive::<Int64Type>().clone() })
    }

    /// Those of several pages; none if one of them has none.
    ///
    /// # Errors
    /// If there are too many for one array.
    pub fn concat<'a>(pages: impl IntoIterator<Item = Option<&'a Self>>) -> Result<Option<Self>, ArrowError> {
        let pages: Option<Vec<&Self>> = pages.into_iter().collect();
        let Some(pages) = pages.filter(|pages| !pages.is_empty()) else { return Ok(None) };
        let all = |of: fn(&Self) -> &dyn Array| concat(&pages.iter().map(|page| of(page)).collect::<Vec<_>>());
        let exact = all(|page| &page.exact)?.as_string::<i32>().clone();
        Ok(Some(Self { exact, order: all(|page| &page.order)?.as_primitive::<Int64Type>().clone() }))
    }
}

/// A record that does not fit the types that the CRM itself described.
#[derive(Debug, Clone)]
pub struct Misfit {
    /// One row of the page's columns; a value that does not fit is null.
    pub record: RecordBatch,
    /// The field that does not fit.
    pub field: String,
    /// What it held and what was expected.
    pub message: String,
}
