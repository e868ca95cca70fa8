//! SOQL's conditions, as Salesforce evaluates them: text without case, null unequal to anything and in no order.

use std::ops::RangeInclusive;

use engine::expr::Comparison;
use engine::outside::crm::{FieldKind, ObjectField, Read};

use super::field;
use crate::names;
use crate::pushdown::{self, Constant, Dialect, Pushed};

/// What of a reading's filter is sent.
pub(super) fn pushed(read: &Read) -> Option<Pushed> {
    pushdown::render(&Soql(read), read.filter.as_ref()?)
}

/// The fields of a reading, as conditions name them.
pub(super) struct Soql<'a>(pub(super) &'a Read);

impl Dialect for Soql<'_> {
    const BYTES_MAX: usize = 4_000;
    /// The years that Salesforce takes.
    const YEARS: RangeInclusive<i16> = 1700..=4000;
    const AND: &'static str = " AND ";
    const OR: &'static str = " OR ";
    const MISSING_IS_NULL: bool = true;
    /// See <https://developer.salesforce.com/docs/atlas.en-us.soql_sosl.meta/soql_sosl/sforce_api_calls_soql_null.htm>.
    const NULL_IS_FALSE: bool = true;
    /// As of an outer join, see
    /// <https://developer.salesforce.com/docs/platform/salesforce-soql-sosl/guide/sforce-api-calls-soql-relationships-lookup.md>.
    const RELATED_IN_OR: bool = true;

    fn comparable(&self, name: &str) -> Option<(&ObjectField, String)> {
        let field = names::find(self.0, name)?;
        Some((field, field::comparable(field)?.into_owned()))
    }

    fn operator(comparison: Comparison) -> &'static str {
        match comparison {
            Comparison::Eq => "=",
            Comparison::Ne => "!=",
            Comparison::Lt => "<",
            Comparison::Le => "<=",
            Comparison::Gt => ">",
            Comparison::Ge => ">=",
        }
    }

    fn is_text(field: &ObjectField) -> bool {
        matches!(field.kind, FieldKind::Text | FieldKind::TextPicklist)
            && !field::is_id(field)
            && !field::is_lookup_type(field)
    }

    fn text(text: &str) -> Option<String> {
        Some(quoted(text))
    }

    /// Salesforce gives ids of 18 characters and takes those of 15 for the same.
    fn id(field: &ObjectField, text: &str) -> Option<Constant> {
        let id = field::id(text).ok().filter(|_| field::is_id(field))?;
        Some(Constant { exact: id == text, text: quoted(&id) })
    }

    fn search(function: &str, path: &str, part: &str) -> Option<String> {
        let (before, after) = match function {
            "contains" => ("%", "%"),
            "starts_with" => ("", "%"),
            "ends_with" => ("%", ""),
            _ => return None,
        };
        Some(format!("{path} LIKE '{before}{}{after}'", between_wildcards(part)?))
    }
}

/// A text in quotes, whatever it holds. Doubling the quote, as SQL does, would be wrong here.
pub(super) fn quoted(text: &str) -> String {
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

/// A text as it stands between the wildcards of `LIKE`, without quotes.
fn between_wildcards(part: &str) -> Option<String> {
    let escaped = part.replace('\'', "\\'").replace('%', "\\%").replace('_', "\\_");
    (!part.contains('\\')).then_some(escaped)
}

#[cfg(test)]
pub(crate) mod tests;
