//! Ids and key values, in the one form in which two equal ones are the same record.

use engine::expr::Value;
use engine::outside::crm::{self, FieldKind, Object, ObjectField};

use super::column;

/// The longest part of a wrong id that a message shows, in characters.
const SHOWN_CHARS_MAX: usize = 60;

/// A value of a field as Dataverse compares it: ids in small letters, text without case and without blanks at its end.
pub(super) fn normal(object: &Object, field: &str, value: &str) -> Result<String, String> {
    let described = object.fields.get(field);
    let is_id = field == object.id
        || described.is_some_and(|field| field.kind == FieldKind::Lookup || field.system_type == column::GUID);
    if is_id {
        return guid(value);
    }
    match described.map(|field| field.kind) {
        Some(FieldKind::Text) | None => Ok(value.trim_end().to_lowercase()),
        Some(_) => Ok(value.trim().to_owned()),
    }
}

/// A value as Dataverse keeps it: ids in small letters without braces.
pub(super) fn kept(field: &ObjectField, value: Value) -> Value {
    let is_id = field.kind == FieldKind::Lookup || field.system_type == column::GUID;
    crm::kept(match value {
        Value::Text(text) if is_id => Value::Text(guid(&text).unwrap_or(text)),
        other => other,
    })
}

/// A GUID in small letters, also from one in braces or without hyphens.
pub(super) fn guid(text: &str) -> Result<String, String> {
    let wrong = || {
        let shown: String = text.chars().take(SHOWN_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
        format!("`{shown}` is no id of Dynamics, which looks like c0000000-0000-4000-8000-000000000001")
    };
    let bare = text.trim();
    let bare = bare.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(bare);
    let is_hyphen = |place: usize| matches!(place, 8 | 13 | 18 | 23);
    let hyphens_fit = match bare.len() {
        36 => bare.bytes().enumerate().all(|(place, b)| is_hyphen(place) == (b == b'-')),
        32 => true,
        _ => false,
    };
    if !hyphens_fit || !bare.bytes().all(|b| b == b'-' && bare.len() == 36 || b.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    let mut guid = String::with_capacity(36);
    for byte in bare.bytes().filter(|byte| *byte != b'-') {
        if is_hyphen(guid.len()) {
            guid.push('-');
        }
        guid.push(char::from(byte.to_ascii_lowercase()));
    }
    Ok(guid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_dataverse_keeps_alike_are_the_same() {
        let text = |text: &str| Value::Text(text.to_owned());
        let at = |text: &str| Value::DateTime(text.parse().unwrap());
        let list = |items: &[i64]| Value::List(items.iter().map(|item| Value::Int(*item)).collect());
        let (name, lookup) = (ObjectField::new("name", FieldKind::Text), ObjectField::new("owner", FieldKind::Lookup));
        let (when, choices) =
            (ObjectField::new("at", FieldKind::DateTime), ObjectField::new("n", FieldKind::MultiPicklist));
        for (field, ours, theirs) in [
            (&name, text(""), Value::Null),
            (&name, text("a\r\nb"), text("a\nb")),
            (&lookup, text("{C0000000-0000-4000-8000-00000000000A}"), text("c0000000-0000-4000-8000-00000000000a")),
            (&when, at("2026-03-01T10:00:00.9Z"), at("2026-03-01T10:00:00Z")),
            (&choices, list(&[3, 1]), list(&[1, 3])),
        ] {
            assert_eq!(kept(field, ours.clone()), kept(field, theirs), "{ours:?}");
        }
        for (field, ours, theirs) in [
            (&name, text("Ada "), text("Ada")),
            (&name, text("ada"), text("Ada")),
            (&choices, list(&[3]), list(&[1, 3])),
        ] {
            assert_ne!(kept(field, ours.clone()), kept(field, theirs), "{ours:?}");
        }
    }

    #[test]
    fn one_id_has_one_form_and_what_is_none_is_said() {
        let id = "c0000000-0000-4000-8000-00000000000a";
        for same in [id, "{C0000000-0000-4000-8000-00000000000A}", " C000000000004000800000000000000A "] {
            assert_eq!(guid(same).as_deref(), Ok(id), "{same}");
        }
        for wrong in [
            "",
            "5",
            "c0000000-0000-4000-8000-00000000000g",
            "c0000000-00004000-8000-00000000000a-",
            "{}",
            id.get(1..).unwrap(),
        ] {
            assert!(guid(wrong).unwrap_err().contains("is no id"), "{wrong}");
        }
    }
}
