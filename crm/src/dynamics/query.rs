//! From a [`Read`] to the first request, and to the cursor by which it goes on.

use engine::failure::{Class, Failure};
use engine::outside::crm::{CURSOR_BYTES_MAX, Cursor, FieldKind, Object, OrderBy, Query, Read, Window};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use reqwest::header::HeaderValue;
use serde::{Deserialize, Serialize};
use url::Url;

use super::column::{self, LOOKUP_ANNOTATION};
use super::odata::{self, Pushed};
use super::session::Session;

/// What stays readable in an address.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b',')
    .remove(b'(')
    .remove(b')')
    .remove(b':');

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
        let select = select(read, account)?;
        let pushed = read.filter.as_ref().and_then(|filter| odata::render(object, filter));
        let window = read.window.as_ref().map(|window| conditions(object, window, account)).transpose()?;
        let filter: Vec<String> = match (window.unwrap_or_default(), &pushed) {
            (window, None) => window,
            (window, Some(pushed)) if window.is_empty() => vec![pushed.text.clone()],
            (window, Some(pushed)) => window.into_iter().chain([pushed.in_conjunction()]).collect(),
        };
        let order = order(read, account)?;
        let encode = |text: &str| utf8_percent_encode(text, KEPT).to_string();
        let mut relative = format!("{}?$select={}", object.name, encode(&select.join(",")));
        if !filter.is_empty() {
            relative += &format!("&$filter={}", encode(&filter.join(" and ")));
        }
        if !order.is_empty() {
            relative += &format!("&$orderby={}", encode(&order.join(",")));
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
            pushed,
            is_filtered: read.filter.is_some(),
            wants_lookup_types: read.fields.iter().any(|field| column::is_lookup_type(&field.field)),
            hash: hasher.finalize().to_hex()[..16].to_owned(),
        })
    }

    /// What is shown of it. Without a filter, that which is sent is exact.
    pub(super) fn into_query(self) -> Query {
        Query {
            text: format!("{}{}", self.root_path, self.relative),
            exact: self.pushed.as_ref().map_or(!self.is_filtered, |pushed| pushed.exact),
            filter: self.pushed.map(|pushed| pushed.text),
        }
    }

    /// The preferences of every page.
    pub(super) fn prefer(&self, size: u32) -> Result<HeaderValue, Failure> {
        let annotations = format!(",odata.include-annotations=\"{LOOKUP_ANNOTATION}\"");
        let annotations = if self.wants_lookup_types { annotations.as_str() } else { "" };
        let text = format!("odata.maxpagesize={size}{annotations}");
        HeaderValue::try_from(text).map_err(|error| Failure::internal(error.to_string()))
    }

    /// Where the reading begins.
    pub(super) fn first(&self, session: &Session) -> Result<Place, Failure> {
        let size = session.http.limits().records_per_page.max(1);
        Ok(Place { url: session.address(&self.relative)?, parts: 0, size })
    }

    /// Where a cursor says that it goes on.
    pub(super) fn resume(&self, session: &Session, cursor: Cursor) -> Result<Place, Failure> {
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
        let relative = match (position.link, position.token) {
            (Some(link), _) => link,
            (None, Some(token)) => format!("{}&$skiptoken={token}", self.relative),
            (None, None) => self.relative.clone(),
        };
        Ok(Place { url: session.address(&relative)?, parts: position.parts, size: position.size.max(1) })
    }

    /// The cursor for a place.
    pub(super) fn cursor(&self, session: &Session, place: &Place) -> Result<Cursor, Failure> {
        if !session.owns(&place.url) {
            return Err(session.foreign(&place.url));
        }
        let relative = &place.url.as_str()[session.root.as_str().len()..];
        let (token, link) = match self.token(relative) {
            Some(token) => (token, None),
            None => (None, Some(relative.to_owned())),
        };
        let position = Position { query: self.hash.clone(), size: place.size, parts: place.parts, token, link };
        let value = serde_json::to_value(position).map_err(|error| Failure::internal(error.to_string()))?;
        let bytes = value.to_string().len();
        if bytes > CURSOR_BYTES_MAX {
            return Err(Failure::new(
                Class::Limit,
                format!(
                    "{}: the CRM's link to the next page has {bytes} bytes, {CURSOR_BYTES_MAX} are kept",
                    session.account()
                ),
            )
            .help("read fewer fields"));
        }
        Ok(Cursor(value))
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

/// The properties to ask for, each once.
fn select(read: &Read, account: &str) -> Result<Vec<String>, Failure> {
    let object = read.object.as_ref();
    let mut select: Vec<String> = Vec::with_capacity(read.fields.len());
    for wanted in &read.fields {
        let field = column::field(object, &wanted.field.name, account)?;
        if !field.readable {
            return Err(Failure::new(
                Class::Config,
                format!("{account}: {}.{} may not be read", object.name, field.name),
            )
            .help("choose another field, or have it opened for reading in the CRM"));
        }
        if !column::is_identifier(&field.name) {
            return Err(Failure::new(Class::Config, format!("{account}: `{}` is not the name of a field", field.name)));
        }
        let property = column::property(field).into_owned();
        if !select.contains(&property) {
            select.push(property);
        }
    }
    if select.is_empty() {
        // Without `$select` the CRM would send every column.
        select.push(object.id.clone());
    }
    Ok(select)
}

/// The window, half open.
fn conditions(object: &Object, window: &Window, account: &str) -> Result<Vec<String>, Failure> {
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

/// The order; the id comes last, so that no two records share a place and none is lost between two pages.
fn order(read: &Read, account: &str) -> Result<Vec<String>, Failure> {
    let object = read.object.as_ref();
    let by_window = read.window.iter().map(|window| OrderBy { field: window.field.clone(), descending: false });
    let by: Vec<OrderBy> = if read.order.is_empty() { by_window.collect() } else { read.order.clone() };
    let mut order = Vec::with_capacity(by.len() + 1);
    let mut has_id = false;
    for OrderBy { field, descending } in &by {
        let field = column::field(object, field, account)?;
        let Some(property) = column::comparable(field).filter(|property| column::is_identifier(property)) else {
            return Err(Failure::new(
                Class::Config,
                format!("{account}: {} cannot be ordered by {}", object.name, field.name),
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
