//! Paths below the service root, and the keys in them: `contacts(guid)`, `contacts(emailaddress1='a@b.c')/firstname`.

use super::{error::Error, model};
use crate::{
    data::{KeyStatus, Table, Value},
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

/// Characters with which a value cannot be addressed by an alternate key, as the documentation of keys lists them.
const FORBIDDEN: &str = "/<>*%&:\\?+";

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
        if let Some(forbidden) = text.chars().find(|char| FORBIDDEN.contains(*char)) {
            return Err(Error::query(format!(
                "A potentially dangerous Request.Path value was detected from the client ({forbidden}): the value of '{name}' cannot be used in a key."
            )));
        }
        let field = model::property(table, &name).map_err(|_| invalid())?;
        values.push((field, super::payload::key_value(table, field, &text).ok_or_else(invalid)?));
    }
    let declared = table.keys.iter().find(|key| {
        key.status == KeyStatus::Active
            && key.fields.len() == values.len()
            && key.fields.iter().all(|field| values.iter().any(|(named, _)| named == field))
    });
    let declared = declared.ok_or_else(invalid)?;
    // In the order of the key, whatever the order in the address.
    values.sort_by_key(|(field, _)| declared.fields.iter().position(|own| own == field));
    let wanted: Vec<_> = values.iter().map(|(_, value)| value.clone()).collect();
    Ok(Target::Alternate(table.find(declared.index, &wanted, None), values))
}

/// The table and the key that an address such as `/contacts(…)`, `contacts(…)` or `http://…/api/data/v9.2/contacts(…)` names.
pub(crate) fn address(text: &str) -> Result<Segment, Error> {
    let below = match text.split_once("/api/data/v") {
        Some((_, rest)) => rest.split_once('/').map_or("", |(_, rest)| rest),
        None => text,
    };
    let plain = percent_encoding::percent_decode_str(below.trim_start_matches('/')).decode_utf8_lossy();
    let mut segments = Path::parse(&plain)?.segments;
    match (segments.pop(), segments.is_empty()) {
        (Some(segment), true) => Ok(segment),
        _ => Err(Error::segment(text)),
    }
}
