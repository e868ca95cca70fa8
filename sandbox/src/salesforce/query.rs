//! `/query` and `/queryAll`, and their further pages.

use serde_json::{Map, Value as Json, json};

use super::{
    Request,
    cursor::{Cursor, lost},
    error::{Error, bytes_reply, json_reply},
    render::write_record,
    soql::{self, Node, Output},
    store::Store,
    table::RowState,
    value::{Wire, write_json_text},
};
use crate::reply::Reply;

/// Records on a page: as many as the product gives at most, unless the client asks for fewer.
pub(super) const PAGE_MAX: usize = 2_000;
/// Fewer than this the product does not give.
const PAGE_MIN: usize = 200;

/// Answers the first page.
pub(super) fn first(request: &Request<'_>) -> Result<Reply, Error> {
    let query =
        request.call.option("q").ok_or_else(|| Error::new("MALFORMED_QUERY", "A query string has to be specified"))?;
    let with_deleted = request.path[0] == "queryAll";
    let store = request.store();
    let plan = soql::plan(&store, &query, request.call.now)?;
    let numbers = soql::matching(&store, &plan, with_deleted);
    match &plan.output {
        Output::Count => Ok(json_reply(200, &json!({"totalSize": numbers.len(), "done": true, "records": []}))),
        Output::Aggregates(aggregates) => {
            let mut row = Map::new();
            row.insert("attributes".into(), json!({"type": "AggregateResult"}));
            for aggregate in aggregates {
                let value = soql::aggregate(&store, plan.table(&store), &numbers, aggregate);
                let mut text = Vec::new();
                value.write_json(&mut text);
                row.insert(aggregate.name.clone(), serde_json::from_slice(&text).unwrap_or(Json::Null));
            }
            Ok(json_reply(200, &json!({"totalSize": 1, "done": true, "records": [row]})))
        }
        Output::Records(_) => {
            let page_size = asked_page_size(request).unwrap_or(PAGE_MAX);
            let cursor = Cursor::new(plan, with_deleted, numbers, page_size, request.call.now);
            Ok(page(request, &store, &cursor, None, 0))
        }
    }
}

/// Answers a further page: `01g…-2000`, whichever of the two resources it is asked of.
pub(super) fn next(request: &Request<'_>, locator: &str) -> Result<Reply, Error> {
    let (locator, offset) = locator.split_once('-').ok_or_else(lost)?;
    let offset: usize = offset.parse().map_err(|_| lost())?;
    let settings = request.org().settings();
    let mut cursor = request.org().cursors().get(locator, &settings, request.call.now)?;
    if offset >= cursor.numbers.len() {
        return Err(lost());
    }
    if let Some(size) = asked_page_size(request) {
        cursor.page_size = size;
    }
    Ok(page(request, &request.store(), &cursor, Some(locator), offset))
}

fn asked_page_size(request: &Request<'_>) -> Option<usize> {
    let options = request.call.header("sforce-query-options")?;
    let size = options.split([',', ';']).find_map(|option| {
        let (name, value) = option.split_once('=')?;
        name.trim().eq_ignore_ascii_case("batchSize").then(|| value.trim().parse::<usize>().ok()).flatten()
    })?;
    Some(size.clamp(PAGE_MIN, PAGE_MAX))
}

fn page(request: &Request<'_>, store: &Store, cursor: &Cursor, locator: Option<&str>, offset: usize) -> Reply {
    let (plan, total) = (&cursor.plan, cursor.numbers.len());
    let end = total.min(offset + cursor.page_size);
    let nodes: &[Node] = if let Output::Records(nodes) = &plan.output { nodes } else { &[] };
    let table = plan.table(store);
    let root = request.root();
    let mut out = Vec::with_capacity(512 * (end - offset) + 256);
    let done = end == total;
    out.extend_from_slice(format!("{{\"totalSize\":{total},\"done\":{done},").as_bytes());
    if !done {
        let locator = match locator {
            Some(locator) => locator.to_owned(),
            None => request.org().cursors().keep(cursor.clone(), &request.org().settings()),
        };
        let next = if request.call.repeat_page { offset } else { end };
        let host = request.call.next_link_host.as_ref().map(|host| format!("http://{host}")).unwrap_or_default();
        out.extend_from_slice(b"\"nextRecordsUrl\":");
        write_json_text(&mut out, &format!("{host}{root}/query/{locator}-{next}"));
        out.push(b',');
    }
    out.extend_from_slice(b"\"records\":[");
    let mut is_first = true;
    for number in &cursor.numbers[offset..end] {
        let record = table.get(*number).filter(|record| cursor.with_deleted || record.state() == RowState::Live);
        // One that was deleted between two pages is no longer there.
        let Some(record) = record else { continue };
        if !is_first {
            out.push(b',');
        }
        is_first = false;
        write_record(&mut out, store, table, record, nodes, &root);
    }
    out.extend_from_slice(b"]}");
    bytes_reply(200, out)
}
