//! Mistakes that people make, and the help that they get: each test is one kind.

use serde_json::{Value, json};

use crate::world::World;

/// The help of `check` on a workflow of these activities, one line a problem: code, message, help.
fn helps(world: &World, activities: &Value) -> String {
    let file = world.workflow("wrong", activities);
    let answer = world.ask(&["check", "--json", &file]);
    let line = |problem: &Value| {
        let part = |name: &str| problem[name].as_str().unwrap_or("-").to_owned();
        format!("{}: {}; {}", part("code"), part("message"), part("help"))
    };
    answer.json().as_array().unwrap().iter().map(line).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn assert_help(activities: &Value, wanted: &[&str]) {
    let helps = helps(&World::new(0), activities);
    for wanted in wanted {
        assert!(helps.contains(wanted), "{wanted:?} is not in:\n{helps}");
    }
}

fn dedupe(more: &Value) -> Value {
    let mut dedupe = json!({ "type": "dedupe", "by": ["lower(email)"] });
    dedupe.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "dedupe": dedupe, "next": { "type": "end" } })
}

#[test]
fn an_unknown_type_is_answered_with_the_nearest_by_meaning_and_the_list() {
    for (written, meant) in [
        ("salesforce.import", "\"crm.import\""),
        ("salesforceExport", "\"crm.export\""),
        ("deduplicate", "\"dedupe\""),
        ("mail", "\"crm.export\" or \"file.extract\""),
        ("csv", "\"file.extract\""),
        ("cron", "\"scheduler\""),
        ("sql", "\"database.query\" or \"database.update\""),
        ("upsert", "\"crm.export\" or \"database.update\""),
    ] {
        let wanted = format!("did you mean {meant}? there are: start, end,");
        assert_help(&json!({ "a": { "type": written } }), &[&wanted]);
    }
    assert_help(&json!({ "a": { "type": "dedup" } }), &["did you mean \"dedupe\"?"]);
    assert_help(&json!({ "a": { "type": "zzz" } }), &["; there are: start, end,"]);
}

#[test]
fn a_wrong_rule_of_a_deduplication_is_answered_with_the_forms_of_rules() {
    let forms =
        "{ \"largest\": \"modifiedon\" }, { \"smallest\": \"createdon\" }, { \"nonEmpty\": \"telephone1\" } or \"any\"";
    assert_help(&dedupe(&json!({ "keep": "newest" })), &[forms]);
    assert_help(&dedupe(&json!({ "keep": 5 })), &[forms]);
    assert_help(&dedupe(&json!({ "keep": "ani" })), &["did you mean \"any\"?"]);
}

#[test]
fn a_constant_text_without_quotes_of_its_own_is_answered_with_them() {
    let query = |value: &str| {
        json!({
            "query": { "type": "database.query", "table": "person", "to": "enrich" },
            "enrich": { "type": "enrich", "compute": { "source": value } },
        })
    };
    let world = World::new(0);
    world.people(&[]);
    for (value, wanted) in [
        ("Web", "a constant text is written \"\\\"Web\\\"\"; there are number, crm_id, last_name"),
        ("New York", "a constant text is written \"\\\"New York\\\"\""),
        ("last_name == Web", "a constant text is written \\\"Web\\\""),
        ("lastname", "did you mean `last_name`?"),
    ] {
        let helps = helps(&world, &query(value));
        assert!(helps.contains(wanted), "{wanted:?} is not in:\n{helps}");
    }
}

#[test]
fn a_port_that_needs_a_setting_is_answered_with_the_setting() {
    assert_help(
        &dedupe(&json!({ "to": { "ok": "next", "complement": "next" } })),
        &["dedupe has no port \"complement\"; add \"complement\": true"],
    );
    assert_help(
        &dedupe(&json!({ "to": { "exhausted": "next" } })),
        &["add \"attempts\" to dedupe, such as \"attempts\": 5"],
    );
    let import = json!({ "type": "crm.import", "account": "dynamics", "object": "contacts", "fields": ["lastname"],
        "to": { "deleted": "next" } });
    assert_help(
        &json!({ "import": import, "next": { "type": "end" } }),
        &["add \"automaticIndex\": { \"changes\": true }"],
    );
    assert_help(&dedupe(&json!({ "to": { "okk": "next" } })), &["did you mean \"ok\"?"]);
}

#[test]
fn a_value_of_a_wrong_form_is_answered_with_an_example_of_the_right_one() {
    assert_help(
        &dedupe(&json!({ "retry": 3, "by": "lower(email)", "attempts": "5", "timeZone": 1, "emptyKeys": true })),
        &[
            "this is a number, not an object; write it as in \"retry\": { \"attempts\": 3, \"backoff\": \"10s\" }",
            "this is text, not a list; write it as in \"by\": [\"lower(emailaddress1)\"]",
            "write it as in \"attempts\": 5",
            "write it as in \"timeZone\": \"Europe/Paris\"",
            "this is true or false, not text; write \"keep\", \"match\" or \"drop\"",
        ],
    );
    assert_help(
        &json!({ "pause": { "type": "wait", "for": 10 } }),
        &["this is a number, not text; write it as in \"for\": \"5m\""],
    );
    assert_help(&dedupe(&json!({ "onError": 5 })), &["write \"suspend\", \"ignore\" or \"abort\""]);
    assert_help(&dedupe(&json!({ "to": 5 })), &["{ \"ok\": \"next\", \"error\": \"other\" }"]);
}

#[test]
fn a_secret_in_the_configuration_is_answered_in_the_form_of_the_configuration() {
    let world = World::new(0);
    let form = "{ env = \"NAME\" }, { file = \"path\" } or { stored = \"NAME\" }";
    world.configure(&[("url", "\"https://contoso.crm4.dynamics.com\""), ("clientSecret", "\"in-plain-text\"")]);
    world.ask(&["accounts", "test"]).says(&[form]);
    world.configure(&[("clientSecret", "5")]);
    world.ask(&["accounts", "test"]).expect(2).says(&[form]);
    world.configure(&[]);
    world.add_salesforce("");
    let text = std::fs::read_to_string(world.path("campanile.toml")).unwrap();
    let url = world.sandbox.salesforce()["url"].as_str().unwrap().to_owned();
    let (before, salesforce) = text.split_once("[accounts.salesforce]").unwrap();
    let salesforce = salesforce.replace(&url, "https://contoso.my.salesforce.com");
    world.write("campanile.toml", &format!("{before}[accounts.salesforce]{salesforce}"));
    world.ask(&["accounts", "test", "salesforce"]).says(&[form]);
}

#[test]
fn a_workflow_named_without_its_folder_or_misspelt_is_found() {
    let world = World::new(0);
    world.workflow("nightlyLeads", &json!({ "start": { "type": "start" } }));
    let found = "did you mean `workflows/nightlyLeads.json`?";
    for args in [
        &["run", "nightlyLeads"][..],
        &["run", "nightlyLeads.json"],
        &["run", "workflows/nightlyLeads"],
        &["run", "workflows/nightlyLead.json"],
        &["check", "nigthlyLeads"],
        &["explain", "nightlyLeads", "start"],
        &["backfill", "nightlyLeads", "--from", "2026-01-01", "--to", "2026-01-02"],
    ] {
        world.ask(args).expect(2).says(&[found]);
    }
    world.ask(&["run", "other"]).expect(2).says(&["workflows has: nightlyLeads"]);
}

#[test]
fn an_object_that_could_not_be_checked_says_how_to_check_it_and_that_finds_it() {
    let world = World::new(0);
    world.add_salesforce("");
    let import = json!({ "type": "crm.import", "account": "salesforce", "object": "Contacts", "fields": ["LastName"] });
    let file = world.workflow("leads", &json!({ "import": import }));
    world.ask(&["check", &file]).expect(0).says(&["not checked: the fields of Contacts", "campanile check --online"]);
    world.ask(&["check", "--online", &file]).expect(2).says(&["Contacts", "did you mean", "Contact"]);
}
