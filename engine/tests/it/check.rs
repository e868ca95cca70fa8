//! Every problem of a broken file, in its author's words and at its place.

use std::fmt::Write as _;

use engine::check::read;
use engine::flow::Known;
use engine::problem::Suggestions;
use engine::schema::{Schemas, workflow_schema};

use crate::palette::PALETTE;

fn problems(text: &str) -> String {
    let (workflow, mut problems) = read(PALETTE, &Schemas::default(), "x.json", "x", text);
    if let Some(workflow) = &workflow {
        problems.extend(workflow.flow(&Known::default()).problems);
    }
    let mut told = String::new();
    for problem in problems {
        let help = problem.help.map(|help| format!(" | {help}")).unwrap_or_default();
        writeln!(
            told,
            "{}:{} {} {}: {}{help}",
            problem.line, problem.column, problem.pointer, problem.code, problem.message
        )
        .unwrap();
    }
    told
}

#[test]
fn a_file_with_thousands_of_wrong_names_gets_a_bounded_number_of_suggestions() {
    const ACTIVITIES: usize = 8_000;
    let activity = |n| format!("\"activity{n}\": {{ \"type\": \"pass\", \"to\": \"activty{n}x\" }}");
    let activities: Vec<String> = (0..ACTIVITIES).map(activity).collect();
    let text = format!("{{ \"version\": 1, \"activities\": {{ {} }} }}", activities.join(",\n"));
    let (_, problems) = read(PALETTE, &Schemas::default(), "x.json", "x", &text);
    assert_eq!(problems.len(), ACTIVITIES);
    assert_eq!(problems[0].help.as_deref(), Some("did you mean \"activity0\"?"));
    let suggested = problems.iter().filter(|problem| problem.help.is_some()).count();
    assert_eq!(suggested, Suggestions::LOOKED_AT_MAX / ACTIVITIES, "each looks at all names");
}

#[test]
fn all_problems_are_told_at_once() {
    insta::assert_snapshot!(problems(
        r#"{
  "version": 2,
  "lable": "x",
  "timeZone": "Europe/Pariss",
  "activities": {
    "a": { "type": "numbres", "count": 1 },
    "b": { "type": "numbers", "cuont": 1, "to": "c" },
    "c": { "type": "numbers", "count": "1" },
    "d": { "type": "pass", "to": { "ok": "nowhere", "okk": "a", "error": ["b", "f"] } },
    "e e": { "type": "pass", "onError": "supend" },
    "f": { "type": "pass", "retry": { "attempts": 3, "backoff": "soon" } },
    "g": { "type": "pass", "to": "g" },
    "d": {},
    "h": 5
  }
}"#
    ));
}

#[test]
fn two_imports_cannot_share_an_option_and_loops_need_a_bound() {
    insta::assert_snapshot!(problems(
        r#"{
  "version": 1,
  "activities": {
    "a": { "type": "pass", "to": "b" },
    "b": { "type": "pass", "to": { "ok": "c", "error": "a" } },
    "c": { "type": "pass", "attempts": 2, "to": { "exhausted": "a", "ok": "c" } }
  }
}"#
    ));
}

#[test]
fn a_sound_file_has_no_problems_and_its_schema_agrees() {
    let text =
        r#"{ "version": 1, "activities": { "a": { "type": "numbers", "count": 1, "retry": { "attempts": 3 } } } }"#;
    assert_eq!(problems(text), "");
    let schema = workflow_schema(PALETTE);
    let validator = jsonschema::validator_for(&schema).unwrap();
    assert!(validator.is_valid(&serde_json::from_str(text).unwrap()));
    assert!(!validator.is_valid(&serde_json::json!({ "version": 1, "activities": { "a": { "type": "numbers" } } })));
    assert!(!validator.is_valid(&serde_json::json!({ "version": 1, "activities": { "a": { "type": "none" } } })));
}

#[test]
fn what_is_wrong_in_one_activity_is_not_told_of_those_behind_it() {
    let told = |a: &str, to: &str| {
        problems(&format!(
            r#"{{ "version": 1, "activities": {{
                "a": {{ "type": "{a}", "count": 1, "to": "{to}" }},
                "b": {{ "type": "needy", "to": "c" }},
                "c": {{ "type": "needy" }}
            }} }}"#
        ))
    };
    assert_eq!(told("numbers", "b"), "");
    assert_eq!(told("numbres", "b").lines().count(), 1, "{}", told("numbres", "b"));
    assert_eq!(told("numbers", "bb").lines().count(), 1, "{}", told("numbers", "bb"));
    let none = problems(r#"{ "version": 1, "activities": { "b": { "type": "needy" } } }"#);
    assert!(none.contains("no-records"), "{none}");
}
