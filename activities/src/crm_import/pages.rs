//! What becomes of each page: filter, what was already imported, conversions.

use std::collections::HashSet;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, new_null_array};
use arrow::compute::{and, concat_batches, filter, filter_record_batch, not};
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use engine::context::Cx;
use engine::expr::Values;
use engine::failure::Failure;
use engine::outside::crm::{Misfit, Object, Page, Read};
use engine::reject::Reject;

use super::own::Own;
use super::plan::Plan;
use crate::automatic_index::{Opened, Seen, Tail, hash};
use crate::crm_import_deleted::deleted_batch;
use crate::rejects::{self, Kinds};
use crate::rows::wrong;

/// Lets through what the import is to bring.
pub(super) struct Sieve<'a> {
    plan: &'a Plan,
    object: &'a Object,
    values: &'a Values,
    seen: &'a Seen,
    /// The window, where records are known by date.
    window: Option<(&'a Opened, &'a str)>,
    /// What the workflow's own exports wrote, where it brings that back.
    pub(super) own: Option<&'a Own>,
    /// Whether versions go with the records.
    pub(super) has_versions: bool,
    /// Ids of records that this import has delivered already, where a part of it is begun anew.
    pub(super) delivered: HashSet<u128>,
}

impl<'a> Sieve<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        read: &'a Read,
        values: &'a Values,
        seen: &'a Seen,
        window: Option<&'a Opened>,
    ) -> Self {
        let window = window.zip(read.window.as_ref().map(|window| window.field.as_str()));
        let (own, has_versions, delivered) = (None, true, HashSet::new());
        Self { plan, object: &read.object, values, seen, window, own, has_versions, delivered }
    }

    /// Puts a page on the ports, and tells how many records came.
    pub(super) async fn take(
        &self,
        cx: &mut Cx,
        page: &Page,
        mut tail: Option<&mut Tail>,
        kinds: &mut Kinds,
    ) -> Result<u64, Failure> {
        let came = (page.records.num_rows() + page.rejects.len() + page.deleted.len()) as u64;
        cx.tally().added += came;
        self.take_records(cx, page, tail.as_deref_mut()).await?;
        self.take_misfits(cx, &page.rejects, tail, kinds).await?;
        if !page.deleted.is_empty() {
            let deleted = page.deleted.iter().map(|deleted| (deleted.id.as_str(), deleted.at));
            let batch = deleted_batch(self.object, &cx.time_zone, deleted)?;
            cx.write("deleted", batch).await;
        }
        Ok(came)
    }

    async fn take_records(&self, cx: &mut Cx, page: &Page, tail: Option<&mut Tail>) -> Result<(), Failure> {
        let records = &page.records;
        let mut keep: Option<BooleanArray> = None;
        if let Some(filter) = &self.plan.filter {
            let matches = filter.matches(records, self.values)?;
            cx.dropped("filter", (matches.len() - matches.true_count()) as u64);
            keep = Some(matches);
        }
        for (rule, new) in [("alreadyImported", self.new_ones(page, tail)?), ("readAgain", self.undelivered(records))] {
            let Some(new) = new else { continue };
            let kept = keep.unwrap_or_else(|| BooleanArray::from(vec![true; records.num_rows()]));
            let old = and(&kept, &not(&new).map_err(wrong)?).map_err(wrong)?;
            cx.dropped(rule, old.true_count() as u64);
            keep = Some(and(&kept, &new).map_err(wrong)?);
        }
        if let Some(own) = self.own {
            keep = own.tell(cx, page, self.plan.id, keep)?;
        }
        let versions = page.versions.as_ref().map(|versions| &versions.order as &dyn Array);
        let (kept, versions) = match keep {
            Some(keep) if keep.true_count() < records.num_rows() => {
                let versions = versions.map(|versions| filter(versions, &keep)).transpose().map_err(wrong)?;
                (filter_record_batch(records, &keep).map_err(wrong)?, versions)
            }
            _ => (records.clone(), versions.map(|versions| versions.slice(0, versions.len()))),
        };
        let mut out = self.plan.convert(&kept, &cx.time_zone)?;
        if self.has_versions {
            let versions = versions.unwrap_or_else(|| new_null_array(&DataType::Int64, kept.num_rows()));
            let columns = out.columns().iter().cloned().chain([versions]).collect();
            out = RecordBatch::try_new(self.plan.columns(true), columns).map_err(wrong)?;
        }
        cx.write("ok", out).await;
        Ok(())
    }

    /// Which records were not imported already, where any may have been; and writes down what the next import must know.
    fn new_ones(&self, page: &Page, mut tail: Option<&mut Tail>) -> Result<Option<BooleanArray>, Failure> {
        let Some((window, field)) = self.window else { return Ok(None) };
        let Some(times) = instants(&page.records, field) else { return Ok(None) };
        let ids = page.records.column(self.plan.id).as_string::<i32>();
        let mut new = Vec::with_capacity(times.len());
        for (row, time) in times.into_iter().enumerate() {
            // Where the CRM numbers no versions, the time of the last change is one.
            let version = match &page.versions {
                Some(versions) => versions.exact.value(row).to_owned(),
                None => time.map(|time| time.to_string()).unwrap_or_default(),
            };
            new.push(self.is_new(window, ids.value(row), &version, time, tail.as_deref_mut())?);
        }
        Ok(Some(BooleanArray::from(new)))
    }

    fn is_new(
        &self,
        window: &Opened,
        id: &str,
        version: &str,
        time: Option<i64>,
        tail: Option<&mut Tail>,
    ) -> Result<bool, Failure> {
        let may_be_old = window.start.is_some_and(|start| time.is_none_or(|time| time < start.as_microsecond()));
        if let Some(tail) = tail
            && time.is_none_or(|time| time >= window.tail().as_microsecond())
        {
            tail.add(id, version)?;
        }
        Ok(!(may_be_old && self.seen.has(id, version)))
    }

    fn undelivered(&self, records: &RecordBatch) -> Option<BooleanArray> {
        if self.delivered.is_empty() {
            return None;
        }
        let ids = records.column(self.plan.id).as_string::<i32>();
        Some(ids.iter().map(|id| id.map(|id| !self.delivered.contains(&hash(id, "")))).collect())
    }

    async fn take_misfits(
        &self,
        cx: &mut Cx,
        misfits: &[Misfit],
        mut tail: Option<&mut Tail>,
        kinds: &mut Kinds,
    ) -> Result<(), Failure> {
        let (mut records, mut reasons) = (Vec::new(), Vec::new());
        for misfit in misfits {
            let ids = misfit.record.column(self.plan.id).as_string::<i32>();
            let id = if ids.is_valid(0) { ids.value(0) } else { "" };
            if let Some((window, field)) = self.window {
                let time = instants(&misfit.record, field).and_then(|times| times.first().copied().flatten());
                if !self.is_new(window, id, &content(misfit)?, time, tail.as_deref_mut())? {
                    cx.dropped("alreadyImported", 1);
                    continue;
                }
            }
            if self.delivered.contains(&hash(id, "")) {
                cx.dropped("readAgain", 1);
                continue;
            }
            let reject = Reject::new("VALUE_TYPE", &misfit.message)
                .field(&misfit.field)
                .help("correct the value in the CRM, or import the field with the conversion \"copy\"");
            kinds.count(&reject);
            records.push(&misfit.record);
            reasons.push(reject);
        }
        if let Some(first) = records.first() {
            let records = concat_batches(&first.schema(), records).map_err(wrong)?;
            let records = self.plan.convert(&records, &cx.time_zone)?;
            cx.write("reject", rejects::batch(&records, &reasons)?).await;
        }
        Ok(())
    }
}

fn instants(records: &RecordBatch, field: &str) -> Option<Vec<Option<i64>>> {
    let column: &ArrayRef = records.column_by_name(field)?;
    match column.data_type() {
        DataType::Timestamp(..) => Some(column.as_primitive::<TimestampMicrosecondType>().iter().collect()),
        _ => None,
    }
}

/// What stands for the version of a record that does not fit: all that is known of it.
fn content(misfit: &Misfit) -> Result<String, Failure> {
    let options = FormatOptions::default().with_null("\0");
    let mut text = format!("{}\0{}", misfit.field, misfit.message);
    for column in misfit.record.columns() {
        let shown = ArrayFormatter::try_new(column, &options).map_err(wrong)?;
        text.push('\0');
        text.push_str(&shown.value(0).to_string());
    }
    Ok(text)
}
