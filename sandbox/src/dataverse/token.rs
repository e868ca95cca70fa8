//! The token endpoint of the identity provider (Entra ID, client credentials) and the tokens it gave.

use std::collections::HashMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;

use super::{assertion, call::Call};
use crate::{jwt::PublicKey, random::mix, reply::Reply, time};

/// Lifetime of a token unless a test sets another: what Entra gives.
const LIFETIME_SECONDS: i64 = 3_599;

/// Tokens remembered at most; the oldest then count as expired.
const TOKENS_MAX: usize = 10_000;

/// Who may ask for tokens, and the tokens that were given.
#[derive(Debug)]
pub(crate) struct Tokens {
    /// The directory.
    pub(crate) tenant_id: String,
    /// The application.
    pub(crate) client_id: String,
    /// Its secret.
    pub(crate) client_secret: String,
    /// The keys of its certificates.
    pub(crate) certificates: Vec<PublicKey>,
    /// Other applications, each a user of its own, by their secrets.
    pub(crate) others: HashMap<String, String>,
    /// Lifetime of new tokens in seconds.
    pub(crate) lifetime: i64,
    seed: u64,
    issued: u64,
    /// Ports of this machine that are the organisation.
    pub(crate) ports: Vec<u16>,
    valid: HashMap<String, Grant>,
}

/// What a token is good for.
#[derive(Debug)]
struct Grant {
    expires: i64,
    user: String,
}

/// Why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// None was sent.
    Missing,
    /// It is over.
    Expired,
    /// It was never given, or is revoked.
    Unknown,
}

pub(super) struct Failure {
    status: u16,
    error: &'static str,
    number: u32,
    text: String,
}

impl Tokens {
    /// An endpoint for one application.
    pub(crate) fn new(tenant_id: String, client_id: String, client_secret: String, seed: u64) -> Self {
        Self {
            tenant_id,
            client_id,
            client_secret,
            certificates: Vec::new(),
            others: HashMap::new(),
            lifetime: LIFETIME_SECONDS,
            seed,
            issued: 0,
            ports: Vec::new(),
            valid: HashMap::new(),
        }
    }

    /// Refuses every token given so far.
    pub(crate) fn revoke(&mut self) {
        self.valid.clear();
    }

    /// Tokens that were given and not revoked.
    pub(crate) fn len(&self) -> usize {
        self.valid.len()
    }

    /// The user whose token the request carries, if it is good now.
    pub(crate) fn check(&self, call: &Call) -> Result<String, Refusal> {
        let token =
            call.header("authorization").and_then(|value| value.strip_prefix("Bearer ")).ok_or(Refusal::Missing)?;
        match self.valid.get(token.trim()) {
            Some(grant) if grant.expires > call.now => Ok(grant.user.clone()),
            Some(_) => Err(Refusal::Expired),
            None => Err(Refusal::Unknown),
        }
    }

    /// Answers `POST /{tenant}/oauth2/v2.0/token`.
    pub(crate) fn answer(&mut self, call: &Call) -> Reply {
        match self.grant(call) {
            Ok(token) if is_first_version(call) => {
                let form: HashMap<String, String> = url::form_urlencoded::parse(&call.body).into_owned().collect();
                let (now, lifetime) = (call.now, self.lifetime);
                // The first version writes its numbers as text.
                let body = json!({
                    "token_type": "Bearer",
                    "expires_in": lifetime.to_string(),
                    "ext_expires_in": lifetime.to_string(),
                    "expires_on": (now + lifetime).to_string(),
                    "not_before": now.to_string(),
                    "resource": form.get("resource"),
                    "access_token": token,
                });
                Reply::json(200, &body).header("Cache-Control", "no-store, no-cache")
            }
            Ok(token) => {
                let body = json!({"token_type": "Bearer", "expires_in": self.lifetime, "ext_expires_in": self.lifetime, "access_token": token});
                Reply::json(200, &body).header("Cache-Control", "no-store, no-cache")
            }
            Err(failure) => self.refuse(&failure, call),
        }
    }

    /// The answer to a request about another tenant.
    pub(super) fn unknown_tenant(&self, tenant: &str, call: &Call) -> Reply {
        self.refuse(&no_tenant(tenant), call)
    }

    fn refuse(&self, failure: &Failure, call: &Call) -> Reply {
        let chance = mix(self.seed, self.issued);
        refuse(failure.status, failure.error, &[failure.number], &failure.text, call.now, chance)
    }

    fn grant(&mut self, call: &Call) -> Result<String, Failure> {
        let form: HashMap<String, String> = url::form_urlencoded::parse(&call.body).into_owned().collect();
        let tenant = call.path.trim_start_matches('/').split('/').next().unwrap_or("");
        if tenant != self.tenant_id {
            return Err(no_tenant(tenant));
        }
        match form.get("grant_type").map(String::as_str) {
            Some("client_credentials") => {}
            None => return Err(parameter_missing("grant_type")),
            Some(other) => {
                return Err(failure(
                    400,
                    "unsupported_grant_type",
                    70_003,
                    format!("The app requested an unsupported grant type '{other}'."),
                ));
            }
        }
        let user = self.check_client(call, &form)?;
        if is_first_version(call) {
            self.check_resource(call, form.get("resource").ok_or_else(|| parameter_missing("resource"))?)?;
        } else {
            self.check_scope(call, form.get("scope").ok_or_else(|| parameter_missing("scope"))?)?;
        }
        self.issued += 1;
        if self.valid.len() >= TOKENS_MAX {
            self.valid.retain(|_, grant| grant.expires > call.now);
        }
        if self.valid.len() >= TOKENS_MAX {
            self.valid.clear();
        }
        let (left, right) = (mix(self.seed, self.issued * 2), mix(self.seed, self.issued * 2 + 1));
        let token = format!("eyJ0eXAiOiJKV1QiLCJhbGciOiJub25lIn0.{left:016x}{right:016x}.sandbox");
        self.valid.insert(token.clone(), Grant { expires: call.now + self.lifetime, user });
        Ok(token)
    }

    fn check_scope(&self, call: &Call, scope: &str) -> Result<(), Failure> {
        let Some(resource) = scope.strip_suffix("/.default") else {
            return Err(failure(
                400,
                "invalid_scope",
                70_011,
                format!(
                    "The provided request must include a 'scope' input parameter. The provided value for the input parameter 'scope' is not valid. The scope {scope} is not valid."
                ),
            ));
        };
        self.check_resource(call, resource)
    }

    /// Whether what a token is asked for is this organisation.
    fn check_resource(&self, call: &Call, resource: &str) -> Result<(), Failure> {
        let is_ours = url::Url::parse(resource)
            .is_ok_and(|url| self.is_here(&url) || host_of(&url).as_deref() == Some(call.host()));
        if is_ours {
            return Ok(());
        }
        Err(failure(
            400,
            "invalid_resource",
            500_011,
            format!(
                "The resource principal named {resource} was not found in the tenant. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant."
            ),
        ))
    }

    /// Both spellings of this machine are the organisation, whichever the client used for the token.
    fn is_here(&self, url: &url::Url) -> bool {
        let own = |port: &u16| [format!("127.0.0.1:{port}"), format!("localhost:{port}")];
        let host = host_of(url);
        self.ports.iter().flat_map(own).any(|own| host.as_ref() == Some(&own))
    }

    /// Whether an address is that of this endpoint.
    fn is_endpoint(&self, address: &str) -> bool {
        let paths = ["oauth2/v2.0/token", "oauth2/token"].map(|end| format!("/{}/{end}", self.tenant_id));
        url::Url::parse(address).is_ok_and(|url| self.is_here(&url) && paths.iter().any(|path| path == url.path()))
    }

    /// The application that asks, if it proves to be it.
    fn check_client(&self, call: &Call, form: &HashMap<String, String>) -> Result<String, Failure> {
        let basic = call.header("authorization").and_then(basic_credentials);
        let (client, secret) = match &basic {
            Some((client, secret)) => (Some(client), Some(secret)),
            None => (form.get("client_id"), form.get("client_secret")),
        };
        let client = client.ok_or_else(|| parameter_missing("client_id"))?;
        let is_main = *client == self.client_id;
        let expected = if is_main { Some(&self.client_secret) } else { self.others.get(client) };
        let Some(expected) = expected else {
            return Err(failure(
                400,
                "unauthorized_client",
                700_016,
                format!(
                    "Application with identifier '{client}' was not found in the directory '{}'. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant.",
                    self.tenant_id
                ),
            ));
        };
        if let (Some(assertion), Some(assertion::KIND)) =
            (form.get("client_assertion"), form.get("client_assertion_type").map(String::as_str))
        {
            let keys = if is_main { self.certificates.as_slice() } else { &[] };
            let is_own = |address: &str| self.is_endpoint(address);
            return assertion::check(assertion, client, keys, call.now, is_own).map(|()| client.clone());
        }
        match secret {
            Some(secret) if secret == expected => Ok(client.clone()),
            Some(_) => Err(failure(
                401,
                "invalid_client",
                7_000_215,
                format!(
                    "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '{client}'."
                ),
            )),
            None => Err(failure(
                401,
                "invalid_client",
                7_000_218,
                "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."
                    .to_owned(),
            )),
        }
    }
}

/// The endpoint without `v2.0`, which is asked for a resource and not for a scope.
fn is_first_version(call: &Call) -> bool {
    !call.path.ends_with("/v2.0/token")
}

/// An error as the endpoint spells it.
pub(crate) fn refuse(status: u16, error: &str, numbers: &[u32], text: &str, now: i64, chance: u64) -> Reply {
    let stamp = time::instant_text(now).replace('T', " ");
    let (trace, correlation) = (trace_id(chance), trace_id(chance ^ 1));
    let description = match numbers.first() {
        Some(number) => format!(
            "AADSTS{number}: {text}\r\nTrace ID: {trace}\r\nCorrelation ID: {correlation}\r\nTimestamp: {stamp}"
        ),
        None => text.to_owned(),
    };
    Reply::json(
        status,
        &json!({
            "error": error,
            "error_description": description,
            "error_codes": numbers,
            "timestamp": stamp,
            "trace_id": trace,
            "correlation_id": correlation,
        }),
    )
}

fn trace_id(chance: u64) -> String {
    crate::guid::Guid::from_u128(u128::from(mix(chance, 1)) << 64 | u128::from(mix(chance, 2))).to_string()
}

/// Host and port of an address.
fn host_of(url: &url::Url) -> Option<String> {
    Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?))
}

fn basic_credentials(header: &str) -> Option<(String, String)> {
    let decoded = STANDARD.decode(header.strip_prefix("Basic ")?.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (client, secret) = text.split_once(':')?;
    // RFC 6749 2.3.1: both are form-encoded before they are joined.
    let plain = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    Some((plain(client), plain(secret)))
}

pub(super) fn failure(status: u16, error: &'static str, number: u32, text: String) -> Failure {
    Failure { status, error, number, text }
}

fn no_tenant(tenant: &str) -> Failure {
    let text = format!(
        "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud."
    );
    failure(400, "invalid_request", 90_002, text)
}

fn parameter_missing(name: &str) -> Failure {
    failure(
        400,
        "invalid_request",
        900_144,
        format!("The request body must contain the following parameter: '{name}'."),
    )
}
