//! Defaults in scripts: `vars.x ?? d`, `option(name) ?? d` and `coalesce(vars.x, d)`.
//!
//! To read what is not there is an error. Rhai evaluates what stands before `??` by itself, so the error would come before
//! the default. A script that gives defaults is therefore parsed twice: the first tree tells where they are given, and
//! for the second the words that stand there are exchanged for others, which give null: `vars` by a copy that is read
//! leniently, `option` by a function of ours. All places stay as they are in the text.

use std::collections::HashMap;

use super::ast::{self, ASTFlags};
use super::rhai::{
    ASTNode, Dynamic, Engine, EvalAltResult, ImmutableString, Map, ParseError, Position, Scope, Stmt, Token,
};
use crate::expr::COALESCE;

/// As `option`, where a default follows.
pub(super) const OPTION_OR_NULL: &str = "option_or_null";
/// Stands between a variable's name and how many names are read within it; no author can write such a name.
const MARK: char = '?';

/// What stands before a default: the word by which it is exchanged, by line and column.
type Marks = HashMap<(usize, usize), String>;

/// A variable of which the last name that is read within may be missing.
#[derive(Debug, Clone)]
struct Lenient {
    map: Map,
    /// How many names are read, this one included.
    names: usize,
}

/// Parses a script in which defaults are given.
///
/// # Errors
/// If Rhai cannot read it.
pub(super) fn compile(engine: &mut Engine, scope: &Scope<'_>, text: &str) -> Result<ast::AST, ParseError> {
    parse(engine, |engine| engine.compile_with_scope(scope, text))
}

/// Parses an expression in which defaults are given.
///
/// # Errors
/// If Rhai cannot read it.
pub(super) fn compile_expression(engine: &mut Engine, text: &str) -> Result<ast::AST, ParseError> {
    parse(engine, |engine| engine.compile_expression(text))
}

fn parse(
    engine: &mut Engine,
    compile: impl Fn(&Engine) -> Result<ast::AST, ParseError>,
) -> Result<ast::AST, ParseError> {
    let tree = compile(engine)?;
    let marks = marks(&tree);
    if marks.is_empty() {
        return Ok(tree);
    }
    let is_strict = engine.strict_variables();
    engine.set_strict_variables(false);
    tokens(engine, marks);
    let tree = compile(engine);
    tokens(engine, Marks::new());
    engine.set_strict_variables(is_strict);
    tree
}

/// Makes words of the text into tokens: decimal numbers to the digit, and the marked ones exchanged.
#[expect(deprecated, reason = "Rhai calls it volatile; the version is pinned")]
fn tokens(engine: &mut Engine, marks: Marks) {
    engine.on_parse_token(move |token, position, _| {
        let place = position.line().zip(position.position());
        match (token, place.and_then(|place| marks.get(&place))) {
            (Token::Identifier(_), Some(word)) => Token::Identifier(Box::new(word.as_str().into())),
            (token, _) => super::exact(token),
        }
    });
}

/// Lets the copies be read by which variables are exchanged.
#[expect(deprecated, reason = "Rhai calls it volatile; the version is pinned")]
pub(super) fn register(engine: &mut Engine) {
    engine.on_var(|name, _, cx| {
        let Some((root, names)) = name.split_once(MARK) else { return Ok(None) };
        let Some(value) = cx.scope().get(root) else {
            return Err(EvalAltResult::ErrorVariableNotFound(root.to_owned(), Position::NONE).into());
        };
        let value = value.flatten_clone();
        Ok(Some(lenient(value, names.parse().unwrap_or(1))))
    });
    engine.register_indexer_get(|lenient_map: &mut Lenient, name: ImmutableString| {
        let Lenient { map, names } = lenient_map;
        match map.get(name.as_str()) {
            Some(value) if *names > 1 => Ok(lenient(value.flatten_clone(), *names - 1)),
            Some(value) => Ok(value.clone()),
            None if *names == 1 => Ok(Dynamic::UNIT),
            None => Err(Box::new(EvalAltResult::ErrorPropertyNotFound(name.to_string(), Position::NONE))),
        }
    });
}

fn lenient(value: Dynamic, names: usize) -> Dynamic {
    match value.try_cast_result::<Map>() {
        Ok(map) => Dynamic::from(Lenient { map, names }),
        Err(value) => value,
    }
}

fn marks(tree: &ast::AST) -> Marks {
    let mut marks = Marks::new();
    tree.walk(&mut |path| {
        with_default(path).iter().for_each(|expr| mark(expr, &mut marks));
        true
    });
    marks
}

/// The parts of a node for which it gives a default.
pub(super) fn with_default<'a>(path: &'a [ASTNode<'a>]) -> Vec<&'a ast::Expr> {
    let all: &[ast::Expr] = match path.last() {
        Some(ASTNode::Expr(ast::Expr::Coalesce(all, _))) => all,
        Some(ASTNode::Expr(ast::Expr::FnCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _)))
            if call.name == COALESCE =>
        {
            &call.args
        }
        _ => &[],
    };
    all.split_last().map_or_else(Vec::new, |(_, before)| before.iter().collect())
}

fn mark(expr: &ast::Expr, marks: &mut Marks) {
    let mut put = |position: &Position, word: String| {
        marks.extend(position.line().zip(position.position()).map(|place| (place, word)));
    };
    match expr {
        ast::Expr::FnCall(call, position) if call.name == "option" && call.args.len() == 1 => {
            put(position, OPTION_OR_NULL.to_owned());
        }
        _ => {
            let links = links(expr);
            if let Some((ast::Expr::Variable(root, _, position), names)) = links.split_first().map(|(l, r)| (l.expr, r))
                && !names.is_empty()
                && names.iter().all(|link| link.is_index || matches!(link.expr, ast::Expr::Property(..)))
            {
                put(position, format!("{}{MARK}{}", root.1, names.len()));
            }
        }
    }
}

/// One part of `a.b["c"].d()`.
pub(super) struct Link<'a> {
    pub(super) expr: &'a ast::Expr,
    /// Whether it stands in brackets.
    pub(super) is_index: bool,
}

/// The parts of `a.b["c"].d()`, from the left; of anything else, itself.
pub(super) fn links(expr: &ast::Expr) -> Vec<Link<'_>> {
    let (mut links, mut rest, mut is_index) = (Vec::new(), expr, false);
    while let ast::Expr::Dot(pair, flags, _) | ast::Expr::Index(pair, flags, _) = rest {
        links.push(Link { expr: &pair.lhs, is_index });
        is_index = matches!(rest, ast::Expr::Index(..));
        rest = &pair.rhs;
        // What stands in the last brackets may be such an expression itself, and is no part of this one.
        if flags.contains(ASTFlags::BREAK) {
            break;
        }
    }
    links.push(Link { expr: rest, is_index });
    links
}
