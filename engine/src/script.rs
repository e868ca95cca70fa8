//! The one door to Rhai: scripts, with every limit set, and the reading of expressions.
//!
//! A script reads and sets `vars`, `instance.vars`, `task.vars` and options, and writes to the log. It has no file, no
//! network, no `eval`, `import` or `sleep`, and does the same when it is run again.

mod limits;
mod record;
mod values;

use std::any::TypeId;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ::rhai::packages::{BasicArrayPackage, BasicFnPackage, BasicIteratorPackage, BasicMapPackage, Package};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use rhai::{Dynamic, Engine, EvalAltResult, ImmutableString, Map, OptimizationLevel, Position, Scope};

use crate::event::Vars;
use crate::expr::foreign;
use crate::expr::parse::{lowered, place, syntax};
use crate::expr::{ExprError, FUNCTIONS, Literal, Moment, Value, number};
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

/// What a script sees of the outside.
pub trait Host: Send + Sync + 'static {
    /// An option's value.
    ///
    /// # Errors
    /// Why it cannot be read; the script ends.
    fn option(&self, name: &str) -> Result<Option<String>, String>;

    /// Sets an option, at once.
    ///
    /// # Errors
    /// Why it cannot be set; the script ends.
    fn set_option(&self, name: &str, value: &str) -> Result<(), String>;

    /// Writes to the run's log.
    fn log(&self, level: Level, message: &str);

    /// What `now()` gives; asked once.
    fn now(&self) -> Timestamp;

    /// The workflow's time zone.
    fn zone(&self) -> TimeZone {
        TimeZone::UTC
    }
}

/// How much a line of the log matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// `log_info`, `print`
    Info,
    /// `log_warning`
    Warning,
    /// `log_error`, which also ends the script
    Error,
}

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
    /// Anything else that the script does wrong.
    Other,
}

impl Script {
    /// Reads a script, with the functions of the shared scripts (name and text each).
    ///
    /// # Errors
    /// The first place where it cannot be read; what is wrong in a shared script names that script and has no place.
    pub fn compile(text: &str, library: &[(String, String)]) -> Result<Self, ExprError> {
        let mut engine = engine(&Limits::default());
        engine.set_strict_variables(true);
        let mut tree = ast::AST::empty();
        let mut functions = BTreeMap::new();
        for (name, text) in library {
            let shared = engine.compile(text).map_err(|e| {
                let error = syntax(text, &e);
                let (line, column) = error.line_column(text);
                let message = format!("shared script `{name}`, line {line}, column {column}: {}", error.message);
                ExprError { message, at: Some(0), ..error }
            })?;
            functions.extend(shared.iter_functions().map(|f| (f.name.to_owned(), name.clone())));
            tree = tree.merge(&shared.clone_functions_only());
        }
        let scope = scope(&Vars::new(), &Vars::new(), &Vars::new());
        let own = engine.compile_with_scope(&scope, text).map_err(|e| {
            let error = syntax(text, &e);
            match &*e.0 {
                ast::ParseErrorType::VariableUndefined(name) => undefined(name, error),
                _ => error,
            }
        })?;
        own.iter_functions().for_each(|f| drop(functions.remove(f.name)));
        Ok(Self { text: text.to_owned(), shared: functions, tree: tree.merge(&own) })
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
        register_host(&mut engine, &host, limits.log_bytes);
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
        let (line, column) = ExprError { message: String::new(), help: None, at, row: None }.line_column(&self.text);
        let (message, kind) = reason(inner, limits);
        let message = shared.map_or_else(|| message.clone(), |name| format!("in shared script `{name}`: {message}"));
        ScriptError { message, line, column, kind }
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

/// Why a script ends without that it could catch it.
#[derive(Debug, Clone)]
enum Stop {
    Deadline,
    Cancelled,
    Error(String),
    Host(String),
}

fn stop(stop: Stop) -> Box<EvalAltResult> {
    Box::new(EvalAltResult::ErrorTerminated(Dynamic::from(stop), Position::NONE))
}

/// An engine with every limit, and nothing of the outside.
fn engine(limits: &Limits) -> Engine {
    let mut engine = Engine::new_raw();
    exact_numbers(&mut engine);
    limits.set(&mut engine);
    engine.set_optimization_level(OptimizationLevel::None);
    // Rhai's own operators would take null for empty text and nearly equal numbers for equal.
    engine.set_fast_operators(false);
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

fn register_host(engine: &mut Engine, host: &Arc<dyn Host>, log_bytes: usize) {
    let any = TypeId::of::<Dynamic>();
    let text = TypeId::of::<ImmutableString>();
    let log = Arc::new(Log { host: Arc::clone(host), left: AtomicUsize::new(log_bytes) });
    for (name, level) in [("log_info", Level::Info), ("log_warning", Level::Warning), ("log_error", Level::Error)] {
        let log = Arc::clone(&log);
        engine.register_raw_fn(name, [any], move |_, args| {
            let message = shown(args[0]);
            log.write(level, &message);
            if level == Level::Error { Err(stop(Stop::Error(message))) } else { Ok(()) }
        });
    }
    let (print, debug) = (Arc::clone(&log), log);
    engine.on_print(move |message| print.write(Level::Info, message));
    engine.on_debug(move |message, _, _| debug.write(Level::Info, message));

    let reader = Arc::clone(host);
    engine.register_raw_fn("option", [text], move |_, args| match reader.option(&args[0].to_string()) {
        Ok(value) => Ok(value.map_or(Dynamic::UNIT, Dynamic::from)),
        Err(message) => Err(stop(Stop::Host(message))),
    });
    let writer = Arc::clone(host);
    engine.register_raw_fn("set_option", [text, any], move |_, args| {
        let value = match values::of_dynamic(args[1]).map_err(values::failed)? {
            Value::Null => return Err(values::failed("an option cannot be set to null")),
            // As the automatic index writes its options.
            Value::DateTime(at) => at.strftime("%Y/%m/%d %H:%M:%S").to_string(),
            value => value.to_string(),
        };
        writer.set_option(&args[0].to_string(), &value).map_err(|message| stop(Stop::Host(message)))
    });
}

/// The log, until the script has written all that it may.
struct Log {
    host: Arc<dyn Host>,
    left: AtomicUsize,
}

impl Log {
    fn write(&self, level: Level, message: &str) {
        let taken =
            self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(message.len()));
        match taken {
            Ok(_) => self.host.log(level, message),
            // Once, and then nothing any more.
            Err(0) => {}
            Err(_) => {
                self.left.store(0, Ordering::Relaxed);
                self.host.log(Level::Warning, "the script has written all that it may to the log (logBytes)");
            }
        }
    }
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
    engine.on_parse_token(|token, _, _| match &token {
        rhai::Token::FloatConstant(float) => match number(&float.1) {
            Some(Literal::Decimal(decimal)) => rhai::Token::DecimalConstant(Box::new((decimal, float.1.clone()))),
            _ => token,
        },
        _ => token,
    });
}
