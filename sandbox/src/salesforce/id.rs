//! Record ids: 15 characters that tell letters' case apart, and three more that make case unimportant.

/// The pod in every id of this stand-in, and the reserved digit after it.
const INSTANCE: &[u8; 3] = b"gL0";

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const CHECKSUM: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";

/// An id of 18 characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Id([u8; 18]);

impl Id {
    /// The id of the record with this number under a key prefix such as `003`. Ids ascend with numbers.
    pub(crate) fn new(prefix: &str, number: u32) -> Self {
        let mut bytes = [b'0'; 18];
        bytes[..3].copy_from_slice(&prefix.as_bytes()[..3]);
        bytes[3..6].copy_from_slice(INSTANCE);
        let mut rest = u64::from(number) + 1;
        for place in (6..15).rev() {
            bytes[place] = DIGITS[usize::try_from(rest % 62).unwrap_or(0)];
            rest /= 62;
        }
        with_checksum(bytes)
    }

    /// Reads an id of 15 characters as it is, or of 18 in any case.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let given = text.as_bytes();
        if !given.iter().all(u8::is_ascii_alphanumeric) || !matches!(given.len(), 15 | 18) {
            return None;
        }
        let mut bytes = [b'0'; 18];
        bytes[..15].copy_from_slice(&given[..15]);
        if given.len() == 18 {
            for (place, byte) in bytes[..15].iter_mut().enumerate() {
                let bits = CHECKSUM.iter().position(|char| *char == given[15 + place / 5].to_ascii_uppercase())?;
                let is_upper = bits >> (place % 5) & 1 == 1;
                *byte = if is_upper { byte.to_ascii_uppercase() } else { byte.to_ascii_lowercase() };
            }
        }
        let id = with_checksum(bytes);
        (given.len() == 15 || id.0[15..].eq_ignore_ascii_case(&given[15..])).then_some(id)
    }

    /// The key prefix, such as `003`.
    pub(crate) fn prefix(&self) -> &str {
        std::str::from_utf8(&self.0[..3]).unwrap_or("")
    }

    /// The number of the record, if this stand-in could have made the id.
    pub(crate) fn number(&self) -> Option<u32> {
        if &self.0[3..6] != INSTANCE {
            return None;
        }
        let digits = self.0[6..15].iter().map(|byte| DIGITS.iter().position(|digit| digit == byte));
        let number =
            digits.into_iter().try_fold(0_u64, |number, digit| Some(number * 62 + u64::try_from(digit?).ok()?))?;
        u32::try_from(number.checked_sub(1)?).ok()
    }

    /// The 18 characters.
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("")
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

fn with_checksum(mut bytes: [u8; 18]) -> Id {
    for group in 0..3 {
        let upper = |place: &usize| bytes[group * 5 + place].is_ascii_uppercase();
        let bits = (0..5).filter(upper).fold(0, |bits, place| bits | 1 << place);
        bytes[15 + group] = CHECKSUM[bits];
    }
    Id(bytes)
}

#[cfg(test)]
mod tests {
    use super::Id;

    #[test]
    fn the_checksum_is_salesforces_own() {
        // Ids with known checksums, from Salesforce's documentation.
        for id in ["001D000000IqhSLIAZ", "00Dx0000000BV7zEAG", "750R0000000zlh9IAA", "01gRO0000016PIAYA2"] {
            assert_eq!(Id::parse(&id[..15]).unwrap().as_str(), id);
            assert_eq!(Id::parse(&id.to_lowercase()).unwrap().as_str(), id);
        }
        assert_eq!(Id::parse("001D000000IqhSLIA9"), None);
        assert_eq!(Id::parse("001D000000Iqh"), None);
        assert_eq!(Id::parse("001D000000Iqhö"), None);
    }

    #[test]
    fn ids_ascend_with_their_numbers_and_lead_back() {
        let numbers = [0, 1, 60, 61, 62, 3_843, 9_999_999, u32::MAX];
        let ids = numbers.map(|number| Id::new("003", number));
        assert!(ids.is_sorted());
        assert_eq!(ids.map(|id| id.number().unwrap()), numbers);
    }
}
