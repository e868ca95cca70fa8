//! What all jobs of Bulk API 2.0 have in common: they are made, looked at until they are done, and their results have a
//! head.

use engine::failure::{Class, Failure};
use engine::progress::pause;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::session::{Ask, Session};
use crate::http::{Reply, clip};

/// A job as Salesforce tells of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Job {
    pub(super) id: String,
    pub(super) state: String,
    #[serde(default)]
    pub(super) error_message: Option<String>,
    #[serde(default)]
    pub(super) number_records_processed: u64,
}

impl Job {
    /// Whether nothing happens to it any more.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state.as_str(), "JobComplete" | "Failed" | "Aborted")
    }
}

/// What a job that reads is told to do.
pub(super) fn reading(soql: &str, all: bool) -> Value {
    json!({
        "operation": if all { "queryAll" } else { "query" }, "query": soql, "contentType": "CSV",
        "columnDelimiter": "COMMA", "lineEnding": "LF",
    })
}

/// Makes a job that reads; one whose answer is lost does no harm.
pub(super) async fn query(session: &Session, soql: &str, all: bool) -> Result<String, Failure> {
    let body = reading(soql, all);
    let job: Job =
        session.json(&Ask::json(Method::POST, "jobs/query", body.to_string()), "making a job that reads").await?;
    tracing::info!(account = session.account(), job = job.id, "a bulk job reads");
    Ok(job.id)
}

/// Looks at a job until it is over.
pub(super) async fn finished(session: &Session, path: &str, what: &str) -> Result<Job, Failure> {
    let bulk = &session.bulk;
    let (begin, mut wait) = (Instant::now(), bulk.poll_min.0);
    loop {
        let job: Job = session.get(path, what).await?;
        if job.is_over() {
            return Ok(job);
        }
        if begin.elapsed() >= bulk.wait_max.0 {
            let message = format!(
                "{}: {what}: job {} is still {} after {:?}",
                session.account(),
                job.id,
                job.state,
                bulk.wait_max.0
            );
            return Err(Failure::new(Class::Transient, message).help(
                "look at Setup, Bulk Data Load Jobs; resume the run when it is done, or set `bulk.waitMax` higher",
            ));
        }
        let reason = format!("{}: {what}: job {} is {}", session.account(), job.id, job.state);
        pause(reason, wait, None).await;
        wait = (wait * 2).min(bulk.poll_max.0);
    }
}

/// Whether a job that reads did so.
pub(super) fn succeeded(account: &str, what: &str, job: &Job) -> Result<(), Failure> {
    if job.state == "JobComplete" {
        return Ok(());
    }
    let said = job.error_message.as_deref().map_or_else(String::new, |said| format!(": {}", clip(said)));
    let message = format!("{account}: {what}: the job ended as {}{said}", job.state);
    let help = "see Setup, Bulk Data Load Jobs; restart the activity to read from the beginning";
    Err(Failure::new(Class::CursorLost, message).help(help))
}

/// Whether a job, or its result, is no longer there, or was made by another version of the API.
pub(super) fn is_gone(failure: &Failure) -> bool {
    matches!(failure.code.as_deref(), Some("NOT_FOUND" | "INVALIDJOB" | "404" | "409" | "INVALID_JOB_VERSION"))
        || failure.code.as_deref() == Some("VERSION_MISMATCH")
}

/// Whether the Bulk API does not know this object.
pub(super) fn is_unsupported(failure: &Failure) -> bool {
    matches!(failure.code.as_deref(), Some("INVALIDENTITY" | "INVALID_ENTITY" | "FUNCTIONALITY_NOT_ENABLED"))
        || failure.message.contains("not supported by the Bulk API")
}

/// Where the next page of a result is, as it stands in an address; the last one says `null` in so many letters.
pub(super) fn locator(reply: &Reply) -> Option<String> {
    let locator = reply.headers.get("sforce-locator")?.as_bytes().trim_ascii();
    (!matches!(locator, b"" | b"null")).then(|| percent_encode(locator, NON_ALPHANUMERIC).to_string())
}

/// How many records a page of a result has.
pub(super) fn records(reply: &Reply) -> Option<usize> {
    reply.headers.get("sforce-numberofrecords")?.to_str().ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use reqwest::StatusCode;
    use reqwest::header::{HeaderMap, HeaderValue};

    use super::*;

    #[test]
    fn no_locator_but_null_is_taken_for_the_end_whatever_characters_it_has() {
        for (said, expected) in [
            (Some("MTAwMDA"), Some("MTAwMDA")),
            (Some("MT/wM+A="), Some("MT%2FwM%2BA%3D")),
            (Some("null"), None),
            (Some(""), None),
            (None, None),
        ] {
            let headers = said.map(|said| ("sforce-locator".parse().unwrap(), HeaderValue::from_static(said)));
            let reply = Reply { status: StatusCode::OK, headers: HeaderMap::from_iter(headers), body: Bytes::new() };
            assert_eq!(locator(&reply).as_deref(), expected, "{said:?}");
        }
    }
}
