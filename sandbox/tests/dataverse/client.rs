//! A client that does what the vendor's documentation says, and no more.

use std::{collections::HashMap, sync::Once};

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use sandbox::{Options, Sandbox};
use serde_json::Value as Json;

/// A client with a token.
pub(crate) struct Client {
    pub(crate) http: reqwest::Client,
    pub(crate) root: String,
    pub(crate) token: String,
}

/// A stand-in whose clock stands at 2026-03-03 10:00.
pub(crate) fn start(contacts: u32) -> Sandbox {
    let now = Some("2026-03-03T10:00:00Z".parse().unwrap());
    Sandbox::start(Options { contacts, accounts: contacts / 10, seed: 11, now, frozen: true, ..Options::default() })
        .unwrap()
}

/// A client without the proxies and retries of a grown one.
pub(crate) fn http() -> reqwest::Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        rustls::crypto::ring::default_provider().install_default().expect("no other provider is installed");
    });
    reqwest::Client::builder().no_proxy().retry(reqwest::retry::never()).build().unwrap()
}

/// Asks for a token with these changes of the form.
pub(crate) async fn ask_token(sandbox: &Sandbox, changes: &[(&str, Option<&str>)]) -> (StatusCode, Json) {
    let scope = format!("{}/.default", sandbox.url());
    let (client, secret) = (sandbox.client_id(), sandbox.client_secret());
    let mut form = HashMap::from([
        ("grant_type", "client_credentials"),
        ("client_id", &client),
        ("client_secret", &secret),
        ("scope", &scope),
    ]);
    for (name, value) in changes {
        match value {
            Some(value) => form.insert(name, value),
            None => form.remove(name),
        };
    }
    let response = http().post(sandbox.token_url()).form(&form).send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}

impl Client {
    pub(crate) async fn new(sandbox: &Sandbox) -> Self {
        let (status, body) = ask_token(sandbox, &[]).await;
        assert_eq!(status, 200, "{body}");
        let token = body["access_token"].as_str().unwrap().to_owned();
        Self { http: http(), root: format!("{}/api/data/v9.2/", sandbox.url()), token }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.root) };
        self.http
            .request(method, url)
            .bearer_auth(&self.token)
            .header("Accept", "application/json")
            .header("OData-MaxVersion", "4.0")
            .header("OData-Version", "4.0")
            .header("If-None-Match", "null")
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    /// A GET that must succeed.
    pub(crate) async fn json(&self, path: &str) -> Json {
        let response = self.get(path).await;
        let status = response.status();
        let body: Json = response.json().await.unwrap();
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// A GET that must fail: its status, code and message.
    pub(crate) async fn error(&self, path: &str) -> (u16, String, String) {
        error_of(self.get(path).await).await
    }

    /// One column of the records of a query of one page.
    pub(crate) async fn column(&self, path: &str, name: &str) -> Vec<Json> {
        self.json(path).await["value"].as_array().unwrap().iter().map(|record| record[name].clone()).collect()
    }

    /// A page, with the address of the next.
    pub(crate) async fn page(&self, path: &str, size: usize) -> (Vec<Json>, Option<String>) {
        let request = self.request(Method::GET, path).header("Prefer", format!("odata.maxpagesize={size}"));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.headers()["preference-applied"], format!("odata.maxpagesize={size}").as_str());
        let body: Json = response.json().await.unwrap();
        (body["value"].as_array().unwrap().clone(), body["@odata.nextLink"].as_str().map(str::to_owned))
    }

    /// All records of a query, page by page.
    pub(crate) async fn all(&self, path: &str, size: usize) -> Vec<Json> {
        let (mut records, mut next) = self.page(path, size).await;
        while let Some(link) = next {
            let (more, after) = self.page(&link, size).await;
            assert!(!more.is_empty(), "an empty last page");
            records.extend(more);
            next = after;
        }
        records
    }
}

/// Status, code and message of an error.
pub(crate) async fn error_of(response: Response) -> (u16, String, String) {
    let status = response.status().as_u16();
    let body: Json = response.json().await.unwrap();
    let text = |name: &str| body["error"][name].as_str().unwrap_or_default().to_owned();
    (status, text("code"), text("message"))
}

/// The id of contact `nn` in the acceptance scenarios.
pub(crate) fn contact(number: u32) -> String {
    format!("c0000000-0000-4000-8000-0000000000{number:02}")
}
