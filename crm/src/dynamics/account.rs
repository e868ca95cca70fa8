//! What the configuration says of a Dynamics 365 environment.

use engine::failure::{Class, Failure};
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::certificate::Certificate;
use super::login::{Credentials, Proof};
use crate::http::{Limits, is_loopback, require_https};
use crate::secret::{Secret, SecretSource};

/// Beneath which the Web API answers.
const SERVICE_PATH: &str = "/api/data/v9.2/";
const AUTHORITY: &str = "https://login.microsoftonline.com/";

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
    /// The address beneath which every request stays, with a slash at its end.
    pub(super) fn root(&self, name: &str) -> Result<Url, Failure> {
        let mut url = address(name, "url", &self.url)?;
        let path = url.path().trim_end_matches('/').to_ascii_lowercase();
        if !path.is_empty() && !path.starts_with("/api/data") && path != "/main.aspx" {
            return Err(Failure::new(Class::Config, format!("{name}: `url` has a path, {}", url.path()))
                .help("write the environment's address only, such as https://contoso.crm4.dynamics.com"));
        }
        url.set_path(SERVICE_PATH);
        url.set_query(None);
        url.set_fragment(None);
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
            Some(text) => address(name, "tokenUrl", text)?,
            None if !tenant.is_empty() && tenant.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b)) => {
                address(name, "tokenUrl", &format!("{AUTHORITY}{tenant}/oauth2/v2.0/token"))?
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

/// Reads an address; host and scheme become lower case, a port that is the scheme's own disappears.
fn address(name: &str, key: &str, text: &str) -> Result<Url, Failure> {
    let url = Url::parse(text.trim()).map_err(|error| {
        Failure::new(Class::Config, format!("{name}: `{key}` is not an address: {error}"))
            .help("write it with https://, such as https://contoso.crm4.dynamics.com")
    })?;
    require_https(&format!("{name}: `{key}`"), &url)?;
    if url.host_str().is_none() || !url.username().is_empty() || url.password().is_some() {
        return Err(Failure::new(Class::Config, format!("{name}: `{key}` must be a host without user or password")));
    }
    Ok(url)
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
            "  https://Contoso.CRM4.dynamics.com/ ",
            "https://contoso.crm4.dynamics.com:443/api/data/v9.2",
            "https://contoso.crm4.dynamics.com/api/data/v9.0/",
            "https://contoso.crm4.dynamics.com/main.aspx?appid=1#x",
        ] {
            let root = account(url, "\"x\"").root("dynamics").unwrap();
            assert_eq!(root.as_str(), "https://contoso.crm4.dynamics.com/api/data/v9.2/", "{url}");
        }
        for (url, reason) in [
            ("contoso.crm4.dynamics.com", "not an address"),
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
