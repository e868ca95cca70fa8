//! Constants in OData, where field and constant are of types that both sides compare alike.

use engine::expr::{Comparison, Literal};
use engine::outside::crm::{FieldKind, ObjectField};
use jiff::{RoundMode, Timestamp, TimestampRound, Unit, civil};

use crate::dynamics::column;

/// The longest text constant that is sent, in bytes.
const TEXT_BYTES_MAX: usize = 500;
/// The first year that Dataverse's database knows.
const YEAR_MIN: i16 = 1753;

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

/// A text in quotes; `None` where what the database makes of it could be narrower than the text itself.
///
/// `%`, `_` and `[` are wildcards to Dataverse, also within `eq`: `[a]` would not find itself, and a leading wildcard is
/// refused. Spaces at the ends may be trimmed, an empty text is null there. Control characters are not worth the risk,
/// nor are the two letters that older code pages fold into a quote.
pub(super) fn text(text: &str) -> Option<String> {
    let is_plain = |c: char| !c.is_control() && !matches!(c, '%' | '[' | '\u{2bc}' | '\u{ff07}');
    let fits = !text.is_empty() && text.len() <= TEXT_BYTES_MAX && text.trim() == text;
    (fits && !text.starts_with('_') && text.chars().all(is_plain)).then(|| format!("'{}'", text.replace('\'', "''")))
}

/// A value of a key in all the ways in which Dataverse may have to be asked for it.
pub(in crate::dynamics) fn values(field: &ObjectField, value: &str) -> Option<Vec<String>> {
    let is_number = |c: char| c.is_ascii_digit() || matches!(c, '-' | '.');
    match field.kind {
        FieldKind::Lookup => Some(vec![guid(value)?.text]),
        FieldKind::Text if field.system_type == column::GUID => Some(vec![guid(value)?.text]),
        FieldKind::Text => {
            let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
            let plain = (!value.starts_with(['%', '_'])).then(|| quoted(value));
            // Where the database takes these for wildcards, a value that has them is found only so.
            let escaped = value.contains(['[', '%', '_']).then(|| {
                let letter = |c: char| if matches!(c, '[' | '%' | '_') { format!("[{c}]") } else { c.to_string() };
                quoted(&value.chars().map(letter).collect::<String>())
            });
            Some(plain.into_iter().chain(escaped).collect())
        }
        FieldKind::Bool => matches!(value, "true" | "false").then(|| vec![value.to_owned()]),
        FieldKind::Int
        | FieldKind::BigInt
        | FieldKind::Picklist
        | FieldKind::Money
        | FieldKind::Double
        | FieldKind::Decimal { .. } => {
            (!value.is_empty() && value.chars().all(is_number)).then(|| vec![value.to_owned()])
        }
        FieldKind::Date => value.parse::<civil::Date>().ok().map(|date| vec![date.to_string()]),
        FieldKind::DateTime | FieldKind::LocalDateTime => {
            value.parse::<Timestamp>().ok().map(|at| vec![at.to_string()])
        }
        _ => None,
    }
}

/// A constant that is compared by `eq` or `ne` with a field that is not text.
pub(super) fn equal(field: &ObjectField, literal: &Literal) -> Option<Value> {
    match (field.kind, literal) {
        (FieldKind::Bool, Literal::Bool(value)) => Value::exact(value.to_string()),
        (FieldKind::Lookup, Literal::Text(text)) => guid(text),
        (FieldKind::Text, Literal::Text(text)) if field.system_type == column::GUID => guid(text),
        (FieldKind::DateTime, Literal::DateTime(at)) if at.subsec_nanosecond() != 0 => None,
        _ => bound(field, literal, Comparison::Eq),
    }
}

/// A constant that is compared with a field that has an order.
///
/// Dataverse keeps whole seconds: a fraction is rounded so that the bound moves outwards.
pub(super) fn bound(field: &ObjectField, literal: &Literal, comparison: Comparison) -> Option<Value> {
    match (field.kind, literal) {
        // A constant that met a column of numbers may have become of the column's own type.
        (FieldKind::Double, Literal::Float(n)) if n.fract() == 0.0 && n.abs() < 1e15 => Value::exact(format!("{n:.0}")),
        (FieldKind::Int | FieldKind::Picklist, Literal::Int(n)) => Value::exact(i32::try_from(*n).ok()?.to_string()),
        (FieldKind::BigInt | FieldKind::Money | FieldKind::Decimal { .. } | FieldKind::Double, Literal::Int(n)) => {
            // Beyond 15 digits the database's floating point comparison and ours may differ.
            (n.unsigned_abs() < 1_000_000_000_000_000).then(|| Value { text: n.to_string(), exact: true })
        }
        (FieldKind::Money | FieldKind::Decimal { .. }, Literal::Decimal(n)) => {
            (n.abs() < rust_decimal::Decimal::from(1_000_000_000_000_i64) && n.scale() <= 10)
                .then(|| Value { text: n.normalize().to_string(), exact: true })
        }
        (FieldKind::Date, Literal::Date(date)) => {
            (date.year() >= YEAR_MIN).then(|| Value { text: date.to_string(), exact: true })
        }
        (FieldKind::DateTime, Literal::DateTime(at)) => instant(*at, comparison),
        (FieldKind::LocalDateTime, Literal::LocalDateTime(at)) => {
            let at = at.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
            if comparison == Comparison::Eq && at.subsec_nanosecond() != 0 { None } else { instant(at, comparison) }
        }
        _ => None,
    }
}

fn instant(at: Timestamp, comparison: Comparison) -> Option<Value> {
    let mode = match comparison {
        Comparison::Lt | Comparison::Le => RoundMode::Ceil,
        _ => RoundMode::Floor,
    };
    let whole = at.round(TimestampRound::new().smallest(Unit::Second).mode(mode)).ok()?;
    let first = civil::date(YEAR_MIN, 1, 1).to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    (whole >= first).then(|| Value { text: whole.to_string(), exact: whole == at })
}

/// An id, as the CRM writes it; anything else equals no id, which needs no request to find out, but no rule either.
fn guid(text: &str) -> Option<Value> {
    let bytes = text.as_bytes();
    let is_hyphen = |place: usize| matches!(place, 8 | 13 | 18 | 23);
    let is_guid = bytes.len() == 36
        && bytes.iter().enumerate().all(|(place, b)| if is_hyphen(place) { *b == b'-' } else { b.is_ascii_hexdigit() });
    // Dataverse writes small letters; Rhai tells capitals apart.
    is_guid.then(|| Value { text: text.to_owned(), exact: !bytes.iter().any(u8::is_ascii_uppercase) })
}
