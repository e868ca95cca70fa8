//! What an answer of Dataverse means: its error code first, then the status.

use engine::failure::{Class, Failure};
use memchr::memmem;
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::http::{Refusal, Reply, clip};

mod cures;

pub(super) use cures::{EXISTS, MISSING, cure_of};

/// Too many requests at the same time; the cure is fewer of them, not only later ones.
const CONCURRENCY: &str = "0x80072326";
const REQUESTS: &str = "0x80072322";
const EXECUTION_TIME: &str = "0x80072321";
/// The version stamp, or paging cookie, is no longer known.
const EXPIRED_VERSION_STAMP: &str = "0x80044352";
const MALFORMED_COOKIE: &str = "0x80041129";
const GENERIC_SQL: &str = "0x80044151";
const UNEXPECTED: &str = "0x80040216";
const PRIVILEGE_DENIED: &str = "0x80040220";
const NO_ACCESS: &str = "0x80048306";
const NOT_A_MEMBER: &str = "0x80072560";

/// `{"error":{"code":"0x…","message":"…"}}`
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    error: Said,
}

/// What the CRM says of an error.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Said {
    /// As it is spelled; empty where there is none.
    pub(super) code: String,
    pub(super) message: String,
}

/// An answer that may have an error within it: as a whole, or in place of a record.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, alias = "odata.error", alias = "@odata.error")]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
}

/// What the CRM says of an error, as far as it says anything.
pub(super) fn said(reply: &Reply) -> Said {
    let said = error_within(&reply.body);
    let Said { code, message } =
        said.unwrap_or_else(|| serde_json::from_slice::<Body>(&reply.body).unwrap_or_default().error);
    let code = code.trim();
    let code = if code.starts_with("0x") && code != "0x0" { code } else { "" };
    Said { code: code.to_owned(), message: clip(&message) }
}

/// The error that an answer has within it, as a whole or in place of a record, whatever its status says.
fn error_within(body: &[u8]) -> Option<Said> {
    // Most answers have none, and are not parsed twice.
    memmem::find(body, b"error\"")?;
    let error = |text: &[u8]| {
        let error = serde_json::from_slice::<Answer<'_>>(text).ok()?.error?;
        serde_json::from_str::<Said>(error.get()).ok()
    };
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let entries = || {
        let value = serde_json::from_slice::<Answer<'_>>(body).ok()?.value?;
        serde_json::from_str::<Vec<&RawValue>>(value.get()).ok()
    };
    error(body).or_else(|| entries()?.iter().find_map(|entry| error(entry.get().as_bytes())))
}

/// Whether the CRM has done what was asked: neither its status nor its text says otherwise.
pub(super) fn is_accepted(reply: &Reply) -> bool {
    reply.status.is_success() && error_within(&reply.body).is_none()
}

/// What this answer means; `Ok` for success.
///
/// `what` says what was asked for, such as "reading contacts".
pub(super) fn judge(account: &str, what: &str, reply: &Reply) -> Result<(), Refusal> {
    judge_by(classify, account, what, reply)
}

/// What this answer to a write means: `Ok` for success, and also where the CRM refuses what was sent for its content,
/// so that it is to be looked at record by record.
pub(super) fn judge_write(account: &str, what: &str, reply: &Reply) -> Result<(), Refusal> {
    judge_by(classify_write, account, what, reply)
}

fn judge_by(
    classify: fn(&str, StatusCode, &str) -> Class,
    account: &str,
    what: &str,
    reply: &Reply,
) -> Result<(), Refusal> {
    if is_accepted(reply) {
        return Ok(());
    }
    let status = reply.status;
    if status.is_redirection() {
        return Err(redirected(account, what, reply).into());
    }
    let said = said(reply);
    match classify(&said.code.to_ascii_lowercase(), status, &said.message) {
        Class::Data => Ok(()),
        class => Err(refusal(account, what, reply, class, said)),
    }
}

fn refusal(account: &str, what: &str, reply: &Reply, class: Class, Said { code, message }: Said) -> Refusal {
    let status = reply.status;
    let said = if message.is_empty() { excerpt(status, reply) } else { message };
    let mut failure = Failure::new(class, format!("{account}: {what}: {said}"));
    let small = code.to_ascii_lowercase();
    failure.help = help(&small, status, &failure.message).map(str::to_owned);
    failure.code = Some(if code.is_empty() { status.as_u16().to_string() } else { code });
    Refusal { failure, status: Some(status), crowded: small == CONCURRENCY, doubtful: !is_refused(&small, status) }
}

/// Whether this says that nothing of the request was done. The CRM refuses a request by one of its codes; an error inside, and
/// a gateway that got no answer, do not say how far it came.
fn is_refused(code: &str, status: StatusCode) -> bool {
    match code {
        REQUESTS | EXECUTION_TIME | CONCURRENCY => true,
        "" | UNEXPECTED | GENERIC_SQL => !status.is_server_error() && !status.is_success(),
        _ => !status.is_server_error(),
    }
}

/// `Class::Data` where a record itself is the reason: Dataverse answers a rule against duplicates with 500.
fn classify_write(code: &str, status: StatusCode, message: &str) -> Class {
    match code {
        UNEXPECTED | GENERIC_SQL if status.is_client_error() => return Class::Data,
        // A right on this one record, which others may have.
        NO_ACCESS => return Class::Data,
        _ => {}
    }
    match (classify(code, status, message), status.as_u16()) {
        // An error within an answer that has another status.
        (Class::Config | Class::CursorLost, 200..300) if !is_about_rights(code) => Class::Data,
        (Class::Transient, 500) if !code.is_empty() && !matches!(code, UNEXPECTED | GENERIC_SQL) => Class::Data,
        (Class::Config, 413) => Class::Limit,
        (Class::Config, 400 | 404) if is_about_model(message) => Class::Config,
        // Only the CRM's own words are about the record; without them a proxy may have answered.
        (Class::Config | Class::CursorLost, 400 | 403 | 404 | 409 | 412)
            if !is_about_rights(code) && (!code.is_empty() || !message.is_empty()) =>
        {
            Class::Data
        }
        (class, _) => class,
    }
}

/// Whether a right is missing that every record needs.
fn is_about_rights(code: &str) -> bool {
    matches!(code, PRIVILEGE_DENIED | NOT_A_MEMBER)
}

/// Whether the message is about names that the CRM does not have: then every record is refused alike.
fn is_about_model(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    [
        "could not find a property named",
        "resource not found for the segment",
        "does not exist on type",
        "undeclared property",
    ]
    .iter()
    .any(|words| message.contains(words))
}

fn classify(code: &str, status: StatusCode, message: &str) -> Class {
    match code {
        REQUESTS | EXECUTION_TIME | CONCURRENCY => return Class::Quota,
        GENERIC_SQL | UNEXPECTED => return Class::Transient,
        EXPIRED_VERSION_STAMP | MALFORMED_COOKIE => return Class::CursorLost,
        PRIVILEGE_DENIED | NO_ACCESS | NOT_A_MEMBER => return Class::Config,
        _ => {}
    }
    match status.as_u16() {
        401 => Class::Auth,
        429 => Class::Quota,
        408 | 500.. => Class::Transient,
        // The status of a place that is no longer known is not documented: the CRM must say something about it.
        410 if !code.is_empty() || !message.is_empty() => Class::CursorLost,
        // An error within an answer, which does not say what is wrong.
        200..300 if code.is_empty() => Class::Transient,
        // The codes of a broken paging cookie differ between versions; its name does not.
        400 if is_about_cookie(message) => Class::CursorLost,
        _ => Class::Config,
    }
}

fn is_about_cookie(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    ["skiptoken", "skip token", "paging cookie", "pagingcookie"].iter().any(|word| message.contains(word))
}

/// Whether the application user is there, but switched off.
fn is_about_disabled_user(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("user") && (message.contains("is disabled") || message.contains("been disabled"))
}

fn help(code: &str, status: StatusCode, message: &str) -> Option<&'static str> {
    Some(match (code, status.as_u16()) {
        (_, 401 | 403) if is_about_disabled_user(message) => {
            "enable the application user: Power Platform admin center, the environment, Settings, Users + permissions, \
             Application users"
        }
        (NOT_A_MEMBER, _) => {
            "make an application user for this client id: Power Platform admin center, the environment, Settings, \
             Users + permissions, Application users"
        }
        (PRIVILEGE_DENIED | NO_ACCESS, _) | (_, 403) => {
            "give the application user a security role that may read this table, and write it where it is written, in all \
             business units"
        }
        (_, 401) => {
            "the environment does not accept the token: check that `url` and `tenantId` belong together and that \
             the application user exists and is enabled"
        }
        (CONCURRENCY | REQUESTS | EXECUTION_TIME, _) | (_, 429) => {
            "other programs may be using up the allowance of the same application user; set `requestsAtOnce` lower"
        }
        (EXPIRED_VERSION_STAMP | MALFORMED_COOKIE, _) | (_, 410) => "restart the activity to read from the beginning",
        _ => return None,
    })
}

fn redirected(account: &str, what: &str, reply: &Reply) -> Failure {
    let location = reply.headers.get("location").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let host = url::Url::parse(location).ok().and_then(|url| url.host_str().map(str::to_owned));
    let host = host.unwrap_or_else(|| "another place".to_owned());
    Failure::new(Class::Config, format!("{account}: {what}: answered {} to {host}", reply.status))
        .help("write the address that the environment answers at itself into `url`; redirects are not followed")
}

fn excerpt(status: StatusCode, reply: &Reply) -> String {
    if reply.body.is_empty() { format!("answered {status}") } else { format!("answered {status}: {}", reply.excerpt()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_that_is_switched_off_is_to_be_switched_on_not_to_be_given_a_role() {
        let help = |said: &str| help("0x80040225", StatusCode::FORBIDDEN, said).unwrap();
        assert!(help("The specified user(Id = 1) is disabled. Consider enabling this user.").starts_with("enable"));
        assert!(help("Principal user (Id=1) is missing prvReadContact privilege").contains("security role"));
    }
}
