//! Short names for long values: `@C01`.

use engine::document::{Document, escape};
use engine::problem::{Problem, suggestion};
use indexmap::IndexMap;
use serde_json::Value;

/// The names of a test file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names(IndexMap<String, String>);

impl Names {
    /// The names, and what is wrong with them.
    pub(crate) fn new(names: &IndexMap<String, String>, document: &Document) -> (Self, Vec<Problem>) {
        let digits = |text: &str| text.matches('#').count();
        let uneven = names.iter().filter(|(name, value)| name.contains('#') && digits(name) != digits(value));
        let problem = |(name, value): (&String, &String)| {
            let message = format!("\"{name}\" has {} #, its value {}", digits(name), digits(value));
            let help = "write a # in both for each digit".to_owned();
            document.problem(&format!("/names/{}", escape(name)), "wrong-value", message, Some(help))
        };
        (Self(names.clone()), uneven.map(problem).collect())
    }

    /// The value of a name.
    fn value(&self, name: &str) -> Option<String> {
        self.0.iter().find_map(|(pattern, value)| refill(name, pattern, value))
    }

    /// The name of a value, as `@C01`; the value itself where it has none.
    pub(crate) fn shown(&self, text: &str) -> String {
        let name = self.0.iter().find_map(|(name, pattern)| refill(text, pattern, name));
        name.map_or_else(|| text.to_owned(), |name| format!("@{name}"))
    }

    /// Puts values in the place of names, everywhere in a value.
    pub(crate) fn resolve(&self, value: &mut Value, pointer: &str, document: &Document, problems: &mut Vec<Problem>) {
        match value {
            Value::String(text) => match text.strip_prefix('@') {
                Some(literal) if literal.starts_with('@') => *text = literal.to_owned(),
                Some(name) => match self.value(name) {
                    Some(value) => *text = value,
                    None => {
                        let known = suggestion(name, self.0.keys().map(String::as_str));
                        let help = known.unwrap_or_else(|| "add it to \"names\"".to_owned());
                        let help = format!("{help}; a text that begins with @ is written with two");
                        let message = format!("there is no name \"{name}\"");
                        problems.push(document.problem(pointer, "unknown-name", message, Some(help)));
                    }
                },
                None => {}
            },
            Value::Array(items) => {
                for (n, item) in items.iter_mut().enumerate() {
                    self.resolve(item, &format!("{pointer}/{n}"), document, problems);
                }
            }
            Value::Object(fields) => {
                for (name, field) in fields.iter_mut() {
                    self.resolve(field, &format!("{pointer}/{}", escape(name)), document, problems);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// Where a text is as the pattern, in which each # is any digit: `other` with these digits in the place of its own #.
fn refill(text: &str, pattern: &str, other: &str) -> Option<String> {
    let mut digits = Vec::new();
    let mut chars = text.chars();
    for wanted in pattern.chars() {
        let found = chars.next()?;
        match wanted {
            '#' if found.is_ascii_digit() => digits.push(found),
            '#' => return None,
            wanted if wanted == found => {}
            _ => return None,
        }
    }
    if chars.next().is_some() {
        return None;
    }
    let mut digits = digits.into_iter();
    Some(other.chars().map(|c| if c == '#' { digits.next().unwrap_or(c) } else { c }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_name_stands_for_its_value_and_each_hash_for_a_digit() {
        let (document, _) = Document::parse("x.test.json", r#"{ "names": {} }"#).unwrap();
        let pairs = [("C##", "c0-00##"), ("Ada", "ada@example.com")];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let (names, problems) = Names::new(&IndexMap::from(pairs), &document);
        assert!(problems.is_empty());
        let mut value = json!(["@C07", "@Ada", "@@ada", "C07", "@C7", { "a": "@C99" }]);
        let mut problems = Vec::new();
        names.resolve(&mut value, "/tests", &document, &mut problems);
        assert_eq!(value, json!(["c0-0007", "ada@example.com", "@ada", "C07", "@C7", { "a": "c0-0099" }]));
        assert_eq!(problems.iter().map(|problem| problem.pointer.as_str()).collect::<Vec<_>>(), ["/tests/4"]);
        assert_eq!(names.shown("c0-0042"), "@C42");
        assert_eq!(names.shown("c0-00x2"), "c0-00x2");
        let uneven = IndexMap::from([("C##".to_owned(), "c#".to_owned())]);
        assert_eq!(Names::new(&uneven, &document).1.len(), 1);
    }
}
