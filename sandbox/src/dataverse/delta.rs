//! Change tracking: a first full read that ends in a delta link, and what has changed since such a link.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    call::Call,
    cursor::Cursor,
    error::{Error, code},
    model::Scope,
};
use crate::{
    data::{Record, Store},
    guid::Guid,
    time::{self, DAY},
};

/// Options that do not go with change tracking.
const REFUSED: &[&str] = &["filter", "orderby", "expand", "top"];

/// A `$deltatoken`: everything after this version is news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DeltaToken {
    /// The last version that its holder knows.
    pub(super) version: u64,
    /// When it was given, in seconds since 1970.
    pub(super) given: i64,
}

/// A record that has changed, or the id of one that is gone.
pub(super) enum News<'a> {
    Written(Record<'a>),
    Deleted(Guid),
}

/// A page of news.
pub(super) struct NewsPage<'a> {
    /// What is on it.
    pub(super) news: Vec<News<'a>>,
    /// Where the next one begins, if there is one.
    pub(super) next: Option<Position>,
}

/// A place in the news: what was written comes first, then what was deleted, each by its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    in_deleted: bool,
    version: u64,
}

impl DeltaToken {
    /// A token for what is visible now.
    pub(super) fn now(store: &Store, call: &Call) -> Self {
        Self { version: store.settled_version(), given: call.now }
    }

    /// The form that clients see: `919042!08/22/2017 08:10:44`.
    pub(super) fn text(self) -> String {
        let day = time::date_text(self.given.div_euclid(DAY));
        let instant = time::instant_text(self.given);
        let (year, month, day) = (&day[..4], &day[5..7], &day[8..10]);
        format!("{}!{month}/{day}/{year} {}", self.version, &instant[11..19])
    }

    /// Reads a token, which must not be older than the window.
    pub(super) fn read(text: &str, store: &Store, now: i64) -> Result<Self, Error> {
        let invalid = || Error::query(format!("The delta token '{text}' is invalid."));
        let token = Self::parse(text).ok_or_else(invalid)?;
        if now - token.given > i64::from(store.retention.delta_days) * DAY {
            return Err(Error::new(
                400,
                code::EXPIRED_TOKEN,
                "Version stamp associated with the client has expired. Please perform a full sync.",
            ));
        }
        Ok(token)
    }

    fn parse(text: &str) -> Option<Self> {
        let (version, given) = text.split_once('!')?;
        let (date, clock) = given.split_once(' ')?;
        let mut parts = date.split('/');
        let (month, day, year) = (parts.next()?, parts.next()?, parts.next()?);
        let given = time::parse_instant(&format!("{year}-{month}-{day}T{clock}Z"))?;
        Some(Self { version: version.parse().ok()?, given })
    }

    /// The link to what changes from here on.
    pub(super) fn link(self, scope: Scope<'_>, call: &Call) -> String {
        let select = call.query.split('&').find(|part| part.starts_with("$select=") || part.starts_with("%24select="));
        let select = select.map_or_else(String::new, |select| format!("{select}&"));
        let token = utf8_percent_encode(&self.text(), NON_ALPHANUMERIC).to_string();
        format!("{}{}?{select}$deltatoken={token}", call.root(), scope.table.shape.set)
    }
}

/// Refuses what change tracking cannot do.
pub(super) fn check(scope: Scope<'_>, call: &Call) -> Result<(), Error> {
    if !scope.table.tracks_changes {
        return Err(Error::query(format!(
            "Change tracking is not enabled for the entity '{}'.",
            scope.table.shape.name
        )));
    }
    match REFUSED.iter().find(|name| call.option(&format!("${name}")).is_some()) {
        Some(name) => Err(Error::query(format!(
            "The \"${name}\" query parameter isn't supported when Change Tracking is enabled."
        ))),
        None => Ok(()),
    }
}

impl Position {
    /// As it goes into a cursor.
    pub(super) fn cursor(self, token: DeltaToken, page: u64) -> Cursor {
        let mut key = vec![u8::from(self.in_deleted)];
        key.extend(self.version.to_be_bytes());
        Cursor { page, key, last: Guid::from_u128(0), token: Some(token.text()) }
    }

    fn of_cursor(cursor: &Cursor) -> Option<Self> {
        let (in_deleted, version) = cursor.key.split_first()?;
        Some(Self { in_deleted: *in_deleted == 1, version: u64::from_be_bytes(version.try_into().ok()?) })
    }
}

/// The news since a token, after a cursor; at most `limit`.
pub(super) fn page<'a>(scope: Scope<'a>, since: DeltaToken, cursor: Option<&Cursor>, limit: usize) -> NewsPage<'a> {
    let table = scope.table;
    let start = Position { in_deleted: false, version: since.version };
    let from = cursor.and_then(Position::of_cursor).unwrap_or(start);
    let written_from = if from.in_deleted { u64::MAX } else { from.version };
    let written = table.written_since(written_from).map(|record| {
        let place = Position { in_deleted: false, version: table.version(record) };
        (place, News::Written(record))
    });
    let deleted_from = if from.in_deleted { from.version } else { since.version };
    // Whoever came back under the same id is news of the other kind.
    let deleted = table.deleted_since(deleted_from).filter(|(_, deleted)| table.get(deleted.id).is_none());
    let deleted = deleted.map(|(version, deleted)| (Position { in_deleted: true, version }, News::Deleted(deleted.id)));
    let mut all = written.chain(deleted);
    let mut news = Vec::new();
    let mut last = from;
    for (place, one) in all.by_ref().take(limit) {
        last = place;
        news.push(one);
    }
    let next = all.next().map(|_| last);
    NewsPage { news, next }
}

/// How many news there are since a token.
pub(super) fn count(scope: Scope<'_>, since: DeltaToken) -> usize {
    page(scope, since, None, usize::MAX).news.len()
}
