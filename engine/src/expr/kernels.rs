//! Functions that run over whole columns, where going record by record would be slow.

use std::sync::Arc;

use arrow::array::{Array, BooleanArray, Int64Array, StringArray, StringBuilder};
use arrow::buffer::BooleanBuffer;

use super::value::Value;
use super::vector::{Vector, texts};

/// The function over the whole column; `None` where it goes record by record.
pub(super) fn run(name: &str, args: &[Vector], len: usize) -> Option<Vector> {
    let text = texts(args.first()?)?;
    match (name, args.get(1)) {
        ("is_empty", None) => Some(bools(is_empty(text), None)),
        ("len", None) => Some(Vector::Array(Arc::new(lengths(text)))),
        ("lower", None) => Some(mapped(text, str::make_ascii_lowercase, str::to_lowercase)),
        ("upper", None) => Some(mapped(text, str::make_ascii_uppercase, str::to_uppercase)),
        ("trim", None) => Some(collected(text, |t, out| out.append_value(t.trim()))),
        ("contains", Some(Vector::Const(Value::Text(part)))) => Some(tested(text, len, |t| t.contains(part.as_str()))),
        ("starts_with", Some(Vector::Const(Value::Text(part)))) => {
            Some(tested(text, len, |t| t.starts_with(part.as_str())))
        }
        ("ends_with", Some(Vector::Const(Value::Text(part)))) => {
            Some(tested(text, len, |t| t.ends_with(part.as_str())))
        }
        ("eq_ci", Some(Vector::Const(Value::Text(other)))) => {
            let lower = other.to_lowercase();
            let same = |t: &str| {
                t == other
                    || if t.is_ascii() && lower.is_ascii() {
                        t.eq_ignore_ascii_case(&lower)
                    } else {
                        t.to_lowercase() == lower
                    }
            };
            Some(tested(text, len, same))
        }
        _ => None,
    }
}

fn bools(values: BooleanBuffer, nulls: Option<arrow::buffer::NullBuffer>) -> Vector {
    Vector::Array(Arc::new(BooleanArray::new(values, nulls)))
}

/// Null or without a byte.
pub(super) fn is_empty(text: &StringArray) -> BooleanBuffer {
    let offsets = text.value_offsets();
    let empty = BooleanBuffer::collect_bool(text.len(), |i| offsets[i] == offsets[i + 1]);
    match text.nulls() {
        Some(valid) => &empty | &!valid.inner(),
        None => empty,
    }
}

fn lengths(text: &StringArray) -> Int64Array {
    let chars = |t: Option<&str>| i64::try_from(t.map_or(0, |t| t.chars().count())).unwrap_or(i64::MAX);
    text.iter().map(chars).collect::<Vec<_>>().into()
}

/// False where there is no text.
fn tested(text: &StringArray, len: usize, test: impl Fn(&str) -> bool) -> Vector {
    bools(BooleanBuffer::collect_bool(len, |i| text.is_valid(i) && test(text.value(i))), None)
}

fn mapped(text: &StringArray, ascii: fn(&mut str), all: fn(&str) -> String) -> Vector {
    if text.is_ascii() {
        // The same places, other letters: one pass over the bytes of the whole column.
        let mut bytes = String::from_utf8_lossy(text.value_data()).into_owned();
        ascii(&mut bytes);
        let values = arrow::buffer::Buffer::from_vec(bytes.into_bytes());
        if let Ok(array) = StringArray::try_new(text.offsets().clone(), values, text.nulls().cloned()) {
            return Vector::Array(Arc::new(array));
        }
    }
    collected(text, |t, out| out.append_value(all(t)))
}

fn collected(text: &StringArray, f: impl Fn(&str, &mut StringBuilder)) -> Vector {
    let mut out = StringBuilder::with_capacity(text.len(), text.value_data().len());
    for value in text {
        match value {
            Some(value) => f(value, &mut out),
            None => out.append_null(),
        }
    }
    Vector::Array(Arc::new(out.finish()))
}
