//! How readings and writes go, told without doing them.

use engine::failure::Failure;
use engine::outside::crm::{FETCH_MAX, Feed, Operation, Read, Way, Write, WritePlan};

use super::changes::{self, Begin};
use super::query::Plan;
use super::read::{is_many, page_size};
use super::replication::{self, Span};
use super::session::Session;
use super::{fetch, job, write};

/// How a reading of so many records, in so many parts, would go.
pub(super) fn read(session: &Session, read: &Read, records: Option<u64>, parts: u64) -> Result<Way, Failure> {
    match &read.feed {
        None => ordinary(session, read, records, parts),
        Some(feed) => of_feed(session, read, feed, records),
    }
}

/// How a reading of the feed of changes would go.
fn of_feed(session: &Session, read: &Read, feed: &Feed, records: Option<u64>) -> Result<Way, Failure> {
    let object = &read.object.name;
    let asked = |span: Span| -> Result<Vec<String>, Failure> {
        let paths = [replication::deleted_path(object, span)?, replication::updated_path(object, span)?];
        Ok(paths.into_iter().map(|path| format!("GET {}{path}", session.base())).collect())
    };
    let span = match changes::begin(session, read, feed)? {
        Begin::Whole(whole) => {
            let way = ordinary(session, &whole, records, 1)?;
            let before = asked(replication::look(feed.to))?.into_iter().chain(way.before).collect();
            let note = "where Salesforce covers less (getDeleted, getUpdated), it reads up to an earlier time; what changed \
                        later comes by the feed, the next time";
            return Ok(Way {
                method: format!("{}, which begins the feed of changes", way.method),
                before,
                calls: way.calls.map(|calls| calls + 2),
                notes: way.notes.into_iter().chain([note.to_owned()]).collect(),
                ..way
            });
        }
        Begin::Changes(span) => span,
    };
    let page = changes::page_size(session) as u64;
    let calls = |records: u64| fetch(session, read, records).map(|way| way.calls.unwrap_or_default());
    let calls = match records {
        Some(records) => Some(2 + records / page * calls(page)? + calls(records % page)?),
        None => None,
    };
    let way = fetch(session, read, records.unwrap_or(page).clamp(1, page))?;
    let note = "where Salesforce does not tell so many ids at once, the span is halved, which is more calls";
    Ok(Way {
        method: format!("feed of changes (getDeleted, getUpdated), then {}", way.method),
        before: asked(span)?,
        per_call: way.per_call.map(|most| most.min(page)),
        calls,
        notes: way.notes.into_iter().chain([note.to_owned()]).collect(),
        ..way
    })
}

fn ordinary(session: &Session, read: &Read, records: Option<u64>, parts: u64) -> Result<Way, Failure> {
    let plan = Plan::new(session, read)?;
    let (page, parts) = (u64::from(page_size(session)), parts.max(1));
    let each = records.map(|records| records.div_ceil(parts));
    let begin = format!("GET {}{}", session.base(), plan.address(&plan.soql(None)));
    let is_long = plan.is_by_id && plan.is_too_long();
    if !is_long && !each.is_some_and(|each| plan.is_by_id && each > page && is_many(session, each)) {
        let calls = each.map(|each| each.div_ceil(page).max(1) * parts);
        let method = "REST query".to_owned();
        return Ok(Way { method, request: begin, per_call: Some(page), calls, ..Way::default() });
    }
    // The first page of a query says how many there are; one that is too long for an address goes into a job at once.
    let before: Vec<String> = (!is_long).then_some(begin).into_iter().collect();
    let page = u64::from(session.bulk.records_per_page.max(1));
    // A job is made, and looked at once.
    let own = before.len() as u64 + 2;
    let body = job::reading(&plan.unordered(), plan.all);
    Ok(Way {
        method: "Bulk API 2.0 query job".to_owned(),
        before,
        request: format!("POST {}jobs/query {body}", session.base()),
        per_call: Some(page),
        calls: each.map(|each| (own + each.div_ceil(page).max(1)) * parts),
        notes: vec!["a job is looked at until it is done: each look but the first is one more call".to_owned()],
    })
}

/// How the records of so many ids would be fetched.
pub(super) fn fetch(session: &Session, read: &Read, records: u64) -> Result<Way, Failure> {
    let read = &fetch::bare(read);
    let plan = Plan::new(session, read)?;
    let most = FETCH_MAX as u64;
    if fetch::is_listed(&plan) {
        let body = fetch::list(&plan, &["…".to_owned()]);
        return Ok(Way {
            method: "sObject Collections, which read by ids".to_owned(),
            request: format!("POST {}composite/sobjects/{} {body}", session.base(), plan.object),
            per_call: Some(most),
            calls: Some(records.div_ceil(most)),
            ..Way::default()
        });
    }
    let samples = |ids: usize| (0..ids).map(|n| format!("{n:018}")).collect::<Vec<_>>();
    let ask = |ids: &[String]| fetch::addresses(session, read, &plan, &plan.id, ids);
    let calls = |ids: usize| ask(&samples(ids)).map(|addresses| addresses.len() as u64);
    let rest = usize::try_from(records % most).unwrap_or_default();
    let full = if records >= most { records / most * calls(FETCH_MAX)? } else { 0 };
    let shown = samples(if records == 1 { 1 } else { 2 });
    let query = ask(&shown)?.into_iter().next().unwrap_or_default();
    let query = shown.iter().fold(query, |query, id| query.replace(id, "…"));
    Ok(Way {
        method: "REST query by ids".to_owned(),
        request: format!("GET {}{query}", session.base()),
        per_call: Some(most.div_ceil(calls(FETCH_MAX)?.max(1))),
        calls: Some(full + calls(rest)?),
        ..Way::default()
    })
}

/// How so many batches would be written.
pub(super) fn write(session: &Session, write: &Write, plan: &WritePlan, batches: u64) -> Way {
    let (base, object) = (session.base(), &write.object.name);
    if plan.method == write::BULK {
        return Way {
            method: "Bulk API 2.0 ingest job".to_owned(),
            request: format!("POST {base}jobs/ingest {}", write::job_of(write)),
            // A job is made, filled, closed, looked at once, and has three lists of results.
            calls: Some(batches * 7),
            ..Way::default()
        };
    }
    let request = match write.operation {
        Operation::Delete => format!("DELETE {base}composite/sobjects?allOrNone=false&ids=…"),
        Operation::Insert => format!("POST {base}composite/sobjects"),
        Operation::Upsert if !write::is_by_id(write) => {
            format!("PATCH {base}composite/sobjects/{object}/{}", write.key.join(""))
        }
        Operation::Update | Operation::Upsert => format!("PATCH {base}composite/sobjects"),
    };
    // An update needs ids, which are found by the external id first.
    let by_key = write::is_update_by_key(write);
    let notes = by_key.then(|| format!("the ids of each batch are looked up by {} first", write.key.join(" and ")));
    Way {
        method: "sObject Collections".to_owned(),
        request,
        calls: Some(if by_key { batches * 2 } else { batches }),
        notes: notes.into_iter().collect(),
        ..Way::default()
    }
}
