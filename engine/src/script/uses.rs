//! What a script reads, sets and calls, as far as its text tells.

use std::collections::BTreeSet;

use super::ast::{self, AST};
use super::defaults::{links, with_default};
use super::rhai::{ASTNode, Position, Stmt};
use crate::expr::Variable;

/// What a script reads, sets and calls.
#[derive(Debug, Default)]
pub(super) struct Uses {
    /// Variables that it reads without a default, and that it does not set itself.
    pub(super) reads: Vec<(Variable, Position)>,
    /// Variables that it sets.
    pub(super) sets: BTreeSet<Variable>,
    /// Whether it may set any others.
    pub(super) sets_any: bool,
    pub(super) calls: Vec<Call>,
}

/// A call by name.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) name: String,
    /// How many values stand in parentheses.
    pub(super) values: usize,
    /// Whether it is written `x.f()`.
    pub(super) is_method: bool,
    pub(super) at: Position,
}

/// Methods of objects that change nothing.
const READING: &[&str] = &["keys", "values", "len", "contains", "get", "is_empty", "to_string", "to_debug"];

impl Uses {
    /// What the script does by itself; its functions see no variables, but what they call counts.
    pub(super) fn of(tree: &AST) -> Self {
        let mut uses = Self::default();
        let mut writes: Vec<(Variable, *const Stmt)> = Vec::new();
        let mut reads: Vec<(Variable, Position, Vec<*const Stmt>)> = Vec::new();
        let mut path = Vec::new();
        for statement in tree.statements() {
            statement.walk(&mut path, &mut |path| {
                uses.variables(path, &mut reads, &mut writes);
                true
            });
            path.clear();
        }
        tree.walk(&mut |path| {
            uses.calls.extend(call(path));
            true
        });
        // What only the assignment that reads it sets is not set when it is read.
        let is_set = |name: &Variable, within: &[*const Stmt]| {
            writes.iter().any(|(variable, statement)| variable == name && !within.contains(statement))
        };
        let others = reads.into_iter().filter(|(variable, _, within)| !is_set(variable, within));
        uses.reads = others.map(|(variable, at, _)| (variable, at)).collect();
        uses.sets = writes.into_iter().map(|(variable, _)| variable).collect();
        uses
    }

    fn variables(
        &mut self,
        path: &[ASTNode<'_>],
        reads: &mut Vec<(Variable, Position, Vec<*const Stmt>)>,
        writes: &mut Vec<(Variable, *const Stmt)>,
    ) {
        let Some((node, around)) = path.split_last() else { return };
        match node {
            // A variable of the script's own that is called so hides ours.
            ASTNode::Stmt(Stmt::Var(var, ..)) => self.sets_any |= is_root(&var.0.name),
            ASTNode::Stmt(Stmt::For(var, _)) => self.sets_any |= is_root(&var.0.name),
            ASTNode::Expr(expr) if !is_part(expr, around) => {
                let Some(found) = Found::of(expr) else { return };
                let target = around.last().and_then(|parent| match parent {
                    ASTNode::Stmt(Stmt::Assignment(parts)) if std::ptr::eq(&parts.1.lhs, *expr) => {
                        Some((parent, parts))
                    }
                    _ => None,
                });
                let Found::Variable { variable, at, is_last } = found else {
                    self.sets_any |= match found {
                        Found::Whole => target.is_some(),
                        Found::Unknown => true,
                        Found::Reading | Found::Variable { .. } => false,
                    };
                    return;
                };
                let mut is_read = !has_default(expr, is_last, around);
                if let (Some((ASTNode::Stmt(statement), parts)), true) = (target, is_last) {
                    writes.push((variable.clone(), std::ptr::from_ref(*statement)));
                    is_read = parts.0.is_op_assignment();
                }
                if is_read {
                    let assignments = around.iter().filter_map(|node| match node {
                        ASTNode::Stmt(statement @ Stmt::Assignment(_)) => Some(std::ptr::from_ref(*statement)),
                        _ => None,
                    });
                    reads.push((variable, at, assignments.collect()));
                }
            }
            _ => {}
        }
    }
}

/// What is meant of `vars`, `instance` or `task`.
enum Found {
    /// One variable, and whether nothing within it is meant.
    Variable { variable: Variable, at: Position, is_last: bool },
    /// All of them, or whichever the run decides.
    Whole,
    /// All of them, in a way that changes nothing.
    Reading,
    /// Something that may change them.
    Unknown,
}

impl Found {
    fn of(expr: &ast::Expr) -> Option<Self> {
        let links = links(expr);
        let (root, rest) = links.split_first()?;
        let ast::Expr::Variable(root, ..) = root.expr else { return None };
        let make: fn(String) -> Variable = match root.1.as_str() {
            "vars" => Variable::Event,
            "instance" => Variable::Instance,
            "task" => Variable::Task,
            _ => return None,
        };
        let name = |place: usize| match rest.get(place)?.expr {
            ast::Expr::Property(property, at) => Some((property.2.to_string(), *at)),
            ast::Expr::StringConstant(text, at) if rest[place].is_index => Some((text.to_string(), *at)),
            _ => None,
        };
        let before = usize::from(root.1 != "vars");
        if before == 1 && !rest.is_empty() && name(0).is_none_or(|(name, _)| name != "vars") {
            return Some(Self::Unknown);
        }
        let Some(link) = rest.get(before) else { return Some(Self::Whole) };
        Some(match (name(before), link.expr) {
            (Some((name, at)), _) => Self::Variable { variable: make(name), at, is_last: rest.len() == before + 1 },
            (None, ast::Expr::MethodCall(call, _)) if READING.contains(&call.name.as_str()) => Self::Reading,
            (None, ast::Expr::MethodCall(..)) => Self::Unknown,
            (None, _) => Self::Whole,
        })
    }
}

fn is_root(name: &str) -> bool {
    matches!(name, "vars" | "instance" | "task")
}

/// Whether it is only a part of `a.b.c`.
fn is_part(expr: &ast::Expr, around: &[ASTNode<'_>]) -> bool {
    let Some(ASTNode::Expr(parent)) = around.last() else { return false };
    match parent {
        // A key such as `vars.k` in `m[vars.k].x`.
        ast::Expr::Dot(pair, ..) | ast::Expr::Index(pair, ..)
            if std::ptr::eq(&pair.lhs, expr) && matches!(expr, ast::Expr::Dot(..) | ast::Expr::Index(..)) =>
        {
            false
        }
        ast::Expr::Dot(..) | ast::Expr::Index(..) => {
            let links = links(parent);
            let own = |part: &ast::Expr| std::ptr::eq(part, expr);
            // What stands in brackets stands by itself.
            let by_itself = links.iter().any(|link| link.is_index && own(link.expr));
            !by_itself
        }
        _ => false,
    }
}

fn has_default(expr: &ast::Expr, is_last: bool, around: &[ASTNode<'_>]) -> bool {
    is_last && with_default(around).into_iter().any(|part| std::ptr::eq(part, expr))
}

fn call(path: &[ASTNode<'_>]) -> Option<Call> {
    let (call, is_method, at) = match path.last()? {
        ASTNode::Expr(ast::Expr::FnCall(call, at)) | ASTNode::Stmt(Stmt::FnCall(call, at)) => (call, false, at),
        ASTNode::Expr(ast::Expr::MethodCall(call, at)) => (call, true, at),
        _ => return None,
    };
    let by_name = !call.is_operator_call() && !call.is_qualified();
    by_name.then(|| Call { name: call.name.to_string(), values: call.args.len(), is_method, at: *at })
}
