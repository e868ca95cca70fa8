//! Small questions: how many, in which parts, the records with these keys.

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::DataType;
use engine::failure::{Class, Failure};
use engine::outside::crm::{FETCH_MAX, FieldKind, Page, Range, Read, Versions};
use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::Arc;

use super::field;
use super::page::{Decoded, PageDecoder};
use super::query::Plan;
use super::session::{Ask, Session};
use super::soql::quoted;
use crate::http::{Repeat, Reply};
use crate::{names, numbers};

/// The longest address of a question for keys, in bytes.
const ADDRESS_BYTES_MAX: usize = 1_900;
/// Questions for keys at the same time.
const AT_ONCE: usize = 4;
/// Fewer records than this are read as a whole.
const RANGES_FROM: u64 = 50_000;
/// A part of fewer records is not halved.
const RANGE_RECORDS_MIN: u64 = 10_000;
/// By what a reading is parted.
const RANGE_FIELD: &str = "CreatedDate";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Counted {
    total_size: u64,
}

/// How many records a reading has, as far as Salesforce can evaluate its filter.
pub(super) async fn count(session: &Session, read: &Read) -> Result<u64, Failure> {
    let plan = Plan::new(session, read)?;
    let ask = Ask::get(plan.address(&plan.selecting("COUNT()", None))).repeat(Repeat::IfAnswered);
    let counted: Counted = session.json(&ask, &format!("counting {}", plan.object)).await?;
    Ok(counted.total_size)
}

/// Parts of a reading by the time at which records were made: the largest part is halved until there are enough.
pub(super) async fn ranges(session: &Session, read: &Read, at_most: usize) -> Result<Vec<Range>, Failure> {
    let has_field =
        read.object.fields.get(RANGE_FIELD).is_some_and(|f| f.is_date_time() && field::comparable(f).is_some());
    if at_most < 2 || !has_field || read.range.is_some() || !read.order.is_empty() {
        return Ok(Vec::new());
    }
    let all = count(session, read).await?;
    if all < RANGES_FROM {
        return Ok(Vec::new());
    }
    let (Some(first), Some(last)) = (edge(session, read, "ASC").await?, edge(session, read, "DESC").await?) else {
        return Ok(Vec::new());
    };
    // Second by second: each part is from its first second up to the next part's.
    let mut parts: Vec<(i64, u64)> = vec![(first, all)];
    let mut end = vec![last + 1];
    while parts.len() < at_most {
        let largest = (0..parts.len()).max_by_key(|place| parts[*place].1).unwrap_or_default();
        let ((from, records), to) = (parts[largest], end[largest]);
        if records < RANGE_RECORDS_MIN || to - from < 2 {
            break;
        }
        let middle = from + (to - from) / 2;
        let lower = Read { range: Some(range(Some(from), Some(middle))?), ..read.clone() };
        let below = count(session, &lower).await?.min(records);
        parts[largest].1 = below;
        parts.insert(largest + 1, (middle, records - below));
        end[largest] = middle;
        end.insert(largest + 1, to);
    }
    if parts.len() < 2 {
        return Ok(Vec::new());
    }
    let starts: Vec<i64> = parts.iter().map(|(from, _)| *from).collect();
    let bounds = |place: usize| ((place > 0).then(|| starts[place]), starts.get(place + 1).copied());
    (0..starts.len()).map(bounds).map(|(from, to)| range(from, to)).collect()
}

fn range(from: Option<i64>, to: Option<i64>) -> Result<Range, Failure> {
    let text = |at: i64| Timestamp::from_second(at).map(|at| at.to_string());
    let bound = |at: Option<i64>| at.map(text).transpose().map_err(|error| Failure::internal(error.to_string()));
    Ok(Range { field: RANGE_FIELD.to_owned(), from: bound(from)?, to: bound(to)? })
}

/// The second in which the first or the last record was made.
async fn edge(session: &Session, read: &Read, direction: &str) -> Result<Option<i64>, Failure> {
    #[derive(Deserialize)]
    struct Records {
        records: Vec<Made>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Made {
        created_date: Option<Timestamp>,
    }
    let plan = Plan::new(session, read)?;
    let soql = format!("{} ORDER BY {RANGE_FIELD} {direction} LIMIT 1", plan.selecting(RANGE_FIELD, None));
    let ask = Ask::get(plan.address(&soql)).repeat(Repeat::IfAnswered);
    let found: Records = session.json(&ask, &format!("parting {}", plan.object)).await?;
    Ok(found.records.first().and_then(|record| record.created_date).map(Timestamp::as_second))
}

/// The records that have these keys.
pub(super) async fn fetch(session: &Session, read: &Read, key: &str, values: &[String]) -> Result<Page, Failure> {
    if values.len() > FETCH_MAX {
        return Err(Failure::internal(format!("{} keys were asked for at once", values.len())));
    }
    let bare = bare(read);
    let plan = Plan::new(session, &bare)?;
    let decoder = Arc::new(PageDecoder::new(&bare, &plan, u32::MAX));
    let found = if key == plan.id && is_listed(&plan) {
        vec![by_ids(session, &plan, &decoder, values).await?]
    } else {
        by_query(session, &decoder, addresses(session, &bare, &plan, key, values)?, &plan.object, key).await?
    };
    page(&bare, found)
}

/// Without what a fetch does not heed.
pub(super) fn bare(read: &Read) -> Read {
    Read { filter: None, order: Vec::new(), window: None, range: None, feed: None, ..read.clone() }
}

/// Whether records are found by one list of ids; it has no fields of related records, and none that were deleted.
pub(super) fn is_listed(plan: &Plan) -> bool {
    !plan.all && !plan.select.iter().any(|path| names::is_path(path))
}

/// The body of a request for a list of ids.
pub(super) fn list(plan: &Plan, ids: &[String]) -> Value {
    json!({ "ids": ids, "fields": plan.select })
}

/// By one request, whose body has the ids.
async fn by_ids(session: &Session, plan: &Plan, decoder: &PageDecoder, ids: &[String]) -> Result<Decoded, Failure> {
    let what = format!("reading {} by ids", plan.object);
    let mut seen = HashSet::with_capacity(ids.len());
    let ids: Vec<String> = ids.iter().filter(|id| seen.insert(*id)).cloned().collect();
    let body = list(plan, &ids);
    let ask = Ask::json(Method::POST, format!("composite/sobjects/{}", plan.object), body.to_string());
    let is_json = |reply: &Reply| session.require_json(&what, reply);
    let reply = session.send(&ask, &what, &is_json).await?;
    decoder.list(&reply.body, &ids).map_err(|reason| no_list(session, &what, &reply, &reason))
}

/// Of queries, each with as many keys as its address holds.
pub(super) fn addresses(
    session: &Session,
    read: &Read,
    plan: &Plan,
    key: &str,
    values: &[String],
) -> Result<Vec<String>, Failure> {
    let wrong = || {
        Failure::new(Class::Config, format!("{}: {} cannot be found by {key}", session.account(), plan.object))
            .help("choose a field that Salesforce can filter by")
    };
    let field = names::find(read, key).ok_or_else(wrong)?;
    let path = field::comparable(field).ok_or_else(wrong)?;
    let literals: Vec<String> = values.iter().filter_map(|value| literal(field.kind, value)).collect();
    let address = |part: &[String]| {
        let condition = format!("{path} IN ({})", part.join(","));
        plan.address(&plan.selecting(&plan.select.join(", "), Some(condition)))
    };
    let base = session.base().len();
    let mut addresses = Vec::new();
    let mut from = 0;
    while from < literals.len() {
        let mut to = from + 1;
        while to < literals.len() && base + address(&literals[from..=to]).len() <= ADDRESS_BYTES_MAX {
            to += 1;
        }
        addresses.push(address(&literals[from..to]));
        from = to;
    }
    Ok(addresses)
}

/// By queries.
async fn by_query(
    session: &Session,
    decoder: &PageDecoder,
    addresses: Vec<String>,
    object: &str,
    key: &str,
) -> Result<Vec<Decoded>, Failure> {
    let what = format!("reading {object} by {key}");
    let ask = |address: String| by_address(session, decoder, address, &what);
    let pages: Vec<Vec<Decoded>> = stream::iter(addresses).map(ask).buffered(AT_ONCE).try_collect().await?;
    Ok(pages.into_iter().flatten().collect())
}

/// A value as it stands in a query. What is no value of the field's type is no record's value either; an empty text would
/// find every record without one.
fn literal(kind: FieldKind, value: &str) -> Option<String> {
    match kind.arrow() {
        DataType::Int32 => Some(value.parse::<i32>().ok()?.to_string()),
        DataType::Int64 => Some(value.parse::<i64>().ok()?.to_string()),
        DataType::Float64 | DataType::Decimal128(..) => numbers::canonical(value),
        _ => (!value.trim().is_empty()).then(|| quoted(value)),
    }
}

/// All pages of a query.
pub(super) async fn by_address(
    session: &Session,
    decoder: &PageDecoder,
    address: String,
    what: &str,
) -> Result<Vec<Decoded>, Failure> {
    let (mut pages, mut next, mut seen) = (Vec::new(), Some(address), HashSet::new());
    while let Some(address) = next.take() {
        if !seen.insert(address.clone()) {
            return Err(session.circle(what));
        }
        let is_json = |reply: &Reply| session.require_json(what, reply);
        let reply = session.send(&Ask::get(address), what, &is_json).await?;
        let decoded = decoder.json(&reply.body);
        let decoded = if pages.is_empty() { decoded.and_then(Decoded::first) } else { decoded };
        let decoded = decoded.map_err(|reason| no_list(session, what, &reply, &reason))?;
        next = decoded.next.clone();
        pages.push(decoded);
    }
    Ok(pages)
}

fn no_list(session: &Session, what: &str, reply: &Reply, reason: &str) -> Failure {
    let mut failure = session.no_sense(what, reply);
    failure.message = format!("{} ({reason})", failure.message);
    failure
}

/// One page of all that was found.
pub(super) fn page(read: &Read, found: Vec<Decoded>) -> Result<Page, Failure> {
    let parts: Vec<_> = found.into_iter().flat_map(|decoded| decoded.parts).collect();
    let internal = |error: arrow::error::ArrowError| Failure::internal(error.to_string());
    let batches: Vec<RecordBatch> = parts.iter().map(|part| part.records.clone()).collect();
    let records = concat_batches(&read.schema(), &batches).map_err(internal)?;
    let versions = Versions::concat(parts.iter().map(|part| part.versions.as_ref())).map_err(internal)?;
    let rejects = parts.into_iter().flat_map(|part| part.misfits).collect();
    Ok(Page { versions, rejects, ..Page::new(records) })
}

/// The ids of records that have these values of a key, for a write by a key that is not the id: value and id.
pub(super) async fn ids(
    session: &Session,
    object: &Arc<engine::outside::crm::Object>,
    key: &str,
    values: &[String],
) -> Result<Vec<(String, String)>, Failure> {
    let read_field = |name: &str| {
        object.fields.get(name).map(|field| engine::outside::crm::ReadField { field: field.clone(), raw: true })
    };
    let fields: Option<Vec<_>> = [key, object.id.as_str()].into_iter().map(read_field).collect();
    let fields = fields.ok_or_else(|| Failure::internal(format!("{} has no {key}", object.name)))?;
    let read = Read::new(object.clone(), fields);
    let mut found = Vec::with_capacity(values.len());
    for chunk in values.chunks(FETCH_MAX) {
        let page = fetch(session, &read, key, chunk).await?;
        let (keys, ids) = (page.records.column(0).as_string::<i32>(), page.records.column(1).as_string::<i32>());
        for (key_value, id) in keys.iter().zip(ids) {
            if let (Some(value), Some(id)) = (key_value, id) {
                let value = field::key(object, key, value).unwrap_or_else(|_| value.to_owned());
                found.push((value, id.to_owned()));
            }
        }
    }
    Ok(found)
}
