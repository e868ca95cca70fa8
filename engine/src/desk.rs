//! What tasks tell the rejects desk, and how rejects are sent again.
//!
//! ```text
//!   task ends well ─▶ its rejects are kept ─▶ what passed is closed ─▶ taskEnded is recorded
//!        ▲                                        ▲
//!        └── entry: rejects, `_seq` says which ───┘
//! ```
//!
//! The desk hears of a task before its end is in the journal, so that no reject is lost in a crash between the two; a
//! task that ends a second time tells the same again, and the desk knows it by run, task and place.

mod records;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, Schema, SchemaRef};
use serde_json::{Map, Value as Json};

use crate::activity::Activity;
use crate::allow;
use crate::context::Cx;
use crate::engine::{Driven, Engine, NotStarted};
use crate::enter::Entering;
use crate::event::{Level, Segment, TaskId};
use crate::expr::{Bound, Source, Value, Values};
use crate::failure::{Class, Failure};
use crate::outside::desk::{Filing, KeptReject, NewReject, RejectId, Settlement};
use crate::outside::memory::MemoryId;
use crate::outside::store::RunId;
use crate::population::Population;
use crate::reject::Reject;
use crate::run::{Task, TaskStatus};
use crate::temp;
use crate::types::SEQ;
use records::{of_shape, reason, record, record_columns, to_batch, to_column, to_shape};

/// The port of rejects.
const REJECT: &str = "reject";
/// The port of records of which it is not known what became of them.
const IN_DOUBT: &str = "inDoubt";
/// The code of a record in doubt on the desk.
const IN_DOUBT_CODE: &str = "IN_DOUBT";
/// What a person does about it.
const SETTLE_HELP: &str = "look it up in the CRM, then say what you found: `campanile rejects settle ID --created CRM_ID`, or \
                           `campanile rejects settle ID --not-created`, and the next export sends it again";
/// Above every place of a population: what is sent again has its number on the desk, plus this, as its place.
const SENT_AGAIN: i64 = 1 << 48;
/// How many rejects go to the desk at once.
const KEPT_AT_ONCE: usize = 1_000;

/// Keeps on the desk what a task has refused so far, once it is sealed.
pub(crate) async fn file_sealed(cx: &mut Cx) -> Result<(), Failure> {
    let rejects = population(cx, REJECT);
    let definition = Arc::clone(&cx.definition);
    let has_new = rejects.rows() > cx.filed && cx.filed < kept_max(cx) as u64;
    let Some(node) = definition.activities.get(&cx.activity).filter(|_| has_new) else { return Ok(()) };
    let activity = node.activity.as_ref();
    let named_by = activity.record_key(cx).await?;
    let mut filing = filing(cx, !cx.inputs().is_empty());
    cx.filed = keep(cx, activity, &named_by, &mut filing, &rejects, false).await?.rows;
    Ok(())
}

/// Failed tasks of the activity with the same records: what they refused, this one refuses or lets pass.
fn failed_before(cx: &Cx) -> Vec<TaskId> {
    let run = cx.journal.run();
    let is_before = |task: &&Task| {
        task.activity == cx.activity
            && task.id < cx.task
            && task.status == TaskStatus::Failed
            && temp::digest(&temp::inputs(&cx.environment, &cx.journal, &run, task)) == cx.input_digest()
    };
    run.tasks.iter().filter(is_before).map(|task| task.id).collect()
}

/// Tells the desk what a task that ends well refused, and what passed.
pub(crate) async fn file(cx: &Cx, activity: &dyn Activity, comes_from_outside: bool) -> Result<(), Failure> {
    let desk = &cx.environment.desk;
    let rejects = population(cx, REJECT);
    let named_by = activity.record_key(cx).await?;
    let keys = match named_by.is_empty() {
        true => HashSet::new(),
        false => desk.open_keys(&cx.workflow, &cx.activity).await?,
    };
    let sends_again = sends_again(cx);
    let sent = match cx.input().filter(|_| sends_again) {
        Some(input) => numbers(input).await?,
        None => HashSet::new(),
    };
    let failed = failed_before(cx);
    if rejects.segments().is_empty() && keys.is_empty() && sent.is_empty() && failed.is_empty() {
        return Ok(());
    }
    let mut filing = filing(cx, !comes_from_outside);
    let refused = keep(cx, activity, &named_by, &mut filing, &rejects, true).await?;
    let kept_max = kept_max(cx);
    let mut end = Settlement { rejects: refused.rows, kept_max, failed, ..Settlement::default() };
    if !refused.untold {
        let doubtful = numbers(&population(cx, IN_DOUBT)).await?;
        end.passed = sent.into_iter().filter(|id| !refused.again.contains(id) && !doubtful.contains(id)).collect();
    }
    if !keys.is_empty() {
        end.passed_keys = passed_keys(cx, &named_by, &keys).await?;
    }
    desk.settle(&filing, end).await
}

/// A record in doubt.
#[derive(Debug, Clone)]
pub struct Doubtful {
    /// The question in the memory between runs.
    pub question: MemoryId,
    /// Names the record, if anything does.
    pub key: Option<String>,
    /// Why it is in doubt.
    pub reason: String,
    /// The values that were sent, by field.
    pub sent: Map<String, Json>,
}

/// Keeps records in doubt on the desk, each with its question; `records` are those that came in.
///
/// # Errors
/// If the desk cannot be written.
pub async fn ask(cx: &Cx, records: &RecordBatch, doubts: Vec<Doubtful>) -> Result<(), Failure> {
    let mut filing = filing(cx, false);
    filing.shape = to_shape(&record_columns(&records.schema()))?;
    let mut questions = Vec::with_capacity(doubts.len());
    for (row, Doubtful { question, key, reason, sent }) in doubts.into_iter().enumerate() {
        let reject = Reject::new(IN_DOUBT_CODE, reason).help(SETTLE_HELP);
        let (record, sent) = (record(records, row), Some(sent));
        questions.push((question, NewReject { place: 0, again: None, key, reject, record, sent }));
    }
    while !questions.is_empty() {
        let rest = questions.split_off(questions.len().min(KEPT_AT_ONCE));
        cx.environment.desk.ask(&filing, std::mem::replace(&mut questions, rest)).await?;
    }
    Ok(())
}

/// Closes questions on the desk, each with its answer in words.
///
/// # Errors
/// If the desk cannot be written.
pub async fn answered(cx: &Cx, answers: &[(MemoryId, String)]) -> Result<(), Failure> {
    cx.environment.desk.answer(answers, cx.clock().now()).await
}

fn filing(cx: &Cx, sendable: bool) -> Filing {
    Filing {
        run: cx.journal.id.clone(),
        task: cx.task,
        activity: cx.activity.clone(),
        sendable,
        shape: Vec::new(),
        at: cx.clock().now(),
    }
}

fn population(cx: &Cx, port: &str) -> Population {
    let segments: Vec<Segment> = cx.sealed.get(port).cloned().unwrap_or_default();
    Population::new(&cx.journal_folder(), segments)
}

/// Whether this task is one that rejects are sent to again: of the activity that the run began at, also where a loop of the
/// workflow brings them back to it. What another activity refuses of them is a reject of its own.
fn sends_again(cx: &Cx) -> bool {
    cx.journal.run().entry.as_ref().is_some_and(|entry| entry.activity == cx.activity)
}

fn kept_max(cx: &Cx) -> usize {
    cx.limits().rejects_kept.max(1)
}

/// The rejects among these records that were sent again.
async fn numbers(population: &Population) -> Result<HashSet<RejectId>, Failure> {
    let mut numbers = HashSet::new();
    let mut batches = population.read();
    while let Some(batch) = batches.next().await {
        numbers.extend(sent_numbers(&batch?).into_iter().flatten());
    }
    Ok(numbers)
}

/// Which reject each record is, where it is one that was sent again.
fn sent_numbers(batch: &RecordBatch) -> Vec<Option<RejectId>> {
    let places = batch.column_by_name(SEQ).and_then(|places| places.as_primitive_opt::<Int64Type>());
    let number = |row: usize| places.and_then(|places| places.value(row).checked_sub(SENT_AGAIN)).filter(|id| *id > 0);
    (0..batch.num_rows()).map(number).collect()
}

/// What a task refused.
#[derive(Default)]
struct Refused {
    rows: u64,
    /// Rejects that were sent again.
    again: HashSet<RejectId>,
    /// Whether there are more of which it is not known which of those that were sent again they are.
    untold: bool,
}

async fn keep(
    cx: &Cx,
    activity: &dyn Activity,
    named_by: &[Source],
    filing: &mut Filing,
    rejects: &Population,
    at_end: bool,
) -> Result<Refused, Failure> {
    let (kept_max, sends_again) = (kept_max(cx), sends_again(cx));
    let mut refused = Refused::default();
    // At the end each is looked at once more, for what becomes of those that were sent again.
    let mut segment = 0;
    while let Some(sealed) = rejects.segments().get(segment).filter(|_| !at_end)
        && refused.rows + sealed.rows <= cx.filed
    {
        refused.rows += sealed.rows;
        segment += 1;
    }
    let mut batches = rejects.read_from(segment);
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        if filing.shape.is_empty() {
            filing.shape = to_shape(&record_columns(&batch.schema()))?;
        }
        let keys = Keys::new(cx, named_by, &batch.schema()).await.of(&batch);
        let mut numbers = sent_numbers(&batch);
        if !sends_again {
            numbers.fill(None);
        }
        let is_filed = refused.rows + batch.num_rows() as u64 <= cx.filed;
        // A reject is a reject, also where it cannot be told what was sent of it.
        let sent = if is_filed { Vec::new() } else { activity.sent(cx, &batch).await.unwrap_or_default() };
        let mut sent = sent.into_iter();
        let mut new = Vec::new();
        for (row, (again, key)) in numbers.into_iter().zip(keys).enumerate() {
            refused.again.extend(again);
            refused.untold |= again.is_none();
            let place = refused.rows + row as u64;
            let (reject, record, sent) = (reason(&batch, row), record(&batch, row), sent.next());
            if place < cx.filed {
                continue;
            }
            new.push(NewReject { place, again, key, reject, record, sent });
        }
        refused.rows += batch.num_rows() as u64;
        while !new.is_empty() {
            let rest = new.split_off(new.len().min(KEPT_AT_ONCE));
            cx.environment.desk.keep(filing, std::mem::replace(&mut new, rest)).await?;
        }
        if refused.rows >= kept_max as u64 && !at_end {
            break;
        }
        if refused.rows >= kept_max as u64 && refused.rows < rejects.rows() {
            let message = format!(
                "{} rejects are more than the desk keeps (limit rejectsKept = {kept_max}); the rest is only on the port",
                rejects.rows()
            );
            cx.log(Level::Warning, message).await?;
            refused.untold = true;
            break;
        }
    }
    Ok(refused)
}

/// The expressions that name a record, over the columns of a population.
struct Keys(Option<(Vec<Bound>, Values)>);

impl Keys {
    /// Where they cannot be read over these columns, records have no key.
    async fn new(cx: &Cx, named_by: &[Source], columns: &Schema) -> Self {
        let bounds: Option<Vec<Bound>> = named_by.iter().map(|source| cx.bind(source, columns).ok()).collect();
        let Some(bounds) = bounds.filter(|bounds| !bounds.is_empty()) else { return Self(None) };
        let values = cx.values(&bounds).await.ok();
        Self(values.map(|values| (bounds, values)))
    }

    fn of(&self, batch: &RecordBatch) -> Vec<Option<String>> {
        let none = || vec![None; batch.num_rows()];
        let Some((bounds, values)) = &self.0 else { return none() };
        // A record for which it cannot be computed has no key; the others have.
        let column = |bound: &Bound| bound.eval_each(batch, values).ok().map(|(column, _)| column);
        let columns: Option<Vec<ArrayRef>> = bounds.iter().map(column).collect();
        let Some(columns) = columns else { return none() };
        (0..batch.num_rows()).map(|row| key(&columns, row)).collect()
    }
}

/// One value as its text, several as a JSON list; none where one is empty.
fn key(columns: &[ArrayRef], row: usize) -> Option<String> {
    let part = |column: &ArrayRef| Some(Value::at(column.as_ref(), row).to_string()).filter(|text| !text.is_empty());
    let parts: Option<Vec<String>> = columns.iter().map(part).collect();
    match parts?.as_slice() {
        [one] => Some(one.clone()),
        several => serde_json::to_string(several).ok(),
    }
}

/// Which of these keys left by another port than those of what did not pass.
async fn passed_keys(cx: &Cx, named_by: &[Source], keys: &HashSet<String>) -> Result<Vec<String>, Failure> {
    let mut passed = HashSet::new();
    let ports = cx.sealed.keys().filter(|port| ![REJECT, IN_DOUBT, "error", "exhausted"].contains(&port.as_str()));
    for port in ports {
        let mut batches = population(cx, port).read();
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            let found = Keys::new(cx, named_by, &batch.schema()).await.of(&batch);
            passed.extend(found.into_iter().flatten().filter(|key| keys.contains(key)));
        }
    }
    Ok(passed.into_iter().collect())
}

impl Engine {
    /// Starts a run that sends rejects again: the file that the run began with that refused them last, at the activity
    /// that refused them. All are of one workflow, activity and shape, and can be sent. What an operator allowed that run is
    /// not allowed this one.
    ///
    /// # Errors
    /// Where their records do not fit their columns any more; else as [`Engine::enter`].
    pub async fn resend(self: &Arc<Self>, rejects: &[KeptReject]) -> Result<(RunId, Driven), NotStarted> {
        let Some(last) = rejects.last() else { return Err(Failure::internal("there is nothing to send").into()) };
        let (_, run) = self.load(&last.run).await?;
        let mut vars = run.instance_vars.clone();
        vars.extend(run.task(last.task).map(|task| task.vars_in.clone()).unwrap_or_default());
        allow::take_back(&mut vars);
        let columns = self.columns(last).await?;
        let entering = Entering {
            activity: last.activity.clone(),
            records: vec![to_batch(&columns, rejects)?],
            rejects: rejects.iter().map(|reject| reject.id).collect(),
        };
        self.enter(&last.run, vars, entering).await
    }

    /// Corrects a reject: the record as it would be sent now.
    ///
    /// # Errors
    /// Where there is no such column, or a value is not of its type.
    pub async fn correct(&self, reject: &KeptReject, values: &Map<String, Json>) -> Result<KeptReject, Failure> {
        let columns = self.columns(reject).await?;
        let mut corrected = reject.clone();
        for (name, value) in values {
            let Some((_, field)) = columns.column_with_name(name) else {
                let names: Vec<&str> = columns.fields().iter().map(|field| field.name().as_str()).collect();
                let failure = Failure::new(Class::Config, format!("the record has no column \"{name}\""));
                return Err(match crate::problem::suggestion(name, names) {
                    Some(help) => failure.help(help),
                    None => failure,
                });
            };
            to_column(field, &[value])?;
            corrected.record.insert(name.clone(), value.clone());
        }
        corrected.corrected = true;
        self.environment.desk.correct(reject.id, corrected.record.clone()).await?;
        Ok(corrected)
    }

    async fn columns(&self, reject: &KeptReject) -> Result<SchemaRef, Failure> {
        let shape = self.environment.desk.shape(&reject.shape).await?;
        of_shape(&shape.ok_or_else(|| Failure::internal(format!("the columns of reject {} are gone", reject.id)))?)
    }
}

/// Rejects as they can go out.
#[derive(Debug, Default)]
pub struct Together {
    /// Of one workflow, activity, shape, file and shared scripts each, in the order of their numbers.
    pub groups: Vec<Vec<KeptReject>>,
    /// Runs of which it cannot be read what they began with, and why: what they refused stays.
    pub unreadable: Vec<(RunId, Failure)>,
}

/// Puts rejects together that can go out together.
pub async fn together(engine: &Engine, rejects: Vec<KeptReject>) -> Together {
    let mut together = Together::default();
    let mut groups: BTreeMap<_, Vec<KeptReject>> = BTreeMap::new();
    let mut files: BTreeMap<RunId, Option<(String, Option<String>)>> = BTreeMap::new();
    for reject in rejects {
        if !files.contains_key(&reject.run) {
            let read = match engine.load(&reject.run).await {
                Ok((_, run)) => Some((run.file, run.scripts)),
                Err(failure) => {
                    together.unreadable.push((reject.run.clone(), failure));
                    None
                }
            };
            files.insert(reject.run.clone(), read);
        }
        let Some(file) = files.get(&reject.run).cloned().flatten() else { continue };
        let group = (reject.workflow.clone(), reject.activity.clone(), reject.shape.clone(), file);
        groups.entry(group).or_default().push(reject);
    }
    together.groups = groups.into_values().collect();
    for group in &mut together.groups {
        group.sort_by_key(|reject| reject.id);
    }
    together
}
