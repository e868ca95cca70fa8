//! How far a reading in the order of time has come, so that it can be begun anew where the CRM has lost the place.

use std::collections::HashSet;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::TimestampMicrosecondType;
use engine::failure::Failure;
use engine::outside::crm::{Misfit, Read};
use jiff::Timestamp;

use super::query::{Mark, Sighted};
use crate::records::Part;

/// How often a reading is begun anew without getting any further.
const RESTARTS_MAX: u32 = 3;
/// The most ids that are remembered of one time; where more records share it, the place cannot be found again.
const IDS_MAX: usize = 100_000;

/// What was delivered before a reading was begun anew, as far as it may come again.
#[derive(Debug)]
struct Delivered {
    at: Timestamp,
    /// Of records of that time.
    ids: HashSet<String>,
    misfits: HashSet<Sighted>,
}

/// How far a reading has come.
#[derive(Debug)]
pub(super) struct Progress {
    /// Columns of id and time; none where the order is another one.
    columns: Option<(usize, usize)>,
    mark: Option<Mark>,
    delivered: Option<Delivered>,
    restarts: u32,
}

impl Progress {
    pub(super) fn new(read: &Read, mark: Option<Mark>) -> Self {
        let place = |name: &str| read.fields.iter().position(|field| field.field.name == name && !field.raw);
        let columns = match &read.window {
            Some(window) if read.order.is_empty() && read.feed.is_none() => {
                place(&read.object.id).zip(place(&window.field))
            }
            _ => None,
        };
        Self { columns, mark: mark.filter(|_| columns.is_some()), delivered: None, restarts: 0 }
    }

    pub(super) fn mark(&self) -> Option<&Mark> {
        self.mark.as_ref()
    }

    /// The time from which to read anew; none where it is not known. What was delivered of that time is left out then.
    pub(super) fn restart(&mut self) -> Option<Timestamp> {
        let mark = self.mark.as_ref().filter(|_| self.restarts < RESTARTS_MAX)?;
        self.restarts += 1;
        let (ids, misfits) = (mark.ids.iter().cloned().collect(), mark.misfits.iter().cloned().collect());
        self.delivered = Some(Delivered { at: mark.at, ids, misfits });
        Some(mark.at)
    }

    /// Takes note of a part, and leaves out what was delivered before.
    pub(super) fn take(&mut self, mut part: Part) -> Result<Part, Failure> {
        let Some(columns) = self.columns else { return Ok(part) };
        if let Some(Delivered { misfits, .. }) = &self.delivered {
            part.misfits.retain(|misfit| sighted(misfit, columns).is_none_or(|version| !misfits.contains(&version)));
        }
        if let Some(Delivered { at, ids, .. }) = &self.delivered
            && let Some((found, times)) = arrays(&part.records, columns)
        {
            let is_new = |row: usize| times.value(row) != at.as_microsecond() || !ids.contains(found.value(row));
            let keep: BooleanArray = (0..part.records.num_rows()).map(|row| Some(is_new(row))).collect();
            let internal = |error: arrow::error::ArrowError| Failure::internal(error.to_string());
            part.records = filter_record_batch(&part.records, &keep).map_err(internal)?;
            if let Some(versions) = part.versions.take() {
                part.versions = Some(versions.filter(&keep).map_err(internal)?);
            }
        }
        self.note(&part.records, columns);
        self.note_misfits(&part.misfits, columns);
        Ok(part)
    }

    /// In the order of time, those before the mark do not come again.
    fn note_misfits(&mut self, misfits: &[Misfit], columns: (usize, usize)) {
        let Some(mark) = &mut self.mark else { return };
        mark.misfits.extend(misfits.iter().filter_map(|misfit| sighted(misfit, columns)));
        let at = mark.at;
        mark.misfits.retain(|(time, _)| time.is_none_or(|time| time >= at));
        if mark.ids.len() + mark.misfits.len() > IDS_MAX {
            self.mark = None;
            self.columns = None;
        }
    }

    fn note(&mut self, records: &RecordBatch, columns: (usize, usize)) {
        let rows = records.num_rows();
        if rows == 0 {
            return;
        }
        let Some((ids, times)) = arrays(records, columns) else {
            self.mark = None;
            return;
        };
        let last = times.value(rows - 1);
        let Ok(at) = Timestamp::from_microsecond(last) else { return };
        let first = (0..rows).rev().take_while(|row| times.value(*row) == last).last().unwrap_or(0);
        let same = (first..rows).map(|row| ids.value(row).to_owned());
        match self.mark.as_mut().filter(|mark| mark.at == at) {
            Some(mark) => mark.ids.extend(same),
            None => {
                let misfits = self.mark.take().map(|mark| mark.misfits).unwrap_or_default();
                self.mark = Some(Mark { at, ids: same.collect(), misfits });
                self.restarts = 0;
            }
        }
    }
}

/// Which version of a record did not fit, where its id does.
fn sighted(misfit: &Misfit, (id, time): (usize, usize)) -> Option<Sighted> {
    let ids = misfit.record.column(id).as_string_opt::<i32>().filter(|ids| ids.is_valid(0))?;
    let times = misfit.record.column(time).as_primitive_opt::<TimestampMicrosecondType>();
    let time =
        times.filter(|times| times.is_valid(0)).and_then(|times| Timestamp::from_microsecond(times.value(0)).ok());
    Some((time, ids.value(0).to_owned()))
}

/// Ids and times, where no record lacks them.
fn arrays(records: &RecordBatch, (id, time): (usize, usize)) -> Option<(&StringArray, &TimestampMicrosecondArray)> {
    let ids = records.column(id).as_string_opt::<i32>().filter(|ids| ids.null_count() == 0)?;
    let times = records.column(time).as_primitive_opt::<TimestampMicrosecondType>()?;
    (times.null_count() == 0).then_some((ids, times))
}
