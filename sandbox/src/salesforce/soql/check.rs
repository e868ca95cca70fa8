//! Conditions with values of the right type, and whether a record fulfils them.

use std::{cmp::Ordering, collections::HashSet};

use super::{
    Condition, Literal, Name, Operator, dates,
    lexer::malformed,
    plan::{Path, Scope},
    run::resolve,
};
use crate::{
    salesforce::{
        error::Error,
        id::Id,
        schema::{Field, Kind, Source},
        store::Store,
        table::{Record, Table},
        value::{Value, Wire},
    },
    time::DAY,
};

/// A condition ready to ask.
#[derive(Debug)]
pub(in crate::salesforce) enum Test {
    And(Vec<Test>),
    Or(Vec<Test>),
    Not(Box<Test>),
    Field(Path, Check),
}

/// What is asked of a value.
#[derive(Debug)]
pub(in crate::salesforce) enum Check {
    Equal(Value),
    NotEqual(Value),
    /// The boolean is this one; null counts as false.
    Is(bool),
    /// The value against this one has one of these orders.
    Order(Value, &'static [Ordering]),
    /// The same of ids, in which capitals and small letters are different digits.
    IdOrder(String, &'static [Ordering]),
    /// Small letters with the signs of `LIKE`.
    Like(Vec<Sign>),
    In(HashSet<String>, bool),
    /// Any of these sets of words is wholly there.
    Includes(Vec<Vec<String>>, bool),
    /// A day or an instant from the first up to before the second.
    Within(i64, i64, bool),
}

/// A part of a pattern.
#[derive(Debug, PartialEq)]
pub(in crate::salesforce) enum Sign {
    Any,
    One,
    Char(char),
}

impl Test {
    /// Whether a record fulfils it.
    pub(in crate::salesforce) fn holds(&self, store: &Store, table: &Table, record: Record<'_>) -> bool {
        match self {
            Self::And(all) => all.iter().all(|test| test.holds(store, table, record)),
            Self::Or(all) => all.iter().any(|test| test.holds(store, table, record)),
            Self::Not(inner) => !inner.holds(store, table, record),
            Self::Field(path, check) => check.holds(&resolve(store, table, record, path)),
        }
    }

    /// The only records that can fulfil it, if keys tell them: then nobody need look at the others.
    pub(super) fn candidates(&self, table: &Table, with_deleted: bool) -> Option<Vec<u32>> {
        let (path, check) = match self {
            Self::And(all) => return all.iter().find_map(|test| test.candidates(table, with_deleted)),
            Self::Field(path, check) => (path, check),
            Self::Or(_) | Self::Not(_) => return None,
        };
        let field = path.own()?;
        let shape = &table.object.fields[field];
        let is_key = (shape.unique || shape.external_id) && !shape.case_sensitive && !with_deleted;
        let texts: Vec<&str> = match check {
            Check::Equal(Value::Text(text)) => vec![text],
            Check::In(texts, false) => texts.iter().map(String::as_str).collect(),
            _ => return None,
        };
        let mut found: Vec<u32> = match shape.source {
            Source::Id => texts.iter().filter_map(|text| table.number(Id::parse(text)?)).collect(),
            _ if is_key && matches!(shape.kind, Kind::Text(_) | Kind::Email) => {
                texts.iter().flat_map(|text| table.find(field, &Value::text(*text))).collect()
            }
            _ => return None,
        };
        found.sort_unstable();
        found.dedup();
        Some(found)
    }
}

impl Check {
    fn holds(&self, value: &Value) -> bool {
        match self {
            Self::Equal(Value::Null) => value.is_null(),
            Self::NotEqual(Value::Null) => !value.is_null(),
            Self::Is(flag) => matches!(value, Value::Boolean(true)) == *flag,
            Self::Equal(right) => !value.is_null() && value.order(right).is_eq(),
            Self::NotEqual(right) => value.is_null() || value.order(right).is_ne(),
            Self::Order(right, orders) => !value.is_null() && orders.contains(&value.order(right)),
            Self::IdOrder(right, orders) => value.as_text().is_some_and(|id| orders.contains(&id.cmp(right.as_str()))),
            Self::Like(pattern) => value.as_text().is_some_and(|text| is_like(text, pattern)),
            Self::In(keys, negated) => key(value).is_some_and(|key| keys.contains(&key)) != *negated,
            Self::Includes(sets, negated) => {
                let words: Vec<String> =
                    value.as_text().unwrap_or("").split(';').map(|word| word.trim().to_lowercase()).collect();
                sets.iter().any(|set| set.iter().all(|word| words.contains(word))) != *negated
            }
            Self::Within(from, to, negated) => match value {
                Value::Instant(at) | Value::Date(at) => (from..to).contains(&at) != *negated,
                _ => *negated,
            },
        }
    }
}

/// A value as `IN` compares it.
fn key(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some(String::new()),
        Value::Text(text) => Some(text.to_lowercase()),
        Value::Integer(_) | Value::Double(_) => Some(value.as_number().to_string()),
        other => {
            let mut out = Vec::new();
            other.write_csv(&mut out);
            String::from_utf8(out).ok()
        }
    }
}

/// Checks a condition and gives its literals the types of their fields.
pub(super) fn test(scope: &Scope<'_>, condition: &Condition) -> Result<Test, Error> {
    let all =
        |conditions: &[Condition]| conditions.iter().map(|inner| test(scope, inner)).collect::<Result<Vec<_>, _>>();
    let (name, check) = match condition {
        Condition::And(conditions) => return Ok(Test::And(all(conditions)?)),
        Condition::Or(conditions) => return Ok(Test::Or(all(conditions)?)),
        Condition::Not(inner) => return Ok(Test::Not(Box::new(test(scope, inner)?))),
        Condition::Compare { path, operator, literal } => (path, compare(scope, path, *operator, literal)?),
        Condition::In { path, literals, negated } => {
            let field = filterable(scope, path)?;
            let mut keys = HashSet::with_capacity(literals.len());
            for literal in literals {
                let value = value(field, literal)?;
                keys.insert(key(&value).unwrap_or_default());
                if value == Value::Boolean(false) {
                    keys.insert(key(&Value::Null).unwrap_or_default());
                }
            }
            (path, Check::In(keys, *negated))
        }
        Condition::Includes { path, literals, negated } => {
            let field = filterable(scope, path)?;
            if !matches!(field.kind, Kind::MultiPicklist { .. }) {
                return Err(malformed(format!(
                    "includes and excludes operators are only valid on multipicklist fields: {}",
                    field.name
                )));
            }
            let sets = literals.iter().map(|literal| match literal {
                Literal::Text(text) => Ok(text.split(';').map(|word| word.trim().to_lowercase()).collect()),
                _ => Err(wrong_type(field)),
            });
            (path, Check::Includes(sets.collect::<Result<_, _>>()?, *negated))
        }
    };
    Ok(Test::Field(scope.path(name)?, check))
}

fn filterable<'a>(scope: &'a Scope<'_>, name: &Name) -> Result<&'a Field, Error> {
    let path = scope.path(name)?;
    let field = scope.field(&path);
    if !field.kind.is_filterable() || field.kind.is_compound() {
        return Err(Error::new("INVALID_FIELD", format!("field '{}' can not be filtered in a query call", field.name)));
    }
    Ok(field)
}

fn compare(scope: &Scope<'_>, name: &Name, operator: Operator, literal: &Literal) -> Result<Check, Error> {
    use Ordering::{Equal, Greater, Less};
    let field = filterable(scope, name)?;
    if let Literal::Relative(word, count) = literal {
        return relative(scope, field, operator, word, *count);
    }
    if operator == Operator::Like {
        return match literal {
            Literal::Text(text) if field.kind.length().is_some() && field.kind != Kind::Id => {
                Ok(Check::Like(pattern(text)))
            }
            _ => Err(Error::new("INVALID_FIELD", format!("invalid operator on {} field", field.kind.name()))),
        };
    }
    let value = value(field, literal)?;
    let is_ordered = !matches!(operator, Operator::Equal | Operator::NotEqual);
    if is_ordered && (value.is_null() || matches!(field.kind, Kind::Boolean | Kind::MultiPicklist { .. })) {
        return Err(Error::new("INVALID_FIELD", format!("invalid operator on {} field", field.kind.name())));
    }
    let order = |value: Value, orders: &'static [Ordering]| match (&field.kind, value.as_text()) {
        (Kind::Id | Kind::Reference { .. }, Some(id)) => Check::IdOrder(id.to_owned(), orders),
        _ => Check::Order(value, orders),
    };
    if let Value::Boolean(flag) = value {
        return Ok(Check::Is(flag == (operator == Operator::Equal)));
    }
    Ok(match operator {
        Operator::Equal => Check::Equal(value),
        Operator::NotEqual => Check::NotEqual(value),
        Operator::Less => order(value, &[Less]),
        Operator::LessOrEqual => order(value, &[Less, Equal]),
        Operator::Greater => order(value, &[Greater]),
        Operator::GreaterOrEqual => order(value, &[Greater, Equal]),
        Operator::Like => return Err(wrong_type(field)),
    })
}

fn relative(scope: &Scope<'_>, field: &Field, operator: Operator, word: &str, count: i64) -> Result<Check, Error> {
    let scale = match field.kind {
        Kind::Date => 1,
        Kind::DateTime => DAY,
        _ => return Err(wrong_type(field)),
    };
    let (from, to) =
        dates::span(word, count, scope.now).ok_or_else(|| malformed(format!("{word}:{count} is out of range")))?;
    let (from, to) = (from * scale, to * scale);
    Ok(match operator {
        Operator::Equal => Check::Within(from, to, false),
        Operator::NotEqual => Check::Within(from, to, true),
        Operator::Less => Check::Within(i64::MIN, from, false),
        Operator::LessOrEqual => Check::Within(i64::MIN, to, false),
        Operator::Greater => Check::Within(to, i64::MAX, false),
        Operator::GreaterOrEqual => Check::Within(from, i64::MAX, false),
        Operator::Like => return Err(wrong_type(field)),
    })
}

/// A literal as a value of the field's type.
fn value(field: &Field, literal: &Literal) -> Result<Value, Error> {
    Ok(match (&field.kind, literal) {
        (Kind::Boolean, Literal::Boolean(flag)) => Value::Boolean(*flag),
        // A condition takes a boolean that is null for false.
        (Kind::Boolean, Literal::Null) => Value::Boolean(false),
        (_, Literal::Null) => Value::Null,
        (Kind::Id | Kind::Reference { .. }, Literal::Text(text)) => match (text.is_empty(), Id::parse(text)) {
            (true, _) => Value::Null,
            (false, Some(id)) => Value::text(id.as_str()),
            (false, None) => {
                return Err(Error::new("INVALID_QUERY_FILTER_OPERATOR", format!("invalid ID field: {text}")));
            }
        },
        (Kind::Date, Literal::Date(days)) => Value::Date(*days),
        (Kind::DateTime, Literal::Instant(seconds)) => Value::Instant(*seconds),
        (Kind::Long, Literal::Number(text)) => text.parse().map(Value::Integer).map_err(|_| wrong_type(field))?,
        (kind, Literal::Number(text)) if kind.is_number() => {
            text.parse().map(Value::Double).map_err(|_| wrong_type(field))?
        }
        (_, Literal::Text(text)) if field.kind.length().is_some() || field.kind == Kind::Time => {
            // An empty text is the same as none.
            if text.is_empty() { Value::Null } else { Value::text(text.replace("\\%", "%").replace("\\_", "_")) }
        }
        _ => return Err(wrong_type(field)),
    })
}

fn wrong_type(field: &Field) -> Error {
    let (kind, quotes) = match &field.kind {
        Kind::DateTime => ("dateTime", "should not be enclosed in quotes"),
        kind if kind.is_number() || matches!(kind, Kind::Boolean | Kind::Date) => {
            (kind.name(), "should not be enclosed in quotes")
        }
        _ => ("string", "should be enclosed in quotes"),
    };
    Error::new(
        "INVALID_FIELD",
        format!("value of filter criterion for field '{}' must be of type {kind} and {quotes}", field.name),
    )
}

/// The signs of a pattern, in small letters.
fn pattern(text: &str) -> Vec<Sign> {
    let mut signs = Vec::with_capacity(text.len());
    let mut chars = text.chars().flat_map(char::to_lowercase).peekable();
    while let Some(char) = chars.next() {
        signs.push(match char {
            '%' => Sign::Any,
            '_' => Sign::One,
            '\\' => match chars.next_if(|next| matches!(next, '%' | '_')) {
                Some(plain) => Sign::Char(plain),
                None => Sign::Char('\\'),
            },
            other => Sign::Char(other),
        });
    }
    signs
}

/// Whether a text follows a pattern, without regard to case. Linear but for `%`, which goes back to the last one only.
fn is_like(text: &str, pattern: &[Sign]) -> bool {
    let text: Vec<char> = text.chars().flat_map(char::to_lowercase).collect();
    let (mut at, mut sign) = (0, 0);
    let mut last: Option<(usize, usize)> = None;
    while at < text.len() {
        match pattern.get(sign) {
            Some(Sign::Any) => {
                last = Some((sign, at));
                sign += 1;
                continue;
            }
            Some(Sign::One) => {}
            Some(Sign::Char(char)) if *char == text[at] => {}
            _ => {
                let Some((any, from)) = last else {
                    return false;
                };
                last = Some((any, from + 1));
                (sign, at) = (any + 1, from + 1);
                continue;
            }
        }
        at += 1;
        sign += 1;
    }
    pattern[sign..].iter().all(|sign| *sign == Sign::Any)
}
