//! A filter checked against a table, ready to be asked of its records.

use std::{cmp::Ordering, ops::Bound};

use super::{
    Filter, Literal, Operand, Operator,
    like::{Pattern, is_like, pattern},
};
use crate::{
    data::{DateIndex, Decimal, Fact, FieldKind, Place, Record, Table, Value, folded},
    dataverse::{
        error::Error,
        model::{Reach, Scope},
    },
    guid::Guid,
    time,
};

/// A checked filter. It is true, false, or (`None`) unknown because a null was compared; unknown records are not returned.
#[derive(Debug)]
pub(crate) enum Test {
    /// All hold.
    All(Vec<Test>),
    /// One holds.
    Any(Vec<Test>),
    /// It does not hold.
    Not(Box<Test>),
    /// The field is null, or (`false`) is not.
    Null(Reach, bool),
    /// A field compared with a value.
    Compare(Reach, Operator, Known),
    /// A field compared with another.
    Fields(Reach, Operator, Reach),
    /// A text is found in a field.
    Like(Reach, Vec<Pattern>),
    /// A field has one of these values.
    OneOf(Reach, Vec<Known>),
    /// A field of several choices has one of these among them.
    HasAny(Reach, Vec<i64>),
}

/// A value that a field is compared with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Known {
    /// Any number, exact.
    Number(i128),
    /// Text, in small letters.
    Text(String),
    /// Yes or no.
    Boolean(bool),
    /// An id or a reference.
    Guid(Guid),
    /// An instant in seconds, a day as its midnight.
    Instant(i64),
    /// Nothing is comparable with it.
    Never,
}

/// What a filter demands of the id and of the dates, so that only records that can match are looked at.
#[derive(Debug, Default)]
pub(crate) struct Bounds {
    /// Only these ids can match.
    pub(crate) ids: Option<Vec<Guid>>,
    /// Only records created within, in seconds: from (included) and to (excluded).
    pub(crate) created: Window,
    /// Only records changed within.
    pub(crate) modified: Window,
}

/// Seconds from (included) and to (excluded).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    /// Included.
    pub(crate) from: i64,
    /// Excluded.
    pub(crate) to: i64,
}

impl Default for Window {
    fn default() -> Self {
        Self { from: i64::MIN, to: i64::MAX }
    }
}

impl Window {
    /// True if it is narrower than all time.
    pub(crate) fn is_bounded(self) -> bool {
        self != Self::default()
    }

    /// As bounds of a walk by date.
    pub(crate) fn places(self) -> (Bound<Place>, Bound<Place>) {
        // The least id of all stands before every record of its second.
        let at = |seconds| (seconds, Guid::from_u128(0));
        let from = if self.from == i64::MIN { Bound::Unbounded } else { Bound::Included(at(self.from)) };
        let to = if self.to == i64::MAX { Bound::Unbounded } else { Bound::Excluded(at(self.to)) };
        (from, to)
    }
}

/// Checks a filter against a table: properties must exist, and values must fit them. `now` is the time of the request, from
/// which functions such as `LastXDays` count.
pub(crate) fn bind(filter: &Filter, scope: Scope<'_>, now: i64) -> Result<Test, Error> {
    Ok(match filter {
        Filter::All(parts) => Test::All(parts.iter().map(|part| bind(part, scope, now)).collect::<Result<_, _>>()?),
        Filter::Any(parts) => Test::Any(parts.iter().map(|part| bind(part, scope, now)).collect::<Result<_, _>>()?),
        Filter::Not(inner) => Test::Not(Box::new(bind(inner, scope, now)?)),
        Filter::Compare { property, operator, operand } => compare(property, *operator, operand, scope)?,
        Filter::Text { function, property, text } => {
            let field = scope.reach(property)?;
            if text.starts_with(['%', '_']) {
                return Err(Error::query(format!("A leading wildcard is not supported in the value '{text}'.")));
            }
            if !scope.field(field).kind.is_text() {
                return Err(Error::query(format!(
                    "No function signature for the function with name '{}' matches the specified arguments.",
                    function.word()
                )));
            }
            Test::Like(field, pattern(*function, text))
        }
        Filter::OneOf { property, values, negated } => {
            let field = scope.reach(property)?;
            let known = values.iter().map(|value| {
                known_of_text(value, &scope.field(field).kind).ok_or_else(|| {
                    Error::new(
                        400,
                        crate::dataverse::error::code::ARGUMENT,
                        format!("The value '{value}' is not valid for the attribute '{}'.", scope.field(field).name),
                    )
                })
            });
            let test = Test::OneOf(field, known.collect::<Result<_, _>>()?);
            if *negated { Test::Not(Box::new(test)) } else { test }
        }
        Filter::Call(call) => call.bind(scope, now)?,
    })
}

fn compare(property: &str, operator: Operator, operand: &Operand, scope: Scope<'_>) -> Result<Test, Error> {
    let field = scope.reach(property)?;
    let kind = &scope.field(field).kind;
    let literal = match operand {
        Operand::Property(other) => {
            let other = scope.reach(other)?;
            let (left, right) = (edm(kind), edm(&scope.field(other).kind));
            return if left == right {
                Ok(Test::Fields(field, operator, other))
            } else {
                Err(incompatible(left, right, operator))
            };
        }
        Operand::Literal(literal) => literal,
    };
    let (known, right) = match literal {
        Literal::Null => {
            return match operator {
                Operator::Eq => Ok(Test::Null(field, true)),
                Operator::Ne => Ok(Test::Null(field, false)),
                _ => Ok(Test::Compare(field, operator, Known::Never)),
            };
        }
        Literal::Text(text) => (Known::Text(folded(text)), "Edm.String"),
        Literal::Number(text) => {
            let number = Decimal::parse(text).unwrap_or(Decimal::new(0, 0));
            (
                Known::Number(number.comparable()),
                if number.to_integer().is_some() { "Edm.Int32" } else { "Edm.Decimal" },
            )
        }
        Literal::Boolean(flag) => (Known::Boolean(*flag), "Edm.Boolean"),
        Literal::Guid(id) => (Known::Guid(*id), "Edm.Guid"),
        Literal::Date(days) => (Known::Instant(days * time::DAY), "Edm.Date"),
        Literal::Instant(seconds) => (Known::Instant(*seconds), "Edm.DateTimeOffset"),
    };
    let fits = match (kind, &known) {
        (FieldKind::MultiPicklist(_), Known::Text(_)) => true,
        (kind, Known::Text(_)) => kind.is_text(),
        (FieldKind::Boolean { .. }, Known::Boolean(_)) => true,
        (FieldKind::Guid | FieldKind::File | FieldKind::Lookup { .. }, Known::Guid(_)) => true,
        (FieldKind::DateTime(_), Known::Instant(_)) => true,
        (_, Known::Number(_)) => is_numeric(kind),
        _ => false,
    };
    if fits { Ok(Test::Compare(field, operator, known)) } else { Err(incompatible(edm(kind), right, operator)) }
}

fn incompatible(left: &str, right: &str, operator: Operator) -> Error {
    let kind = operator.names().1;
    Error::query(format!(
        "A binary operator with incompatible types was detected. Found operand types '{left}' and '{right}' for operator kind '{kind}'."
    ))
}

fn is_numeric(kind: &FieldKind) -> bool {
    use FieldKind::{BigInt, Decimal, Double, Integer, Money, Picklist, State, Status};
    matches!(
        kind,
        Integer { .. } | BigInt | Money { .. } | Decimal { .. } | Double { .. } | Picklist(_) | State(_) | Status(_)
    )
}

/// The type of a column in OData's entity data model.
pub(crate) fn edm(kind: &FieldKind) -> &'static str {
    match kind {
        kind if kind.is_text() => "Edm.String",
        FieldKind::MultiPicklist(_) => "Edm.String",
        FieldKind::Guid | FieldKind::File | FieldKind::Lookup { .. } => "Edm.Guid",
        FieldKind::Image => "Edm.Binary",
        FieldKind::ManagedProperty => "mscrm.BooleanManagedProperty",
        FieldKind::DateTime(crate::data::DateBehavior::DateOnly) => "Edm.Date",
        FieldKind::DateTime(_) => "Edm.DateTimeOffset",
        FieldKind::BigInt => "Edm.Int64",
        FieldKind::Money { .. } | FieldKind::Decimal { .. } => "Edm.Decimal",
        FieldKind::Double { .. } => "Edm.Double",
        FieldKind::Boolean { .. } => "Edm.Boolean",
        _ => "Edm.Int32",
    }
}

/// The value that a text stands for in comparisons with a column of this type.
pub(crate) fn known_of_text(text: &str, kind: &FieldKind) -> Option<Known> {
    Some(match kind {
        kind if kind.is_text() => Known::Text(folded(text)),
        FieldKind::MultiPicklist(_) => Known::Text(folded(text)),
        FieldKind::Guid | FieldKind::File | FieldKind::Lookup { .. } => Known::Guid(Guid::parse(text)?),
        FieldKind::Boolean { .. } => Known::Boolean(matches!(text, "1" | "true")),
        FieldKind::DateTime(_) => {
            Known::Instant(time::parse_instant(text).or_else(|| Some(time::parse_date(text)? * time::DAY))?)
        }
        _ => Known::Number(Decimal::parse(text)?.comparable()),
    })
}

impl Test {
    /// Whether it holds for a record; `None` if a null keeps it unknown.
    pub(crate) fn holds(&self, scope: Scope<'_>, record: Record<'_>) -> Option<bool> {
        match self {
            Self::All(parts) => together(parts, scope, record, false),
            Self::Any(parts) => together(parts, scope, record, true),
            Self::Not(inner) => inner.holds(scope, record).map(|holds| !holds),
            Self::Null(field, wanted) => Some(scope.value(record, *field).is_null() == *wanted),
            Self::Compare(field, operator, known) => {
                ordering(&scope.value(record, *field), known).map(|ordering| decides(*operator, ordering))
            }
            Self::Fields(left, operator, right) => {
                let known = known_of(&scope.value(record, *right));
                ordering(&scope.value(record, *left), &known).map(|ordering| decides(*operator, ordering))
            }
            Self::Like(field, pattern) => match scope.value(record, *field) {
                Value::Text(text) => {
                    let chars: Vec<char> = text.chars().flat_map(char::to_lowercase).collect();
                    Some(is_like(&chars, pattern))
                }
                _ => None,
            },
            Self::OneOf(field, values) => {
                let value = scope.value(record, *field);
                (!value.is_null()).then(|| values.iter().any(|known| ordering(&value, known) == Some(Ordering::Equal)))
            }
            Self::HasAny(field, wanted) => match scope.value(record, *field) {
                Value::Choices(choices) => Some(wanted.iter().any(|choice| choices.contains(choice))),
                _ => None,
            },
        }
    }

    /// What it demands of ids and dates.
    pub(crate) fn bounds(&self, table: &Table) -> Bounds {
        let mut bounds = Bounds::default();
        self.narrow(table, &mut bounds);
        bounds
    }

    fn narrow(&self, table: &Table, bounds: &mut Bounds) {
        if let Self::All(parts) = self {
            parts.iter().for_each(|part| part.narrow(table, bounds));
        }
        if bounds.ids.is_none() {
            bounds.ids = self.ids(table);
        }
        if let Self::Compare(Reach::Own(field), operator, Known::Instant(at)) = self {
            let window = match table.fields[*field].fact {
                Some(Fact::CreatedOn) => &mut bounds.created,
                Some(Fact::ModifiedOn) => &mut bounds.modified,
                _ => return,
            };
            let (from, to) = match operator {
                Operator::Eq => (*at, at + 1),
                Operator::Ge => (*at, i64::MAX),
                Operator::Gt => (at + 1, i64::MAX),
                Operator::Lt => (i64::MIN, *at),
                Operator::Le => (i64::MIN, at + 1),
                Operator::Ne => return,
            };
            *window = Window { from: window.from.max(from), to: window.to.min(to) };
        }
    }

    /// The only ids that can match, if it names them.
    fn ids(&self, table: &Table) -> Option<Vec<Guid>> {
        let is_id = |field: &Reach| matches!(field, Reach::Own(own) if table.fields[*own].fact == Some(Fact::Id));
        match self {
            Self::Compare(field, Operator::Eq, Known::Guid(id)) if is_id(field) => Some(vec![*id]),
            Self::OneOf(field, values) if is_id(field) => {
                values.iter().map(|known| if let Known::Guid(id) = known { Some(*id) } else { None }).collect()
            }
            Self::Any(parts) => {
                let lists: Option<Vec<Vec<Guid>>> = parts.iter().map(|part| part.ids(table)).collect();
                Some(lists?.concat())
            }
            _ => None,
        }
    }
}

impl Bounds {
    /// The window of one of the dates.
    pub(crate) fn window(&self, index: DateIndex) -> Window {
        match index {
            DateIndex::Created => self.created,
            DateIndex::Modified => self.modified,
        }
    }
}

/// And (`decisive` false) and or (`decisive` true) with three values.
fn together(parts: &[Test], scope: Scope<'_>, record: Record<'_>, decisive: bool) -> Option<bool> {
    let mut unknown = false;
    for part in parts {
        match part.holds(scope, record) {
            Some(holds) if holds == decisive => return Some(decisive),
            Some(_) => {}
            None => unknown = true,
        }
    }
    if unknown { None } else { Some(!decisive) }
}

fn decides(operator: Operator, ordering: Ordering) -> bool {
    match operator {
        Operator::Eq => ordering.is_eq(),
        Operator::Ne => ordering.is_ne(),
        Operator::Gt => ordering.is_gt(),
        Operator::Ge => ordering.is_ge(),
        Operator::Lt => ordering.is_lt(),
        Operator::Le => ordering.is_le(),
    }
}

fn known_of(value: &Value<'_>) -> Known {
    match value {
        Value::Null | Value::Tree(_) => Known::Never,
        Value::Text(text) => Known::Text(folded(text)),
        Value::Choices(choices) => Known::Text(crate::data::value::choice_text(choices)),
        Value::Integer(number) => Known::Number(Decimal::new(i128::from(*number), 0).comparable()),
        Value::Decimal(number) => Known::Number(number.comparable()),
        Value::Double(number) => {
            Decimal::parse(&number.to_string()).map_or(Known::Never, |number| Known::Number(number.comparable()))
        }
        Value::Boolean(flag) => Known::Boolean(*flag),
        Value::Guid(id) => Known::Guid(*id),
        Value::Link(link) => Known::Guid(link.id),
        Value::Instant(seconds) => Known::Instant(*seconds),
        Value::Date(days) => Known::Instant(days * time::DAY),
    }
}

fn ordering(value: &Value<'_>, known: &Known) -> Option<Ordering> {
    match (value, known) {
        (Value::Text(text), Known::Text(known)) => {
            let folded = text.trim_end_matches(' ').chars().flat_map(char::to_lowercase);
            Some(folded.cmp(known.chars()))
        }
        (Value::Instant(seconds), Known::Instant(known)) => Some(seconds.cmp(known)),
        (Value::Guid(id), Known::Guid(known)) => Some(id.cmp(known)),
        _ => match (known_of(value), known) {
            (Known::Number(left), Known::Number(right)) => Some(left.cmp(right)),
            (Known::Text(left), Known::Text(right)) => Some(left.cmp(right)),
            (Known::Boolean(left), Known::Boolean(right)) => Some(left.cmp(right)),
            (Known::Guid(left), Known::Guid(right)) => Some(left.cmp(right)),
            (Known::Instant(left), Known::Instant(right)) => Some(left.cmp(right)),
            _ => None,
        },
    }
}
