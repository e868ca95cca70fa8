//! The token endpoint, and what a token is good for.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use reqwest::StatusCode;
use ring::{
    digest,
    rand::SystemRandom,
    signature::{KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair},
};
use serde_json::{Value as Json, json};

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

/// An assertion as a client library makes it.
fn assertion(key: &str, certificate: Option<&str>, algorithm: &str, claims: &Json) -> String {
    let der =
        |pem: &str| STANDARD.decode(pem.lines().filter(|line| !line.starts_with("--")).collect::<String>()).unwrap();
    let mut header = json!({"alg": algorithm, "typ": "JWT"});
    if let Some(certificate) = certificate {
        let thumbprint = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &der(certificate));
        header["x5t"] = URL_SAFE_NO_PAD.encode(thumbprint).into();
    }
    let part = |json: &Json| URL_SAFE_NO_PAD.encode(json.to_string());
    let signed = format!("{}.{}", part(&header), part(claims));
    let pair = RsaKeyPair::from_pkcs8(&der(key)).unwrap();
    let padding: &'static dyn RsaEncoding = if algorithm == "PS256" { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
    let mut signature = vec![0; pair.public_key().modulus_len()];
    pair.sign(padding, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test]
async fn a_certificate_signs_for_tokens_and_no_other_does() {
    let sandbox = start(0);
    let now = 1_772_532_000;
    let claims = |changes: Json| {
        let mut claims = json!({"aud": sandbox.token_url(), "iss": sandbox.client_id(), "sub": sandbox.client_id(), "jti": "1", "nbf": now, "exp": now + 600});
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        claims
    };
    let ask = |assertion: String| {
        let sandbox = &sandbox;
        async move {
            let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
            let form = [
                ("client_secret", None),
                ("client_assertion_type", Some(kind)),
                ("client_assertion", Some(assertion.as_str())),
            ];
            let (status, body) = ask_token(sandbox, &form).await;
            (status.as_u16(), body["error_codes"][0].as_u64().unwrap_or(0), body["access_token"].is_string())
        }
    };
    let (key, certificate) = (include_str!("../keys/application.key.pem"), include_str!("../keys/application.crt.pem"));
    let (stranger, other) = (include_str!("../keys/stranger.key.pem"), include_str!("../keys/stranger.crt.pem"));
    let good = |algorithm| assertion(key, Some(certificate), algorithm, &claims(json!({})));
    assert_eq!(ask(good("RS256")).await, (401, 700_027, false), "nobody has registered it");
    sandbox.admin().add_certificate(certificate).unwrap();
    for algorithm in ["RS256", "PS256"] {
        assert_eq!(ask(good(algorithm)).await, (200, 0, true), "{algorithm}");
    }
    assert_eq!(ask(assertion(key, None, "PS256", &claims(json!({})))).await.0, 200);
    assert_eq!(ask(assertion(stranger, Some(certificate), "RS256", &claims(json!({})))).await, (401, 700_027, false));
    assert_eq!(ask(assertion(key, Some(other), "RS256", &claims(json!({})))).await, (401, 700_027, false));
    assert_eq!(ask(assertion(key, Some(certificate), "RS256", &claims(json!({"iss": "other"})))).await.1, 700_021);
    assert_eq!(
        ask(assertion(key, Some(certificate), "RS256", &claims(json!({"aud": "https://example.com/token"})))).await.1,
        700_023
    );
    assert_eq!(ask(assertion(key, Some(certificate), "RS256", &claims(json!({"exp": now - 301})))).await.1, 700_024);
    let timeless = claims(json!({"nbf": null, "exp": i64::MAX}));
    assert_eq!(ask(assertion(key, Some(certificate), "RS256", &timeless)).await.0, 200, "it need not say since when");
    assert_eq!(ask("no.assertion".into()).await.1, 50_027);
    assert!(sandbox.admin().add_certificate("nonsense").unwrap_err().to_string().contains("BEGIN PUBLIC KEY"));
}

#[tokio::test]
async fn another_application_is_another_user_with_limits_of_its_own() {
    let sandbox = start(0);
    sandbox.admin().add_application("other-app", "its secret");
    sandbox.admin().set_limits(sandbox::Limits { requests: Some(1), ..Default::default() });
    let first = Client::new(&sandbox).await;
    let (_, body) =
        ask_token(&sandbox, &[("client_id", Some("other-app")), ("client_secret", Some("its secret"))]).await;
    let token = body["access_token"].as_str().unwrap().to_owned();
    let second = Client { http: first.http.clone(), root: first.root.clone(), token };
    assert_eq!((first.get("WhoAmI").await.status().as_u16(), first.get("WhoAmI").await.status().as_u16()), (200, 429));
    assert_eq!(second.get("WhoAmI").await.status(), 200);
}
