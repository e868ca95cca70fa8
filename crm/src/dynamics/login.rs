//! OAuth 2.0 client credentials with Microsoft Entra ID (the client credentials flow of the v2.0 endpoint).
//!
//! Any number of requests may ask for a token at the same time: see [`crate::single_flight`].

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use engine::failure::{Class, Failure};
use engine::outside::clock::{Clock, SystemClock};
use jiff::SignedDuration;
use reqwest::header::{DATE, HeaderValue};
use tokio::time::Instant;
use url::Url;

use super::certificate::Certificate;
use crate::http::{Http, Refusal, Reply, Request, date};
use crate::oauth::{Endpoint, Granted, Refused};
use crate::secret::Secret;
use crate::single_flight::SingleFlight;

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
pub(super) struct Credentials {
    /// Where tokens are asked for.
    pub(super) token_url: Url,
    /// The tenant, for messages.
    pub(super) tenant: String,
    /// The application's id.
    pub(super) client_id: String,
    /// By what it shows that it is the one.
    pub(super) proof: Proof,
    /// What the token is for, such as `https://x.crm4.dynamics.com/.default`.
    pub(super) scope: String,
}

/// By what an application shows that it is the one.
#[derive(Debug, Clone)]
pub(super) enum Proof {
    /// A secret that both sides know.
    Secret(Secret),
    /// A private key, of which Entra has the certificate.
    Certificate(Certificate),
}

/// What an assertion signed with a private key is called.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// The assertion's times do not fit Entra's clock.
const NOT_NOW: &str = "AADSTS700024";

/// Refusals that Entra itself calls transient, or says that it is busy or not available now: see
/// <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>.
const LATER: &[u64] = &[50_033, 50_087, 80_005, 90_006, 90_012, 90_024, 90_033, 90_055, 90_090, 90_091];

/// A token in use.
#[derive(Debug)]
pub(super) struct Token {
    /// `Bearer …`, marked as sensitive.
    pub(super) header: HeaderValue,
    renew_at: Instant,
}

/// The login of one account.
#[derive(Debug)]
pub(super) struct Login {
    credentials: Credentials,
    flight: SingleFlight<Token>,
    /// By how many seconds Entra's clock is ahead of ours, as far as an assertion has shown it.
    ahead_s: AtomicI64,
}

impl Login {
    /// A login that has not happened yet.
    pub(super) fn new(credentials: Credentials) -> Self {
        Self { credentials, flight: SingleFlight::default(), ahead_s: AtomicI64::new(0) }
    }

    /// A token that is good for now.
    ///
    /// # Errors
    /// `Class::Auth` where the login is refused, with the cure; else why no answer came.
    pub(super) async fn token(self: &Arc<Self>, http: &Arc<Http>) -> Result<Arc<Token>, Failure> {
        self.flight.get(|token| Instant::now() < token.renew_at, self.asking(http)).await
    }

    /// A token other than `used`, which the CRM has refused; fetched only if nobody has done so since.
    ///
    /// # Errors
    /// As [`Login::token`].
    pub(super) async fn renew(self: &Arc<Self>, http: &Arc<Http>, used: &Arc<Token>) -> Result<Arc<Token>, Failure> {
        self.flight.renew(used, self.asking(http)).await
    }

    /// A request that goes on by itself.
    fn asking(self: &Arc<Self>, http: &Arc<Http>) -> impl Future<Output = Result<Token, Failure>> + Send + use<> {
        let (login, http) = (Arc::clone(self), Arc::clone(http));
        async move { login.request(&http).await }
    }

    async fn request(&self, http: &Http) -> Result<Token, Failure> {
        match self.ask(http).await {
            // Our clock was wrong, and Entra's answer has told the time.
            Err(failure) if failure.code.as_deref() == Some(NOT_NOW) => self.ask(http).await,
            end => end,
        }
    }

    async fn ask(&self, http: &Http) -> Result<Token, Failure> {
        let endpoint = self.endpoint(http);
        let sent = Instant::now();
        let request = endpoint.ask(self.form()?);
        let judge = |reply: &Reply| self.judge(endpoint, &request, reply);
        let reply = http.send(&request, &judge).await.map_err(|refusal| refusal.failure)?;
        let granted = endpoint.granted(&reply)?;
        let life = Duration::from_secs(life_s(&granted));
        let renew_after = life.saturating_sub(RENEW_BEFORE).max(life.mul_f64(RENEW_AFTER_SHARE));
        let header = endpoint.bearer(&granted, &reply)?;
        tracing::info!(account = http.account(), life_s = life.as_secs(), "logged in");
        Ok(Token { header, renew_at: sent + renew_after })
    }

    fn endpoint<'a>(&'a self, http: &'a Http) -> Endpoint<'a> {
        let help = "check `tokenUrl` and `tenantId` of the account";
        Endpoint { account: http.account(), url: &self.credentials.token_url, help }
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

    fn judge(&self, endpoint: Endpoint<'_>, request: &Request, reply: &Reply) -> Result<(), Refusal> {
        if !endpoint.is_refusal(reply) {
            return Ok(endpoint.granted(reply).map(|_| ())?);
        }
        if let Some(theirs) = date(&reply.headers, DATE) {
            let ahead = theirs.as_second() - SystemClock.now().as_second();
            self.ahead_s.store(ahead, Ordering::Relaxed);
        }
        let refused = endpoint.refused(request, reply)?;
        let code = code(&refused);
        if let Some(code) = code.filter(|code| LATER.contains(code)) {
            let later = endpoint.later(Class::Transient, Some(&refused), reply.status);
            return Err(later.code(format!("AADSTS{code}")).into());
        }
        Err(failure(&refused, endpoint.account, &self.credentials).into())
    }
}

/// How many seconds a token lives.
fn life_s(granted: &Granted) -> u64 {
    let life = match &granted.expires_in {
        serde_json::Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    };
    life.filter(|life| *life > 0).unwrap_or(LIFE_UNKNOWN_S).min(LIFE_S_MAX)
}

/// In an administrator's words: what is wrong and where to cure it.
fn failure(refused: &Refused, account: &str, credentials: &Credentials) -> Failure {
    let Credentials { tenant, client_id, scope, token_url, .. } = credentials;
    let (what, help) = match code(refused) {
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
            format!("the login at {} was refused: {}", token_url.host_str().unwrap_or_default(), refused.first_line()),
            "check `tenantId`, `clientId` and `clientSecret` or `certificate` of the account",
        ),
    };
    let code = code(refused).map_or_else(|| refused.error.clone(), |code| format!("AADSTS{code}"));
    Failure::new(Class::Auth, format!("{account}: {what}")).code(code).help(help)
}

fn code(refused: &Refused) -> Option<u64> {
    refused.error_codes.first().copied().or_else(|| {
        let digits = refused.error_description.strip_prefix("AADSTS")?;
        digits[..digits.find(|c: char| !c.is_ascii_digit())?].parse().ok()
    })
}
