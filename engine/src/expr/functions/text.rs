//! Functions of texts and lists.

use super::super::Comparison;
use super::super::compare::values;
use super::super::value::Value;
use super::Moment;

#[expect(clippy::unnecessary_wraps, reason = "the one shape of all functions")]
pub(super) fn is_empty(args: &[Value], _: &Moment) -> Result<Value, String> {
    Ok(Value::Bool(match args {
        [Value::Null] => true,
        [Value::Text(text)] => text.is_empty(),
        [Value::List(items)] => items.is_empty(),
        _ => false,
    }))
}

#[expect(clippy::unnecessary_wraps, reason = "the one shape of all functions")]
pub(super) fn coalesce(args: &[Value], _: &Moment) -> Result<Value, String> {
    Ok(args.iter().find(|v| **v != Value::Null).cloned().unwrap_or(Value::Null))
}

pub(super) fn len(args: &[Value], _: &Moment) -> Result<Value, String> {
    let count = match args {
        [Value::Null] => 0,
        [Value::Text(text)] => text.chars().count(),
        [Value::List(items)] => items.len(),
        _ => return wrong("len", args),
    };
    Ok(Value::Int(i64::try_from(count).unwrap_or(i64::MAX)))
}

pub(super) fn lower(args: &[Value], _: &Moment) -> Result<Value, String> {
    on_text("lower", args, str::to_lowercase)
}

pub(super) fn upper(args: &[Value], _: &Moment) -> Result<Value, String> {
    on_text("upper", args, str::to_uppercase)
}

pub(super) fn trim(args: &[Value], _: &Moment) -> Result<Value, String> {
    on_text("trim", args, |text| text.trim().to_owned())
}

pub(super) fn contains(args: &[Value], _: &Moment) -> Result<Value, String> {
    match args {
        [Value::Text(text), Value::Text(part)] => Ok(Value::Bool(text.contains(part.as_str()))),
        [Value::List(items), item] => Ok(Value::Bool(items.iter().any(|i| values(Comparison::Eq, i, item)))),
        [Value::Null, _] | [Value::Text(_), Value::Null] => Ok(Value::Bool(false)),
        _ => wrong("contains", args),
    }
}

pub(super) fn starts_with(args: &[Value], _: &Moment) -> Result<Value, String> {
    match args {
        [Value::Text(text), Value::Text(part)] => Ok(Value::Bool(text.starts_with(part.as_str()))),
        _ => wrong("starts_with", args),
    }
}

pub(super) fn ends_with(args: &[Value], _: &Moment) -> Result<Value, String> {
    match args {
        [Value::Text(text), Value::Text(part)] => Ok(Value::Bool(text.ends_with(part.as_str()))),
        _ => wrong("ends_with", args),
    }
}

pub(super) fn eq_ci(args: &[Value], _: &Moment) -> Result<Value, String> {
    match args {
        [Value::Text(a), Value::Text(b)] => Ok(Value::Bool(a == b || a.to_lowercase() == b.to_lowercase())),
        [Value::Null | Value::Text(_), Value::Null | Value::Text(_)] => Ok(Value::Bool(args[0] == args[1])),
        _ => wrong("eq_ci", args),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the one shape of all functions")]
pub(super) fn concat(args: &[Value], _: &Moment) -> Result<Value, String> {
    Ok(Value::Text(args.iter().map(ToString::to_string).collect()))
}

pub(super) fn sub_string(args: &[Value], _: &Moment) -> Result<Value, String> {
    let (text, start, length) = match args {
        [Value::Text(text), Value::Int(start)] => (text, *start, i64::MAX),
        [Value::Text(text), Value::Int(start), Value::Int(length)] => (text, *start, *length),
        _ => return wrong("sub_string", args),
    };
    let count = |n: i64| usize::try_from(n).unwrap_or(0);
    let start = match start {
        0.. => count(start),
        _ => text.chars().count().saturating_sub(usize::try_from(start.unsigned_abs()).unwrap_or(usize::MAX)),
    };
    Ok(Value::Text(text.chars().skip(start).take(count(length)).collect()))
}

pub(super) fn before(args: &[Value], _: &Moment) -> Result<Value, String> {
    match args {
        [Value::Text(text), Value::Text(mark)] => {
            Ok(Value::Text(text.split_once(mark.as_str()).map_or(text.as_str(), |(before, _)| before).to_owned()))
        }
        _ => wrong("before", args),
    }
}

pub(super) fn after(args: &[Value], _: &Moment) -> Result<Value, String> {
    match args {
        [Value::Text(text), Value::Text(mark)] => {
            Ok(Value::Text(text.split_once(mark.as_str()).map_or("", |(_, after)| after).to_owned()))
        }
        _ => wrong("after", args),
    }
}

pub(super) fn replace(args: &[Value], _: &Moment) -> Result<Value, String> {
    match args {
        // An empty part would be found between any two characters.
        [Value::Text(text), Value::Text(part), Value::Text(_)] if part.is_empty() => Ok(Value::Text(text.clone())),
        [Value::Text(text), Value::Text(part), Value::Text(by)] => Ok(Value::Text(text.replace(part.as_str(), by))),
        _ => wrong("replace", args),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the one shape of all functions")]
pub(super) fn to_text(args: &[Value], _: &Moment) -> Result<Value, String> {
    Ok(Value::Text(args.iter().map(ToString::to_string).collect()))
}

fn on_text(name: &str, args: &[Value], f: impl Fn(&str) -> String) -> Result<Value, String> {
    match args {
        [Value::Text(text)] => Ok(Value::Text(f(text))),
        _ => wrong(name, args),
    }
}

/// Only scripts come here: in expressions types are checked beforehand.
pub(super) fn wrong(name: &str, args: &[Value]) -> Result<Value, String> {
    let types = args.iter().map(|a| a.ty().to_string()).collect::<Vec<_>>();
    Err(format!("`{name}` does not take {}", if types.is_empty() { "nothing".to_owned() } else { types.join(", ") }))
}
