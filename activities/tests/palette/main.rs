//! What every activity of the palette must keep.

#![expect(clippy::unwrap_used, reason = "test code")]

use std::collections::{BTreeSet, HashSet};

use activities::PALETTE;
use engine::check::read;
use engine::flow::Known;
use engine::schema::{Schemas, activity_schema};
use serde_json::{Value, json};

/// An example as part of a whole workflow: a target is there, and something leads in where something may.
fn workflow(example: &str, inbound: bool) -> String {
    let mut activities = json!({ "it": serde_json::from_str::<Value>(example).unwrap(), "next": { "type": "end" } });
    if inbound {
        activities["first"] = json!({ "type": "start", "to": "it" });
    }
    json!({ "version": 1, "activities": activities }).to_string()
}

#[test]
fn the_example_of_every_activity_is_right() {
    for spec in PALETTE {
        let text = workflow(spec.example, spec.inbound);
        let (workflow, problems) = read(PALETTE, &Schemas::default(), "x.json", "x", &text);
        assert_eq!(problems, [], "{}", spec.kind);
        let known = Known::default();
        let found = workflow.unwrap().flow(&known).problems;
        // Without a CRM and a database, an example may lack an account and records, and nothing else.
        let lacks = |code: &str| matches!(code, "unknown-account" | "no-records");
        let wrong: Vec<_> = found.iter().filter(|problem| !lacks(problem.code)).collect();
        assert!(
            wrong.iter().all(|problem| problem.code == "expression" && problem.message.contains("column")),
            "{wrong:#?}"
        );
    }
}

#[test]
fn every_setting_of_every_activity_is_explained() {
    for spec in PALETTE {
        let schema = activity_schema(spec);
        for (name, setting) in schema["properties"].as_object().unwrap() {
            let told = setting.get("description").is_some() || name == "type";
            assert!(told, "{}: {name} has no comment, which is its manual", spec.kind);
        }
    }
}

#[test]
fn names_of_activities_and_ports_are_told_apart() {
    let kinds: BTreeSet<_> = PALETTE.iter().map(|spec| spec.kind).collect();
    assert_eq!(kinds.len(), PALETTE.len());
    for spec in PALETTE {
        let ports: HashSet<_> = spec.ports.iter().map(|port| &port.name).collect();
        assert_eq!(ports.len(), spec.ports.len(), "{}", spec.kind);
        assert!(!ports.iter().any(|port| *port == "error" || *port == "exhausted"), "{}", spec.kind);
    }
}
