//! What becomes of each page: filter, what was already imported, conversions, and the place to go on from.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{and, filter_record_batch, not};
use arrow::datatypes::TimestampMicrosecondType;
use engine::context::Cx;
use engine::expr::Values;
use engine::failure::Failure;
use engine::outside::crm::{Crm, Misfit, Page, Read};
use engine::reject::Reject;
use futures::StreamExt;
use jiff::Timestamp;

use super::{Plan, Position, open_tail, seen_before, warn_of_rest};
use crate::automatic_index::{Seen, Tail};
use crate::rejects::{self, Kinds};

/// Reads all pages from a position on.
pub(super) async fn import(
    cx: &mut Cx,
    crm: &dyn Crm,
    read: Arc<Read>,
    plan: &Plan,
    mut position: Position,
) -> Result<(), Failure> {
    let values = cx.values(&plan.filter).await?;
    let seen = match &position.window {
        Some(window) => seen_before(cx, window).await?,
        None => Seen::default(),
    };
    let mut tail = open_tail(cx, &position)?;
    let id = plan.read.iter().position(|field| field.field.name == read.object.id);
    let mut pages = crm.read(Arc::clone(&read), position.next.clone());
    while !position.done {
        let Some(page) = pages.next().await.transpose()? else { break };
        let next = page.next.clone();
        let sieve = Sieve { plan, values: &values, seen: &seen, position: &position, id };
        let came = (page.records.num_rows() + page.rejects.len()) as u64;
        cx.tally().added += came;
        sieve.take(cx, &page, tail.as_mut()).await?;
        reject(cx, plan, &page.rejects, &mut position.rejects).await?;
        position.read += came;
        position.done = next.is_none();
        position.next = next;
        if let Some(tail) = &mut tail {
            position.seen = tail.sync()?;
        }
        cx.progress(position.read, None);
        cx.checkpoint(&position).await?;
    }
    if let Some(tail) = tail {
        warn_of_rest(cx, &tail).await?;
        cx.tally().seen = Some(tail.finish()?);
    }
    position.rejects.warn(cx).await
}

/// Lets through what the import is to bring.
struct Sieve<'a> {
    plan: &'a Plan,
    values: &'a Values,
    seen: &'a Seen,
    position: &'a Position,
    id: Option<usize>,
}

impl Sieve<'_> {
    async fn take(&self, cx: &mut Cx, page: &Page, tail: Option<&mut Tail>) -> Result<(), Failure> {
        let records = &page.records;
        let mut keep: Option<BooleanArray> = None;
        if let Some(filter) = &self.plan.filter {
            let matches = filter.matches(records, self.values)?;
            cx.dropped("filter", (matches.len() - matches.true_count()) as u64);
            keep = Some(matches);
        }
        if let Some(new) = self.new_ones(page, tail)? {
            let kept = keep.unwrap_or_else(|| BooleanArray::from(vec![true; records.num_rows()]));
            let old = and(&kept, &not(&new).map_err(wrong)?).map_err(wrong)?;
            cx.dropped("alreadyImported", old.true_count() as u64);
            keep = Some(and(&kept, &new).map_err(wrong)?);
        }
        let kept = match keep {
            Some(keep) if keep.true_count() < records.num_rows() => {
                filter_record_batch(records, &keep).map_err(wrong)?
            }
            _ => records.clone(),
        };
        let out = convert(self.plan, &kept, &cx.time_zone)?;
        cx.write("ok", out).await;
        Ok(())
    }

    /// Which records were not imported already, where any may have been; and writes down what the next import must know.
    fn new_ones(&self, page: &Page, mut tail: Option<&mut Tail>) -> Result<Option<BooleanArray>, Failure> {
        let (Some(window), Some(versions), Some(id)) = (&self.position.window, &page.versions, self.id) else {
            return Ok(None);
        };
        let Some(field) = &self.plan.index_field else { return Ok(None) };
        let Some(times) = page.records.column_by_name(field) else { return Ok(None) };
        let times = times.as_primitive::<TimestampMicrosecondType>();
        let ids = page.records.column(id).as_string::<i32>();
        let (start, tail_from) = (window.start.map(Timestamp::as_microsecond), window.tail().as_microsecond());
        let mut new = Vec::with_capacity(times.len());
        for row in 0..times.len() {
            let time = if times.is_null(row) { i64::MIN } else { times.value(row) };
            let may_be_old = start.is_some_and(|start| time < start);
            new.push(!(may_be_old && self.seen.has(ids.value(row), versions.value(row))));
            if time >= tail_from
                && let Some(tail) = &mut tail
            {
                tail.add(ids.value(row), versions.value(row))?;
            }
        }
        Ok(Some(BooleanArray::from(new)))
    }
}

/// The columns that come out, of those that were read.
fn convert(plan: &Plan, records: &RecordBatch, zone: &jiff::tz::TimeZone) -> Result<RecordBatch, Failure> {
    let columns = plan.conversions.iter().zip(records.columns());
    let columns: Result<Vec<ArrayRef>, Failure> =
        columns.map(|(conversion, values)| conversion.apply(values, zone)).collect();
    RecordBatch::try_new(Arc::clone(&plan.out), columns?).map_err(wrong)
}

async fn reject(cx: &mut Cx, plan: &Plan, misfits: &[Misfit], kinds: &mut Kinds) -> Result<(), Failure> {
    for misfit in misfits {
        let record = convert(plan, &misfit.record, &cx.time_zone)?;
        let reject = Reject::new("VALUE_TYPE", &misfit.message)
            .field(&misfit.field)
            .help("correct the value in the CRM, or import the field with the conversion \"copy\"");
        kinds.count(&reject);
        let batch = rejects::batch(&record, &[reject])?;
        cx.write("reject", batch).await;
    }
    Ok(())
}

fn wrong(error: arrow::error::ArrowError) -> Failure {
    Failure::internal(error.to_string())
}
