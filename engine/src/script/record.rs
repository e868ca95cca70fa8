//! The interpreter for one record: the truth that every other way of evaluating an expression is tested against.

use std::any::TypeId;
use std::collections::BTreeMap;

use super::rhai::{Dynamic, Engine, ImmutableString, Map, OptimizationLevel, Scope};
use super::values::{Loose, failed, of_dynamic, register, register_loose, to_dynamic};
use crate::event::Vars;
use crate::expr::parse::{place, syntax};
use crate::expr::{ExprError, Value, Values};

/// Evaluates an expression for one record with Rhai's own interpreter.
///
/// This is slow; it is what `Bound::eval` and the renderers are tested against.
///
/// # Errors
/// Where Rhai cannot read or evaluate it.
pub fn eval_record(text: &str, record: &BTreeMap<String, Value>, values: &Values) -> Result<Value, ExprError> {
    let mut engine = Engine::new_raw();
    super::exact_numbers(&mut engine);
    engine.set_optimization_level(OptimizationLevel::None);
    engine.set_max_expr_depths(crate::expr::DEPTH_MAX, 0);
    engine.set_fast_operators(false);
    register(&mut engine, &values.moment());
    register_loose(&mut engine, &values.zone);

    let fields = record.clone();
    engine.register_raw_fn("field", [TypeId::of::<ImmutableString>()], move |_, args| {
        let name = args[0].to_string();
        fields.get(&name).cloned().map(to_dynamic).ok_or_else(|| failed(format!("there is no column `{name}`")))
    });
    let options = values.options.clone();
    engine.register_raw_fn("option", [TypeId::of::<ImmutableString>()], move |_, args| {
        Ok(options.get(&args[0].to_string()).map_or(Dynamic::UNIT, |v| Dynamic::from(Loose(Value::Text(v.clone())))))
    });

    let mut scope = Scope::new();
    for (name, value) in record {
        scope.push_dynamic(name.as_str(), to_dynamic(value.clone()));
    }
    scope.push("vars", loose(&values.vars));
    for (name, vars) in [("instance", &values.instance), ("task", &values.task)] {
        scope.push(name, Map::from([("vars".into(), loose(vars).into())]));
    }
    let tree = engine.compile_expression(text).map_err(|e| syntax(text, &e))?;
    let result = engine.eval_ast_with_scope::<Dynamic>(&mut scope, &tree);
    result.map_err(|e| e.to_string()).and_then(|v| of_dynamic(&v)).map_err(|message| ExprError {
        message,
        help: None,
        at: place(text, super::rhai::Position::NONE),
        row: None,
    })
}

fn loose(vars: &Vars) -> Map {
    let value = |json| match Value::of_json(json) {
        value @ (Value::Null | Value::Bool(_) | Value::List(_)) => to_dynamic(value),
        value => Dynamic::from(Loose(value)),
    };
    vars.iter().map(|(name, json)| (name.as_str().into(), value(json))).collect()
}
