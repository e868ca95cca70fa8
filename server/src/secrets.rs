//! The encrypted store of secrets: a file of the data folder, and a key that lies elsewhere.
//!
//! Each secret is sealed by ChaCha20-Poly1305 (RFC 8439) with its name as associated data, so that none can be put in
//! another's place. The key is 32 bytes in Base64: in the environment variable [`KEY_VARIABLE`], or else in a file of
//! the user's own configuration folder, which the first secret makes. Whoever has a copy of the data folder alone has no
//! secret.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crm::secret::{Secret, Vault};
use engine::failure::{Class, Failure};
use engine::private;
use engine::problem::suggestion;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};

/// Has the key, where it is set.
pub const KEY_VARIABLE: &str = "CAMPANILE_SECRET_KEY";
/// The file of the key, within the user's configuration folder.
const KEY_FILE: &str = "campanile/secret.key";
/// The file of the secrets, within the data folder.
const FILE: &str = "secrets.json";
/// Who holds it changes the file.
const LOCK: &str = "secrets.lock";
/// The longest name of a secret, in bytes.
pub const NAME_BYTES_MAX: usize = 200;
/// The longest secret, in bytes; a private key has some thousand.
pub const SECRET_BYTES_MAX: usize = 64 * 1024;

/// The secrets of a data folder.
#[derive(Debug, Clone)]
pub struct Secrets {
    data: PathBuf,
}

/// What the file holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Kept {
    version: u32,
    secrets: BTreeMap<String, String>,
}

const VERSION: u32 = 1;

impl Secrets {
    /// Those of a data folder; nothing is read yet.
    pub fn of(data: &Path) -> Self {
        Self { data: data.to_owned() }
    }

    /// The names of the secrets.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn names(&self) -> Result<Vec<String>, Failure> {
        Ok(self.load()?.secrets.into_keys().collect())
    }

    /// Removes a secret.
    ///
    /// # Errors
    /// `Class::Config` where there is none of this name.
    pub fn remove(&self, name: &str) -> Result<(), Failure> {
        let _lock = self.lock()?;
        let mut kept = self.load()?;
        if kept.secrets.remove(name).is_none() {
            return Err(missing(name, &kept));
        }
        self.save(&kept)
    }

    fn load(&self) -> Result<Kept, Failure> {
        let path = self.data.join(FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Kept { version: VERSION, secrets: BTreeMap::new() });
            }
            Err(error) => return Err(Failure::io(format!("cannot read {}", path.display()), &error)),
        };
        let kept: Option<Kept> = serde_json::from_slice(&text).ok();
        kept.filter(|kept| kept.version == VERSION).ok_or_else(|| {
            let message = format!("{} is damaged, or was written by a newer version", path.display());
            Failure::new(Class::Storage, message)
                .help("restore it from a backup, or remove it and set the secrets anew")
        })
    }

    fn save(&self, kept: &Kept) -> Result<(), Failure> {
        let path = self.data.join(FILE);
        let text = serde_json::to_vec_pretty(kept).map_err(|error| Failure::internal(error.to_string()))?;
        private::replace(&path, &text).map_err(|error| Failure::io(format!("cannot write {}", path.display()), &error))
    }

    /// Until it is dropped nobody else changes the file, in this process or another one.
    fn lock(&self) -> Result<File, Failure> {
        let path = self.data.join(LOCK);
        let lock = || {
            private::make_folders(&self.data)?;
            let file = private::open(&path)?;
            file.lock()?;
            Ok(file)
        };
        lock().map_err(|error| Failure::io(format!("cannot lock {}", path.display()), &error))
    }
}

impl Vault for Secrets {
    fn read(&self, name: &str) -> Result<Secret, Failure> {
        let kept = self.load()?;
        let sealed = kept.secrets.get(name).ok_or_else(|| missing(name, &kept))?;
        let key = key(Make::No)?;
        let closed = || {
            let message = format!("the stored secret {name} cannot be opened with this key");
            let help =
                format!("set {KEY_VARIABLE}, or put back the key file that it was stored with; else store it anew");
            Failure::new(Class::Config, message).help(help)
        };
        let mut bytes = STANDARD.decode(sealed).map_err(|_| closed())?;
        if bytes.len() < NONCE_LEN {
            return Err(closed());
        }
        let mut text = bytes.split_off(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(&bytes).map_err(|_| closed())?;
        let opened = key.open_in_place(nonce, Aad::from(name.as_bytes()), &mut text).map_err(|_| closed())?;
        Ok(Secret::new(std::str::from_utf8(opened).map_err(|_| closed())?))
    }

    fn keep(&self, name: &str, secret: &Secret) -> Result<(), Failure> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
            let message = format!("a secret's name has 1 to {NAME_BYTES_MAX} bytes and no control characters");
            return Err(Failure::new(Class::Config, message));
        }
        let length = secret.reveal().len();
        if length == 0 || length > SECRET_BYTES_MAX {
            let message = format!("a secret has 1 to {SECRET_BYTES_MAX} bytes, not {length}");
            return Err(Failure::new(Class::Config, message));
        }
        let _lock = self.lock()?;
        let mut kept = self.load()?;
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| Failure::internal("no random numbers"))?;
        let mut text = secret.reveal().as_bytes().to_vec();
        let nonce_once = Nonce::assume_unique_for_key(nonce);
        key(Make::Yes)?
            .seal_in_place_append_tag(nonce_once, Aad::from(name.as_bytes()), &mut text)
            .map_err(|_| Failure::internal(format!("the secret {name} cannot be sealed")))?;
        kept.secrets.insert(name.to_owned(), STANDARD.encode([nonce.as_slice(), &text].concat()));
        self.save(&kept)
    }
}

fn missing(name: &str, kept: &Kept) -> Failure {
    let help = suggestion(name, kept.secrets.keys().map(String::as_str));
    Failure::new(Class::Config, format!("there is no stored secret {name}"))
        .help(help.unwrap_or_else(|| format!("store it: `campanile secrets set {name}`")))
}

/// Whether a key that is not there yet is made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Make {
    Yes,
    No,
}

fn key(make: Make) -> Result<LessSafeKey, Failure> {
    let (place, text) = match std::env::var(KEY_VARIABLE) {
        Ok(text) => (format!("the environment variable {KEY_VARIABLE}"), text),
        Err(_) => {
            let path = key_file()?;
            let text = match fs::read_to_string(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound && make == Make::Yes => make_key(&path)?,
                Err(error) => {
                    let help = format!("set {KEY_VARIABLE}, or put back the key file");
                    return Err(Failure::io(format!("cannot read the key {}", path.display()), &error).help(help));
                }
                Ok(text) => text,
            };
            check_private(&path)?;
            (path.display().to_string(), text)
        }
    };
    let bytes = STANDARD.decode(text.trim()).ok().and_then(|bytes| UnboundKey::new(&CHACHA20_POLY1305, &bytes).ok());
    bytes.map(LessSafeKey::new).ok_or_else(|| {
        let message = format!("{place} is not a key for secrets: 32 bytes in Base64");
        Failure::new(Class::Config, message).help("make one with `openssl rand -base64 32`")
    })
}

/// A key that others may read protects nothing.
fn check_private(key: &Path) -> Result<(), Failure> {
    let metadata = fs::metadata(key).map_err(|error| Failure::io(format!("cannot read {}", key.display()), &error))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let message = format!("other users may read the key {}: its mode is {mode:o}", key.display());
    Err(Failure::new(Class::Config, message).help(format!("chmod 600 {}", key.display())))
}

fn key_file() -> Result<PathBuf, Failure> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = folder("XDG_CONFIG_HOME").or_else(|| Some(folder("HOME")?.join(".config")));
    folder.map(|folder| folder.join(KEY_FILE)).ok_or_else(|| {
        Failure::new(Class::Config, "there is no folder for the key of the secrets")
            .help(format!("set {KEY_VARIABLE} to 32 bytes in Base64, such as of `openssl rand -base64 32`"))
    })
}

/// Makes the key; where another process has made one meanwhile, that is the key.
fn make_key(path: &Path) -> Result<String, Failure> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Failure::internal("no random numbers"))?;
    let text = STANDARD.encode(bytes);
    let folder = path.parent().unwrap_or(Path::new("."));
    let make = || {
        private::make_folders(folder)?;
        match write_beside(path, text.as_bytes())?.persist_noclobber(path) {
            Err(there) if there.error.kind() == std::io::ErrorKind::AlreadyExists => return fs::read_to_string(path),
            made => drop(made?),
        }
        File::open(folder)?.sync_all()?;
        Ok(text)
    };
    make().map_err(|error| Failure::io(format!("cannot make the key {}", path.display()), &error))
}

/// A file beside its place, durable, which nobody else can read.
fn write_beside(path: &Path, text: &[u8]) -> std::io::Result<tempfile::NamedTempFile> {
    let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
    file.write_all(text)?;
    file.as_file().sync_all()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_there_is_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(KEY_FILE);
        let first = make_key(&path).unwrap();
        assert_eq!(make_key(&path).unwrap(), first, "as made by another process meanwhile");
        assert_eq!(fs::read_to_string(path).unwrap(), first);
    }
}
