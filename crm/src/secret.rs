//! Secrets: where they come from, and that they are never shown.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use engine::failure::{Class, Failure};
use schemars::JsonSchema;
use serde::Deserialize;

/// A password or token. It has no `Display` and no `Serialize`, and its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Keeps this text out of sight.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one request that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Where a secret comes from: `{ env = "NAME" }`, `{ file = "path" }` or `{ stored = "NAME" }`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[schemars(extend("examples" = [{ "env": "NAME" }, { "file": "path" }, { "stored": "NAME" }]))]
#[serde(untagged, expecting = "a secret is { env = \"NAME\" }, { file = \"path\" } or { stored = \"NAME\" }")]
pub enum SecretSource {
    /// `{ env = "NAME" }`: an environment variable of Campanile's process.
    Env(EnvSecret),
    /// `{ file = "path" }`: a file's content, without the line end.
    File(FileSecret),
    /// `{ stored = "NAME" }`: in the encrypted store of the data folder, see `campanile secrets`.
    Stored(StoredSecret),
    /// The secret itself, accepted only for loopback addresses.
    Literal(Secret),
}

/// A secret in an environment variable.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnvSecret {
    /// The variable's name.
    pub env: String,
}

/// A secret in a file, as systemd, Docker and Kubernetes hand them over.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSecret {
    /// Absolute, or relative to the folder in which Campanile was started.
    pub file: PathBuf,
}

/// A secret in the encrypted store.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StoredSecret {
    /// Its name there.
    pub stored: String,
}

/// The encrypted store of secrets.
pub trait Vault: Send + Sync {
    /// A secret by its name.
    ///
    /// # Errors
    /// `Class::Config` where there is none, or the key does not open it.
    fn read(&self, name: &str) -> Result<Secret, Failure>;

    /// Keeps a secret, such as a refresh token that replaces the one before.
    ///
    /// # Errors
    /// Where the disk does not take it.
    fn keep(&self, name: &str, secret: &Secret) -> Result<(), Failure>;
}

/// Where there is no store of secrets.
#[derive(Debug, Clone, Copy)]
pub struct NoVault;

impl Vault for NoVault {
    fn read(&self, name: &str) -> Result<Secret, Failure> {
        Err(Failure::new(Class::Config, format!("there is no store of secrets to find {name} in")))
    }

    fn keep(&self, name: &str, _: &Secret) -> Result<(), Failure> {
        Err(Failure::new(Class::Config, format!("there is no store of secrets to keep {name} in")))
    }
}

impl SecretSource {
    /// Whether the secret stands in the configuration itself.
    pub fn is_literal(&self) -> bool {
        matches!(self, Self::Literal(_))
    }

    /// Reads the secret from this process's environment, from its file, or from the store.
    ///
    /// # Errors
    /// `Class::Config` where the variable, the file or the stored secret is missing, unreadable or empty; the message
    /// names it.
    pub fn resolve(&self, vault: &dyn Vault) -> Result<Secret, Failure> {
        let (place, text) = match self {
            Self::Stored(StoredSecret { stored }) => {
                (format!("the stored secret {stored}"), vault.read(stored)?.reveal().to_owned())
            }
            Self::Literal(secret) => ("the secret in the configuration".to_owned(), secret.reveal().to_owned()),
            Self::Env(EnvSecret { env }) => {
                let place = format!("the environment variable {env}");
                let text = std::env::var(env).map_err(|_| {
                    Failure::new(Class::Config, format!("{place} is not set"))
                        .help(format!("set {env} to the secret where Campanile is started"))
                })?;
                (place, text)
            }
            Self::File(FileSecret { file }) => {
                let place = format!("the secret file {}", file.display());
                let bytes = std::fs::read(file).map_err(|error| {
                    Failure::new(Class::Config, format!("{place} cannot be read: {error}"))
                        .help("write the secret into this file, readable by Campanile's user only")
                })?;
                let text = String::from_utf8(bytes).map_err(|_| {
                    Failure::new(Class::Config, format!("{place} is not text, and so neither a secret nor a PEM")).help(
                        "if it is a certificate as .pfx or .p12, make a PEM of it: \
                         `openssl pkcs12 -in x.pfx -out both.pem -nodes`; else save it as UTF-8",
                    )
                })?;
                (place, text)
            }
        };
        // Editors begin a file with a byte order mark, and end it with a line end.
        match text.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']) {
            "" => Err(Failure::new(Class::Config, format!("{place} is empty"))),
            secret => Ok(Secret::new(secret)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_in_any_debug_output_and_a_file_loses_its_line_end() {
        let source: SecretSource = serde_json::from_str(r#""canary-7f3a""#).unwrap();
        assert!(source.is_literal());
        assert!(!format!("{source:?} {:?}", source.resolve(&NoVault).unwrap()).contains("canary"));

        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "\u{feff}s3cret\n").unwrap();
        let source = SecretSource::File(FileSecret { file: file.path().to_owned() });
        assert_eq!(source.resolve(&NoVault).unwrap().reveal(), "s3cret");
        assert!(serde_json::from_str::<SecretSource>(r#"{"env":"A","file":"b"}"#).is_err());

        // As a .pfx begins.
        std::fs::write(file.path(), [0x30, 0x82, 0x0a, 0xff]).unwrap();
        let failure = source.resolve(&NoVault).unwrap_err();
        assert!(failure.message.contains("is not text"), "{failure:?}");
        assert!(failure.help.unwrap().contains("openssl pkcs12"));
    }
}
