//! Salesforce's replication, by spans of time: which records were made or changed (`getUpdated`), and which were deleted
//! (`getDeleted`).
//!
//! A question has whole minutes, an answer's times have seconds: the minutes around a span are asked for, and who asks drops
//! what lies outside. Each answer says up to when it is all (`latestDateCovered`), which is before what transactions that
//! are still open have changed.

use engine::failure::{Class, Failure};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::session::Session;
use super::steps;

const MINUTE_S: i64 = 60;
/// How far back the log of deletions goes at most.
const KEPT: SignedDuration = SignedDuration::from_hours(15 * 24);
/// The span that is asked for to hear how far back the log goes now, and up to when it is all.
const LOOK: SignedDuration = SignedDuration::from_hours(1);

/// From the first instant up to the second one, which does not belong to it.
pub(super) type Span = (Timestamp, Timestamp);

/// What was made or changed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Updated {
    pub(super) ids: Vec<String>,
    pub(super) latest_date_covered: Timestamp,
}

/// What was deleted.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Log {
    pub(super) deleted_records: Vec<Entry>,
    pub(super) earliest_date_available: Timestamp,
    pub(super) latest_date_covered: Timestamp,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) deleted_date: Timestamp,
}

/// The last hour before this time, which is never too long ago.
pub(super) fn look(now: Timestamp) -> Span {
    (now.saturating_sub(LOOK).unwrap_or(now), now)
}

/// The time from which on the log may have deletions.
pub(super) fn kept_at_most(now: Timestamp) -> Timestamp {
    now.saturating_sub(KEPT).unwrap_or(now)
}

/// Asks `getUpdated`.
pub(super) async fn updated(session: &Session, object: &str, span: Span) -> Result<Updated, Failure> {
    session.get(&updated_path(object, span)?, &format!("changed {object}")).await
}

/// Asks `getDeleted`.
pub(super) async fn deleted(session: &Session, object: &str, span: Span) -> Result<Log, Failure> {
    session.get(&deleted_path(object, span)?, &what(object)).await
}

/// The same, where the log has the whole span.
///
/// # Errors
/// `Class::CursorLost` with the earliest time that it has, where it has not.
pub(super) async fn kept(session: &Session, object: &str, span: Span) -> Result<Log, Failure> {
    let log = match deleted(session, object, span).await {
        Err(failure) if is_too_early(&failure) => return Err(too_early(session, object, span.0, failure).await),
        other => other?,
    };
    match log.earliest_date_available {
        earliest if earliest > span.0 => Err(kept_from(session, object, span.0, earliest)),
        _ => Ok(log),
    }
}

fn what(object: &str) -> String {
    format!("deleted {object}")
}

pub(super) fn updated_path(object: &str, span: Span) -> Result<String, Failure> {
    path(object, "updated", span)
}

pub(super) fn deleted_path(object: &str, span: Span) -> Result<String, Failure> {
    path(object, "deleted", span)
}

/// The minute that a time is in.
pub(super) fn minute(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second().div_euclid(MINUTE_S) * MINUTE_S).unwrap_or(at)
}

/// For whole minutes and more than one of them, as Salesforce wants it.
fn path(object: &str, kind: &str, span: Span) -> Result<String, Failure> {
    let start = minute(span.0).as_second();
    let end = (span.1.as_second() + MINUTE_S - 1).div_euclid(MINUTE_S) * MINUTE_S;
    let end = end.max(start + 2 * MINUTE_S);
    let text = |second: i64| {
        let at = Timestamp::from_second(second).map_err(|error| Failure::new(Class::Config, error.to_string()))?;
        Ok::<_, Failure>(at.to_string().replace('Z', "%2B00:00"))
    };
    Ok(format!("sobjects/{object}/{kind}?start={}&end={}", text(start)?, text(end)?))
}

/// Whether more changed in the span than Salesforce tells at once.
pub(super) fn is_too_many(failure: &Failure) -> bool {
    failure.code.as_deref() == Some("EXCEEDED_ID_LIMIT")
}

fn is_too_early(failure: &Failure) -> bool {
    failure.code.as_deref() == Some("INVALID_REPLICATION_DATE")
}

/// Two spans of whole minutes; none where it is too short for that.
pub(super) fn halves((from, to): Span) -> Option<(Span, Span)> {
    let half = to.duration_since(from).as_secs() / 2 / MINUTE_S * MINUTE_S;
    let middle = from.checked_add(SignedDuration::from_secs(half)).ok().filter(|_| half >= 2 * MINUTE_S)?;
    Some(((from, middle), (middle, to)))
}

/// The span begins before what is kept, or Salesforce takes it for another reason: the log itself is asked how far back it
/// goes.
async fn too_early(session: &Session, object: &str, from: Timestamp, failure: Failure) -> Failure {
    let known = async {
        let now = steps::now(session).await?;
        let log = deleted(session, object, look(now)).await?;
        Ok::<_, Failure>(log.earliest_date_available)
    };
    let Ok(earliest) = known.await else { return failure };
    let mut named = kept_from(session, object, from, earliest);
    let where_it_was = format!("{}: {}: ", session.account(), what(object));
    let said = failure.message.strip_prefix(&where_it_was).unwrap_or(&failure.message);
    named.message = format!("{} ({said})", named.message);
    named
}

fn kept_from(session: &Session, object: &str, from: Timestamp, earliest: Timestamp) -> Failure {
    let message = format!(
        "{}: {}: asked for from {from} on, and Salesforce keeps its log from {earliest} on",
        session.account(),
        what(object)
    );
    Failure::new(Class::CursorLost, message).code("INVALID_REPLICATION_DATE").help(format!(
        "begin on {earliest} or later; what was deleted before is found by a reconciliation of keys: give the ids that you \
         have as `ids`"
    ))
}
