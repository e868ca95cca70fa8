//! What was deleted, from Salesforce's log of deletions.
//!
//! The log knows minutes only in its question and seconds in its answer: a wider span is asked for, and what lies outside
//! is dropped here. It is kept for 15 days, or less where many records are deleted.

use std::sync::Arc;

use engine::failure::{Class, Failure};
use engine::outside::crm::{Cursor, Deleted, DeletedPage, DeletedSpan, ReadDeleted, Way};
use futures::stream::{self, BoxStream, StreamExt};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::session::Session;
use super::{field, steps};

const MINUTE_S: i64 = 60;
/// How far back the log goes at most.
const KEPT: SignedDuration = SignedDuration::from_hours(15 * 24);
/// The span that is asked for to hear how far back it goes now.
const LOOK: SignedDuration = SignedDuration::from_hours(1);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Log {
    deleted_records: Vec<Entry>,
    earliest_date_available: Option<Timestamp>,
    latest_date_covered: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    id: String,
    deleted_date: Timestamp,
}

/// What is still to be asked for, the next span last.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Place {
    object: String,
    /// Of what was deleted from the first second up to the second one, which is not included.
    spans: Vec<(Timestamp, Timestamp)>,
    /// Whether it goes on from one reading to the next.
    since: bool,
}

/// The deleted records, from the beginning or from a cursor.
pub(super) fn pages(
    session: Arc<Session>,
    read: Arc<ReadDeleted>,
    from: Option<Cursor>,
) -> BoxStream<'static, Result<DeletedPage, Failure>> {
    let begin = async move {
        let place = match from {
            Some(cursor) => resume(&session, &read, cursor)?,
            None => first(&session, &read).await?,
        };
        Ok((session, read, place))
    };
    stream::once(begin)
        .flat_map(|begun: Result<_, Failure>| match begun {
            Err(failure) => stream::once(async { Err(failure) }).boxed(),
            Ok((session, read, place)) => stream::unfold(Some(place), move |place| {
                let (session, read) = (session.clone(), read.clone());
                async move {
                    let place = place?;
                    Some(match next(&session, &read, place).await {
                        Ok((page, place)) => (Ok(page), place),
                        Err(failure) => (Err(failure), None),
                    })
                }
            })
            .boxed(),
        })
        .boxed()
}

fn resume(session: &Session, read: &ReadDeleted, cursor: Cursor) -> Result<Place, Failure> {
    let place: Option<Place> = serde_json::from_value(cursor.0).ok();
    place.filter(|place| place.object == read.object.name && !place.spans.is_empty()).ok_or_else(|| {
        let message = format!(
            "{}: deleted {}: the place kept from before is not understood",
            session.account(),
            read.object.name
        );
        Failure::new(Class::CursorLost, message).help("restart the activity")
    })
}

/// How the ids would be asked for.
pub(super) async fn way(session: &Session, read: &ReadDeleted) -> Result<Way, Failure> {
    let place = first(session, read).await?;
    let span = place.spans.last().copied().unwrap_or_default();
    let get = |span| Ok::<_, Failure>(format!("GET {}{}", session.base(), path(&place.object, span)?));
    let before = match &read.span {
        // How far back the log goes is asked with the last hour of it.
        DeletedSpan::Since { from: None, .. } => vec![get((span.1.saturating_sub(LOOK).unwrap_or(span.1), span.1))?],
        _ => Vec::new(),
    };
    let calls = before.len() as u64 + 1;
    Ok(Way {
        method: "log of deletions (getDeleted)".to_owned(),
        before,
        request: get(span)?,
        per_call: None,
        calls: Some(calls),
        notes: vec![
            "where Salesforce does not tell so many at once, the span is halved, which is more calls".to_owned(),
        ],
    })
}

async fn first(session: &Session, read: &ReadDeleted) -> Result<Place, Failure> {
    let object = read.object.name.clone();
    if !read.object.feed {
        let message = format!("{}: Salesforce keeps no log of deletions of {object}", session.account());
        return Err(Failure::new(Class::Config, message)
            .help("find what is gone by a reconciliation of keys: give the ids that you have as `ids`"));
    }
    let second = SignedDuration::from_secs(1);
    let (span, since) = match &read.span {
        // Both ends are included, and the log has whole seconds.
        DeletedSpan::Period { from, to } => ((*from, to.saturating_add(second).unwrap_or(*to)), false),
        DeletedSpan::Since { from: Some(from), .. } => ((*from, steps::now(session).await?), true),
        DeletedSpan::Since { from: None, .. } => {
            let now = steps::now(session).await?;
            let log = ask(session, &object, (now.saturating_sub(LOOK).unwrap_or(now), now)).await?;
            let kept = now.saturating_sub(KEPT).unwrap_or(now);
            // The first minute of what is kept may be gone when it is asked for.
            let kept = kept.saturating_add(SignedDuration::from_mins(2)).unwrap_or(kept);
            ((log.earliest_date_available.map_or(kept, |earliest| earliest.max(kept)), now), true)
        }
    };
    Ok(Place { object, spans: vec![span], since })
}

/// Reads one span, and what is then still to be read.
async fn next(
    session: &Session,
    read: &ReadDeleted,
    mut place: Place,
) -> Result<(DeletedPage, Option<Place>), Failure> {
    let span = place.spans.pop().unwrap_or_default();
    let log = match ask(session, &place.object, span).await {
        Err(failure) if failure.code.as_deref() == Some("EXCEEDED_ID_LIMIT") => {
            return halved(session, read, place, span, failure);
        }
        Err(failure) if failure.code.as_deref() == Some("INVALID_REPLICATION_DATE") => {
            return Err(too_early(session, &place, span, &failure).await);
        }
        other => other?,
    };
    if let Some(earliest) = log.earliest_date_available.filter(|earliest| *earliest > span.0) {
        return Err(kept_from(session, &place, span.0, earliest));
    }
    // What is newer than this may still be missing from the log.
    let covered = log.latest_date_covered.unwrap_or(span.1).min(span.1).max(span.0);
    let until = if place.since { covered } else { span.1 };
    let mut records: Vec<Deleted> = log
        .deleted_records
        .into_iter()
        .filter(|entry| entry.deleted_date >= span.0 && entry.deleted_date < until)
        .map(|entry| Deleted { id: field::id(&entry.id).unwrap_or(entry.id), at: Some(entry.deleted_date) })
        .collect();
    records.sort_by(|a, b| a.at.cmp(&b.at).then_with(|| a.id.cmp(&b.id)));
    // A span that is not covered to its end holds back those after it.
    let is_last = place.spans.is_empty() || (place.since && covered < span.1);
    let page = DeletedPage {
        records,
        next: (!is_last).then(|| cursor(&place)).transpose()?,
        covered: (is_last && place.since).then_some(covered),
        feed: None,
    };
    Ok((page, (!is_last).then_some(place)))
}

/// More were deleted than Salesforce tells at once: the span is read in two.
fn halved(
    session: &Session,
    read: &ReadDeleted,
    mut place: Place,
    span: (Timestamp, Timestamp),
    failure: Failure,
) -> Result<(DeletedPage, Option<Place>), Failure> {
    let half = span.1.duration_since(span.0).as_secs() / 2 / MINUTE_S * MINUTE_S;
    let middle = span.0.saturating_add(SignedDuration::from_secs(half)).unwrap_or(span.0);
    if half < 2 * MINUTE_S || middle <= span.0 {
        return Err(failure.help("find what is gone by a reconciliation of keys: give the ids that you have as `ids`"));
    }
    tracing::info!(account = session.account(), object = read.object.name, "the log of deletions is read in parts");
    place.spans.extend([(middle, span.1), (span.0, middle)]);
    let page = DeletedPage { next: Some(cursor(&place)?), ..DeletedPage::default() };
    Ok((page, Some(place)))
}

fn cursor(place: &Place) -> Result<Cursor, Failure> {
    serde_json::to_value(place).map(Cursor).map_err(|error| Failure::internal(error.to_string()))
}

/// Asks the log, for whole minutes and more than one of them.
async fn ask(session: &Session, object: &str, span: (Timestamp, Timestamp)) -> Result<Log, Failure> {
    session.get(&path(object, span)?, &format!("deleted {object}")).await
}

fn path(object: &str, span: (Timestamp, Timestamp)) -> Result<String, Failure> {
    let start = span.0.as_second().div_euclid(MINUTE_S) * MINUTE_S;
    let end = (span.1.as_second() + MINUTE_S - 1).div_euclid(MINUTE_S) * MINUTE_S;
    let end = end.max(start + 2 * MINUTE_S);
    let text = |second: i64| {
        let at = Timestamp::from_second(second).map_err(|error| Failure::new(Class::Config, error.to_string()))?;
        Ok::<_, Failure>(at.to_string().replace('Z', "%2B00:00"))
    };
    Ok(format!("sobjects/{object}/deleted?start={}&end={}", text(start)?, text(end)?))
}

/// The span begins before what is kept, or Salesforce takes it for another reason: the log itself is asked how far back it
/// goes.
async fn too_early(session: &Session, place: &Place, span: (Timestamp, Timestamp), failure: &Failure) -> Failure {
    let known = async {
        let now = steps::now(session).await?;
        let log = ask(session, &place.object, (now.saturating_sub(LOOK).unwrap_or(now), now)).await?;
        let kept = now.saturating_sub(KEPT).unwrap_or(now);
        Ok::<_, Failure>(log.earliest_date_available.map_or(kept, |earliest| earliest))
    };
    match known.await {
        Ok(earliest) => {
            let mut named = kept_from(session, place, span.0, earliest);
            let where_it_was = format!("{}: deleted {}: ", session.account(), place.object);
            let said = failure.message.strip_prefix(&where_it_was).unwrap_or(&failure.message);
            named.message = format!("{} ({said})", named.message);
            named
        }
        Err(_) => failure.clone(),
    }
}

fn kept_from(session: &Session, place: &Place, from: Timestamp, earliest: Timestamp) -> Failure {
    let (account, object) = (session.account(), &place.object);
    let message = format!(
        "{account}: deleted {object}: asked for from {from} on, and Salesforce keeps its log from {earliest} on"
    );
    // A period can be corrected; what an incremental reading has missed is not in the log any more.
    let class = if place.since { Class::CursorLost } else { Class::Config };
    Failure::new(class, message).code("INVALID_REPLICATION_DATE").help(format!(
        "begin on {earliest} or later; what was deleted before is found by a reconciliation of keys: give the ids that you \
         have as `ids`"
    ))
}
