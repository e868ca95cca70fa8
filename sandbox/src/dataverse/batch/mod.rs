//! `$batch`: many operations in one request, done in order.

mod multipart;

use hyper::{Method, StatusCode};
use serde_json::Value as Json;

use super::{
    call::Call,
    error::Error,
    key::Path,
    parts::{Parts, injected},
};
use crate::{data::Store, faults, guid::Guid, reply::Reply, state::State};
use multipart::{Item, Operation};

/// Operations that a batch can have at most.
const OPERATIONS_MAX: usize = 1_000;

/// Bytes of an operation's address at most.
const ADDRESS_BYTES_MAX: usize = 64 * 1_024;

/// Operations of a change set that are done, by the names that they can be referred to by.
type Done = Vec<(Option<String>, Reply)>;

/// Answers `POST /$batch`.
pub(super) fn answer(state: &State, call: &Call) -> Result<Reply, Error> {
    let items = multipart::items(call)?;
    check(&items)?;
    let mut answer = Answer::new(state.new_id());
    let parts = Parts::new(state, call.now);
    let goes_on = call.preferences().continue_on_error;
    let mut outer = Reply::empty(200);
    for item in items {
        let failure = match item {
            Item::One(operation) => {
                let reply = perform(state, &parts, &operation, &mut outer);
                answer.add(operation.content_id.as_deref(), &reply, state);
                Some(reply).filter(|reply| reply.status >= 400)
            }
            Item::ChangeSet(operations) => {
                let replies = perform_together(state, &parts, operations, &mut outer);
                answer.add_set(&replies, state);
                replies.into_iter().map(|(_, reply)| reply).find(|reply| reply.status >= 400)
            }
        };
        if outer.cut {
            break;
        }
        if let Some(failure) = failure.filter(|_| !goes_on) {
            outer.status = failure.status;
            outer.headers.extend(failure.headers.into_iter().find(|(name, _)| *name == "Retry-After"));
            break;
        }
    }
    let reply = answer.reply(outer);
    Ok(if goes_on { reply.header("Preference-Applied", "odata.continue-on-error") } else { reply })
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
        if operations.iter().any(|operation| operation.call.address_bytes() > ADDRESS_BYTES_MAX) {
            return Err(Error::new(
                414,
                super::error::code::QUERY,
                "The URL of an operation of the batch is too long.",
            ));
        }
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

/// Does an operation, and lets faults mark the answer around it.
fn perform(state: &State, parts: &Parts<'_>, operation: &Operation, outer: &mut Reply) -> Reply {
    let call = &operation.call;
    let done = strike(parts, call, outer).and_then(|()| {
        let (_, resource) = call.resource().ok_or_else(|| Error::segment(call.path.trim_start_matches('/')))?;
        super::route(state, call, &resource)
    });
    let reply = done.unwrap_or_else(|error| error.reply_to(call));
    outer.delay = outer.delay.saturating_add(reply.delay);
    reply
}

/// Does operations of which all take hold or none: their replies, or only that of the one that failed.
fn perform_together(state: &State, parts: &Parts<'_>, operations: Vec<Operation>, outer: &mut Reply) -> Done {
    let mut store = state.store_mut();
    store.begin();
    let mut replies = Done::with_capacity(operations.len());
    for Operation { content_id, call } in operations {
        let asked = call.preferences();
        match strike(parts, &call, outer).and_then(|()| write(&mut store, state, call, &replies)) {
            Ok(reply) => {
                outer.delay = outer.delay.saturating_add(reply.delay);
                replies.push((content_id, reply));
            }
            Err(error) => {
                store.roll_back();
                outer.delay = outer.delay.saturating_add(error.delay);
                return vec![(content_id, error.reply_with(&asked))];
            }
        }
    }
    store.commit();
    replies
}

/// Lets faults mark the answer around an operation: a delay, a cut; or refuse the operation itself.
fn strike(parts: &Parts<'_>, call: &Call, outer: &mut Reply) -> Result<(), Error> {
    let faults = parts.of_operation(call);
    outer.cut |= faults.iter().any(|fault| fault.cut_after_commit);
    outer.delay = outer.delay.saturating_add(faults::delay(&faults));
    injected(&faults).map_or(Ok(()), Err)
}

fn write(store: &mut Store, state: &State, mut call: Call, done: &Done) -> Result<Reply, Error> {
    if call.path.starts_with('$') {
        let (name, rest) = call.path.split_at(call.path.find('/').unwrap_or(call.path.len()));
        let address = resolve(done, name)?;
        let below_host = address.find(super::call::API).map_or("", |start| &address[start..]);
        call.path = format!("{below_host}{rest}");
    }
    if memchr::memmem::find(&call.body, b"\"$").is_some() {
        call.body = resolved_body(&call.body, done)?.into();
    }
    let (_, resource) = call.resource().ok_or_else(|| Error::segment(call.path.trim_start_matches('/')))?;
    super::write(store, state, &call, &Path::parse(&resource)?)
}

/// The address of the record that the operation behind `$1` wrote.
fn resolve<'a>(done: &'a Done, name: &str) -> Result<&'a str, Error> {
    let address = done.iter().rev().filter(|(id, _)| id.as_deref() == name.strip_prefix('$')).find_map(|(_, reply)| {
        let (_, address) = reply.headers.iter().find(|(name, _)| *name == "OData-EntityId")?;
        Some(address.as_str())
    });
    address.ok_or_else(|| Error::query(format!("Content-ID Reference: '{name}' does not exist in the batch context.")))
}

/// The body with its references to earlier operations replaced by the addresses of what these wrote.
fn resolved_body(body: &[u8], done: &Done) -> Result<Vec<u8>, Error> {
    let Ok(Json::Object(mut properties)) = serde_json::from_slice(body) else {
        return Ok(body.to_vec());
    };
    for (name, value) in &mut properties {
        let is_address = name.ends_with("@odata.bind") || name == "@odata.id";
        if let (true, Some(reference)) = (is_address, value.as_str().filter(|text| text.starts_with('$'))) {
            *value = resolve(done, reference)?.into();
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

    fn add_set(&mut self, replies: &Done, state: &State) {
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

    /// The whole answer, with the marks that its parts left on `outer`.
    fn reply(mut self, outer: Reply) -> Reply {
        self.text(&format!("--{}--\r\n", self.boundary));
        let kind = format!("multipart/mixed; boundary={}", self.boundary);
        let reply = Reply { body: self.out, ..outer };
        reply.header("Content-Type", kind).header("OData-Version", "4.0")
    }
}
