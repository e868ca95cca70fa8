//! From an author's text to [`Expr`]: which nodes of Rhai's tree an expression may have.

use super::foreign;
use super::functions::Function;
use super::reads::COALESCE;
use super::value::{Value, civil_date, clock_time, date_time};
use super::{Arithmetic, Comparison, Expr, ExprError, Literal, Shared, Variable};
use crate::script::ast::{self, ASTFlags, FnCallExpr, ParseErrorType, Position, Stmt};

/// The longest expression, in bytes.
pub const TEXT_BYTES_MAX: usize = 8 * 1024;
/// How deep expressions may be nested; `a + b + c` is two deep.
pub const DEPTH_MAX: usize = 100;

/// An expression with the places of its parts in the text.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The expression.
    pub expr: Expr,
    /// The place of each part, in characters, in the order of [`Expr::visit`].
    pub places: Vec<usize>,
}

/// Reads an expression.
pub(super) fn parse(text: &str) -> Result<Parsed, ExprError> {
    if text.len() > TEXT_BYTES_MAX {
        let message = format!("the expression is {} bytes long; {TEXT_BYTES_MAX} are allowed", text.len());
        return Err(error(message, "put the longer part into a script activity", Some(0)));
    }
    if text.trim().is_empty() {
        return Err(error("the expression is empty", "write a condition such as `statecode == 0`", None));
    }
    let parser = Parser { text };
    let tree = crate::script::parse_expression(text).map_err(|e| parser.syntax(&e))?;
    match tree.statements() {
        [Stmt::Expr(expr)] => parser.expr(expr, 0),
        _ => Err(error("this is not one expression", STATEMENTS, Some(0))),
    }
}

const STATEMENTS: &str = "statements are for script activities; an expression is one value, such as `lower(name)`";

const STATEMENT_WORDS: &[&str] =
    &["let", "const", "fn", "while", "loop", "for", "do", "return", "throw", "try", "import", "switch", "break"];

struct Parser<'a> {
    text: &'a str,
}

impl Parser<'_> {
    fn expr(&self, expr: &ast::Expr, depth: usize) -> Result<Parsed, ExprError> {
        let at = self.place(expr.position());
        if depth > DEPTH_MAX {
            let message = format!("the expression is nested more than {DEPTH_MAX} deep");
            return Err(error(message, "split it over several activities", Some(at)));
        }
        let literal = |literal| Ok(leaf(Expr::Literal(literal), at));
        match expr {
            ast::Expr::Unit(_) => literal(Literal::Null),
            ast::Expr::BoolConstant(v, _) => literal(Literal::Bool(*v)),
            ast::Expr::IntegerConstant(v, _) => literal(Literal::Int(*v)),
            ast::Expr::FloatConstant(v, _) => literal(Literal::Float(**v)),
            ast::Expr::StringConstant(v, _) => literal(Literal::Text(v.to_string())),
            ast::Expr::DynamicConstant(v, _) if let Ok(decimal) = v.as_decimal() => literal(Literal::Decimal(decimal)),
            ast::Expr::CharConstant(v, _) => Err(error(
                format!("'{v}' is a single character, which never equals text"),
                format!("write \"{v}\""),
                Some(at),
            )),
            ast::Expr::Variable(v, ..) => match v.1.as_str() {
                "vars" | "instance" | "task" => {
                    let help = "write `vars.x`, `instance.vars.x` or `task.vars.x`";
                    Err(error(format!("`{}` is read by name", v.1), help, Some(at)))
                }
                name => Ok(leaf(Expr::Field(name.to_owned()), at)),
            },
            ast::Expr::And(all, _) => Ok(many(Expr::And, at, self.all(all.iter(), depth)?)),
            ast::Expr::Or(all, _) => Ok(many(Expr::Or, at, self.all(all.iter(), depth)?)),
            ast::Expr::Coalesce(all, _) => self.call(COALESCE, self.all(all.iter(), depth)?, at),
            ast::Expr::InterpolatedString(all, _) => self.call("concat", self.all(all.iter(), depth)?, at),
            ast::Expr::Stmt(block) => self.block(block.statements(), at, depth + 1),
            ast::Expr::FnCall(call, _) if call.is_operator_call() => self.operator(call, at, depth),
            ast::Expr::FnCall(call, _) => self.named(call, at, depth),
            ast::Expr::Dot(..) | ast::Expr::Index(..) => self.chain(expr, depth),
            ast::Expr::Array(..) => {
                Err(error("a list stands on the right of `in` only", "write `x in [1, 2]`", Some(at)))
            }
            _ => Err(error("this is not for expressions", STATEMENTS, Some(at))),
        }
    }

    fn all<'e>(&self, all: impl Iterator<Item = &'e ast::Expr>, depth: usize) -> Result<Vec<Parsed>, ExprError> {
        all.map(|expr| self.expr(expr, depth + 1)).collect()
    }

    /// `{ a }`, the branch of an `if`.
    fn block(&self, statements: &[Stmt], at: usize, depth: usize) -> Result<Parsed, ExprError> {
        match statements {
            [] | [Stmt::Noop(_)] => Ok(leaf(Expr::Literal(Literal::Null), at)),
            [Stmt::Expr(expr)] => self.expr(expr, depth),
            [Stmt::FnCall(call, pos)] if !call.is_operator_call() => self.named(call, self.place(*pos), depth),
            [Stmt::FnCall(call, pos)] => self.operator(call, self.place(*pos), depth),
            [Stmt::Block(block)] => self.block(block.statements(), at, depth + 1),
            [Stmt::If(flow, pos)] if depth <= DEPTH_MAX => {
                let at = self.place(*pos);
                let parts = vec![
                    self.expr(&flow.expr, depth + 1)?,
                    self.block(flow.body.statements(), at, depth + 1)?,
                    self.block(flow.branch.statements(), at, depth + 1)?,
                ];
                Ok(choice(at, parts))
            }
            _ => Err(error("a branch of an expression is one value", STATEMENTS, Some(at))),
        }
    }

    fn operator(&self, call: &FnCallExpr, at: usize, depth: usize) -> Result<Parsed, ExprError> {
        let args = self.all(call.args.iter(), depth)?;
        if let [one] = args.as_slice() {
            let op: fn(Box<Expr>) -> Expr = match (call.name.as_str(), &one.expr) {
                ("!", _) => Expr::Not,
                ("-", Expr::Literal(Literal::Decimal(v))) => return Ok(leaf(Expr::Literal(Literal::Decimal(-*v)), at)),
                ("-", _) => Expr::Negative,
                ("+", _) => return Ok(one.clone()),
                _ => return Err(no_operator(&call.name, Some(at))),
            };
            return Ok(many(|parts| op(Box::new(one_of(parts))), at, args));
        }
        let compare = |op| move |a, b| Expr::Compare(op, a, b);
        let reckon = |op| move |a, b| Expr::Arithmetic(op, a, b);
        Ok(match call.name.as_str() {
            "==" => two(compare(Comparison::Eq), at, args),
            "!=" => two(compare(Comparison::Ne), at, args),
            "<" => two(compare(Comparison::Lt), at, args),
            "<=" => two(compare(Comparison::Le), at, args),
            ">" => two(compare(Comparison::Gt), at, args),
            ">=" => two(compare(Comparison::Ge), at, args),
            "+" => two(reckon(Arithmetic::Add), at, args),
            "-" => two(reckon(Arithmetic::Sub), at, args),
            "*" => two(reckon(Arithmetic::Mul), at, args),
            "/" => two(reckon(Arithmetic::Div), at, args),
            "%" => two(reckon(Arithmetic::Rem), at, args),
            other => return Err(no_operator(other, Some(at))),
        })
    }

    fn is_in(&self, item: &ast::Expr, list: &ast::Expr, at: usize, depth: usize) -> Result<Parsed, ExprError> {
        let item = self.expr(item, depth + 1)?;
        if let ast::Expr::Array(all, _) = list {
            let mut parts = vec![item];
            parts.extend(self.all(all.iter(), depth)?);
            return Ok(many(
                |mut parts| {
                    let item = parts.remove(0);
                    Expr::In(item.into(), parts)
                },
                at,
                parts,
            ));
        }
        Err(error("`in` looks into a list", "write `x in [1, 2]`", Some(at)))
    }

    /// A call by name: a field, an option or a function.
    fn named(&self, call: &FnCallExpr, at: usize, depth: usize) -> Result<Parsed, ExprError> {
        if call.is_qualified() || call.capture_parent_scope {
            return Err(error(
                format!("`{}` cannot be called this way", call.name),
                "functions are called as `f(x)`",
                Some(at),
            ));
        }
        let name = call.name.as_str();
        // Rhai reads `x in [a, b]` as this.
        if let ("contains", [list @ ast::Expr::Array(..), item]) = (name, call.args.as_slice()) {
            return self.is_in(item, list, at, depth);
        }
        // `x in ("a")` is no list, and would look for `x` within the text.
        if let ("contains", [list, _]) = (name, call.args.as_slice())
            && list.is_constant()
            && self.text.chars().skip(at).collect::<String>().starts_with("in")
        {
            return Err(error("`in` looks into a list", "write `x in [1, 2]`, with square brackets", Some(at)));
        }
        if !matches!(name, "field" | "option" | "has_option") {
            return self.call(name, self.all(call.args.iter(), depth)?, at);
        }
        let (text, default) = match call.args.as_slice() {
            [ast::Expr::StringConstant(text, _)] => (text.to_string(), None),
            [ast::Expr::StringConstant(text, _), default] if name == "option" => (text.to_string(), Some(default)),
            _ => {
                let help = format!("write `{name}(\"…\")` with the name itself in quotes");
                return Err(error(format!("`{name}` takes one constant name"), help, Some(at)));
            }
        };
        let read = match name {
            "field" => Expr::Field(text),
            "option" => Expr::Variable(Variable::Option(text)),
            _ => Expr::Variable(Variable::HasOption(text)),
        };
        match default {
            None => Ok(leaf(read, at)),
            Some(default) => self.call(COALESCE, vec![leaf(read, at), self.expr(default, depth + 1)?], at),
        }
    }

    fn call(&self, name: &str, args: Vec<Parsed>, at: usize) -> Result<Parsed, ExprError> {
        let Some(function) = Function::named(name) else {
            // Whether the shared scripts have it is known where it is bound.
            let shared = Shared { name: name.to_owned(), gives: None };
            return Ok(many(|parts| Expr::Shared(shared, parts), at, args));
        };
        let (min, max) = (function.args_min(), function.args_max());
        if args.len() < min || args.len() > max {
            let message = format!("`{name}` takes {}, not {}", count(min, max), args.len());
            return Err(error(message, format!("write `{}`", function.signature()), Some(at)));
        }
        if let [Parsed { expr: Expr::Literal(Literal::Text(text)), places }] = args.as_slice()
            && let Some(folded) = constant(name, text)
        {
            let (literal, example) = folded;
            return match literal {
                Some(literal) => Ok(leaf(Expr::Literal(literal), at)),
                None => {
                    let help = format!("write `{name}(\"{example}\")`");
                    Err(error(format!("\"{text}\" is not a {name}"), help, places.first().copied()))
                }
            };
        }
        Ok(many(|parts| Expr::Call(function, parts), at, args))
    }

    /// `a.b`, `a.f(x)`, `a["b"]`: a head and links, read from the left.
    fn chain(&self, expr: &ast::Expr, depth: usize) -> Result<Parsed, ExprError> {
        let mut links = Vec::new();
        let mut rest = expr;
        while let ast::Expr::Dot(pair, flags, pos) | ast::Expr::Index(pair, flags, pos) = rest {
            if flags.contains(ASTFlags::NEGATED) {
                let help = "write `.`: our functions take null";
                return Err(error("`?.` is not for expressions", help, Some(self.place(*pos))));
            }
            links.push(&pair.lhs);
            rest = &pair.rhs;
            // What stands in brackets is no link of the chain.
            if matches!(links.last(), Some(ast::Expr::Dot(..) | ast::Expr::Index(..))) && links.len() > 1 {
                break;
            }
        }
        links.push(rest);
        let (mut value, used) = self.head(&links, depth)?;
        for (i, link) in links[used..].iter().enumerate() {
            let at = self.place(link.position());
            value = match link {
                ast::Expr::MethodCall(call, _) if Function::named(&call.name).is_none() => {
                    return Err(method(&call.name, at));
                }
                ast::Expr::MethodCall(call, _) if depth + i <= DEPTH_MAX => {
                    let mut args = vec![value];
                    args.extend(self.all(call.args.iter(), depth)?);
                    self.call(&call.name, args, at)?
                }
                ast::Expr::Property(property, _) => {
                    let help = match Function::named(&property.2) {
                        Some(function) => format!("write `.{}()`", function.name),
                        None => format!("a column with a dot in its name is written `field(\"….{}\")`", property.2),
                    };
                    return Err(error(format!("`.{}` is no value of a record", property.2), help, Some(at)));
                }
                _ => {
                    return Err(error(
                        "values are not read by place here",
                        "use `contains`, `sub_string` or `before`",
                        Some(at),
                    ));
                }
            };
        }
        Ok(value)
    }

    /// The first value of a chain, and how many links it takes: `vars.x` is two.
    fn head(&self, links: &[&ast::Expr], depth: usize) -> Result<(Parsed, usize), ExprError> {
        let at = self.place(links[0].position());
        let name = |link: Option<&&ast::Expr>| match link {
            Some(ast::Expr::Property(property, _)) => Some(property.2.to_string()),
            Some(ast::Expr::StringConstant(text, _)) => Some(text.to_string()),
            _ => None,
        };
        let ast::Expr::Variable(first, ..) = links[0] else {
            return Ok((self.expr(links[0], depth + 1)?, 1));
        };
        let (second, third) = (name(links.get(1)), name(links.get(2)));
        let (variable, used) = match (first.1.as_str(), second, third) {
            ("vars", Some(x), _) => (Variable::Event(x), 2),
            ("instance", Some(vars), Some(x)) if vars == "vars" => (Variable::Instance(x), 3),
            ("task", Some(vars), Some(x)) if vars == "vars" => (Variable::Task(x), 3),
            _ => return Ok((self.expr(links[0], depth + 1)?, 1)),
        };
        Ok((leaf(Expr::Variable(variable), at), used))
    }

    /// The place in characters; Rhai counts lines and columns from 1.
    fn place(&self, position: Position) -> usize {
        place(self.text, position).unwrap_or(0)
    }

    fn syntax(&self, error: &ast::ParseError) -> ExprError {
        syntax(self.text, error)
    }
}

/// A place that Rhai names, in characters from 0.
pub(crate) fn place(text: &str, position: Position) -> Option<usize> {
    let (line, column) = (position.line()?, position.position().unwrap_or(1).max(1));
    let before: usize = text.split_inclusive('\n').take(line - 1).map(|l| l.chars().count()).sum();
    Some(before + column - 1)
}

/// What Rhai could not read, in our words.
pub(crate) fn syntax(text: &str, parse: &ast::ParseError) -> ExprError {
    let at = place(text, parse.1).filter(|at| *at < text.chars().count());
    let own = lowered(&parse.0.to_string());
    let (message, help) = match &*parse.0 {
        ParseErrorType::UnexpectedEOF => ("it ends too early".to_owned(), "complete it, or close what was opened"),
        ParseErrorType::Reserved(word) if !word.starts_with(char::is_alphabetic) => {
            return no_operator(word, at);
        }
        ParseErrorType::Reserved(word) if is_null(word) => return null(word, at),
        ParseErrorType::Reserved(word)
            if begins_statement(&foreign::after(text, at, word))
                && let Some((word, help)) = foreign::at(text, at) =>
        {
            return error(format!("`{word}` is not a word of expressions"), help, at);
        }
        ParseErrorType::Reserved(word) => {
            let help = format!("a column of this name is written `field(\"{word}\")`");
            return error(format!("`{word}` is a word of the language"), help, at);
        }
        ParseErrorType::ExprTooDeep => ("it is nested too deeply".to_owned(), "split it"),
        ParseErrorType::ExprExpected(_) => ("a value is missing".to_owned(), "write a field, a constant or a function"),
        _ => (own.clone(), ""),
    };
    let rest: String = at.map(|at| text.chars().skip(at).collect()).unwrap_or_default();
    let word: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let own_word = word.starts_with(char::is_alphabetic) && crate::script::parse_expression(&word).is_err();
    let help = match (word.to_ascii_lowercase().as_str(), own.as_str()) {
        (small, _) if own_word && STATEMENT_WORDS.contains(&small) && begins_statement(&rest[word.len()..]) => {
            return error("this is not one expression", STATEMENTS, at);
        }
        (small, _) if is_null(small) => return null(&word, at),
        _ if let Some((word, help)) =
            foreign::at(text, at).filter(|_| !own_word || begins_statement(&rest[word.len()..])) =>
        {
            return error(format!("`{word}` is not a word of expressions"), help, at);
        }
        (_, _) if own_word && own.contains("unexpected") => {
            let help = format!("a column of this name is written `field(\"{word}\")`");
            return error(format!("`{word}` is a word of the language"), help, at);
        }
        _ if foreign::is_plain_text(text) => {
            return error(format!("{text:?} is not an expression"), foreign::constant_text(text), at);
        }
        _ if rest.starts_with('=') && !rest.starts_with("==") => "`==` compares; assignments are for script activities",
        _ if rest.starts_with('\'') => "text stands in double quotes: \"text\"",
        _ if own.contains("not terminated") => "close the text with a double quote",
        _ => help,
    };
    ExprError { message, help: (!help.is_empty()).then(|| help.to_owned()), at, row: None }
}

fn is_null(word: &str) -> bool {
    ["null", "nil"].iter().any(|null| word.eq_ignore_ascii_case(null))
}

fn null(word: &str, at: Option<usize>) -> ExprError {
    let help =
        format!("nothing is written `()`: `x != ()`, or `!is_empty(x)`; a column is written `field(\"{word}\")`");
    error(format!("`{word}` is a word of the language"), help, at)
}

/// Whether what follows such a word makes a statement of it; of a column's name, an operator follows, or nothing.
fn begins_statement(rest: &str) -> bool {
    rest.trim_start().starts_with(|c: char| c.is_alphanumeric() || "_{(;\"".contains(c))
}

fn no_operator(operator: &str, at: Option<usize>) -> ExprError {
    let help = match operator {
        "=" => "`==` compares; assignments are for script activities",
        "--" => "write `-(-x)`, or a space between",
        "&" => "write `&&` for and",
        "|" => "write `||` for or",
        ".." | "..=" => "write two comparisons: `x >= 1 && x < 5`",
        other => foreign::word(other).unwrap_or("expressions have ! - + * / % && || == != < <= > >= in"),
    };
    error(format!("`{operator}` is not an operator of expressions"), help, at)
}

/// Messages of ours begin small.
pub(crate) fn lowered(message: &str) -> String {
    let mut chars = message.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

fn constant(name: &str, text: &str) -> Option<(Option<Literal>, &'static str)> {
    Some(match name {
        "date" => (civil_date(text).map(Literal::Date), "2012-11-01"),
        "datetime" => (date_time(text).and_then(Value::literal), "2012-11-01T10:00:00Z"),
        "time" => (clock_time(text).map(Literal::Time), "10:00:00"),
        _ => return None,
    })
}

/// `x.f()` of a function that is not ours; in scripts, a function that is called so sees no `x` but `this`.
fn method(name: &str, at: usize) -> ExprError {
    let unknown = unknown_function(name, Some(at));
    match foreign::function(name) {
        Some(_) => unknown,
        None => error(format!("`.{name}()` is not one of our functions"), format!("write `{name}(x)`"), Some(at)),
    }
}

/// A function that is neither ours nor among the shared ones.
pub(crate) fn unknown_function(name: &str, at: Option<usize>) -> ExprError {
    let help = match name {
        "set_option" | "log_info" | "log_warning" | "log_error" | "print" => "this is for script activities".to_owned(),
        name => {
            foreign::function(name).unwrap_or_else(|| "`campanile help expressions` lists all functions".to_owned())
        }
    };
    error(format!("there is no function `{name}`"), help, at)
}

/// What was probably meant.
pub(crate) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let close = |other: &str| strsim::normalized_damerau_levenshtein(&lower, &other.to_lowercase());
    names.map(|n| (close(n), n)).filter(|(c, _)| *c >= 0.6).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, n)| n)
}

fn count(min: usize, max: usize) -> String {
    match (min, max) {
        (0, 0) => "nothing".to_owned(),
        (1, 1) => "1 value".to_owned(),
        (min, max) if min == max => format!("{min} values"),
        (min, max) => format!("{min} to {max} values"),
    }
}

pub(super) fn error(message: impl Into<String>, help: impl Into<String>, at: Option<usize>) -> ExprError {
    ExprError { message: message.into(), help: Some(help.into()), at, row: None }
}

fn leaf(expr: Expr, at: usize) -> Parsed {
    Parsed { expr, places: vec![at] }
}

fn many(make: impl FnOnce(Vec<Expr>) -> Expr, at: usize, parts: Vec<Parsed>) -> Parsed {
    let mut places = vec![at];
    let mut exprs = Vec::with_capacity(parts.len());
    for part in parts {
        places.extend(part.places);
        exprs.push(part.expr);
    }
    Parsed { expr: make(exprs), places }
}

fn two(make: impl FnOnce(Box<Expr>, Box<Expr>) -> Expr, at: usize, parts: Vec<Parsed>) -> Parsed {
    many(
        |mut parts| {
            let b = parts.pop().unwrap_or(Expr::Literal(Literal::Null));
            make(Box::new(one_of(parts)), Box::new(b))
        },
        at,
        parts,
    )
}

fn choice(at: usize, parts: Vec<Parsed>) -> Parsed {
    many(
        |parts| {
            let mut parts = parts.into_iter();
            let [a, b, c] = std::array::from_fn(|_| Box::new(parts.next().unwrap_or(Expr::Literal(Literal::Null))));
            Expr::If(a, b, c)
        },
        at,
        parts,
    )
}

fn one_of(mut parts: Vec<Expr>) -> Expr {
    parts.pop().unwrap_or(Expr::Literal(Literal::Null))
}
