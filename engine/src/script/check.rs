//! All that is wrong with a script, before it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::defaults::OPTION_OR_NULL;
use super::functions::Functions;
use super::host::{self, Host, Level};
use super::recovery::{ERRORS_MAX, Recovered};
use super::uses::{Call, Uses};
use super::{Limits, ast, engine, values};
use crate::expr::foreign;
use crate::expr::parse::{nearest, place};
use crate::expr::{ExprError, FUNCTIONS, Moment, Variable};

/// What a check finds of a script.
#[derive(Debug, Default)]
pub struct Checked {
    /// All that is wrong.
    pub errors: Vec<ExprError>,
    /// Variables that it reads without a default and does not set itself, each time with its place.
    pub reads: Vec<(Variable, Option<usize>)>,
    /// Variables that it sets.
    pub sets: BTreeSet<Variable>,
    /// Whether it may set any others, or is not understood.
    pub sets_any: bool,
}

/// Words that Rhai itself calls like functions.
const WORDS: [&str; 8] = ["Fn", "call", "is_def_fn", "is_def_var", "is_shared", "type_of", "tag", "set_tag"];

/// Finds all that is wrong with a script which has these functions besides its own.
pub fn check(text: &str, functions: &Functions) -> Checked {
    let Recovered { tree, mut errors, is_whole, defines } = Recovered::of(text);
    errors.extend(functions.wrong.first().cloned());
    let Some(tree) = tree else { return Checked { errors, sets_any: true, ..Checked::default() } };
    let uses = Uses::of(&tree);
    let unknown = unknown_calls(text, &tree, &uses.calls, functions, &defines);
    errors.extend(unknown.into_iter().take(ERRORS_MAX));
    let reads = uses.reads.into_iter().map(|(variable, at)| (variable, place(text, at)));
    // A statement that is not understood may have set what later ones read.
    let reads: Vec<_> = if is_whole { reads.collect() } else { Vec::new() };
    Checked { errors, reads, sets: uses.sets, sets_any: uses.sets_any || !is_whole }
}

/// The functions that are called and not there.
fn unknown_calls(
    text: &str,
    tree: &ast::AST,
    calls: &[Call],
    functions: &Functions,
    defines: &BTreeSet<String>,
) -> Vec<ExprError> {
    let mut scripted: BTreeMap<&str, BTreeSet<usize>> = functions.all().map(|(n, p)| (n, p.clone())).collect();
    for function in tree.iter_functions() {
        scripted.entry(function.name).or_default().insert(function.params.len());
    }
    // A function that is kept in a variable may be called like a method.
    let has_pointers = calls.iter().any(|call| call.name == "Fn");
    let is_known = |call: &Call| {
        WORDS.contains(&call.name.as_str())
            || defines.contains(&call.name)
            || (has_pointers && call.is_method)
            || (native().contains(&call.name) && call.name != OPTION_OR_NULL)
    };
    let wrong = calls.iter().filter(|call| !is_known(call)).filter_map(|call| {
        let (message, help) = match scripted.get(call.name.as_str()) {
            Some(params) if params.contains(&call.values) => return None,
            // What is wrong in the shared scripts hides what they have.
            None if !functions.wrong.is_empty() => return None,
            Some(params) => {
                let takes = params.iter().map(usize::to_string).collect::<Vec<_>>().join(" or ");
                (format!("`{}` takes {takes} values, not {}", call.name, call.values), None)
            }
            None => {
                let names = scripted.keys().copied().chain(FUNCTIONS.iter().map(|function| function.name));
                let near = nearest(&call.name, names.chain(native().iter().map(String::as_str)));
                let help = foreign::function(&call.name).or(near.map(|near| format!("did you mean `{near}`?")));
                (format!("there is no function `{}`", call.name), help)
            }
        };
        Some(ExprError { message, help, at: place(text, call.at), row: None })
    });
    wrong.collect()
}

/// The names of all functions that every script has.
fn native() -> &'static BTreeSet<String> {
    static NATIVE: OnceLock<BTreeSet<String>> = OnceLock::new();
    NATIVE.get_or_init(|| {
        let limits = Limits::default();
        let mut engine = engine(&limits);
        values::register(&mut engine, &Moment { now: Timestamp::UNIX_EPOCH, zone: TimeZone::UTC });
        let nothing: Arc<dyn Host> = Arc::new(Nothing);
        host::register(&mut engine, &nothing, limits.log_bytes);
        let names = engine.collect_fn_metadata(None, |function| Some(function.metadata.name.to_string()), true);
        names.into_iter().filter(|name| name.starts_with(char::is_alphabetic)).collect()
    })
}

/// Nothing is run with it.
struct Nothing;

impl Host for Nothing {
    fn option(&self, _: &str) -> Result<Option<String>, String> {
        Ok(None)
    }

    fn set_option(&self, _: &str, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn log(&self, _: Level, _: &str) {}

    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
}
