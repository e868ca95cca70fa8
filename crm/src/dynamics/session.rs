//! One request to Dataverse: its headers, its token, the answer's meaning.

use engine::failure::{Class, Failure};
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use serde::de::DeserializeOwned;
use url::Url;

use super::account::DynamicsAccount;
use super::{error, metadata};
use crate::http::{Http, Refusal, Reply, Request};
use crate::oauth::Login;
use crate::secret::{Secret, SecretSource};

/// A login that works, or that will be tried with the first request.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) http: Http,
    pub(super) login: Login,
    /// Ends with a slash; the token goes nowhere else.
    pub(super) root: Url,
    /// The names of objects, asked for once.
    pub(super) names: tokio::sync::Mutex<Option<metadata::Names>>,
}

impl Session {
    pub(super) fn new(
        name: &str,
        account: DynamicsAccount,
        resolve: impl FnOnce(&SecretSource) -> Result<Secret, Failure>,
    ) -> Result<Self, Failure> {
        let root = account.root(name)?;
        let login = Login::new(account.credentials(name, &root, resolve)?);
        let http = Http::new(name, account.limits, account.proxy.as_deref())?;
        Ok(Self { http, login, root, names: tokio::sync::Mutex::default() })
    }

    /// The account's name.
    pub(super) fn account(&self) -> &str {
        self.http.account()
    }

    /// An address beneath the service root, from a path and query that need no further encoding.
    pub(super) fn address(&self, relative: &str) -> Result<Url, Failure> {
        let url = self
            .root
            .join(relative)
            .map_err(|error| Failure::internal(format!("{}: {relative} is not an address: {error}", self.account())))?;
        if self.owns(&url) { Ok(url) } else { Err(self.foreign(&url)) }
    }

    /// Whether the address is on the account's own scheme, host and port and beneath its service root.
    pub(super) fn owns(&self, url: &Url) -> bool {
        url.origin() == self.root.origin()
            && url.path().starts_with(self.root.path())
            && url.username().is_empty()
            && url.password().is_none()
    }

    /// An address to which the token must not go.
    pub(super) fn foreign(&self, url: &Url) -> Failure {
        let (there, own) = (url.origin().ascii_serialization(), self.root.origin().ascii_serialization());
        let place = if there == own { url.path().to_owned() } else { there };
        Failure::new(
            Class::Config,
            format!("{}: the CRM points to {place}, which is not beneath {}", self.account(), self.root),
        )
        .help("write the address that the environment uses of itself into the account's `url`")
    }

    /// Reads an address; `what` says in messages what for. The token is renewed once where it is refused.
    pub(super) async fn get(
        &self,
        url: Url,
        prefer: Option<HeaderValue>,
        what: &str,
        also: &(dyn Fn(&Reply) -> Result<(), Refusal> + Send + Sync),
    ) -> Result<Reply, Failure> {
        if !self.owns(&url) {
            return Err(self.foreign(&url));
        }
        let mut request = Request { headers: headers(prefer), ..Request::get(url) };
        let judge = |reply: &Reply| error::judge(self.account(), what, reply).and_then(|()| also(reply));
        let token = self.login.token(&self.http).await?;
        request.headers.insert(AUTHORIZATION, token.header.clone());
        let refusal = match self.http.send(&request, &judge).await {
            Ok(reply) => return Ok(reply),
            Err(refusal) => refusal,
        };
        if refusal.status != Some(StatusCode::UNAUTHORIZED) {
            return Err(refusal.failure);
        }
        let token = self.login.renew(&self.http, &token).await?;
        request.headers.insert(AUTHORIZATION, token.header.clone());
        self.http.send(&request, &judge).await.map_err(|refusal| refusal.failure)
    }

    /// Reads a small JSON answer.
    pub(super) async fn get_json<T: DeserializeOwned>(&self, relative: &str, what: &str) -> Result<T, Failure> {
        let url = self.address(relative)?;
        let is_json = |reply: &Reply| -> Result<(), Refusal> {
            match serde_json::from_slice::<serde::de::IgnoredAny>(&reply.body) {
                Ok(_) => Ok(()),
                Err(_) => Err(self.no_sense(what, reply).into()),
            }
        };
        let reply = self.get(url, None, what, &is_json).await?;
        serde_json::from_slice(&reply.body).map_err(|error| {
            let mut failure = self.no_sense(what, &reply);
            failure.class = Class::Config;
            failure.message = format!("{}: {error}", failure.message);
            failure
        })
    }

    /// An answer that is not what it says: a proxy's page, a cut one.
    pub(super) fn no_sense(&self, what: &str, reply: &Reply) -> Failure {
        Failure::new(
            Class::Transient,
            format!("{}: {what}: the answer makes no sense: {}", self.account(), reply.excerpt()),
        )
        .help("a proxy or a login page may stand between Campanile and the CRM; check the account's `url`")
    }
}

fn headers(prefer: Option<HeaderValue>) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(6);
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(HeaderName::from_static("odata-maxversion"), HeaderValue::from_static("4.0"));
    headers.insert(HeaderName::from_static("odata-version"), HeaderValue::from_static("4.0"));
    if let Some(prefer) = prefer {
        headers.insert(HeaderName::from_static("prefer"), prefer);
    }
    headers
}
