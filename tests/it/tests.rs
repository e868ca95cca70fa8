//! `campanile test`: every example has a test that passes, and what is not as expected is shown.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::world::import_to;

const IMPORT: &str = "workflows/import.test.json";

fn test(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_campanile"));
    command.arg("test").args(args).current_dir(folder).env("NO_COLOR", "1").stdin(Stdio::null());
    command.output().unwrap()
}

#[test]
fn every_example_has_a_test_and_all_of_them_pass() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files: Vec<String> = fs::read_dir(root.join("workflows"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".json"))
        .collect();
    let workflows = files.iter().filter(|name| !name.ends_with(".test.json"));
    let untested: Vec<_> = workflows.filter(|name| !files.contains(&name.replace(".json", ".test.json"))).collect();
    assert!(untested.is_empty(), "these examples have no test beside them: {untested:?}");
    let answer = test(root, &["--json"]);
    let (out, err) = (String::from_utf8(answer.stdout).unwrap(), String::from_utf8(answer.stderr).unwrap());
    let report: Value = serde_json::from_str(out.trim()).unwrap_or_else(|error| panic!("{error}: {out}{err}"));
    assert_eq!(answer.status.code(), Some(0), "{report:#}{err}");
    assert!(report["passed"].as_u64().unwrap() >= files.len() as u64 / 2);

    let mut check = Command::new(env!("CARGO_BIN_EXE_campanile"));
    check.arg("check").args(files.iter().map(|name| format!("workflows/{name}"))).arg("--data=none/here");
    let answer = check.current_dir(root).env("NO_COLOR", "1").output().unwrap();
    assert_eq!(answer.status.code(), Some(0), "{}", String::from_utf8_lossy(&answer.stderr));
}

/// A project with an import of one contact, and a test of it that begins so and expects this.
fn project(expect: &Value) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("workflows")).unwrap();
    let workflow = json!({ "version": 1, "activities": import_to("end", &json!({ "end": { "type": "end" } })) });
    fs::write(folder.path().join("workflows/import.json"), workflow.to_string()).unwrap();
    let contact = json!({ "contactid": "@C01", "lastname": "Lovelace", "modifiedon": "2026-03-01T08:00:00Z" });
    let test = json!({
        "version": 1,
        "names": { "C##": "c0000000-0000-4000-8000-0000000000##" },
        "before": {
            "accounts": { "dynamics": "dynamics" },
            "crm": { "dynamics": { "records": { "contacts": [contact] } } },
        },
        "tests": { "imports": { "steps": [{ "clock": "2026-03-03 10:00:00", "run": {}, "expect": expect }] } },
    });
    fs::write(folder.path().join(IMPORT), test.to_string()).unwrap();
    folder
}

/// The differences that a test with these expectations shows.
fn differences(expect: &Value) -> Value {
    let folder = project(expect);
    let answer = test(folder.path(), &["--json"]);
    let report: Value = serde_json::from_slice(&answer.stdout).unwrap();
    let differences = report["tests"][0]["differences"].clone();
    let is_passed = differences.as_array().is_some_and(Vec::is_empty);
    assert_eq!(answer.status.code(), Some(i32::from(!is_passed)), "{report:#}");
    differences
}

#[test]
fn what_is_not_as_expected_is_shown_with_what_was_found() {
    let import = |expect: Value| json!({ "activities": { "import": expect } });
    let rows = |name| json!({ "columns": ["contactid", "lastname"], "rows": [["@C01", name]] });
    assert_eq!(differences(&import(json!({ "records": { "ok": rows("Lovelace") } }))), json!([]));
    let wrong = [
        (import(json!({ "out": {} })), json!(0), json!(1)),
        (import(json!({ "added": 2 })), json!(2), json!(1)),
        (import(json!({ "tasks": 2 })), json!(2), json!(1)),
        (import(json!({ "vars": { "crmEndDate": "x" } })), json!("x"), json!("2026/03/03 10:00:00")),
        (
            import(json!({ "records": { "ok": rows("Byron") } })),
            json!([["@C01", "Byron"]]),
            json!([["@C01", "Lovelace"]]),
        ),
        (import(json!({ "records": { "ok": [] } })), json!([]), json!([[]])),
        (json!({ "status": "suspended" }), json!("suspended"), json!("finished")),
        (json!({ "problems": ["unknown-field"] }), json!(["unknown-field"]), json!("the workflow started")),
        (json!({ "options": { "LASTIMPORT_import_import": null } }), json!(null), json!("2026/03/03 10:00:00")),
        (json!({ "database": { "recipient": 1 } }), json!(1), json!(0)),
        (json!({ "crm": { "dynamics": { "contacts": 2 } } }), json!(2), json!(1)),
        (
            json!({ "changes": { "dynamics": { "contacts": [{ "kind": "deleted", "id": "@C01" }] } } }),
            json!([["deleted", "contacts", "@C01", {}]]),
            json!([]),
        ),
        (json!({ "requests": { "dynamics": { "count": { "write": 1 } } } }), json!(1), json!(0)),
        (json!({ "warnings": ["slow"] }), json!([["slow"]]), json!([])),
        (json!({ "alerts": [{ "activity": "import" }] }), json!([["import"]]), json!([])),
        (json!({ "files": { "rejects.csv": ["a"] } }), json!(["a"]), json!(null)),
        (json!({ "rejects": [{ "id": 1, "state": "open" }] }), json!([[1, "open"]]), json!([])),
    ];
    for (expect, expected, found) in wrong {
        let differences = differences(&expect);
        assert_eq!(differences[0]["expected"], expected, "{expect}: {differences:#}");
        assert_eq!(differences[0]["found"], found, "{expect}: {differences:#}");
    }
}

#[test]
fn every_problem_of_a_test_file_is_told_at_once_with_its_place() {
    let folder = project(&json!({}));
    let codes = |text: &str| {
        fs::write(folder.path().join(IMPORT), text).unwrap();
        let answer = test(folder.path(), &["--json", IMPORT]);
        assert_eq!(answer.status.code(), Some(2), "{}", String::from_utf8_lossy(&answer.stdout));
        let report: Value = serde_json::from_slice(&answer.stdout).unwrap();
        let line = |problem: &Value| {
            format!("{}:{} {}", problem["line"], problem["pointer"], problem["code"]).replace('"', "")
        };
        report["problems"].as_array().unwrap().iter().map(line).collect::<Vec<_>>()
    };
    let schema = r#"{ "version": 1, "names": { "C##": "c#" },
        "before": { "clock": "noon", "accounts": { "crm": "dynamix" } },
        "tests": { "a": { "steps": [
            { "rum": {}, "faults": { "crm": [{ "route": "tokn" }] } },
            { "expect": { "vars": { "a": "@D01" } } } ] } } }"#;
    let expected = [
        "1:/names/C## wrong-value",
        "2:/before/clock wrong-value",
        "2:/before/accounts/crm wrong-value",
        "4:/tests/a/steps/0/rum unknown-key",
        "4:/tests/a/steps/0/faults/crm/0/route wrong-value",
        "5:/tests/a/steps/1/expect/vars/a unknown-name",
    ];
    assert_eq!(codes(schema), expected);
    assert_eq!(codes("[]"), ["1: wrong-type"]);
    assert_eq!(codes(r#"{ "tests": 1 }"#), ["1: missing-key", "1:/tests wrong-type"]);
    let meaning = r#"{ "version": 1, "before": { "accounts": { "dynamics": "dynamics" } },
        "tests": { "a": { "steps": [
            { "resume": {} },
            {},
            { "run": {}, "stop": {}, "faults": { "dynamic": [] }, "expect": {
                "activities": { "imprt": {}, "import": { "out": { "okay": 1 } } },
                "database": { "recipient": { "columns": ["a", "a"], "rows": [[1]] } } } },
            { "correct": { "one": { "a": 1 } }, "resend": { "activity": "imprt" } },
            { "createTable": { "account": "dynamic", "object": "contacts" }, "kill": { "after": "sealed" } } ] } } }"#;
    let expected = [
        "3:/tests/a/steps/0 wrong-value",
        "4:/tests/a/steps/1 wrong-value",
        "5:/tests/a/steps/2 wrong-value",
        "5:/tests/a/steps/2/faults/dynamic unknown-account",
        "6:/tests/a/steps/2/expect/activities/imprt unknown-activity",
        "6:/tests/a/steps/2/expect/activities/import/out/okay unknown-port",
        "7:/tests/a/steps/2/expect/database/recipient/columns/1 given-twice",
        "7:/tests/a/steps/2/expect/database/recipient/rows/0 wrong-value",
        "8:/tests/a/steps/3/correct/one wrong-value",
        "8:/tests/a/steps/3/resend/activity unknown-activity",
        "9:/tests/a/steps/4 wrong-value",
        "9:/tests/a/steps/4/createTable/account unknown-account",
    ];
    assert_eq!(codes(meaning), expected);
    let world = r#"{ "version": 1, "before": { "accounts": { "dynamics": { "kind": "dynamics", "login": "jwt" } },
            "crm": { "dynamics": { "records": {
                "contacts": [{ "contactid": "one" }], "leads": [{ "leadid": "x" }] } } },
            "database": { "sql": ["CREATE"], "tables": { "nobody": {} } } },
        "tests": { "a": { "steps": [{ "run": {} }] } } }"#;
    let expected = [
        "3:/before/crm/dynamics/records/contacts/0 refused",
        "3:/before/crm/dynamics/records/leads/0 refused",
        "4:/before/database/sql/0 refused",
        "4:/before/database/tables/nobody refused",
        "1:/before/accounts/dynamics/login refused",
    ];
    assert_eq!(codes(world), expected);
}
