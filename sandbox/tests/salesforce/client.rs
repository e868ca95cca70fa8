//! A client that does what the vendor's documentation says, and no more.

use std::sync::Once;

use reqwest::{Method, RequestBuilder};
use sandbox::{Options, SalesforceField, SalesforceOptions, Sandbox};
use serde_json::{Value as Json, json};

/// The API's version in these tests.
pub(crate) const ROOT: &str = "/services/data/v67.0";

/// A client with a session.
pub(crate) struct Client {
    pub(crate) http: reqwest::Client,
    pub(crate) url: String,
    pub(crate) token: String,
}

/// An answer read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

/// A stand-in whose clock stands at 2026-03-03 10:00, with an external id on contacts and accounts.
pub(crate) fn start(contacts: u32) -> Sandbox {
    let now = Some("2026-03-03T10:00:00Z".parse().unwrap());
    let salesforce = SalesforceOptions { contacts, accounts: contacts / 10, leads: contacts / 10 };
    let sandbox = Sandbox::start(Options { seed: 11, now, frozen: true, salesforce, ..Options::default() }).unwrap();
    for object in ["Contact", "Account"] {
        sandbox.admin().salesforce().add_field(object, &field("ExtId__c", true)).unwrap();
    }
    sandbox
}

/// An external id.
pub(crate) fn field(name: &str, is_unique: bool) -> SalesforceField {
    SalesforceField {
        name: name.into(),
        kind: Some("string".into()),
        external_id: Some(true),
        unique: Some(is_unique),
        ..SalesforceField::default()
    }
}

/// A client without the proxies and retries of a grown one.
pub(crate) fn http() -> reqwest::Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        rustls::crypto::ring::default_provider().install_default().unwrap();
    });
    reqwest::Client::builder().no_proxy().retry(reqwest::retry::never()).build().unwrap()
}

/// Asks for a session.
pub(crate) async fn ask_token(sandbox: &Sandbox, form: &[(&str, &str)]) -> (u16, Json) {
    let url = format!("{}/services/oauth2/token", sandbox.url());
    let response = http().post(url).form(form).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

impl Client {
    pub(crate) async fn new(sandbox: &Sandbox) -> Self {
        let ids = sandbox.salesforce();
        let text = |name: &str| ids[name].as_str().unwrap().to_owned();
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &text("clientId")),
            ("client_secret", &text("clientSecret")),
        ];
        let (status, body) = ask_token(sandbox, &form).await;
        assert_eq!(status, 200, "{body}");
        Self { http: http(), url: sandbox.url(), token: body["access_token"].as_str().unwrap().to_owned() }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let root = if path.starts_with("/services") { "" } else { ROOT };
        self.http.request(method, format!("{}{root}{path}", self.url)).bearer_auth(&self.token)
    }

    pub(crate) async fn send(&self, request: RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, text: response.text().await.unwrap() }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn call(&self, method: Method, path: &str, body: &Json) -> Answer {
        let request = self.request(method, path).header("Content-Type", "application/json").body(body.to_string());
        self.send(request).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Json) -> Answer {
        self.call(Method::POST, path, body).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Json) -> Answer {
        self.call(Method::PATCH, path, body).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// The first page of a query.
    pub(crate) async fn query(&self, soql: &str) -> Answer {
        self.query_with("query", soql).await
    }

    /// The first page of a query of `query` or `queryAll`.
    pub(crate) async fn query_with(&self, resource: &str, soql: &str) -> Answer {
        self.send(self.request(Method::GET, &format!("/{resource}")).query(&[("q", soql)])).await
    }

    /// One field of all records of a query's first page.
    pub(crate) async fn column(&self, soql: &str, field: &str) -> Vec<Json> {
        let body = self.query(soql).await.ok();
        body["records"].as_array().unwrap().iter().map(|record| record[field].clone()).collect()
    }

    /// Creates a record and returns its id.
    pub(crate) async fn create(&self, object: &str, body: Json) -> String {
        let created = self.post(&format!("/sobjects/{object}"), &body).await;
        assert_eq!(created.status, 201, "{}", created.text);
        created.json()["id"].as_str().unwrap().to_owned()
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.text).unwrap_or_else(|_| json!(self.text))
    }

    /// The body of an answer that must be a success.
    pub(crate) fn ok(&self) -> Json {
        assert_eq!(self.status, 200, "{}", self.text);
        self.json()
    }

    /// Status and code of an error.
    pub(crate) fn error(&self) -> (u16, String) {
        (self.status, self.json()[0]["errorCode"].as_str().unwrap_or("").to_owned())
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}
