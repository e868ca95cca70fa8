//! What an answer of Salesforce means: its error code first, then the status.

use engine::failure::{Class, Failure};
use engine::reject::Reject;
use memchr::memmem;
use reqwest::StatusCode;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::http::{Refusal, Reply, clip, retry_after_s};

/// How long a request waits when an allowance is used up, before it asks again, if the answer does not say.
const QUOTA_WAIT_S: u64 = 60;
/// The session has ended.
const SESSION: &str = "INVALID_SESSION_ID";
/// Too many requests: of the day, or long ones at the same time.
const REQUESTS: &str = "REQUEST_LIMIT_EXCEEDED";
/// The place in a list of pages is no longer known.
pub(super) const LOCATOR: &str = "INVALID_QUERY_LOCATOR";
/// The organisation takes no requests now.
const UNAVAILABLE: &str = "SERVER_UNAVAILABLE";
/// Something failed inside, while the request was worked on or before.
const UNKNOWN: &str = "UNKNOWN_EXCEPTION";
/// Another transaction holds the record.
pub(super) const LOCKED: &str = "UNABLE_TO_LOCK_ROW";

/// `[{"message":"…","errorCode":"…","fields":["Email"]}]`; of composite answers and results `statusCode`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Said {
    #[serde(alias = "statusCode", alias = "exceptionCode", alias = "error")]
    pub(super) error_code: String,
    #[serde(alias = "exceptionMessage", alias = "error_description")]
    pub(super) message: String,
    pub(super) fields: Vec<String>,
}

/// An entry of a list that is an error and neither a record nor what became of one.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ErrorEntry {
    #[serde(alias = "exceptionCode")]
    error_code: String,
    #[serde(default, alias = "exceptionMessage")]
    message: String,
    #[serde(default)]
    fields: Vec<String>,
    attributes: Option<IgnoredAny>,
    success: Option<IgnoredAny>,
}

/// A page of records.
#[derive(Deserialize)]
struct Records<'a> {
    #[serde(borrow)]
    records: Vec<&'a RawValue>,
}

/// The error that an answer has within it, as a whole or in place of a record, whatever its status says.
fn error_within(body: &[u8]) -> Option<Said> {
    // Most answers have none, and are not parsed twice.
    ["\"errorCode\"", "\"exceptionCode\""].iter().find(|key| memmem::find(body, key.as_bytes()).is_some())?;
    let error = |text: &[u8]| {
        let entry: ErrorEntry = serde_json::from_slice(text).ok()?;
        let ErrorEntry { error_code, message, fields, attributes, success } = entry;
        (attributes.is_none() && success.is_none()).then_some(Said { error_code, message, fields })
    };
    let entries: Vec<&RawValue> = match body.trim_ascii_start().first()? {
        b'[' => serde_json::from_slice(body).ok()?,
        b'{' => match error(body) {
            Some(said) => return Some(said),
            None => serde_json::from_slice::<Records<'_>>(body).ok()?.records,
        },
        _ => return None,
    };
    entries.iter().find_map(|entry| error(entry.get().as_bytes()))
}

/// What this answer means; `Ok` for success.
///
/// `what` says what was asked for, such as "reading Contact".
pub(super) fn judge(account: &str, what: &str, reply: &Reply) -> Result<(), Refusal> {
    let status = reply.status;
    if status.is_redirection() {
        let message = format!("{account}: {what}: answered {status}");
        return Err(Failure::new(Class::Config, message)
            .help("write the address that the organisation answers at itself into `url`; redirects are not followed")
            .into());
    }
    let said = match error_within(&reply.body) {
        Some(said) => said,
        None if status.is_success() => return Ok(()),
        None => said(&reply.body),
    };
    Err(refusal(account, what, reply, &said))
}

/// What an answer says of an error in any other form.
fn said(body: &[u8]) -> Said {
    let first = serde_json::from_slice::<Vec<Said>>(body).ok().and_then(|all| all.into_iter().next());
    first.or_else(|| serde_json::from_slice(body).ok()).unwrap_or_default()
}

fn refusal(account: &str, what: &str, reply: &Reply, said: &Said) -> Refusal {
    let status = reply.status;
    let code = said.error_code.as_str();
    let crowded = code == REQUESTS && said.message.to_ascii_lowercase().contains("concurrent");
    let text = match said.message.is_empty() {
        false => clip(&said.message),
        true if reply.body.is_empty() => format!("answered {status}"),
        true => format!("answered {status}: {}", reply.excerpt()),
    };
    let mut failure = Failure::new(classify(code, status), format!("{account}: {what}: {text}"));
    failure.code = Some(if code.is_empty() { status.as_u16().to_string() } else { code.to_owned() });
    failure.help = help(code, status, &said.message).map(str::to_owned);
    failure.retry_after_s = retry_after_s(&reply.headers);
    if is_spent(code) && !crowded {
        // Salesforce rarely says when; an allowance of a day comes back little by little.
        failure.retry_after_s.get_or_insert(QUOTA_WAIT_S);
    }
    Refusal { failure, status: Some(status), crowded, doubtful: !is_refused(code, status) }
}

/// Whether this says that nothing of the request was done. Salesforce refuses a request by one of its codes; an error inside,
/// and a gateway that got no answer, do not say how far it came.
fn is_refused(code: &str, status: StatusCode) -> bool {
    match code {
        SESSION | UNAVAILABLE | LOCKED => true,
        _ if is_spent(code) => true,
        "" | UNKNOWN => !status.is_server_error() && !status.is_success(),
        _ => !status.is_server_error(),
    }
}

/// Whether an allowance is used up.
fn is_spent(code: &str) -> bool {
    matches!(code, REQUESTS | "LIMIT_EXCEEDED" | "EXCEEDED_QUOTA")
}

/// Whether the session has ended, whatever the status.
pub(super) fn is_about_session(failure: &Failure) -> bool {
    failure.code.as_deref() == Some(SESSION)
}

fn classify(code: &str, status: StatusCode) -> Class {
    match code {
        SESSION => Class::Auth,
        _ if is_spent(code) => Class::Quota,
        LOCATOR | "INVALID_REPLICATION_DATE" => Class::CursorLost,
        "EXCEEDED_ID_LIMIT" => Class::Limit,
        _ if is_transient(code) => Class::Transient,
        _ => match status.as_u16() {
            401 => Class::Auth,
            429 => Class::Quota,
            414 | 431 => Class::Limit,
            406 | 408 | 420 | 500.. => Class::Transient,
            200..300 if matches!(code, "" | UNKNOWN) => Class::Transient,
            _ => Class::Config,
        },
    }
}

/// Whether the same may succeed a moment later, of requests and of records.
pub(super) fn is_transient(code: &str) -> bool {
    matches!(code, LOCKED | UNAVAILABLE | "QUERY_TIMEOUT" | "REQUEST_RUNNING_TOO_LONG")
}

/// Whether the object can be read only with a condition on an id, such as `ContentDocumentLink`.
fn wants_filter(message: &str) -> bool {
    message.contains("requires a filter")
        || (message.contains("Implementation restriction") && message.contains("filter"))
}

fn help(code: &str, status: StatusCode, message: &str) -> Option<&'static str> {
    Some(match code {
        SESSION => "the organisation does not accept the session: check that the user is active and may use the API",
        _ if is_spent(code) => {
            "the organisation's allowance is used up (Setup, Company Information, API Requests); it comes back within 24 \
             hours"
        }
        LOCATOR => "restart the activity to read from the beginning",
        "INVALID_TYPE" => {
            "check the object's name, and that a permission set lets the integration user read it; names of own objects \
             end with __c"
        }
        "INVALID_FIELD" | "INVALID_FIELD_FOR_INSERT_UPDATE" => {
            "check the field's name, and that field-level security lets the integration user use it (permission set)"
        }
        "INSUFFICIENT_ACCESS_OR_READONLY" | "INSUFFICIENT_ACCESS" => {
            "give the integration user the object's permission by a permission set"
        }
        "API_DISABLED_FOR_ORG" | "API_CURRENTLY_DISABLED" => {
            "the edition or the user's profile has no API: tick API Enabled in a permission set"
        }
        "FUNCTIONALITY_NOT_ENABLED" => "the organisation has not switched this on, or the user lacks the permission",
        _ if wants_filter(message) => {
            "Salesforce reads this object only by the ids that the message names: add a `filter` such as `ContentDocumentId \
             == \"069…\"`, or read its records by `ids`"
        }
        "MALFORMED_QUERY" | "INVALID_QUERY_FILTER_OPERATOR" => {
            "the message names what Salesforce does not take; `explain` shows the query: change the field, filter or order \
             that it names"
        }
        "INVALID_TYPE_FOR_OPERATION" => "Salesforce does not let this object be queried: read another one",
        "QUERY_TOO_COMPLICATED" => "read fewer fields, first of all fewer formulas, or shorten the filter",
        "OPERATION_TOO_LARGE" => {
            "give the integration user View All on this object, or narrow the filter: Salesforce checks the sharing of too \
             many records"
        }
        "TXN_SECURITY_METERING_ERROR" => "a transaction security policy of the organisation stops this user",
        _ => match status.as_u16() {
            401 | 403 => "give the integration user API Enabled and the object's permissions by a permission set",
            414 | 431 => "read fewer fields, or shorten the filter",
            _ => return None,
        },
    })
}

/// Why a record was refused.
pub(super) fn reject(said: &Said) -> Reject {
    let code = if said.error_code.is_empty() { "UNKNOWN_EXCEPTION" } else { &said.error_code };
    let mut reject = Reject::new(code, clip(&said.message));
    reject.field = said.fields.first().cloned();
    reject.help = row_help(code).map(str::to_owned);
    reject
}

/// What now, of a refused record.
fn row_help(code: &str) -> Option<&'static str> {
    Some(match code {
        "REQUIRED_FIELD_MISSING" => "fill the field in, or map it: Salesforce takes no record without it",
        "INVALID_EMAIL_ADDRESS" => "correct the address where it comes from",
        "STRING_TOO_LONG" => "shorten the value: the field takes fewer characters",
        "DUPLICATE_VALUE" => "another record has this value in a field that must be unique; the message names it",
        "DUPLICATES_DETECTED" => {
            "a duplicate rule holds it back: merge the two, or set \"duplicateRules\": \"ignore\" if they may stand side by \
             side"
        }
        "DUPLICATE_EXTERNAL_ID" => {
            "several records have this external id: merge them, and make the field Unique in Object Manager"
        }
        "FIELD_CUSTOM_VALIDATION_EXCEPTION" => "a validation rule of the organisation refuses it; its message says why",
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST" => "use a value of the picklist, or add this one in Object Manager",
        "MALFORMED_ID" => "an id has 15 or 18 letters and digits and begins with its object's prefix",
        "INVALID_CROSS_REFERENCE_KEY" | "INVALID_ID_FIELD" => {
            "there is no record with this id, or it is of another object; it may have been deleted or merged"
        }
        "ENTITY_IS_DELETED" => "the record is in the recycle bin: restore it, or leave it out",
        "NOT_FOUND" => "no record has this key; \"operation\": \"upsert\" would make one",
        "INSUFFICIENT_ACCESS_OR_READONLY" | "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY" => {
            "the integration user may not do this to this record: check sharing and permission sets"
        }
        "INVALID_FIELD_FOR_INSERT_UPDATE" => "the field may not be written: leave it out of the mapping",
        "FIELD_INTEGRITY_EXCEPTION" | "NUMBER_OUTSIDE_VALID_RANGE" => {
            "correct the value; the message says what is allowed"
        }
        "INVALID_TYPE_ON_FIELD_IN_RECORD" | "JSON_PARSER_ERROR" => {
            "the value is of another type than the field; a checkbox cannot be empty: map it as `… == true`"
        }
        "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY" => {
            "a trigger or flow of the organisation failed; its message says where"
        }
        "DELETE_FAILED" => "other records need this one; delete or change them first",
        LOCKED => "other programs kept changing the same or a parent record: send it again later",
        "UNPROCESSED" => "send it again",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_salesforce_says_of_a_query_is_no_fault_of_ours_and_a_filter_that_it_wants_is_named() {
        let restriction = "Implementation restriction: ContentDocumentLink requires a filter by a single Id on \
                           ContentDocumentId or LinkedEntityId using the equals operator";
        let vote =
            "Implementation restriction. When querying the Vote Object, you must filter using the following syntax";
        for (message, words) in [
            (restriction, "add a `filter`"),
            (vote, "add a `filter`"),
            ("unexpected token: 'FROM'", "`explain` shows the query"),
            ("Implementation restriction: ORDER BY is not supported here", "`explain` shows the query"),
        ] {
            let help = help("MALFORMED_QUERY", StatusCode::BAD_REQUEST, message).unwrap_or_default();
            assert!(help.contains(words) && !help.contains("fault of Campanile"), "{message}: {help}");
        }
    }
}
