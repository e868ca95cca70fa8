//! Renders an expression as a condition of SOQL, where that lets no wanted record out.
//!
//! Each rule says when a comparison of Salesforce is at least as wide as Rhai's. What no rule covers is left out of a
//! conjunction, and takes a whole disjunction with it. Salesforce compares text without case, takes null for "not equal",
//! and leaves a record out where an order meets null. Nothing here writes SOQL's `NOT`: negations are carried down to the
//! comparisons, where null is let in by name. `AND` and `OR` never stand side by side without parentheses, which SOQL
//! refuses.

pub(super) mod literal;

use engine::expr::{Comparison, Expr, Literal};
use engine::outside::crm::{FieldKind, ObjectField};

use super::field;

/// The longest condition that is sent, in bytes before encoding; the address must keep room for the rest.
const FILTER_BYTES_MAX: usize = 4_000;

/// Finds a field by the name that an expression uses.
pub(super) type Find<'a> = &'a dyn Fn(&str) -> Option<&'a ObjectField>;

/// A condition as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pushed {
    /// In SOQL.
    pub(super) text: String,
    /// Whether it lets exactly the right records through, so that evaluating again could drop nothing.
    pub(super) exact: bool,
    join: Join,
}

/// What holds the parts of a condition together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Join {
    Alone,
    And,
    Or,
}

impl Pushed {
    fn new(text: String, exact: bool) -> Option<Self> {
        Some(Self { text, exact, join: Join::Alone })
    }

    /// Or the field is null.
    fn or_null(self, path: &str) -> Self {
        Self { text: format!("{} OR {path} = null", self.text), join: Join::Or, ..self }
    }

    /// As it stands beside parts that are held together so.
    fn beside(&self, join: Join) -> String {
        if self.join == Join::Alone || self.join == join { self.text.clone() } else { format!("({})", self.text) }
    }

    /// As it stands beside an `AND`.
    pub(super) fn in_conjunction(&self) -> String {
        self.beside(Join::And)
    }
}

/// What of `filter` can be sent; `None` where all records must be asked for.
pub(super) fn render(find: Find<'_>, filter: &Expr) -> Option<Pushed> {
    condition(find, filter, false).filter(|pushed| pushed.text.len() <= FILTER_BYTES_MAX)
}

/// Something at least as wide as `expr`, or as its negation.
fn condition(find: Find<'_>, expr: &Expr, negated: bool) -> Option<Pushed> {
    match expr {
        Expr::Not(inner) => condition(find, inner, !negated),
        Expr::And(all) if negated => one_of(all.iter().map(|part| condition(find, part, true))),
        Expr::And(all) => all_of(all.iter().map(|part| condition(find, part, false))),
        Expr::Or(all) if negated => all_of(all.iter().map(|part| condition(find, part, true))),
        Expr::Or(all) => one_of(all.iter().map(|part| condition(find, part, false))),
        Expr::Compare(comparison, a, b) => compare(find, *comparison, a, b, negated),
        Expr::In(value, items) => {
            let item = |item| compare(find, Comparison::Eq, value, item, negated);
            if negated { all_of(items.iter().map(item)) } else { one_of(items.iter().map(item)) }
        }
        Expr::Field(name) => truth(find, name, negated),
        Expr::Call(function, args) => call(find, function.name, args, negated),
        _ => None,
    }
}

/// A conjunction: what cannot be sent, or no longer fits, is left out.
fn all_of(parts: impl Iterator<Item = Option<Pushed>>) -> Option<Pushed> {
    let (mut kept, mut exact, mut length) = (Vec::new(), true, 0);
    for part in parts {
        let Some(part) = part.filter(|part| length + part.text.len() + 7 <= FILTER_BYTES_MAX) else {
            exact = false;
            continue;
        };
        exact &= part.exact;
        length += part.text.len() + 7;
        kept.push(part);
    }
    joined(kept, Join::And, " AND ").map(|pushed| Pushed { exact, ..pushed })
}

/// A disjunction: only if every part can be sent.
fn one_of(parts: impl Iterator<Item = Option<Pushed>>) -> Option<Pushed> {
    let parts: Vec<Pushed> = parts.collect::<Option<_>>()?;
    joined(parts, Join::Or, " OR ").filter(|pushed| pushed.text.len() <= FILTER_BYTES_MAX)
}

fn joined(mut parts: Vec<Pushed>, join: Join, word: &str) -> Option<Pushed> {
    if parts.len() < 2 {
        return parts.pop();
    }
    let texts: Vec<String> = parts.iter().map(|part| part.beside(join)).collect();
    Some(Pushed { text: texts.join(word), exact: parts.iter().all(|part| part.exact), join })
}

/// A comparison of a field with a constant, in either order.
fn compare(find: Find<'_>, comparison: Comparison, a: &Expr, b: &Expr, negated: bool) -> Option<Pushed> {
    if let (Some(literal), None) = (constant(a), constant(b)) {
        return compare_sides(find, flip(comparison), b, &literal, negated);
    }
    compare_sides(find, comparison, a, &constant(b)?, negated)
}

fn compare_sides(
    find: Find<'_>,
    comparison: Comparison,
    side: &Expr,
    literal: &Literal,
    negated: bool,
) -> Option<Pushed> {
    let equal = matches!((comparison, negated), (Comparison::Eq, false) | (Comparison::Ne, true));
    match side {
        Expr::Field(name) => {
            let field = find(name)?;
            let path = field::comparable(field)?;
            match comparison {
                Comparison::Eq | Comparison::Ne => equality(field, &path, literal, equal),
                _ => order(field, &path, comparison, literal, negated),
            }
        }
        // Salesforce compares without case, so a change of case on this side takes nothing away.
        Expr::Call(function, args) if equal && matches!(function.name, "lower" | "upper") => {
            match (args.as_slice(), literal) {
                ([Expr::Field(name)], Literal::Text(text)) => caseless(find, name, text),
                _ => None,
            }
        }
        _ => None,
    }
}

fn equality(field: &ObjectField, path: &str, literal: &Literal, equal: bool) -> Option<Pushed> {
    if *literal == Literal::Null {
        return Pushed::new(format!("{path} {} null", if equal { "=" } else { "!=" }), true);
    }
    if is_text(field) {
        // Without case `!=` would take away more than Rhai's.
        let Literal::Text(text) = literal else { return None };
        return if equal { Pushed::new(format!("{path} = {}", literal::text(text)?), false) } else { None };
    }
    let value = literal::equal(field, literal)?;
    if equal {
        return Pushed::new(format!("{path} = {}", value.text), value.exact);
    }
    // Where an equal value is written in several ways, `!=` would take those away that Rhai keeps. A related record that
    // is not there counts as null.
    let pushed = Pushed::new(format!("{path} != {}", value.text), true)?;
    value.exact.then(|| pushed.or_null(path))
}

fn order(field: &ObjectField, path: &str, comparison: Comparison, literal: &Literal, negated: bool) -> Option<Pushed> {
    let comparison = if negated { opposite(comparison) } else { comparison };
    let value = literal::bound(field, literal, comparison)?;
    let pushed = Pushed::new(format!("{path} {} {}", operator(comparison), value.text), value.exact)?;
    Some(if negated { pushed.or_null(path) } else { pushed })
}

/// A field by itself, which must be true or false. Null, which comes by related records, is let in where it could count.
fn truth(find: Find<'_>, name: &str, negated: bool) -> Option<Pushed> {
    let field = find(name).filter(|field| field.kind == FieldKind::Bool)?;
    let path = field::comparable(field)?;
    if negated {
        return Some(Pushed::new(format!("{path} = false"), false)?.or_null(&path));
    }
    Pushed::new(format!("{path} = true"), false)
}

fn call(find: Find<'_>, name: &str, args: &[Expr], negated: bool) -> Option<Pushed> {
    match (name, args) {
        ("is_empty", [Expr::Field(name)]) => {
            // Salesforce stores empty text, and an empty choice of several, as null.
            let path = field::comparable(find(name)?)?;
            Pushed::new(format!("{path} {} null", if negated { "!=" } else { "=" }), true)
        }
        ("contains" | "starts_with" | "ends_with", [Expr::Field(field), part]) if !negated => {
            let field = find(field).filter(|field| is_text(field))?;
            let path = field::comparable(field)?;
            let Literal::Text(text) = constant(part)? else { return None };
            let (before, after) = match name {
                "contains" => ("%", "%"),
                "starts_with" => ("", "%"),
                _ => ("%", ""),
            };
            Pushed::new(format!("{path} LIKE '{before}{}{after}'", literal::part(&text)?), false)
        }
        ("eq_ci", [Expr::Field(name), other] | [other, Expr::Field(name)]) if !negated => match constant(other)? {
            Literal::Text(text) => caseless(find, name, &text),
            _ => None,
        },
        _ => None,
    }
}

/// A comparison without case. Only for ASCII, since case beyond it is not the same everywhere, and only of fields where
/// Salesforce itself ignores it.
fn caseless(find: Find<'_>, name: &str, text: &str) -> Option<Pushed> {
    let field = find(name).filter(|field| is_text(field) && !field.case_sensitive && text.is_ascii())?;
    let path = field::comparable(field)?;
    Pushed::new(format!("{path} = {}", literal::text(text)?), false)
}

/// Text that Salesforce compares as text, unlike ids.
fn is_text(field: &ObjectField) -> bool {
    matches!(field.kind, FieldKind::Text | FieldKind::TextPicklist)
        && !field::is_id(field)
        && !field::is_lookup_type(field)
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
        Comparison::Eq => "=",
        Comparison::Ne => "!=",
        Comparison::Lt => "<",
        Comparison::Le => "<=",
        Comparison::Gt => ">",
        Comparison::Ge => ">=",
    }
}

#[cfg(test)]
mod tests;
