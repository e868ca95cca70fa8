//! The interpreter for one record: the truth that every other way of evaluating an expression is tested against.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use super::defaults::OPTION_OR_NULL;
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
        register_options(&mut engine, values);
        engine.set_fail_on_invalid_map_property(true);
        super::defaults::register(&mut engine);
        let mut variables = Scope::new();
        variables.push("vars", loose(&values.vars));
        for (name, vars) in [("instance", &values.instance), ("task", &values.task)] {
            variables.push(name, Map::from([("vars".into(), loose(vars).into())]));
        }
        let tree = super::defaults::compile_expression(&mut engine, text).map_err(|e| syntax(text, &e))?;
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

fn register_options(engine: &mut Engine, values: &Values) {
    let text = TypeId::of::<ImmutableString>();
    let options = values.options.clone();
    let read = move |name: &Dynamic| {
        options.get(&name.to_string()).map(|value| Dynamic::from(Loose(Value::Text(value.clone()))))
    };
    let (strictly, or_null, or_else) = (read.clone(), read.clone(), read.clone());
    engine.register_raw_fn("option", [text], move |_, args| {
        strictly(args[0]).ok_or_else(|| failed(format!("option({:?}) is not set", args[0].to_string())))
    });
    engine.register_raw_fn(OPTION_OR_NULL, [text], move |_, args| Ok(or_null(args[0]).unwrap_or(Dynamic::UNIT)));
    engine.register_raw_fn("option", [text, TypeId::of::<Dynamic>()], move |_, args| {
        Ok(or_else(args[0]).unwrap_or_else(|| args[1].clone()))
    });
    engine.register_raw_fn("has_option", [text], move |_, args| Ok(read(args[0]).is_some()));
}

fn loose(vars: &Vars) -> Map {
    let value = |json| match Value::of_json(json) {
        value @ (Value::Null | Value::Bool(_) | Value::List(_)) => to_dynamic(value),
        value => Dynamic::from(Loose(value)),
    };
    vars.iter().map(|(name, json)| (name.as_str().into(), value(json))).collect()
}
