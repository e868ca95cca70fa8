//! All tables of one organisation, and the one door through which they are written.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    generate::{FIRST_VERSION, Fact},
    table::{Deleted, Table},
    value::{Link, Value},
    write::{Before, Stamp},
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

/// The tables and what happened to them.
#[derive(Debug)]
pub(crate) struct Store {
    /// The tables.
    pub(crate) tables: Vec<Table>,
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
    pub(crate) values: BTreeMap<usize, Value<'static>>,
    /// Time of creation, if it is not now.
    pub(crate) created_on: Option<i64>,
    /// Time of the change, if it is not now.
    pub(crate) modified_on: Option<i64>,
    /// Hidden from every query before this time: a transaction that commits late.
    pub(crate) visible_from: Option<i64>,
}

impl Draft {
    /// A change that happens and is seen now.
    pub(crate) fn now(table: usize, id: Guid, values: BTreeMap<usize, Value<'static>>) -> Self {
        Self { table, id, values, created_on: None, modified_on: None, visible_from: None }
    }
}

/// A change that is not yet visible.
#[derive(Debug)]
struct Late {
    visible_from: i64,
    table: usize,
    id: Guid,
    values: BTreeMap<usize, Value<'static>>,
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

impl Store {
    /// A store of these tables.
    pub(crate) fn new(tables: Vec<Table>) -> Self {
        let generated: u64 = tables.iter().map(|table| u64::from(table.generated_count())).max().unwrap_or(0);
        Self {
            described_at: tables.iter().map(|table| table.population.until).max().unwrap_or(0),
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
        }
    }

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

    /// True if a hidden change has become visible by `now`, so that [`Store::settle`] has work.
    pub(crate) fn is_unsettled(&self, now: i64) -> bool {
        self.late.iter().any(|late| late.visible_from <= now)
    }

    /// Makes visible what has become so by `now`.
    pub(crate) fn settle(&mut self, now: i64) {
        if !self.is_unsettled(now) {
            return;
        }
        let (due, later) = std::mem::take(&mut self.late).into_iter().partition(|late| late.visible_from <= now);
        self.late = later;
        let mut due: Vec<Late> = due;
        due.sort_by_key(|late| late.visible_from);
        for late in due {
            self.tables[late.table].put(late.id, late.values, late.stamp, false);
        }
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
        if let (Some(field), Some(id)) = (self.tables[draft.table].field_of(Fact::ModifiedBy), self.user(by)) {
            draft.values.entry(field).or_insert(Value::Link(Link { table: "systemuser", id }));
        }
        let stamp = Stamp {
            created_on: draft.created_on,
            modified_on: draft.modified_on.unwrap_or(now),
            version: self.version,
        };
        let Draft { table, id, values, visible_from, .. } = draft;
        if let Some(visible_from) = visible_from.filter(|visible_from| *visible_from > now) {
            self.late.push(Late { visible_from, table, id, values, stamp });
            return;
        }
        let before = self.tables[table].put(id, values, stamp, self.transaction.is_some());
        if let Some(transaction) = &mut self.transaction {
            transaction.undo.push((table, id, before));
        }
    }

    /// Who that is in this organisation: clients log in as one user, and the admin API stands for another.
    fn user(&self, by: By) -> Option<Guid> {
        let users = self.table("systemuser")?;
        match by {
            By::Wire => Some(self.retention.user),
            By::Admin => users.generated(1).map(|record| users.id(record)),
        }
    }

    /// Deletes a record at `now` and logs it. False if there is none.
    pub(crate) fn delete(&mut self, table: usize, id: Guid, now: i64, by: By) -> bool {
        let Some(before) = self.tables[table].remove(id) else {
            return false;
        };
        self.version += 1;
        let row = self.retention.bin_days.and_then(|_| self.tables[table].row_before(id, &before));
        self.tables[table].bury(self.version, Deleted { id, at: now, row });
        if let Some(transaction) = &mut self.transaction {
            transaction.undo.push((table, id, before));
        }
        self.changes.push(|_| Logged {
            at: now,
            by,
            kind: ChangeKind::Deleted,
            table,
            id,
            new: Box::default(),
            old: Box::default(),
        });
        if self.retention.audit && self.tables[table].is_audited {
            self.audit(table, id, now);
        }
        true
    }

    /// Writes a deletion into the audit log, which is a table as well.
    fn audit(&mut self, table: usize, id: Guid, now: i64) {
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
        let stamp = Stamp { created_on: None, modified_on: now, version: self.version };
        if let Some(days) = self.retention.audit_days {
            self.audits_kept.push((now + i64::from(days) * DAY, entry));
        }
        let before = self.tables[log].put(entry, values, stamp, false);
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
            self.tables[log].remove(entry);
        }
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
            self.tables[table].restore(id, before);
            self.tables[table].exhume(transaction.version);
        }
        self.changes.forget_from(transaction.next_change);
        self.late.truncate(transaction.late_count);
    }

    /// Empties a table, generated records, hidden changes and all. Not logged record by record.
    pub(crate) fn clear(&mut self, table: usize) {
        self.tables[table].clear();
        self.late.retain(|late| late.table != table);
    }

    /// The changes logged, from this number on, as far as they are kept.
    pub(crate) fn changes(&self, from: u64) -> Vec<Change> {
        self.changes.from(from).map(|(number, logged)| self.change(number, logged)).collect()
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

    fn change(&self, number: u64, logged: &Logged) -> Change {
        let table = &self.tables[logged.table];
        let old = |field: usize| logged.old.iter().find(|(own, _)| *own == field).map(|(_, old)| old.to_json());
        let fields = logged.new.iter().map(|(field, new)| FieldChange {
            field: table.fields[*field].name.clone(),
            old: old(*field).unwrap_or_default(),
            new: new.to_json(),
        });
        Change {
            number,
            at: time::instant_text(logged.at),
            by: logged.by,
            kind: logged.kind,
            set: table.shape.set.to_owned(),
            id: logged.id.to_string(),
            fields: fields.collect(),
        }
    }

    fn log_write(&mut self, draft: &Draft, now: i64, by: By) {
        let table = &self.tables[draft.table];
        let before = table.get(draft.id);
        let kind = if before.is_some() { ChangeKind::Updated } else { ChangeKind::Created };
        let new = draft.values.iter().map(|(field, new)| (*field, new.clone())).collect();
        let value = |record, field: &usize| {
            let old = table.value(record, *field).into_owned();
            (!old.is_null()).then_some((*field, old))
        };
        let old = before.map(|record| draft.values.keys().filter_map(|field| value(record, field)).collect());
        let old = old.unwrap_or_default();
        self.changes.push(|_| Logged { at: now, by, kind, table: draft.table, id: draft.id, new, old });
    }
}
