//! Sends a batch, by one message for all or record by record, and finds out what became of each.

use bytes::Bytes;
use engine::failure::{Class, Failure};
use engine::outside::crm::{Batch, Operation, Outcome, Write};
use engine::progress::pause;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::outcome::{self, Answer};
use super::{BATCH_USUAL, MULTIPLE, SINGLE};
use crate::dynamics::multipart::Part;
use crate::dynamics::session::{Session, headers};
use crate::dynamics::{error, key};
use crate::http::{Gate, Refusal, Repeat, Reply, Request, Waits};
use crate::tally::Tally;

mod known;

pub(super) use known::can_tell;

/// Sends a batch and tells what became of each record.
pub(in crate::dynamics) async fn send(session: &Session, batch: Batch<'_>) -> Result<Vec<Outcome>, Failure> {
    if batch.payloads.is_empty() {
        return Ok(Vec::new());
    }
    let records = batch.payloads.iter().map(Record::of).collect::<Option<Vec<_>>>();
    let records = records.ok_or_else(|| {
        Failure::new(
            Class::Storage,
            format!("{}: batch {}: the kept bytes are none of ours", session.account(), batch.name),
        )
    })?;
    let verb = match batch.write.operation {
        Operation::Insert => "inserting",
        Operation::Update => "updating",
        Operation::Upsert => "upserting",
        Operation::Delete => "deleting",
    };
    let what = format!("{verb} {}", batch.write.object.name);
    let is_keyed = batch.write.operation != Operation::Insert || records.iter().all(|record| !record.place.is_empty());
    let tally = Tally::resume(&batch, (!is_keyed).then_some(outcome::NO_RULE));
    let mut sender = Sender { session, batch, records, what, is_keyed, again: batch.again, tally };
    sender.deliver().await?;
    sender.tally.finish()
}

/// The message that writes many records at once.
pub(in crate::dynamics) fn message(operation: Operation) -> &'static str {
    match operation {
        Operation::Insert => "CreateMultiple",
        Operation::Update => "UpdateMultiple",
        Operation::Upsert => "UpsertMultiple",
        Operation::Delete => "DeleteMultiple",
    }
}

/// Where it is, beneath the service root.
pub(in crate::dynamics) fn address(write: &Write) -> String {
    format!("{}/Microsoft.Dynamics.CRM.{}", write.object.name, message(write.operation))
}

/// A payload in its parts.
struct Record<'a> {
    /// What stands in the parentheses of its address; empty for a new record without an id.
    place: &'a str,
    json: &'a [u8],
}

impl<'a> Record<'a> {
    fn of(payload: &'a Bytes) -> Option<Self> {
        let end = memchr::memchr(b'\n', payload)?;
        Some(Self { place: std::str::from_utf8(&payload[..end]).ok()?, json: &payload[end + 1..] })
    }
}

struct Sender<'a> {
    session: &'a Session,
    batch: Batch<'a>,
    records: Vec<Record<'a>>,
    what: String,
    /// Whether sending it twice is the same as sending it once.
    is_keyed: bool,
    /// Whether it may have been sent before.
    again: bool,
    tally: Tally<'a>,
}

impl Sender<'_> {
    async fn deliver(&mut self) -> Result<(), Failure> {
        let is_multiple = self.batch.plan.method == MULTIPLE;
        // A step says that the whole was refused, or must not be sent as such.
        if is_multiple && self.batch.steps.last().is_none() && !self.tally.open().is_empty() {
            if !self.session.is_without_multiple(&self.message()) && self.multiple().await? {
                return Ok(());
            }
            self.tally.note(&[]).await?;
        }
        let most = if is_multiple { BATCH_USUAL } else { self.records.len() };
        for piece in self.tally.open().chunks(most) {
            self.chunk(piece).await?;
        }
        Ok(())
    }

    /// Sends some records, each by itself, until the end of each is known.
    async fn chunk(&mut self, piece: &[usize]) -> Result<(), Failure> {
        let mut left = piece.to_vec();
        let mut waits = Waits::new(self.session.http.limits());
        let mut most = self.batch.plan.records_max.max(1);
        while !left.is_empty() {
            let asked = left.len().min(most);
            let replies = match self.request(&left[..asked]).await {
                Ok(replies) => replies,
                Err(refusal) => {
                    match self.after(refusal, &mut waits, asked).await {
                        After::Again => {}
                        After::Halve => most = asked / 2,
                        After::TooLarge(outcome) => {
                            left.drain(..asked).for_each(|row| self.tally.set(row, outcome.clone()));
                        }
                        After::Failed(failure) => {
                            let rows: Vec<usize> = left.drain(..asked).collect();
                            self.tally.failed(&rows, failure).await?;
                        }
                    }
                    continue;
                }
            };
            let answered: Vec<usize> = left.drain(..replies.len()).collect();
            let later = match self.sort(piece, &answered, &replies) {
                Ok(later) => later,
                Err(failure) => {
                    self.tally.failed(&answered, failure).await?;
                    continue;
                }
            };
            let Some((_, failure)) = later.first() else { continue };
            match waits.next(failure) {
                Some(wait) => {
                    tracing::warn!(account = self.session.account(), records = later.len(), %failure, "sending some again");
                    self.tally.rest().await?;
                    pause(failure.to_string(), wait, Some(waits.attempts())).await;
                    left.extend(later.iter().map(|(row, _)| *row));
                }
                None => {
                    for (row, failure) in later {
                        self.tally.set(row, Outcome::Refused(outcome::reject_of(&failure)));
                    }
                }
            }
        }
        Ok(())
    }

    /// Keeps what is known of these records, and gives those that are to be sent again.
    fn sort(&mut self, piece: &[usize], rows: &[usize], replies: &[Reply]) -> Result<Vec<(usize, Failure)>, Failure> {
        let (account, write) = (self.session.account(), self.batch.write);
        let (mut later, mut never) = (Vec::new(), Vec::new());
        for (row, reply) in rows.iter().zip(replies) {
            match outcome::of(account, &self.what, write, self.records[*row].place, self.again, reply) {
                Answer::Known(outcome) => self.tally.set(*row, outcome),
                Answer::Later(failure) => later.push((*row, failure)),
                Answer::Never(failure) => never.push((*row, failure)),
            }
        }
        // What holds for all records is no reject of one.
        if never.len() == rows.len()
            && piece.iter().all(|row| self.tally.outcome(*row).is_none())
            && let Some((_, failure)) = never.pop()
        {
            return Err(failure);
        }
        for (row, failure) in never {
            self.tally.set(row, Outcome::Refused(outcome::reject_of(&failure)));
        }
        Ok(later)
    }

    /// What now, where no answer about the records that were asked for came.
    async fn after(&mut self, refusal: Refusal, waits: &mut Waits, asked: usize) -> After {
        let is_too_large = refusal.status == Some(StatusCode::PAYLOAD_TOO_LARGE);
        let failure = refusal.failure;
        match failure.class {
            _ if is_too_large && asked > 1 => After::Halve,
            _ if is_too_large => After::TooLarge(Outcome::Refused(outcome::reject_of(&failure))),
            Class::InDoubt if self.is_keyed => {
                self.again = true;
                let Some(wait) = waits.next(&Failure { class: Class::Transient, ..failure.clone() }) else {
                    return After::Failed(failure);
                };
                tracing::warn!(account = self.session.account(), %failure, "sending the same once more");
                pause(failure.to_string(), wait, Some(waits.attempts())).await;
                After::Again
            }
            _ => After::Failed(failure),
        }
    }

    /// One request for these records.
    async fn request(&self, indexes: &[usize]) -> Result<Vec<Reply>, Refusal> {
        let write = self.batch.write;
        let headers = self.part_headers();
        let gate = self.tally.gate(indexes);
        let is_single = self.batch.plan.method == SINGLE && indexes.len() == 1;
        if is_single {
            return self.single(&gate, &self.records[indexes[0]], &headers).await.map(|reply| vec![reply]);
        }
        let root = self.session.root.path();
        let bodies: Vec<[&[u8]; 1]> = indexes.iter().map(|index| [self.records[*index].json]).collect();
        let parts: Vec<Part<'_>> = indexes
            .iter()
            .zip(&bodies)
            .map(|(index, body)| Part {
                method: self.method(&self.records[*index]),
                path: format!("{root}{}", self.address(&self.records[*index])),
                headers: &headers,
                body: if write.operation == Operation::Delete { &[] } else { body },
            })
            .collect();
        self.session.batch_through(Some(&gate), &parts, &self.what, self.repeat(), &|_| Ok(())).await
    }

    async fn single(&self, gate: &dyn Gate, record: &Record<'_>, lines: &[&str]) -> Result<Reply, Refusal> {
        let mut headers = headers(None);
        for (name, value) in lines.iter().filter_map(|line| line.split_once(": ")) {
            let name = HeaderName::from_bytes(name.as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
                headers.insert(name, value);
            }
        }
        let request = Request {
            method: Method::from_bytes(self.method(record).as_bytes()).unwrap_or(Method::POST),
            url: self.session.address(&self.address(record))?,
            headers,
            body: Bytes::copy_from_slice(record.json),
            repeat: self.repeat(),
        };
        let judge = |reply: &Reply| {
            error::judge_write(self.session.account(), &self.what, reply)?;
            match error::is_accepted(reply) && !outcome::is_own(self.batch.write, reply) {
                true => Err(Refusal { doubtful: true, ..self.session.no_sense(&self.what, reply).into() }),
                false => Ok(()),
            }
        };
        self.session.send_through(Some(gate), request, &judge).await
    }

    /// A second sending of an insert is told from the first; anything else is the same however often it is sent.
    fn repeat(&self) -> Repeat {
        match self.batch.write.operation {
            Operation::Update | Operation::Upsert => Repeat::Always,
            Operation::Insert | Operation::Delete => Repeat::IfRefused,
        }
    }

    fn method(&self, record: &Record<'_>) -> &'static str {
        match self.batch.write.operation {
            Operation::Delete => "DELETE",
            Operation::Insert if record.place.is_empty() => "POST",
            _ => "PATCH",
        }
    }

    /// Beneath the service root.
    fn address(&self, record: &Record<'_>) -> String {
        let object = &self.batch.write.object;
        let select = if self.wants_record() { format!("?$select={}", object.id) } else { String::new() };
        match record.place {
            "" => object.name.clone(),
            place => format!("{}({place}){select}", object.name),
        }
    }

    /// Whether the CRM is to give the record back: only so does it tell new from old, and the id of another key.
    fn wants_record(&self) -> bool {
        let write = self.batch.write;
        let by_other_key = !write.key.is_empty() && !write.key.contains(&write.object.id);
        write.operation == Operation::Upsert || write.operation == Operation::Update && by_other_key
    }

    /// Of each request by itself.
    fn part_headers(&self) -> Vec<&'static str> {
        let write = self.batch.write;
        let mut headers = vec!["Accept: application/json", "OData-MaxVersion: 4.0", "OData-Version: 4.0"];
        if write.operation != Operation::Delete {
            headers.push("Content-Type: application/json; charset=utf-8");
        }
        match write.operation {
            // Without it a PATCH would make the record that is not there.
            Operation::Update => headers.push("If-Match: *"),
            // Without it a PATCH would change the record that is there.
            Operation::Insert if self.is_keyed => headers.push("If-None-Match: *"),
            _ => {}
        }
        if self.wants_record() {
            headers.push("Prefer: return=representation");
        }
        if write.detect_duplicates && write.operation != Operation::Delete {
            headers.push(DETECT_DUPLICATES);
        }
        headers
    }

    /// Such as `CreateMultiple` of `contacts`, as an address.
    fn message(&self) -> String {
        address(self.batch.write)
    }

    /// All records in one transaction; false where the whole was refused, and each must be looked at.
    async fn multiple(&mut self) -> Result<bool, Failure> {
        let before = match self.known_before().await {
            Ok(before) => before,
            // It only distinguishes new records from old ones; record by record the CRM says that itself.
            Err(failure) => {
                tracing::warn!(account = self.session.account(), %failure, "sending record by record");
                return Ok(false);
            }
        };
        let mut headers = headers(None);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        if self.batch.write.detect_duplicates {
            headers
                .insert(HeaderName::from_static("mscrm.suppressduplicatedetection"), HeaderValue::from_static("false"));
        }
        let url = self.session.address(&self.message())?;
        let body = self.targets();
        let request = Request { method: Method::POST, url, headers, body, repeat: self.repeat() };
        let mut waits = Waits::new(self.session.http.limits());
        let reply = loop {
            let judge = |reply: &Reply| self.judge_multiple(reply);
            let all = self.tally.open();
            let gate = self.tally.gate(&all);
            let sent = self.session.send_through(Some(&gate), request.clone(), &judge).await;
            drop(gate);
            match sent {
                Ok(reply) => break reply,
                Err(refusal) => match self.after(refusal, &mut waits, self.records.len()).await {
                    After::Again => {}
                    After::Halve | After::TooLarge(_) => return Ok(false),
                    After::Failed(failure) => {
                        let rows = self.tally.open();
                        return self.tally.failed(&rows, failure).await.map(|()| false);
                    }
                },
            }
        };
        if !error::is_accepted(&reply) {
            if matches!(reply.status, StatusCode::NOT_IMPLEMENTED | StatusCode::NOT_FOUND) && is_unknown(&reply) {
                self.session.note_without_multiple(self.message());
            }
            tracing::info!(
                account = self.session.account(),
                what = self.what,
                status = reply.status.as_u16(),
                "the batch is refused as a whole, going on record by record"
            );
            return Ok(false);
        }
        let outcomes = self.outcomes(&reply, before).await?;
        outcomes.into_iter().enumerate().for_each(|(row, outcome)| self.tally.set(row, outcome));
        Ok(true)
    }

    fn judge_multiple(&self, reply: &Reply) -> Result<(), Refusal> {
        match error::judge_write(self.session.account(), &self.what, reply) {
            // What the message lacks the records by themselves may have, and they tell it better.
            Err(refusal) if refusal.failure.class == Class::Config && !reply.status.is_redirection() => Ok(()),
            Err(_) if reply.status == StatusCode::NOT_IMPLEMENTED => Ok(()),
            Ok(()) if error::is_accepted(reply) && !self.is_done(reply) => {
                Err(Refusal { doubtful: true, ..self.session.no_sense(&self.what, reply).into() })
            }
            end => end,
        }
    }

    /// Whether an answer says that all records were written: of new ones by their ids, each in its place.
    fn is_done(&self, reply: &Reply) -> bool {
        if self.batch.write.operation != Operation::Insert {
            let is_json = || serde_json::from_slice::<Map<String, Value>>(&reply.body).is_ok();
            return reply.status == StatusCode::NO_CONTENT || is_json();
        }
        let ids = ids(reply).unwrap_or_default();
        let is_its = |(id, record): (&String, &Record<'_>)| match key::guid(id) {
            Ok(id) => record.place.is_empty() || key::guid(record.place).is_ok_and(|own| own == id),
            Err(_) => false,
        };
        ids.len() == self.records.len() && ids.iter().zip(&self.records).all(is_its)
    }

    /// `{"Targets":[{"@odata.type":"Microsoft.Dynamics.CRM.contact","contactid":"…",…}]}`
    fn targets(&self) -> Bytes {
        let write = self.batch.write;
        let kind = format!("{{\"@odata.type\":\"Microsoft.Dynamics.CRM.{}\"", write.object.internal_name);
        let is_by_id = write.operation == Operation::Insert || write.key.contains(&write.object.id);
        let size: usize =
            self.records.iter().map(|record| record.json.len() + record.place.len() + kind.len() + 64).sum();
        let mut body = Vec::with_capacity(size);
        body.extend_from_slice(b"{\"Targets\":[");
        for (number, record) in self.records.iter().enumerate() {
            if number > 0 {
                body.push(b',');
            }
            body.extend_from_slice(kind.as_bytes());
            // The key stands here alone: with it among the fields too, new records would be refused.
            let place = match record.place {
                "" => String::new(),
                id if is_by_id => format!(",\"{}\":\"{id}\"", write.object.id),
                place => format!(",\"@odata.id\":\"{}({place})\"", write.object.name),
            };
            body.extend_from_slice(place.as_bytes());
            let fields = record.json.strip_prefix(b"{").unwrap_or(record.json);
            if !fields.starts_with(b"}") {
                body.push(b',');
            }
            body.extend_from_slice(fields);
        }
        body.extend_from_slice(b"]}");
        Bytes::from(body)
    }
}

/// What now.
enum After {
    Again,
    /// From now on half as many records a request.
    Halve,
    /// The record is too large by itself.
    TooLarge(Outcome),
    /// It was refused, or no answer came.
    Failed(Failure),
}

/// The rules of the CRM against duplicates apply.
const DETECT_DUPLICATES: &str = "MSCRM.SuppressDuplicateDetection: false";

/// Whether the environment does not have the message at all.
fn is_unknown(reply: &Reply) -> bool {
    let message = error::said(reply).message;
    reply.status == StatusCode::NOT_IMPLEMENTED || message.contains("Multiple") && message.contains("segment")
}

fn ids(reply: &Reply) -> Option<Vec<String>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Created {
        ids: Vec<String>,
    }
    serde_json::from_slice::<Created>(&reply.body).ok().map(|created| created.ids)
}
