//! An expression as its author wrote it: the type of activities' fields.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::Schema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::parse::{self, Parsed};
use super::{Bound, Expr, ExprError};
use crate::script::Functions;

/// An expression, such as `lower(emailaddress1)` or `statecode == 0 && !is_empty(lastname)`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("format" = "expression"))]
pub struct Source(String);

impl Source {
    /// As the author wrote it.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Reads it.
    ///
    /// # Errors
    /// As [`Expr::parse`].
    pub fn parse(&self) -> Result<Expr, ExprError> {
        Expr::parse(&self.0)
    }

    /// Reads it, with the places of its parts.
    ///
    /// # Errors
    /// As [`Expr::parse`].
    pub fn parsed(&self) -> Result<Parsed, ExprError> {
        parse::parse(&self.0)
    }

    /// Reads it and looks up its columns. Use this rather than [`Bound::bind`]: its errors have places.
    ///
    /// # Errors
    /// All that is wrong, with the places in the text.
    pub fn bind(&self, columns: &Schema) -> Result<Bound, Vec<ExprError>> {
        self.bind_with(columns, &Arc::default())
    }

    /// The same with the functions of shared scripts.
    ///
    /// # Errors
    /// All that is wrong, with the places in the text.
    pub fn bind_with(&self, columns: &Schema, functions: &Arc<Functions>) -> Result<Bound, Vec<ExprError>> {
        let parsed = self.parsed().map_err(|error| vec![error])?;
        Bound::bind_parsed(&parsed, columns, functions)
    }
}

impl From<&str> for Source {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for Source {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
