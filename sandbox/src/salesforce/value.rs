//! Forms of values on the wire, and their order in queries.

use std::cmp::Ordering;

use crate::{data, time};

/// One value. Ids, picked words and times of day are text; decimals and references of other systems do not come up.
pub(crate) type Value = data::Value<'static>;

/// What the product does with values.
pub(super) trait Wire {
    /// Appends the JSON of the REST API.
    fn write_json(&self, out: &mut Vec<u8>);
    /// Appends the text of a bulk result, not quoted.
    fn write_csv(&self, out: &mut Vec<u8>);
    /// The order of `ORDER BY`: numbers and times by size, texts without regard to case, nulls first.
    fn order(&self, other: &Self) -> Ordering;
    /// A number as one of floating point; 0 if it is none.
    fn as_number(&self) -> f64;
}

impl Wire for Value {
    fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Text(text) => write_json_text(out, text),
            Self::Tree(json) => out.extend_from_slice(json.as_bytes()),
            Self::Integer(number) => out.extend_from_slice(number.to_string().as_bytes()),
            Self::Double(number) => out.extend_from_slice(double_text(*number).as_bytes()),
            Self::Boolean(flag) => out.extend_from_slice(if *flag { b"true" } else { b"false" }),
            Self::Instant(seconds) => {
                out.push(b'"');
                write_instant(out, *seconds);
                out.push(b'"');
            }
            Self::Date(days) => {
                out.push(b'"');
                time::write_date(out, *days);
                out.push(b'"');
            }
            other => out.extend_from_slice(other.to_json().to_string().as_bytes()),
        }
    }

    fn write_csv(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => {}
            Self::Text(text) => out.extend_from_slice(text.as_bytes()),
            Self::Instant(seconds) => {
                time::write_instant(out, *seconds);
                out.pop();
                out.extend_from_slice(b".000Z");
            }
            Self::Date(days) => time::write_date(out, *days),
            other => other.write_json(out),
        }
    }

    fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Null, Self::Null) => Ordering::Equal,
            (Self::Null, _) => Ordering::Less,
            (_, Self::Null) => Ordering::Greater,
            (Self::Text(left), Self::Text(right)) => order_texts(left, right),
            (Self::Boolean(left), Self::Boolean(right)) => left.cmp(right),
            (Self::Instant(left), Self::Instant(right))
            | (Self::Date(left), Self::Date(right))
            | (Self::Integer(left), Self::Integer(right)) => left.cmp(right),
            _ => self.as_number().total_cmp(&other.as_number()),
        }
    }

    fn as_number(&self) -> f64 {
        match self {
            // Salesforce's numbers are doubles with at most 18 digits.
            #[expect(clippy::cast_precision_loss, reason = "doubles are what Salesforce computes with")]
            Self::Integer(number) => *number as f64,
            Self::Double(number) => *number,
            _ => 0.0,
        }
    }
}

/// Compares without regard to case, and without making copies.
pub(super) fn order_texts(left: &str, right: &str) -> Ordering {
    left.chars().flat_map(char::to_lowercase).cmp(right.chars().flat_map(char::to_lowercase))
}

/// `2026-03-03T10:00:00.000+0000`.
pub(super) fn write_instant(out: &mut Vec<u8>, seconds: i64) {
    time::write_instant(out, seconds);
    out.pop();
    out.extend_from_slice(b".000+0000");
}

/// `2026-03-03T10:00:00.000+0000`.
pub(super) fn instant_text(seconds: i64) -> String {
    let mut out = Vec::with_capacity(28);
    write_instant(&mut out, seconds);
    String::from_utf8_lossy(&out).into_owned()
}

/// Reads an instant as clients write it: with `Z`, `+01:00` or `+0100`; fractions are cut off.
pub(super) fn parse_instant(text: &str) -> Option<i64> {
    time::parse_instant(text).or_else(|| {
        // `+0000` without colon, as the REST API itself writes it.
        let (head, zone) = text.split_at_checked(text.len().checked_sub(5)?)?;
        let zone = zone.strip_prefix(['+', '-']).map(|digits| (&zone[..1], digits))?;
        let (hours, minutes) = zone.1.split_at_checked(2)?;
        time::parse_instant(&format!("{head}{}{hours}:{minutes}", zone.0))
    })
}

/// As Java writes it, and so the product: with a point always, and with an exponent from ten million on and below a
/// thousandth, such as `1.2345678E7`.
fn double_text(number: f64) -> String {
    if number == 0.0 || (1e-3..1e7).contains(&number.abs()) {
        let text = number.to_string();
        return if text.contains('.') { text } else { format!("{text}.0") };
    }
    let text = format!("{number:E}");
    match text.split_once('E') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => format!("{mantissa}.0E{exponent}"),
        _ => text,
    }
}

/// Appends a JSON string.
pub(super) fn write_json_text(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut start = 0;
    for (place, byte) in bytes.iter().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..0x20 => &[b'\\', b'u', b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]],
            _ => continue,
        };
        out.extend_from_slice(&bytes[start..place]);
        out.extend_from_slice(escape);
        start = place + 1;
    }
    out.extend_from_slice(&bytes[start..]);
    out.push(b'"');
}
