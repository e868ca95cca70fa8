//! One request to Dataverse: its headers, its token, the answer's meaning.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::failure::{Class, Failure};
use engine::outside::clock::Clock;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::account::DynamicsAccount;
use super::login::Login;
use super::multipart::{self, Part};
use super::{error, metadata};
use crate::http::{
    Gate, Http, Judge, Refusal, Repeat, Reply, Request, at_rest, header_text, retry_after_s, whole_number,
};
use crate::secret::{Secret, SecretSource};

/// The longest address of a request; a longer one goes within a batch, where 64 KiB are allowed.
pub(super) const URL_CHARS_MAX: usize = 2_000;

/// Separates the requests of a batch; longer than chance, and the same for the same bytes.
const BOUNDARY: &str = "batch_6d1f0b9e3a754c2f8e5d7c4b1a09f823";
const BATCH_TYPE: &str = "multipart/mixed; boundary=\"batch_6d1f0b9e3a754c2f8e5d7c4b1a09f823\"";

/// What is left of [`REQUESTS_MAX`] in [`WINDOW`].
pub(super) const REQUESTS_LEFT: &str = "x-ms-ratelimit-burst-remaining-xrm-requests";
/// What is left of the time of execution, in seconds.
pub(super) const TIME_LEFT: &str = "x-ms-ratelimit-time-remaining-xrm-requests";
/// Requests of one user that Dataverse allows in [`WINDOW`].
pub(super) const REQUESTS_MAX: u64 = 6_000;
/// Seconds of execution that it allows.
pub(super) const TIME_MAX_S: u64 = 1_200;
/// The time over which Dataverse adds requests up.
const WINDOW: Duration = Duration::from_secs(300);

/// Of every `GET` within a batch.
pub(super) const GET_HEADERS: &[&str] = &["Accept: application/json", "OData-MaxVersion: 4.0", "OData-Version: 4.0"];

/// A login that works, or that will be tried with the first request.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) http: Arc<Http>,
    pub(super) login: Arc<Login>,
    /// Ends with a slash; the token goes nowhere else.
    pub(super) root: Url,
    /// The names of objects, asked for once.
    pub(super) names: tokio::sync::Mutex<Option<metadata::Names>>,
    /// Objects that fields of others lead to, described a short while ago.
    pub(super) related: tokio::sync::Mutex<metadata::Related>,
    /// Messages such as `contacts/Microsoft.Dynamics.CRM.CreateMultiple` that the environment has shown not to have.
    without_multiple: Mutex<HashSet<String>>,
}

impl Session {
    pub(super) fn new(
        name: &str,
        account: DynamicsAccount,
        resolve: impl FnOnce(&SecretSource) -> Result<Secret, Failure>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Failure> {
        let root = account.root(name)?;
        let login = Arc::new(Login::new(account.credentials(name, &root, resolve)?));
        let http = Arc::new(Http::new(name, account.limits, account.proxy.as_deref(), clock)?);
        let (names, related) = (tokio::sync::Mutex::default(), tokio::sync::Mutex::default());
        Ok(Self { http, login, root, names, related, without_multiple: Mutex::default() })
    }

    /// The account's name.
    pub(super) fn account(&self) -> &str {
        self.http.account()
    }

    /// Whether a message for many records has turned out to be missing.
    pub(super) fn is_without_multiple(&self, message: &str) -> bool {
        self.without_multiple.lock().unwrap_or_else(PoisonError::into_inner).contains(message)
    }

    pub(super) fn note_without_multiple(&self, message: String) {
        self.without_multiple.lock().unwrap_or_else(PoisonError::into_inner).insert(message);
    }

    /// An address beneath the service root, from a path and query that need no further encoding.
    pub(super) fn address(&self, relative: &str) -> Result<Url, Failure> {
        let url = self
            .root
            .join(relative)
            .map_err(|error| Failure::internal(format!("{}: {relative} is not an address: {error}", self.account())))?;
        if self.owns(&url) { Ok(url) } else { Err(self.foreign(&url)) }
    }

    /// An address that the CRM points to, such as that of the next page.
    pub(super) fn linked(&self, link: &str) -> Result<Url, Failure> {
        self.root.join(link).map_err(|error| {
            Failure::new(Class::Config, format!("{}: a link of the CRM is no address: {error}", self.account()))
                .help("a proxy may change the CRM's answers; if none does, show this message to Microsoft's support")
        })
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

    /// An address beneath the service root without that root, as it is kept and put together again.
    pub(super) fn relative<'a>(&self, url: &'a Url) -> Result<&'a str, Failure> {
        if self.owns(url) { Ok(&url.as_str()[self.root.as_str().len()..]) } else { Err(self.foreign(url)) }
    }

    /// Sends a request. The token is renewed once where it is refused.
    pub(super) async fn send(&self, request: Request, judge: Judge<'_>) -> Result<Reply, Refusal> {
        self.send_through(None, request, judge).await
    }

    /// The same; the gate records when it is under way.
    pub(super) async fn send_through(
        &self,
        gate: Option<&dyn Gate>,
        mut request: Request,
        judge: Judge<'_>,
    ) -> Result<Reply, Refusal> {
        if !self.owns(&request.url) {
            return Err(self.foreign(&request.url).into());
        }
        let noted = |reply: &Reply| {
            self.note(&reply.headers);
            judge(reply)
        };
        let judge: Judge<'_> = &noted;
        let token = at_rest(gate, self.login.token(&self.http)).await??;
        request.headers.insert(AUTHORIZATION, token.header.clone());
        let refusal = match self.http.send_through(gate, &request, judge).await {
            Err(refusal) if refusal.status == Some(StatusCode::UNAUTHORIZED) => refusal,
            end => return end,
        };
        tracing::debug!(account = self.account(), failure = %refusal.failure, "the token is not accepted any more");
        let token = at_rest(gate, self.login.renew(&self.http, &token)).await??;
        request.headers.insert(AUTHORIZATION, token.header.clone());
        self.http.send_through(gate, &request, judge).await
    }

    /// What Dataverse says beside its answers: how many requests at once it thinks best, and how many are left.
    fn note(&self, headers: &HeaderMap) {
        if let Some(lanes) = number(headers, "x-ms-dop-hint").and_then(|lanes| u32::try_from(lanes).ok()) {
            self.http.hint_lanes(lanes);
        }
        if let Some(left) = number(headers, REQUESTS_LEFT) {
            self.http.note_allowance(REQUESTS_MAX, left, WINDOW);
        }
    }

    /// Reads an address; `what` says in messages what for. One that is too long for a request line goes in a batch.
    pub(super) async fn get(
        &self,
        url: Url,
        prefer: Option<HeaderValue>,
        what: &str,
        also: Judge<'_>,
    ) -> Result<Reply, Failure> {
        self.get_repeating(Repeat::Always, url, prefer, what, also).await
    }

    /// The same, sent again by another rule.
    pub(super) async fn get_repeating(
        &self,
        repeat: Repeat,
        url: Url,
        prefer: Option<HeaderValue>,
        what: &str,
        also: Judge<'_>,
    ) -> Result<Reply, Failure> {
        if url.as_str().len() > URL_CHARS_MAX {
            return self.get_long(repeat, &url, prefer, what, also).await;
        }
        let request = Request { headers: headers(prefer), repeat, ..Request::get(url) };
        let judge = |reply: &Reply| error::judge(self.account(), what, reply).and_then(|()| also(reply));
        self.send(request, &judge).await.map_err(|refusal| refusal.failure)
    }

    async fn get_long(
        &self,
        repeat: Repeat,
        url: &Url,
        prefer: Option<HeaderValue>,
        what: &str,
        also: Judge<'_>,
    ) -> Result<Reply, Failure> {
        let path = format!("{}{}", self.root.path(), self.relative(url)?);
        let prefer = prefer.as_ref().and_then(|value| value.to_str().ok()).map(|value| format!("Prefer: {value}"));
        let headers: Vec<&str> = GET_HEADERS.iter().copied().chain(prefer.as_deref()).collect();
        let part = Part { method: "GET", path, headers: &headers, body: &[] };
        let judge = |reply: &Reply| error::judge(self.account(), what, reply).and_then(|()| also(reply));
        let mut replies = self.batch(&[part], what, repeat, &judge).await.map_err(|refusal| refusal.failure)?;
        replies.pop().ok_or_else(|| Failure::internal("a batch without answers"))
    }

    /// Sends several requests in one and gives their answers in order; each must please `judge`, or the batch as a whole
    /// is refused as that one was.
    pub(super) async fn batch(
        &self,
        parts: &[Part<'_>],
        what: &str,
        repeat: Repeat,
        judge: Judge<'_>,
    ) -> Result<Vec<Reply>, Refusal> {
        self.batch_through(None, parts, what, repeat, judge).await
    }

    /// The same; the gate records when it is under way.
    pub(super) async fn batch_through(
        &self,
        gate: Option<&dyn Gate>,
        parts: &[Part<'_>],
        what: &str,
        repeat: Repeat,
        judge: Judge<'_>,
    ) -> Result<Vec<Reply>, Refusal> {
        let body = multipart::write(BOUNDARY, parts);
        let mut headers = headers(Some(HeaderValue::from_static("odata.continue-on-error")));
        headers.insert(ACCEPT, HeaderValue::from_static("multipart/mixed"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(BATCH_TYPE));
        let request = Request { method: Method::POST, url: self.address("$batch")?, headers, body, repeat };
        let count = parts.len();
        let found: Mutex<Vec<Reply>> = Mutex::default();
        let all = |reply: &Reply| {
            error::judge(self.account(), what, reply)?;
            let replies = multipart::read(reply).and_then(|replies| match replies.len() {
                answers if answers == count => Ok(replies),
                answers => Err(format!("it has {answers} answers to {count} requests")),
            });
            let replies = replies.map_err(|reason| {
                let mut failure = self.no_sense(what, reply);
                failure.message = format!("{} ({reason})", failure.message);
                Refusal { doubtful: true, ..failure.into() }
            })?;
            for reply in &replies {
                judge(reply).map_err(|mut refusal| {
                    refusal.failure.retry_after_s =
                        refusal.failure.retry_after_s.or_else(|| retry_after_s(&reply.headers));
                    refusal
                })?;
            }
            *found.lock().unwrap_or_else(PoisonError::into_inner) = replies;
            Ok(())
        };
        self.send_through(gate, request, &all).await?;
        Ok(found.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads a small list, with the pages that follow it.
    pub(super) async fn get_list<T: DeserializeOwned>(&self, relative: &str, what: &str) -> Result<Vec<T>, Failure> {
        #[derive(Deserialize)]
        struct List<T> {
            value: Vec<T>,
            #[serde(rename = "@odata.nextLink")]
            next: Option<String>,
        }
        let (mut all, mut next, mut seen) = (Vec::new(), Some(relative.to_owned()), HashSet::new());
        while let Some(link) = next {
            if !seen.insert(link.clone()) {
                return Err(self.circle(what));
            }
            let list: List<T> = self.get_json(&link, what).await?;
            all.extend(list.value);
            next = list.next;
        }
        Ok(all)
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
        self.parse(what, &reply)
    }

    /// Reads a small JSON answer that came.
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
            .help("restart the activity; if it happens again, order by another field")
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

/// A header that is a number, such as `1,200.00`.
pub(super) fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    whole_number(header_text(headers, name)?)
}

pub(super) fn headers(prefer: Option<HeaderValue>) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(6);
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(HeaderName::from_static("odata-maxversion"), HeaderValue::from_static("4.0"));
    headers.insert(HeaderName::from_static("odata-version"), HeaderValue::from_static("4.0"));
    if let Some(prefer) = prefer {
        headers.insert(HeaderName::from_static("prefer"), prefer);
    }
    headers
}
