//! Writing one record: the fields of a request into values, then into the store.

use serde_json::{Map, Value as Json};

use super::{
    Request,
    error::Error,
    schema::{Field, Kind},
    store::{Author, Stamp, Store},
    table::{Row, RowState, Table, key},
    validate::{Input, value},
    value::Value,
};
use crate::{data::By, faults::Route, state::State};

/// Whether a record is made or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// A new one.
    New,
    /// The one of this number.
    Existing(u32),
}

/// Who writes, and what the request's headers allow.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// Who, and when.
    pub(super) author: Author,
    /// Rules that only warn let doubles pass.
    pub(super) saves_doubles: bool,
    /// There are faults for single rows.
    has_row_faults: bool,
}

impl Request<'_> {
    /// What this request's headers allow.
    pub(super) fn terms(&self) -> Terms {
        let header = self.call.header("sforce-duplicate-rule-header").unwrap_or("");
        let saves_doubles = header.split([';', ',']).any(|part| {
            part.split_once('=').is_some_and(|(name, value)| {
                name.trim().eq_ignore_ascii_case("allowSave") && value.trim().eq_ignore_ascii_case("true")
            })
        });
        Terms::new(self.state, Author { now: self.call.now, by: By::Wire }, saves_doubles)
    }

    /// The error that a fault has for a row, if one fires on its text.
    pub(super) fn row_fault(&self, terms: &Terms, text: impl Fn() -> String) -> Result<(), Error> {
        row_fault(self.state, terms, text)
    }
}

impl Terms {
    /// Who writes, and whether doubles are saved where a rule only warns.
    pub(super) fn new(state: &State, author: Author, saves_doubles: bool) -> Self {
        Self { author, saves_doubles, has_row_faults: state.faults().any_of(Route::Part) }
    }
}

/// The error that a fault has for a row, if one fires on its text.
pub(super) fn row_fault(state: &State, terms: &Terms, text: impl Fn() -> String) -> Result<(), Error> {
    if !terms.has_row_faults {
        return Ok(());
    }
    let text = text();
    match state.faults().fire_answer(Route::Part, terms.author.now, |part| text.contains(part)) {
        Some(fault) => {
            let code = fault.code.as_deref().unwrap_or("UNABLE_TO_LOCK_ROW");
            let message = fault.message.as_deref().unwrap_or("unable to obtain exclusive access to this record");
            Err(Error::new(code, message).status(fault.status.unwrap_or(400)))
        }
        None => Ok(()),
    }
}

/// The fields of a JSON object as values. `attributes` and the names in `without` are passed over.
pub(super) fn values(
    store: &Store,
    table: usize,
    body: &Map<String, Json>,
    target: Target,
    without: &[&str],
) -> Result<Vec<(usize, Value)>, Error> {
    let mut values = Vec::with_capacity(body.len());
    for (name, json) in body {
        if name == "attributes" || without.iter().any(|passed| passed.eq_ignore_ascii_case(name)) {
            continue;
        }
        let object = &store.tables[table].object;
        if let Some(index) = object.field(name) {
            let field = &object.fields[index];
            check_writable(field, target)?;
            values.push((index, value(store, field, Input::Json(json))?));
        } else if let Some(index) = object.relationship(name) {
            check_writable(&object.fields[index], target)?;
            values.push((index, related(store, &object.fields[index], json)?));
        } else {
            let text = format!("No such column '{name}' on sobject of type {}", object.name);
            return Err(Error::new("INVALID_FIELD", text));
        }
    }
    Ok(values)
}

/// Refuses what only the system can give.
pub(super) fn check_writable(field: &Field, target: Target) -> Result<(), Error> {
    let (can, verb) = match target {
        Target::New => (field.createable, "create"),
        Target::Existing(_) => (field.updateable, "update"),
    };
    if can {
        return Ok(());
    }
    let text = format!(
        "Unable to {verb} fields: {}. Please check the security settings of this field and verify that it is read/write for your profile or permission set.",
        field.name
    );
    Err(Error::field("INVALID_FIELD_FOR_INSERT_UPDATE", text, &field.name))
}

/// `{"ExtId__c": "A1"}`: the id of the record that has it.
fn related(store: &Store, field: &Field, json: &Json) -> Result<Value, Error> {
    let Json::Object(body) = json else {
        return if json.is_null() {
            Ok(Value::Null)
        } else {
            Err(Error::json(format!("Cannot deserialize {} from {json}", field.name)))
        };
    };
    let mut keys = body.iter().filter(|(name, _)| *name != "attributes");
    match (keys.next(), keys.next()) {
        (Some((name, key)), None) => related_by(store, field, name, Input::Json(key)),
        _ => Err(Error::new("INVALID_FIELD", format!("{} must be given by exactly one external ID field", field.name))),
    }
}

/// The id of the record that a reference's target has under an external id.
pub(super) fn related_by(store: &Store, field: &Field, name: &str, key: Input<'_>) -> Result<Value, Error> {
    let Kind::Reference { to, .. } = &field.kind else {
        return Err(Error::new("INVALID_FIELD", format!("{} is no reference", field.name)));
    };
    let target = to.iter().filter_map(|object| store.index(object)).find_map(|table| {
        let index = store.tables[table].object.field(name)?;
        Some((&store.tables[table], index))
    });
    let object = to.first().copied().unwrap_or_default();
    let Some((table, index)) = target.filter(|(table, index)| {
        let field = &table.object.fields[*index];
        field.external_id || field.kind == Kind::Id
    }) else {
        return Err(Error::new("INVALID_FIELD", format!("{name} is not an External ID or indexed field for {object}")));
    };
    let key = value(store, &table.object.fields[index], key)?;
    if key.is_null() {
        return Ok(Value::Null);
    }
    let found = match (&table.object.fields[index].kind, key.as_text()) {
        (Kind::Id, Some(text)) => super::Id::parse(text).and_then(|id| table.number(id)).into_iter().collect(),
        _ => table.find(index, &key),
    };
    let shown = key.to_json();
    let shown = shown.as_str().map_or_else(|| shown.to_string(), str::to_owned);
    match found.as_slice() {
        [number] => Ok(Value::text(table.id(*number).as_str())),
        [] => Err(Error::new(
            "INVALID_FIELD",
            format!("Foreign key external ID: {} not found for field {name} in entity {object}", shown.to_lowercase()),
        )),
        _ => Err(Error::new(
            "DUPLICATE_EXTERNAL_ID",
            format!("{name}: more than one record found for external id field: {shown}"),
        )),
    }
}

/// Writes a record after every check, and returns its number.
pub(super) fn write(
    store: &mut Store,
    table: usize,
    target: Target,
    values: Vec<(usize, Value)>,
    terms: &Terms,
) -> Result<u32, Error> {
    let number = check(store, table, target, &values, terms)?;
    match target {
        Target::New => Ok(store.create(table, values, Stamp::default(), terms.author)),
        Target::Existing(_) => {
            store.save(table, number, values, Stamp::default(), terms.author);
            Ok(number)
        }
    }
}

fn check(store: &Store, index: usize, target: Target, values: &[(usize, Value)], terms: &Terms) -> Result<u32, Error> {
    let table = &store.tables[index];
    let object = &table.object;
    if !object.writable {
        let text = "insufficient access rights on cross-reference id";
        return Err(Error::new("INSUFFICIENT_ACCESS_OR_READONLY", text).status(403));
    }
    let number = match target {
        Target::New => table.next(),
        Target::Existing(number) => match table.get(number).map(|record| record.state()) {
            Some(RowState::Live) => number,
            Some(_) => return Err(deleted()),
            None => return Err(Error::new("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id").status(404)),
        },
    };
    check_required(&object.fields, target, values)?;
    check_unique(table, number, values)?;
    if !table.rules.validations.is_empty() || !table.rules.duplicates.is_empty() {
        let mut row = table.row_to_change(number).filter(|_| target != Target::New);
        let row = row.get_or_insert_with(|| Row::new(key(number), terms.author.now));
        row.values.extend(values.iter().cloned());
        table.rules.check(store, table, row, terms.saves_doubles)?;
    }
    Ok(number)
}

fn check_required(fields: &[Field], target: Target, values: &[(usize, Value)]) -> Result<(), Error> {
    let is_missing = |(index, field): &(usize, &Field)| {
        let given = values.iter().rev().find(|(at, _)| at == index).map(|(_, value)| value);
        field.required
            && match given {
                Some(value) => value.is_null(),
                None => target == Target::New,
            }
    };
    let missing: Vec<String> =
        fields.iter().enumerate().filter(is_missing).map(|(_, field)| field.name.clone()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut error =
        Error::new("REQUIRED_FIELD_MISSING", format!("Required fields are missing: [{}]", missing.join(", ")));
    error.fields = missing;
    Err(error)
}

/// Refuses to restore a record whose unique values another one has by now.
pub(super) fn check_undelete(table: &Table, number: u32) -> Result<(), Error> {
    let Some(record) = table.get(number).filter(|record| record.state() != RowState::Live) else { return Ok(()) };
    let unique = table.object.fields.iter().enumerate().filter(|(_, field)| field.unique);
    let values: Vec<_> = unique.map(|(index, _)| (index, table.value(record, index).into_owned())).collect();
    check_unique(table, number, &values)
}

fn check_unique(table: &Table, number: u32, values: &[(usize, Value)]) -> Result<(), Error> {
    for (index, value) in values {
        let field = &table.object.fields[*index];
        if !field.unique || value.is_null() {
            continue;
        }
        if let Some(other) = table.find(*index, value).into_iter().find(|other| *other != number) {
            let id = table.id(other);
            let text = format!("duplicate value found: {} duplicates value on record with id: {id}", field.name);
            return Err(Error::field("DUPLICATE_VALUE", text, &field.name));
        }
    }
    Ok(())
}

/// `ENTITY_IS_DELETED`.
pub(super) fn deleted() -> Error {
    Error::new("ENTITY_IS_DELETED", "entity is deleted").status(404)
}

/// Deletes a live record.
pub(super) fn delete(store: &mut Store, table: usize, number: u32, terms: &Terms) -> Result<(), Error> {
    if !store.tables[table].object.deletable {
        let text = "insufficient access rights on cross-reference id";
        return Err(Error::new("INSUFFICIENT_ACCESS_OR_READONLY", text).status(403));
    }
    match store.tables[table].get(number).map(|record| record.state()) {
        Some(RowState::Live) => {
            store.discard(table, number, terms.author);
            Ok(())
        }
        Some(_) => Err(deleted()),
        None if store.tables[table].is_gone(number) => Err(deleted()),
        None => Err(Error::new("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id").status(404)),
    }
}
