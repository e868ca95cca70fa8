//! Reading many records: `$select`, `$filter`, `$orderby`, `$top`, `$count` and paging.

use std::{collections::BinaryHeap, ops::Bound};

use super::{
    call::Call,
    cursor::Cursor,
    error::Error,
    filter::{self, Bounds, Test},
    model,
    order::{self, OrderPart},
    render::{Annotations, Columns},
};
use crate::{
    data::{DateIndex, Fact, Record, Store, Table, Walk},
    guid::Guid,
    reply::Reply,
};

/// Records on a page, and the highest number that `$count` tells.
pub(crate) const PAGE_MAX: usize = 5_000;

/// Options that a query of a set can have.
const OPTIONS: &[&str] = &["$select", "$filter", "$orderby", "$top", "$count", "$skiptoken"];

struct Query {
    select: Vec<usize>,
    select_text: Option<String>,
    test: Option<Test>,
    bounds: Bounds,
    order: Vec<OrderPart>,
    limit: usize,
    is_paged: bool,
    count: bool,
    cursor: Option<Cursor>,
}

/// Answers `GET /contacts?…`.
pub(crate) fn answer(store: &Store, table: &Table, call: &Call) -> Result<Reply, Error> {
    let preferences = call.preferences();
    let query = read(table, call, preferences.page_size_max)?;
    let annotations =
        preferences.annotations.as_ref().map_or_else(Annotations::default, |(annotations, _)| *annotations);
    let after = query.cursor.as_ref().map(|cursor| cursor.key.as_slice()).filter(|key| !key.is_empty());
    let mut page = query.page(table, after, query.limit + usize::from(query.is_paged));
    let has_more = query.is_paged && page.len() > query.limit;
    page.truncate(query.limit);

    let mut out = Vec::with_capacity(256 + page.len() * (64 + query.select.len() * 40));
    let select = query.select_text.as_deref().map_or_else(String::new, |select| format!("({select})"));
    let context = format!("{}$metadata#{}{select}", call.root(), table.shape.set);
    out.extend_from_slice(format!("{{\"@odata.context\":{}", serde_json::Value::from(context)).as_bytes());
    write_counts(&query, table, annotations, &mut out);
    out.extend_from_slice(b",\"value\":[");
    let columns = Columns::new(store, table, &query.select, annotations);
    for (place, record) in page.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        columns.write(*record, None, &mut out);
    }
    out.push(b']');
    if let Some(last) = page.last().filter(|_| has_more) {
        let link = next_link(&query, table, call, *last);
        out.extend_from_slice(format!(",\"@odata.nextLink\":{}", serde_json::Value::from(link)).as_bytes());
    }
    out.push(b'}');

    let mut reply = Reply { body: out, ..Reply::empty(200) }
        .header("Content-Type", "application/json; odata.metadata=minimal")
        .header("OData-Version", "4.0");
    if let Some(size) = preferences.page_size_max {
        reply = reply.header("Preference-Applied", format!("odata.maxpagesize={size}"));
    }
    if let Some((_, list)) = preferences.annotations {
        reply = reply.header("Preference-Applied", format!("odata.include-annotations=\"{list}\""));
    }
    Ok(reply)
}

/// Answers `GET /contacts/$count`: a bare number.
pub(crate) fn count(table: &Table, call: &Call) -> Result<Reply, Error> {
    let query = read(table, call, None)?;
    let count = query.page(table, None, PAGE_MAX).len();
    // The real system begins the text with a byte order mark; clients that read a number must cope.
    let reply = Reply { body: format!("\u{feff}{count}").into_bytes(), ..Reply::empty(200) };
    Ok(reply.header("Content-Type", "text/plain").header("OData-Version", "4.0"))
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
            Ok(fields)
        }
        None => Ok((0..table.fields.len()).filter(|field| table.fields[*field].kind.is_readable()).collect()),
    }
}

fn read(table: &Table, call: &Call, page_size_max: Option<usize>) -> Result<Query, Error> {
    for (name, _) in call.options() {
        if name == "$skip" {
            return Err(Error::query("Skip Clause is not supported in CRM"));
        }
        if name.starts_with('$') && !OPTIONS.contains(&name.as_str()) {
            return Err(Error::new(
                501,
                "0x80060888",
                format!("The query parameter {name} is not supported by this stand-in"),
            ));
        }
    }
    let select_text = call.option("$select").filter(|text| !text.trim().is_empty());
    let test = match call.option("$filter") {
        Some(text) => Some(filter::bind(&filter::parse(&text)?, table)?),
        None => None,
    };
    let order = match call.option("$orderby") {
        Some(text) => order::parse(&text, table)?,
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
    let cursor = call.option("$skiptoken").map(|token| Cursor::decode(&token)).transpose()?;
    Ok(Query {
        select: select(table, select_text.as_deref())?,
        select_text,
        bounds: test.as_ref().map(|test| test.bounds(table)).unwrap_or_default(),
        test,
        order,
        limit,
        is_paged,
        count: call.option("$count").is_some_and(|value| value == "true"),
        cursor,
    })
}

fn write_counts(query: &Query, table: &Table, annotations: Annotations, out: &mut Vec<u8>) {
    let (mut total, mut is_over) = (-1, false);
    if query.count {
        let found = query.page(table, None, PAGE_MAX + 1).len();
        is_over = found > PAGE_MAX;
        total = i64::try_from(found.min(PAGE_MAX)).unwrap_or(0);
        out.extend_from_slice(format!(",\"@odata.count\":{total}").as_bytes());
    }
    if annotations.total {
        out.extend_from_slice(
            format!(",\"@Microsoft.Dynamics.CRM.totalrecordcount\":{total},\"@Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded\":{is_over}").as_bytes(),
        );
    }
}

/// The address of the next page: the same query with the position after the last record.
fn next_link(query: &Query, table: &Table, call: &Call, last: Record<'_>) -> String {
    let page = query.cursor.as_ref().map_or(2, |cursor| cursor.page + 1);
    let cursor = if call.repeat_page {
        query.cursor.clone().unwrap_or(Cursor { page: 1, key: Vec::new(), last: Guid::from_u128(0) })
    } else {
        Cursor { page, key: order::key(table, last, &query.order), last: table.id(last) }
    };
    let token = cursor.encode(table.shape.id_field);
    let kept: Vec<&str> = call.query.split('&').filter(|part| !part.is_empty() && !is_skip_token(part)).collect();
    let root = match &call.next_link_host {
        Some(host) => call.root().replacen(call.host(), host, 1),
        None => call.root(),
    };
    let before = if kept.is_empty() { String::new() } else { format!("{}&", kept.join("&")) };
    format!("{root}{}?{before}$skiptoken={token}", table.shape.set)
}

fn is_skip_token(part: &str) -> bool {
    let name = part.split('=').next().unwrap_or("");
    name == "$skiptoken" || name.eq_ignore_ascii_case("%24skiptoken")
}

impl Query {
    /// At most `limit` matching records after a position, in order.
    fn page<'a>(&'a self, table: &'a Table, after: Option<&[u8]>, limit: usize) -> Vec<Record<'a>> {
        if let Some(walk) = self.ordered_walk(table, after) {
            return walk.filter(|record| self.matches(table, *record)).take(limit).collect();
        }
        // No index has this order: keep the best `limit` of all that can match.
        let mut best: BinaryHeap<Ranked<'_>> = BinaryHeap::new();
        for record in self.candidates(table) {
            let is_candidate = self.matches(table, record);
            let key = if is_candidate {
                order::key(table, record, &self.order)
            } else {
                continue;
            };
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

    fn matches(&self, table: &Table, record: Record<'_>) -> bool {
        self.test.as_ref().is_none_or(|test| test.holds(table, record) == Some(true))
    }

    /// A walk that is in the order asked for already, from the position on.
    fn ordered_walk<'a>(&'a self, table: &'a Table, after: Option<&[u8]>) -> Option<Walk<'a>> {
        if self.bounds.ids.is_some() {
            return None;
        }
        let facts: Vec<_> = self.order.iter().map(|part| table.fields[part.field].fact).collect();
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
