//! Change tracking, the recycle bin and the audit log: how a client learns what is new and what is gone.

use crate::client::{Client, contact, error_of, start};
use percent_encoding::percent_decode_str;
use reqwest::Method;
use sandbox::{Sandbox, Tracking};
use serde_json::{Value as Json, json};

/// A page with change tracking: its body.
async fn tracked(client: &Client, path: &str, size: usize) -> Json {
    let prefer = format!("odata.track-changes,odata.maxpagesize={size}");
    let response = client.request(Method::GET, path).header("Prefer", &prefer).send().await.unwrap();
    let status = response.status();
    if status == 200 {
        let applied: Vec<_> = response.headers().get_all("preference-applied").iter().collect();
        assert_eq!(applied, [&prefer], "all preferences in one header");
    }
    let body: Json = response.json().await.unwrap();
    assert_eq!(status, 200, "{path}: {body}");
    body
}

/// All pages of a tracked read, and the link to what comes after.
async fn all_tracked(client: &Client, path: &str, size: usize) -> (Vec<Json>, String) {
    let (mut records, mut next) = (Vec::new(), path.to_owned());
    loop {
        let page = tracked(client, &next, size).await;
        records.extend(page["value"].as_array().unwrap().clone());
        match (page["@odata.nextLink"].as_str(), page["@odata.deltaLink"].as_str()) {
            (Some(link), None) => next = link.to_owned(),
            (None, Some(link)) => return (records, link.to_owned()),
            both => panic!("a page has one of both links: {both:?}"),
        }
    }
}

fn put(sandbox: &Sandbox, number: u32, name: &str) {
    sandbox.admin().put("contacts", &contact(number), &json!({"lastname": name})).unwrap();
}

fn names(records: &[Json]) -> Vec<String> {
    let name = |record: &Json| record["lastname"].as_str().or(record["reason"].as_str()).unwrap_or("?").to_owned();
    records.iter().map(name).collect()
}

#[tokio::test]
async fn a_delta_link_leads_to_what_has_changed_since_and_to_nothing_else() {
    let sandbox = start(40);
    let client = Client::new(&sandbox).await;
    for number in 1..=4 {
        put(&sandbox, number, &format!("n{number}"));
    }
    let first = client
        .request(Method::GET, "contacts?$select=lastname")
        .header("Prefer", "odata.track-changes")
        .send()
        .await
        .unwrap();
    assert_eq!(first.headers()["preference-applied"], "odata.track-changes");
    let (records, link) = all_tracked(&client, "contacts?$select=lastname", 7).await;
    assert_eq!(records.len(), 44);
    assert!(link.starts_with(&format!("{}contacts?$select=lastname&$deltatoken=", client.root)), "{link}");
    let (nothing, link) = all_tracked(&client, &link, 7).await;
    assert_eq!(nothing.len(), 0);

    put(&sandbox, 3, "third");
    put(&sandbox, 9, "ninth");
    put(&sandbox, 1, "first");
    sandbox.admin().delete("contacts", &contact(2)).unwrap();
    let generated =
        records.iter().find_map(|record| record["contactid"].as_str().filter(|id| !id.starts_with("c000"))).unwrap();
    sandbox.admin().delete("contacts", generated).unwrap();
    put(&sandbox, 5, "fleeting");
    sandbox.admin().delete("contacts", &contact(5)).unwrap();
    let token = link.split("$deltatoken=").nth(1).unwrap();
    assert_eq!(client.get(&format!("contacts/$count?$deltatoken={token}")).await.bytes().await.unwrap(), "\u{feff}6");
    for size in [2, 5_000] {
        let (news, _) = all_tracked(&client, &link, size).await;
        assert_eq!(
            names(&news),
            ["third", "ninth", "first", "deleted", "deleted", "deleted"],
            "by version, the deleted last"
        );
        let ids: Vec<_> = news[3..].iter().map(|gone| gone["id"].as_str().unwrap()).collect();
        assert_eq!(ids, [&contact(2), generated, &contact(5)], "also one that came and went in between");
        assert!(news[3]["@odata.context"].as_str().unwrap().ends_with("$metadata#contacts/$deletedEntity"));
    }
    let alone = tracked(&client, &format!("contacts?$deltatoken={token}"), 100).await;
    assert!(alone["@odata.context"].as_str().unwrap().ends_with("$metadata#contacts/$delta"));
    assert!(alone["value"][0].get("emailaddress1").is_some(), "without $select all columns come");
}

#[tokio::test]
async fn what_changes_or_commits_while_pages_are_read_is_news_afterwards() {
    let sandbox = start(0);
    let client = Client::new(&sandbox).await;
    for number in 1..=6 {
        put(&sandbox, number, &format!("n{number}"));
    }
    let late = json!({"lastname": "late", "@visibleFrom": "2026-03-03T10:05:00Z"});
    sandbox.admin().put("contacts", &contact(7), &late).unwrap();
    put(&sandbox, 8, "n8");
    let page = tracked(&client, "contacts?$select=lastname", 4).await;
    put(&sandbox, 1, "changed");
    sandbox.admin().delete("contacts", &contact(2)).unwrap();
    let next = page["@odata.nextLink"].as_str().unwrap();
    // A client may ask on without saying once more that it tracks.
    let last: Json = client.get(next).await.json().await.unwrap();
    let link = last["@odata.deltaLink"].as_str().unwrap();
    sandbox.admin().advance_clock(600).unwrap();
    let (news, _) = all_tracked(&client, link, 2).await;
    let names = names(&news);
    for name in ["late", "changed", "deleted"] {
        assert!(names.iter().any(|own| own == name), "{name} is missing in {names:?}");
    }
}

#[tokio::test]
async fn an_id_that_is_used_again_is_no_deletion() {
    let sandbox = start(3);
    let client = Client::new(&sandbox).await;
    let (records, link) = all_tracked(&client, "contacts?$select=lastname", 100).await;
    let id = records[0]["contactid"].as_str().unwrap();
    let path = format!("contacts({id})");
    assert_eq!(client.request(Method::DELETE, &path).send().await.unwrap().status(), 204);
    let again = client.request(Method::PATCH, &path).json(&json!({"lastname": "again"})).send().await.unwrap();
    assert_eq!(again.status(), 204);
    assert_eq!(client.json(&path).await["emailaddress1"], Json::Null, "nothing of the old record is left");
    let (news, _) = all_tracked(&client, &link, 100).await;
    assert_eq!(names(&news), ["again"]);
    assert_eq!(client.all("contacts?$select=lastname&$orderby=modifiedon", 2).await.len(), 3);
}

#[tokio::test]
async fn tokens_expire_and_what_tracking_cannot_do_is_refused() {
    let sandbox = start(5);
    let client = Client::new(&sandbox).await;
    let ask = |path: &str| client.request(Method::GET, path).header("Prefer", "odata.track-changes").send();
    for (option, name) in [
        ("$filter=lastname eq 'x'", "filter"),
        ("$orderby=lastname", "orderby"),
        ("$top=3", "top"),
        ("$expand=owninguser", "expand"),
    ] {
        let (status, _, message) = error_of(ask(&format!("contacts?{option}")).await.unwrap()).await;
        assert_eq!(
            (status, message),
            (400, format!("The \"${name}\" query parameter isn't supported when Change Tracking is enabled."))
        );
    }
    assert_eq!(error_of(ask("systemusers").await.unwrap()).await.0, 400);
    assert_eq!(error_of(ask("contacts?$deltatoken=nonsense").await.unwrap()).await.0, 400);
    let (_, link) = all_tracked(&client, "contacts", 100).await;
    sandbox.admin().advance_clock(7 * 86_400).unwrap();
    let client = Client::new(&sandbox).await;
    assert_eq!(tracked(&client, &link, 10).await["value"], json!([]));
    sandbox.admin().advance_clock(1).unwrap();
    let (status, code, message) = client.error(&link).await;
    assert_eq!((status, code.as_str()), (400, "0x80044352"));
    assert!(message.contains("Please perform a full sync"));
    sandbox
        .admin()
        .set_tracking(&Tracking {
            delta_days: Some(30),
            tables: [("contact".to_owned(), false)].into(),
            ..Tracking::default()
        })
        .unwrap();
    assert!(client.error(&link).await.2.contains("not enabled"));
    let tables = client.json("EntityDefinitions?$select=LogicalName&$filter=ChangeTrackingEnabled eq true").await;
    assert_eq!(tables["value"].as_array().unwrap().len(), 2, "accounts and leads are left");
}

fn fetch(client: &Client, xml: &str) -> String {
    let query: String = url::form_urlencoded::Serializer::new(String::new()).append_pair("fetchXml", xml).finish();
    format!("{}contacts?{query}", client.root)
}

#[tokio::test]
async fn the_recycle_bin_and_the_audit_log_tell_what_is_gone() {
    let sandbox = start(0);
    let client = Client::new(&sandbox).await;
    let bin = fetch(
        &client,
        "<fetch datasource='bin'><entity name='contact'><attribute name='lastname'/><order attribute='lastname' descending='true'/></entity></fetch>",
    );
    assert_eq!(client.error(&bin).await.0, 400, "it is off at the start");
    let tracking =
        Tracking { recycle_bin_days: Some(30), audit: Some(true), audit_days: Some(29), ..Tracking::default() };
    sandbox.admin().set_tracking(&tracking).unwrap();
    for number in 1..=4 {
        put(&sandbox, number, &format!("n{number}"));
    }
    for number in [1, 2, 4] {
        sandbox.admin().advance_clock(86_400).unwrap();
        sandbox.admin().delete("contacts", &contact(number)).unwrap();
    }
    let client = Client::new(&sandbox).await;
    put(&sandbox, 4, "back");
    assert_eq!(client.column(&bin, "lastname").await, ["n2", "n1"], "whoever came back is not in it");
    sandbox.admin().advance_clock(28 * 86_400).unwrap();
    let client = Client::new(&sandbox).await;
    assert_eq!(client.column(&bin, "lastname").await, ["n2"]);
    let deletions = "audits?$select=createdon,_objectid_value&$orderby=createdon&$filter=operation eq 3 and objecttypecode eq 'contact' and createdon ge 2026-03-05T10:00:00Z and createdon lt 2026-03-07T00:00:00Z";
    let found = client.json(deletions).await;
    let ids: Vec<_> = found["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (&entry["_objectid_value"], &entry["createdon"]))
        .collect();
    assert_eq!(
        ids,
        [(&json!(contact(2)), &json!("2026-03-05T10:00:00Z")), (&json!(contact(4)), &json!("2026-03-06T10:00:00Z"))]
    );
    let kept = "organizations?$select=auditretentionperiodv2";
    assert_eq!(client.column(kept, "auditretentionperiodv2").await, [29]);
    sandbox.admin().set_tracking(&Tracking { audit_days: Some(0), ..Tracking::default() }).unwrap();
    assert_eq!(client.column(kept, "auditretentionperiodv2").await, [-1]);
    // Each entry is kept as it was set when it was made.
    sandbox.admin().advance_clock(86_400).unwrap();
    let client = Client::new(&sandbox).await;
    assert_eq!(client.column(deletions, "_objectid_value").await, [contact(4)]);
}

#[tokio::test]
async fn fetch_xml_filters_sorts_and_pages_by_its_cookie() {
    let sandbox = start(60);
    let client = Client::new(&sandbox).await;
    let xml = |page: u64, cookie: &str| {
        let cookie = cookie.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
        format!(
            "<fetch count='7' page='{page}' paging-cookie=\"{cookie}\" returntotalrecordcount='true'><entity name='contact'><attribute name='lastname'/><attribute name='parentcustomerid'/><order attribute='lastname'/><filter type='and'><condition attribute='statecode' operator='eq' value='0'/><filter type='or'><condition attribute='lastname' operator='begins-with' value='m'/><condition attribute='lastname' operator='not-like' value='m%'/></filter></filter></entity></fetch>"
        )
    };
    let expected = client
        .all("contacts?$select=lastname,_parentcustomerid_value&$filter=statecode eq 0&$orderby=lastname", 1_000)
        .await;
    let mut found = Vec::new();
    let (mut page, mut cookie) = (1, String::new());
    loop {
        let body = client.json(&fetch(&client, &xml(page, &cookie))).await;
        found.extend(body["value"].as_array().unwrap().clone());
        let Some(outer) = body["@Microsoft.Dynamics.CRM.fetchxmlpagingcookie"].as_str() else {
            break;
        };
        assert_eq!(body["@Microsoft.Dynamics.CRM.morerecords"], true);
        // As clients do: the inner cookie, decoded twice.
        let inner = outer.split("pagingcookie=\"").nth(1).unwrap().split('"').next().unwrap();
        let decode = |text: &str| percent_decode_str(text).decode_utf8().unwrap().into_owned();
        cookie = decode(&decode(inner));
        assert!(cookie.starts_with("<cookie page="), "{cookie}");
        page += 1;
    }
    assert_eq!(found, expected);
    let second = client.json(&fetch(&client, &xml(2, ""))).await;
    assert_eq!(second["value"].as_array().unwrap()[..], expected[7..14], "without a cookie, by the page's number");
    let annotated = client.request(Method::GET, &fetch(&client, &xml(1, "")));
    let annotated = annotated.header("Prefer", "odata.include-annotations=\"*\"").send().await.unwrap();
    assert_eq!(annotated.headers()["preference-applied"], "odata.include-annotations=\"*\"");
    let beyond = client.json(&fetch(&client, &xml(u64::MAX, ""))).await;
    assert_eq!(beyond["value"], json!([]), "far behind the last page");
    for (wrong, right) in [
        ("<fetch><entity name='account'/></fetch>", "<entity name='contact'>"),
        ("<fetch><entity name='contact'><attribute name='nosuch'/></entity></fetch>", "doesn't contain attribute"),
        ("<fetch", "Invalid XML"),
        (
            "<fetch><entity name='contact'><filter><condition attribute='lastname' operator='nosuch' value='1'/></filter></entity></fetch>",
            "'nosuch'",
        ),
    ] {
        let (status, _, message) = client.error(&fetch(&client, wrong)).await;
        assert!(status == 400 && message.contains(right), "{wrong}: {message}");
    }
    let left_out = "<fetch><entity name='contact'><filter><condition attribute='lastname' operator='above' value='1'/></filter></entity></fetch>";
    let (status, _, message) = client.error(&fetch(&client, left_out)).await;
    assert!(status == 501 && message.contains("'above'"), "{message}");
}
