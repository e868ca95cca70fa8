//! The JSON Schema of the workflow file, made of the activities' own fields and comments.

mod example;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use jsonschema::{JsonType, ValidationError, Validator, error::TypeKind, error::ValidationErrorKind};
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use crate::activity::{Palette, Spec};
use crate::document::{Document, escape};
use crate::expr::{Expr, ExprError};
use crate::problem::{Problem, did_you_mean, suggestion};
use crate::workflow::{Common, SPAN_FORMAT, Span, WorkflowFile};

/// The schema of the whole file, for editors.
pub fn workflow_schema(palette: Palette) -> Value {
    let mut generator = generator();
    let mut root = WorkflowFile::json_schema(&mut generator).to_value();
    let kinds: Vec<Value> = palette.iter().map(|spec| activity(spec, &mut generator)).collect();
    let names: Vec<&str> = palette.iter().map(|spec| spec.kind).collect();
    let conditions: Vec<Value> = palette
        .iter()
        .zip(kinds)
        .map(|(spec, schema)| {
            let is = json!({ "properties": { "type": { "const": spec.kind } }, "required": ["type"] });
            json!({ "if": is, "then": schema })
        })
        .collect();
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    root["title"] = json!("Campanile workflow");
    root["properties"]["activities"] = json!({
        "description": "the activities, by name",
        "type": "object",
        "minProperties": 1,
        "propertyNames": { "pattern": "^[A-Za-z_][A-Za-z0-9_-]{0,63}$" },
        "additionalProperties": {
            "type": "object",
            "required": ["type"],
            "properties": { "type": { "enum": names } },
            "allOf": conditions,
        },
    });
    root["$defs"] = Value::Object(generator.take_definitions(true));
    root
}

/// The schema of one type of activity, with its definitions.
pub fn activity_schema(spec: &Spec) -> Value {
    let mut generator = generator();
    let mut schema = activity(spec, &mut generator);
    schema["$defs"] = Value::Object(generator.take_definitions(true));
    // Its own example shows the form of what is wrong.
    schema["examples"] = json!([serde_json::from_str::<Value>(spec.example).unwrap_or_default()]);
    schema
}

fn generator() -> SchemaGenerator {
    SchemaSettings::draft2020_12().into_generator()
}

/// The activity's own settings, with what every activity may say.
fn activity(spec: &Spec, generator: &mut SchemaGenerator) -> Value {
    let mut schema = (spec.schema)(generator).to_value();
    let common = Common::json_schema(generator).to_value();
    let mut properties = Map::from_iter([("type".to_owned(), json!({ "const": spec.kind }))]);
    for part in [&schema["properties"], &common["properties"]] {
        properties.extend(part.as_object().cloned().unwrap_or_default());
    }
    schema["properties"] = Value::Object(properties);
    schema["type"] = json!("object");
    schema["additionalProperties"] = json!(false);
    schema
}

/// The schema of a type with everything in it, so that a pointer into it follows no reference.
pub fn schema_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// What a schema finds wrong with the part of a document at a pointer; `what` names that part.
pub fn check(document: &Document, schema: &Value, pointer: &str, what: &str) -> Vec<Problem> {
    told(document, &(schema, &prepare(schema)), pointer, what)
}

fn prepare(schema: &Value) -> Validator {
    // Our own schemas are sound: a test prepares them all.
    #[expect(clippy::expect_used, reason = "tests prepare every schema that there is")]
    jsonschema::options()
        .with_format("expression", |text: &str| Expr::parse(text).is_ok())
        .with_format(SPAN_FORMAT, |text: &str| Span::parse(text).is_ok())
        .should_validate_formats(true)
        .build(schema)
        .expect("our own schema is sound")
}

fn told(document: &Document, (schema, validator): &(&Value, &Validator), pointer: &str, what: &str) -> Vec<Problem> {
    let Some(value) = document.value.pointer(pointer) else { return Vec::new() };
    let told = Told { document, pointer, what, schema };
    validator.iter_errors(value).flat_map(|error| told.problems(&error)).collect()
}

/// Validates parts of a document; each schema is prepared once.
#[derive(Debug, Default)]
pub struct Schemas {
    prepared: Mutex<HashMap<&'static str, std::sync::Arc<(Value, Validator)>>>,
}

impl Schemas {
    /// What is wrong with the file around its activities.
    pub fn check_file(&self, document: &Document) -> Vec<Problem> {
        let schema = || {
            let mut generator = generator();
            let mut schema = WorkflowFile::json_schema(&mut generator).to_value();
            schema["$defs"] = Value::Object(generator.take_definitions(true));
            schema
        };
        self.check(document, "", "a workflow", schema)
    }

    /// What is wrong with the settings of an activity.
    pub fn check_activity(&self, document: &Document, pointer: &str, spec: &'static Spec) -> Vec<Problem> {
        self.check(document, pointer, spec.kind, || activity_schema(spec))
    }

    /// The settings that an activity must have, each with an empty value of its type. Only after a check of one.
    pub(crate) fn required(&self, spec: &'static Spec) -> Vec<(String, Value)> {
        let prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner).get(spec.kind).cloned();
        let Some(prepared) = prepared else { return Vec::new() };
        let schema = &prepared.0;
        let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let empty = |name: &str| match schema["properties"][name]["type"].as_str() {
            Some("array") => json!([]),
            Some("object") => json!({}),
            Some("integer" | "number") => json!(0),
            Some("boolean") => json!(false),
            _ => json!(""),
        };
        required.map(|name| (name.to_owned(), empty(name))).collect()
    }

    fn check(
        &self,
        document: &Document,
        pointer: &str,
        what: &'static str,
        schema: impl FnOnce() -> Value,
    ) -> Vec<Problem> {
        let prepared = {
            let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
            let entry = prepared.entry(what).or_insert_with(|| {
                let schema = schema();
                let validator = prepare(&schema);
                std::sync::Arc::new((schema, validator))
            });
            std::sync::Arc::clone(entry)
        };
        let (schema, validator) = &*prepared;
        told(document, &(schema, validator), pointer, what)
    }
}

/// Says errors of the schema in an author's words.
struct Told<'a> {
    document: &'a Document,
    pointer: &'a str,
    what: &'a str,
    schema: &'a Value,
}

impl Told<'_> {
    fn problems(&self, error: &ValidationError<'_>) -> Vec<Problem> {
        let at = format!("{}{}", self.pointer, error.instance_path().as_str());
        let problem = |code, message, help| vec![self.document.problem(&at, code, message, help)];
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                unexpected.iter().map(|key| self.unknown_key(&at, key, error)).collect()
            }
            ValidationErrorKind::Required { property } => {
                let property = property.as_str().unwrap_or_default();
                let message = format!("{} needs \"{property}\"", self.part(&at));
                vec![self.document.problem_of_key(&at, "missing-key", message, self.describe(error, property))]
            }
            ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
                self.forms(&at, context, error)
            }
            ValidationErrorKind::Type { kind } => {
                let message = format!("this is {}, not {}", self.json_type(error.instance()), self.types(kind));
                problem("wrong-type", message, self.example(&at))
            }
            ValidationErrorKind::Enum { options } => {
                let options: Vec<String> = options.as_array().into_iter().flatten().map(plain).collect();
                problem("wrong-value", self.not_among(error.instance(), &options), among(error.instance(), &options))
            }
            ValidationErrorKind::Constant { expected_value } => {
                let options = [plain(expected_value)];
                problem("wrong-value", self.not_among(error.instance(), &options), self.told_of(error))
            }
            ValidationErrorKind::MinProperties { .. } => {
                problem("wrong-value", "there is nothing in it".to_owned(), None)
            }
            ValidationErrorKind::Format { format } if format == SPAN_FORMAT => {
                let wrong = error.instance().as_str().and_then(|text| Span::parse(text).err());
                problem("wrong-value", wrong.unwrap_or_default(), None)
            }
            ValidationErrorKind::Format { .. } => self.expression(&at, error.instance()).into_iter().collect(),
            // The format says it better; the pattern is for editors.
            ValidationErrorKind::Pattern { .. }
                if self.around(error).is_some_and(|all| all.get("format").is_some()) =>
            {
                Vec::new()
            }
            ValidationErrorKind::Pattern { .. } => {
                let message = format!("{} is not of the form that is needed", plain(error.instance()));
                problem("wrong-value", message, self.told_of(error))
            }
            _ => problem("wrong-value", error.to_string(), None),
        }
    }

    /// What is wrong with an expression, at its place; `format` is used for nothing else.
    fn expression(&self, at: &str, text: &Value) -> Option<Problem> {
        let ExprError { at: place, message, help, .. } = Expr::parse(text.as_str()?).err()?;
        Some(self.document.problem_within(at, place.unwrap_or(usize::MAX), "expression", message, help))
    }

    fn unknown_key(&self, at: &str, key: &str, error: &ValidationError<'_>) -> Problem {
        let around = error.schema_path().as_str().trim_end_matches("/additionalProperties").to_owned();
        let known = self.schema.pointer(&format!("{around}/properties")).and_then(Value::as_object);
        let names: Vec<&str> = known.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        let message = format!("{} has no key \"{key}\"", self.part(at));
        let help = suggestion(key, names.iter().copied());
        self.document.problem_of_key(&format!("{at}/{}", escape(key)), "unknown-key", message, help)
    }

    /// Of several forms that a value may have, tells what is wrong with the one that it comes nearest to: the one
    /// whose errors lie deepest.
    fn forms(&self, at: &str, context: &[Vec<ValidationError<'_>>], error: &ValidationError<'_>) -> Vec<Problem> {
        let constants = context.iter().flatten().filter_map(|error| match error.kind() {
            ValidationErrorKind::Constant { expected_value } => Some(vec![plain(expected_value)]),
            ValidationErrorKind::Enum { options } => Some(options.as_array()?.iter().map(plain).collect()),
            _ => None,
        });
        let options: Vec<String> = constants.flatten().collect();
        if !options.is_empty() && error.instance().is_string() {
            let message = self.not_among(error.instance(), &options);
            let help = match did_you_mean(error.instance().as_str().unwrap_or_default(), unquoted(&options)) {
                Some(name) => Some(format!("did you mean \"{name}\"?")),
                None => self.example(at).or_else(|| among(error.instance(), &options)),
            };
            return vec![self.document.problem(at, "wrong-value", message, help)];
        }
        let here = error.instance_path().as_str().len();
        let misses_type = |errors: &&Vec<ValidationError<'_>>| {
            errors.iter().any(|error| {
                matches!(error.kind(), ValidationErrorKind::Type { .. }) && error.instance_path().as_str().len() == here
            })
        };
        let depth = |errors: &Vec<ValidationError<'_>>| errors.iter().map(|e| e.instance_path().as_str().len()).min();
        let possible: Vec<_> = context.iter().filter(|errors| !misses_type(errors)).collect();
        let deepest = possible.iter().map(|errors| depth(errors)).max();
        let nearest: Vec<_> = possible.into_iter().filter(|errors| Some(depth(errors)) == deepest).collect();
        match nearest.as_slice() {
            [] => {}
            [errors] => return errors.iter().flat_map(|error| self.problems(error)).collect(),
            // Which of them was meant cannot be told.
            _ => {
                let mut keys = Keys::default();
                keys.gather(context, error.instance_path().as_str());
                if let Some(key) = keys.unknown.iter().find(|key| !keys.known.contains(*key)) {
                    let message = format!("{} has no key \"{key}\"", self.part(at));
                    let help = suggestion(key, keys.known.iter().map(String::as_str));
                    let pointer = format!("{at}/{}", escape(key));
                    return vec![self.document.problem_of_key(&pointer, "unknown-key", message, help)];
                }
                let key = at.rsplit('/').next().unwrap_or_default();
                let message = format!("this is not what \"{key}\" takes");
                let help = self.example(at).or_else(|| self.told_of(error));
                return vec![self.document.problem(at, "wrong-value", message, help)];
            }
        }
        let mut types: BTreeSet<String> = context
            .iter()
            .flatten()
            .filter_map(|error| match error.kind() {
                ValidationErrorKind::Type { kind } => Some(self.types(kind)),
                _ => None,
            })
            .collect();
        // What may be left out may be null as well; an author need not write it.
        if types.len() > 1 {
            types.remove("null");
        }
        let message = format!("this is {}, not {}", self.json_type(error.instance()), joined(types));
        let help = self.example(at).or_else(|| (!options.is_empty()).then(|| format!("write {}", joined(options))));
        vec![self.document.problem(at, "wrong-type", message, help)]
    }

    /// What the right form looks like, where an example is known.
    fn example(&self, at: &str) -> Option<String> {
        let path = at.strip_prefix(self.pointer)?;
        let values = example::values(self.schema, path);
        let key = path.rsplit('/').next().unwrap_or_default();
        let is_item = key.bytes().all(|byte| byte.is_ascii_digit());
        let form = self.document.form;
        match values.as_slice() {
            [] => None,
            [one] if !is_item => Some(format!("write it as in {}", form.setting(key, one))),
            forms => Some(format!("write {}", joined(forms.iter().map(|value| form.value(value))))),
        }
    }

    /// What the schema says of a missing key.
    fn describe(&self, error: &ValidationError<'_>, property: &str) -> Option<String> {
        let around = error.schema_path().as_str().trim_end_matches("/required").to_owned();
        let told = self.schema.pointer(&format!("{around}/properties/{property}/description"))?;
        Some(told.as_str()?.replace('\n', " ").trim_end_matches('.').to_owned())
    }

    /// What the schema says of a value.
    fn told_of(&self, error: &ValidationError<'_>) -> Option<String> {
        let told = self.around(error)?.get("description")?;
        Some(told.as_str()?.trim_end_matches('.').to_owned())
    }

    /// The schema whose keyword a value does not meet.
    fn around(&self, error: &ValidationError<'_>) -> Option<&Value> {
        let (around, _) = error.schema_path().as_str().rsplit_once('/')?;
        self.schema.pointer(around)
    }

    fn part(&self, at: &str) -> String {
        match at.strip_prefix(self.pointer).unwrap_or(at).trim_start_matches('/') {
            "" => self.what.to_owned(),
            part => format!("\"{part}\" of {}", self.what),
        }
    }

    fn not_among(&self, value: &Value, options: &[String]) -> String {
        match options {
            [only] => format!("this is {}, not {only}", plain(value)),
            _ => format!("{} is not one of the values there are", plain(value)),
        }
    }

    fn json_type(&self, value: &Value) -> &'static str {
        match value {
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "text",
            Value::Array(_) => "a list",
            Value::Object(_) => self.document.form.object_word(),
        }
    }

    fn types(&self, kind: &TypeKind) -> String {
        let name = |kind| match kind {
            JsonType::Array => "a list",
            JsonType::Boolean => "true or false",
            JsonType::Integer => "a whole number",
            JsonType::Null => "null",
            JsonType::Number => "a number",
            JsonType::Object => self.document.form.object_word(),
            JsonType::String => "text",
        };
        match kind {
            TypeKind::Single(kind) => name(*kind).to_owned(),
            // Optional settings may be null as well; an author need not be told.
            TypeKind::Multiple(kinds) => {
                let kinds = kinds.iter().filter(|kind| *kind != JsonType::Null);
                joined(kinds.map(|kind| name(kind).to_owned()))
            }
        }
    }
}

/// Of several forms of an object, the keys that they need, and those that some do not know.
#[derive(Default)]
struct Keys {
    known: BTreeSet<String>,
    unknown: BTreeSet<String>,
}

impl Keys {
    fn gather(&mut self, context: &[Vec<ValidationError<'_>>], path: &str) {
        for error in context.iter().flatten().filter(|error| error.instance_path().as_str() == path) {
            match error.kind() {
                ValidationErrorKind::Required { property } => self.known.extend(property.as_str().map(str::to_owned)),
                ValidationErrorKind::AdditionalProperties { unexpected } => {
                    self.unknown.extend(unexpected.iter().cloned());
                }
                ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
                    self.gather(context, path);
                }
                _ => {}
            }
        }
    }
}

fn among(value: &Value, options: &[String]) -> Option<String> {
    suggestion(value.as_str().unwrap_or_default(), unquoted(options))
}

fn unquoted(options: &[String]) -> Vec<&str> {
    options.iter().map(|option| option.trim_matches('"')).collect()
}

/// `a`, `a or b`, `a, b or c`.
fn joined(all: impl IntoIterator<Item = String>) -> String {
    let all: Vec<String> = all.into_iter().collect();
    match all.split_last() {
        Some((last, before)) if !before.is_empty() => format!("{} or {last}", before.join(", ")),
        _ => all.concat(),
    }
}

fn plain(value: &Value) -> String {
    const SHOWN_MAX: usize = 60;
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
