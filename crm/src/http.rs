//! The one HTTP client of an account: limits, retries, and what failed in an operator's words.
//!
//! A system says by a [`Judge`] what an answer means, its own error code first, then the status. This module knows
//! only what is common: that a transient failure is worth another attempt, how long to wait for it, and how much of
//! anything is too much.

mod budget;
mod gate;
mod header;
mod lanes;
mod limits;
mod retry;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use engine::failure::{Class, Failure};
use engine::outside::clock::{Clock, within};
use engine::progress::{is_task, pause};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Client, Method, Proxy, StatusCode, redirect};
use tokio::time::Instant;
use url::{Host, Url};

pub use limits::{Limits, QuotaPercent, Span};
pub use retry::{RETRY_AFTER_S_MAX, Waits};

pub(crate) use gate::{Gate, at_rest};
pub(crate) use header::{date, text as header_text, whole_number};
pub(crate) use retry::retry_after_s;

use budget::Budget;
use lanes::Lanes;

/// The target of what the log says of long waits outside of runs, which people see without asking for a log. The waits of a
/// run show in its progress.
pub const WAITS: &str = "waits";
/// A shorter wait for another attempt is not logged so.
const WAIT_LOGGED_MIN: Duration = Duration::from_secs(5);

/// How much of an answer that makes no sense is shown in a message, in characters.
const EXCERPT_CHARS_MAX: usize = 120;
/// The longest part of a system's own message that is kept, in characters.
const MESSAGE_CHARS_MAX: usize = 600;

/// A request. Its `Debug` shows no more of it than may be logged.
#[derive(Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Where to; its query may hold personal data and is not logged.
    pub url: Url,
    /// Headers; `Authorization` must be marked as sensitive.
    pub headers: HeaderMap,
    /// The body; empty for none.
    pub body: Bytes,
    /// When it may be sent again.
    pub repeat: Repeat,
}

/// When a request may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// Always: a read, or a write that is the same when repeated.
    Always,
    /// Only if it surely took no hold: it did not leave, or the system itself refused it as a whole. Otherwise the end is
    /// `Class::InDoubt`.
    IfRefused,
    /// Always, but an allowance that is used up is an answer: it waits for none.
    UnlessSpent,
    /// Only after an answer, for what plans or explains something: no answer is not worth another wait.
    IfAnswered,
}

impl Request {
    /// A `GET` without headers.
    pub fn get(url: Url) -> Self {
        Self { method: Method::GET, url, headers: HeaderMap::new(), body: Bytes::new(), repeat: Repeat::Always }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.url.host_str().unwrap_or_default();
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("host", &host)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// A whole answer. Its `Debug` shows nothing of the body: it may hold a token or personal data.
#[derive(Clone)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, decompressed.
    pub body: Bytes,
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("status", &self.status)
            .field("media_type", &self.media_type())
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl Reply {
    /// The media type, such as `application/json`, in lower case.
    pub fn media_type(&self) -> String {
        let value = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    /// What came, for a message about an answer that makes no sense: length, type and the beginning.
    pub fn excerpt(&self) -> String {
        let media_type = self.media_type();
        let kind = if media_type.is_empty() { "no content type" } else { &media_type };
        let head = &self.body[..self.body.len().min(4 * EXCERPT_CHARS_MAX)];
        let text = in_a_line(&String::from_utf8_lossy(head), EXCERPT_CHARS_MAX);
        format!("{} bytes, {kind}, beginning with `{}`", self.body.len(), text.trim())
    }
}

/// Why an answer is not what was asked for.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// What it means; `Class::Transient` and `Class::Quota` are tried again.
    pub failure: Failure,
    /// The status, where there was an answer.
    pub status: Option<StatusCode>,
    /// Whether the system complains of too many requests at the same time, so that fewer are sent from now on.
    pub crowded: bool,
    /// Whether it may have taken hold all the same: it left, and the system itself did not answer that it refuses it.
    pub doubtful: bool,
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self { failure, status: None, crowded: false, doubtful: false }
    }
}

/// Says what an answer means in a system's own terms; `Ok` where it is what was asked for.
pub type Judge<'a> = &'a (dyn Fn(&Reply) -> Result<(), Refusal> + Send + Sync);

/// The client of one account. All its requests share these limits.
#[derive(Debug)]
pub struct Http {
    account: String,
    client: Client,
    limits: Limits,
    lanes: Lanes,
    budget: Budget,
    sent: AtomicU64,
    hides_paths: bool,
}

impl Http {
    /// A client for this account; `proxy` is used for every request, the environment's proxy settings are not.
    ///
    /// # Errors
    /// `Class::Config` where the proxy is not an address.
    pub fn new(account: &str, limits: Limits, proxy: Option<&str>, clock: Arc<dyn Clock>) -> Result<Self, Failure> {
        install_tls();
        let config = |error: reqwest::Error| {
            Failure::new(Class::Config, format!("the HTTP client of {account} cannot be set up: {}", chain(&error)))
        };
        // A redirect could carry the token to another host; no CRM needs one.
        let mut builder = Client::builder()
            .user_agent(concat!("campanile/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(limits.connect_timeout.0)
            .tcp_nodelay(true);
        if let Some(proxy) = proxy {
            builder = builder.proxy(Proxy::all(proxy).map_err(config)?);
        }
        let client = builder.build().map_err(config)?;
        let lanes = Lanes::new(limits.requests_at_once);
        let budget = Budget::new(limits.quota_percent.map(QuotaPercent::get), clock);
        Ok(Self {
            account: account.to_owned(),
            client,
            limits,
            lanes,
            budget,
            sent: AtomicU64::new(0),
            hides_paths: false,
        })
    }

    /// Keeps the paths of addresses out of the log, where whoever knows one may use it.
    #[must_use]
    pub fn hiding_paths(self) -> Self {
        Self { hides_paths: true, ..self }
    }

    /// The account's name, for messages.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Requests that were sent since the start of this process, those of logins and repeated ones included.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Requests that may be under way at the same time now.
    pub fn lanes(&self) -> u32 {
        self.lanes.open()
    }

    /// The system says how many requests at the same time it thinks best.
    pub fn hint_lanes(&self, lanes: u32) {
        self.lanes.hinted(lanes);
    }

    /// The system says how much is left of the allowance of which [`Limits::quota_percent`] is a share.
    pub fn note_allowance(&self, max: u64, left: u64, window: Duration) {
        self.budget.note(max, left, window);
    }

    /// The most of the allowance, as the system told it last.
    pub fn allowance_max(&self) -> Option<u64> {
        self.budget.max()
    }

    /// Sends a request until its answer is accepted, refused for good, or the retries are used up.
    ///
    /// # Errors
    /// The last refusal. `Class::Transient` without a status where no answer came; `Class::Limit` where it was too large.
    pub async fn send(&self, request: &Request, judge: Judge<'_>) -> Result<Reply, Refusal> {
        self.send_through(None, request, judge).await
    }

    /// Sends a request as [`Http::send`] does; the gate records when it is under way.
    pub(crate) async fn send_through(
        &self,
        gate: Option<&dyn Gate>,
        request: &Request,
        judge: Judge<'_>,
    ) -> Result<Reply, Refusal> {
        let mut waits = Waits::new(&self.limits);
        loop {
            // A small future for all that waits for an answer.
            let mut refusal = match Box::pin(self.attempt(gate, request, judge)).await {
                Ok(reply) => return Ok(reply),
                Err(refusal) => refusal,
            };
            if refusal.doubtful && request.repeat == Repeat::IfRefused {
                refusal.failure.class = Class::InDoubt;
                return Err(refusal);
            }
            if refusal.doubtful && request.repeat == Repeat::IfAnswered {
                return Err(refusal);
            }
            if request.repeat == Repeat::UnlessSpent && refusal.failure.class == Class::Quota && !refusal.crowded {
                return Err(refusal);
            }
            let Some(wait) = waits.next(&refusal.failure) else {
                if waits.attempts() > 1 {
                    let message = format!("{}, after {} attempts", refusal.failure.message, waits.attempts());
                    refusal.failure.message = message;
                }
                return Err(refusal);
            };
            let (account, path) = (&self.account, self.path(request));
            tracing::warn!(account, path, failure = %refusal.failure, wait_ms = millis(wait), "trying again");
            if wait >= WAIT_LOGGED_MIN && !is_task() {
                tracing::warn!(target: WAITS, "{}; next try in {} s", refusal.failure, wait.as_secs());
            }
            at_rest(gate, pause(refusal.failure.to_string(), wait, Some(waits.attempts()))).await?;
        }
    }

    /// One attempt, within the time and the lanes that the account has.
    async fn attempt(&self, gate: Option<&dyn Gate>, request: &Request, judge: Judge<'_>) -> Result<Reply, Refusal> {
        let turn = async {
            if request.repeat != Repeat::UnlessSpent {
                self.budget.wait(&self.account).await;
            }
            self.lanes.enter().await
        };
        let lane = at_rest(gate, turn).await?;
        if let Some(gate) = gate {
            gate.leaves().await?;
        }
        self.sent.fetch_add(1, Ordering::Relaxed);
        let begin = Instant::now();
        let total = self.limits.total_timeout.0;
        let outcome = match within(total, Box::pin(self.exchange(request))).await {
            Some(outcome) => outcome,
            None => Err(doubtful(self.too_slow(request, "did not finish its answer", total))),
        };
        let (account, method, path) = (&self.account, request.method.as_str(), self.path(request));
        let ms = millis(begin.elapsed());
        let reply = match outcome {
            Ok(reply) => reply,
            Err(refusal) => {
                tracing::debug!(account, method, path, ms, failure = %refusal.failure, "no answer");
                return Err(refusal);
            }
        };
        tracing::debug!(account, method, path, ms, status = reply.status.as_u16(), bytes = reply.body.len(), "answer");
        match judge(&reply) {
            Ok(()) => {
                self.lanes.answered(begin.elapsed());
                Ok(reply)
            }
            Err(mut refusal) => {
                if refusal.crowded {
                    lane.complained();
                }
                refusal.status = Some(reply.status);
                if refusal.failure.retry_after_s.is_none() {
                    refusal.failure.retry_after_s = retry_after_s(&reply.headers);
                }
                Err(refusal)
            }
        }
    }

    /// The path of a request, for the log.
    fn path<'a>(&self, request: &'a Request) -> &'a str {
        if self.hides_paths { "…" } else { request.url.path() }
    }

    /// Sends it once and reads the whole answer.
    async fn exchange(&self, request: &Request) -> Result<Reply, Refusal> {
        let mut builder =
            self.client.request(request.method.clone(), request.url.clone()).headers(request.headers.clone());
        if !request.body.is_empty() {
            builder = builder.body(request.body.clone());
        }
        let first = self.limits.first_byte_timeout.0;
        let mut response = match within(first, builder.send()).await {
            Some(response) => response.map_err(|error| self.no_answer(request, &error))?,
            None => return Err(doubtful(self.too_slow(request, "did not answer", first))),
        };
        let (status, headers) = (response.status(), response.headers().clone());
        let most = self.limits.body_bytes_max;
        let expected = response.content_length().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0);
        if expected > most {
            return Err(doubtful(self.too_large(request, most)));
        }
        let mut body = BytesMut::with_capacity(expected);
        loop {
            let idle = self.limits.idle_timeout.0;
            match within(idle, response.chunk()).await {
                Some(Ok(Some(chunk))) if body.len() + chunk.len() > most => {
                    return Err(doubtful(self.too_large(request, most)));
                }
                Some(Ok(Some(chunk))) => body.extend_from_slice(&chunk),
                Some(Ok(None)) => return Ok(Reply { status, headers, body: body.freeze() }),
                Some(Err(error)) => return Err(self.no_answer(request, &error)),
                None => return Err(doubtful(self.too_slow(request, "stopped in the midst of its answer", idle))),
            }
        }
    }

    fn no_answer(&self, request: &Request, error: &reqwest::Error) -> Refusal {
        let reason = chain(error);
        let host = request.url.host_str().unwrap_or_default();
        let account = &self.account;
        if error.is_connect() && reason.contains("certificate") {
            return Failure::new(
                Class::Config,
                format!("{account}: the certificate of {host} is not accepted: {reason}"),
            )
            .help("check the account's `url`, and the certificates that this computer trusts")
            .into();
        }
        if error.is_connect() {
            return Failure::new(Class::Transient, format!("{account}: {host} cannot be reached: {reason}"))
                .help("check the account's `url`, DNS and the firewall")
                .into();
        }
        doubtful(Failure::new(Class::Transient, format!("{account}: the connection to {host} broke: {reason}")))
    }

    fn too_slow(&self, request: &Request, what: &str, limit: Duration) -> Failure {
        let host = request.url.host_str().unwrap_or_default();
        Failure::new(Class::Transient, format!("{}: {host} {what} within {limit:?}", self.account))
    }

    fn too_large(&self, request: &Request, most: usize) -> Failure {
        let host = request.url.host_str().unwrap_or_default();
        Failure::new(Class::Limit, format!("{}: the answer of {host} is larger than {most} bytes", self.account))
            .help("read fewer fields, or set `recordsPerPage` lower or `bodyBytesMax` higher in the account")
    }
}

/// A system's own message, as it stands within one of ours.
pub(crate) fn clip(message: &str) -> String {
    let mut text = in_a_line(message, MESSAGE_CHARS_MAX);
    if message.chars().nth(MESSAGE_CHARS_MAX).is_some() {
        text.push('…');
    }
    text.trim_end_matches('.').to_owned()
}

/// The first characters, without control characters.
fn in_a_line(text: &str, chars_max: usize) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(chars_max).collect()
}

/// A text as it stands in the query of an address, as readable as may be.
pub(crate) fn in_query(text: &str) -> String {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'~')
        .remove(b',')
        .remove(b'(')
        .remove(b')')
        .remove(b'/')
        .remove(b':');
    utf8_percent_encode(text, KEPT).to_string()
}

/// A failure after which nobody here knows whether the request took hold.
fn doubtful(failure: Failure) -> Refusal {
    Refusal { doubtful: true, ..failure.into() }
}

/// Checks that an address is encrypted, or does not leave this computer.
///
/// # Errors
/// `Class::Config`; the message names `what` and the host.
pub fn require_https(what: &str, url: &Url) -> Result<(), Failure> {
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_loopback(url) => Ok(()),
        scheme => Err(Failure::new(
            Class::Config,
            format!("{what} uses {scheme}:// on {}, which is not encrypted", url.host_str().unwrap_or("no host")),
        )
        .help("write https://; http:// is accepted for loopback addresses only")),
    }
}

/// Whether the address is this computer itself.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// The ring provider, once in this process; another one that is there already is as good.
fn install_tls() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if rustls::crypto::ring::default_provider().install_default().is_err() {
            tracing::debug!("a TLS provider was installed before");
        }
    });
}

/// An error with its sources, without the address, whose query may hold personal data.
fn chain(error: &reqwest::Error) -> String {
    let mut source = std::error::Error::source(error);
    let mut text = String::new();
    while let Some(error) = source {
        let part = error.to_string();
        if !text.contains(&part) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&part);
        }
        source = error.source();
    }
    if text.is_empty() { "no reason given".to_owned() } else { text }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
