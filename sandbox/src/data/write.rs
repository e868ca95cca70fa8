//! The writing side of records, and the way back.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    records::{Dates, Deleted, Describe, Record, Records, Row, bit_of},
    store::By,
    value::Value,
};
use crate::guid::Guid;

/// The values that a write gives, by field.
pub(crate) type Patch = BTreeMap<usize, Value<'static>>;

/// What a write leaves on a record besides its values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp {
    /// The time of creation, if it is given and not to stay.
    pub(crate) created_on: Option<i64>,
    /// The time of this change.
    pub(crate) modified_on: i64,
    /// The new row version.
    pub(crate) version: u64,
    /// Who makes it.
    pub(crate) by: By,
}

/// What a record was before a write, to take the write back.
#[derive(Debug)]
pub(crate) struct Before {
    row: RowBefore,
    is_touched: bool,
    buried: Option<u64>,
}

/// What a write did to the row of a record.
#[derive(Debug)]
enum RowBefore {
    /// There was none.
    Absent,
    /// It was taken away.
    Removed(Arc<Row>),
    /// It got other values; these are those before, in the order of the writes.
    Changed { stamp: Stamp, values: Vec<(usize, Option<Value<'static>>)> },
}

impl Records {
    /// Writes a record: a new one, or other values of one that exists. What the patch does not name stays.
    pub(super) fn put(
        &mut self,
        describe: &impl Describe,
        id: Guid,
        patch: Patch,
        stamp: Stamp,
        keep_before: bool,
    ) -> Before {
        let number = self.population.number_of(id);
        let is_touched = number.is_some_and(|number| self.is_touched(number));
        let old = self.take_row(describe, id);
        let is_new = old.is_none();
        let mut shared = old.unwrap_or_else(|| Arc::new(self.blank_row(id, number.filter(|_| !is_touched), stamp)));
        // Copied only if a reader keeps the row as it was.
        let row = Arc::make_mut(&mut shared);
        let before = row.stamp();
        row.set_stamp(stamp);
        let mut values = Vec::new();
        for (field, value) in patch {
            let old = row.values.insert(field, value);
            if keep_before && !is_new {
                values.push((field, old));
            }
        }
        if let Some(number) = number {
            self.set_touched(number, true);
        }
        let buried = self.buried.remove(&id);
        self.insert_row(describe, shared);
        let row = if is_new { RowBefore::Absent } else { RowBefore::Changed { stamp: before, values } };
        Before { row, is_touched, buried }
    }

    /// Deletes a record. None if there is none.
    pub(super) fn remove(&mut self, describe: &impl Describe, id: Guid) -> Option<Before> {
        let number = self.population.number_of(id);
        let is_touched = number.is_some_and(|number| self.is_touched(number));
        let row = self.take_row(describe, id);
        if row.is_none() && (number.is_none() || is_touched) {
            return None;
        }
        if let Some(number) = number {
            self.set_touched(number, true);
        }
        Some(Before { row: row.map_or(RowBefore::Absent, RowBefore::Removed), is_touched, buried: None })
    }

    /// The row that a removal took away, a generated record's made for the occasion.
    pub(super) fn row_before(&self, id: Guid, before: &Before) -> Option<Arc<Row>> {
        match &before.row {
            RowBefore::Removed(row) => Some(row.clone()),
            _ => Some(Arc::new(self.generated_row(self.population.number_of(id)?))),
        }
    }

    /// A generated record as a row without values of its own.
    pub(crate) fn generated_row(&self, number: u32) -> Row {
        let (created_on, modified_on) = (self.population.created_on(number), self.population.modified_on(number));
        Row {
            created_on,
            modified_on,
            version: self.population.version(number),
            generated: Some(number),
            ..Row::new(self.population.id(number), created_on)
        }
    }

    /// Takes a write back.
    pub(super) fn restore(&mut self, describe: &impl Describe, id: Guid, before: Before) {
        let row = self.take_row(describe, id);
        if let Some(number) = self.population.number_of(id) {
            self.set_touched(number, before.is_touched);
        }
        match before.buried {
            Some(version) => self.buried.insert(id, version),
            None => self.buried.remove(&id),
        };
        match (before.row, row) {
            (RowBefore::Absent, _) => {}
            (RowBefore::Removed(row), _) => self.insert_row(describe, row),
            (RowBefore::Changed { stamp, values }, Some(mut shared)) => {
                let row = Arc::make_mut(&mut shared);
                for (field, old) in values.into_iter().rev() {
                    match old {
                        Some(old) => row.values.insert(field, old),
                        None => row.values.remove(&field),
                    };
                }
                row.set_stamp(stamp);
                self.insert_row(describe, shared);
            }
            (RowBefore::Changed { .. }, None) => {}
        }
    }

    /// Remembers that a record was deleted.
    pub(super) fn bury(&mut self, version: u64, deleted: Deleted) {
        self.buried.insert(deleted.id, version);
        self.deleted.insert(version, deleted);
    }

    /// Forgets deletions after a version, which were taken back.
    pub(super) fn exhume(&mut self, version: u64) {
        self.deleted.split_off(&(version + 1));
    }

    /// Changes a record in the recycle bin.
    pub(crate) fn change_binned(&mut self, id: Guid, change: impl FnOnce(&mut Row)) {
        let deleted = self.buried.get(&id).and_then(|version| self.deleted.get_mut(version));
        if let Some(row) = deleted.and_then(|deleted| deleted.row.as_mut()) {
            change(Arc::make_mut(row));
        }
    }

    /// Lets a deleted record keep no more than its entry in the log of deletions. False if it kept none.
    pub(crate) fn purge(&mut self, id: Guid) -> bool {
        let deleted = self.buried.get(&id).and_then(|version| self.deleted.get_mut(version));
        deleted.is_some_and(|deleted| deleted.row.take().is_some())
    }

    /// Takes a record out of the recycle bin. False if it is not there.
    pub(super) fn bring_back(&mut self, describe: &impl Describe, id: Guid, stamp: Stamp) -> bool {
        let Some(mut shared) = self.binned(id).cloned() else {
            return false;
        };
        self.purge(id);
        self.buried.remove(&id);
        let row = Arc::make_mut(&mut shared);
        (row.deleted_at, row.master) = (None, None);
        row.set_stamp(stamp);
        self.insert_row(describe, shared);
        true
    }

    /// Deletes all records, generated ones too.
    pub(crate) fn clear(&mut self) {
        self.population.count = 0;
        self.touched.clear();
        self.touched_count = 0;
        self.rows.clear();
        self.versions.clear();
        for index in &mut self.indexes {
            *index = super::index::Index::new(std::mem::take(&mut index.fields));
        }
        self.created = Dates::default();
        self.modified = Dates::default();
    }

    /// Forgets every deletion, and what is in the recycle bin.
    pub(crate) fn forget_deletions(&mut self) {
        self.deleted.clear();
        self.buried.clear();
    }

    fn blank_row(&self, id: Guid, number: Option<u32>, stamp: Stamp) -> Row {
        let created_on = match number {
            Some(number) => self.population.created_on(number),
            None => stamp.created_on.unwrap_or(stamp.modified_on),
        };
        Row { generated: number, ..Row::new(id, created_on) }
    }

    fn insert_row(&mut self, describe: &impl Describe, row: Arc<Row>) {
        let id = row.id;
        for place in 0..self.indexes.len() {
            if let Some(key) = self.key_bytes(describe, &self.indexes[place].fields, Record::Written(&row)) {
                self.indexes[place].written.insert((key.into(), id));
            }
        }
        self.created.rows.insert((row.created_on, id));
        self.modified.rows.insert((row.modified_on, id));
        self.versions.insert(row.version, id);
        self.rows.insert(id, row);
    }

    fn take_row(&mut self, describe: &impl Describe, id: Guid) -> Option<Arc<Row>> {
        let row = self.rows.remove(&id)?;
        for place in 0..self.indexes.len() {
            if let Some(key) = self.key_bytes(describe, &self.indexes[place].fields, Record::Written(&row)) {
                self.indexes[place].written.remove(&(key.into(), id));
            }
        }
        self.created.rows.remove(&(row.created_on, id));
        self.modified.rows.remove(&(row.modified_on, id));
        self.versions.remove(&row.version);
        Some(row)
    }

    fn set_touched(&mut self, number: u32, touched: bool) {
        let (word, bit) = bit_of(number);
        let Some(bits) = self.touched.get_mut(word) else {
            return;
        };
        let was_touched = *bits >> bit & 1 == 1;
        match (was_touched, touched) {
            (false, true) => self.touched_count += 1,
            (true, false) => self.touched_count -= 1,
            _ => return,
        }
        *bits ^= 1 << bit;
    }
}

impl Row {
    /// A row without values, created and changed at a time.
    pub(crate) fn new(id: Guid, at: i64) -> Self {
        Self {
            id,
            created_on: at,
            modified_on: at,
            by: By::Admin,
            version: 0,
            deleted_at: None,
            master: None,
            generated: None,
            values: BTreeMap::new(),
        }
    }

    /// What its last write left on it.
    fn stamp(&self) -> Stamp {
        Stamp { created_on: Some(self.created_on), modified_on: self.modified_on, version: self.version, by: self.by }
    }

    fn set_stamp(&mut self, stamp: Stamp) {
        self.created_on = stamp.created_on.unwrap_or(self.created_on);
        (self.modified_on, self.version, self.by) = (stamp.modified_on, stamp.version, stamp.by);
    }
}
