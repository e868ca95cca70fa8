//! Functions of numbers.

use std::cmp::Ordering;

use rust_decimal::{Decimal, RoundingStrategy};

use super::super::value::{Value, decimal, order};
use super::Moment;
use super::text::wrong;
use crate::types::Type;

pub(super) fn to_int(args: &[Value], _: &Moment) -> Result<Value, String> {
    match args {
        [Value::Int(int)] => Ok(Value::Int(*int)),
        [Value::Bool(b)] => Ok(Value::Int((*b).into())),
        [Value::Decimal(d)] => i64::try_from(d.trunc()).map(Value::Int).map_err(|_| too_large(&args[0])),
        [Value::Float(f)] => whole(*f).map(Value::Int).ok_or_else(|| too_large(&args[0])),
        [Value::Text(text)] if text.trim().is_empty() => Ok(Value::Null),
        [Value::Text(text)] => match (text.trim().parse(), decimal(text.trim())) {
            (Ok(int), _) => Ok(Value::Int(int)),
            (_, Some(d)) => i64::try_from(d.trunc()).map(Value::Int).map_err(|_| too_large(&args[0])),
            _ => Err(format!("\"{}\" is not a number", short(text))),
        },
        _ => wrong("to_int", args),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the range is checked before")]
fn whole(float: f64) -> Option<i64> {
    // The bounds are those of 64 bits that floating point has exactly.
    (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&float).then(|| float.trunc() as i64)
}

pub(super) fn to_decimal(args: &[Value], _: &Moment) -> Result<Value, String> {
    match args {
        [Value::Int(int)] => Ok(Value::Decimal((*int).into())),
        [Value::Bool(b)] => Ok(Value::Decimal(i64::from(*b).into())),
        [Value::Decimal(d)] => Ok(Value::Decimal(*d)),
        [Value::Float(f)] => f.to_string().parse().map(Value::Decimal).map_err(|_| too_large(&args[0])),
        [Value::Text(text)] if text.trim().is_empty() => Ok(Value::Null),
        [Value::Text(text)] => decimal(text.trim())
            .map(Value::Decimal)
            .ok_or_else(|| format!("\"{}\" is not a decimal number", short(text))),
        _ => wrong("to_decimal", args),
    }
}

pub(super) fn abs(args: &[Value], _: &Moment) -> Result<Value, String> {
    match args {
        [Value::Int(int)] => int.checked_abs().map(Value::Int).ok_or_else(|| too_large(&args[0])),
        [Value::Decimal(d)] => Ok(Value::Decimal(d.abs())),
        [Value::Float(f)] => Ok(Value::Float(f.abs())),
        _ => wrong("abs", args),
    }
}

pub(super) fn round(args: &[Value], _: &Moment) -> Result<Value, String> {
    let digits = match args.get(1) {
        None => 0,
        Some(Value::Int(digits)) => u32::try_from(*digits)
            .ok()
            .filter(|d| *d <= Decimal::MAX_SCALE)
            .ok_or_else(|| format!("{digits} digits after the point: `round` takes 0 to {}", Decimal::MAX_SCALE))?,
        Some(_) => return wrong("round", args),
    };
    match &args[0] {
        Value::Int(int) => Ok(Value::Int(*int)),
        Value::Decimal(d) => {
            Ok(Value::Decimal(d.round_dp_with_strategy(digits, RoundingStrategy::MidpointAwayFromZero)))
        }
        Value::Float(f) => {
            let up = 10f64.powi(i32::try_from(digits).unwrap_or(0));
            let rounded = (f * up).round() / up;
            Ok(Value::Float(if rounded.is_finite() { rounded } else { *f }))
        }
        _ => wrong("round", args),
    }
}

pub(super) fn min(args: &[Value], _: &Moment) -> Result<Value, String> {
    best("min", args, Ordering::Less)
}

pub(super) fn max(args: &[Value], _: &Moment) -> Result<Value, String> {
    best("max", args, Ordering::Greater)
}

fn best(name: &str, args: &[Value], wanted: Ordering) -> Result<Value, String> {
    let (first, rest) = args.split_first().ok_or_else(|| format!("`{name}` takes at least one value"))?;
    let mut best = first;
    for value in rest {
        match order(value, best) {
            Some(order) if order == wanted => best = value,
            Some(_) => {}
            // What is not a number is neither smaller nor larger.
            None if value.ty() == Type::Float || best.ty() == Type::Float => {}
            None => return wrong(name, args),
        }
    }
    Ok(best.clone())
}

fn too_large(value: &Value) -> String {
    format!("{value} is too large")
}

/// A value for a message.
pub(super) fn short(text: &str) -> String {
    const CHARS_MAX: usize = 40;
    let mut short: String = text.chars().take(CHARS_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
