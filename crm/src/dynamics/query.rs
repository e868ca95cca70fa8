//! From a [`Read`] to the first request, and to the cursor by which it goes on.

use std::collections::BTreeMap;

use engine::failure::{Class, Failure};
use engine::outside::crm::{
    CURSOR_BYTES_MAX, Cursor, FieldKind, Object, ObjectField, OrderBy, Query, Range, Read, Window,
};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use reqwest::header::HeaderValue;
use serde::{Deserialize, Serialize};
use url::Url;

use super::column::{self, LOOKUP_ANNOTATION, Wire};
use super::odata;
use super::session::Session;
use crate::http::in_query;
use crate::pushdown::Pushed;

/// The most ids that a cursor keeps of the records that share the last one's time.
const MARK_IDS_MAX: usize = 50;

/// What a reading asks for.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// The entity set, such as `contacts`.
    pub(super) set: String,
    /// Below the service root, encoded.
    relative: String,
    /// The service root's path.
    root_path: String,
    pushed: Option<Pushed>,
    is_filtered: bool,
    wants_lookup_types: bool,
    tracks_changes: bool,
    /// The reading was begun anew at this time of its window, because the CRM had lost the place.
    since: Option<Timestamp>,
    /// Tells this query of this account from any other.
    hash: String,
}

/// A place in a reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) url: Url,
    /// Parts of that page that were read before.
    pub(super) parts: usize,
    /// Records asked for at a time; the same on all pages of a reading.
    pub(super) size: u32,
}

/// How far a reading in the order of time has come: the last record's time, and the ids of those that share it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    pub(super) at: Timestamp,
    pub(super) ids: Vec<String>,
    /// Records of that time and later ones that came, and did not fit their types.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) misfits: Vec<Sighted>,
}

/// A version of a record: its time, where that fits its type, and its id.
pub(super) type Sighted = (Option<Timestamp>, String);

/// Where a cursor says that a reading goes on.
#[derive(Debug)]
pub(super) struct Resumed {
    pub(super) plan: Plan,
    pub(super) place: Place,
    pub(super) mark: Option<Mark>,
}

/// What a cursor holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Position {
    /// Of the query.
    query: String,
    size: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    parts: usize,
    /// The `$skiptoken` as it stands in the next link, where all else of that link is the query itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// The whole next link below the service root, where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    link: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mark: Option<Mark>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(n: &usize) -> bool {
    *n == 0
}

impl Plan {
    /// # Errors
    /// `Class::Config` where the object or a field cannot be asked for.
    pub(super) fn new(session: &Session, read: &Read) -> Result<Self, Failure> {
        let (object, account) = (read.object.as_ref(), session.account());
        if !column::is_identifier(&object.name) {
            return Err(Failure::new(
                Class::Config,
                format!("{account}: `{}` is not the name of an object", object.name),
            ));
        }
        let pushed = odata::pushed(read);
        let mut relative = format!("{}?{}", object.name, select(read, account)?);
        if read.feed.is_some() {
            check_feed(read, account)?;
        } else {
            let filter = conditions(read, pushed.as_ref(), account)?;
            if !filter.is_empty() {
                relative += &format!("&$filter={}", in_query(&filter));
            }
            let order = order(read, account)?;
            if !order.is_empty() {
                relative += &format!("&$orderby={}", in_query(&order.join(",")));
            }
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(session.root.as_str().as_bytes()).update(relative.as_bytes());
        for field in &read.fields {
            hasher.update(field.field.name.as_bytes()).update(&[u8::from(field.raw), 0]);
        }
        Ok(Self {
            set: object.name.clone(),
            relative,
            root_path: session.root.path().to_owned(),
            pushed: pushed.filter(|_| read.feed.is_none()),
            is_filtered: read.filter.is_some(),
            tracks_changes: read.feed.is_some(),
            since: None,
            wants_lookup_types: read.fields.iter().any(|field| column::is_lookup_type(&field.field)),
            hash: hasher.finalize().to_hex()[..16].to_owned(),
        })
    }

    /// What is shown of it. Without a filter, that which is sent is exact.
    ///
    /// # Errors
    /// Where the feed was begun with other fields.
    pub(super) fn into_query(self, session: &Session, read: &Read) -> Result<Query, Failure> {
        let relative = match read.feed.as_ref().and_then(|feed| feed.since.as_deref()) {
            Some(link) => self.feed_link(session, link)?,
            None => &self.relative,
        };
        Ok(Query {
            text: format!("{}{relative}", self.root_path),
            exact: self.pushed.as_ref().map_or(!self.is_filtered, |pushed| pushed.exact),
            filter: self.pushed.map(|pushed| pushed.text),
        })
    }

    /// The preferences of every page.
    pub(super) fn prefer(&self, size: u32) -> Result<HeaderValue, Failure> {
        let annotations = format!(",odata.include-annotations=\"{LOOKUP_ANNOTATION}\"");
        let annotations = if self.wants_lookup_types { annotations.as_str() } else { "" };
        let track = if self.tracks_changes { "odata.track-changes," } else { "" };
        let text = format!("{track}odata.maxpagesize={size}{annotations}");
        HeaderValue::try_from(text).map_err(|error| Failure::internal(error.to_string()))
    }

    /// The whole address of the first request.
    pub(super) fn address(&self, session: &Session) -> Result<String, Failure> {
        Ok(session.address(&self.relative)?.into())
    }

    /// The preferences of a query that is no page of a reading.
    pub(super) fn prefer_plain(&self) -> Option<String> {
        self.wants_lookup_types.then(|| format!("odata.include-annotations=\"{LOOKUP_ANNOTATION}\""))
    }

    /// Where the reading begins.
    pub(super) fn first(&self, session: &Session, read: &Read) -> Result<Place, Failure> {
        let size = session.http.limits().records_per_page.max(1);
        let url = match read.feed.as_ref().and_then(|feed| feed.since.as_deref()) {
            Some(link) => session.address(self.feed_link(session, link)?)?,
            None => session.address(&self.relative)?,
        };
        Ok(Place { url, parts: 0, size })
    }

    /// The same reading, begun anew from this time of its window on.
    pub(super) fn anew(&self, session: &Session, read: &Read, since: Timestamp) -> Result<Self, Failure> {
        let window = read.window.as_ref().map(|window| Window { from: Some(since), ..window.clone() });
        let plan = Self::new(session, &Read { window, ..read.clone() })?;
        Ok(Self { since: Some(since), hash: self.hash.clone(), ..plan })
    }

    /// Where a cursor says that it goes on.
    pub(super) fn resume(self, session: &Session, read: &Read, cursor: Cursor) -> Result<Resumed, Failure> {
        let what = || format!("{}: reading {}", session.account(), self.set);
        let position: Position = serde_json::from_value(cursor.0).map_err(|error| {
            Failure::new(Class::Config, format!("{}: the place kept from before cannot be read: {error}", what()))
                .help("restart the activity to read from the beginning")
        })?;
        if position.query != self.hash {
            return Err(Failure::new(
                Class::Config,
                format!("{}: the place kept from before belongs to another account, object or query", what()),
            )
            .help("restart the activity to read from the beginning"));
        }
        let plan = match position.since {
            Some(since) => self.anew(session, read, since)?,
            None => self,
        };
        let relative = match (position.link, position.token) {
            (Some(link), _) => link,
            (None, Some(token)) => format!("{}&$skiptoken={token}", plan.relative),
            (None, None) => plan.relative.clone(),
        };
        let place = Place { url: session.address(&relative)?, parts: position.parts, size: position.size.max(1) };
        Ok(Resumed { plan, place, mark: position.mark })
    }

    /// The cursor for a place.
    pub(super) fn cursor(&self, session: &Session, place: &Place, mark: Option<&Mark>) -> Result<Cursor, Failure> {
        let relative = session.relative(&place.url)?;
        let (token, link) = match self.token(relative) {
            Some(token) => (token, None),
            None => (None, Some(relative.to_owned())),
        };
        let mut position = Position {
            query: self.hash.clone(),
            size: place.size,
            parts: place.parts,
            token,
            link,
            since: self.since,
            mark: mark.filter(|mark| mark.ids.len() + mark.misfits.len() <= MARK_IDS_MAX).cloned(),
        };
        let mut bytes = 0;
        // The mark is worth having, but not worth more than the place itself.
        for has_mark in [true, false] {
            position.mark = position.mark.filter(|_| has_mark);
            let value = serde_json::to_value(&position).map_err(|error| Failure::internal(error.to_string()))?;
            bytes = value.to_string().len();
            if bytes <= CURSOR_BYTES_MAX {
                return Ok(Cursor(value));
            }
        }
        let account = session.account();
        let message =
            format!("{account}: the CRM's link to the next page has {bytes} bytes, {CURSOR_BYTES_MAX} are kept");
        Err(Failure::new(Class::Limit, message).help("read fewer fields"))
    }

    /// A link into the feed of changes, kept from before, which must be for the same fields.
    fn feed_link<'a>(&self, session: &Session, link: &'a str) -> Result<&'a str, Failure> {
        let selected = |link: &str| {
            let (path, query) = link.split_once('?')?;
            let select = query.split('&').map(plain).find(|option| option.starts_with("$select="))?;
            Some((path.to_owned(), select))
        };
        match (selected(link), selected(&self.relative)) {
            (Some(kept), Some(own)) if kept != own => Err(Failure::new(
                Class::CursorLost,
                format!(
                    "{}: the feed of changes of {} was begun with other fields than are read now",
                    session.account(),
                    self.set
                ),
            )
            .help("read everything once more, so that a new feed begins")),
            _ => Ok(link),
        }
    }

    /// `Some` where the link is our own query, with its skip token if it has one.
    fn token(&self, link: &str) -> Option<Option<String>> {
        let (path, query) = link.split_once('?')?;
        let (own_path, own_query) = self.relative.split_once('?')?;
        let mut token = None;
        let mut rest = Vec::new();
        for option in query.split('&') {
            match option.strip_prefix("$skiptoken=").or_else(|| option.strip_prefix("%24skiptoken=")) {
                Some(value) => token = Some(value.to_owned()),
                None => rest.push(plain(option)),
            }
        }
        let mut own: Vec<String> = own_query.split('&').map(plain).collect();
        rest.sort_unstable();
        own.sort_unstable();
        (path == own_path && rest == own).then_some(token)
    }
}

/// An option as it is meant, whichever way it is encoded.
fn plain(option: &str) -> String {
    percent_decode_str(&option.replace('+', " ")).decode_utf8_lossy().into_owned()
}

/// The properties to ask for, each once, and those of related records.
fn select(read: &Read, account: &str) -> Result<String, Failure> {
    let object = read.object.as_ref();
    let mut select: Vec<String> = Vec::with_capacity(read.fields.len());
    let mut related: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for wanted in &read.fields {
        let wire = readable(object, &wanted.field, account)?;
        let select = match wire.way {
            None => &mut select,
            Some(way) => related.entry(way).or_default(),
        };
        if !select.contains(&wire.property) {
            select.push(wire.property);
        }
    }
    if select.is_empty() {
        // Without `$select` the CRM would send every column.
        select.push(object.id.clone());
    }
    let mut options = format!("$select={}", select.join(","));
    if !related.is_empty() {
        let part = |(way, select): (&String, &Vec<String>)| format!("{way}($select={})", select.join(","));
        options += &format!("&$expand={}", related.iter().map(part).collect::<Vec<_>>().join(","));
    }
    Ok(options)
}

/// Where the CRM has a field that is to be read.
fn readable(object: &Object, wanted: &ObjectField, account: &str) -> Result<Wire, Failure> {
    let field = if column::is_path(&wanted.name) { wanted } else { column::field(object, &wanted.name, account)? };
    if !field.readable {
        return Err(Failure::new(Class::Config, format!("{account}: {}.{} may not be read", object.name, field.name))
            .help(
                field.instead.as_deref().unwrap_or("choose another field, or have it opened for reading in the CRM"),
            ));
    }
    let wire = column::wire(object, field)?;
    if !wire.is_safe() {
        return Err(Failure::new(Class::Config, format!("{account}: `{}` is not the name of a field", field.name)));
    }
    Ok(wire)
}

/// What the CRM cannot do while it reports changes.
fn check_feed(read: &Read, account: &str) -> Result<(), Failure> {
    let name = &read.object.name;
    let refuse = |message: String, help: &str| Err(Failure::new(Class::Config, message).help(help));
    if let Some(related) = read.fields.iter().find(|read| column::is_path(&read.field.name)) {
        let message =
            format!("{account}: {name}: the feed of changes has no related fields such as {}", related.field.name);
        return refuse(message, "leave these fields out, or import by the date of change");
    }
    if !read.order.is_empty() {
        return refuse(
            format!("{account}: {name}: the feed of changes comes in its own order"),
            "leave `orderBy` out, or import by the date of change",
        );
    }
    if !read.object.feed {
        return refuse(
            format!("{account}: {name} has no feed of changes"),
            "switch on `Track changes` for this table in the CRM, then describe it anew with `discover`",
        );
    }
    Ok(())
}

/// All conditions of a reading.
pub(super) fn conditions(read: &Read, pushed: Option<&Pushed>, account: &str) -> Result<String, Failure> {
    let object = read.object.as_ref();
    let mut all = match &read.window {
        Some(window) => in_window(object, window, account)?,
        None => Vec::new(),
    };
    if let Some(range) = &read.range {
        all.extend(in_range(object, range, account)?);
    }
    Ok(match pushed {
        Some(pushed) if all.is_empty() => pushed.text.clone(),
        pushed => all.into_iter().chain(pushed.map(Pushed::in_conjunction)).collect::<Vec<_>>().join(" and "),
    })
}

/// The window, half open.
fn in_window(object: &Object, window: &Window, account: &str) -> Result<Vec<String>, Failure> {
    let field = column::field(object, &window.field, account)?;
    if !matches!(field.kind, FieldKind::DateTime) || !field.readable || !column::is_identifier(&field.name) {
        return Err(Failure::new(
            Class::Config,
            format!("{account}: {}.{} cannot be the field of the automatic index", object.name, field.name),
        )
        .help("choose a date and time that the CRM sets by itself, such as modifiedon"));
    }
    let from = window.from.map(|from| format!("{} ge {from}", field.name));
    Ok(from.into_iter().chain([format!("{} lt {}", field.name, window.to)]).collect())
}

/// The part of a reading that side by side readings share out.
fn in_range(object: &Object, range: &Range, account: &str) -> Result<Vec<String>, Failure> {
    let field = column::field(object, &range.field, account)?;
    let wrong = |value: &str| {
        Failure::new(Class::Config, format!("{account}: {value} of {} is no border of a part", range.field))
            .help("restart the activity to read from the beginning")
    };
    if !column::is_identifier(&field.name) {
        return Err(wrong(&range.field));
    }
    // The borders come back from a file.
    let at = |text: &String| text.parse::<Timestamp>().map_err(|_| wrong(text));
    let (from, to) = (range.from.as_ref().map(at).transpose()?, range.to.as_ref().map(at).transpose()?);
    let name = &field.name;
    Ok(match (from, to) {
        (None, None) => Vec::new(),
        (None, Some(to)) => vec![format!("({name} lt {to} or {name} eq null)")],
        (Some(from), to) => {
            let from = format!("{name} ge {from}");
            std::iter::once(from).chain(to.map(|to| format!("{name} lt {to}"))).collect()
        }
    })
}

/// The order; the id comes last, so that no two records share a place and none is lost between two pages.
fn order(read: &Read, account: &str) -> Result<Vec<String>, Failure> {
    let object = read.object.as_ref();
    let by_window = read.window.iter().map(|window| OrderBy { field: window.field.clone(), descending: false });
    let by: Vec<OrderBy> = if read.order.is_empty() { by_window.collect() } else { read.order.clone() };
    let mut order = Vec::with_capacity(by.len() + 1);
    let mut has_id = false;
    for OrderBy { field, descending } in &by {
        column::found(read, field, account)?;
        let Some((field, property)) = column::comparable(read, field) else {
            return Err(Failure::new(
                Class::Config,
                format!("{account}: {} cannot be ordered by {field}", object.name),
            )
            .help("choose a field that the CRM can order by"));
        };
        has_id |= field.name == object.id;
        order.push(format!("{property}{}", if *descending { " desc" } else { "" }));
    }
    if !order.is_empty() && !has_id {
        order.push(object.id.clone());
    }
    Ok(order)
}
