//! Fields of one's own, and what can change about the product's.

use serde::{Deserialize, Serialize};

use super::{
    kind::NAMES,
    schema::{Field, Kind, Rare, Source},
    store::Store,
    value::Value,
};
use crate::admin::{Refused, index};

/// Digits of a number, before and after the point.
const DIGITS_MAX: u8 = 18;

/// A field to add, or what to change about one that is there.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SalesforceField {
    /// API name; one's own end with `__c`.
    pub name: String,
    /// `string`, `textarea`, `email`, `phone`, `url`, `encryptedstring`, `picklist`, `multipicklist`, `combobox`, `boolean`,
    /// `int`, `long`, `double`, `currency`, `percent`, `date`, `datetime`, `time`, `reference`, `base64`, `address` or
    /// `location` (both with their parts, such as `Base__Latitude__s` of `Base__c`), or one of the types that only the
    /// admin API writes: `anyType`, `json`, `complexvalue`, `masterrecord`, `datacategorygroupreference`, and `floatarray`,
    /// which no client knows yet. Not to be given for a field that is there.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Name shown to people; without it, the API name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Longest text: 255 for `string`, 32,000 for `textarea`, 175 for `encryptedstring` unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<usize>,
    /// Places after the point: 2 unless given. With those before it a number has 18 digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<u8>,
    /// Words of a picklist or a combobox.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<String>>,
    /// No other words are taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restricted: Option<bool>,
    /// Objects that a reference can point to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference_to: Option<Vec<String>>,
    /// Null is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub required: Option<bool>,
    /// Two records cannot have the same value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unique: Option<bool>,
    /// `unique` tells case apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub case_sensitive: Option<bool>,
    /// Records can be addressed by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<bool>,
    /// May be given when a record is created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub createable: Option<bool>,
    /// May be changed later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updateable: Option<bool>,
    /// Generated records hold these letters and their number in seven digits, such as `C-0000042`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub numbered: Option<String>,
}

/// A field of one's own.
pub(super) fn new_field(store: &Store, field: &SalesforceField, kind: &str) -> Result<Field, Refused> {
    let is_name = field.name.starts_with(|first: char| first.is_ascii_alphabetic())
        && field.name.ends_with("__c")
        && field.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !is_name {
        return Err(Refused(format!(
            "\"{}\" is no name of a field of one's own: use letters, digits and _, and __c at the end",
            field.name
        )));
    }
    let kind = match kind {
        "reference" => reference(store, field)?,
        _ => {
            simple(kind, field).ok_or_else(|| Refused(format!("type \"{kind}\" is not one of {}", NAMES.join(", "))))?
        }
    };
    let is_written = !matches!(kind, Kind::Rare(_));
    let mut new = Field::new(&field.name, &field.name, kind);
    if new.kind.is_compound() {
        new = new.system(Source::Compound);
    } else if !is_written {
        new = new.system(Source::Stored(Value::Null));
    }
    new.custom = true;
    Ok(new)
}

fn simple(kind: &str, field: &SalesforceField) -> Option<Kind> {
    let words = field.values.clone().unwrap_or_default();
    let restricted = field.restricted.unwrap_or(false);
    let places = field.scale.unwrap_or(2).min(DIGITS_MAX);
    let digits = DIGITS_MAX - places;
    Some(match kind {
        "string" => Kind::Text(field.length.unwrap_or(255)),
        "textarea" => Kind::TextArea(field.length.unwrap_or(32_000)),
        "email" => Kind::Email,
        "phone" => Kind::Phone,
        "url" => Kind::Url,
        "encryptedstring" => Kind::Encrypted(field.length.unwrap_or(175)),
        "picklist" => Kind::Picklist { words, restricted },
        "multipicklist" => Kind::MultiPicklist { words, restricted },
        "combobox" => Kind::Combobox(words),
        "boolean" => Kind::Boolean,
        "int" => Kind::Int(9),
        "long" => Kind::Long,
        "double" => Kind::Double { digits, places },
        "currency" => Kind::Currency { digits, places },
        "percent" => Kind::Percent { digits, places },
        "date" => Kind::Date,
        "datetime" => Kind::DateTime,
        "time" => Kind::Time,
        "base64" => Kind::Base64,
        "address" => Kind::Address,
        "location" => Kind::Location,
        other => Kind::Rare(Rare::named(other)?),
    })
}

fn reference(store: &Store, field: &SalesforceField) -> Result<Kind, Refused> {
    let targets = field
        .reference_to
        .iter()
        .flatten()
        .map(|target| index(store, target).map(|index| store.tables[index].object.name));
    let to = targets.collect::<Result<Vec<_>, _>>()?;
    if to.is_empty() {
        return Err(Refused("a reference needs \"referenceTo\": [\"Account\"]".into()));
    }
    Ok(Kind::Reference { to, relationship: field.name.strip_suffix("__c").map(|name| format!("{name}__r")) })
}

/// The fields that a compound one is made of: of `Base__c` they are called `Base__Latitude__s` and so on.
pub(super) fn parts(compound: &Field, given: &SalesforceField) -> Vec<Field> {
    let degrees = Kind::Double { digits: 3, places: given.scale.unwrap_or(15) };
    let mut parts = match compound.kind {
        Kind::Address => vec![
            ("Street", Kind::TextArea(255)),
            ("City", Kind::Text(40)),
            ("PostalCode", Kind::Text(20)),
            ("StateCode", Kind::Text(10)),
            ("CountryCode", Kind::Text(10)),
        ],
        Kind::Location => Vec::new(),
        _ => return Vec::new(),
    };
    parts.extend([("Latitude", degrees.clone()), ("Longitude", degrees)]);
    let stem = compound.name.trim_end_matches("__c");
    let part = |(end, kind): (&str, Kind)| {
        let field = Field::new(&format!("{stem}__{end}__s"), &format!("{} ({end})", compound.label), kind);
        Field { custom: true, ..field.part_of(&compound.name) }
    };
    parts.into_iter().map(part).collect()
}

/// Changes what is given.
pub(super) fn change(field: &mut Field, given: &SalesforceField) {
    let set = |flag: &mut bool, given: Option<bool>| *flag = given.unwrap_or(*flag);
    set(&mut field.required, given.required);
    set(&mut field.unique, given.unique);
    set(&mut field.case_sensitive, given.case_sensitive);
    set(&mut field.external_id, given.external_id);
    set(&mut field.createable, given.createable);
    set(&mut field.updateable, given.updateable);
    if let Some(label) = &given.label {
        field.label.clone_from(label);
    }
    if let Some(prefix) = &given.numbered {
        field.source = Source::Numbered(prefix.clone());
    }
    match &mut field.kind {
        Kind::Text(length) | Kind::TextArea(length) | Kind::Encrypted(length) => {
            *length = given.length.unwrap_or(*length)
        }
        Kind::Picklist { words, restricted } | Kind::MultiPicklist { words, restricted } => {
            if let Some(given) = &given.values {
                words.clone_from(given);
            }
            set(restricted, given.restricted);
        }
        Kind::Combobox(words) => {
            if let Some(given) = &given.values {
                words.clone_from(given);
            }
        }
        _ => {}
    }
}
