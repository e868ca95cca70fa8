//! What activities that work on records have in common.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use engine::activity::Columns;
use engine::context::Cx;
use engine::event::Segment;
use engine::expr::{Bound, ExprError, Failing, Values};
use engine::failure::{Class, Failure};
use engine::flow::FlowCx;
use engine::population::{Population, read_segment};
use engine::reject::Reject;
use engine::types::is_hidden;
use serde::Serialize;

/// Files passed on before they are recorded; each takes up to 200 bytes of an event of 16 KiB.
const PASSED_ON_MAX: usize = 24;

/// The columns that come in; reports where no records lead into an activity that works on them.
pub(crate) fn require(kind: &str, input: &Columns, cx: &mut FlowCx<'_>) -> Columns {
    if *input == Columns::None {
        let help = "lead into it from an activity that brings records, such as an import".to_owned();
        let message = format!("{kind} works on records, but none come here");
        cx.problem("", "no-records", message, Some(help));
        // That is enough: which columns are missing follows from it.
        return Columns::Unknown;
    }
    input.clone()
}

/// The population that came in, with its columns.
pub(crate) async fn input(cx: &Cx) -> Result<(Population, SchemaRef), Failure> {
    let none = || {
        Failure::new(Class::Config, format!("no records lead into {}", cx.activity))
            .help("lead into it from an activity that brings records, such as an import")
    };
    let population = cx.input().cloned().ok_or_else(none)?;
    let first = population.segments().first().cloned().ok_or_else(none)?;
    let folder = population.run_folder().to_owned();
    let schema = tokio::task::spawn_blocking(move || read_segment(&folder, &first).map(|(schema, _)| schema))
        .await
        .map_err(|error| Failure::internal(error.to_string()))??;
    Ok((population, visible(&schema)))
}

/// The columns that authors see.
pub(crate) fn visible(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().filter(|field| !is_hidden(field)).cloned();
    Arc::new(Schema::new(fields.collect::<Vec<FieldRef>>()))
}

/// The columns that authors do not see, which stay with the records whatever becomes of the others.
pub(crate) fn hidden(records: &RecordBatch) -> impl Iterator<Item = (FieldRef, ArrayRef)> {
    let all = records.schema_ref().fields().iter().zip(records.columns());
    all.filter(|(field, _)| is_hidden(field)).map(|(field, values)| (Arc::clone(field), Arc::clone(values)))
}

/// One file of a population, as a population.
pub(crate) fn only(population: &Population, segment: &Segment) -> Population {
    Population::new(population.run_folder(), vec![segment.clone()])
}

/// Of these records, those that `keep` says.
pub(crate) fn filter(batch: &RecordBatch, keep: &[bool]) -> Result<RecordBatch, Failure> {
    if keep.iter().all(|keep| *keep) {
        return Ok(batch.clone());
    }
    filter_record_batch(batch, &BooleanArray::from(keep.to_vec())).map_err(wrong)
}

/// An error of Arrow that only a fault of ours can cause.
#[expect(clippy::needless_pass_by_value, reason = "it stands in map_err")]
pub(crate) fn wrong(error: arrow::error::ArrowError) -> Failure {
    Failure::internal(error.to_string())
}

/// An expression's value for each record, and the records for which it has none.
///
/// # Errors
/// If it fails for another reason than a record.
pub(crate) fn eval(bound: &Bound, batch: &RecordBatch, values: &Values) -> Result<(ArrayRef, Vec<Failing>), Failure> {
    bound.eval_each(batch, values).map_err(Failure::from)
}

/// The failure of an expression on a batch whose first record has this place in its population.
pub(crate) fn at(error: ExprError, place: u64) -> Failure {
    let place = usize::try_from(place).unwrap_or(usize::MAX);
    ExprError { row: error.row.map(|row| row.saturating_add(place)), ..error }.into()
}

/// The reject of a record for which a column cannot be computed.
pub(crate) fn failed(column: &str, error: ExprError) -> Reject {
    let reject = Reject::new("EXPRESSION", error.message).field(column);
    Reject { help: error.help.or(Some("correct the value, or the expression".to_owned())), ..reject }
}

/// Puts records and whole files on ports, in the order of arrival.
#[derive(Debug, Default)]
pub(crate) struct Out {
    /// Ports with records that are not in a sealed file yet; a file passed on must come after them.
    written: BTreeSet<&'static str>,
    passed_on: usize,
    /// Ports with anything at all.
    used: BTreeSet<&'static str>,
}

impl Out {
    /// Puts records on a port.
    pub(crate) async fn write(&mut self, cx: &mut Cx, port: &'static str, batch: RecordBatch) {
        if batch.num_rows() > 0 {
            self.used.insert(port);
            self.written.insert(port);
            cx.write(port, batch).await;
        }
    }

    /// Puts a file on a port, where `position` is the place to go on from without it.
    ///
    /// # Errors
    /// Where the disk or the store does not take what comes before it.
    pub(crate) async fn pass_on(
        &mut self,
        cx: &mut Cx,
        port: &'static str,
        segment: &Segment,
        position: &(impl Serialize + Sync),
    ) -> Result<(), Failure> {
        if self.written.contains(port) || self.passed_on >= PASSED_ON_MAX {
            cx.seal(position).await?;
            self.written.clear();
            self.passed_on = 0;
        }
        self.passed_on += 1;
        self.used.insert(port);
        cx.pass_on(port, std::slice::from_ref(segment));
        Ok(())
    }

    /// Makes sure that a port has a population, even where no record comes.
    pub(crate) async fn open(&mut self, cx: &mut Cx, port: &'static str, columns: &SchemaRef) {
        if self.used.insert(port) {
            cx.open(port, Arc::clone(columns)).await;
        }
    }
}
