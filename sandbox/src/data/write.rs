//! The writing side of a table, and the way back.

use std::collections::BTreeMap;

use super::{
    generate::{Fact, full_name},
    table::{Dates, Deleted, Record, Row, Table, bit_of},
    value::Value,
};
use crate::guid::Guid;

/// What a write leaves on a record besides its values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp {
    /// The time of creation, if it is given and not to stay.
    pub(crate) created_on: Option<i64>,
    /// The time of this change.
    pub(crate) modified_on: i64,
    /// The new row version.
    pub(crate) version: u64,
}

/// What a record was before a write, to take the write back.
#[derive(Debug)]
pub(super) struct Before {
    row: RowBefore,
    is_touched: bool,
}

/// What a write did to the row of a record.
#[derive(Debug)]
enum RowBefore {
    /// There was none.
    Absent,
    /// It was taken away.
    Removed(Row),
    /// It got other values; these are those before, in the order of the writes.
    Changed { created_on: i64, modified_on: i64, version: u64, values: Vec<(usize, Option<Value<'static>>)> },
}

impl Table {
    /// Writes a record: a new one, or other values of one that exists. What the patch does not name stays.
    pub(super) fn put(
        &mut self,
        id: Guid,
        patch: BTreeMap<usize, Value<'static>>,
        stamp: Stamp,
        keep_before: bool,
    ) -> Before {
        let number = self.population.number_of(id);
        let was_touched = number.is_some_and(|number| self.is_touched(number));
        let old = self.take_row(id);
        let (is_new, is_named) = (old.is_none(), old.is_some() && !self.names_change(&patch));
        let mut row = old.unwrap_or_else(|| self.blank_row(id, number.filter(|_| !was_touched), stamp));
        let (created_on, modified_on, version) = (row.created_on, row.modified_on, row.version);
        row.modified_on = stamp.modified_on;
        row.created_on = stamp.created_on.unwrap_or(row.created_on);
        row.version = stamp.version;
        let mut values = Vec::new();
        let mut set = |row: &mut Row, field, value| {
            let old = row.values.insert(field, value);
            if keep_before && !is_new {
                values.push((field, old));
            }
        };
        for (field, value) in patch {
            set(&mut row, field, value);
        }
        if let Some((field, name)) = if is_named { None } else { self.full_name(&row) } {
            set(&mut row, field, name);
        }
        if let Some(number) = number {
            self.set_touched(number, true);
        }
        self.insert_row(row);
        let row =
            if is_new { RowBefore::Absent } else { RowBefore::Changed { created_on, modified_on, version, values } };
        Before { row, is_touched: was_touched }
    }

    /// Deletes a record. None if there is none.
    pub(super) fn remove(&mut self, id: Guid) -> Option<Before> {
        let number = self.population.number_of(id);
        let was_touched = number.is_some_and(|number| self.is_touched(number));
        let row = self.take_row(id);
        if row.is_none() && (number.is_none() || was_touched) {
            return None;
        }
        if let Some(number) = number {
            self.set_touched(number, true);
        }
        Some(Before { row: row.map_or(RowBefore::Absent, RowBefore::Removed), is_touched: was_touched })
    }

    /// The row that a removal took away, a generated record's made for the occasion.
    pub(super) fn row_before(&self, id: Guid, before: &Before) -> Option<Row> {
        let generated = || {
            let number = self.population.number_of(id)?;
            let (created_on, modified_on) = (self.population.created_on(number), self.population.modified_on(number));
            let version = self.population.version(number);
            Some(Row { id, created_on, modified_on, version, generated: Some(number), values: BTreeMap::new() })
        };
        match &before.row {
            RowBefore::Removed(row) => Some(row.clone()),
            _ => generated(),
        }
    }

    /// Takes a write back.
    pub(super) fn restore(&mut self, id: Guid, before: Before) {
        let row = self.take_row(id);
        if let Some(number) = self.population.number_of(id) {
            self.set_touched(number, before.is_touched);
        }
        match (before.row, row) {
            (RowBefore::Absent, _) => {}
            (RowBefore::Removed(row), _) => self.insert_row(row),
            (RowBefore::Changed { created_on, modified_on, version, values }, Some(mut row)) => {
                for (field, old) in values.into_iter().rev() {
                    match old {
                        Some(old) => row.values.insert(field, old),
                        None => row.values.remove(&field),
                    };
                }
                self.insert_row(Row { created_on, modified_on, version, ..row });
            }
            (RowBefore::Changed { .. }, None) => {}
        }
    }

    /// Remembers that a record was deleted.
    pub(super) fn bury(&mut self, version: u64, deleted: Deleted) {
        self.deleted.insert(version, deleted);
    }

    /// Forgets deletions after a version, which were taken back.
    pub(super) fn exhume(&mut self, version: u64) {
        self.deleted.split_off(&(version + 1));
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

    fn blank_row(&self, id: Guid, number: Option<u32>, stamp: Stamp) -> Row {
        let created_on = match number {
            Some(number) => self.population.created_on(number),
            None => stamp.created_on.unwrap_or(stamp.modified_on),
        };
        Row { id, created_on, modified_on: created_on, version: 0, generated: number, values: BTreeMap::new() }
    }

    fn insert_row(&mut self, row: Row) {
        let id = row.id;
        for place in 0..self.indexes.len() {
            if let Some(key) = self.key_bytes(&self.indexes[place].fields, Record::Written(&row)) {
                self.indexes[place].written.insert((key.into(), id));
            }
        }
        self.created.rows.insert((row.created_on, id));
        self.modified.rows.insert((row.modified_on, id));
        self.versions.insert(row.version, id);
        self.rows.insert(id, row);
    }

    fn take_row(&mut self, id: Guid) -> Option<Row> {
        let row = self.rows.remove(&id)?;
        for place in 0..self.indexes.len() {
            if let Some(key) = self.key_bytes(&self.indexes[place].fields, Record::Written(&row)) {
                self.indexes[place].written.remove(&(key.into(), id));
            }
        }
        self.created.rows.remove(&(row.created_on, id));
        self.modified.rows.remove(&(row.modified_on, id));
        self.versions.remove(&row.version);
        Some(row)
    }

    fn names_change(&self, patch: &BTreeMap<usize, Value<'static>>) -> bool {
        patch.keys().any(|field| matches!(self.fields[*field].fact, Some(Fact::FirstName | Fact::LastName)))
    }

    /// The product's own rule: the full name follows the first and the last.
    fn full_name(&self, row: &Row) -> Option<(usize, Value<'static>)> {
        let fields = [Fact::FirstName, Fact::LastName, Fact::FullName].map(|fact| self.field_of(fact));
        let [Some(first), Some(last), Some(full)] = fields else {
            return None;
        };
        let record = Record::Written(row);
        Some((full, full_name(&self.value(record, first), &self.value(record, last))))
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
