//! The token endpoint, and what a token is good for.

use reqwest::StatusCode;
use serde_json::json;

use crate::client::{Client, ask_token, http, start};

/// Changes of the form of a right request.
type Changes = &'static [(&'static str, Option<&'static str>)];

#[tokio::test]
async fn tokens_are_given_for_the_right_credentials_only() {
    let sandbox = start(0);
    let (status, body) = ask_token(&sandbox, &[]).await;
    assert_eq!((status, &body["token_type"], &body["expires_in"]), (StatusCode::OK, &json!("Bearer"), &json!(3_599)));
    let wrong: &[(Changes, u16, &str, u32)] = &[
        (&[("client_secret", Some("wrong"))], 401, "invalid_client", 7_000_215),
        (&[("client_secret", None)], 401, "invalid_client", 7_000_218),
        (&[("client_id", Some("nobody"))], 400, "unauthorized_client", 700_016),
        (&[("scope", Some("contacts.read"))], 400, "invalid_scope", 70_011),
        (&[("scope", Some("https://other.crm.dynamics.com/.default"))], 400, "invalid_resource", 500_011),
        (&[("grant_type", Some("password"))], 400, "unsupported_grant_type", 70_003),
        (&[("scope", None)], 400, "invalid_request", 900_144),
    ];
    for (changes, status, error, number) in wrong {
        let (was, body) = ask_token(&sandbox, changes).await;
        assert_eq!(
            (was.as_u16(), &body["error"], &body["error_codes"][0]),
            (*status, &json!(error), &json!(number)),
            "{changes:?}"
        );
        let description = body["error_description"].as_str().unwrap();
        assert!(
            description.starts_with(&format!("AADSTS{number}: "))
                && description.contains("\r\nTimestamp: 2026-03-03 10:00:00Z"),
            "{description}"
        );
    }
    let form = [("grant_type", "client_credentials"), ("scope", &format!("{}/.default", sandbox.url()))];
    let basic =
        http().post(sandbox.token_url()).basic_auth(sandbox.client_id(), Some(sandbox.client_secret())).form(&form);
    assert_eq!(basic.send().await.unwrap().status(), 200);
    sandbox.admin().set_client_secret("new");
    assert_eq!(ask_token(&sandbox, &[("client_secret", Some("new"))]).await.0, 200);
}

#[tokio::test]
async fn a_token_ends_by_the_clock_or_by_revocation() {
    let sandbox = start(3);
    sandbox.admin().set_token_lifetime(60);
    let client = Client::new(&sandbox).await;
    assert_eq!(client.get("WhoAmI").await.status(), 200);
    sandbox.admin().advance_clock(60).unwrap();
    let response = client.get("WhoAmI").await;
    assert_eq!(response.status(), 401);
    assert!(response.headers()["www-authenticate"].to_str().unwrap().starts_with("Bearer authorization_uri="));
    let client = Client::new(&sandbox).await;
    let (_, next) = client.page("contacts?$select=lastname", 1).await;
    sandbox.admin().revoke_tokens();
    assert_eq!(client.get(&next.unwrap()).await.status(), 401, "in the middle of the pages");
    assert_eq!(http().get(format!("{}WhoAmI", client.root)).send().await.unwrap().status(), 401);
    let logged = serde_json::to_string(&sandbox.admin().requests(1)).unwrap();
    assert!(!logged.contains(&client.token) && !logged.contains(&sandbox.client_secret()), "the log keeps no secret");
}
