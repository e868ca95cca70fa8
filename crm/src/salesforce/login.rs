//! Logging in: four flows of OAuth 2.0, one token for all requests.
//!
//! Salesforce does not say how long a token lives. It is kept until a request is refused with `INVALID_SESSION_ID`; then
//! one request asks for a new one, and the others wait for it.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use engine::failure::{Class, Failure};
use jiff::Timestamp;
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, DATE, HeaderMap, HeaderValue};
use ring::rsa::KeyPair;
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

use super::jwt;
use crate::http::{Http, Refusal, Reply, Request, date, is_loopback, require_https};
use crate::secret::{Secret, Vault};
use crate::single_flight::SingleFlight;

/// What is needed to log in.
#[derive(Debug)]
pub(super) struct Credentials {
    /// Where tokens are asked for.
    pub(super) token_url: Url,
    /// The consumer key.
    pub(super) client_id: String,
    pub(super) grant: Grant,
}

/// By what we log in.
pub(super) enum Grant {
    ClientCredentials { secret: Secret },
    Jwt { key: KeyPair, username: String, audience: String },
    Password { secret: Option<Secret>, username: String, password: Secret },
    RefreshToken { secret: Option<Secret>, token: Mutex<Secret>, place: Kept },
}

impl std::fmt::Debug for Grant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Grant(…)")
    }
}

/// Where a refresh token is kept that comes in place of another.
pub(super) enum Kept {
    File(PathBuf),
    /// The encrypted store, by this name.
    Vault(Arc<dyn Vault>, String),
    Nowhere,
}

/// A token in use, and the organisation that it is for.
#[derive(Debug)]
pub(super) struct Token {
    /// `Bearer …`, marked as sensitive.
    pub(super) header: HeaderValue,
    /// The organisation's address; the token goes nowhere else.
    pub(super) instance: Url,
}

/// The login of one account.
#[derive(Debug)]
pub(super) struct Login {
    credentials: Credentials,
    /// The account's own address.
    root: Url,
    flight: SingleFlight<Token>,
}

impl Login {
    /// A login that has not happened yet.
    pub(super) fn new(credentials: Credentials, root: Url) -> Self {
        Self { credentials, root, flight: SingleFlight::default() }
    }

    /// The token in use, or the first one.
    pub(super) async fn token(&self, http: &Http) -> Result<Arc<Token>, Failure> {
        self.flight.get(|_| true, self.request(http)).await
    }

    /// A token other than `used`, which was refused.
    pub(super) async fn renew(&self, http: &Http, used: &Arc<Token>) -> Result<Arc<Token>, Failure> {
        self.flight.renew(used, self.request(http)).await
    }

    async fn request(&self, http: &Http) -> Result<Token, Failure> {
        let body = self.body(http).await?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let url = self.credentials.token_url.clone();
        let request = Request { method: Method::POST, headers, body, ..Request::get(url) };
        let judge = |reply: &Reply| self.judge(http.account(), reply);
        let reply = http.send(&request, &judge).await.map_err(|refusal| refusal.failure)?;
        let granted = self.granted(http.account(), &reply)?;
        let instance = self.instance(http.account(), &granted.instance_url)?;
        if let Some(token) = granted.refresh_token {
            self.keep(http.account(), token).await?;
        }
        let mut header = HeaderValue::try_from(format!("Bearer {}", granted.access_token.reveal()))
            .map_err(|_| self.no_token(http.account(), &reply))?;
        header.set_sensitive(true);
        tracing::info!(account = http.account(), host = instance.host_str(), "logged in");
        Ok(Token { header, instance })
    }

    /// The form that asks for a token.
    async fn body(&self, http: &Http) -> Result<Bytes, Failure> {
        let client_id = &self.credentials.client_id;
        let mut fields: Vec<(&str, Secret)> = Vec::with_capacity(5);
        let secret = match &self.credentials.grant {
            Grant::ClientCredentials { secret } => {
                fields.push(("grant_type", Secret::new("client_credentials")));
                Some(secret)
            }
            Grant::Jwt { key, username, audience } => {
                let now = self.clock(http).await?;
                let assertion = jwt::assertion(key, client_id, username, audience, now)?;
                fields.push(("grant_type", Secret::new("urn:ietf:params:oauth:grant-type:jwt-bearer")));
                fields.push(("assertion", Secret::new(assertion)));
                None
            }
            Grant::Password { secret, username, password } => {
                fields.push(("grant_type", Secret::new("password")));
                fields.push(("username", Secret::new(username.as_str())));
                fields.push(("password", password.clone()));
                secret.as_ref()
            }
            Grant::RefreshToken { secret, token, .. } => {
                fields.push(("grant_type", Secret::new("refresh_token")));
                fields.push(("refresh_token", token.lock().await.clone()));
                secret.as_ref()
            }
        };
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in &fields {
            form.append_pair(name, value.reveal());
        }
        // The assertion itself says for whom it is.
        if !matches!(self.credentials.grant, Grant::Jwt { .. }) {
            form.append_pair("client_id", client_id);
        }
        if let Some(secret) = secret {
            form.append_pair("client_secret", secret.reveal());
        }
        Ok(Bytes::from(form.finish()))
    }

    /// The clock of who will read the assertion, so that a wrong clock on this side does not matter. The list of versions
    /// needs no login and counts as no request.
    async fn clock(&self, http: &Http) -> Result<Timestamp, Failure> {
        let mut url = self.credentials.token_url.clone();
        url.set_path("/services/data/");
        url.set_query(None);
        let any = |_: &Reply| -> Result<(), Refusal> { Ok(()) };
        let reply = http.send(&Request::get(url), &any).await.map_err(|refusal| refusal.failure)?;
        date(&reply.headers, DATE).ok_or_else(|| {
            Failure::new(Class::Config, format!("{}: answers carry no `Date`, which a jwt needs", http.account()))
                .help("a proxy may take the header away; choose another `login`")
        })
    }

    /// The organisation's address, as the token's answer says it. It must be one that this account can have.
    fn instance(&self, account: &str, text: &str) -> Result<Url, Failure> {
        let mut url = Url::parse(text).map_err(|error| {
            Failure::new(Class::Config, format!("{account}: the login names no organisation: {error}"))
                .help("check the account's `url`")
        })?;
        require_https(&format!("{account}: the organisation"), &url)?;
        url.set_path("/");
        url.set_query(None);
        let both = |is: fn(&Url) -> bool| is(&url) && is(&self.root);
        if url.origin() == self.root.origin() || both(is_loopback) || both(is_salesforce) {
            return Ok(url);
        }
        let (there, own) = (url.host_str().unwrap_or_default(), self.root.host_str().unwrap_or_default());
        Err(Failure::new(Class::Config, format!("{account}: the login at {own} leads to {there}"))
            .help("if this is the organisation's own address, write it into the account's `url`"))
    }

    /// Keeps a refresh token that came in place of the old one.
    async fn keep(&self, account: &str, new: Secret) -> Result<(), Failure> {
        let Grant::RefreshToken { token, place, .. } = &self.credentials.grant else { return Ok(()) };
        let mut token = token.lock().await;
        if *token == new {
            return Ok(());
        }
        *token = new.clone();
        let written = match place {
            Kept::Nowhere => {
                tracing::warn!(
                    account,
                    "a new refresh token came, which is lost when this process ends: keep it in a file or the store"
                );
                return Ok(());
            }
            Kept::Vault(vault, name) => {
                let (vault, name) = (vault.clone(), name.clone());
                tokio::task::spawn_blocking(move || vault.keep(&name, &new)).await
            }
            Kept::File(file) => {
                let (file, what) = (file.clone(), format!("{account}: the new refresh token, into {}", file.display()));
                tokio::task::spawn_blocking(move || {
                    replace(&file, new.reveal()).map_err(|error| Failure::io(what, &error))
                })
                .await
            }
        };
        written.map_err(|error| Failure::internal(error.to_string()))?
    }

    fn granted(&self, account: &str, reply: &Reply) -> Result<Granted, Failure> {
        let granted: Granted = serde_json::from_slice(&reply.body).map_err(|_| self.no_token(account, reply))?;
        if granted.access_token.reveal().is_empty() { Err(self.no_token(account, reply)) } else { Ok(granted) }
    }

    /// The answer's text is not shown: it may hold a token that we did not understand.
    fn no_token(&self, account: &str, reply: &Reply) -> Failure {
        let (host, bytes, kind) = (self.host(), reply.body.len(), reply.media_type());
        Failure::new(Class::Transient, format!("{account}: {host} answered without a token ({bytes} bytes of {kind})"))
            .help("check the account's `url`")
    }

    fn host(&self) -> &str {
        self.credentials.token_url.host_str().unwrap_or_default()
    }

    fn judge(&self, account: &str, reply: &Reply) -> Result<(), Refusal> {
        let status = reply.status;
        if status.is_success() {
            return Ok(self.granted(account, reply).map(|_| ())?);
        }
        let host = self.host();
        if status.is_server_error() || matches!(status.as_u16(), 408 | 420 | 429) {
            let class = if status.as_u16() == 429 { Class::Quota } else { Class::Transient };
            return Err(Failure::new(class, format!("{account}: the login at {host} answered {status}")).into());
        }
        let refused: Option<Refused> = serde_json::from_slice(&reply.body).ok();
        let Some(refused) = refused.filter(|refused| !refused.error.is_empty()) else {
            let message = format!("{account}: the login at {host} answered {status}: {}", reply.excerpt());
            return Err(Failure::new(Class::Auth, message).help("check the account's `url`").into());
        };
        Err(self.refused(account, &refused).into())
    }

    /// In an administrator's words: what is wrong and where to cure it.
    fn refused(&self, account: &str, refused: &Refused) -> Failure {
        let Refused { error, error_description: said } = refused;
        let help = match (error.as_str(), said.as_str(), &self.credentials.grant) {
            ("invalid_client_id", ..) => {
                "check `clientId`: it is the connected app's consumer key; a new app is known only after ten minutes"
            }
            ("invalid_client", ..) => {
                "copy the consumer secret from the connected app (Manage Consumer Details) to where `clientSecret` points"
            }
            ("unauthorized_client" | "unsupported_grant_type", ..) => {
                "switch this flow on in the connected app's OAuth settings, and check who may use the app"
            }
            ("inactive_user", ..) => "activate the integration user, or name another one",
            ("inactive_org", ..) => "the organisation is locked or closed; ask Salesforce",
            (_, "no client credentials user enabled", _) => {
                "choose the user to run as in the connected app: Manage, Edit Policies, Client Credentials Flow"
            }
            (_, said, _) if said.contains("approved") => {
                "admit the user: connected app, Manage, Permitted Users: pre-authorized, and give the app's permission \
                 set to the user"
            }
            (_, _, Grant::Jwt { .. }) => {
                "check `username`, `audience` (https://test.salesforce.com for a sandbox) and that the connected app has \
                 the certificate of this private key"
            }
            (_, _, Grant::Password { .. }) => {
                "check `username`, `password` and `securityToken`; new organisations block this flow, see Setup, OAuth \
                 and OpenID Connect Settings"
            }
            (_, _, Grant::RefreshToken { .. }) => "the consent has ended or was revoked: consent again",
            _ => "switch on the client credentials flow in the connected app and choose the user to run as",
        };
        let said = if said.is_empty() { error } else { said };
        let message = format!("{account}: the login at {} was refused: {}", self.host(), self.without_secrets(said));
        Failure::new(Class::Auth, message).code(error.as_str()).help(help)
    }

    /// Should an answer repeat what it was sent.
    fn without_secrets(&self, said: &str) -> String {
        let line = said.lines().next().unwrap_or_default();
        let secrets = match &self.credentials.grant {
            Grant::ClientCredentials { secret } => vec![secret],
            Grant::Password { secret, password, .. } => secret.iter().chain([password]).collect(),
            Grant::RefreshToken { secret, .. } => secret.iter().collect(),
            Grant::Jwt { .. } => Vec::new(),
        };
        secrets.iter().fold(line.to_owned(), |line, secret| line.replace(secret.reveal(), "…"))
    }
}

/// Whether the address is one of Salesforce's own.
fn is_salesforce(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        [".salesforce.com", ".salesforce.mil", ".cloudforce.com", ".database.com"].iter().any(|end| host.ends_with(end))
    })
}

/// Writes a secret beside its place, and then there; readable by the owner only.
fn replace(file: &std::path::Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    let beside = file.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut out = options.open(&beside)?;
    out.write_all(text.as_bytes())?;
    out.sync_all()?;
    std::fs::rename(&beside, file)
}

/// What Salesforce answers when it agrees.
#[derive(Deserialize)]
struct Granted {
    access_token: Secret,
    #[serde(default)]
    instance_url: String,
    refresh_token: Option<Secret>,
}

/// What Salesforce answers when it does not.
#[derive(Deserialize)]
struct Refused {
    #[serde(default)]
    error: String,
    #[serde(default)]
    error_description: String,
}
