//! Deleted records of a CRM that the test tells what to do.

use std::sync::Arc;

use engine::outside::store::Store;
use engine::run::Status;
use jiff::Timestamp;
use serde_json::{Value, json};
use store::Memory;

use crate::double::{Double, LOGGING, SYSTEM, at};
use crate::harness::World;

fn world(crm: &Double, sql: &str) -> World {
    let mut world = World::new(sql);
    world.crm = Some(Arc::new(crm.clone()));
    world
}

fn import(more: &Value) -> Value {
    let mut import = json!({ "type": "crm.importDeleted", "account": "crm", "object": "people" });
    import.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "import": import })
}

fn compared(ids: &Value, more: &Value) -> Value {
    let mut all = import(more);
    all["import"]["ids"] = json!("crm_id");
    all["given"] =
        json!({ "type": "records", "columns": { "crm_id": "text" }, "rows": ids, "segment": 3, "to": "import" });
    all
}

fn deletions() -> Double {
    let crm = Double::new(&LOGGING);
    let instant = |text: &str| text.parse::<Timestamp>().unwrap();
    crm.state().deleted = vec![
        ("pX5".to_owned(), instant("2026-02-28T23:59:59Z")),
        ("pX1".to_owned(), instant("2026-03-01T00:00:00Z")),
        ("pX2".to_owned(), instant("2026-03-05T12:00:30Z")),
        ("pX3".to_owned(), instant("2026-03-07T00:00:00Z")),
        ("pX4".to_owned(), instant("2026-03-07T00:00:01Z")),
    ];
    crm.state().now = Some(instant("2026-03-08T09:00:00Z"));
    crm.state().log_from = Some(instant("2026-02-20T00:00:00Z"));
    crm
}

async fn names(world: &World, start: &str, end: &str) -> Vec<String> {
    let ran = world.run(&import(&json!({ "start": start, "end": end }))).await;
    assert_eq!(ran.status, Status::Finished);
    let mut names: Vec<String> =
        ran.port("import", "ok").await.iter().map(|row| row.split('|').next().unwrap().to_owned()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_period_has_both_its_ends_and_a_day_alone_is_the_whole_day() {
    let crm = deletions();
    let world = world(&crm, "");
    assert_eq!(names(&world, "2026/03/01 00:00:00", "2026/03/07 00:00:00").await, ["pX1", "pX2", "pX3"]);
    assert_eq!(names(&world, "2026/03/01", "2026/03/07").await, ["pX1", "pX2", "pX3", "pX4"]);
    assert_eq!(names(&world, "2026-03-05 12:00:30", "2026-03-05 12:00:30").await, ["pX2"]);
    assert_eq!(names(&world, "date(\"2026-03-01\")", "datetime(\"2026-03-05T13:00:00Z\")").await, ["pX1", "pX2"]);
    let ran = world.run(&import(&json!({ "start": "2026/03/05" }))).await;
    assert_eq!(ran.port("import", "ok").await[0], "pX2|2026-03-05T12:00:30Z");
    assert_eq!(ran.task("import").vars["crmStartDate"], "2026/03/05 00:00:00");
    assert_eq!(ran.task("import").vars["crmEndDate"], "2026/03/08 09:00:00");
}

#[tokio::test]
async fn a_period_that_is_none_is_told_before_anything_is_asked() {
    let crm = deletions();
    let world = world(&crm, "");
    let problems = world.problems(&import(&json!({ "start": "2026/03/07", "end": "2026/03/01" }))).await;
    assert!(problems.len() == 1 && problems[0].contains("before its beginning"), "{problems:#?}");
    let late = json!({ "start": "date(\"2026-03-07\")", "end": "date(\"2026-03-01\")" });
    let ran = world.run(&import(&late)).await;
    assert!(ran.failure("import").contains("before its beginning"));
    assert_eq!(crm.asked("deleted"), 0);
    let ahead = world.run(&import(&json!({ "start": "2026/03/09", "end": "2026/03/10" }))).await;
    assert!(ahead.failure("import").contains("later than the CRM's clock"));
    assert_eq!(crm.asked("deleted"), 0);
    for (more, words) in [
        (json!({}), "not said which"),
        (json!({ "start": "2026/03/01", "automaticIndex": true }), "exclude each other"),
        (json!({ "end": "2026/03/01" }), "needs a beginning"),
        (json!({ "start": "5 + 5" }), "not a time"),
        (json!({ "start": "2026/13/45" }), "there is no month 13"),
        (json!({ "start": "2026/03/01", "maxDeletes": 5 }), "only a comparison"),
    ] {
        let problems = world.problems(&import(&more)).await;
        assert!(problems.iter().any(|problem| problem.contains(words)), "{words}: {problems:#?}");
    }
}

#[tokio::test]
async fn what_lies_before_the_log_leads_to_error_with_the_earliest_date_and_the_cure() {
    let crm = deletions();
    let ran = world(&crm, "").run(&import(&json!({ "start": "2026/02/10", "end": "2026/03/07" }))).await;
    let failure = ran.task("import").failure.clone().unwrap();
    assert!(failure.message.contains("2026-02-20T00:00:00Z"), "{failure}");
    assert!(failure.help.unwrap().contains("\"ids\""));
    assert_eq!(ran.port("import", "ok").await.len(), 0);
}

#[tokio::test]
async fn each_deletion_is_told_once_from_where_the_crm_said_that_it_covered_all() {
    let crm = deletions();
    let (world, store) = (world(&crm, ""), Arc::new(Memory::new()));
    let activities = import(&json!({ "automaticIndex": true }));
    crm.state().covered = Some("2026-03-05T12:00:30Z".parse().unwrap());
    let first = world.run_again(&store, &activities, None).await;
    assert_eq!(first.port("import", "ok").await.len(), 5);
    let option = async || store.option("LASTIMPORT_test_import").await.unwrap().unwrap().value;
    assert_eq!(option().await, "2026/03/05 12:00:30", "not later than what is covered");
    crm.state().deleted.push(("pX6".to_owned(), "2026-03-07T10:00:00Z".parse().unwrap()));
    crm.state().covered = Some("2026-03-08T08:00:00Z".parse().unwrap());
    let second = world.run_again(&store, &activities, None).await;
    assert_eq!(second.port("import", "ok").await, ["pX6|2026-03-07T10:00:00Z"]);
    assert_eq!(second.tally("import").dropped["alreadyImported"], 3);
    assert_eq!(second.task("import").vars["crmStartImport"], "2026/03/05 12:00:30");
    assert_eq!(option().await, "2026/03/08 08:00:00");
    for writes in 1..10 {
        let ran = world.run_dying(&activities, writes).await;
        assert_eq!(ran.port("import", "ok").await.len(), 6, "{writes}");
    }
}

#[tokio::test]
async fn where_nobody_tells_what_is_newly_deleted_it_is_said_before_the_run_how_to_have_it_told() {
    let crm = Double::new(&SYSTEM);
    let (world, activities) = (world(&crm, ""), import(&json!({ "automaticIndex": true })));
    crm.state().deletion_log = Some(true);
    assert_eq!(world.problems(&activities).await, Vec::<String>::new(), "whether the log can be read is asked later");
    crm.state().deletion_log = Some(false);
    let problems = world.problems(&activities).await;
    let help = "switch its feed on (person) in the CRM; or switch its log on (person) in the CRM; or compare the keys";
    assert!(problems.len() == 1 && problems[0].contains("tells no deletions of people"), "{problems:#?}");
    assert!(problems[0].contains(help), "{problems:#?}");
    assert_eq!(world.problems(&import(&json!({ "start": "2026/03/01" }))).await, Vec::<String>::new());
}

#[tokio::test]
async fn what_was_deleted_is_deleted_from_the_database_and_twice_is_no_error() {
    let crm = deletions();
    let table = "CREATE TABLE recipient (crm_id TEXT, name TEXT);
                 INSERT INTO recipient VALUES ('pX1', 'a'), ('pX2', 'b'), ('pX9', 'stays')";
    let world = world(&crm, table);
    let mut activities = import(&json!({ "start": "2026/03/01", "end": "2026/03/06", "to": "forget" }));
    activities["forget"] = json!({
        "type": "database.update", "table": "recipient", "operation": "delete", "key": ["crm_id"], "set": { "crm_id": "id" },
    });
    let counts = |ran: &crate::harness::Ran| {
        let counts = &ran.tally("forget").counts;
        (counts["deleted"], counts["absent"])
    };
    assert_eq!(counts(&world.run(&activities).await), (2, 0));
    assert_eq!(world.query("SELECT crm_id FROM recipient"), ["pX9"]);
    assert_eq!(counts(&world.run(&activities).await), (0, 2));
    activities["forget"]["set"]["name"] = json!("id");
    let problems = world.problems(&activities).await;
    assert!(problems[0].starts_with("forget/set/name: a deletion writes nothing"), "{problems:#?}");
}

#[tokio::test]
async fn a_comparison_of_keys_finds_what_is_gone_and_a_wrong_answer_deletes_nobody() {
    let crm = Double::new(&LOGGING);
    for n in 0..20 {
        crm.put(&format!("p{n}"), "09:00", &json!({}));
    }
    let world = world(&crm, "");
    let ids = json!([["p1"], ["P2"], ["P99"], ["p99"], [null], ["x"], ["p98"], ["p3"]]);
    let ran = world.run(&compared(&ids, &json!({}))).await;
    assert_eq!(ran.port("import", "ok").await, ["P99|∅", "p98|∅"], "as they came, and each once");
    let dropped = &ran.tally("import").dropped;
    assert_eq!((dropped["stillThere"], dropped["repeated"]), (3, 1));
    assert_eq!(ran.port("import", "reject").await.len(), 2);

    let guarded = world.run(&compared(&ids, &json!({ "maxDeletes": 2 }))).await;
    assert_eq!(guarded.status, Status::Suspended);
    let failure = guarded.failure("import");
    assert!(failure.contains("3 of 6") && failure.contains("at most 2"), "{failure}");
    assert_eq!(world.run(&compared(&ids, &json!({ "maxDeletes": "50%" }))).await.status, Status::Finished);
    assert_eq!(world.run(&compared(&ids, &json!({ "maxDeletes": "49%" }))).await.status, Status::Suspended);
    assert!(!world.problems(&compared(&ids, &json!({ "maxDeletes": "half" }))).await.is_empty());

    crm.state().records.clear();
    let nobody = world.run(&compared(&json!([["p1"], ["p2"]]), &json!({}))).await;
    assert_eq!(nobody.status, Status::Suspended, "an empty answer is not believed");
}

#[tokio::test]
async fn many_keys_are_compared_by_reading_all_and_what_was_not_seen_is_asked_for() {
    let crm = Double::new(&LOGGING);
    crm.state().page = 1_000;
    for n in 0..3_000 {
        crm.put(&format!("p{n}"), "09:00", &json!({}));
    }
    let ids: Vec<Value> = (0..3_010).map(|n| json!([format!("p{n}")])).collect();
    let world = world(&crm, "");
    let mut activities = compared(&json!(ids), &json!({}));
    activities["given"]["segment"] = json!(1_100);
    assert_eq!(world.run(&activities).await.port("import", "ok").await.len(), 10);
    assert_eq!(crm.asked("fetch"), 10, "all but those that are gone were seen");
    for writes in [2, 4] {
        let ran = world.run_dying(&activities, writes).await;
        assert_eq!(ran.port("import", "ok").await.len(), 10, "{writes}");
    }
}

#[test]
fn times_of_tests_are_of_one_day() {
    assert_eq!(at("10:00").to_string(), "2026-03-03T10:00:00Z");
}
