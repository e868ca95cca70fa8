//! A certificate instead of a secret: the assertion that an application signs with its private key.

use super::token::{Failure, failure};
use crate::jwt::{self, Assertion, PublicKey};

/// What goes for `client_assertion_type`.
pub(super) const KIND: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Seconds by which clocks may differ.
const CLOCK_SKEW: i64 = 300;

/// Checks an assertion of the application `client` against its registered keys. `is_own_endpoint` knows the endpoint's addresses.
pub(super) fn check(
    text: &str,
    client: &str,
    keys: &[PublicKey],
    now: i64,
    is_own_endpoint: impl Fn(&str) -> bool,
) -> Result<(), Failure> {
    let named =
        keys.iter().find_map(|key| jwt::verify_either(text, key).filter(|found| key.is_named_by(&found.header)));
    let Some(assertion) = named else {
        let thumbprint = jwt::unverified_header(text)
            .ok_or_else(|| failure(401, "invalid_client", 50_027, "JWT token is invalid or malformed.".to_owned()))?;
        let thumbprint = ["x5t", "x5t#S256"].iter().find_map(|name| thumbprint.get(*name)?.as_str().map(str::to_owned));
        return Err(failure(
            401,
            "invalid_client",
            700_027,
            format!(
                "The certificate with identifier used to sign the client assertion is not registered on application. [Reason - The key was not found., Thumbprint of key used by client: '{}', Please visit the Azure Portal, Graph Explorer or directly use MS Graph to see configured keys for app Id '{client}'.]",
                thumbprint.unwrap_or_default()
            ),
        ));
    };
    check_claims(&assertion, client, now, is_own_endpoint)
}

fn check_claims(
    assertion: &Assertion,
    client: &str,
    now: i64,
    is_own_endpoint: impl Fn(&str) -> bool,
) -> Result<(), Failure> {
    if assertion.text("iss") != Some(client) || assertion.text("sub") != Some(client) {
        let text = "Client assertion application identifier doesn't match 'client_id' parameter.".to_owned();
        return Err(failure(401, "invalid_client", 700_021, text));
    }
    if !assertion.text("aud").is_some_and(is_own_endpoint) {
        let text = "Client assertion audience claim does not match Realm issuer.".to_owned();
        return Err(failure(401, "invalid_client", 700_023, text));
    }
    let begins = assertion.seconds("nbf").unwrap_or(i64::MIN);
    let is_over = assertion.seconds("exp").is_none_or(|ends| ends.saturating_add(CLOCK_SKEW) <= now);
    let is_current = !is_over && begins.saturating_sub(CLOCK_SKEW) <= now;
    if !is_current {
        let text = format!(
            "Client assertion is not within its valid time range. Current time: {}, assertion valid from {begins}, expiry time of assertion {}.",
            crate::time::instant_text(now),
            assertion.seconds("exp").unwrap_or_default()
        );
        return Err(failure(401, "invalid_client", 700_024, text));
    }
    Ok(())
}
