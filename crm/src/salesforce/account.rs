//! What the configuration says of a Salesforce organisation.

use std::sync::Arc;

use engine::failure::{Class, Failure};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

use super::login::{Credentials, Grant, Kept};
use crate::address::{self, Form};
use crate::http::{Limits, Span, is_loopback};
use crate::secret::{Secret, SecretSource, Vault};

const FORM: Form = Form {
    example: "https://acme.my.salesforce.com",
    own_paths: &["/services", "/lightning", "/one", "/home", "/setup", "/secur"],
};
/// How hosts of pages end, beside the API's `.my.salesforce.com`.
const PAGE_HOSTS: [&str; 2] = [".lightning.force.com", ".my.salesforce-setup.com"];

/// An account of Salesforce, logged in to as an integration user through a connected app.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SalesforceAccount {
    /// The organisation's My Domain address, such as `https://acme.my.salesforce.com`.
    pub url: String,
    /// The version of the API. Default `v67.0`.
    #[serde(default = "api_version")]
    pub api_version: String,
    /// The connected app's consumer key.
    pub client_id: String,
    /// How to log in: `clientCredentials` (the default), `jwt`, `password` or `refreshToken`.
    #[serde(default)]
    pub login: LoginFlow,
    /// The connected app's consumer secret: `{ env = "NAME" }`, `{ file = "path" }` or `{ stored = "NAME" }`. Not needed for `jwt`.
    pub client_secret: Option<SecretSource>,
    /// The integration user's name, for `jwt` and `password`.
    pub username: Option<String>,
    /// The user's password, for `password`.
    pub password: Option<SecretSource>,
    /// The user's security token, for `password` from an address that is not among the trusted ones.
    pub security_token: Option<SecretSource>,
    /// The private key (PEM) whose certificate the connected app has, for `jwt`.
    pub private_key: Option<SecretSource>,
    /// Whom the `jwt` is for. Default `https://login.salesforce.com`, and `https://test.salesforce.com` for a sandbox.
    pub audience: Option<String>,
    /// A refresh token, for `refreshToken`. Where Salesforce gives a new one each time, it is written back to its file or the
    /// store.
    pub refresh_token: Option<SecretSource>,
    /// Where tokens are asked for. Default `/services/oauth2/token` at `url`.
    pub token_url: Option<String>,
    /// A proxy for all requests of this account, such as `http://proxy.example:3128`.
    pub proxy: Option<String>,
    /// When and how Bulk API 2.0 is used.
    #[serde(default)]
    pub bulk: BulkLimits,
    /// Times, sizes and numbers of requests.
    #[serde(default)]
    pub limits: Limits,
}

/// How to log in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum LoginFlow {
    /// The connected app's own user ("run as"), by its key and secret.
    #[default]
    ClientCredentials,
    /// A user, by a signature with the private key of the connected app's certificate.
    Jwt,
    /// A user, by name and password. New organisations block it.
    Password,
    /// A user who has consented once.
    RefreshToken,
}

/// When and how Bulk API 2.0 is used.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct BulkLimits {
    /// More records than this are read and written by bulk jobs. Default 2000.
    pub from: u32,
    /// The first wait between two looks at a job; doubled each time. Default 100ms.
    pub poll_min: Span,
    /// The longest wait between two looks at a job. Default 10s.
    pub poll_max: Span,
    /// The longest time that a job may take. Default 4h.
    pub wait_max: Span,
    /// Records of a page of a job's result. Default 25000.
    pub records_per_page: u32,
    /// The most records of a job that writes. Default 50000.
    pub records_per_job: u32,
}

impl Default for BulkLimits {
    fn default() -> Self {
        Self {
            from: 2_000,
            poll_min: Span(std::time::Duration::from_millis(100)),
            poll_max: Span::seconds(10),
            wait_max: Span::seconds(4 * 3_600),
            records_per_page: 25_000,
            records_per_job: 50_000,
        }
    }
}

fn api_version() -> String {
    "v67.0".to_owned()
}

impl SalesforceAccount {
    /// The address of the organisation, or of the login that knows it.
    pub(super) fn root(&self, name: &str) -> Result<Url, Failure> {
        root(&format!("{name}: `url`"), &self.url)
    }

    /// Whether this is the address of an organisation, as people copy it.
    ///
    /// # Errors
    /// What is wrong with it; the help has the right form.
    pub fn check_url(text: &str) -> Result<(), Failure> {
        root("`url`", text).map(|_| ())
    }

    /// Such as `v67.0`, also where it is written `67` or `67.0`.
    pub(super) fn version(&self, name: &str) -> Result<String, Failure> {
        let text = self.api_version.trim();
        let number = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let (whole, rest) = number.split_once('.').unwrap_or((number, "0"));
        match whole.parse::<u8>() {
            // Upserts tell whether they created since 46, and ids of failed rows of bulk jobs come since 53.
            Ok(version) if rest == "0" && version >= 53 => Ok(format!("v{version}.0")),
            _ => Err(Failure::new(Class::Config, format!("{name}: `apiVersion` is `{text}`"))
                .help("write a version from v53.0 on, such as v67.0")),
        }
    }

    /// How to log in, with the secrets found.
    pub(super) fn credentials(&self, name: &str, root: &Url, vault: &Arc<dyn Vault>) -> Result<Credentials, Failure> {
        let token_url = match &self.token_url {
            Some(text) => address::address(&format!("{name}: `tokenUrl`"), text, FORM.example)?,
            None => {
                root.join("/services/oauth2/token").map_err(|error| Failure::internal(format!("{name}: {error}")))?
            }
        };
        let is_local = is_loopback(root) && is_loopback(&token_url);
        let find = |key: &str, source: &SecretSource| {
            if source.is_literal() && !is_local {
                let help = "put it into the environment, a file or the store, and write { env = \"NAME\" }, { file = \"path\" } \
                            or { stored = \"NAME\" }";
                let message = format!("{name}: `{key}` stands in the configuration");
                return Err(Failure::new(Class::Config, message).help(help));
            }
            source.resolve(&**vault).map_err(|mut failure| {
                failure.message = format!("{name}: `{key}`: {}", failure.message);
                failure
            })
        };
        let need = |key: &str, source: &Option<SecretSource>| match source {
            Some(source) => find(key, source),
            None => Err(self.missing(name, key)),
        };
        let secret = || self.client_secret.as_ref().map(|source| find("clientSecret", source)).transpose();
        let username = || self.username.clone().ok_or_else(|| self.missing(name, "username"));
        let grant = match self.login {
            LoginFlow::ClientCredentials => {
                self.require_my_domain(name, &token_url)?;
                Grant::ClientCredentials { secret: need("clientSecret", &self.client_secret)? }
            }
            LoginFlow::Jwt => Grant::Jwt {
                key: super::jwt::key(name, &need("privateKey", &self.private_key)?)?,
                username: username()?,
                audience: self.audience.clone().unwrap_or_else(|| audience(root)),
            },
            LoginFlow::Password => {
                let token = self.security_token.as_ref().map(|source| find("securityToken", source)).transpose()?;
                let password = need("password", &self.password)?;
                let token = token.as_ref().map_or("", Secret::reveal);
                let password = Secret::new(format!("{}{token}", password.reveal()));
                Grant::Password { secret: secret()?, username: username()?, password }
            }
            LoginFlow::RefreshToken => {
                let token = need("refreshToken", &self.refresh_token)?;
                let place = match &self.refresh_token {
                    Some(SecretSource::File(file)) => Kept::File(file.file.clone()),
                    Some(SecretSource::Stored(stored)) => Kept::Vault(vault.clone(), stored.stored.clone()),
                    _ => Kept::Nowhere,
                };
                Grant::RefreshToken { secret: secret()?, token: Mutex::new(token), place }
            }
        };
        Ok(Credentials { token_url, client_id: self.client_id.trim().to_owned(), grant })
    }

    fn missing(&self, name: &str, key: &str) -> Failure {
        let flow = match self.login {
            LoginFlow::ClientCredentials => "clientCredentials",
            LoginFlow::Jwt => "jwt",
            LoginFlow::Password => "password",
            LoginFlow::RefreshToken => "refreshToken",
        };
        Failure::new(Class::Config, format!("{name}: `login` is `{flow}`, and `{key}` is missing"))
            .help(format!("add `{key}` to the account, or choose another `login`"))
    }

    /// Salesforce gives tokens of the connected app itself at the organisation's own address only.
    fn require_my_domain(&self, name: &str, token_url: &Url) -> Result<(), Failure> {
        match token_url.host_str() {
            Some("login.salesforce.com" | "test.salesforce.com") => Err(Failure::new(
                Class::Config,
                format!("{name}: {} gives no tokens for client credentials", self.url.trim()),
            )
            .help("write the organisation's own address, shown in Setup under My Domain, such as https://acme.my.salesforce.com")),
            _ => Ok(()),
        }
    }
}

/// The address of an organisation, which is not that of its pages.
fn root(what: &str, text: &str) -> Result<Url, Failure> {
    let url = address::root(what, text, &FORM)?;
    let host = url.host_str().unwrap_or_default();
    match PAGE_HOSTS.iter().find_map(|end| host.strip_suffix(end)) {
        None => Ok(url),
        Some(domain) => Err(Failure::new(Class::Config, format!("{what} is the address of the pages, not of the API"))
            .help(format!("write `https://{domain}.my.salesforce.com/`"))),
    }
}

/// Whom an assertion is for, where the account does not say.
fn audience(root: &Url) -> String {
    match root.host_str() {
        Some(host) if host == "test.salesforce.com" || host.contains(".sandbox.") => {
            "https://test.salesforce.com".to_owned()
        }
        Some(host) if host.ends_with(".salesforce.com") => "https://login.salesforce.com".to_owned(),
        _ => root.origin().ascii_serialization(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::NoVault;
    use serde_json::{Value, json};

    fn account(more: Value) -> SalesforceAccount {
        let mut all = json!({ "url": "https://acme.my.salesforce.com", "clientId": "c" });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }

    fn refused(more: Value) -> Failure {
        let account = account(more);
        let root = account.root("sf").unwrap();
        account.credentials("sf", &root, &(Arc::new(NoVault) as _)).unwrap_err()
    }

    #[test]
    fn what_a_login_lacks_is_named() {
        for (more, said) in [
            (json!({}), "`login` is `clientCredentials`, and `clientSecret` is missing"),
            (json!({ "login": "jwt" }), "`privateKey` is missing"),
            (json!({ "login": "password" }), "`password` is missing"),
            (json!({ "login": "refreshToken" }), "`refreshToken` is missing"),
            (json!({ "url": "https://login.salesforce.com" }), "no tokens for client credentials"),
            (json!({ "clientSecret": "canary" }), "`clientSecret` stands in the configuration"),
        ] {
            let failure = refused(more);
            assert!(failure.class == Class::Config && failure.message.contains(said), "{failure}");
            assert!(!format!("{failure:?}").contains("canary"));
        }
        let page = account(json!({ "url": "acme.lightning.force.com/lightning/page/home" })).root("sf").unwrap_err();
        assert!(page.message.contains("address of the pages"), "{page}");
        assert_eq!(page.help.as_deref(), Some("write `https://acme.my.salesforce.com/`"));
    }

    #[test]
    fn an_address_is_the_organisation_s_whatever_page_it_was_copied_from() {
        for url in [
            "acme.my.salesforce.com",
            "https://acme.my.salesforce.com/services/data/v67.0",
            "acme.my.salesforce.com/lightning/setup/SetupOneHome/home",
        ] {
            assert_eq!(account(json!({ "url": url })).root("sf").unwrap().as_str(), "https://acme.my.salesforce.com/");
        }
        let foreign = account(json!({ "url": "https://acme.my.salesforce.com/crm" })).root("sf").unwrap_err();
        assert!(foreign.message.contains("has a path, /crm"), "{foreign}");
    }

    #[test]
    fn a_version_is_understood_however_it_is_written_and_old_ones_are_refused() {
        for text in ["v67.0", "67.0", "67", " V67.0 "] {
            assert_eq!(account(json!({ "apiVersion": text })).version("sf").unwrap(), "v67.0");
        }
        for text in ["v52.0", "67.5", "", "latest"] {
            assert!(account(json!({ "apiVersion": text })).version("sf").is_err(), "{text}");
        }
    }
}
