//! The rejects desk: what a run refuses is kept, corrected and sent again.

use sandbox::ChangeKind;
use serde_json::{Value, json};

use crate::world::{World, wait_for};

/// Contacts as the CRM has them: the second has no address, the third that of the first.
fn world() -> World {
    let world = World::new(0);
    let contacts =
        [("c0", "Adams", Some("a@example.com")), ("c1", "Brown", None), ("c2", "Clark", Some("A@example.com"))];
    for (number, (_, name, mail)) in contacts.iter().enumerate() {
        let id = format!("c0000000-0000-4000-8000-00000000000{number}");
        world.sandbox.admin().put("contacts", &id, &json!({ "lastname": name, "emailaddress1": mail })).unwrap();
    }
    world
}

/// Its port of rejects leads nowhere; behind it a script counts.
fn workflow(world: &World) -> String {
    let activities = json!({
        "import": { "type": "crm.import", "account": "dynamics", "object": "contacts",
            "fields": ["lastname", "emailaddress1"], "orderBy": ["lastname"], "to": "save" },
        "save": { "type": "database.update", "table": "recipient", "key": ["email"],
            "set": { "email": "lower(emailaddress1)", "last_name": "lastname", "crm_id": "contactid" }, "to": "after" },
        "after": { "type": "script", "script": "vars.after = true;" },
    });
    world.workflow("people", &activities)
}

fn rejects(world: &World, more: &[&str]) -> Vec<Value> {
    let args: Vec<&str> = ["rejects", "list", "--json"].iter().chain(more).copied().collect();
    let mut rejects = world.ask(&args).expect(0).json()["rejects"].as_array().unwrap().clone();
    rejects.sort_by_key(|reject| reject["id"].as_i64());
    rejects
}

fn states(world: &World) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    rejects(world, &["--all"]).iter().map(|reject| (text(&reject["code"]), text(&reject["state"]["is"]))).collect()
}

fn is(code: &str, state: &str) -> (String, String) {
    (code.to_owned(), state.to_owned())
}

#[test]
fn what_a_run_refuses_is_corrected_and_sent_again_by_a_run_of_that_activity_alone() {
    let world = world();
    let file = workflow(&world);
    world.ask(&["run", &file]).expect(0);
    assert_eq!(states(&world), [is("KEY_EMPTY", "open"), is("KEY_REPEATED", "open")]);
    let refused = rejects(&world, &["--code", "KEY_EMPTY"]);
    let id = refused[0]["id"].to_string();
    assert_eq!(refused[0]["record"]["lastname"], "Brown");
    assert_eq!((&refused[0]["key"], &refused[0]["record"]["emailaddress1"]), (&Value::Null, &Value::Null));
    let human = world.ask(&["rejects", "list"]).expect(0);
    assert!(human.out.contains("KEY_REPEATED") && human.out.contains("a@example.com"), "{}", human.out);

    world
        .ask(&["rejects", "correct", &id, "mail=b@example.com"])
        .expect(1)
        .says(&["the record has no column \"mail\""]);
    world.ask(&["rejects", "correct", &id, "emailaddress1=b@example.com"]).expect(0);
    let requests = world.sandbox.admin().requests(1).iter().filter(|request| request.route == "query").count();
    // The file has changed meanwhile: what is sent goes as the run did that refused it.
    world.workflow("people", &json!({ "other": { "type": "start" } }));
    let sent = world.ask(&["rejects", "resend", "--code", "KEY_EMPTY", "--json"]).expect(0).json();
    assert_eq!((&sent["sent"], &sent["passed"]), (&json!(1), &json!(1)));
    let tasks = sent["runs"][0]["tasks"].as_array().unwrap();
    let names: Vec<&str> = tasks.iter().map(|task| task["activity"].as_str().unwrap()).collect();
    assert_eq!((names, &tasks[0]["in"], &tasks[0]["out"]["ok"]), (vec!["save", "after"], &json!(1), &json!(1)));
    assert_eq!(sent["runs"][0]["run"], "people-2");
    let after = world.sandbox.admin().requests(1).iter().filter(|request| request.route == "query").count();
    assert_eq!(after, requests, "the CRM is not read again");
    let brown = "b@example.com | c0000000-0000-4000-8000-000000000001 | ∅ | Brown | ∅";
    assert!(world.recipients().contains(&brown.to_owned()), "{:?}", world.recipients());
    let closed = world.ask(&["rejects", "show", &id, "--json"]).expect(0).json();
    assert_eq!((&closed["state"]["is"], &closed["state"]["run"]), (&json!("passed"), &json!("people-2")));
    world.ask(&["rejects", "resend", "--code", "KEY_EMPTY"]).expect(0).says(&["nothing to send"]);
    world.ask(&["rejects", "correct", &id, "lastname=X"]).expect(1).says(&["it passed in run people-2"]);
    assert_eq!(world.ask(&["runs", "--json"]).json().as_array().unwrap().len(), 2, "no run for nothing");
}

#[test]
fn a_reject_of_an_export_tells_what_went_out_of_the_record() {
    let world = world();
    let activities = json!({
        "import": { "type": "crm.import", "account": "dynamics", "object": "contacts",
            "fields": ["lastname", "emailaddress1"], "orderBy": ["lastname"], "to": "export" },
        "export": { "type": "crm.export", "account": "dynamics", "object": "contacts", "operation": "update",
            "set": { "contactid": "contactid", "lastname": "upper(lastname)", "description": "now()",
                "birthdate": { "value": "if is_empty(emailaddress1) { \"1980-05-31 23:00:00\" } else { emailaddress1 }",
                    "conversion": "dateOnly" } } },
    });
    let file = world.workflow("out", &activities);
    world.ask(&["run", &file]).expect(0);
    let passed = world.sandbox.admin().record("contacts", "c0000000-0000-4000-8000-000000000001").unwrap().unwrap();
    assert_eq!((&passed["lastname"], &passed["birthdate"]), (&json!("BROWN"), &json!("1980-05-31")));
    let refused = rejects(&world, &["--code", "VALUE_TYPE"]);
    assert_eq!(refused.len(), 2);
    let (record, sent) = (&refused[0]["record"], &refused[0]["sent"]);
    assert_eq!((&record["lastname"], &record["emailaddress1"]), (&json!("Adams"), &json!("a@example.com")));
    assert_eq!((&sent["lastname"], &sent["birthdate"]), (&json!("ADAMS"), &json!("a@example.com")));
    assert_eq!(sent["description"], passed["description"], "the time at which the export began");
    let id = refused[0]["id"].to_string();
    let shown = world.ask(&["rejects", "show", &id]).expect(0).out;
    assert!(["COLUMN", "Adams", "SENT AS", "ADAMS"].iter().all(|text| shown.contains(text)), "{shown}");
}

#[test]
fn what_is_refused_again_stays_one_reject_and_what_is_ignored_is_closed() {
    let world = world();
    let file = workflow(&world);
    world.ask(&["run", &file]).expect(0);
    let sent = world.ask(&["rejects", "resend", "--json"]).expect(0).json();
    // The other would take the place of the recipient that has its key, so it must be asked for.
    assert_eq!((&sent["sent"], &sent["passed"]), (&json!(1), &json!(0)));
    assert!(sent["left"][0].as_str().unwrap().contains("--code KEY_REPEATED"), "{sent}");
    assert!(world.recipients()[0].contains("Adams"), "{:?}", world.recipients());
    let sent = world.ask(&["rejects", "resend", "--code", "KEY_REPEATED", "--json"]).expect(0).json();
    assert_eq!((&sent["sent"], &sent["passed"]), (&json!(1), &json!(1)));
    assert_eq!(states(&world), [is("KEY_EMPTY", "open"), is("KEY_REPEATED", "passed")]);
    let left = &rejects(&world, &[])[0];
    assert_eq!((&left["attempts"], &left["run"]), (&json!(2), &json!("people-2")));
    let id = left["id"].to_string();
    world.ask(&["rejects", "ignore", &id, "--reason", "no address is known"]).expect(0);
    assert_eq!(states(&world), [is("KEY_EMPTY", "ignored"), is("KEY_REPEATED", "passed")]);
    world.ask(&["rejects", "resend", &id]).expect(0).says(&["nothing to send"]);
    world.ask(&["rejects", "resend", "9999"]).expect(1).says(&["there is no reject 9999", "rejects list --all"]);
    world.ask(&["rejects", "list"]).expect(0).says(&["there are no rejects"]);
}

#[test]
fn a_run_whose_file_is_gone_keeps_back_what_it_refused_and_nothing_else() {
    let world = world();
    let file = workflow(&world);
    world.ask(&["run", &file]).expect(0);
    world.ask(&["run", &file]).expect(0);
    let pinned = |run: u8| world.path(&format!(".campanile/runs/people-{run}/workflow.json"));
    std::fs::remove_file(pinned(1)).unwrap();
    let sent = world.ask(&["rejects", "resend", "--code", "KEY_EMPTY", "--json"]).expect(0).json();
    assert_eq!((&sent["sent"], sent["left"].as_array().unwrap().len()), (&json!(1), 1), "{sent}");
    let left = sent["left"][0].as_str().unwrap();
    assert!(left.contains("what people-1 refused cannot be sent") && left.contains("workflow.json"), "{left}");
    std::fs::remove_file(pinned(2)).unwrap();
    std::fs::remove_file(pinned(3)).unwrap();
    world.ask(&["rejects", "resend"]).expect(1).says(&["cannot be sent", "workflow.json"]);
}

#[test]
fn a_key_that_passes_in_a_later_run_closes_its_reject_also_beside_another_process() {
    let world = world();
    let file = workflow(&world);
    world.ask(&["run", &file]).expect(0);
    let idle = world.workflow("idle", &json!({ "wait": { "type": "wait", "for": "60s" } }));
    let mut owner = world.begin(&["run", &idle]);
    wait_for("the owner", || world.path(".campanile/owner.json").exists());
    world.ask(&["run", &file]).expect(0);
    let all = states(&world);
    let of = |code: &str| all.iter().filter(|(is, _)| is == code).map(|(_, state)| state.as_str()).collect::<Vec<_>>();
    // The second run refused it anew, as it is repeated still: it is the same reject.
    assert_eq!((of("KEY_REPEATED"), of("KEY_EMPTY")), (vec!["open"], vec!["open", "open"]));
    assert_eq!(rejects(&world, &["--code", "KEY_REPEATED"])[0]["attempts"], 2);
    let sent = world.ask(&["rejects", "resend", "--code", "KEY_REPEATED", "--json"]).expect(0).json();
    assert_eq!((&sent["sent"], &sent["passed"]), (&json!(1), &json!(1)));
    assert!(owner.is_working(), "the owner was over too early to tell anything");
    assert_eq!(owner.err().matches("waits until").count(), 1, "{}", owner.err());
    owner.interrupt();
    wait_for("its end", || !owner.is_working());
    world.ask(&["stop", "idle-1"]).expect(0);
}

fn contact(number: u8) -> String {
    format!("c0000000-0000-4000-8000-0000000000{number:02}")
}

/// Six records to export: one changes, one is the same, one is not there, one has no id, one is too long by a letter, and
/// one has the id of the first.
fn exporting() -> (World, String) {
    let world = World::new(0);
    for (number, name) in [(3, "Hopper"), (4, "Turing"), (8, "O'Brien")] {
        world.sandbox.admin().put("contacts", &contact(number), &json!({ "lastname": name })).unwrap();
    }
    let long = "x".repeat(51);
    let people = [
        (Some(3), "Hopper-Lee"),
        (Some(4), "Turing"),
        (Some(99), "Ghost"),
        (None, "Nobody"),
        (Some(8), long.as_str()),
        (Some(3), "Hopper-Two"),
    ];
    world.people(&people.map(|(number, name)| (number.map(contact), name.to_owned())));
    let activities = json!({
        "people": { "type": "database.query", "table": "person", "to": "export" },
        "export": { "type": "crm.export", "account": "dynamics", "object": "contacts", "operation": "update",
            "set": { "contactid": "crm_id", "lastname": "last_name" } },
    });
    let file = world.workflow("people", &activities);
    (world, file)
}

#[test]
fn what_an_export_refused_is_corrected_and_sent_again_once() {
    let (world, file) = exporting();
    world.ask(&["run", &file]).expect(0);
    let told = [("0x80040217", "open"), ("KEY_EMPTY", "open"), ("0x80044331", "open"), ("KEY_REPEATED", "open")];
    assert_eq!(states(&world), told.map(|(code, state)| is(code, state)));
    let all = rejects(&world, &[]);
    let keys: Vec<&Value> = all.iter().map(|reject| &reject["key"]).collect();
    assert_eq!(keys, [&json!(contact(99)), &Value::Null, &json!(contact(8)), &json!(contact(3))]);
    let before = world.changes().len();

    let id = all[2]["id"].to_string();
    world.ask(&["rejects", "correct", &id, "last_name=O'Hara"]).expect(0);
    let sent = world.ask(&["rejects", "resend", "--code", "0x80044331", "--json"]).expect(0).json();
    assert_eq!((&sent["sent"], &sent["passed"]), (&json!(1), &json!(1)));
    let changes = world.changes();
    let new: Vec<_> = changes[before..].iter().map(|change| (change.kind, change.id.clone())).collect();
    assert_eq!(new, [(ChangeKind::Updated, contact(8))]);
    assert_eq!(world.sandbox.admin().record("contacts", &contact(8)).unwrap().unwrap()["lastname"], "O'Hara");
    let closed = world.ask(&["rejects", "show", &id, "--json"]).expect(0).json();
    assert_eq!((&closed["state"]["is"], &closed["state"]["run"]), (&json!("passed"), &json!("people-2")));
    world.ask(&["rejects", "resend", "--code", "0x80044331"]).expect(0).says(&["nothing to send"]);
    assert_eq!(world.changes().len(), before + 1);
    world.ask(&["restart", "people-2"]).expect(1).says(&["sends rejects again", "rejects resend"]);
}

#[test]
fn an_export_closes_the_reject_of_a_record_whose_id_passes_in_a_later_run() {
    let (world, file) = exporting();
    world.ask(&["run", &file]).expect(0);
    world.sandbox.admin().put("contacts", &contact(99), &json!({ "lastname": "Here" })).unwrap();
    world.ask(&["run", &file]).expect(0);
    let ghost = rejects(&world, &["--all", "--code", "0x80040217"]);
    assert_eq!(ghost.len(), 1);
    assert_eq!((&ghost[0]["state"]["is"], &ghost[0]["state"]["run"]), (&json!("passed"), &json!("people-2")));
}
