//! What was deleted, from Salesforce's log of deletions.
//!
//! It is kept for 15 days, or less where many records are deleted.

use std::sync::Arc;

use engine::failure::{Class, Failure};
use engine::outside::crm::{Cursor, Deleted, DeletedPage, DeletedSpan, ReadDeleted, Way};
use futures::stream::{self, BoxStream, StreamExt};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::replication::{self, Span, is_too_many, look};
use super::session::Session;
use super::{field, steps};

/// What is still to be asked for, the next span last.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Place {
    object: String,
    spans: Vec<Span>,
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
    let get =
        |span| Ok::<_, Failure>(format!("GET {}{}", session.base(), replication::deleted_path(&place.object, span)?));
    let before = match &read.span {
        // How far back the log goes is asked with the last hour of it.
        DeletedSpan::Since { from: None, .. } => vec![get(look(span.1))?],
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
            let log = replication::deleted(session, &object, look(now)).await?;
            // The first minute of what is kept may be gone when it is asked for.
            let kept = replication::kept_at_most(now);
            let kept = kept.saturating_add(SignedDuration::from_mins(2)).unwrap_or(kept);
            ((log.earliest_date_available.max(kept), now), true)
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
    // A period can be corrected; what an incremental reading has missed is not in the log any more.
    let class = if place.since { Class::CursorLost } else { Class::Config };
    let log = match replication::kept(session, &place.object, span).await {
        Err(failure) if is_too_many(&failure) => return halved(session, read, place, span, failure),
        Err(failure) if failure.class == Class::CursorLost => return Err(Failure { class, ..failure }),
        other => other?,
    };
    // What is newer than this may still be missing from the log.
    let covered = log.latest_date_covered.min(span.1).max(span.0);
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
    span: Span,
    failure: Failure,
) -> Result<(DeletedPage, Option<Place>), Failure> {
    let Some((first, second)) = replication::halves(span) else {
        return Err(failure.help("find what is gone by a reconciliation of keys: give the ids that you have as `ids`"));
    };
    tracing::info!(account = session.account(), object = read.object.name, "the log of deletions is read in parts");
    place.spans.extend([second, first]);
    let page = DeletedPage { next: Some(cursor(&place)?), ..DeletedPage::default() };
    Ok((page, Some(place)))
}

fn cursor(place: &Place) -> Result<Cursor, Failure> {
    serde_json::to_value(place).map(Cursor).map_err(|error| Failure::internal(error.to_string()))
}
