//! `$filter`: read, checked against a table, and asked of records.

mod bind;
mod function;
mod lexer;
mod like;
mod parser;
mod period;
#[cfg(test)]
mod tests;

pub(crate) use bind::{Bounds, Known, Test, bind, edm, known_of_text};
pub(crate) use like::exact as like_pattern;
pub(crate) use parser::parse;

use std::fmt;

use crate::{guid::Guid, time};

/// A filter as it was written, before any table is looked at.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Filter {
    /// All of these hold: `a and b`.
    All(Vec<Filter>),
    /// One of these holds: `a or b`.
    Any(Vec<Filter>),
    /// It does not hold: `not a`.
    Not(Box<Filter>),
    /// `property operator operand`.
    Compare {
        /// Left side.
        property: String,
        /// Operator.
        operator: Operator,
        /// Right side.
        operand: Operand,
    },
    /// `function(property,'text')`.
    Text {
        /// Function.
        function: TextFunction,
        /// Where to look.
        property: String,
        /// What to look for; SQL wildcards are live.
        text: String,
    },
    /// `Microsoft.Dynamics.CRM.In(PropertyName='p',PropertyValues=["a","b"])`, or `NotIn`.
    OneOf {
        /// The property.
        property: String,
        /// Its values, always written as text.
        values: Vec<String>,
        /// `NotIn`.
        negated: bool,
    },
    /// Any other query function of the platform.
    Call(function::Call),
}

/// The right side of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operand {
    /// A value.
    Literal(Literal),
    /// Another property of the same record.
    Property(String),
}

/// A value as it was written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    /// `null`
    Null,
    /// `'text'`, without its quotes.
    Text(String),
    /// A number, as its text.
    Number(String),
    /// `true` or `false`
    Boolean(bool),
    /// An id.
    Guid(Guid),
    /// A day, in days since 1970.
    Date(i64),
    /// An instant, in seconds since 1970.
    Instant(i64),
}

/// How two sides are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Eq,
    Ne,
    Gt,
    Ge,
    Lt,
    Le,
}

/// Where a text is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextFunction {
    Contains,
    StartsWith,
    EndsWith,
}

impl Operator {
    const ALL: [(Self, &'static str, &'static str); 6] = [
        (Self::Eq, "eq", "Equal"),
        (Self::Ne, "ne", "NotEqual"),
        (Self::Gt, "gt", "GreaterThan"),
        (Self::Ge, "ge", "GreaterThanOrEqual"),
        (Self::Lt, "lt", "LessThan"),
        (Self::Le, "le", "LessThanOrEqual"),
    ];

    fn read(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, name, _)| *name == word).map(|(operator, ..)| *operator)
    }

    fn names(self) -> (&'static str, &'static str) {
        Self::ALL.iter().find(|(operator, ..)| *operator == self).map_or(("", ""), |(_, word, kind)| (word, kind))
    }
}

impl TextFunction {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Contains, "contains"), (Self::StartsWith, "startswith"), (Self::EndsWith, "endswith")];

    fn read(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, name)| *name == word).map(|(function, _)| *function)
    }

    fn word(self) -> &'static str {
        Self::ALL.iter().find(|(function, _)| *function == self).map_or("", |(_, word)| word)
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(parts) => write_joined(f, parts, " and "),
            Self::Any(parts) => write_joined(f, parts, " or "),
            Self::Not(inner) => write!(f, "not ({inner})"),
            Self::Compare { property, operator, operand } => match operand {
                Operand::Literal(literal) => {
                    write!(f, "{property} {} {literal}", operator.names().0)
                }
                Operand::Property(other) => write!(f, "{property} {} {other}", operator.names().0),
            },
            Self::Text { function, property, text } => {
                write!(f, "{}({property},{})", function.word(), Literal::Text(text.clone()))
            }
            Self::OneOf { property, values, negated } => {
                let name = if *negated { "NotIn" } else { "In" };
                write!(f, "Microsoft.Dynamics.CRM.{name}(PropertyName='{property}',PropertyValues=[")?;
                for (place, value) in values.iter().enumerate() {
                    let comma = if place > 0 { "," } else { "" };
                    write!(f, "{comma}{}", Literal::Text(value.clone()))?;
                }
                f.write_str("])")
            }
            Self::Call(call) => {
                write!(f, "{}{}(PropertyName='{}'", function::NAMESPACE, call.name, call.property)?;
                match call.values.as_slice() {
                    [] => f.write_str(")"),
                    [value] => write!(f, ",PropertyValue={})", Literal::Text(value.clone())),
                    values => {
                        let values: Vec<String> =
                            values.iter().map(|value| Literal::Text(value.clone()).to_string()).collect();
                        write!(f, ",PropertyValues=[{}])", values.join(","))
                    }
                }
            }
        }
    }
}

fn write_joined(f: &mut fmt::Formatter<'_>, parts: &[Filter], word: &str) -> fmt::Result {
    for (place, part) in parts.iter().enumerate() {
        if place > 0 {
            f.write_str(word)?;
        }
        match part {
            Filter::All(_) | Filter::Any(_) => write!(f, "({part})")?,
            _ => write!(f, "{part}")?,
        }
    }
    Ok(())
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Text(text) => write!(f, "'{}'", text.replace('\'', "''")),
            Self::Number(number) => f.write_str(number),
            Self::Boolean(flag) => write!(f, "{flag}"),
            Self::Guid(id) => write!(f, "{id}"),
            Self::Date(days) => f.write_str(&time::date_text(*days)),
            Self::Instant(seconds) => f.write_str(&time::instant_text(*seconds)),
        }
    }
}
