//! A TOML file with the place of everything in it.

use std::collections::HashMap;
use std::ops::Range;

use engine::document::escape;
use engine::problem::Problem;
use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The file's value as JSON, and where each part of it stands.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) value: Value,
    file: String,
    text: String,
    places: HashMap<String, Place>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    key: usize,
    value: usize,
}

impl Document {
    pub(super) fn parse(file: &str, text: &str) -> Result<Self, Vec<Problem>> {
        let mut document =
            Self { value: Value::Null, file: file.to_owned(), text: text.to_owned(), places: HashMap::new() };
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            return Err(errors.iter().map(|error| document.toml_error(error)).collect());
        }
        let Range { start, .. } = table.span();
        document.places.insert(String::new(), Place { key: start, value: start });
        document.value = document.table("", table.get_ref());
        Ok(document)
    }

    fn table(&mut self, pointer: &str, table: &DeTable<'_>) -> Value {
        let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
            let name: &std::borrow::Cow<'_, str> = key.get_ref();
            let inner = format!("{pointer}/{}", escape(name));
            self.places.insert(inner.clone(), Place { key: key.span().start, value: value.span().start });
            (name.to_string(), self.take(&inner, value.get_ref()))
        };
        Value::Object(table.iter().map(entry).collect::<Map<_, _>>())
    }

    fn take(&mut self, pointer: &str, value: &DeValue<'_>) -> Value {
        match value {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Integer(number) => integer(number.as_str(), number.radix()),
            DeValue::Float(number) => {
                number.as_str().replace('_', "").parse::<Number>().map_or(Value::Null, Value::Number)
            }
            DeValue::Boolean(boolean) => Value::Bool(*boolean),
            DeValue::Datetime(at) => Value::String(at.to_string()),
            DeValue::Array(items) => {
                let item = |(n, item): (usize, &Spanned<DeValue<'_>>)| {
                    let inner = format!("{pointer}/{n}");
                    let start = item.span().start;
                    self.places.insert(inner.clone(), Place { key: start, value: start });
                    self.take(&inner, item.get_ref())
                };
                Value::Array(items.iter().enumerate().map(item).collect())
            }
            DeValue::Table(table) => self.table(pointer, table),
        }
    }

    /// The names within the table at a pointer.
    pub(super) fn keys(&self, pointer: &str) -> Vec<String> {
        let table = self.value.pointer(pointer).and_then(Value::as_object);
        table.into_iter().flatten().map(|(name, _)| name.clone()).collect()
    }

    /// A problem with what stands at a pointer.
    pub(super) fn problem(&self, pointer: &str, code: &'static str, message: String, help: Option<String>) -> Problem {
        self.problem_at(self.nearest(pointer).value, pointer, code, message, help)
    }

    /// A problem with a name, rather than with what it stands for.
    pub(super) fn problem_of_key(
        &self,
        pointer: &str,
        code: &'static str,
        message: String,
        help: Option<String>,
    ) -> Problem {
        self.problem_at(self.nearest(pointer).key, pointer, code, message, help)
    }

    /// What the reader of TOML says; its place is that of the nearest value it knows.
    pub(super) fn toml_error(&self, error: &toml::de::Error) -> Problem {
        let at = error.span().map_or(0, |span| span.start);
        self.problem_at(at, "", "not-toml", error.message().to_owned(), None)
    }

    fn nearest(&self, pointer: &str) -> Place {
        let mut pointer = pointer;
        loop {
            if let Some(place) = self.places.get(pointer) {
                return *place;
            }
            match pointer.rfind('/') {
                Some(end) => pointer = &pointer[..end],
                None => return Place { key: 0, value: 0 },
            }
        }
    }

    fn problem_at(
        &self,
        at: usize,
        pointer: &str,
        code: &'static str,
        message: String,
        help: Option<String>,
    ) -> Problem {
        let before = self.text.get(..at).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Problem { file: self.file.clone(), pointer: pointer.to_owned(), line, column, code, message, help }
    }
}

fn integer(text: &str, radix: u32) -> Value {
    i64::from_str_radix(&text.replace('_', ""), radix).map_or(Value::Null, Value::from)
}
