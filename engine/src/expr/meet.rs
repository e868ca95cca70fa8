//! What happens where two parts of an expression meet: which types go together, and what to write where they do not.

use jiff::tz::TimeZone;

use super::functions::{Function, Gives, Takes};
use super::parse::{Parsed, error};
use super::value::{Value, as_float};
use super::values::Values;
use super::{Arithmetic, Comparison, Expr, ExprError, Literal};
use crate::types::Type;

/// A part of an expression and what it gives.
pub(super) struct Typed {
    pub(super) parsed: Parsed,
    pub(super) ty: Type,
    /// The variable that a constant came from: it takes the type of what it meets.
    pub(super) met_by: Option<String>,
}

impl Typed {
    pub(super) fn leaf(expr: Expr, at: Option<usize>, ty: Type) -> Self {
        Self { parsed: Parsed { expr, places: at.into_iter().collect() }, ty, met_by: None }
    }

    pub(super) fn of(at: Option<usize>, ty: Type, parts: Vec<Self>, make: impl FnOnce(Vec<Expr>) -> Expr) -> Self {
        let mut places: Vec<usize> = at.into_iter().collect();
        let mut exprs = Vec::with_capacity(parts.len());
        for part in parts {
            places.extend(part.parsed.places);
            exprs.push(part.parsed.expr);
        }
        Self { parsed: Parsed { expr: make(exprs), places }, ty, met_by: None }
    }

    fn is_null(&self) -> bool {
        self.parsed.expr == Expr::Literal(Literal::Null)
    }

    fn set(&mut self, literal: Literal, ty: Type) {
        self.parsed.expr = Expr::Literal(literal);
        self.ty = ty;
    }

    /// Whether it is a call of a shared function that has met nothing yet.
    fn is_open(&self) -> bool {
        matches!((&self.parsed.expr, &self.ty), (Expr::Shared(..), Type::Any))
    }

    /// A variable's value becomes what it meets, and so does what a shared function gives.
    fn become_type(&mut self, ty: &Type, at: Option<usize>, values: Option<&Values>) -> Result<(), ExprError> {
        if self.is_open() {
            if let Expr::Shared(call, _) = &mut self.parsed.expr
                && !matches!(ty, Type::Any | Type::Null)
            {
                call.gives = Some(ty.clone());
                self.ty = ty.clone();
            }
            return Ok(());
        }
        let (Some(name), Expr::Literal(literal), Some(values)) = (&self.met_by, &self.parsed.expr, values) else {
            return Ok(());
        };
        let value = Value::from(literal);
        match loosely(&value, ty, &values.zone) {
            Some(met) => {
                let own = met.ty();
                if let Some(literal) = met.literal() {
                    self.set(literal, own);
                }
                Ok(())
            }
            None => Err(error(
                format!("{name} is {}, which is not {ty}", value.quoted()),
                format!("set {name} to {ty}"),
                at,
            )),
        }
    }

    fn become_text(&mut self, at: Option<usize>, values: Option<&Values>) -> Result<(), ExprError> {
        if self.is_open() { self.become_type(&Type::Text, at, values) } else { Ok(()) }
    }

    /// A constant number becomes the kind of number that it meets.
    fn become_number(&mut self, ty: &Type) {
        match (&self.parsed.expr, ty) {
            // One that floating point cannot hold stays as it is, and is compared digit by digit.
            (Expr::Literal(literal @ (Literal::Int(_) | Literal::Decimal(_))), Type::Float) => {
                if let Some(float) = as_float(&literal.into()) {
                    self.set(Literal::Float(float), Type::Float);
                }
            }
            (Expr::Literal(Literal::Int(v)), Type::Decimal) => self.set(Literal::Decimal((*v).into()), Type::Decimal),
            _ => {}
        }
    }
}

/// A variable's value as what it meets; `None` where it cannot be.
pub(crate) fn loosely(value: &Value, ty: &Type, zone: &TimeZone) -> Option<Value> {
    if is_number(ty) && is_number(&value.ty()) {
        return Some(value.clone());
    }
    let met = value.meet(ty, zone);
    // Text that is compared with whole numbers may have a fraction all the same, and with floating point more digits.
    met.or_else(|| value.meet(&Type::Decimal, zone).filter(|_| matches!(ty, Type::Int | Type::Float)))
}

fn is_number(ty: &Type) -> bool {
    matches!(ty, Type::Int | Type::Decimal | Type::Float)
}

/// Lets variables among the two become what the other one is.
fn settle(a: &mut Typed, b: &mut Typed, at: Option<usize>, values: Option<&Values>) -> Result<(), ExprError> {
    match (a.is_open(), b.is_open()) {
        (true, false) => a.become_type(&b.ty.clone(), at, values)?,
        (false, true) => b.become_type(&a.ty.clone(), at, values)?,
        _ => {}
    }
    match (a.met_by.is_some(), b.met_by.is_some()) {
        (true, false) => a.become_type(&b.ty.clone(), at, values)?,
        (false, true) => b.become_type(&a.ty.clone(), at, values)?,
        // Options are text: beside a variable that is a number, they are numbers.
        (true, true) if a.ty == Type::Text => a.become_type(&b.ty.clone(), at, values)?,
        (true, true) => b.become_type(&a.ty.clone(), at, values)?,
        (false, false) => {}
    }
    if is_number(&a.ty) && is_number(&b.ty) {
        a.become_number(&b.ty);
        b.become_number(&a.ty);
    }
    Ok(())
}

/// What a shared function gives must be said where nothing that it meets tells.
fn said(all: [&Typed; 2], at: Option<usize>) -> Result<(), ExprError> {
    let Some(Expr::Shared(call, _)) = all.into_iter().find(|t| t.is_open()).map(|t| &t.parsed.expr) else {
        return Ok(());
    };
    let name = &call.name;
    let help = format!("write `to_text({name}(…))`, `to_int({name}(…))` or `to_decimal({name}(…))`");
    Err(error(format!("it is not known what kind of value `{name}` gives here"), help, at))
}

/// Two values are compared.
pub(super) fn compared(
    op: Comparison,
    a: &mut Typed,
    b: &mut Typed,
    at: Option<usize>,
    values: Option<&Values>,
) -> Result<(), ExprError> {
    let equality = matches!(op, Comparison::Eq | Comparison::Ne);
    if !equality && values.is_none() && (a.is_null() || b.is_null()) {
        let help = "write `== ()` or `!= ()`, or use `is_empty`";
        return Err(error("null has no order: this is always false", help, at));
    }
    settle(a, b, at, values)?;
    if !a.is_null() && !b.is_null() {
        said([&*a, &*b], at)?;
    }
    let unknown = |t: &Type| matches!(t, Type::Any | Type::Null);
    if unknown(&a.ty) || unknown(&b.ty) || (is_number(&a.ty) && is_number(&b.ty)) {
        return Ok(());
    }
    if let (Type::List(_), _) | (_, Type::List(_)) = (&a.ty, &b.ty) {
        return Err(error("a list cannot be compared", "write `contains(list, item)` or `is_empty(list)`", at));
    }
    if a.ty == b.ty {
        return Ok(());
    }
    let what = if equality { "never equal" } else { "have no order" };
    let help = boolean(op, a, b).or_else(|| boolean(op, b, a));
    let help = help.or_else(|| cure(&b.ty, &a.ty, &b.parsed.expr));
    let help = help.or_else(|| cure(&a.ty, &b.ty, &a.parsed.expr));
    Err(ExprError { help, ..error(format!("{} and {} are {what}", a.ty, b.ty).replace("are have", "have"), "", at) })
}

/// What to write where true or false is compared with a text or number that stands for it, such as `"false"` or `0`.
fn boolean(op: Comparison, what: &Typed, constant: &Typed) -> Option<String> {
    let (Type::Bool, Comparison::Eq | Comparison::Ne) = (&what.ty, op) else { return None };
    let is = match &constant.parsed.expr {
        Expr::Literal(Literal::Text(text)) => match text.to_lowercase().as_str() {
            "true" | "yes" | "y" | "1" => Some(true),
            "false" | "no" | "n" | "0" => Some(false),
            _ => None,
        },
        Expr::Literal(Literal::Int(1)) => Some(true),
        Expr::Literal(Literal::Int(0)) => Some(false),
        _ => None,
    };
    let name = match &what.parsed.expr {
        Expr::Field(name) => super::bind::as_written(name),
        _ => "x".to_owned(),
    };
    Some(match is {
        Some(is) => format!("write `{name} {op} {is}`"),
        None => format!("write `{name} {op} true` or `{name} {op} false`"),
    })
}

/// Two values are one: the branches of an `if`, arguments of `coalesce`.
pub(super) fn common(
    a: &mut Typed,
    b: &mut Typed,
    at: Option<usize>,
    values: Option<&Values>,
) -> Result<Type, ExprError> {
    settle(a, b, at, values)?;
    // Whatever it becomes later, it is kept as text.
    a.become_text(at, values)?;
    b.become_text(at, values)?;
    match (&a.ty, &b.ty) {
        (Type::Any | Type::Null, other) | (other, Type::Any | Type::Null) => Ok(other.clone()),
        (a, b) if a == b => Ok(a.clone()),
        (x, y) if is_number(x) && is_number(y) => Ok(wider(x, y)),
        (x, y) => {
            let help = cure(y, x, &b.parsed.expr).or_else(|| cure(x, y, &a.parsed.expr));
            Err(ExprError { help, ..error(format!("one value is {x}, the other {y}"), "", at) })
        }
    }
}

fn wider(a: &Type, b: &Type) -> Type {
    match (a, b) {
        (Type::Float, _) | (_, Type::Float) => Type::Float,
        (Type::Decimal, _) | (_, Type::Decimal) => Type::Decimal,
        _ => Type::Int,
    }
}

/// Two values are reckoned with.
pub(super) fn reckoned(
    op: Arithmetic,
    a: &mut Typed,
    b: &mut Typed,
    at: Option<usize>,
    values: Option<&Values>,
) -> Result<Type, ExprError> {
    if op != Arithmetic::Add || (a.ty != Type::Text && b.ty != Type::Text) {
        said([&*a, &*b], at)?;
    }
    settle(a, b, at, values)?;
    let help = match (&a.ty, &b.ty) {
        (Type::Any, Type::Any) | (Type::Any, Type::Null) | (Type::Null, Type::Any) | (Type::Null, Type::Null) => {
            return Ok(Type::Any);
        }
        (Type::Any | Type::Null, t) | (t, Type::Any | Type::Null) if is_number(t) => return Ok(t.clone()),
        (Type::Any | Type::Null | Type::Text, Type::Text) | (Type::Text, Type::Any | Type::Null)
            if op == Arithmetic::Add =>
        {
            return Ok(Type::Text);
        }
        (x, y) if is_number(x) && is_number(y) => return Ok(wider(x, y)),
        (Type::Text, _) | (_, Type::Text) if op == Arithmetic::Add => "write `concat(a, b)` to join as text",
        (Type::Text, t) | (t, Type::Text) if is_number(t) => "write `to_int(text)` or `to_decimal(text)`",
        (Type::Date | Type::DateTime | Type::LocalDateTime, _) => {
            "write `add_days(date, days)` or `days_between(from, to)`"
        }
        _ => "arithmetic is for numbers",
    };
    Err(error(format!("{} and {} cannot be reckoned with", a.ty, b.ty), help, at))
}

/// A value decides: it is true or false, and null counts as false.
pub(super) fn condition(typed: &mut Typed, at: Option<usize>, values: Option<&Values>) -> Result<(), ExprError> {
    typed.become_type(&Type::Bool, at, values)?;
    match &typed.ty {
        Type::Bool | Type::Any => Ok(()),
        Type::Null if values.is_some() => Ok(()),
        ty => {
            let help = cure(ty, &Type::Bool, &typed.parsed.expr);
            Err(ExprError { help, ..error(format!("this is {ty}, not true or false"), "", at) })
        }
    }
}

/// Values are given to a function; gives the type of its result.
pub(super) fn called(
    function: &Function,
    args: &mut [Typed],
    at: Option<usize>,
    values: Option<&Values>,
) -> Result<Type, ExprError> {
    let item = match args.first().map(|a| &a.ty) {
        Some(Type::List(item)) if function.name == "contains" => Some((**item).clone()),
        Some(Type::Text) if function.name == "contains" => Some(Type::Text),
        _ => None,
    };
    for (place, arg) in args.iter_mut().enumerate() {
        let Some(param) = function.param(place) else { continue };
        let wanted = if place == 1 && item.is_some() { item.clone() } else { wanted(param.takes) };
        let own = arg.parsed.places.first().copied().or(at);
        if let Some(wanted) = &wanted {
            arg.become_type(wanted, own, values)?;
        }
        if param.takes == Takes::TextOrList || function.name == "contains" {
            arg.become_text(own, values)?;
        }
        let exact = place != 1 || item.as_ref().is_none_or(|w| *w == arg.ty || (is_number(w) && is_number(&arg.ty)));
        if !matches!(arg.ty, Type::Any | Type::Null) && (!takes(param.takes, &arg.ty) || !exact) {
            let wanted = wanted.unwrap_or(Type::Text);
            let help =
                cure(&arg.ty, &wanted, &arg.parsed.expr).unwrap_or_else(|| format!("write `{}`", function.example));
            let name = param.name;
            return Err(error(format!("`{}` takes {wanted} as `{name}`, not {}", function.name, arg.ty), help, own));
        }
    }
    match &function.gives {
        Gives::Always(ty) => Ok(ty.clone()),
        Gives::First => Ok(args.first().map_or(Type::Null, |a| a.ty.clone())),
        Gives::Common => {
            let mut ty = Type::Null;
            // Twice, so that what comes first meets what comes last.
            for _ in 0..2 {
                for place in 1..args.len() {
                    let (before, from) = args.split_at_mut(place);
                    common(&mut before[place - 1], &mut from[0], at, values)?;
                }
            }
            for arg in args.iter_mut() {
                arg.become_text(at, values)?;
                let mut all = Typed::leaf(Expr::Literal(Literal::Null), at, ty.clone());
                let mut one = Typed::leaf(Expr::Literal(Literal::Null), at, arg.ty.clone());
                ty = common(&mut all, &mut one, at, values)?;
            }
            Ok(if ty == Type::Null && args.iter().any(|a| a.ty == Type::Any) { Type::Any } else { ty })
        }
    }
}

/// What a variable becomes that is given to a function.
pub(crate) fn wanted(takes: Takes) -> Option<Type> {
    match takes {
        Takes::Text => Some(Type::Text),
        Takes::Int => Some(Type::Int),
        Takes::Number => Some(Type::Decimal),
        Takes::Day => Some(Type::DateTime),
        Takes::Any | Takes::TextOrList | Takes::Ordered => None,
    }
}

fn takes(takes: Takes, ty: &Type) -> bool {
    match takes {
        Takes::Any => true,
        Takes::Text => *ty == Type::Text,
        Takes::TextOrList => matches!(ty, Type::Text | Type::List(_)),
        Takes::Int => *ty == Type::Int,
        Takes::Number => is_number(ty),
        Takes::Day => matches!(ty, Type::Date | Type::DateTime | Type::LocalDateTime),
        Takes::Ordered => !matches!(ty, Type::List(_)),
    }
}

/// What to write where `has` stands and `wanted` is needed.
pub(super) fn cure(has: &Type, wanted: &Type, expr: &Expr) -> Option<String> {
    let text = match expr {
        Expr::Literal(Literal::Text(text)) => Some(text.as_str()),
        _ => None,
    };
    Some(match (has, wanted) {
        (Type::Text, Type::Date) => format!("write `date({:?})`", text.unwrap_or("2012-11-01")),
        (Type::Text, Type::DateTime) => format!("write `datetime({:?})`", text.unwrap_or("2012-11-01T10:00:00Z")),
        (Type::Text, Type::LocalDateTime) => format!("write `datetime({:?})`", text.unwrap_or("2012-11-01T10:00:00")),
        (Type::Text, Type::Time) => format!("write `time({:?})`", text.unwrap_or("10:00:00")),
        (Type::Text, number) if is_number(number) => match text {
            Some(text) if super::value::decimal(text).is_some() => format!("write {text} without quotes"),
            _ if *number == Type::Int => "write `to_int(text)`".to_owned(),
            _ => "write `to_decimal(text)`".to_owned(),
        },
        (Type::Text, Type::Bool) => "write `!is_empty(text)`, or compare it with a text".to_owned(),
        (number, Type::Bool) if is_number(number) => "compare it with a number, such as `x != 0`".to_owned(),
        (Type::List(_), Type::Bool) => "write `!is_empty(list)`".to_owned(),
        (_, Type::Bool) => "compare it with something, such as `x != ()`".to_owned(),
        (Type::Date, Type::DateTime) => {
            "write `datetime(\"2012-11-01T00:00:00Z\")`, or compare `date(column)`".to_owned()
        }
        (Type::LocalDateTime, Type::DateTime) => "say the zone: `datetime(\"2012-11-01T10:00:00Z\")`".to_owned(),
        (Type::DateTime, Type::LocalDateTime) => "leave the zone out: `datetime(\"2012-11-01T10:00:00\")`".to_owned(),
        (Type::DateTime | Type::LocalDateTime, Type::Date) => "write `date(x)`".to_owned(),
        (_, Type::Text) => "write `to_text(x)`".to_owned(),
        (Type::Bool, number) if is_number(number) => "compare it with a number instead of true or false".to_owned(),
        (Type::Float | Type::Decimal, Type::Int) => "write `to_int(x)`".to_owned(),
        _ => return None,
    })
}

pub(super) fn one(mut parts: Vec<Expr>) -> Box<Expr> {
    Box::new(parts.pop().unwrap_or(Expr::Literal(Literal::Null)))
}

pub(super) fn two(mut parts: Vec<Expr>) -> (Box<Expr>, Box<Expr>) {
    let b = one(parts.split_off(1.min(parts.len())));
    (one(parts), b)
}
