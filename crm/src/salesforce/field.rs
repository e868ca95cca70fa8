//! How a field is called in SOQL, and what an id is.

use std::borrow::Cow;

use engine::outside::crm::{FieldKind, Object, ObjectField};

use crate::names::is_identifier;

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
        Some(field) if field.case_sensitive => value.to_owned(),
        // `5.0` and `5` are one number.
        Some(field) if field.kind == FieldKind::Double => {
            value.parse::<f64>().map_or_else(|_| value.to_owned(), |number| number.to_string())
        }
        _ => value.to_lowercase(),
    })
}

/// An id with 18 characters; what is wrong with it.
pub(super) fn id(text: &str) -> Result<String, String> {
    let bytes = text.as_bytes();
    if !matches!(bytes.len(), 15 | 18) {
        return Err(format!(
            "`{}` is not an id: it has {} characters, not 15 or 18",
            shown(text),
            text.chars().count()
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
