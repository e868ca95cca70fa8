//! Queries over many pages, through real HTTP.

use std::collections::BTreeSet;

use crate::client::{Client, contact, start};
use serde_json::{Value as Json, json};

fn ids(records: &[Json]) -> Vec<String> {
    records.iter().map(|record| record["contactid"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn every_order_pages_without_gaps_or_repeats() {
    let sandbox = start(300);
    let client = Client::new(&sandbox).await;
    for order in [
        "",
        "&$orderby=modifiedon",
        "&$orderby=modifiedon,contactid",
        "&$orderby=modifiedon desc",
        "&$orderby=contactid desc",
        "&$orderby=createdon desc,contactid desc",
        "&$orderby=firstname desc,lastname",
        "&$orderby=_parentcustomerid_value,birthdate desc",
        "&$orderby=address1_latitude desc",
    ] {
        let path = format!("contacts?$select=lastname{order}");
        let whole = ids(&client.all(&path, 5_000).await);
        assert_eq!(whole.len(), 300, "{order}");
        for size in [1, 7, 299, 300] {
            let paged = ids(&client.all(&path, size).await);
            assert_eq!(paged, whole, "{order} by {size}");
        }
        assert_eq!(whole.iter().collect::<BTreeSet<_>>().len(), 300, "{order}");
    }
}

#[tokio::test]
async fn equal_timestamps_at_a_page_border_lose_nothing() {
    let sandbox = start(0);
    for number in 0..9 {
        sandbox
            .admin()
            .put("contacts", &contact(number), &json!({"lastname": "x", "modifiedon": "2026-03-02T09:00:00Z"}))
            .unwrap();
    }
    let client = Client::new(&sandbox).await;
    let window = "contacts?$select=modifiedon&$filter=modifiedon ge 2026-03-02T09:00:00Z and modifiedon lt 2026-03-02T09:00:01Z&$orderby=modifiedon,contactid";
    let expected: Vec<String> = (0..9).map(contact).collect();
    for size in 1..=10 {
        assert_eq!(ids(&client.all(window, size).await), expected, "by {size}");
    }
}

#[tokio::test]
async fn records_deleted_or_changed_between_pages_shift_no_other() {
    let sandbox = start(0);
    for number in 0..8 {
        let fields =
            json!({"lastname": format!("{number}"), "modifiedon": format!("2026-03-0{}T09:00:00Z", 1 + number % 2)});
        sandbox.admin().put("contacts", &contact(number), &fields).unwrap();
    }
    let client = Client::new(&sandbox).await;
    let (first, next) = client.page("contacts?$select=lastname", 3).await;
    assert_eq!(ids(&first), [contact(0), contact(1), contact(2)]);
    sandbox.admin().delete("contacts", &contact(1)).unwrap();
    sandbox.admin().delete("contacts", &contact(4)).unwrap();
    let (second, _) = client.page(&next.unwrap(), 3).await;
    assert_eq!(ids(&second), [contact(3), contact(5), contact(6)], "an offset would have skipped contact 3");

    let (first, next) = client.page("contacts?$select=lastname&$orderby=modifiedon", 2).await;
    assert_eq!(ids(&first), [contact(0), contact(2)]);
    sandbox.admin().put("contacts", &contact(0), &json!({"lastname": "moved"})).unwrap();
    let rest = client.all(&next.unwrap(), 2).await;
    assert_eq!(
        ids(&rest),
        [contact(6), contact(3), contact(5), contact(7), contact(0)],
        "a changed record moves to the end"
    );
}

#[tokio::test]
async fn the_next_link_is_absolute_opaque_and_survives_being_encoded_anew() {
    let sandbox = start(10);
    let client = Client::new(&sandbox).await;
    let (_, next) = client.page("contacts?$select=lastname&$filter=contains(lastname,'') or lastname ne null", 4).await;
    let next = next.unwrap();
    assert!(next.starts_with(&format!("{}contacts?$select=lastname&$filter=", client.root)), "{next}");
    assert!(next.contains("&$skiptoken=%3Ccookie%20pagenumber=%222%22%20pagingcookie=%22%253C"), "{next}");
    let (plain, _) = client.page(&next, 4).await;
    // Airbyte's client takes the query apart and encodes it again.
    let parsed = reqwest::Url::parse(&next).unwrap();
    let mut anew = parsed.clone();
    anew.query_pairs_mut().clear().extend_pairs(parsed.query_pairs());
    let (again, _) = client.page(anew.as_str(), 4).await;
    assert_eq!(ids(&plain), ids(&again));
    let beyond = next.replace("pagenumber=%222%22", &format!("pagenumber=%22{}%22", u64::MAX));
    for wrong in ["contacts?$skiptoken=nonsense", &beyond] {
        let (status, _, message) = client.error(wrong).await;
        assert_eq!((status, message.as_str()), (400, "Malformed XML in the Paging Cookie."));
    }
}

#[tokio::test]
async fn limits_of_a_page_and_of_the_count_are_the_platforms() {
    let sandbox = start(5_010);
    let client = Client::new(&sandbox).await;
    let body = client.json("contacts?$select=contactid&$count=true").await;
    assert_eq!(body["value"].as_array().unwrap().len(), 5_000);
    assert_eq!(body["@odata.count"], 5_000);
    assert!(body["@odata.nextLink"].is_string());
    assert_eq!(client.page("contacts?$select=contactid", 9_999).await.0.len(), 5_000);
    assert_eq!(
        client.page("contacts?$select=contactid&$top=3", 7).await.0.len(),
        7,
        "$top is ignored beside a page size"
    );
    let top = client.json("contacts?$select=contactid&$top=3").await;
    assert_eq!((top["value"].as_array().unwrap().len(), top.get("@odata.nextLink")), (3, None));
    assert_eq!(client.get("contacts/$count").await.text().await.unwrap().trim_start_matches('\u{feff}'), "5000");
    assert_eq!(client.error("contacts?$skip=5").await.0, 400);
    let request = client
        .request(reqwest::Method::GET, "contacts?$select=contactid&$count=true&$top=1")
        .header("Prefer", "odata.include-annotations=\"*\"");
    let body: Json = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(body["@Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded"], true);
}

#[tokio::test]
async fn a_late_commit_appears_with_its_earlier_time_of_change() {
    let sandbox = start(0);
    let late = json!({"lastname": "Ode", "modifiedon": "2026-03-03T09:59:30Z", "@visibleFrom": "2026-03-03T10:05:00Z"});
    sandbox.admin().put("contacts", &contact(10), &late).unwrap();
    sandbox.admin().put("contacts", &contact(11), &json!({"lastname": "Quirk"})).unwrap();
    let hidden =
        json!({"lastname": "Quirk-Ode", "modifiedon": "2026-03-03T09:59:00Z", "@visibleFrom": "2026-03-03T10:10:00Z"});
    sandbox.admin().put("contacts", &contact(11), &hidden).unwrap();
    let client = Client::new(&sandbox).await;
    let path = "contacts?$select=lastname,modifiedon&$orderby=modifiedon";
    assert_eq!(client.column(path, "lastname").await, ["Quirk"]);
    assert_eq!(client.get(&format!("contacts({})", contact(10))).await.status(), 404);
    sandbox.admin().advance_clock(300).unwrap();
    assert_eq!(client.column(path, "modifiedon").await, ["2026-03-03T09:59:30Z", "2026-03-03T10:00:00Z"]);
    sandbox.admin().advance_clock(300).unwrap();
    assert_eq!(client.column(path, "lastname").await, ["Quirk-Ode", "Ode"]);
}

#[tokio::test]
async fn orders_put_nulls_first_ascending_and_last_descending() {
    let sandbox = start(0);
    for (number, name) in [(1, json!("b")), (2, json!(null)), (3, json!("A")), (4, json!("a"))] {
        sandbox
            .admin()
            .put(
                "contacts",
                &contact(number),
                &json!({"firstname": name, "createdon": format!("2026-01-0{number}T00:00:00Z")}),
            )
            .unwrap();
    }
    let client = Client::new(&sandbox).await;
    let ascending = client.column("contacts?$select=firstname&$orderby=firstname,createdon desc", "firstname").await;
    assert_eq!(ascending, [json!(null), json!("a"), json!("A"), json!("b")]);
    let descending = client.column("contacts?$select=firstname&$orderby=firstname desc,createdon", "firstname").await;
    assert_eq!(descending, [json!("b"), json!("A"), json!("a"), json!(null)]);
}
