//! The one written form of each type: in files, in text columns of the database, and within lists.
//!
//! | Type | Written |
//! | --- | --- |
//! | true or false | `true`, `false` |
//! | whole number | `-5`, all digits |
//! | number | `0.1`, as few digits as bring it back |
//! | decimal number | `12.5`, all digits without needless zeros |
//! | text | as it is |
//! | date | `2026-01-31` |
//! | date and time | `2026-01-31 13:05:00.000000Z`, always UTC and six digits, so that the order of the text is that of time |
//! | date and time without zone | `2026-01-31 13:05:00.000000` |
//! | time of day | `13:05:00.000000` |
//! | list | a JSON array: `["a","b"]`, `[1,3]`, `["12.5"]`; numbers, true and false as JSON has them, all else as text |

use std::borrow::Cow;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
    ListArray, StringArray, Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, Time64MicrosecondType, TimeUnit,
    TimestampMicrosecondType,
};
use jiff::SignedDuration;
use jiff::civil::DateTime;
use serde_json::Value as Json;

/// Dates and times are counted from here; jiff's own instants end a day before the last date.
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
const DAY_S: i64 = 86_400;
const SECOND_US: i64 = 1_000_000;

/// A value that has no written form, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the value is {0}")]
pub struct Unwritable(&'static str);

/// The values of a column, by type.
#[derive(Debug, Clone, Copy)]
pub enum Written<'a> {
    /// All are null.
    Null,
    /// True or false.
    Bool(&'a BooleanArray),
    /// Whole numbers of 32 bits.
    Int32(&'a Int32Array),
    /// Whole numbers of 64 bits.
    Int64(&'a Int64Array),
    /// Floating point numbers.
    Float(&'a Float64Array),
    /// Decimals, with so many digits after the point.
    Decimal(&'a Decimal128Array, usize),
    /// Text.
    Text(&'a StringArray),
    /// Days.
    Date(&'a Date32Array),
    /// Instants.
    Instant(&'a TimestampMicrosecondArray),
    /// Dates and times without zone.
    Local(&'a TimestampMicrosecondArray),
    /// Times of day.
    Time(&'a Time64MicrosecondArray),
    /// Lists.
    List(&'a ListArray),
}

impl<'a> Written<'a> {
    /// Of a column; `None` for a type that no population holds.
    pub fn of(array: &'a ArrayRef) -> Option<Self> {
        Some(match array.data_type() {
            DataType::Null => Self::Null,
            DataType::Boolean => Self::Bool(array.as_boolean()),
            DataType::Int32 => Self::Int32(array.as_primitive::<Int32Type>()),
            DataType::Int64 => Self::Int64(array.as_primitive::<Int64Type>()),
            DataType::Float64 => Self::Float(array.as_primitive::<Float64Type>()),
            DataType::Decimal128(_, scale) => {
                Self::Decimal(array.as_primitive::<Decimal128Type>(), usize::try_from(*scale).ok()?)
            }
            DataType::Utf8 => Self::Text(array.as_string()),
            DataType::Date32 => Self::Date(array.as_primitive::<Date32Type>()),
            DataType::Timestamp(TimeUnit::Microsecond, zone) => {
                let array = array.as_primitive::<TimestampMicrosecondType>();
                if zone.is_some() { Self::Instant(array) } else { Self::Local(array) }
            }
            DataType::Time64(TimeUnit::Microsecond) => Self::Time(array.as_primitive::<Time64MicrosecondType>()),
            DataType::List(_) => Self::List(array.as_list()),
            _ => return None,
        })
    }

    /// Whether the value in a row is null.
    pub fn is_null(&self, row: usize) -> bool {
        self.as_array().is_none_or(|array| array.is_null(row))
    }

    /// The written form of the value in a row; `None` for null.
    ///
    /// # Errors
    /// If it has none, such as a year of more than four digits.
    pub fn text(&self, row: usize) -> Result<Option<Cow<'a, str>>, Unwritable> {
        Ok(Some(Cow::Owned(match self {
            _ if self.is_null(row) => return Ok(None),
            Self::Null => return Ok(None),
            Self::Text(array) => return Ok(Some(Cow::Borrowed(array.value(row)))),
            Self::Bool(array) => array.value(row).to_string(),
            Self::Int32(array) => array.value(row).to_string(),
            Self::Int64(array) => array.value(row).to_string(),
            Self::Float(array) => array.value(row).to_string(),
            Self::Decimal(array, scale) => decimal(array.value(row), *scale),
            Self::Date(array) => date(array.value(row))?,
            Self::Instant(array) => instant(array.value(row), "Z")?,
            Self::Local(array) => instant(array.value(row), "")?,
            Self::Time(array) => time(array.value(row))?,
            Self::List(array) => items(&array.value(row))?.to_string(),
        })))
    }

    /// The item in a row, as lists have it.
    fn item(&self, row: usize) -> Result<Json, Unwritable> {
        Ok(match self {
            Self::Bool(array) if array.is_valid(row) => array.value(row).into(),
            Self::Int32(array) if array.is_valid(row) => array.value(row).into(),
            Self::Int64(array) if array.is_valid(row) => array.value(row).into(),
            Self::Float(array) if array.is_valid(row) => finite(array.value(row))?.into(),
            Self::List(array) if array.is_valid(row) => items(&array.value(row))?,
            other => other.text(row)?.map_or(Json::Null, |text| text.into_owned().into()),
        })
    }

    /// `None` if all are null.
    fn as_array(&self) -> Option<&'a dyn Array> {
        Some(match *self {
            Self::Null => return None,
            Self::Bool(array) => array,
            Self::Int32(array) => array,
            Self::Int64(array) => array,
            Self::Float(array) => array,
            Self::Decimal(array, _) => array,
            Self::Text(array) => array,
            Self::Date(array) => array,
            Self::Instant(array) | Self::Local(array) => array,
            Self::Time(array) => array,
            Self::List(array) => array,
        })
    }
}

/// The items of a written list; `None` if this text is none.
pub fn read_list(text: &str) -> Option<Vec<Json>> {
    text.trim_start().starts_with('[').then(|| serde_json::from_str(text).ok()).flatten()
}

fn items(array: &ArrayRef) -> Result<Json, Unwritable> {
    let items = Written::of(array).ok_or(Unwritable("a list of something that no population holds"))?;
    (0..array.len()).map(|row| items.item(row)).collect()
}

fn finite(float: f64) -> Result<f64, Unwritable> {
    if float.is_finite() { Ok(float) } else { Err(Unwritable("not a number")) }
}

/// Without needless zeros, so that one number has one text.
fn decimal(unscaled: i128, scale: usize) -> String {
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let fraction = fraction.trim_end_matches('0');
    let sign = if unscaled < 0 { "-" } else { "" };
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

fn date(days: i32) -> Result<String, Unwritable> {
    let at = civil(i64::from(days) * DAY_S * SECOND_US)?;
    Ok(format!("{:04}-{:02}-{:02}", at.year(), at.month(), at.day()))
}

fn instant(us: i64, zone: &str) -> Result<String, Unwritable> {
    let at = civil(us)?;
    let us = us.rem_euclid(SECOND_US);
    let (date, time) = (at.date(), at.time());
    Ok(format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{us:06}{zone}",
        date.year(),
        date.month(),
        date.day(),
        time.hour(),
        time.minute(),
        time.second()
    ))
}

fn time(us: i64) -> Result<String, Unwritable> {
    if !(0..DAY_S * SECOND_US).contains(&us) {
        return Err(Unwritable("no time of a day"));
    }
    let (s, us) = (us / SECOND_US, us % SECOND_US);
    Ok(format!("{:02}:{:02}:{:02}.{us:06}", s / 3600, s / 60 % 60, s % 60))
}

/// Only years that are written with four digits, so that the order of texts is that of times.
fn civil(us: i64) -> Result<DateTime, Unwritable> {
    let at = EPOCH.checked_add(SignedDuration::from_micros(us));
    at.ok().filter(|at| at.year() >= 0).ok_or(Unwritable("a year that is not from 0 to 9999"))
}
