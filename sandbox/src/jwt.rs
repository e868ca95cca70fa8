//! Signed assertions (RFC 7523): whether a JSON Web Token was signed with the key that belongs to a public key.
//!
//! By hand over ring, which TLS brings along: the JWT crates need a second cryptography library.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest},
    signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey},
};
use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer, pem::PemObject};
use serde_json::Value as Json;

/// A public RSA key that assertions are checked with.
#[derive(Debug, Clone)]
pub(crate) struct PublicKey {
    /// `RSAPublicKey` of PKCS #1, as ring wants it.
    der: Vec<u8>,
    /// SHA-1 and SHA-256 of the certificate that it came in, in the letters of `x5t` and `x5t#S256`.
    thumbprints: Vec<String>,
}

/// What an assertion says, once its signature is good.
#[derive(Debug, Clone)]
pub(crate) struct Assertion {
    /// Its header.
    pub(crate) header: Json,
    /// Its claims.
    pub(crate) claims: Json,
}

impl PublicKey {
    /// Reads `-----BEGIN PUBLIC KEY-----` or `-----BEGIN CERTIFICATE-----`. The error says what would be right.
    pub(crate) fn from_pem(pem: &str) -> Result<Self, String> {
        let wrong = || {
            "give an RSA key in PEM, as `openssl rsa -pubout` writes it (BEGIN PUBLIC KEY), or a certificate with one"
                .to_owned()
        };
        if let Ok(certificate) = CertificateDer::from_pem_slice(pem.as_bytes()) {
            let der = key_info_of(&certificate).and_then(rsa_key_of).ok_or_else(wrong)?.to_vec();
            let hashes = [&SHA1_FOR_LEGACY_USE_ONLY, &SHA256].map(|hash| digest(hash, &certificate));
            let thumbprints = hashes.map(|hash| URL_SAFE_NO_PAD.encode(hash)).to_vec();
            return Ok(Self { der, thumbprints });
        }
        let info = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).map_err(|_| wrong())?;
        let der = rsa_key_of(info.as_ref()).ok_or_else(wrong)?;
        Ok(Self { der: der.to_vec(), thumbprints: Vec::new() })
    }

    /// False if an assertion's header names the certificate of another key.
    pub(crate) fn is_named_by(&self, header: &Json) -> bool {
        let mut named = ["x5t", "x5t#S256"].iter().filter_map(|name| header.get(*name)?.as_str());
        self.thumbprints.is_empty()
            || named.all(|thumbprint| self.thumbprints.iter().any(|own| own == thumbprint.trim_end_matches('=')))
    }
}

/// Checks the signature (RS256) and returns what was signed; `None` if it is not good or no assertion at all.
pub(crate) fn verify(assertion: &str, key: &PublicKey) -> Option<Assertion> {
    verify_either(assertion, key).filter(|assertion| assertion.header["alg"] == "RS256")
}

/// The same for RS256 and PS256.
pub(crate) fn verify_either(assertion: &str, key: &PublicKey) -> Option<Assertion> {
    let (signed, signature) = assertion.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let part = |text: &str| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok();
    let header: Json = serde_json::from_slice(&part(header)?).ok()?;
    let algorithm = match header.get("alg").and_then(Json::as_str)? {
        "RS256" => &RSA_PKCS1_2048_8192_SHA256,
        "PS256" => &RSA_PSS_2048_8192_SHA256,
        _ => return None,
    };
    let public = UnparsedPublicKey::new(algorithm, &key.der);
    public.verify(signed.as_bytes(), &part(signature)?).ok()?;
    Some(Assertion { header, claims: serde_json::from_slice(&part(claims)?).ok()? })
}

/// The header of an assertion whose signature nobody has checked.
pub(crate) fn unverified_header(assertion: &str) -> Option<Json> {
    let header = assertion.split('.').next().filter(|_| assertion.split('.').count() == 3)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header.trim_end_matches('=')).ok()?).ok()
}

impl Assertion {
    /// A claim that is text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.claims.get(name).and_then(Json::as_str)
    }

    /// A claim that is a time in seconds since 1970; some clients write it as text, some with fractions.
    pub(crate) fn seconds(&self, name: &str) -> Option<i64> {
        let claim = self.claims.get(name)?;
        let text = claim.as_str().map_or_else(|| claim.to_string(), str::to_owned);
        text.split('.').next()?.parse().ok()
    }
}

/// The `SubjectPublicKeyInfo` of a certificate: the sixth field of what was signed, or the seventh after its version.
fn key_info_of(certificate: &[u8]) -> Option<&[u8]> {
    let (_, inner, _) = element(certificate)?;
    let (_, mut fields, _) = element(inner)?;
    let (first, _, after) = element(fields)?;
    if first == 0xa0 {
        fields = after;
    }
    for _ in 0..5 {
        fields = element(fields)?.2;
    }
    let rest = element(fields)?.2;
    Some(&fields[..fields.len() - rest.len()])
}

/// `SEQUENCE { SEQUENCE { algorithm }, BIT STRING { key } }`: the key.
fn rsa_key_of(info: &[u8]) -> Option<&[u8]> {
    let (tag, inner, _) = element(info)?;
    let (algorithm_tag, _, rest) = element(inner)?;
    let (key_tag, bits, _) = element(rest)?;
    let is_public_key = (tag, algorithm_tag, key_tag) == (0x30, 0x30, 0x03);
    // The first byte of a bit string counts the unused bits.
    bits.strip_prefix(&[0]).filter(|_| is_public_key)
}

/// Tag and content of the first DER element, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = if *first < 0x80 {
        (usize::from(*first), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        (bytes.iter().try_fold(0_usize, |length, byte| Some(length.checked_mul(256)? + usize::from(*byte)))?, rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}
