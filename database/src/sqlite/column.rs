//! From SQLite to Arrow: by the declared type of the column.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int64Builder, ListArray, StringBuilder,
    Time64MicrosecondBuilder, TimestampMicrosecondBuilder, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, FieldRef, TimeUnit};
use engine::failure::{Class, Failure};
use engine::numbers::float_of_digits;
use engine::types::UTC;
use jiff::Timestamp;
use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use rusqlite::types::{Value, ValueRef};
use serde_json::value::RawValue;

const DAY_US: i64 = 86_400_000_000;
/// jiff's own instants end a day before the last date.
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// Gathers the values of a column.
pub(super) enum Column {
    Bool(BooleanBuilder),
    Int(Int64Builder),
    Float(Float64Builder),
    Decimal(Decimal128Builder, usize),
    Text(StringBuilder),
    Date(Date32Builder),
    Instant(TimestampMicrosecondBuilder, TimeZone),
    Local(TimestampMicrosecondBuilder),
    Time(Time64MicrosecondBuilder),
    List { item: FieldRef, zone: TimeZone, items: Box<Column>, lengths: Vec<usize>, valid: Vec<bool> },
}

impl Column {
    /// For one of the types that `affinity::arrow_type` gives. An instant that does not say its zone is in this one.
    pub(super) fn new(data: &DataType, zone: &TimeZone) -> Result<Self, Failure> {
        Ok(match data {
            DataType::Boolean => Self::Bool(BooleanBuilder::new()),
            DataType::Int64 => Self::Int(Int64Builder::new()),
            DataType::Float64 => Self::Float(Float64Builder::new()),
            DataType::Decimal128(_, scale) => {
                let builder = Decimal128Builder::new().with_data_type(data.clone());
                Self::Decimal(builder, usize::try_from(*scale).unwrap_or(0))
            }
            DataType::Utf8 => Self::Text(StringBuilder::new()),
            DataType::Date32 => Self::Date(Date32Builder::new()),
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
                Self::Instant(TimestampMicrosecondBuilder::new().with_timezone(UTC), zone.clone())
            }
            DataType::Timestamp(TimeUnit::Microsecond, None) => Self::Local(TimestampMicrosecondBuilder::new()),
            DataType::Time64(TimeUnit::Microsecond) => Self::Time(Time64MicrosecondBuilder::new()),
            DataType::List(item) => {
                let items = Box::new(Self::new(item.data_type(), zone)?);
                Self::List { item: Arc::clone(item), zone: zone.clone(), items, lengths: Vec::new(), valid: Vec::new() }
            }
            other => return Err(Failure::internal(format!("a column of SQLite was taken for {other}"))),
        })
    }

    pub(super) fn push_null(&mut self) {
        match self {
            Self::Bool(builder) => builder.append_null(),
            Self::Int(builder) => builder.append_null(),
            Self::Float(builder) => builder.append_null(),
            Self::Decimal(builder, _) => builder.append_null(),
            Self::Text(builder) => builder.append_null(),
            Self::Date(builder) => builder.append_null(),
            Self::Instant(builder, _) | Self::Local(builder) => builder.append_null(),
            Self::Time(builder) => builder.append_null(),
            Self::List { lengths, valid, .. } => {
                lengths.push(0);
                valid.push(false);
            }
        }
    }

    /// `None` where the value is not of the declared type; nothing is added then.
    pub(super) fn push(&mut self, value: ValueRef<'_>) -> Option<()> {
        if value == ValueRef::Null {
            self.push_null();
            return Some(());
        }
        let text = match value {
            ValueRef::Text(text) => Some(std::str::from_utf8(text).ok()?),
            _ => None,
        };
        match self {
            Self::Bool(builder) => builder.append_value(boolean(value)?),
            Self::Int(builder) => builder.append_value(integer(value)?),
            Self::Float(builder) => builder.append_value(float(value)?),
            Self::Decimal(builder, scale) => builder.append_value(decimal(&written(value)?, *scale)?),
            Self::Text(builder) => match text {
                Some(text) => builder.append_value(text),
                None => builder.append_value(written(value)?),
            },
            Self::Date(builder) => builder.append_value(days(text?)?),
            Self::Instant(builder, zone) => builder.append_value(instant(text?, zone)?),
            Self::Local(builder) => builder.append_value(local(text?)?),
            Self::Time(builder) => builder.append_value(time(text?)?),
            Self::List { item, zone, items, lengths, valid } => {
                let values: Vec<&RawValue> = serde_json::from_str(text?).ok()?;
                let values: Vec<Value> = values.into_iter().map(sqlite_value).collect::<Option<_>>()?;
                let mut tried = Self::new(item.data_type(), zone).ok()?;
                values.iter().try_for_each(|value| tried.push(ValueRef::from(value)))?;
                lengths.push(values.len());
                valid.push(true);
                values.iter().try_for_each(|value| items.push(ValueRef::from(value)))?;
            }
        }
        Some(())
    }

    pub(super) fn finish(self) -> Result<ArrayRef, Failure> {
        Ok(match self {
            Self::Bool(mut builder) => Arc::new(builder.finish()),
            Self::Int(mut builder) => Arc::new(builder.finish()),
            Self::Float(mut builder) => Arc::new(builder.finish()),
            Self::Decimal(mut builder, _) => Arc::new(builder.finish()),
            Self::Text(mut builder) => Arc::new(builder.finish()),
            Self::Date(mut builder) => Arc::new(builder.finish()),
            Self::Instant(mut builder, _) | Self::Local(mut builder) => Arc::new(builder.finish()),
            Self::Time(mut builder) => Arc::new(builder.finish()),
            Self::List { item, lengths, valid, .. } if lengths.is_empty() || !valid.contains(&true) => {
                new_null_array(&DataType::List(item), lengths.len())
            }
            Self::List { item, items, lengths, valid, .. } => {
                let offsets = OffsetBuffer::from_lengths(lengths);
                let list = ListArray::try_new(item, offsets, items.finish()?, Some(NullBuffer::from(valid)));
                Arc::new(list.map_err(|e| Failure::internal(e.to_string()))?)
            }
        })
    }
}

/// A value that is not what its column is declared as; `row` says in which row it stands, where that is known.
pub(super) fn unreadable(
    table: &str,
    column: &str,
    declared: &DataType,
    value: ValueRef<'_>,
    row: Option<&str>,
) -> Failure {
    let place = row.map(|row| format!(" (in the row with {row})")).unwrap_or_default();
    if let ValueRef::Text(bytes) = value
        && std::str::from_utf8(bytes).is_err()
    {
        let message = format!("column {column} of table {table} holds text that is not valid UTF-8{place}");
        return Failure::new(Class::Data, message)
            .help("correct the text in the database; a program may have written it in Latin-1 or Windows-1252");
    }
    let kind = engine::types::Type::of(declared).map_or_else(|| declared.to_string(), |kind| kind.to_string());
    Failure::new(
        Class::Data,
        format!("column {column} of table {table} is declared as {kind}, but holds something else{place}"),
    )
    .help("correct the value in the database, or declare the column as TEXT")
}

/// An item of a list as SQLite would have it in a column. Numbers that are not whole stay text, so that all their digits
/// are read.
fn sqlite_value(json: &RawValue) -> Option<Value> {
    let text = json.get();
    Some(match text.as_bytes().first()? {
        b'n' => Value::Null,
        b't' | b'f' => Value::Integer((text == "true").into()),
        b'"' => Value::Text(serde_json::from_str(text).ok()?),
        _ => text.parse().map_or_else(|_| Value::Text(text.to_owned()), Value::Integer),
    })
}

fn boolean(value: ValueRef<'_>) -> Option<bool> {
    match value {
        ValueRef::Integer(0) => Some(false),
        ValueRef::Integer(1) => Some(true),
        ValueRef::Text(text) if text.eq_ignore_ascii_case(b"false") => Some(false),
        ValueRef::Text(text) if text.eq_ignore_ascii_case(b"true") => Some(true),
        _ => None,
    }
}

fn integer(value: ValueRef<'_>) -> Option<i64> {
    match value {
        ValueRef::Integer(value) => Some(value),
        _ => written(value)?.parse().ok(),
    }
}

fn float(value: ValueRef<'_>) -> Option<f64> {
    match value {
        ValueRef::Real(value) => Some(value),
        _ => float_of_digits(&written(value)?),
    }
}

/// As text.
pub(super) fn written(value: ValueRef<'_>) -> Option<String> {
    Some(match value {
        ValueRef::Null => return None,
        ValueRef::Integer(value) => value.to_string(),
        ValueRef::Real(value) => value.to_string(),
        ValueRef::Text(text) => std::str::from_utf8(text).ok()?.to_owned(),
        ValueRef::Blob(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    })
}

/// All digits, or nothing: more than the scale holds is not cut.
fn decimal(text: &str, scale: usize) -> Option<i128> {
    let (sign, digits) = match text.trim().strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.trim()),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let fraction = fraction.trim_end_matches('0');
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if fraction.len() > scale || !is_number(whole) || !is_number(fraction) || (whole.is_empty() && fraction.is_empty())
    {
        return None;
    }
    format!("{whole}{fraction:0<scale$}").parse::<i128>().ok().map(|unscaled| sign * unscaled)
}

/// A time of day other than midnight is not cut off.
fn days(text: &str) -> Option<i32> {
    let us = local(text).filter(|us| us.rem_euclid(DAY_US) == 0)?;
    i32::try_from(us.div_euclid(DAY_US)).ok()
}

/// One without a zone is what clocks in this one show. jiff's instants end a day before the last date, which is read as that
/// of UTC.
fn instant(text: &str, zone: &TimeZone) -> Option<i64> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at.as_microsecond());
    }
    if let Some(utc) = text.strip_suffix('Z') {
        return local(utc);
    }
    let micros = local(text)?;
    let at = zone.to_timestamp(engine::expr::local_of(micros)?);
    Some(at.map_or(micros, Timestamp::as_microsecond))
}

/// jiff would read past an offset.
fn local(text: &str) -> Option<i64> {
    let has_offset = text.get(10..).is_some_and(|time| time.contains(['+', '-', '[']));
    let at = text.parse::<DateTime>().ok().filter(|_| !has_offset)?;
    i64::try_from(at.duration_since(EPOCH).as_micros()).ok()
}

fn time(text: &str) -> Option<i64> {
    let at: Time = text.parse().ok()?;
    let seconds = i64::from(at.hour()) * 3600 + i64::from(at.minute()) * 60 + i64::from(at.second());
    Some(seconds * 1_000_000 + i64::from(at.subsec_nanosecond()) / 1000)
}
