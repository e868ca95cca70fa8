//! All tables of one organisation, and the one door through which they are written.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    generate::FIRST_VERSION,
    table::{Stamp, Table},
    value::Value,
};
use crate::{
    guid::Guid,
    log::{Change, ChangeKind, FieldChange, Numbered},
};

/// Changes kept for `GET /admin/changes`; the oldest fall out.
pub(crate) const CHANGES_KEPT: usize = 500_000;

/// The tables and what happened to them.
#[derive(Debug)]
pub(crate) struct Store {
    /// The tables.
    pub(crate) tables: Vec<Table>,
    /// Every change, whoever made it.
    pub(crate) changes: Numbered<Change>,
    version: u64,
    late: Vec<Late>,
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

/// A change that is not yet visible.
#[derive(Debug)]
struct Late {
    visible_from: i64,
    table: usize,
    id: Guid,
    values: BTreeMap<usize, Value<'static>>,
    stamp: Stamp,
}

impl Store {
    /// A store of these tables.
    pub(crate) fn new(tables: Vec<Table>) -> Self {
        let generated: u64 = tables.iter().map(|table| u64::from(table.generated_count())).max().unwrap_or(0);
        Self { tables, changes: Numbered::new(CHANGES_KEPT), version: FIRST_VERSION + generated, late: Vec::new() }
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
        let (due, later) = std::mem::take(&mut self.late).into_iter().partition(|late| late.visible_from <= now);
        self.late = later;
        let mut due: Vec<Late> = due;
        due.sort_by_key(|late| late.visible_from);
        for late in due {
            self.tables[late.table].put(late.id, late.values, late.stamp);
        }
    }

    /// How many changes are still hidden.
    pub(crate) fn late_count(&self) -> usize {
        self.late.len()
    }

    /// Creates or changes a record at `now` and logs it.
    pub(crate) fn write(&mut self, draft: Draft, now: i64, by: By) {
        self.version += 1;
        self.log_write(&draft, now, by);
        let stamp = Stamp {
            created_on: draft.created_on,
            modified_on: draft.modified_on.unwrap_or(now),
            version: self.version,
        };
        match draft.visible_from.filter(|visible_from| *visible_from > now) {
            Some(visible_from) => {
                self.late.push(Late { visible_from, table: draft.table, id: draft.id, values: draft.values, stamp });
            }
            None => self.tables[draft.table].put(draft.id, draft.values, stamp),
        }
    }

    /// Deletes a record at `now` and logs it. False if there is none.
    pub(crate) fn delete(&mut self, table: usize, id: Guid, now: i64, by: By) -> bool {
        let had = self.tables[table].remove(id);
        if had {
            self.version += 1;
            let set = self.tables[table].shape.set;
            self.changes.push(|number| Change {
                number,
                at: crate::time::instant_text(now),
                by,
                kind: ChangeKind::Deleted,
                set: set.to_owned(),
                id: id.to_string(),
                fields: Vec::new(),
            });
        }
        had
    }

    /// Empties a table, generated records, hidden changes and all. Not logged record by record.
    pub(crate) fn clear(&mut self, table: usize) {
        self.tables[table].clear();
        self.late.retain(|late| late.table != table);
    }

    fn log_write(&mut self, draft: &Draft, now: i64, by: By) {
        let table = &self.tables[draft.table];
        let before = table.get(draft.id);
        let kind = if before.is_some() { ChangeKind::Updated } else { ChangeKind::Created };
        let fields = draft.values.iter().map(|(field, new)| FieldChange {
            field: table.fields[*field].name.clone(),
            old: before.map_or(serde_json::Value::Null, |record| table.value(record, *field).to_json()),
            new: new.to_json(),
        });
        let fields = fields.collect();
        let (set, id) = (table.shape.set.to_owned(), draft.id.to_string());
        self.changes.push(|number| Change { number, at: crate::time::instant_text(now), by, kind, set, id, fields });
    }
}
