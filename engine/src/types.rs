//! The types of values, as workflows see them, and how each is kept in Arrow.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};

/// The zone that Arrow carries for an instant; instants are always UTC inside.
pub const UTC: &str = "UTC";
/// Digits of money, before and after the point.
pub const MONEY: DataType = DataType::Decimal128(19, 4);
/// Keeps the order in which records arrived; made where a population is written, never shown to authors.
pub const SEQ: &str = "_seq";

/// Whether a column travels with the records and is never shown to authors: the order of arrival, versions.
pub fn is_hidden(field: &Field) -> bool {
    field.name() == SEQ || field.metadata().contains_key(meta::HIDDEN)
}

/// Names of what a column's Arrow metadata may carry.
pub mod meta {
    /// The column's label in the system it came from.
    pub const LABEL: &str = "label";
    /// The longest text it takes, in characters.
    pub const LENGTH: &str = "length";
    /// Of what the column identifies the record, such as the table `recipient`, of whose primary key it is.
    pub const KEY: &str = "key";
    /// The system's own name of the type, such as `Picklist`.
    pub const SYSTEM_TYPE: &str = "systemType";
    /// The IANA name of the time zone in which an instant is shown; UTC where there is none.
    pub const TIME_ZONE: &str = "timeZone";
    /// Of a column of text: that the database makes numbers of texts that look like some, so that it refuses 007.
    pub const MAKES_NUMBERS: &str = "makesNumbers";
    /// A JSON object from value to label, for picklists.
    pub const OPTIONS: &str = "options";
    /// Of a column that authors never see.
    pub const HIDDEN: &str = "hidden";
    /// Of the column of versions: the account that the records came from.
    pub const ACCOUNT: &str = "account";
    /// Of the column of versions: the object of which they are records.
    pub const OBJECT: &str = "object";
    /// Of the column of versions: the column that has their ids.
    pub const ID: &str = "id";
}

/// What a value is, to an author.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// Only null is known of it.
    Null,
    /// True or false.
    Bool,
    /// A whole number of 64 bits.
    Int,
    /// A binary floating point number of 64 bits.
    Float,
    /// An exact decimal number: money, and numbers a system describes as decimal.
    Decimal,
    /// Unicode text, also ids and GUIDs.
    Text,
    /// A day without time.
    Date,
    /// An instant.
    DateTime,
    /// A day and time of which the system says that it has no zone.
    LocalDateTime,
    /// A time of day.
    Time,
    /// Several values, such as a multi-select picklist.
    List(Box<Type>),
    /// Known only when it runs, such as a variable.
    Any,
}

impl Type {
    /// The type of a column; `None` for an Arrow type that no population holds.
    pub fn of(data: &DataType) -> Option<Self> {
        Some(match data {
            DataType::Null => Self::Null,
            DataType::Boolean => Self::Bool,
            DataType::Int32 | DataType::Int64 => Self::Int,
            DataType::Float64 => Self::Float,
            DataType::Decimal128(..) => Self::Decimal,
            DataType::Utf8 => Self::Text,
            DataType::Date32 => Self::Date,
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => Self::DateTime,
            DataType::Timestamp(TimeUnit::Microsecond, None) => Self::LocalDateTime,
            DataType::Time64(TimeUnit::Microsecond) => Self::Time,
            DataType::List(item) => Self::List(Box::new(Self::of(item.data_type())?)),
            _ => return None,
        })
    }

    /// How a value that was computed, rather than read from a system, is kept.
    pub fn arrow(&self) -> DataType {
        match self {
            Self::Null => DataType::Null,
            Self::Bool => DataType::Boolean,
            Self::Int => DataType::Int64,
            Self::Float => DataType::Float64,
            Self::Decimal => MONEY,
            Self::Text | Self::Any => DataType::Utf8,
            Self::Date => DataType::Date32,
            Self::DateTime => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
            Self::LocalDateTime => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::List(item) => DataType::List(Arc::new(Field::new_list_field(item.arrow(), true))),
        }
    }

    /// A column of this type that may be null.
    pub fn column(&self, name: &str) -> FieldRef {
        Arc::new(Field::new(name, self.arrow(), true))
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Bool => "true or false",
            Self::Int => "a whole number",
            Self::Float => "a number",
            Self::Decimal => "a decimal number",
            Self::Text => "text",
            Self::Date => "a date",
            Self::DateTime => "a date and time",
            Self::LocalDateTime => "a date and time without zone",
            Self::Time => "a time of day",
            Self::List(item) => return write!(f, "a list of {item}"),
            Self::Any => "anything",
        })
    }
}
