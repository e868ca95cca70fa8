//! All tables of the organisation, and the one door through which they are written.

use std::sync::Arc;

use super::{
    generate::{Generator, Sizes},
    id::Id,
    objects,
    table::{Record, Row, RowState, Table},
    value::Value,
};
use crate::{
    data::By,
    log::{CHANGES_KEPT, Change, ChangeKind, FieldChange, Numbered},
    time,
};

/// The tables and what is still to happen to them.
#[derive(Debug)]
pub(crate) struct Store {
    /// The tables.
    pub(super) tables: Vec<Table>,
    /// When objects or fields were last changed.
    pub(super) described_at: i64,
    changes: Numbered<Logged>,
    late: Vec<Late>,
    transaction: Option<Transaction>,
    /// When the record that is longest in the bin came there.
    oldest_in_bin: Option<i64>,
}

/// A change as it is kept; its texts are made when somebody reads it.
#[derive(Debug, Clone)]
struct Logged {
    at: i64,
    by: By,
    kind: ChangeKind,
    table: usize,
    record: u32,
    fields: Vec<(usize, Value, Value)>,
}

/// Writes that are all taken back if one of them fails.
#[derive(Debug)]
struct Transaction {
    undo: Vec<(usize, u32, Option<Arc<Row>>)>,
    changes: Vec<Logged>,
    late_count: usize,
}

/// A change that is not yet visible.
#[derive(Debug)]
struct Late {
    visible_from: i64,
    table: usize,
    number: u32,
    is_new: bool,
    values: Vec<(usize, Value)>,
    stamp: Stamp,
}

/// The times of a change.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stamp {
    /// Of the record's creation, if not that of the change.
    pub(super) created: Option<i64>,
    /// Of the change, if not now.
    pub(super) modified: Option<i64>,
    /// Nobody sees it before: a transaction that commits late.
    pub(super) visible_from: Option<i64>,
}

/// Who changes something, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Author {
    /// Now.
    pub(super) now: i64,
    /// Who.
    pub(super) by: By,
}

impl Store {
    /// The tables of a new organisation.
    pub(super) fn new(sizes: &Sizes) -> Self {
        let table = |object: super::schema::Object| {
            let generator = Generator::new(object.name, sizes);
            Table::new(object, generator)
        };
        Self {
            tables: objects::objects().into_iter().map(table).collect(),
            described_at: sizes.until,
            changes: Numbered::new(CHANGES_KEPT),
            late: Vec::new(),
            transaction: None,
            oldest_in_bin: None,
        }
    }

    /// The index of a table by its object's name in any case.
    pub(super) fn index(&self, name: &str) -> Option<usize> {
        self.tables.iter().position(|table| table.object.name.eq_ignore_ascii_case(name))
    }

    /// The table whose records have this id's prefix.
    pub(super) fn table_of(&self, id: Id) -> Option<&Table> {
        self.tables.iter().find(|table| table.object.prefix == id.prefix())
    }

    /// The name of the object of the record that a reference leads to.
    pub(super) fn leads_to(&self, table: &Table, record: Record<'_>, reference: usize) -> Option<&'static str> {
        let id = Id::parse(table.value(record, reference).as_text()?)?;
        Some(self.table_of(id)?.object.name)
    }

    /// True if [`Store::settle`] has work.
    pub(super) fn is_unsettled(&self, now: i64, bin_seconds: i64) -> bool {
        self.late.iter().any(|late| late.visible_from <= now)
            || self.oldest_in_bin.is_some_and(|at| at.saturating_add(bin_seconds) <= now)
    }

    /// Makes visible what has become so by `now`, and purges what was in the bin long enough.
    pub(super) fn settle(&mut self, now: i64, bin_seconds: i64) {
        if !self.is_unsettled(now, bin_seconds) {
            return;
        }
        let (mut due, later): (Vec<Late>, _) =
            std::mem::take(&mut self.late).into_iter().partition(|late| late.visible_from <= now);
        self.late = later;
        due.sort_by_key(|late| late.visible_from);
        for late in due {
            let author = Author { now, by: By::Admin };
            self.apply(late.table, late.number, late.is_new, late.values, late.stamp, author);
        }
        self.oldest_in_bin = None;
        for table in &mut self.tables {
            for (number, at) in table.bin() {
                if at.saturating_add(bin_seconds) <= now {
                    table.erase(number, at);
                } else {
                    self.oldest_in_bin = Some(self.oldest_in_bin.map_or(at, |oldest| oldest.min(at)));
                }
            }
        }
    }

    /// From here on, writes can be taken back together.
    pub(super) fn begin(&mut self) {
        self.transaction = Some(Transaction { undo: Vec::new(), changes: Vec::new(), late_count: self.late.len() });
    }

    /// The writes since [`Store::begin`] stay.
    pub(super) fn commit(&mut self) {
        if let Some(transaction) = self.transaction.take() {
            transaction.changes.into_iter().for_each(|logged| self.push(logged));
        }
    }

    /// Takes back every write since [`Store::begin`].
    pub(super) fn roll_back(&mut self) {
        if let Some(transaction) = self.transaction.take() {
            for (table, number, row) in transaction.undo.into_iter().rev() {
                self.tables[table].replace(number, row);
            }
            self.late.truncate(transaction.late_count);
        }
    }

    /// The changes logged, from this number on, as far as they are kept.
    pub(super) fn changes(&self, from: u64) -> Vec<Change> {
        let change = |(number, logged): (u64, &Logged)| {
            let table = &self.tables[logged.table];
            let fields = logged.fields.iter().map(|(field, old, new)| FieldChange {
                field: table.object.fields[*field].name.clone(),
                old: old.to_json(),
                new: new.to_json(),
            });
            Change {
                number,
                at: time::instant_text(logged.at),
                by: logged.by,
                kind: logged.kind,
                set: table.object.name.to_owned(),
                id: table.id(logged.record).to_string(),
                fields: fields.collect(),
            }
        };
        self.changes.from(from).map(change).collect()
    }

    /// The number of the next change.
    pub(super) fn next_change(&self) -> u64 {
        self.changes.next()
    }

    /// Forgets the changes logged; numbers go on.
    pub(super) fn clear_changes(&mut self) {
        self.changes.clear();
    }

    fn push(&mut self, logged: Logged) {
        self.changes.push(|_| logged);
    }

    /// Puts a row where one can be taken back.
    fn put(&mut self, table: usize, number: u32, row: Row) {
        if let RowState::Deleted(at) = row.state {
            self.oldest_in_bin = Some(self.oldest_in_bin.map_or(at, |oldest| oldest.min(at)));
        }
        if let Some(transaction) = &mut self.transaction {
            transaction.undo.push((table, number, self.tables[table].row(number).cloned()));
        }
        self.tables[table].put(number, row);
    }

    /// How many changes are still hidden.
    pub(super) fn late_count(&self) -> usize {
        self.late.len()
    }

    /// The time of the oldest change that is still hidden.
    pub(super) fn oldest_hidden(&self) -> Option<i64> {
        self.late.iter().filter_map(|late| late.stamp.modified).min()
    }

    /// Creates a record and returns its number.
    pub(super) fn create(&mut self, table: usize, values: Vec<(usize, Value)>, stamp: Stamp, author: Author) -> u32 {
        let hidden = self.late.iter().filter(|late| late.table == table && late.is_new);
        let number = hidden.map(|late| late.number.saturating_add(1)).max().unwrap_or(0).max(self.tables[table].next());
        self.write(table, number, values, stamp, author);
        number
    }

    /// Changes a record that is there, or creates it with this number.
    pub(super) fn write(
        &mut self,
        table: usize,
        number: u32,
        values: Vec<(usize, Value)>,
        stamp: Stamp,
        author: Author,
    ) {
        let is_new = self.tables[table].get(number).is_none();
        self.log(table, number, if is_new { ChangeKind::Created } else { ChangeKind::Updated }, &values, author);
        match stamp.visible_from.filter(|visible_from| *visible_from > author.now) {
            Some(visible_from) => {
                let stamp = Stamp { modified: stamp.modified.or(Some(author.now)), ..stamp };
                self.late.push(Late { visible_from, table, number, is_new, values, stamp });
            }
            None => self.apply(table, number, is_new, values, stamp, author),
        }
    }

    fn apply(
        &mut self,
        table: usize,
        number: u32,
        is_new: bool,
        values: Vec<(usize, Value)>,
        stamp: Stamp,
        author: Author,
    ) {
        let modified = stamp.modified.unwrap_or(author.now);
        let mut row = self.tables[table].row_to_change(number).unwrap_or_else(|| Row::new(modified));
        (row.modified, row.by) = (modified, author.by);
        row.created = stamp.created.unwrap_or(if is_new { modified } else { row.created });
        if row.values.is_empty() {
            row.values = values;
            row.values.sort_by_key(|(field, _)| *field);
        } else {
            values.into_iter().for_each(|(field, value)| row.set(field, value));
        }
        self.put(table, number, row);
    }

    /// Moves a live record to the bin. False if it is not live.
    pub(super) fn delete(&mut self, table: usize, number: u32, author: Author) -> bool {
        if self.tables[table].live(number).is_none() {
            return false;
        }
        self.log(table, number, ChangeKind::Deleted, &[], author);
        self.set_state(table, number, RowState::Deleted(author.now), None, author);
        true
    }

    /// Moves a live record to the bin with another as its master. False if it is not live.
    pub(super) fn delete_merged(&mut self, table: usize, number: u32, master: u32, author: Author) -> bool {
        let had = self.delete(table, number, author);
        if had {
            self.set_state(table, number, RowState::Deleted(author.now), Some(master), author);
        }
        had
    }

    /// Deletes a record for good, live or in the bin. False if it is neither.
    pub(super) fn erase(&mut self, table: usize, number: u32, author: Author) -> bool {
        let Some(record) = self.tables[table].get(number) else {
            return false;
        };
        if record.state() == RowState::Live {
            self.log(table, number, ChangeKind::Deleted, &[], author);
        }
        self.tables[table].erase(number, author.now);
        true
    }

    /// Takes a record out of the bin. False if it is not there.
    pub(super) fn restore(&mut self, table: usize, number: u32, author: Author) -> bool {
        let in_bin =
            self.tables[table].get(number).is_some_and(|record| matches!(record.state(), RowState::Deleted(_)));
        if in_bin {
            self.log(table, number, ChangeKind::Created, &[], author);
            self.set_state(table, number, RowState::Live, None, author);
        }
        in_bin
    }

    /// Empties a table, hidden changes and all. Not logged record by record.
    pub(super) fn clear(&mut self, table: usize) {
        self.tables[table].clear();
        self.late.retain(|late| late.table != table);
    }

    fn set_state(&mut self, table: usize, number: u32, state: RowState, master: Option<u32>, author: Author) {
        if let Some(mut row) = self.tables[table].row_to_change(number) {
            (row.state, row.master, row.modified, row.by) = (state, master, author.now, author.by);
            self.put(table, number, row);
        }
    }

    fn log(&mut self, table: usize, record: u32, kind: ChangeKind, values: &[(usize, Value)], author: Author) {
        let there = &self.tables[table];
        let before = there.get(record);
        let fields = values.iter().map(|(field, new)| {
            let old = before.map_or(Value::Null, |record| there.value(record, *field).into_owned());
            (*field, old, new.clone())
        });
        let logged = Logged { at: author.now, by: author.by, kind, table, record, fields: fields.collect() };
        match &mut self.transaction {
            Some(transaction) => transaction.changes.push(logged),
            None => self.push(logged),
        }
    }
}
