//! From a column of Dataverse to a field.

use std::collections::HashSet;

use engine::outside::crm::{FieldKind, ObjectField};
use indexmap::IndexMap;

use super::super::column::{GUID, LOOKUP_TYPE, LOOKUP_TYPE_SUFFIX};
use super::{Attribute, label};

/// How the columns end that a file or an image has beside it.
const PART_ENDS: &[&str] = &["_name", "_url", "_timestamp"];
/// The most digits after the point that Dataverse keeps.
const SCALE_MAX: i8 = 10;
/// The digits after the point that money has at least, whatever its column shows.
const MONEY_SCALE_MIN: i8 = 4;
/// Types that are text, or an id.
const TEXTS: &[&str] = &["String", "Memo", GUID, "EntityName"];
/// Types that hide behind `Virtual`. A file's column holds its id, but not as one to compare.
const FILE: &str = "File";
const IMAGE: &str = "Image";

/// The column's type as Dataverse names it; multi-select picklists, files and images hide behind `Virtual`.
pub(super) fn system_type(attribute: &Attribute) -> &str {
    let name = attribute.attribute_type_name.as_ref().and_then(|name| name.value.as_deref());
    let kind = attribute.attribute_type.as_deref();
    name.map(|name| name.strip_suffix("Type").unwrap_or(name)).or(kind).unwrap_or_default()
}

/// Says of each type of a lookup's target, such as `parentcustomeridtype`, to which lookup it belongs, where the CRM does not.
pub(super) fn tell_shadows(attributes: &mut [Attribute]) {
    let lookups: HashSet<String> = attributes.iter().map(|attribute| attribute.logical_name.clone()).collect();
    for shadow in attributes.iter_mut().filter(|shadow| system_type(shadow) == "EntityName") {
        let lookup = shadow.logical_name.strip_suffix("type").filter(|lookup| lookups.contains(*lookup));
        if let Some(lookup) = lookup.map(str::to_owned) {
            shadow.attribute_of = Some(lookup);
        }
    }
}

/// The field. A type that we do not know is text: a new kind of column must stop nobody.
pub(super) fn field(attribute: &Attribute, id: &str) -> ObjectField {
    let (name, system_type) = (&attribute.logical_name, system_type(attribute));
    if let Some(instead) = no_value(attribute, system_type) {
        let label = label(attribute.display_name.as_ref(), name);
        return ObjectField { label, ..ObjectField::no_value(name, system_type, instead) };
    }
    let kind = match system_type {
        "Lookup" | "Customer" | "Owner" => FieldKind::Lookup,
        "Boolean" => FieldKind::Bool,
        "Integer" => FieldKind::Int,
        "BigInt" => FieldKind::BigInt,
        "Double" => FieldKind::Double,
        "Money" => FieldKind::Decimal { scale: scale(attribute, MONEY_SCALE_MIN).max(MONEY_SCALE_MIN) },
        "Decimal" => FieldKind::Decimal { scale: scale(attribute, SCALE_MAX) },
        "DateTime" => match attribute.date_time_behavior.as_ref().and_then(|behavior| behavior.value.as_deref()) {
            Some("DateOnly") => FieldKind::Date,
            Some("TimeZoneIndependent") => FieldKind::LocalDateTime,
            _ => FieldKind::DateTime,
        },
        "Picklist" | "State" | "Status" => FieldKind::Picklist,
        "MultiSelectPicklist" => FieldKind::MultiPicklist,
        _ => FieldKind::Text,
    };
    let is_known = kind != FieldKind::Text || TEXTS.contains(&system_type);
    let required = attribute.required_level.as_ref().and_then(|level| level.value.as_deref());
    // Dataverse itself fills in id, owner and state where a new record has none, and what has a value by default.
    let is_filled_in =
        attribute.logical_name == id || matches!(system_type, "Owner" | "State" | "Status" | "Boolean" | "Picklist");
    ObjectField {
        name: attribute.logical_name.clone(),
        label: label(attribute.display_name.as_ref(), &attribute.logical_name),
        system_type: system_type.to_owned(),
        kind,
        length: attribute.max_length.and_then(|length| u32::try_from(length).ok()).filter(|_| kind == FieldKind::Text),
        places: attribute.precision.and_then(|precision| u8::try_from(precision).ok()).filter(|_| has_places(kind)),
        options: options(attribute),
        readable: attribute.is_valid_for_read.unwrap_or(true),
        creatable: attribute.is_valid_for_create.unwrap_or(false),
        updatable: attribute.is_valid_for_update.unwrap_or(false),
        required: required == Some("SystemRequired") && !is_filled_in && attribute.is_valid_for_create.unwrap_or(false),
        targets: Vec::new(),
        min: attribute.min_value.filter(|_| has_ends(kind)),
        max: attribute.max_value.filter(|_| has_ends(kind)),
        incomparable: !is_known,
        case_sensitive: false,
        instead: (system_type == FILE).then(|| "a file is uploaded in the app, not written with a record".to_owned()),
    }
}

/// What to turn to in place of a column that is no value of a record.
fn no_value(attribute: &Attribute, system_type: &str) -> Option<String> {
    let of = attribute.attribute_of.as_deref().filter(|of| !of.is_empty());
    // Columns such as `parentcustomeridname` and `gendercodename` are described, but are no property of a record. Parts of
    // images and files belong to another column too, and are one.
    let is_part = PART_ENDS.iter().any(|end| attribute.logical_name.ends_with(end));
    let is_property = (of.is_none() || is_part) && attribute.is_valid_odata_attribute.unwrap_or(true);
    Some(match (system_type, of) {
        ("EntityName", Some(of)) if !is_property => {
            format!("use {of}{LOOKUP_TYPE_SUFFIX}, the type of what {of} leads to")
        }
        (_, Some(of)) if !is_property => format!("it only shows {of} in words: use {of}"),
        ("PartyList", _) => "people of an activity are records of their own: import activityparties".to_owned(),
        ("CalendarRules", _) => "rules of a calendar are records of their own".to_owned(),
        ("ManagedProperty", _) => "it says what may be customized, and is set in solutions".to_owned(),
        (IMAGE, _) => {
            let name = &attribute.logical_name;
            format!("images are not carried: {name}_url has the address, and {name}id the id")
        }
        ("Virtual", _) => "the Web API does not bring it".to_owned(),
        _ if !is_property => "the Web API does not bring it".to_owned(),
        _ => return None,
    })
}

/// The digits after the point of an exact number, or so many where they are not described.
fn scale(attribute: &Attribute, otherwise: i8) -> i8 {
    let scale = attribute.precision.unwrap_or(otherwise.into()).clamp(0, SCALE_MAX.into());
    i8::try_from(scale).unwrap_or(otherwise)
}

fn has_places(kind: FieldKind) -> bool {
    matches!(kind, FieldKind::Double | FieldKind::Decimal { .. })
}

/// Whether the ends that are described say more than the type. Those of 64 bits have more digits than a described number.
fn has_ends(kind: FieldKind) -> bool {
    matches!(kind, FieldKind::Int | FieldKind::Double | FieldKind::Money | FieldKind::Decimal { .. })
}

/// The companion of a lookup: which object it points to. Its options are the internal names of those that it can.
pub(super) fn lookup_type(attribute: &Attribute, label_of: impl Fn(&str) -> String) -> Option<ObjectField> {
    if !matches!(system_type(attribute), "Lookup" | "Customer" | "Owner") {
        return None;
    }
    let targets = attribute.targets.iter().flatten();
    let name = format!("{}{LOOKUP_TYPE_SUFFIX}", attribute.logical_name);
    Some(ObjectField {
        label: format!("{} (type)", label(attribute.display_name.as_ref(), &attribute.logical_name)),
        system_type: LOOKUP_TYPE.to_owned(),
        options: targets.map(|target| (target.clone(), label_of(target))).collect(),
        readable: attribute.is_valid_for_read.unwrap_or(true),
        creatable: false,
        updatable: false,
        ..ObjectField::new(&name, FieldKind::Text)
    })
}

fn options(attribute: &Attribute) -> IndexMap<String, String> {
    let choices = attribute.option_set.iter().flat_map(|set| &set.options);
    choices
        .filter_map(|choice| {
            let value = choice.value?.to_string();
            let label = label(choice.label.as_ref(), &value);
            Some((value, label))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_shadow_of_another_column_is_no_value_even_where_the_crm_takes_it_for_a_property() {
        let described = json!([
            { "LogicalName": "ownerid", "AttributeType": "Owner" },
            { "LogicalName": "owneridname", "AttributeType": "String", "AttributeOf": "ownerid", "IsValidODataAttribute": true },
            { "LogicalName": "owneridtype", "AttributeType": "EntityName", "IsValidODataAttribute": true },
            { "LogicalName": "objecttypecode", "AttributeType": "EntityName" },
            { "LogicalName": "photo_url", "AttributeType": "String", "AttributeOf": "photoid", "IsValidODataAttribute": true },
            { "LogicalName": "new_x", "AttributeType": "String", "IsValidODataAttribute": false },
        ]);
        let mut attributes: Vec<Attribute> = serde_json::from_value(described).unwrap();
        tell_shadows(&mut attributes);
        let usable: Vec<_> = attributes.iter().filter(|one| field(one, "id").is_usable()).collect();
        let usable: Vec<_> = usable.into_iter().map(|one| one.logical_name.as_str()).collect();
        assert_eq!(usable, ["ownerid", "objecttypecode", "photo_url"]);
    }
}
