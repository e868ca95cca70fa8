//! Constants that are not text, where field and constant are of types that both sides compare alike.

use engine::expr::{Comparison, Literal};
use engine::outside::crm::{FieldKind, ObjectField};
use jiff::tz::TimeZone;
use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use rust_decimal::Decimal;

use super::Dialect;

/// Beyond 15 digits a CRM's floating point comparison and ours may differ.
const INT_MAX: u64 = 999_999_999_999_999;
/// The same of numbers with places after the point.
const DECIMAL_MAX: i64 = 999_999_999_999;
/// The most places after the point that are sent.
const SCALE_MAX: u32 = 10;

/// A constant as it is sent.
#[derive(Debug, PartialEq)]
pub(crate) struct Constant {
    pub(crate) text: String,
    /// Whether comparing with it gives exactly the same as comparing here.
    pub(crate) exact: bool,
}

/// A constant that is compared with a field that is not text.
pub(super) fn of<D: Dialect>(field: &ObjectField, literal: &Literal, comparison: Comparison) -> Option<Constant> {
    let is_equality = matches!(comparison, Comparison::Eq | Comparison::Ne);
    let exact = |text: String| Constant { text, exact: true };
    match (field.kind, literal) {
        (FieldKind::Bool, Literal::Bool(value)) if is_equality => Some(exact(value.to_string())),
        (_, Literal::Text(text)) if is_equality => D::id(field, text),
        // A constant that met a column of numbers may have become of the column's own type.
        (FieldKind::Double, Literal::Float(n)) if n.fract() == 0.0 && n.abs() < 1e15 => Some(exact(format!("{n:.0}"))),
        (FieldKind::Int | FieldKind::Picklist, Literal::Int(n)) => Some(exact(i32::try_from(*n).ok()?.to_string())),
        (FieldKind::BigInt | FieldKind::Money | FieldKind::Decimal { .. } | FieldKind::Double, Literal::Int(n)) => {
            (n.unsigned_abs() <= INT_MAX).then(|| exact(n.to_string()))
        }
        (FieldKind::Money | FieldKind::Decimal { .. }, Literal::Decimal(n)) => {
            let fits = n.abs().trunc() <= Decimal::from(DECIMAL_MAX) && n.scale() <= SCALE_MAX;
            fits.then(|| exact(n.normalize().to_string()))
        }
        (FieldKind::Date, Literal::Date(date)) => D::YEARS.contains(&date.year()).then(|| exact(date.to_string())),
        (FieldKind::DateTime, Literal::DateTime(at)) => instant::<D>(*at, comparison),
        (FieldKind::LocalDateTime, Literal::LocalDateTime(at)) => {
            instant::<D>(at.to_zoned(TimeZone::UTC).ok()?.timestamp(), comparison)
        }
        _ => None,
    }
}

/// CRMs keep or show whole seconds: the fraction of a bound is rounded so that the bound moves outwards.
fn instant<D: Dialect>(at: Timestamp, comparison: Comparison) -> Option<Constant> {
    let mode = match comparison {
        Comparison::Lt | Comparison::Le => RoundMode::Ceil,
        Comparison::Gt | Comparison::Ge => RoundMode::Floor,
        Comparison::Eq | Comparison::Ne if at.subsec_nanosecond() != 0 => return None,
        Comparison::Eq | Comparison::Ne => RoundMode::Floor,
    };
    let whole = at.round(TimestampRound::new().smallest(Unit::Second).mode(mode)).ok()?;
    let year = whole.to_zoned(TimeZone::UTC).year();
    D::YEARS.contains(&year).then(|| Constant { text: whole.to_string(), exact: whole == at })
}
