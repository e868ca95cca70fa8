//! What an answer says about itself is the rule: errors, links and ids, whatever its status.

use std::sync::Arc;

use engine::failure::{Class, Failure};
use engine::outside::crm::{
    Batch, Crm, DeletedPage, DeletedSpan, Operation, Outcome, Read, ReadDeleted, Write, WriteField,
};
use futures::StreamExt;
use sandbox::{Fault, Route, Tracking};
use serde_json::{Value, json};

use crate::common::{World, filtered, quick, read, records, world};
use crate::writing::Kept;

fn id(n: u32) -> String {
    format!("c0000000-0000-4000-8000-{n:012}")
}

/// An answer of this text, once, instead of what was asked for.
fn answer(route: Route, body: &Value) -> Fault {
    Fault {
        route,
        times: Some(1),
        status: Some(200),
        body: Some(body.to_string()),
        content_type: Some("application/json".to_owned()),
        ..Fault::default()
    }
}

fn error(code: &str) -> Value {
    json!({ "code": code, "message": "it failed" })
}

fn contacts(numbers: std::ops::Range<u32>) -> Vec<Value> {
    numbers.map(|n| json!({ "@odata.etag": "W/\"1\"", "contactid": id(n), "lastname": "A" })).collect()
}

fn with(more: Value) -> Vec<Value> {
    contacts(0..5).into_iter().chain([more]).collect()
}

/// Thirty contacts, with which a retry is not made.
async fn thirty() -> (World, Read) {
    let world = world(0, json!({ "retries": 0 }));
    (0..30).for_each(|n| world.admin().put("contacts", &id(n), &json!({ "lastname": "A" })).unwrap());
    let plain = read(&world.contacts().await, &["lastname"]);
    (world, plain)
}

#[tokio::test]
async fn a_page_with_an_error_or_without_an_id_in_it_ends_the_reading() {
    let (world, plain) = thirty().await;
    let pages = [
        ("an error after the records", json!({ "value": contacts(0..5), "error": error("0x80044151") })),
        ("an error before them", json!({ "error": error(""), "value": contacts(0..5) })),
        ("an error of the library", json!({ "value": contacts(0..5), "odata.error": error("0x80044151") })),
        ("an error in place of a record", json!({ "value": with(json!({ "error": error("0x80044151") })) })),
        (
            "an error within a record",
            json!({ "value": with(json!({ "contactid": id(7), "error": error("0x80044151") })) }),
        ),
        ("an error alone", json!({ "error": error("0x80044151") })),
        ("a record without an id", json!({ "value": with(json!({ "lastname": "B" })) })),
    ];
    for (name, page) in pages {
        world.admin().add_fault(answer(Route::Query, &page)).unwrap();
        let failure = world.all(&plain, None).await.map(|pages| records(&pages).len()).unwrap_err();
        assert_eq!(failure.class, Class::Transient, "{name}: {failure}");
        assert_eq!(records(&world.all(&plain, None).await.unwrap()).len(), 30, "{name}");
    }
    world.admin().add_fault(answer(Route::Query, &json!({ "value": [], "error": error("0x80060888") }))).unwrap();
    let failure = world.all(&plain, None).await.map(|pages| records(&pages).len()).unwrap_err();
    assert_eq!((failure.class, failure.code.as_deref()), (Class::Config, Some("0x80060888")));
}

#[tokio::test]
async fn a_text_that_looks_like_an_error_is_a_text() {
    let (world, _) = thirty().await;
    let text = r#"{"error":{"code":"0x1"}}"#;
    world.admin().put("contacts", &id(1), &json!({ "lastname": text, "firstname": "error" })).unwrap();
    let read = read(&world.contacts().await, &["lastname", "firstname"]);
    let found = records(&world.all(&read, None).await.unwrap());
    assert!(found.len() == 30 && found.contains(&format!("{text} | error")), "{found:?}");
}

#[tokio::test]
async fn records_that_are_looked_up_come_without_an_error_and_in_no_circle() {
    let (world, plain) = thirty().await;
    let wanted: Vec<String> = (0..3).map(id).collect();
    let url = world.sandbox.url();
    let circle =
        json!({ "value": contacts(0..1), "@odata.nextLink": format!("{url}/api/data/v9.2/contacts?$skiptoken=x") });
    world.admin().add_fault(Fault { times: None, ..answer(Route::Any, &circle) }).unwrap();
    let failure =
        tokio::time::timeout(std::time::Duration::from_secs(20), world.crm.fetch(&plain, "contactid", &wanted));
    let failure = failure.await.expect("it ends").map(|page| page.records.num_rows()).unwrap_err();
    assert!(failure.message.contains("circle"), "{failure}");
    world.admin().clear_faults();
    let page = json!({ "value": contacts(0..1), "error": error("0x80044151") });
    world.admin().add_fault(answer(Route::Query, &page)).unwrap();
    let found = world.crm.fetch(&plain, "contactid", &wanted).await.map(|page| page.records.num_rows());
    assert_eq!(found.unwrap_err().class, Class::Transient);
}

async fn deleted(world: &World) -> Result<Vec<DeletedPage>, Failure> {
    let span = DeletedSpan::Period {
        from: "2026-03-03T10:00:00Z".parse().unwrap(),
        to: "2026-03-03T10:01:00Z".parse().unwrap(),
    };
    let read = ReadDeleted { object: world.contacts().await, span };
    let pages: Vec<_> = world.crm.deleted(Arc::new(read), None).collect().await;
    pages.into_iter().collect()
}

#[tokio::test]
async fn an_entry_of_a_deletion_that_does_not_say_of_which_record_is_not_passed_over() {
    let (world, plain) = thirty().await;
    world.admin().set_tracking(&Tracking { audit: Some(true), ..Tracking::default() }).unwrap();
    world.admin().delete("contacts", &id(1)).unwrap();
    let own = json!({ "_objectid_value": id(1), "createdon": "2026-03-03T10:00:00Z" });
    for (name, list) in [
        ("no id", json!({ "value": [own, { "createdon": "2026-03-03T10:00:00Z" }] })),
        ("no guid", json!({ "value": [own, { "_objectid_value": "x", "createdon": "2026-03-03T10:00:00Z" }] })),
        ("an error", json!({ "value": [own, { "error": error("0x80044151") }] })),
        ("an error after them", json!({ "value": [own], "error": error("0x80044151") })),
    ] {
        world.admin().clear_faults();
        let list = Fault { containing: Some("_objectid_value".to_owned()), ..answer(Route::Any, &list) };
        world.admin().add_fault(list).unwrap();
        let failure = deleted(&world).await.map(|pages| pages.len()).unwrap_err();
        assert_eq!(failure.class, Class::Transient, "{name}: {failure}");
    }
    let feed = engine::outside::crm::Feed { since: None, to: world.admin().clock().now };
    let entry = json!({ "@odata.context": "x/$metadata#contacts/$deletedEntity", "reason": "deleted" });
    let link = format!("{}/api/data/v9.2/contacts?$deltatoken=1", world.sandbox.url());
    world.admin().clear_faults();
    world.admin().add_fault(answer(Route::Query, &json!({ "value": [entry], "@odata.deltaLink": link }))).unwrap();
    let failure = world.all(&Read { feed: Some(feed), ..plain }, None).await.map(|pages| pages.len()).unwrap_err();
    assert_eq!(failure.class, Class::Transient, "{failure}");
}

#[tokio::test]
async fn a_full_page_of_the_recycle_bin_that_does_not_say_that_it_is_the_last_is_not() {
    let (world, _) = thirty().await;
    world.admin().set_tracking(&Tracking { recycle_bin_days: Some(30), ..Tracking::default() }).unwrap();
    world.admin().delete("contacts", &id(1)).unwrap();
    let full: Vec<Value> = (0..5_000).map(|n| json!({ "contactid": id(10_000 + n) })).collect();
    // Whether there is a bin is asked first.
    let bin =
        Fault { containing: Some("datasource".to_owned()), skip: 1, ..answer(Route::Any, &json!({ "value": full })) };
    world.admin().add_fault(bin).unwrap();
    let pages = deleted(&world).await.unwrap();
    let found: usize = pages.iter().map(|page| page.records.len()).sum();
    assert!(pages.len() > 1, "{found} of 5,001");
    let mut asked = world.admin().requests(0).into_iter().filter(|request| request.path.contains("datasource"));
    let prefer = |request: &sandbox::Request| request.headers.get("prefer").cloned().unwrap_or_default();
    assert!(asked.next_back().is_some_and(|request| prefer(&request).contains("Microsoft.Dynamics.CRM")));
}

#[tokio::test]
async fn a_count_that_does_not_come_is_worth_no_second_question() {
    let slow = Fault { delay_ms: Some(60_000), ..Fault::default() };
    let refused = Fault { status: Some(400), code: Some("0x80040203".to_owned()), ..Fault::default() };
    for (name, class, fault) in [("refused", Class::Config, refused), ("late", Class::Transient, slow)] {
        let world = world(3, json!({ "retryWaitMin": "1ms", "firstByteTimeout": "1s" }));
        let plain = filtered(read(&world.contacts().await, &["contactid", "createdon"]), "lastname == \"A\"");
        world.admin().add_fault(Fault { containing: Some("count=true".to_owned()), ..fault }).unwrap();
        assert_eq!(world.crm.ranges(&plain, 4).await.unwrap_err().class, class, "{name}");
        assert_eq!(world.admin().faults()[0].matched, 1, "{name}");
    }
}

#[tokio::test]
async fn a_login_that_is_refused_for_now_is_tried_again() {
    let refused = |code: u64| json!({ "error": "invalid_request", "error_codes": [code], "error_description": format!("AADSTS{code}: Try again.") });
    let fault = |status: u16, body: &Value| Fault { status: Some(status), ..answer(Route::Token, body) };
    for code in [50_033, 90_006, 90_012, 90_024, 90_033, 90_055, 90_090] {
        let world = world(1, quick());
        world.admin().add_fault(fault(400, &refused(code))).unwrap();
        world.crm.now().await.unwrap_or_else(|failure| panic!("{code}: {failure}"));
        assert_eq!(world.count("token"), 2, "{code}");
    }
    let world = world(1, json!({ "retryWaitMin": "1ms", "retries": 2 }));
    world.admin().add_fault(fault(200, &refused(90_024))).unwrap();
    world.crm.now().await.unwrap();
    world.admin().revoke_tokens();
    world.admin().add_fault(Fault { times: None, ..fault(400, &refused(90_033)) }).unwrap();
    let failure = world.crm.now().await.unwrap_err();
    assert_eq!((failure.class, failure.code.as_deref()), (Class::Transient, Some("AADSTS90033")));
    assert_eq!(world.count("token"), 2 + 3, "within bounds");
}

/// Deletes or updates two contacts that are there.
async fn write(world: &World, operation: Operation, batch_max: usize, again: bool) -> Result<Vec<Outcome>, Failure> {
    let object = world.contacts().await;
    let field = |name: &str| WriteField { field: object.fields[name].clone(), raw: false, target: None };
    let fields = match operation {
        Operation::Delete => vec![field("contactid")],
        _ => vec![field("contactid"), field("lastname")],
    };
    // Rules against duplicates are asked record by record.
    let detect_duplicates = batch_max < 1_000;
    let write = Write {
        batch_max: Some(batch_max),
        detect_duplicates,
        ..Write::new(object.clone(), operation, ["contactid"], fields)
    };
    let texts = |of: &dyn Fn(u32) -> String| -> arrow::array::ArrayRef {
        Arc::new((1..=2).map(|n| Some(of(n))).collect::<arrow::array::StringArray>())
    };
    let columns = [texts(&id), texts(&|_| "New".to_owned())].into_iter().take(write.fields.len()).collect();
    let schema = write.fields.iter().map(|field| field.field.column(false)).collect::<Vec<_>>();
    let rows = arrow::array::RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(schema)), columns).unwrap();
    let plan = world.crm.write_plan(&write, 2).unwrap();
    let payloads: Vec<_> =
        world.crm.encode(&write, &plan, &rows).unwrap().into_iter().map(|payload| payload.unwrap().bytes).collect();
    let mut outcomes = Vec::new();
    for payloads in payloads.chunks(plan.records_max) {
        let steps = Kept::default();
        let batch = Batch { write: &write, plan: &plan, name: "b", payloads, again, steps: &steps };
        outcomes.extend(world.crm.send(batch).await?);
    }
    Ok(outcomes)
}

fn is_done(outcomes: &[Outcome]) -> bool {
    outcomes.iter().any(|outcome| matches!(outcome, Outcome::Done { .. }))
}

/// The answer to a batch whose two parts are these.
fn parts(part: &str) -> Fault {
    let part = format!("--batchresponse_1\r\nContent-Type: application/http\r\n\r\n{part}\r\n");
    Fault {
        route: Route::Batch,
        status: Some(200),
        body: Some(format!("{part}{part}--batchresponse_1--\r\n")),
        content_type: Some("multipart/mixed; boundary=batchresponse_1".to_owned()),
        ..Fault::default()
    }
}

#[tokio::test]
async fn a_deletion_is_done_only_where_the_crm_says_that_the_record_is_not_there() {
    let missing = |id: &str| {
        let message = format!("contact With Id = {id} Does Not Exist");
        json!({ "error": { "code": "0x80040217", "message": message } }).to_string()
    };
    let foreign =
        json!({ "error": { "code": "ResourceNotFound", "message": "The resource does not exist" } }).to_string();
    let another = missing(&id(99));
    let (world, _) = thirty().await;
    for (status, body) in [
        (404, "<html>not found</html>"),
        (404, ""),
        (410, ""),
        (200, ""),
        (200, "<html>hello</html>"),
        (404, &foreign),
        (404, &another),
    ] {
        world.admin().clear_faults();
        let answer = Fault { status: Some(status), body: Some(body.to_owned()), ..Fault::default() };
        world.admin().add_fault(Fault { route: Route::Write, ..answer }).unwrap();
        let outcomes = write(&world, Operation::Delete, 1, false).await;
        assert!(!outcomes.as_ref().is_ok_and(|outcomes| is_done(outcomes)), "{status} {body}: {outcomes:?}");
        world.admin().clear_faults();
        world
            .admin()
            .add_fault(parts(&format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n\r\n{body}")))
            .unwrap();
        let outcomes = write(&world, Operation::Delete, 2, false).await;
        assert!(!outcomes.as_ref().is_ok_and(|outcomes| is_done(outcomes)), "part: {status} {body}: {outcomes:?}");
    }
    world.admin().clear_faults();
    assert!(
        write(&world, Operation::Delete, 2, false).await.unwrap().iter().all(|one| is_done(std::slice::from_ref(one)))
    );
    // Gone already, in words with a code and in words without one.
    for batch_max in [1, 2] {
        assert!(is_done(&write(&world, Operation::Delete, batch_max, false).await.unwrap()));
    }
    let documented = missing(&id(1)).replace("0x80040217", "");
    let gone =
        Fault { route: Route::Write, times: Some(1), status: Some(404), body: Some(documented), ..Fault::default() };
    world.admin().add_fault(gone).unwrap();
    assert!(is_done(&write(&world, Operation::Delete, 1, false).await.unwrap()));
}

#[tokio::test]
async fn an_update_is_done_only_where_the_crm_says_so() {
    let (world, _) = thirty().await;
    let other = format!("OData-EntityId: https://x/contacts({})\r\n", id(9));
    for (status, headers, body) in [
        (200, "", "<html>hello</html>"),
        (200, "", ""),
        (200, "", r#"{"error":{"code":"0x80040265","message":"a plug-in refused it"}}"#),
        (412, "", ""),
        (204, &*other, ""),
    ] {
        world.admin().clear_faults();
        if headers.is_empty() {
            let answer = Fault { status: Some(status), body: Some(body.to_owned()), ..Fault::default() };
            world.admin().add_fault(Fault { route: Route::Write, ..answer }).unwrap();
            let outcomes = write(&world, Operation::Update, 1, false).await;
            assert!(!outcomes.as_ref().is_ok_and(|outcomes| is_done(outcomes)), "{status} {body}: {outcomes:?}");
        }
        world.admin().clear_faults();
        world.admin().add_fault(parts(&format!("HTTP/1.1 {status} X\r\n{headers}\r\n{body}"))).unwrap();
        let outcomes = write(&world, Operation::Update, 2, false).await;
        assert!(!outcomes.as_ref().is_ok_and(|outcomes| is_done(outcomes)), "part: {status} {body}: {outcomes:?}");
    }
    for body in ["<html>hello</html>", ""] {
        world.admin().clear_faults();
        let answer = Fault { status: Some(200), body: Some(body.to_owned()), ..Fault::default() };
        world.admin().add_fault(Fault { route: Route::Bulk, ..answer }).unwrap();
        let outcomes = write(&world, Operation::Update, 1_000, false).await;
        assert!(!outcomes.as_ref().is_ok_and(|outcomes| is_done(outcomes)), "multiple: {body}: {outcomes:?}");
    }
}
