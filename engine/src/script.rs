//! The one door to Rhai.

/// Rhai's tree, for those that walk it.
pub(crate) mod ast {
    pub(crate) use rhai::{AST, ASTFlags, Expr, FnCallExpr, ParseError, ParseErrorType, Position, Stmt};
}

/// Reads one expression; nothing is computed beforehand.
pub(crate) fn parse_expression(text: &str) -> Result<ast::AST, ast::ParseError> {
    let mut engine = rhai::Engine::new_raw();
    exact_numbers(&mut engine);
    engine.set_optimization_level(rhai::OptimizationLevel::None);
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
fn exact_numbers(engine: &mut rhai::Engine) {
    engine.on_parse_token(|token, _, _| match &token {
        rhai::Token::FloatConstant(float) => match crate::expr::number(&float.1) {
            Some(crate::expr::Literal::Decimal(decimal)) => {
                rhai::Token::DecimalConstant(Box::new((decimal, float.1.clone())))
            }
            _ => token,
        },
        _ => token,
    });
}

/// How much scripts may use.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// Steps that a script takes; a simple expression takes 5 to 10.
    pub operations: u64,
    /// Functions within functions.
    pub call_depth: usize,
    /// The longest text, in bytes.
    pub string_bytes: usize,
    /// Items of a list, those of lists within it included.
    pub array_items: usize,
    /// Properties of an object, those of objects within it included.
    pub map_properties: usize,
    /// Variables of a function.
    pub variables: usize,
    /// Functions that a script defines, those of shared scripts included.
    pub functions: usize,
    /// How deep expressions may be nested.
    pub expression_depth: usize,
    /// The longest time it runs, in milliseconds.
    pub wall_ms: u64,
    /// What it may write to the log, in bytes.
    pub log_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            operations: 10_000_000,
            call_depth: 16,
            string_bytes: 64 * 1024,
            array_items: 10_000,
            map_properties: 10_000,
            variables: 64,
            functions: 200,
            expression_depth: 64,
            wall_ms: 10_000,
            log_bytes: 64 * 1024,
        }
    }
}
