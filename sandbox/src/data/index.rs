//! Finding the records that hold given values, however many there are: alternate keys and duplicate-detection rules.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::OnceLock,
};

use super::value::Value;
use crate::guid::Guid;

/// An index over some fields of a table. Records with a null in one of them are not in it.
#[derive(Debug)]
pub(super) struct Index {
    /// The fields, in order.
    pub(super) fields: Vec<usize>,
    /// Written records by their values.
    pub(super) written: BTreeSet<(Box<[u8]>, Guid)>,
    /// Generated records by a hash of their values, in its order; made when it is first asked. Sixteen bytes a record.
    pub(super) generated: OnceLock<Vec<(u64, u32)>>,
}

impl Index {
    /// An index that holds nothing yet.
    pub(super) fn new(fields: Vec<usize>) -> Self {
        Self { fields, written: BTreeSet::new(), generated: OnceLock::new() }
    }

    /// Written records with these values.
    pub(super) fn written_with<'a>(&'a self, key: &'a [u8]) -> impl Iterator<Item = Guid> + 'a {
        let from = (key.into(), Guid::from_u128(0));
        self.written.range(from..).take_while(move |(found, _)| **found == *key).map(|(_, id)| *id)
    }

    /// Numbers of generated records whose values have this hash.
    pub(super) fn generated_with(&self, hash: u64) -> impl Iterator<Item = u32> + '_ {
        let sorted = self.generated.get().map_or(&[][..], Vec::as_slice);
        let from = sorted.partition_point(|(found, _)| *found < hash);
        sorted[from..].iter().take_while(move |(found, _)| *found == hash).map(|(_, number)| *number)
    }
}

/// Hash of the bytes of a key.
pub(super) fn hash_of(key: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

/// As the database compares texts: letters without their case, and blanks at the end do not count.
pub(crate) fn folded(text: &str) -> String {
    let text = text.trim_end_matches(' ');
    if text.is_ascii() { text.to_ascii_lowercase() } else { text.chars().flat_map(char::to_lowercase).collect() }
}

/// Appends bytes whose order is the order of the values: nulls first, texts without their case.
pub(crate) fn write_value(value: &Value<'_>, key: &mut Vec<u8>) {
    if value.is_null() {
        return key.push(0);
    }
    key.push(1);
    match value {
        Value::Null => {}
        Value::Text(text) => write_text(&folded(text), key),
        Value::Choices(choices) => write_text(&super::value::choice_text(choices), key),
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
        Value::Tree(json) => write_text(json, key),
    }
}

/// Appends the bytes of an id.
pub(crate) fn write_id(id: Guid, key: &mut Vec<u8>) {
    key.extend(id.sort_key().to_be_bytes());
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
