//! Functions of the shared scripts, as expressions call them: pure ones, record by record.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::ast::{self, AST};
use super::defaults::OPTION_OR_NULL;
use super::rhai::{ASTNode, CallFnOptions, Dynamic, Engine, Position, Scope, Stmt};
use super::{Limits, defaults, engine, reason, values};
use crate::expr::parse::{nearest, syntax, unknown_function};
use crate::expr::{ExprError, Moment, Shared, Value, loosely};
use crate::pinned::Library;

/// Steps that a function takes at most for one record of an expression, however many a script may take. Time is no limit
/// here: what becomes of a record must not depend on how busy the machine is.
const OPERATIONS_A_RECORD_MAX: u64 = 100_000;

/// What a function must not call to be called in an expression, and what to do instead.
const IMPURE: &[(&str, &str)] = &[
    ("set_option", "sets options"),
    ("log_info", "writes to the log"),
    ("log_warning", "writes to the log"),
    ("log_error", "writes to the log"),
    ("print", "writes to the log"),
    ("debug", "writes to the log"),
    ("option", "reads an option; give its value to the function: `f(x, option(\"…\"))`"),
    (OPTION_OR_NULL, "reads an option; give its value to the function: `f(x, option(\"…\"))`"),
    ("has_option", "reads an option; give its value to the function: `f(x, option(\"…\"))`"),
];

/// All functions of the shared scripts.
#[derive(Debug, Clone)]
pub struct Functions {
    pub(super) tree: AST,
    all: BTreeMap<String, Known>,
    /// What is wrong with the shared scripts.
    pub(super) wrong: Vec<ExprError>,
    limits: Limits,
}

/// What is known of the functions of one name.
#[derive(Debug, Clone, Default)]
struct Known {
    /// The script that they stand in.
    script: String,
    /// How many values they take.
    params: BTreeSet<usize>,
    calls: BTreeSet<String>,
    uses_this: bool,
}

impl Default for Functions {
    fn default() -> Self {
        Self { tree: AST::empty(), all: BTreeMap::new(), wrong: Vec::new(), limits: Limits::default() }
    }
}

impl Functions {
    /// Reads the shared scripts, name and text each.
    pub fn new(library: &[(String, String)], limits: &Limits) -> Self {
        let mut functions = Self { limits: limits.clone(), ..Self::default() };
        for (name, text) in library {
            let mut engine = engine(&Limits::default());
            engine.set_strict_variables(true);
            match defaults::compile(&mut engine, &Scope::new(), text) {
                Ok(tree) => functions.add(name, &tree),
                Err(error) => {
                    let error = syntax(text, &error);
                    let (line, column) = error.line_column(text);
                    let message = format!("shared script `{name}`, line {line}, column {column}: {}", error.message);
                    functions.wrong.push(ExprError { message, at: Some(0), ..error });
                }
            }
        }
        functions
    }

    /// The same, shared.
    pub(crate) fn of(library: &Library, limits: &Limits) -> Arc<Self> {
        Arc::new(Self::new(library, limits))
    }

    fn add(&mut self, script: &str, tree: &AST) {
        let mut bodies = Vec::new();
        for function in tree.iter_fn_def() {
            let known = self.all.entry(function.name.to_string()).or_default();
            script.clone_into(&mut known.script);
            known.params.insert(function.params.len());
            let body = (function.body.start_position(), function.body.end_position());
            bodies.push((function.name.to_string(), body));
        }
        let body_of = |at: Position| bodies.iter().find(|(_, (from, to))| *from <= at && at <= *to);
        tree.clone_functions_only().walk(&mut |path| {
            let (call, uses_this, at) = match path.last() {
                Some(ASTNode::Expr(ast::Expr::FnCall(call, at) | ast::Expr::MethodCall(call, at)))
                | Some(ASTNode::Stmt(Stmt::FnCall(call, at))) => (Some(call.name.to_string()), false, *at),
                Some(ASTNode::Expr(ast::Expr::ThisPtr(at))) => (None, true, *at),
                _ => return true,
            };
            if let Some(known) = body_of(at).and_then(|(name, _)| self.all.get_mut(name)) {
                known.calls.extend(call);
                known.uses_this |= uses_this;
            }
            true
        });
        self.tree = self.tree.merge(&tree.clone_functions_only());
    }

    /// The script that a function stands in.
    pub(super) fn script_of(&self, function: &str) -> Option<&str> {
        self.all.get(function).map(|known| known.script.as_str())
    }

    /// The names of all, with how many values they take.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &BTreeSet<usize>)> {
        self.all.iter().map(|(name, known)| (name.as_str(), &known.params))
    }

    /// Refuses what an expression cannot call.
    ///
    /// # Errors
    /// There is no such function, it takes other values, or it is not pure.
    pub(crate) fn check(&self, name: &str, values: usize, at: Option<usize>) -> Result<(), ExprError> {
        let refused = |message: String, help: String| Err(ExprError { message, help: Some(help), at, row: None });
        let Some(known) = self.all.get(name) else {
            if let Some(wrong) = self.wrong.first() {
                return Err(ExprError { at, ..wrong.clone() });
            }
            let unknown = unknown_function(name, at);
            let near = nearest(name, self.all.keys().map(String::as_str));
            let help = near.map(|near| format!("did you mean `{near}`?"));
            return Err(ExprError { help: help.or(unknown.help), ..unknown });
        };
        let script = &known.script;
        if !known.params.contains(&values) {
            let takes = known.params.iter().map(usize::to_string).collect::<Vec<_>>().join(" or ");
            let message = format!("`{name}` takes {takes} values, not {values}");
            return refused(message, format!("it stands in the shared script `{script}`"));
        }
        match self.impure(name) {
            Some(why) => {
                let message = format!("`{name}` of the shared script `{script}` is for script activities: {why}");
                refused(message, "expressions call functions that only give a value".to_owned())
            }
            None => Ok(()),
        }
    }

    /// Why a function is more than a value.
    fn impure(&self, name: &str) -> Option<String> {
        let (mut seen, mut next) = (BTreeSet::from([name]), vec![name]);
        while let Some(function) = next.pop() {
            let Some(known) = self.all.get(function) else { continue };
            let by = if function == name { "it".to_owned() } else { format!("`{function}`, which it calls,") };
            if known.uses_this {
                return Some(format!("{by} uses `this`"));
            }
            let impure = IMPURE.iter().find(|(name, _)| known.calls.contains(*name) && !self.all.contains_key(*name));
            if let Some((_, what)) = impure {
                return Some(format!("{by} {what}"));
            }
            next.extend(known.calls.iter().map(String::as_str).filter(|call| seen.insert(call)));
        }
        None
    }

    /// Calls a function once for each of these lists of values, each as if it were the only one.
    pub(crate) fn call(&self, call: &Shared, rows: Vec<Vec<Value>>, moment: &Moment) -> Vec<Result<Value, String>> {
        let count = rows.len();
        // Rhai goes deeper than the stack of a worker.
        let called = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("function".to_owned()).stack_size(super::STACK_BYTES);
            let calling = thread.spawn_scoped(scope, || self.call_here(call, rows, moment));
            calling.map_err(|error| error.to_string())?.join().map_err(|_| "a fault of Campanile".to_owned())
        });
        called.unwrap_or_else(|error| vec![Err(format!("`{}` cannot be called: {error}", call.name)); count])
    }

    fn call_here(&self, call: &Shared, rows: Vec<Vec<Value>>, moment: &Moment) -> Vec<Result<Value, String>> {
        let operations = self.limits.operations.min(OPERATIONS_A_RECORD_MAX);
        let limits = Limits { operations, ..self.limits.clone() };
        let mut engine = engine(&limits);
        values::register(&mut engine, moment);
        values::register_strict(&mut engine);
        rows.into_iter().map(|row| self.call_one(&engine, call, row, moment, &limits)).collect()
    }

    fn call_one(
        &self,
        engine: &Engine,
        call: &Shared,
        values: Vec<Value>,
        moment: &Moment,
        limits: &Limits,
    ) -> Result<Value, String> {
        let args: Vec<Dynamic> = values.into_iter().map(values::to_dynamic).collect();
        let options = CallFnOptions::new().eval_ast(false);
        let result = engine.call_fn_with_options::<Dynamic>(options, &mut Scope::new(), &self.tree, &call.name, args);
        let name = &call.name;
        let value = match result {
            Ok(result) => values::of_dynamic(&result).map_err(|message| format!("`{name}`: {message}"))?,
            Err(error) => return Err(format!("`{name}`: {}", reason(super::innermost(&error), limits).0)),
        };
        match &call.gives {
            None => Ok(value),
            Some(ty) => loosely(&value, ty, &moment.zone)
                .ok_or_else(|| format!("`{name}` gives {}, which is not {ty}", value.quoted())),
        }
    }
}
