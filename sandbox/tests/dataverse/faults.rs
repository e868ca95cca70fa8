//! Every kind of fault, and the admin API over HTTP.

use std::time::{Duration, Instant};

use crate::client::{Client, ask_token, contact, error_of, http, start};
use reqwest::{Method, Response};
use sandbox::{Fault, Sandbox};
use serde_json::{Value as Json, json};

fn fault(sandbox: &Sandbox, fault: Json) {
    sandbox.admin().clear_faults();
    sandbox.admin().add_fault(serde_json::from_value::<Fault>(fault).unwrap()).unwrap();
}

async fn admin(sandbox: &Sandbox, method: Method, path: &str, body: Json) -> Response {
    http().request(method, format!("{}{path}", sandbox.admin_url())).json(&body).send().await.unwrap()
}

#[tokio::test]
async fn an_error_comes_after_the_skipped_and_as_often_as_asked() {
    let sandbox = start(20);
    let client = Client::new(&sandbox).await;
    fault(&sandbox, json!({"route": "page", "skip": 1, "times": 2, "status": 429, "retryAfter": 7}));
    let (_, next) = client.page("contacts?$select=lastname", 2).await;
    let next = next.unwrap();
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(client.get(&next).await.status().as_u16());
    }
    assert_eq!(statuses, [200, 429, 429, 200]);
    fault(
        &sandbox,
        json!({"route": "query", "status": 429, "code": "0x80072326", "message": "Too many.", "retryAfter": "Tue, 03 Mar 2026 10:01:00 GMT"}),
    );
    let response = client.get("contacts").await;
    assert_eq!(response.headers()["retry-after"], "Tue, 03 Mar 2026 10:01:00 GMT");
    assert_eq!(error_of(response).await, (429, "0x80072326".into(), "Too many.".into()));
    let report = &sandbox.admin().faults()[0];
    assert_eq!((report.matched, report.fired), (1, 1));
    for (code, said) in
        [("0x80072321", "Combined execution time"), ("0x80072322", "Number of requests"), ("0x80072326", "concurrent")]
    {
        fault(&sandbox, json!({"route": "query", "status": 429, "code": code}));
        let (_, told, message) = client.error("contacts").await;
        assert!(told == code && message.contains(said), "{code}: {message}");
    }
}

#[tokio::test]
async fn errors_have_the_annotations_that_are_asked_for_and_no_others() {
    let sandbox = start(0);
    let client = Client::new(&sandbox).await;
    let asked = async |prefer: &str| {
        let request = client.request(Method::GET, "contacts?$select=nothing").header("Prefer", prefer);
        let body: Json = request.send().await.unwrap().json().await.unwrap();
        body["error"].as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(asked("return=representation").await, ["code", "message"]);
    let help = "@Microsoft.PowerApps.CDS.HelpLink";
    let one = asked("odata.include-annotations=\"Microsoft.PowerApps.CDS.HelpLink\"").await;
    assert!(one.len() == 3 && one.iter().any(|key| key == help), "{one:?}");
    let all = asked("odata.include-annotations=\"*\"").await;
    assert!(
        all.len() == 7 && all.iter().any(|key| key == "@Microsoft.PowerApps.CDS.ErrorDetails.SubErrorCode"),
        "{all:?}"
    );
}

#[tokio::test]
async fn what_the_stand_in_does_not_do_is_refused_and_not_passed_over() {
    let sandbox = start(3);
    let client = Client::new(&sandbox).await;
    for query in ["savedQuery=c0000000-0000-4000-8000-000000000001", "userQuery=c0000000-0000-4000-8000-000000000001"] {
        assert_eq!(client.error(&format!("contacts?{query}")).await.0, 501, "{query}");
    }
    for filter in ["contains(lastname,'%25a')", "startswith(lastname,'_a')", "endswith(lastname,'%25')"] {
        let (status, _, message) = client.error(&format!("contacts?$filter={filter}")).await;
        assert!(status == 400 && message.contains("leading wildcard"), "{filter}: {message}");
    }
    client.json("contacts?$filter=contains(lastname,'a%25') or startswith(lastname,'[%25]a')").await;
}

#[tokio::test]
async fn a_fault_ends_with_the_clock_or_strikes_by_chance() {
    let sandbox = start(0);
    fault(&sandbox, json!({"route": "token", "until": "2026-03-03T10:12:00Z", "status": 503}));
    let (status, body) = ask_token(&sandbox, &[]).await;
    assert_eq!((status.as_u16(), &body["error"]), (503, &json!("temporarily_unavailable")));
    sandbox.admin().advance_clock(720).unwrap();
    let client = Client::new(&sandbox).await;
    fault(&sandbox, json!({"route": "any", "probability": 0.3, "seed": 5, "status": 500}));
    let mut struck = Vec::new();
    for _ in 0..100 {
        struck.push(client.get("WhoAmI").await.status() == 500);
    }
    let count = struck.iter().filter(|struck| **struck).count();
    assert!((15..45).contains(&count), "{count}");
    fault(&sandbox, json!({"probability": 0.3, "seed": 5, "status": 500}));
    for struck in struck {
        assert_eq!(client.get("WhoAmI").await.status() == 500, struck, "the same seed strikes the same requests");
    }
}

#[tokio::test]
async fn a_body_is_cut_slowed_delayed_or_replaced() {
    let sandbox = start(500);
    let client = Client::new(&sandbox).await;
    let whole = client.get("contacts?$select=lastname").await.bytes().await.unwrap();
    fault(&sandbox, json!({"route": "query", "cutAfterBytes": 1_000}));
    let mut response = client.get("contacts?$select=lastname").await;
    let mut received = 0;
    let end = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => received += chunk.len(),
            end => break end,
        }
    };
    assert!(end.is_err(), "the body must break off");
    assert_eq!(received, 1_000);
    let size = u64::try_from(whole.len()).unwrap();
    fault(&sandbox, json!({"route": "query", "bytesPerSecond": size * 4}));
    let started = Instant::now();
    assert_eq!(client.get("contacts?$select=lastname").await.bytes().await.unwrap(), whole);
    assert!(started.elapsed() > Duration::from_millis(200));
    fault(&sandbox, json!({"route": "query", "delayMs": 150}));
    let started = Instant::now();
    assert_eq!(client.get("contacts?$select=lastname").await.status(), 200);
    assert!(started.elapsed() > Duration::from_millis(150));
    fault(&sandbox, json!({"route": "query", "body": "{\"value\": [", "contentType": "application/json"}));
    let response = client.get("contacts").await;
    assert_eq!((response.status().as_u16(), response.text().await.unwrap().as_str()), (200, "{\"value\": ["));
}

#[tokio::test]
async fn a_write_can_take_hold_and_its_reply_be_lost() {
    let sandbox = start(0);
    let client = Client::new(&sandbox).await;
    fault(&sandbox, json!({"route": "write", "times": 1, "cutAfterCommit": true}));
    let create =
        || client.request(Method::POST, "contacts").json(&json!({"contactid": contact(1), "lastname": "x"})).send();
    assert!(create().await.is_err(), "no reply at all");
    assert_eq!(error_of(create().await.unwrap()).await.1, "0x80040237", "the first one landed");
    assert_eq!(sandbox.admin().changes(1).len(), 1);
    assert_eq!(sandbox.admin().requests(2)[0].status, 0);
}

#[tokio::test]
async fn next_links_lead_astray_or_in_a_circle() {
    let sandbox = start(9);
    let client = Client::new(&sandbox).await;
    fault(&sandbox, json!({"route": "query", "nextLinkHost": "evil.example"}));
    let (_, next) = client.page("contacts?$select=lastname", 3).await;
    assert!(next.unwrap().starts_with("http://evil.example/api/data/v9.2/contacts?"));
    fault(&sandbox, json!({"times": 2, "repeatPage": true}));
    let (first, next) = client.page("contacts?$select=lastname", 3).await;
    let (second, next) = client.page(&next.unwrap(), 3).await;
    let (third, next) = client.page(&next.unwrap(), 3).await;
    assert_eq!((&first, &first), (&second, &third));
    assert_ne!(client.page(&next.unwrap(), 3).await.0, first);
}

#[tokio::test]
async fn the_admin_api_does_over_http_what_its_methods_do() {
    let sandbox = start(50);
    let clock = admin(&sandbox, Method::PUT, "/clock", json!({"now": "2026-04-01T00:00:00Z", "frozen": true})).await;
    assert_eq!(clock.json::<Json>().await.unwrap(), json!({"now": "2026-04-01T00:00:00Z", "frozen": true}));
    admin(&sandbox, Method::POST, "/clock/advance", json!({"seconds": 90})).await;
    let record = format!("/records/contacts/{}", contact(5));
    let put = admin(&sandbox, Method::PUT, &record, json!({"lastname": "Dijkstra", "statecode": 1})).await;
    assert_eq!(put.json::<Json>().await.unwrap()["modifiedon"], "2026-04-01T00:01:30Z");
    let bulk = json!([{"contactid": contact(6), "lastname": "a"}, {"id": contact(7), "lastname": "b", "modifiedon": "2020-01-01T00:00:00Z"}]);
    assert_eq!(admin(&sandbox, Method::POST, "/records/contacts", bulk).await.status(), 200);
    let changed: Json = admin(&sandbox, Method::POST, "/change", json!({"set": "contacts", "count": 10, "seed": 7}))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(changed["ids"].as_array().unwrap().len(), 10);
    assert_eq!(admin(&sandbox, Method::DELETE, &record, Json::Null).await.status(), 200);
    assert_eq!(admin(&sandbox, Method::GET, &record, Json::Null).await.status(), 404);
    let changes: Json = admin(&sandbox, Method::GET, "/changes?from=14", Json::Null).await.json().await.unwrap();
    assert_eq!(
        (&changes["changes"][0]["kind"], &changes["changes"][0]["by"], &changes["next"]),
        (&json!("deleted"), &json!("admin"), &json!(15))
    );
    let state: Json = admin(&sandbox, Method::GET, "/state", Json::Null).await.json().await.unwrap();
    assert_eq!(state["sets"]["contacts"]["records"], 52);
    admin(&sandbox, Method::DELETE, "/records/contacts", Json::Null).await;
    assert_eq!(sandbox.admin().state().sets["contacts"].records, 0);
    let client = Client::new(&sandbox).await;
    client.get("contacts?$select=lastname").await;
    let requests: Json = admin(&sandbox, Method::GET, "/requests?from=2", Json::Null).await.json().await.unwrap();
    assert_eq!(
        (&requests["requests"][0]["route"], &requests["requests"][0]["path"]),
        (&json!("query"), &json!("/api/data/v9.2/contacts?$select=lastname"))
    );
}

#[tokio::test]
async fn a_senseless_admin_request_is_told_what_would_be_right() {
    let sandbox = start(0);
    let cases = [
        (Method::PUT, "/clock", json!({"now": "yesterday"}), "2026-03-03T10:00:00Z"),
        (Method::PUT, "/records/people/x", json!({}), "the sets are contacts, accounts, leads, systemusers"),
        (Method::PUT, "/records/contacts/x", json!({}), "is no id"),
        (
            Method::PUT,
            "/records/contacts/c0000000-0000-4000-8000-000000000001",
            json!({"nam": 1}),
            "POST /admin/attributes/contact",
        ),
        (Method::PUT, "/records/contacts/c0000000-0000-4000-8000-000000000001", json!({"birthdate": 5}), "2026-03-03"),
        (Method::POST, "/faults", json!({"route": "query"}), "a fault needs one of status"),
        (Method::POST, "/faults", json!({"rout": "query", "status": 429}), "right would be"),
        (Method::POST, "/attributes/contact", json!({"name": "lastname", "type": "String"}), "a column of the product"),
        (Method::POST, "/attributes/contact", json!({"name": "new_x", "type": "Text"}), "is not one of String, Memo"),
    ];
    for (method, path, body, right) in cases {
        let response = admin(&sandbox, method, path, body).await;
        assert_eq!(response.status(), 400, "{path}");
        let error = response.json::<Json>().await.unwrap()["error"].as_str().unwrap().to_owned();
        assert!(error.contains(right), "{path}: {error}");
    }
    assert_eq!(admin(&sandbox, Method::GET, "/nothing", Json::Null).await.status(), 404);
}

#[tokio::test]
async fn the_same_seed_gives_the_same_records() {
    let (left, right) = (start(40), start(40));
    let path = "contacts?$select=fullname,emailaddress1,modifiedon,_parentcustomerid_value";
    let records = |body: Json| body["value"].clone();
    let (left_records, right_records) =
        (records(Client::new(&left).await.json(path).await), records(Client::new(&right).await.json(path).await));
    assert_eq!(left_records, right_records);
    assert_eq!(left.admin().change("contacts", 5, 3).unwrap(), right.admin().change("contacts", 5, 3).unwrap());
    let changed = records(Client::new(&left).await.json(path).await);
    assert_ne!(changed, left_records);
}
