//! A file of settings with the place of everything in it: of a workflow in JSON here, of other forms by whoever reads them.

use std::collections::HashMap;

use jsonc_parser::ParseOptions;
use jsonc_parser::ast;
use jsonc_parser::common::Ranged;
use serde_json::{Map, Number, Value};

use crate::problem::Problem;

/// The largest workflow file, in bytes.
pub const FILE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What a file says, and where each part of it stands.
#[derive(Debug, Clone)]
pub struct Document {
    /// The file, as it was named.
    pub file: String,
    /// What it says; of a name given twice, the first.
    pub value: Value,
    /// The form of the file.
    pub form: Form,
    text: String,
    /// The first is the whole file. A tree, since pointers written out would repeat all names above each part.
    parts: Vec<Part>,
    line_starts: Vec<usize>,
}

/// The form of a file of settings, as messages show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// JSON.
    Json,
    /// TOML.
    Toml,
}

impl Form {
    /// What names with values are called.
    pub fn object_word(self) -> &'static str {
        match self {
            Self::Json => "an object",
            Self::Toml => "a table",
        }
    }

    /// A value as it is written.
    pub fn value(self, value: &Value) -> String {
        let setting = |(name, value): (&String, &Value)| self.setting(name, value);
        match value {
            Value::Object(map) if map.is_empty() => "{}".to_owned(),
            Value::Object(map) => format!("{{ {} }}", map.iter().map(setting).collect::<Vec<_>>().join(", ")),
            Value::Array(items) => {
                format!("[{}]", items.iter().map(|item| self.value(item)).collect::<Vec<_>>().join(", "))
            }
            other => other.to_string(),
        }
    }

    /// A name with its value as it is written.
    pub fn setting(self, name: &str, value: &Value) -> String {
        match self {
            Self::Json => format!("{}: {}", Value::from(name), self.value(value)),
            Self::Toml => format!("{name} = {}", self.value(value)),
        }
    }
}

/// A value of the file: where it stands, and the parts within it by name or number.
#[derive(Debug, Clone, Default)]
struct Part {
    place: Place,
    inner: HashMap<String, usize>,
}

/// Where a name and its value stand, in bytes from the beginning.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    key: usize,
    value: usize,
}

impl Document {
    /// A text of which nothing is known yet: its reader fills in `value` and tells each [`place`](Self::place).
    pub fn new(file: &str, text: &str) -> Self {
        Self {
            file: file.to_owned(),
            value: Value::Null,
            form: Form::Json,
            text: text.to_owned(),
            parts: vec![Part::default()],
            line_starts: std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect(),
        }
    }

    /// Notes where the value at a pointer stands, in bytes from the beginning: its name, and the value.
    pub fn place(&mut self, pointer: &str, key: usize, value: usize) {
        let place = Place { key, value };
        match pointer.rsplit_once('/') {
            Some((above, step)) => _ = self.add(self.part(above), step, place),
            None => self.parts[0].place = place,
        }
    }

    fn add(&mut self, above: usize, step: &str, place: Place) -> usize {
        self.parts.push(Part { place, inner: HashMap::new() });
        let part = self.parts.len() - 1;
        self.parts[above].inner.insert(step.to_owned(), part);
        part
    }

    /// The part that a pointer leads to, else the nearest around it.
    fn part(&self, pointer: &str) -> usize {
        let mut part = 0;
        for step in pointer.split('/').skip(1) {
            match self.parts[part].inner.get(step) {
                Some(inner) => part = *inner,
                None => break,
            }
        }
        part
    }

    /// Reads a file's text as strict JSON. Names given twice are problems, but the document can be used.
    ///
    /// # Errors
    /// Where it is not JSON.
    pub fn parse(file: &str, text: &str) -> Result<(Self, Vec<Problem>), Box<Problem>> {
        let mut document = Self::new(file, text);
        if text.len() > FILE_BYTES_MAX {
            let message = format!("the file has {} bytes; the most is {FILE_BYTES_MAX}", text.len());
            return Err(Box::new(document.problem_at(0, "", "file-too-large", message, None)));
        }
        let options = ParseOptions {
            allow_comments: false,
            allow_loose_object_property_names: false,
            allow_trailing_commas: false,
            allow_missing_commas: false,
            allow_single_quoted_strings: false,
            allow_hexadecimal_numbers: false,
            allow_unary_plus_numbers: false,
            allow_bare_decimal_point_numbers: false,
            allow_non_finite_numbers: false,
            allow_extended_string_escapes: false,
        };
        let parsed = jsonc_parser::parse_to_ast(text, &Default::default(), &options).map_err(|error| {
            let message = format!("this is not JSON: {}", lower_first(&error.kind().to_string()));
            Box::new(document.problem_at(error.range().start, "", "not-json", message, None))
        })?;
        let Some(root) = parsed.value else {
            return Err(Box::new(document.problem_at(0, "", "not-json", "the file is empty".to_owned(), None)));
        };
        let mut problems = Vec::new();
        let start = root.range().start;
        document.parts[0].place = Place { key: start, value: start };
        document.value = document.take(&root, 0, &mut String::new(), &mut problems);
        Ok((document, problems))
    }

    fn take(&mut self, node: &ast::Value<'_>, part: usize, pointer: &mut String, problems: &mut Vec<Problem>) -> Value {
        match node {
            ast::Value::StringLit(text) => Value::String(text.value.to_string()),
            ast::Value::NumberLit(number) => number.value.parse::<Number>().map_or(Value::Null, Value::Number),
            ast::Value::BooleanLit(boolean) => Value::Bool(boolean.value),
            ast::Value::NullKeyword(_) => Value::Null,
            ast::Value::Array(array) => {
                let items = array.elements.iter().enumerate();
                let items = items.map(|(n, item)| self.within(part, pointer, &n.to_string(), item, None, problems));
                Value::Array(items.collect())
            }
            ast::Value::Object(object) => {
                let mut map = Map::new();
                for property in &object.properties {
                    let name = property.name.as_str().to_owned();
                    let at = property.name.range().start;
                    if let Some(first) = self.parts[part].inner.get(&*escape(&name)) {
                        let (line, _) = self.line_column(self.parts[*first].place.key);
                        let message = format!("\"{name}\" is given twice; the first is in line {line}");
                        let help = Some("rename or remove one of them".to_owned());
                        let inner = format!("{pointer}/{}", escape(&name));
                        problems.push(self.problem_at(at, &inner, "given-twice", message, help));
                        continue;
                    }
                    let value = self.within(part, pointer, &name, &property.value, Some(at), problems);
                    map.insert(name, value);
                }
                Value::Object(map)
            }
        }
    }

    fn within(
        &mut self,
        above: usize,
        pointer: &mut String,
        step: &str,
        node: &ast::Value<'_>,
        key: Option<usize>,
        problems: &mut Vec<Problem>,
    ) -> Value {
        let length = pointer.len();
        let step = escape(step);
        let start = node.range().start;
        let part = self.add(above, &step, Place { key: key.unwrap_or(start), value: start });
        pointer.push('/');
        pointer.push_str(&step);
        let value = self.take(node, part, pointer, problems);
        pointer.truncate(length);
        value
    }

    /// A problem with what stands at a pointer; where nothing stands there, with what is nearest around it.
    pub fn problem(&self, pointer: &str, code: &'static str, message: String, help: Option<String>) -> Problem {
        self.problem_at(self.nearest(pointer).value, pointer, code, message, help)
    }

    /// A problem with a name, rather than with what it stands for.
    pub fn problem_of_key(&self, pointer: &str, code: &'static str, message: String, help: Option<String>) -> Problem {
        self.problem_at(self.nearest(pointer).key, pointer, code, message, help)
    }

    /// A problem within the text at a pointer, so many characters after its beginning.
    pub fn problem_within(
        &self,
        pointer: &str,
        at: usize,
        code: &'static str,
        message: String,
        help: Option<String>,
    ) -> Problem {
        let start = self.nearest(pointer).value;
        let offset = if self.text[start..].starts_with('"') { offset_in_literal(&self.text[start..], at) } else { 0 };
        self.problem_at(start + offset, pointer, code, message, help)
    }

    fn nearest(&self, pointer: &str) -> Place {
        self.parts[self.part(pointer)].place
    }

    /// A problem at this byte of the text.
    pub fn problem_at(
        &self,
        at: usize,
        pointer: &str,
        code: &'static str,
        message: String,
        help: Option<String>,
    ) -> Problem {
        let (line, column) = self.line_column(at);
        Problem { file: self.file.clone(), pointer: pointer.to_owned(), line, column, code, message, help }
    }

    fn line_column(&self, at: usize) -> (usize, usize) {
        let line = self.line_starts.partition_point(|start| *start <= at).max(1);
        let start = self.line_starts[line - 1];
        (line, self.text.get(start..at).map_or(0, |before| before.chars().count()) + 1)
    }
}

/// A name as a step of a JSON pointer.
pub fn escape(step: &str) -> String {
    step.replace('~', "~0").replace('/', "~1")
}

/// The bytes before the `at`-th character of a JSON string literal that `text` begins with.
fn offset_in_literal(text: &str, at: usize) -> usize {
    let mut offset = 1;
    for _ in 0..at {
        let rest = &text[offset..];
        offset += match rest.as_bytes().first() {
            None | Some(b'"') => break,
            Some(b'\\') if rest.starts_with("\\u") => match rest.get(2..4) {
                Some("d8" | "D8" | "d9" | "D9" | "da" | "DA" | "db" | "DB") => 12,
                _ => 6,
            },
            Some(b'\\') => 2,
            Some(_) => rest.chars().next().map_or(1, char::len_utf8),
        };
        if offset > text.len() {
            return text.len();
        }
    }
    offset
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_lines_and_columns_in_characters() {
        let (document, problems) = Document::parse("x.json", "{\n  \"é\": {\"b\": [1, \"zwei\"]}\n}").unwrap();
        assert!(problems.is_empty());
        let problem = document.problem("/é/b/1", "x", String::new(), None);
        assert_eq!((problem.line, problem.column), (2, 18));
        let missing = document.problem("/é/b/1/none", "x", String::new(), None);
        assert_eq!((missing.line, missing.column), (2, 18));
    }

    #[test]
    fn a_place_within_a_text_counts_an_escape_as_one_character() {
        let (document, _) = Document::parse("x.json", r#"["a == \"ü\" && b"]"#).unwrap();
        let problem = document.problem_within("/0", 12, "x", String::new(), None);
        assert_eq!((problem.line, problem.column), (1, 17));
    }

    #[test]
    fn a_name_given_twice_is_a_problem_at_the_second() {
        let (document, problems) = Document::parse("x.json", "{\"a\": 1,\n \"a\": 2}").unwrap();
        assert_eq!(document.value["a"], 1);
        assert_eq!((problems[0].code, problems[0].line, problems[0].column), ("given-twice", 2, 2));
    }

    #[test]
    fn what_is_not_json_is_said_with_its_place() {
        let problem = Document::parse("x.json", "{\n  \"a\": 1,\n}").unwrap_err();
        assert_eq!((problem.code, problem.line), ("not-json", 2));
        assert_eq!(Document::parse("x.json", "").unwrap_err().code, "not-json");
    }
}
