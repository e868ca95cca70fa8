//! What an answer of the CRM says about one record.

use engine::failure::{Class, Failure};
use engine::outside::crm::{Operation, Outcome, What, Write};
use engine::reject::Reject;
use reqwest::StatusCode;
use serde_json::{Map, Value};

use crate::dynamics::error::{self, EXISTS, MISSING, Said, cure_of};
use crate::dynamics::key;
use crate::http::{Reply, retry_after_s};

/// Why nothing is sent a second time.
pub(super) const NO_RULE: &str = "without an id of our own, sending it again could make a second record: look it up";

/// What became of a record.
#[derive(Debug)]
pub(super) enum Answer {
    Known(Outcome),
    /// It was refused for a reason that may pass.
    Later(Failure),
    /// It was refused for a reason that all records share.
    Never(Failure),
}

/// What the answer to the writing of one record says. `place` is what stands in the parentheses of its address; without one,
/// a second sending would make a second record.
pub(super) fn of(account: &str, what: &str, write: &Write, place: &str, again: bool, reply: &Reply) -> Answer {
    if error::is_accepted(reply) {
        return Answer::Known(done(write, place, reply));
    }
    let refused = error::judge_write(account, what, reply);
    if let Err(mut refusal) = refused {
        refusal.failure.retry_after_s = retry_after_s(&reply.headers);
        return match refusal.failure.class {
            _ if refusal.doubtful && place.is_empty() => {
                let reason = format!("{}; {NO_RULE}", refusal.failure.message);
                Answer::Known(Outcome::InDoubt { reason })
            }
            Class::Transient | Class::Quota => Answer::Later(refusal.failure),
            _ => Answer::Never(refusal.failure),
        };
    }
    let said = error::said(reply);
    let id = || place.to_owned();
    let code = code(&said, reply.status);
    Answer::Known(match write.operation {
        Operation::Delete
            if reply.status == StatusCode::NOT_FOUND && code == MISSING && !names_another(&said.message, place) =>
        {
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

/// Whether the CRM itself accepts a write: a proxy's page is neither empty nor a record.
pub(super) fn is_own(write: &Write, reply: &Reply) -> bool {
    match reply.status {
        StatusCode::NO_CONTENT => true,
        _ => {
            write.operation != Operation::Delete && (entity_id(reply).is_some() || represented(write, reply).is_some())
        }
    }
}

fn done(write: &Write, place: &str, reply: &Reply) -> Outcome {
    let doubt = |reason: &str| Outcome::InDoubt { reason: reason.to_owned() };
    if !is_own(write, reply) {
        return doubt("the answer is neither empty nor the record, so it may not be the CRM's");
    }
    let what = match (write.operation, reply.status) {
        (Operation::Insert, _) | (Operation::Upsert, StatusCode::CREATED) => What::Created,
        (Operation::Delete, _) => What::Deleted,
        // Without a word about it, or where an earlier sending may have made it, it was there.
        (Operation::Upsert | Operation::Update, _) => What::Updated,
    };
    let said = entity_id(reply).or_else(|| represented(write, reply));
    match (key::guid(place).ok(), said) {
        (Some(sent), Some(said)) if sent != said => doubt(&format!("the CRM's answer is about another record, {said}")),
        (Some(id), _) | (None, Some(id)) => Outcome::Done { id, what },
        (None, None) => doubt("the CRM took the record, but did not say its id"),
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

/// The code. Where the CRM leaves it empty, as its documentation shows, its message says the same; a status does not.
fn code(said: &Said, status: StatusCode) -> String {
    let message = said.message.to_ascii_lowercase();
    match (said.code.as_str(), status) {
        ("", StatusCode::NOT_FOUND) if message.contains("with id =") && message.contains("does not exist") => {
            MISSING.to_owned()
        }
        ("", StatusCode::PRECONDITION_FAILED) if message.contains("matching key values already exists") => {
            EXISTS.to_owned()
        }
        ("", status) => status.as_u16().to_string(),
        (code, _) => code.to_owned(),
    }
}

/// Whether a message is about records, and none of them is this one: a plug-in may miss another record.
fn names_another(message: &str, place: &str) -> bool {
    let words = message.split(|c: char| !c.is_ascii_hexdigit() && c != '-');
    let mut ids = words.filter(|word| word.len() == 36).filter_map(|word| key::guid(word).ok()).peekable();
    ids.peek().is_some() && key::guid(place).is_ok_and(|own| ids.all(|id| id != own))
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
