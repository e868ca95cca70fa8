//! A certificate instead of a secret: what an application signs to show that it has the private key (RFC 7523).

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engine::failure::{Class, Failure};
use jiff::Timestamp;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use ring::rsa::KeyPair;
use ring::signature::RSA_PSS_SHA256;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;

use crate::secret::Secret;

/// How long an assertion is good, in seconds: for one request, and what its way takes.
const LIFE_S: i64 = 300;

/// A certificate with its private key.
#[derive(Clone)]
pub(super) struct Certificate {
    /// SHA-256 of the certificate, by which the other side finds it.
    thumbprint: String,
    key: Arc<KeyPair>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("thumbprint", &self.thumbprint).finish_non_exhaustive()
    }
}

impl Certificate {
    /// From a text in PEM with the certificate and its private key, in any order.
    ///
    /// # Errors
    /// `Class::Config` where one of them is missing, or the key is none of RSA, or not the certificate's.
    pub(super) fn from_pem(pem: &Secret) -> Result<Self, Failure> {
        let wrong = |message: &str, help: &str| {
            Err(Failure::new(Class::Config, format!("the certificate cannot be used: {message}")).help(help))
        };
        let text = pem.reveal().as_bytes();
        let Ok(certificate) = CertificateDer::from_pem_slice(text) else {
            return wrong(
                "there is no `-----BEGIN CERTIFICATE-----` in it",
                "put the certificate and its private key, both in PEM, into one file: \
                 `cat certificate.pem key.pem > both.pem`; of a .pfx, `openssl pkcs12 -in x.pfx -out both.pem -nodes`",
            );
        };
        let pair = match PrivateKeyDer::from_pem_slice(text) {
            Ok(PrivateKeyDer::Pkcs8(key)) => KeyPair::from_pkcs8(key.secret_pkcs8_der()),
            Ok(PrivateKeyDer::Pkcs1(key)) => KeyPair::from_der(key.secret_pkcs1_der()),
            Ok(_) => {
                return wrong(
                    "its private key is not of RSA",
                    "make a certificate with an RSA key of 2048 bits or more",
                );
            }
            Err(_) => {
                return wrong(
                    "there is no private key in it, or one that is locked by a password",
                    "put the key behind the certificate, unlocked: `openssl rsa -in locked.pem -out key.pem`",
                );
            }
        };
        let key = match pair {
            Ok(key) => key,
            Err(error) => {
                return wrong(
                    &format!("its private key is refused ({error})"),
                    "make a certificate with an RSA key of 2048 bits or more",
                );
            }
        };
        // A certificate holds its public key as it is.
        if memchr::memmem::find(&certificate, key.public().as_ref()).is_none() {
            return wrong(
                "the private key does not belong to the certificate",
                "put the key that the certificate was made with behind it",
            );
        }
        let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, &certificate));
        Ok(Self { thumbprint, key: Arc::new(key) })
    }

    /// What `client_id` sends to `audience` to log in, good from now on for five minutes.
    ///
    /// # Errors
    /// `Class::Internal` where there is no chance to be had from the system.
    pub(super) fn assertion(&self, client_id: &str, audience: &str, now: Timestamp) -> Result<Secret, Failure> {
        let no_chance = |_| Failure::internal("the system gives no random numbers");
        let random = SystemRandom::new();
        let mut id = [0; 16];
        random.fill(&mut id).map_err(no_chance)?;
        let header = json!({ "alg": "PS256", "typ": "JWT", "x5t#S256": self.thumbprint });
        let now = now.as_second();
        let claims = json!({
            "aud": audience, "iss": client_id, "sub": client_id, "jti": URL_SAFE_NO_PAD.encode(id),
            "nbf": now, "iat": now, "exp": now + LIFE_S,
        });
        let part = |json: &serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key.sign(&RSA_PSS_SHA256, &random, signed.as_bytes(), &mut signature).map_err(no_chance)?;
        Ok(Secret::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }
}
