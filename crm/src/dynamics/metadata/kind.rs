//! From a column of Dataverse to a field.

use engine::outside::crm::{FieldKind, ObjectField};
use indexmap::IndexMap;

use super::super::column::{LOOKUP_TYPE, LOOKUP_TYPE_SUFFIX};
use super::{Attribute, label};

/// The most digits after the point that Dataverse keeps.
const SCALE_MAX: i64 = 10;

/// The column's type as Dataverse names it; a multi-select picklist hides behind `Virtual`.
pub(super) fn system_type(attribute: &Attribute) -> &str {
    let name = attribute.attribute_type_name.as_ref().and_then(|name| name.value.as_deref());
    let kind = attribute.attribute_type.as_deref();
    name.map(|name| name.strip_suffix("Type").unwrap_or(name)).or(kind).unwrap_or_default()
}

/// The field; `None` for what the Web API does not carry as a single value.
pub(super) fn field(attribute: &Attribute, id: &str) -> Option<ObjectField> {
    // Such as `parentcustomeridname`, the text of a lookup: described, but no property of a record.
    if attribute.is_valid_odata_attribute == Some(false)
        || attribute.attribute_of.as_ref().is_some_and(|of| !of.is_empty())
    {
        return None;
    }
    let system_type = system_type(attribute);
    let kind = match system_type {
        "String" | "Memo" | "Uniqueidentifier" => FieldKind::Text,
        "Lookup" | "Customer" | "Owner" => FieldKind::Lookup,
        "Boolean" => FieldKind::Bool,
        "Integer" => FieldKind::Int,
        "BigInt" => FieldKind::BigInt,
        "Double" => FieldKind::Double,
        "Money" => FieldKind::Money,
        "Decimal" => {
            let scale = attribute.precision.unwrap_or(SCALE_MAX).clamp(0, SCALE_MAX);
            FieldKind::Decimal { scale: i8::try_from(scale).ok()? }
        }
        "DateTime" => match attribute.date_time_behavior.as_ref().and_then(|behavior| behavior.value.as_deref()) {
            Some("DateOnly") => FieldKind::Date,
            Some("TimeZoneIndependent") => FieldKind::LocalDateTime,
            _ => FieldKind::DateTime,
        },
        "Picklist" | "State" | "Status" => FieldKind::Picklist,
        "MultiSelectPicklist" => FieldKind::MultiPicklist,
        // EntityName, PartyList, ManagedProperty, CalendarRules, Image, File and other virtual columns.
        _ => return None,
    };
    let required = attribute.required_level.as_ref().and_then(|level| level.value.as_deref());
    // Dataverse itself fills in id, owner and state where a new record has none, and what has a value by default.
    let is_filled_in =
        attribute.logical_name == id || matches!(system_type, "Owner" | "State" | "Status" | "Boolean" | "Picklist");
    Some(ObjectField {
        name: attribute.logical_name.clone(),
        label: label(attribute.display_name.as_ref(), &attribute.logical_name),
        system_type: system_type.to_owned(),
        kind,
        length: attribute.max_length.and_then(|length| u32::try_from(length).ok()).filter(|_| kind == FieldKind::Text),
        options: options(attribute),
        readable: attribute.is_valid_for_read.unwrap_or(true),
        creatable: attribute.is_valid_for_create.unwrap_or(false),
        updatable: attribute.is_valid_for_update.unwrap_or(false),
        required: required == Some("SystemRequired") && !is_filled_in && attribute.is_valid_for_create.unwrap_or(false),
        targets: Vec::new(),
        min: attribute.min_value.filter(|_| is_number(kind)),
        max: attribute.max_value.filter(|_| is_number(kind)),
        incomparable: false,
        case_sensitive: false,
    })
}

fn is_number(kind: FieldKind) -> bool {
    matches!(
        kind,
        FieldKind::Int | FieldKind::BigInt | FieldKind::Double | FieldKind::Money | FieldKind::Decimal { .. }
    )
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
