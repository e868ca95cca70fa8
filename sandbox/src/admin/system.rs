//! What the admin API does with the records of any system, and the little that a system adds to it.

use std::ops::Bound;

use serde_json::{Map, Value as Json};

use super::{Refused, SetCount};
use crate::{
    data::{By, Draft, Held, Record, Store},
    guid::Guid,
};

/// Records that one call can change at most.
const CHANGED_MAX: usize = 1_000_000;

/// What the admin API must know of a system.
pub(crate) trait System: Held {
    /// What a table is called in messages, one and several.
    const NOUN: (&'static str, &'static str);
    /// New records need no id of their own.
    const GIVES_IDS: bool;
    /// Records in the recycle bin are shown as well.
    const SHOWS_BIN: bool;

    /// The index of a table by its name.
    fn find(store: &Store<Self>, set: &str) -> Option<usize>;
    /// Whether a table has just this name, which no other system has.
    fn is_called(&self, set: &str) -> bool;
    /// The name under which a record has its id.
    fn id_name(&self) -> &str;
    /// The id that a text is, or how ids are written.
    fn read_id(&self, text: &str) -> Result<Guid, Refused>;
    /// The id of the next new record.
    fn new_id(&self) -> Guid;
    /// What is to be written of a record with these fields, under any id.
    fn draft(store: &Store<Self>, table: usize, fields: &Map<String, Json>) -> Result<Draft, Refused>;
    /// A record with all its fields that are not null.
    fn shown(&self, record: Record<'_>) -> Json;
    /// Writes a record past all checks.
    fn save(store: &mut Store<Self>, draft: Draft, now: i64) {
        store.write(draft, now, By::Admin);
    }
    /// Deletes a record. False if there is none.
    fn discard(store: &mut Store<Self>, table: usize, id: Guid, now: i64) -> bool {
        store.delete(table, id, now, By::Admin)
    }
    /// Empties a table, generated records too.
    fn empty(store: &mut Store<Self>, table: usize) {
        store.clear(table);
    }
    /// Changes so many records as people do, drawn by a seed.
    fn change(store: &mut Store<Self>, table: usize, count: usize, seed: u64, now: i64) -> Vec<Guid>;
}

/// The records of a system under the controls of the admin API.
pub(crate) trait Controls {
    /// Whether a set of just this name is this system's.
    fn has(&self, set: &str) -> bool;
    /// See [`super::Admin::put`].
    fn put(&mut self, set: &str, id: &str, fields: &Json, now: i64) -> Result<(), Refused>;
    /// See [`super::Admin::put_all`]. The ids.
    fn put_all(&mut self, set: &str, records: &[Json], now: i64) -> Result<Vec<String>, Refused>;
    /// See [`super::Admin::record`].
    fn record(&self, set: &str, id: &str) -> Result<Option<Json>, Refused>;
    /// See [`super::Admin::records`].
    fn records(&self, set: &str) -> Result<Vec<Json>, Refused>;
    /// See [`super::Admin::delete`].
    fn discard(&mut self, set: &str, id: &str, now: i64) -> Result<bool, Refused>;
    /// Whether a record could be put with these fields, or deleted without any.
    fn check(&self, set: &str, id: &str, fields: Option<&Json>) -> Result<(), Refused>;
    /// See [`super::Admin::clear`].
    fn empty(&mut self, set: &str) -> Result<(), Refused>;
    /// See [`super::Admin::change`].
    fn change(&mut self, set: &str, count: usize, seed: u64, now: i64) -> Result<Vec<String>, Refused>;
    /// How many records each set has, and how many of them were written.
    fn counts(&self) -> Vec<(String, SetCount)>;
}

/// The index of a table, or which tables there are.
pub(crate) fn index<T: System>(store: &Store<T>, set: &str) -> Result<usize, Refused> {
    T::find(store, set).ok_or_else(|| {
        let known: Vec<_> = store.tables.iter().map(Held::set).collect();
        let (one, several) = T::NOUN;
        Refused(format!("there is no {one} \"{set}\": the {several} are {}", known.join(", ")))
    })
}

fn draft<T: System>(store: &Store<T>, table: usize, fields: &Json) -> Result<Draft, Refused> {
    match fields {
        Json::Object(fields) => T::draft(store, table, fields),
        _ => Err(Refused("a record is a JSON object of field names and values".into())),
    }
}

impl<T: System> Controls for Store<T> {
    fn has(&self, set: &str) -> bool {
        self.tables.iter().any(|table| table.is_called(set))
    }

    fn put(&mut self, set: &str, id: &str, fields: &Json, now: i64) -> Result<(), Refused> {
        let table = index(self, set)?;
        let id = self.tables[table].read_id(id)?;
        let draft = Draft { id, ..draft(self, table, fields)? };
        T::save(self, draft, now);
        Ok(())
    }

    fn put_all(&mut self, set: &str, records: &[Json], now: i64) -> Result<Vec<String>, Refused> {
        let index = index(self, set)?;
        let table = &self.tables[index];
        let mut drafts = Vec::with_capacity(records.len());
        for (place, record) in records.iter().enumerate() {
            let id = record.get(table.id_name()).or_else(|| record.get("id")).and_then(Json::as_str);
            if id.is_none() && !T::GIVES_IDS {
                return Err(Refused(format!("record {place} has no \"{}\"", table.id_name())));
            }
            let id = id.map(|id| table.read_id(id)).transpose()?;
            let draft = draft(self, index, record).map_err(|refused| Refused(format!("record {place}: {refused}")))?;
            drafts.push((id, draft));
        }
        let mut ids = Vec::with_capacity(drafts.len());
        for (given, draft) in drafts {
            let id = given.unwrap_or_else(|| self.tables[index].new_id());
            T::save(self, Draft { id, ..draft }, now);
            ids.push(self.tables[index].shown_id(id));
        }
        Ok(ids)
    }

    fn record(&self, set: &str, id: &str) -> Result<Option<Json>, Refused> {
        let table = &self.tables[index(self, set)?];
        let id = table.read_id(id)?;
        let records = Held::records(table);
        let binned = || records.binned(id).filter(|_| T::SHOWS_BIN).map(|row| Record::Written(row));
        Ok(records.get(id).or_else(binned).map(|record| table.shown(record)))
    }

    fn records(&self, set: &str) -> Result<Vec<Json>, Refused> {
        let table = &self.tables[index(self, set)?];
        let all = Held::records(table).by_id(Bound::Unbounded, Bound::Unbounded, false);
        Ok(all.map(|record| table.shown(record)).collect())
    }

    fn discard(&mut self, set: &str, id: &str, now: i64) -> Result<bool, Refused> {
        let table = index(self, set)?;
        let id = self.tables[table].read_id(id)?;
        Ok(T::discard(self, table, id, now))
    }

    fn check(&self, set: &str, id: &str, fields: Option<&Json>) -> Result<(), Refused> {
        let table = index(self, set)?;
        self.tables[table].read_id(id)?;
        fields.map_or(Ok(()), |fields| draft(self, table, fields).map(drop))
    }

    fn empty(&mut self, set: &str) -> Result<(), Refused> {
        let table = index(self, set)?;
        T::empty(self, table);
        Ok(())
    }

    fn change(&mut self, set: &str, count: usize, seed: u64, now: i64) -> Result<Vec<String>, Refused> {
        if count > CHANGED_MAX {
            return Err(Refused(format!("at most {CHANGED_MAX} records can be changed at once")));
        }
        let table = index(self, set)?;
        let changed = T::change(self, table, count, seed, now);
        Ok(changed.into_iter().map(|id| self.tables[table].shown_id(id)).collect())
    }

    fn counts(&self) -> Vec<(String, SetCount)> {
        let count = |table: &T| {
            let records = Held::records(table);
            (table.set().to_owned(), SetCount { records: records.len(), written: records.written_count() })
        };
        self.tables.iter().map(count).collect()
    }
}
