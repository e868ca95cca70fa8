//! SOQL: read, checked against the objects, and run.
//!
//! Not there: `GROUP BY` and `HAVING`, subqueries (parent to child) and semi-joins, `TYPEOF`, `FOR`, currency functions.

mod check;
mod dates;
mod lexer;
mod parser;
mod plan;
mod run;
#[cfg(test)]
mod tests;

pub(super) use check::Test;
use plan::Function;
pub(super) use plan::{Node, Output, Path, Plan, plan, plan_condition};
pub(super) use run::{aggregate, matching, resolve};

/// A query as it was written.
#[derive(Debug)]
struct Select {
    items: Vec<Item>,
    from: Name,
    alias: Option<String>,
    condition: Option<Condition>,
    order: Vec<Order>,
    limit: Option<usize>,
    offset: usize,
}

/// A name and where it stands in the query.
#[derive(Debug, Clone)]
struct Name {
    text: String,
    at: usize,
}

#[derive(Debug)]
enum Item {
    Path(Name),
    /// `COUNT()`.
    Count,
    Function {
        function: Function,
        path: Name,
        alias: Option<String>,
    },
    /// `FIELDS(ALL)` and its like.
    Fields(String),
}

#[derive(Debug)]
enum Condition {
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Not(Box<Condition>),
    Compare { path: Name, operator: Operator, literal: Literal },
    In { path: Name, literals: Vec<Literal>, negated: bool },
    Includes { path: Name, literals: Vec<Literal>, negated: bool },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Like,
}

#[derive(Debug, Clone, PartialEq)]
enum Literal {
    Null,
    Text(String),
    Number(String),
    Boolean(bool),
    Date(i64),
    Instant(i64),
    /// `TODAY`, `LAST_N_DAYS:30`.
    Relative(String, i64),
}

#[derive(Debug)]
struct Order {
    path: Name,
    is_descending: bool,
    nulls_last: bool,
}
