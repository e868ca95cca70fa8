//! From a field of Salesforce to a field of ours.

use engine::outside::crm::{FieldKind, ObjectField, Target};
use indexmap::IndexMap;

use super::super::field::{LOOKUP_TYPE, LOOKUP_TYPE_SUFFIX};
use super::DescribedField;

/// Floating point keeps numbers of so many digits, whatever they are.
const DOUBLE_DIGITS: u32 = 15;
/// Places of money. The least is more than most fields describe: pages round to what is described, the API does not, see
/// <https://help.salesforce.com/s/articleView?id=000385689>.
const MONEY_SCALE_MIN: i8 = 4;
const MONEY_SCALE_MAX: i8 = 18;

/// The field, and of a compound one the names of its parts. A type that we do not know is text: a new kind of field must
/// stop nobody.
pub(super) fn field(field: &DescribedField, parts: &[&str]) -> ObjectField {
    let system_type = field.system_type.as_str();
    if let Some(instead) = no_value(system_type, parts) {
        let no_value = ObjectField::no_value(&field.name, system_type, instead);
        return ObjectField { label: label(field), required: is_required(field), ..no_value };
    }
    let kind = match system_type {
        "reference" => FieldKind::Lookup,
        "boolean" => FieldKind::Bool,
        "int" => FieldKind::Int,
        "long" => FieldKind::BigInt,
        "double" if is_whole(field) => FieldKind::BigInt,
        "double" | "percent" => FieldKind::Double,
        "currency" => FieldKind::Decimal { scale: field.scale.clamp(MONEY_SCALE_MIN, MONEY_SCALE_MAX) },
        "date" => FieldKind::Date,
        "datetime" => FieldKind::DateTime,
        "time" => FieldKind::Time,
        "picklist" => FieldKind::TextPicklist,
        "multipicklist" => FieldKind::TextMultiPicklist,
        _ => FieldKind::Text,
    };
    let is_text = matches!(kind, FieldKind::Text | FieldKind::TextPicklist | FieldKind::TextMultiPicklist);
    let is_tree = system_type == "complexvalue";
    ObjectField {
        label: label(field),
        system_type: system_type.to_owned(),
        length: Some(field.length).filter(|length| *length > 0 && is_text && system_type != "id"),
        places: u8::try_from(field.scale).ok().filter(|_| matches!(system_type, "double" | "percent" | "currency")),
        options: options(field),
        creatable: field.createable && !is_tree,
        updatable: field.updateable && !is_tree,
        required: is_required(field),
        instead: is_tree.then(|| "it is set in Salesforce itself: it holds an object, not one value".to_owned()),
        targets: targets(field),
        incomparable: field.filterable == Some(false),
        case_sensitive: field.case_sensitive,
        ..ObjectField::new(&field.name, kind)
    }
}

/// A whole number that may have more digits than floating point keeps. What a formula gives may have more places than are
/// described.
fn is_whole(field: &DescribedField) -> bool {
    field.scale == 0 && field.precision > DOUBLE_DIGITS && !field.calculated
}

fn is_required(field: &DescribedField) -> bool {
    field.createable && !field.nillable && !field.defaulted_on_create
}

/// What to turn to in place of a field that is no value of a record.
fn no_value(system_type: &str, parts: &[&str]) -> Option<String> {
    Some(match system_type {
        "address" | "location" if parts.is_empty() => "its parts are fields of their own".to_owned(),
        "address" | "location" => format!("its parts are fields of their own: {}", parts.join(", ")),
        "base64" => "files are carried by other tools, such as Data Loader: leave it out".to_owned(),
        _ => return None,
    })
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
