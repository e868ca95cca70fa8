//! Logging in: four flows of OAuth 2.0, one token for all requests.
//!
//! Salesforce does not say how long a token lives. It is kept until a request is refused with `INVALID_SESSION_ID`; then
//! one request asks for a new one, and the others wait for it.

use std::path::PathBuf;
use std::sync::Arc;

use engine::failure::{Class, Failure};
use engine::private;
use jiff::Timestamp;
use reqwest::header::{DATE, HeaderValue};
use ring::rsa::KeyPair;
use tokio::sync::Mutex;
use url::Url;

use super::jwt;
use crate::http::{Http, Refusal, Reply, Request, date, is_loopback, require_https, retry_after_s};
use crate::oauth::{Endpoint, Refused};
use crate::secret::{Secret, Vault};
use crate::single_flight::SingleFlight;

/// How long to wait after too many logins, if the answer does not say: Salesforce allows so many an hour.
const RATE_WAIT_S: u64 = 60;

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
    /// The organisation's id, if the answer has it.
    pub(super) organisation: Option<String>,
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
    pub(super) async fn token(self: &Arc<Self>, http: &Arc<Http>) -> Result<Arc<Token>, Failure> {
        self.flight.get(|_| true, self.asking(http)).await
    }

    /// A token other than `used`, which was refused.
    pub(super) async fn renew(self: &Arc<Self>, http: &Arc<Http>, used: &Arc<Token>) -> Result<Arc<Token>, Failure> {
        self.flight.renew(used, self.asking(http)).await
    }

    /// A request that goes on by itself.
    fn asking(self: &Arc<Self>, http: &Arc<Http>) -> impl Future<Output = Result<Token, Failure>> + Send + use<> {
        let (login, http) = (Arc::clone(self), Arc::clone(http));
        async move { login.request(&http).await }
    }

    async fn request(&self, http: &Http) -> Result<Token, Failure> {
        let endpoint = self.endpoint(http);
        let request = endpoint.ask(self.form(http).await?);
        let judge = |reply: &Reply| self.judge(endpoint, &request, reply);
        let reply = http.send(&request, &judge).await.map_err(|refusal| refusal.failure)?;
        let granted = endpoint.granted(&reply)?;
        let header = endpoint.bearer(&granted, &reply)?;
        let instance = self.instance(http.account(), &granted.instance_url)?;
        if let Some(token) = granted.refresh_token {
            self.keep(http.account(), token).await?;
        }
        tracing::info!(account = http.account(), host = instance.host_str(), "logged in");
        Ok(Token { header, instance, organisation: organisation(&granted.id) })
    }

    /// The form that asks for a token.
    async fn form(&self, http: &Http) -> Result<String, Failure> {
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
        Ok(form.finish())
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
                    private::replace(&file, new.reveal().as_bytes()).map_err(|error| Failure::io(what, &error))
                })
                .await
            }
        };
        written.map_err(|error| Failure::internal(error.to_string()))?
    }

    fn endpoint<'a>(&'a self, http: &'a Http) -> Endpoint<'a> {
        Endpoint { account: http.account(), url: &self.credentials.token_url, help: "check the account's `url`" }
    }

    fn judge(&self, endpoint: Endpoint<'_>, request: &Request, reply: &Reply) -> Result<(), Refusal> {
        if !endpoint.is_refusal(reply) {
            return Ok(endpoint.granted(reply).map(|_| ())?);
        }
        let refused = endpoint.refused(request, reply)?;
        let failure = match passing(&refused) {
            Some(class) => endpoint.later(class, Some(&refused), reply.status).code(refused.error.as_str()),
            None => return Err(self.refused(endpoint, &refused).into()),
        };
        let asked = retry_after_s(&reply.headers);
        let wait = asked.or((failure.class == Class::Quota).then_some(RATE_WAIT_S));
        Err(Failure { retry_after_s: wait, ..failure }.into())
    }

    /// In an administrator's words: what is wrong and where to cure it.
    fn refused(&self, endpoint: Endpoint<'_>, refused: &Refused) -> Failure {
        let Refused { error, error_description: said, .. } = refused;
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
            (_, said, _) if said.contains("ip restricted") => {
                "the address of this computer is refused: admit it in the trusted IP ranges of the integration user's \
                 profile, or relax IP restrictions in the connected app (Manage, Edit Policies, IP Relaxation)"
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
        let said = refused.first_line();
        let (account, host) = (endpoint.account, endpoint.host());
        let message = format!("{account}: the login at {host} was refused: {said}");
        Failure::new(Class::Auth, message).code(error.as_str()).help(help)
    }
}

/// What kind of refusal it is, if it passes by itself: Salesforce failed inside, or takes no more logins of this user now.
fn passing(refused: &Refused) -> Option<Class> {
    let said = refused.error_description.to_ascii_lowercase().replace('_', " ");
    match refused.error.as_str() {
        "rate_limit_exceeded" => Some(Class::Quota),
        _ if said.contains("login rate exceeded") => Some(Class::Quota),
        "unknown_error" => Some(Class::Transient),
        _ if said.contains("retry your request") => Some(Class::Transient),
        _ => None,
    }
}

/// Whether the address is one of Salesforce's own.
fn is_salesforce(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        [".salesforce.com", ".salesforce.mil", ".cloudforce.com", ".database.com"].iter().any(|end| host.ends_with(end))
    })
}

/// The organisation in a user's address, `…/id/<organisation>/<user>`: the first 15 characters of its id, which alone tell
/// organisations apart.
fn organisation(id: &str) -> Option<String> {
    let (_, ids) = id.rsplit_once("/id/")?;
    let organisation = ids.split('/').next().filter(|id| id.len() >= 15 && id.starts_with("00D"))?;
    organisation.get(..15).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_not_trusted_is_told_apart_from_a_flow_that_is_switched_off() {
        let root = Url::parse("http://127.0.0.1/").unwrap();
        let grant = Grant::ClientCredentials { secret: Secret::new("s3cret") };
        let credentials = Credentials { token_url: root.clone(), client_id: "c".to_owned(), grant };
        let login = Login::new(credentials, root.clone());
        let help = |said: &str| {
            let refused = Refused {
                error: "invalid_grant".to_owned(),
                error_description: said.to_owned(),
                error_codes: Vec::new(),
            };
            login.refused(Endpoint { account: "salesforce", url: &root, help: "" }, &refused).help.unwrap()
        };
        assert!(help("ip restricted").contains("IP Relaxation"));
        assert!(help("").contains("switch on the client credentials flow"));
    }
}
