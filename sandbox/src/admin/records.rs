//! Putting, changing and reading records past the protocol.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::{
    Admin, Refused,
    system::{Controls, System, index},
};
use crate::{
    data::{self, Draft, Fact, FieldKind, Patch, Record, Store, Table},
    dataverse::{Leniency, field_value},
    faults::Edit,
    guid::Guid,
    time,
};

/// Counts of a stand-in.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Records by set: all, and those of them that were written since the start.
    pub sets: IndexMap<String, SetCount>,
    /// Changes that are not yet visible.
    pub hidden_changes: usize,
    /// Requests logged since the start.
    pub requests: u64,
    /// Changes logged since the start.
    pub changes: u64,
    /// Tokens given and not revoked.
    pub tokens: usize,
    /// Faults asked for.
    pub faults: usize,
}

/// Counts of one set.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct SetCount {
    /// Records that a query can find.
    pub records: usize,
    /// Those of them that were created or changed since the start.
    pub written: usize,
}

impl Admin {
    /// Creates a record, or changes the fields of it that are named; the others stay.
    ///
    /// `fields` holds logical names with JSON values, and besides them `modifiedon` and `createdon` (otherwise the clock's
    /// time), and `@visibleFrom`: queries do not see this change before that time, whatever its `modifiedon`. A reference is
    /// an id, or `{"table": "account", "id": …}` where it can point to several tables. Values are taken as they are, too
    /// long ones too.
    pub fn put(&self, set: &str, id: &str, fields: &Json) -> Result<(), Refused> {
        self.change_in(set, |records, now| records.put(set, id, fields, now))
    }

    /// Creates or changes many records, each with its id in its fields (`contactid`, or `id`). All or none.
    pub fn put_all(&self, set: &str, records: &[Json]) -> Result<(), Refused> {
        self.change_in(set, |there, now| there.put_all(set, records, now).map(drop))
    }

    /// A record with all its fields that are not null, and its `versionnumber`.
    pub fn record(&self, set: &str, id: &str) -> Result<Option<Json>, Refused> {
        self.look_in(set, |records| records.record(set, id))
    }

    /// All records of a set that are visible now, each as [`record`](Self::record) gives it, in the order of their ids.
    pub fn records(&self, set: &str) -> Result<Vec<Json>, Refused> {
        self.look_in(set, |records| records.records(set))
    }

    /// Deletes a record. False if there is none.
    pub fn delete(&self, set: &str, id: &str) -> Result<bool, Refused> {
        self.change_in(set, |records, now| records.discard(set, id, now))
    }

    /// Whether an edit could be made.
    pub(super) fn check_edit(&self, edit: &Edit) -> Result<(), Refused> {
        self.look_in(&edit.set, |records| records.check(&edit.set, &edit.id, edit.fields.as_ref()))
    }

    /// Makes an edit. A record to delete that is gone already is no error.
    pub(crate) fn edit(&self, edit: &Edit) -> Result<(), Refused> {
        match &edit.fields {
            Some(fields) => self.put(&edit.set, &edit.id, fields),
            None => self.delete(&edit.set, &edit.id).map(drop),
        }
    }

    /// Empties a set, the generated records with it. Not logged record by record.
    pub fn clear(&self, set: &str) -> Result<(), Refused> {
        self.change_in(set, |records, _| records.empty(set))
    }

    /// Changes that many existing records as people do (a telephone number, a city, a last name), drawn by the seed, and
    /// returns their ids.
    pub fn change(&self, set: &str, count: usize, seed: u64) -> Result<Vec<String>, Refused> {
        self.change_in(set, |records, now| records.change(set, count, seed, now))
    }

    /// Counts of records, changes, requests, tokens and faults.
    pub fn state(&self) -> State {
        let store = self.state.store();
        let salesforce = self.state.salesforce.store(&self.state.clock);
        State {
            sets: store.counts().into_iter().chain(salesforce.counts()).collect(),
            hidden_changes: store.late_count() + salesforce.late_count(),
            requests: self.state.requests().next() - 1,
            changes: store.next_change() - 1,
            tokens: self.state.tokens().len(),
            faults: self.state.faults().reports().len(),
        }
    }

    /// Reads in the system that has a set.
    fn look_in<R>(&self, set: &str, look: impl FnOnce(&dyn Controls) -> R) -> R {
        let salesforce = self.state.salesforce.store(&self.state.clock);
        if salesforce.has(set) {
            return look(&*salesforce);
        }
        drop(salesforce);
        look(&*self.state.store())
    }

    /// Writes in the system that has a set.
    fn change_in<R>(&self, set: &str, change: impl FnOnce(&mut dyn Controls, i64) -> R) -> R {
        let now = self.state.clock.now();
        let is_salesforce = self.state.salesforce.store(&self.state.clock).has(set);
        if is_salesforce {
            return change(&mut *self.state.salesforce.store_mut(&self.state.clock), now);
        }
        change(&mut *self.state.store_mut(), now)
    }
}

/// The table of a set.
pub(super) fn table_index(store: &Store, set: &str) -> Result<usize, Refused> {
    index(store, set)
}

impl System for Table {
    const NOUN: (&'static str, &'static str) = ("set", "sets");
    const GIVES_IDS: bool = false;
    const SHOWS_BIN: bool = false;

    fn find(store: &Store, set: &str) -> Option<usize> {
        store.table_index(set)
    }

    fn is_called(&self, set: &str) -> bool {
        self.shape.set == set || self.shape.name == set
    }

    fn id_name(&self) -> &str {
        self.shape.id_field
    }

    fn read_id(&self, text: &str) -> Result<Guid, Refused> {
        Guid::parse(text)
            .ok_or_else(|| Refused(format!("\"{text}\" is no id: write it as c0000000-0000-4000-8000-000000000001")))
    }

    fn new_id(&self) -> Guid {
        Guid::from_u128(0)
    }

    fn draft(store: &Store, index: usize, fields: &Map<String, Json>) -> Result<Draft, Refused> {
        let table = &store.tables[index];
        let mut draft = Draft {
            created_on: instant(fields, "createdon")?,
            modified_on: instant(fields, "modifiedon")?,
            visible_from: instant(fields, "@visibleFrom")?,
            ..Draft::now(index, Guid::from_u128(0), Patch::new())
        };
        for (name, json) in fields {
            let is_own = matches!(name.as_str(), "createdon" | "modifiedon" | "@visibleFrom" | "id");
            if is_own || name == table.shape.id_field {
                continue;
            }
            let (field, value) = value(table, name, json)?;
            draft.values.insert(field, value);
        }
        Ok(draft)
    }

    fn shown(&self, record: Record<'_>) -> Json {
        let fields = self.fields.iter().enumerate().filter(|(_, field)| field.kind.is_readable());
        let values = fields.map(|(index, field)| (field.name.clone(), self.value(record, index).to_json()));
        Json::Object(values.filter(|(_, value)| !value.is_null()).collect())
    }

    fn change(store: &mut Store, table: usize, count: usize, seed: u64, now: i64) -> Vec<Guid> {
        data::change::as_people_do(store, table, count, seed, now)
    }
}

fn value(table: &Table, name: &str, json: &Json) -> Result<(usize, data::Value<'static>), Refused> {
    let plain = name.strip_prefix('_').and_then(|rest| rest.strip_suffix("_value")).unwrap_or(name);
    let index = table.field(plain).filter(|index| table.fields[*index].kind.is_readable()).ok_or_else(|| {
        Refused(format!(
            "\"{name}\" is no field of {}: add it with POST /admin/attributes/{}",
            table.shape.set, table.shape.name
        ))
    })?;
    let field = &table.fields[index];
    if matches!(field.fact, Some(Fact::Version)) {
        return Err(Refused(format!("\"{name}\" is given by the system")));
    }
    let value = field_value(table, field, json, Leniency::Admin).map_err(|_| Refused(wrong_value(field, json)))?;
    Ok((index, value))
}

fn wrong_value(field: &data::Field, json: &Json) -> String {
    let right = match &field.kind {
        kind if kind.is_text() => "a text".to_owned(),
        FieldKind::Image => "an image in base 64".to_owned(),
        FieldKind::Guid | FieldKind::File => "an id".to_owned(),
        FieldKind::DateTime(data::DateBehavior::DateOnly) => "a date such as \"2026-03-03\"".to_owned(),
        FieldKind::DateTime(_) => "a time such as \"2026-03-03T10:00:00Z\"".to_owned(),
        FieldKind::Boolean { .. } | FieldKind::ManagedProperty => "true or false".to_owned(),
        FieldKind::MultiPicklist(_) => "choices such as \"1,3\"".to_owned(),
        FieldKind::Lookup { targets, .. } => {
            format!("an id, or {{\"table\": …, \"id\": …}} with table one of {}", targets.join(", "))
        }
        _ => "a number".to_owned(),
    };
    format!("{json} does not fit \"{}\": give {right} or null", field.name)
}

fn instant(fields: &Map<String, Json>, name: &str) -> Result<Option<i64>, Refused> {
    let Some(json) = fields.get(name) else {
        return Ok(None);
    };
    let seconds = json.as_str().and_then(time::parse_instant);
    seconds
        .map(Some)
        .ok_or_else(|| Refused(format!("{json} does not fit \"{name}\": give a time such as \"2026-03-03T10:00:00Z\"")))
}
