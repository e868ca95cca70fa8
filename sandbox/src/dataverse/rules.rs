//! What the platform holds against a write although each of its values is right: states, alternate keys, duplicates.

use super::{
    call::Call,
    error::{Error, code},
    payload::Patch,
};
use crate::{
    data::{KeyStatus, Table, Value},
    guid::Guid,
};

/// A state without its reason gets the first reason of that state, and the other way round; both must fit each other.
pub(super) fn complete_state(table: &Table, id: Guid, patch: &mut Patch) -> Result<(), Error> {
    let (Some(state), Some(status)) = (table.field("statecode"), table.field("statuscode")) else {
        return Ok(());
    };
    let reasons = table.fields[status].kind.choices();
    let state_of = |reason: i64| reasons.iter().find(|own| own.value == reason).and_then(|own| own.state);
    match (patch.get(&state), patch.get(&status)) {
        (Some(Value::Integer(value)), None) => {
            if let Some(reason) = reasons.iter().find(|reason| reason.state == Some(*value)) {
                patch.insert(status, Value::Integer(reason.value));
            }
        }
        (None, Some(Value::Integer(value))) => {
            if let Some(of) = state_of(*value) {
                patch.insert(state, Value::Integer(of));
            }
        }
        (Some(Value::Integer(value)), Some(Value::Integer(reason))) if state_of(*reason) != Some(*value) => {
            let states = table.fields[state].kind.choices();
            let label = states.iter().find(|own| own.value == *value).map_or("", |own| own.label.as_str());
            return Err(Error::new(
                400,
                code::STATE,
                format!(
                    "{reason} is not a valid status code for state code {}State.{label} on {} with Id {id}.",
                    table.shape.schema_name, table.shape.name
                ),
            ));
        }
        _ => {}
    }
    Ok(())
}

/// Refuses values of an alternate key that another record has.
pub(super) fn check_keys(table: &Table, id: Guid, patch: &Patch) -> Result<(), Error> {
    for declared in table.keys.iter().filter(|key| key.status == KeyStatus::Active) {
        if is_taken(table, id, patch, &declared.fields, declared.index) {
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

/// Refuses what a duplicate-detection rule finds another record for, if the client or the rule itself wants it asked.
pub(super) fn check_duplicates(table: &Table, id: Guid, patch: &Patch, call: &Call) -> Result<(), Error> {
    if table.rules.is_empty() {
        return Ok(());
    }
    let wanted = call.header("mscrm.suppressduplicatedetection").is_some_and(|text| text.eq_ignore_ascii_case("false"));
    let mut rules = table.rules.iter().filter(|rule| wanted || rule.always);
    if rules.any(|rule| is_taken(table, id, patch, &rule.fields, rule.index)) {
        // Documented as a server error, although only this record is at fault.
        return Err(Error::new(
            500,
            code::DUPLICATE,
            "A record was not created or updated because a duplicate of the current record already exists.",
        ));
    }
    Ok(())
}

/// Whether another record has the values that this write leaves in these fields; no, where it leaves them as they are.
fn is_taken(table: &Table, id: Guid, patch: &Patch, fields: &[usize], index: usize) -> bool {
    if !fields.iter().any(|field| patch.contains_key(field)) {
        return false;
    }
    let record = table.get(id);
    let value = |field: &usize| match (patch.get(field), record) {
        (Some(value), _) => value.clone(),
        (None, Some(record)) => table.value(record, *field).into_owned(),
        (None, None) => Value::Null,
    };
    let values: Vec<_> = fields.iter().map(value).collect();
    table.find(index, &values, Some(id)).is_some()
}
