//! The feed of changes: replication tells the ids of a span of time, and the records are read by these.
//!
//! ```text
//!   no place yet ─▶ how far is replication? ─▶ all that was last changed before, by the ordinary way ──▶ a place
//!   from a place ─▶ getDeleted, getUpdated up to the CRM's clock ─▶ records by ids ─▶ deletions ──────▶ a place
//! ```
//!
//! A place is the time up to which both are all (`latestDateCovered`). **Each version of a record comes once**, since a
//! reading has those whose `SystemModstamp` lies in its span, and no others:
//!
//! - Nothing is lost at the end of a span: what an open transaction has changed lies behind it, whatever its stamps are. What
//!   changes while the span is read gets a later stamp, and is for the reading after this one, which begins where it ends.
//! - Nothing is repeated at its beginning, although minutes are asked for as a whole. So the first reading too leaves
//!   out what was changed after its end.
//! - A span that is asked for again after a crash has no ids that it had not, for what was covered gets no more changes; ids
//!   that are missing now belong to the next reading. So an id, and not a place in the list, says how far it was.
//! - A record that was changed and is gone when it is read is not there; its deletion is in this span or in the next one.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::TimestampMicrosecondType;
use engine::failure::{Class, Failure};
use engine::outside::crm::{Cursor, Deleted, FETCH_MAX, Feed, Misfit, Page, Query, Read, ReadField, Window};
use futures::stream::{self, BoxStream, StreamExt};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::query::{Plan, VERSION};
use super::replication::{self, Span, is_too_many};
use super::session::Session;
use super::{fetch, field, read as ordinary};
use crate::names;

/// Pages of records that are fetched at the same time.
const AT_ONCE: usize = 2;

/// Where a reading goes on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
enum Place {
    /// Of all that was last changed before this time, at this place of the ordinary reading.
    Whole { to: Timestamp, next: Cursor },
    /// Of what changed.
    Changes(Changes),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Changes {
    object: String,
    from: Timestamp,
    /// The end, once Salesforce has told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<Timestamp>,
    /// The last id whose record was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<String>,
    /// Whether there are changes behind its end that Salesforce would not tell at once.
    #[serde(default)]
    more: bool,
}

/// The pages of a reading, from the beginning or from a cursor.
pub(super) fn pages(
    session: Arc<Session>,
    read: Arc<Read>,
    feed: Feed,
    from: Option<Cursor>,
) -> BoxStream<'static, Result<Page, Failure>> {
    let begin = async move {
        check(&session, &read)?;
        Ok(match (from, &feed.since) {
            (Some(cursor), _) => match resume(&session, &read, cursor)? {
                Place::Whole { to, next } => whole(session, &read, to, Some(next)),
                Place::Changes(place) => changes(session, read, feed.to, place),
            },
            (None, Some(since)) => {
                let place = place_of(&session, &read, since)?;
                changes(session, read, feed.to, place)
            }
            (None, None) => {
                let to = covered(&session, &read.object.name, feed.to).await?;
                whole(session, &read, to, None)
            }
        })
    };
    stream::once(begin)
        .map(|begun: Result<_, Failure>| begun.unwrap_or_else(|failure| stream::once(async { Err(failure) }).boxed()))
        .flatten()
        .boxed()
}

/// # Errors
/// `Class::Config` where the object has no feed, or its feed cannot be read so.
fn check(session: &Session, read: &Read) -> Result<(), Failure> {
    let (account, object) = (session.account(), &read.object);
    let refuse = |message: String, help: &str| Err(Failure::new(Class::Config, message).help(help));
    if !object.feed || !object.fields.get(VERSION).is_some_and(|field| field.readable && field.is_date_time()) {
        let message = format!("{account}: Salesforce keeps no feed of the changes of {}", object.name);
        return refuse(message, "import by the date of change");
    }
    if !read.order.is_empty() {
        let message = format!("{account}: {}: the feed of changes comes in its own order", object.name);
        return refuse(message, "leave `orderBy` out, or import by the date of change");
    }
    Ok(())
}

fn resume(session: &Session, read: &Read, cursor: Cursor) -> Result<Place, Failure> {
    let place: Option<Place> = serde_json::from_value(cursor.0).ok();
    let is_its = |place: &Place| match place {
        Place::Whole { .. } => true,
        Place::Changes(changes) => changes.object == read.object.name,
    };
    place.filter(is_its).ok_or_else(|| lost(session, read, "the place kept from before is not understood"))
}

/// The place that the last reading came to, such as `Contact 2026-03-03T10:00:00Z`.
fn place_of(session: &Session, read: &Read, text: &str) -> Result<Changes, Failure> {
    let (object, from) = text.split_once(' ').unwrap_or_default();
    let from =
        from.parse().map_err(|_| lost(session, read, &format!("`{text}` is no place in the feed of changes")))?;
    if object != read.object.name {
        return Err(lost(session, read, &format!("the place kept from before is one of {object}")));
    }
    Ok(Changes { object: object.to_owned(), from, to: None, after: None, more: false })
}

fn lost(session: &Session, read: &Read, why: &str) -> Failure {
    Failure::new(Class::CursorLost, format!("{}: changes of {}: {why}", session.account(), read.object.name))
}

/// Up to when replication has told all, by the CRM's clock.
async fn covered(session: &Session, object: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    let span = replication::look(now);
    let log = replication::deleted(session, object, span).await?;
    let updated = replication::updated(session, object, span).await?;
    Ok(log.latest_date_covered.min(updated.latest_date_covered).min(now))
}

/// The reading of all that was last changed before this time.
fn before(read: &Read, to: Timestamp) -> Read {
    let window = Some(Window { field: VERSION.to_owned(), from: None, to });
    Read { feed: None, window, ..read.clone() }
}

fn whole(
    session: Arc<Session>,
    read: &Read,
    to: Timestamp,
    next: Option<Cursor>,
) -> BoxStream<'static, Result<Page, Failure>> {
    let read = Arc::new(before(read, to));
    let object = read.object.name.clone();
    let carry_on = move |page: Result<Page, Failure>| {
        let page = page?;
        match page.next {
            Some(next) => Ok(Page { next: Some(cursor(&Place::Whole { to, next })?), ..page }),
            None => Ok(last(page, &object, to)),
        }
    };
    ordinary::pages(session, read, next).map(carry_on).boxed()
}

/// The last page of a reading that came to this time.
fn last(page: Page, object: &str, to: Timestamp) -> Page {
    Page { feed: Some(format!("{object} {to}")), covered: Some(to), ..page }
}

fn cursor(place: &Place) -> Result<Cursor, Failure> {
    serde_json::to_value(place).map(Cursor).map_err(|error| Failure::internal(error.to_string()))
}

/// Span by span: more than one only where Salesforce does not tell all at once.
fn changes(
    session: Arc<Session>,
    read: Arc<Read>,
    until: Timestamp,
    first: Changes,
) -> BoxStream<'static, Result<Page, Failure>> {
    stream::unfold(Some(first), move |place| {
        let (session, read) = (session.clone(), read.clone());
        async move {
            Some(match Told::ask(&session, &read, until, place?).await {
                Ok(told) => {
                    let next = told.place.more.then(|| told.behind());
                    (told.pages(session, read), next)
                }
                Err(failure) => (stream::once(async { Err(failure) }).boxed(), None),
            })
        }
    })
    .flatten()
    .boxed()
}

/// What replication tells of a span.
struct Told {
    /// Before its first record.
    place: Changes,
    span: Span,
    /// Of the records that are still to be read, in order.
    ids: Arc<[String]>,
    deleted: Vec<Deleted>,
}

impl Told {
    /// As much of what changed since a place as Salesforce tells at once.
    async fn ask(session: &Session, read: &Read, until: Timestamp, place: Changes) -> Result<Self, Failure> {
        let end = place.to.unwrap_or(until).max(place.from);
        let mut span = (place.from, end);
        let (log, updated) = loop {
            match both(session, &place.object, span).await {
                Err(failure) if is_too_many(&failure) => {
                    let help = "remove the option and run again: everything is read once";
                    span = replication::halves(span).ok_or_else(|| failure.help(help))?.0;
                }
                other => break other?,
            }
        };
        // What was covered before still is.
        let covered = match place.to {
            Some(_) => span.1,
            None => log.latest_date_covered.min(updated.latest_date_covered),
        };
        let is_halved = span.1 < end;
        let to = covered.clamp(span.0, span.1);
        let place = Changes { to: Some(to), more: to == span.1 && (is_halved || place.more), ..place };
        let mut ids: Vec<String> = updated.ids.into_iter().map(normal).collect();
        ids.sort_unstable();
        ids.dedup();
        let entries = log.deleted_records.into_iter();
        let deleted = entries.map(|entry| Deleted { id: normal(entry.id), at: Some(entry.deleted_date) });
        let mut deleted: Vec<Deleted> =
            deleted.filter(|deleted| deleted.at.is_some_and(|at| (span.0..to).contains(&at))).collect();
        deleted.sort_by(|a, b| a.at.cmp(&b.at).then_with(|| a.id.cmp(&b.id)));
        let restored = restored(session, read, &ids, &deleted).await?;
        deleted.retain(|deleted| !restored.contains(&deleted.id));
        // A span that came to nothing has no records either.
        ids.retain(|id| to > span.0 && place.after.as_ref().is_none_or(|after| id > after));
        Ok(Self { place, span: (span.0, to), ids: ids.into(), deleted })
    }

    /// The place behind this span.
    fn behind(&self) -> Changes {
        Changes { from: self.span.1, to: None, after: None, more: false, ..self.place.clone() }
    }

    /// Records by their ids, then the deletions.
    fn pages(self, session: Arc<Session>, read: Arc<Read>) -> BoxStream<'static, Result<Page, Failure>> {
        let size = page_size(&session);
        let Self { ref place, span, ref ids, .. } = self;
        let (schema, some) = (read.schema(), (0..ids.len()).step_by(size));
        let (ids, place) = (Arc::clone(ids), place.clone());
        let records = move |from: usize| {
            let (session, read, ids, place) = (session.clone(), read.clone(), Arc::clone(&ids), place.clone());
            async move {
                let ids = &ids[from..(from + size).min(ids.len())];
                let page = records(&session, &read, ids, span).await?;
                let next = cursor(&Place::Changes(Changes { after: ids.last().cloned(), ..place }))?;
                Ok(Page { next: Some(next), ..page })
            }
        };
        let end = async move {
            let behind = self.behind();
            let page = Page { deleted: self.deleted, ..Page::new(RecordBatch::new_empty(schema)) };
            match self.place.more {
                true => Ok(Page { next: Some(cursor(&Place::Changes(behind))?), ..page }),
                false => Ok(last(page, &behind.object, behind.from)),
            }
        };
        stream::iter(some).map(records).buffered(AT_ONCE).chain(stream::once(end)).boxed()
    }
}

/// An id with 18 characters, by which ids are compared.
fn normal(id: String) -> String {
    field::id(&id).unwrap_or(id)
}

/// What was deleted and what was changed in a span. Deletions are kept for fewer days, so that they are asked for first.
async fn both(
    session: &Session,
    object: &str,
    span: Span,
) -> Result<(replication::Log, replication::Updated), Failure> {
    let log = replication::kept(session, object, span).await?;
    Ok((log, replication::updated(session, object, span).await?))
}

/// Of records that were deleted and also changed in a span, those that are there: they came back afterwards.
async fn restored(
    session: &Session,
    read: &Read,
    changed: &[String],
    deleted: &[Deleted],
) -> Result<HashSet<String>, Failure> {
    let both = deleted.iter().map(|deleted| &deleted.id).filter(|id| changed.binary_search(id).is_ok());
    let both: Vec<String> = both.cloned().collect();
    let id = names::field(&read.object, &read.object.id, session.account())?.clone();
    let only_id = Read::new(Arc::clone(&read.object), vec![ReadField { field: id, raw: false }]);
    let mut there = HashSet::new();
    for some in both.chunks(FETCH_MAX) {
        let page = fetch::fetch(session, &only_id, &read.object.id, some).await?;
        there.extend(page.records.column(0).as_string::<i32>().iter().flatten().map(str::to_owned));
    }
    Ok(there)
}

/// The records with these ids that were last changed in the span.
async fn records(session: &Session, read: &Read, ids: &[String], span: Span) -> Result<Page, Failure> {
    let stamp = names::field(&read.object, VERSION, session.account())?.clone();
    let mut stamped = read.clone();
    stamped.fields.push(ReadField { field: stamp, raw: false });
    let page = fetch::fetch(session, &stamped, &read.object.id, ids).await?;
    let mut rejects = Vec::new();
    for misfit in page.rejects {
        let record = only(&misfit.record, &within(&misfit.record, span))?;
        if record.num_rows() > 0 {
            rejects.push(Misfit { record, ..misfit });
        }
    }
    let its = within(&page.records, span);
    let versions = page.versions.map(|versions| versions.filter(&its)).transpose().map_err(internal)?;
    Ok(Page { versions, rejects, ..Page::new(only(&page.records, &its)?) })
}

/// Which records were last changed in the span, by the stamp, which is the last column.
fn within(records: &RecordBatch, (from, to): Span) -> BooleanArray {
    let span = from.as_microsecond()..to.as_microsecond();
    let stamps = records.column(records.num_columns().saturating_sub(1)).as_primitive::<TimestampMicrosecondType>();
    stamps.iter().map(|at| Some(at.is_none_or(|at| span.contains(&at)))).collect()
}

/// Those records without the stamp.
fn only(records: &RecordBatch, its: &BooleanArray) -> Result<RecordBatch, Failure> {
    let its = filter_record_batch(records, its).map_err(internal)?;
    its.project(&(0..its.num_columns().saturating_sub(1)).collect::<Vec<_>>()).map_err(internal)
}

fn internal(error: arrow::error::ArrowError) -> Failure {
    Failure::internal(error.to_string())
}

/// How a reading would begin.
pub(super) enum Begin {
    /// With all that was last changed before a time; this is the latest that it can be.
    Whole(Box<Read>),
    /// With the ids of this span.
    Changes(Span),
}

/// How this reading would begin.
///
/// # Errors
/// Where there is no such feed, or the place in it cannot be read.
pub(super) fn begin(session: &Session, read: &Read, feed: &Feed) -> Result<Begin, Failure> {
    check(session, read)?;
    Ok(match &feed.since {
        None => Begin::Whole(Box::new(before(read, replication::minute(feed.to)))),
        Some(since) => Begin::Changes((place_of(session, read, since)?.from, feed.to)),
    })
}

/// What would be asked for. By ids no filter is sent.
pub(super) fn query(session: &Session, read: &Read, feed: &Feed) -> Result<Query, Failure> {
    match begin(session, read, feed)? {
        Begin::Whole(whole) => Plan::new(session, &whole).map(Plan::into_query),
        Begin::Changes(span) => {
            let path = replication::updated_path(&read.object.name, span)?;
            Ok(Query { text: format!("{}{path}", session.base()), filter: None, exact: read.filter.is_none() })
        }
    }
}

/// How many records changed, some minutes more or less; none where Salesforce does not tell so many at once.
pub(super) async fn count(session: &Session, read: &Read, feed: &Feed) -> Result<Option<u64>, Failure> {
    let span = match begin(session, read, feed)? {
        Begin::Whole(whole) => return fetch::count(session, &whole).await.map(Some),
        Begin::Changes(span) => span,
    };
    match replication::updated(session, &read.object.name, span).await {
        Err(failure) if is_too_many(&failure) => Ok(None),
        told => Ok(Some(told?.ids.len() as u64)),
    }
}

/// Records of a page that is read by ids.
pub(super) fn page_size(session: &Session) -> usize {
    FETCH_MAX.min(session.http.limits().records_per_page.max(1) as usize)
}
