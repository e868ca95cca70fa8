//! Expressions, typed and neutral: what an author wrote in Rhai, as each side can render it.
//!
//! ```text
//!   "statecode == 0"  ─parse─▶  Expr  ─bind(columns)─▶  Bound  ─eval(batch)─▶  Arrow array
//!                                │
//!                                └─▶ OData, SOQL, SQL: rendered by those who send it
//! ```
//!
//! Rhai's meaning is the truth: what [`Bound::eval`] gives for a column is what Rhai gives for each record.

mod arithmetic;
mod bind;
mod compare;
mod eval;
pub(crate) mod foreign;
mod functions;
mod kernels;
mod meet;
pub(crate) mod parse;
mod reads;
mod source;
mod value;
mod values;
mod vector;

use std::fmt;

use jiff::{Timestamp, civil};
use rust_decimal::Decimal;

use crate::types::Type;

pub(crate) use arithmetic::{negative, reckon};
pub use bind::Bound;
pub(crate) use compare::values as compare;
pub use eval::Failing;
pub use functions::{ARGS_MAX, FUNCTIONS, Function, Gives, Moment, Param, Takes};
pub(crate) use meet::{loosely, wanted};
pub use parse::{DEPTH_MAX, Parsed, TEXT_BYTES_MAX};
pub(crate) use reads::{COALESCE, default_for};
pub use source::Source;
pub(crate) use value::number;
pub use value::{Value, local_of};
pub use values::Values;

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// A constant.
    Literal(Literal),
    /// A column of the record.
    Field(String),
    /// A variable, such as `vars.crmEndDate` or `instance.vars.total`.
    Variable(Variable),
    /// `!x`
    Not(Box<Expr>),
    /// `-x`
    Negative(Box<Expr>),
    /// `a && b && …`
    And(Vec<Expr>),
    /// `a || b || …`
    Or(Vec<Expr>),
    /// `a == b` and its like.
    Compare(Comparison, Box<Expr>, Box<Expr>),
    /// `a + b` and its like.
    Arithmetic(Arithmetic, Box<Expr>, Box<Expr>),
    /// `x in [a, b]`
    In(Box<Expr>, Vec<Expr>),
    /// `if c { a } else { b }`
    If(Box<Expr>, Box<Expr>, Box<Expr>),
    /// A function of ours, such as `lower(x)`.
    Call(&'static Function, Vec<Expr>),
    /// A function of the shared scripts. It is evaluated here only, never rendered.
    Shared(Shared, Vec<Expr>),
}

/// A constant.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// `()`
    Null,
    /// `true`
    Bool(bool),
    /// `5`
    Int(i64),
    /// `5.0`, where it meets floating point numbers
    Float(f64),
    /// `5.0`, where it meets money and decimals
    Decimal(Decimal),
    /// `"text"`
    Text(String),
    /// `date("2012-11-01")`
    Date(civil::Date),
    /// `datetime("2012-11-01T10:00:00Z")`
    DateTime(Timestamp),
    /// `datetime("2012-11-01T10:00:00")`, which has no zone
    LocalDateTime(civil::DateTime),
    /// `time("10:00:00")`
    Time(civil::Time),
}

/// A call of a function of the shared scripts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    /// Its name.
    pub name: String,
    /// What its result is taken for: the type of what it meets. Not known where it meets nothing.
    pub gives: Option<Type>,
}

/// A variable that an expression reads.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Variable {
    /// `vars.x`, which came with the population.
    Event(String),
    /// `instance.vars.x`, of the whole run.
    Instance(String),
    /// `task.vars.x`, of this task.
    Task(String),
    /// `option("x")`, by a constant name.
    Option(String),
    /// `has_option("x")`, which is never missing.
    HasOption(String),
}

/// How two values are compared. A comparison of order with null is false, so its negation is true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `==`
    Eq,
    /// `!=`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
}

/// How two values are reckoned with. With a null, the result is null.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Arithmetic {
    /// `+`, which also joins texts
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`
    Rem,
}

/// What is wrong with an expression, and where in its text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExprError {
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
    /// The place in the text, from 0, in characters; `None` for its end.
    pub at: Option<usize>,
    /// The record of a batch on which it failed, if it is right and was being evaluated.
    pub row: Option<usize>,
}

impl ExprError {
    /// What concerns a whole batch.
    pub(crate) fn of_batch(message: String) -> Self {
        Self { message, help: None, at: None, row: None }
    }

    /// Line and column of its place in the text, both from 1, in characters.
    pub fn line_column(&self, text: &str) -> (usize, usize) {
        let before: Vec<char> = text.chars().take(self.at.unwrap_or(usize::MAX)).collect();
        let line = before.iter().filter(|c| **c == '\n').count() + 1;
        let column = before.iter().rev().take_while(|c| **c != '\n').count() + 1;
        (line, column)
    }
}

impl Expr {
    /// Reads an expression.
    ///
    /// # Errors
    /// Where Rhai does not parse it, or it has a node that is not among those of [`Expr`]: the place and what to write
    /// instead.
    pub fn parse(text: &str) -> Result<Self, ExprError> {
        parse::parse(text).map(|parsed| parsed.expr)
    }

    /// The columns it reads, each once, in the order of their first use.
    pub fn fields(&self) -> Vec<&str> {
        let mut fields = Vec::new();
        self.visit(&mut |expr| {
            if let Self::Field(name) = expr
                && !fields.contains(&name.as_str())
            {
                fields.push(name.as_str());
            }
        });
        fields
    }

    /// The variables and options it reads, each once.
    pub fn variables(&self) -> Vec<&Variable> {
        let mut variables = Vec::new();
        self.visit(&mut |expr| {
            if let Self::Variable(variable) = expr
                && !variables.contains(&variable)
            {
                variables.push(variable);
            }
        });
        variables
    }

    /// Calls `f` for this expression and all within it, outer ones first.
    pub fn visit<'a>(&'a self, f: &mut impl FnMut(&'a Self)) {
        f(self);
        match self {
            Self::Literal(_) | Self::Field(_) | Self::Variable(_) => {}
            Self::Not(a) | Self::Negative(a) => a.visit(f),
            Self::And(all) | Self::Or(all) | Self::Call(_, all) | Self::Shared(_, all) => {
                all.iter().for_each(|a| a.visit(f));
            }
            Self::Compare(_, a, b) | Self::Arithmetic(_, a, b) => {
                a.visit(f);
                b.visit(f);
            }
            Self::In(a, all) => {
                a.visit(f);
                all.iter().for_each(|b| b.visit(f));
            }
            Self::If(a, b, c) => {
                a.visit(f);
                b.visit(f);
                c.visit(f);
            }
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Eq => "==",
            Self::Ne => "!=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
        })
    }
}

/// As it is written in an expression.
impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(name) => write!(f, "vars.{name}"),
            Self::Instance(name) => write!(f, "instance.vars.{name}"),
            Self::Task(name) => write!(f, "task.vars.{name}"),
            Self::Option(name) => write!(f, "option({name:?})"),
            Self::HasOption(name) => write!(f, "has_option({name:?})"),
        }
    }
}
