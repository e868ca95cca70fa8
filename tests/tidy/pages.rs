//! Pages that are made of the code. `UPDATE_DOCS=1` writes them anew.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};

use activities::PALETTE;
use engine::schema::{schema_of, workflow_schema};
use serde_json::Value;
use server::config::Config;

use crate::files::{root, text};
use crate::settings;

#[test]
fn the_schema_of_workflows_is_in_step() {
    in_step("docs/reference/workflow.schema.json", &format!("{:#}\n", workflow_schema(PALETTE)));
}

#[test]
fn the_schema_of_tests_is_in_step() {
    let mut campanile = Command::new(env!("CARGO_BIN_EXE_campanile"));
    let answer = campanile.args(["schema", "--test"]).output().unwrap();
    in_step("docs/reference/test.schema.json", &String::from_utf8(answer.stdout).unwrap());
}

#[test]
fn the_page_of_activities_is_in_step() {
    in_step("docs/reference/activities.md", &settings::page(PALETTE));
}

#[test]
fn the_page_of_the_command_line_is_in_step() {
    let mut page =
        "# The command line\n\nThis page is what `campanile help` prints; `make docs` writes it.\n".to_owned();
    describe(&mut Vec::new(), &mut page);
    in_step("docs/reference/cli.md", &page);
}

#[test]
fn every_key_of_the_configuration_is_in_the_guide() {
    let page = text("docs/guide/configuration.md");
    let mut keys = BTreeSet::new();
    collect_keys(&schema_of::<Config>(), &mut keys);
    assert!(keys.contains("rejectsKept") && keys.contains("webhook"), "the keys are not found any more: {keys:?}");
    let is_told = |key: &String| {
        let forms = [format!("`{key}`"), format!("[{key}"), format!(".{key}]"), format!("{key} = ")];
        forms.iter().any(|form| page.contains(form))
    };
    let untold: Vec<_> = keys.iter().filter(|key| !is_told(key)).collect();
    assert!(untold.is_empty(), "docs/guide/configuration.md does not tell of {untold:?}");
}

/// The names of all properties within a schema.
fn collect_keys(schema: &Value, keys: &mut BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            let properties = fields.get("properties").and_then(Value::as_object);
            keys.extend(properties.into_iter().flat_map(serde_json::Map::keys).cloned());
            fields.values().for_each(|inner| collect_keys(inner, keys));
        }
        Value::Array(items) => items.iter().for_each(|inner| collect_keys(inner, keys)),
        _ => {}
    }
}

/// Compares a page with what the code makes of it.
fn in_step(path: &str, wanted: &str) {
    let file = root().join(path);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, wanted).unwrap();
        return;
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    if found == wanted {
        return;
    }
    let line = found.lines().zip(wanted.lines()).take_while(|(found, wanted)| found == wanted).count();
    let nth = |text: &str| text.lines().nth(line).unwrap_or("(nothing more)").to_owned();
    panic!(
        "{path} is not what the code says; run `make docs`. Line {}:\n  page: {}\n  code: {}",
        line + 1,
        nth(&found),
        nth(wanted)
    );
}

/// Describes a command and those below it.
fn describe(command: &mut Vec<String>, page: &mut String) {
    let help = help(command);
    let name = ["campanile".to_owned()].iter().chain(command.iter()).cloned().collect::<Vec<_>>().join(" ");
    page.push_str(&format!("\n## {name}\n\n```text\n{}\n```\n", help.trim_end()));
    for below in commands(&help) {
        command.push(below);
        describe(command, page);
        command.pop();
    }
}

fn help(command: &[String]) -> String {
    let mut campanile = Command::new(env!("CARGO_BIN_EXE_campanile"));
    // The width of who runs this must not matter.
    campanile.args(command).arg("--help").env("COLUMNS", "100").stdin(Stdio::null()).stderr(Stdio::piped());
    let answer = campanile.output().unwrap();
    assert!(answer.status.success(), "{command:?}: {}", String::from_utf8_lossy(&answer.stderr));
    let text = String::from_utf8(answer.stdout).unwrap();
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// The names in the part of the help that lists commands.
fn commands(help: &str) -> Vec<String> {
    let list = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = list.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}
