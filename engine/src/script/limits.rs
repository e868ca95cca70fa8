//! What scripts may use.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rhai::Engine;

/// How much a script may use. What reaches a limit fails, with the limit's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

impl Limits {
    /// Rhai takes 0 for "no limit"; a limit of ours is never that.
    pub(super) fn set(&self, engine: &mut Engine) {
        engine
            .set_max_operations(self.operations.max(1))
            .set_max_call_levels(self.call_depth)
            .set_max_string_size(self.string_bytes.max(1))
            .set_max_array_size(self.array_items.max(1))
            .set_max_map_size(self.map_properties.max(1))
            .set_max_variables(self.variables)
            .set_max_functions(self.functions)
            .set_max_modules(0)
            .set_max_expr_depths(self.expression_depth.max(1), self.expression_depth.max(1));
    }
}
