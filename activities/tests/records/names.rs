//! Names that nothing has set: told before a run where that can be known, and never read as null within one.

use std::sync::Arc;

use engine::event::Event;
use engine::failure::Class;
use engine::outside::store::Store;
use engine::run::Status;
use serde_json::{Value, json};
use store::Memory;

use crate::double::{Double, SYSTEM};
use crate::harness::{Ran, World};

const OPTION: &str = "LASTIMPORT_test_import";

fn world() -> World {
    let crm = Double::new(&SYSTEM);
    crm.put("p1", "09:00", &json!({ "name": "Ada", "number": 2 }));
    crm.put("p2", "09:10", &json!({ "name": "Alan", "number": 3 }));
    let mut world = World::new("CREATE TABLE person (email TEXT, name TEXT)");
    world.crm = Some(Arc::new(crm));
    world
}

fn import(more: &Value) -> Value {
    let mut import = json!({
        "type": "crm.import", "account": "crm", "object": "people", "fields": ["name"], "automaticIndex": true
    });
    import.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    import
}

fn fails_of_config(ran: &Ran, activity: &str, unset: &str) {
    assert_eq!(ran.status, Status::Suspended);
    let task = ran.task(activity);
    let failure = task.failure.clone().unwrap();
    assert_eq!((failure.class, task.attempt), (Class::Config, 1), "{failure}: it is not tried again");
    assert!(failure.message.contains(&format!("{unset} is not set")), "{failure}");
}

#[tokio::test]
async fn a_filter_that_reads_an_option_that_is_not_set_drops_no_record_and_moves_no_option() {
    let world = world();
    let store = Arc::new(Memory::new());
    let filter = |filter: &str| json!({ "import": import(&json!({ "filter": filter, "retry": { "attempts": 3 } })) });
    let ran = world.run_in(Arc::clone(&store), &filter("number >= option(\"MIN_KIDS\")")).await;
    fails_of_config(&ran, "import", "option(\"MIN_KIDS\")");
    assert!(ran.task("import").failure.clone().unwrap().help.unwrap().contains("campanile options set MIN_KIDS"));
    assert!(ran.tally("import").dropped.is_empty());
    assert_eq!(store.option(OPTION).await.unwrap(), None, "all records come with the next run");

    for (sound, names) in [
        ("number >= option(\"MIN_KIDS\", 3)", vec!["Alan"]),
        ("number >= (option(\"MIN_KIDS\") ?? 2)", vec!["Ada", "Alan"]),
        ("!has_option(\"MIN_KIDS\") || number >= option(\"MIN_KIDS\")", vec!["Ada", "Alan"]),
        ("is_empty(option(\"LASTIMPORT_test_import\"))", vec!["Ada", "Alan"]),
    ] {
        let ran = world.run(&filter(sound)).await;
        assert_eq!(ran.status, Status::Finished, "{sound}");
        let rows = ran.port("import", "ok").await;
        let found: Vec<&str> = rows.iter().map(|row| row.split('|').next().unwrap()).collect();
        assert_eq!(found, names, "{sound}");
    }
}

#[tokio::test]
async fn a_name_that_is_not_set_fails_a_task_also_where_no_record_comes() {
    let world = world();
    let none = json!({ "type": "records", "columns": { "email": "text" }, "rows": [], "segment": 2, "to": "it" });
    let unset = "option(\"NONE\")";
    for it in [
        json!({ "type": "dedupe", "by": ["concat(email, option(\"NONE\"))"] }),
        json!({ "type": "enrich", "compute": { "x": "option(\"NONE\")" } }),
        json!({ "type": "database.update", "table": "person", "operation": "insert", "set": { "name": "option(\"NONE\")" } }),
        json!({ "type": "file.extract", "path": "x.csv", "columns": [{ "name": "x", "expression": "option(\"NONE\")" }] }),
        json!({ "type": "test", "conditions": [{ "if": "option(\"NONE\") == \"x\"", "port": "a" }] }),
        json!({ "type": "script", "script": "vars.x = option(\"NONE\");" }),
    ] {
        let ran = world.run(&json!({ "given": none, "it": it })).await;
        fails_of_config(&ran, "it", unset);
    }
    let empty =
        json!({ "read": { "type": "database.query", "table": "person", "filter": "name != option(\"NONE\")" } });
    fails_of_config(&world.run(&empty).await, "read", unset);
}

#[tokio::test]
async fn check_knows_the_variables_that_are_set_before_and_says_which_one_was_probably_meant() {
    let world = world();
    let activities = json!({
        "begin": { "type": "script", "script": "vars.region = \"EMEA\"; instance.vars.day = today();", "to": "import" },
        "import": import(&json!({ "filter": "name != vars.regoin && name != instance.vars.dya", "to": {
            "ok": "tell", "error": "look"
        } })),
        "tell": { "type": "script", "script": [
            "vars.ends = vars.crmEndDate;",
            "set_option(vars.crmOptionNam, vars.ends);",
            "vars.total = vars.total + vars.recCount;"
        ], "to": "test" },
        "test": { "type": "test", "conditions": [{ "if": "vars.errorMessage == \"\" && vars.recCount > 1", "port": "a" }] },
        "look": { "type": "test", "conditions": [{ "if": "vars.errorMessage != vars.ends", "port": "a" }] }
    });
    let problems = world.problems(&activities).await;
    let starts = |place: &str, name: &str, instead: &str| {
        let begins = format!("{place}: {name} is not set");
        let found = problems.iter().find(|problem| problem.starts_with(&begins));
        let found = found.unwrap_or_else(|| panic!("{begins}: {problems:#?}"));
        assert!(found.contains(instead), "{found}");
    };
    starts("import/filter", "vars.regoin", "did you mean \"region\"?");
    starts("import/filter", "instance.vars.dya", "did you mean \"day\"?");
    starts("tell/script/1", "vars.crmOptionNam", "did you mean \"crmOptionName\"?");
    starts("test/conditions/0/if", "vars.errorMessage", "");
    starts("look/conditions/0/if", "vars.ends", "");
    assert_eq!(problems.len(), 5, "{problems:#?}");
}

#[tokio::test]
async fn a_variable_that_only_a_start_gives_is_declared_as_null() {
    let world = world();
    let engine = world.engine(Arc::new(Memory::new()));
    let file = |vars: &str| {
        format!(
            r#"{{ "version": 1, "vars": {vars}, "activities": {{
                "read": {{ "type": "database.query", "table": "person", "filter": "name == vars.region" }} }} }}"#
        )
    };
    let codes = async |text: &str| {
        let (_, findings) = engine.check("test.json", "test", text, engine::describe::Ask::Refresh).await;
        findings.problems.iter().map(|problem| problem.code).collect::<Vec<_>>()
    };
    assert_eq!(codes(&file("{}")).await, ["not-set"]);
    assert_eq!(codes(&file(r#"{ "region": null }"#)).await, [""; 0]);
    let given = |value: &str| serde_json::Map::from_iter([("region".to_owned(), json!(value))]);
    for (text, vars, status) in [
        (file(r#"{ "region": null }"#), serde_json::Map::new(), Status::Suspended),
        (file(r#"{ "region": null }"#), given("EMEA"), Status::Finished),
        (file("{}"), given("EMEA"), Status::Finished),
    ] {
        let engine = world.engine(Arc::new(Memory::new()));
        let Ok((_, driven)) = engine.start("test.json", &text, vars).await else { panic!("{text} did not start") };
        assert_eq!(driven.wait().await, Ok(status), "{text}");
    }
}

#[tokio::test]
async fn a_script_that_sets_the_option_to_the_end_of_the_window_itself_is_not_warned_of() {
    let world = world();
    let activities = |set: &str| {
        json!({
            "import": import(&json!({ "to": "tell" })),
            "tell": { "type": "script", "script": set }
        })
    };
    let (mut ends, store) = (Vec::new(), Arc::new(Memory::new()));
    for set in
        ["set_option(vars.crmOptionName, vars.crmEndDate);", "set_option(vars.crmOptionName, \"2026/03/01 00:00:00\");"]
    {
        let ran = world.run_again(&store, &activities(set), None).await;
        assert_eq!(ran.status, Status::Finished);
        let events = store.events(&ran.id, 0, usize::MAX).await.unwrap();
        let end = events.iter().find_map(|event| match &event.event {
            Event::OptionMoved { value, .. } => Some(format!("moved {value}")),
            Event::OptionHeld { reason, .. } => Some(format!("held: {reason}")),
            _ => None,
        });
        ends.push((end.unwrap(), store.option(OPTION).await.unwrap().unwrap().value));
    }
    let end = "2026/03/03 10:00:00".to_owned();
    assert_eq!(ends[0], (format!("moved {end}"), end));
    assert_eq!(ends[1], ("held: it was changed meanwhile".to_owned(), "2026/03/01 00:00:00".to_owned()));
}

#[tokio::test]
async fn one_problem_of_an_activity_hides_no_other_and_none_is_told_that_only_follows() {
    let world = world();
    let columns =
        json!({ "type": "records", "columns": { "email": "text" }, "rows": [["a"]], "segment": 2, "to": "save" });
    let told = async |activities: &Value| {
        let engine = world.engine(Arc::new(Memory::new()));
        let text = json!({ "version": 1, "activities": activities }).to_string();
        let (_, findings) = engine.check("test.json", "test", &text, engine::describe::Ask::Refresh).await;
        let problems = findings
            .problems
            .iter()
            .map(|problem| format!("{}: {}", problem.pointer.trim_start_matches("/activities/"), problem.code));
        let mut problems: Vec<String> = problems.collect();
        problems.sort();
        problems
    };
    let import = json!({ "import": {
        "type": "crm.import", "account": "cmr", "object": "people", "fields": "name", "filter": "number >", "parallell": 4
    } });
    assert_eq!(
        told(&import).await,
        [
            "import/account: unknown-account",
            "import/fields: wrong-type",
            "import/filter: expression",
            "import/parallell: unknown-key"
        ]
    );
    let lacks = json!({ "import": { "type": "crm.import", "account": "cmr", "fields": ["name"] } });
    assert_eq!(told(&lacks).await, ["import/account: unknown-account", "import: missing-key"]);
    let save = json!({ "given": columns, "save": {
        "type": "database.update", "table": "person", "operation": "upsret", "key": ["email"],
        "set": { "email": "lowr(email", "nmae": "email", "name": "lowr(email)" }
    } });
    assert_eq!(
        told(&save).await,
        [
            "save/operation: wrong-value",
            "save/set/email: expression",
            "save/set/name: expression",
            "save/set/nmae: unknown-column"
        ]
    );
    let export = json!({ "given": columns, "save": {
        "type": "crm.export", "account": "crm", "object": "people",
        "set": { "name": "emial", "nmae": "email", "number": { "value": "email", "conversion": "dateOnly", "target": "x" } }
    } });
    let export = told(&export).await;
    for wanted in ["save/set/name: expression", "save/set/nmae: unknown-field", "save/set/number/target: lookup-target"]
    {
        assert!(export.iter().any(|problem| problem == wanted), "{wanted}: {export:#?}");
    }
}
