//! Commands that ask a CRM: discover, explain, check --online, accounts limits.

use std::fs;

use serde_json::{Value, json};

use crate::world::{World, import_to};

fn ends() -> Value {
    json!({ "end": { "type": "end" } })
}

#[test]
fn an_account_is_discovered_down_to_values_of_picklists_and_similar_names() {
    let world = World::new(5);
    let objects = world.ask(&["discover", "dynamics", "--json"]).expect(0).json();
    let names: Vec<&str> = objects.as_array().unwrap().iter().map(|object| object["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"contacts") && names.contains(&"accounts"), "{names:?}");
    let contacts = world.ask(&["discover", "dynamics", "contacts", "--json"]).expect(0).json();
    assert_eq!((&contacts["id"], &contacts["fields"]["lastname"]["length"]), (&json!("contactid"), &json!(50)));
    let shown = world.ask(&["discover", "dynamics", "contacts"]).expect(0).out;
    for part in ["emailaddress1", "String", "100 characters", "text"] {
        assert!(shown.contains(part), "{part} is not in: {shown}");
    }
    assert!(!world.path(".campanile").exists(), "asking makes no data folder");
    world.ask(&["discover", "dynamics", "contact_s"]).expect(1).says(&["did you mean `contacts`"]);
    world.ask(&["discover", "dynamic"]).expect(1).says(&["did you mean \"dynamics\"?"]);
}

#[test]
fn a_table_is_made_of_an_object_and_extended_and_nothing_in_it_changes() {
    let world = World::new(5);
    let make =
        || world.ask(&["discover", "dynamics", "contacts", "--create-table", "people", "--json"]).expect(0).json();
    let made = make()["table"].clone();
    assert_eq!((&made["made"], &made["name"]), (&json!(true), &json!("people")));
    let columns = made["added"].as_array().unwrap().len();
    assert_eq!(made["added"][0], "contactid");
    let database = rusqlite::Connection::open(world.path(".campanile/marketing.db")).unwrap();
    let label: String = database
        .query_row(
            "SELECT label FROM picklist_label WHERE table_name = 'people' AND column_name = 'statecode' AND value = '0'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(label, "Active");
    database
        .execute_batch(
            "INSERT INTO people(contactid, lastname) VALUES ('x', 'kept'); ALTER TABLE people DROP COLUMN birthdate;",
        )
        .unwrap();
    let again = make()["table"].clone();
    assert_eq!((&again["made"], &again["added"], &again["labels"]), (&json!(false), &json!(["birthdate"]), &json!(0)));
    let kept: String = database.query_row("SELECT lastname FROM people", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, "kept");

    // Every type of the object is written and read as it is.
    let fields: Vec<Value> = vec!["lastname".into(), "emailaddress1".into(), "birthdate".into(), "statecode".into()];
    let set = json!({ "contactid": "contactid", "lastname": "lastname", "birthdate": "birthdate", "statecode": "statecode",
        "modifiedon": "modifiedon" });
    let activities = json!({
        "import": { "type": "crm.import", "account": "dynamics", "object": "contacts", "fields": fields,
            "automaticIndex": true, "to": "save" },
        "save": { "type": "database.update", "table": "people", "key": ["contactid"], "set": set },
    });
    let file = world.workflow("fill", &activities);
    world.ask(&["run", &file]).expect(0);
    let rows: i64 = database.query_row("SELECT count(*) FROM people", [], |row| row.get(0)).unwrap();
    assert_eq!((rows, columns > 10), (6, true));
}

#[test]
fn check_online_tells_what_has_changed_in_the_crm_that_the_workflow_uses() {
    let world = World::new(5);
    let activities = import_to("end", &ends());
    let file = world.workflow("a", &activities);
    world.ask(&["check", "--online", &file]).expect(0).says(&["was not described before"]);
    assert!(!world.path(".campanile").exists(), "a check leaves nothing behind");
    world.ask(&["run", &file]).expect(0);
    world.ask(&["check", "--online", &file]).expect(0);

    // As if the CRM had been another when it was described last.
    let kept = world.path(".campanile/descriptions/dynamics/contacts.json");
    let mut before: Value = serde_json::from_slice(&fs::read(&kept).unwrap()).unwrap();
    let mut gone = before["fields"]["lastname"].clone();
    gone["name"] = json!("new_gone");
    before["fields"]["new_gone"] = gone;
    before["fields"]["lastname"]["kind"] = json!("int");
    before["fields"]["statecode"]["options"]["7"] = json!("Sleeping");
    fs::write(&kept, before.to_string()).unwrap();
    let mut activities = activities;
    activities["import"]["fields"] = json!(["lastname", "emailaddress1", "new_gone"]);
    activities["import"]["filter"] = json!("statecode == 7");
    world.workflow("a", &activities);
    for _ in 0..2 {
        let problems = world.ask(&["check", "--online", &file, "--json"]).expect(2).json();
        let mut told: Vec<(&str, &str)> = problems
            .as_array()
            .unwrap()
            .iter()
            .map(|problem| (problem["code"].as_str().unwrap(), problem["pointer"].as_str().unwrap()))
            .collect();
        told.sort_unstable();
        let fields = "/activities/import/fields";
        assert_eq!(
            told,
            [
                ("type-changed", format!("{fields}/0").as_str()),
                ("unknown-field", format!("{fields}/2").as_str()),
                ("value-gone", "/activities/import/filter"),
            ]
        );
    }
    world.configure(&[("url", "\"http://127.0.0.1:9\"")]);
    world.ask(&["check", "--online", &file]).says(&["not checked: contacts of dynamics as it is now"]);
}

#[test]
fn limits_and_missing_files_and_secrets_are_told_where_they_belong() {
    let world = World::new(0);
    let limits = world.ask(&["accounts", "limits", "--json"]).expect(0).json();
    assert!(limits["dynamics"]["limits"].is_array(), "{limits}");
    world.ask(&["accounts", "limits", "dynamic"]).expect(1).says(&["did you mean \"dynamics\"?"]);
    world.ask(&["check", "workflows/none.json"]).expect(2).says(&["cannot read this file", "workflows/none.json"]);
    world.ask(&["run", "workflows/none.json"]).expect(2).says(&["cannot read this file"]);
    let problems = world.ask(&["check", "workflows/none.json", "--json"]).expect(2).json();
    assert_eq!(problems[0]["code"], "not-readable");

    let file = world.workflow("a", &import_to("end", &ends()));
    world.configure(&[("clientSecret", "{ env = \"CAMPANILE_TEST_NO_SUCH_SECRET\" }")]);
    let told = world.ask(&["run", &file]).expect(2);
    assert!(
        told.err.contains("account-not-usable") && told.err.contains("CAMPANILE_TEST_NO_SUCH_SECRET"),
        "{}",
        told.err
    );
    assert!(!told.err.contains("unknown-object"), "{}", told.err);
}

#[test]
fn a_command_that_a_message_names_says_where_things_lie_as_this_one_was_told() {
    let world = World::new(0);
    let file = world.workflow("a", &import_to("end", &ends()));
    world.ask(&["run", &file, "--data", "my data"]).expect(0);
    world.ask(&["options", "set", "LASTIMPORT_a_import", "03/03/2026", "--data", "my data"]).expect(0);
    let told = world.ask(&["run", &file, "--data", "my data"]).expect(1);
    told.says(&["`campanile options set LASTIMPORT_a_import \"2026/03/03 10:00:00\" --data 'my data'`"]);
}

#[test]
fn an_import_is_explained_with_the_window_it_would_open_now_and_nothing_is_written() {
    let world = World::new(30);
    let mut activities = import_to("end", &ends());
    activities["import"]["filter"] = json!("statecode == 0 && len(lastname) > 3");
    let file = world.workflow("a", &activities);
    let told = world.ask(&["explain", &file, "import", "--json"]).expect(0).json();
    assert!(!world.path(".campanile").exists(), "explaining makes no data folder");
    assert_eq!((&told["window"]["from"], &told["window"]["to"]), (&Value::Null, &json!("2026-03-03T10:00:00Z")));

    world.ask(&["run", &file]).expect(0);
    world.ask(&["options", "set", "LASTIMPORT_a_import", "2026/03/01 10:00:00"]).expect(0);
    let before = world.options();
    let told = world.ask(&["explain", &file, "import", "--json"]).expect(0).json();
    assert_eq!(told["window"]["from"], "2026-03-01T09:55:00Z", "the overlap is read again");
    let request = told["request"].as_str().unwrap();
    assert!(
        request.contains("modifiedon%20ge%202026-03-01T09:55:00Z")
            || request.contains("modifiedon ge 2026-03-01T09:55:00Z"),
        "{request}"
    );
    assert_eq!((&told["sent"], &told["exact"]), (&json!("statecode eq 0"), &json!(false)));
    assert_eq!((&told["rules"], &told["perCall"]), (&json!(["alreadyImported"]), &json!(250)));
    assert!(told["calls"].as_u64().unwrap() >= 1, "{told}");
    assert_eq!(world.options(), before);
    assert_eq!(world.ask(&["runs", "--json"]).json().as_array().unwrap().len(), 1);
    let human = world.ask(&["explain", &file, "import"]).expect(0).out;
    assert!(human.contains("evaluated again here") && human.contains("(excluded)"), "{human}");

    world.ask(&["explain", &file, "imports"]).expect(1).says(&["did you mean \"import\"?"]);
    world.ask(&["explain", &file, "end"]).expect(1).says(&["end (end) asks no CRM"]);
    world.workflow("a", &json!({ "import": { "type": "crm.imports" } }));
    world.ask(&["explain", &file, "import"]).expect(2).says(&["crm.imports"]);
}
