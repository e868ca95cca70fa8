//! `explain` tells what a run then sends: each test explains, runs, and looks at the requests that came.

use sandbox::Tracking;
use serde_json::{Value, json};

use crate::world::World;

/// Requests that came since, each with its verb; a job that is looked at again and again counts once.
fn sent(world: &World, from: u64) -> Vec<String> {
    let requests = world.sandbox.admin().requests(from);
    let mut sent: Vec<String> = requests.iter().map(|request| format!("{} {}", request.method, request.path)).collect();
    sent.dedup();
    sent
}

fn next_request(world: &World) -> u64 {
    world.sandbox.admin().requests(0).last().map_or(1, |request| request.number + 1)
}

fn explain(world: &World, file: &str, activity: &str, records: &str) -> Value {
    world.ask(&["explain", file, activity, "--records", records, "--json"]).expect(0).json()
}

/// All that is told to be sent is sent, in that order.
#[track_caller]
fn is_sent(told: &Value, sent: &[String]) {
    let before = told["before"].as_array().into_iter().flatten();
    let mut rest = sent.iter();
    for request in before.chain([&told["request"]]) {
        // Of a request with a body the address comes first.
        let request = request.as_str().unwrap();
        let line = request.split(" {").next().unwrap();
        assert!(rest.any(|one| one == line), "{line} is not next in {sent:#?}");
    }
}

#[test]
fn an_import_that_follows_changes_is_explained_with_the_token_that_the_last_one_kept() {
    let world = World::new(300);
    let import = json!({ "type": "crm.import", "account": "dynamics", "object": "contacts", "fields": ["lastname"],
        "automaticIndex": { "changes": true } });
    let file = world.workflow("a", &json!({ "import": import }));
    let told = explain(&world, &file, "import", "1");
    assert_eq!(told["way"], "OData query that begins the feed of changes");
    assert!(told["calls"].as_u64().unwrap() >= 2, "{told}");
    world.ask(&["run", &file]).expect(0);

    let told = explain(&world, &file, "import", "1");
    let request = told["request"].as_str().unwrap();
    assert!(request.contains("deltatoken"), "{request}");
    assert_eq!((&told["records"], &told["calls"]), (&Value::Null, &Value::Null), "nobody tells how many changed");
    let human = world.ask(&["explain", &file, "import"]).expect(0).out;
    assert!(human.contains("calls        at least 1 of 250 records at most"), "{human}");
    let from = next_request(&world);
    world.ask(&["run", &file]).expect(0);
    is_sent(&told, &sent(&world, from));
}

#[test]
fn an_import_that_follows_changes_of_salesforce_is_explained_with_the_span_and_the_ids() {
    let world = World::new(0);
    world.add_salesforce("");
    let admin = world.sandbox.admin();
    let clock = |text: &str| admin.set_clock(text.parse().unwrap(), true).unwrap();
    clock("2026-03-03T10:00:00Z");
    let people: Vec<Value> = (0..7).map(|n| json!({ "LastName": format!("N{n}") })).collect();
    let ids = admin.salesforce().create("Contact", &people).unwrap();
    let import = |field: &str| {
        json!({ "type": "crm.import", "account": "salesforce", "object": "Contact", "fields": ["LastName", field],
            "filter": "LastName != \"N6\"", "automaticIndex": { "changes": true } })
    };
    for (name, field, hour) in [("a", "Email", 11), ("b", "Account.Name", 12)] {
        clock(&format!("2026-03-03T{hour}:00:00Z"));
        let file = world.workflow(name, &json!({ "import": import(field) }));
        let run = || {
            let told = explain(&world, &file, "import", "1");
            let from = next_request(&world);
            world.ask(&["run", &file]).expect(0);
            let sent = sent(&world, from);
            // A query by ids has them in its address.
            let ids_shown = |line: &String| ids.iter().fold(line.clone(), |line, id| line.replace(id, "…"));
            is_sent(&told, &sent.iter().map(ids_shown).collect::<Vec<_>>());
            let calls = sent
                .iter()
                .filter(|line| ["updated", "deleted", "query", "composite"].iter().any(|part| line.contains(part)));
            assert_eq!(told["calls"], calls.count() as u64, "{sent:#?}");
            told
        };
        let first = run();
        assert_eq!(
            (&first["way"], &first["records"]),
            (&json!("REST query, which begins the feed of changes"), &json!(7))
        );
        let two = json!({ "LastName": "Changed" });
        ids[..2].iter().for_each(|id| admin.salesforce().put("Contact", id, &two).unwrap());
        clock(&format!("2026-03-03T{hour}:02:00Z"));
        let second = run();
        assert!(
            second["way"].as_str().unwrap().starts_with("feed of changes (getDeleted, getUpdated), then "),
            "{second}"
        );
        assert_eq!((&second["records"], &second["calls"]), (&json!(2), &json!(3)));
    }
}

#[test]
fn an_import_of_many_records_of_salesforce_is_explained_as_the_job_that_it_is() {
    let world = World::new(0);
    let people: Vec<Value> = (0..700).map(|n| json!({ "LastName": format!("N{n}") })).collect();
    world.sandbox.admin().salesforce().create("Contact", &people).unwrap();
    world.add_salesforce("bulk = { from = 400, recordsPerPage = 300 }\nlimits = { recordsPerPage = 200 }\n");
    let import = |more: Value| {
        let mut import =
            json!({ "type": "crm.import", "account": "salesforce", "object": "Contact", "fields": ["LastName"] });
        import.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        import
    };
    let file = world
        .workflow("a", &json!({ "many": import(json!({})), "ordered": import(json!({ "orderBy": ["LastName"] })) }));
    let told = explain(&world, &file, "many", "1");
    assert_eq!(told["records"], 700);
    assert_eq!((&told["way"], &told["perCall"]), (&json!("Bulk API 2.0 query job"), &json!(300)));
    let body = told["request"].as_str().unwrap().split_once(' ').unwrap().1.split_once(' ').unwrap().1;
    let body: Value = serde_json::from_str(body).unwrap();
    assert!(body["query"].as_str().unwrap().starts_with("SELECT Id, LastName"), "{body}");
    let ordered = explain(&world, &file, "ordered", "1");
    assert_eq!((&ordered["way"], &ordered["perCall"]), (&json!("REST query"), &json!(200)), "a job has no order");
    assert_eq!(ordered["calls"], 4);

    let file = world.workflow("b", &json!({ "many": import(json!({})) }));
    let from = next_request(&world);
    world.ask(&["run", &file]).expect(0);
    let sent = sent(&world, from);
    is_sent(&told, &sent);
    let begin = told["before"][0].as_str().unwrap();
    let of_it = sent.iter().filter(|line| *line == begin || line.contains("/jobs/query")).count() as u64;
    assert_eq!(told["calls"], of_it, "{sent:#?}");
}

#[test]
fn a_reading_by_ids_is_explained_with_the_key_and_the_calls_for_so_many_records() {
    let world = World::new(100);
    world.add_salesforce("");
    let contacts = world.sandbox.admin().records("contacts").unwrap();
    let ids = contacts.iter().map(|contact| contact["contactid"].as_str().unwrap().to_owned());
    let people: Vec<_> = ids.take(60).map(|id| (Some(id), "x".to_owned())).collect();
    world.people(&people);
    let by_ids = |account: &str, object: &str, field: &str| {
        json!({ "type": "crm.import", "account": account,
        "object": object, "fields": [field], "ids": "crm_id" })
    };
    let people = |to: Value| json!({ "type": "database.query", "table": "person", "to": to });
    let file = world.workflow(
        "a",
        &json!({ "people": people(json!(["one", "two", "three"])), "one": by_ids("dynamics", "contacts", "lastname"),
            "two": by_ids("salesforce", "Contact", "LastName"),
            "three": by_ids("salesforce", "Contact", "Account.Name") }),
    );
    let told = explain(&world, &file, "one", "3");
    assert_eq!((&told["way"], &told["calls"]), (&json!("OData query by id"), &json!(1)));
    let request = told["request"].as_str().unwrap();
    assert!(
        request.starts_with("GET ") && request.contains("contactid%20eq%20…%20or%20contactid%20eq%20…"),
        "{request}"
    );
    let told = explain(&world, &file, "one", "60");
    assert_eq!((&told["way"], &told["calls"]), (&json!("$batch of OData queries by id"), &json!(1)));
    assert!(told["request"].as_str().unwrap().contains("/$batch of GET "), "{told}");
    assert_eq!(explain(&world, &file, "one", "4001")["calls"], 3);

    let told = explain(&world, &file, "two", "4001");
    assert_eq!((&told["calls"], &told["perCall"]), (&json!(3), &json!(2_000)));
    assert!(told["request"].as_str().unwrap().contains(r#"composite/sobjects/Contact {"ids":["…"]"#), "{told}");
    let told = explain(&world, &file, "three", "100");
    let (calls, each) = (told["calls"].as_u64().unwrap(), told["perCall"].as_u64().unwrap());
    assert_eq!((&told["way"], calls), (&json!("REST query by ids"), 100_u64.div_ceil(each)));
    assert!(told["request"].as_str().unwrap().contains("Id+IN+(%27…%27,%27…%27)"), "{told}");

    let file = world
        .workflow("b", &json!({ "people": people(json!("one")), "one": by_ids("dynamics", "contacts", "lastname") }));
    let from = next_request(&world);
    world.ask(&["run", &file]).expect(0);
    let reads: Vec<_> =
        sent(&world, from).into_iter().filter(|line| line.contains("contactid") || line.contains("$batch")).collect();
    assert_eq!(reads, ["POST /api/data/v9.2/$batch"]);
}

#[test]
fn an_import_of_deletions_of_dynamics_is_explained_with_who_keeps_them() {
    let world = World::new(300);
    let gone = |more: Value| {
        let mut gone = json!({ "type": "crm.importDeleted", "account": "dynamics", "object": "contacts" });
        gone.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        gone
    };
    let period = json!({ "gone": gone(json!({ "start": "2026/03/01", "end": "date(\"2026-03-02\")" })) });
    let file = world.workflow("a", &period);
    world.ask(&["explain", &file, "gone"]).expect(1).says(&["switch on auditing"]);

    let keep = |tracking: Tracking| world.sandbox.admin().set_tracking(&tracking).unwrap();
    let explained_and_run = |way: &str, file: &str| {
        let told = explain(&world, file, "gone", "1");
        assert_eq!((&told["kind"], &told["way"]), (&json!("deleted"), &json!(way)));
        let from = next_request(&world);
        world.ask(&["run", file]).expect(0);
        is_sent(&told, &sent(&world, from));
        told
    };
    keep(Tracking { recycle_bin_days: Some(7), ..Tracking::default() });
    let told = explained_and_run("recycle bin, by FetchXML", &file);
    assert!(told["request"].as_str().unwrap().contains("fetchXml="), "{told}");
    keep(Tracking { audit: Some(true), ..Tracking::default() });
    let told = explained_and_run("audit log", &file);
    assert!(told["request"].as_str().unwrap().contains("operation%20eq%203"), "{told}");
    assert_eq!(told["period"], json!({ "from": "2026-03-01T00:00:00Z", "to": "2026-03-02T23:59:59.999999Z" }));
    assert_eq!(told["before"].as_array().unwrap().len(), 3);
    let human = world.ask(&["explain", &file, "gone"]).expect(0).out;
    assert!(human.contains("asked first") && human.contains("at least 4 of 250 records at most"), "{human}");
    assert!(human.contains("dropped by   outsidePeriod"), "{human}");

    let file = world.workflow("b", &json!({ "gone": gone(json!({ "automaticIndex": true })) }));
    let told = explained_and_run("feed of changes, to its end", &file);
    assert_eq!(told["calls"], 2, "all 300 contacts are passed once");
    let before = world.options();
    let told = explained_and_run("feed of changes, from the `$deltatoken` that was kept", &file);
    assert!(told["request"].as_str().unwrap().contains("deltatoken"), "{told}");
    assert_eq!(before.as_object().unwrap().len(), 1);

    let tables = [("contact".to_owned(), false)].into();
    keep(Tracking { tables, ..Tracking::default() });
    let file = world.workflow("c", &json!({ "gone": gone(json!({ "automaticIndex": true })) }));
    for (clock, from) in [("10:00", None), ("11:30", Some("09:55")), ("12:00", Some("11:25"))] {
        world.sandbox.admin().set_clock(format!("2026-03-05T{clock}:00Z").parse().unwrap(), true).unwrap();
        let told = explained_and_run("audit log", &file);
        let request = told["request"].as_str().unwrap().replace("%3A", ":");
        match from {
            None => assert!(!request.contains("createdon%20ge"), "the first reads the whole log: {told}"),
            Some(from) => assert!(request.contains(&format!("createdon%20ge%202026-03-05T{from}:00Z")), "{told}"),
        }
    }
}

#[test]
fn an_import_of_deletions_of_salesforce_and_a_comparison_of_keys_are_explained() {
    let world = World::new(300);
    world.add_salesforce("");
    let gone = |account: &str, object: &str, more: Value| {
        let mut gone = json!({ "type": "crm.importDeleted", "account": account, "object": object });
        gone.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        gone
    };
    let day = json!({ "start": "2026/03/01", "end": "2026/03/01" });
    let file = world.workflow("a", &json!({ "gone": gone("salesforce", "Contact", day) }));
    let told = explain(&world, &file, "gone", "1");
    let request = told["request"].as_str().unwrap();
    let span = "/sobjects/Contact/deleted?start=2026-03-01T00:00:00%2B00:00&end=2026-03-02T00:00:00%2B00:00";
    assert!(request.ends_with(span), "{request}");
    assert_eq!(told["calls"], 1);
    let from = next_request(&world);
    world.ask(&["run", &file]).expect(0);
    is_sent(&told, &sent(&world, from));

    let file =
        world.workflow("b", &json!({ "gone": gone("salesforce", "Contact", json!({ "automaticIndex": true })) }));
    let told = explain(&world, &file, "gone", "1");
    assert_eq!((told["before"].as_array().unwrap().len(), &told["calls"]), (1, &json!(2)));
    let from = next_request(&world);
    world.ask(&["run", &file]).expect(0);
    is_sent(&told, &sent(&world, from));

    world.people(&[]);
    let people = json!({ "type": "database.query", "table": "person", "to": ["one", "two"] });
    let ids = json!({ "ids": "crm_id" });
    let file = world.workflow(
        "c",
        &json!({ "people": people, "one": gone("dynamics", "contacts", ids.clone()), "two": gone("salesforce", "Contact", ids) }),
    );
    let told = explain(&world, &file, "one", "100");
    assert_eq!((&told["kind"], &told["calls"]), (&json!("fetch"), &json!(1)));
    assert!(told["request"].as_str().unwrap().contains("contactid%20eq%20…"), "{told}");
    assert_eq!(told["rules"], json!(["stillThere", "repeated"]));
    let told = explain(&world, &file, "one", "3000");
    assert_eq!(told["kind"], "read", "to read 300 ids is cheaper than to ask for 3,000: {told}");
    assert_eq!((&told["calls"], &told["rules"]), (&json!(2), &json!(["stillThere", "repeated"])));
    let told = explain(&world, &file, "two", "100");
    assert!(told["request"].as_str().unwrap().contains(r#"composite/sobjects/Contact {"ids":["…"]"#), "{told}");
}

#[test]
fn an_export_that_compares_is_explained_with_the_reading_that_comes_first() {
    let world = World::new(0);
    world.add_salesforce("");
    let people: Vec<Value> = (0..3).map(|n| json!({ "LastName": format!("N{n}") })).collect();
    let ids = world.sandbox.admin().salesforce().create("Contact", &people).unwrap();
    world.people(&ids.iter().map(|id| (Some(id.clone()), "Other".to_owned())).collect::<Vec<_>>());
    let file = world.workflow(
        "a",
        &json!({
            "people": { "type": "database.query", "table": "person", "to": "export" },
            "export": { "type": "crm.export", "account": "salesforce", "object": "Contact", "compare": true,
                "set": { "Id": "crm_id", "LastName": "last_name" } },
        }),
    );
    let told = explain(&world, &file, "export", "3");
    assert_eq!((told["before"].as_array().unwrap().len(), &told["calls"]), (1, &json!(2)), "{told}");
    let from = next_request(&world);
    world.ask(&["run", &file]).expect(0);
    let sent = sent(&world, from);
    let ids_shown = |line: &String| ids.iter().fold(line.clone(), |line, id| line.replace(id, "…"));
    is_sent(&told, &sent.iter().map(ids_shown).collect::<Vec<_>>());
}
