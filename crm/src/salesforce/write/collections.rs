//! sObject Collections: up to 200 records a request, each with a result of its own.

use std::collections::HashMap;

use bytes::{BufMut, Bytes, BytesMut};
use engine::failure::{Class, Failure};
use engine::outside::crm::{Batch, Operation, Outcome, What, Write};
use engine::reject::Reject;
use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::to_raw_value;

use super::super::error::{self, Said};
use super::super::fetch;
use super::super::session::{Ask, Session};
use super::landed::landed;
use super::payload::Object;
use super::{in_doubt, is_by_id, is_repeatable, is_update_by_key, key_of, not_found};
use crate::http::{Refusal, Repeat, Reply, Waits};
use crate::records::scalar;

/// Another record has the value; of an upsert, one that was made at the same moment.
const DUPLICATE_VALUE: &str = "DUPLICATE_VALUE";
/// The record is in the recycle bin, or was.
const DELETED: &str = "ENTITY_IS_DELETED";
/// Why it is not known which record it was.
const NO_ID: &str = "Salesforce took the record, but did not say its id";
/// The step of an insert that is about to be sent once more.
const SENDING: &str = "sending";
/// The step of one that Salesforce surely did not take.
const REFUSED: &str = "refused";

/// What became of one record, in the order of the request.
#[derive(Debug, Deserialize)]
struct Answer {
    id: Option<String>,
    #[serde(default)]
    success: bool,
    created: Option<bool>,
    #[serde(default)]
    errors: Vec<Said>,
}

/// Sends a batch; a record that another transaction holds is sent again by itself. An insert is sent again only where it is
/// known that Salesforce did not take it the last time.
pub(super) async fn send(session: &Session, batch: Batch<'_>) -> Result<Vec<Outcome>, Failure> {
    if is_repeatable(batch.write) {
        return deliver(session, batch).await;
    }
    if batch.again {
        if batch.steps.last() != Some(json!(REFUSED)) {
            return Ok(in_doubt(
                batch.payloads.len(),
                "the connection ended before Salesforce answered, and an insert without an external id must not be sent \
                 twice: look the record up",
            ));
        }
        batch.steps.record(json!(SENDING)).await?;
    }
    let end = deliver(session, batch).await;
    if end.as_ref().is_err_and(|failure| failure.class != Class::InDoubt) {
        batch.steps.record(json!(REFUSED)).await?;
    }
    end
}

async fn deliver(session: &Session, batch: Batch<'_>) -> Result<Vec<Outcome>, Failure> {
    let rows = batch.payloads.len();
    let (rows_of, mut outcomes) = match batch.write.operation {
        _ if is_update_by_key(batch.write) => with_ids(session, &batch).await?,
        Operation::Upsert if batch.again && !is_by_id(batch.write) => {
            let outcomes = landed(session, batch.write, batch.payloads).await?;
            let open = outcomes.iter().zip(batch.payloads).map(|(known, row)| known.is_none().then(|| row.clone()));
            (open.collect(), outcomes)
        }
        _ => (batch.payloads.iter().cloned().map(Some).collect(), vec![None; rows]),
    };
    let sender = Sender { session, write: batch.write, again: batch.again };
    let open: Vec<usize> = (0..rows).filter(|row| rows_of[*row].is_some()).collect();
    let payloads: Vec<Bytes> = rows_of.iter().flatten().cloned().collect();
    if !payloads.is_empty() {
        for (row, outcome) in open.into_iter().zip(sender.bisect(&payloads).await?) {
            outcomes[row] = Some(outcome);
        }
    }
    let mut all = Vec::with_capacity(rows);
    for (payload, outcome) in rows_of.into_iter().zip(outcomes) {
        let outcome = outcome.ok_or_else(|| Failure::internal("a record was not sent"))?;
        all.push(sender.settle(payload.unwrap_or_default(), outcome).await?);
    }
    Ok(all)
}

/// Records of an update by an external id, with the ids that they have in Salesforce; those that are not there are refused.
async fn with_ids(session: &Session, batch: &Batch<'_>) -> Result<(Vec<Option<Bytes>>, Vec<Option<Outcome>>), Failure> {
    let name = batch.write.key.first().cloned().unwrap_or_default();
    let internal = |error: serde_json::Error| Failure::internal(error.to_string());
    let mut records = Vec::with_capacity(batch.payloads.len());
    for payload in batch.payloads {
        let record: Object = serde_json::from_slice(payload).map_err(internal)?;
        let key = record.get(&name).and_then(|raw| scalar(raw).ok()?);
        let key = key.ok_or_else(|| Failure::internal(format!("a record has no {name}")))?;
        records.push((key_of(batch.write, &key), record));
    }
    let keys: Vec<String> = records.iter().map(|(key, _)| key.clone()).collect();
    let mut found: HashMap<String, Vec<String>> = HashMap::new();
    for (key, id) in fetch::ids(session, &batch.write.object, &name, &keys).await? {
        found.entry(key).or_default().push(id);
    }
    let mut payloads = Vec::with_capacity(records.len());
    let mut outcomes = Vec::with_capacity(records.len());
    for (key, mut record) in records {
        let (payload, outcome) = match found.get(&key).map(Vec::as_slice) {
            Some([id]) => {
                record.shift_remove(&name);
                record.insert("id".to_owned(), to_raw_value(id).map_err(internal)?);
                (Some(Bytes::from(serde_json::to_vec(&record).map_err(internal)?)), None)
            }
            Some(several) => {
                let message = format!("{} records have this {name}", several.len());
                let said = Said { error_code: "DUPLICATE_EXTERNAL_ID".to_owned(), message, fields: vec![name.clone()] };
                (None, Some(Outcome::Refused(error::reject(&said))))
            }
            None => (None, Some(Outcome::Refused(not_found(batch.write)))),
        };
        payloads.push(payload);
        outcomes.push(outcome);
    }
    Ok((payloads, outcomes))
}

struct Sender<'a> {
    session: &'a Session,
    write: &'a Write,
    /// Whether the batch may have been sent before.
    again: bool,
}

impl Sender<'_> {
    /// One request; where it is refused as a whole because of what is in it, each half by itself.
    async fn bisect(&self, payloads: &[Bytes]) -> Result<Vec<Outcome>, Failure> {
        let mut outcomes = Vec::with_capacity(payloads.len());
        let mut open = vec![payloads];
        while let Some(part) = open.pop() {
            match self.request(part).await {
                Ok(found) => outcomes.extend(found),
                Err(failure) if is_of_content(&failure) && part.len() > 1 => {
                    let (first, second) = part.split_at(part.len() / 2);
                    open.extend([second, first]);
                }
                Err(failure) if is_of_content(&failure) => {
                    let code = failure.code.clone().unwrap_or_default();
                    let said = Said { error_code: code, message: failure.message, fields: Vec::new() };
                    outcomes.push(Outcome::Refused(error::reject(&said)));
                }
                // Of an insert, the parts before this one have taken hold: nobody may send them again.
                Err(failure) if !outcomes.is_empty() && !is_repeatable(self.write) => {
                    let rest = payloads.len() - outcomes.len();
                    outcomes.extend(in_doubt(rest, &failure.message));
                    return Ok(outcomes);
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(outcomes)
    }

    /// A record that was refused for a reason that may pass is sent again, by itself, as often as the account allows.
    async fn settle(&self, payload: Bytes, mut outcome: Outcome) -> Result<Outcome, Failure> {
        let mut waits = Waits::new(self.session.http.limits());
        while let Outcome::Refused(reject) = &outcome {
            let is_race =
                self.write.operation == Operation::Upsert && is_race(self.write, reject) && waits.attempts() == 1;
            let held = Failure::new(Class::Transient, reject.message.clone());
            let may_pass = is_race || error::is_transient(&reject.code);
            if !may_pass || waits.pause(self.session.account(), held).await.is_err() {
                return Ok(outcome);
            }
            let again = match self.bisect(std::slice::from_ref(&payload)).await {
                // The others of its batch have their outcome, which must not be lost for this one.
                Err(failure) if !is_repeatable(self.write) => in_doubt(1, &failure.message),
                other => other?,
            };
            outcome = again.into_iter().next().ok_or_else(|| Failure::internal("a record has no outcome"))?;
        }
        Ok(outcome)
    }

    async fn request(&self, payloads: &[Bytes]) -> Result<Vec<Outcome>, Failure> {
        let (write, object) = (self.write, &self.write.object.name);
        let (what, ask) = match write.operation {
            Operation::Delete => {
                let ids: Vec<_> = payloads.iter().map(|id| String::from_utf8_lossy(id)).collect();
                let path = format!("composite/sobjects?allOrNone=false&ids={}", ids.join(","));
                // What is gone the second time may have been deleted by the first, which only `again` tells.
                let ask = Ask::get(path).method(Method::DELETE).repeat(Repeat::IfRefused);
                (format!("deleting {object}"), ask)
            }
            Operation::Insert => (
                format!("inserting {object}"),
                Ask::json(Method::POST, "composite/sobjects", body(payloads)).repeat(Repeat::IfRefused),
            ),
            Operation::Upsert if !is_by_id(write) => {
                let path = format!("composite/sobjects/{object}/{}", write.key.join(""));
                (format!("upserting {object}"), Ask::json(Method::PATCH, path, body(payloads)))
            }
            Operation::Update | Operation::Upsert => {
                (format!("updating {object}"), Ask::json(Method::PATCH, "composite/sobjects", body(payloads)))
            }
        };
        let is_json = |reply: &Reply| -> Result<(), Refusal> { self.session.require_json(&what, reply) };
        let reply = self.session.send(&self.with_rules(ask)?, &what, &is_json).await?;
        let answers: Vec<Answer> = self.session.parse(&what, &reply).map_err(|failure| self.unclear(failure))?;
        if answers.len() != payloads.len() {
            let message =
                format!("{}: {what}: {} results for {} records", self.session.account(), answers.len(), payloads.len());
            return Err(self.unclear(Failure::new(Class::Transient, message)));
        }
        Ok(answers.into_iter().zip(payloads).map(|(answer, payload)| self.outcome(answer, payload)).collect())
    }

    /// Salesforce has worked on it, and it is not understood how.
    fn unclear(&self, failure: Failure) -> Failure {
        let class = if is_repeatable(self.write) { Class::Transient } else { Class::InDoubt };
        Failure { class, ..failure }
    }

    /// Headers of duplicate and assignment rules.
    fn with_rules(&self, mut ask: Ask) -> Result<Ask, Failure> {
        if !self.write.detect_duplicates {
            let name = HeaderName::from_static("sforce-duplicate-rule-header");
            ask = ask.header(name, HeaderValue::from_static("allowSave=true"));
        }
        if let Some(rule) = &self.write.assignment_rule {
            let value = HeaderValue::try_from(rule.as_str())
                .map_err(|_| Failure::new(Class::Config, format!("`{rule}` is no assignment rule")))?;
            ask = ask.header(HeaderName::from_static("sforce-auto-assign"), value);
        }
        Ok(ask)
    }

    fn outcome(&self, answer: Answer, payload: &Bytes) -> Outcome {
        if answer.success {
            let what = match self.write.operation {
                Operation::Insert => What::Created,
                Operation::Upsert if answer.created == Some(true) => What::Created,
                Operation::Update | Operation::Upsert => What::Updated,
                Operation::Delete => What::Deleted,
            };
            return match answer.id {
                Some(id) => Outcome::Done { id, what },
                None => Outcome::InDoubt { reason: NO_ID.to_owned() },
            };
        }
        let said = answer.errors.into_iter().next().unwrap_or_default();
        if self.write.operation == Operation::Delete && is_gone(&said.error_code) {
            let is_ours = self.again && said.error_code == DELETED;
            let what = if is_ours { What::Deleted } else { What::Absent };
            return Outcome::Done { id: String::from_utf8_lossy(payload).into_owned(), what };
        }
        Outcome::Refused(error::reject(&said))
    }
}

/// Whether there is no such record, of a deletion.
pub(super) fn is_gone(code: &str) -> bool {
    matches!(code, DELETED | "NOT_FOUND" | "INVALID_CROSS_REFERENCE_KEY")
}

/// Whether two upserts of a new key met: the record is there now, and the next upsert finds it.
pub(super) fn is_race(write: &Write, reject: &Reject) -> bool {
    let names_key = |key: &String| reject.field.as_ref() == Some(key) || reject.message.contains(key.as_str());
    reject.code == DUPLICATE_VALUE && write.key.iter().any(names_key)
}

/// Whether the request was refused as a whole for something that one of its records holds.
fn is_of_content(failure: &Failure) -> bool {
    let code = failure.code.as_deref().unwrap_or_default();
    matches!(code, "JSON_PARSER_ERROR" | "REQUEST_TOO_LARGE" | "413" | "INVALID_ID_FIELD" | "MALFORMED_ID")
}

fn body(payloads: &[Bytes]) -> Bytes {
    let room = payloads.iter().map(|payload| payload.len() + 1).sum::<usize>() + 40;
    let mut body = BytesMut::with_capacity(room);
    body.put_slice(br#"{"allOrNone":false,"records":["#);
    for (place, payload) in payloads.iter().enumerate() {
        if place > 0 {
            body.put_u8(b',');
        }
        body.put_slice(payload);
    }
    body.put_slice(b"]}");
    body.freeze()
}
