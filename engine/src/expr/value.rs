//! One value of one record, and how values are written as text.

use std::cmp::Ordering;
use std::fmt;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
    Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, TimeUnit};
use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};
use rust_decimal::Decimal;
use serde_json::Value as Json;

use super::Literal;
use crate::numbers;
use crate::types::Type;
use crate::written::Written;

const MICROS_PER_SECOND: i64 = 1_000_000;

/// One value of one record.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A binary floating point number.
    Float(f64),
    /// An exact number.
    Decimal(Decimal),
    /// Text.
    Text(String),
    /// A day.
    Date(civil::Date),
    /// An instant.
    DateTime(Timestamp),
    /// A day and time without zone.
    LocalDateTime(civil::DateTime),
    /// A time of day.
    Time(civil::Time),
    /// Several values.
    List(Vec<Value>),
}

impl Value {
    /// What the array has in this row; null also where it is a decimal of more than 28 digits.
    pub fn at(array: &dyn Array, row: usize) -> Self {
        if array.is_null(row) {
            return Self::Null;
        }
        let any = array.as_any();
        match array.data_type() {
            DataType::Boolean => Self::Bool(array.as_boolean().value(row)),
            DataType::Int32 => any.downcast_ref::<Int32Array>().map_or(Self::Null, |a| Self::Int(a.value(row).into())),
            DataType::Int64 => any.downcast_ref::<Int64Array>().map_or(Self::Null, |a| Self::Int(a.value(row))),
            DataType::Float64 => any.downcast_ref::<Float64Array>().map_or(Self::Null, |a| Self::Float(a.value(row))),
            DataType::Decimal128(_, scale) => any
                .downcast_ref::<Decimal128Array>()
                .and_then(|a| decimal_of(a.value(row), *scale))
                .map_or(Self::Null, Self::Decimal),
            DataType::Utf8 => Self::Text(array.as_string::<i32>().value(row).to_owned()),
            DataType::Date32 => any.downcast_ref::<Date32Array>().map_or(Self::Null, |a| date_of(a.value(row))),
            DataType::Timestamp(TimeUnit::Microsecond, zone) => any
                .downcast_ref::<TimestampMicrosecondArray>()
                .and_then(|a| match zone {
                    Some(_) => Timestamp::from_microsecond(a.value(row)).ok().map(Self::DateTime),
                    None => local_of(a.value(row)).map(Self::LocalDateTime),
                })
                .unwrap_or(Self::Null),
            DataType::Time64(TimeUnit::Microsecond) => {
                any.downcast_ref::<Time64MicrosecondArray>().map_or(Self::Null, |a| time_of(a.value(row)))
            }
            DataType::List(_) => {
                let items = array.as_list::<i32>().value(row);
                Self::List((0..items.len()).map(|i| Self::at(&items, i)).collect())
            }
            _ => Self::Null,
        }
    }

    /// A JSON value as it is by itself; a number with a point is a decimal.
    pub fn of_json(json: &Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(b) => Self::Bool(*b),
            Json::Number(n) => match n.as_i64() {
                Some(int) => Self::Int(int),
                None => match number(&n.to_string()) {
                    Some(Literal::Decimal(decimal)) => Self::Decimal(decimal),
                    _ => Self::Float(n.as_f64().unwrap_or(f64::NAN)),
                },
            },
            Json::String(text) => Self::Text(text.clone()),
            Json::Array(items) => Self::List(items.iter().map(Self::of_json).collect()),
            Json::Object(_) => Self::Text(json.to_string()),
        }
    }

    /// Its type by itself.
    pub fn ty(&self) -> Type {
        match self {
            Self::Null => Type::Null,
            Self::Bool(_) => Type::Bool,
            Self::Int(_) => Type::Int,
            Self::Float(_) => Type::Float,
            Self::Decimal(_) => Type::Decimal,
            Self::Text(_) => Type::Text,
            Self::Date(_) => Type::Date,
            Self::DateTime(_) => Type::DateTime,
            Self::LocalDateTime(_) => Type::LocalDateTime,
            Self::Time(_) => Type::Time,
            Self::List(items) => {
                Type::List(Box::new(items.iter().map(Self::ty).find(|t| *t != Type::Null).unwrap_or(Type::Text)))
            }
        }
    }

    /// The value as this type, where variables and options meet a column; `None` where it cannot be.
    ///
    /// Variables come from JSON and options are text, so text becomes what it is written like.
    #[must_use]
    pub fn meet(&self, ty: &Type, zone: &TimeZone) -> Option<Self> {
        if *self == Self::Null || self.ty() == *ty || matches!(ty, Type::Any | Type::Null) {
            return Some(self.clone());
        }
        match (self, ty) {
            (Self::Text(text), Type::Bool) => match text.as_str() {
                "true" => Some(Self::Bool(true)),
                "false" => Some(Self::Bool(false)),
                _ => None,
            },
            (Self::Text(text), Type::Int) => text.trim().parse().ok().map(Self::Int),
            (Self::Text(text), Type::Decimal) => decimal(text.trim()).map(Self::Decimal),
            (Self::Text(text), Type::Float) => numbers::float_of_digits(text.trim()).map(Self::Float),
            (Self::Text(text), Type::Date) => {
                civil_date(text).or_else(|| Some(zone.to_datetime(instant(text, zone)?).date())).map(Self::Date)
            }
            (Self::Text(text), Type::DateTime) => instant(text, zone).map(Self::DateTime),
            (Self::Text(text), Type::LocalDateTime) => match date_time(text)? {
                Self::DateTime(at) => Some(Self::LocalDateTime(zone.to_datetime(at))),
                local => Some(local),
            },
            (Self::Text(text), Type::Time) => clock_time(text.trim()).map(Self::Time),
            (Self::Int(_) | Self::Decimal(_), Type::Float) => as_float(self).map(Self::Float),
            (Self::Int(int), Type::Decimal) => Some(Self::Decimal((*int).into())),
            (Self::Decimal(d), Type::Int) if d.is_integer() => i64::try_from(d.trunc()).ok().map(Self::Int),
            (Self::Bool(_) | Self::Int(_) | Self::Decimal(_) | Self::Float(_), Type::Text) => {
                Some(Self::Text(self.to_string()))
            }
            _ => None,
        }
    }

    /// As a message shows it.
    pub(crate) fn quoted(&self) -> String {
        match self {
            Self::Text(text) => format!("{text:?}"),
            other => other.to_string(),
        }
    }

    /// What Arrow keeps of whole numbers, dates, instants and times: the number itself; days since 1970; microseconds since
    /// 1970, or since midnight.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Int(int) => Some(*int),
            Self::Date(date) => Some(days_of(*date).into()),
            Self::DateTime(at) => Some(at.as_microsecond()),
            Self::LocalDateTime(local) => Some(local_micros(*local)),
            Self::Time(time) => Some(micros_of(*time)),
            _ => None,
        }
    }

    /// The constant of this value; a list is none.
    pub fn literal(self) -> Option<Literal> {
        Some(match self {
            Self::Null => Literal::Null,
            Self::Bool(v) => Literal::Bool(v),
            Self::Int(v) => Literal::Int(v),
            Self::Float(v) => Literal::Float(v),
            Self::Decimal(v) => Literal::Decimal(v),
            Self::Text(v) => Literal::Text(v),
            Self::Date(v) => Literal::Date(v),
            Self::DateTime(v) => Literal::DateTime(v),
            Self::LocalDateTime(v) => Literal::LocalDateTime(v),
            Self::Time(v) => Literal::Time(v),
            Self::List(_) => return None,
        })
    }

    /// What the array has in this row as JSON that brings it back: as [`to_json`](Value::to_json), and what JSON or a value
    /// cannot hold in its written form.
    pub fn json_at(array: &ArrayRef, row: usize) -> Json {
        let written = || {
            let text = Written::of(array).and_then(|written| written.text(row).ok().flatten());
            text.map_or(Json::Null, |text| Json::String(text.into_owned()))
        };
        match Self::at(array, row) {
            Self::Null if array.is_valid(row) => written(),
            // Readers of JSON may take the last digit for another one.
            Self::Float(float) => match serde_json::from_str(&float.to_string()) {
                Ok(back) if f64::total_cmp(&back, &float).is_eq() => Json::from(float),
                _ => written(),
            },
            Self::List(items) => {
                let list = array.as_list::<i32>().value(row);
                (0..items.len()).map(|item| Self::json_at(&list, item)).collect()
            }
            value => value.to_json(),
        }
    }

    /// The value as the JSON of variables; dates are written as text.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Bool(v) => Json::Bool(*v),
            Self::Int(v) => Json::from(*v),
            Self::Float(v) => Json::from(*v),
            // JSON numbers are binary floating point: what might not come back the same is kept as text.
            Self::Decimal(v) if is_json_number(*v) => Json::from(decimal_f64(*v)),
            Self::Decimal(v) => Json::String(v.to_string()),
            Self::List(items) => items.iter().map(Self::to_json).collect(),
            other => Json::String(other.to_string()),
        }
    }
}

impl From<&Literal> for Value {
    fn from(literal: &Literal) -> Self {
        match literal.clone() {
            Literal::Null => Self::Null,
            Literal::Bool(v) => Self::Bool(v),
            Literal::Int(v) => Self::Int(v),
            Literal::Float(v) => Self::Float(v),
            Literal::Decimal(v) => Self::Decimal(v),
            Literal::Text(v) => Self::Text(v),
            Literal::Date(v) => Self::Date(v),
            Literal::DateTime(v) => Self::DateTime(v),
            Literal::LocalDateTime(v) => Self::LocalDateTime(v),
            Literal::Time(v) => Self::Time(v),
        }
    }
}

/// As `to_text` writes it; null is empty.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Bool(v) => write!(f, "{v}"),
            Self::Int(v) => write!(f, "{v}"),
            Self::Float(v) => write!(f, "{v}"),
            Self::Decimal(v) => write!(f, "{v}"),
            Self::Text(v) => f.write_str(v),
            Self::Date(v) => write!(f, "{v}"),
            Self::DateTime(v) => write!(f, "{v}"),
            Self::LocalDateTime(v) => write!(f, "{v}"),
            Self::Time(v) => write!(f, "{v}"),
            Self::List(items) => {
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if i == 0 { "" } else { "," })?;
                }
                Ok(())
            }
        }
    }
}

/// The order of two values of one kind, numbers of different kinds included; `None` where there is no order.
pub(crate) fn order(a: &Value, b: &Value) -> Option<Ordering> {
    use Value as V;
    match (a, b) {
        (V::Bool(a), V::Bool(b)) => Some(a.cmp(b)),
        (V::Int(a), V::Int(b)) => Some(a.cmp(b)),
        (V::Text(a), V::Text(b)) => Some(a.cmp(b)),
        (V::Date(a), V::Date(b)) => Some(a.cmp(b)),
        (V::DateTime(a), V::DateTime(b)) => Some(a.cmp(b)),
        (V::LocalDateTime(a), V::LocalDateTime(b)) => Some(a.cmp(b)),
        (V::Time(a), V::Time(b)) => Some(a.cmp(b)),
        (V::Float(a), V::Float(b)) => a.partial_cmp(b),
        (_, V::Float(float)) => beside_float(a, *float),
        (V::Float(float), _) => beside_float(b, *float).map(Ordering::reverse),
        _ => Some(as_decimal(a)?.cmp(&as_decimal(b)?)),
    }
}

/// The order of an exact number and a floating point number. Whole numbers keep all their digits; of a fraction the nearest
/// floating point number is meant, as 0.1 is where it is written as one.
fn beside_float(exact: &Value, float: f64) -> Option<Ordering> {
    match exact {
        Value::Int(int) => numbers::order((*int).into(), float),
        Value::Decimal(decimal) if decimal.is_integer() => numbers::order(decimal.trunc().mantissa(), float),
        Value::Decimal(decimal) => decimal_f64(*decimal).partial_cmp(&float),
        _ => None,
    }
}

/// A number as binary floating point, if its whole digits stay the same.
pub(crate) fn as_float(value: &Value) -> Option<f64> {
    match value {
        Value::Int(v) => numbers::float_of_int(*v),
        Value::Float(v) => Some(*v),
        Value::Decimal(v) => numbers::float_of_decimal(*v),
        _ => None,
    }
}

/// An exact number as decimal.
pub(crate) fn as_decimal(value: &Value) -> Option<Decimal> {
    match value {
        Value::Int(v) => Some((*v).into()),
        Value::Decimal(v) => Some(*v),
        _ => None,
    }
}

/// Whether a decimal is read from a JSON number as it was, by any reader: few enough digits, and not too small.
fn is_json_number(decimal: Decimal) -> bool {
    const MANTISSA_MAX: u128 = 1_000_000_000_000_000;
    const SCALE_MAX: u32 = 22;
    let decimal = decimal.normalize();
    decimal.mantissa().unsigned_abs() < MANTISSA_MAX && decimal.scale() <= SCALE_MAX
}

/// The nearest floating point number; rust_decimal's own conversion is not always the nearest.
pub(crate) fn decimal_f64(decimal: Decimal) -> f64 {
    decimal.to_string().parse().unwrap_or(f64::NAN)
}

/// A decimal as Arrow keeps it; `None` beyond 28 digits.
pub(super) fn decimal_of(mut mantissa: i128, scale: i8) -> Option<Decimal> {
    let Ok(mut scale) = u32::try_from(scale) else {
        let up = 10i128.checked_pow(scale.unsigned_abs().into())?;
        return Decimal::try_from_i128_with_scale(mantissa.checked_mul(up)?, 0).ok();
    };
    loop {
        match Decimal::try_from_i128_with_scale(mantissa, scale) {
            Ok(decimal) => return Some(decimal),
            // Zeros at the end may go.
            Err(_) if scale > 0 && mantissa % 10 == 0 => (mantissa, scale) = (mantissa / 10, scale - 1),
            Err(_) => return None,
        }
    }
}

fn date_of(days: i32) -> Value {
    jiff::Span::new().try_days(days).ok().and_then(|span| EPOCH.checked_add(span).ok()).map_or(Value::Null, Value::Date)
}

const EPOCH: civil::Date = civil::date(1970, 1, 1);

/// Days since 1970.
pub(super) fn days_of(date: civil::Date) -> i32 {
    EPOCH.until(date).map_or(0, |span| span.get_days())
}

fn time_of(micros: i64) -> Value {
    let nanos = micros.checked_mul(1000).map(jiff::SignedDuration::from_nanos);
    nanos.and_then(|d| civil::Time::midnight().checked_add(d).ok()).map_or(Value::Null, Value::Time)
}

/// Microseconds since midnight.
pub(super) fn micros_of(time: civil::Time) -> i64 {
    let seconds = i64::from(time.hour()) * 3600 + i64::from(time.minute()) * 60 + i64::from(time.second());
    seconds * MICROS_PER_SECOND + i64::from(time.subsec_nanosecond() / 1000)
}

/// The clock reading so many microseconds after the beginning of 1970. Unlike instants there are some on 9999-12-31.
pub fn local_of(micros: i64) -> Option<civil::DateTime> {
    EPOCH.at(0, 0, 0, 0).checked_add(jiff::SignedDuration::from_micros(micros)).ok()
}

/// Microseconds since 1970, as if in UTC.
pub(super) fn local_micros(local: civil::DateTime) -> i64 {
    i64::from(days_of(local.date())) * 86_400 * MICROS_PER_SECOND + micros_of(local.time())
}

/// `2012-11-01` or `2012/11/01`.
pub(super) fn civil_date(text: &str) -> Option<civil::Date> {
    let text = text.trim();
    let separator = if text.contains('/') { '/' } else { '-' };
    let mut parts = text.split(separator);
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || [year, month, day].map(str::len) != [4, 2, 2] {
        return None;
    }
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if ![year, month, day].into_iter().all(digits) {
        return None;
    }
    civil::Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()
}

/// `2012-11-01T10:00:00Z` (an instant), the same without zone (a local one), `2012/11/01 10:00:00` (an instant in UTC).
/// A space may stand for the `T`.
pub(super) fn date_time(text: &str) -> Option<Value> {
    let text = text.trim();
    let (day, rest) = (civil_date(text.get(..10)?)?, text.get(10..)?);
    let time = rest.strip_prefix(['T', 't', ' '])?;
    if text.contains('/') {
        let local = day.to_datetime(clock_time(time)?);
        return TimeZone::UTC.to_timestamp(local).ok().map(Value::DateTime);
    }
    match clock_time(time) {
        Some(time) => Some(Value::LocalDateTime(day.to_datetime(time))),
        None => text.parse::<Timestamp>().ok().map(to_micros).map(Value::DateTime),
    }
}

/// Instants have microseconds: what a population cannot keep is not told apart.
pub(super) fn to_micros(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}

/// `10:00`, `10:00:00` or `10:00:00.5`.
pub(super) fn clock_time(text: &str) -> Option<civil::Time> {
    let shape = text.bytes().all(|b| b.is_ascii_digit() || b == b':' || b == b'.');
    let time: civil::Time = shape.then(|| text.parse().ok()).flatten()?;
    let micros = time.subsec_nanosecond() / 1000 * 1000;
    civil::Time::new(time.hour(), time.minute(), time.second(), micros).ok()
}

/// An instant, where text without a zone is in this one, and a date is its midnight.
pub(super) fn instant(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    match date_time(text) {
        Some(Value::DateTime(at)) => Some(at),
        Some(Value::LocalDateTime(local)) => zone.to_timestamp(local).ok(),
        _ => zone.to_timestamp(civil_date(text)?.to_datetime(civil::Time::midnight())).ok(),
    }
}

/// An exact number of at most 28 digits.
pub(super) fn decimal(text: &str) -> Option<Decimal> {
    Decimal::from_str_exact(text).ok()
}

/// A number as it is written in an expression.
pub(crate) fn number(text: &str) -> Option<Literal> {
    let text = text.replace('_', "");
    if !text.contains(['.', 'e', 'E']) {
        return text.parse().ok().map(Literal::Int).or_else(|| decimal(&text).map(Literal::Decimal));
    }
    let exact = if text.contains(['e', 'E']) { Decimal::from_scientific(&text).ok() } else { decimal(&text) };
    // What has more digits than a decimal keeps was meant as floating point.
    let float = || text.parse().ok().filter(|f: &f64| f.is_finite()).map(Literal::Float);
    exact.map(Literal::Decimal).or_else(float)
}
