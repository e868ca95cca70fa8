//! Values as clients send them, and what the platform refuses about them.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value as Json};

use super::{
    error::{Error, code},
    key,
};
use crate::{
    data::{DateBehavior, Decimal, Fact, Field, FieldKind, Link, Store, Table, Value},
    guid::Guid,
    random::mix,
    time,
};

/// How much of the platform's care a value gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leniency {
    /// As the Web API: lengths, ranges and choices count, empty text is null.
    Wire,
    /// As data that is there, however it came in: only its type counts.
    Admin,
}

/// 1753-01-01 in days since 1970.
const FIRST_DAY: i64 = -79_258;

/// Money is kept with so many places at least, whatever its column shows.
const MONEY_PLACES_MIN: u8 = 4;
/// Money and numbers with places, from minus to plus this.
const NUMBER_MAX: i64 = 100_000_000_000;

/// The values that a body writes, by field.
pub(crate) type Patch = BTreeMap<usize, Value<'static>>;

/// Reads the body of a create or an update.
pub(crate) fn read(store: &Store, table: &Table, body: &[u8], creates: bool) -> Result<Patch, Error> {
    read_object(store, table, object(table, body)?, creates)
}

/// The properties in a body.
pub(super) fn object(table: &Table, body: &[u8]) -> Result<Map<String, Json>, Error> {
    let json: Json = serde_json::from_slice(body).map_err(|error| {
        Error::payload(format!(
            "Error identified in Payload provided by the user for Entity :'{}', ----> InnerException : {error}",
            table.shape.set
        ))
    })?;
    match json {
        Json::Object(properties) => Ok(properties),
        _ => Err(Error::payload("An object was expected in the payload.")),
    }
}

/// Reads the properties of a record to create or to update.
pub(super) fn read_object(
    store: &Store,
    table: &Table,
    properties: Map<String, Json>,
    creates: bool,
) -> Result<Patch, Error> {
    let mut patch = Patch::new();
    for (name, json) in properties {
        let (field, value) = match name.split_once('@') {
            None => named(table, &name, json)?,
            Some((navigation, "odata.bind")) => bound(store, table, navigation, &json)?,
            Some(_) => continue,
        };
        let column = &table.fields[field];
        let may = if creates { column.can_create } else { column.can_update };
        let is_key = column.fact == Some(Fact::Id);
        // The platform ignores read-only columns in a payload; the id in an update's body as well.
        if may || is_key && creates {
            check(table, column, &value)?;
            if matches!(column.kind, FieldKind::Image) {
                patch.extend(image_parts(table, column, &value));
            }
            patch.insert(field, value);
        }
    }
    Ok(patch)
}

/// What the platform makes of an image: its id, the address from which it comes in full, and its version.
fn image_parts(table: &Table, image: &Field, value: &Value<'_>) -> Vec<(usize, Value<'static>)> {
    let chance = |text: &str| text.bytes().fold(11, |chance, byte| mix(chance, u64::from(byte)));
    let made = match value {
        Value::Text(text) => {
            let id = Guid::from_u128(u128::from(chance(text)) << 64 | u128::from(mix(chance(text), 1)));
            let (table, name) = (table.shape.name, &image.name);
            let address = format!("/Image/download.aspx?Entity={table}&Attribute={name}&Id={id}");
            let version = i64::try_from(chance(text) >> 1).unwrap_or_default();
            [("id", Value::Guid(id)), ("_url", Value::text(address)), ("_timestamp", Value::Integer(version))]
        }
        _ => ["id", "_url", "_timestamp"].map(|end| (end, Value::Null)),
    };
    let place = |(end, value)| Some((table.field(&format!("{}{end}", image.name))?, value));
    made.into_iter().filter_map(place).collect()
}

/// A plain property and its value.
fn named(table: &Table, name: &str, json: Json) -> Result<(usize, Value<'static>), Error> {
    let field = match table.field(name) {
        Some(field) => field,
        None if is_reference_value(table, name) => {
            return Err(Error::new(
                400,
                code::QUERY,
                "CRM do not support direct update of Entity Reference properties, Use Navigation properties instead.",
            ));
        }
        // A reference is unbound by null under its navigation property.
        None if json.is_null() => navigation(table, name).ok_or_else(|| unknown(table, name))?.0,
        None => return Err(unknown(table, name)),
    };
    let column = &table.fields[field];
    if !column.kind.is_readable() {
        return Err(unknown(table, name));
    }
    if matches!(column.kind, FieldKind::Lookup { .. }) && !json.is_null() {
        return Err(Error::payload(format!(
            "A node of type 'PrimitiveValue' was read from the JSON reader for the navigation property '{name}': use '{name}@odata.bind'."
        )));
    }
    // A text moves on without being copied: there are many of them.
    match (&column.kind, json) {
        (kind, Json::String(text)) if kind.is_text() && !text.is_empty() => Ok((field, Value::text(text))),
        (_, json) => Ok((field, field_value(table, column, &json, Leniency::Wire)?)),
    }
}

/// Whether it is the name under which a reference is read, such as `_parentcustomerid_value`: it cannot be written.
fn is_reference_value(table: &Table, name: &str) -> bool {
    name.starts_with('_') && super::model::property(table, name).is_ok()
}

/// A reference such as `"parentcustomerid_account@odata.bind": "/accounts(guid)"`.
pub(super) fn bound(store: &Store, table: &Table, name: &str, json: &Json) -> Result<(usize, Value<'static>), Error> {
    let (field, target) = navigation(table, name).ok_or_else(|| unknown(table, name))?;
    let Some(text) = json.as_str() else {
        return if json.is_null() {
            Ok((field, Value::Null))
        } else {
            Err(Error::payload(format!("'{name}@odata.bind' takes the address of a record as text.")))
        };
    };
    let segment = key::address(text)?;
    let link = |table: &'static str, id| Ok((field, Value::Link(Link { table, id })));
    let FieldKind::Lookup { targets, .. } = &table.fields[field].kind else {
        return Err(unknown(table, name));
    };
    let Some(other) = store.set(&segment.name) else {
        // Tables that the stand-in does not hold (currencies, teams): the id is taken on trust.
        let outside = targets.iter().find(|target| store.table(target).is_none());
        return match (outside, segment.key.as_deref().and_then(Guid::parse)) {
            (Some(target), Some(id)) => link(target, id),
            _ => Err(Error::segment(&segment.name)),
        };
    };
    if !targets.contains(&other.shape.name) || target.is_some_and(|target| target != other.shape.name) {
        return Err(Error::payload(format!("A record of '{}' does not fit '{name}'.", other.shape.name)));
    }
    match key::target(other, segment.key.as_deref().unwrap_or(""))? {
        key::Target::Id(id) if other.get(id).is_some() => link(other.shape.name, id),
        key::Target::Alternate(Some(id), _) => link(other.shape.name, id),
        key::Target::Id(id) => Err(Error::missing(other.shape.name, id)),
        key::Target::Alternate(None, _) => {
            Err(Error::new(404, code::KEY_MISSING, "A record with the specified key values does not exist."))
        }
    }
}

/// The field behind a navigation property, and the table that it fixes: `parentcustomerid_account`, `ownerid`.
pub(super) fn navigation(table: &Table, name: &str) -> Option<(usize, Option<&'static str>)> {
    table.fields.iter().enumerate().find_map(|(index, field)| {
        let FieldKind::Lookup { targets, .. } = &field.kind else {
            return None;
        };
        if field.name == name {
            return Some((index, None));
        }
        let target = name.strip_prefix(field.name.as_str())?.strip_prefix('_')?;
        targets.iter().find(|known| **known == target).map(|target| (index, Some(*target)))
    })
}

pub(super) fn unknown(table: &Table, name: &str) -> Error {
    Error::payload(format!(
        "Error identified in Payload provided by the user for Entity :'{}', For more information on this error please follow this help link https://go.microsoft.com/fwlink/?linkid=2195293  ----> InnerException : Microsoft.Crm.CrmException: Invalid property '{name}' was found in entity 'Microsoft.Dynamics.CRM.{}'. ---> Microsoft.OData.ODataException: The property '{name}' does not exist on type 'Microsoft.Dynamics.CRM.{}'. Make sure to only use property names that are defined by the type.",
        table.shape.set, table.shape.name, table.shape.name
    ))
}

/// A JSON value as a field's value, or what is wrong with its type.
pub(crate) fn field_value(
    table: &Table,
    field: &Field,
    json: &Json,
    leniency: Leniency,
) -> Result<Value<'static>, Error> {
    let wrong = || {
        Error::payload(format!(
            "Error identified in Payload provided by the user for Entity :'{}', ----> InnerException : System.FormatException: Cannot convert the literal '{}' to the expected type of '{}'.",
            table.shape.set,
            json,
            super::types::type_name(&field.kind).attribute_type
        ))
    };
    let number = || {
        if json.is_number() { Decimal::parse(&json.to_string()) } else { None }
    };
    Ok(match (&field.kind, json) {
        (_, Json::Null) => Value::Null,
        (kind, Json::String(text)) if kind.is_text() => {
            if text.is_empty() && leniency == Leniency::Wire {
                Value::Null
            } else {
                Value::text(text)
            }
        }
        (FieldKind::Image, Json::String(text)) => {
            STANDARD.decode(text).map_err(|_| wrong())?;
            Value::text(text)
        }
        (FieldKind::Newest, Json::Object(_) | Json::Array(_)) => Value::text(json.to_string()),
        (FieldKind::ManagedProperty, Json::Bool(flag)) => Value::Boolean(*flag),
        (FieldKind::ManagedProperty, Json::Object(parts)) => {
            Value::Boolean(parts.get("Value").and_then(Json::as_bool).ok_or_else(wrong)?)
        }
        (FieldKind::Guid | FieldKind::File, Json::String(text)) => Value::Guid(Guid::parse(text).ok_or_else(wrong)?),
        (FieldKind::DateTime(behavior), Json::String(text)) => {
            let value = date(*behavior, text).ok_or_else(wrong)?;
            if leniency == Leniency::Wire && is_too_early(&value) {
                return Err(Error::new(
                    400,
                    code::DATE,
                    format!(
                        "DateTime is less than minumum value supported by CrmDateTime. Actual value: {text}, Minimum value supported: 01/01/1753 00:00:00"
                    ),
                ));
            }
            value
        }
        (FieldKind::Boolean { .. }, Json::Bool(flag)) => Value::Boolean(*flag),
        (FieldKind::MultiPicklist(_), Json::String(text)) => choices(text).ok_or_else(wrong)?,
        (FieldKind::Double { .. }, Json::Number(number)) => Value::Double(number.as_f64().ok_or_else(wrong)?),
        (FieldKind::Money { precision } | FieldKind::Decimal { precision }, Json::Number(_)) => {
            let least = if let FieldKind::Money { .. } = field.kind { MONEY_PLACES_MIN } else { 0 };
            Value::Decimal(number().ok_or_else(wrong)?.rescaled((*precision).max(least)))
        }
        (FieldKind::Lookup { targets, .. }, Json::String(text)) => {
            let table = targets.first().ok_or_else(wrong)?;
            Value::Link(Link { table, id: Guid::parse(text).ok_or_else(wrong)? })
        }
        (FieldKind::Lookup { targets, .. }, Json::Object(link)) => {
            let name = link.get("table").and_then(Json::as_str).ok_or_else(wrong)?;
            let table = targets.iter().find(|target| **target == name).ok_or_else(wrong)?;
            Value::Link(Link {
                table,
                id: link.get("id").and_then(Json::as_str).and_then(Guid::parse).ok_or_else(wrong)?,
            })
        }
        (kind, Json::Number(_))
            if !kind.choices().is_empty() || matches!(kind, FieldKind::Integer { .. } | FieldKind::BigInt) =>
        {
            Value::Integer(number().and_then(Decimal::to_integer).ok_or_else(wrong)?)
        }
        _ => return Err(wrong()),
    })
}

fn date(behavior: DateBehavior, text: &str) -> Option<Value<'static>> {
    match behavior {
        DateBehavior::DateOnly => time::parse_date(text).or_else(|| time::parse_date(text.get(..10)?)).map(Value::Date),
        DateBehavior::UserLocal | DateBehavior::TimeZoneIndependent => {
            time::parse_instant(text).or_else(|| Some(time::parse_date(text)? * time::DAY)).map(Value::Instant)
        }
    }
}

/// Whether it lies before what the platform's database can hold.
fn is_too_early(value: &Value<'_>) -> bool {
    match value {
        Value::Date(days) => *days < FIRST_DAY,
        Value::Instant(seconds) => *seconds < FIRST_DAY * time::DAY,
        _ => false,
    }
}

fn choices(text: &str) -> Option<Value<'static>> {
    let mut choices = text.split(',').map(|choice| choice.trim().parse().ok()).collect::<Option<Vec<i64>>>()?;
    choices.sort_unstable();
    choices.dedup();
    Some(Value::Choices(choices))
}

/// The value of an alternate key's field, which stands in a URL as text.
pub(super) fn key_value(table: &Table, field: usize, text: &str) -> Option<Value<'static>> {
    let column = &table.fields[field];
    let json = match &column.kind {
        kind if kind.is_text() => Json::from(text),
        FieldKind::Guid | FieldKind::DateTime(_) | FieldKind::Lookup { .. } | FieldKind::MultiPicklist(_) => {
            Json::from(text)
        }
        _ => serde_json::from_str(text).ok()?,
    };
    field_value(table, column, &json, Leniency::Admin).ok()
}

/// Lengths, ranges and choices, which only the wire enforces.
fn check(table: &Table, field: &Field, value: &Value<'_>) -> Result<(), Error> {
    let (name, entity) = (&field.name, table.shape.name);
    if value.is_null() && field.required == crate::data::Required::System {
        return Err(Error::payload(format!("'{name}' of '{entity}' is required by the system and cannot be null.")));
    }
    match (&field.kind, value) {
        (FieldKind::Text { length_max, .. } | FieldKind::Memo { length_max }, Value::Text(text))
            if text.encode_utf16().count() > *length_max =>
        {
            Err(Error::new(
                400,
                code::TOO_LONG,
                format!(
                    "A validation error occurred.  The length of the '{name}' attribute of the '{entity}' entity exceeded the maximum allowed length of '{length_max}'."
                ),
            ))
        }
        (FieldKind::Integer { min, max }, Value::Integer(number)) if !(min..=max).contains(&number) => Err(Error::new(
            400,
            code::INTEGER,
            format!(
                "A validation error occurred. The value of '{name}' on record of type '{entity}' is outside the valid range."
            ),
        )),
        (FieldKind::Decimal { .. }, Value::Decimal(number))
            if number.comparable().abs() > Decimal::new(i128::from(NUMBER_MAX), 0).comparable() =>
        {
            Err(Error::new(
                400,
                code::DECIMAL,
                format!(
                    "A validation error occurred. The value of '{name}' on record of type '{entity}' is outside the valid range."
                ),
            ))
        }
        (kind, Value::Integer(number)) if !kind.choices().is_empty() => check_choices(table, field, &[*number]),
        (FieldKind::MultiPicklist(_), Value::Choices(numbers)) => check_choices(table, field, numbers),
        _ => Ok(()),
    }
}

fn check_choices(table: &Table, field: &Field, numbers: &[i64]) -> Result<(), Error> {
    let accepted: Vec<i64> = field.kind.choices().iter().map(|choice| choice.value).collect();
    match numbers.iter().find(|number| !accepted.contains(number)) {
        None => Ok(()),
        Some(number) => Err(Error::new(
            400,
            code::CHOICE,
            format!(
                "A validation error occurred. The value {number} of '{}' on record of type '{}' is outside the valid range. Accepted Values: {}",
                field.name,
                table.shape.name,
                crate::data::value::choice_text(&accepted)
            ),
        )),
    }
}
