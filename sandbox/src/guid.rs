//! Record ids, in the order in which the real system sorts them.

use std::{cmp::Ordering, fmt};

/// A record's id. It prints in lower case with dashes, as the Web API does.
///
/// Its order is SQL Server's order of `uniqueidentifier`: the last group counts first, and the first three groups
/// count by their stored, little-endian bytes. A client that sorts ids as text and expects the pages of the real system
/// to follow that order is wrong there, and must be wrong here.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Guid(u128);

/// SQL Server compares the bytes of the text form in this order.
const SIGNIFICANCE: [usize; 16] = [10, 11, 12, 13, 14, 15, 8, 9, 7, 6, 5, 4, 3, 2, 1, 0];

/// Places of the dashes in the text form.
const DASHES: [usize; 4] = [8, 13, 18, 23];

impl Guid {
    /// The id whose sixteen bytes, in the order of the text form, are this number.
    pub(crate) const fn from_u128(bits: u128) -> Self {
        Self(bits)
    }

    /// The sixteen bytes as one number, in the order of the text form.
    pub(crate) const fn as_u128(self) -> u128 {
        self.0
    }

    /// Reads the usual text form, in either case, with or without braces.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(text);
        let bytes = text.as_bytes();
        if bytes.len() != 36 {
            return None;
        }
        let mut bits: u128 = 0;
        for (place, byte) in bytes.iter().enumerate() {
            if DASHES.contains(&place) {
                if *byte != b'-' {
                    return None;
                }
                continue;
            }
            bits = bits << 4 | u128::from(char::from(*byte).to_digit(16)?);
        }
        Some(Self(bits))
    }

    /// Appends the text form.
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        for (place, byte) in self.0.to_be_bytes().into_iter().enumerate() {
            if matches!(place, 4 | 6 | 8 | 10) {
                out.push(b'-');
            }
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
        }
    }

    /// A number whose order is SQL Server's order of ids.
    pub(crate) fn sort_key(self) -> u128 {
        let bytes = self.0.to_be_bytes();
        SIGNIFICANCE.iter().fold(0, |key, place| key << 8 | u128::from(bytes[*place]))
    }

    /// The id of a number that [`Guid::sort_key`] made.
    pub(crate) fn from_sort_key(key: u128) -> Self {
        let mut bytes = [0; 16];
        for (byte, place) in key.to_be_bytes().into_iter().zip(SIGNIFICANCE) {
            bytes[place] = byte;
        }
        Self(u128::from_be_bytes(bytes))
    }
}

impl Ord for Guid {
    fn cmp(&self, other: &Self) -> Ordering {
        self.sort_key().cmp(&other.sort_key())
    }
}

impl PartialOrd for Guid {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(36);
        self.write(&mut text);
        f.write_str(&String::from_utf8_lossy(&text))
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::Guid;

    #[test]
    fn an_id_prints_as_it_was_read() {
        let id = Guid::parse("{C0000000-0000-4000-8000-0000000000A1}").unwrap();
        assert_eq!(id.to_string(), "c0000000-0000-4000-8000-0000000000a1");
        assert_eq!(Guid::parse("c0000000-0000-4000-8000-0000000000a"), None);
        assert_eq!(Guid::parse("c0000000+0000-4000-8000-0000000000a1"), None);
    }

    #[test]
    fn the_last_group_counts_first_as_in_sql_server() {
        let small = Guid::parse("ffffffff-ffff-ffff-ffff-000000000001").unwrap();
        let large = Guid::parse("00000000-0000-0000-0000-000000000002").unwrap();
        assert!(small < large);
        let low = Guid::parse("01000002-0000-0000-0000-000000000000").unwrap();
        let high = Guid::parse("02000001-0000-0000-0000-000000000000").unwrap();
        assert!(high < low, "the stored bytes of the first group are little-endian");
    }
}
