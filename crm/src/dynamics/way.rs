//! How readings and writes go, told without doing them.

use engine::failure::Failure;
use engine::outside::crm::{FETCH_MAX, Operation, Read, Way, Write, WritePlan};

use super::fetch::{self, QUERIES_MAX};
use super::query::Plan;
use super::session::Session;
use super::write;

/// How a reading of so many records, in so many parts, would go.
pub(super) fn read(session: &Session, read: &Read, records: Option<u64>, parts: u64) -> Result<Way, Failure> {
    let page = u64::from(session.http.limits().records_per_page.max(1));
    let query = Plan::new(session, read)?.into_query(session, read)?;
    let method = match &read.feed {
        None => "OData query",
        Some(feed) if feed.since.is_none() => "OData query that begins the feed of changes",
        Some(_) => "feed of changes, from the `$deltatoken` that was kept",
    };
    Ok(Way {
        method: method.to_owned(),
        request: format!("GET {}", query.text),
        per_call: Some(page),
        // Each part ends with a page that is not full.
        calls: records.map(|records| records.div_ceil(page).max(1) + parts),
        ..Way::default()
    })
}

/// How the records of so many ids would be fetched: queries of some ids each, and several of them in a `$batch`.
pub(super) fn fetch(session: &Session, read: &Read, records: u64) -> Result<Way, Failure> {
    const SAMPLE_END: &str = "-0000-0000-0000-000000000000";
    let samples = |ids: usize| (0..ids).map(|n| format!("{n:08}{SAMPLE_END}")).collect::<Vec<_>>();
    let urls = |ids: usize| Ok::<_, Failure>(fetch::ask(session, read, &read.object.id, &samples(ids))?.urls);
    let calls = |ids: usize| {
        let queries = urls(ids)?.len();
        Ok::<_, Failure>(if queries > 1 { queries.div_ceil(QUERIES_MAX) } else { queries } as u64)
    };
    let most = FETCH_MAX as u64;
    let rest = usize::try_from(records % most).unwrap_or_default();
    let full = if records >= most { records / most * calls(FETCH_MAX)? } else { 0 };
    let in_query = urls(FETCH_MAX)?.first().map_or(1, |url| url.matches(SAMPLE_END).count());
    let shown = samples(if records == 1 { 1 } else { 2 });
    let host = session.root.origin().ascii_serialization().len();
    let query = fetch::ask(session, read, &read.object.id, &shown)?.urls.into_iter().next().unwrap_or_default();
    let query = shown.iter().fold(query[host.min(query.len())..].to_owned(), |query, id| query.replace(id, "…"));
    let is_batch = records > in_query as u64;
    let root = session.root.path();
    let (method, request) = match is_batch {
        true => ("$batch of OData queries by id", format!("POST {root}$batch of GET {query}")),
        false => ("OData query by id", format!("GET {query}")),
    };
    Ok(Way {
        method: method.to_owned(),
        request,
        per_call: Some(if is_batch { most.min((in_query * QUERIES_MAX) as u64) } else { in_query as u64 }),
        calls: Some(full + calls(rest)?),
        notes: vec![format!("one query has {in_query} ids at most, one $batch {QUERIES_MAX} queries")],
        ..Way::default()
    })
}

/// How so many batches would be written.
pub(super) fn write(session: &Session, write: &Write, plan: &WritePlan, batches: u64) -> Way {
    let (root, set) = (session.root.path(), &write.object.name);
    let one = match write.operation {
        Operation::Insert if !write.chosen_ids => format!("POST {root}{set}"),
        Operation::Delete => format!("DELETE {root}{set}(…)"),
        _ => format!("PATCH {root}{set}(…)"),
    };
    let mut notes = Vec::new();
    let mut calls = batches;
    let (method, request) = match plan.method.as_str() {
        write::MULTIPLE => {
            let by_id = write.key.contains(&write.object.id);
            if write.operation == Operation::Upsert || write.operation == Operation::Update && !by_id {
                calls *= 2;
                notes.push("of each batch it is asked besides which of its records the CRM has".to_owned());
            }
            (write::message(write.operation), format!("POST {root}{}", write::address(write)))
        }
        write::BATCH => ("$batch", format!("POST {root}$batch of {one}")),
        _ => ("one request a record", one),
    };
    Way { method: method.to_owned(), request, calls: Some(calls), notes, ..Way::default() }
}
