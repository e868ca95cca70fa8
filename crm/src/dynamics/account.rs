//! What the configuration says of a Dynamics 365 environment.

use engine::failure::{Class, Failure};
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::certificate::Certificate;
use super::login::{Credentials, Proof};
use crate::address::{self, Form};
use crate::http::{Limits, is_loopback};
use crate::secret::{Secret, SecretSource};

/// Beneath which the Web API answers.
const SERVICE_PATH: &str = "/api/data/v9.2/";
const AUTHORITY: &str = "https://login.microsoftonline.com/";
const FORM: Form = Form { example: "https://contoso.crm4.dynamics.com", own_paths: &["/api/data", "/main.aspx"] };

/// An account of Microsoft Dynamics 365 or Dataverse, logged in to as an application user.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DynamicsAccount {
    /// The environment's address, such as `https://contoso.crm4.dynamics.com`.
    pub url: String,
    /// The directory (tenant) id of the environment, from the overview page of Entra.
    pub tenant_id: String,
    /// The application (client) id that Entra gave to Campanile.
    pub client_id: String,
    /// The value of the application's secret: `{ env = "NAME" }`, `{ file = "path" }` or `{ stored = "NAME" }`. Either this or `certificate`.
    pub client_secret: Option<SecretSource>,
    /// A text in PEM with the application's certificate and its private key, instead of a secret.
    pub certificate: Option<SecretSource>,
    /// Where tokens are asked for; needed only for national clouds and test servers.
    pub token_url: Option<String>,
    /// A proxy for all requests of this account, such as `http://proxy.example:3128`.
    pub proxy: Option<String>,
    /// Times, sizes and numbers of requests.
    #[serde(default)]
    pub limits: Limits,
}

impl DynamicsAccount {
    /// Whether this is the address of an environment, as people copy it.
    ///
    /// # Errors
    /// What is wrong with it; the help has the right form.
    pub fn check_url(text: &str) -> Result<(), Failure> {
        address::root("`url`", text, &FORM).map(|_| ())
    }

    /// The address beneath which every request stays, with a slash at its end.
    pub(super) fn root(&self, name: &str) -> Result<Url, Failure> {
        let mut url = address::root(&format!("{name}: `url`"), &self.url, &FORM)?;
        url.set_path(SERVICE_PATH);
        Ok(url)
    }

    /// How to log in, with the secret found.
    pub(super) fn credentials(
        &self,
        name: &str,
        root: &Url,
        resolve: impl FnOnce(&SecretSource) -> Result<Secret, Failure>,
    ) -> Result<Credentials, Failure> {
        let tenant = self.tenant_id.trim();
        let token_url = match &self.token_url {
            Some(text) => address::address(&format!("{name}: `tokenUrl`"), text, AUTHORITY)?,
            None if !tenant.is_empty() && tenant.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b)) => {
                let url = format!("{AUTHORITY}{tenant}/oauth2/v2.0/token");
                address::address(&format!("{name}: `tenantId`"), &url, AUTHORITY)?
            }
            None => {
                return Err(Failure::new(Class::Config, format!("{name}: `tenantId` is not a tenant's id"))
                    .help("copy the directory (tenant) id from the overview page of Entra"));
            }
        };
        let source = match (&self.client_secret, &self.certificate) {
            (Some(source), None) | (None, Some(source)) => source,
            (both, _) => {
                let which = if both.is_some() { "both" } else { "neither" };
                return Err(Failure::new(
                    Class::Config,
                    format!("{name}: {which} of `clientSecret` and `certificate` is given"),
                )
                .help("write one of them, by which Entra knows the application"));
            }
        };
        if source.is_literal() && !(is_loopback(root) && is_loopback(&token_url)) {
            let what = if self.certificate.is_some() { "private key" } else { "client secret" };
            return Err(Failure::new(Class::Config, format!("{name}: the {what} stands in the configuration")).help(
                "put it into the environment or a file and write { env = \"NAME\" }, { file = \"path\" } or { stored = \"NAME\" }",
            ));
        }
        let named = |mut failure: Failure| {
            failure.message = format!("{name}: {}", failure.message);
            failure
        };
        let secret = resolve(source).map_err(named)?;
        let proof = match &self.certificate {
            Some(_) => Proof::Certificate(Certificate::from_pem(&secret).map_err(named)?),
            None => Proof::Secret(secret),
        };
        Ok(Credentials {
            token_url,
            tenant: tenant.to_owned(),
            client_id: self.client_id.trim().to_owned(),
            proof,
            scope: format!("{}/.default", root.origin().ascii_serialization()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::NoVault;

    fn account(url: &str, secret: &str) -> DynamicsAccount {
        let text = format!(r#"{{"url":"{url}","tenantId":"t-1","clientId":"c","clientSecret":{secret}}}"#);
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn an_address_means_the_same_however_it_is_written() {
        for url in [
            "https://contoso.crm4.dynamics.com",
            "contoso.crm4.dynamics.com",
            "  https://Contoso.CRM4.dynamics.com/ ",
            "https://contoso.crm4.dynamics.com:443/api/data/v9.2",
            "https://contoso.crm4.dynamics.com/api/data/v9.0/",
            "https://contoso.crm4.dynamics.com/main.aspx?appid=1#x",
        ] {
            let root = account(url, "\"x\"").root("dynamics").unwrap();
            assert_eq!(root.as_str(), "https://contoso.crm4.dynamics.com/api/data/v9.2/", "{url}");
        }
        for (url, reason) in [
            ("contoso crm4.dynamics.com", "a space inside"),
            ("http://contoso.crm4.dynamics.com", "not encrypted"),
            ("https://a:b@contoso.crm4.dynamics.com", "without user"),
            ("https://contoso.crm4.dynamics.com/contacts", "has a path"),
        ] {
            let failure = account(url, "\"x\"").root("dynamics").unwrap_err();
            assert!(failure.message.contains(reason), "{failure}");
        }
    }

    #[test]
    fn a_secret_in_the_configuration_is_accepted_for_loopback_addresses_only() {
        let remote = account("https://contoso.crm4.dynamics.com", "\"canary\"");
        let root = remote.root("dynamics").unwrap();
        let failure = remote.credentials("dynamics", &root, |source| source.resolve(&NoVault)).unwrap_err();
        assert!(failure.message.contains("in the configuration") && !format!("{failure:?}").contains("canary"));

        let mut local = account("http://127.0.0.1:8080", "\"canary\"");
        let root = local.root("dynamics").unwrap();
        assert!(
            local.credentials("dynamics", &root, |source| source.resolve(&NoVault)).is_err(),
            "the token goes to Entra"
        );
        local.token_url = Some("http://localhost:8080/t/oauth2/v2.0/token".to_owned());
        let credentials = local.credentials("dynamics", &root, |source| source.resolve(&NoVault)).unwrap();
        assert_eq!(credentials.scope, "http://127.0.0.1:8080/.default");
        assert!(!format!("{local:?} {credentials:?}").contains("canary"));
    }
}
