//! OData's `$filter`, as Dataverse evaluates it: text without case and with wildcards, null leaves a record out.

use std::ops::RangeInclusive;

use engine::expr::Comparison;
use engine::outside::crm::{FieldKind, ObjectField, Read};
use jiff::{Timestamp, civil};

use super::column;
use crate::pushdown::{self, Constant, Dialect, Pushed};

/// What of a reading's filter is sent.
pub(super) fn pushed(read: &Read) -> Option<Pushed> {
    pushdown::render(&OData(read), read.filter.as_ref()?)
}

/// The fields of a reading, as filters name them.
pub(super) struct OData<'a>(pub(super) &'a Read);

impl Dialect for OData<'_> {
    /// Beside address and resume cursor.
    const BYTES_MAX: usize = 2_000;
    /// Dataverse's database begins here.
    const YEARS: RangeInclusive<i16> = 1753..=9999;
    const AND: &'static str = " and ";
    const OR: &'static str = " or ";
    /// Of a record without the related one Dataverse need not say that its field is null.
    const MISSING_IS_NULL: bool = false;
    /// A two-option column that was added later is null in older records.
    const NULL_IS_FALSE: bool = false;
    /// Its pages do not say how it joins related records to the condition of a filter.
    const RELATED_IN_OR: bool = false;

    fn comparable(&self, name: &str) -> Option<(&ObjectField, String)> {
        column::comparable(self.0, name)
    }

    fn operator(comparison: Comparison) -> &'static str {
        match comparison {
            Comparison::Eq => "eq",
            Comparison::Ne => "ne",
            Comparison::Lt => "lt",
            Comparison::Le => "le",
            Comparison::Gt => "gt",
            Comparison::Ge => "ge",
        }
    }

    fn is_text(field: &ObjectField) -> bool {
        field.kind == FieldKind::Text && field.system_type != column::GUID && !column::is_lookup_type(field)
    }

    /// `%`, `_` and `[` are wildcards to Dataverse, also within `eq`: `[a]` would not find itself, and a leading wildcard
    /// is refused. The two letters that older code pages fold into a quote are not worth the risk.
    fn text(text: &str) -> Option<String> {
        let is_wild = text.starts_with('_') || text.contains(['%', '[', '\u{2bc}', '\u{ff07}']);
        (!is_wild).then(|| quoted(text))
    }

    fn id(field: &ObjectField, text: &str) -> Option<Constant> {
        (field.kind == FieldKind::Lookup || field.system_type == column::GUID).then(|| guid(text))?
    }

    fn search(function: &str, path: &str, part: &str) -> Option<String> {
        let function = match function {
            "contains" => "contains",
            "starts_with" => "startswith",
            "ends_with" => "endswith",
            _ => return None,
        };
        Some(format!("{function}({path},{})", Self::text(part)?))
    }
}

/// That a field has this value, written as a text; at least as wide. `None` where no value of its type is written so.
pub(super) fn is_value(field: &ObjectField, property: &str, value: &str) -> Option<String> {
    values(field, value)
        .map(|values| values.iter().map(|value| format!("{property} eq {value}")).collect::<Vec<_>>().join(" or "))
}

/// A value of a key in all the ways in which Dataverse may have to be asked for it.
fn values(field: &ObjectField, value: &str) -> Option<Vec<String>> {
    let is_number = |c: char| c.is_ascii_digit() || matches!(c, '-' | '.');
    match field.kind {
        FieldKind::Lookup => Some(vec![guid(value)?.text]),
        FieldKind::Text if field.system_type == column::GUID => Some(vec![guid(value)?.text]),
        FieldKind::Text => {
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

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// An id, as the CRM writes it; anything else equals no id, which needs no request to find out, but no rule either.
fn guid(text: &str) -> Option<Constant> {
    let bytes = text.as_bytes();
    let is_hyphen = |place: usize| matches!(place, 8 | 13 | 18 | 23);
    let is_guid = bytes.len() == 36
        && bytes.iter().enumerate().all(|(place, b)| if is_hyphen(place) { *b == b'-' } else { b.is_ascii_hexdigit() });
    // Dataverse writes small letters; Rhai tells capitals apart.
    is_guid.then(|| Constant { text: text.to_owned(), exact: !bytes.iter().any(u8::is_ascii_uppercase) })
}

#[cfg(test)]
pub(crate) mod tests;
