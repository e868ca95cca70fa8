//! All tables of one organisation, and the one door through which they are written: late commits, transactions and the log of
//! changes are the same for every CRM.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    generate::FIRST_VERSION,
    records::{Deleted, Describe, Records},
    table::Table,
    value::{Link, Value},
    write::{Before, Patch, Stamp},
};
use crate::{
    guid::Guid,
    log::{CHANGES_KEPT, Change, ChangeKind, FieldChange, Numbered},
    random::mix,
    time::{self, DAY},
};

/// Days for which a delta token is good unless set otherwise, as on the platform.
const DELTA_DAYS: u32 = 7;

/// Logical name of the audit log.
const AUDIT: &str = "audit";

/// The audit log's number for a deletion.
const AUDIT_DELETE: i64 = 3;

/// What a CRM adds to the records of a table: what its fields are, and what things are called.
pub(crate) trait Held: Sized {
    /// Its records.
    fn records(&self) -> &Records;
    /// What its records must know of their fields, and the records, to be changed.
    fn parts(&mut self) -> (impl Describe, &mut Records);
    /// Adds to a write the values that follow from it.
    fn complete(&self, _id: Guid, _patch: &mut Patch) {}
    /// Adds to a write who makes it, where records hold that as a value.
    fn signed(_store: &Store<Self>, _draft: &mut Draft, _by: By) {}
    /// Its name, as the log of changes and the admin API have it.
    fn set(&self) -> &str;
    /// The name of a field.
    fn field_name(&self, field: usize) -> &str;
    /// What a record holds in a field; none if there is no such record.
    fn held(&self, id: Guid, field: usize) -> Option<Value<'static>>;
    /// An id as clients know it.
    fn shown_id(&self, id: Guid) -> String;
    /// A record was deleted.
    fn deleted(_store: &mut Store<Self>, _table: usize, _id: Guid, _now: i64) {}
}

/// The tables and what happened to them.
#[derive(Debug)]
pub(crate) struct Store<T = Table> {
    /// The tables.
    pub(crate) tables: Vec<T>,
    /// When tables or fields were last changed.
    pub(crate) described_at: i64,
    /// What of deletions is remembered.
    pub(crate) retention: Retention,
    /// Entries of the audit log that are not kept for ever, and until when they are.
    audits_kept: Vec<(i64, Guid)>,
    changes: Numbered<Logged>,
    version: u64,
    late: Vec<Late>,
    transaction: Option<Transaction>,
    /// When the record that is longest in the recycle bin came there.
    oldest_in_bin: Option<i64>,
}

/// What is remembered of deleted records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retention {
    /// Days for which a delta token is good.
    pub(crate) delta_days: u32,
    /// Days for which a recycle bin keeps them; none without one.
    pub(crate) bin_days: Option<u32>,
    /// Deletions of audited tables go to the audit log.
    pub(crate) audit: bool,
    /// Days for which new entries stay there; none for ever.
    pub(crate) audit_days: Option<u32>,
    /// The user that clients log in as: who writes and deletes.
    pub(crate) user: Guid,
}

/// Who changed a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum By {
    /// A request in the CRM's protocol.
    Wire,
    /// The admin API.
    Admin,
}

/// A record to write, or a change of one.
#[derive(Debug)]
pub(crate) struct Draft {
    /// Index of the table.
    pub(crate) table: usize,
    /// The record.
    pub(crate) id: Guid,
    /// Values by field; the others stay as they are.
    pub(crate) values: Patch,
    /// Time of creation, if it is not now.
    pub(crate) created_on: Option<i64>,
    /// Time of the change, if it is not now.
    pub(crate) modified_on: Option<i64>,
    /// Hidden from every query before this time: a transaction that commits late.
    pub(crate) visible_from: Option<i64>,
}

impl Draft {
    /// A change that happens and is seen now.
    pub(crate) fn now(table: usize, id: Guid, values: Patch) -> Self {
        Self { table, id, values, created_on: None, modified_on: None, visible_from: None }
    }
}

/// A change that is not yet visible.
#[derive(Debug)]
struct Late {
    visible_from: i64,
    table: usize,
    id: Guid,
    values: Patch,
    stamp: Stamp,
}

/// A change as it is kept; its texts are made when somebody reads it.
#[derive(Debug, Clone)]
struct Logged {
    at: i64,
    by: By,
    kind: ChangeKind,
    table: usize,
    id: Guid,
    /// The fields named, with their values after.
    new: Box<[(usize, Value<'static>)]>,
    /// Those of them that held something before.
    old: Box<[(usize, Value<'static>)]>,
}

/// Writes that are all taken back if one of them fails.
#[derive(Debug)]
struct Transaction {
    undo: Vec<(usize, Guid, Before)>,
    version: u64,
    next_change: u64,
    late_count: usize,
}

impl<T: Held> Store<T> {
    /// A store of these tables.
    pub(crate) fn new(tables: Vec<T>) -> Self {
        let populations = || tables.iter().map(|table| table.records().population());
        let generated: u64 = populations().map(|population| u64::from(population.count)).max().unwrap_or(0);
        Self {
            described_at: populations().map(|population| population.until).max().unwrap_or(0),
            tables,
            retention: Retention {
                delta_days: DELTA_DAYS,
                bin_days: None,
                audit: false,
                audit_days: None,
                user: Guid::from_u128(0),
            },
            audits_kept: Vec::new(),
            changes: Numbered::new(CHANGES_KEPT),
            version: FIRST_VERSION + generated,
            late: Vec::new(),
            transaction: None,
            oldest_in_bin: None,
        }
    }

    /// True if a hidden change has become visible by `now`, or a record was long enough in the recycle bin, so that
    /// [`Store::settle`] has work.
    pub(crate) fn is_unsettled(&self, now: i64) -> bool {
        self.late.iter().any(|late| late.visible_from <= now)
            || self.oldest_in_bin.is_some_and(|at| self.leaves_bin(at) <= now)
    }

    fn leaves_bin(&self, at: i64) -> i64 {
        at.saturating_add(i64::from(self.retention.bin_days.unwrap_or(0)).saturating_mul(DAY))
    }

    /// Makes visible what has become so by `now`, and purges what was in the recycle bin long enough.
    pub(crate) fn settle(&mut self, now: i64) {
        if !self.is_unsettled(now) {
            return;
        }
        let (due, later) = std::mem::take(&mut self.late).into_iter().partition(|late| late.visible_from <= now);
        self.late = later;
        let mut due: Vec<Late> = due;
        due.sort_by_key(|late| late.visible_from);
        for late in due {
            self.apply(late.table, late.id, late.values, late.stamp, false);
        }
        if self.oldest_in_bin.is_some_and(|at| self.leaves_bin(at) <= now) {
            self.empty_bins(now);
        }
    }

    /// Purges what was in the recycle bin long enough.
    fn empty_bins(&mut self, now: i64) {
        self.oldest_in_bin = None;
        for table in 0..self.tables.len() {
            let binned = self.tables[table].records().deletions().filter(|deleted| deleted.row.is_some());
            let (over, kept): (Vec<_>, Vec<_>) =
                binned.map(|deleted| (deleted.id, deleted.at)).partition(|(_, at)| self.leaves_bin(*at) <= now);
            self.oldest_in_bin = kept.into_iter().map(|(_, at)| at).chain(self.oldest_in_bin).min();
            for (id, _) in over {
                self.tables[table].parts().1.purge(id);
            }
        }
    }

    fn apply(&mut self, table: usize, id: Guid, mut values: Patch, stamp: Stamp, keep_before: bool) -> Before {
        let table = &mut self.tables[table];
        table.complete(id, &mut values);
        let (describe, records) = table.parts();
        records.put(&describe, id, values, stamp, keep_before)
    }

    /// How many changes are still hidden.
    pub(crate) fn late_count(&self) -> usize {
        self.late.len()
    }

    /// The last version up to which everything is visible: whoever reads on from here misses nothing, late commits neither.
    pub(crate) fn settled_version(&self) -> u64 {
        self.late.iter().map(|late| late.stamp.version - 1).min().unwrap_or(self.version)
    }

    /// Creates or changes a record at `now` and logs it.
    pub(crate) fn write(&mut self, mut draft: Draft, now: i64, by: By) {
        self.version += 1;
        self.log_write(&draft, now, by);
        T::signed(self, &mut draft, by);
        let stamp = Stamp {
            created_on: draft.created_on,
            modified_on: draft.modified_on.unwrap_or(now),
            version: self.version,
            by,
        };
        let Draft { table, id, values, visible_from, .. } = draft;
        if let Some(visible_from) = visible_from.filter(|visible_from| *visible_from > now) {
            self.late.push(Late { visible_from, table, id, values, stamp });
            return;
        }
        let before = self.apply(table, id, values, stamp, self.transaction.is_some());
        if let Some(transaction) = &mut self.transaction {
            transaction.undo.push((table, id, before));
        }
    }

    /// The time of the oldest change that is still hidden.
    pub(crate) fn oldest_hidden(&self) -> Option<i64> {
        self.late.iter().map(|late| late.stamp.modified_on).min()
    }

    /// Deletes a record at `now` and logs it; it goes to the recycle bin, if there is one. False if there is none.
    pub(crate) fn delete(&mut self, table: usize, id: Guid, now: i64, by: By) -> bool {
        let (describe, records) = self.tables[table].parts();
        let Some(before) = records.remove(&describe, id) else {
            return false;
        };
        self.version += 1;
        let row = self.retention.bin_days.and_then(|_| records.row_before(id, &before)).map(|mut row| {
            Arc::make_mut(&mut row).deleted_at = Some(now);
            row
        });
        if row.is_some() {
            self.oldest_in_bin = Some(self.oldest_in_bin.map_or(now, |oldest| oldest.min(now)));
        }
        records.bury(self.version, Deleted { id, at: now, row });
        drop(describe);
        if let Some(transaction) = &mut self.transaction {
            transaction.undo.push((table, id, before));
        }
        self.log(ChangeKind::Deleted, (table, id), now, by);
        T::deleted(self, table, id, now);
        true
    }

    /// Takes a record out of the recycle bin. False if it is not there.
    pub(crate) fn undelete(&mut self, table: usize, id: Guid, now: i64, by: By) -> bool {
        self.version += 1;
        let stamp = Stamp { created_on: None, modified_on: now, version: self.version, by };
        let (describe, records) = self.tables[table].parts();
        let is_back = records.bring_back(&describe, id, stamp);
        drop(describe);
        if is_back {
            self.log(ChangeKind::Created, (table, id), now, by);
        }
        is_back
    }

    fn log(&mut self, kind: ChangeKind, (table, id): (usize, Guid), at: i64, by: By) {
        self.changes.push(|_| Logged { at, by, kind, table, id, new: Box::default(), old: Box::default() });
    }

    /// From here on, writes can be taken back together.
    pub(crate) fn begin(&mut self) {
        self.transaction = Some(Transaction {
            undo: Vec::new(),
            version: self.version,
            next_change: self.changes.next(),
            late_count: self.late.len(),
        });
    }

    /// Whether writes are being made that can be taken back.
    pub(crate) fn is_in_transaction(&self) -> bool {
        self.transaction.is_some()
    }

    /// The writes since [`Store::begin`] stay.
    pub(crate) fn commit(&mut self) {
        self.transaction = None;
    }

    /// Takes back every write since [`Store::begin`], from the log as well.
    pub(crate) fn roll_back(&mut self) {
        let Some(transaction) = self.transaction.take() else {
            return;
        };
        for (table, id, before) in transaction.undo.into_iter().rev() {
            let (describe, records) = self.tables[table].parts();
            records.restore(&describe, id, before);
            records.exhume(transaction.version);
        }
        self.changes.forget_from(transaction.next_change);
        self.late.truncate(transaction.late_count);
    }

    /// Empties a table, generated records, hidden changes and all. Not logged record by record.
    pub(crate) fn clear(&mut self, table: usize) {
        self.tables[table].parts().1.clear();
        self.late.retain(|late| late.table != table);
    }

    /// The changes logged, from this number on, as far as they are kept.
    pub(crate) fn changes(&self, from: u64) -> Vec<Change> {
        self.changes.from(from).map(|(number, logged)| self.shown(number, logged)).collect()
    }

    /// The number of the next change.
    pub(crate) fn next_change(&self) -> u64 {
        self.changes.next()
    }

    /// Forgets the changes logged; numbers go on.
    pub(crate) fn clear_changes(&mut self) {
        self.changes.clear();
    }

    /// What has been written so far was there from the start: nobody changed it.
    pub(crate) fn settle_history(&mut self) {
        self.changes.forget_from(1);
    }

    fn shown(&self, number: u64, logged: &Logged) -> Change {
        let table = &self.tables[logged.table];
        let old = |field: usize| logged.old.iter().find(|(own, _)| *own == field).map(|(_, old)| old.to_json());
        let fields = logged.new.iter().map(|(field, new)| FieldChange {
            field: table.field_name(*field).to_owned(),
            old: old(*field).unwrap_or_default(),
            new: new.to_json(),
        });
        Change {
            number,
            at: time::instant_text(logged.at),
            by: logged.by,
            kind: logged.kind,
            set: table.set().to_owned(),
            id: table.shown_id(logged.id),
            fields: fields.collect(),
        }
    }

    fn log_write(&mut self, draft: &Draft, now: i64, by: By) {
        let (table, id) = (draft.table, draft.id);
        let there = &self.tables[table];
        let is_there = there.records().get(id).is_some();
        let kind = if is_there { ChangeKind::Updated } else { ChangeKind::Created };
        let new = draft.values.iter().map(|(field, new)| (*field, new.clone())).collect();
        let old = |field: &usize| Some((*field, there.held(id, *field).filter(|old| !old.is_null())?));
        let old = draft.values.keys().filter_map(old).collect();
        self.changes.push(|_| Logged { at: now, by, kind, table, id, new, old });
    }
}

impl Store {
    /// The index of a table by the name of its set or its logical name.
    pub(crate) fn table_index(&self, name: &str) -> Option<usize> {
        self.tables.iter().position(|table| table.shape.set == name || table.shape.name == name)
    }

    /// A table by the name of its set.
    pub(crate) fn set(&self, set: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.shape.set == set)
    }

    /// A table by its logical name.
    pub(crate) fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.shape.name == name)
    }

    /// The user behind a write: clients log in as one, and the admin API stands for another.
    pub(super) fn user(&self, by: By) -> Option<Guid> {
        let users = self.table("systemuser")?;
        match by {
            By::Wire => Some(self.retention.user),
            By::Admin => users.generated(1).map(|record| users.id(record)),
        }
    }

    /// Writes a deletion into the audit log, which is a table as well, if it is to go there.
    pub(super) fn audit(&mut self, table: usize, id: Guid, now: i64) {
        if !self.retention.audit || !self.tables[table].is_audited {
            return;
        }
        let of = &self.tables[table].shape;
        let (name, is_log) = (of.name, of.name == AUDIT);
        let Some(log) = self.table_index(AUDIT).filter(|_| !is_log) else {
            return;
        };
        let values = [
            ("operation", Value::Integer(AUDIT_DELETE)),
            ("action", Value::Integer(AUDIT_DELETE)),
            ("objecttypecode", Value::literal(name)),
            ("objectid", Value::Link(Link { table: name, id })),
            ("userid", Value::Link(Link { table: "systemuser", id: self.retention.user })),
        ];
        let fields = &self.tables[log];
        let values = values.into_iter().filter_map(|(name, value)| Some((fields.field(name)?, value))).collect();
        self.version += 1;
        let chance = u128::from(mix(self.version, 1)) << 64 | u128::from(mix(self.version, 2));
        let entry = Guid::from_u128(chance & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62);
        let stamp = Stamp { created_on: None, modified_on: now, version: self.version, by: By::Wire };
        if let Some(days) = self.retention.audit_days {
            self.audits_kept.push((now + i64::from(days) * DAY, entry));
        }
        let before = self.apply(log, entry, values, stamp, false);
        if let Some(transaction) = &mut self.transaction {
            transaction.undo.push((log, entry, before));
        }
    }

    /// Takes out of the audit log what is older than it keeps.
    pub(crate) fn expire_audits(&mut self, now: i64) {
        let Some(log) = self.table_index(AUDIT) else {
            return;
        };
        for (_, entry) in self.audits_kept.extract_if(.., |(until, _)| *until < now) {
            let (describe, records) = self.tables[log].parts();
            drop(records.remove(&describe, entry));
        }
    }
}
