//! Single records: read, create, update, upsert, delete, with the conditions of `If-Match` and `If-None-Match`.

use super::{
    call::Call,
    error::{Error, code},
    key::{self, Target},
    payload::{self, Patch},
    query,
    render::{Annotations, Columns},
};
use crate::{
    data::{By, Draft, Fact, FieldKind, Store, Table, Value},
    guid::Guid,
    reply::Reply,
    state::State,
};

/// What the client demands of the record before it is touched.
#[derive(Debug, PartialEq, Eq)]
enum Condition {
    None,
    /// `If-Match: *`: it must be there.
    Exists,
    /// `If-Match: W/"1"`: it must have this version.
    Version(String),
    /// `If-None-Match: *`: it must not be there.
    Absent,
}

impl Condition {
    fn of(call: &Call) -> Self {
        match call.header("if-match").map(str::trim) {
            Some("*") => return Self::Exists,
            Some("null") | None => {}
            Some(version) => return Self::Version(version.to_owned()),
        }
        match call.header("if-none-match").map(str::trim) {
            Some("*") => Self::Absent,
            // Many clients send the word null with every request.
            _ => Self::None,
        }
    }

    fn check(&self, table: &Table, id: Guid) -> Result<(), Error> {
        match (self, table.get(id)) {
            (Self::Exists | Self::Version(_), None) => Err(Error::missing(table.shape.name, id)),
            (Self::Version(expected), Some(record)) if *expected != etag(table.version(record)) => Err(Error::new(
                412,
                code::VERSION,
                "The version of the existing record doesn't match the RowVersion property provided.",
            )),
            (Self::Absent, Some(_)) => {
                Err(Error::new(412, code::EXISTS, "A record with matching key values already exists."))
            }
            _ => Ok(()),
        }
    }
}

impl Error {
    /// There is no such record: 404.
    pub(super) fn missing(table: &str, id: Guid) -> Self {
        Self::new(404, code::MISSING, format!("{table} With Id = {id} Does Not Exist"))
    }
}

/// Answers `GET /contacts(key)`.
pub(super) fn read(state: &State, index: usize, key: &str, call: &Call) -> Result<Reply, Error> {
    let store = state.store();
    let table = &store.tables[index];
    let id = existing(table, key)?;
    let record = table.get(id).ok_or_else(|| Error::missing(table.shape.name, id))?;
    let preferences = call.preferences();
    let is_same = call.header("if-none-match") == Some(etag(table.version(record)).as_str());
    if is_same && preferences.annotations.is_none() {
        return Ok(Reply::empty(304).header("ETag", etag(table.version(record))));
    }
    representation(&store, table, id, call, 200)
}

/// Answers `POST /contacts`.
pub(super) fn create(state: &State, index: usize, call: &Call) -> Result<Reply, Error> {
    let mut store = state.store_mut();
    let patch = payload::read(&store, &store.tables[index], &call.body, true)?;
    let table = &store.tables[index];
    let given = table.field(table.shape.id_field).and_then(|field| match patch.get(&field) {
        Some(Value::Guid(id)) => Some(*id),
        _ => None,
    });
    let id = given.unwrap_or_else(|| state.new_id());
    Condition::Absent.check(table, id)?;
    insert(&mut store, index, id, patch, state, call)
}

/// Answers `PATCH /contacts(key)`: an upsert, unless a condition forbids one half of it.
pub(super) fn update(state: &State, index: usize, key: &str, call: &Call) -> Result<Reply, Error> {
    let mut store = state.store_mut();
    let table = &store.tables[index];
    let condition = Condition::of(call);
    let (id, named) = match key::target(table, key)? {
        Target::Id(id) => (id, Vec::new()),
        Target::Alternate(Some(id), named) => (id, named),
        Target::Alternate(None, _) if matches!(condition, Condition::Exists | Condition::Version(_)) => {
            return Err(no_such_key());
        }
        Target::Alternate(None, named) => (state.new_id(), named),
    };
    condition.check(table, id)?;
    let is_new = table.get(id).is_none();
    let mut patch = payload::read(&store, &store.tables[index], &call.body, is_new)?;
    if is_new {
        // The values in the address are values of the new record.
        for (field, value) in named {
            patch.entry(field).or_insert(value);
        }
        let reply = insert(&mut store, index, id, patch, state, call)?;
        return Ok(reply);
    }
    if let Some(field) = store.tables[index].field(store.tables[index].shape.id_field) {
        patch.remove(&field);
    }
    complete_state(&store.tables[index], &mut patch);
    check_keys(&store.tables[index], id, &patch)?;
    let draft = Draft { table: index, id, values: patch, created_on: None, modified_on: None, visible_from: None };
    store.write(draft, call.now, By::Wire);
    written(&store, &store.tables[index], id, call, false)
}

/// Answers `DELETE /contacts(key)`.
pub(super) fn delete(state: &State, index: usize, key: &str, call: &Call) -> Result<Reply, Error> {
    let mut store = state.store_mut();
    let id = existing(&store.tables[index], key)?;
    Condition::of(call).check(&store.tables[index], id)?;
    if store.delete(index, id, call.now, By::Wire) {
        Ok(Reply::empty(204).header("OData-Version", "4.0"))
    } else {
        Err(Error::missing(store.tables[index].shape.name, id))
    }
}

/// Answers `PUT /contacts(key)/firstname` and `DELETE` of it.
pub(super) fn property(state: &State, index: usize, key: &str, name: &str, call: &Call) -> Result<Reply, Error> {
    let mut store = state.store_mut();
    let table = &store.tables[index];
    let id = existing(table, key)?;
    Condition::Exists.check(table, id)?;
    super::model::property(table, name)?;
    let value = if call.method == hyper::Method::DELETE {
        serde_json::Value::Null
    } else {
        let body: serde_json::Value =
            serde_json::from_slice(&call.body).map_err(|error| Error::payload(error.to_string()))?;
        body.get("value").cloned().ok_or_else(|| Error::payload("A property is written as {\"value\": …}."))?
    };
    let body = serde_json::json!({ name: value }).to_string();
    let patch = payload::read(&store, &store.tables[index], body.as_bytes(), false)?;
    check_keys(&store.tables[index], id, &patch)?;
    let draft = Draft { table: index, id, values: patch, created_on: None, modified_on: None, visible_from: None };
    store.write(draft, call.now, By::Wire);
    Ok(Reply::empty(204).header("OData-Version", "4.0"))
}

fn existing(table: &Table, key: &str) -> Result<Guid, Error> {
    match key::target(table, key)? {
        Target::Id(id) | Target::Alternate(Some(id), _) => Ok(id),
        Target::Alternate(None, _) => Err(no_such_key()),
    }
}

fn no_such_key() -> Error {
    Error::new(404, code::KEY_MISSING, "A record with the specified key values does not exist.")
}

fn insert(
    store: &mut Store,
    index: usize,
    id: Guid,
    mut patch: Patch,
    state: &State,
    call: &Call,
) -> Result<Reply, Error> {
    let table = &store.tables[index];
    complete_state(table, &mut patch);
    check_keys(table, id, &patch)?;
    // Whoever creates a record owns it, unless the payload names another.
    for (place, field) in table.fields.iter().enumerate() {
        let is_users = matches!(&field.kind, FieldKind::Lookup { targets, .. } if targets.contains(&"systemuser"));
        if is_users && field.fact == Some(Fact::Owner) {
            patch
                .entry(place)
                .or_insert(Value::Link(crate::data::Link { table: "systemuser", id: state.organisation.user }));
        }
    }
    let draft = Draft { table: index, id, values: patch, created_on: None, modified_on: None, visible_from: None };
    store.write(draft, call.now, By::Wire);
    written(store, &store.tables[index], id, call, true)
}

/// A state without its reason gets the first reason of that state, and the other way round.
fn complete_state(table: &Table, patch: &mut Patch) {
    let (Some(state), Some(status)) = (table.field_of(Fact::State), table.field_of(Fact::Status)) else {
        return;
    };
    let reasons = table.fields[status].kind.choices();
    match (patch.get(&state).cloned(), patch.get(&status).cloned()) {
        (Some(Value::Integer(value)), None) => {
            if let Some(reason) = reasons.iter().find(|reason| reason.state == Some(value)) {
                patch.insert(status, Value::Integer(reason.value));
            }
        }
        (None, Some(Value::Integer(value))) => {
            if let Some(of) = reasons.iter().find(|reason| reason.value == value).and_then(|reason| reason.state) {
                patch.insert(state, Value::Integer(of));
            }
        }
        _ => {}
    }
}

/// Refuses values of an alternate key that another record has.
fn check_keys(table: &Table, id: Guid, patch: &Patch) -> Result<(), Error> {
    for declared in &table.keys {
        if !declared.fields.iter().any(|field| patch.contains_key(field)) {
            continue;
        }
        let present =
            |field: &usize| table.get(id).map_or(Value::Null, |record| table.value(record, *field).into_owned());
        let values: Vec<_> = declared
            .fields
            .iter()
            .map(|field| (*field, patch.get(field).cloned().unwrap_or_else(|| present(field))))
            .collect();
        if key::find(table, &values, Some(id)).is_some() {
            let names: Vec<&str> = declared.fields.iter().map(|field| table.fields[*field].label.as_str()).collect();
            let message = format!(
                "Entity Key {} violated. A record with the same value for {} already exists. A duplicate record cannot be created. Select one or more unique values and try again.",
                declared.name,
                names.join(", ")
            );
            return Err(Error::new(412, code::KEY_EXISTS, message));
        }
    }
    Ok(())
}

/// The answer to a write: 204 with the address, or the record if the client prefers it.
fn written(store: &Store, table: &Table, id: Guid, call: &Call, created: bool) -> Result<Reply, Error> {
    if call.preferences().representation {
        let reply = representation(store, table, id, call, if created { 201 } else { 200 })?;
        return Ok(reply.header("Preference-Applied", "return=representation"));
    }
    let address = format!("{}{}({id})", call.root(), table.shape.set);
    Ok(Reply::empty(204).header("OData-Version", "4.0").header("OData-EntityId", address))
}

fn representation(store: &Store, table: &Table, id: Guid, call: &Call, status: u16) -> Result<Reply, Error> {
    let record = table.get(id).ok_or_else(|| Error::missing(table.shape.name, id))?;
    let select_text = call.option("$select");
    let fields = query::select(table, select_text.as_deref())?;
    let preferences = call.preferences();
    let annotations =
        preferences.annotations.as_ref().map_or_else(Annotations::default, |(annotations, _)| *annotations);
    let select = select_text.map_or_else(String::new, |select| format!("({select})"));
    let context = format!("{}$metadata#{}{select}/$entity", call.root(), table.shape.set);
    let mut body = Vec::with_capacity(4_096);
    Columns::new(store, table, &fields, annotations).write(record, Some(&context), &mut body);
    let reply = Reply { status, headers: Vec::new(), body }
        .header("Content-Type", "application/json; odata.metadata=minimal")
        .header("OData-Version", "4.0")
        .header("ETag", etag(table.version(record)));
    Ok(match preferences.annotations {
        Some((_, list)) => reply.header("Preference-Applied", format!("odata.include-annotations=\"{list}\"")),
        None => reply,
    })
}

fn etag(version: u64) -> String {
    format!("W/\"{version}\"")
}
