//! `CreateMultiple`, `UpdateMultiple` and `UpsertMultiple`: many records in one transaction, all or none.

use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use super::{
    call::Call,
    error::{Error, code},
    key::{self, Target},
    parts::{Parts, injected},
    payload, single,
};
use crate::{
    data::{Store, Table, Value},
    faults,
    guid::Guid,
    reply::Reply,
    state::State,
};

const NAMESPACE: &str = "Microsoft.Dynamics.CRM.";

/// The bulk messages of a standard table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message {
    Create,
    Update,
    Upsert,
    Delete,
}

impl Message {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Create, "CreateMultiple"),
        (Self::Update, "UpdateMultiple"),
        (Self::Upsert, "UpsertMultiple"),
        (Self::Delete, "DeleteMultiple"),
    ];

    /// The message behind `Microsoft.Dynamics.CRM.CreateMultiple`.
    pub(super) fn of_segment(name: &str) -> Option<Self> {
        let name = name.strip_prefix(NAMESPACE)?;
        Self::ALL.iter().find(|(_, own)| *own == name).map(|(message, _)| *message)
    }
}

/// Answers `POST /contacts/Microsoft.Dynamics.CRM.CreateMultiple` and its like.
pub(super) fn answer(
    store: &mut Store,
    state: &State,
    index: usize,
    message: Message,
    call: &Call,
) -> Result<Reply, Error> {
    if message == Message::Delete {
        return Err(Error::new(501, code::UNEXPECTED, "DeleteMultiple has not yet been implemented."));
    }
    let targets = targets(&store.tables[index], &call.body)?;
    let parts = Parts::new(state, call.now);
    let mut delay = Duration::ZERO;
    // Within a change set the transaction is the change set's.
    let owns = !store.is_in_transaction();
    if owns {
        store.begin();
    }
    let mut ids = Vec::with_capacity(targets.len());
    for target in targets {
        let faults = parts.of_record(call, &target);
        delay = delay.saturating_add(faults::delay(&faults));
        let written = match injected(&faults) {
            Some(error) => Err(error),
            None => one(store, state, index, message, target, call),
        };
        match written {
            Ok(id) => ids.push(id),
            Err(error) => {
                if owns {
                    store.roll_back();
                }
                return Err(Error { delay, ..error });
            }
        }
    }
    if owns {
        store.commit();
    }
    if message != Message::Create {
        return Ok(Reply { delay, ..Reply::empty(204) }.header("OData-Version", "4.0"));
    }
    let context = format!("{}$metadata#{NAMESPACE}CreateMultipleResponse", call.root());
    let ids: Vec<String> = ids.iter().map(Guid::to_string).collect();
    let reply = Reply { delay, ..Reply::json(200, &json!({"@odata.context": context, "Ids": ids})) };
    Ok(reply.header("OData-Version", "4.0"))
}

fn targets(table: &Table, body: &[u8]) -> Result<Vec<Map<String, Json>>, Error> {
    let mut body = payload::object(table, body)?;
    let Some(Json::Array(targets)) = body.remove("Targets") else {
        return Err(Error::payload("The parameter 'Targets' must be a collection of records."));
    };
    let expected = format!("{NAMESPACE}{}", table.shape.name);
    let target = |target| match target {
        Json::Object(target) => match target.get("@odata.type").and_then(Json::as_str) {
            Some(kind) if kind.trim_start_matches('#') == expected => Ok(target),
            Some(kind) => Err(Error::payload(format!("A type named '{kind}' could not be resolved by the model."))),
            None => {
                // Without its type a target is of the base type, which has no properties at all.
                let first = target.keys().find(|name| !name.starts_with('@')).map_or("", String::as_str);
                Err(Error::payload(format!(
                    "Invalid property '{first}' was found in entity 'Microsoft.Dynamics.CRM.crmbaseentity'. ---> Microsoft.OData.ODataException: The property '{first}' does not exist on type 'Microsoft.Dynamics.CRM.crmbaseentity'. Make sure to only use property names that are defined by the type."
                )))
            }
        },
        _ => Err(Error::payload("An object was expected in 'Targets'.")),
    };
    targets.into_iter().map(target).collect()
}

/// Writes one target and returns its id.
fn one(
    store: &mut Store,
    state: &State,
    index: usize,
    message: Message,
    target: Map<String, Json>,
    call: &Call,
) -> Result<Guid, Error> {
    let table = &store.tables[index];
    let (id, named) = if message == Message::Create { (None, Vec::new()) } else { identity(table, &target)? };
    let found = id.filter(|id| table.get(*id).is_some());
    let is_new = message == Message::Create || message == Message::Upsert && found.is_none();
    if !is_new {
        let id = found.ok_or_else(|| match id {
            Some(id) => {
                Error::new(404, code::MISSING, format!("{} With Ids = {id} Do Not Exist", table.shape.schema_name))
            }
            None => Error::no_such_key(),
        })?;
        let patch = payload::read_object(store, table, target, false)?;
        single::change(store, index, id, patch, call)?;
        return Ok(id);
    }
    let mut patch = payload::read_object(store, table, target, true)?;
    for (field, value) in named {
        if patch.insert(field, value).is_some() {
            // The platform copies the key's values into the new record and finds them there already.
            let name = &store.tables[index].fields[field].name;
            return Err(Error::new(
                400,
                code::ARGUMENT,
                format!("An item with the same key has already been added. Key: {name}"),
            ));
        }
    }
    let table = &store.tables[index];
    let id = id.or_else(|| single::given_id(table, &patch)).unwrap_or_else(|| state.new_id());
    if table.get(id).is_some() {
        return Err(Error::new(412, code::EXISTS, "Cannot insert duplicate key."));
    }
    single::insert(store, state, index, id, patch, call)?;
    Ok(id)
}

type Identity = (Option<Guid>, Vec<(usize, Value<'static>)>);

/// The record that a target means: by `@odata.id`, or by the primary key in its own properties.
fn identity(table: &Table, target: &Map<String, Json>) -> Result<Identity, Error> {
    if let Some(address) = target.get("@odata.id").and_then(Json::as_str) {
        let segment = key::address(address)?;
        if segment.name != table.shape.set {
            return Err(Error::payload(format!("'{address}' is no record of '{}'.", table.shape.set)));
        }
        return match key::target(table, segment.key.as_deref().unwrap_or(""))? {
            Target::Id(id) => Ok((Some(id), Vec::new())),
            Target::Alternate(id, named) => Ok((id, named)),
        };
    }
    let id = target.get(table.shape.id_field).and_then(Json::as_str);
    match id.map(Guid::parse) {
        Some(Some(id)) => Ok((Some(id), Vec::new())),
        _ => Err(Error::new(
            400,
            code::ARGUMENT,
            format!("Entity Id must be specified for Operation on table '{}'", table.shape.name),
        )),
    }
}
