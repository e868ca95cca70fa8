//! One job of Bulk API 2.0 a batch, and what is left of it in further ones.
//!
//! ```text
//!   make the job ─▶ its id is recorded ─▶ upload ─▶ "closing" is recorded ─▶ close ─▶ wait ─▶ three lists of results
//! ```
//!
//! Nothing happens to a job before it is closed. So after a crash: no id, nothing happened; an id without "closing", the
//! job is given up and another one made; with "closing", the job itself tells. Only records that were not worked on, or
//! were refused for a reason that may pass, go into another job, whose id joins the first.

mod said;

use std::collections::{HashMap, VecDeque};

use bytes::{BufMut, Bytes, BytesMut};
use engine::failure::{Class, Failure};
use engine::outside::crm::{Batch, Operation, Outcome, What, Write};
use engine::reject::Reject;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::error::{self, Said};
use super::super::job::{self, Job};
use super::super::session::{Ask, CSV, Session, any};
use super::collections::{NO_ID, is_gone, is_race};
use super::{is_by_id, is_repeatable, key_of, payload};
use crate::http::{Refusal, Repeat, Reply, Waits, clip};
use said::said;

/// Jobs that one batch may need: the first, and those of what is left or whose results are not to be had.
const JOBS_MAX: usize = 4;
/// Uploads that may be cut off before it is given up for now.
const UPLOADS_MAX: usize = 3;
/// Where jobs that write are.
const INGEST: &str = "jobs/ingest";
/// The three lists of what a job did.
const SUCCESSFUL: &str = "successfulResults";
const FAILED: &str = "failedResults";
const UNPROCESSED_LIST: &str = "unprocessedrecords";
/// What is said of a record that no job worked on.
const UNPROCESSED: &str = "UNPROCESSED";

/// What must be known after a crash.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Progress {
    /// The jobs of this batch that Salesforce still knows; all but the last are over.
    jobs: Vec<String>,
    /// Whether the last one may have been closed.
    closing: bool,
    /// Jobs that were closed, those included whose results are gone.
    #[serde(default)]
    closed: usize,
}

/// Sends a batch, or goes on with one.
pub(super) async fn send(session: &Session, batch: Batch<'_>) -> Result<Vec<Outcome>, Failure> {
    let progress = match batch.steps.last() {
        None => Progress::default(),
        Some(step) => serde_json::from_value(step)
            .map_err(|error| Failure::internal(format!("the job of a batch is not understood: {error}")))?,
    };
    let mut sender = Sender::new(session, batch, progress)?;
    sender.catch_up().await?;
    while !sender.open().is_empty() && sender.progress.closed < JOBS_MAX {
        sender.run_job().await?;
    }
    match sender.without_results.take() {
        Some(id) if !sender.open().is_empty() => Err(sender.results_withheld(&id).await?),
        _ => Ok(sender.finish()),
    }
}

/// What is known of a batch that has no answer, from its steps alone: nothing happens to a job before it is closed.
pub(super) fn known(batch: &Batch<'_>) -> Vec<Option<Outcome>> {
    let progress = batch.steps.last().map(serde_json::from_value::<Progress>);
    let may_have_worked = match &progress {
        None => false,
        Some(Ok(progress)) => progress.closing || progress.closed > 0,
        Some(Err(_)) => true,
    };
    let jobs = progress.and_then(Result::ok).map(|progress| progress.jobs.join(", ")).unwrap_or_default();
    let reason = format!("its export ended while job {jobs} worked: Salesforce keeps the job's results for seven days");
    vec![may_have_worked.then_some(Outcome::InDoubt { reason }); batch.payloads.len()]
}

/// What a job is told to do.
pub(super) fn job_of(write: &Write) -> Value {
    let operation = match write.operation {
        Operation::Insert => "insert",
        Operation::Upsert if !is_by_id(write) => "upsert",
        Operation::Update | Operation::Upsert => "update",
        Operation::Delete => "delete",
    };
    let mut body = json!({
        "object": write.object.name, "operation": operation, "contentType": "CSV", "lineEnding": "LF",
        "columnDelimiter": "COMMA",
    });
    if operation == "upsert" {
        body["externalIdFieldName"] = json!(write.key.first());
    }
    if let Some(rule) = &write.assignment_rule {
        body["assignmentRuleId"] = json!(rule);
    }
    body
}

struct Sender<'a> {
    session: &'a Session,
    batch: Batch<'a>,
    progress: Progress,
    /// What makes each record out among the results.
    marks: Vec<String>,
    outcomes: Vec<Option<Outcome>>,
    /// Why records that are still open were not written by the last job.
    refused: HashMap<usize, Reject>,
    /// The last job, where it was closed and its results were not to be had.
    without_results: Option<String>,
}

impl<'a> Sender<'a> {
    fn new(session: &'a Session, batch: Batch<'a>, progress: Progress) -> Result<Self, Failure> {
        let mut marks = Vec::with_capacity(batch.payloads.len());
        let key = key_place(batch.write);
        payload::each_line(batch.payloads, |values| marks.push(mark(batch.write, key, values.iter())))?;
        let outcomes = vec![None; batch.payloads.len()];
        Ok(Self { session, batch, progress, marks, outcomes, refused: HashMap::new(), without_results: None })
    }

    /// Records without an outcome.
    fn open(&self) -> Vec<usize> {
        (0..self.outcomes.len()).filter(|row| self.outcomes[*row].is_none()).collect()
    }

    /// Brings in what earlier attempts have done.
    async fn catch_up(&mut self) -> Result<(), Failure> {
        let jobs = self.progress.jobs.clone();
        let Some((last, over)) = jobs.split_last() else { return Ok(()) };
        for id in over {
            match job::get(self.session, INGEST, id, &self.what()).await {
                Err(failure) if job::is_gone(&failure) => self.lost(id, true),
                job => self.take_results(&job?).await?,
            }
        }
        match job::get(self.session, INGEST, last, &self.what()).await {
            Err(failure) if job::is_gone(&failure) => self.lost(last, self.progress.closing),
            Err(failure) => return Err(failure),
            // It was not closed: what is in it is not known, and nothing happens to it.
            Ok(_) if !self.progress.closing => {
                self.abort(last).await;
                self.progress.jobs.pop();
            }
            Ok(_) => self.close(last).await?,
        }
        Ok(())
    }

    /// A job that Salesforce no longer knows, whether or not anything could have happened to it.
    fn lost(&mut self, id: &str, was_closed: bool) {
        if was_closed && !is_repeatable(self.batch.write) {
            let reason = format!(
                "job {id} was closed, and its results are no longer there: Salesforce keeps them for seven days; look the \
                 records up"
            );
            for row in self.open() {
                self.outcomes[row] = Some(Outcome::InDoubt { reason: reason.clone() });
            }
        }
        self.progress.jobs.retain(|job| job != id);
        self.without_results = was_closed.then(|| id.to_owned());
    }

    /// Each job does its work and none tells of it: others would only do the same again.
    async fn results_withheld(&mut self, id: &str) -> Result<Failure, Failure> {
        // When the cause is cured, the batch may be tried as often again.
        self.progress.closed = 0;
        self.record().await?;
        let (account, what) = (self.session.account(), self.what());
        let message = format!(
            "{account}: {what}: {JOBS_MAX} jobs were closed, and the results of {id}, the last, are not to be had"
        );
        Ok(Failure::new(Class::Config, message).help(format!(
            "see Setup, Bulk Data Load Jobs, for what they did; a gateway or proxy may block \
             jobs/ingest/{id}/successfulResults and its like: let them pass, then resume the run"
        )))
    }

    /// A new job for the records that are open.
    async fn run_job(&mut self) -> Result<(), Failure> {
        let mut body = BytesMut::from(payload::header(self.batch.write)?.as_ref());
        for row in self.open() {
            body.put_slice(&self.batch.payloads[row]);
        }
        let body = body.freeze();
        let mut uploads = 0;
        let id = loop {
            let id = self.make().await?;
            self.progress.jobs.push(id.clone());
            self.progress.closing = false;
            self.record().await?;
            match self.upload(&id, &body).await {
                Ok(()) => break id,
                Err(failure) => {
                    self.abort(&id).await;
                    self.progress.jobs.pop();
                    uploads += 1;
                    let may_pass = matches!(failure.class, Class::Transient | Class::InDoubt | Class::Quota);
                    if !may_pass || uploads >= UPLOADS_MAX {
                        // The job was not closed, so that nothing has taken hold.
                        let class = if failure.class == Class::InDoubt { Class::Transient } else { failure.class };
                        return Err(Failure { class, ..failure });
                    }
                    tracing::warn!(account = self.session.account(), %failure, "uploading into another job");
                }
            }
        };
        self.progress.closing = true;
        self.progress.closed += 1;
        self.record().await?;
        self.close(&id).await
    }

    async fn record(&self) -> Result<(), Failure> {
        let step = serde_json::to_value(&self.progress).map_err(|error| Failure::internal(error.to_string()))?;
        self.batch.steps.record(step).await
    }

    fn what(&self) -> String {
        let object = &self.batch.write.object.name;
        match self.batch.write.operation {
            Operation::Insert => format!("inserting {object} by a bulk job"),
            Operation::Update => format!("updating {object} by a bulk job"),
            Operation::Upsert => format!("upserting {object} by a bulk job"),
            Operation::Delete => format!("deleting {object} by a bulk job"),
        }
    }

    /// A job without records; one whose answer is lost stays empty and is never worked on.
    async fn make(&self) -> Result<String, Failure> {
        let ask = Ask::json(Method::POST, "jobs/ingest", job_of(self.batch.write).to_string());
        let job: Job = self.session.json(&ask, &self.what()).await?;
        tracing::info!(account = self.session.account(), job = job.id, batch = self.batch.name, "a bulk job writes");
        Ok(job.id)
    }

    async fn upload(&self, id: &str, body: &Bytes) -> Result<(), Failure> {
        let ask = Ask::json(Method::PUT, format!("{INGEST}/{id}/batches"), body.clone());
        let ask = ask.header(CONTENT_TYPE, CSV).repeat(Repeat::IfRefused);
        let what = self.what();
        // Salesforce answers 201 without a word.
        let is_taken = |reply: &Reply| match reply.status {
            StatusCode::CREATED => Ok(()),
            _ => Err(Refusal { doubtful: true, ..self.session.no_sense(&what, reply).into() }),
        };
        self.session.send(&ask, &what, &is_taken).await.map(|_| ())
    }

    /// Gives a job up; where that fails, it stays open and is never worked on.
    async fn abort(&self, id: &str) {
        let ask = Ask::json(Method::PATCH, format!("jobs/ingest/{id}"), r#"{"state":"Aborted"}"#);
        if let Err(failure) = self.session.send(&ask, &self.what(), &any).await {
            tracing::warn!(account = self.session.account(), job = id, %failure, "a job could not be given up");
        }
    }

    /// Closes a job, waits until it is over, and takes its results.
    async fn close(&mut self, id: &str) -> Result<(), Failure> {
        self.without_results = None;
        let ask = Ask::json(Method::PATCH, format!("jobs/ingest/{id}"), r#"{"state":"UploadComplete"}"#);
        match self.session.json::<Job>(&ask, &self.what()).await {
            Ok(job) if job.state == "Open" => {
                let message = format!("{}: {}: job {id} is not closed", self.session.account(), self.what());
                return Err(Failure::new(Class::Transient, message));
            }
            // It was closed before; the job itself says how far it is.
            Err(failure) if matches!(failure.code.as_deref(), Some("INVALIDJOBSTATE" | "INVALIDJOB")) => {}
            Err(failure) if job::is_gone(&failure) => {
                self.lost(id, true);
                return Ok(());
            }
            other => other.map(|_| ())?,
        }
        let over = job::finished(self.session, INGEST, id, &self.what()).await?;
        if let Some(failure) = self.not_understood(&over) {
            // Nothing of it took hold: when the cause is cured, another job takes its place. Those before it are over.
            self.progress.jobs.retain(|job| job != id);
            self.progress.closed = self.progress.closed.saturating_sub(1);
            self.record().await?;
            return Err(failure);
        }
        self.take_results(&over).await?;
        if over.state == "Aborted" {
            let message = format!("job {id} was aborted in Salesforce before it came to this record");
            for row in self.open() {
                self.refused.entry(row).or_insert_with(|| unprocessed(&message));
                self.outcomes[row] = self.refused.get(&row).cloned().map(Outcome::Refused);
            }
        }
        Ok(())
    }

    /// A job that failed before its first record, for what all of them share.
    fn not_understood(&self, job: &Job) -> Option<Failure> {
        let said = job.error_message.as_deref().unwrap_or_default();
        let is_ours =
            ["InvalidBatch", "ClientInputError", "FeatureNotEnabled"].iter().any(|word| said.starts_with(word));
        (job.state == "Failed" && job.number_records_processed.unwrap_or(0) == 0 && is_ours).then(|| {
            let message = format!("{}: {}: {}", self.session.account(), self.what(), clip(said));
            Failure::new(Class::Config, message)
                .help("check the mapped fields, and that a permission set lets the integration user edit them")
        })
    }

    /// Takes the three lists of what a job did.
    async fn take_results(&mut self, job: &Job) -> Result<(), Failure> {
        let id = &job.id;
        let mut rows: HashMap<&str, VecDeque<usize>> = HashMap::new();
        let marks = self.marks.clone();
        for row in self.open() {
            rows.entry(marks[row].as_str()).or_default().push_back(row);
        }
        self.refused.clear();
        let mut strangers = 0;
        let failed = job.number_records_failed;
        let done = job.number_records_processed.zip(failed).map(|(all, failed)| all.saturating_sub(failed));
        for (list, expected) in [(SUCCESSFUL, done), (FAILED, failed), (UNPROCESSED_LIST, None)] {
            let Some(results) = self.results(id, list, expected).await? else {
                self.lost(id, true);
                return Ok(());
            };
            for result in results {
                match rows.get_mut(result.mark.as_str()).and_then(VecDeque::pop_front) {
                    Some(row) => self.take(row, list, result),
                    None => strangers += 1,
                }
            }
        }
        // Of a keyed write, what no list has is simply sent again.
        if !is_repeatable(self.batch.write) {
            for row in rows.into_values().flatten() {
                let reason =
                    format!("job {id} is over, and none of its results is this record ({strangers} are unknown)");
                self.outcomes[row] = Some(Outcome::InDoubt { reason });
            }
        }
        Ok(())
    }

    fn take(&mut self, row: usize, list: &str, result: ResultRow) {
        let write = self.batch.write;
        match list {
            SUCCESSFUL => {
                let what = match write.operation {
                    Operation::Insert => What::Created,
                    Operation::Upsert if result.created => What::Created,
                    Operation::Update | Operation::Upsert => What::Updated,
                    Operation::Delete => What::Deleted,
                };
                self.outcomes[row] = Some(match result.id.is_empty() {
                    true => Outcome::InDoubt { reason: NO_ID.to_owned() },
                    false => Outcome::Done { id: result.id, what },
                });
            }
            FAILED => {
                let said = said(&result.error);
                let reject = error::reject(&said);
                if write.operation == Operation::Delete && is_gone(&said.error_code) {
                    let id = if result.id.is_empty() { self.marks[row].clone() } else { result.id };
                    self.outcomes[row] = Some(Outcome::Done { id, what: What::Absent });
                } else if error::is_transient(&reject.code)
                    || (write.operation == Operation::Upsert && is_race(write, &reject))
                {
                    self.refused.insert(row, reject);
                } else {
                    self.outcomes[row] = Some(Outcome::Refused(reject));
                }
            }
            _ => {
                self.refused.insert(row, unprocessed("the job ended before it came to this record"));
            }
        }
    }

    /// One of the lists, with as many records as the job says; `None` where the job is no longer there.
    async fn results(&self, id: &str, list: &str, expected: Option<u64>) -> Result<Option<Vec<ResultRow>>, Failure> {
        let what = self.what();
        let ask = Ask::get(format!("{INGEST}/{id}/{list}/")).header(ACCEPT, CSV);
        let mut waits = Waits::new(self.session.http.limits());
        loop {
            let reply = match self.session.send(&ask, &what, &any).await {
                Err(failure) if job::is_gone(&failure) => return Ok(None),
                other => other?,
            };
            let rows = self.rows(list, &reply).and_then(|rows| match expected {
                Some(expected) if expected != rows.len() as u64 => {
                    Err(format!("{} records, where the job says {expected}", rows.len()))
                }
                _ => Ok(rows),
            });
            match rows {
                Ok(rows) => return Ok(Some(rows)),
                Err(reason) => {
                    let mut failure = self.session.no_sense(&what, &reply);
                    failure.message = format!("{} ({list}: {reason})", failure.message);
                    waits.pause(self.session.account(), failure).await?;
                }
            }
        }
    }

    /// The lines of a list; `Err` says why it is none.
    fn rows(&self, list: &str, reply: &Reply) -> Result<Vec<ResultRow>, String> {
        let mut reader = csv::ReaderBuilder::new().from_reader(reply.body.as_ref());
        let header = reader.headers().map_err(|error| error.to_string())?.clone();
        // An empty list may come without its header; the job says whether it is one.
        if header.is_empty() {
            return Ok(Vec::new());
        }
        let place = |name: &str| header.iter().position(|column| column.eq_ignore_ascii_case(name));
        let fields: Option<Vec<usize>> = self.batch.write.fields.iter().map(|field| place(&field.field.name)).collect();
        let fields = fields.ok_or("a column is missing")?;
        let (id, created, error) = (place("sf__Id"), place("sf__Created"), place("sf__Error"));
        if list == SUCCESSFUL && id.is_none() || list == FAILED && error.is_none() {
            return Err("a column is missing".to_owned());
        }
        let key = key_place(self.batch.write);
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.map_err(|error| error.to_string())?;
            let text = |place: Option<usize>| place.and_then(|place| record.get(place)).unwrap_or_default();
            let values = fields.iter().map(|place| text(Some(*place)));
            rows.push(ResultRow {
                mark: mark(self.batch.write, key, values),
                id: text(id).to_owned(),
                created: text(created) == "true",
                error: text(error).to_owned(),
            });
        }
        Ok(rows)
    }

    /// The outcomes; what is still open was refused for reasons that may pass, until the last job.
    fn finish(mut self) -> Vec<Outcome> {
        let refused = &mut self.refused;
        let open = |(row, outcome): (usize, Option<Outcome>)| {
            outcome.unwrap_or_else(|| {
                let message = format!("{JOBS_MAX} jobs ended without working on this record");
                Outcome::Refused(refused.remove(&row).unwrap_or_else(|| unprocessed(&message)))
            })
        };
        self.outcomes.into_iter().enumerate().map(open).collect()
    }
}

fn unprocessed(message: &str) -> Reject {
    let said = Said { error_code: UNPROCESSED.to_owned(), message: message.to_owned(), fields: Vec::new() };
    error::reject(&said)
}

/// A line of a list of results.
struct ResultRow {
    mark: String,
    id: String,
    created: bool,
    error: String,
}

/// The place of the key among the fields that are written.
fn key_place(write: &Write) -> Option<usize> {
    write.fields.iter().position(|field| write.key.contains(&field.field.name))
}

/// What makes a record out among others of its job: its key; without one all that it holds. Two records that are alike in
/// everything may stand for each other.
fn mark<'v>(write: &Write, key: Option<usize>, values: impl Iterator<Item = &'v str> + Clone) -> String {
    if let Some(value) = key.and_then(|place| values.clone().nth(place)) {
        return key_of(write, value);
    }
    let mut mark = String::new();
    for value in values {
        // Null may come back empty, and line ends as others.
        let value = if value == "#N/A" { "" } else { value };
        mark.push_str(&value.replace("\r\n", "\n"));
        mark.push('\u{1f}');
    }
    mark
}
