//! What an answer of the CRM says about one record.

use engine::failure::{Class, Failure};
use engine::outside::crm::{Operation, Outcome, What, Write};
use engine::reject::Reject;
use reqwest::StatusCode;
use serde_json::{Map, Value};

use crate::dynamics::error::{self, EXISTS, MISSING, Said, cure_of};
use crate::dynamics::key;
use crate::http::{Reply, retry_after_s};

/// What became of a record.
#[derive(Debug)]
pub(super) enum Answer {
    Known(Outcome),
    /// It was refused for a reason that may pass.
    Later(Failure),
    /// It was refused for a reason that all records share.
    Never(Failure),
}

/// What the answer to the writing of one record says. `place` is what stands in the parentheses of its address.
pub(super) fn of(account: &str, what: &str, write: &Write, place: &str, again: bool, reply: &Reply) -> Answer {
    if reply.status.is_success() {
        return Answer::Known(done(write, place, reply));
    }
    let refused = error::judge_write(account, what, reply);
    if let Err(mut refusal) = refused {
        refusal.failure.retry_after_s = retry_after_s(&reply.headers);
        return match refusal.failure.class {
            Class::Transient | Class::Quota => Answer::Later(refusal.failure),
            _ => Answer::Never(refusal.failure),
        };
    }
    let said = error::said(reply);
    let id = || place.to_owned();
    let code = code(&said, reply.status);
    Answer::Known(match write.operation {
        Operation::Delete if reply.status == StatusCode::NOT_FOUND && code == MISSING => {
            Outcome::Done { id: id(), what: if again { What::Deleted } else { What::Absent } }
        }
        Operation::Insert if code == EXISTS && write.chosen_ids && !place.is_empty() => {
            Outcome::Done { id: id(), what: if again { What::Created } else { What::Unchanged } }
        }
        Operation::Insert if code == EXISTS && again && !place.is_empty() => Outcome::InDoubt {
            reason: format!(
                "a record {place} is there: it may be this one, sent before without an answer, or an older one"
            ),
        },
        _ => Outcome::Refused(reject(write, said, reply.status)),
    })
}

fn done(write: &Write, place: &str, reply: &Reply) -> Outcome {
    let what = match (write.operation, reply.status) {
        (Operation::Insert, _) | (Operation::Upsert, StatusCode::CREATED) => What::Created,
        (Operation::Delete, _) => What::Deleted,
        // Without a word about it, or where an earlier sending may have made it, it was there.
        (Operation::Upsert | Operation::Update, _) => What::Updated,
    };
    match key::guid(place).ok().or_else(|| entity_id(reply)).or_else(|| represented(write, reply)) {
        Some(id) => Outcome::Done { id, what },
        None => Outcome::InDoubt { reason: "the CRM took the record, but did not say its id".to_owned() },
    }
}

/// `OData-EntityId: https://…/contacts(00000000-…)`, of an elastic table `…(contactid=00000000-…,partitionid='a')`.
fn entity_id(reply: &Reply) -> Option<String> {
    let address = reply.headers.get("odata-entityid").or_else(|| reply.headers.get("location"))?.to_str().ok()?;
    let (_, keys) = address.trim().strip_suffix(')')?.rsplit_once('(')?;
    let (id, _) = keys.split_once(',').unwrap_or((keys, ""));
    key::guid(id.split_once('=').map_or(id, |(_, id)| id)).ok()
}

fn represented(write: &Write, reply: &Reply) -> Option<String> {
    let record: Map<String, Value> = serde_json::from_slice(&reply.body).ok()?;
    key::guid(record.get(&write.object.id)?.as_str()?).ok()
}

/// The code, also where the CRM leaves it empty, as its documentation shows.
fn code(said: &Said, status: StatusCode) -> String {
    match (said.code.as_str(), status) {
        ("", StatusCode::NOT_FOUND) => MISSING.to_owned(),
        ("", StatusCode::PRECONDITION_FAILED) => EXISTS.to_owned(),
        ("", status) => status.as_u16().to_string(),
        (code, _) => code.to_owned(),
    }
}

/// Why a record was refused, in the CRM's words, with the field and what now.
pub(super) fn reject(write: &Write, said: Said, status: StatusCode) -> Reject {
    let code = code(&said, status);
    let cure = cure_of(&code);
    let message = if said.message.is_empty() { format!("answered {status}") } else { said.message };
    let help =
        cure.map_or("read the CRM's message: it names what to correct; then send the record again", |cure| cure.help);
    Reject {
        symbol: cure.map_or_else(|| code.clone(), |cure| cure.symbol.to_owned()),
        code,
        field: field(write, &message),
        message,
        help: Some(help.to_owned()),
    }
}

/// A reject from a failure that stayed.
pub(super) fn reject_of(failure: &Failure) -> Reject {
    let code = failure.code.clone().unwrap_or_else(|| "UNAVAILABLE".to_owned());
    let cure = cure_of(&code);
    let help = failure.help.as_deref().or(cure.map(|cure| cure.help)).unwrap_or("send the record again later");
    Reject {
        symbol: cure.map_or_else(|| code.clone(), |cure| cure.symbol.to_owned()),
        code,
        message: failure.message.clone(),
        field: None,
        help: Some(help.to_owned()),
    }
}

/// The written field that the message names: in quotes, else as a word of its own, else by its label.
fn field(write: &Write, message: &str) -> Option<String> {
    let names = || write.fields.iter().map(|field| &field.field);
    let is_quoted =
        |name: &str| ["'", "\"", "`"].iter().any(|quote| message.contains(&format!("{quote}{name}{quote}")));
    let is_word = |name: &str| {
        let is_inner = |c: char| c.is_alphanumeric() || c == '_';
        message
            .match_indices(name)
            .any(|(at, _)| !message[..at].ends_with(is_inner) && !message[at + name.len()..].starts_with(is_inner))
    };
    let ways = |field: &engine::outside::crm::ObjectField| field.targets.iter().any(|target| is_word(&target.path));
    names()
        .find(|field| is_quoted(&field.name))
        .or_else(|| names().find(|field| is_word(&field.name) || ways(field)))
        .or_else(|| names().find(|field| field.label.len() > 2 && is_word(&field.label)))
        .map(|field| field.name.clone())
}
