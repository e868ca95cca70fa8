//! The same over TLS, for clients that trust the stand-in's own authority.

use std::fs;

use crate::client::{Client, ask_token, http, start};
use sandbox::{Options, Sandbox, Tls};

#[tokio::test]
async fn whoever_trusts_the_authority_is_answered_encrypted() {
    http();
    let folder = std::env::temp_dir().join(format!("sandbox-tls-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("authority.pem");
    let tls = Some(Tls { port: 0, authority_file: file.clone() });
    let sandbox = Sandbox::start(Options { contacts: 20, seed: 3, tls, ..Options::default() }).unwrap();
    let authority = reqwest::Certificate::from_pem(&fs::read(&file).unwrap()).unwrap();
    let trusting = reqwest::Client::builder().no_proxy().tls_certs_only([authority]).build().unwrap();
    let url = sandbox.tls_url().unwrap();
    assert_eq!(sandbox.describe()["dynamicsTls"], url.as_str());
    assert!(http().get(format!("{url}/api/data/v9.2/")).send().await.is_err(), "nobody else trusts it");

    let token_url = sandbox.describe()["tokenUrlTls"].as_str().unwrap().to_owned();
    let scope = format!("{url}/.default");
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", &sandbox.client_id()),
        ("client_secret", &sandbox.client_secret()),
        ("scope", &scope),
    ];
    let body: serde_json::Value = trusting.post(token_url).form(&form).send().await.unwrap().json().await.unwrap();
    let token = body["access_token"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned();
    let client = Client { http: trusting, root: format!("{url}/api/data/v9.2/"), token };
    let (_, next) = client.page("contacts?$select=lastname", 10).await;
    assert!(next.unwrap().starts_with(&client.root), "links stay encrypted");
    assert_eq!(client.all("contacts?$select=lastname", 7).await.len(), 20);
    fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn a_certificate_that_cannot_be_written_is_told_at_the_start() {
    let tls = Some(Tls { port: 0, authority_file: "/nowhere/authority.pem".into() });
    let error = Sandbox::start(Options { tls, ..Options::default() }).unwrap_err();
    assert!(error.to_string().contains("/nowhere/authority.pem"), "{error}");
}

#[tokio::test]
async fn answers_are_compressed_for_those_who_accept_it() {
    let sandbox = start(300);
    let client = Client::new(&sandbox).await;
    let raw = reqwest::Client::builder().no_proxy().no_gzip().build().unwrap();
    let ask = || raw.get(format!("{}contacts", client.root)).bearer_auth(&client.token);
    let plain = ask().send().await.unwrap();
    assert_eq!(plain.headers().get("content-encoding"), None);
    let plain = plain.bytes().await.unwrap();
    let packed = ask().header("Accept-Encoding", "deflate, gzip").send().await.unwrap();
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    assert!(packed.bytes().await.unwrap().len() * 3 < plain.len());
    let unpacked = client.get("contacts").await.bytes().await.unwrap();
    assert_eq!(unpacked, plain);
    sandbox.admin().set_compression(false);
    let plain = ask().header("Accept-Encoding", "gzip").send().await.unwrap();
    assert_eq!(plain.headers().get("content-encoding"), None);
    assert_eq!(ask_token(&sandbox, &[]).await.0, 200);
}
