//! The assertion of the JWT bearer flow, signed with RS256.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engine::failure::{Class, Failure};
use jiff::Timestamp;
use ring::rand::SystemRandom;
use ring::rsa::KeyPair;
use ring::signature::RSA_PKCS1_SHA256;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;

use crate::secret::Secret;

/// How long an assertion is good, in seconds; Salesforce takes at most five minutes.
const LIFE_S: i64 = 180;

/// Reads a private key in PEM, PKCS#8 or PKCS#1.
pub(super) fn key(name: &str, pem: &Secret) -> Result<KeyPair, Failure> {
    let wrong = |reason: &str| {
        Failure::new(Class::Config, format!("{name}: `privateKey` is not an RSA key: {reason}")).help(
            "it begins with -----BEGIN PRIVATE KEY-----, has 2048 bits or more and no password; its certificate is in \
             the connected app under Use digital signatures",
        )
    };
    let read = match PrivateKeyDer::from_pem_slice(pem.reveal().as_bytes()) {
        Ok(PrivateKeyDer::Pkcs8(der)) => KeyPair::from_pkcs8(der.secret_pkcs8_der()),
        Ok(PrivateKeyDer::Pkcs1(der)) => KeyPair::from_der(der.secret_pkcs1_der()),
        Ok(_) => return Err(wrong("it is of another kind")),
        Err(_) => return Err(wrong("no private key was found in it")),
    };
    read.map_err(|error| wrong(&error.to_string()))
}

/// An assertion that is good from `now`, by the clock of who reads it.
pub(super) fn assertion(
    key: &KeyPair,
    client_id: &str,
    username: &str,
    audience: &str,
    now: Timestamp,
) -> Result<String, Failure> {
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let claims = json!({ "iss": client_id, "sub": username, "aud": audience, "exp": now.as_second() + LIFE_S });
    let signed = format!("{}.{}", encode(r#"{"alg":"RS256"}"#), encode(&claims.to_string()));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
        .map_err(|_| Failure::internal("an assertion could not be signed"))?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}
