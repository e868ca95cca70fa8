//! What the organisation says of its objects and fields.

mod kind;

use std::sync::Arc;

use engine::failure::{Class, Failure};
use engine::outside::crm::{FieldKind, Object, ObjectField, ObjectKey, ObjectName};
use indexmap::IndexMap;
use serde::Deserialize;

use super::session::Session;
use crate::names;

/// The most relationships that a path may follow, as SOQL allows.
const PATH_STEPS_MAX: usize = 5;
/// What all records that a reference of several objects may lead to have in common.
const ANY_RECORD: &str = "Name";

#[derive(Deserialize)]
struct List {
    sobjects: Vec<Named>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    name: String,
    #[serde(default)]
    label: String,
    #[serde(default)]
    queryable: bool,
    #[serde(default)]
    deprecated_and_hidden: bool,
}

#[derive(Deserialize)]
struct Described {
    name: String,
    #[serde(default)]
    label: String,
    #[serde(default)]
    replicateable: bool,
    fields: Vec<DescribedField>,
}

/// A field; what a version leaves out is as it is for most.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DescribedField {
    name: String,
    label: String,
    #[serde(rename = "type")]
    system_type: String,
    length: u32,
    /// Of numbers: how many digits in all.
    precision: u32,
    /// Of numbers: how many of them after the point.
    scale: i8,
    /// Whether a formula gives its value.
    calculated: bool,
    nillable: bool,
    createable: bool,
    updateable: bool,
    defaulted_on_create: bool,
    unique: bool,
    case_sensitive: bool,
    external_id: bool,
    id_lookup: bool,
    filterable: Option<bool>,
    compound_field_name: Option<String>,
    picklist_values: Vec<Choice>,
    reference_to: Vec<String>,
    relationship_name: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    value: String,
    label: Option<String>,
}

/// The objects that can be queried, by name.
pub(super) async fn objects(session: &Session) -> Result<Vec<ObjectName>, Failure> {
    let list: List = session.get("sobjects", "listing the objects").await?;
    let mut objects: Vec<ObjectName> = list
        .sobjects
        .into_iter()
        .filter(|object| object.queryable && !object.deprecated_and_hidden && names::is_identifier(&object.name))
        .map(|Named { name, label, .. }| ObjectName {
            label: if label.is_empty() { name.clone() } else { label },
            name,
        })
        .collect();
    objects.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(objects)
}

/// One object, by its API name.
pub(super) async fn describe(session: &Session, object: &str) -> Result<Object, Failure> {
    let unknown = || Failure::new(Class::Config, format!("{}: there is no object `{object}`", session.account()));
    let described = match names::is_identifier(object) {
        true => session.get::<Described>(&format!("sobjects/{object}/describe"), &format!("describing {object}")).await,
        false => Err(unknown().code("NOT_FOUND")),
    };
    let described = match described {
        Err(failure) if matches!(failure.code.as_deref(), Some("NOT_FOUND" | "INVALID_TYPE")) => {
            let known = objects(session).await?;
            let help = names::similar(object, known.iter().map(|object| object.name.as_str()));
            return Err(unknown().help(help.unwrap_or_else(|| {
                "`discover` lists the objects that the integration user may see; a permission set may be missing"
                    .to_owned()
            })));
        }
        other => other?,
    };
    if !described.name.eq_ignore_ascii_case(object) || described.fields.is_empty() {
        let message = format!("{}: describing {object}: the answer is not its description", session.account());
        return Err(
            Failure::new(Class::Transient, message).help("try again; if it stays so, a proxy may change answers")
        );
    }
    let object = object_of(described);
    session.related.lock().await.insert(object.name.clone(), Arc::new(object.clone()));
    Ok(object)
}

fn object_of(described: Described) -> Object {
    let mut fields = IndexMap::new();
    for field in described.fields.iter().filter(|field| names::is_identifier(&field.name)) {
        let parts = described.fields.iter().filter(|part| part.compound_field_name.as_ref() == Some(&field.name));
        let parts: Vec<&str> = parts.map(|part| part.name.as_str()).filter(|part| *part != field.name).collect();
        fields.insert(field.name.clone(), kind::field(field, &parts));
    }
    for field in &described.fields {
        if let Some(companion) = kind::lookup_type(field) {
            fields.entry(companion.name.clone()).or_insert(companion);
        }
    }
    // A person account has no name of its own: it is made of the person's.
    if fields.contains_key("IsPersonAccount")
        && let Some(name) = fields.get_mut("Name")
    {
        name.required = false;
    }
    let keys = described.fields.iter().filter_map(key).collect();
    let id = described.fields.iter().find(|field| field.system_type == "id").map_or("Id", |field| &field.name);
    Object {
        id: id.to_owned(),
        label: if described.label.is_empty() { described.name.clone() } else { described.label },
        internal_name: described.name.clone(),
        name: described.name,
        fields,
        keys,
        feed: described.replicateable,
        deletion_log: Some(described.replicateable),
    }
}

/// A field by which one record is found.
fn key(field: &DescribedField) -> Option<ObjectKey> {
    let is_key = (field.external_id || field.id_lookup) && field.system_type != "id";
    let unusable = (!field.unique).then(|| {
        "it is not unique, so that two records can have the same value: tick Unique in Object Manager".to_owned()
    });
    is_key.then(|| ObjectKey { name: field.name.clone(), fields: vec![field.name.clone()], unusable })
}

/// A field of a related record, such as `Account.AccountNumber`.
pub(super) async fn describe_path(session: &Session, object: &Object, path: &str) -> Result<ObjectField, Failure> {
    let mut steps: Vec<&str> = path.split('.').collect();
    let last = steps.pop().unwrap_or_default();
    let (account, name) = (session.account(), &object.name);
    if steps.is_empty() {
        return names::field(object, last, account).cloned();
    }
    if steps.len() > PATH_STEPS_MAX {
        return Err(Failure::new(
            Class::Config,
            format!("{account}: `{path}` of {name} follows more than {PATH_STEPS_MAX} relationships"),
        )
        .help("Salesforce follows no more; import the object between as well"));
    }
    let (mut at, mut label, mut way) = (Arc::new(object.clone()), String::new(), None);
    for step in &steps {
        let found = at.fields.values().find(|field| {
            field.kind == FieldKind::Lookup && field.targets.iter().any(|target| target.path.eq_ignore_ascii_case(step))
        });
        let Some(reference) = found.cloned() else {
            let paths = at.fields.values().flat_map(|field| &field.targets).map(|target| target.path.as_str());
            let help = names::similar(step, paths.filter(|path| !path.is_empty()));
            let message = format!("{account}: {} has no relationship `{step}`, which `{path}` follows", at.name);
            return Err(Failure::new(Class::Config, message).help(help.unwrap_or_else(|| {
                "a relationship is called like its lookup without Id, such as Account; of own fields with __r"
                    .to_owned()
            })));
        };
        label = if label.is_empty() { reference.label.clone() } else { format!("{label}: {}", reference.label) };
        let next = match reference.targets.as_slice() {
            [target] => target.object.clone(),
            _ => ANY_RECORD.to_owned(),
        };
        at = related(session, &next).await?;
        way = Some(reference);
    }
    let field = names::field(&at, last, account)?;
    // An external id of the record that a lookup leads to may be written in place of the lookup, where it leads to one object.
    let leads_to_one = way.as_ref().is_some_and(|way| way.targets.len() == 1);
    let is_key = steps.len() == 1 && leads_to_one && at.keys.iter().any(|key| key.fields == [field.name.as_str()]);
    let may = |allowed: fn(&ObjectField) -> bool| is_key && way.as_ref().is_some_and(allowed);
    Ok(ObjectField {
        name: format!("{}.{}", steps.join("."), field.name),
        label: format!("{label}: {}", field.label),
        creatable: may(|way| way.creatable),
        updatable: may(|way| way.updatable),
        required: false,
        ..field.clone()
    })
}

/// An object that a path leads to, described once.
async fn related(session: &Session, object: &str) -> Result<Arc<Object>, Failure> {
    let known = session.related.lock().await.get(object).cloned();
    match known {
        Some(known) => Ok(known),
        None => describe(session, object).await.map(Arc::new),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_is_required_but_of_an_organisation_with_person_accounts() {
        let required = |more: &str| {
            let field =
                |name: &str| json!({ "name": name, "type": "string", "createable": true, "nillable": name != "Name" });
            let described = json!({ "name": "Account", "fields": [field("Id"), field("Name"), field(more)] });
            object_of(serde_json::from_value(described).unwrap()).fields["Name"].required
        };
        assert!(required("Phone") && !required("IsPersonAccount"));
    }
}
