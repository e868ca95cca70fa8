//! What a request asks for, as faults and the log name it.

use hyper::Method;

use crate::{dataverse::Call, faults::Route};

/// Whether a path belongs to Salesforce.
pub(crate) fn owns(path: &str) -> bool {
    path == "/services" || ["/services/", "/id/", "/cometd"].iter().any(|start| path.starts_with(start))
}

/// What a request asks for.
pub(crate) fn route(call: &Call) -> Route {
    if call.path.starts_with("/services/oauth2/token")
        || call.path.starts_with("/services/oauth2/revoke")
        || call.path.starts_with("/services/Soap/")
    {
        return Route::Token;
    }
    let Some((_, rest)) = super::versioned(call.path.trim_end_matches('/')) else {
        return if call.path.contains("/data") { Route::Other } else { Route::Whoami };
    };
    let segments: Vec<&str> = rest.split('/').collect();
    let is_read = call.method == Method::GET || call.method == Method::HEAD;
    match segments.as_slice() {
        ["query" | "queryAll"] => Route::Query,
        ["query" | "queryAll", ..] => Route::Page,
        ["jobs", ..] => Route::Bulk,
        ["composite", "sobjects", _] if call.method == Method::POST => Route::Record,
        ["composite", "sobjects" | "tree", ..] => Route::Write,
        ["composite", ..] => Route::Batch,
        ["sobjects", _, "updated" | "deleted"] => Route::Replication,
        ["sobjects"] | ["sobjects", _] | ["sobjects", _, "describe"] if is_read => Route::Metadata,
        ["sobjects", ..] if is_read => Route::Record,
        ["sobjects", ..] => Route::Write,
        _ => Route::Other,
    }
}
