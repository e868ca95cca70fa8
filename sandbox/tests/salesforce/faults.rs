//! What a test can let go wrong.

use sandbox::{Fault, Route, SalesforceSettings};
use serde_json::{Value as Json, json};

use crate::client::{Client, start};

#[tokio::test]
async fn a_row_is_locked_as_often_as_asked_and_the_others_go_on() {
    let sandbox = start(0);
    let client = Client::new(&sandbox).await;
    let fault = Fault {
        route: Route::Part,
        containing: Some("Locked".into()),
        times: Some(2),
        status: Some(400),
        code: Some("UNABLE_TO_LOCK_ROW".into()),
        ..Fault::default()
    };
    sandbox.admin().add_fault(fault).unwrap();
    let records: Vec<Json> =
        ["Free", "Locked"].iter().map(|last| json!({"attributes": {"type": "Contact"}, "LastName": last})).collect();
    for expected in ["UNABLE_TO_LOCK_ROW", "UNABLE_TO_LOCK_ROW", ""] {
        let rows = client.post("/composite/sobjects", &json!({"records": records})).await.ok();
        assert_eq!(rows[0]["success"], true);
        assert_eq!(rows[1]["errors"][0]["statusCode"].as_str().unwrap_or(""), expected);
    }
    assert_eq!(client.query("SELECT COUNT() FROM Contact WHERE LastName = 'Locked'").await.ok()["totalSize"], 1);
}

#[tokio::test]
async fn a_connection_cut_after_the_commit_leaves_the_records_and_no_reply() {
    let sandbox = start(0);
    let client = Client::new(&sandbox).await;
    sandbox
        .admin()
        .add_fault(Fault { route: Route::Write, times: Some(1), cut_after_commit: true, ..Fault::default() })
        .unwrap();
    let body = json!({"records": [{"attributes": {"type": "Contact"}, "LastName": "Once", "ExtId__c": "1"}]});
    let path = "/composite/sobjects/Contact/ExtId__c";
    let cut = client.request(reqwest::Method::PATCH, path).body(body.to_string()).send().await;
    assert!(cut.is_err());
    let again = client.patch(path, &body).await.ok();
    assert_eq!((&again[0]["success"], &again[0]["created"]), (&json!(true), &json!(false)));
    assert_eq!(client.query("SELECT COUNT() FROM Contact").await.ok()["totalSize"], 1);
}

#[tokio::test]
async fn too_many_long_calls_at_once_are_refused_and_short_ones_are_not_counted() {
    let sandbox = start(1);
    let (admin, client) = (sandbox.admin(), Client::new(&sandbox).await);
    let settings = admin.salesforce().settings();
    let long_from = |long_call_seconds| {
        // One besides the request that asks, which is as long as any where all are long.
        let settings = settings.clone();
        admin.salesforce().set_settings(SalesforceSettings { long_call_seconds, long_calls_max: 2, ..settings });
    };
    long_from(3_600.0);
    admin.add_fault(Fault { route: Route::Query, delay_ms: Some(1_000), ..Fault::default() }).unwrap();
    let long = client.query("SELECT Id FROM Contact");
    let others = async {
        while admin.faults()[0].fired == 0 {
            tokio::task::yield_now().await;
        }
        let while_short = client.get("/limits").await.status;
        long_from(0.0);
        (while_short, client.get("/limits").await.error())
    };
    let (long, (while_short, later)) = tokio::join!(long, others);
    assert_eq!((long.status, while_short, later), (200, 200, (403, "REQUEST_LIMIT_EXCEEDED".into())));
    assert_eq!(client.get("/limits").await.status, 200, "alone");
}

#[tokio::test]
async fn a_session_ends_between_two_pages_and_errors_come_as_arrays() {
    let sandbox = start(3_000);
    let client = Client::new(&sandbox).await;
    let add = |fault: Json| sandbox.admin().add_fault(serde_json::from_value(fault).unwrap()).unwrap();
    add(json!({"route": "page", "times": 1, "status": 401}));
    let first = client.query("SELECT Id FROM Contact").await.ok();
    let next = first["nextRecordsUrl"].as_str().unwrap();
    assert_eq!(client.get(next).await.error(), (401, "INVALID_SESSION_ID".into()));
    assert_eq!(client.get(next).await.ok()["records"].as_array().unwrap().len(), 1_000);
    add(json!({"route": "describe", "times": 1, "status": 503}));
    assert_eq!(client.get("/sobjects/Contact/describe").await.error(), (503, "SERVER_UNAVAILABLE".into()));
    add(json!({"route": "token", "times": 1, "status": 400, "code": "inactive_user", "message": "user is inactive"}));
    let (status, body) = crate::client::ask_token(&sandbox, &[("grant_type", "client_credentials")]).await;
    assert_eq!((status, &body["error"]), (400, &json!("inactive_user")));
}
