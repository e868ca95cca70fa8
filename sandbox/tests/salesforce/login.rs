//! Logins, sessions and limits.

use sandbox::SalesforceSettings;
use serde_json::json;

use crate::client::{Client, ask_token, http, start};

#[tokio::test]
async fn every_flow_gives_a_session_to_who_may_have_one_and_the_products_error_to_others() {
    let sandbox = start(0);
    let ids = sandbox.salesforce();
    let text = |name: &str| ids[name].as_str().unwrap().to_owned();
    let (id, secret, user) = (text("clientId"), text("clientSecret"), text("username"));
    let (refresh, password) = (text("refreshToken"), text("password") + &text("securityToken"));
    let client = [("client_id", id.as_str()), ("client_secret", secret.as_str())];
    let with = |extra: &[(&'static str, &str)]| {
        let mut form: Vec<(&str, String)> = client.map(|(name, value)| (name, value.to_owned())).to_vec();
        for (name, value) in extra {
            form.retain(|(known, _)| known != name);
            form.push((*name, (*value).to_owned()));
        }
        form
    };
    let bare = text("password");
    let cases = [
        (with(&[("grant_type", "client_credentials")]), 200, ""),
        (with(&[("grant_type", "password"), ("username", &user), ("password", &password)]), 200, ""),
        (with(&[("grant_type", "refresh_token"), ("refresh_token", &refresh)]), 200, ""),
        (with(&[("grant_type", "password"), ("username", &user), ("password", &bare)]), 400, "invalid_grant"),
        (with(&[("grant_type", "client_credentials"), ("client_secret", "wrong")]), 400, "invalid_client"),
        (with(&[("grant_type", "client_credentials"), ("client_id", "wrong")]), 400, "invalid_client_id"),
        (with(&[("grant_type", "refresh_token"), ("refresh_token", "wrong")]), 400, "invalid_grant"),
        (with(&[("grant_type", "device")]), 400, "unsupported_grant_type"),
    ];
    for (form, status, error) in cases {
        let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let (was, body) = ask_token(&sandbox, &form).await;
        assert_eq!((was, body["error"].as_str().unwrap_or("")), (status, error), "{form:?} {body}");
        if status == 200 {
            assert!(body.get("expires_in").is_none() && body.get("refresh_token").is_none(), "{body}");
            assert_eq!(body["instance_url"], json!(sandbox.url()));
            assert_eq!(body["issued_at"], json!("1772532000000"));
            assert!(body["id"].as_str().unwrap().contains("/id/00D") && body["token_type"] == "Bearer");
        }
    }
    sandbox.admin().salesforce().set_user(false, true);
    let form = with(&[("grant_type", "client_credentials")]);
    let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(ask_token(&sandbox, &form).await.1["error"], "inactive_user");
}

#[tokio::test]
async fn a_refresh_token_that_rotates_is_good_once() {
    let sandbox = start(0);
    let admin = sandbox.admin().salesforce();
    admin.set_settings(SalesforceSettings { rotate_refresh_tokens: true, ..admin.settings() });
    let ids = sandbox.salesforce();
    let (id, first) = (ids["clientId"].as_str().unwrap(), ids["refreshToken"].as_str().unwrap());
    let form = |token| [("grant_type", "refresh_token"), ("client_id", id), ("refresh_token", token)];
    let (status, body) = ask_token(&sandbox, &form(first)).await;
    let second = body["refresh_token"].as_str().unwrap();
    assert_eq!(status, 200);
    assert_eq!(ask_token(&sandbox, &form(first)).await.0, 400);
    assert_eq!(ask_token(&sandbox, &form(second)).await.0, 200);
}

#[tokio::test]
async fn a_session_ends_by_time_or_by_hand_with_the_array_that_clients_refresh_on() {
    let sandbox = start(1);
    sandbox.admin().set_token_lifetime(60);
    let client = Client::new(&sandbox).await;
    client.query("SELECT Id FROM Contact").await.ok();
    sandbox.admin().advance_clock(60).unwrap();
    let over = client.query("SELECT Id FROM Contact").await;
    assert_eq!(over.error(), (401, "INVALID_SESSION_ID".into()));
    assert_eq!(over.json()[0]["message"], "Session expired or invalid");
    let client = Client::new(&sandbox).await;
    let revoke = client.request(reqwest::Method::POST, "/services/oauth2/revoke").form(&[("token", &client.token)]);
    assert_eq!(client.send(revoke).await.status, 200);
    assert_eq!(client.get("/limits").await.status, 401);
    let client = Client::new(&sandbox).await;
    sandbox.admin().revoke_tokens();
    assert_eq!(client.get("/limits").await.error(), (401, "INVALID_SESSION_ID".into()));
}

#[tokio::test]
async fn versions_are_told_to_anybody_and_any_version_is_answered() {
    let sandbox = start(1);
    let versions = http().get(format!("{}/services/data/", sandbox.url())).send().await.unwrap();
    assert!(versions.headers().get("sforce-limit-info").is_none());
    let versions: serde_json::Value = versions.json().await.unwrap();
    assert_eq!(versions[0]["version"], "31.0");
    let client = Client::new(&sandbox).await;
    for version in ["v20.0", "v50.0", "v99.0"] {
        let answer = client.get(&format!("/services/data/{version}/query/?q=SELECT+Id+FROM+Contact")).await;
        let url = answer.ok()["records"][0]["attributes"]["url"].as_str().unwrap().to_owned();
        assert!(url.starts_with(&format!("/services/data/{version}/sobjects/Contact/003")), "{url}");
    }
    assert_eq!(client.get("/services/data/vX/limits").await.status, 404);
}

#[tokio::test]
async fn each_call_is_counted_until_the_day_is_used_up() {
    let sandbox = start(1);
    let admin = sandbox.admin().salesforce();
    admin.set_settings(SalesforceSettings { daily_requests: 10, used_requests: Some(7), ..admin.settings() });
    let client = Client::new(&sandbox).await;
    let limits = client.get("/limits").await;
    assert_eq!(limits.header("sforce-limit-info"), "api-usage=8/10");
    assert_eq!(limits.ok()["DailyApiRequests"], json!({"Max": 10, "Remaining": 2}));
    for expected in ["api-usage=9/10", "api-usage=10/10"] {
        assert_eq!(client.query("SELECT COUNT() FROM Contact").await.header("sforce-limit-info"), expected);
    }
    assert_eq!(client.get("/limits").await.error(), (403, "REQUEST_LIMIT_EXCEEDED".into()));
    // A new day of the calendar frees nothing, 24 hours do.
    sandbox.admin().advance_clock(86_399).unwrap();
    let client = Client::new(&sandbox).await;
    assert_eq!(client.get("/limits").await.error(), (403, "REQUEST_LIMIT_EXCEEDED".into()));
    sandbox.admin().advance_clock(1).unwrap();
    assert_eq!(client.get("/limits").await.status, 200);
}

#[tokio::test]
async fn a_url_that_is_too_long_is_refused() {
    let sandbox = start(1);
    let client = Client::new(&sandbox).await;
    let long = "x".repeat(17_000);
    assert_eq!(client.query(&format!("SELECT Id FROM Contact WHERE LastName = '{long}'")).await.status, 414);
    let request = client.request(reqwest::Method::GET, "/limits").header("X-Long", &long);
    assert_eq!(client.send(request).await.status, 431);
}
