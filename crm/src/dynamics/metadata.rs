//! What the environment says of its tables and columns.
//!
//! Describing an object takes one request for the names of all tables (kept for the life of the account), one for the
//! table with all its columns, alternate keys and references, and one for each kind of column that has option sets;
//! those are sent at once.
//! `Attributes` without `$select` carry the properties of their own type; where a server leaves them out, they are
//! asked for by a typed cast as well.

mod kind;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use engine::failure::{Class, Failure};
use engine::outside::crm::{FieldKind, Object, ObjectKey, ObjectName, Target};
use futures::future::try_join_all;
use indexmap::IndexMap;
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::time::Instant;

use super::column;
use super::session::Session;

/// The state of an alternate key's index in which the key finds records, and keeps them apart.
const KEY_ACTIVE: &str = "Active";

/// How long the description of a related object is good for: several paths of one workflow lead to it.
const RELATED_KEPT: Duration = Duration::from_secs(60);

/// What is asked of a table.
const TABLE: &str = "$select=LogicalName,EntitySetName,PrimaryIdAttribute,DisplayName,ChangeTrackingEnabled,IsAuditEnabled\
    &$expand=Attributes,Keys($select=LogicalName,KeyAttributes,EntityKeyIndexStatus),\
    ManyToOneRelationships($select=ReferencingAttribute,ReferencedEntity,ReferencingEntityNavigationPropertyName)";

/// Column types of which more must be known than `Attributes` surely says: what, and by which cast.
const CASTS: &[(&str, &str, Detail)] = &[
    ("String", "StringAttributeMetadata", Detail::MaxLength),
    ("Memo", "MemoAttributeMetadata", Detail::MaxLength),
    ("DateTime", "DateTimeAttributeMetadata", Detail::DateTimeBehavior),
    ("Decimal", "DecimalAttributeMetadata", Detail::Precision),
    ("Integer", "IntegerAttributeMetadata", Detail::Range),
    ("Double", "DoubleAttributeMetadata", Detail::Precision),
    ("Money", "MoneyAttributeMetadata", Detail::Precision),
    ("Lookup", "LookupAttributeMetadata", Detail::Targets),
    ("Customer", "LookupAttributeMetadata", Detail::Targets),
    ("Owner", "LookupAttributeMetadata", Detail::Targets),
    ("Picklist", "PicklistAttributeMetadata", Detail::OptionSet),
    ("State", "StateAttributeMetadata", Detail::OptionSet),
    ("Status", "StatusAttributeMetadata", Detail::OptionSet),
    ("MultiSelectPicklist", "MultiSelectPicklistAttributeMetadata", Detail::OptionSet),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Detail {
    MaxLength,
    DateTimeBehavior,
    Precision,
    Range,
    Targets,
    OptionSet,
}

impl Detail {
    fn options(self) -> &'static str {
        match self {
            Self::MaxLength => "$select=LogicalName,MaxLength",
            Self::DateTimeBehavior => "$select=LogicalName,DateTimeBehavior",
            Self::Precision => "$select=LogicalName,Precision,MinValue,MaxValue",
            Self::Range => "$select=LogicalName,MinValue,MaxValue",
            Self::Targets => "$select=LogicalName,Targets",
            Self::OptionSet => "$select=LogicalName&$expand=OptionSet($select=Options)",
        }
    }

    fn is_known(self, attribute: &Attribute) -> bool {
        match self {
            Self::MaxLength => attribute.max_length.is_some(),
            Self::DateTimeBehavior => attribute.date_time_behavior.is_some(),
            Self::Precision => attribute.precision.is_some(),
            Self::Range => attribute.max_value.is_some(),
            Self::Targets => attribute.targets.is_some(),
            Self::OptionSet => attribute.option_set.is_some(),
        }
    }
}

/// The tables, by either name.
#[derive(Debug, Clone, Default)]
pub(super) struct Names(Vec<Name>);

#[derive(Debug, Clone)]
struct Name {
    logical: String,
    set: String,
    label: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entity {
    logical_name: String,
    entity_set_name: Option<String>,
    display_name: Option<Label>,
    #[serde(default)]
    primary_id_attribute: Option<String>,
    #[serde(default)]
    attributes: Vec<Attribute>,
    #[serde(default)]
    change_tracking_enabled: Option<bool>,
    #[serde(default)]
    is_audit_enabled: Option<Managed>,
    #[serde(default)]
    keys: Vec<Key>,
    #[serde(default)]
    many_to_one_relationships: Vec<Relationship>,
    #[serde(rename = "Attributes@odata.nextLink")]
    more_attributes: Option<IgnoredAny>,
    #[serde(rename = "Keys@odata.nextLink")]
    more_keys: Option<IgnoredAny>,
    #[serde(rename = "ManyToOneRelationships@odata.nextLink")]
    more_relationships: Option<IgnoredAny>,
}

impl Entity {
    /// Whether a list within it continues on another page. Dataverse sends such lists whole.
    fn is_cut(&self) -> bool {
        [&self.more_attributes, &self.more_keys, &self.more_relationships].iter().any(|more| more.is_some())
    }
}

/// A property that a solution may fix.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Managed {
    pub(super) value: bool,
}

/// An alternate key.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Key {
    logical_name: Option<String>,
    #[serde(default)]
    key_attributes: Vec<String>,
    entity_key_index_status: Option<String>,
}

/// A reference from this table to another one.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Relationship {
    referencing_attribute: Option<String>,
    referenced_entity: Option<String>,
    referencing_entity_navigation_property_name: Option<String>,
}

/// A column; what only some types have is absent from the others.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Attribute {
    logical_name: String,
    attribute_type: Option<String>,
    attribute_type_name: Option<Text>,
    attribute_of: Option<String>,
    display_name: Option<Label>,
    is_valid_for_read: Option<bool>,
    is_valid_for_create: Option<bool>,
    is_valid_for_update: Option<bool>,
    #[serde(rename = "IsValidODataAttribute")]
    is_valid_odata_attribute: Option<bool>,
    required_level: Option<Text>,
    max_length: Option<i64>,
    precision: Option<i64>,
    min_value: Option<f64>,
    max_value: Option<f64>,
    date_time_behavior: Option<Text>,
    targets: Option<Vec<String>>,
    option_set: Option<OptionSet>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Text {
    value: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct OptionSet {
    options: Vec<Choice>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Choice {
    value: Option<i64>,
    label: Option<Label>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Label {
    user_localized_label: Option<Localized>,
    localized_labels: Vec<Localized>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Localized {
    label: Option<String>,
}

/// As the application user sees it, else in any language, else the name itself.
fn label(label: Option<&Label>, name: &str) -> String {
    let localized = label.and_then(|label| label.user_localized_label.as_ref().or(label.localized_labels.first()));
    localized
        .and_then(|localized| localized.label.clone())
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| name.to_owned())
}

/// The tables that the Web API serves, by name.
pub(super) async fn objects(session: &Session) -> Result<Vec<ObjectName>, Failure> {
    let names = fetch_names(session).await?;
    let objects = names.0.iter().map(|name| ObjectName { name: name.set.clone(), label: name.label.clone() }).collect();
    *session.names.lock().await = Some(names);
    Ok(objects)
}

/// One table, by the name of its set (`contacts`) or of itself (`contact`).
pub(super) async fn describe(session: &Session, object: &str) -> Result<Object, Failure> {
    let (logical, names) = find(session, object).await?;
    let what = format!("describing {object}");
    let path = format!("EntityDefinitions(LogicalName='{logical}')");
    let mut entity: Entity = session.get_json(&format!("{path}?{TABLE}"), &what).await?;
    if entity.logical_name != logical || entity.is_cut() {
        let message = format!("{}: {what}: the answer is not the whole description of {logical}", session.account());
        return Err(
            Failure::new(Class::Transient, message).help("try again; if it stays so, a proxy may change answers")
        );
    }
    add_details(session, &path, &what, &mut entity.attributes).await?;

    let no_name =
        || Failure::new(Class::Config, format!("{}: {object} is not served by the Web API", session.account()));
    let id = entity.primary_id_attribute.filter(|id| !id.is_empty()).ok_or_else(no_name)?;
    let mut fields = IndexMap::new();
    entity.attributes.sort_by(|a, b| a.logical_name.cmp(&b.logical_name));
    kind::tell_shadows(&mut entity.attributes);
    for attribute in &entity.attributes {
        let mut field = kind::field(attribute, &id);
        if field.kind == FieldKind::Lookup {
            field.targets = targets(attribute, &entity.many_to_one_relationships, &names);
        }
        fields.insert(field.name.clone(), field);
    }
    for attribute in &entity.attributes {
        if let Some(companion) = kind::lookup_type(attribute, |target| names.label(target))
            && fields.get(&attribute.logical_name).is_some_and(|field| field.kind == FieldKind::Lookup)
        {
            // A real column of that name is what an author means.
            fields.entry(companion.name.clone()).or_insert(companion);
        }
    }
    Ok(Object {
        name: entity.entity_set_name.filter(|set| !set.is_empty()).ok_or_else(no_name)?,
        label: label(entity.display_name.as_ref(), &entity.logical_name),
        internal_name: entity.logical_name,
        id,
        fields,
        keys: entity.keys.into_iter().filter_map(key).collect(),
        feed: entity.change_tracking_enabled.unwrap_or(false),
        deletion_log: entity.is_audit_enabled.map(|managed| managed.value),
    })
}

fn key(key: Key) -> Option<ObjectKey> {
    let name = key.logical_name?;
    let unusable = match key.entity_key_index_status.as_deref() {
        Some(KEY_ACTIVE) => None,
        Some(status @ ("Pending" | "InProgress")) => {
            Some(format!("its index is still being built ({status}): wait until its status is {KEY_ACTIVE}"))
        }
        Some(status) => {
            Some(format!("its index is {status}, not {KEY_ACTIVE}: build it anew in Power Apps (the table, Keys)"))
        }
        None => Some("the CRM does not tell the state of its index: see it in Power Apps (the table, Keys)".to_owned()),
    };
    (!key.key_attributes.is_empty()).then_some(ObjectKey { name, fields: key.key_attributes, unusable })
}

/// What a lookup may point to, and by which navigation property.
///
/// An owner is a user or a team, but there is only one way, to `owner`. Where nothing is said of a way it has the
/// lookup's own name, with that of the other table behind it where there are several.
fn targets(attribute: &Attribute, relationships: &[Relationship], names: &Names) -> Vec<Target> {
    let lookup = attribute.logical_name.as_str();
    let ways: Vec<&Relationship> =
        relationships.iter().filter(|way| way.referencing_attribute.as_deref() == Some(lookup)).collect();
    let tables: Vec<&str> = attribute.targets.iter().flatten().map(String::as_str).collect();
    let guess = |table: &str| match tables.len() {
        0 | 1 => lookup.to_owned(),
        _ => format!("{lookup}_{table}"),
    };
    let target = |table: &&str| {
        let own = ways.iter().find(|way| way.referenced_entity.as_deref() == Some(*table));
        let way = own.or(ways.first().filter(|_| ways.len() == 1));
        let path = way.and_then(|way| way.referencing_entity_navigation_property_name.clone());
        Target {
            object: (*table).to_owned(),
            name: names.set(table),
            path: path.filter(|path| column::is_identifier(path)).unwrap_or_else(|| guess(table)),
        }
    };
    tables.iter().map(target).collect()
}

/// Objects that fields of others lead to, by internal name, with the time at which they were described.
pub(super) type Related = HashMap<String, (Instant, Arc<Object>)>;

/// An object that a field of another one leads to; one that was described a short while ago is not asked for again.
pub(super) async fn related(session: &Session, logical: &str) -> Result<Arc<Object>, Failure> {
    let mut known = session.related.lock().await;
    if let Some((at, object)) = known.get(logical)
        && at.elapsed() < RELATED_KEPT
    {
        return Ok(object.clone());
    }
    let object = Arc::new(describe(session, logical).await?);
    known.insert(logical.to_owned(), (Instant::now(), object.clone()));
    Ok(object)
}

/// The internal name of a table, from what is known or after asking anew.
async fn find(session: &Session, object: &str) -> Result<(String, Names), Failure> {
    let mut known = session.names.lock().await;
    if let Some(names) = known.as_ref()
        && let Some(logical) = names.logical(object)
    {
        return Ok((logical, names.clone()));
    }
    let names = known.insert(fetch_names(session).await?);
    let Some(logical) = names.logical(object) else {
        let account = session.account();
        let failure = Failure::new(Class::Config, format!("{account}: there is no object `{object}`"));
        let candidates = names.0.iter().flat_map(|name| [name.set.as_str(), name.logical.as_str()]);
        return Err(match column::similar(object, candidates) {
            Some(help) => failure.help(help),
            None => failure.help("`discover` lists the objects that the application user may see"),
        });
    };
    Ok((logical, names.clone()))
}

async fn fetch_names(session: &Session) -> Result<Names, Failure> {
    let relative = "EntityDefinitions?$select=LogicalName,EntitySetName,DisplayName";
    let list: Vec<Entity> = session.get_list(relative, "listing the tables").await?;
    let mut names: Vec<Name> = list
        .into_iter()
        .filter_map(|entity| {
            let label = label(entity.display_name.as_ref(), &entity.logical_name);
            let set = entity.entity_set_name.filter(|set| column::is_identifier(set))?;
            column::is_identifier(&entity.logical_name).then_some(Name { logical: entity.logical_name, set, label })
        })
        .collect();
    names.sort_by(|a, b| a.set.cmp(&b.set));
    Ok(Names(names))
}

impl Names {
    fn logical(&self, object: &str) -> Option<String> {
        let by = |matches: fn(&Name, &str) -> bool| self.0.iter().find(|name| matches(name, object));
        let found = by(|name, object| name.set == object).or_else(|| by(|name, object| name.logical == object))?;
        Some(found.logical.clone())
    }

    fn set(&self, logical: &str) -> String {
        let found = self.0.iter().find(|name| name.logical == logical);
        found.map_or_else(|| logical.to_owned(), |name| name.set.clone())
    }

    fn label(&self, logical: &str) -> String {
        let found = self.0.iter().find(|name| name.logical == logical);
        found.map_or_else(|| logical.to_owned(), |name| name.label.clone())
    }
}

/// Asks for what the attributes do not say of themselves.
async fn add_details(session: &Session, path: &str, what: &str, attributes: &mut [Attribute]) -> Result<(), Failure> {
    let mut wanted: Vec<(&str, Detail)> = Vec::new();
    for (kind, cast, detail) in CASTS {
        let lacks = |attribute: &Attribute| kind::system_type(attribute) == *kind && !detail.is_known(attribute);
        if attributes.iter().any(lacks) && !wanted.contains(&(cast, *detail)) {
            wanted.push((cast, *detail));
        }
    }
    let requests = wanted.iter().map(async |(cast, detail)| {
        let relative = format!("{path}/Attributes/Microsoft.Dynamics.CRM.{cast}?{}", detail.options());
        session.get_list::<Attribute>(&relative, what).await
    });
    let places: HashMap<String, usize> =
        attributes.iter().enumerate().map(|(place, attribute)| (attribute.logical_name.clone(), place)).collect();
    for detailed in try_join_all(requests).await?.into_iter().flatten() {
        let Some(place) = places.get(&detailed.logical_name) else { continue };
        let attribute = &mut attributes[*place];
        attribute.max_length = attribute.max_length.or(detailed.max_length);
        attribute.precision = attribute.precision.or(detailed.precision);
        attribute.min_value = attribute.min_value.or(detailed.min_value);
        attribute.max_value = attribute.max_value.or(detailed.max_value);
        attribute.date_time_behavior = attribute.date_time_behavior.take().or(detailed.date_time_behavior);
        attribute.targets = attribute.targets.take().or(detailed.targets);
        attribute.option_set = attribute.option_set.take().or(detailed.option_set);
    }
    Ok(())
}
