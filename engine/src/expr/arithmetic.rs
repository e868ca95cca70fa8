//! Arithmetic with two values.

use std::cmp::Ordering;

use rust_decimal::Decimal;

use super::Arithmetic;
use super::value::{Value, as_decimal, as_float, order};

/// Without or with its sign; null stays null.
pub(crate) fn negative(value: &Value) -> Result<Value, String> {
    match value {
        Value::Null => Ok(Value::Null),
        Value::Float(v) => Ok(Value::Float(-v)),
        Value::Decimal(v) => Ok(Value::Decimal(-v)),
        other => reckon(Arithmetic::Sub, &Value::Int(0), other),
    }
}

/// With two whole numbers.
pub(super) fn whole(op: Arithmetic, a: i64, b: i64) -> Result<i64, String> {
    let result = match op {
        Arithmetic::Add => a.checked_add(b),
        Arithmetic::Sub => a.checked_sub(b),
        Arithmetic::Mul => a.checked_mul(b),
        Arithmetic::Div | Arithmetic::Rem if b == 0 => return Err(format!("{a} is divided by zero")),
        Arithmetic::Div => a.checked_div(b),
        Arithmetic::Rem => a.checked_rem(b),
    };
    result.ok_or_else(|| format!("{a} {} {b} is too large for a whole number", sign(op)))
}

/// Reckons with two values; null makes null.
pub(crate) fn reckon(op: Arithmetic, a: &Value, b: &Value) -> Result<Value, String> {
    match (a, b) {
        (Value::Null, _) | (_, Value::Null) => return Ok(Value::Null),
        (Value::Int(a), Value::Int(b)) => return whole(op, *a, *b).map(Value::Int),
        (Value::Text(a), Value::Text(b)) if op == Arithmetic::Add => return Ok(Value::Text(format!("{a}{b}"))),
        _ => {}
    }
    let is_zero = order(b, &Value::Int(0)) == Some(Ordering::Equal);
    let zero = matches!(op, Arithmetic::Div | Arithmetic::Rem) && is_zero;
    if zero {
        return Err(format!("{a} is divided by zero"));
    }
    let too_large = || format!("{a} {} {b} is too large", sign(op));
    if let (Some(x), Some(y)) = (as_decimal(a), as_decimal(b)) {
        let result: Option<Decimal> = match op {
            Arithmetic::Add => x.checked_add(y),
            Arithmetic::Sub => x.checked_sub(y),
            Arithmetic::Mul => x.checked_mul(y),
            Arithmetic::Div => x.checked_div(y),
            Arithmetic::Rem => x.checked_rem(y),
        };
        return result.map(Value::Decimal).ok_or_else(too_large);
    }
    let is_number = |value: &Value| matches!(value, Value::Int(_) | Value::Float(_) | Value::Decimal(_));
    let (Some(x), Some(y)) = (as_float(a), as_float(b)) else {
        return Err(match is_number(a) && is_number(b) {
            true => format!("{a} {} {b} would lose digits: floating point holds about 16 of them", sign(op)),
            false => format!("{} and {} cannot be reckoned with", a.ty(), b.ty()),
        });
    };
    let result = match op {
        Arithmetic::Add => x + y,
        Arithmetic::Sub => x - y,
        Arithmetic::Mul => x * y,
        Arithmetic::Div => x / y,
        Arithmetic::Rem => x % y,
    };
    if result.is_finite() { Ok(Value::Float(result)) } else { Err(too_large()) }
}

fn sign(op: Arithmetic) -> char {
    match op {
        Arithmetic::Add => '+',
        Arithmetic::Sub => '-',
        Arithmetic::Mul => '*',
        Arithmetic::Div => '/',
        Arithmetic::Rem => '%',
    }
}
