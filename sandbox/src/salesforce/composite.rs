//! `/composite`, `/composite/batch` and `/composite/tree`: several requests, or a tree of records, in one.

use std::collections::HashMap;

use hyper::{HeaderMap, Method, header::HeaderValue};
use serde_json::{Map, Value as Json, json};

use super::{
    Request, dispatch as dispatch_one,
    error::{Error, json_reply},
    versioned,
    write::{self, Target},
};
use crate::{dataverse::Call, reply::Reply};

/// Requests in one.
const PARTS_MAX: usize = 25;
/// Records in a tree.
const TREE_MAX: usize = 200;

/// Answers what lies below `/composite` besides collections.
pub(super) fn dispatch(request: &Request<'_>, path: &[&str]) -> Result<Reply, Error> {
    let body: Json = serde_json::from_slice(&request.call.body).map_err(Error::json)?;
    match path {
        ["batch"] => batch(request, &body),
        [] => composite(request, &body),
        ["tree", object] => tree(request, object, &body),
        _ => Err(Error::not_found()),
    }
}

fn parts<'a>(body: &'a Json, name: &str) -> Result<&'a [Json], Error> {
    let parts = body[name].as_array().ok_or_else(|| Error::json(format!("{name} must be a list")))?;
    if parts.len() > PARTS_MAX {
        return Err(Error::new("LIMIT_EXCEEDED", format!("Limit Exceeded: at most {PARTS_MAX} subrequests")));
    }
    Ok(parts)
}

/// One request within another.
fn run(request: &Request<'_>, method: &str, url: &str, body: Option<&Json>, headers: Option<&Json>) -> Reply {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    // Both `/services/data/v67.0/…` and `v67.0/…` are used.
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/services/data/{path}") };
    let mut call = Call {
        method: Method::from_bytes(method.as_bytes()).unwrap_or(Method::GET),
        path,
        query: query.to_owned(),
        headers: HeaderMap::new(),
        body: body.map(|body| body.to_string().into_bytes()).unwrap_or_default().into(),
        now: request.call.now,
        ..Call::default()
    };
    if let Some(host) = request.call.headers.get("host") {
        call.headers.insert("host", host.clone());
    }
    for (name, value) in headers.and_then(Json::as_object).into_iter().flatten() {
        let name = hyper::header::HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value.as_str().unwrap_or_default())) {
            call.headers.insert(name, value);
        }
    }
    let path = call.path.trim_end_matches('/').to_owned();
    let Some((version, rest)) = versioned(&path) else {
        return Error::not_found().reply();
    };
    let decoded = |segment: &str| percent_encoding::percent_decode_str(segment).decode_utf8_lossy().into_owned();
    let inner = Request { state: request.state, call: &call, version, path: rest.split('/').map(decoded).collect() };
    if matches!(inner.path.iter().map(String::as_str).collect::<Vec<_>>()[..], ["composite", "batch"] | ["composite"]) {
        return Error::new("INVALID_REQUEST", "a composite request cannot hold another").reply();
    }
    dispatch_one(&inner).unwrap_or_else(|error| error.reply())
}

fn json_of(reply: &Reply) -> Json {
    serde_json::from_slice(&reply.body).unwrap_or(Json::Null)
}

fn batch(request: &Request<'_>, body: &Json) -> Result<Reply, Error> {
    let halts = body["haltOnError"].as_bool().unwrap_or(false);
    let mut results = Vec::new();
    let mut has_errors = false;
    for part in parts(body, "batchRequests")? {
        if has_errors && halts {
            let error =
                json!([{"errorCode": "BATCH_PROCESSING_HALTED", "message": "Batch processing halted per request"}]);
            results.push(json!({"statusCode": 412, "result": error}));
            continue;
        }
        let (method, url) = (part["method"].as_str().unwrap_or("GET"), part["url"].as_str().unwrap_or(""));
        let reply = run(request, method, url, part.get("richInput"), None);
        has_errors |= reply.status >= 400;
        results.push(json!({"statusCode": reply.status, "result": json_of(&reply)}));
    }
    Ok(json_reply(200, &json!({"hasErrors": has_errors, "results": results})))
}

fn composite(request: &Request<'_>, body: &Json) -> Result<Reply, Error> {
    let all_or_none = body["allOrNone"].as_bool().unwrap_or(false);
    if all_or_none {
        return Err(Error::not_there("allOrNone of /composite, which /composite/sobjects has,"));
    }
    let mut results: Vec<Json> = Vec::new();
    let mut known: HashMap<String, Json> = HashMap::new();
    for part in parts(body, "compositeRequest")? {
        let name = part["referenceId"].as_str().unwrap_or("").to_owned();
        let url = with_references(part["url"].as_str().unwrap_or(""), &known);
        let body = part.get("body").map(|body| filled(body, &known));
        let reply =
            run(request, part["method"].as_str().unwrap_or("GET"), &url, body.as_ref(), part.get("httpHeaders"));
        let result = json_of(&reply);
        if reply.status < 300 {
            known.insert(name.clone(), result.clone());
        }
        let headers: Map<String, Json> = reply
            .headers
            .iter()
            .filter(|(name, _)| *name == "Location")
            .map(|(name, value)| ((*name).to_owned(), value.as_str().into()))
            .collect();
        results
            .push(json!({"body": result, "httpHeaders": headers, "httpStatusCode": reply.status, "referenceId": name}));
    }
    Ok(json_reply(200, &json!({"compositeResponse": results})))
}

/// A text with `@{ref.id}` replaced by what an earlier request answered.
fn with_references(text: &str, known: &HashMap<String, Json>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("@{") {
        out.push_str(before);
        let Some((path, tail)) = after.split_once('}') else {
            out.push_str("@{");
            rest = after;
            continue;
        };
        let (name, steps) = path.split_once('.').unwrap_or((path, ""));
        let pointer: String = steps
            .replace('[', ".")
            .replace(']', "")
            .split('.')
            .filter(|step| !step.is_empty())
            .map(|step| format!("/{step}"))
            .collect();
        match known.get(name).and_then(|result| result.pointer(&pointer)) {
            Some(Json::String(value)) => out.push_str(value),
            Some(other) => out.push_str(&other.to_string()),
            None => out.push_str(&format!("@{{{path}}}")),
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}

fn filled(json: &Json, known: &HashMap<String, Json>) -> Json {
    match json {
        Json::String(text) => with_references(text, known).into(),
        Json::Array(items) => items.iter().map(|item| filled(item, known)).collect(),
        Json::Object(map) => map.iter().map(|(name, value)| (name.clone(), filled(value, known))).collect(),
        other => other.clone(),
    }
}

/// Records of one object without children, all or none.
fn tree(request: &Request<'_>, object: &str, body: &Json) -> Result<Reply, Error> {
    let records = body["records"].as_array().ok_or_else(|| Error::json("records must be a list"))?;
    if records.len() > TREE_MAX {
        return Err(Error::new("LIMIT_EXCEEDED", format!("at most {TREE_MAX} records")));
    }
    let terms = request.terms();
    let mut store = request.store_mut();
    let table = request.table(&store, object)?;
    store.begin();
    let (mut results, mut failures) = (Vec::new(), Vec::new());
    for record in records {
        let reference = record["attributes"]["referenceId"].clone();
        let fields = record.as_object().cloned().unwrap_or_default();
        let written = request
            .row_fault(&terms, || record.to_string())
            .and_then(|()| write::values(&store, table, &fields, Target::New, &[]))
            .and_then(|values| write::write(&mut store, table, Target::New, values, &terms));
        match written {
            Ok(number) => {
                results.push(json!({"referenceId": reference, "id": store.tables[table].id(number).as_str()}));
            }
            Err(error) => failures.push(json!({"referenceId": reference, "errors": [error.to_row_json()]})),
        }
    }
    if failures.is_empty() {
        store.commit();
        return Ok(json_reply(201, &json!({"hasErrors": false, "results": results})));
    }
    store.roll_back();
    Ok(json_reply(400, &json!({"hasErrors": true, "results": failures})))
}
