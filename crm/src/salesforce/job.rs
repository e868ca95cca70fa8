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
    pub(super) number_records_processed: Option<u64>,
    /// Of those that were processed.
    pub(super) number_records_failed: Option<u64>,
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

/// Asks for a job of this kind (`jobs/query`, `jobs/ingest`).
pub(super) async fn get(session: &Session, kind: &str, id: &str, what: &str) -> Result<Job, Failure> {
    let job: Job = session.get(&format!("{kind}/{id}"), what).await?;
    // The last three characters say how the others are written.
    let bare = |id: &str| id.get(..15).unwrap_or(id).to_owned();
    if bare(&job.id) == bare(id) {
        return Ok(job);
    }
    let message = format!("{}: {what}: asked for job {id}, and job {} was answered", session.account(), job.id);
    Err(Failure::new(Class::Transient, message))
}

/// Looks at a job until it is over.
pub(super) async fn finished(session: &Session, kind: &str, id: &str, what: &str) -> Result<Job, Failure> {
    let bulk = &session.bulk;
    let (begin, mut wait) = (Instant::now(), bulk.poll_min.0);
    loop {
        let job = get(session, kind, id, what).await?;
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

/// Whether a job that reads did so, and how many records.
pub(super) fn succeeded(account: &str, what: &str, job: &Job) -> Result<Option<u64>, Failure> {
    if job.state == "JobComplete" {
        return Ok(job.number_records_processed);
    }
    let said = job.error_message.as_deref().map_or_else(String::new, |said| format!(": {}", clip(said)));
    let message = format!("{account}: {what}: the job ended as {}{said}", job.state);
    let help = "see Setup, Bulk Data Load Jobs; restart the activity to read from the beginning";
    Err(Failure::new(Class::CursorLost, message).help(help))
}

/// Whether Salesforce says that a job, or its result, is no longer there, or was made by another version of the API. A status
/// alone may come from a proxy.
pub(super) fn is_gone(failure: &Failure) -> bool {
    matches!(failure.code.as_deref(), Some("NOT_FOUND" | "INVALIDJOB" | "INVALID_JOB_VERSION" | "VERSION_MISMATCH"))
}

/// Whether a page of a result says where the next one is, or that there is none.
pub(super) fn has_locator(reply: &Reply) -> bool {
    reply.headers.get("sforce-locator").is_some_and(|locator| !locator.as_bytes().trim_ascii().is_empty())
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
