//! `$orderby`: keys as bytes whose order is the order of the records, so that a position in a query is just such a key.

use crate::{
    data::{Fact, Record, Table, Value},
    dataverse::{error::Error, filter::folded, model},
    guid::Guid,
};

/// One part of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OrderPart {
    /// The field.
    pub(crate) field: usize,
    /// From large to small, nulls last.
    pub(crate) descending: bool,
}

/// Parts of an order at most, as in the real system's documentation of query limits.
const PARTS_MAX: usize = 10;

/// Reads `lastname asc, createdon desc`.
pub(crate) fn parse(text: &str, table: &Table) -> Result<Vec<OrderPart>, Error> {
    let parts: Vec<&str> = text.split(',').collect();
    if parts.len() > PARTS_MAX {
        return Err(Error::query(format!("The number of order by properties exceeds the limit of {PARTS_MAX}.")));
    }
    parts
        .into_iter()
        .map(|part| {
            let mut words = part.split_whitespace();
            let name = words
                .next()
                .ok_or_else(|| Error::query(format!("Expression expected at position {} in '{text}'.", text.len())))?;
            let descending = match (words.next(), words.next()) {
                (None | Some("asc"), None) => false,
                (Some("desc"), None) => true,
                _ => {
                    return Err(Error::query(format!("Syntax error at position {} in '{text}'.", name.len())));
                }
            };
            Ok(OrderPart { field: model::property(table, name)?, descending })
        })
        .collect()
}

/// The order key of a record: nulls first in ascending, last in descending parts; equal records by their id.
pub(crate) fn key(table: &Table, record: Record<'_>, parts: &[OrderPart]) -> Vec<u8> {
    let mut key = Vec::with_capacity(32 * (parts.len() + 1));
    for part in parts {
        let start = key.len();
        write_part(&table.value(record, part.field), &mut key);
        if part.descending {
            key[start..].iter_mut().for_each(|byte| *byte = !*byte);
        }
        if table.fields[part.field].fact == Some(Fact::Id) {
            return key;
        }
    }
    write_id(table.id(record), &mut key);
    key
}

/// The key bytes of an id.
pub(crate) fn write_id(id: Guid, key: &mut Vec<u8>) {
    key.extend(id.sort_key().to_be_bytes());
}

fn write_part(value: &Value<'_>, key: &mut Vec<u8>) {
    if value.is_null() {
        return key.push(0);
    }
    key.push(1);
    match value {
        Value::Null => {}
        Value::Text(text) => write_text(&folded(text), key),
        Value::Choices(choices) => write_text(&crate::data::value::choice_text(choices), key),
        Value::Integer(number) | Value::Instant(number) | Value::Date(number) => write_number(i128::from(*number), key),
        Value::Decimal(number) => write_number(number.comparable(), key),
        Value::Double(number) => {
            let bits = number.to_bits();
            // The sign bit set for positive, all bits turned for negative: then bytes compare as numbers do.
            let ordered = if bits >> 63 == 0 { bits | 1 << 63 } else { !bits };
            key.extend(ordered.to_be_bytes());
        }
        Value::Boolean(flag) => key.push(u8::from(*flag)),
        Value::Guid(id) => write_id(*id, key),
        Value::Link(link) => write_id(link.id, key),
    }
}

fn write_number(number: i128, key: &mut Vec<u8>) {
    key.extend((number.cast_unsigned() ^ 1 << 127).to_be_bytes());
}

/// Text of any length, so that a shorter one comes before its continuations.
fn write_text(text: &str, key: &mut Vec<u8>) {
    for byte in text.bytes() {
        key.push(byte);
        if byte == 0 {
            key.push(1);
        }
    }
    key.extend([0, 0]);
}
