//! What a CRM can do for us. One implementation a system, in the crate `crm`.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use futures::stream::BoxStream;
use indexmap::IndexMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::expr::Expr;
use crate::failure::Failure;
use crate::types::{MONEY, UTC, meta};

/// The longest resume cursor, in bytes: it goes into the journal.
pub const CURSOR_BYTES_MAX: usize = 8 * 1024;

/// One account of a CRM.
#[async_trait]
pub trait Crm: Send + Sync {
    /// The system's name as a reader knows it, such as `Dynamics`.
    fn system(&self) -> &'static str;

    /// Index fields of the automatic index, the first that an object has is taken.
    fn index_fields(&self) -> &'static [&'static str];

    /// The CRM's own clock, read from an answer of it now.
    ///
    /// # Errors
    /// Where the CRM cannot be reached or refuses the login.
    async fn now(&self) -> Result<Timestamp, Failure>;

    /// The objects that the account may read, by name with label.
    ///
    /// # Errors
    /// Where the CRM cannot be reached or refuses the login.
    async fn objects(&self) -> Result<Vec<ObjectName>, Failure>;

    /// Describes one object with all its fields, asking the CRM.
    ///
    /// # Errors
    /// `Class::Config` where there is no such object; the message offers similar names.
    async fn describe(&self, object: &str) -> Result<Object, Failure>;

    /// The query that [`read`](Crm::read) would begin with, for `explain` and the journal.
    ///
    /// # Errors
    /// Where the request cannot be expressed, such as a field that the object lacks.
    fn query(&self, read: &Read) -> Result<Query, Failure>;

    /// Reads records, a page at a time, from the beginning or from the cursor of an earlier page.
    ///
    /// Columns of each page are those of [`Read::schema`], in its order. A page whose records fit is decoded at once;
    /// records that do not fit their type are in [`Page::rejects`]. Between pages the stream fetches ahead.
    fn read(&self, read: Arc<Read>, from: Option<Cursor>) -> BoxStream<'static, Result<Page, Failure>>;

    /// Checks the account step by step, for `accounts test`.
    async fn test(&self) -> Vec<Step>;
}

/// A name of an object, for lists and "did you mean".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectName {
    /// As workflows write it, such as `contacts`.
    pub name: String,
    /// As people see it.
    pub label: String,
}

/// One step of a test of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What was tried, such as "log in".
    pub name: String,
    /// What came of it; the failure's help says what is missing.
    pub result: Result<String, Failure>,
}

/// An object of a CRM as the CRM describes it; kept between runs, so it is versioned by its fields' defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Object {
    /// As workflows write it, such as `contacts`.
    pub name: String,
    /// As people see it.
    pub label: String,
    /// The system's internal name where it differs, such as `contact`.
    pub internal_name: String,
    /// The field that identifies a record.
    pub id: String,
    /// By name.
    pub fields: IndexMap<String, ObjectField>,
}

impl Object {
    /// The field of the automatic index: the first of `candidates` that this object has as a date and time.
    pub fn index_field(&self, candidates: &[&str]) -> Option<&ObjectField> {
        candidates.iter().find_map(|name| self.fields.get(*name)).filter(|field| field.is_date_time())
    }
}

/// A field of an object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectField {
    /// As workflows write it.
    pub name: String,
    /// As people see it.
    pub label: String,
    /// The system's own type, such as `Picklist`.
    pub system_type: String,
    /// What a population keeps.
    pub kind: FieldKind,
    /// The longest text, in characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u32>,
    /// Values and labels of a picklist.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub options: IndexMap<String, String>,
    /// Whether it may be read.
    pub readable: bool,
    /// Whether a new record may set it.
    pub creatable: bool,
    /// Whether it may be changed.
    pub updatable: bool,
    /// Whether the CRM refuses a record without it.
    pub required: bool,
}

impl ObjectField {
    /// The column it becomes, with label, length, key and the system's type in its metadata.
    pub fn column(&self, raw: bool) -> FieldRef {
        let data = if raw { DataType::Utf8 } else { self.kind.arrow() };
        let mut metadata = HashMap::from([
            (meta::LABEL.to_owned(), self.label.clone()),
            (meta::SYSTEM_TYPE.to_owned(), self.system_type.clone()),
        ]);
        if let Some(length) = self.length {
            metadata.insert(meta::LENGTH.to_owned(), length.to_string());
        }
        if !self.options.is_empty()
            && let Ok(options) = serde_json::to_string(&self.options)
        {
            metadata.insert(meta::OPTIONS.to_owned(), options);
        }
        Arc::new(Field::new(&self.name, data, true).with_metadata(metadata))
    }

    /// Whether it can be the field of an automatic index.
    pub fn is_date_time(&self) -> bool {
        self.kind == FieldKind::DateTime
    }
}

/// What kind of value a field holds; each has one Arrow type, see [`FieldKind::arrow`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FieldKind {
    /// Text, ids and GUIDs.
    Text,
    /// The id of another record; the type of that record is in a column of its own, see [`ObjectField::name`].
    Lookup,
    /// True or false.
    Bool,
    /// A whole number of 32 bits.
    Int,
    /// A whole number of 64 bits.
    BigInt,
    /// A binary floating point number.
    Double,
    /// Money: 19 digits, 4 of them after the point.
    Money,
    /// An exact decimal number with so many digits after the point.
    Decimal {
        /// Digits after the point.
        scale: i8,
    },
    /// A day.
    Date,
    /// An instant.
    DateTime,
    /// Day and time independent of zones.
    LocalDateTime,
    /// A time of day.
    Time,
    /// One of a list of numbers.
    Picklist,
    /// One of a list of texts.
    TextPicklist,
    /// Several of a list of numbers.
    MultiPicklist,
    /// Several of a list of texts.
    TextMultiPicklist,
}

impl FieldKind {
    /// How a population keeps it.
    pub fn arrow(self) -> DataType {
        let list = |item: DataType| DataType::List(Arc::new(Field::new_list_field(item, true)));
        match self {
            Self::Text | Self::Lookup | Self::TextPicklist => DataType::Utf8,
            Self::Bool => DataType::Boolean,
            Self::Int | Self::Picklist => DataType::Int32,
            Self::BigInt => DataType::Int64,
            Self::Double => DataType::Float64,
            Self::Money => MONEY,
            Self::Decimal { scale } => DataType::Decimal128(38, scale),
            Self::Date => DataType::Date32,
            Self::DateTime => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
            Self::LocalDateTime => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::MultiPicklist => list(DataType::Int32),
            Self::TextMultiPicklist => list(DataType::Utf8),
        }
    }
}

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
}

impl Read {
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
    /// The version of each of `records`, as the CRM numbers versions; two equal ones are the same content.
    pub versions: Option<StringArray>,
    /// Those that do not.
    pub rejects: Vec<Misfit>,
    /// How to read on after this page; `None` after the last one.
    pub next: Option<Cursor>,
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
