//! OAuth 2.0 client credentials with Microsoft Entra ID (the client credentials flow of the v2.0 endpoint).
//!
//! Any number of requests may ask for a token at the same time; one of them fetches it, the others wait for the same
//! answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use engine::failure::{Class, Failure};
use engine::outside::clock::{Clock, SystemClock};
use jiff::SignedDuration;
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, DATE, HeaderMap, HeaderValue};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use crate::certificate::Certificate;
use crate::http::{Http, Refusal, Reply, Request, date};
use crate::secret::Secret;

/// How long before its end a token is renewed.
const RENEW_BEFORE: Duration = Duration::from_secs(300);
/// The share of a short life after which it is renewed.
const RENEW_AFTER_SHARE: f64 = 0.8;
/// The life of a token that does not say how long it lives.
const LIFE_UNKNOWN_S: u64 = 600;
/// The longest life that is believed: a day.
const LIFE_S_MAX: u64 = 86_400;

/// What is needed to log in.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Where tokens are asked for.
    pub token_url: Url,
    /// The tenant, for messages.
    pub tenant: String,
    /// The application's id.
    pub client_id: String,
    /// By what it shows that it is the one.
    pub proof: Proof,
    /// What the token is for, such as `https://x.crm4.dynamics.com/.default`.
    pub scope: String,
}

/// By what an application shows that it is the one.
#[derive(Debug, Clone)]
pub enum Proof {
    /// A secret that both sides know.
    Secret(Secret),
    /// A private key, of which Entra has the certificate.
    Certificate(Certificate),
}

/// What an assertion signed with a private key is called.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// The assertion's times do not fit Entra's clock.
const NOT_NOW: &str = "AADSTS700024";

/// A token in use.
#[derive(Debug)]
pub struct Token {
    /// `Bearer …`, marked as sensitive.
    pub header: HeaderValue,
    renew_at: Instant,
}

/// The login of one account.
#[derive(Debug)]
pub struct Login {
    credentials: Credentials,
    state: Mutex<State>,
    /// By how many seconds Entra's clock is ahead of ours, as far as an assertion has shown it.
    ahead_s: AtomicI64,
}

#[derive(Debug, Default)]
struct State {
    token: Option<Arc<Token>>,
    refused: Option<(Instant, Failure)>,
}

impl Login {
    /// A login that has not happened yet.
    pub fn new(credentials: Credentials) -> Self {
        Self { credentials, state: Mutex::default(), ahead_s: AtomicI64::new(0) }
    }

    /// A token that is good for now.
    ///
    /// A refusal for good is remembered and given to the next caller without a request, and then forgotten: who
    /// describes an object before a run and then reads it asks Entra once about a wrong secret, and who tries again
    /// after curing it is heard. Callers that waited for the request that was refused are given its answer too.
    ///
    /// # Errors
    /// `Class::Auth` where the login is refused, with the cure; else why no answer came.
    pub async fn token(&self, http: &Http) -> Result<Arc<Token>, Failure> {
        let asked = Instant::now();
        let mut state = self.state.lock().await;
        if let Some(token) = state.token.as_ref().filter(|token| Instant::now() < token.renew_at) {
            return Ok(token.clone());
        }
        self.fetch(http, &mut state, asked).await
    }

    /// A token other than `used`, which the CRM has refused; fetched only if nobody has done so since.
    ///
    /// # Errors
    /// As [`Login::token`].
    pub async fn renew(&self, http: &Http, used: &Arc<Token>) -> Result<Arc<Token>, Failure> {
        let asked = Instant::now();
        let mut state = self.state.lock().await;
        match &state.token {
            Some(token) if !Arc::ptr_eq(token, used) => Ok(token.clone()),
            _ => self.fetch(http, &mut state, asked).await,
        }
    }

    async fn fetch(&self, http: &Http, state: &mut State, asked: Instant) -> Result<Arc<Token>, Failure> {
        match state.refused.take() {
            Some((at, failure)) if at >= asked => {
                state.refused = Some((at, failure.clone()));
                return Err(failure);
            }
            Some((_, failure)) if failure.class == Class::Auth => return Err(failure),
            _ => {}
        }
        state.token = None;
        match self.request(http).await {
            Ok(token) => Ok(state.token.insert(Arc::new(token)).clone()),
            Err(failure) => {
                state.refused = Some((Instant::now(), failure.clone()));
                Err(failure)
            }
        }
    }

    async fn request(&self, http: &Http) -> Result<Token, Failure> {
        match self.ask(http).await {
            // Our clock was wrong, and Entra's answer has told the time.
            Err(failure) if failure.code.as_deref() == Some(NOT_NOW) => self.ask(http).await,
            end => end,
        }
    }

    async fn ask(&self, http: &Http) -> Result<Token, Failure> {
        let (body, token_url) = (self.form()?, &self.credentials.token_url);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let request =
            Request { method: Method::POST, headers, body: Bytes::from(body), ..Request::get(token_url.clone()) };
        let sent = Instant::now();
        let judge = |reply: &Reply| self.judge(http.account(), reply);
        let reply = http.send(&request, &judge).await.map_err(|refusal| refusal.failure)?;
        let grant = self.grant(http.account(), &reply)?;
        let life = Duration::from_secs(grant.life_s());
        let renew_after = life.saturating_sub(RENEW_BEFORE).max(life.mul_f64(RENEW_AFTER_SHARE));
        let mut header = HeaderValue::try_from(format!("Bearer {}", grant.access_token.reveal()))
            .map_err(|_| self.no_token(http.account(), &reply))?;
        header.set_sensitive(true);
        tracing::info!(account = http.account(), life_s = life.as_secs(), "logged in");
        Ok(Token { header, renew_at: sent + renew_after })
    }

    /// What the token endpoint is sent.
    fn form(&self) -> Result<String, Failure> {
        let Credentials { token_url, client_id, proof, scope, .. } = &self.credentials;
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.append_pair("client_id", client_id).append_pair("scope", scope);
        match proof {
            Proof::Secret(secret) => body.append_pair("client_secret", secret.reveal()),
            Proof::Certificate(certificate) => {
                let ahead = SignedDuration::from_secs(self.ahead_s.load(Ordering::Relaxed));
                let assertion = certificate.assertion(client_id, token_url.as_str(), SystemClock.now() + ahead)?;
                body.append_pair("client_assertion_type", ASSERTION_TYPE)
                    .append_pair("client_assertion", assertion.reveal())
            }
        };
        Ok(body.append_pair("grant_type", "client_credentials").finish())
    }

    fn grant(&self, account: &str, reply: &Reply) -> Result<Grant, Failure> {
        let grant: Grant = serde_json::from_slice(&reply.body).map_err(|_| self.no_token(account, reply))?;
        if grant.access_token.reveal().is_empty() { Err(self.no_token(account, reply)) } else { Ok(grant) }
    }

    /// The answer's text is not shown: it may hold a token that we did not understand.
    fn no_token(&self, account: &str, reply: &Reply) -> Failure {
        let host = self.credentials.token_url.host_str().unwrap_or_default();
        let (bytes, kind) = (reply.body.len(), reply.media_type());
        Failure::new(Class::Transient, format!("{account}: {host} answered without a token ({bytes} bytes of {kind})"))
            .help("check the account's `tokenUrl`")
    }

    fn judge(&self, account: &str, reply: &Reply) -> Result<(), Refusal> {
        let status = reply.status;
        if status.is_success() {
            return Ok(self.grant(account, reply).map(|_| ())?);
        }
        if let Some(theirs) = date(&reply.headers, DATE) {
            let ahead = theirs.as_second() - SystemClock.now().as_second();
            self.ahead_s.store(ahead, Ordering::Relaxed);
        }
        let host = self.credentials.token_url.host_str().unwrap_or_default();
        let refused: Option<Refused> = serde_json::from_slice(&reply.body).ok();
        let later =
            matches!(refused.as_ref().map(|r| r.error.as_str()), Some("temporarily_unavailable" | "server_error"));
        if status.is_server_error() || status.as_u16() == 429 || status.as_u16() == 408 || later {
            let class = if status.as_u16() == 429 { Class::Quota } else { Class::Transient };
            return Err(Failure::new(class, format!("{account}: the login at {host} answered {status}")).into());
        }
        let Some(refused) = refused.filter(|refused| !refused.error.is_empty()) else {
            let message = format!("{account}: the login at {host} answered {status}: {}", reply.excerpt());
            return Err(Failure::new(Class::Auth, message)
                .help("check `tokenUrl` and `tenantId` of the account")
                .into());
        };
        Err(refused.failure(account, &self.credentials).into())
    }
}

/// What Entra answers when it agrees.
#[derive(Deserialize)]
struct Grant {
    access_token: Secret,
    /// Seconds; a number, or in the older endpoint a text.
    #[serde(default)]
    expires_in: serde_json::Value,
}

impl Grant {
    fn life_s(&self) -> u64 {
        let life = match &self.expires_in {
            serde_json::Value::String(text) => text.parse().ok(),
            other => other.as_u64(),
        };
        life.filter(|life| *life > 0).unwrap_or(LIFE_UNKNOWN_S).min(LIFE_S_MAX)
    }
}

/// What Entra answers when it does not.
#[derive(Deserialize)]
struct Refused {
    #[serde(default)]
    error: String,
    #[serde(default)]
    error_description: String,
    #[serde(default)]
    error_codes: Vec<u64>,
}

impl Refused {
    /// In an administrator's words: what is wrong and where to cure it.
    fn failure(&self, account: &str, credentials: &Credentials) -> Failure {
        let Credentials { tenant, client_id, scope, token_url, .. } = credentials;
        let (what, help) = match self.code() {
            Some(7_000_215) => (
                format!("the client secret of application {client_id} is wrong"),
                "copy the secret's value, not its id, from Certificates & secrets in Entra; the value is shown only \
                 once, so make a new secret if it was not kept",
            ),
            Some(7_000_222) => (
                format!("the client secret of application {client_id} has expired"),
                "make a new secret under Certificates & secrets in Entra and put its value where `clientSecret` points",
            ),
            Some(700_027) => (
                format!("application {client_id} does not have this certificate"),
                "upload the certificate (without its private key) under Certificates & secrets in Entra, and check that \
                 `certificate` points to the one that is there and has not ended",
            ),
            Some(700_024) => (
                "the login was refused because of its time".to_owned(),
                "set this computer's clock, and check that nothing stands between that keeps requests back",
            ),
            Some(700_016) => (
                format!("application {client_id} is not known in tenant {tenant}"),
                "check `clientId` (the application's id, not the object's) and that the application is registered or \
                 consented to in this tenant",
            ),
            Some(90_002 | 900_023) => (
                format!("there is no tenant {tenant}"),
                "check `tenantId`: it is the directory id on the overview page of Entra",
            ),
            Some(70_011 | 500_011 | 650_057 | 1_002_012) => (
                format!("{scope} is not something a token can be had for in tenant {tenant}"),
                "check the account's `url`: it must be the environment's own address, such as \
                 https://contoso.crm4.dynamics.com, in this tenant",
            ),
            _ => (
                format!(
                    "the login at {} was refused: {}",
                    token_url.host_str().unwrap_or_default(),
                    self.first_line(credentials)
                ),
                "check `tenantId`, `clientId` and `clientSecret` or `certificate` of the account",
            ),
        };
        let code = self.code().map_or_else(|| self.error.clone(), |code| format!("AADSTS{code}"));
        Failure::new(Class::Auth, format!("{account}: {what}")).code(code).help(help)
    }

    fn code(&self) -> Option<u64> {
        self.error_codes.first().copied().or_else(|| {
            let digits = self.error_description.strip_prefix("AADSTS")?;
            digits[..digits.find(|c: char| !c.is_ascii_digit())?].parse().ok()
        })
    }

    /// Without the trace ids and the timestamp that follow on lines of their own, and without the secret, should an
    /// identity provider repeat what it was sent.
    fn first_line(&self, credentials: &Credentials) -> String {
        let line = self.error_description.lines().next().unwrap_or_default().trim();
        let line = if line.is_empty() { &self.error } else { line };
        match &credentials.proof {
            Proof::Secret(secret) => line.replace(secret.reveal(), "…"),
            Proof::Certificate(_) => line.to_owned(),
        }
    }
}
