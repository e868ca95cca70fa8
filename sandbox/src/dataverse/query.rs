//! Reading many records: `$select`, `$expand`, `$filter`, `$orderby`, `$top`, `$count` and paging.

use std::{collections::BinaryHeap, ops::Bound};

use super::{
    call::Call,
    cursor::Cursor,
    delta::{self, DeltaToken, News},
    error::Error,
    expand::{self, Expansion},
    filter::{self, Bounds, Test},
    model::{self, Scope},
    order::{self, OrderPart},
    render::{Annotations, Columns, write_text, write_total},
};
use crate::{
    data::{DateIndex, Fact, FieldKind, Record, Table, Walk},
    guid::Guid,
    reply::Reply,
};

/// Records on a page, and the highest number that `$count` tells.
pub(crate) const PAGE_MAX: usize = 5_000;

/// The column with the currency of a record's money.
const CURRENCY: &str = "transactioncurrencyid";

/// Options that a query of a set can have.
const OPTIONS: &[&str] = &["$select", "$expand", "$filter", "$orderby", "$top", "$count", "$skiptoken", "$deltatoken"];

/// A query, checked against its table.
#[derive(Default)]
pub(super) struct Query {
    select: Vec<usize>,
    select_text: Option<String>,
    expansions: Vec<Expansion>,
    pub(super) test: Option<Test>,
    pub(super) bounds: Bounds,
    pub(super) order: Vec<OrderPart>,
    limit: usize,
    is_paged: bool,
    count: bool,
    cursor: Option<Cursor>,
}

/// Answers `GET /contacts?…`.
pub(crate) fn answer(scope: Scope<'_>, call: &Call) -> Result<Reply, Error> {
    let preferences = call.preferences();
    let query = read(scope, call, preferences.page_size_max)?;
    let since = call.option("$deltatoken").map(|text| DeltaToken::read(&text, scope.store, call.now)).transpose()?;
    let token = query.cursor.as_ref().and_then(|cursor| cursor.token.as_deref());
    let token = token.map(|text| DeltaToken::read(text, scope.store, call.now)).transpose()?;
    let tracks = preferences.track_changes || since.is_some() || token.is_some();
    if tracks {
        delta::check(scope, call)?;
    }
    let token = tracks.then(|| token.unwrap_or_else(|| DeltaToken::now(scope.store, call)));
    let annotations = preferences.annotations();
    let body = match (since, token) {
        (Some(since), Some(token)) => query.news(scope, call, since, token, annotations),
        _ => query.records(scope, call, token, annotations),
    };
    let reply = Reply { body, ..Reply::empty(200) }
        .header("Content-Type", "application/json; odata.metadata=minimal")
        .header("OData-Version", "4.0");
    Ok(preferences.applied(reply, preferences.of_query()))
}

/// Answers `GET /contacts/$count`: a bare number.
pub(crate) fn count(scope: Scope<'_>, call: &Call) -> Result<Reply, Error> {
    let count = match call.option("$deltatoken") {
        Some(text) => {
            delta::check(scope, call)?;
            delta::count(scope, DeltaToken::read(&text, scope.store, call.now)?)
        }
        None => read(scope, call, None)?.page(scope, None, PAGE_MAX).len(),
    };
    // The real system begins the text with a byte order mark; clients that read a number must cope.
    let reply = Reply { body: format!("\u{feff}{count}").into_bytes(), ..Reply::empty(200) };
    Ok(reply.header("Content-Type", "text/plain").header("OData-Version", "4.0"))
}

impl Query {
    /// A query of all fields in one answer.
    pub(super) fn plain(table: &Table, test: Option<Test>, order: Vec<OrderPart>) -> Self {
        let bounds = test.as_ref().map(|test| test.bounds(table)).unwrap_or_default();
        Self { test, bounds, order, ..Self::default() }
    }

    /// All records that match, in no order that counts.
    pub(super) fn matching<'a>(&'a self, scope: Scope<'a>) -> impl Iterator<Item = Record<'a>> + 'a {
        self.candidates(scope.table).filter(move |record| self.matches(scope, *record))
    }

    /// A page of records.
    fn records(&self, scope: Scope<'_>, call: &Call, token: Option<DeltaToken>, annotations: Annotations) -> Vec<u8> {
        let after = self.cursor.as_ref().map(|cursor| cursor.key.as_slice()).filter(|key| !key.is_empty());
        let mut page = self.page(scope, after, self.limit + usize::from(self.is_paged));
        let has_more = self.is_paged && page.len() > self.limit;
        page.truncate(self.limit);
        let mut out = Vec::with_capacity(256 + page.len() * (64 + self.select.len() * 40));
        self.begin(scope, call, "", &mut out);
        self.write_counts(scope, annotations, &mut out);
        if let Some(token) = token.filter(|_| !has_more) {
            property("@odata.deltaLink", &token.link(scope, call), &mut out);
        }
        Columns::new(scope, &self.select, &self.expansions, annotations).write_all(&page, &mut out);
        if let Some(last) = page.last().filter(|_| has_more) {
            let cursor = self.next_cursor(scope, call, *last, token);
            property("@odata.nextLink", &next_link(scope, call, &cursor), &mut out);
        }
        out.push(b'}');
        out
    }

    /// A page of what has changed since a token; `token` is for the news after it.
    fn news(
        &self,
        scope: Scope<'_>,
        call: &Call,
        since: DeltaToken,
        token: DeltaToken,
        annotations: Annotations,
    ) -> Vec<u8> {
        let page = delta::page(scope, since, self.cursor.as_ref(), self.limit);
        let mut out = Vec::with_capacity(256 + page.news.len() * (64 + self.select.len() * 40));
        self.begin(scope, call, "/$delta", &mut out);
        if page.next.is_none() {
            property("@odata.deltaLink", &token.link(scope, call), &mut out);
        }
        out.extend_from_slice(b",\"value\":[");
        let columns = Columns::new(scope, &self.select, &[], annotations);
        let gone = format!("{}$metadata#{}/$deletedEntity", call.root(), scope.table.shape.set);
        for (place, news) in page.news.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            match news {
                News::Written(record) => columns.write(*record, None, &mut out),
                News::Deleted(id) => {
                    let gone = serde_json::json!({"@odata.context": gone, "id": id.to_string(), "reason": "deleted"});
                    out.extend_from_slice(gone.to_string().as_bytes());
                }
            }
        }
        out.push(b']');
        if let Some(next) = page.next {
            let number = self.cursor.as_ref().map_or(2, |cursor| cursor.page + 1);
            property("@odata.nextLink", &next_link(scope, call, &next.cursor(token, number)), &mut out);
        }
        out.push(b'}');
        out
    }

    fn begin(&self, scope: Scope<'_>, call: &Call, end: &str, out: &mut Vec<u8>) {
        let selection = expand::selection(self.select_text.as_deref(), &self.expansions);
        let selection = if selection.is_empty() { selection } else { format!("({selection})") };
        out.extend_from_slice(b"{\"@odata.context\":");
        write_text(&format!("{}$metadata#{}{selection}{end}", call.root(), scope.table.shape.set), out);
    }

    fn write_counts(&self, scope: Scope<'_>, annotations: Annotations, out: &mut Vec<u8>) {
        let (mut total, mut is_over) = (-1, false);
        if self.count {
            let found = self.page(scope, None, PAGE_MAX + 1).len();
            is_over = found > PAGE_MAX;
            total = i64::try_from(found.min(PAGE_MAX)).unwrap_or(0);
            out.extend_from_slice(format!(",\"@odata.count\":{total}").as_bytes());
        }
        if annotations.total {
            write_total(total, is_over, out);
        }
    }

    fn next_cursor(&self, scope: Scope<'_>, call: &Call, last: Record<'_>, token: Option<DeltaToken>) -> Cursor {
        let token = token.map(DeltaToken::text);
        if call.repeat_page {
            let start = Cursor { page: 1, key: Vec::new(), last: Guid::from_u128(0), token };
            return self.cursor.clone().unwrap_or(start);
        }
        let page = self.cursor.as_ref().map_or(2, |cursor| cursor.page + 1);
        Cursor { page, key: order::key(scope, last, &self.order), last: scope.table.id(last), token }
    }
}

fn property(name: &str, text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(format!(",\"{name}\":").as_bytes());
    write_text(text, out);
}

/// The fields that `$select` names, in its order; all readable ones without it.
pub(crate) fn select(table: &Table, text: Option<&str>) -> Result<Vec<usize>, Error> {
    match text.filter(|text| !text.trim().is_empty()) {
        Some(text) => {
            let mut fields = Vec::new();
            for name in text.split(',') {
                let field = model::property(table, name.trim())?;
                if !fields.contains(&field) {
                    fields.push(field);
                }
            }
            // Money is nothing without its currency.
            let has_money = fields.iter().any(|field| matches!(table.fields[*field].kind, FieldKind::Money { .. }));
            if let Some(currency) = table.field(CURRENCY).filter(|currency| has_money && !fields.contains(currency)) {
                fields.push(currency);
            }
            Ok(fields)
        }
        None => Ok((0..table.fields.len()).filter(|field| table.fields[*field].kind.is_readable()).collect()),
    }
}

fn read(scope: Scope<'_>, call: &Call, page_size_max: Option<usize>) -> Result<Query, Error> {
    for (name, _) in call.options() {
        if name == "$skip" {
            return Err(Error::query("Skip Clause is not supported in CRM"));
        }
        if name.starts_with('$') && !OPTIONS.contains(&name.as_str()) {
            return Err(Error::not_there(format!("The query parameter {name} is not part of this stand-in.")));
        }
    }
    let select_text = call.option("$select").filter(|text| !text.trim().is_empty());
    let test = match call.option("$filter") {
        Some(text) => Some(filter::bind(&filter::parse(&call.with_aliases(&text))?, scope, call.now)?),
        None => None,
    };
    let order = match call.option("$orderby") {
        Some(text) => order::parse(&call.with_aliases(&text), scope)?,
        None => Vec::new(),
    };
    let top = match call.option("$top") {
        Some(text) => Some(text.parse::<usize>().map_err(|_| {
            Error::query(format!("Invalid value '{text}' for $top query option found. The $top query option requires a non-negative integer value."))
        })?),
        None => None,
    };
    // With a page size, the real system ignores $top; without one, $top ends the answer.
    let (limit, is_paged) = match (page_size_max, top) {
        (Some(size), _) => (size.min(PAGE_MAX), true),
        (None, Some(top)) => (top.min(PAGE_MAX), false),
        (None, None) => (PAGE_MAX, true),
    };
    Ok(Query {
        select: select(scope.table, select_text.as_deref())?,
        select_text,
        expansions: expand::parse(call.option("$expand").as_deref(), scope)?,
        bounds: test.as_ref().map(|test| test.bounds(scope.table)).unwrap_or_default(),
        test,
        order,
        limit,
        is_paged,
        count: call.option("$count").is_some_and(|value| value == "true"),
        cursor: call.option("$skiptoken").map(|token| Cursor::decode(&token)).transpose()?,
    })
}

/// The address of the next page: the same query with the position after the last record.
fn next_link(scope: Scope<'_>, call: &Call, cursor: &Cursor) -> String {
    let token = cursor.encode(scope.table.shape.id_field);
    let kept: Vec<&str> = call.query.split('&').filter(|part| !part.is_empty() && !is_skip_token(part)).collect();
    let root = match &call.next_link_host {
        Some(host) => call.root().replacen(call.host(), host, 1),
        None => call.root(),
    };
    let before = if kept.is_empty() { String::new() } else { format!("{}&", kept.join("&")) };
    format!("{root}{}?{before}$skiptoken={token}", scope.table.shape.set)
}

fn is_skip_token(part: &str) -> bool {
    let name = part.split('=').next().unwrap_or("");
    name == "$skiptoken" || name.eq_ignore_ascii_case("%24skiptoken")
}

impl Query {
    /// At most `limit` matching records after a position, in order.
    pub(super) fn page<'a>(&'a self, scope: Scope<'a>, after: Option<&[u8]>, limit: usize) -> Vec<Record<'a>> {
        if let Some(walk) = self.ordered_walk(scope.table, after) {
            return walk.filter(|record| self.matches(scope, *record)).take(limit).collect();
        }
        // No index has this order: keep the best `limit` of all that can match.
        self.best(scope, self.candidates(scope.table), after, limit)
    }

    /// The first `limit` matching records of some after a position, in order.
    pub(super) fn best<'a>(
        &self,
        scope: Scope<'a>,
        records: impl Iterator<Item = Record<'a>>,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Vec<Record<'a>> {
        let mut best: BinaryHeap<Ranked<'_>> = BinaryHeap::new();
        for record in records.filter(|record| self.matches(scope, *record)) {
            let key = order::key(scope, record, &self.order);
            if after.is_some_and(|after| key.as_slice() <= after) {
                continue;
            }
            if best.len() < limit {
                best.push(Ranked { key, record });
            } else if best.peek().is_some_and(|worst| key < worst.key) {
                best.pop();
                best.push(Ranked { key, record });
            }
        }
        best.into_sorted_vec().into_iter().map(|ranked| ranked.record).collect()
    }

    fn matches(&self, scope: Scope<'_>, record: Record<'_>) -> bool {
        self.test.as_ref().is_none_or(|test| test.holds(scope, record) == Some(true))
    }

    /// A walk that is in the order asked for already, from the position on.
    fn ordered_walk<'a>(&'a self, table: &'a Table, after: Option<&[u8]>) -> Option<Walk<'a>> {
        if self.bounds.ids.is_some() {
            return None;
        }
        let facts: Vec<_> = self.order.iter().map(|part| part.field.fact(table)).collect();
        let descending = self.order.first().is_some_and(|part| part.descending);
        let index = match facts.as_slice() {
            [] | [Some(Fact::Id), ..] => {
                // A narrow window of dates is cheaper to sort than the whole table is to walk.
                let narrow =
                    [DateIndex::Created, DateIndex::Modified].into_iter().any(|index| self.is_narrow(table, index));
                if narrow {
                    return None;
                }
                let place = after.map(|key| (0, id_of_key(key, descending)));
                let (from, to) = bounded(Bound::Unbounded, Bound::Unbounded, place, descending);
                return Some(table.by_id(from, to, descending));
            }
            [Some(Fact::CreatedOn)] | [Some(Fact::CreatedOn), Some(Fact::Id)] => DateIndex::Created,
            [Some(Fact::ModifiedOn)] | [Some(Fact::ModifiedOn), Some(Fact::Id)] => DateIndex::Modified,
            _ => return None,
        };
        // Without the id in the order, equal dates go by ascending ids: a backwards walk is right only if ids descend too.
        if descending != self.order.get(1).is_some_and(|part| part.descending) {
            return None;
        }
        let (from, to) = self.bounds.window(index).places();
        let place = after.and_then(|key| place_of_key(key, descending));
        let (from, to) = bounded(from, to, place, descending);
        Some(table.by_date(index, from, to, descending))
    }

    fn is_narrow(&self, table: &Table, index: DateIndex) -> bool {
        let window = self.bounds.window(index);
        let (from, to) = window.places();
        window.is_bounded() && table.count_in_window(index, from, to) < table.len() / 16
    }

    /// The records that can match, in no order that counts.
    fn candidates<'a>(&'a self, table: &'a Table) -> Box<dyn Iterator<Item = Record<'a>> + 'a> {
        if let Some(ids) = &self.bounds.ids {
            let mut ids = ids.clone();
            ids.sort();
            ids.dedup();
            return Box::new(ids.into_iter().filter_map(|id| table.get(id)));
        }
        for index in [DateIndex::Modified, DateIndex::Created] {
            if self.is_narrow(table, index) {
                let (from, to) = self.bounds.window(index).places();
                return table.by_date(index, from, to, false);
            }
        }
        table.by_id(Bound::Unbounded, Bound::Unbounded, false)
    }
}

/// Bounds of a walk, moved to begin after a position.
fn bounded<T>(from: Bound<T>, to: Bound<T>, after: Option<T>, descending: bool) -> (Bound<T>, Bound<T>) {
    match after {
        Some(after) if descending => (from, Bound::Excluded(after)),
        Some(after) => (Bound::Excluded(after), to),
        None => (from, to),
    }
}

/// The id in a key that is an id alone.
fn id_of_key(key: &[u8], descending: bool) -> Guid {
    // An order that names the id has a mark for "not null" in front.
    let bytes = if key.len() > 16 { &key[1..] } else { key };
    Guid::from_sort_key(number(bytes, descending))
}

/// Date and id in the key of an order by date.
fn place_of_key(key: &[u8], descending: bool) -> Option<(i64, Guid)> {
    let date = number(key.get(1..17)?, descending) ^ 1 << 127;
    let id = key.get(17..)?;
    let id = if id.len() > 16 { number(&id[1..], descending) } else { number(id, false) };
    Some((i64::try_from(date.cast_signed()).ok()?, Guid::from_sort_key(id)))
}

fn number(bytes: &[u8], turned: bool) -> u128 {
    bytes.iter().take(16).fold(0, |number, byte| number << 8 | u128::from(if turned { !*byte } else { *byte }))
}

/// A record with its order key; the greatest is the last in order.
struct Ranked<'a> {
    key: Vec<u8>,
    record: Record<'a>,
}

impl PartialEq for Ranked<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Ranked<'_> {}

impl PartialOrd for Ranked<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ranked<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}
