//! What a token endpoint is sent and answers, by OAuth 2.0 (RFC 6749, section 5).

use bytes::Bytes;
use engine::failure::{Class, Failure};
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::Deserialize;
use url::Url;

use crate::http::{Reply, Request};
use crate::secret::Secret;

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

    /// What an answer that does not agree says; `Err` where it is to be asked again, or comes from something else.
    pub(crate) fn refused(&self, reply: &Reply) -> Result<Refused, Failure> {
        let Self { account, help, .. } = self;
        let (status, host) = (reply.status, self.host());
        let refused = serde_json::from_slice::<Refused>(&reply.body).ok().filter(|refused| !refused.error.is_empty());
        let is_later =
            refused.as_ref().is_some_and(|said| matches!(&*said.error, "temporarily_unavailable" | "server_error"));
        if is_later || status.is_server_error() || matches!(status.as_u16(), 408 | 420 | 429) {
            let class = if status.as_u16() == 429 { Class::Quota } else { Class::Transient };
            return Err(Failure::new(class, format!("{account}: the login at {host} answered {status}")));
        }
        refused.ok_or_else(|| {
            let message = format!("{account}: the login at {host} answered {status}: {}", reply.excerpt());
            Failure::new(Class::Auth, message).help(*help)
        })
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
