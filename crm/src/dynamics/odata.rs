//! Renders an expression as OData's `$filter`, where that lets no wanted record out.
//!
//! Each rule says when a comparison of Dataverse is at least as wide as Rhai's. What no rule covers is left out of a
//! conjunction, and takes a whole disjunction with it. Nothing here writes OData's `not`: Dataverse leaves a record out
//! where a comparison meets null, and so it would where the negated comparison does; Rhai counts null as "not greater".
//! Negations are therefore carried down to the comparisons, where null is let in by name.

mod literal;

use engine::expr::{Comparison, Expr, Literal};
use engine::outside::crm::{FieldKind, ObjectField};

use super::column::{self, Known};
use super::path;

/// The longest filter that is sent, in bytes before encoding; address and resume cursor must keep room for the rest.
const FILTER_BYTES_MAX: usize = 2_000;

/// A condition as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pushed {
    /// In OData, without percent encoding.
    pub(super) text: String,
    /// Whether it lets exactly the right records through, so that evaluating again could drop nothing.
    pub(super) exact: bool,
    /// Whether it must be put into parentheses beside an `and`.
    pub(super) is_or: bool,
}

impl Pushed {
    fn exact(text: String) -> Option<Self> {
        Some(Self { text, exact: true, is_or: false })
    }

    fn wider(text: String) -> Option<Self> {
        Some(Self { text, exact: false, is_or: false })
    }

    /// As it stands beside an `and`.
    pub(super) fn in_conjunction(&self) -> String {
        if self.is_or { format!("({})", self.text) } else { self.text.clone() }
    }
}

/// What of `filter` can be sent; `None` where all records must be asked for.
pub(super) fn render(known: Known<'_>, filter: &Expr) -> Option<Pushed> {
    condition(known, filter, false).filter(|pushed| pushed.text.len() <= FILTER_BYTES_MAX)
}

/// That a field has this value, written as a text; at least as wide. `None` where no value of its type is written so.
pub(super) fn is_value(field: &ObjectField, property: &str, value: &str) -> Option<String> {
    literal::values(field, value)
        .map(|values| values.iter().map(|value| format!("{property} eq {value}")).collect::<Vec<_>>().join(" or "))
}

/// Something at least as wide as `expr`, or as its negation.
fn condition(known: Known<'_>, expr: &Expr, negated: bool) -> Option<Pushed> {
    match expr {
        Expr::Not(inner) => condition(known, inner, !negated),
        Expr::And(all) if negated => one_of(all.iter().map(|part| condition(known, part, true))),
        Expr::And(all) => all_of(all.iter().map(|part| condition(known, part, false))),
        Expr::Or(all) if negated => all_of(all.iter().map(|part| condition(known, part, true))),
        Expr::Or(all) => one_of(all.iter().map(|part| condition(known, part, false))),
        Expr::Compare(comparison, a, b) => compare(known, *comparison, a, b, negated),
        Expr::In(value, items) => {
            let item = |item| compare(known, Comparison::Eq, value, item, negated);
            if negated { all_of(items.iter().map(item)) } else { one_of(items.iter().map(item)) }
        }
        Expr::Field(name) => truth(known, name, negated),
        Expr::Call(function, args) => call(known, function.name, args, negated),
        _ => None,
    }
}

/// A conjunction: what cannot be sent, or no longer fits, is left out.
fn all_of(parts: impl Iterator<Item = Option<Pushed>>) -> Option<Pushed> {
    let (mut texts, mut exact, mut length) = (Vec::new(), true, 0);
    for part in parts {
        let Some(part) = part.filter(|part| length + part.text.len() + 7 <= FILTER_BYTES_MAX) else {
            exact = false;
            continue;
        };
        exact &= part.exact;
        let text = part.in_conjunction();
        length += text.len() + " and ".len();
        texts.push((text, part.is_or));
    }
    match texts.len() {
        0 => None,
        1 => texts.pop().map(|(text, is_or)| {
            let bare = if is_or { text[1..text.len() - 1].to_owned() } else { text };
            Pushed { text: bare, exact, is_or }
        }),
        _ => {
            let texts: Vec<String> = texts.into_iter().map(|(text, _)| text).collect();
            Some(Pushed { text: texts.join(" and "), exact, is_or: false })
        }
    }
}

/// A disjunction: only if every part can be sent.
fn one_of(parts: impl Iterator<Item = Option<Pushed>>) -> Option<Pushed> {
    let parts: Vec<Pushed> = parts.collect::<Option<_>>()?;
    let exact = parts.iter().all(|part| part.exact);
    let is_or = parts.len() > 1 || parts.iter().any(|part| part.is_or);
    let text = match parts.as_slice() {
        [] => return None,
        [one] => one.text.clone(),
        // `and` binds tighter, but readers should not have to know.
        all => {
            let side = |part: &Pushed| {
                if part.text.contains(" and ") { format!("({})", part.text) } else { part.text.clone() }
            };
            all.iter().map(side).collect::<Vec<_>>().join(" or ")
        }
    };
    (text.len() <= FILTER_BYTES_MAX).then_some(Pushed { text, exact, is_or })
}

/// A comparison of a field with a constant, in either order.
fn compare(known: Known<'_>, comparison: Comparison, a: &Expr, b: &Expr, negated: bool) -> Option<Pushed> {
    if let (Some(literal), None) = (constant(a), constant(b)) {
        return compare_sides(known, flip(comparison), b, &literal, negated);
    }
    compare_sides(known, comparison, a, &constant(b)?, negated)
}

fn compare_sides(
    known: Known<'_>,
    comparison: Comparison,
    side: &Expr,
    literal: &Literal,
    negated: bool,
) -> Option<Pushed> {
    let equal = matches!((comparison, negated), (Comparison::Eq, false) | (Comparison::Ne, true));
    match side {
        Expr::Field(name) => {
            let (field, property) = known.comparable(name)?;
            // Of a record without the related one the CRM need not say that its field is null.
            if path::is_path(name) && (*literal == Literal::Null || is_with_null(comparison, negated)) {
                return None;
            }
            match comparison {
                Comparison::Eq | Comparison::Ne => equality(field, &property, literal, equal),
                _ => order(field, &property, comparison, literal, negated),
            }
        }
        // Dataverse compares without case, so a change of case on this side takes nothing away.
        Expr::Call(function, args) if equal && matches!(function.name, "lower" | "upper") => {
            match (args.as_slice(), literal) {
                ([Expr::Field(name)], Literal::Text(text)) => caseless(known, name, text),
                _ => None,
            }
        }
        _ => None,
    }
}

fn equality(field: &ObjectField, property: &str, literal: &Literal, equal: bool) -> Option<Pushed> {
    if *literal == Literal::Null {
        return Pushed::exact(format!("{property} {} null", if equal { "eq" } else { "ne" }));
    }
    if is_text(field) {
        // Without case `ne` would take away more than Rhai's `!=`.
        let Literal::Text(text) = literal else { return None };
        return if equal { Pushed::wider(format!("{property} eq {}", literal::text(text)?)) } else { None };
    }
    let value = literal::equal(field, literal)?;
    if equal {
        return Some(Pushed { text: format!("{property} eq {}", value.text), exact: value.exact, is_or: false });
    }
    // Where an equal value is written in several ways, `ne` would take those away that Rhai keeps.
    let text = format!("{property} ne {} or {property} eq null", value.text);
    value.exact.then_some(Pushed { text, exact: true, is_or: true })
}

fn order(
    field: &ObjectField,
    property: &str,
    comparison: Comparison,
    literal: &Literal,
    negated: bool,
) -> Option<Pushed> {
    let comparison = if negated { opposite(comparison) } else { comparison };
    let value = literal::bound(field, literal, comparison)?;
    let text = format!("{property} {} {}", operator(comparison), value.text);
    if negated {
        return Some(Pushed { text: format!("{text} or {property} eq null"), exact: value.exact, is_or: true });
    }
    Some(Pushed { text, exact: value.exact, is_or: false })
}

/// A field by itself, which must be true or false. Null is let in where it could count.
fn truth(known: Known<'_>, name: &str, negated: bool) -> Option<Pushed> {
    let (_, property) = known.comparable(name).filter(|(field, _)| field.kind == FieldKind::Bool)?;
    if negated && path::is_path(name) {
        return None;
    }
    if negated {
        return Some(Pushed { text: format!("{property} eq false or {property} eq null"), exact: false, is_or: true });
    }
    Pushed::wider(format!("{property} eq true"))
}

fn call(known: Known<'_>, name: &str, args: &[Expr], negated: bool) -> Option<Pushed> {
    match (name, args) {
        ("is_empty", [Expr::Field(name)]) => {
            let (_, property) = known.comparable(name).filter(|(field, _)| field.kind != FieldKind::MultiPicklist)?;
            if path::is_path(name) && !negated {
                return None;
            }
            // Dataverse stores empty text as null, so there is no other empty value.
            Pushed::exact(format!("{property} {} null", if negated { "ne" } else { "eq" }))
        }
        ("contains" | "starts_with" | "ends_with", [Expr::Field(field), part]) if !negated => {
            let (_, property) = known.comparable(field).filter(|(field, _)| is_text(field))?;
            let Literal::Text(text) = constant(part)? else { return None };
            let function = match name {
                "contains" => "contains",
                "starts_with" => "startswith",
                _ => "endswith",
            };
            Pushed::wider(format!("{function}({property},{})", literal::text(&text)?))
        }
        ("eq_ci", [Expr::Field(name), other] | [other, Expr::Field(name)]) if !negated => match constant(other)? {
            Literal::Text(text) => caseless(known, name, &text),
            _ => None,
        },
        _ => None,
    }
}

/// A comparison without case. Only for ASCII: case beyond it is not the same everywhere.
fn caseless(known: Known<'_>, name: &str, text: &str) -> Option<Pushed> {
    let (_, property) = known.comparable(name).filter(|(field, _)| is_text(field) && text.is_ascii())?;
    Pushed::wider(format!("{property} eq {}", literal::text(text)?))
}

/// Text that Dataverse compares as text, unlike ids.
fn is_text(field: &ObjectField) -> bool {
    field.kind == FieldKind::Text && field.system_type != column::GUID && !column::is_lookup_type(field)
}

/// A constant, also one with a minus sign before it.
fn constant(expr: &Expr) -> Option<Literal> {
    match expr {
        Expr::Literal(literal) => Some(literal.clone()),
        Expr::Negative(inner) => match inner.as_ref() {
            Expr::Literal(Literal::Int(n)) => n.checked_neg().map(Literal::Int),
            Expr::Literal(Literal::Float(n)) => Some(Literal::Float(-n)),
            Expr::Literal(Literal::Decimal(n)) => Some(Literal::Decimal(-n)),
            _ => None,
        },
        _ => None,
    }
}

/// Whether a null makes the comparison true.
fn is_with_null(comparison: Comparison, negated: bool) -> bool {
    (comparison == Comparison::Ne) != negated
}

fn flip(comparison: Comparison) -> Comparison {
    match comparison {
        Comparison::Lt => Comparison::Gt,
        Comparison::Le => Comparison::Ge,
        Comparison::Gt => Comparison::Lt,
        Comparison::Ge => Comparison::Le,
        same => same,
    }
}

fn opposite(comparison: Comparison) -> Comparison {
    match comparison {
        Comparison::Eq => Comparison::Ne,
        Comparison::Ne => Comparison::Eq,
        Comparison::Lt => Comparison::Ge,
        Comparison::Le => Comparison::Gt,
        Comparison::Gt => Comparison::Le,
        Comparison::Ge => Comparison::Lt,
    }
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

#[cfg(test)]
mod tests;
