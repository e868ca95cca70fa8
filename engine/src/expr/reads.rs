//! What an expression reads that may not be there, and whether it gives a default for it.

use std::collections::HashSet;

use super::parse::Parsed;
use super::{Expr, ExprError, Variable};

/// The function by which a default is given; `??` is read as it.
pub(crate) const COALESCE: &str = "coalesce";

impl Parsed {
    /// The variables that it reads without a default, each time with its place.
    pub fn reads(&self) -> Vec<(&Variable, Option<usize>)> {
        let (mut reads, mut with_default, mut next) = (Vec::new(), HashSet::new(), 0);
        self.expr.visit(&mut |expr| {
            match expr {
                Expr::Call(function, args) if function.name == COALESCE => {
                    let before_last = args.split_last().map_or(&[][..], |(_, before)| before);
                    with_default.extend(before_last.iter().map(std::ptr::from_ref::<Expr>));
                }
                Expr::Variable(variable) if !with_default.contains(&std::ptr::from_ref(expr)) => {
                    reads.push((variable, self.places.get(next).copied()));
                }
                _ => {}
            }
            next += 1;
        });
        reads
    }

    /// The functions of shared scripts that it calls: name, how many values it gives them, place.
    pub(crate) fn shared(&self) -> Vec<(&str, usize, Option<usize>)> {
        let (mut calls, mut next) = (Vec::new(), 0);
        self.expr.visit(&mut |expr| {
            if let Expr::Shared(call, args) = expr {
                calls.push((call.name.as_str(), args.len(), self.places.get(next).copied()));
            }
            next += 1;
        });
        calls
    }
}

/// What was read and is not there.
pub(super) fn unset(variable: &Variable, at: Option<usize>) -> ExprError {
    let help = match variable {
        Variable::Option(name) => {
            format!("set it with `campanile options set {name} VALUE`, or give a default: {}", default_for(variable))
        }
        _ => format!("set it in a script before, or give a default: {}", default_for(variable)),
    };
    ExprError { message: format!("{variable} is not set"), help: Some(help), at, row: None }
}

/// How a default is given for a variable or option.
pub(crate) fn default_for(variable: &Variable) -> String {
    match variable {
        Variable::Option(name) | Variable::HasOption(name) => format!("`option({name:?}, \"…\")`"),
        variable => format!("`{variable} ?? \"…\"`"),
    }
}
