//! sObject Collections: up to 200 records a request, each with a result of its own.

use std::collections::HashMap;

use bytes::{BufMut, Bytes, BytesMut};
use engine::failure::{Class, Failure};
use engine::outside::crm::{Batch, Operation, Outcome, What, Write};
use engine::progress::pause;
use engine::reject::Reject;
use engine::words::counted;
use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::value::to_raw_value;

use super::super::error::{self, Said};
use super::super::session::{Ask, Session};
use super::super::{fetch, field};
use super::landed::landed;
use super::payload::Object;
use super::{is_by_id, is_repeatable, is_update_by_key, key_of, not_found};
use crate::http::{Refusal, Repeat, Reply, Waits};
use crate::records::scalar;
use crate::tally::Tally;

/// Another record has the value; of an upsert, one that was made at the same moment.
const DUPLICATE_VALUE: &str = "DUPLICATE_VALUE";
/// The record is in the recycle bin, or was.
const DELETED: &str = "ENTITY_IS_DELETED";
/// Why it is not known which record it was.
pub(super) const NO_ID: &str = "Salesforce took the record, but did not say its id";
/// Why it is not known whether it was taken.
const BOTH: &str = "Salesforce's result says both that it took the record and that it did not: look the record up";
/// Why an insert without an answer is not sent a second time.
const NO_RULE: &str = "an insert without an external id must not be sent twice: look the record up";

/// What became of one record, in the order of the request.
#[derive(Debug, Deserialize)]
struct Answer {
    id: Option<String>,
    success: bool,
    created: Option<bool>,
    #[serde(default)]
    errors: Vec<Said>,
}

/// Sends a batch; records that other transactions hold are sent again together. An insert is sent again only where it is known
/// that Salesforce did not take it the last time.
pub(super) async fn send(session: &Session, batch: Batch<'_>) -> Result<Vec<Outcome>, Failure> {
    let write = batch.write;
    let mut tally = Tally::resume(&batch, (!is_repeatable(write)).then_some(NO_RULE));
    let mut payloads = batch.payloads.to_vec();
    if is_update_by_key(write) {
        with_ids(session, &batch, &mut payloads, &mut tally).await?;
    } else if write.operation == Operation::Upsert && batch.again && !is_by_id(write) {
        let known = match landed(session, write, batch.payloads).await {
            // It only saves a second writing, which changes nothing.
            Err(failure) if failure.class == Class::Config => {
                tracing::warn!(account = session.account(), %failure, "writing once more what may be there");
                Vec::new()
            }
            known => known?,
        };
        for (row, outcome) in known.into_iter().enumerate() {
            if let Some(outcome) = outcome {
                tally.set(row, outcome);
            }
        }
    }
    let mut sender = Sender { session, write, again: batch.again, payloads, tally };
    sender.deliver().await?;
    sender.tally.finish()
}

/// What is known of a batch that has no answer, from its steps alone.
pub(super) fn known(batch: &Batch<'_>) -> Vec<Option<Outcome>> {
    Tally::resume(batch, (!is_repeatable(batch.write)).then_some(NO_RULE)).into_known()
}

/// Gives the records of an update by an external id the ids that they have in Salesforce; those that are not there are refused.
async fn with_ids(
    session: &Session,
    batch: &Batch<'_>,
    payloads: &mut [Bytes],
    tally: &mut Tally<'_>,
) -> Result<(), Failure> {
    let name = batch.write.key.first().cloned().unwrap_or_default();
    let internal = |error: serde_json::Error| Failure::internal(error.to_string());
    let mut records = Vec::with_capacity(payloads.len());
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
    for (row, (key, mut record)) in records.into_iter().enumerate() {
        match found.get(&key).map(Vec::as_slice) {
            Some([id]) => {
                record.shift_remove(&name);
                record.insert("id".to_owned(), to_raw_value(id).map_err(internal)?);
                payloads[row] = Bytes::from(serde_json::to_vec(&record).map_err(internal)?);
            }
            Some(several) => {
                let message = format!("{} records have this {name}", several.len());
                let said = Said { error_code: "DUPLICATE_EXTERNAL_ID".to_owned(), message, fields: vec![name.clone()] };
                tally.set(row, Outcome::Refused(error::reject(&said)));
            }
            None => tally.set(row, Outcome::Refused(not_found(batch.write))),
        }
    }
    Ok(())
}

struct Sender<'a> {
    session: &'a Session,
    write: &'a Write,
    /// Whether the batch may have been sent before.
    again: bool,
    payloads: Vec<Bytes>,
    tally: Tally<'a>,
}

impl Sender<'_> {
    /// Sends what is open, and what is refused for a reason that may pass once more, as often as the account allows.
    async fn deliver(&mut self) -> Result<(), Failure> {
        let mut waits = Waits::new(self.session.http.limits());
        let mut open = self.tally.open();
        while !open.is_empty() {
            self.bisect(open.clone()).await?;
            let is_first = waits.attempts() == 1;
            open.retain(|row| self.held(*row, is_first).is_some());
            let held = open.first().and_then(|row| self.held(*row, is_first));
            let Some((held, wait)) = held.and_then(|held| waits.next(&held).map(|wait| (held, wait))) else { break };
            tracing::warn!(account = self.session.account(), records = open.len(), "sending some again");
            open.iter().for_each(|row| self.tally.reopen(*row));
            self.tally.rest().await?;
            pause(held.to_string(), wait, Some(waits.attempts())).await;
        }
        Ok(())
    }

    /// Why a record was refused, where that may pass.
    fn held(&self, row: usize, is_first: bool) -> Option<Failure> {
        let Some(Outcome::Refused(reject)) = self.tally.outcome(row) else { return None };
        let is_race = is_first && self.write.operation == Operation::Upsert && is_race(self.write, reject);
        let may_pass = is_race || error::is_transient(&reject.code);
        may_pass.then(|| Failure::new(Class::Transient, reject.message.clone()))
    }

    /// One request; where it is refused as a whole because of what is in it, each half by itself.
    async fn bisect(&mut self, rows: Vec<usize>) -> Result<(), Failure> {
        let mut parts = vec![rows];
        while let Some(part) = parts.pop() {
            match self.request(&part).await {
                Ok(outcomes) => {
                    part.into_iter().zip(outcomes).for_each(|(row, outcome)| self.tally.set(row, outcome));
                }
                Err(failure) if is_of_content(&failure) => match part.as_slice() {
                    [row] => {
                        let code = failure.code.clone().unwrap_or_default();
                        let said = Said { error_code: code, message: failure.message, fields: Vec::new() };
                        self.tally.set(*row, Outcome::Refused(error::reject(&said)));
                    }
                    several => {
                        let (first, second) = several.split_at(several.len() / 2);
                        parts.extend([second.to_vec(), first.to_vec()]);
                    }
                },
                Err(failure) => self.tally.failed(&part, failure).await?,
            }
        }
        Ok(())
    }

    async fn request(&self, rows: &[usize]) -> Result<Vec<Outcome>, Failure> {
        let payloads: Vec<&Bytes> = rows.iter().map(|row| &self.payloads[*row]).collect();
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
                Ask::json(Method::POST, "composite/sobjects", body(&payloads)).repeat(Repeat::IfRefused),
            ),
            Operation::Upsert if !is_by_id(write) => {
                let path = format!("composite/sobjects/{object}/{}", write.key.join(""));
                (format!("upserting {object}"), Ask::json(Method::PATCH, path, body(&payloads)))
            }
            Operation::Update | Operation::Upsert => {
                (format!("updating {object}"), Ask::json(Method::PATCH, "composite/sobjects", body(&payloads)))
            }
        };
        let is_json = |reply: &Reply| -> Result<(), Refusal> { self.session.require_json(&what, reply) };
        let (ask, gate) = (self.with_rules(ask)?, self.tally.gate(rows));
        let reply = self.session.send_through(Some(&gate), &ask, &what, &is_json).await?;
        let answers: Vec<Answer> = self.session.parse(&what, &reply).map_err(|failure| self.unclear(failure))?;
        let no_sense = |what_came: String| {
            let message = format!("{}: {what}: {what_came}", self.session.account());
            self.unclear(Failure::new(Class::Transient, message))
        };
        if answers.len() != payloads.len() {
            let (results, records) = (counted(answers.len(), "result"), counted(payloads.len(), "record"));
            return Err(no_sense(format!("{results} for {records}")));
        }
        if let Some(other) = answers.iter().zip(&payloads).find_map(|(answer, payload)| self.stranger(answer, payload))
        {
            return Err(no_sense(format!("a result is about {other}, which is not the record at its place")));
        }
        Ok(answers.into_iter().zip(payloads).map(|(answer, payload)| self.outcome(answer, payload)).collect())
    }

    /// Salesforce has worked on it, and it is not understood how.
    fn unclear(&self, failure: Failure) -> Failure {
        let class = if is_repeatable(self.write) { Class::Transient } else { Class::InDoubt };
        Failure { class, ..failure }
    }

    /// The id of another record than the one that was sent by its id.
    fn stranger<'a>(&self, answer: &'a Answer, payload: &Bytes) -> Option<&'a str> {
        #[derive(Deserialize)]
        struct Sent<'a> {
            #[serde(borrow)]
            id: Option<&'a str>,
        }
        let sent = match self.write.operation {
            Operation::Insert => None,
            Operation::Delete => std::str::from_utf8(payload).ok(),
            Operation::Update | Operation::Upsert => serde_json::from_slice::<Sent<'_>>(payload).ok()?.id,
        };
        let normal = |id: &str| field::id(id).unwrap_or_else(|_| id.to_owned());
        let id = answer.id.as_deref().filter(|_| answer.success)?;
        sent.filter(|sent| normal(sent) != normal(id)).map(|_| id)
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
        if answer.success && !answer.errors.is_empty() {
            return Outcome::InDoubt { reason: BOTH.to_owned() };
        }
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

fn body(payloads: &[&Bytes]) -> Bytes {
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
