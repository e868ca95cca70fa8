//! Ids of deleted records: from the feed of changes, from the audit log, or from the recycle bin.

use std::ops::RangeInclusive;
use std::sync::Arc;

use engine::failure::{Class, Failure};
use engine::outside::crm::{Cursor, Deleted, DeletedPage, DeletedSpan, Object, Read, ReadDeleted, Way};
use futures::stream::{self, BoxStream, StreamExt};
use jiff::{SignedDuration, Timestamp};
use reqwest::header::{DATE, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

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
    let state = State { is_first: place.is_none(), place };
    stream::unfold(Some(state), move |state| {
        let (session, read) = (session.clone(), read.clone());
        async move {
            let state = state?;
            let place = match (state.place, state.is_first) {
                (Some(place), _) => Ok(place),
                (None, true) => first(&session, &read, &mut Vec::new()).await,
                (None, false) => return None,
            };
            let page = match place {
                Ok(place) => page(&session, &read, place).await,
                Err(failure) => Err(failure),
            };
            match page {
                Ok((page, place)) => Some((Ok(page), Some(State { place, is_first: false }))),
                Err(failure) => Some((Err(failure), None)),
            }
        }
    })
    .boxed()
}

/// How the ids would be asked for; the CRM is asked who keeps them.
pub(super) async fn way(session: &Session, read: &ReadDeleted) -> Result<Way, Failure> {
    let mut asked = Vec::new();
    let place = first(session, read, &mut asked).await?;
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
                Some("a first import only finds where the feed ends: no deletion comes of it"),
            )
        }
        Source::Feed { first: false } => (
            "feed of changes, from the `$deltatoken` that was kept",
            Some("records that were made or changed come too, and are dropped here"),
        ),
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

/// Where the reading begins: the first source that the environment has. What is asked to find it is added to `asked`.
async fn first(session: &Session, read: &ReadDeleted, asked: &mut Vec<String>) -> Result<Place, Failure> {
    let object = &read.object;
    require_name(session, object)?;
    let begin = || format!("{}?$select={}", object.name, object.id);
    match &read.span {
        DeletedSpan::Since { feed: Some(link), .. } => {
            Ok(Place { source: Source::Feed { first: false }, link: link.clone() })
        }
        DeletedSpan::Since { from: None, .. } if object.feed => {
            Ok(Place { source: Source::Feed { first: true }, link: begin() })
        }
        DeletedSpan::Since { from, .. } => {
            let now = super::steps::now(session).await?;
            of_period(session, read, (from.unwrap_or(now), now), asked).await
        }
        DeletedSpan::Period { from, to } => of_period(session, read, (*from, *to), asked).await,
    }
}

fn require_name(session: &Session, object: &Object) -> Result<(), Failure> {
    if column::is_identifier(&object.name) && column::is_identifier(&object.internal_name) {
        return Ok(());
    }
    let message = format!("{}: `{}` is not the name of an object", session.account(), object.name);
    Err(Failure::new(Class::Config, message))
}

async fn of_period(
    session: &Session,
    read: &ReadDeleted,
    (from, to): (Timestamp, Timestamp),
    asked: &mut Vec<String>,
) -> Result<Place, Failure> {
    let object = &read.object;
    let keeper = keeper(session, object, asked).await?;
    if let Some(days) = keeper.days() {
        let now = match read.span {
            DeletedSpan::Since { .. } => to,
            DeletedSpan::Period { .. } => super::steps::now(session).await?,
        };
        require_within(session, read, (from, now), keeper.name(), days)?;
    }
    Ok(match keeper {
        Keeper::Audit { .. } => {
            let filter = format!("{} and createdon ge {from} and createdon le {to}", deletions(object));
            let filter = in_query(&filter);
            let link = format!("audits?$select=_objectid_value,createdon&$filter={filter}&$orderby=createdon,auditid");
            Place { source: Source::Audit { to }, link }
        }
        Keeper::Bin => bin(object, 1, None),
    })
}

/// What was deleted longer ago would be missing without a word.
fn require_within(
    session: &Session,
    read: &ReadDeleted,
    (from, now): (Timestamp, Timestamp),
    keeper: &str,
    days: i64,
) -> Result<(), Failure> {
    let since = now.checked_sub(SignedDuration::from_hours(24 * days)).unwrap_or(Timestamp::MIN);
    if from >= since {
        return Ok(());
    }
    let (account, object) = (session.account(), &read.object.name);
    let message = format!(
        "{account}: the {keeper} keeps deleted {object} for {days} days at most, so what was deleted before {since:.0} may \
         be gone, and the period begins at {from}"
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

/// Whether deletions of this object are kept with their times; the recycle bin has none.
///
/// # Errors
/// `Class::Config` where they are not: what must be switched on.
pub(super) async fn is_timed(session: &Session, object: &Object) -> Result<bool, Failure> {
    require_name(session, object)?;
    Ok(matches!(keeper(session, object, &mut Vec::new()).await?, Keeper::Audit { .. }))
}

/// Who keeps what was deleted by time.
enum Keeper {
    Audit {
        /// For so many days, where the environment says so and has an end for it.
        days: Option<i64>,
    },
    Bin,
}

impl Keeper {
    fn name(&self) -> &'static str {
        match self {
            Self::Audit { .. } => "audit log",
            Self::Bin => "recycle bin",
        }
    }

    fn days(&self) -> Option<i64> {
        match self {
            Self::Audit { days } => *days,
            // The most that it can be set to; it does not say to what it is.
            Self::Bin => Some(BIN_DAYS),
        }
    }
}

/// The audit log, where it is written and may be read, else the recycle bin, where there is one.
async fn keeper(session: &Session, object: &Object, asked: &mut Vec<String>) -> Result<Keeper, Failure> {
    let what = what(object);
    let why_no_log = match auditing(session, object, asked).await? {
        Auditing::Off(why) => why.to_owned(),
        Auditing::On { days } => {
            let any = format!("audits?$select=auditid&$filter={}&$top=1", in_query(&deletions(object)));
            asked.push(any.clone());
            match ask(session, &any, None, &what).await {
                Ok(_) => return Ok(Keeper::Audit { days }),
                // No right to read it, which is as good as none.
                Err(failure) if failure.class == Class::Config => failure.message,
                Err(failure) => return Err(failure),
            }
        }
    };
    let any = bin(object, 1, None).link;
    asked.push(any.clone());
    match ask(session, &any, None, &what).await {
        Ok(_) => Ok(Keeper::Bin),
        Err(failure) if failure.class == Class::Config => Err(Failure::new(
            Class::Config,
            format!(
                "{}: Dynamics does not tell what was deleted of {} in a time: it keeps neither an audit log of it \
                 ({why_no_log}) nor a recycle bin ({})",
                session.account(),
                object.name,
                failure.message
            ),
        )
        .help(
            "switch on auditing for the environment and this table, or the recycle bin (Power Platform admin center, \
             Settings, Features, Deleted records), or import incrementally by change tracking",
        )),
        Err(failure) => Err(failure),
    }
}

/// Deletions of this table in the audit log.
fn deletions(object: &Object) -> String {
    format!("objecttypecode eq '{}' and operation eq {DELETE}", object.internal_name)
}

/// Whether deletions of a table go to the audit log.
enum Auditing {
    /// They do not, and why.
    Off(&'static str),
    On {
        /// For how many days new entries are kept, where that has an end.
        days: Option<i64>,
    },
}

/// Whether deletions of this table go to the audit log now: an old entry of it would be no sign that newer ones do.
///
/// Each entry keeps the days that were set when it was made; the environment tells only those of now. See
/// <https://learn.microsoft.com/power-apps/developer/data-platform/auditing/configure>: -1 is for ever.
async fn auditing(session: &Session, object: &Object, asked: &mut Vec<String>) -> Result<Auditing, Failure> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Table {
        is_audit_enabled: Option<Managed>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Managed {
        value: bool,
    }
    #[derive(Deserialize)]
    struct Organisations {
        value: Vec<Organisation>,
    }
    #[derive(Default, Deserialize)]
    struct Organisation {
        isauditenabled: Option<bool>,
        auditretentionperiodv2: Option<i64>,
    }
    const WHAT: &str = "asking for auditing";
    let table = format!("EntityDefinitions(LogicalName='{}')?$select=IsAuditEnabled", object.internal_name);
    asked.push(table.clone());
    let table: Table = session.get_json(&table, WHAT).await?;
    if !table.is_audit_enabled.is_some_and(|managed| managed.value) {
        return Ok(Auditing::Off("auditing of the table is off"));
    }
    let settings = "organizations?$select=isauditenabled,auditretentionperiodv2";
    asked.push(settings.to_owned());
    let settings = match session.get_json::<Organisations>(settings, WHAT).await {
        Ok(all) => all.value.into_iter().next().unwrap_or_default(),
        // No right to read the environment's settings: the log itself may be readable all the same.
        Err(failure) if failure.class == Class::Config => Organisation::default(),
        Err(failure) => return Err(failure),
    };
    if settings.isauditenabled == Some(false) {
        return Ok(Auditing::Off("auditing of the environment is off"));
    }
    Ok(Auditing::On { days: settings.auditretentionperiodv2.filter(|days| AUDIT_DAYS.contains(days)) })
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
    Place { source: Source::Bin { page }, link }
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
    #[serde(rename = "@Microsoft.Dynamics.CRM.morerecords", default)]
    has_more: bool,
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
async fn page(session: &Session, read: &ReadDeleted, place: Place) -> Result<(DeletedPage, Option<Place>), Failure> {
    let size = session.http.limits().records_per_page.max(1);
    let track = if matches!(place.source, Source::Feed { .. }) { "odata.track-changes," } else { "" };
    let prefer = HeaderValue::try_from(format!("{track}odata.maxpagesize={size}"));
    let prefer = prefer.ok().filter(|_| !matches!(place.source, Source::Bin { .. }));
    let (list, reply) =
        ask(session, &place.link, prefer, &what(&read.object)).await.map_err(|failure| match place.source {
            Source::Feed { .. } if failure.class == Class::CursorLost => failure.help(FEED_LOST),
            _ => failure,
        })?;
    let next = match &place.source {
        Source::Bin { page } => {
            list.has_more.then(|| bin(&read.object, page + 1, list.cookie.as_deref().and_then(inner_cookie)))
        }
        source => match &list.next {
            Some(link) => Some(Place { source: source.clone(), link: own(session, link)? }),
            None => None,
        },
    };
    let records = list.value.iter().filter_map(|record| deleted(read, &place.source, record)).collect();
    let cursor = next.as_ref().map(|place| serde_json::to_value(place).map(Cursor));
    let cursor = cursor.transpose().map_err(|error| Failure::internal(error.to_string()))?;
    let feed = match (&place.source, &next, &list.delta) {
        (Source::Feed { .. }, None, Some(link)) => Some(own(session, link)?),
        (Source::Feed { .. }, None, None) => {
            let message = format!(
                "{}: {}: the feed of changes does not say where to go on",
                session.account(),
                what(&read.object)
            );
            return Err(
                Failure::new(Class::Config, message).help("see that `Track changes` is switched on for this table")
            );
        }
        _ => None,
    };
    let now = date(&reply.headers, DATE).filter(|_| next.is_none());
    // What came later than the log was asked for is for the next reading, however long this one took.
    let covered = match (&place.source, &read.span) {
        (Source::Audit { to }, _) | (_, DeletedSpan::Period { to, .. }) => now.map(|now| now.min(*to)),
        (_, DeletedSpan::Since { .. }) => now,
    };
    Ok((DeletedPage { records, next: cursor, covered, feed }, next))
}

fn deleted(read: &ReadDeleted, source: &Source, record: &Map<String, Value>) -> Option<Deleted> {
    let text = |name: &str| record.get(name).and_then(Value::as_str);
    match source {
        Source::Feed { first: true } => None,
        Source::Feed { .. } => {
            text("@odata.context").filter(|context| context.ends_with(DELETED))?;
            Some(Deleted { id: key::guid(text("id")?).ok()?, at: None })
        }
        Source::Audit { .. } => {
            let at = text("createdon").and_then(|text| text.parse().ok());
            Some(Deleted { id: key::guid(text("_objectid_value")?).ok()?, at })
        }
        Source::Bin { .. } => Some(Deleted { id: key::guid(text(&read.object.id)?).ok()?, at: None }),
    }
}

/// A link of the CRM as it is kept, if it leads to the account's own host.
fn own(session: &Session, link: &str) -> Result<String, Failure> {
    let url = session.root.join(link).map_err(|error| {
        Failure::new(Class::Config, format!("{}: a link of the CRM is no address: {error}", session.account()))
    })?;
    session.relative(&url).map(str::to_owned)
}

/// The cookie within `<cookie pagenumber="2" pagingcookie="%253ccookie…" istracking="False" />`, which is encoded twice.
fn inner_cookie(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("pagingcookie=\"")?;
    let (encoded, _) = rest.split_once('"')?;
    let once = percent_encoding::percent_decode_str(encoded).decode_utf8().ok()?;
    Some(percent_encoding::percent_decode_str(&once).decode_utf8().ok()?.into_owned())
}
