//! What an answer says about itself is the rule: errors, completeness, links and ids, whatever its status.

use engine::failure::{Class, Failure};
use engine::outside::crm::{Crm, Operation, Outcome};
use sandbox::{Fault, Route};
use serde_json::{Value, json};

use crate::world::{Kept, World, ids, read, rows, send, words, world, write};

/// An answer of this text, once, instead of what was asked for.
fn answer(route: Route, body: &Value) -> Fault {
    Fault {
        route,
        times: Some(1),
        status: Some(200),
        body: Some(body.to_string()),
        content_type: Some("application/json;charset=UTF-8".to_owned()),
        ..Fault::default()
    }
}

fn error(code: &str) -> Value {
    json!({ "errorCode": code, "message": "it failed" })
}

/// So many contacts as a page has them, from this one on.
fn contacts(world: &World, numbers: std::ops::Range<u32>) -> Vec<Value> {
    numbers.map(|n| json!({ "attributes": { "type": "Contact" }, "Id": world.id(n), "LastName": "A" })).collect()
}

fn small() -> Value {
    json!({ "limits": { "recordsPerPage": 200, "retryWaitMin": "1ms", "retries": 0 } })
}

#[tokio::test]
async fn a_page_with_an_error_in_it_or_that_is_not_the_last_and_has_no_link_ends_the_reading() {
    let world = world(300, small());
    let plain = read(&world.contacts().await, &["Id", "LastName"]);
    let some = contacts(&world, 0..5);
    let with_error: Vec<Value> = some.iter().cloned().chain([error("QUERY_TIMEOUT")]).collect();
    let without_id: Vec<Value> = some.iter().cloned().chain([json!({ "LastName": "B" })]).collect();
    let pages = [
        ("an error in place of a record", json!({ "totalSize": 6, "done": true, "records": with_error })),
        ("an error list", json!([error("QUERY_TIMEOUT")])),
        ("not done, no link", json!({ "totalSize": 300, "done": false, "records": some, "nextRecordsUrl": null })),
        ("not a word of being done", json!({ "totalSize": 5, "records": some })),
        ("done with 5 of 300 records", json!({ "totalSize": 300, "done": true, "records": some })),
        ("a record without an id", json!({ "totalSize": 6, "done": true, "records": without_id })),
    ];
    for (name, page) in pages {
        world.sandbox.admin().clear_faults();
        world.fault(answer(Route::Query, &page));
        let failure = world.pages(&plain, None).await.map(|pages| ids(&pages).len()).unwrap_err();
        assert_eq!(failure.class, Class::Transient, "{name}: {failure}");
        assert_eq!(ids(&world.pages(&plain, None).await.unwrap()).len(), 300, "{name}");
    }
}

#[tokio::test]
async fn a_link_that_leads_to_its_own_page_ends_the_reading_before_a_record_comes_twice() {
    let world = world(500, small());
    let plain = read(&world.contacts().await, &["Id", "LastName"]);
    world.fault(Fault { route: Route::Page, repeat_page: true, ..Fault::default() });
    let pages: Vec<_> = futures::StreamExt::collect(world.crm.read(std::sync::Arc::new(plain.clone()), None)).await;
    let failure = pages.last().unwrap().as_ref().unwrap_err();
    assert!(failure.class == Class::Config && failure.message.contains("circle"), "{failure}");
    let found: Vec<String> = pages.iter().flatten().flat_map(|page| ids(std::slice::from_ref(page))).collect();
    assert_eq!(found.len(), 200, "the page before it");
}

#[tokio::test]
async fn records_read_by_ids_are_those_that_were_asked_for() {
    let world = world(3, small());
    let plain = read(&world.contacts().await, &["Id", "LastName"]);
    let wanted: Vec<String> = (0..3).map(|n| world.id(n)).collect();
    let all = contacts(&world, 0..3);
    let lists = [
        ("fewer", json!(all[..2])),
        ("more", json!([all[0], all[1], all[2], all[2]])),
        ("another record", json!([all[0], all[1], { "attributes": {}, "Id": world.id(9), "LastName": "A" }])),
        ("an error in place of a record", json!([all[0], all[1], error("UNKNOWN_EXCEPTION")])),
        ("a record without an id", json!([all[0], all[1], { "attributes": {}, "LastName": "A" }])),
    ];
    for (name, list) in lists {
        world.sandbox.admin().clear_faults();
        world.fault(answer(Route::Record, &list));
        let found = world.crm.fetch(&plain, "Id", &wanted).await;
        assert_eq!(found.map(|page| page.records.num_rows()).unwrap_err().class, Class::Transient, "{name}");
    }
    assert_eq!(world.crm.fetch(&plain, "Id", &wanted).await.unwrap().records.num_rows(), 3);
}

#[tokio::test]
async fn a_log_that_does_not_say_how_far_it_goes_is_not_taken_as_whole() {
    use engine::outside::crm::DeletedSpan;
    let world = world(3, small());
    let span = DeletedSpan::Period {
        from: "2026-03-07T00:00:00Z".parse().unwrap(),
        to: "2026-03-07T12:00:00Z".parse().unwrap(),
    };
    let whole = json!({
        "deletedRecords": [], "earliestDateAvailable": "2026-03-01T00:00:00.000+0000",
        "latestDateCovered": "2026-03-08T00:00:00.000+0000",
    });
    for left_out in ["deletedRecords", "earliestDateAvailable", "latestDateCovered"] {
        let mut log = whole.clone();
        log.as_object_mut().unwrap().remove(left_out);
        world.fault(answer(Route::Replication, &log));
        let failure = world.deleted(span.clone()).await.map(|(records, _)| records.len()).unwrap_err();
        assert!(failure.message.contains(left_out), "{failure}");
    }
}

/// An upsert of two contacts, after this answer.
async fn upsert(world: &World, records_of_all: u64, answer: Fault) -> Result<Vec<String>, Failure> {
    let upsert = write(&world.contacts().await, Operation::Upsert, &["Ext__c"], &["Ext__c", "LastName"]);
    let records = rows(&upsert, &[&[Some("A"), Some("One")], &[Some("B"), Some("Two")]]);
    let plan = world.crm.write_plan(&upsert, records_of_all).unwrap();
    world.fault(answer);
    send(&world.crm, &upsert, &plan, &records, &Kept::default(), false).await.map(|outcomes| words(&outcomes))
}

#[tokio::test]
async fn a_result_without_a_word_of_success_or_about_another_record_is_none() {
    let world = world(2, small());
    let result = |id: &str| json!({ "id": id, "success": true, "errors": [] });
    let own = [result(&world.id(0)), result(&world.id(1))];
    let update = write(&world.contacts().await, Operation::Update, &["Id"], &["Id", "LastName"]);
    let (one, two) = (world.id(0), world.id(1));
    let records = rows(&update, &[&[Some(&one), Some("New")], &[Some(&two), Some("New")]]);
    let plan = world.crm.write_plan(&update, 2).unwrap();
    for (name, results) in [
        ("empty", json!([{}, {}])),
        ("exchanged", json!([own[1], own[0]])),
        ("fewer", json!([own[0]])),
        ("more", json!([own[0], own[1], own[1]])),
    ] {
        world.fault(answer(Route::Write, &results));
        let outcomes = send(&world.crm, &update, &plan, &records, &Kept::default(), false).await;
        assert_eq!(outcomes.map(|outcomes| words(&outcomes)).unwrap_err().class, Class::Transient, "{name}");
    }
    let both = json!([{ "id": one, "success": true, "errors": [{ "statusCode": "X", "message": "no" }] }, own[1]]);
    world.fault(answer(Route::Write, &both));
    let outcomes = send(&world.crm, &update, &plan, &records, &Kept::default(), false).await.unwrap();
    assert_eq!(words(&outcomes), ["in doubt", "updated"]);
}

#[tokio::test]
async fn the_lists_of_a_job_have_as_many_results_as_the_job_says() {
    let world = world(0, json!({ "bulk": { "from": 1, "pollMin": "1ms" }, "limits": { "retries": 0 } }));
    let list = |body: &str| {
        Fault {
            containing: Some("/successfulResults".to_owned()),
            content_type: Some("text/csv".to_owned()),
            ..answer(Route::Any, &json!(null))
        }
        .body_of(body)
    };
    for (name, body) in [
        ("empty", ""),
        ("cut", "\"sf__Id\",\"sf__Created\",\"Ext__c\",\"LastName\"\n\"003000000000001AAA\",\"true\",\"A\",\"One\"\n"),
        ("without ids", "\"sf__Created\",\"Ext__c\",\"LastName\"\n\"true\",\"A\",\"One\"\n\"true\",\"B\",\"Two\"\n"),
        ("a proxy's page", "<html>come later</html>"),
    ] {
        world.sandbox.admin().clear_faults();
        let failure = upsert(&world, 2, list(body)).await.unwrap_err();
        assert_eq!(failure.class, Class::Transient, "{name}: {failure}");
    }
    world.sandbox.admin().clear_faults();
}

trait WithBody {
    fn body_of(self, body: &str) -> Fault;
}

impl WithBody for Fault {
    fn body_of(self, body: &str) -> Fault {
        Fault { body: Some(body.to_owned()), ..self }
    }
}

#[tokio::test]
async fn a_page_of_a_proxy_uploads_nothing_and_closes_nothing() {
    for containing in ["/batches", "UploadComplete"] {
        let world = world(0, json!({ "bulk": { "from": 1, "pollMin": "1ms" }, "limits": { "retryWaitMin": "1ms" } }));
        let page = Fault {
            containing: Some(containing.to_owned()),
            status: Some(200),
            times: Some(1),
            body: Some("<html>signed in</html>".to_owned()),
            ..Fault::default()
        };
        let outcomes = upsert(&world, 2, page).await.unwrap();
        assert_eq!(outcomes, ["created", "created"], "{containing}");
        assert_eq!(world.changes().len(), 2, "{containing}");
    }
}

#[tokio::test]
async fn the_end_of_a_result_is_what_the_job_says_and_not_a_header_that_is_missing() {
    let more = json!({ "bulk": { "from": 1, "pollMin": "1ms", "recordsPerPage": 200 }, "limits": { "retries": 0, "recordsPerPage": 200 } });
    let world = world(500, more);
    let plain = read(&world.contacts().await, &["Id", "LastName"]);
    let page: String = (0..200).map(|n| format!("\"{}\",\"A\",\"2026-03-01T00:00:00.000Z\"\n", world.id(n))).collect();
    let page = Fault {
        containing: Some("/results".to_owned()),
        content_type: Some("text/csv".to_owned()),
        ..answer(Route::Any, &json!(null))
    }
    .body_of(&format!("\"Id\",\"LastName\",\"SystemModstamp\"\n{page}"));
    world.fault(page);
    let failure = world.pages(&plain, None).await.map(|pages| ids(&pages).len()).unwrap_err();
    assert_eq!(failure.class, Class::Transient, "{failure}");
}

#[tokio::test]
async fn a_job_that_a_proxy_does_not_find_is_not_lost() {
    let world = world(0, json!({ "bulk": { "from": 1, "pollMin": "1ms" }, "limits": { "retries": 0 } }));
    let object = world.contacts().await;
    let insert = write(&object, Operation::Insert, &[], &["LastName"]);
    let plan = world.crm.write_plan(&insert, 2).unwrap();
    let records = rows(&insert, &[&[Some("One")], &[Some("Two")]]);
    world.fault(Fault {
        containing: Some("/successfulResults".to_owned()),
        times: Some(1),
        status: Some(404),
        body: Some("<html>not found</html>".to_owned()),
        ..Fault::default()
    });
    let steps = Kept::default();
    let failure = send(&world.crm, &insert, &plan, &records, &steps, false).await.map(|all| words(&all)).unwrap_err();
    assert_eq!(failure.class, Class::Config, "{failure}");
    let outcomes = send(&world.crm, &insert, &plan, &records, &steps, true).await.unwrap();
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Done { .. })), "{:?}", words(&outcomes));
    assert_eq!(world.changes().len(), 2);
}

#[tokio::test]
async fn a_description_is_that_of_the_object_that_was_asked_for() {
    let world = world(0, small());
    for described in [
        json!({ "name": "Account", "fields": [{ "name": "Id", "type": "id" }] }),
        json!({ "name": "Contact", "fields": [] }),
    ] {
        world.fault(Fault { containing: Some("/describe".to_owned()), ..answer(Route::Any, &described) });
        assert_eq!(world.crm.describe("Contact").await.map(|object| object.name).unwrap_err().class, Class::Transient);
    }
}
