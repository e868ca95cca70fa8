//! Commands that ask a CRM: discover, explain, check --online, accounts limits.

use std::fs;

use sandbox::Tracking;
use serde_json::{Value, json};

use crate::world::{World, import_to, wait_for};

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
    assert!(shown.contains("keeps a feed of its changes"), "{shown}");
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
fn check_online_fails_where_a_crm_could_not_be_asked() {
    let world = World::new(5);
    let file = world.workflow("a", &import_to("end", &ends()));
    for changed in [("clientSecret", "\"wrong\""), ("url", "\"http://127.0.0.1:9\"")] {
        world.configure(&[changed]);
        world.ask(&["check", &file]).expect(0);
        let told = world.ask(&["check", "--online", &file]).expect(1);
        assert!(told.err.contains("dynamics could not be asked about contacts"), "{}", told.err);
        let told = world.ask(&["check", "--online", &file, "--json"]).expect(1).json();
        assert_eq!((&told[0]["code"], &told[0]["severity"]), (&json!("not-asked"), &json!("notAsked")), "{told}");
        assert_eq!(told[0]["pointer"], "/activities/import");
    }
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
                // The workflow itself has another filter and fields than the last import.
                ("index-changed", "/activities/import/automaticIndex"),
                ("type-changed", format!("{fields}/0").as_str()),
                ("unknown-field", format!("{fields}/2").as_str()),
                ("value-gone", "/activities/import/filter"),
            ]
        );
    }
    world.configure(&[("url", "\"http://127.0.0.1:9\"")]);
    world.ask(&["check", "--online", &file]).says(&["dynamics could not be asked about contacts"]);
}

#[test]
fn check_online_tells_that_the_crm_does_not_keep_what_a_workflow_wants_to_know_of_deletions() {
    let world = World::new(5);
    let gone = json!({ "type": "crm.importDeleted", "account": "dynamics", "object": "contacts",
        "start": "2026/03/01", "end": "2026/03/07", "to": "end" });
    let file = world.workflow("gone", &json!({ "gone": gone, "end": { "type": "end" } }));
    world.ask(&["check", &file]).expect(0);
    let problems = world.ask(&["check", "--online", &file, "--json"]).expect(2).json();
    let problem = &problems[0];
    assert_eq!(
        (&problem["code"], &problem["pointer"]),
        (&json!("deletions-not-kept"), &json!("/activities/gone/start"))
    );
    assert!(problem["help"].as_str().unwrap().contains("switch on auditing"), "{problem}");
    let track = |tracking| world.sandbox.admin().set_tracking(&tracking).unwrap();
    track(Tracking { recycle_bin_days: Some(30), ..Tracking::default() });
    world
        .ask(&["check", "--online", &file])
        .expect(0)
        .says(&["deletions-without-time", "all that its recycle bin has"]);
    track(Tracking { audit: Some(true), ..Tracking::default() });
    assert!(!world.ask(&["check", "--online", &file]).expect(0).out.contains("recycle bin"));

    let news = json!({ "type": "crm.importDeleted", "account": "dynamics", "object": "contacts",
        "automaticIndex": true, "to": "end" });
    let file = world.workflow("news", &json!({ "news": news, "end": { "type": "end" } }));
    world.ask(&["check", "--online", &file]).expect(0);
    let tables = [("contact".to_owned(), false)].into();
    track(Tracking { tables, audit: Some(false), ..Tracking::default() });
    let problem = &world.ask(&["check", "--online", &file, "--json"]).expect(2).json()[0];
    let (code, pointer) = (json!("deletions-not-kept"), json!("/activities/news/automaticIndex"));
    assert_eq!((&problem["code"], &problem["pointer"]), (&code, &pointer), "auditing of the environment is off");
    track(Tracking { audit: Some(true), ..Tracking::default() });
    world.ask(&["check", "--online", &file]).expect(0);
}

#[test]
fn limits_and_missing_files_and_secrets_are_told_where_they_belong() {
    let world = World::new(0);
    let limits = world.ask(&["accounts", "limits", "--json"]).expect(0).json();
    assert!(limits["dynamics"]["limits"].is_array(), "{limits}");
    world.ask(&["accounts", "limits", "dynamic"]).expect(2).says(&["did you mean \"dynamics\"?"]);
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
    let set = world.ask(&["options", "set", "LASTIMPORT_a_import", "03/03/2026", "--data", "my data"]);
    set.expect(0).says(&["warning: options that an automatic index reads hold yyyy/MM/dd hh:mm:ss"]);
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

#[test]
fn an_export_and_a_delete_are_explained_with_method_batches_and_calls() {
    let world = World::new(5);
    world.add_salesforce("");
    let export = |account: &str, object: &str, set: Value| json!({ "type": "crm.export", "account": account, "object": object, "operation": "insert", "set": set });
    let mut fast = export("dynamics", "contacts", json!({ "lastname": "last_name" }));
    fast["duplicateRules"] = json!("ignore");
    let activities = json!({
        "people": { "type": "database.query", "table": "recipient", "to": ["new", "fast", "people2", "gone"] },
        "fast": fast,
        "new": export("dynamics", "contacts", json!({ "lastname": "last_name" })),
        "people2": export("salesforce", "Contact", json!({ "LastName": "last_name" })),
        "gone": { "type": "crm.delete", "account": "dynamics", "object": "contacts", "id": "crm_id", "batch": { "size": 50 } },
        "read": { "type": "crm.import", "account": "salesforce", "object": "Contact", "fields": ["LastName"] },
    });
    let file = world.workflow("a", &activities);
    let explain = |activity: &str, records: &str| {
        world.ask(&["explain", &file, activity, "--records", records, "--json"]).expect(0).json()
    };
    let told = explain("people2", "2000");
    assert_eq!((&told["kind"], &told["method"]), (&json!("write"), &json!("collections")));
    assert_eq!(told["way"], "sObject Collections");
    assert!(told["request"].as_str().unwrap().ends_with("/composite/sobjects"), "{told}");
    assert_eq!((&told["batches"], &told["perCall"], &told["calls"]), (&json!(10), &json!(200), &json!(10)));
    let told = explain("people2", "2001");
    assert_eq!((&told["method"], &told["batches"]), (&json!("bulk"), &json!(1)));
    assert!(told["calls"].as_u64().unwrap() > 1, "a job takes several calls: {told}");
    assert_eq!(told["way"], "Bulk API 2.0 ingest job");
    assert!(
        told["request"].as_str().unwrap().contains(r#"/jobs/ingest {"object":"Contact","operation":"insert""#),
        "{told}"
    );
    let told = explain("gone", "1000");
    assert_eq!((&told["batches"], &told["calls"], &told["records"]), (&json!(20), &json!(20), &json!(1000)));
    assert!(told["request"].as_str().unwrap().ends_with("/$batch of DELETE /api/data/v9.2/contacts(…)"), "{told}");
    let human = world.ask(&["explain", &file, "new", "--records", "5000"]).expect(0).out;
    assert!(human.contains("in parallel") && human.contains("at least"), "{human}");
    assert!(human.contains("method       $batch, ") && human.contains("/$batch of PATCH "), "{human}");
    let human = world.ask(&["explain", &file, "fast", "--records", "5000"]).expect(0).out;
    assert!(human.contains("method       CreateMultiple, ") && !human.contains("multiple,"), "{human}");
    assert!(human.contains("POST /api/data/v9.2/contacts/Microsoft.Dynamics.CRM.CreateMultiple"), "{human}");
    let told = explain("read", "1");
    assert_eq!(told["perCall"], 2_000);
    let records = told["records"].as_u64().unwrap();
    assert_eq!((&told["way"], records <= 2_000), (&json!("REST query"), true));
    assert_eq!(told["calls"], 1);
    assert!(world.changes().is_empty() && !world.path(".campanile").exists(), "explaining changes nothing");
}

#[test]
fn check_warns_of_a_column_that_an_import_by_ids_renames_and_the_workflow_is_right() {
    let world = World::new(5);
    let import = |more: Value| {
        let mut import = json!({ "type": "crm.import", "account": "dynamics", "object": "contacts",
            "fields": ["lastname"] });
        import.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        import
    };
    let activities = json!({
        "first": import(json!({ "to": "again" })),
        "again": import(json!({ "ids": "contactid" })),
    });
    let file = world.workflow("a", &activities);
    world.ask(&["run", &file]).expect(0);
    let told = world.ask(&["check", &file, "--json"]).expect(0).json();
    let told: Vec<_> = told.as_array().unwrap().iter().map(|one| (&one["severity"], &one["code"])).collect();
    assert_eq!(told, [(&json!("warning"), &json!("column-renamed"))]);
    for online in [&["check", &file] as &[&str], &["check", "--online", &file]] {
        world.ask(online).expect(0).says(&["\"lastname\" comes out as \"lastname_in\"", "no problems"]);
    }

    let mut activities = activities;
    activities["again"]["to"] = json!("nowhere");
    world.workflow("a", &activities);
    let told = world.ask(&["check", &file, "--json"]).expect(2).json();
    let is_problem = |one: &&Value| one["severity"] != "warning";
    let codes: Vec<_> = told.as_array().unwrap().iter().filter(is_problem).map(|one| &one["code"]).collect();
    assert_eq!(codes, ["unknown-target"]);
}

#[test]
fn the_accounts_that_the_sandbox_prints_work_as_they_are() {
    let world = World::new(0);
    let mut sandbox = world.begin(&["sandbox", "--contacts", "10"]);
    wait_for("the sandbox", || sandbox.out().contains("Ctrl-C ends it"));
    let out = sandbox.out();
    let accounts = &out[out.find("[accounts").unwrap()..out.find("Ctrl-C").unwrap()];
    world.write("campanile.toml", accounts);
    for account in ["dynamics", "salesforce"] {
        world.ask(&["accounts", "test", account]).expect(0);
    }
    assert!(sandbox.is_working());
}
