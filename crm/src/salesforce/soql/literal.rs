//! Constants in SOQL, where field and constant are of types that both sides compare alike.

use engine::expr::{Comparison, Literal};
use engine::outside::crm::{FieldKind, ObjectField};
use jiff::{RoundMode, Timestamp, TimestampRound, Unit};

use crate::salesforce::field;

/// The longest text constant that is sent, in bytes.
const TEXT_BYTES_MAX: usize = 500;
/// The years that Salesforce takes.
const YEARS: std::ops::RangeInclusive<i16> = 1700..=4000;

/// A constant as it is sent.
#[derive(Debug, PartialEq)]
pub(super) struct Value {
    pub(super) text: String,
    /// Whether comparing with it gives exactly the same as comparing here.
    pub(super) exact: bool,
}

impl Value {
    fn exact(text: impl Into<String>) -> Option<Self> {
        Some(Self { text: text.into(), exact: true })
    }
}

/// A text in quotes, whatever it holds. Doubling the quote, as SQL does, would be wrong here.
pub(in crate::salesforce) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('\'');
    for c in text.chars() {
        match c {
            '\'' => quoted.push_str("\\'"),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            c => quoted.push(c),
        }
    }
    quoted.push('\'');
    quoted
}

/// A text in quotes; `None` where what Salesforce makes of it could be narrower than the text itself: it trims what it
/// stores, and an empty text is null there. Control characters are not worth the risk.
pub(super) fn text(text: &str) -> Option<String> {
    let fits = !text.is_empty() && text.len() <= TEXT_BYTES_MAX && text.trim() == text;
    (fits && !text.chars().any(char::is_control)).then(|| quoted(text))
}

/// A text as it stands between the wildcards of `LIKE`, without quotes.
pub(super) fn part(part: &str) -> Option<String> {
    let fits = !part.is_empty() && part.len() <= TEXT_BYTES_MAX && part.trim() == part;
    if !fits || part.chars().any(|c| c.is_control() || c == '\\') {
        return None;
    }
    Some(part.replace('\'', "\\'").replace('%', "\\%").replace('_', "\\_"))
}

/// A constant that is compared by `=` or `!=` with a field that is not text.
pub(super) fn equal(field: &ObjectField, literal: &Literal) -> Option<Value> {
    match (field.kind, literal) {
        (FieldKind::Bool, Literal::Bool(value)) => Value::exact(value.to_string()),
        // Salesforce gives ids of 18 characters and takes those of 15 for the same.
        (_, Literal::Text(text)) if field::is_id(field) => {
            let id = field::id(text).ok()?;
            Some(Value { exact: id == *text, text: quoted(&id) })
        }
        (FieldKind::DateTime, Literal::DateTime(at)) if at.subsec_nanosecond() != 0 => None,
        _ => bound(field, literal, Comparison::Eq),
    }
}

/// A constant that is compared with a field that has an order.
///
/// Salesforce shows whole seconds: a fraction is rounded so that the bound moves outwards.
pub(super) fn bound(field: &ObjectField, literal: &Literal, comparison: Comparison) -> Option<Value> {
    match (field.kind, literal) {
        (FieldKind::Double, Literal::Float(n)) if n.fract() == 0.0 && n.abs() < 1e15 => Value::exact(format!("{n:.0}")),
        (FieldKind::Int, Literal::Int(n)) => Value::exact(i32::try_from(*n).ok()?.to_string()),
        (FieldKind::BigInt | FieldKind::Money | FieldKind::Double, Literal::Int(n)) => {
            // Beyond 15 digits a floating point comparison and ours may differ.
            (n.unsigned_abs() < 1_000_000_000_000_000).then(|| Value { text: n.to_string(), exact: true })
        }
        (FieldKind::Money, Literal::Decimal(n)) => (n.abs() < rust_decimal::Decimal::from(1_000_000_000_000_i64)
            && n.scale() <= 10)
            .then(|| Value { text: n.normalize().to_string(), exact: true }),
        (FieldKind::Date, Literal::Date(date)) => {
            YEARS.contains(&date.year()).then(|| Value { text: date.to_string(), exact: true })
        }
        (FieldKind::DateTime, Literal::DateTime(at)) => instant(*at, comparison),
        _ => None,
    }
}

fn instant(at: Timestamp, comparison: Comparison) -> Option<Value> {
    let mode = match comparison {
        Comparison::Lt | Comparison::Le => RoundMode::Ceil,
        _ => RoundMode::Floor,
    };
    let whole = at.round(TimestampRound::new().smallest(Unit::Second).mode(mode)).ok()?;
    let year = whole.to_zoned(jiff::tz::TimeZone::UTC).year();
    YEARS.contains(&year).then(|| Value { text: whole.to_string(), exact: whole == at })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_text_holds_stays_within_its_quotes() {
        for (text, soql) in [
            ("x' OR Name != '", r"'x\' OR Name != \''"),
            (r"\' OR 1=1", r"'\\\' OR 1=1'"),
            ("ends with \\", r"'ends with \\'"),
            ("a\r\nb\t\"", "'a\\r\\nb\\t\"'"),
            ("\u{2bc}\u{ff07}%27", "'\u{2bc}\u{ff07}%27'"),
        ] {
            assert_eq!(quoted(text), soql);
            // Read back as SOQL reads it.
            let mut inner = soql[1..soql.len() - 1].chars();
            let mut read = String::new();
            while let Some(c) = inner.next() {
                read.push(match c {
                    '\'' => panic!("the text ends early: {soql}"),
                    '\\' => match inner.next().unwrap() {
                        'n' => '\n',
                        'r' => '\r',
                        't' => '\t',
                        c @ ('\'' | '\\') => c,
                        c => panic!("no escape: {c}"),
                    },
                    c => c,
                });
            }
            assert_eq!(read, text);
        }
        assert_eq!(part("50%_'"), Some(r"50\%\_\'".to_owned()));
        assert_eq!((text(" a"), text(""), text("a\n"), part("a\\")), (None, None, None, None));
    }
}
