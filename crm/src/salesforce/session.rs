//! One request to Salesforce: its token, where it may go, the answer's meaning.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use engine::failure::{Class, Failure};
use engine::outside::clock::Clock;
use engine::outside::crm::Object;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use serde::de::{DeserializeOwned, IgnoredAny};
use url::Url;

use super::account::{BulkLimits, SalesforceAccount};
use super::error;
use super::login::{Login, Token};
use super::quota::{self, Limit};
use crate::http::{Gate, Http, Judge, Refusal, Repeat, Reply, Request, at_rest, clip};
use crate::secret::Vault;

/// Beneath which everything lies to which a token goes.
const SERVICES: &str = "/services/data/";
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(super) const CSV: HeaderValue = HeaderValue::from_static("text/csv");

/// A login that works, or that will be tried with the first request.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) http: Arc<Http>,
    pub(super) login: Arc<Login>,
    /// The account's address.
    pub(super) root: Url,
    /// Such as `v67.0`.
    pub(super) version: String,
    pub(super) bulk: BulkLimits,
    /// Objects that paths of related records have led to.
    pub(super) related: tokio::sync::Mutex<BTreeMap<String, Arc<Object>>>,
}

/// A request, before it has a token.
#[derive(Clone)]
pub(super) struct Ask {
    method: Method,
    /// Beneath the version, such as `sobjects`; or from `/services/data/` on.
    path: String,
    headers: HeaderMap,
    body: Bytes,
    repeat: Repeat,
}

impl Ask {
    /// A `GET`; the path needs no further encoding.
    pub(super) fn get(path: impl Into<String>) -> Self {
        let headers = HeaderMap::from_iter([(ACCEPT, JSON)]);
        Self { method: Method::GET, path: path.into(), headers, body: Bytes::new(), repeat: Repeat::Always }
    }

    /// With a method and a body of JSON.
    pub(super) fn json(method: Method, path: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self { method, body: body.into(), ..Self::get(path) }.header(CONTENT_TYPE, JSON)
    }

    /// With another method.
    pub(super) fn method(self, method: Method) -> Self {
        Self { method, ..self }
    }

    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    pub(super) fn repeat(self, repeat: Repeat) -> Self {
        Self { repeat, ..self }
    }
}

/// Accepts what `error::judge` accepts.
pub(super) fn any(_: &Reply) -> Result<(), Refusal> {
    Ok(())
}

impl Session {
    pub(super) fn new(
        name: &str,
        account: SalesforceAccount,
        vault: &Arc<dyn Vault>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Failure> {
        let (root, version) = (account.root(name)?, account.version(name)?);
        let login = Arc::new(Login::new(account.credentials(name, &root, vault)?, root.clone()));
        let http = Arc::new(Http::new(name, account.limits, account.proxy.as_deref(), clock)?);
        Ok(Self { http, login, root, version, bulk: account.bulk, related: tokio::sync::Mutex::default() })
    }

    /// The account's name.
    pub(super) fn account(&self) -> &str {
        self.http.account()
    }

    /// The path of everything of this version.
    pub(super) fn base(&self) -> String {
        format!("{SERVICES}{}/", self.version)
    }

    /// Sends it; `what` says in messages what for. The token is renewed once where it is refused, in the midst of
    /// anything.
    pub(super) async fn send(&self, ask: &Ask, what: &str, also: Judge<'_>) -> Result<Reply, Failure> {
        self.send_through(None, ask, what, also).await
    }

    /// The same; the gate records when it is under way.
    pub(super) async fn send_through(
        &self,
        gate: Option<&dyn Gate>,
        ask: &Ask,
        what: &str,
        also: Judge<'_>,
    ) -> Result<Reply, Failure> {
        let judge = |reply: &Reply| {
            quota::note(&self.http, &reply.headers);
            error::judge(self.account(), what, reply).and_then(|()| also(reply))
        };
        let token = at_rest(gate, self.login.token(&self.http)).await??;
        let refusal = match self.http.send_through(gate, &self.request(ask, &token)?, &judge).await {
            Ok(reply) => return Ok(reply),
            Err(refusal) => refusal,
        };
        if refusal.status != Some(StatusCode::UNAUTHORIZED) && !error::is_about_session(&refusal.failure) {
            return Err(refusal.failure);
        }
        let token = at_rest(gate, self.login.renew(&self.http, &token)).await??;
        let request = self.request(ask, &token)?;
        self.http.send_through(gate, &request, &judge).await.map_err(|refusal| refusal.failure)
    }

    fn request(&self, ask: &Ask, token: &Token) -> Result<Request, Failure> {
        let path = if ask.path.starts_with('/') { ask.path.clone() } else { format!("{}{}", self.base(), ask.path) };
        let joined = token.instance.join(&path);
        // A link to the next page comes from the CRM.
        let url = joined.map_err(|error| {
            let message =
                format!("{}: the CRM points to `{}`, which is no address: {error}", self.account(), clip(&path));
            Failure::new(Class::Config, message).help("a proxy may change the CRM's answers")
        })?;
        if url.origin() != token.instance.origin() || !url.path().starts_with(SERVICES) {
            let place = url.host_str().unwrap_or_default().to_owned() + url.path();
            return Err(Failure::new(
                Class::Config,
                format!("{}: the CRM points to {place}, where the token must not go", self.account()),
            ));
        }
        let mut headers = ask.headers.clone();
        headers.insert(AUTHORIZATION, token.header.clone());
        Ok(Request { method: ask.method.clone(), url, headers, body: ask.body.clone(), repeat: ask.repeat })
    }

    /// Sends it and reads a small JSON answer.
    pub(super) async fn json<T: DeserializeOwned>(&self, ask: &Ask, what: &str) -> Result<T, Failure> {
        let is_json = |reply: &Reply| self.require_json(what, reply);
        let reply = self.send(ask, what, &is_json).await?;
        self.parse(what, &reply)
    }

    /// Reads a small JSON answer.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str, what: &str) -> Result<T, Failure> {
        self.json(&Ask::get(path), what).await
    }

    /// A cut answer is worth asking again for, unless what was sent took hold.
    pub(super) fn require_json(&self, what: &str, reply: &Reply) -> Result<(), Refusal> {
        match serde_json::from_slice::<IgnoredAny>(&reply.body) {
            Ok(_) => Ok(()),
            Err(_) => Err(Refusal { doubtful: true, ..self.no_sense(what, reply).into() }),
        }
    }

    pub(super) fn parse<T: DeserializeOwned>(&self, what: &str, reply: &Reply) -> Result<T, Failure> {
        serde_json::from_slice(&reply.body).map_err(|error| {
            let mut failure = self.no_sense(what, reply);
            failure.class = Class::Config;
            failure.message = format!("{}: {error}", failure.message);
            failure
        })
    }

    /// A link that leads to a page that was read before.
    pub(super) fn circle(&self, what: &str) -> Failure {
        Failure::new(Class::Config, format!("{}: {what}: the CRM's pages lead in a circle", self.account()))
            .help("restart the activity")
    }

    /// An answer that is not what it says: a proxy's page, a cut one.
    pub(super) fn no_sense(&self, what: &str, reply: &Reply) -> Failure {
        let excerpt = reply.excerpt();
        let message = format!("{}: {what}: the answer makes no sense: {excerpt}", self.account());
        Failure::new(Class::Transient, message)
            .help("a proxy or firewall between here and the organisation may have answered in its place")
    }

    /// The organisation's id, as the login said it.
    pub(super) async fn organisation(&self) -> Result<Option<String>, Failure> {
        Ok(self.login.token(&self.http).await?.organisation.clone())
    }

    /// The organisation's allowances. Where no request of the day is left, there is no answer but that, and no waiting for one.
    pub(super) async fn limits(&self) -> Result<BTreeMap<String, Limit>, Failure> {
        let ask = Ask::get("limits").repeat(Repeat::UnlessSpent);
        let all: BTreeMap<String, serde_json::Value> = match self.json(&ask, "asking for the limits").await {
            Ok(all) => all,
            Err(failure) if failure.class == Class::Quota => {
                let spent = quota::spent(&self.http).ok_or(failure)?;
                return Ok(BTreeMap::from([(quota::REQUESTS_A_DAY.to_owned(), spent)]));
            }
            Err(failure) => return Err(failure),
        };
        let read = |(name, value)| Some((name, serde_json::from_value(value).ok()?));
        Ok(all.into_iter().filter_map(read).collect())
    }
}
