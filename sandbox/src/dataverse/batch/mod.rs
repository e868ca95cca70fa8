//! `$batch`: many operations in one request, done in order.

mod multipart;

use std::collections::HashMap;

use hyper::{Method, StatusCode};
use serde_json::Value as Json;

use super::{call::Call, error::Error, key::Path, parts::Parts};
use crate::{data::Store, faults::Fault, guid::Guid, reply::Reply, state::State};
use multipart::{Item, Operation};

/// Operations that a batch can have at most.
const OPERATIONS_MAX: usize = 1_000;

/// Addresses of records that were written in a change set, by the names of the operations.
type References = HashMap<String, String>;

/// Answers `POST /$batch`.
pub(super) fn answer(state: &State, call: &Call) -> Result<Reply, Error> {
    let items = multipart::items(call)?;
    check(&items)?;
    let mut answer = Answer::new(state.new_id());
    let parts = Parts::new(state, call.now);
    let goes_on = call.preferences().continue_on_error;
    let mut outer = Outer { status: 200, retry_after: None, cut: false };
    for item in items {
        let failure = match item {
            Item::One(operation) => {
                let outcome = perform(state, &parts, &operation);
                answer.add(operation.content_id.as_deref(), &outcome.reply, state);
                outer.cut |= outcome.cut;
                Some(outcome.reply).filter(|reply| reply.status >= 400)
            }
            Item::ChangeSet(operations) => {
                let outcome = perform_together(state, &parts, operations);
                answer.add_set(&outcome.replies, state);
                outer.cut |= outcome.cut;
                outcome.replies.into_iter().map(|(_, reply)| reply).find(|reply| reply.status >= 400)
            }
        };
        if outer.cut {
            break;
        }
        if let Some(failure) = failure.filter(|_| !goes_on) {
            outer.status = failure.status;
            outer.retry_after = failure.headers.into_iter().find(|(name, _)| *name == "Retry-After");
            break;
        }
    }
    let mut reply = answer.reply(outer.status);
    reply.headers.extend(outer.retry_after);
    reply.cut = outer.cut;
    Ok(if goes_on { reply.header("Preference-Applied", "odata.continue-on-error") } else { reply })
}

/// What the parts make of the answer around them.
struct Outer {
    status: u16,
    retry_after: Option<(&'static str, String)>,
    /// A fault ends the connection here.
    cut: bool,
}

fn check(items: &[Item]) -> Result<(), Error> {
    let mut count = 0;
    for item in items {
        let operations = match item {
            Item::One(operation) => std::slice::from_ref(&**operation),
            Item::ChangeSet(operations) => {
                if operations.iter().any(|operation| operation.call.method == Method::GET) {
                    return Err(Error::query(
                        "An invalid HTTP method 'GET' was detected for a request in a change set. Requests in change sets only support the HTTP methods 'POST', 'PUT', 'DELETE', and 'PATCH'.",
                    ));
                }
                operations
            }
        };
        count += operations.len();
        if operations.iter().any(|operation| operation.call.path.ends_with("/$batch")) {
            return Err(Error::query("A batch request cannot contain another batch request."));
        }
    }
    if count > OPERATIONS_MAX {
        return Err(Error::query(format!(
            "The current batch message contains too many parts. Only batch messages with a maximum number of '{OPERATIONS_MAX}' query operations and changesets are allowed."
        )));
    }
    Ok(())
}

struct Outcome {
    reply: Reply,
    cut: bool,
}

fn perform(state: &State, parts: &Parts<'_>, operation: &Operation) -> Outcome {
    let faults = parts.of_operation(&operation.call);
    let cut = faults.iter().any(|fault| fault.cut_after_commit);
    let reply = injected(&faults).unwrap_or_else(|| {
        let resource = operation.call.resource().map(|(_, resource)| resource);
        let resource = resource.ok_or_else(|| Error::segment(operation.call.path.trim_start_matches('/')));
        resource.and_then(|resource| super::route(state, &operation.call, &resource))
    });
    Outcome { reply: reply.unwrap_or_else(|error| error.reply()), cut }
}

fn injected(faults: &[Fault]) -> Option<Result<Reply, Error>> {
    faults.iter().find(|fault| fault.status.is_some()).map(|fault| Err(Error::of_fault(fault)))
}

struct SetOutcome {
    /// All replies, or only that of the operation that failed.
    replies: Vec<(Option<String>, Reply)>,
    cut: bool,
}

fn perform_together(state: &State, parts: &Parts<'_>, operations: Vec<Operation>) -> SetOutcome {
    let mut store = state.store_mut();
    store.begin();
    let mut references = References::new();
    let mut outcome = SetOutcome { replies: Vec::with_capacity(operations.len()), cut: false };
    for Operation { content_id, call } in operations {
        let faults = parts.of_operation(&call);
        outcome.cut |= faults.iter().any(|fault| fault.cut_after_commit);
        let done = injected(&faults).unwrap_or_else(|| write(&mut store, state, call, &references));
        match done {
            Ok(reply) => {
                let address = reply.headers.iter().find(|(name, _)| *name == "OData-EntityId");
                if let (Some(id), Some((_, address))) = (&content_id, address) {
                    references.insert(format!("${id}"), address.clone());
                }
                outcome.replies.push((content_id, reply));
            }
            Err(error) => {
                store.roll_back();
                outcome.replies = vec![(content_id, error.reply())];
                return outcome;
            }
        }
    }
    store.commit();
    outcome
}

fn write(store: &mut Store, state: &State, mut call: Call, references: &References) -> Result<Reply, Error> {
    if call.path.starts_with('$') {
        let (name, rest) = call.path.split_at(call.path.find('/').unwrap_or(call.path.len()));
        let address = resolve(references, name)?;
        let below_host = address.find(super::call::API).map_or("", |start| &address[start..]);
        call.path = format!("{below_host}{rest}");
    }
    if memchr::memmem::find(&call.body, b"\"$").is_some() {
        call.body = resolved_body(&call.body, references)?.into();
    }
    let (_, resource) = call.resource().ok_or_else(|| Error::segment(call.path.trim_start_matches('/')))?;
    super::write(store, state, &call, &Path::parse(&resource)?)
}

fn resolve<'a>(references: &'a References, name: &str) -> Result<&'a String, Error> {
    references
        .get(name)
        .ok_or_else(|| Error::query(format!("Content-ID Reference: '{name}' does not exist in the batch context.")))
}

/// The body with its references to earlier operations replaced by the addresses of what these wrote.
fn resolved_body(body: &[u8], references: &References) -> Result<Vec<u8>, Error> {
    let Ok(Json::Object(mut properties)) = serde_json::from_slice(body) else {
        return Ok(body.to_vec());
    };
    for (name, value) in &mut properties {
        let is_address = name.ends_with("@odata.bind") || name == "@odata.id";
        if let (true, Some(reference)) = (is_address, value.as_str().filter(|text| text.starts_with('$'))) {
            *value = resolve(references, reference)?.as_str().into();
        }
    }
    Ok(Json::Object(properties).to_string().into_bytes())
}

/// The answer as it grows.
struct Answer {
    boundary: String,
    out: Vec<u8>,
}

impl Answer {
    fn new(id: Guid) -> Self {
        Self { boundary: format!("batchresponse_{id}"), out: Vec::with_capacity(4_096) }
    }

    fn add(&mut self, content_id: Option<&str>, reply: &Reply, state: &State) {
        self.text(&format!("--{}\r\n", self.boundary));
        self.part(content_id, reply, state);
    }

    fn add_set(&mut self, replies: &[(Option<String>, Reply)], state: &State) {
        let inner = format!("changesetresponse_{}", state.new_id());
        self.text(&format!("--{}\r\nContent-Type: multipart/mixed; boundary={inner}\r\n\r\n", self.boundary));
        for (content_id, reply) in replies {
            self.text(&format!("--{inner}\r\n"));
            self.part(content_id.as_deref(), reply, state);
        }
        self.text(&format!("--{inner}--\r\n"));
    }

    fn part(&mut self, content_id: Option<&str>, reply: &Reply, state: &State) {
        self.text("Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n");
        if let Some(id) = content_id {
            self.text(&format!("Content-ID: {id}\r\n"));
        }
        let reason = StatusCode::from_u16(reply.status).ok().and_then(|status| status.canonical_reason());
        self.text(&format!("\r\nHTTP/1.1 {} {}\r\n", reply.status, reason.unwrap_or("")));
        if reply.status >= 400 {
            self.text(&format!("REQ_ID: {}\r\n", state.new_id()));
        }
        for (name, value) in &reply.headers {
            if *name == "OData-EntityId" {
                self.header("Location", value);
            }
            self.header(name, value);
        }
        self.text("\r\n");
        self.out.extend_from_slice(&reply.body);
        self.text("\r\n");
    }

    fn header(&mut self, name: &str, value: &str) {
        self.text(name);
        self.text(": ");
        self.text(value);
        self.text("\r\n");
    }

    fn text(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn reply(mut self, status: u16) -> Reply {
        self.text(&format!("--{}--\r\n", self.boundary));
        let kind = format!("multipart/mixed; boundary={}", self.boundary);
        let reply = Reply { body: self.out, ..Reply::empty(status) };
        reply.header("Content-Type", kind).header("OData-Version", "4.0")
    }
}
