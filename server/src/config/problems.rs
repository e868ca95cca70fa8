//! Says what a schema finds wrong with the configuration in its author's words, as the engine does for workflows.

use engine::document::escape;
use engine::problem::{Problem, suggestion};
use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{JsonType, ValidationError};
use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::Value;

use super::document::Document;

/// The schema of a type, with everything in it, so that a pointer into it needs to follow no reference.
pub(super) fn schema_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// What is wrong with the part of the document at a pointer; `what` names that part.
pub(super) fn check(document: &Document, schema: &Value, pointer: &str, what: &str) -> Vec<Problem> {
    let Some(value) = document.value.pointer(pointer) else { return Vec::new() };
    // Our own schemas are sound: a test uses them all.
    let Ok(validator) = jsonschema::validator_for(schema) else { return Vec::new() };
    let told = Told { document, schema, pointer, what };
    validator.iter_errors(value).flat_map(|error| told.problems(&error)).collect()
}

struct Told<'a> {
    document: &'a Document,
    schema: &'a Value,
    pointer: &'a str,
    what: &'a str,
}

impl Told<'_> {
    fn problems(&self, error: &ValidationError<'_>) -> Vec<Problem> {
        let inside = error.instance_path().as_str();
        let at = format!("{}{inside}", self.pointer);
        let one = |code, message: String, help| vec![self.document.problem(&at, code, message, help)];
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                unexpected.iter().map(|key| self.unknown_key(&at, inside, key, error)).collect()
            }
            ValidationErrorKind::Required { property } => {
                let property = property.as_str().unwrap_or_default();
                let message = format!("{} needs \"{property}\"", self.part(inside));
                let help = self.description(error, "/required", property);
                vec![self.document.problem_of_key(&at, "missing-key", message, help)]
            }
            ValidationErrorKind::Type { kind } => {
                one("wrong-type", format!("this is {}, not {}", json_type(error.instance()), types(kind)), None)
            }
            ValidationErrorKind::Enum { options } => {
                self.among(&at, error, options.as_array().into_iter().flatten().filter_map(Value::as_str).collect())
            }
            ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
                let constant = |error: &ValidationError<'_>| match error.kind() {
                    ValidationErrorKind::Constant { expected_value } => expected_value.as_str().map(str::to_owned),
                    _ => None,
                };
                let constants: Vec<String> = context.iter().flatten().filter_map(constant).collect();
                if !constants.is_empty() {
                    return self.among(&at, error, constants.iter().map(String::as_str).collect());
                }
                let key = inside.rsplit('/').next().unwrap_or_default();
                let help = self.description_at(error, "/anyOf").or_else(|| self.description_at(error, "/oneOf"));
                one("wrong-value", format!("this is not what \"{key}\" takes"), help)
            }
            _ => one("wrong-value", error.to_string(), None),
        }
    }

    fn unknown_key(&self, at: &str, inside: &str, key: &str, error: &ValidationError<'_>) -> Problem {
        let around = error.schema_path().as_str().trim_end_matches("/additionalProperties");
        let known = self.schema.pointer(&format!("{around}/properties")).and_then(Value::as_object);
        let names: Vec<&str> = known.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        let message = format!("{} has no key \"{key}\"", self.part(inside));
        self.document.problem_of_key(&format!("{at}/{}", escape(key)), "unknown-key", message, suggestion(key, names))
    }

    fn among(&self, at: &str, error: &ValidationError<'_>, options: Vec<&str>) -> Vec<Problem> {
        let message = format!("{} is not one of the values there are", error.instance());
        let help = suggestion(error.instance().as_str().unwrap_or_default(), options);
        vec![self.document.problem(at, "wrong-value", message, help)]
    }

    /// What the schema says of a property of the part that misses it.
    fn description(&self, error: &ValidationError<'_>, keyword: &str, property: &str) -> Option<String> {
        let around = error.schema_path().as_str().trim_end_matches(keyword);
        self.text(&format!("{around}/properties/{property}/description"))
    }

    fn description_at(&self, error: &ValidationError<'_>, keyword: &str) -> Option<String> {
        let around = error.schema_path().as_str().strip_suffix(keyword)?;
        self.text(&format!("{around}/description"))
    }

    fn text(&self, pointer: &str) -> Option<String> {
        Some(self.schema.pointer(pointer)?.as_str()?.replace('\n', " ").trim_end_matches('.').to_owned())
    }

    fn part(&self, inside: &str) -> String {
        match inside.trim_start_matches('/') {
            "" => self.what.to_owned(),
            part => format!("\"{part}\" of {}", self.what),
        }
    }
}

fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    }
}

fn types(kind: &TypeKind) -> String {
    let name = |kind| match kind {
        JsonType::Array => "a list",
        JsonType::Boolean => "true or false",
        JsonType::Integer => "a whole number",
        JsonType::Null => "nothing",
        JsonType::Number => "a number",
        JsonType::Object => "a table",
        JsonType::String => "text",
    };
    match kind {
        TypeKind::Single(kind) => name(*kind).to_owned(),
        TypeKind::Multiple(kinds) => {
            // A setting that may be left out may be null in the schema, which TOML cannot write.
            kinds.iter().filter(|kind| *kind != JsonType::Null).map(name).collect::<Vec<_>>().join(" or ")
        }
    }
}
