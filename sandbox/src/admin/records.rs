//! Putting, changing and reading records past the protocol.

use std::ops::Bound;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::{Admin, Refused};
use crate::{
    data::{self, By, Draft, Fact, FieldKind, Record, Store, Table},
    dataverse::{Leniency, field_value},
    faults::Edit,
    guid::Guid,
    time,
};

/// Records that one call can change at most.
const CHANGED_MAX: usize = 1_000_000;

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
        if self.salesforce().has(set) {
            return self.salesforce().put(set, id, fields);
        }
        let now = self.state.clock.now();
        let mut store = self.state.store_mut();
        let table = table_index(&store, set)?;
        let draft = draft(&store.tables[table], table, parse_id(id)?, fields)?;
        store.write(draft, now, By::Admin);
        Ok(())
    }

    /// Creates or changes many records, each with its id in its fields (`contactid`, or `id`). All or none.
    pub fn put_all(&self, set: &str, records: &[Json]) -> Result<(), Refused> {
        if self.salesforce().has(set) {
            return self.salesforce().create(set, records).map(|_| ());
        }
        let now = self.state.clock.now();
        let mut store = self.state.store_mut();
        let index = table_index(&store, set)?;
        let table = &store.tables[index];
        let mut drafts = Vec::with_capacity(records.len());
        for (place, record) in records.iter().enumerate() {
            let id = record.get(table.shape.id_field).or_else(|| record.get("id")).and_then(Json::as_str);
            let id = id.ok_or_else(|| Refused(format!("record {place} has no \"{}\"", table.shape.id_field)))?;
            let draft = draft(table, index, parse_id(id)?, record)
                .map_err(|refused| Refused(format!("record {place}: {refused}")))?;
            drafts.push(draft);
        }
        for draft in drafts {
            store.write(draft, now, By::Admin);
        }
        Ok(())
    }

    /// A record with all its fields that are not null, and its `versionnumber`.
    pub fn record(&self, set: &str, id: &str) -> Result<Option<Json>, Refused> {
        if self.salesforce().has(set) {
            return self.salesforce().record(set, id);
        }
        let store = self.state.store();
        let table = &store.tables[table_index(&store, set)?];
        Ok(table.get(parse_id(id)?).map(|record| shown(table, record)))
    }

    /// All records of a set that are visible now, each as [`record`](Self::record) gives it, in the order of their ids.
    pub fn records(&self, set: &str) -> Result<Vec<Json>, Refused> {
        if self.salesforce().has(set) {
            return self.salesforce().records(set);
        }
        let store = self.state.store();
        let table = &store.tables[table_index(&store, set)?];
        Ok(table.by_id(Bound::Unbounded, Bound::Unbounded, false).map(|record| shown(table, record)).collect())
    }

    /// Deletes a record. False if there is none.
    pub fn delete(&self, set: &str, id: &str) -> Result<bool, Refused> {
        if self.salesforce().has(set) {
            return self.salesforce().delete(set, id);
        }
        let now = self.state.clock.now();
        let mut store = self.state.store_mut();
        let table = table_index(&store, set)?;
        Ok(store.delete(table, parse_id(id)?, now, By::Admin))
    }

    /// Whether an edit could be made.
    pub(super) fn check_edit(&self, edit: &Edit) -> Result<(), Refused> {
        if self.salesforce().has(&edit.set) {
            return self.salesforce().check_edit(&edit.set, &edit.id, edit.fields.as_ref());
        }
        let store = self.state.store();
        let table = table_index(&store, &edit.set)?;
        let id = parse_id(&edit.id)?;
        match &edit.fields {
            Some(fields) => draft(&store.tables[table], table, id, fields).map(drop),
            None => Ok(()),
        }
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
        if self.salesforce().has(set) {
            return self.salesforce().clear(set);
        }
        let mut store = self.state.store_mut();
        let table = table_index(&store, set)?;
        store.clear(table);
        Ok(())
    }

    /// Changes that many existing records as people do (a telephone number, a city, a last name), drawn by the seed, and
    /// returns their ids.
    pub fn change(&self, set: &str, count: usize, seed: u64) -> Result<Vec<String>, Refused> {
        if count > CHANGED_MAX {
            return Err(Refused(format!("at most {CHANGED_MAX} records can be changed at once")));
        }
        if self.salesforce().has(set) {
            return self.salesforce().change(set, count, seed);
        }
        let now = self.state.clock.now();
        let mut store = self.state.store_mut();
        let table = table_index(&store, set)?;
        let ids = data::change::as_people_do(&mut store, table, count, seed, now);
        Ok(ids.iter().map(Guid::to_string).collect())
    }

    /// Counts of records, changes, requests, tokens and faults.
    pub fn state(&self) -> State {
        let store = self.state.store();
        let count = |table: &Table| SetCount { records: table.len(), written: table.written_count() };
        let dataverse = store.tables.iter().map(|table| (table.shape.set.to_owned(), count(table)));
        let salesforce = self.salesforce().counts().into_iter();
        let salesforce = salesforce.map(|(set, (records, written))| (set, SetCount { records, written }));
        State {
            sets: dataverse.chain(salesforce).collect(),
            hidden_changes: store.late_count() + self.salesforce().late_count(),
            requests: self.state.requests().next() - 1,
            changes: store.next_change() - 1,
            tokens: self.state.tokens().len(),
            faults: self.state.faults().reports().len(),
        }
    }
}

/// A record with all its fields that are not null.
fn shown(table: &Table, record: Record<'_>) -> Json {
    let fields = table.fields.iter().enumerate().filter(|(_, field)| field.kind.is_readable());
    let values = fields.map(|(index, field)| (field.name.clone(), table.value(record, index).to_json()));
    Json::Object(values.filter(|(_, value)| !value.is_null()).collect())
}

/// The table of a set.
pub(super) fn table_index(store: &Store, set: &str) -> Result<usize, Refused> {
    store.table_index(set).ok_or_else(|| {
        let known: Vec<_> = store.tables.iter().map(|table| table.shape.set).collect();
        Refused(format!("there is no set \"{set}\": the sets are {}", known.join(", ")))
    })
}

fn parse_id(id: &str) -> Result<Guid, Refused> {
    Guid::parse(id)
        .ok_or_else(|| Refused(format!("\"{id}\" is no id: write it as c0000000-0000-4000-8000-000000000001")))
}

fn draft(table: &Table, index: usize, id: Guid, fields: &Json) -> Result<Draft, Refused> {
    let Json::Object(fields) = fields else {
        return Err(Refused("a record is a JSON object of field names and values".into()));
    };
    let mut draft = Draft {
        table: index,
        id,
        values: std::collections::BTreeMap::new(),
        created_on: instant(fields, "createdon")?,
        modified_on: instant(fields, "modifiedon")?,
        visible_from: instant(fields, "@visibleFrom")?,
    };
    for (name, json) in fields {
        if matches!(name.as_str(), "createdon" | "modifiedon" | "@visibleFrom" | "id") || name == table.shape.id_field {
            continue;
        }
        let (field, value) = value(table, name, json)?;
        draft.values.insert(field, value);
    }
    Ok(draft)
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
