//! Imports of a CRM that the test tells what to do.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use engine::event::{Backfill, Vars};
use engine::outside::store::{Expect, OptionChange, OptionValue, Store};
use engine::run::Status;
use serde_json::{Value, json};
use store::Memory;

use crate::double::{Double, LOGGING, SYSTEM, at, counted};
use crate::harness::World;

const OPTION: &str = "LASTIMPORT_test_import";

fn world(crm: &Double) -> World {
    let mut world = World::new("");
    world.crm = Some(Arc::new(crm.clone()));
    world
}

fn import(more: &Value) -> Value {
    let mut import = json!({ "type": "crm.import", "account": "crm", "object": "people", "fields": ["name"] });
    import.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "import": import })
}

/// Inbound records lead into the import.
fn inbound(columns: &Value, rows: &Value, more: &Value) -> Value {
    let mut all = import(more);
    all["given"] = json!({ "type": "records", "columns": columns, "rows": rows, "segment": 2, "to": "import" });
    all
}

async fn option(store: &Arc<Memory>) -> Option<String> {
    store.option(OPTION).await.unwrap().map(|option| option.value)
}

#[tokio::test]
async fn records_are_found_by_the_ids_that_come_in_each_once_and_in_their_order() {
    let crm = Double::new(&SYSTEM);
    crm.put("p3", "09:00", &json!({ "name": "Grace" }));
    crm.put("p4", "09:00", &json!({ "name": "Alan" }));
    crm.put("p7", "09:00", &json!({ "name": "Bad", "number": "seven" }));
    let rows = json!([
        [1, "p3", "a"],
        [2, "P4", "b"],
        [3, "p9", "c"],
        [4, null, "d"],
        [5, "p3", "e"],
        [6, "x1", "f"],
        [7, "p7", "g"]
    ]);
    let more = json!({ "ids": "crm_id", "fields": ["name", "number"] });
    let ran = world(&crm).run(&inbound(&json!({ "n": "int", "crm_id": "text", "name": "text" }), &rows, &more)).await;
    assert_eq!(ran.status, Status::Finished);
    assert_eq!(ran.port("import", "ok").await, ["1|p3|a|Grace|∅", "2|P4|b|Alan|∅", "5|p3|e|Grace|∅"]);
    let rejects = ran.port("import", "reject").await;
    let told: Vec<&str> = rejects.iter().map(|row| row.split('|').nth(3).unwrap()).collect();
    assert_eq!(told, ["NOT_FOUND", "ID_EMPTY", "ID_MALFORMED", "VALUE_TYPE"], "{rejects:#?}");
    assert!(rejects[0].starts_with("3|p9|c|") && rejects[0].contains("p9"), "{rejects:#?}");
    assert_eq!(crm.asked("fetch p3"), 1, "however often its id comes");
}

#[tokio::test]
async fn an_import_by_ids_goes_on_after_a_crash_wherever_it_was() {
    let crm = Double::new(&SYSTEM);
    for n in 0..40 {
        crm.put(&format!("p{n}"), "09:00", &json!({ "name": format!("N{n}") }));
    }
    let rows: Vec<Value> = (0..5_000).map(|n| json!([format!("p{}", n % 50)])).collect();
    let activities = json!({
        "given": { "type": "records", "columns": { "crm_id": "text" }, "rows": rows, "segment": 1_700, "to": "import" },
        "import": { "type": "crm.import", "account": "crm", "object": "people", "fields": ["name"], "ids": "crm_id" },
    });
    let mut world = world(&crm);
    world.limits.segment_seconds = 0;
    let whole = world.run(&activities).await.port("import", "ok").await;
    assert_eq!(whole.len(), 4_000);
    for writes in 1..9 {
        let ran = world.run_dying(&activities, writes).await;
        assert_eq!(ran.port("import", "ok").await, whole, "{writes}");
        assert_eq!(ran.port("import", "reject").await.len(), 1_000, "{writes}");
    }
}

#[tokio::test]
async fn records_of_a_page_that_do_not_fit_are_rejected_together() {
    let crm = Double::new(&SYSTEM);
    for n in 0..60 {
        crm.put(&format!("p{n:02}"), "09:00", &json!({ "name": "Ada", "number": format!("seven {n}") }));
    }
    crm.state().page = 30;
    let ran = world(&crm).run(&import(&json!({ "fields": ["name", "number"] }))).await;
    assert_eq!(ran.status, Status::Finished);
    assert_eq!(ran.batches("import", "reject").await, [30, 30]);
    let rejects = ran.port("import", "reject").await;
    assert!(
        rejects[7].contains("seven 7") && rejects[59].contains("seven 59"),
        "each has its own reason: {rejects:#?}"
    );
}

#[tokio::test]
async fn tasks_that_need_a_description_at_the_same_time_ask_once_and_one_that_cannot_be_kept_stops_none() {
    let crm = Double::new(&SYSTEM);
    let world = world(&crm);
    // In the place of the folder.
    std::fs::write(world.path().join("descriptions"), "").unwrap();
    let engine = world.engine(Arc::new(Memory::new()));
    let environment = &engine.environment;
    let tasks = (0..8).map(|_| environment.descriptions.object(environment, "crm", "people"));
    for described in futures::future::join_all(tasks).await {
        assert_eq!(described.unwrap().name, "people");
    }
    assert_eq!(crm.asked("describe"), 1);
}

#[tokio::test]
async fn what_does_not_go_together_is_told_with_its_place() {
    let crm = Double::new(&LOGGING);
    let world = world(&crm);
    let rows = json!([["p1"]]);
    let more =
        json!({ "ids": "crm_id", "filter": "number == 1", "automaticIndex": true, "orderBy": ["name"], "all": true });
    let problems = world.problems(&inbound(&json!({ "crm_id": "text" }), &rows, &more)).await;
    for place in ["import/filter: ", "import/automaticIndex: ", "import/orderBy: ", "import/all: "] {
        assert!(problems.iter().any(|problem| problem.starts_with(place)), "{place} {problems:#?}");
    }
    let changes = json!({ "automaticIndex": { "changes": true, "field": "modified" }, "orderBy": ["name"] });
    let problems = world.problems(&import(&changes)).await;
    for place in ["import/automaticIndex/changes: ", "import/automaticIndex/field: ", "import/orderBy: "] {
        assert!(problems.iter().any(|problem| problem.starts_with(place)), "{place} {problems:#?}");
    }
    let copied = json!({ "fields": [{ "field": "modified", "conversion": "copy" }], "automaticIndex": true });
    assert!(world.problems(&import(&copied)).await[0].contains("imported as it is"));
}

#[tokio::test]
async fn fields_of_related_records_are_read_filtered_and_unknown_ones_told() {
    let crm = Double::new(&SYSTEM);
    crm.put("p1", "09:00", &json!({ "name": "Ada", "account.label": "Mill" }));
    crm.put("p2", "09:00", &json!({ "name": "Alan", "account.label": "Park" }));
    let more = json!({ "fields": ["name", "account.label"], "filter": "field(\"account.label\") != \"Park\"", "orderBy": ["account.label"] });
    let ran = world(&crm).run(&import(&more)).await;
    assert_eq!(ran.port("import", "ok").await, ["Ada|Mill|p1"]);
    let wrong = json!({ "fields": ["name", "account.lable"], "filter": "field(\"account.labe\") == \"Park\"" });
    let problems = world(&crm).problems(&import(&wrong)).await;
    assert_eq!(
        problems,
        [
            "import/fields/1: people lead to no field account.lable (did you mean \"account.label\"?)",
            "import/filter: people lead to no field account.labe (did you mean \"account.label\"?)",
        ]
    );
}

#[tokio::test]
async fn all_elements_come_with_the_field_that_tells_them() {
    let crm = Double::new(&SYSTEM);
    crm.put("p1", "09:00", &json!({ "name": "live" }));
    crm.put("p2", "09:00", &json!({ "name": "gone", "isdeleted": true }));
    assert_eq!(world(&crm).run(&import(&json!({}))).await.port("import", "ok").await, ["live|p1"]);
    let ran = world(&crm).run(&import(&json!({ "all": true }))).await;
    assert_eq!(ran.port("import", "ok").await, ["live|p1|false", "gone|p2|true"]);
}

fn many(crm: &Double) -> Vec<String> {
    let ids: Vec<String> = (10..40).map(|n| format!("p{n}")).collect();
    for id in &ids {
        crm.put(id, "09:00", &json!({ "name": id }));
    }
    ids.iter().map(|id| format!("{id}|{id}")).collect()
}

#[tokio::test]
async fn ranges_side_by_side_bring_every_record_once_wherever_the_process_dies() {
    let crm = Double::new(&SYSTEM);
    let expected = many(&crm);
    crm.state().ranges = vec!["p18".to_owned(), "p25".to_owned(), "p33".to_owned()];
    // So long that the place in all ranges together is a file.
    crm.state().cursor_bytes = 6_000;
    let mut world = world(&crm);
    world.limits.segment_seconds = 0;
    for writes in 1..24 {
        let mut rows = world.run_dying(&import(&json!({})), writes).await.port("import", "ok").await;
        rows.sort();
        assert_eq!(rows, expected, "{writes}");
    }
    crm.state().asked.clear();
    let ordered = world.run(&import(&json!({ "orderBy": ["name"] }))).await;
    assert_eq!(ordered.port("import", "ok").await, expected, "with an order there are no ranges");
    assert_eq!(crm.asked("ranges"), 0);
    world.run(&import(&json!({ "parallel": 1 }))).await;
    assert_eq!(crm.asked("ranges"), 0);
}

#[tokio::test]
async fn a_place_that_the_crm_lost_is_begun_anew_once_and_nothing_comes_twice() {
    let crm = Double::new(&SYSTEM);
    let expected = many(&crm);
    crm.state().lose = vec![6];
    let ran = world(&crm).run(&import(&json!({ "filter": "name != \"p12\"" }))).await;
    assert_eq!(ran.status, Status::Finished);
    let rows = ran.port("import", "ok").await;
    assert_eq!(rows.len(), expected.len() - 1);
    assert!(counted(&rows).values().all(|count| *count == 1), "{rows:#?}");
    assert!(ran.tally("import").dropped["readAgain"] > 5);

    crm.state().lose = vec![0, 0];
    let ran = world(&crm).run(&import(&json!({}))).await;
    assert_eq!(ran.status, Status::Suspended, "the second time it fails");
}

#[tokio::test]
async fn a_reading_that_was_broken_off_goes_on_with_the_filter_it_began_with() {
    let crm = Double::new(&SYSTEM);
    let mut expected = many(&crm);
    let (world, store) = (world(&crm), Arc::new(Memory::new()));
    unwanted(&store, "p39").await;
    crm.state().lose = vec![6, 6];
    let filter = "name != option(\"UNWANTED\") && modified < now()";
    let ran = world.run_in(Arc::clone(&store), &import(&json!({ "filter": filter }))).await;
    assert_eq!(ran.status, Status::Suspended);
    unwanted(&store, "p38").await;
    world.clock.0.store(0, Ordering::SeqCst);
    let mut rows = world.resume(&ran, Vars::new()).await.port("import", "ok").await;
    rows.sort();
    expected.pop();
    assert_eq!(rows, expected);
}

async fn unwanted(store: &Memory, name: &str) {
    let value = OptionValue { value: name.into(), at: at("10:00"), by: "operator".into(), seen: None, scope: None };
    let change = OptionChange { name: "UNWANTED".into(), expect: Expect::Any, value: Some(value) };
    store.set_options(vec![change]).await.unwrap();
}

#[tokio::test]
async fn the_feed_of_changes_brings_what_changed_and_the_ids_of_what_was_deleted() {
    let crm = Double::new(&SYSTEM);
    for id in ["p1", "p2", "p3", "p4"] {
        crm.put(id, "09:00", &json!({ "name": id, "number": 1 }));
    }
    let (world, store) = (world(&crm), Arc::new(Memory::new()));
    let activities = import(&json!({ "automaticIndex": { "changes": true }, "filter": "number == 1" }));
    let first = world.run_again(&store, &activities, None).await;
    assert_eq!(first.port("import", "ok").await, ["p1|p1", "p2|p2", "p3|p3", "p4|p4"]);
    assert_eq!(option(&store).await.as_deref(), Some("2026/03/03 10:00:00"));
    crm.put("p2", "08:00", &json!({ "name": "new", "number": 1 }));
    crm.put("p3", "10:30", &json!({ "name": "out", "number": 2 }));
    crm.delete("p4");
    crm.state().now = Some(at("11:00"));
    let second = world.run_again(&store, &activities, None).await;
    assert_eq!(second.port("import", "ok").await, ["new|p2"], "whatever its date is");
    assert_eq!(second.port("import", "deleted").await, ["p4|∅"]);
    assert_eq!(second.tally("import").dropped["filter"], 1);
    assert_eq!(second.task("import").vars["crmEndDate"], "2026/03/03 11:00:00");
    let third = world.run_again(&store, &activities, None).await;
    assert_eq!((third.port("import", "ok").await.len(), third.port("import", "deleted").await.len()), (0, 0));

    crm.state().oldest = 100;
    let lost = world.run_again(&store, &activities, None).await;
    let failure = lost.task("import").failure.clone().unwrap();
    assert!(failure.message.contains(OPTION), "{failure}");
    let help = failure.help.unwrap();
    assert!(help.contains("options remove") && help.contains("crm.importDeleted"), "{help}");

    let value = OptionValue {
        value: "2026/03/03 10:00:00".into(),
        at: at("10:00"),
        by: "operator".into(),
        seen: None,
        scope: None,
    };
    let change = OptionChange { name: OPTION.into(), expect: Expect::Any, value: Some(value) };
    store.set_options(vec![change]).await.unwrap();
    let by_hand = world.run_again(&store, &activities, None).await;
    assert!(by_hand.failure("import").contains("keeps no place"), "never silently a full import");
}

#[tokio::test]
async fn an_option_of_a_feed_tells_up_to_when_the_crm_says_that_it_is_all_and_never_goes_back() {
    let crm = Double::new(&SYSTEM);
    crm.put("p1", "09:00", &json!({ "name": "p1" }));
    let (world, store) = (world(&crm), Arc::new(Memory::new()));
    let activities = import(&json!({ "automaticIndex": { "changes": true } }));
    for (covered, expected) in [("09:40", "09:40"), ("09:50", "09:50"), ("09:45", "09:50")] {
        crm.state().covered = Some(at(covered));
        let ran = world.run_again(&store, &activities, None).await;
        let expected = format!("2026/03/03 {expected}:00");
        assert_eq!(option(&store).await.as_ref(), Some(&expected));
        assert_eq!(ran.task("import").vars["crmEndDate"], expected);
    }
}

#[tokio::test]
async fn a_feed_that_is_interrupted_anywhere_tells_each_change_once() {
    for writes in 1..14 {
        let crm = Double::new(&SYSTEM);
        many(&crm);
        let mut world = world(&crm);
        world.limits.segment_seconds = 0;
        let ran = world.run_dying(&import(&json!({ "automaticIndex": { "changes": true } })), writes).await;
        let rows = ran.port("import", "ok").await;
        assert_eq!((rows.len(), counted(&rows).len()), (30, 30), "{writes}");
        assert_eq!(option(&ran.store).await.as_deref(), Some("2026/03/03 10:00:00"), "{writes}");
    }
}

#[tokio::test]
async fn a_record_that_does_not_fit_is_rejected_once_although_the_overlap_reads_it_again() {
    let crm = Double::new(&SYSTEM);
    crm.put("p1", "09:58", &json!({ "name": "bad", "number": "seven" }));
    let (world, store) = (world(&crm), Arc::new(Memory::new()));
    let activities = import(&json!({ "automaticIndex": true, "fields": ["name", "number"] }));
    assert_eq!(world.run_again(&store, &activities, None).await.port("import", "reject").await.len(), 1);
    crm.state().now = Some(at("10:01"));
    let second = world.run_again(&store, &activities, None).await;
    assert_eq!(second.port("import", "reject").await.len(), 0);
    assert_eq!(second.tally("import").dropped["alreadyImported"], 1);
    crm.put("p1", "09:59", &json!({ "name": "bad", "number": "eight" }));
    crm.state().now = Some(at("10:02"));
    let third = world.run_again(&store, &activities, None).await;
    assert_eq!(third.port("import", "reject").await.len(), 1, "it changed, and does not fit still");
}

#[tokio::test]
async fn a_backfill_reads_its_own_window_and_leaves_the_option_alone() {
    let crm = Double::new(&SYSTEM);
    crm.put("p1", "07:00", &json!({ "name": "early" }));
    crm.put("p2", "08:30", &json!({ "name": "within" }));
    crm.put("p3", "09:00", &json!({ "name": "late" }));
    let (world, store) = (world(&crm), Arc::new(Memory::new()));
    for index in [json!(true), json!({ "changes": true })] {
        let activities = import(&json!({ "automaticIndex": index }));
        store.set_options(vec![OptionChange { name: OPTION.into(), expect: Expect::Any, value: None }]).await.unwrap();
        world.run_again(&store, &activities, None).await;
        let before = store.option(OPTION).await.unwrap();
        crm.state().now = Some(at("12:00"));
        let backfill = Backfill { from: at("08:00"), to: at("09:00"), activity: None };
        let ran = world.run_again(&store, &activities, Some(backfill)).await;
        let rows = ran.port("import", "ok").await;
        assert!(rows.len() == 1 && rows[0].starts_with("within|p2"), "{rows:#?}");
        assert_eq!(ran.task("import").vars["crmStartImport"], "2026/03/03 08:00:00");
        assert_eq!(ran.task("import").vars["crmEndDate"], "2026/03/03 09:00:00");
        assert_eq!(store.option(OPTION).await.unwrap(), before);
        // It has passed by our clock.
        crm.state().now = Some(at("08:59"));
        let future = Backfill { from: at("08:00"), to: at("09:00"), activity: Some("import".into()) };
        let refused = world.run_again(&store, &activities, Some(future)).await;
        assert!(refused.failure("import").contains("later than the CRM's clock"));
    }
}
