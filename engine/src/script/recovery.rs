//! Reads a script to its end although statements of it are wrong: each that is not understood is left out, so that the
//! next ones are read too.

use std::collections::BTreeSet;

use super::ast::{AST, ParseError, ParseErrorType};
use super::{Limits, engine, scope, undefined};
use crate::event::Vars;
use crate::expr::ExprError;
use crate::expr::parse::syntax;

/// How many errors of one script are told.
pub(super) const ERRORS_MAX: usize = 20;
/// How often one script is parsed for them.
const ROUNDS_MAX: usize = 2 * ERRORS_MAX;

/// A script without the statements that are not understood.
pub(super) struct Recovered {
    /// What is left; nothing where its end was not found.
    pub(super) tree: Option<AST>,
    pub(super) errors: Vec<ExprError>,
    /// Whether nothing was left out.
    pub(super) is_whole: bool,
    /// Names that the statements left out seem to define.
    pub(super) defines: BTreeSet<String>,
}

impl Recovered {
    pub(super) fn of(text: &str) -> Self {
        let mut found = Self { tree: None, errors: Vec::new(), is_whole: true, defines: BTreeSet::new() };
        let mut left: Vec<char> = text.chars().collect();
        let mut undefined_names = BTreeSet::new();
        for _ in 0..ROUNDS_MAX {
            let now: String = left.iter().collect();
            let error = match found.parse(&now, &undefined_names) {
                Ok(tree) => {
                    found.tree = Some(tree);
                    break;
                }
                Err(error) => error,
            };
            let told = syntax(text, &error);
            if let ParseErrorType::VariableUndefined(name) = &*error.0 {
                // As if it were there, so that the rest is read.
                if undefined_names.insert(name.clone()) {
                    found.errors.push(undefined(name, told));
                    continue;
                }
            }
            let at = told.at;
            if !matches!(&*error.0, ParseErrorType::VariableUndefined(_)) {
                found.errors.push(told);
            }
            let Some(statement) = at.filter(|_| !is_open(&error)).and_then(|at| statement(&left, at)) else { break };
            found.is_whole = false;
            found.defines.extend(definitions(&left[statement.clone()]));
            left[statement].iter_mut().filter(|c| **c != '\n').for_each(|c| *c = ' ');
        }
        found
    }

    fn parse(&self, text: &str, undefined: &BTreeSet<String>) -> Result<AST, ParseError> {
        let mut engine = engine(&Limits::default());
        engine.set_strict_variables(true);
        let mut scope = scope(&Vars::new(), &Vars::new(), &Vars::new());
        for name in self.defines.iter().chain(undefined) {
            scope.push(name.as_str(), ());
        }
        engine.compile_with_scope(&scope, text)
    }
}

/// Whether something was opened and not closed, so that where the next statement begins cannot be told.
fn is_open(error: &ParseError) -> bool {
    use ParseErrorType::{BadInput, UnexpectedEOF};
    match &*error.0 {
        UnexpectedEOF => true,
        BadInput(error) => error.to_string().contains("not terminated"),
        _ => false,
    }
}

/// The statement around a place: from the end of the one before, to its own semicolon or the end of its block.
fn statement(text: &[char], at: usize) -> Option<std::ops::Range<usize>> {
    let code = code(text);
    let is_end = |place: usize| code[place] && matches!(text[place], ';' | '{' | '}');
    let from = (0..at).rev().find(|place| is_end(*place)).map_or(0, |end| end + 1);
    let mut depth = 0_usize;
    for place in from..text.len() {
        match text[place] {
            _ if !code[place] => {}
            '(' | '[' | '{' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            '}' if depth == 0 => return (place > from && place >= at).then_some(from..place),
            '}' => {
                depth -= 1;
                let rest: String = text[place + 1..].iter().take(20).collect();
                if depth == 0 && place >= at && !rest.trim_start().starts_with("else") {
                    return Some(from..place + 1);
                }
            }
            ';' if depth == 0 && place >= at => return Some(from..place + 1),
            _ => {}
        }
    }
    (from < text.len()).then_some(from..text.len())
}

/// Which characters are code, rather than text or a comment.
fn code(text: &[char]) -> Vec<bool> {
    let mut code = vec![true; text.len()];
    let mut place = 0;
    while place < text.len() {
        let next = text.get(place + 1).copied();
        let end = match (text[place], next) {
            ('"', _) => quoted(text, place, '"'),
            ('`', _) => quoted(text, place, '`'),
            ('/', Some('/')) => text[place..].iter().position(|c| *c == '\n').map_or(text.len(), |n| place + n),
            ('/', Some('*')) => {
                let close = text[place + 2..].windows(2).position(|pair| pair == ['*', '/']);
                close.map_or(text.len(), |n| place + n + 4)
            }
            _ => {
                place += 1;
                continue;
            }
        };
        code[place..end].fill(false);
        place = end;
    }
    code
}

fn quoted(text: &[char], from: usize, quote: char) -> usize {
    let mut place = from + 1;
    while place < text.len() {
        match text[place] {
            '\\' => place += 1,
            c if c == quote => return place + 1,
            _ => {}
        }
        place += 1;
    }
    text.len()
}

/// The names after `let`, `const`, `fn` and `for`.
fn definitions(text: &[char]) -> Vec<String> {
    let text: String = text.iter().collect();
    let mut words = text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
    let mut names = Vec::new();
    while let Some(word) = words.next() {
        if matches!(word, "let" | "const" | "fn" | "for") {
            names.extend(words.next().map(str::to_owned));
        }
    }
    names
}
