//! What of a filter a CRM is asked, where that lets no wanted record out.
//!
//! Each rule says when a CRM's comparison is at least as wide as Rhai's. What no rule covers is left out of a
//! conjunction, and takes a whole disjunction with it. No `not` is ever sent: a CRM leaves a record out where a
//! comparison meets null, and so it would where the negated comparison does; Rhai counts null as "not greater".
//! Negations are therefore carried down to the comparisons, where null is let in by name. `and` and `or` never stand
//! side by side without parentheses: SOQL refuses that, and readers should not have to know which binds tighter.
//!
//! A [`Dialect`] writes the words; which of them are sent is decided here, and tested here for all of them.

mod constant;

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use engine::expr::{Comparison, Expr, Literal};
use engine::outside::crm::{FieldKind, ObjectField};

use crate::names;
pub(crate) use constant::Constant;

/// The longest text constant that is sent, in bytes.
const TEXT_BYTES_MAX: usize = 500;

/// How a CRM writes conditions, and what it makes of them.
pub(crate) trait Dialect {
    /// The longest condition that is sent, in bytes before encoding; the address must keep room for the rest.
    const BYTES_MAX: usize;
    /// The years that its dates know.
    const YEARS: RangeInclusive<i16>;
    /// What stands between two conditions that must both hold, spaces included.
    const AND: &'static str;
    /// What stands between two conditions of which one must hold, spaces included.
    const OR: &'static str;
    /// Whether a related record that is not there has null in all its fields, as it has here.
    const MISSING_IS_NULL: bool;
    /// Whether a condition takes a boolean that is null for `false`. Of such a system its own booleans are never null;
    /// those of a related record that is not there are.
    const NULL_IS_FALSE: bool;
    /// Whether a condition on a related record that is not there leaves the others of a disjunction as they are. A system that
    /// joins the related record may leave the whole record out instead.
    const RELATED_IN_OR: bool;

    /// A field, and the name by which the CRM compares it; `None` where it cannot.
    fn comparable(&self, name: &str) -> Option<(&ObjectField, String)>;

    /// The word for a comparison.
    fn operator(comparison: Comparison) -> &'static str;

    /// Whether it compares the field as text, unlike ids.
    fn is_text(field: &ObjectField) -> bool;

    /// A plain text in quotes; `None` where what the CRM makes of it could be narrower than the text itself.
    fn text(text: &str) -> Option<String>;

    /// An id; `None` where the text is none, or the field holds none.
    fn id(field: &ObjectField, text: &str) -> Option<Constant>;

    /// `contains`, `starts_with` or `ends_with` of a plain text.
    fn search(function: &str, path: &str, part: &str) -> Option<String>;
}

/// A condition as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pushed {
    /// In the CRM's language, without percent encoding.
    pub(crate) text: String,
    /// Whether it lets exactly the right records through, so that evaluating again could drop nothing.
    pub(crate) exact: bool,
    join: Join,
    /// The ways to the related records that must be there for the condition to hold.
    ways: BTreeSet<String>,
}

/// What holds the parts of a condition together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Join {
    Alone,
    And,
    Or,
}

impl Pushed {
    fn exact(text: String) -> Self {
        Self { text, exact: true, join: Join::Alone, ways: BTreeSet::new() }
    }

    fn wider(text: String) -> Self {
        Self { exact: false, ..Self::exact(text) }
    }

    /// As it stands beside parts that are held together so.
    fn beside(&self, join: Join) -> String {
        if self.join == Join::Alone || self.join == join { self.text.clone() } else { format!("({})", self.text) }
    }

    /// As it stands beside an `and`.
    pub(crate) fn in_conjunction(&self) -> String {
        self.beside(Join::And)
    }
}

/// What of `filter` can be sent; `None` where all records must be asked for.
pub(crate) fn render<D: Dialect>(crm: &D, filter: &Expr) -> Option<Pushed> {
    condition(crm, filter, false).filter(|pushed| pushed.text.len() <= D::BYTES_MAX)
}

/// Something at least as wide as `expr`, or as its negation.
fn condition<D: Dialect>(crm: &D, expr: &Expr, negated: bool) -> Option<Pushed> {
    match expr {
        Expr::Not(inner) => condition(crm, inner, !negated),
        Expr::And(all) | Expr::Or(all) => {
            let parts = all.iter().map(|part| condition(crm, part, negated));
            let every = matches!(expr, Expr::And(_)) != negated;
            if every { all_of::<D>(parts) } else { one_of::<D>(parts) }
        }
        // What is sent of a single field holds only if the record that has it is there.
        _ => single(crm, expr, negated).map(|pushed| Pushed { ways: ways(expr), ..pushed }),
    }
}

/// The ways to the related records of which an expression has fields.
fn ways(expr: &Expr) -> BTreeSet<String> {
    expr.fields().iter().filter_map(|field| field.rsplit_once('.')).map(|(way, _)| way.to_owned()).collect()
}

fn single<D: Dialect>(crm: &D, expr: &Expr, negated: bool) -> Option<Pushed> {
    match expr {
        Expr::Compare(comparison, a, b) => compare(crm, *comparison, a, b, negated),
        Expr::In(value, items) => {
            let parts = items.iter().map(|item| compare(crm, Comparison::Eq, value, item, negated));
            if negated { all_of::<D>(parts) } else { one_of::<D>(parts) }
        }
        Expr::Field(name) => truth(crm, name, negated),
        Expr::Call(function, args) => call(crm, function.name, args, negated),
        _ => None,
    }
}

/// A conjunction: what cannot be sent, or no longer fits, is left out.
fn all_of<D: Dialect>(parts: impl Iterator<Item = Option<Pushed>>) -> Option<Pushed> {
    let (mut kept, mut is_whole, mut length) = (Vec::new(), true, 0);
    for part in parts {
        let bytes = |part: &Pushed| part.text.len() + D::AND.len() + "()".len();
        match part.filter(|part| length + bytes(part) <= D::BYTES_MAX) {
            Some(part) => {
                length += bytes(&part);
                kept.push(part);
            }
            None => is_whole = false,
        }
    }
    joined(kept, Join::And, D::AND).map(|pushed| Pushed { exact: pushed.exact && is_whole, ..pushed })
}

/// A disjunction: only if every part can be sent, and none decides whether there are records for another.
fn one_of<D: Dialect>(parts: impl Iterator<Item = Option<Pushed>>) -> Option<Pushed> {
    let parts: Vec<Pushed> = parts.collect::<Option<_>>()?;
    let are_apart = D::RELATED_IN_OR || parts.windows(2).all(|pair| pair[0].ways == pair[1].ways);
    joined(parts, Join::Or, D::OR).filter(|pushed| are_apart && pushed.text.len() <= D::BYTES_MAX)
}

fn joined(mut parts: Vec<Pushed>, join: Join, word: &str) -> Option<Pushed> {
    if parts.len() < 2 {
        return parts.pop();
    }
    let texts: Vec<String> = parts.iter().map(|part| part.beside(join)).collect();
    let ways = parts.iter().flat_map(|part| part.ways.iter().cloned()).collect();
    Some(Pushed { text: texts.join(word), exact: parts.iter().all(|part| part.exact), join, ways })
}

/// A comparison of a field with a constant, in either order.
fn compare<D: Dialect>(crm: &D, comparison: Comparison, a: &Expr, b: &Expr, negated: bool) -> Option<Pushed> {
    let (comparison, side, literal) = match (constant(a), constant(b)) {
        (Some(literal), None) => (flip(comparison), b, literal),
        (_, literal) => (comparison, a, literal?),
    };
    let comparison = if negated { opposite(comparison) } else { comparison };
    match (side, comparison, &literal) {
        (Expr::Field(name), Comparison::Eq | Comparison::Ne, Literal::Null) => {
            let (field, path) = crm.comparable(name)?;
            null::<D>(field, &path, comparison == Comparison::Eq)
        }
        (Expr::Field(name), ..) => field_with(crm, name, comparison, &literal, negated),
        // CRMs compare without case, so a change of case on this side takes nothing away.
        (Expr::Call(function, args), Comparison::Eq, Literal::Text(text))
            if matches!(function.name, "lower" | "upper") =>
        {
            if let [Expr::Field(name)] = args.as_slice() {
                caseless(crm, name, text)
            } else {
                None
            }
        }
        _ => None,
    }
}

/// A comparison that stands here without its negation; a negated order lets null in.
fn field_with<D: Dialect>(
    crm: &D,
    name: &str,
    comparison: Comparison,
    literal: &Literal,
    was_negated: bool,
) -> Option<Pushed> {
    let (field, path) = crm.comparable(name)?;
    if let (true, FieldKind::Bool) = (D::NULL_IS_FALSE, field.kind) {
        return boolean::<D>(field, &path, Wanted::of(comparison, literal)?);
    }
    let operator = D::operator(comparison);
    if D::is_text(field) {
        // Without case "not equal" would take away more than Rhai's, and the order is another one.
        let (Comparison::Eq, Literal::Text(text)) = (comparison, literal) else { return None };
        return Some(Pushed::wider(format!("{path} {operator} {}", D::text(plain(text)?)?)));
    }
    let value = constant::of::<D>(field, literal, comparison)?;
    let pushed = Pushed { exact: value.exact, ..Pushed::exact(format!("{path} {operator} {}", value.text)) };
    match comparison {
        Comparison::Eq => Some(pushed),
        // Where an equal value is written in several ways, this would take those away that Rhai keeps.
        Comparison::Ne if !value.exact => None,
        Comparison::Ne => or_null::<D>(pushed, field, &path),
        _ if was_negated => or_null::<D>(pushed, field, &path),
        _ => Some(pushed),
    }
}

/// Which values of a boolean a condition wants.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    is_true: bool,
    is_false: bool,
    is_null: bool,
}

impl Wanted {
    /// Those that fulfil a comparison here; `None` where it has no order, or is with something else.
    fn of(comparison: Comparison, literal: &Literal) -> Option<Self> {
        let (is_true, is_false, is_null) = match literal {
            Literal::Bool(value) => (*value, !*value, false),
            Literal::Null => (false, false, true),
            _ => return None,
        };
        match comparison {
            Comparison::Eq => Some(Self { is_true, is_false, is_null }),
            Comparison::Ne => Some(Self { is_true: !is_true, is_false: !is_false, is_null: !is_null }),
            _ => None,
        }
    }
}

/// A boolean of a system that takes null for `false`: null itself cannot be asked for.
fn boolean<D: Dialect>(field: &ObjectField, path: &str, wanted: Wanted) -> Option<Pushed> {
    let may_be_null = names::is_path(&field.name);
    let false_or_null = wanted.is_false || (wanted.is_null && may_be_null);
    let value = match (wanted.is_true, false_or_null) {
        (true, false) => true,
        (false, true) => false,
        // All records; or none, which no condition says.
        _ => return None,
    };
    let exact = value || !may_be_null || (wanted.is_false && wanted.is_null);
    Some(Pushed { exact, ..Pushed::exact(format!("{path} {} {value}", D::operator(Comparison::Eq))) })
}

/// That a field is null, or that it is not. Whether a related record is there at all need not be told by its fields.
fn null<D: Dialect>(field: &ObjectField, path: &str, is_null: bool) -> Option<Pushed> {
    if let (true, FieldKind::Bool) = (D::NULL_IS_FALSE, field.kind) {
        let wanted = Wanted { is_true: !is_null, is_false: !is_null, is_null };
        return boolean::<D>(field, path, wanted);
    }
    let operator = D::operator(if is_null { Comparison::Eq } else { Comparison::Ne });
    let is_told = !is_null || D::MISSING_IS_NULL || !names::is_path(&field.name);
    is_told.then(|| Pushed::exact(format!("{path} {operator} null")))
}

fn or_null<D: Dialect>(pushed: Pushed, field: &ObjectField, path: &str) -> Option<Pushed> {
    joined(vec![pushed, null::<D>(field, path, true)?], Join::Or, D::OR)
}

/// A field by itself, which must be true or false. Null is let in where it could count.
fn truth<D: Dialect>(crm: &D, name: &str, negated: bool) -> Option<Pushed> {
    let (field, path) = crm.comparable(name).filter(|(field, _)| field.kind == FieldKind::Bool)?;
    if D::NULL_IS_FALSE {
        let wanted = Wanted { is_true: !negated, is_false: negated, is_null: negated };
        return boolean::<D>(field, &path, wanted).map(|pushed| Pushed { exact: false, ..pushed });
    }
    let pushed = Pushed::wider(format!("{path} {} {}", D::operator(Comparison::Eq), !negated));
    if negated { or_null::<D>(pushed, field, &path) } else { Some(pushed) }
}

fn call<D: Dialect>(crm: &D, name: &str, args: &[Expr], negated: bool) -> Option<Pushed> {
    match (name, args) {
        ("is_empty", [Expr::Field(name)]) => {
            // CRMs store empty text as null, so there is no other empty value; of several choices there is.
            let (field, path) = crm.comparable(name).filter(|(field, _)| field.kind != FieldKind::MultiPicklist)?;
            null::<D>(field, &path, !negated)
        }
        ("contains" | "starts_with" | "ends_with", [Expr::Field(field), part]) if !negated => {
            let (_, path) = crm.comparable(field).filter(|(field, _)| D::is_text(field))?;
            let Literal::Text(part) = constant(part)? else { return None };
            D::search(name, &path, plain(&part)?).map(Pushed::wider)
        }
        ("eq_ci", [Expr::Field(name), other] | [other, Expr::Field(name)]) if !negated => match constant(other)? {
            Literal::Text(text) => caseless(crm, name, &text),
            _ => None,
        },
        _ => None,
    }
}

/// A comparison without case. Only for ASCII, since case beyond it is not the same everywhere, and only of fields where
/// the CRM itself ignores it.
fn caseless<D: Dialect>(crm: &D, name: &str, text: &str) -> Option<Pushed> {
    let is_caseless = |field: &ObjectField| D::is_text(field) && !field.case_sensitive && text.is_ascii();
    let (_, path) = crm.comparable(name).filter(|(field, _)| is_caseless(field))?;
    Some(Pushed::wider(format!("{path} {} {}", D::operator(Comparison::Eq), D::text(plain(text)?)?)))
}

/// A text that a CRM takes as it is: it trims what it stores, an empty text is null there, and control characters are
/// not worth the risk.
fn plain(text: &str) -> Option<&str> {
    let fits = !text.is_empty() && text.len() <= TEXT_BYTES_MAX && text.trim() == text;
    (fits && !text.contains(char::is_control)).then_some(text)
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

/// The same of the two sides changed about.
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

#[cfg(test)]
pub(crate) mod tests;
