//! Sends batches on several lanes, and passes their records on in the order of arrival.
//!
//! ```text
//!   cuts ─▶ intended ─▶ lane ─▶ answered ┐
//!        ─▶ intended ─▶ lane ─▶ …        ├─▶ first in line? ─▶ ports, checkpoint
//!        ─▶ …                            ┘
//! ```
//!
//! A batch is intended only when a lane is free, so that a crash leaves no more batches in doubt than there are lanes. A lane
//! is free once an answer is in the temp file's queue, since no later intent is durable before it. Where not all of a batch went
//! well, the guards look at it before its lane is free.
//! Where one fails for good, no other begins, and those that are under way come to their end: their answers count.

mod output;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use engine::context::Cx;
use engine::failure::{Class, Failure};
use engine::outside::clock::Clock;
use engine::outside::crm::{Batch, Crm, Operation, Outcome, Steps, Write, WritePlan};
use engine::progress::part_of_task;
use jiff::SignedDuration;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tracing::Instrument;

use super::batches::{Cut, Cuts, Cutter};
use super::begin::{Begun, LEDGER, begin, go_on, lost, open};
use super::compare::Compare;
use super::guards;
use super::ledger::state::{Entry, Fate, State};
use super::ledger::{Ledger, Receipt};
use super::newest::{Newest, Tracked};
use super::remember::Asker;
use super::request::Request;
use crate::chunks::Chunks;
use crate::own_writes::Learner;
use crate::rejects::Kinds;
use crate::rows;
use output::{Output, Position, SET_ASIDE};
pub(crate) use output::{columns_in_doubt, columns_ok};

/// How often a batch is sent, where nothing but its answer is missing or the CRM was not to be had.
const SENDS_MAX: u32 = 5;
/// The pause before it is sent again; each next one is twice as long.
const PAUSE: Duration = Duration::from_secs(2);
/// Batches that may wait for an earlier one to be answered, for each lane.
const WAITING_PER_LANE: usize = 8;
/// Bytes of payloads that may be cut, under way or waiting so, where batches are large; one beyond the lanes always may.
const WAITING_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Batches without an answer, one after the other, after which no other begins: the CRM is out of order, and each further
/// one would only leave more records in doubt.
const IN_DOUBT_MAX: u32 = 3;
/// The most lanes.
const LANES_MAX: usize = 64;

/// What is the same for all batches.
struct Job {
    crm: Arc<dyn Crm>,
    write: Arc<Write>,
    plan: WritePlan,
    /// What the names of batches begin with.
    name: String,
    ledger: Ledger,
    /// What other runs have sent of the same records.
    newest: Option<Arc<Newest>>,
    clock: Arc<dyn Clock>,
    /// Where the workflow brings back what is written here.
    learner: Option<Learner>,
}

/// Sends all records that come in, each once, and passes them on with what became of them.
///
/// # Errors
/// Where the CRM, the disk or a guard keeps it from going on; what was sent stays known.
pub(crate) async fn export(cx: &mut Cx, crm: Arc<dyn Crm>, request: Request) -> Result<(), Failure> {
    let (population, columns) = rows::input(cx).await?;
    let position = cx.position::<Position>()?.unwrap_or_default();
    let folder = cx.temp_folder()?;
    let (ledger, state) = open(folder.join(LEDGER)).await?;
    // A batch is durable before its records are passed on.
    if state.next() < position.place {
        return Err(lost(&folder));
    }
    let mut request = request;
    let Begun { mapping, header, firsts, found } = match &state.header {
        Some(header) => go_on(cx, &mut request, header, &population, &columns, &folder).await?,
        None => begin(cx, &crm, &mut request, &population, &columns, &folder, &ledger).await?,
    };
    let asker = Asker::new(cx, &crm, &request, &mapping, found.clone(), &header.plan);
    let write = Arc::new(request.write.clone());
    let compare = if request.compare { Compare::new(&write) } else { None };
    let newest = Newest::new(cx, &request).await?;
    let cutter = Cutter {
        crm: Arc::clone(&crm),
        write: Arc::clone(&write),
        plan: header.plan.clone(),
        mapping,
        firsts,
        compare,
        found,
        newest: newest.clone(),
        rows: Chunks::from(&population, state.next()),
        place: state.next(),
        waiting: VecDeque::new(),
        from: state.next(),
    };
    let name = cx.export_name();
    let learner = Learner::new(cx, &crm, (&request.account, &request.object), &write).await?;
    let clock = Arc::clone(cx.clock());
    let job = Arc::new(Job { crm, write, plan: header.plan, name, ledger, newest, clock, learner });
    let known = state.batches.iter().position(|batch| batch.from >= position.place);
    let next = known.unwrap_or(state.batches.len());
    let at_once = job.plan.at_once.clamp(1, LANES_MAX);
    let by_bytes = (WAITING_BYTES_MAX / job.plan.bytes_max.max(1)).max(1);
    let mut lanes = Lanes {
        job: Arc::clone(&job),
        window: (at_once * WAITING_PER_LANE).min(by_bytes).max(at_once + 1),
        free: Arc::new(Semaphore::new(at_once)),
        state,
        next,
        known: Chunks::from(&population, if known.is_some() { position.place } else { population.rows() }),
        cuts: Cuts::start(cutter, by_bytes.saturating_sub(at_once).clamp(1, at_once)),
        flights: VecDeque::new(),
        first: next,
        sending: JoinSet::new(),
        refused: position.refused,
        kinds: position.rejects.clone(),
        done: cx.tally().counts.clone(),
        in_doubt: 0,
        failed: None,
        all_cut: false,
    };
    let mut output = Output::new(cx, &request, &columns, population.rows(), position, asker).await;
    let ended = lanes.run(cx, &request, &mut output).await;
    let warned = match &job.learner {
        Some(learner) => learner.warn(cx).await,
        None => Ok(()),
    };
    ended.and(warned)?;
    // Nothing writes to the temp file any more.
    drop((lanes, job));
    output.end(cx, &request, &folder).await?;
    guards::remember_volume(cx, &request.guards, population.rows()).await
}

/// A batch from its intent until its records are passed on.
struct Flight {
    cut: Cut,
    /// Of the records that are sent, once they are known.
    outcomes: Option<Vec<Outcome>>,
}

/// What became of a batch, durably.
struct Answered {
    outcomes: Vec<Outcome>,
    /// Its lane, where something of it did not go well.
    lane: Option<OwnedSemaphorePermit>,
}

struct Lanes {
    job: Arc<Job>,
    /// The most batches that are under way or wait for an earlier one.
    window: usize,
    /// A permit for each lane that is free.
    free: Arc<Semaphore>,
    /// What the temp file said when it was opened.
    state: State,
    /// The number of the next batch to begin.
    next: usize,
    /// The records of batches that the temp file has.
    known: Chunks,
    cuts: Cuts,
    /// In the order of the records.
    flights: VecDeque<Flight>,
    /// The number of the first flight.
    first: usize,
    sending: JoinSet<(usize, Result<Answered, Failure>)>,
    refused: u64,
    /// Why.
    kinds: Kinds,
    /// What was done, by word.
    done: BTreeMap<String, u64>,
    /// Batches that were all in doubt, since the last one that was not.
    in_doubt: u32,
    /// Why no other batch begins.
    failed: Option<Failure>,
    all_cut: bool,
}

impl Lanes {
    async fn run(&mut self, cx: &mut Cx, request: &Request, output: &mut Output) -> Result<(), Failure> {
        self.guard(cx, request);
        loop {
            // What is under way is heard to its end.
            if let Err(stopped) = cx.go_on() {
                self.fail(stopped);
            }
            // A lane that something did not go well on is free again once the guards have seen it.
            let mut lane_kept = None;
            let begins = self.failed.is_none() && !self.all_cut && self.flights.len() < self.window;
            let passes = self.failed.is_none() && self.flights.front().is_some_and(|first| first.outcomes.is_some());
            let is_known = self.next < self.state.batches.len();
            tokio::select! {
                biased;
                // First, so that no batch begins before the guards have seen what came of others.
                Some(ended) = self.sending.join_next() => match ended {
                    Ok((number, Ok(Answered { outcomes, lane }))) => {
                        lane_kept = lane;
                        self.watch(&outcomes);
                        self.answered(number, outcomes);
                    }
                    Ok((_, Err(failure))) => self.fail(failure),
                    Err(error) => self.fail(Failure::internal(format!("the sending of a batch broke off: {error}"))),
                },
                ready = ready(&self.free, &mut self.cuts, is_known), if begins => {
                    let started = match ready {
                        Ok((lane, cut)) => self.start(lane, cut).await,
                        Err(failure) => Err(failure),
                    };
                    if let Err(failure) = started {
                        self.fail(failure);
                    }
                }
                // Last, so that it is not begun while a lane waits.
                () = std::future::ready(()), if passes => {
                    if let Some(Flight { cut, outcomes }) = self.flights.pop_front() {
                        self.first += 1;
                        self.failed = output.pass_on(cx, cut, outcomes.unwrap_or_default()).await.err();
                    }
                }
                else => break,
            }
            self.guard(cx, request);
            drop(lane_kept);
        }
        let Some(failure) = self.failed.take() else { return Ok(()) };
        if failure.class != Class::Stopped {
            self.show(cx, output).await?;
        }
        Err(failure)
    }

    /// Passes on what is known already, so that it can be looked at while the export waits.
    async fn show(&mut self, cx: &mut Cx, output: &mut Output) -> Result<(), Failure> {
        while let Some(Flight { cut, outcomes }) = self.flights.pop_front_if(|first| first.outcomes.is_some()) {
            output.pass_on(cx, cut, outcomes.unwrap_or_default()).await?;
        }
        cx.seal(output.position()).await
    }

    fn guard(&mut self, cx: &Cx, request: &Request) {
        if self.failed.is_none() {
            let sent = || self.sent();
            self.failed = guards::rejects(cx, &request.guards, self.refused, sent, || self.kinds.told()).err();
        }
    }

    /// What was done by now, for a message.
    fn sent(&self) -> String {
        let done = self.done.iter().filter(|(word, records)| **records > 0 && *word != SET_ASIDE);
        let done: Vec<String> = done.map(|(word, records)| format!("{records} {word}")).collect();
        match done.is_empty() {
            true => "nothing more was sent".to_owned(),
            false => format!("{} before, and nothing more was sent", done.join(", ")),
        }
    }

    /// The first failure is the one that is told.
    fn fail(&mut self, failure: Failure) {
        self.failed.get_or_insert(failure);
    }

    /// Whether the CRM still answers.
    fn watch(&mut self, outcomes: &[Outcome]) {
        let is_doubtful = |outcome: &Outcome| matches!(outcome, Outcome::InDoubt { .. });
        let reason = match outcomes {
            // Nothing of it was sent.
            [] => return,
            [Outcome::InDoubt { reason }, others @ ..] if others.iter().all(is_doubtful) => reason,
            _ => {
                self.in_doubt = 0;
                return;
            }
        };
        self.in_doubt += 1;
        if self.in_doubt >= IN_DOUBT_MAX {
            let message = format!("{IN_DOUBT_MAX} batches in a row had no answer, and no other is sent: {reason}");
            let help = "see whether the CRM works, then resume: what is in doubt leaves by inDoubt, the rest is sent";
            self.fail(Failure::new(Class::Transient, message).help(help));
        }
    }

    fn count<'a>(&mut self, outcomes: impl Iterator<Item = &'a Outcome>) {
        for outcome in outcomes {
            match outcome {
                Outcome::Refused(reject) => {
                    self.refused += 1;
                    self.kinds.count(reject);
                }
                Outcome::Done { what, .. } => *self.done.entry(what.word().to_owned()).or_default() += 1,
                Outcome::InDoubt { .. } => {}
            }
        }
    }

    fn answered(&mut self, number: usize, outcomes: Vec<Outcome>) {
        self.count(outcomes.iter());
        if let Some(flight) = number.checked_sub(self.first).and_then(|place| self.flights.get_mut(place)) {
            flight.outcomes = Some(outcomes);
        }
    }

    /// Sends the next batch on a lane: one that the temp file has, or a new one.
    async fn start(&mut self, lane: OwnedSemaphorePermit, cut: Option<Cut>) -> Result<(), Failure> {
        let number = self.next;
        let known = self.state.batches.get(number).cloned();
        let (cut, sent) = match &known {
            Some(batch) => {
                let records = usize::try_from(batch.records).unwrap_or(usize::MAX);
                let rows = self.known.next(records).await?.filter(|rows| rows.num_rows() == records);
                let short = || Failure::internal("the population has fewer records than its export's temp file");
                let rows = rows.ok_or_else(short)?;
                let mut cut = Cut { from: batch.from, rows, fates: self.job.ledger.intended(batch)? };
                let answer = batch.answered.map(|at| self.job.ledger.answer(at)).transpose()?;
                // A batch that the connector is in the middle of ends as it began.
                if let (Some(newest), None, None) = (&self.job.newest, &answer, &batch.step) {
                    newest.leave_out_overtaken(&self.job.ledger, number as u64, &mut cut).await?;
                }
                (cut, Known { answer, step: batch.step.clone(), receipt: None, again: true })
            }
            None => {
                let Some(cut) = cut else {
                    self.all_cut = true;
                    return Ok(());
                };
                let entry = Entry::Intended { batch: number as u64, from: cut.from, records: cut.fates.clone() };
                let receipt = Some(self.job.ledger.append(&entry)?);
                (cut, Known { answer: None, step: None, receipt, again: false })
            }
        };
        self.next += 1;
        let payloads: Vec<Bytes> = cut.fates.iter().filter_map(payload).collect();
        self.count(cut.fates.iter().filter_map(|fate| match fate {
            Fate::Decided(outcome) => Some(outcome),
            Fate::Send(_) | Fate::Older => None,
        }));
        let tracked = self.job.newest.as_ref().and_then(|newest| newest.track(&cut));
        self.flights.push_back(Flight { cut, outcomes: None });
        match sent.answer {
            Some(outcomes) => {
                if let Some(tracked) = tracked {
                    tracked.sent(&outcomes).await?;
                }
                self.answered(number, outcomes);
            }
            None => {
                let job = Arc::clone(&self.job);
                let work = async move { (number, job.work(number as u64, payloads, sent, tracked, lane).await) };
                self.sending.spawn(part_of_task(work).in_current_span());
            }
        }
        Ok(())
    }
}

/// A free lane, and a new batch for it, or none after the last; nor where it is for one that the temp file has. Nothing is lost
/// where this is dropped.
async fn ready(
    free: &Arc<Semaphore>,
    cuts: &mut Cuts,
    is_known: bool,
) -> Result<(OwnedSemaphorePermit, Option<Cut>), Failure> {
    let closed = |error: tokio::sync::AcquireError| Failure::internal(error.to_string());
    let lane = Arc::clone(free).acquire_owned().await.map_err(closed)?;
    Ok((lane, if is_known { None } else { cuts.next().await? }))
}

pub(super) fn payload(fate: &Fate) -> Option<Bytes> {
    match fate {
        Fate::Send(payload) => Some(payload.clone()),
        Fate::Decided(_) | Fate::Older => None,
    }
}

/// What is known of a batch before it is sent.
struct Known {
    answer: Option<Vec<Outcome>>,
    step: Option<Value>,
    /// Tells when its intent is durable, where it was not before.
    receipt: Option<Receipt>,
    /// Whether it may have been sent before.
    again: bool,
}

impl Job {
    /// Sends a batch on a lane, which is free once all of it went well, and returns once the answer is durable.
    async fn work(
        &self,
        number: u64,
        payloads: Vec<Bytes>,
        known: Known,
        tracked: Option<Tracked>,
        lane: OwnedSemaphorePermit,
    ) -> Result<Answered, Failure> {
        // An insert that is found there may have been changed since it was sent first.
        let may_be_older = known.again && self.write.operation == Operation::Insert;
        match self.deliver(number, payloads, known, tracked.as_ref()).await {
            Ok((outcomes, receipt)) => {
                let all_well = outcomes.iter().all(|outcome| matches!(outcome, Outcome::Done { .. }));
                let lane = (!all_well).then_some(lane);
                receipt.durable().await?;
                if let Some(tracked) = tracked {
                    tracked.sent(&outcomes).await?;
                }
                if let Some(learner) = self.learner.as_ref().filter(|_| !may_be_older) {
                    learner.learn(&outcomes).await;
                }
                Ok(Answered { outcomes, lane })
            }
            Err(failure) => {
                // Nothing may begin on it before the failure is seen, nor then.
                lane.forget();
                Err(failure)
            }
        }
    }

    /// Sends a batch until it is answered; tells when the answer is durable.
    async fn deliver(
        &self,
        number: u64,
        payloads: Vec<Bytes>,
        known: Known,
        tracked: Option<&Tracked>,
    ) -> Result<(Vec<Outcome>, Receipt), Failure> {
        if let Some(receipt) = known.receipt {
            receipt.durable().await?;
        }
        if let Some(tracked) = tracked {
            tracked.sending().await?;
        }
        let outcomes = match payloads.is_empty() {
            true => Vec::new(),
            false => self.send(number, &payloads, known.step, known.again).await?,
        };
        let receipt = self.ledger.append(&Entry::Answered { batch: number, outcomes: outcomes.clone() })?;
        Ok((outcomes, receipt))
    }

    async fn send(
        &self,
        number: u64,
        payloads: &[Bytes],
        step: Option<Value>,
        mut again: bool,
    ) -> Result<Vec<Outcome>, Failure> {
        let name = format!("{}/{number}", self.name);
        let steps = Recorder { job: self, number, last: Mutex::new(step) };
        let mut pause = PAUSE;
        let mut sends = 0;
        loop {
            let batch = Batch { write: &self.write, plan: &self.plan, name: &name, payloads, again, steps: &steps };
            sends += 1;
            let failure = match self.crm.send(batch).await {
                Ok(outcomes) if outcomes.len() == payloads.len() => return Ok(outcomes),
                Ok(outcomes) => {
                    let (got, sent) = (outcomes.len(), payloads.len());
                    return Err(Failure::internal(format!("{got} outcomes came for {sent} records of batch {name}")));
                }
                Err(failure) => failure,
            };
            let passes = matches!(failure.class, Class::InDoubt | Class::Transient | Class::Conflict);
            if !passes || sends == SENDS_MAX {
                return Err(failure);
            }
            tracing::warn!(batch = name, %failure, "the batch is sent again");
            let asked = Duration::from_secs(failure.retry_after_s.unwrap_or(0));
            let until = SignedDuration::try_from(pause.max(asked)).unwrap_or(SignedDuration::MAX);
            let until = self.clock.now().checked_add(until).unwrap_or(jiff::Timestamp::MAX);
            self.clock.sleep_until(until).await;
            pause *= 2;
            again = true;
        }
    }
}

/// The steps of one batch, in the temp file.
struct Recorder<'a> {
    job: &'a Job,
    number: u64,
    last: Mutex<Option<Value>>,
}

#[async_trait]
impl Steps for Recorder<'_> {
    fn last(&self) -> Option<Value> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn record(&self, step: Value) -> Result<(), Failure> {
        let entry = Entry::Step { batch: self.number, step: step.clone() };
        self.job.ledger.append(&entry)?.durable().await?;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(step);
        Ok(())
    }
}
