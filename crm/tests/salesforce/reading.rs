//! Logins, descriptions, reading, deletions.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::ArrayRef;
use arrow::util::display::array_value_to_string;
use engine::expr::Expr;
use engine::failure::Class;
use engine::outside::crm::{Crm, Deleted, DeletedSpan, FieldKind, OrderBy, Page, Read, ReadField, Window};
use futures::StreamExt;
use jiff::Timestamp;
use sandbox::{Fault, Route, SalesforceField};
use serde_json::json;

use crate::world::{NOW, connect, ids, read, texts, world};

#[tokio::test]
async fn each_login_gets_a_token_and_a_wrong_one_says_what_is_missing() {
    let world = world(3, json!({}));
    let told = world.sandbox.salesforce();
    let password = json!({
        "login": "password", "username": told["username"], "password": told["password"],
        "securityToken": told["securityToken"],
    });
    let refresh = json!({ "login": "refreshToken", "refreshToken": told["refreshToken"] });
    for login in [json!({}), password, refresh] {
        let steps = connect(&world.sandbox, login.clone()).test().await;
        assert_eq!(steps.len(), 5, "{steps:?}");
        assert!(steps.iter().all(|step| step.result.is_ok()), "{login}: {steps:?}");
    }
    let steps = connect(&world.sandbox, json!({ "clientSecret": "canary" })).test().await;
    let failure = steps.last().unwrap().result.as_ref().unwrap_err();
    assert_eq!((steps.len(), failure.class), (3, Class::Auth));
    assert!(failure.help.as_ref().unwrap().contains("consumer secret"), "{failure:?}");
    assert!(!format!("{steps:?}").contains("canary"));
    let old = connect(&world.sandbox, json!({ "apiVersion": "v99.0" })).test().await;
    assert!(old.last().unwrap().result.as_ref().unwrap_err().help.as_ref().unwrap().contains("apiVersion"));
}

#[tokio::test]
async fn an_assertion_is_good_whatever_our_clock_says_and_another_key_is_refused() {
    let world = world(0, json!({}));
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../sandbox/tests/keys/");
    let public = std::fs::read_to_string(format!("{folder}application.public.pem")).unwrap();
    world.sandbox.admin().salesforce().set_public_key(&public).unwrap();
    let login = |key: &str| {
        json!({
            "login": "jwt", "username": world.sandbox.salesforce()["username"],
            "privateKey": { "file": format!("{folder}{key}.key.pem") },
        })
    };
    // The stand-in's clock is months away from ours.
    let steps = connect(&world.sandbox, login("application")).test().await;
    assert!(steps.len() == 5 && steps.iter().all(|step| step.result.is_ok()), "{steps:?}");
    let failure = connect(&world.sandbox, login("stranger")).now().await.unwrap_err();
    assert!(failure.class == Class::Auth && failure.help.unwrap().contains("certificate"));
}

#[tokio::test]
async fn a_refresh_token_that_is_replaced_is_kept_in_its_file() {
    let world = world(0, json!({}));
    world.settings(|settings| settings.rotate_refresh_tokens = true);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, world.sandbox.salesforce()["refreshToken"].as_str().unwrap()).unwrap();
    for _ in 0..3 {
        let before = std::fs::read_to_string(&file).unwrap();
        let crm = connect(&world.sandbox, json!({ "login": "refreshToken", "refreshToken": { "file": file } }));
        crm.now().await.unwrap();
        assert_ne!(std::fs::read_to_string(&file).unwrap(), before);
    }
}

#[tokio::test]
async fn a_refresh_token_that_is_replaced_is_kept_also_where_nobody_waits_for_it_any_more() {
    let world = world(0, json!({}));
    world.settings(|settings| settings.rotate_refresh_tokens = true);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), world.sandbox.salesforce()["refreshToken"].as_str().unwrap()).unwrap();
    let login = json!({ "login": "refreshToken", "refreshToken": { "file": file.path() } });
    let crm = Arc::new(connect(&world.sandbox, login.clone()));
    world.fault(Fault { route: Route::Token, delay_ms: Some(1_000), times: Some(1), ..Fault::default() });
    let asking = tokio::spawn({
        let crm = Arc::clone(&crm);
        async move { crm.now().await }
    });
    // Salesforce has taken the old token back, and its answer is on the way.
    while world.requests("/token").is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    crm.now().await.unwrap();
    // And so does another process.
    connect(&world.sandbox, login).now().await.unwrap();
}

#[tokio::test]
async fn what_is_described_is_what_can_be_read_and_found() {
    let world = world(3, json!({}));
    let object = world.contacts().await;
    let kind = |name: &str| format!("{:?}", object.fields[name].kind);
    for (name, expected) in [
        ("Id", "Text"),
        ("AccountId", "Lookup"),
        ("LastName", "Text"),
        ("LeadSource", "TextPicklist"),
        ("Tags__c", "TextMultiPicklist"),
        ("Worth__c", "Decimal { scale: 4 }"),
        ("Calls__c", "Time"),
        ("HasOptedOutOfEmail", "Bool"),
        ("Birthdate", "Date"),
        ("SystemModstamp", "DateTime"),
        ("MailingLatitude", "Double"),
    ] {
        assert_eq!(kind(name), expected, "{name}");
    }
    assert!(!object.fields["MailingAddress"].readable && object.fields["MailingCity"].readable);
    assert!(object.fields["LastName"].required && object.feed && object.id == "Id");
    assert!(object.key(&["Ext__c".to_owned()]).unwrap().unusable.is_none());
    assert!(object.key(&["Loose__c".to_owned()]).unwrap().unusable.as_ref().unwrap().contains("not unique"));
    assert_eq!(object.fields["AccountId"].targets[0].path, "Account");
    let path = world.crm.describe_path(&object, "Account.AccountNumber").await.unwrap();
    assert_eq!((path.name.as_str(), path.readable, path.creatable), ("Account.AccountNumber", true, false));
    assert!(world.crm.describe_path(&object, "Account.Number__c").await.unwrap().creatable);
    let wrong = world.crm.describe_path(&object, "Acount.Name").await.unwrap_err();
    assert!(wrong.help.unwrap().contains("`Account`"));
    let wrong = world.crm.describe("Contakt").await.unwrap_err();
    assert!(wrong.class == Class::Config && wrong.help.unwrap().contains("`Contact`"));
}

#[tokio::test]
async fn numbers_of_eighteen_digits_come_with_each_of_them_by_rest_and_by_a_job() {
    let number = |name: &str, kind: &str, scale| SalesforceField {
        name: name.to_owned(),
        kind: Some(kind.to_owned()),
        scale: Some(scale),
        ..SalesforceField::default()
    };
    for from in [2_000, 0] {
        let world =
            world(0, json!({ "bulk": { "pollMin": "1ms", "from": from }, "limits": { "recordsPerPage": 200 } }));
        let admin = world.sandbox.admin();
        let fields = [
            number("Amount__c", "currency", 0),
            number("Rate__c", "currency", 8),
            number("Number__c", "double", 0),
            number("Small__c", "double", 3),
        ];
        fields.iter().for_each(|field| admin.salesforce().add_field("Contact", field).unwrap());
        let values = json!({ "LastName": "L", "Amount__c": 2_500_000_000_000_000_i64, "Rate__c": 12.345_678_91,
            "Number__c": 900_719_925_474_099_200_i64, "Small__c": 12_345_678.125 });
        for n in 0..300 {
            admin.salesforce().put("Contact", &world.id(1_000 + n), &values).unwrap();
        }
        let object = world.contacts().await;
        let kinds = ["Amount__c", "Rate__c", "Number__c", "Small__c"].map(|name| object.fields[name].kind);
        let decimal = |scale| FieldKind::Decimal { scale };
        assert_eq!(kinds, [decimal(4), decimal(8), FieldKind::BigInt, FieldKind::Double]);
        let pages =
            world.pages(&read(&object, &["Amount__c", "Rate__c", "Number__c", "Small__c"]), None).await.unwrap();
        assert!(pages.iter().all(|page| page.rejects.is_empty()), "{pages:?}");
        let mut rows = 0;
        for page in &pages {
            for row in 0..page.records.num_rows() {
                let cell = |column: &ArrayRef| array_value_to_string(column, row).unwrap();
                let cells: Vec<String> = page.records.columns().iter().map(cell).collect();
                assert_eq!(cells, ["2500000000000000.0000", "12.34567891", "900719925474099200", "12345678.125"]);
                rows += 1;
            }
        }
        assert_eq!(rows, 300);
        assert_eq!(world.requests("POST /services/data/v67.0/jobs/query").len(), usize::from(from == 0));
    }
}

#[tokio::test]
async fn fields_filters_and_orders_go_through_related_records() {
    let world = world(40, json!({}));
    let object = world.contacts().await;
    let mut all = read(&object, &["Id", "LastName", "CreatedDate"]);
    for path in ["Account.Name", "Account.AccountNumber"] {
        let field = world.crm.describe_path(&object, path).await.unwrap();
        all.fields.push(ReadField { field, raw: false });
    }
    let pages = world.pages(&all, None).await.unwrap();
    let names: BTreeSet<String> = texts(&pages, 3).into_iter().flatten().collect();
    assert!(!names.is_empty() && ids(&pages).len() == 40, "{names:?}");
    let wanted = names.first().unwrap().clone();
    let filter = Expr::parse(&format!("field(\"Account.Name\") == \"{wanted}\"")).unwrap();
    let order = vec![OrderBy { field: "Account.Name".to_owned(), descending: true }];
    let some = world.pages(&Read { filter: Some(filter), order, ..all.clone() }, None).await.unwrap();
    let found = texts(&some, 3);
    assert!(!found.is_empty() && found.iter().all(|name| name.as_deref() == Some(wanted.as_str())));
    assert_eq!(found.len(), texts(&pages, 3).iter().filter(|name| name.as_deref() == Some(wanted.as_str())).count());
}

#[tokio::test]
async fn a_large_reading_is_a_bulk_job_which_goes_on_from_any_page_and_gives_the_same_as_rest() {
    let world = world(2_300, json!({ "bulk": { "pollMin": "1ms", "recordsPerPage": 500 } }));
    let object = world.contacts().await;
    let fields = ["Id", "LastName", "Birthdate", "HasOptedOutOfEmail", "LastModifiedDate", "AccountId"];
    let bulk = read(&object, &fields);
    let pages = world.pages(&bulk, None).await.unwrap();
    assert_eq!(pages[0].records.num_rows(), 0, "the job is kept before anything is read of it");
    assert_eq!(world.requests("POST /services/data/v67.0/jobs/query").len(), 1);
    let rest = Read { order: vec![OrderBy { field: "Id".to_owned(), descending: false }], ..bulk.clone() };
    let same = world.pages(&rest, None).await.unwrap();
    let lines = |pages: &[Page]| -> BTreeSet<String> {
        let versions = pages.iter().flat_map(|page| {
            page.versions
                .iter()
                .flat_map(|versions| versions.exact.iter())
                .flatten()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        });
        ids(pages).into_iter().zip(versions).map(|(id, version)| format!("{id} {version}")).collect()
    };
    assert_eq!((ids(&pages).len(), lines(&pages).len()), (2_300, 2_300));
    assert_eq!(lines(&pages), lines(&same));
    let whole = ids(&pages);
    let mut seen = 0;
    for page in &pages {
        seen += page.records.num_rows();
        let Some(cursor) = page.next.clone() else { continue };
        assert_eq!(ids(&world.pages(&bulk, Some(cursor)).await.unwrap()), whole[seen..]);
    }
    assert_eq!(world.requests("POST /services/data/v67.0/jobs/query").len(), 1, "it is the same job");
    assert_eq!(world.crm.count(&bulk).await.unwrap(), Some(2_300));
}

#[tokio::test]
async fn a_query_too_long_for_an_address_goes_into_a_job_and_with_an_order_it_is_said_that_this_hinders() {
    let world = world(3, json!({}));
    let names: Vec<String> = (0..500).map(|n| format!("Survey_answer_to_question_number_{n:03}__c")).collect();
    for name in &names {
        let field =
            SalesforceField { name: name.clone(), kind: Some("string".to_owned()), ..SalesforceField::default() };
        world.sandbox.admin().salesforce().add_field("Contact", &field).unwrap();
    }
    let object = world.contacts().await;
    let all: Vec<&str> = ["Id"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let unordered = read(&object, &all);
    assert_eq!(ids(&world.pages(&unordered, None).await.unwrap()).len(), 3);
    let order = vec![OrderBy { field: "LastName".to_owned(), descending: false }];
    let failure = world.pages(&Read { order, ..unordered }, None).await.unwrap_err();
    assert_eq!(failure.class, Class::Limit, "{failure}");
    let help = failure.help.unwrap_or_default();
    assert!(help.contains("without `orderBy`") && help.contains("bulk job"), "{help}");
}

#[tokio::test]
async fn many_records_of_an_object_that_the_bulk_api_does_not_know_come_by_rest() {
    let world = world(2_300, json!({}));
    world.settings(|settings| settings.not_in_bulk = vec!["Contact".to_owned()]);
    let pages = world.pages(&read(&world.contacts().await, &["Id"]), None).await.unwrap();
    assert_eq!(ids(&pages).len(), 2_300);
    assert_eq!((world.requests("/jobs/query").len(), world.requests("/query").len() > 1), (1, true));
}

#[tokio::test]
async fn a_job_that_is_forgotten_in_the_midst_of_its_first_page_is_not_gone_on_with_by_another() {
    let more = json!({ "bulk": { "from": 300, "pollMin": "1ms", "recordsPerPage": 500 }, "limits": { "recordsPerPage": 200 } });
    let world = world(600, more);
    let plain = read(&world.contacts().await, &["Id", "LastName"]);
    let mut pages = world.crm.read(Arc::new(plain.clone()), None);
    let job = pages.next().await.unwrap().unwrap().next;
    let part = pages.next().await.unwrap().unwrap();
    assert_eq!(part.records.num_rows(), 200);
    drop(pages);
    // Eight days later, when others were made and deleted: before anything is read another job does as well.
    let later: Timestamp = "2026-03-16T09:00:00Z".parse().unwrap();
    world.sandbox.admin().set_clock(later, true).unwrap();
    assert_eq!(world.pages(&plain, part.next).await.unwrap_err().class, Class::CursorLost);
    assert_eq!(ids(&world.pages(&plain, job).await.unwrap()).len(), 600);
}

#[tokio::test]
async fn a_record_deleted_before_the_reading_goes_on_within_a_page_takes_no_other_with_it() {
    let world = world(12, json!({ "limits": { "recordsPerPage": 5 } }));
    let plain = read(&world.contacts().await, &["Id", "LastName"]);
    let part = world.crm.read(Arc::new(plain.clone()), None).next().await.unwrap().unwrap();
    let mut found = ids(std::slice::from_ref(&part));
    assert_eq!(found.len(), 5);
    assert!(world.sandbox.admin().salesforce().delete("Contact", &found[0]).unwrap());
    found.extend(ids(&world.pages(&plain, part.next).await.unwrap()));
    assert_eq!(found, (0..12).map(|number| world.id(number)).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_lost_locator_and_an_ended_session_cost_nothing_in_the_order_of_ids() {
    let world = world(900, json!({ "limits": { "retryWaitMin": "1ms", "recordsPerPage": 200 } }));
    let object = world.contacts().await;
    let plain = read(&object, &["Id", "LastName"]);
    let mut pages = world.crm.read(Arc::new(plain.clone()), None);
    let first = pages.next().await.unwrap().unwrap();
    let cursor = first.next.clone().unwrap();
    drop(pages);
    world.sandbox.admin().salesforce().lose_locators();
    world.sandbox.admin().revoke_tokens();
    let rest = world.pages(&plain, Some(cursor)).await.unwrap();
    let found: Vec<String> = ids(&[first]).into_iter().chain(ids(&rest)).collect();
    assert_eq!((found.len(), found.iter().collect::<BTreeSet<_>>().len()), (900, 900));

    let ordered = Read { order: vec![OrderBy { field: "LastName".to_owned(), descending: false }], ..plain };
    let cursor = world.crm.read(Arc::new(ordered.clone()), None).next().await.unwrap().unwrap().next;
    world.sandbox.admin().salesforce().lose_locators();
    assert_eq!(world.pages(&ordered, cursor).await.unwrap_err().class, Class::CursorLost);
}

#[tokio::test]
async fn a_record_changed_or_deleted_between_pages_takes_no_other_with_it() {
    let world = world(900, json!({ "limits": { "retryWaitMin": "1ms", "recordsPerPage": 200 } }));
    let object = world.contacts().await;
    let plain = Arc::new(read(&object, &["Id", "LastName"]));
    let mut pages = world.crm.read(plain.clone(), None);
    let mut found = ids(&[pages.next().await.unwrap().unwrap()]);
    let admin = world.sandbox.admin().salesforce();
    admin.put("Contact", &world.id(3), &json!({ "LastName": "Changed" })).unwrap();
    admin.delete("Contact", &world.id(4)).unwrap();
    admin.delete("Contact", &world.id(850)).unwrap();
    while let Some(page) = pages.next().await {
        found.extend(ids(&[page.unwrap()]));
    }
    let others: BTreeSet<&String> = found.iter().filter(|id| **id != world.id(850)).collect();
    assert_eq!((others.len(), found.len() - others.len() <= 1), (899, true));
}

#[tokio::test]
async fn keys_are_looked_up_by_few_requests_with_short_lines() {
    let world = world(2_500, json!({}));
    let object = world.contacts().await;
    let plain = read(&object, &["Id", "LastName"]);
    let mut wanted: Vec<String> = (0..1_999).map(|number| world.id(number)).collect();
    wanted.push("003000000ZZZZZZAAM".to_owned());
    let wanted: Vec<String> = wanted.into_iter().filter_map(|id| world.crm.key(&object, "Id", &id).ok()).collect();
    let page = world.crm.fetch(&plain, "Id", &wanted).await.unwrap();
    assert_eq!(page.records.num_rows(), 1_999);
    assert_eq!(world.requests("composite/sobjects/Contact").len(), 1);
    let names: BTreeSet<String> = texts(&[page], 1).into_iter().flatten().take(300).collect();
    let names: Vec<String> = names.into_iter().collect();
    let by_name = world.crm.fetch(&plain, "LastName", &names).await.unwrap();
    assert!(by_name.records.num_rows() >= names.len());
    for (key, values) in [("Email", ["", " "]), ("MailingLatitude", ["NaN", "inf"])] {
        let values = values.map(str::to_owned);
        let page = world.crm.fetch(&read(&object, &["Id", key]), key, &values).await.unwrap();
        assert_eq!(page.records.num_rows(), 0, "no record has such a {key}, and those without one are not meant");
    }
    assert!(world.sandbox.admin().requests(0).iter().all(|request| request.path.len() < 2_000));
}

#[tokio::test]
async fn deletions_of_a_period_are_told_with_both_ends_and_beyond_the_log_its_beginning_is_named() {
    let world = world(6, json!({}));
    let at = |text: &str| -> Timestamp { text.parse().unwrap() };
    for (number, when) in [
        "2026-02-28T23:59:59Z",
        "2026-03-01T00:00:00Z",
        "2026-03-05T12:00:30Z",
        "2026-03-07T00:00:00Z",
        "2026-03-07T00:00:01Z",
    ]
    .into_iter()
    .enumerate()
    {
        world.sandbox.admin().set_clock(at(when), true).unwrap();
        let id = world.id(u32::try_from(number).unwrap());
        assert!(world.sandbox.admin().salesforce().delete("Contact", &id).unwrap());
    }
    world.sandbox.admin().set_clock(at(NOW), true).unwrap();
    let period = |from: &str, to: &str| DeletedSpan::Period { from: at(from), to: at(to) };
    let numbers = |found: &[Deleted]| -> Vec<u32> {
        found.iter().map(|deleted| (0..6).find(|number| world.id(*number) == deleted.id).unwrap()).collect()
    };
    for (from, to, expected) in [
        ("2026-03-01T00:00:00Z", "2026-03-07T00:00:00Z", vec![1, 2, 3]),
        ("2026-03-01T00:00:00Z", "2026-03-07T23:59:59Z", vec![1, 2, 3, 4]),
        ("2026-03-05T12:00:30Z", "2026-03-05T12:00:30Z", vec![2]),
    ] {
        let (found, _) = world.deleted(period(from, to)).await.unwrap();
        assert_eq!(numbers(&found), expected, "{from} {to}");
    }
    world.settings(|settings| settings.replication_ids_max = 2);
    let (found, _) = world.deleted(period("2026-02-28T00:00:00Z", "2026-03-07T23:59:59Z")).await.unwrap();
    assert_eq!(numbers(&found), [0, 1, 2, 3, 4]);
    let failure = world.deleted(period("2026-02-10T00:00:00Z", "2026-03-07T00:00:00Z")).await.unwrap_err();
    assert!(failure.class == Class::Config && failure.message.contains("2026-02-2"), "{failure}");
    assert!(failure.help.unwrap().contains("reconciliation"));

    let (found, last) = world.deleted(DeletedSpan::Since { from: None, feed: None }).await.unwrap();
    assert_eq!(numbers(&found).len(), 5);
    let (again, _) = world.deleted(DeletedSpan::Since { from: last.covered, feed: None }).await.unwrap();
    assert_eq!(again, [], "each deletion is told once");
}

#[tokio::test]
async fn deleted_and_merged_records_come_with_all_elements_only() {
    let world = world(3, json!({}));
    let object = world.contacts().await;
    let admin = world.sandbox.admin().salesforce();
    admin.delete("Contact", &world.id(1)).unwrap();
    admin.merge("Contact", &world.id(0), &[world.id(2)]).unwrap();
    let live = read(&object, &["Id", "IsDeleted", "MasterRecordId"]);
    assert_eq!(ids(&world.pages(&live, None).await.unwrap()), [world.id(0)]);
    let all = world.pages(&Read { all: true, ..live }, None).await.unwrap();
    assert_eq!(ids(&all).len(), 3);
    assert_eq!(texts(&all, 2).into_iter().flatten().collect::<Vec<_>>(), [world.id(0)]);
}

#[tokio::test]
async fn what_is_over_the_share_of_the_day_waits() {
    let world = world(3, json!({ "limits": { "quotaPercent": 50 } }));
    let object = world.contacts().await;
    let daily = world.crm.limits().await.unwrap().remove(0);
    assert_eq!((daily.name.as_str(), daily.max, daily.window.as_str()), ("DailyApiRequests", 100_000, "24 hours"));
    world.settings(|settings| settings.used_requests = Some(60_000));
    world.crm.now().await.unwrap();
    let plain = read(&object, &["Id"]);
    let reading = tokio::time::timeout(std::time::Duration::from_millis(300), world.pages(&plain, None));
    assert!(reading.await.is_err(), "it waits");
    assert_eq!(world.requests("/query?q=").len(), 0);
    // Who asks what is left is told at once, also that nothing is.
    let left = async || {
        let asked = tokio::time::timeout(std::time::Duration::from_secs(5), world.crm.limits());
        let daily = asked.await.unwrap().unwrap().remove(0);
        (daily.name, daily.left, daily.max)
    };
    assert_eq!(left().await.2, 100_000);
    world.settings(|settings| settings.used_requests = Some(100_000));
    assert_eq!(left().await, ("DailyApiRequests".to_owned(), 0, 100_000));
    let steps = world.crm.test().await;
    let last = steps.last().unwrap();
    assert!(last.result.as_ref().unwrap_err().message.ends_with("none of the 100000 requests of the day is left"));
}

#[tokio::test]
async fn a_window_is_half_open_and_versions_tell_two_changes_of_one_second_apart() {
    let world = world(0, json!({}));
    let admin = world.sandbox.admin().salesforce();
    let put = |name: &str, at: &str| {
        admin.put("Contact", &world.id(7), &json!({ "LastName": name, "SystemModstamp": at })).unwrap();
    };
    put("One", "2026-03-03T10:00:00Z");
    let object = world.contacts().await;
    let window = |from: &str, to: &str| {
        let window =
            Window { field: "LastModifiedDate".to_owned(), from: Some(from.parse().unwrap()), to: to.parse().unwrap() };
        Read { window: Some(window), ..read(&object, &["Id", "LastName"]) }
    };
    for (from, to, count) in
        [("2026-03-03T10:00:00Z", "2026-03-03T10:00:01Z", 1), ("2026-03-03T09:00:00Z", "2026-03-03T10:00:00Z", 0)]
    {
        assert_eq!(ids(&world.pages(&window(from, to), None).await.unwrap()).len(), count);
    }
    let version = async || {
        let pages = world.pages(&window("2026-03-03T10:00:00Z", "2026-03-03T10:00:01Z"), None).await.unwrap();
        pages[0].versions.as_ref().unwrap().exact.value(0).to_owned()
    };
    let first = version().await;
    assert_eq!(version().await, first);
    put("Two", "2026-03-03T10:00:00Z");
    assert_ne!(version().await, first);
}
