//! From Arrow to SQLite: one written form for each of our types.

use std::borrow::Cow;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
    ListArray, StringArray, Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, Time64MicrosecondType, TimeUnit,
    TimestampMicrosecondType,
};
use engine::failure::Failure;
use engine::outside::database::Refused;
use jiff::SignedDuration;
use jiff::civil::DateTime;
use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, ValueRef};
use serde_json::Value;

use super::affinity::Affinity;

/// Dates and times are counted from here; jiff's own instants end a day before the last date.
pub(super) const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
const DAY_S: i64 = 86_400;
const SECOND_US: i64 = 1_000_000;
/// SQLite promises to keep as many digits of a decimal when it makes a binary number of it.
const EXACT_DIGITS: usize = 15;

/// A value as it is bound.
#[derive(Debug, PartialEq)]
pub(super) enum Cell<'a> {
    Null,
    Int(i64),
    Real(f64),
    Text(Cow<'a, str>),
}

impl ToSql for Cell<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(value) => ValueRef::Integer(*value),
            Self::Real(value) => ValueRef::Real(*value),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

/// A value that has no written form here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unwritable {
    code: &'static str,
    message: String,
}

impl Unwritable {
    pub(super) fn refused(self, row: u32, column: &str) -> Refused {
        let message = format!("column {column}: {}", self.message);
        Refused { row, code: self.code.to_owned(), message, column: Some(column.to_owned()) }
    }
}

/// The values of a column on their way to a column of the database.
pub(super) struct Values<'a> {
    array: Kind<'a>,
    target: Affinity,
}

enum Kind<'a> {
    Null,
    Bool(&'a BooleanArray),
    Int32(&'a Int32Array),
    Int64(&'a Int64Array),
    Float(&'a Float64Array),
    Decimal(&'a Decimal128Array, usize),
    Text(&'a StringArray),
    Date(&'a Date32Array),
    Instant(&'a TimestampMicrosecondArray),
    Local(&'a TimestampMicrosecondArray),
    Time(&'a Time64MicrosecondArray),
    List(&'a ListArray),
}

impl<'a> Values<'a> {
    pub(super) fn new(column: &str, array: &'a ArrayRef, target: Affinity) -> Result<Self, Failure> {
        let kind = Kind::of(array).ok_or_else(|| {
            Failure::internal(format!("column {column} is of type {}, which no population holds", array.data_type()))
        })?;
        Ok(Self { array: kind, target })
    }

    pub(super) fn cell(&self, row: usize) -> Result<Cell<'a>, Unwritable> {
        let text = |text: String| Cell::Text(Cow::Owned(text));
        Ok(match self.array {
            _ if self.is_null(row) => Cell::Null,
            Kind::Null => Cell::Null,
            Kind::Bool(array) => Cell::Int(array.value(row).into()),
            Kind::Int32(array) => Cell::Int(array.value(row).into()),
            Kind::Int64(array) => Cell::Int(array.value(row)),
            Kind::Float(array) if array.value(row).is_nan() => return Err(out_of_range("not a number")),
            Kind::Float(array) => Cell::Real(array.value(row)),
            Kind::Text(array) => Cell::Text(Cow::Borrowed(array.value(row))),
            Kind::Decimal(array, scale) => {
                let written = decimal(array.value(row), scale);
                if self.target.makes_numbers() && is_inexact(&written) {
                    return Err(inexact(&written));
                }
                text(written)
            }
            Kind::Date(array) => text(date(array.value(row))?),
            Kind::Instant(array) => text(instant(array.value(row), "Z")?),
            Kind::Local(array) => text(instant(array.value(row), "")?),
            Kind::Time(array) => text(time(array.value(row))?),
            Kind::List(array) => text(Kind::of(&array.value(row)).ok_or_else(no_list)?.json()?.to_string()),
        })
    }

    fn is_null(&self, row: usize) -> bool {
        self.array.as_array().is_none_or(|array| array.is_null(row))
    }
}

impl<'a> Kind<'a> {
    fn of(array: &'a ArrayRef) -> Option<Self> {
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

    /// `None` where all are null.
    fn as_array(&self) -> Option<&dyn Array> {
        Some(match self {
            Self::Null => return None,
            Self::Bool(array) => *array,
            Self::Int32(array) => *array,
            Self::Int64(array) => *array,
            Self::Float(array) => *array,
            Self::Decimal(array, _) => *array,
            Self::Text(array) => *array,
            Self::Date(array) => *array,
            Self::Instant(array) | Self::Local(array) => *array,
            Self::Time(array) => *array,
            Self::List(array) => *array,
        })
    }

    /// All its values as a JSON array.
    fn json(&self) -> Result<Value, Unwritable> {
        let rows = self.as_array().map_or(0, Array::len);
        (0..rows).map(|row| self.json_item(row)).collect()
    }

    fn json_item(&self, row: usize) -> Result<Value, Unwritable> {
        Ok(match self {
            _ if self.as_array().is_none_or(|array| array.is_null(row)) => Value::Null,
            Self::Null => Value::Null,
            Self::Bool(array) => array.value(row).into(),
            Self::Int32(array) => array.value(row).into(),
            Self::Int64(array) => array.value(row).into(),
            Self::Float(array) if !array.value(row).is_finite() => return Err(out_of_range("not a number")),
            Self::Float(array) => array.value(row).into(),
            Self::Decimal(array, scale) => decimal(array.value(row), *scale).into(),
            Self::Text(array) => array.value(row).into(),
            Self::Date(array) => date(array.value(row))?.into(),
            Self::Instant(array) => instant(array.value(row), "Z")?.into(),
            Self::Local(array) => instant(array.value(row), "")?.into(),
            Self::Time(array) => time(array.value(row))?.into(),
            Self::List(array) => Kind::of(&array.value(row)).ok_or_else(no_list)?.json()?,
        })
    }
}

/// Without needless zeros, so that one number has one text.
fn decimal(unscaled: i128, scale: usize) -> String {
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let fraction = fraction.trim_end_matches('0');
    let sign = if unscaled < 0 { "-" } else { "" };
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

fn is_inexact(decimal: &str) -> bool {
    if !decimal.contains('.') && decimal.parse::<i64>().is_ok() {
        return false;
    }
    let digits = decimal.trim_start_matches(['-', '0', '.']);
    digits.chars().filter(char::is_ascii_digit).count() > EXACT_DIGITS
}

fn inexact(decimal: &str) -> Unwritable {
    let digits = decimal.chars().filter(char::is_ascii_digit).count();
    let message = format!(
        "SQLite keeps {EXACT_DIGITS} digits of a decimal in a column declared as a number, and this has {digits}; \
         declared as DECIMAL_TEXT it keeps all"
    );
    Unwritable { code: "DECIMAL_INEXACT", message }
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
        return Err(out_of_range("no time of a day"));
    }
    let (s, us) = (us / SECOND_US, us % SECOND_US);
    Ok(format!("{:02}:{:02}:{:02}.{us:06}", s / 3600, s / 60 % 60, s % 60))
}

/// Only years that are written with four digits, so that the order of texts is that of times.
fn civil(us: i64) -> Result<DateTime, Unwritable> {
    let at = EPOCH.checked_add(SignedDuration::from_micros(us));
    at.ok().filter(|at| at.year() >= 0).ok_or_else(|| out_of_range("a year that is not from 0 to 9999"))
}

fn out_of_range(what: &str) -> Unwritable {
    Unwritable { code: "VALUE_RANGE", message: format!("the value is {what}") }
}

fn no_list() -> Unwritable {
    out_of_range("a list of something that no population holds")
}
