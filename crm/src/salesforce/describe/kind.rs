//! From a field of Salesforce to a field of ours.

use engine::outside::crm::{FieldKind, ObjectField, Target};
use indexmap::IndexMap;

use super::super::field::{LOOKUP_TYPE, LOOKUP_TYPE_SUFFIX};
use super::DescribedField;

/// The field. A type that we do not know is text: a new kind of field must stop nobody.
pub(super) fn field(field: &DescribedField) -> ObjectField {
    let system_type = field.system_type.as_str();
    let kind = match system_type {
        "reference" => FieldKind::Lookup,
        "boolean" => FieldKind::Bool,
        "int" => FieldKind::Int,
        "long" => FieldKind::BigInt,
        "double" | "percent" => FieldKind::Double,
        "currency" => FieldKind::Money,
        "date" => FieldKind::Date,
        "datetime" => FieldKind::DateTime,
        "time" => FieldKind::Time,
        "picklist" => FieldKind::TextPicklist,
        "multipicklist" => FieldKind::TextMultiPicklist,
        _ => FieldKind::Text,
    };
    let is_text = matches!(kind, FieldKind::Text | FieldKind::TextPicklist | FieldKind::TextMultiPicklist);
    ObjectField {
        label: label(field),
        system_type: system_type.to_owned(),
        length: Some(field.length).filter(|length| *length > 0 && is_text && system_type != "id"),
        options: options(field),
        // Their parts are fields of their own; files come by other means.
        readable: !matches!(system_type, "address" | "location" | "base64"),
        creatable: field.createable,
        updatable: field.updateable,
        required: field.createable && !field.nillable && !field.defaulted_on_create,
        targets: targets(field),
        incomparable: field.filterable == Some(false),
        case_sensitive: field.case_sensitive,
        ..ObjectField::new(&field.name, kind)
    }
}

/// The companion of a lookup that may lead to several objects: which one it is.
pub(super) fn lookup_type(field: &DescribedField) -> Option<ObjectField> {
    if field.system_type != "reference" || field.reference_to.len() < 2 || field.relationship_name.is_none() {
        return None;
    }
    Some(ObjectField {
        label: format!("{} (type)", label(field)),
        system_type: LOOKUP_TYPE.to_owned(),
        options: field.reference_to.iter().map(|object| (object.clone(), object.clone())).collect(),
        creatable: false,
        updatable: false,
        targets: targets(field),
        ..ObjectField::new(&format!("{}{LOOKUP_TYPE_SUFFIX}", field.name), FieldKind::Text)
    })
}

fn label(field: &DescribedField) -> String {
    if field.label.is_empty() { field.name.clone() } else { field.label.clone() }
}

fn targets(field: &DescribedField) -> Vec<Target> {
    let path = field.relationship_name.clone().unwrap_or_default();
    let target = |object: &String| Target { object: object.clone(), name: object.clone(), path: path.clone() };
    field.reference_to.iter().map(target).collect()
}

fn options(field: &DescribedField) -> IndexMap<String, String> {
    let option =
        |choice: &super::Choice| (choice.value.clone(), choice.label.clone().unwrap_or_else(|| choice.value.clone()));
    field.picklist_values.iter().map(option).collect()
}
