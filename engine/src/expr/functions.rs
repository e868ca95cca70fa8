//! The functions of expressions: one entry each, from which evaluation, the interpreter, `check` and the manual follow.

mod number;
mod text;
mod time;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::value::Value;
use crate::types::Type;

/// A function that expressions and scripts may call, as `f(x, y)` or `x.f(y)`.
pub struct Function {
    /// As authors write it.
    pub name: &'static str,
    /// What it takes, in order.
    pub params: &'static [Param],
    /// Whether the last of `params` may be given any number of times.
    pub variadic: bool,
    /// What it gives.
    pub gives: Gives,
    /// One line for the manual and the editor.
    pub doc: &'static str,
    /// True by itself, and run as a test.
    pub example: &'static str,
    /// What becomes of it where an argument is null.
    pub(super) nulls: Nulls,
    /// Whether it can fail on some values, so that it must not see records that a condition before it excludes.
    pub(super) fallible: bool,
    pub(super) scalar: Scalar,
}

/// Evaluates a function for one record.
pub(super) type Scalar = fn(&[Value], &Moment) -> Result<Value, String>;

/// What a parameter of a function takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Param {
    /// For the manual.
    pub name: &'static str,
    /// Which types.
    pub takes: Takes,
    /// Whether it may be left out.
    pub optional: bool,
}

/// Which types a parameter takes; null is always one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Any.
    Any,
    /// Text.
    Text,
    /// Text or a list.
    TextOrList,
    /// A whole number.
    Int,
    /// Any number.
    Number,
    /// A date, or a date and time with or without zone.
    Day,
    /// Numbers, texts, dates: what has an order.
    Ordered,
}

/// What a function gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gives {
    /// Always this type.
    Always(Type),
    /// The type of its first argument.
    First,
    /// The type that all its arguments share.
    Common,
}

/// What becomes of a function where an argument is null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nulls {
    /// Null.
    Null,
    /// False.
    False,
    /// It sees to it itself.
    Own,
}

/// When and where an expression is evaluated; the same for all records of a task.
#[derive(Debug, Clone)]
pub struct Moment {
    /// What `now()` gives.
    pub now: Timestamp,
    /// The zone in which `today()` and the date of an instant are.
    pub zone: TimeZone,
}

impl Function {
    /// The function of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        FUNCTIONS.iter().find(|function| function.name == name)
    }

    /// As the manual shows it, such as `sub_string(text, start, [length])`.
    pub fn signature(&self) -> String {
        let params = self.params.iter().map(|p| if p.optional { format!("[{}]", p.name) } else { p.name.to_owned() });
        let more = if self.variadic { ", …" } else { "" };
        format!("{}({}{more})", self.name, params.collect::<Vec<_>>().join(", "))
    }

    /// How few arguments it takes.
    pub fn args_min(&self) -> usize {
        self.params.iter().filter(|p| !p.optional).count()
    }

    /// How many arguments it takes.
    pub fn args_max(&self) -> usize {
        if self.variadic { ARGS_MAX } else { self.params.len() }
    }

    /// The parameter that the argument at this place is for.
    pub fn param(&self, place: usize) -> Option<&Param> {
        self.params.get(place).or_else(|| self.params.last().filter(|_| self.variadic))
    }

    /// Evaluates it for one record.
    pub(crate) fn call(&self, args: &[Value], moment: &Moment) -> Result<Value, String> {
        match self.nulls {
            Nulls::Null if args.contains(&Value::Null) => Ok(Value::Null),
            Nulls::False if args.contains(&Value::Null) => Ok(Value::Bool(false)),
            _ => (self.scalar)(args, moment),
        }
    }
}

/// How many arguments a function takes at most.
pub const ARGS_MAX: usize = 16;

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

const fn takes(name: &'static str, takes: Takes) -> Param {
    Param { name, takes, optional: false }
}

const fn may_take(name: &'static str, takes: Takes) -> Param {
    Param { name, takes, optional: true }
}

const TEXT: Param = takes("text", Takes::Text);

const fn pure(
    name: &'static str,
    params: &'static [Param],
    gives: Gives,
    doc: &'static str,
    example: &'static str,
    scalar: Scalar,
) -> Function {
    Function { name, params, variadic: false, gives, doc, example, nulls: Nulls::Null, fallible: false, scalar }
}

impl Function {
    const fn variadic(mut self) -> Self {
        self.variadic = true;
        self
    }

    const fn fallible(mut self) -> Self {
        self.fallible = true;
        self
    }

    const fn nulls(mut self, nulls: Nulls) -> Self {
        self.nulls = nulls;
        self
    }
}

const BOOL: Gives = Gives::Always(Type::Bool);
const INT: Gives = Gives::Always(Type::Int);
const TEXT_OUT: Gives = Gives::Always(Type::Text);

/// All functions, in the order of the manual.
pub static FUNCTIONS: &[Function] = &[
    pure("is_empty", &[takes("value", Takes::Any)], BOOL, "whether it is null, empty text or an empty list", r#"is_empty("") && is_empty(()) && !is_empty(0)"#, text::is_empty).nulls(Nulls::Own),
    pure("coalesce", &[takes("value", Takes::Any)], Gives::Common, "the first of the values that is not null", r#"coalesce((), "a", "b") == "a""#, text::coalesce).nulls(Nulls::Own).variadic(),
    pure("len", &[takes("text", Takes::TextOrList)], INT, "how many characters, or items of a list; 0 for null", r#"len("Zoë") == 3 && len(()) == 0"#, text::len).nulls(Nulls::Own),
    pure("lower", &[TEXT], TEXT_OUT, "in small letters", r#"lower("AbC") == "abc""#, text::lower),
    pure("upper", &[TEXT], TEXT_OUT, "in capital letters", r#"upper("Zoë") == "ZOË""#, text::upper),
    pure("trim", &[TEXT], TEXT_OUT, "without spaces at both ends", r#"trim("  a b ") == "a b""#, text::trim),
    pure("contains", &[takes("text", Takes::TextOrList), takes("part", Takes::Any)], BOOL, "whether the text has the part, or the list the item; false for null", r#"contains("marketing", "market") && !contains((), "a")"#, text::contains).nulls(Nulls::Own),
    pure("starts_with", &[TEXT, takes("part", Takes::Text)], BOOL, "whether the text begins with the part; false for null", r#"starts_with("marketing", "market")"#, text::starts_with).nulls(Nulls::False),
    pure("ends_with", &[TEXT, takes("part", Takes::Text)], BOOL, "whether the text ends with the part; false for null", r#"ends_with("ada@example.com", ".com")"#, text::ends_with).nulls(Nulls::False),
    pure("eq_ci", &[takes("a", Takes::Text), takes("b", Takes::Text)], BOOL, "whether both are equal when capitals do not count; null is equal to null only", r#"eq_ci("ADA", "ada") && !eq_ci("ada", ())"#, text::eq_ci).nulls(Nulls::Own),
    pure("concat", &[takes("value", Takes::Any)], TEXT_OUT, "the values as text, one after the other; null counts as empty", r#"concat("n", 5, ()) == "n5""#, text::concat).nulls(Nulls::Own).variadic(),
    pure("sub_string", &[TEXT, takes("start", Takes::Int), may_take("length", Takes::Int)], TEXT_OUT, "a part, from the character at `start` (the first is 0, -1 the last)", r#"sub_string("marketing", 0, 6) == "market" && sub_string("abc", -1) == "c""#, text::sub_string),
    pure("before", &[TEXT, takes("mark", Takes::Text)], TEXT_OUT, "what stands before the first `mark`; the whole text where there is none", r#"before("ada@example.com", "@") == "ada""#, text::before),
    pure("after", &[TEXT, takes("mark", Takes::Text)], TEXT_OUT, "what stands after the first `mark`; empty where there is none", r#"after("ada@example.com", "@") == "example.com""#, text::after),
    pure("replace", &[TEXT, takes("part", Takes::Text), takes("by", Takes::Text)], TEXT_OUT, "with every `part` replaced", r#"replace("a-b-c", "-", "") == "abc""#, text::replace),
    pure("to_text", &[takes("value", Takes::Any)], TEXT_OUT, "as text; dates as `2012-11-01`, instants as `2012-11-01T10:00:00Z`", r#"to_text(50.25) == "50.25""#, text::to_text),
    pure("to_int", &[takes("value", Takes::Any)], INT, "as a whole number; a fraction is cut off; empty text is null", r#"to_int("42") == 42 && to_int(-2.9) == -2"#, number::to_int).fallible(),
    pure("to_decimal", &[takes("value", Takes::Any)], Gives::Always(Type::Decimal), "as a decimal number; empty text is null", r#"to_decimal("50.25") == 50.25"#, number::to_decimal).fallible(),
    pure("abs", &[takes("number", Takes::Number)], Gives::First, "without its sign", "abs(-5) == 5", number::abs).fallible(),
    pure("round", &[takes("number", Takes::Number), may_take("digits", Takes::Int)], Gives::First, "rounded to so many digits after the point (none unless given), halves away from zero", "round(2.345, 2) == 2.35 && round(-2.5) == -3", number::round).fallible(),
    pure("min", &[takes("value", Takes::Ordered)], Gives::Common, "the smallest of the values; null where one is null", "min(3, 1, 2) == 1", number::min).variadic(),
    pure("max", &[takes("value", Takes::Ordered)], Gives::Common, "the largest of the values; null where one is null", "max(3, 1, 2) == 3", number::max).variadic(),
    pure("date", &[takes("value", Takes::Any)], Gives::Always(Type::Date), "a date: from text such as `2012-11-01`, or the day of a date and time in the workflow's time zone", r#"date("2012-11-01") < date("2012-11-02")"#, time::date).fallible(),
    pure("datetime", &[takes("value", Takes::Any)], Gives::Always(Type::DateTime), "an instant from text such as `2012-11-01T10:00:00Z` or `2012/11/01 10:00:00` (UTC); constant text without zone stays without zone", r#"datetime("2012-11-01T10:00:00+01:00") == datetime("2012/11/01 09:00:00")"#, time::datetime).fallible(),
    pure("time", &[takes("value", Takes::Any)], Gives::Always(Type::Time), "a time of day: from text such as `10:00:00`, or of a date and time in the workflow's time zone", r#"time("10:00") < time("10:00:01")"#, time::time).fallible(),
    pure("now", &[], Gives::Always(Type::DateTime), "the instant at which the task began", r#"now() > datetime("2020-01-01T00:00:00Z")"#, time::now),
    pure("today", &[], Gives::Always(Type::Date), "the day on which the task began, in the workflow's time zone", r#"today() > date("2020-01-01")"#, time::today),
    pure("year", &[takes("date", Takes::Day)], INT, "the year, in the workflow's time zone", r#"year(date("2012-11-01")) == 2012"#, time::year),
    pure("month", &[takes("date", Takes::Day)], INT, "the month from 1 to 12, in the workflow's time zone", r#"month(date("2012-11-01")) == 11"#, time::month),
    pure("day", &[takes("date", Takes::Day)], INT, "the day of the month, in the workflow's time zone", r#"day(date("2012-11-01")) == 1"#, time::day),
    pure("days_between", &[takes("from", Takes::Day), takes("to", Takes::Day)], INT, "days from one day to another, negative where the second is earlier", r#"days_between(date("2012-10-31"), date("2012-11-02")) == 2"#, time::days_between),
    pure("add_days", &[takes("date", Takes::Day), takes("days", Takes::Int)], Gives::First, "so many days later, at the same time of day in the workflow's time zone", r#"add_days(date("2012-10-31"), 1) == date("2012-11-01")"#, time::add_days).fallible(),
];
