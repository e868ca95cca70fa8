//! Reads a TOML file as a document with the place of everything in it.

use std::ops::Range;

use engine::document::{Document, Form, escape};
use engine::problem::Problem;
use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub(super) fn parse(file: &str, text: &str) -> Result<Document, Vec<Problem>> {
    let mut document = Document::new(file, text);
    document.form = Form::Toml;
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(errors.iter().map(|error| problem(&document, error)).collect());
    }
    let Range { start, .. } = table.span();
    document.place("", start, start);
    document.value = take_table(&mut document, "", table.get_ref());
    Ok(document)
}

/// What the reader of TOML says; its place is that of the nearest value it knows.
pub(super) fn problem(document: &Document, error: &toml::de::Error) -> Problem {
    let at = error.span().map_or(0, |span| span.start);
    document.problem_at(at, "", "not-toml", error.message().to_owned(), None)
}

fn take_table(document: &mut Document, pointer: &str, table: &DeTable<'_>) -> Value {
    let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
        let name: &std::borrow::Cow<'_, str> = key.get_ref();
        let inner = format!("{pointer}/{}", escape(name));
        document.place(&inner, key.span().start, value.span().start);
        (name.to_string(), take(document, &inner, value.get_ref()))
    };
    Value::Object(table.iter().map(entry).collect::<Map<_, _>>())
}

fn take(document: &mut Document, pointer: &str, value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => integer(number.as_str(), number.radix()),
        DeValue::Float(number) => number.as_str().replace('_', "").parse::<Number>().map_or(Value::Null, Value::Number),
        DeValue::Boolean(boolean) => Value::Bool(*boolean),
        DeValue::Datetime(at) => Value::String(at.to_string()),
        DeValue::Array(items) => {
            let item = |(n, item): (usize, &Spanned<DeValue<'_>>)| {
                let inner = format!("{pointer}/{n}");
                let start = item.span().start;
                document.place(&inner, start, start);
                take(document, &inner, item.get_ref())
            };
            Value::Array(items.iter().enumerate().map(item).collect())
        }
        DeValue::Table(table) => take_table(document, pointer, table),
    }
}

fn integer(text: &str, radix: u32) -> Value {
    i64::from_str_radix(&text.replace('_', ""), radix).map_or(Value::Null, Value::from)
}
