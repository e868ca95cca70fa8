//! The interpreter for one record: the truth that every other way of evaluating an expression is tested against.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use super::rhai::{Dynamic, Engine, ImmutableString, Map, OptimizationLevel, Scope};
use super::values::{Loose, failed, of_dynamic, register, register_loose, to_dynamic};
use crate::event::Vars;
use crate::expr::parse::syntax;
use crate::expr::{ExprError, Value, Values};

/// An expression as Rhai's own interpreter evaluates it, one record at a time.
///
/// This is slow; it is what `Bound::eval` and the renderers are tested against.
pub struct Interpreter {
    engine: Engine,
    tree: super::ast::AST,
    variables: Scope<'static>,
    record: Arc<Mutex<BTreeMap<String, Value>>>,
}

impl Interpreter {
    /// Reads an expression.
    ///
    /// # Errors
    /// Where Rhai cannot read it.
    pub fn new(text: &str, values: &Values) -> Result<Self, ExprError> {
        let mut engine = Engine::new_raw();
        super::exact_numbers(&mut engine);
        engine.set_optimization_level(OptimizationLevel::None);
        engine.set_max_expr_depths(crate::expr::DEPTH_MAX, 0);
        engine.set_fast_operators(false);
        register(&mut engine, &values.moment());
        register_loose(&mut engine, &values.zone);

        let record = Arc::new(Mutex::new(BTreeMap::new()));
        let fields = Arc::clone(&record);
        engine.register_raw_fn("field", [TypeId::of::<ImmutableString>()], move |_, args| {
            let name = args[0].to_string();
            let field =
                fields.lock().ok().and_then(|fields: MutexGuard<'_, BTreeMap<_, _>>| fields.get(&name).cloned());
            field.map(to_dynamic).ok_or_else(|| failed(format!("there is no column `{name}`")))
        });
        let options = values.options.clone();
        engine.register_raw_fn("option", [TypeId::of::<ImmutableString>()], move |_, args| {
            let value = options.get(&args[0].to_string());
            Ok(value.map_or(Dynamic::UNIT, |v| Dynamic::from(Loose(Value::Text(v.clone())))))
        });
        let mut variables = Scope::new();
        variables.push("vars", loose(&values.vars));
        for (name, vars) in [("instance", &values.instance), ("task", &values.task)] {
            variables.push(name, Map::from([("vars".into(), loose(vars).into())]));
        }
        let tree = engine.compile_expression(text).map_err(|e| syntax(text, &e))?;
        Ok(Self { engine, tree, variables, record })
    }

    /// Its value for one record.
    ///
    /// # Errors
    /// Where Rhai cannot evaluate it.
    pub fn eval(&self, record: &BTreeMap<String, Value>) -> Result<Value, ExprError> {
        let mut scope = self.variables.clone();
        for (name, value) in record {
            scope.push_dynamic(name.as_str(), to_dynamic(value.clone()));
        }
        if let Ok(mut fields) = self.record.lock() {
            fields.clone_from(record);
        }
        let result = self.engine.eval_ast_with_scope::<Dynamic>(&mut scope, &self.tree);
        let error = |message| ExprError { message, help: None, at: None, row: None };
        result.map_err(|e| e.to_string()).and_then(|v| of_dynamic(&v)).map_err(error)
    }
}

/// Evaluates an expression for one record with Rhai's own interpreter; see [`Interpreter`].
///
/// # Errors
/// Where Rhai cannot read or evaluate it.
pub fn eval_record(text: &str, record: &BTreeMap<String, Value>, values: &Values) -> Result<Value, ExprError> {
    Interpreter::new(text, values)?.eval(record)
}

fn loose(vars: &Vars) -> Map {
    let value = |json| match Value::of_json(json) {
        value @ (Value::Null | Value::Bool(_) | Value::List(_)) => to_dynamic(value),
        value => Dynamic::from(Loose(value)),
    };
    vars.iter().map(|(name, json)| (name.as_str().into(), value(json))).collect()
}
