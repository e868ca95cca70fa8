//! Paths below the service root, and the keys in them: `contacts(guid)`, `contacts(emailaddress1='a@b.c')/firstname`.

use super::{error::Error, model};
use crate::{
    data::{Fact, Record, Table, Value},
    dataverse::filter,
    guid::Guid,
};

/// A path, taken apart.
#[derive(Debug, PartialEq)]
pub(crate) struct Path {
    /// Its segments in order.
    pub(crate) segments: Vec<Segment>,
}

/// One segment of a path.
#[derive(Debug, PartialEq)]
pub(crate) struct Segment {
    /// What stands before the parenthesis.
    pub(crate) name: String,
    /// What stands within, if there is one.
    pub(crate) key: Option<String>,
}

/// The record that a key means.
#[derive(Debug, PartialEq)]
pub(crate) enum Target {
    /// By its id, whether or not it is there.
    Id(Guid),
    /// By an alternate key: the record that has it, if there is one, and the values of its fields.
    Alternate(Option<Guid>, Vec<(usize, Value<'static>)>),
}

impl Path {
    /// Takes a decoded path apart; slashes in quotes or parentheses do not end a segment.
    pub(crate) fn parse(path: &str) -> Result<Self, Error> {
        let mut segments = Vec::new();
        let (mut start, mut depth, mut is_quoted) = (0, 0_usize, false);
        for (place, char) in path.char_indices() {
            match char {
                '\'' => is_quoted = !is_quoted,
                '(' if !is_quoted => depth += 1,
                ')' if !is_quoted => depth = depth.saturating_sub(1),
                '/' if !is_quoted && depth == 0 => {
                    segments.push(Segment::parse(&path[start..place])?);
                    start = place + 1;
                }
                _ => {}
            }
        }
        if start < path.len() {
            segments.push(Segment::parse(&path[start..])?);
        }
        Ok(Self { segments })
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Self, Error> {
        match text.split_once('(') {
            None => Ok(Self { name: text.to_owned(), key: None }),
            Some((name, rest)) => match rest.strip_suffix(')') {
                Some(key) => {
                    Ok(Self { name: name.to_owned(), key: Some(key.to_owned()).filter(|key| !key.is_empty()) })
                }
                None => Err(Error::query(format!("Bad Request - Error in query syntax: ')' expected in '{text}'."))),
            },
        }
    }
}

/// The pairs of a key such as `firstname='Joe',emailaddress1='a@b.c'`; quotes are taken off their values.
pub(crate) fn pairs(key: &str) -> Option<Vec<(String, String)>> {
    let mut parts = vec![String::new()];
    let mut is_quoted = false;
    for char in key.chars() {
        is_quoted ^= char == '\'';
        match (char, parts.last_mut()) {
            (',', _) if !is_quoted => parts.push(String::new()),
            (_, Some(part)) => part.push(char),
            (_, None) => {}
        }
    }
    parts
        .iter()
        .map(|part| {
            let (name, value) = part.split_once('=')?;
            let value = value.trim();
            let plain = value.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
            Some((name.trim().to_owned(), plain.map_or_else(|| value.to_owned(), |text| text.replace("''", "'"))))
        })
        .collect()
}

/// Finds out which record a key means.
pub(crate) fn target(table: &Table, key: &str) -> Result<Target, Error> {
    if let Some(id) = Guid::parse(key) {
        return Ok(Target::Id(id));
    }
    let invalid = || {
        Error::query(format!(
            "The key in the request URI is not valid for resource 'Microsoft.Dynamics.CRM.{}'. Ensure that the names and number of key properties match the declared or alternate key properties for the resource 'Microsoft.Dynamics.CRM.{}'.",
            table.shape.name, table.shape.name
        ))
    };
    let pairs = pairs(key).ok_or_else(invalid)?;
    if let [(name, value)] = pairs.as_slice()
        && name == table.shape.id_field
    {
        return Guid::parse(value).map(Target::Id).ok_or_else(invalid);
    }
    let mut values = Vec::new();
    for (name, text) in pairs {
        let field = model::property(table, &name).map_err(|_| invalid())?;
        values.push((field, super::payload::key_value(table, field, &text).ok_or_else(invalid)?));
    }
    let is_declared = table.keys.iter().any(|key| {
        key.fields.len() == values.len()
            && key.fields.iter().all(|field| values.iter().any(|(named, _)| named == field))
    });
    if !is_declared {
        return Err(invalid());
    }
    Ok(Target::Alternate(find(table, &values, None), values))
}

/// The record other than `except` that has these values, as the database compares them. One with a null has no key.
pub(crate) fn find(table: &Table, values: &[(usize, Value<'static>)], except: Option<Guid>) -> Option<Guid> {
    if values.iter().any(|(_, value)| value.is_null()) {
        return None;
    }
    let has_key = |record: Record<'_>| values.iter().all(|(field, value)| is_same(&table.value(record, *field), value));
    let is_generated =
        values.iter().all(|(field, _)| table.is_generated(*field) || table.fields[*field].fact == Some(Fact::Id));
    let matching = |record: &Record<'_>| Some(table.id(*record)) != except && has_key(*record);
    let found = if is_generated { table.all().find(matching) } else { table.written().find(matching) };
    found.map(|record| table.id(record))
}

fn is_same(left: &Value<'_>, right: &Value<'_>) -> bool {
    match (left, right) {
        (Value::Text(left), Value::Text(right)) => filter::folded(left) == filter::folded(right),
        (Value::Link(left), Value::Link(right)) => left.id == right.id,
        _ => left == right,
    }
}
