//! Single records: read, create, update, upsert, delete, with the conditions of `If-Match` and `If-None-Match`.

use hyper::Method;
use serde_json::json;

use super::{
    call::Call,
    error::{Error, code},
    expand,
    key::{self, Target},
    model::Scope,
    payload::{self, Patch},
    query,
    render::{Columns, write_value},
    rules,
};
use crate::{
    data::{By, Draft, Fact, FieldKind, Link, Store, Table, Value},
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

    /// No record has such values in an alternate key: 404.
    pub(super) fn no_such_key() -> Self {
        Self::new(404, code::KEY_MISSING, "A record with the specified key values does not exist.")
    }
}

/// Answers `GET /contacts(key)`.
pub(super) fn read(store: &Store, index: usize, key: &str, call: &Call) -> Result<Reply, Error> {
    let table = &store.tables[index];
    let id = existing(table, key)?;
    let record = table.get(id).ok_or_else(|| Error::missing(table.shape.name, id))?;
    let preferences = call.preferences();
    let is_same = call.header("if-none-match") == Some(etag(table.version(record)).as_str());
    if is_same && preferences.annotations.is_none() && call.option("$expand").is_none() {
        return Ok(Reply::empty(304).header("ETag", etag(table.version(record))));
    }
    representation(store, table, id, call, (200, Vec::new()))
}

/// Answers `POST /contacts`.
pub(super) fn create(store: &mut Store, state: &State, index: usize, call: &Call) -> Result<Reply, Error> {
    let patch = payload::read(store, &store.tables[index], &call.body, true)?;
    let table = &store.tables[index];
    let id = given_id(table, &patch).unwrap_or_else(|| state.new_id());
    Condition::Absent.check(table, id)?;
    insert(store, state, index, id, patch, call)?;
    written(store, index, id, call, true)
}

/// Answers `PATCH /contacts(key)`: an upsert, unless a condition forbids one half of it.
pub(super) fn update(store: &mut Store, state: &State, index: usize, key: &str, call: &Call) -> Result<Reply, Error> {
    let table = &store.tables[index];
    let condition = Condition::of(call);
    let (id, named) = match key::target(table, key)? {
        Target::Id(id) => (id, Vec::new()),
        Target::Alternate(Some(id), named) => (id, named),
        Target::Alternate(None, _) if matches!(condition, Condition::Exists | Condition::Version(_)) => {
            return Err(Error::no_such_key());
        }
        Target::Alternate(None, named) => (state.new_id(), named),
    };
    condition.check(table, id)?;
    let is_new = table.get(id).is_none();
    let mut patch = payload::read(store, table, &call.body, is_new)?;
    if is_new {
        // The values in the address are values of the new record.
        for (field, value) in named {
            patch.entry(field).or_insert(value);
        }
        insert(store, state, index, id, patch, call)?;
    } else {
        change(store, index, id, patch, call)?;
    }
    written(store, index, id, call, is_new)
}

/// Answers `DELETE /contacts(key)`.
pub(super) fn delete(store: &mut Store, index: usize, key: &str, call: &Call) -> Result<Reply, Error> {
    let id = existing(&store.tables[index], key)?;
    Condition::of(call).check(&store.tables[index], id)?;
    if store.delete(index, id, call.now, By::Wire) {
        Ok(Reply::empty(204).header("OData-Version", "4.0"))
    } else {
        Err(Error::missing(store.tables[index].shape.name, id))
    }
}

/// Answers `PUT /contacts(key)/firstname` and `DELETE` of it.
pub(super) fn property(store: &mut Store, index: usize, key: &str, name: &str, call: &Call) -> Result<Reply, Error> {
    let table = &store.tables[index];
    let id = existing(table, key)?;
    Condition::Exists.check(table, id)?;
    super::model::property(table, name)?;
    let value = if call.method == Method::DELETE {
        serde_json::Value::Null
    } else {
        let body: serde_json::Value =
            serde_json::from_slice(&call.body).map_err(|error| Error::payload(error.to_string()))?;
        body.get("value").cloned().ok_or_else(|| Error::payload("A property is written as {\"value\": …}."))?
    };
    let body = json!({ name: value }).to_string();
    let patch = payload::read(store, table, body.as_bytes(), false)?;
    change(store, index, id, patch, call)?;
    Ok(Reply::empty(204).header("OData-Version", "4.0"))
}

/// Answers `PUT /contacts(key)/parentcustomerid_account/$ref` and `DELETE` of it.
pub(super) fn reference(store: &mut Store, index: usize, key: &str, name: &str, call: &Call) -> Result<Reply, Error> {
    let table = &store.tables[index];
    let id = existing(table, key)?;
    Condition::Exists.check(table, id)?;
    let target = if call.method == Method::DELETE {
        serde_json::Value::Null
    } else {
        let body = payload::object(table, &call.body)?;
        body.get("@odata.id").cloned().ok_or_else(|| Error::payload("A reference is written as {\"@odata.id\": …}."))?
    };
    let (field, value) = payload::bound(store, table, name, &target)?;
    change(store, index, id, Patch::from([(field, value)]), call)?;
    Ok(Reply::empty(204).header("OData-Version", "4.0"))
}

/// Answers `GET /contacts(key)/lastname` and its `/$value`, and `GET /contacts(key)/parentcustomerid_account` and its `/$ref`.
pub(super) fn part(scope: Scope<'_>, key: &str, name: &str, last: Option<&str>, call: &Call) -> Result<Reply, Error> {
    let table = scope.table;
    let id = existing(table, key)?;
    let record = table.get(id).ok_or_else(|| Error::missing(table.shape.name, id))?;
    if let Ok((link, index)) = scope.navigation(name) {
        let other = &scope.store.tables[index];
        let Some(related) = scope.related(record, link, index).map(|related| other.id(related)) else {
            return Ok(Reply::empty(204).header("OData-Version", "4.0"));
        };
        if last.is_none() {
            return representation(scope.store, other, related, call, (200, Vec::new()));
        }
        let address = format!("{}{}({related})", call.root(), other.shape.set);
        let body = json!({"@odata.context": format!("{}$metadata#$ref", call.root()), "@odata.id": address});
        return Ok(Reply::json(200, &body).header("OData-Version", "4.0"));
    }
    let field = super::model::property(table, name).map_err(|_| Error::segment(name))?;
    let value = table.value(record, field);
    if value.is_null() {
        return Ok(Reply::empty(204).header("OData-Version", "4.0"));
    }
    let mut text = Vec::new();
    write_value(&value, &table.fields[field].kind, &mut text);
    if last.is_some() {
        let raw = serde_json::from_slice(&text).unwrap_or_default();
        let body = if let serde_json::Value::String(text) = raw { text.into_bytes() } else { text };
        return Ok(Reply { body, ..Reply::empty(200) }.header("Content-Type", "text/plain"));
    }
    let context = format!("{}$metadata#{}({id})/{name}", call.root(), table.shape.set);
    let head = format!("{{\"@odata.context\":{},\"value\":", serde_json::Value::from(context));
    let body = [head.as_bytes(), &text, b"}"].concat();
    let reply = Reply { body, ..Reply::empty(200) };
    Ok(reply.header("Content-Type", "application/json; odata.metadata=minimal").header("OData-Version", "4.0"))
}

/// The record that a key means, which must have one if the key is an alternate one.
pub(super) fn existing(table: &Table, key: &str) -> Result<Guid, Error> {
    match key::target(table, key)? {
        Target::Id(id) | Target::Alternate(Some(id), _) => Ok(id),
        Target::Alternate(None, _) => Err(Error::no_such_key()),
    }
}

/// The id that a new record's own values name.
pub(super) fn given_id(table: &Table, patch: &Patch) -> Option<Guid> {
    match patch.get(&table.field(table.shape.id_field)?)? {
        Value::Guid(id) => Some(*id),
        _ => None,
    }
}

/// Writes a new record, if keys and rules let it.
pub(super) fn insert(
    store: &mut Store,
    state: &State,
    index: usize,
    id: Guid,
    mut patch: Patch,
    call: &Call,
) -> Result<(), Error> {
    let table = &store.tables[index];
    rules::complete_state(table, id, &mut patch)?;
    rules::check_keys(table, id, &patch)?;
    rules::check_duplicates(table, id, &patch, call)?;
    // Whoever creates a record owns it, unless the payload names another.
    for (place, field) in table.fields.iter().enumerate() {
        let is_users = matches!(&field.kind, FieldKind::Lookup { targets, .. } if targets.contains(&"systemuser"));
        if is_users && field.fact == Some(Fact::Owner) {
            patch.entry(place).or_insert(Value::Link(Link { table: "systemuser", id: state.organisation.user }));
        }
    }
    store.write(Draft::now(index, id, patch), call.now, By::Wire);
    Ok(())
}

/// Writes other values of a record that is there, if keys and rules let it.
pub(super) fn change(store: &mut Store, index: usize, id: Guid, mut patch: Patch, call: &Call) -> Result<(), Error> {
    let table = &store.tables[index];
    if let Some(field) = table.field(table.shape.id_field) {
        patch.remove(&field);
    }
    rules::complete_state(table, id, &mut patch)?;
    rules::check_keys(table, id, &patch)?;
    rules::check_duplicates(table, id, &patch, call)?;
    store.write(Draft::now(index, id, patch), call.now, By::Wire);
    Ok(())
}

/// The answer to a write: 204 with the address, or the record if the client prefers it.
fn written(store: &Store, index: usize, id: Guid, call: &Call, created: bool) -> Result<Reply, Error> {
    let table = &store.tables[index];
    if call.preferences().representation {
        let honoured = vec!["return=representation".to_owned()];
        return representation(store, table, id, call, (if created { 201 } else { 200 }, honoured));
    }
    let address = format!("{}{}({id})", call.root(), table.shape.set);
    Ok(Reply::empty(204).header("OData-Version", "4.0").header("OData-EntityId", address))
}

fn representation(
    store: &Store,
    table: &Table,
    id: Guid,
    call: &Call,
    (status, honoured): (u16, Vec<String>),
) -> Result<Reply, Error> {
    let record = table.get(id).ok_or_else(|| Error::missing(table.shape.name, id))?;
    let select_text = call.option("$select");
    let fields = query::select(table, select_text.as_deref())?;
    let preferences = call.preferences();
    let annotations = preferences.annotations();
    let scope = Scope { store, table };
    let expansions = expand::parse(call.option("$expand").as_deref(), scope)?;
    let selection = expand::selection(select_text.as_deref(), &expansions);
    let selection = if selection.is_empty() { selection } else { format!("({selection})") };
    let context = format!("{}$metadata#{}{selection}/$entity", call.root(), table.shape.set);
    let mut body = Vec::with_capacity(4_096);
    Columns::new(scope, &fields, &expansions, annotations).write(record, Some(&context), &mut body);
    let reply = Reply { body, ..Reply::empty(status) }
        .header("Content-Type", "application/json; odata.metadata=minimal")
        .header("OData-Version", "4.0")
        .header("ETag", etag(table.version(record)));
    Ok(preferences.applied(reply, honoured))
}

fn etag(version: u64) -> String {
    format!("W/\"{version}\"")
}
