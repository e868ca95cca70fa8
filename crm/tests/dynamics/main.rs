//! The Dynamics connector against the Dataverse stand-in.
#![expect(clippy::unwrap_used, reason = "test code")]

mod anew;
mod answers;
mod changes;
#[path = "../common/mod.rs"]
mod common;
mod login;
mod related;
mod writing;

use std::collections::BTreeSet;
use std::sync::Arc;

use common::{connect, filtered, lines, ordered, quick, read, records, windowed, world};
use engine::failure::Class;
use engine::outside::crm::{Crm, FieldKind, Read, ReadField};
use futures::StreamExt;
use sandbox::{Attribute, AttributeOption, Fault, RetryAfter, Route};
use serde_json::json;

#[tokio::test]
async fn every_record_comes_once_and_from_each_cursor_the_same_rest() {
    let world = world(57, json!({ "recordsPerPage": 10, "retryWaitMin": "1ms" }));
    let object = world.contacts().await;
    let plain = read(&object, &["contactid", "emailaddress1", "modifiedon"]);
    for read in [
        plain.clone(),
        windowed(plain.clone(), None, "2026-03-03T10:00:00Z"),
        ordered(plain.clone(), &["address1_country", "-createdon"]),
        filtered(plain, "statecode == 0 || !is_empty(emailaddress1)"),
    ] {
        let pages = world.all(&read, None).await.unwrap();
        let all = records(&pages);
        let ids: BTreeSet<&str> = all.iter().map(|line| &line[..36]).collect();
        assert_eq!((all.len(), ids.len()), (57, 57), "{read:?}");
        assert!(pages.iter().all(|page| page.rejects.is_empty() && page.versions.is_some()));
        let mut seen = 0;
        for page in &pages {
            seen += page.records.num_rows();
            let Some(cursor) = &page.next else { continue };
            let text = serde_json::to_string(cursor).unwrap();
            assert!(text.len() < 1_000, "{text}");
            let rest = world.all(&read, Some(serde_json::from_str(&text).unwrap())).await.unwrap();
            assert_eq!(records(&rest), all[seen..]);
        }
        assert_eq!(seen, 57);
    }
    // The size of a page is the cursor's own, also where the account has another by now.
    let of_three = connect(&world.sandbox, &world.sandbox.client_secret(), json!({ "recordsPerPage": 3 }));
    let read = Arc::new(windowed(common::read(&object, &["contactid"]), None, "2026-03-03T10:00:00Z"));
    let first = of_three.read(read.clone(), None).next().await.unwrap().unwrap();
    let next = world.crm.read(read.clone(), first.next.clone()).next().await.unwrap().unwrap();
    assert_eq!(next.records.num_rows(), 3);
    // And a cursor is good for its own query only.
    let other = windowed(common::read(&object, &["contactid"]), None, "2026-03-03T11:00:00Z");
    let failure = world.all(&other, first.next).await.unwrap_err();
    assert!(
        failure.class == Class::Config && failure.message.contains("another account, object or query"),
        "{failure}"
    );
}

#[tokio::test]
async fn every_type_of_a_contact_is_decoded_and_null_stays_null() {
    let world = world(0, quick());
    let attributes = [
        ("new_big", "BigInt", json!({})),
        ("new_exact", "Decimal", json!({ "precision": 3 })),
        ("new_double", "Double", json!({})),
        ("new_local", "DateTime", json!({ "dateBehavior": "TimeZoneIndependent" })),
        ("new_memo", "Memo", json!({})),
        (
            "new_tags",
            "MultiSelectPicklist",
            json!({ "options": [{ "value": 1, "label": "A" }, { "value": 2, "label": "B" }] }),
        ),
    ];
    for (name, kind, more) in attributes {
        let mut attribute = json!({ "name": name, "type": kind });
        attribute.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        world.admin().add_attribute("contact", &serde_json::from_value::<Attribute>(attribute).unwrap()).unwrap();
    }
    let account = "acc00000-0000-4000-8000-000000000001";
    world.admin().put("accounts", account, &json!({ "name": "Analytical Engines" })).unwrap();
    let full = json!({
        "firstname": "Zoë \u{1F600}", "lastname": "O'Brien \"Pat\"\n", "birthdate": "1980-05-31", "donotemail": true,
        "annualincome": 1234.5678, "statecode": 0, "lastonholdtime": "2026-07-01T22:30:00Z", "new_big": 9_007_199_254_740_993_i64,
        "new_exact": -1.125, "new_double": 0.5, "new_local": "2026-07-01T22:30:00Z", "new_memo": "[{", "new_tags": "1,2",
        "parentcustomerid": { "table": "account", "id": account }, "modifiedon": "2026-03-01T08:00:00Z",
    });
    world.admin().put("contacts", "c0000000-0000-4000-8000-000000000001", &full).unwrap();
    let bare = json!({ "lastname": "Null", "modifiedon": "2026-03-02T08:00:00Z" });
    world.admin().put("contacts", "c0000000-0000-4000-8000-000000000002", &bare).unwrap();

    let object = world.contacts().await;
    let fields = [
        "contactid",
        "firstname",
        "lastname",
        "birthdate",
        "donotemail",
        "annualincome",
        "statecode",
        "lastonholdtime",
        "new_big",
        "new_exact",
        "new_double",
        "new_local",
        "new_memo",
        "new_tags",
        "parentcustomerid",
        "parentcustomerid_type",
        "modifiedon",
    ];
    let wanted = read(&object, &fields);
    let pages = world.all(&wanted, None).await.unwrap();
    assert_eq!(
        records(&pages),
        [
            "c0000000-0000-4000-8000-000000000001 | Zoë 😀 | O'Brien \"Pat\"\n | 1980-05-31 | true | 1234.5678 | 0 | \
             2026-07-01T22:30:00Z | 9007199254740993 | -1.125 | 0.5 | 2026-07-01T22:30:00 | [{ | [1, 2] | \
             acc00000-0000-4000-8000-000000000001 | account | 2026-03-01T08:00:00Z",
            "c0000000-0000-4000-8000-000000000002 | ∅ | Null | ∅ | false | ∅ | 0 | ∅ | ∅ | ∅ | ∅ | ∅ | ∅ | ∅ | ∅ | ∅ | \
             2026-03-02T08:00:00Z",
        ]
        .map(|line| line.to_owned()),
    );
    let raw = wanted.fields.iter().map(|read| ReadField { raw: true, ..read.clone() }).collect();
    let pages = world.all(&Read { fields: raw, ..wanted }, None).await.unwrap();
    let first = &records(&pages)[0];
    assert!(
        first.contains("| true | 1234.5678") && first.contains("| 2026-07-01T22:30:00Z | 9007199254740993 |"),
        "{first}"
    );
    assert!(first.contains("| 1,2 |"), "{first}");
}

#[tokio::test]
async fn money_has_the_places_that_its_column_describes() {
    let world = world(0, quick());
    for (name, precision) in [("new_unit", 10), ("new_whole", 0)] {
        let money =
            Attribute { name: name.into(), kind: "Money".into(), precision: Some(precision), ..Attribute::default() };
        world.admin().add_attribute("contact", &money).unwrap();
    }
    let values = json!({ "lastname": "A", "new_unit": 123.456_789_012_3, "new_whole": 922_337_203_685_477_i64 });
    world.admin().put("contacts", "c0000000-0000-4000-8000-000000000001", &values).unwrap();
    let object = world.contacts().await;
    let scale = |scale| FieldKind::Decimal { scale };
    assert_eq!((object.fields["new_unit"].kind, object.fields["new_whole"].kind), (scale(10), scale(4)));
    let pages = world.all(&read(&object, &["new_unit", "new_whole"]), None).await.unwrap();
    assert_eq!(records(&pages), ["123.4567890123 | 922337203685477.0000"]);
}

#[tokio::test]
async fn an_object_is_described_by_either_name_and_a_wrong_one_offers_the_right_one() {
    let world = world(0, quick());
    let tags = vec![AttributeOption { value: 7, label: "Seven".into() }];
    let attribute =
        Attribute { name: "new_pick".into(), kind: "Picklist".into(), options: tags, ..Attribute::default() };
    world.admin().add_attribute("contact", &attribute).unwrap();
    let object = world.crm.describe("contact").await.unwrap();
    assert_eq!(object, world.crm.describe("contacts").await.unwrap());
    assert_eq!(
        (object.name.as_str(), object.internal_name.as_str(), object.id.as_str()),
        ("contacts", "contact", "contactid")
    );
    assert_eq!(object.index_field(world.crm.system().index_fields).unwrap().name, "modifiedon");

    let field = |name: &str| &object.fields[name];
    assert_eq!((field("lastname").kind, field("lastname").length), (FieldKind::Text, Some(50)));
    assert_eq!(field("birthdate").kind, FieldKind::Date);
    assert_eq!(field("annualincome").kind, FieldKind::Decimal { scale: 4 });
    assert_eq!(field("new_pick").options["7"], "Seven");
    assert!(field("statecode").options.len() == 2 && field("statecode").kind == FieldKind::Picklist);
    assert_eq!(field("parentcustomerid").kind, FieldKind::Lookup);
    let targets: BTreeSet<&String> = field("parentcustomerid_type").options.keys().collect();
    assert_eq!(targets, BTreeSet::from([&"account".to_owned(), &"contact".to_owned()]));
    assert!(!field("modifiedon").updatable && !field("contactid").required);
    for (shadow, instead) in
        [("parentcustomeridname", "use parentcustomerid"), ("parentcustomeridtype", "parentcustomerid_type")]
    {
        let field = field(shadow);
        assert!(!field.is_usable() && field.instead.as_ref().unwrap().contains(instead), "{field:?}");
    }
    // Names once, then the table and one request for each kind of column that has option sets; twice.
    assert!(world.count("metadata") <= 1 + 2 * 5, "{}", world.count("metadata"));

    let failure = world.crm.describe("contcts").await.unwrap_err();
    assert_eq!(failure.class, Class::Config);
    assert!(failure.help.unwrap().contains("`contacts`"));
    let failure = world.crm.describe("contacts')/Keys?x=('").await.unwrap_err();
    assert_eq!(failure.class, Class::Config);
    assert!(world.crm.objects().await.unwrap().iter().any(|object| object.name == "contacts"));
    assert_eq!(world.crm.now().await.unwrap(), "2026-03-03T10:00:00Z".parse().unwrap());
}

#[tokio::test]
async fn a_wrong_secret_makes_one_token_request_and_a_second_try_makes_another() {
    let world = world(3, quick());
    let wrong = connect(&world.sandbox, "canary-wrong", quick());
    let (a, b) = tokio::join!(wrong.describe("contacts"), wrong.now());
    let failure = a.unwrap_err();
    assert_eq!((failure.class, failure.code.as_deref()), (Class::Auth, Some("AADSTS7000215")));
    assert!(failure.help.as_ref().unwrap().contains("not its id"), "{failure:?}");
    assert_eq!(b.unwrap_err(), failure);
    assert_eq!(wrong.now().await.unwrap_err(), failure);
    assert_eq!(world.count("token"), 1);
    wrong.now().await.unwrap_err();
    assert_eq!(world.count("token"), 2);
    assert!(!format!("{failure:?} {wrong:?}").contains("canary"));
}

#[tokio::test]
async fn a_token_that_ends_in_the_midst_is_renewed_once_and_one_that_is_never_accepted_ends_the_reading() {
    let world = world(30, json!({ "recordsPerPage": 5, "retryWaitMin": "1ms" }));
    let object = world.contacts().await;
    let read = read(&object, &["contactid"]);
    let mut pages = world.crm.read(Arc::new(read.clone()), None);
    let mut seen = pages.next().await.unwrap().unwrap().records.num_rows();
    world.admin().revoke_tokens();
    while let Some(page) = pages.next().await {
        seen += page.unwrap().records.num_rows();
    }
    assert_eq!((seen, world.count("token")), (30, 2));

    world.admin().add_fault(Fault { route: Route::Query, status: Some(401), ..Fault::default() }).unwrap();
    let before = world.count("query");
    let failure = world.all(&read, None).await.unwrap_err();
    assert_eq!(failure.class, Class::Auth);
    assert_eq!((world.count("query") - before, world.count("token")), (2, 3));
}

#[tokio::test]
async fn faults_that_pass_cost_time_only() {
    let page = |fault: Fault| Fault { route: Route::Page, skip: 1, times: Some(2), ..fault };
    let faults = [
        ("503", Fault { status: Some(503), ..Fault::default() }),
        ("generic SQL", Fault { status: Some(500), code: Some("0x80044151".into()), ..Fault::default() }),
        ("HTML", Fault { body: Some("<html>maintenance</html>".into()), ..Fault::default() }),
        ("empty", Fault { body: Some(String::new()), ..Fault::default() }),
        ("cut", Fault { cut_after_bytes: Some(200), ..Fault::default() }),
        ("no answer", Fault { cut_after_bytes: Some(0), ..Fault::default() }),
        (
            "truncated within a record, yet ending in a brace",
            Fault {
                body: Some(r#"{"value":[{"contactid":"x"}"#.into()),
                content_type: Some("application/json".into()),
                ..Fault::default()
            },
        ),
    ];
    for (name, fault) in faults {
        let world = world(30, json!({ "recordsPerPage": 5, "retryWaitMin": "1ms" }));
        let object = world.contacts().await;
        world.admin().add_fault(page(fault)).unwrap();
        let pages =
            world.all(&read(&object, &["contactid"]), None).await.unwrap_or_else(|failure| panic!("{name}: {failure}"));
        let ids: BTreeSet<String> = records(&pages).into_iter().collect();
        assert_eq!((ids.len(), records(&pages).len()), (30, 30), "{name}");
        assert_eq!(world.admin().faults()[0].fired, 2, "{name}");
    }
}

#[tokio::test]
async fn retry_after_is_waited_for_and_without_retries_the_failure_says_how_long() {
    let world = world(3, json!({ "retries": 1, "retryWaitMin": "1ms" }));
    let object = world.contacts().await;
    let busy = Fault {
        route: Route::Query,
        status: Some(429),
        code: Some("0x80072322".into()),
        retry_after: Some(RetryAfter::Seconds(1)),
        times: Some(1),
        ..Fault::default()
    };
    world.admin().add_fault(busy.clone()).unwrap();
    let begin = std::time::Instant::now();
    assert_eq!(records(&world.all(&read(&object, &["contactid"]), None).await.unwrap()).len(), 3);
    assert!(begin.elapsed().as_secs_f64() >= 1.0);

    let hasty = connect(&world.sandbox, &world.sandbox.client_secret(), json!({ "retries": 0 }));
    world.admin().add_fault(Fault { retry_after: Some(RetryAfter::Seconds(1_000_000)), ..busy }).unwrap();
    let failure = hasty.read(Arc::new(read(&object, &["contactid"])), None).next().await.unwrap().unwrap_err();
    assert_eq!(
        (failure.class, failure.code.as_deref(), failure.retry_after_s),
        (Class::Quota, Some("0x80072322"), Some(3_600))
    );
}

#[tokio::test]
async fn a_next_link_that_leads_elsewhere_or_in_a_circle_ends_the_reading() {
    let world = world(30, json!({ "recordsPerPage": 5, "retryWaitMin": "1ms" }));
    let object = world.contacts().await;
    let read = read(&object, &["contactid"]);
    let fault = Fault { route: Route::Page, skip: 1, next_link_host: Some("evil.example".into()), ..Fault::default() };
    world.admin().add_fault(fault).unwrap();
    let failure = world.all(&read, None).await.unwrap_err();
    assert!(failure.class == Class::Config && failure.message.contains("evil.example"), "{failure}");

    world.admin().clear_faults();
    world.admin().add_fault(Fault { route: Route::Page, skip: 1, repeat_page: true, ..Fault::default() }).unwrap();
    let failure = world.all(&read, None).await.unwrap_err();
    assert!(failure.class == Class::Config && failure.message.contains("circle"), "{failure}");

    for (code, message) in
        [("0x80044352", "Version stamp has expired."), ("0x80040203", "Malformed XML in the Paging Cookie.")]
    {
        world.admin().clear_faults();
        let (code, message) = (Some(code.to_owned()), Some(message.to_owned()));
        world
            .admin()
            .add_fault(Fault { route: Route::Page, status: Some(400), code, message, ..Fault::default() })
            .unwrap();
        assert_eq!(world.all(&read, None).await.unwrap_err().class, Class::CursorLost);
    }
}

#[tokio::test]
async fn a_record_that_does_not_fit_spoils_nothing_but_itself() {
    let world = world(0, quick());
    let object = world.contacts().await;
    let page = concat!(
        r#"{"value":[{"@odata.etag":"W/\"1\"","contactid":"a","birthdate":"1980-05-31","annualincome":1.50},"#,
        r#"{"@odata.etag":"W/\"2\"","contactid":"b","birthdate":"31/05/1980","annualincome":2.5},"#,
        r#"{"@odata.etag":"W/\"3\"","contactid":"c","annualincome":0.00001},"#,
        r#"{"@odata.etag":"W/\"4\"","contactid":"d","birthdate":null,"annualincome":3,"other":{"x":[1]}}NESTED]}"#
    );
    for (nested, rejects) in [
        ("", vec!["b | ∅ | 2.5000: birthdate", "c | ∅ | ∅: annualincome"]),
        (
            r#",{"contactid":{"deep":[[[]]]},"birthdate":"1980-05-31"},7"#,
            vec![
                "b | ∅ | 2.5000: birthdate",
                "c | ∅ | ∅: annualincome",
                "∅ | 1980-05-31 | ∅: contactid",
                "∅ | ∅ | ∅: contactid",
            ],
        ),
    ] {
        let body = page.replace("NESTED", nested);
        world.admin().clear_faults();
        let fault = Fault {
            route: Route::Query,
            body: Some(body),
            content_type: Some("application/json".into()),
            ..Fault::default()
        };
        world.admin().add_fault(fault).unwrap();
        let pages = world.all(&read(&object, &["contactid", "birthdate", "annualincome"]), None).await.unwrap();
        assert_eq!(records(&pages), ["a | 1980-05-31 | 1.5000", "d | ∅ | 3.0000"]);
        let versions: Vec<_> = pages[0].versions.as_ref().unwrap().exact.iter().flatten().collect();
        assert_eq!(versions, ["1", "4"]);
        let found: Vec<String> =
            pages[0].rejects.iter().map(|misfit| format!("{}: {}", lines([&misfit.record])[0], misfit.field)).collect();
        assert_eq!(found, rejects);
        assert!(pages[0].rejects[0].message.contains("`31/05/1980` is not a date"), "{}", pages[0].rejects[0].message);
    }
}

#[tokio::test]
async fn a_page_larger_than_a_batch_becomes_several_and_each_has_its_cursor() {
    let world = world(0, quick());
    let object = world.contacts().await;
    let records: Vec<_> = (0..12_000).map(|n| json!({ "contactid": format!("{n}") })).collect();
    let fault = Fault {
        route: Route::Query,
        body: Some(json!({ "value": records }).to_string()),
        content_type: Some("application/json".into()),
        ..Fault::default()
    };
    world.admin().add_fault(fault).unwrap();
    let read = read(&object, &["contactid"]);
    let pages = world.all(&read, None).await.unwrap();
    let rows: Vec<usize> = pages.iter().map(|page| page.records.num_rows()).collect();
    assert_eq!(rows, [5_000, 5_000, 2_000]);
    assert!(pages[2].next.is_none());
    let rest = world.all(&read, pages[0].next.clone()).await.unwrap();
    assert_eq!(common::records(&rest), common::records(&pages)[5_000..]);
}

#[tokio::test]
async fn a_next_link_is_followed_also_where_it_stands_before_a_long_list() {
    let world = world(3, quick());
    let object = world.contacts().await;
    let records: Vec<_> = (0..3_000).map(|n| json!({ "contactid": format!("{n:036}") })).collect();
    let link = format!("{}/api/data/v9.2/contacts?$select=contactid", world.sandbox.url());
    let body = format!(r#"{{"@odata.nextLink":"{link}","value":{}}}"#, json!(records));
    let json = Some("application/json".to_owned());
    let fault = Fault { route: Route::Query, times: Some(1), body: Some(body), content_type: json, ..Fault::default() };
    world.admin().add_fault(fault).unwrap();
    // The second address differs from the first by its order only, so that the stand-in answers it as a query.
    let pages = world.all(&ordered(read(&object, &["contactid"]), &["contactid"]), None).await.unwrap();
    assert_eq!(pages.iter().map(|page| page.records.num_rows()).collect::<Vec<_>>(), [3_000, 3]);
    let rest = world.all(&ordered(read(&object, &["contactid"]), &["contactid"]), pages[0].next.clone()).await.unwrap();
    assert_eq!(common::records(&rest), common::records(&pages[1..]));
}

#[tokio::test]
async fn the_filters_of_ac_5_are_sent_as_the_table_says_and_no_text_breaks_out_of_its_quotes() {
    let world = world(0, quick());
    for (name, kind, behavior) in
        [("new_number", "Integer", None), ("new_activity", "DateTime", Some("DateOnly".to_owned()))]
    {
        let attribute =
            Attribute { name: name.into(), kind: kind.into(), date_behavior: behavior, ..Attribute::default() };
        world.admin().add_attribute("contact", &attribute).unwrap();
    }
    let contacts = [
        ("N1", json!("Marketing"), json!("CMO"), json!(10), json!("2012-10-31")),
        ("N2", json!("Marketing"), json!(null), json!(10), json!("2012-11-01")),
        ("N3", json!("Sales"), json!(null), json!(60_000), json!("2012-11-02")),
        ("N4", json!("marketing"), json!("CMO"), json!(10), json!(null)),
        ("N5", json!(null), json!(null), json!(null), json!(null)),
    ];
    for (place, (name, department, job, number, activity)) in contacts.into_iter().enumerate() {
        let id = format!("c0000000-0000-4000-8000-{place:012}");
        let contact = json!({
            "lastname": name, "emailaddress1": format!("{name}@example.com"), "department": department, "jobtitle": job,
            "new_number": number, "new_activity": activity,
        });
        world.admin().put("contacts", &id, &contact).unwrap();
    }
    let object = world.contacts().await;
    let mixed = r#"department == "Marketing" && !is_empty(emailaddress1) && !is_empty(jobtitle) && !is_empty(lastname) || new_number > 50051"#;
    let mixed_sent = "(department eq 'Marketing' and emailaddress1 ne null and jobtitle ne null and lastname ne null) or new_number gt 50051";
    for (filter, sent, exact, came) in [
        ("is_empty(department)", Some("department eq null"), true, "N5"),
        ("new_number > 50051", Some("new_number gt 50051"), true, "N3"),
        (mixed, Some(mixed_sent), false, "N1 N3 N4"),
        (r#"!(department == "Marketing")"#, None, false, "N1 N2 N3 N4 N5"),
        ("len(department) > 5 && new_number == 10", Some("new_number eq 10"), false, "N1 N2 N4"),
        (r#"department == "O'Neil""#, Some("department eq 'O''Neil'"), false, ""),
        (r#"new_activity >= date("2012-11-01")"#, Some("new_activity ge 2012-11-01"), true, "N2 N3"),
        (r#"new_activity > date("2012-11-01")"#, Some("new_activity gt 2012-11-01"), true, "N3"),
        ("!(new_number > 50051)", Some("new_number le 50051 or new_number eq null"), true, "N1 N2 N4 N5"),
        ("new_number != 10", Some("new_number ne 10 or new_number eq null"), true, "N3 N5"),
        (r#"department == "x' or lastname ne '""#, Some("department eq 'x'' or lastname ne '''"), false, ""),
        (r#"department == "') or (true eq true""#, Some("department eq ''') or (true eq true'"), false, ""),
        (r#"department == "%27%2527""#, None, false, "N1 N2 N3 N4 N5"),
        (r#"department == "\\' OR 1=1""#, Some(r"department eq '\'' OR 1=1'"), false, ""),
        ("department == \"a\\r\\nHost: x\"", None, false, "N1 N2 N3 N4 N5"),
    ] {
        let wanted = filtered(read(&object, &["lastname"]), filter);
        let query = world.crm.query(&wanted).unwrap();
        assert_eq!((query.filter.as_deref(), query.exact), (sent, exact), "{filter}");
        let mut names = records(&world.all(&wanted, None).await.unwrap());
        names.sort();
        assert_eq!(names.join(" "), came, "{filter}");
        assert!(
            world.admin().requests(0).last().unwrap().path.ends_with(query.text.trim_start_matches('/')),
            "{}",
            query.text
        );
    }
    let wanted = windowed(read(&object, &["lastname"]), Some("2026-03-03T09:55:00Z"), "2026-03-03T11:00:00Z");
    let query = world.crm.query(&filtered(wanted, mixed)).unwrap();
    assert!(query.text.contains(
        "modifiedon%20ge%202026-03-03T09:55:00Z%20and%20modifiedon%20lt%202026-03-03T11:00:00Z%20and%20((department"
    ));
    assert!(query.text.ends_with("&$orderby=modifiedon,contactid"), "{}", query.text);
}

#[tokio::test]
async fn an_account_is_tested_step_by_step_and_the_failing_step_says_what_is_missing() {
    let world = world(0, quick());
    let steps = world.crm.test().await;
    assert!(steps.len() == 5 && steps.iter().all(|step| step.result.is_ok()), "{steps:?}");
    for (fault, step, help) in [
        (
            Fault {
                route: Route::Token,
                body: Some(r#"{"error":"invalid_client","error_codes":[7000222]}"#.into()),
                status: Some(401),
                ..Fault::default()
            },
            2,
            "make a new secret",
        ),
        (
            Fault { route: Route::Whoami, status: Some(403), code: Some("0x80072560".into()), ..Fault::default() },
            3,
            "application user",
        ),
        (
            Fault { route: Route::Metadata, status: Some(403), code: Some("0x80040220".into()), ..Fault::default() },
            4,
            "security role",
        ),
    ] {
        world.admin().clear_faults();
        world.admin().add_fault(fault).unwrap();
        let steps = connect(&world.sandbox, &world.sandbox.client_secret(), quick()).test().await;
        let failure = steps.last().unwrap().result.as_ref().unwrap_err();
        assert_eq!(steps.len(), step + 1, "{steps:?}");
        assert!(failure.help.as_ref().unwrap().contains(help), "{failure:?}");
    }
}
