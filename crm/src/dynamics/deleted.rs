//! Ids of deleted records: from the feed of changes, from the audit log, or from the recycle bin.
//!
//! ```text
//!   of a period ───────────▶ audit log, else recycle bin, which has no times
//!   since the last time ─┬─ a place in the feed ─────▶ the feed
//!                        ├─ none, change tracking ───▶ the feed to its end, where the next reading begins;
//!                        │                             then what audit log or recycle bin have from before, see [`border`]
//!                        └─ else ─▶ audit log, from a little before where the last reading ended, or all of it
//! ```
//!
//! Who begins with the audit log goes on with it, also where change tracking is switched on later: a feed that begins then
//! knows nothing of entries that the log gets late.

mod border;
mod keeper;

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use engine::failure::{Class, Failure};
use engine::outside::crm::{Cursor, Deleted, DeletedPage, DeletedSpan, Object, Read, ReadDeleted, Way};
use futures::stream::{self, BoxStream, StreamExt};
use jiff::{SignedDuration, Timestamp};
use reqwest::header::{DATE, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use self::border::{AUDIT_LATE, Border};
use self::keeper::{Keeper, Search};
use super::session::Session;
use super::{column, key, ranges};
use crate::http::{Refusal, Reply, date, in_query};

/// The number of a deletion in the audit log.
const DELETE: u32 = 3;
/// How an entry's context ends that says that a record was deleted.
const DELETED: &str = "/$deletedEntity";
/// The longest that an environment can be set to keep records in its recycle bin.
const BIN_DAYS: i64 = 30;
/// To how many days the keeping of an audit log can be set.
const AUDIT_DAYS: RangeInclusive<i64> = 1..=365_000;
/// The most records of the recycle bin in one answer.
const BIN_PAGE: usize = 5_000;
/// Without it, an answer to FetchXML does not say whether there are more records.
const BIN_ANNOTATIONS: HeaderValue = HeaderValue::from_static("odata.include-annotations=\"Microsoft.Dynamics.CRM.*\"");

/// What now where the feed goes back no further.
const FEED_LOST: &str = "the CRM keeps changes for some days only (7 by default): compare all ids to find what was deleted \
    since (`crm.importDeleted` with `ids`), and take the option away, so that a new feed begins";

/// Where the ids come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Source {
    /// The feed of changes; the first time only its end is wanted.
    Feed {
        first: bool,
    },
    /// The log, up to this time.
    Audit {
        to: Timestamp,
    },
    Bin {
        page: usize,
    },
}

/// Where the reading goes on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Place {
    source: Source,
    /// Beneath the service root.
    link: String,
    /// Where the next reading begins, once the first one has found the end of the feed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    feed: Option<String>,
    /// The place in the feed that is read once the log has been looked into again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    follow: Option<String>,
    /// Of a feed that has begun a short time ago.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    border: Option<Border>,
}

impl Place {
    fn new(source: Source, link: String) -> Self {
        Self { source, link, feed: None, follow: None, border: None }
    }
}

/// The pages of deleted records.
pub(super) fn pages(
    session: Arc<Session>,
    read: Arc<ReadDeleted>,
    from: Option<Cursor>,
) -> BoxStream<'static, Result<DeletedPage, Failure>> {
    struct State {
        place: Option<Place>,
        is_first: bool,
        /// Links that were followed.
        seen: HashSet<String>,
    }
    let begin = match from.map(|cursor| serde_json::from_value(cursor.0)) {
        None => Ok(None),
        Some(Ok(place)) => Ok(Some(place)),
        Some(Err(error)) => Err(Failure::new(
            Class::Config,
            format!("{}: the place kept from before cannot be read: {error}", session.account()),
        )
        .help("restart the activity to read from the beginning")),
    };
    let place = match begin {
        Ok(place) => place,
        Err(failure) => return stream::once(async { Err(failure) }).boxed(),
    };
    let state = State { is_first: place.is_none(), place, seen: HashSet::new() };
    stream::unfold(Some(state), move |state| {
        let (session, read) = (session.clone(), read.clone());
        async move {
            let mut state = state?;
            let place = match (state.place, state.is_first) {
                (Some(place), _) => Ok(place),
                (None, true) => first(&session, &read).await.map(|(place, _)| place),
                (None, false) => return None,
            };
            let page = match place {
                Ok(place) if !state.seen.insert(place.link.clone()) => Err(session.circle(&what(&read.object))),
                Ok(place) => page(&session, &read, place).await,
                Err(failure) => Err(failure),
            };
            match page {
                Ok((page, place)) => Some((Ok(page), Some(State { place, is_first: false, seen: state.seen }))),
                Err(failure) => Some((Err(failure), None)),
            }
        }
    })
    .boxed()
}

/// How the ids would be asked for; the CRM is asked who keeps them.
pub(super) async fn way(session: &Session, read: &ReadDeleted) -> Result<Way, Failure> {
    let (mut place, asked) = first(session, read).await?;
    if let Some(link) = place.follow.take() {
        place = Place::new(Source::Feed { first: false }, link);
    }
    let get = |link: &String| format!("GET {}{link}", session.root.path());
    let page = match place.source {
        Source::Bin { .. } => BIN_PAGE as u64,
        _ => u64::from(session.http.limits().records_per_page.max(1)),
    };
    let mut calls = None;
    let (method, note) = match place.source {
        Source::Feed { first: true } => {
            let all = Read::new(Arc::clone(&read.object), Vec::new());
            // Only an estimate is lost where nobody tells.
            let all = ranges::count(session, &all).await.unwrap_or_default();
            calls = all.map(|all| all.div_ceil(page).max(1));
            (
                "feed of changes, to its end",
                Some(
                    "a first import finds where the feed ends; deletions from before come of the audit log or recycle bin",
                ),
            )
        }
        Source::Feed { first: false } => (
            "feed of changes, from the `$deltatoken` that was kept",
            Some("records that were made or changed come too, and are dropped here"),
        ),
        Source::Audit { .. } if matches!(read.span, DeletedSpan::Since { .. }) => {
            ("audit log", Some("its last five minutes are read again, for entries that it got late"))
        }
        Source::Audit { .. } => ("audit log", None),
        Source::Bin { .. } => {
            ("recycle bin, by FetchXML", Some("the bin tells no times: all that is in it comes, whatever the period"))
        }
    };
    Ok(Way {
        method: method.to_owned(),
        before: asked.iter().map(get).collect(),
        request: get(&place.link),
        per_call: Some(page),
        calls,
        notes: note.map(str::to_owned).into_iter().collect(),
    })
}

/// Where the reading begins: at the first source that the environment has; and what was asked to find it.
async fn first(session: &Session, read: &ReadDeleted) -> Result<(Place, Vec<String>), Failure> {
    let object = &read.object;
    require_name(session, object)?;
    let begin = || format!("{}?$select={}", object.name, object.id);
    let mut search = Search::new(session, object);
    let place = match &read.span {
        DeletedSpan::Since { feed: Some(place), .. } => match border::read(place) {
            (link, None) => Place::new(Source::Feed { first: false }, link),
            (link, Some(border)) => {
                let is_last = border.is_over(super::steps::now(session).await?);
                let log = audited(object, Some(border.late_from()), border.to);
                Place { follow: Some(link), border: Some(Border { is_last, ..border }), ..log }
            }
        },
        DeletedSpan::Since { from: None, .. } if object.feed => Place::new(Source::Feed { first: true }, begin()),
        DeletedSpan::Since { from, .. } => {
            let keeper = search.of_news().await?;
            let now = super::steps::now(session).await?;
            if let Some(from) = from {
                require_within(session, read, (*from, now), keeper)?;
            }
            audited(object, from.map(|from| from.saturating_sub(AUDIT_LATE).unwrap_or(from)), now)
        }
        DeletedSpan::Period { from, to } => {
            let keeper = search.of_period().await?;
            if keeper.days().is_some() {
                require_within(session, read, (*from, super::steps::now(session).await?), keeper)?;
            }
            match keeper {
                Keeper::Audit { .. } => audited(object, Some(*from), *to),
                Keeper::Bin => bin(object, 1, None),
            }
        }
    };
    Ok((place, search.asked))
}

fn require_name(session: &Session, object: &Object) -> Result<(), Failure> {
    if column::is_identifier(&object.name) && column::is_identifier(&object.internal_name) {
        return Ok(());
    }
    let message = format!("{}: `{}` is not the name of an object", session.account(), object.name);
    Err(Failure::new(Class::Config, message))
}

/// What the system has of the time before the feed began: all of its audit log, else of its recycle bin, if it has either.
async fn before_feed(session: &Session, object: &Object, to: Timestamp) -> Result<Option<Place>, Failure> {
    match Search::new(session, object).of_period().await {
        Ok(Keeper::Audit { .. }) => Ok(Some(audited(object, None, to))),
        Ok(Keeper::Bin) => Ok(Some(bin(object, 1, None))),
        Err(failure) if failure.class == Class::Config => {
            tracing::info!(account = session.account(), %failure, "no deletion from before the feed of changes is known");
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}

/// The entries of the audit log from one time to another; without the first, all that it still has.
fn audited(object: &Object, from: Option<Timestamp>, to: Timestamp) -> Place {
    let from = from.map(|from| format!(" and createdon ge {from}")).unwrap_or_default();
    let filter = in_query(&format!("{}{from} and createdon le {to}", deletions(object)));
    let link = format!("audits?$select=_objectid_value,createdon&$filter={filter}&$orderby=createdon,auditid");
    Place::new(Source::Audit { to }, link)
}

/// What was deleted longer ago would be missing without a word.
fn require_within(
    session: &Session,
    read: &ReadDeleted,
    (from, now): (Timestamp, Timestamp),
    keeper: Keeper,
) -> Result<(), Failure> {
    let Some(days) = keeper.days() else { return Ok(()) };
    let since = now.checked_sub(SignedDuration::from_hours(24 * days)).unwrap_or(Timestamp::MIN);
    if from >= since {
        return Ok(());
    }
    let (account, object) = (session.account(), &read.object.name);
    let message = format!(
        "{account}: the {} keeps deleted {object} for {days} days at most, so what was deleted before {since:.0} may \
         be gone, and the period begins at {from}",
        keeper.name()
    );
    // A period can be corrected; what an incremental reading has missed may not be there any more.
    let (class, help) = match read.span {
        DeletedSpan::Period { .. } => {
            (Class::Config, "begin later, or compare all ids (`crm.importDeleted` with `ids`)")
        }
        DeletedSpan::Since { .. } => (
            Class::CursorLost,
            "compare all ids to find what was deleted since (`crm.importDeleted` with `ids`), and take the option away, so \
             that the next import begins now",
        ),
    };
    Err(Failure::new(class, message).help(help))
}

/// Whether deletions of this object are kept with their times; the recycle bin has none. Where only what is new is asked for,
/// no times are needed.
///
/// # Errors
/// `Class::Config` where they are not kept: what must be switched on.
pub(super) async fn is_timed(session: &Session, object: &Object, is_incremental: bool) -> Result<bool, Failure> {
    require_name(session, object)?;
    let mut search = Search::new(session, object);
    Ok(match is_incremental {
        true if object.feed => true,
        true => search.of_news().await.map(|_| true)?,
        false => matches!(search.of_period().await?, Keeper::Audit { .. }),
    })
}

/// Deletions of this table in the audit log.
fn deletions(object: &Object) -> String {
    format!("objecttypecode eq '{}' and operation eq {DELETE}", object.internal_name)
}

/// A page of the recycle bin, which can be asked by FetchXML only.
fn bin(object: &Object, page: usize, cookie: Option<String>) -> Place {
    let escaped =
        |text: &str| text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;");
    let paging = cookie.map(|cookie| format!(" paging-cookie=\"{}\"", escaped(&cookie))).unwrap_or_default();
    let (name, id) = (&object.internal_name, &object.id);
    let fetch = format!(
        "<fetch datasource=\"bin\" count=\"{BIN_PAGE}\" page=\"{page}\"{paging}><entity name=\"{name}\"><attribute \
         name=\"{id}\"/><order attribute=\"{id}\"/></entity></fetch>"
    );
    let link = format!("{}?fetchXml={}", object.name, in_query(&fetch));
    Place::new(Source::Bin { page }, link)
}

fn what(object: &Object) -> String {
    format!("reading what was deleted of {}", object.name)
}

#[derive(Deserialize)]
struct List {
    value: Vec<Map<String, Value>>,
    #[serde(rename = "@odata.nextLink")]
    next: Option<String>,
    #[serde(rename = "@odata.deltaLink")]
    delta: Option<String>,
    #[serde(rename = "@Microsoft.Dynamics.CRM.morerecords")]
    has_more: Option<bool>,
    #[serde(rename = "@Microsoft.Dynamics.CRM.fetchxmlpagingcookie")]
    cookie: Option<String>,
}

async fn ask(session: &Session, link: &str, prefer: Option<HeaderValue>, what: &str) -> Result<(List, Reply), Failure> {
    let makes_sense = |reply: &Reply| match serde_json::from_slice::<List>(&reply.body) {
        Ok(_) => Ok(()),
        Err(_) => Err(Refusal::from(session.no_sense(what, reply))),
    };
    let reply = session.get(session.address(link)?, prefer, what, &makes_sense).await?;
    let list = serde_json::from_slice(&reply.body).map_err(|_| session.no_sense(what, &reply))?;
    Ok((list, reply))
}

/// A page, and where the next one is.
async fn page(
    session: &Session,
    read: &ReadDeleted,
    mut place: Place,
) -> Result<(DeletedPage, Option<Place>), Failure> {
    if place.source == (Source::Feed { first: true }) && place.border.is_none() {
        place.border = Some(Border::new(super::steps::now(session).await?));
    }
    let size = session.http.limits().records_per_page.max(1);
    let prefer = match &place.source {
        Source::Feed { .. } => HeaderValue::try_from(format!("odata.track-changes,odata.maxpagesize={size}")).ok(),
        Source::Audit { .. } => HeaderValue::try_from(format!("odata.maxpagesize={size}")).ok(),
        Source::Bin { .. } => Some(BIN_ANNOTATIONS),
    };
    let (list, reply) =
        ask(session, &place.link, prefer, &what(&read.object)).await.map_err(|failure| match place.source {
            Source::Feed { .. } if failure.class == Class::CursorLost => failure.help(FEED_LOST),
            _ => failure,
        })?;
    let now = date(&reply.headers, DATE);
    let records = list.value.iter().filter_map(|record| deleted(read, &place.source, record));
    let records: Option<Vec<Deleted>> = records.collect();
    let mut records = records.ok_or_else(|| {
        let mut failure = session.no_sense(&what(&read.object), &reply);
        failure.message += " (an entry does not say which record was deleted)";
        failure
    })?;
    if let Some(border) = &mut place.border {
        border.take(&mut records);
    }
    let source = place.source.clone();
    let (next, feed) = after(session, read, place, &list, now).await?;
    let cursor = next.as_ref().map(|place| serde_json::to_value(place).map(Cursor));
    let cursor = cursor.transpose().map_err(|error| Failure::internal(error.to_string()))?;
    // What came later than the log was asked for is for the next reading, however long this one took.
    let now = now.filter(|_| next.is_none());
    let covered = match (&source, &read.span) {
        (Source::Audit { to }, _) | (_, DeletedSpan::Period { to, .. }) => now.map(|now| now.min(*to)),
        (_, DeletedSpan::Since { .. }) => now,
    };
    Ok((DeletedPage { records, next: cursor, covered, feed }, next))
}

/// Where the reading goes on after a page; after the last one of a feed, where the next reading begins.
async fn after(
    session: &Session,
    read: &ReadDeleted,
    place: Place,
    list: &List,
    now: Option<Timestamp>,
) -> Result<(Option<Place>, Option<String>), Failure> {
    let Place { source, feed, follow, mut border, .. } = place;
    let further = match &source {
        Source::Bin { page } => {
            // A full page that does not say that it is the last is not.
            let has_more = list.has_more.unwrap_or(list.cookie.is_some() || list.value.len() >= BIN_PAGE);
            has_more.then(|| bin(&read.object, page + 1, list.cookie.as_deref().and_then(inner_cookie)))
        }
        source => match &list.next {
            Some(link) => Some(Place::new(source.clone(), own(session, link)?)),
            None => None,
        },
    };
    if let Some(next) = further {
        return Ok((Some(Place { feed, follow, border, ..next }), None));
    }
    let feed = match &source {
        Source::Feed { .. } => Some(feed_end(session, read, list.delta.as_deref())?),
        _ => feed,
    };
    let next = match (&source, follow) {
        (_, Some(link)) => Some(Place::new(Source::Feed { first: false }, link)),
        (Source::Feed { first: true }, None) => {
            let to = match now {
                Some(now) => now,
                None => super::steps::now(session).await?,
            };
            let before = before_feed(session, &read.object, to).await?;
            // A recycle bin has what is deleted at once.
            let is_log = before.as_ref().is_some_and(|place| matches!(place.source, Source::Audit { .. }));
            border = border.filter(|_| is_log).map(|border| Border { to, ..border });
            before
        }
        _ => None,
    };
    if let Some(next) = next {
        return Ok((Some(Place { feed, border, ..next }), None));
    }
    let feed = feed.map(|link| border::written(link, border)).transpose();
    Ok((None, feed.map_err(|error| Failure::internal(error.to_string()))?))
}

/// Where the feed ends, which its last page says.
fn feed_end(session: &Session, read: &ReadDeleted, link: Option<&str>) -> Result<String, Failure> {
    let Some(link) = link else {
        let message = format!(
            "{}: {}: the last page of the feed of changes has no link to the next changes",
            session.account(),
            what(&read.object)
        );
        return Err(Failure::new(Class::Config, message).help("switch on `Track changes` for this table"));
    };
    own(session, link)
}

/// The deletion that an entry is about; `Some(None)` where it does not say which record it was, `None` where it is none.
fn deleted(read: &ReadDeleted, source: &Source, record: &Map<String, Value>) -> Option<Option<Deleted>> {
    let text = |name: &str| record.get(name).and_then(Value::as_str);
    let (id, at) = match source {
        Source::Feed { first: true } => return None,
        Source::Feed { .. } => {
            text("@odata.context").filter(|context| context.ends_with(DELETED))?;
            (text("id"), None)
        }
        Source::Audit { .. } => (text("_objectid_value"), text("createdon").and_then(|text| text.parse().ok())),
        Source::Bin { .. } => (text(&read.object.id), None),
    };
    Some(id.and_then(|id| key::guid(id).ok()).map(|id| Deleted { id, at }))
}

/// A link of the CRM as it is kept, if it leads to the account's own host.
fn own(session: &Session, link: &str) -> Result<String, Failure> {
    session.relative(&session.linked(link)?).map(str::to_owned)
}

/// The cookie within `<cookie pagenumber="2" pagingcookie="%253ccookie…" istracking="False" />`, which is encoded twice.
fn inner_cookie(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("pagingcookie=\"")?;
    let (encoded, _) = rest.split_once('"')?;
    let once = percent_encoding::percent_decode_str(encoded).decode_utf8().ok()?;
    Some(percent_encoding::percent_decode_str(&once).decode_utf8().ok()?.into_owned())
}
