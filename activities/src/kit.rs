//! The record kit. An activity that looks at one batch of records at a time implements [`Records`]; the kit does the rest.
//!
//! ```text
//!   files ─▶ `all`: one fate for the whole file? ── yes ─▶ passed on uncopied, or dropped unread
//!                 └── no ─▶ `batch`, one after the other ─▶ ports, rejects, dropped ─▶ checkpoint
//! ```
//!
//! A task that continues after a crash or a failure begins after the last batch whose outcome is durable, with the values
//! of variables, options and time that it began with. Every port of the activity has a population when it ends.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, BooleanArray, RecordBatch};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use engine::activity::{Activity, Columns, Flow, Need, Port, Spec, When};
use engine::context::Cx;
use engine::event::Segment;
use engine::expr::{Bound, Failing, Source, Values};
use engine::failure::Failure;
use engine::flow::FlowCx;
use engine::population::Population;
use engine::reject::Reject;
use engine::types::Type;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::pinned::Pinned;
use crate::rejects::{self, Kinds};
use crate::rows::{self, Out};

/// The port of the records that an activity lets through.
pub(crate) const OK: &str = "ok";
/// The port of the others, in activities with `"complement": true`.
pub(crate) const COMPLEMENT: &str = "complement";
/// The port of records that are refused one by one.
pub(crate) const REJECT: &str = "reject";

/// [`COMPLEMENT`] as a port.
pub(crate) const fn complement() -> Port {
    Port::always(COMPLEMENT).only_with("/complement")
}

/// The specification of an activity of the kit; kind, ports and examples are added to it.
pub(crate) const fn spec<T: Records + DeserializeOwned + JsonSchema>() -> Spec {
    // Its own schema, where that of a transparent struct would only refer to it.
    Spec { schema: T::json_schema, ..Spec::of::<Each<T>>() }
}

/// An activity that decides about records one batch at a time.
#[async_trait]
pub(crate) trait Records: Send + Sync + 'static {
    /// What messages call it, such as "a filter".
    const NAMED: &'static str;
    /// What it works with while a task runs: bound expressions, or a choice that is made once.
    type Plan: Send + Sync;

    /// The expressions that its author wrote, each with its pointer below the activity and the type that it must have.
    fn expressions(&self) -> Vec<(String, &Source, Option<Type>)> {
        Vec::new()
    }

    /// The columns that leave each port: unless said otherwise, those that came in.
    fn flow(&self, input: &Columns, cx: &mut FlowCx<'_>) -> Flow {
        for (pointer, source, ty) in self.expressions() {
            cx.expression(&pointer, source, input, ty.as_ref());
        }
        let columns = |port: &Port| match input {
            Columns::Known(schema) if port.name == REJECT => Columns::Known(rejects::columns(schema)),
            other => other.clone(),
        };
        cx.ports.iter().map(|port| (port.name.to_string(), columns(port))).collect()
    }

    /// What must be known of the outside for [`flow`](Records::flow).
    fn needs(&self) -> Vec<Need> {
        Vec::new()
    }

    /// What it works with; called when a task begins and each time it continues.
    ///
    /// # Errors
    /// If it cannot begin.
    async fn plan(&self, begin: &mut Begin<'_>) -> Result<Self::Plan, Failure>;

    /// The columns that leave its ports, except those of rejects.
    fn columns(&self, _: &Self::Plan, input: &SchemaRef) -> SchemaRef {
        Arc::clone(input)
    }

    /// The fate of all records in these places, counted from 0 in the order of arrival, if it is the same and is known
    /// without reading them.
    fn all(&self, _: &Self::Plan, _: Range<u64>) -> Option<Fate> {
        None
    }

    /// Decides about the records of a batch.
    ///
    /// # Errors
    /// What concerns more than single records; those are rejects.
    async fn batch(&self, plan: &Self::Plan, batch: &Batch, out: &mut Routed) -> Result<(), Failure>;
}

/// What becomes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It leaves through this port.
    To(&'static str),
    /// It is dropped by this rule.
    Drop(&'static str),
}

impl Fate {
    /// The fate of a record that an activity does not let through.
    pub(crate) fn outside(complement: bool, rule: &'static str) -> Self {
        if complement { Self::To(COMPLEMENT) } else { Self::Drop(rule) }
    }
}

/// Some records.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The records.
    pub(crate) records: RecordBatch,
    /// The place of the first one in the population, from 0.
    pub(crate) first: u64,
}

/// What a task has when it begins or continues.
pub(crate) struct Begin<'a> {
    pub(crate) cx: &'a Cx,
    /// What came in.
    pub(crate) population: &'a Population,
    /// Its columns.
    pub(crate) columns: &'a SchemaRef,
    /// A text that the plan wants to have again when the task continues; sealed before the first record.
    pub(crate) kept: Option<String>,
    pinned: Option<Pinned>,
}

impl Begin<'_> {
    /// Reads an expression over the columns that came in.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub(crate) fn bind(&self, source: &Source) -> Result<Bound, Failure> {
        self.cx.bind(source, self.columns)
    }

    /// What these expressions read in addition to the record, as it was when the task began.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(crate) async fn values(&mut self, bounds: &[&Bound]) -> Result<Values, Failure> {
        let (values, pinned) = Pinned::values(self.cx, bounds, self.pinned.as_ref()).await?;
        self.pinned = Some(pinned);
        Ok(values)
    }

    /// A condition, ready to be evaluated.
    ///
    /// # Errors
    /// As [`bind`](Begin::bind) and [`values`](Begin::values).
    pub(crate) async fn condition(&mut self, source: &Source) -> Result<Condition, Failure> {
        let bound = self.bind(source)?;
        let values = self.values(&[&bound]).await?;
        Ok(Condition { bound, values })
    }
}

/// An expression that is true or false for each record.
pub(crate) struct Condition {
    bound: Bound,
    values: Values,
}

impl Condition {
    /// For which records it is true, and those for which it fails.
    ///
    /// # Errors
    /// If it fails for another reason than a record.
    pub(crate) fn matches(&self, batch: &Batch) -> Result<(BooleanArray, Vec<Failing>), Failure> {
        let (array, failing) = rows::eval(&self.bound, &batch.records, &self.values)?;
        let truth = array.as_any().downcast_ref::<BooleanArray>().cloned();
        // An expression whose value is always null has no type of its own.
        Ok((truth.unwrap_or_else(|| BooleanArray::new_null(batch.records.num_rows())), failing))
    }
}

/// What became of a batch.
#[derive(Debug, Default)]
pub(crate) struct Routed {
    written: Vec<(&'static str, RecordBatch)>,
    dropped: Vec<(&'static str, u64)>,
    refused: Vec<Reject>,
}

impl Routed {
    /// Puts records on a port.
    pub(crate) fn write(&mut self, port: &'static str, records: RecordBatch) {
        self.written.push((port, records));
    }

    /// Counts records that are dropped by a rule.
    pub(crate) fn dropped(&mut self, rule: &'static str, records: u64) {
        self.dropped.push((rule, records));
    }

    /// Puts the records that have a reason on the port of rejects, and says which these are.
    ///
    /// # Errors
    /// Only by a fault of ours.
    pub(crate) fn refuse(&mut self, records: &RecordBatch, reasons: Vec<Option<Reject>>) -> Result<Vec<bool>, Failure> {
        let refused: Vec<bool> = reasons.iter().map(Option::is_some).collect();
        let reasons: Vec<Reject> = reasons.into_iter().flatten().collect();
        if !reasons.is_empty() {
            self.write(REJECT, rejects::batch(&rows::filter(records, &refused)?, &reasons)?);
            self.refused.extend(reasons);
        }
        Ok(refused)
    }

    /// Sends each record where `fate` says; `None` leaves out records that are refused.
    ///
    /// # Errors
    /// Only by a fault of ours.
    pub(crate) fn route(&mut self, records: &RecordBatch, fate: impl Fn(usize) -> Option<Fate>) -> Result<(), Failure> {
        let fates: Vec<Option<Fate>> = (0..records.num_rows()).map(fate).collect();
        let mut distinct: Vec<Fate> = Vec::new();
        for fate in fates.iter().flatten() {
            if !distinct.contains(fate) {
                distinct.push(*fate);
            }
        }
        for one in distinct {
            let mask: Vec<bool> = fates.iter().map(|fate| *fate == Some(one)).collect();
            match one {
                Fate::To(port) => self.write(port, rows::filter(records, &mask)?),
                Fate::Drop(rule) => self.dropped(rule, mask.iter().filter(|is| **is).count() as u64),
            }
        }
        Ok(())
    }
}

/// Where a task continues.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Position {
    /// The file of the population.
    segment: usize,
    /// Its records that are done.
    rows: u64,
    /// Records of all files that are done. Earlier versions of `dedupe` called it `place`.
    #[serde(alias = "place")]
    done: u64,
    rejects: Kinds,
    #[serde(skip_serializing_if = "Option::is_none")]
    pinned: Option<Pinned>,
    /// What the plan keeps. Earlier versions of `dedupe` called it `chosen`.
    #[serde(alias = "chosen", skip_serializing_if = "Option::is_none")]
    kept: Option<String>,
}

/// The activity that the kit makes of [`Records`].
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(transparent)]
struct Each<T>(T);

#[async_trait]
impl<T: Records> Activity for Each<T> {
    fn flow(&self, input: &Columns, cx: &mut FlowCx<'_>) -> Flow {
        let input = rows::require(T::NAMED, input, cx);
        self.0.flow(&input, cx)
    }

    async fn run(&self, cx: &mut Cx) -> Result<(), Failure> {
        let (population, columns) = rows::input(cx).await?;
        let position: Option<Position> = cx.position()?;
        let begins = position.is_none();
        let mut position = position.unwrap_or_default();
        let (kept, pinned) = (position.kept.take(), position.pinned.take());
        let mut begin = Begin { cx, population: &population, columns: &columns, kept, pinned };
        let plan = self.0.plan(&mut begin).await?;
        (position.kept, position.pinned) = (begin.kept, begin.pinned);
        if begins && position.kept.is_some() {
            cx.seal(&position).await?;
        }
        let mut walk = Walk { records: &self.0, plan: &plan, population: &population, position, out: Out::default() };
        walk.all_files(cx).await?;
        let out = self.0.columns(&plan, &columns);
        walk.open_ports(cx, &out, &rejects::columns(&columns)).await;
        walk.position.rejects.warn(cx).await
    }

    fn needs(&self) -> Vec<Need> {
        self.0.needs()
    }
}

/// The way of one task through a population.
struct Walk<'a, T: Records> {
    records: &'a T,
    plan: &'a T::Plan,
    population: &'a Population,
    position: Position,
    out: Out,
}

impl<T: Records> Walk<'_, T> {
    async fn all_files(&mut self, cx: &mut Cx) -> Result<(), Failure> {
        let population = self.population;
        for segment in &population.segments()[self.position.segment..] {
            let done = self.position.done;
            match self.records.all(self.plan, done..done + segment.rows) {
                Some(fate) if self.position.rows == 0 => self.whole(cx, segment, fate).await?,
                _ => self.batches(cx, segment).await?,
            }
            self.position.segment += 1;
            self.position.rows = 0;
            cx.progress(self.position.done, Some(population.rows()));
            cx.checkpoint(&self.position).await?;
        }
        Ok(())
    }

    async fn whole(&mut self, cx: &mut Cx, segment: &Segment, fate: Fate) -> Result<(), Failure> {
        match fate {
            Fate::To(port) => self.out.pass_on(cx, port, segment, &self.position).await?,
            Fate::Drop(rule) => cx.dropped(rule, segment.rows),
        }
        self.position.done += segment.rows;
        Ok(())
    }

    async fn batches(&mut self, cx: &mut Cx, segment: &Segment) -> Result<(), Failure> {
        let mut batches = rows::only(self.population, segment).read();
        let mut row = 0;
        while let Some(records) = batches.next().await {
            let records = records?;
            let first = row;
            row += records.num_rows() as u64;
            if first < self.position.rows {
                continue;
            }
            let batch = Batch { records, first: self.position.done };
            let mut routed = Routed::default();
            self.records.batch(self.plan, &batch, &mut routed).await?;
            for (rule, records) in routed.dropped {
                cx.dropped(rule, records);
            }
            routed.refused.iter().for_each(|reject| self.position.rejects.count(reject));
            for (port, records) in routed.written {
                self.out.write(cx, port, records).await;
            }
            self.position.rows = row;
            self.position.done += batch.records.num_rows() as u64;
            cx.progress(self.position.done, Some(self.population.rows()));
            cx.checkpoint(&self.position).await?;
        }
        Ok(())
    }

    async fn open_ports(&mut self, cx: &mut Cx, columns: &SchemaRef, of_rejects: &SchemaRef) {
        for port in cx.ports() {
            if let (Cow::Borrowed(name), When::Always) = (port.name, port.when) {
                let columns = if name == REJECT { of_rejects } else { columns };
                self.out.open(cx, name, columns).await;
            }
        }
    }
}
