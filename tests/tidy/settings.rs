//! The page of activities, made of their schemas, which are made of their fields and comments.

use std::collections::BTreeSet;
use std::fmt::Write;

use engine::activity::{Effect, Port, Spec, When};
use engine::schema::activity_schema;
use serde_json::{Map, Value};

/// What every activity may say, in the order of the page.
const COMMON: [&str; 7] = ["to", "label", "notes", "onError", "retry", "attempts", "timeZone"];
/// How deep settings within settings are told.
const DEPTH_MAX: usize = 5;
/// How a length of time is told from other texts.
const SPAN: &str = "span";

const HEAD: &str = "\
# Activities

Every type of activity, with its ports and settings. This page is made of the code; `make docs` writes it.

Besides the ports listed, each activity has `error`, which carries an event when the task failed, with the records that
came in; and each with `attempts` has `exhausted`. [The workflow file](../guide/workflow-file.md) explains both.
Settings in **bold** must be given.
";

/// The whole page.
pub(crate) fn page(palette: &[&Spec]) -> String {
    let mut page = HEAD.to_owned();
    page.push_str("\n## What every activity may say\n\n");
    let schema = activity_schema(palette[0]);
    let of = Of { definitions: &schema["$defs"] };
    for name in COMMON {
        of.setting(&mut page, name, &schema["properties"][name], false, 0);
    }
    for spec in palette {
        activity(&mut page, spec);
    }
    page
}

fn activity(page: &mut String, spec: &Spec) {
    let schema = activity_schema(spec);
    let of = Of { definitions: &schema["$defs"] };
    let effect = match spec.effect {
        Effect::Pure => "nothing outside of the run",
        Effect::Reads => "reads from outside",
        Effect::Writes => "writes to the outside",
    };
    let ports: Vec<String> = spec.ports.iter().map(port).collect();
    let ports = if ports.is_empty() { "see below".to_owned() } else { ports.join(", ") };
    let ports = if spec.kind == "end" { "none".to_owned() } else { ports };
    let told = paragraphs(schema["description"].as_str().unwrap_or_default());
    writeln!(page, "\n## {}\n\n{told}\n\nEffect: {effect}. Ports: {ports}.\n", spec.kind).unwrap();
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let properties = schema["properties"].as_object().cloned().unwrap_or_default();
    let own = properties.iter().filter(|(name, _)| *name != "type" && !COMMON.contains(&name.as_str()));
    let mut any = false;
    for (name, setting) in own {
        of.setting(page, name, setting, required.iter().any(|required| required == name), 0);
        any = true;
    }
    let example: Value = serde_json::from_str(spec.example).unwrap();
    let gap = if any { "\n" } else { "" };
    if !spec.drops.is_empty() {
        let drops = spec.drops.iter().map(|(rule, what)| format!("`{rule}` ({what})"));
        writeln!(page, "{gap}Drops by rule: {}.", drops.collect::<Vec<_>>().join(", ")).unwrap();
    }
    let gap = if any || !spec.drops.is_empty() { "\n" } else { "" };
    writeln!(page, "{gap}```json\n{example:#}\n```").unwrap();
    if !spec.sample.is_empty() {
        sample(page, spec.sample);
    }
}

/// What the example makes of some records, as tables.
fn sample(page: &mut String, sample: &str) {
    let sample: Value = serde_json::from_str(sample).unwrap();
    for (port, records) in sample.as_object().unwrap().iter().filter(|(port, _)| *port != "database") {
        let records = records.as_array().unwrap();
        let names: Vec<&String> = records[0].as_object().unwrap().keys().collect();
        let title = if port == "in" { "Records in".to_owned() } else { format!("Port `{port}`") };
        let row = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
        let head = row(names.iter().map(|name| format!("`{name}`")).collect());
        let rule = row(vec!["---".to_owned(); names.len()]);
        writeln!(page, "\n{title}:\n\n{head}\n{rule}").unwrap();
        for record in records {
            let cell = |name: &&String| match &record[name.as_str()] {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            writeln!(page, "{}", row(names.iter().map(cell).collect())).unwrap();
        }
    }
}

fn port(port: &Port) -> String {
    let when = match port.when {
        When::Always => None,
        When::WithRecords => Some("when it has records".to_owned()),
        When::Chosen => Some("when it was chosen".to_owned()),
    };
    let setting = port.setting().map(|setting| format!("with `{setting}`"));
    let notes: Vec<String> = setting.into_iter().chain(when).collect();
    if notes.is_empty() { format!("`{}`", port.name) } else { format!("`{}` ({})", port.name, notes.join(", ")) }
}

/// Writes settings as nested lists.
struct Of<'a> {
    definitions: &'a Value,
}

impl Of<'_> {
    fn setting(&self, page: &mut String, name: &str, schema: &Value, required: bool, depth: usize) {
        let schema = self.followed(schema);
        let name = if required { format!("**`{name}`**") } else { format!("`{name}`") };
        let default = match &schema["default"] {
            Value::Null | Value::Object(_) => String::new(),
            Value::Array(list) if list.is_empty() => String::new(),
            default => format!(" Default: `{default}`."),
        };
        let told = line(schema["description"].as_str().unwrap_or_default());
        let told = if told.is_empty() { String::new() } else { format!(". {told}") };
        let mut stop = if told.ends_with(['.', ':']) || told.is_empty() { "" } else { "." };
        if told.is_empty() && !default.is_empty() {
            stop = ".";
        }
        let indent = "  ".repeat(depth);
        writeln!(page, "{indent}- {name}: {}{told}{stop}{default}", self.form(&schema)).unwrap();
        // Forms that say the same say it once.
        let mut inner = String::new();
        self.inner(&mut inner, &schema, depth + 1);
        let mut told = BTreeSet::new();
        for line in inner.lines().filter(|line| told.insert(*line)) {
            writeln!(page, "{line}").unwrap();
        }
    }

    /// The settings and words within this one.
    fn inner(&self, page: &mut String, schema: &Value, depth: usize) {
        if depth > DEPTH_MAX {
            return;
        }
        let schema = self.followed(schema);
        let indent = "  ".repeat(depth);
        for (word, told) in words(&schema) {
            if !told.is_empty() {
                writeln!(page, "{indent}- `\"{word}\"`: {}", line(&told)).unwrap();
            }
        }
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        for (name, setting) in schema["properties"].as_object().into_iter().flatten() {
            self.setting(page, name, setting, required.iter().any(|required| required == name), depth);
        }
        for form in forms(&schema) {
            match variant(&form) {
                Some((name, setting)) => self.setting(page, &name, &setting, false, depth),
                None => self.inner(page, &form, depth),
            }
        }
        for within in ["items", "additionalProperties"] {
            if schema[within].is_object() {
                self.inner(page, &schema[within], depth);
            }
        }
    }

    /// What kind of value it takes.
    fn form(&self, schema: &Value) -> String {
        let schema = self.followed(schema);
        match schema["format"].as_str() {
            Some("expression") => return "an expression".to_owned(),
            Some(SPAN) => return "a length of time".to_owned(),
            _ => {}
        }
        let words: Vec<String> = words(&schema).into_iter().map(|(word, _)| format!("`\"{word}\"`")).collect();
        let mut kinds: Vec<String> = Vec::new();
        let mut add = |kind: String| {
            if !kind.is_empty() && !kinds.contains(&kind) {
                kinds.push(kind);
            }
        };
        if !words.is_empty() {
            add(words.join(", "));
        }
        for form in forms(&schema) {
            let form = self.followed(&form);
            if form["const"].is_null() {
                add(self.form(&form));
            }
        }
        if words.is_empty() {
            for kind in types(&schema) {
                add(match kind.as_str() {
                    "string" => "text".to_owned(),
                    "integer" => "a whole number".to_owned(),
                    "number" => "a number".to_owned(),
                    "boolean" => "`true` or `false`".to_owned(),
                    "array" if schema["items"].is_object() => format!("a list of ({})", self.form(&schema["items"])),
                    "array" => "a list".to_owned(),
                    "object" if schema["additionalProperties"].is_object() => {
                        format!("an object from name to ({})", self.form(&schema["additionalProperties"]))
                    }
                    "object" => "an object".to_owned(),
                    _ => String::new(),
                });
            }
        }
        kinds.join(", or ")
    }

    /// What a reference means, with what stands beside it.
    fn followed(&self, schema: &Value) -> Value {
        let mut own = match schema {
            Value::Object(own) => own.clone(),
            _ => return schema.clone(),
        };
        // An optional setting is one thing or null.
        if let Some([one, null]) = schema["anyOf"].as_array().map(Vec::as_slice)
            && null["type"] == "null"
        {
            own.remove("anyOf");
            return self.followed(&merged(&own, one));
        }
        let Some(name) = schema["$ref"].as_str().and_then(|to| to.strip_prefix("#/$defs/")) else {
            return schema.clone();
        };
        own.remove("$ref");
        if name == "Span" {
            own.insert("format".to_owned(), SPAN.into());
        }
        self.followed(&merged(&own, &self.definitions[name]))
    }
}

/// A form that is an object with one name, which chooses the form: the form's comment is the name's.
fn variant(form: &Value) -> Option<(String, Value)> {
    let told = form["description"].as_str()?;
    let properties = form["properties"].as_object().filter(|properties| properties.len() == 1)?;
    let (name, setting) = properties.iter().next()?;
    let mut setting = setting.clone();
    setting["description"] = told.into();
    Some((name.clone(), setting))
}

/// Two schemas as one; the first wins.
fn merged(first: &Map<String, Value>, second: &Value) -> Value {
    let mut all = second.as_object().cloned().unwrap_or_default();
    all.extend(first.clone());
    Value::Object(all)
}

/// The words that a value may be, each with what it means.
fn words(schema: &Value) -> Vec<(String, String)> {
    let word = |value: &Value| value.as_str().map(str::to_owned);
    let plain = schema["enum"].as_array().into_iter().flatten().filter_map(word).map(|word| (word, String::new()));
    let told = schema["oneOf"].as_array().into_iter().flatten().filter_map(|one| {
        let told = one["description"].as_str().unwrap_or_default().to_owned();
        Some((word(&one["const"])?, told))
    });
    plain.chain(told).collect()
}

/// The forms that a value may have.
fn forms(schema: &Value) -> Vec<Value> {
    let several = |key: &str| schema[key].as_array().cloned().unwrap_or_default();
    let mut forms = several("anyOf");
    forms.extend(several("oneOf"));
    forms.retain(|form| form["const"].is_null() && form["type"] != "null");
    forms
}

fn types(schema: &Value) -> Vec<String> {
    let kinds = match &schema["type"] {
        Value::String(kind) => vec![kind.clone()],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    kinds.into_iter().filter(|kind| kind != "null").collect()
}

fn line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn paragraphs(text: &str) -> String {
    text.split("\n\n").map(line).collect::<Vec<_>>().join("\n\n")
}
