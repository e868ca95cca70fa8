//! Comparisons of whole columns. Never null: null equals null only, and has no order.

use std::cmp::Ordering;

use arrow::array::{Array, AsArray, Decimal128Array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::DataType;

use super::Comparison;
use super::value::{Value, as_float, order};
use super::vector::{Integers, Vector, texts};
use crate::types::Type;

/// Compares two values.
pub(crate) fn values(op: Comparison, a: &Value, b: &Value) -> bool {
    let (equal, order) = match (a, b) {
        (Value::Null, Value::Null) => (true, None),
        _ => (order(a, b) == Some(Ordering::Equal), order(a, b)),
    };
    match op {
        Comparison::Eq => equal,
        Comparison::Ne => !equal,
        Comparison::Lt => order == Some(Ordering::Less),
        Comparison::Le => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        Comparison::Gt => order == Some(Ordering::Greater),
        Comparison::Ge => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
    }
}

/// Compares two columns.
pub(super) fn vectors(op: Comparison, a: &Vector, b: &Vector, len: usize) -> BooleanBuffer {
    if op == Comparison::Ne {
        return !&vectors(Comparison::Eq, a, b, len);
    }
    if let (Vector::Const(a), Vector::Const(b)) = (a, b) {
        return constant(values(op, a, b), len);
    }
    let (valid_a, valid_b) = (a.valid(len), b.valid(len));
    let raw = raw(op, a, b, len);
    let known = match NullBuffer::union(valid_a.as_ref(), valid_b.as_ref()) {
        Some(valid) => &raw & valid.inner(),
        None => raw,
    };
    match (op, valid_a, valid_b) {
        (Comparison::Eq, Some(a), Some(b)) => &known | &(&!a.inner() & &!b.inner()),
        _ => known,
    }
}

pub(super) fn constant(value: bool, len: usize) -> BooleanBuffer {
    if value { BooleanBuffer::new_set(len) } else { BooleanBuffer::new_unset(len) }
}

/// Compares what is there, whatever null slots hold.
fn raw(op: Comparison, a: &Vector, b: &Vector, len: usize) -> BooleanBuffer {
    let null = |v: &Vector| v.ty() == Type::Null;
    if null(a) || null(b) {
        return BooleanBuffer::new_unset(len);
    }
    if let (Some(a), Some(b)) = (Integers::of(a), Integers::of(b)) {
        return integers(op, &a, &b, len);
    }
    if let (Some(x), Some(y)) = (texts(a), texts(b)) {
        return each(op, len, |i| x.value(i), |i| y.value(i));
    }
    if let (Some(x), Vector::Const(Value::Text(y))) = (texts(a), b) {
        return each(op, len, |i| x.value(i), |_| y.as_str());
    }
    if let (Vector::Const(Value::Text(x)), Some(y)) = (a, texts(b)) {
        return each(op, len, |_| x.as_str(), |i| y.value(i));
    }
    let float = (a.ty() == Type::Float, b.ty() == Type::Float);
    if float == (true, true) {
        let (a, b) = (floats(a, len), floats(b, len));
        return each(op, len, |i| a[i], |i| b[i]);
    }
    if float == (false, false) && (a.ty() == Type::Decimal || b.ty() == Type::Decimal) {
        return decimals(op, a, b, len);
    }
    if let (Vector::Array(x), Vector::Array(y)) = (a, b)
        && let (Some(x), Some(y)) = (x.as_boolean_opt(), y.as_boolean_opt())
    {
        return each(op, len, |i| x.value(i), |i| y.value(i));
    }
    // Also where floating point meets exact numbers: through floating point, one whole number would become another.
    BooleanBuffer::collect_bool(len, |i| values(op, &a.row(i), &b.row(i)))
}

fn each<T: PartialOrd>(op: Comparison, len: usize, a: impl Fn(usize) -> T, b: impl Fn(usize) -> T) -> BooleanBuffer {
    match op {
        Comparison::Eq => BooleanBuffer::collect_bool(len, |i| a(i) == b(i)),
        Comparison::Ne => BooleanBuffer::collect_bool(len, |i| a(i) != b(i)),
        Comparison::Lt => BooleanBuffer::collect_bool(len, |i| a(i) < b(i)),
        Comparison::Le => BooleanBuffer::collect_bool(len, |i| a(i) <= b(i)),
        Comparison::Gt => BooleanBuffer::collect_bool(len, |i| a(i) > b(i)),
        Comparison::Ge => BooleanBuffer::collect_bool(len, |i| a(i) >= b(i)),
    }
}

fn integers(op: Comparison, a: &Integers<'_>, b: &Integers<'_>, len: usize) -> BooleanBuffer {
    use Integers::{Const, Long, Short};
    match (a, b) {
        (Const(a), Const(b)) => each(op, len, |_| *a, |_| *b),
        (Const(a), Short(b)) => each(op, len, |_| *a, |i| i64::from(b[i])),
        (Const(a), Long(b)) => each(op, len, |_| *a, |i| b[i]),
        (Short(a), Const(b)) => each(op, len, |i| i64::from(a[i]), |_| *b),
        (Short(a), Short(b)) => each(op, len, |i| a[i], |i| b[i]),
        (Short(a), Long(b)) => each(op, len, |i| i64::from(a[i]), |i| b[i]),
        (Long(a), Const(b)) => each(op, len, |i| a[i], |_| *b),
        (Long(a), Short(b)) => each(op, len, |i| a[i], |i| i64::from(b[i])),
        (Long(a), Long(b)) => each(op, len, |i| a[i], |i| b[i]),
    }
}

fn floats(vector: &Vector, len: usize) -> Vec<f64> {
    (0..len).map(|i| as_float(&vector.row(i)).unwrap_or(f64::NAN)).collect()
}

fn decimals(op: Comparison, a: &Vector, b: &Vector, len: usize) -> BooleanBuffer {
    if let (Some((a, scale_a)), Some((b, scale_b))) = (column(a), column(b)) {
        return ordered(op, len, |i| scaled(a.value(i), scale_a, b.value(i), scale_b));
    }
    if let (Some((a, scale)), Vector::Const(Value::Decimal(b))) = (column(a), b) {
        let (b, scale_b) = (b.mantissa(), i8::try_from(b.scale()).unwrap_or(i8::MAX));
        // Most often the constant has no more digits than the column, and whole numbers are compared.
        if let Some(b) = up(b, scale, scale_b) {
            return each(op, len, |i| a.value(i), |_| b);
        }
        return ordered(op, len, |i| scaled(a.value(i), scale, b, scale_b));
    }
    let (parts_a, parts_b) = (parts(a, len), parts(b, len));
    ordered(op, len, |i| scaled(parts_a[i].0, parts_a[i].1, parts_b[i].0, parts_b[i].1))
}

fn column(vector: &Vector) -> Option<(&Decimal128Array, i8)> {
    match vector {
        Vector::Array(array) => match array.data_type() {
            DataType::Decimal128(_, scale) => Some((array.as_any().downcast_ref()?, *scale)),
            _ => None,
        },
        _ => None,
    }
}

/// Mantissa and digits after the point of each value.
fn parts(vector: &Vector, len: usize) -> Vec<(i128, i8)> {
    if let Some((array, scale)) = column(vector) {
        return array.values().iter().map(|v| (*v, scale)).collect();
    }
    let part = |value: Value| match value {
        Value::Int(int) => (int.into(), 0),
        Value::Decimal(d) => (d.mantissa(), i8::try_from(d.scale()).unwrap_or(0)),
        _ => (0, 0),
    };
    (0..len).map(|i| part(vector.row(i))).collect()
}

fn ordered(op: Comparison, len: usize, of: impl Fn(usize) -> Ordering) -> BooleanBuffer {
    each(op, len, of, |_| Ordering::Equal)
}

/// A mantissa at more digits after the point.
fn up(mantissa: i128, to: i8, from: i8) -> Option<i128> {
    let digits = u32::try_from(i16::from(to) - i16::from(from)).ok()?;
    mantissa.checked_mul(10i128.checked_pow(digits)?)
}

/// The order of two decimals. What overflows when it is brought to the other's digits is the larger one by its sign.
fn scaled(a: i128, scale_a: i8, b: i128, scale_b: i8) -> Ordering {
    match scale_a.cmp(&scale_b) {
        Ordering::Equal => a.cmp(&b),
        Ordering::Less => up(a, scale_b, scale_a).map_or(a.cmp(&0), |a| a.cmp(&b)),
        Ordering::Greater => up(b, scale_a, scale_b).map_or(0.cmp(&b), |b| a.cmp(&b)),
    }
}
