//! The one door to Rhai: scripts, with every limit set, and the reading of expressions.
//!
//! A script reads and sets `vars`, `instance.vars`, `task.vars` and options, and writes to the log. It has no file, no
//! network, no `eval`, `import` or `sleep`, and does the same when it is run again.

mod check;
mod defaults;
mod functions;
mod host;
mod limits;
mod record;
mod recovery;
mod uses;
mod values;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ::rhai::packages::{BasicArrayPackage, BasicFnPackage, BasicIteratorPackage, BasicMapPackage, Package};
use rhai::{Dynamic, Engine, EvalAltResult, Map, OptimizationLevel, Position, Scope};

use crate::event::Vars;
use crate::expr::foreign;
use crate::expr::parse::{lowered, place, syntax};
use crate::expr::{ExprError, FUNCTIONS, Literal, Moment, number};
pub use check::{Checked, check};
pub use functions::Functions;
use host::Stop;
pub use host::{Host, Level};
pub use limits::Limits;
pub use record::{Interpreter, eval_record};

/// Rhai's own types, for the files of this folder.
mod rhai {
    pub(super) use ::rhai::*;
}

/// Rhai's tree, for those that walk it.
pub(crate) mod ast {
    pub(crate) use ::rhai::{AST, ASTFlags, Expr, FnCallExpr, ParseError, ParseErrorType, Position, Stmt};
}

/// Scripts run on a thread with this stack: Rhai goes as deep as its call and expression depths let it.
const STACK_BYTES: usize = 16 * 1024 * 1024;

/// A script that has been read.
#[derive(Debug, Clone)]
pub struct Script {
    text: String,
    /// Functions that stand in shared scripts, with the name of the script.
    shared: BTreeMap<String, String>,
    tree: ast::AST,
}

/// What a script leaves behind.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// `vars`
    pub vars: Vars,
    /// `instance.vars`
    pub instance: Vars,
    /// `task.vars`
    pub task: Vars,
}

/// A script that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct ScriptError {
    /// What went wrong.
    pub message: String,
    /// Where, from 1; in the script itself also where a shared function fails.
    pub line: usize,
    /// Where, from 1, in characters.
    pub column: usize,
    /// What kind of failure it is.
    pub kind: ScriptErrorKind,
}

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScriptErrorKind {
    /// A limit of [`Limits`] was reached: its name in the configuration.
    Limit(&'static str),
    /// The script ran longer than [`Limits::wall_ms`].
    Deadline,
    /// The run was stopped.
    Stopped,
    /// The author's `throw` or `log_error`.
    Thrown,
    /// An option could not be read or set.
    Host,
    /// A variable or option is not set, and no default is given.
    Unset,
    /// Anything else that the script does wrong.
    Other,
}

impl Script {
    /// Reads a script, with the functions of the shared scripts (name and text each).
    ///
    /// # Errors
    /// The first place where it cannot be read; what is wrong in a shared script names that script and has no place.
    pub fn compile(text: &str, library: &[(String, String)]) -> Result<Self, ExprError> {
        Self::compile_with(text, &Functions::new(library, &Limits::default()))
    }

    /// The same with shared scripts that have been read.
    ///
    /// # Errors
    /// As [`compile`](Self::compile).
    pub fn compile_with(text: &str, functions: &Functions) -> Result<Self, ExprError> {
        if let Some(wrong) = functions.wrong.first() {
            return Err(wrong.clone());
        }
        let mut engine = engine(&Limits::default());
        engine.set_strict_variables(true);
        let scope = scope(&Vars::new(), &Vars::new(), &Vars::new());
        let own = defaults::compile(&mut engine, &scope, text).map_err(|e| {
            let error = syntax(text, &e);
            match &*e.0 {
                ast::ParseErrorType::VariableUndefined(name) => undefined(name, error),
                _ => error,
            }
        })?;
        let own_names: Vec<&str> = own.iter_functions().map(|function| function.name).collect();
        let shared = functions.all().map(|(name, _)| name).filter(|name| !own_names.contains(name));
        let shared = shared.filter_map(|name| Some((name.to_owned(), functions.script_of(name)?.to_owned()))).collect();
        Ok(Self { text: text.to_owned(), shared, tree: functions.tree.merge(&own) })
    }

    /// Runs it on a thread of its own, and waits for its end.
    ///
    /// # Errors
    /// What it did wrong, which limit it reached, or what its author threw.
    pub fn run(
        &self,
        host: Arc<dyn Host>,
        vars: Vars,
        instance: Vars,
        task: Vars,
        limits: &Limits,
        cancel: Arc<AtomicBool>,
    ) -> Result<Outcome, ScriptError> {
        let (script, limits) = (self.clone(), limits.clone());
        let thread = std::thread::Builder::new().name("script".to_owned()).stack_size(STACK_BYTES);
        let running = thread.spawn(move || script.run_here(host, [vars, instance, task], &limits, cancel));
        let other = |message: &str| ScriptError {
            message: message.to_owned(),
            line: 1,
            column: 1,
            kind: ScriptErrorKind::Other,
        };
        running
            .map_err(|e| other(&format!("no thread for the script: {e}")))?
            .join()
            .map_err(|_| other("the script ended without a result; this is a fault of Campanile"))?
    }

    fn run_here(
        &self,
        host: Arc<dyn Host>,
        [vars, instance, task]: [Vars; 3],
        limits: &Limits,
        cancel: Arc<AtomicBool>,
    ) -> Result<Outcome, ScriptError> {
        let mut engine = engine(limits);
        let moment = Moment { now: host.now(), zone: host.zone() };
        values::register(&mut engine, &moment);
        values::register_strict(&mut engine);
        host::register(&mut engine, &host, limits.log_bytes);
        let until = Instant::now() + Duration::from_millis(limits.wall_ms);
        engine.on_progress(move |_| {
            let late = || (Instant::now() >= until).then(|| Dynamic::from(Stop::Deadline));
            if cancel.load(Ordering::Relaxed) { Some(Dynamic::from(Stop::Cancelled)) } else { late() }
        });
        let mut scope = scope(&vars, &instance, &task);
        engine.run_ast_with_scope(&mut scope, &self.tree).map_err(|e| self.explain(&e, limits))?;
        let left = |name: &str| {
            left(&scope, name).map_err(|message| ScriptError {
                message,
                line: 1,
                column: 1,
                kind: ScriptErrorKind::Other,
            })
        };
        Ok(Outcome { vars: left("vars")?, instance: left("instance")?, task: left("task")? })
    }

    fn explain(&self, error: &EvalAltResult, limits: &Limits) -> ScriptError {
        let (inner, position, shared) = self.innermost(error);
        let at = place(&self.text, position);
        let (message, kind) = match self.missing(inner, at.filter(|_| shared.is_none())) {
            Some(missing) => (missing, ScriptErrorKind::Unset),
            None => reason(inner, limits),
        };
        let (line, column) = ExprError { message: String::new(), help: None, at, row: None }.line_column(&self.text);
        let message = shared.map_or_else(|| message.clone(), |name| format!("in shared script `{name}`: {message}"));
        ScriptError { message, line, column, kind }
    }

    /// What was read and is not there, as it is written at this place of the text.
    fn missing(&self, error: &EvalAltResult, at: Option<usize>) -> Option<String> {
        let before: Vec<char> = self.text.chars().take(at.unwrap_or_default()).collect();
        let is_path = |c: &&char| c.is_alphanumeric() || "_.[]\"".contains(**c);
        let path = |before: &[char]| -> String {
            let path: Vec<char> = before.iter().rev().take_while(is_path).copied().collect();
            path.into_iter().rev().collect()
        };
        match error {
            EvalAltResult::ErrorPropertyNotFound(name, _) => {
                let path = path(&before);
                let path = if path.ends_with('.') { format!("{path}{name}") } else { name.clone() };
                Some(format!("`{path}` is not set; a default is given as `{path} ?? 0`"))
            }
            // `vars.total += 1`
            EvalAltResult::ErrorArithmetic(message, _) if message == values::NULL_HERE => {
                let assigns = self.text.chars().skip(at?).nth(1) == Some('=');
                let end = before.iter().rposition(|c| !c.is_whitespace())?;
                let path = Some(path(&before[..=end])).filter(|path| assigns && path.contains('.'))?;
                Some(format!("`{path}` is not set, or null; begin with `{path} = {path} ?? 0`"))
            }
            _ => None,
        }
    }

    /// The error itself, its place in this script, and the shared script that it is in.
    fn innermost<'a>(&'a self, error: &'a EvalAltResult) -> (&'a EvalAltResult, Position, Option<&'a String>) {
        let (mut inner, mut position, mut shared) = (error, error.position(), None);
        while let EvalAltResult::ErrorInFunctionCall(function, _, next, _) = inner {
            shared = shared.or_else(|| self.shared.get(function));
            inner = next;
            if shared.is_none() && !inner.position().is_none() {
                position = inner.position();
            }
        }
        (inner, position, shared)
    }
}

/// An engine with every limit, and nothing of the outside.
fn engine(limits: &Limits) -> Engine {
    let mut engine = Engine::new_raw();
    exact_numbers(&mut engine);
    limits.set(&mut engine);
    engine.set_optimization_level(OptimizationLevel::None);
    // Rhai's own operators would take null for empty text and nearly equal numbers for equal.
    engine.set_fast_operators(false);
    // What is not there is not null: a misspelt name would pass for an empty value.
    engine.set_fail_on_invalid_map_property(true);
    defaults::register(&mut engine);
    for package in [
        BasicIteratorPackage::new().as_shared_module(),
        BasicFnPackage::new().as_shared_module(),
        BasicArrayPackage::new().as_shared_module(),
        BasicMapPackage::new().as_shared_module(),
    ] {
        engine.register_global_module(package);
    }
    for symbol in ["eval", "import", "export", "curry"] {
        engine.disable_symbol(symbol);
    }
    // What a closure holds is in no limit: closures within closures double with each step.
    engine.set_allow_anonymous_fn(false);
    engine
}

/// The error itself, without the calls that led to it.
fn innermost(error: &EvalAltResult) -> &EvalAltResult {
    let mut inner = error;
    while let EvalAltResult::ErrorInFunctionCall(_, _, next, _) = inner {
        inner = next;
    }
    inner
}

fn shown(value: &Dynamic) -> String {
    values::of_dynamic(value).map_or_else(|_| value.to_string(), |v| v.to_string())
}

fn scope(vars: &Vars, instance: &Vars, task: &Vars) -> Scope<'static> {
    let mut scope = Scope::new();
    scope.push("vars", values::of_vars(vars));
    for (name, vars) in [("instance", instance), ("task", task)] {
        scope.push(name, Map::from([("vars".into(), values::of_vars(vars).into())]));
    }
    scope
}

/// What the script left in `vars`, `instance.vars` or `task.vars`.
fn left(scope: &Scope<'_>, name: &str) -> Result<Vars, String> {
    let value = scope.get_value::<Dynamic>(name).unwrap_or(Dynamic::UNIT);
    let shown = if name == "vars" { name.to_owned() } else { format!("{name}.vars") };
    let vars = match name {
        "vars" => value,
        _ => value.try_cast::<Map>().and_then(|mut map| map.remove("vars")).unwrap_or(Dynamic::UNIT),
    };
    match values::to_json(&vars, &shown)? {
        serde_json::Value::Object(map) => Ok(map),
        _ => Err(format!("{shown} was replaced; set {shown}.x instead")),
    }
}

fn reason(error: &EvalAltResult, limits: &Limits) -> (String, ScriptErrorKind) {
    use EvalAltResult as E;
    let limit = |name: &'static str, value: u64| {
        (format!("the script reached its limit `{name}` of {value}"), ScriptErrorKind::Limit(name))
    };
    let size = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
    match error {
        E::ErrorTooManyOperations(_) => limit("operations", limits.operations),
        E::ErrorTooManyVariables(_) => limit("variables", size(limits.variables)),
        E::ErrorStackOverflow(_) => limit("callDepth", size(limits.call_depth)),
        E::ErrorDataTooLarge(what, _) if what.contains("tring") => limit("stringBytes", size(limits.string_bytes)),
        E::ErrorDataTooLarge(what, _) if what.contains("map") => limit("mapProperties", size(limits.map_properties)),
        E::ErrorDataTooLarge(..) => limit("arrayItems", size(limits.array_items)),
        E::ErrorTerminated(token, _) => match token.clone().try_cast::<Stop>() {
            Some(Stop::Deadline) => (
                format!("the script ran longer than its limit `wallMs` of {}", limits.wall_ms),
                ScriptErrorKind::Deadline,
            ),
            Some(Stop::Error(message)) => (message, ScriptErrorKind::Thrown),
            Some(Stop::Host(message)) => (message, ScriptErrorKind::Host),
            Some(Stop::Unset(name)) => {
                let name = format!("option({name:?})");
                (format!("{name} is not set; a default is given as `{name} ?? \"…\"`"), ScriptErrorKind::Unset)
            }
            Some(Stop::Cancelled) | None => ("the run was stopped".to_owned(), ScriptErrorKind::Stopped),
        },
        E::ErrorRuntime(value, _) => (shown(value), ScriptErrorKind::Thrown),
        E::ErrorArithmetic(message, _) => (lowered(message), ScriptErrorKind::Other),
        E::ErrorFunctionNotFound(signature, _) => (no_function(signature), ScriptErrorKind::Other),
        other => {
            // Rhai repeats the place, which is told apart.
            let message = other.to_string();
            let message = message.split(" (line ").next().unwrap_or(&message).to_owned();
            (lowered(&message), ScriptErrorKind::Other)
        }
    }
}

/// Rhai names the types too: `lowr (string)`, `* (string, i64)`.
fn no_function(signature: &str) -> String {
    let (name, types) = signature.split_once(' ').unwrap_or((signature, "()"));
    if !name.starts_with(char::is_alphabetic) {
        return format!("`{name}` does not take {types}");
    }
    match foreign::function(name).filter(|_| FUNCTIONS.iter().all(|function| function.name != name)) {
        Some(help) => format!("there is no function `{name}`; {help}"),
        None => format!("there is no function `{name}` of {types}"),
    }
}

fn undefined(name: &str, error: ExprError) -> ExprError {
    let help = match name {
        "vars" | "instance" | "task" => format!("a function sees its parameters only: pass `{name}` to it"),
        _ => format!("write `vars.{name}`, or `let {name} = …` first"),
    };
    ExprError { message: format!("there is no variable `{name}`"), help: Some(help), ..error }
}

/// Reads one expression; nothing is computed beforehand.
pub(crate) fn parse_expression(text: &str) -> Result<ast::AST, ast::ParseError> {
    let mut engine = Engine::new_raw();
    exact_numbers(&mut engine);
    engine.set_optimization_level(OptimizationLevel::None);
    engine.set_max_expr_depths(crate::expr::DEPTH_MAX, 0);
    engine.compile_expression(text)
}

/// Whether a column of this name can be written as it is.
pub(crate) fn is_identifier(name: &str) -> bool {
    matches!(parse_expression(name).map(|tree| tree.statements().to_vec()).as_deref(),
        Ok([ast::Stmt::Expr(expr)]) if matches!(&**expr, ast::Expr::Variable(v, ..) if v.1 == name))
}

/// `50.25` is a decimal number, to the digit.
#[expect(deprecated, reason = "Rhai calls it volatile; the version is pinned")]
fn exact_numbers(engine: &mut Engine) {
    engine.on_parse_token(|token, _, _| exact(token));
}

fn exact(token: rhai::Token) -> rhai::Token {
    match &token {
        rhai::Token::FloatConstant(float) => match number(&float.1) {
            Some(Literal::Decimal(decimal)) => rhai::Token::DecimalConstant(Box::new((decimal, float.1.clone()))),
            _ => token,
        },
        _ => token,
    }
}
