//! Fields of one's own, and what can change about the product's.

use serde::{Deserialize, Serialize};

use super::{
    schema::{Field, Kind, Source},
    store::Store,
};
use crate::admin::Refused;

/// A field to add, or what to change about one that is there.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SalesforceField {
    /// API name; one's own end with `__c`.
    pub name: String,
    /// `string`, `textarea`, `email`, `phone`, `url`, `picklist`, `multipicklist`, `boolean`, `int`, `double`, `currency`,
    /// `percent`, `date`, `datetime`, `time` or `reference`. Not to be given for a field that is there.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Name shown to people; without it, the API name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Longest text: 255 for `string`, 32,000 for `textarea` unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<usize>,
    /// Places after the point: 2 unless given. (16 digits stand before it.)
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<u8>,
    /// Words of a picklist.
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
    let words = field.values.clone().unwrap_or_default();
    let restricted = field.restricted.unwrap_or(false);
    let (digits, places) = (16, field.scale.unwrap_or(2));
    let kind = match kind {
        "string" => Kind::Text(field.length.unwrap_or(255)),
        "textarea" => Kind::TextArea(field.length.unwrap_or(32_000)),
        "email" => Kind::Email,
        "phone" => Kind::Phone,
        "url" => Kind::Url,
        "picklist" => Kind::Picklist { words, restricted },
        "multipicklist" => Kind::MultiPicklist { words, restricted },
        "boolean" => Kind::Boolean,
        "int" => Kind::Int(9),
        "double" => Kind::Double { digits, places },
        "currency" => Kind::Currency { digits, places },
        "percent" => Kind::Percent { digits, places },
        "date" => Kind::Date,
        "datetime" => Kind::DateTime,
        "time" => Kind::Time,
        "reference" => {
            let targets = field
                .reference_to
                .iter()
                .flatten()
                .map(|target| super::admin::index(store, target).map(|index| store.tables[index].object.name));
            let to = targets.collect::<Result<Vec<_>, _>>()?;
            if to.is_empty() {
                return Err(Refused("a reference needs \"referenceTo\": [\"Account\"]".into()));
            }
            Kind::Reference { to, relationship: field.name.strip_suffix("__c").map(|name| format!("{name}__r")) }
        }
        other => {
            return Err(Refused(format!(
                "type \"{other}\" is not one of string, textarea, email, phone, url, picklist, multipicklist, boolean, int, double, currency, percent, date, datetime, time, reference"
            )));
        }
    };
    let mut new = Field::new(&field.name, &field.name, kind);
    new.custom = true;
    Ok(new)
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
        Kind::Text(length) | Kind::TextArea(length) => *length = given.length.unwrap_or(*length),
        Kind::Picklist { words, restricted } | Kind::MultiPicklist { words, restricted } => {
            if let Some(given) = &given.values {
                words.clone_from(given);
            }
            set(restricted, given.restricted);
        }
        _ => {}
    }
}
