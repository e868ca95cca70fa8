//! What an export knows of exports before it, and what it remembers for those after it.
//!
//! ```text
//!   memory between runs ─ the same source records? (once, kept) ─▶ set aside, or passed on as created
//!   a record without an answer ─▶ memory, desk           a task that fails or is stopped ─▶ memory: all that it wrote
//! ```
//!
//! Only inserts need it: any other write is the same when it is repeated.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use engine::context::Cx;
use engine::desk::{Doubtful, ask};
use engine::failure::{Class, Failure};
use engine::outside::crm::{Batch, Crm, Operation, Outcome, Steps, What, WritePlan};
use engine::outside::memory::{Doubt, Export, MemoryId, NewMemory, Remembered, State};
use engine::population::Population;
use engine::private;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::begin::{LEDGER, go_on, open};
use super::ledger::Ledger;
use super::ledger::state::{Batch as Kept, Fate};
use super::mapping::Mapping;
use super::request::Request;
use super::settle;
use crate::chunks::Chunks;
use crate::rows;

/// What is known of the records that came in, next to the temp file.
const FOUND: &str = "remembered.json";
/// Records that are looked at together.
const RECORDS_AT_ONCE: usize = 2_000;
/// Ids of created records that are kept to explain what is there.
const EXPLAINED_MAX: usize = 100_000;
/// How long the CRM is asked for the time when an export is stopped.
const CLOCK_WAIT: Duration = Duration::from_secs(10);
/// How far clocks may drift apart during a run.
const MARGIN: SignedDuration = SignedDuration::from_mins(1);

/// What earlier exports are known to have done with a record that came in.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Known {
    /// They sent it, and it is not known whether it took hold.
    InDoubt { question: MemoryId, reason: String },
    /// The CRM has it.
    Created {
        /// Its id; empty if only that is known.
        id: String,
    },
}

impl Known {
    /// What becomes of the record.
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::InDoubt { reason, .. } => Outcome::InDoubt { reason: reason.clone() },
            Self::Created { id } => Outcome::Done { id: id.clone(), what: What::Created },
        }
    }
}

/// By place, the records that came in of which something is remembered.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Found(BTreeMap<u64, Known>);

impl Found {
    pub(super) fn get(&self, place: u64) -> Option<&Known> {
        self.0.get(&place)
    }

    fn save(&self, path: &Path) -> Result<String, Failure> {
        let bytes = serde_json::to_vec(self).map_err(|error| Failure::internal(error.to_string()))?;
        private::replace(path, &bytes)
            .map_err(|error| Failure::io(format!("cannot write {}", path.display()), &error))?;
        Ok(blake3::hash(&bytes).to_hex().to_string())
    }

    /// As they were found when the export began.
    pub(super) fn load(folder: &Path, checksum: &str) -> Result<Self, Failure> {
        let path = folder.join(FOUND);
        let bytes = fs::read(&path).map_err(|error| Failure::io(format!("cannot read {}", path.display()), &error))?;
        let sound = blake3::hash(&bytes).to_hex().as_str() == checksum;
        sound.then(|| serde_json::from_slice(&bytes).ok()).flatten().ok_or_else(|| {
            let message = format!("{} is not the file that was written", path.display());
            Failure::new(Class::Storage, message).help("stop the run and start the workflow again")
        })
    }
}

/// Finds what is remembered of the records that came in, once; the second is the checksum of the file that keeps it.
pub(super) async fn find(
    cx: &Cx,
    crm: &Arc<dyn Crm>,
    request: &Request,
    mapping: &Mapping,
    population: &Population,
    folder: &Path,
) -> Result<Option<(Found, String)>, Failure> {
    if request.write.operation != Operation::Insert {
        return Ok(None);
    }
    let all = cx.memory().of(&request.account, &request.write.object.name).await?;
    if all.is_empty() {
        return Ok(None);
    }
    let all = settle::by_asking(cx, crm, &request.write.object, all).await?;
    let mut by_source: HashMap<&str, VecDeque<&Remembered>> = HashMap::new();
    for remembered in &all {
        by_source.entry(remembered.source.as_str()).or_default().push_back(remembered);
    }
    let (mut found, mut taken) = (Found::default(), Vec::new());
    let (mut chunks, mut place) = (Chunks::from(population, 0), 0);
    while let Some(batch) = chunks.next(RECORDS_AT_ONCE).await? {
        let mapped = mapping.map(&**crm, &batch, place, None)?;
        for (place, source) in (place..).zip(mapping.sources(&batch, &mapped)?) {
            let remembered = source.and_then(|source| by_source.get_mut(source.digest.as_str())?.pop_front());
            let Some(remembered) = remembered else { continue };
            taken.push(remembered.id);
            found.0.insert(place, known(remembered));
        }
        place += batch.num_rows() as u64;
    }
    if taken.is_empty() {
        return Ok(None);
    }
    cx.memory().take(&taken, &cx.export_name(), cx.run_id()).await?;
    let checksum = found.save(&folder.join(FOUND))?;
    Ok(Some((found, checksum)))
}

fn known(remembered: &Remembered) -> Known {
    match &remembered.state {
        State::InDoubt(doubt) => {
            let reason =
                format!("run {} sent it already, and it is not settled: {}", remembered.export.run, doubt.reason);
            Known::InDoubt { question: remembered.id, reason }
        }
        State::Created { id } => Known::Created { id: id.clone().unwrap_or_default() },
        State::Over => Known::Created { id: String::new() },
    }
}

/// Asks what became of records in doubt: keeps them in the memory and on the desk.
pub(super) struct Asker {
    pub(super) crm: Arc<dyn Crm>,
    pub(super) mapping: Arc<Mapping>,
    pub(super) found: Option<Arc<Found>>,
    pub(super) plan: WritePlan,
    pub(super) export: Export,
    /// When the records in doubt can have been created, by the CRM's clock, once it was asked.
    pub(super) span: Option<(Option<Timestamp>, Option<Timestamp>)>,
    /// Whether a question was asked.
    pub(super) has_asked: bool,
}

/// A record in doubt, by its row in its batch.
pub(super) struct InDoubt {
    pub(super) row: usize,
    pub(super) reason: String,
    /// Whether this export sent it; else it was set aside.
    pub(super) sent: bool,
}

impl Asker {
    pub(super) fn new(
        cx: &Cx,
        crm: &Arc<dyn Crm>,
        request: &Request,
        mapping: &Arc<Mapping>,
        found: Option<Arc<Found>>,
        plan: &WritePlan,
    ) -> Self {
        Self {
            crm: Arc::clone(crm),
            mapping: Arc::clone(mapping),
            found,
            plan: plan.clone(),
            export: export(cx, request),
            span: None,
            has_asked: false,
        }
    }

    /// Keeps the questions of a batch whose first record has this place.
    pub(super) async fn ask(
        &mut self,
        cx: &Cx,
        from: u64,
        rows: &RecordBatch,
        doubts: &[InDoubt],
    ) -> Result<(), Failure> {
        let mapped = self.mapping.map(&*self.crm, rows, from, None)?;
        let sources = self.mapping.sources(rows, &mapped)?;
        let (mut new, mut told) = (Vec::new(), Vec::new());
        for InDoubt { row, reason, sent } in doubts {
            let Some(source) = sources.get(*row).cloned().flatten() else { continue };
            let place = from + *row as u64;
            let values = self.mapping.values_sent(&mapped.records, *row);
            let question = match self.found.as_ref().and_then(|found| found.get(place)) {
                Some(Known::InDoubt { question, .. }) if !sent => *question,
                _ => {
                    let (since, until) = self.span(cx).await;
                    let doubt = Doubt { reason: reason.clone(), sent: values.clone(), id: source.chosen, since, until };
                    new.push((told.len(), NewMemory { place, source: source.digest, state: State::InDoubt(doubt) }));
                    0
                }
            };
            told.push((*row, Doubtful { question, key: source.key, reason: reason.clone(), sent: values }));
        }
        let (at, new): (Vec<usize>, Vec<NewMemory>) = new.into_iter().unzip();
        self.has_asked |= !new.is_empty();
        let ids = cx.memory().keep(&self.export, new, cx.limits().records_remembered).await?;
        at.into_iter().zip(ids).for_each(|(at, id)| told[at].1.question = id);
        let (kept, told): (Vec<usize>, Vec<Doubtful>) = told.into_iter().unzip();
        let is_kept: Vec<bool> = (0..rows.num_rows()).map(|row| kept.contains(&row)).collect();
        if told.is_empty() { Ok(()) } else { ask(cx, &rows::filter(rows, &is_kept)?, told).await }
    }

    /// From the beginning of the run until what was sent by now can no longer take hold.
    async fn span(&mut self, cx: &Cx) -> (Option<Timestamp>, Option<Timestamp>) {
        if let Some(span) = self.span {
            return span;
        }
        let asked = tokio::time::timeout(CLOCK_WAIT, self.crm.now()).await;
        let span = match asked {
            Ok(Ok(now)) => {
                let since = cx.run_started().map(|began| now - cx.clock().now().duration_since(began) - MARGIN);
                (since, now.checked_add(self.crm.longest_request(&self.plan) + MARGIN).ok())
            }
            Ok(Err(_)) | Err(_) => (None, None),
        };
        self.span = Some(span);
        span
    }
}

fn export(cx: &Cx, request: &Request) -> Export {
    Export {
        name: cx.export_name(),
        run: cx.run_id().clone(),
        account: request.account.clone(),
        object: request.write.object.name.clone(),
    }
}

/// Remembers what an export has written: it may never go on.
///
/// # Errors
/// If its temp file cannot be read, or the memory not be written.
pub(crate) async fn remember(cx: &Cx, crm: Arc<dyn Crm>, mut request: Request) -> Result<(), Failure> {
    let folder = cx.temp_folder()?;
    if request.write.operation != Operation::Insert || !folder.join(LEDGER).exists() {
        return Ok(());
    }
    let (ledger, state) = open(folder.join(LEDGER)).await?;
    let Some(header) = &state.header else { return Ok(()) };
    let (population, columns) = rows::input(cx).await?;
    let begun = go_on(cx, &mut request, header, &population, &columns, &folder).await?;
    let mut asker = Asker::new(cx, &crm, &request, &begun.mapping, begun.found, &header.plan);
    let mut chunks = Chunks::from(&population, 0);
    for (number, batch) in state.batches.iter().enumerate() {
        let records = usize::try_from(batch.records).unwrap_or(usize::MAX);
        let Some(rows) = chunks.next(records).await? else { break };
        let fates = ledger.intended(batch)?;
        let outcomes = outcomes(&crm, &request, header, &ledger, batch, &fates, number)?;
        asker.keep(cx, batch.from, &rows, &fates, outcomes).await?;
    }
    if asker.has_asked {
        explain(cx, &asker.export.name, &ledger, &state.batches).await?;
    }
    Ok(())
}

/// What is known of the records of a batch that were sent, in their order.
fn outcomes(
    crm: &Arc<dyn Crm>,
    request: &Request,
    header: &super::ledger::state::Header,
    ledger: &Ledger,
    batch: &Kept,
    fates: &[Fate],
    number: usize,
) -> Result<Vec<Option<Outcome>>, Failure> {
    if let Some(at) = batch.answered {
        return Ok(ledger.answer(at)?.into_iter().map(Some).collect());
    }
    let payloads: Vec<_> = fates.iter().filter_map(super::lanes::payload).collect();
    let (name, steps) = (number.to_string(), LastStep(batch.step.clone()));
    let (write, plan) = (&request.write, &header.plan);
    Ok(crm.known(Batch { write, plan, name: &name, payloads: &payloads, again: true, steps: &steps }))
}

impl Asker {
    /// Keeps what was created of a batch, and what is in doubt.
    async fn keep(
        &mut self,
        cx: &Cx,
        from: u64,
        rows: &RecordBatch,
        fates: &[Fate],
        outcomes: Vec<Option<Outcome>>,
    ) -> Result<(), Failure> {
        let mut outcomes = outcomes.into_iter();
        let (mut created, mut doubts) = (Vec::new(), Vec::new());
        for (row, fate) in fates.iter().enumerate() {
            match (fate, if matches!(fate, Fate::Send(_)) { outcomes.next().flatten() } else { None }) {
                (_, Some(Outcome::Done { id, what: What::Created })) => created.push((row, id)),
                (_, Some(Outcome::InDoubt { reason })) => doubts.push(InDoubt { row, reason, sent: true }),
                _ => {}
            }
        }
        if !created.is_empty() {
            let mapped = self.mapping.map(&*self.crm, rows, from, None)?;
            let sources = self.mapping.sources(rows, &mapped)?;
            let new = |(row, id): (usize, String)| {
                let source = sources.get(row).cloned().flatten()?.digest;
                Some(NewMemory { place: from + row as u64, source, state: State::Created { id: Some(id) } })
            };
            let new = created.into_iter().filter_map(new).collect();
            cx.memory().keep(&self.export, new, cx.limits().records_remembered).await?;
        }
        if doubts.is_empty() { Ok(()) } else { self.ask(cx, from, rows, &doubts).await }
    }
}

/// Keeps which records of the CRM the answers to an export explain, so that its questions are not taken for one of them.
async fn explain(cx: &Cx, export: &str, ledger: &Ledger, batches: &[Kept]) -> Result<(), Failure> {
    let mut ids = Vec::new();
    for at in batches.iter().filter_map(|batch| batch.answered) {
        let created = |outcome| match outcome {
            Outcome::Done { id, .. } => Some(id),
            Outcome::Refused(_) | Outcome::InDoubt { .. } => None,
        };
        ids.extend(ledger.answer(at)?.into_iter().filter_map(created));
        if ids.len() > EXPLAINED_MAX {
            return cx.memory().explain(export, None).await;
        }
    }
    cx.memory().explain(export, Some(ids)).await
}

/// As [`explain`], once all batches of an export are answered and nothing writes to its temp file.
pub(super) async fn explain_all(cx: &Cx, folder: &Path) -> Result<(), Failure> {
    let (ledger, state) = open(folder.join(LEDGER)).await?;
    explain(cx, &cx.export_name(), &ledger, &state.batches).await
}

/// The last step of a batch, of which there are no more.
struct LastStep(Option<Value>);

#[async_trait]
impl Steps for LastStep {
    fn last(&self) -> Option<Value> {
        self.0.clone()
    }

    async fn record(&self, _: Value) -> Result<(), Failure> {
        Err(Failure::internal("a step of a batch that is not sent"))
    }
}
