//! What a token endpoint is sent and answers, by OAuth 2.0 (RFC 6749, section 5).

use bytes::Bytes;
use engine::failure::{Class, Failure};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use url::{Url, form_urlencoded};

use crate::http::{Reply, Request};
use crate::secret::Secret;

/// The fields of a request that nobody else may know.
const SECRETS: [&str; 5] = ["client_secret", "client_assertion", "assertion", "password", "refresh_token"];

/// Where tokens of one account are asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Endpoint<'a> {
    /// The account's name, for messages.
    pub(crate) account: &'a str,
    pub(crate) url: &'a Url,
    /// What to look at where something else answers.
    pub(crate) help: &'static str,
}

/// An answer that agrees.
#[derive(Debug, Deserialize)]
pub(crate) struct Granted {
    pub(crate) access_token: Secret,
    /// Seconds; a number, or in older endpoints a text.
    #[serde(default)]
    pub(crate) expires_in: serde_json::Value,
    pub(crate) refresh_token: Option<Secret>,
    /// Of Salesforce only: the organisation's address.
    #[serde(default)]
    pub(crate) instance_url: String,
    /// Of Salesforce only: the address of the user, `…/id/<organisation>/<user>`.
    #[serde(default)]
    pub(crate) id: String,
}

/// An answer that does not.
#[derive(Debug, Deserialize)]
pub(crate) struct Refused {
    #[serde(default)]
    pub(crate) error: String,
    #[serde(default)]
    pub(crate) error_description: String,
    /// Of Entra only.
    #[serde(default)]
    pub(crate) error_codes: Vec<u64>,
}

impl Refused {
    /// What these bytes say, if they say anything.
    fn of(body: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Self>(body).ok().filter(|refused| !refused.error.is_empty())
    }

    /// What is said, without what follows on lines of its own, such as Entra's trace ids.
    pub(crate) fn first_line(&self) -> &str {
        let line = self.error_description.lines().next().unwrap_or_default().trim();
        if line.is_empty() { &self.error } else { line }
    }
}

impl Endpoint<'_> {
    /// A request with this form.
    pub(crate) fn ask(&self, form: String) -> Request {
        let headers = HeaderMap::from_iter([
            (CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded")),
            (ACCEPT, HeaderValue::from_static("application/json")),
        ]);
        Request { method: Method::POST, headers, body: Bytes::from(form), ..Request::get(self.url.clone()) }
    }

    /// What an answer that agrees gives.
    pub(crate) fn granted(&self, reply: &Reply) -> Result<Granted, Failure> {
        let granted = serde_json::from_slice::<Granted>(&reply.body).ok();
        granted.filter(|granted| !granted.access_token.reveal().is_empty()).ok_or_else(|| self.no_token(reply))
    }

    /// How requests carry the token: `Bearer …`, marked as sensitive.
    pub(crate) fn bearer(&self, granted: &Granted, reply: &Reply) -> Result<HeaderValue, Failure> {
        let text = format!("Bearer {}", granted.access_token.reveal());
        let mut header = HeaderValue::try_from(text).map_err(|_| self.no_token(reply))?;
        header.set_sensitive(true);
        Ok(header)
    }

    /// What an answer that does not agree says, without the secrets of the request should it repeat them; `Err` where it is
    /// to be asked again, or comes from something else.
    pub(crate) fn refused(&self, request: &Request, reply: &Reply) -> Result<Refused, Failure> {
        let Self { account, help, .. } = self;
        let (status, host) = (reply.status, self.host());
        let body = Bytes::from(without_secrets(&request.body, &String::from_utf8_lossy(&reply.body)));
        let refused = Refused::of(&body);
        let is_later =
            refused.as_ref().is_some_and(|said| matches!(&*said.error, "temporarily_unavailable" | "server_error"));
        if is_later || status.is_server_error() || matches!(status.as_u16(), 408 | 420 | 429) {
            let class = if status.as_u16() == 429 { Class::Quota } else { Class::Transient };
            return Err(self.later(class, refused.as_ref(), status));
        }
        refused.ok_or_else(|| {
            let excerpt = Reply { body, ..reply.clone() }.excerpt();
            let message = format!("{account}: the login at {host} answered {status}: {excerpt}");
            Failure::new(Class::Auth, message).help(*help)
        })
    }

    /// Whether an answer gives no token and says why, whatever its status.
    pub(crate) fn is_refusal(&self, reply: &Reply) -> bool {
        !reply.status.is_success() || self.granted(reply).is_err() && Refused::of(&reply.body).is_some()
    }

    /// A refusal that passes by itself.
    pub(crate) fn later(&self, class: Class, refused: Option<&Refused>, status: StatusCode) -> Failure {
        let said = refused.map_or_else(|| format!("answered {status}"), |refused| refused.first_line().to_owned());
        Failure::new(class, format!("{}: the login at {} is not possible now: {said}", self.account, self.host()))
    }

    pub(crate) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// The answer's text is not shown: it may hold a token that we did not understand.
    fn no_token(&self, reply: &Reply) -> Failure {
        let (account, host) = (self.account, self.host());
        let (bytes, kind) = (reply.body.len(), reply.media_type());
        Failure::new(Class::Transient, format!("{account}: {host} answered without a token ({bytes} bytes of {kind})"))
            .help(self.help)
    }
}

/// A text without what a form says in secret, as it is and as the form writes it.
fn without_secrets(form: &[u8], text: &str) -> String {
    let secrets =
        form_urlencoded::parse(form).filter(|(name, secret)| SECRETS.contains(&&**name) && !secret.is_empty());
    secrets.fold(text.to_owned(), |text, (_, secret)| {
        let written: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        text.replace(&*secret, "…").replace(&written, "…")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_shown_neither_of_a_request_nor_of_an_answer_that_repeats_it() {
        let url = Url::parse("https://login.example.com/token").unwrap();
        let endpoint = Endpoint { account: "sf", url: &url, help: "" };
        let form = "grant_type=password&username=u&password=h1d%26den&client_id=c&client_secret=s3cret";
        let request = endpoint.ask(form.to_owned());
        let reply =
            |body: String| Reply { status: StatusCode::BAD_REQUEST, headers: HeaderMap::new(), body: body.into() };
        let as_it_is = "h1d&den does not go with s3cret";

        let repeated = reply(format!("<p>{}</p>{form}", "x".repeat(40)));
        assert!(!format!("{request:?}{repeated:?}").contains("s3cret"), "{request:?} {repeated:?}");
        let failure = endpoint.refused(&request, &repeated).unwrap_err();
        assert!(failure.message.contains("password=…&client_id=c&client_secret=…"), "{failure}");
        let refused = reply(format!(r#"{{"error":"invalid_grant","error_description":"{as_it_is}"}}"#));
        let refused = endpoint.refused(&request, &refused).unwrap();
        assert_eq!(refused.error_description, "… does not go with …");
    }
}
