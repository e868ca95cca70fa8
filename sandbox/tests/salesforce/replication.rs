//! What was changed and deleted.

use sandbox::SalesforceSettings;
use serde_json::{Value as Json, json};

use crate::client::{Client, start};

/// A span as the wire takes it.
fn span(what: &str, start: &str, end: &str) -> String {
    format!("/sobjects/Contact/{what}?start={}&end={}", start.replace('+', "%2B"), end.replace('+', "%2B"))
}

fn ids(body: &Json) -> Vec<String> {
    let records = body["deletedRecords"].as_array().unwrap();
    records.iter().map(|record| record["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn deletions_are_told_by_span_for_fifteen_days_and_seconds_do_not_count() {
    let sandbox = start(10);
    let admin = sandbox.admin();
    let id = |number| admin.salesforce().id("Contact", number).unwrap();
    for (number, at) in [(1, "2026-03-01T00:00:00Z"), (2, "2026-03-05T12:00:30Z"), (3, "2026-03-07T00:00:00Z")] {
        admin.set_clock(at.parse().unwrap(), true).unwrap();
        assert!(admin.delete("Contact", &id(number)).unwrap());
    }
    assert!(admin.salesforce().purge("Contact", &id(2)).unwrap());
    admin.set_clock("2026-03-08T09:00:00Z".parse().unwrap(), true).unwrap();
    let client = Client::new(&sandbox).await;
    let all = client.get(&span("deleted", "2026-03-01T00:00:00Z", "2026-03-08T09:00:00Z")).await.ok();
    assert_eq!(ids(&all), [id(1), id(2), id(3)]);
    assert_eq!(all["deletedRecords"][1]["deletedDate"], "2026-03-05T12:00:30.000+0000");
    assert_eq!(all["earliestDateAvailable"], "2026-02-21T09:00:00.000+0000");
    assert_eq!(all["latestDateCovered"], "2026-03-08T09:00:00.000+0000");
    // The other spelling, and seconds that are cut off: 12:00:59 is 12:00:00.
    let one = span("deleted/", "2026-03-05T12:00:59+00:00", "2026-03-05T12:02:30+00:00");
    assert_eq!(ids(&client.get(&one).await.ok()), [id(2)]);
    for (start, end) in [
        ("2026-03-05T12:00:10Z", "2026-03-05T12:01:50Z"),
        ("2026-03-06T00:00:00Z", "2026-03-05T00:00:00Z"),
        ("2026-02-10T00:00:00Z", "2026-03-07T00:00:00Z"),
    ] {
        assert_eq!(client.get(&span("deleted", start, end)).await.error(), (400, "INVALID_REPLICATION_DATE".into()));
    }
    let settings = admin.salesforce().settings();
    admin.salesforce().set_settings(SalesforceSettings { deleted_days: 30, coverage_lag_seconds: 600, ..settings });
    let longer = client.get(&span("deleted", "2026-02-10T00:00:00Z", "2026-03-08T09:00:00Z")).await.ok();
    assert_eq!((ids(&longer).len(), &longer["latestDateCovered"]), (3, &json!("2026-03-08T08:50:00.000+0000")));
    assert!(admin.salesforce().undelete("Contact", &id(1)).unwrap());
    let after = client.get(&span("deleted", "2026-02-10T00:00:00Z", "2026-03-08T09:00:00Z")).await.ok();
    assert_eq!(ids(&after), [id(2), id(3)]);
    admin.salesforce().set_settings(SalesforceSettings { replication_ids_max: 1, ..admin.salesforce().settings() });
    let many = client.get(&span("deleted", "2026-03-01T00:00:00Z", "2026-03-08T09:00:00Z")).await;
    assert_eq!(many.error(), (400, "EXCEEDED_ID_LIMIT".into()));
}

#[tokio::test]
async fn changes_are_told_by_span_a_late_commit_only_once_it_is_there() {
    let sandbox = start(10);
    let admin = sandbox.admin();
    let id = |number| admin.salesforce().id("Contact", number).unwrap();
    admin.put("Contact", &id(4), &json!({"Phone": "1"})).unwrap();
    let late = json!({"Phone": "2", "SystemModstamp": "2026-03-03T09:59:00Z", "@visibleFrom": "2026-03-03T10:05:00Z"});
    admin.put("Contact", &id(5), &late).unwrap();
    let client = Client::new(&sandbox).await;
    let span = span("updated/", "2026-03-03T09:50:00Z", "2026-03-03T10:10:00Z");
    assert_eq!(client.get(&span).await.ok()["ids"], json!([id(4)]));
    admin.advance_clock(300).unwrap();
    assert_eq!(client.get(&span).await.ok()["ids"], json!([id(4), id(5)]));
    let phones = client
        .column(
            "SELECT Phone FROM Contact WHERE SystemModstamp >= 2026-03-03T09:50:00Z ORDER BY SystemModstamp",
            "Phone",
        )
        .await;
    assert_eq!(phones, [json!("2"), json!("1")]);
}

#[tokio::test]
async fn a_deleted_record_is_in_the_bin_comes_back_or_is_purged_and_a_merge_names_its_master() {
    let sandbox = start(5);
    let (admin, client) = (sandbox.admin(), Client::new(&sandbox).await);
    let id = |number| admin.salesforce().id("Contact", number).unwrap();
    let path = |number| format!("/sobjects/Contact/{}", id(number));
    assert_eq!(client.delete(&path(1)).await.status, 204);
    assert_eq!(client.delete(&path(1)).await.error(), (404, "ENTITY_IS_DELETED".into()));
    assert_eq!(client.get(&path(1)).await.error(), (404, "ENTITY_IS_DELETED".into()));
    admin.salesforce().merge("Contact", &id(2), &[id(3)]).unwrap();
    let soql = "SELECT Id, IsDeleted, MasterRecordId FROM Contact WHERE IsDeleted = true";
    let deleted = client.query_with("queryAll", soql).await.ok();
    let masters: Vec<&Json> =
        deleted["records"].as_array().unwrap().iter().map(|record| &record["MasterRecordId"]).collect();
    assert_eq!(masters, [&Json::Null, &json!(id(2))]);
    assert_eq!(client.query(soql).await.ok()["totalSize"], 0);
    assert!(admin.salesforce().undelete("Contact", &id(1)).unwrap());
    assert_eq!(client.get(&path(1)).await.status, 200);
    admin.salesforce().empty_bin();
    assert_eq!(client.query_with("queryAll", soql).await.ok()["totalSize"], 0);
    // What nobody purges goes by itself after fifteen days.
    client.delete(&path(1)).await;
    admin.advance_clock(15 * 86_400).unwrap();
    let client = Client::new(&sandbox).await;
    assert_eq!(client.query_with("queryAll", soql).await.ok()["totalSize"], 0);
    assert_eq!(client.query("SELECT COUNT() FROM Contact").await.ok()["totalSize"], 3);
}
