//! How a field is called in SOQL, and what an id is.

use std::borrow::Cow;

use engine::expr::Value;
use engine::outside::crm::{self, FieldKind, Object, ObjectField};
use engine::words::counted;

use crate::names::is_identifier;
use crate::numbers;

/// The system type that we give to `<lookup>_type`, the companion of a lookup of several objects.
pub(super) const LOOKUP_TYPE: &str = "LookupType";
/// What `<lookup>_type` adds to the lookup's name.
pub(super) const LOOKUP_TYPE_SUFFIX: &str = "_type";
/// How the last three characters of an id write five bits each.
const CHECKSUM: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";
/// The system type of a record's own id.
pub(super) const ID: &str = "id";

/// Whether this field is the companion of a lookup.
pub(super) fn is_lookup_type(field: &ObjectField) -> bool {
    field.system_type == LOOKUP_TYPE
}

/// Whether the field holds ids.
pub(super) fn is_id(field: &ObjectField) -> bool {
    field.system_type == ID || field.kind == FieldKind::Lookup
}

/// Whether the field holds numbers.
pub(super) fn is_number(kind: FieldKind) -> bool {
    use FieldKind::{BigInt, Decimal, Double, Int, Money};
    matches!(kind, Int | BigInt | Double | Money | Decimal { .. })
}

/// Its name in SOQL, which may follow relationships; `None` where it may not stand in a query.
pub(super) fn path(field: &ObjectField) -> Option<Cow<'_, str>> {
    let path = match field.targets.first() {
        Some(target) if is_lookup_type(field) => Cow::Owned(format!("{}.Type", target.path)),
        _ => Cow::Borrowed(field.name.as_str()),
    };
    path.split('.').all(is_identifier).then_some(path)
}

/// Its name in SOQL where Salesforce can compare and order by it.
pub(super) fn comparable(field: &ObjectField) -> Option<Cow<'_, str>> {
    if field.readable && !field.incomparable { path(field) } else { None }
}

/// The values of this field, as two equal ones are the same record.
pub(super) fn key(object: &Object, name: &str, value: &str) -> Result<String, String> {
    let value = value.trim();
    let field = object.fields.get(name);
    if name == object.id || field.is_some_and(is_id) {
        return id(value);
    }
    Ok(match field {
        // Mail addresses are kept in small letters, whatever the description says of them.
        Some(field) if field.case_sensitive && !is_email(field) => value.to_owned(),
        // `5.0` and `5` are one number.
        Some(field) if is_number(field.kind) => numbers::canonical(value).unwrap_or_else(|| value.to_owned()),
        _ => value.to_lowercase(),
    })
}

/// A value as Salesforce keeps it: text without blanks at its ends, mail addresses in small letters, ids with 18 characters,
/// and false for a box that nothing was said of.
pub(super) fn kept(field: &ObjectField, value: Value) -> Value {
    let value = match value {
        Value::Text(text) => {
            let trimmed = text.trim_matches([' ', '\t', '\n', '\r']);
            Value::Text(if is_id(field) {
                id(trimmed).unwrap_or_else(|_| trimmed.to_owned())
            } else if is_email(field) {
                trimmed.to_lowercase()
            } else {
                trimmed.to_owned()
            })
        }
        Value::Null if field.kind == FieldKind::Bool => Value::Bool(false),
        other => other,
    };
    crm::kept(value)
}

fn is_email(field: &ObjectField) -> bool {
    field.system_type.eq_ignore_ascii_case("email")
}

/// An id with 18 characters; what is wrong with it.
pub(super) fn id(text: &str) -> Result<String, String> {
    let bytes = text.as_bytes();
    if !matches!(bytes.len(), 15 | 18) {
        return Err(format!(
            "`{}` is not an id: it has {}, not 15 or 18",
            shown(text),
            counted(text.chars().count(), "character")
        ));
    }
    if let Some(wrong) = text.chars().find(|c| !c.is_ascii_alphanumeric()) {
        return Err(format!("`{}` is not an id: `{wrong}` is neither a letter nor a digit", shown(text)));
    }
    let mut id = bytes[..15].to_vec();
    // The last three say which of the others are capitals, so that an id survives a spreadsheet.
    if let [.., a, b, c] = bytes
        && bytes.len() == 18
    {
        for (place, byte) in id.iter_mut().enumerate() {
            let digit = [a, b, c][place / 5].to_ascii_uppercase();
            let capitals = CHECKSUM.iter().position(|known| *known == digit).unwrap_or_default();
            let is_capital = capitals >> (place % 5) & 1 == 1;
            *byte = if is_capital { byte.to_ascii_uppercase() } else { byte.to_ascii_lowercase() };
        }
    }
    let sum = checksum(&id);
    if bytes.len() == 18 && !bytes[15..].eq_ignore_ascii_case(&sum) {
        return Err(format!("`{text}` is not an id: its last three characters are not the checksum of the others"));
    }
    Ok(id.into_iter().chain(sum).map(char::from).collect())
}

/// Which of the first 15 characters are capitals, five to a character.
fn checksum(bytes: &[u8]) -> [u8; 3] {
    let mut sum = [b'A'; 3];
    for (chunk, digit) in bytes[..15].chunks(5).zip(&mut sum) {
        let capitals = chunk.iter().enumerate().filter(|(_, byte)| byte.is_ascii_uppercase());
        *digit = CHECKSUM[capitals.fold(0, |sum, (place, _)| sum | (1 << place))];
    }
    sum
}

fn shown(text: &str) -> String {
    text.chars().take(40).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_salesforce_keeps_alike_are_the_same() {
        let field = |kind, system_type: &str| ObjectField {
            system_type: system_type.to_owned(),
            ..ObjectField::new("f", kind)
        };
        let text = |text: &str| Value::Text(text.to_owned());
        let at = |text: &str| Value::DateTime(text.parse().unwrap());
        let list = |items: &[&str]| Value::List(items.iter().map(|item| text(item)).collect());
        let string = field(FieldKind::Text, "string");
        for (field, ours, theirs) in [
            (&string, text(" Lovelace \t"), text("Lovelace")),
            (&string, text("  "), Value::Null),
            (&string, text("a\r\nb"), text("a\nb")),
            (&field(FieldKind::Text, "email"), text("Ada@Example.COM"), text("ada@example.com")),
            (&field(FieldKind::Lookup, "reference"), text("001A0000006Vm9r"), text("001A0000006Vm9rIAC")),
            (&field(FieldKind::DateTime, "datetime"), at("2026-03-01T10:00:00.9Z"), at("2026-03-01T10:00:00Z")),
            (&field(FieldKind::TextMultiPicklist, "multipicklist"), list(&["b", "a", "b"]), list(&["a", "b"])),
            (&field(FieldKind::TextMultiPicklist, "multipicklist"), list(&[]), Value::Null),
            (&field(FieldKind::Bool, "boolean"), Value::Null, Value::Bool(false)),
        ] {
            assert_eq!(kept(field, ours.clone()), kept(field, theirs), "{ours:?}");
        }
        for (field, ours, theirs) in [
            (&string, text("lovelace"), text("Lovelace")),
            (&string, text("\u{a0}Ada"), text("Ada")),
            (&field(FieldKind::DateTime, "datetime"), at("2026-03-01T10:00:01Z"), at("2026-03-01T10:00:00Z")),
            (&field(FieldKind::Bool, "boolean"), Value::Null, Value::Bool(true)),
        ] {
            assert_ne!(kept(field, ours.clone()), kept(field, theirs), "{ours:?}");
        }
    }

    #[test]
    fn an_id_of_15_characters_and_one_of_18_are_the_same_and_a_slip_is_named() {
        // The examples of Salesforce's own article.
        assert_eq!(id("001A0000006Vm9r").unwrap(), "001A0000006Vm9rIAC");
        assert_eq!(id("0013000001GV9Y9").unwrap().len(), 18);
        for same in ["001A0000006Vm9rIAC", "001A0000006Vm9riac", "001a0000006vm9riac", "001A0000006VM9RIAC"] {
            assert_eq!(id(same).unwrap(), "001A0000006Vm9rIAC", "{same}");
        }
        for (wrong, said) in [
            ("", "0 characters"),
            ("001A0000006Vm9", "14 characters"),
            ("001A0000006Vm9rIAD", "checksum"),
            ("001A0000006Vm9'", "neither"),
            ("ñ01A0000006Vm9", "neither"),
        ] {
            assert!(id(wrong).unwrap_err().contains(said), "{wrong}: {:?}", id(wrong));
        }
    }
}
