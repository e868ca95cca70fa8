//! Option sets: the choices of one column, and those that several columns share.

use serde_json::{Value as Json, json};

use super::{entity::managed, label, metadata_id};
use crate::data::{Choice, Field, FieldKind, Store, Table};

/// The choices of a column, whether they are its own or shared.
pub(super) fn of_field(table: &Table, field: &Field) -> Option<Json> {
    let own = format!("{}_{}", table.shape.name, field.name);
    let (name, is_global) = match &field.shared_choices {
        Some(name) => (name.clone(), true),
        None => (own, false),
    };
    option_set(&name, is_global, field)
}

/// The shared choices of all tables, each once, in the order of their names.
pub(super) fn shared(store: &Store) -> Vec<Json> {
    let fields = store.tables.iter().flat_map(|table| &table.fields);
    let mut named: Vec<(&str, &Field)> =
        fields.filter_map(|field| Some((field.shared_choices.as_deref()?, field))).collect();
    named.sort_by_key(|(name, _)| *name);
    named.dedup_by_key(|(name, _)| *name);
    named.into_iter().filter_map(|(name, field)| option_set(name, true, field)).collect()
}

fn option_set(name: &str, is_global: bool, field: &Field) -> Option<Json> {
    let (kind, type_name) = match field.kind {
        FieldKind::Boolean { .. } => ("Boolean", "BooleanOptionSetMetadata"),
        FieldKind::State(_) => ("State", "OptionSetMetadata"),
        FieldKind::Status(_) => ("Status", "OptionSetMetadata"),
        FieldKind::Picklist(_) | FieldKind::MultiPicklist(_) => ("Picklist", "OptionSetMetadata"),
        _ => return None,
    };
    let mut set = json!({
        "@odata.type": format!("#Microsoft.Dynamics.CRM.{type_name}"),
        "MetadataId": metadata_id("", name).to_string(),
        "HasChanged": null,
        "Name": name,
        "OptionSetType": kind,
        "IsGlobal": is_global,
        "IsCustomOptionSet": field.custom,
        "IsManaged": !field.custom,
        "IsCustomizable": managed(true, "iscustomizable"),
        "DisplayName": label(&field.label),
        "Description": label(""),
        "ExternalTypeName": null,
        "IntroducedVersion": "5.0.0.0",
    });
    if let FieldKind::Boolean { yes, no } = &field.kind {
        set["TrueOption"] = option(&Choice::new(1, yes.as_str()));
        set["FalseOption"] = option(&Choice::new(0, no.as_str()));
    } else {
        set["ParentOptionSetName"] = Json::Null;
        set["Options"] = field.kind.choices().iter().map(option).collect();
    }
    Some(set)
}

fn option(choice: &Choice) -> Json {
    let mut json = json!({
        "Value": choice.value,
        "Label": label(&choice.label),
        "Description": label(""),
        "Color": null,
        "ExternalValue": null,
        "ParentValues": [],
        "IsManaged": false,
        "HasChanged": null,
        "MetadataId": null,
    });
    if let Some(state) = choice.state {
        json["State"] = state.into();
    }
    json
}
