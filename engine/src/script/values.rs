//! Our values within Rhai: dates and times are types of their own, with comparisons, and our functions are there.

use std::any::TypeId;

use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};
use rust_decimal::Decimal;
use serde_json::{Map, Value as Json};

use super::rhai::{Array, Dynamic, Engine, EvalAltResult, ImmutableString, Position};
use crate::event::Vars;
use crate::expr::{
    Arithmetic, Comparison, FUNCTIONS, Function, Moment, Value, compare, loosely, negative, reckon, wanted,
};

/// What arithmetic with null says.
pub(super) const NULL_HERE: &str = "a value is null here; write `x ?? 0` where it may be missing";

/// How many arguments a variadic function takes from Rhai.
const VARIADIC_MAX: usize = 8;

/// A variable or option within an expression: it takes the type of what it meets.
#[derive(Debug, Clone)]
pub(super) struct Loose(pub(super) Value);

type Result<T> = std::result::Result<T, Box<EvalAltResult>>;

/// What went wrong in one of our functions; scripts can catch it.
pub(super) fn failed(message: impl Into<String>) -> Box<EvalAltResult> {
    Box::new(EvalAltResult::ErrorArithmetic(message.into(), Position::NONE))
}

/// Our value of one of Rhai's.
pub(super) fn of_dynamic(dynamic: &Dynamic) -> std::result::Result<Value, String> {
    let value = dynamic.flatten_clone();
    if let Ok(bool) = value.as_bool() {
        return Ok(Value::Bool(bool));
    }
    if let Ok(int) = value.as_int() {
        return Ok(Value::Int(int));
    }
    if let Ok(float) = value.as_float() {
        return Ok(Value::Float(float));
    }
    if let Ok(decimal) = value.as_decimal() {
        return Ok(Value::Decimal(decimal));
    }
    if let Ok(char) = value.as_char() {
        return Ok(Value::Text(char.to_string()));
    }
    if value.is_unit() {
        return Ok(Value::Null);
    }
    let name = value.type_name();
    let value = match value.try_cast_result::<ImmutableString>() {
        Ok(text) => return Ok(Value::Text(text.into())),
        Err(value) => value,
    };
    if let Some(items) = value.clone().try_cast::<Array>() {
        return items.iter().map(of_dynamic).collect::<std::result::Result<_, _>>().map(Value::List);
    }
    if let Some(Loose(value)) = value.clone().try_cast() {
        return Ok(value);
    }
    if let Some(date) = value.clone().try_cast() {
        return Ok(Value::Date(date));
    }
    if let Some(at) = value.clone().try_cast() {
        return Ok(Value::DateTime(at));
    }
    if let Some(local) = value.clone().try_cast() {
        return Ok(Value::LocalDateTime(local));
    }
    match value.try_cast() {
        Some(time) => Ok(Value::Time(time)),
        None => Err(format!("a value of type {name} cannot be used here")),
    }
}

/// Rhai's value of one of ours.
pub(super) fn to_dynamic(value: Value) -> Dynamic {
    match value {
        Value::Null => Dynamic::UNIT,
        Value::Bool(v) => v.into(),
        Value::Int(v) => v.into(),
        Value::Float(v) => v.into(),
        Value::Decimal(v) => v.into(),
        Value::Text(v) => v.into(),
        Value::Date(v) => Dynamic::from(v),
        Value::DateTime(v) => Dynamic::from(v),
        Value::LocalDateTime(v) => Dynamic::from(v),
        Value::Time(v) => Dynamic::from(v),
        Value::List(items) => items.into_iter().map(to_dynamic).collect::<Array>().into(),
    }
}

/// Rhai's value of JSON, with lists and objects.
pub(super) fn of_json(json: &Json) -> Dynamic {
    match json {
        Json::Array(items) => items.iter().map(of_json).collect::<Array>().into(),
        Json::Object(map) => of_vars(map).into(),
        scalar => to_dynamic(Value::of_json(scalar)),
    }
}

/// Variables as a script reads and sets them.
pub(super) fn of_vars(vars: &Vars) -> super::rhai::Map {
    vars.iter().map(|(name, value)| (name.as_str().into(), of_json(value))).collect()
}

/// JSON of what a script left in a variable; `at` names it.
pub(super) fn to_json(dynamic: &Dynamic, at: &str) -> std::result::Result<Json, String> {
    let value = dynamic.flatten_clone();
    let value = match value.try_cast_result::<super::rhai::Map>() {
        Ok(map) => {
            let each =
                |(name, value): (_, &Dynamic)| Ok((String::from(name), to_json(value, &format!("{at}.{name}"))?));
            return map
                .iter()
                .map(|(n, v)| (n.as_str(), v))
                .map(each)
                .collect::<std::result::Result<Map<_, _>, _>>()
                .map(Json::Object);
        }
        Err(value) => value,
    };
    match value.try_cast_result::<Array>() {
        Ok(items) => items.iter().map(|item| to_json(item, at)).collect(),
        Err(value) => of_dynamic(&value).map(|v| v.to_json()).map_err(|e| format!("{at} cannot be kept: {e}")),
    }
}

/// Registers comparisons, arithmetic and functions of our types.
pub(super) fn register(engine: &mut Engine, moment: &Moment) {
    engine.register_type_with_name::<civil::Date>("date");
    engine.register_type_with_name::<Timestamp>("datetime");
    engine.register_type_with_name::<civil::DateTime>("datetime without zone");
    engine.register_type_with_name::<civil::Time>("time");
    let (date, at) = (TypeId::of::<civil::Date>(), TypeId::of::<Timestamp>());
    let (local, time) = (TypeId::of::<civil::DateTime>(), TypeId::of::<civil::Time>());
    let float = TypeId::of::<f64>();
    let numbers = [TypeId::of::<i64>(), float, TypeId::of::<Decimal>()];
    // Rhai takes floating point numbers that are nearly equal for equal; the rest of the world does not.
    let floats = numbers.into_iter().flat_map(|n| [(n, float), (float, n)]);
    let compared = [(date, date), (at, at), (local, local), (time, time)].into_iter().chain(floats.clone());
    for (a, b) in compared {
        comparisons(engine, a, b, &moment.zone);
    }
    for (a, b) in floats {
        arithmetic(engine, a, b, &moment.zone);
    }
    unary(engine);
    for function in FUNCTIONS {
        let max = if function.variadic { VARIADIC_MAX } else { function.args_max() };
        for count in function.args_min()..=max {
            call(engine, function, count, moment.clone());
        }
    }
    for name in ["to_string", "to_debug", "print", "debug"] {
        engine.register_raw_fn(name, [TypeId::of::<Dynamic>()], |_, args| {
            Ok(of_dynamic(args[0]).map_or_else(|_| args[0].to_string(), |v| v.to_string()))
        });
    }
}

/// Rhai keeps these among the operators that we do not let it shorten.
fn unary(engine: &mut Engine) {
    engine.register_raw_fn("!", [TypeId::of::<bool>()], |_, args| Ok(!args[0].as_bool().unwrap_or(false)));
    for number in [TypeId::of::<i64>(), TypeId::of::<f64>(), TypeId::of::<Decimal>()] {
        engine.register_raw_fn("+", [number], |_, args| Ok(args[0].clone()));
        engine.register_raw_fn("-", [number], |_, args| {
            let value = of_dynamic(args[0]).map_err(failed)?;
            negative(&value).map(to_dynamic).map_err(failed)
        });
    }
}

/// Registers what expressions do with nulls, and with variables that take the type of what they meet.
pub(super) fn register_loose(engine: &mut Engine, zone: &TimeZone) {
    let null = TypeId::of::<()>();
    let loose = TypeId::of::<Loose>();
    let plain = [TypeId::of::<i64>(), TypeId::of::<f64>(), TypeId::of::<Decimal>(), TypeId::of::<ImmutableString>()];
    let dated = [
        TypeId::of::<civil::Date>(),
        TypeId::of::<Timestamp>(),
        TypeId::of::<civil::DateTime>(),
        TypeId::of::<civil::Time>(),
        TypeId::of::<bool>(),
    ];
    arithmetic(engine, null, null, zone);
    arithmetic(engine, loose, loose, zone);
    comparisons(engine, loose, loose, zone);
    for other in plain {
        for (a, b) in [(null, other), (other, null), (loose, other), (other, loose)] {
            arithmetic(engine, a, b, zone);
        }
    }
    for (a, b) in [(loose, null), (null, loose)] {
        arithmetic(engine, a, b, zone);
        comparisons(engine, a, b, zone);
    }
    for other in plain.into_iter().chain(dated) {
        comparisons(engine, loose, other, zone);
        comparisons(engine, other, loose, zone);
    }
    engine.register_raw_fn("!", [null], |_, _| Ok(true));
    engine.register_raw_fn("-", [null], |_, _| Ok(Dynamic::UNIT));
}

/// What scripts do with nulls: they say so, rather than that a total stays null for ever.
pub(super) fn register_strict(engine: &mut Engine) {
    let null = TypeId::of::<()>();
    let text = TypeId::of::<ImmutableString>();
    let all = [TypeId::of::<i64>(), TypeId::of::<f64>(), TypeId::of::<Decimal>(), text, null];
    for other in all {
        for op in ["+", "-", "*", "/", "%"] {
            for pair in [[null, other], [other, null]] {
                engine.register_raw_fn(op, pair, |_, _| -> Result<Dynamic> { Err(failed(NULL_HERE)) });
            }
        }
    }
    let joined = [
        TypeId::of::<bool>(),
        TypeId::of::<i64>(),
        TypeId::of::<f64>(),
        TypeId::of::<Decimal>(),
        TypeId::of::<civil::Date>(),
        TypeId::of::<Timestamp>(),
        TypeId::of::<civil::DateTime>(),
        TypeId::of::<civil::Time>(),
    ];
    for other in joined {
        for pair in [[text, other], [other, text]] {
            engine.register_raw_fn("+", pair, |_, args| {
                let text = |i: usize| of_dynamic(args[i]).map(|v| v.to_string()).map_err(failed);
                Ok(Dynamic::from(format!("{}{}", text(0)?, text(1)?)))
            });
        }
    }
}

/// Both values, where a variable has taken the type of the other one.
fn pair(args: &[&mut Dynamic], zone: &TimeZone) -> Result<(Value, Value)> {
    let (a, b) = (of_dynamic(args[0]).map_err(failed)?, of_dynamic(args[1]).map_err(failed)?);
    let (loose_a, loose_b) = (args[0].is::<Loose>(), args[1].is::<Loose>());
    let meet = |value: &Value, other: &Value| {
        loosely(value, &other.ty(), zone).ok_or_else(|| failed(format!("{value} is not {}", other.ty())))
    };
    Ok(match (loose_a, loose_b) {
        (true, true) if matches!(a, Value::Text(_)) => (meet(&a, &b)?, b),
        (true, false) => (meet(&a, &b)?, b),
        (_, true) => {
            let b = meet(&b, &a)?;
            (a, b)
        }
        (false, false) => (a, b),
    })
}

fn comparisons(engine: &mut Engine, a: TypeId, b: TypeId, zone: &TimeZone) {
    use Comparison::{Eq, Ge, Gt, Le, Lt, Ne};
    for (name, op) in [("==", Eq), ("!=", Ne), ("<", Lt), ("<=", Le), (">", Gt), (">=", Ge)] {
        let zone = zone.clone();
        engine.register_raw_fn(name, [a, b], move |_, args| {
            let (a, b) = pair(args, &zone)?;
            Ok(compare(op, &a, &b))
        });
    }
}

fn arithmetic(engine: &mut Engine, a: TypeId, b: TypeId, zone: &TimeZone) {
    use Arithmetic::{Add, Div, Mul, Rem, Sub};
    for (name, op) in [("+", Add), ("-", Sub), ("*", Mul), ("/", Div), ("%", Rem)] {
        let zone = zone.clone();
        engine.register_raw_fn(name, [a, b], move |_, args| {
            let (a, b) = pair(args, &zone)?;
            reckon(op, &a, &b).map(to_dynamic).map_err(failed)
        });
    }
}

fn call(engine: &mut Engine, function: &'static Function, count: usize, moment: Moment) {
    let any = vec![TypeId::of::<Dynamic>(); count];
    engine.register_raw_fn(function.name, any, move |_, args| {
        let mut values = Vec::with_capacity(args.len());
        for (place, arg) in args.iter().enumerate() {
            let value = of_dynamic(arg).map_err(failed)?;
            let ty = function.param(place).and_then(|p| wanted(p.takes)).filter(|_| arg.is::<Loose>());
            let met = ty.and_then(|ty| loosely(&value, &ty, &moment.zone));
            values.push(met.unwrap_or(value));
        }
        function.call(&values, &moment).map(to_dynamic).map_err(failed)
    });
}
