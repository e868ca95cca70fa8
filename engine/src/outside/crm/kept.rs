//! What systems have in common in how they keep values that are written.

use jiff::{RoundMode, Unit};

use crate::expr::Value;

/// As any system keeps it: an empty text or list is none, line ends are `\n`, dates and times have no fractions of a second,
/// and the choices of a list have no order.
pub fn kept(value: Value) -> Value {
    match value {
        Value::Text(text) if text.is_empty() => Value::Null,
        Value::Text(text) if text.contains('\r') => Value::Text(text.replace("\r\n", "\n")),
        Value::DateTime(at) => {
            let seconds = jiff::TimestampRound::new().smallest(Unit::Second).mode(RoundMode::Floor);
            Value::DateTime(at.round(seconds).unwrap_or(at))
        }
        Value::LocalDateTime(at) => {
            let seconds = jiff::civil::DateTimeRound::new().smallest(Unit::Second).mode(RoundMode::Floor);
            Value::LocalDateTime(at.round(seconds).unwrap_or(at))
        }
        Value::List(items) if items.is_empty() => Value::Null,
        Value::List(mut items) => {
            items.sort_by_key(Value::to_string);
            items.dedup();
            Value::List(items)
        }
        other => other,
    }
}
