//! Descriptions of tables and columns: `EntityDefinitions` with `Attributes`, typed casts, `Keys` and relationships, and
//! `RelationshipDefinitions` and `GlobalOptionSetDefinitions`, which show the same of all tables.

mod choices;
mod entity;
pub(crate) mod relationship;

use serde_json::{Map, Value as Json, json};

use super::{
    call::Call,
    error::Error,
    filter,
    key::{self, Path, Segment},
    types::{TypeName, type_name},
};
use crate::{
    data::{DateBehavior, Fact, Field, FieldKind, Key, Required, Store, Table},
    guid::Guid,
    random::mix,
    reply::Reply,
};
use relationship::Relationship;

/// The names of all column types that the admin API can add, as metadata spells them.
pub(crate) const TYPE_NAMES: &[&str] = &[
    "String",
    "Memo",
    "Uniqueidentifier",
    "DateTime",
    "Integer",
    "BigInt",
    "Money",
    "Decimal",
    "Double",
    "Boolean",
    "Picklist",
    "MultiSelectPicklist",
    "Lookup",
    "Customer",
    "Owner",
    "EntityName",
    "PartyList",
    "CalendarRules",
    "ManagedProperty",
    "Virtual",
    "File",
    "Image",
    "Newest",
];

/// Tables whose records can be people of an activity.
const PARTIES: [&str; 4] = ["account", "contact", "lead", "systemuser"];

const NAMESPACE: &str = "Microsoft.Dynamics.CRM.";

/// Answers `GET /EntityDefinitions…`.
pub(super) fn answer(store: &Store, call: &Call, path: &Path) -> Result<Reply, Error> {
    let (first, rest) = path.segments.split_first().ok_or_else(|| Error::segment(""))?;
    let root = format!("{}$metadata#EntityDefinitions", call.root());
    let Some(key) = &first.key else {
        if let Some(unknown) = rest.first() {
            return Err(Error::segment(&unknown.name));
        }
        let tables = store.tables.iter().map(|table| entity_with_parts(store, table, call));
        return list(tables.collect::<Result<_, _>>()?, call, &root);
    };
    let table = find_table(store, key)?;
    let root = format!("{root}('{}')", table.shape.name);
    let Some((part, rest)) = rest.split_first() else {
        return one(entity_with_parts(store, table, call)?, call, &format!("{root}/$entity"));
    };
    let root = format!("{root}/{}", part.name);
    match (part.name.as_str(), rest) {
        ("Attributes", rest) => attributes(table, part, rest, call, &root),
        (name, []) => match (parts(store, table, name, call), &part.key) {
            (Some(parts), None) => list(parts, call, &root),
            (Some(parts), Some(key)) => one(found(parts, key)?, call, &format!("{root}/$entity")),
            (None, _) => Err(Error::segment(name)),
        },
        (_, [unknown, ..]) => Err(Error::segment(&unknown.name)),
    }
}

/// Answers `GET /RelationshipDefinitions…` and `GET /GlobalOptionSetDefinitions…`: all of them or one, cast to their type or not.
pub(super) fn definitions(store: &Store, call: &Call, path: &Path) -> Result<Reply, Error> {
    let (first, rest) = path.segments.split_first().ok_or_else(|| Error::segment(""))?;
    let is_choices = first.name == "GlobalOptionSetDefinitions";
    if is_choices && call.option("$filter").is_some() {
        return Err(Error::new(501, super::error::code::QUERY, "The query parameter $filter is not supported"));
    }
    let mut all: Vec<Json> = match is_choices {
        true => choices::shared(store),
        false => relationship::all(store).map(|relationship| relationship.to_json()).collect(),
    };
    if let [cast, ..] = rest {
        let name =
            cast.name.strip_prefix(NAMESPACE).filter(|_| rest.len() == 1).ok_or_else(|| Error::segment(&cast.name))?;
        let wanted = format!("#{NAMESPACE}{name}");
        all.retain(|item| item["@odata.type"] == wanted);
    }
    let root = format!("{}$metadata#{}", call.root(), first.name);
    match &first.key {
        None => list(all, call, &root),
        Some(key) => one(found(all, key)?, call, &format!("{root}/$entity")),
    }
}

/// The item that a key means: `SchemaName='…'`, `Name='…'`, `LogicalName='…'` or its id.
fn found(items: Vec<Json>, key: &str) -> Result<Json, Error> {
    let (name, value) = match key::pairs(key).as_deref() {
        Some([(name, value)]) => (name.clone(), value.clone()),
        _ => ("MetadataId".to_owned(), key.to_lowercase()),
    };
    items.into_iter().find(|item| item[&name] == value.as_str()).ok_or_else(|| {
        Error::new(404, "0x80060888", format!("Could not find a metadata item with the name or id '{value}'."))
    })
}

/// Answers `PUT /EntityDefinitions(LogicalName='contact')`: what can be switched about a table. All else that a definition
/// says stays as it is.
pub(super) fn update(store: &mut Store, call: &Call, path: &Path) -> Result<Reply, Error> {
    let [Segment { key: Some(key), .. }] = path.segments.as_slice() else {
        return Err(Error::method(&call.method));
    };
    let name = find_table(store, key)?.shape.name;
    let definition: Json = serde_json::from_slice(&call.body).map_err(|error| Error::payload(error.to_string()))?;
    let index = store.table_index(name).ok_or_else(|| Error::segment(name))?;
    let table = &mut store.tables[index];
    match definition["ChangeTrackingEnabled"].as_bool() {
        Some(false) if table.tracks_changes => {
            return Err(Error::payload("Change tracking cannot be disabled once it is enabled."));
        }
        Some(tracks) => table.tracks_changes = tracks,
        None => {}
    }
    if let Some(is_audited) = definition["IsAuditEnabled"]["Value"].as_bool() {
        table.is_audited = is_audited;
    }
    Ok(Reply::empty(204).header("OData-Version", "4.0"))
}

fn find_table<'a>(store: &'a Store, key: &str) -> Result<&'a Table, Error> {
    let by_name = |name: &str| store.table(name);
    let found = match key::pairs(key).as_deref() {
        Some([(property, name)]) if property == "LogicalName" => by_name(name),
        _ => Guid::parse(key).and_then(|id| store.tables.iter().find(|table| metadata_id(table.shape.name, "") == id)),
    };
    found.ok_or_else(|| {
        Error::new(
            404,
            "0x80060888",
            format!("Could not find an entity with the name or id '{key}' in the metadata cache."),
        )
    })
}

/// `/Attributes`, `/Attributes/Type`, `/Attributes(LogicalName='x')`, `/Attributes(LogicalName='x')/Type`.
fn attributes(table: &Table, part: &Segment, rest: &[Segment], call: &Call, root: &str) -> Result<Reply, Error> {
    let (cast, set) = match rest {
        [] => (None, None),
        [cast, rest @ ..] if cast.key.is_none() => {
            let name = cast.name.strip_prefix(NAMESPACE).ok_or_else(|| Error::segment(&cast.name))?;
            match rest {
                [] => (Some(name), None),
                [set] if matches!(set.name.as_str(), "OptionSet" | "GlobalOptionSet") => (Some(name), Some(set)),
                [unknown, ..] => return Err(Error::segment(&unknown.name)),
            }
        }
        [unknown, ..] => return Err(Error::segment(&unknown.name)),
    };
    let matches = |field: &&Field| cast.is_none_or(|cast| type_name(&field.kind).metadata == cast);
    let root = cast.map_or_else(|| root.to_owned(), |cast| format!("{root}/{NAMESPACE}{cast}"));
    let Some(key) = &part.key else {
        let fields = table.fields.iter().filter(matches).map(|field| attribute(table, field, call));
        return list(fields.collect(), call, &root);
    };
    let name = match key::pairs(key).as_deref() {
        Some([(property, name)]) if property == "LogicalName" => name.clone(),
        _ => key.clone(),
    };
    let by_id = |field: &&Field| Guid::parse(&name) == Some(metadata_id(table.shape.name, &field.name));
    let field = table.fields.iter().find(|field| field.name == name || by_id(field)).filter(matches);
    let field = field.ok_or_else(|| {
        Error::new(404, "0x80060888", format!("Could not find an attribute with the name or id '{name}'."))
    })?;
    let Some(set) = set else { return one(attribute(table, field, call), call, &format!("{root}/$entity")) };
    let options =
        choices::of_field(table, field).filter(|options| set.name == "OptionSet" || options["IsGlobal"] == true);
    match options {
        Some(options) => one(options, call, &format!("{root}/{}/$entity", set.name)),
        None => Ok(Reply::empty(204).header("OData-Version", "4.0")),
    }
}

/// A definition with what `$expand` adds to it.
fn entity_with_parts(store: &Store, table: &Table, call: &Call) -> Result<Json, Error> {
    let mut json = entity::entity(table, store.described_at);
    for expansion in expansions(call)? {
        let unknown = || Error::property(&expansion.name, "EntityMetadata");
        let mut parts = parts(store, table, &expansion.name, call).ok_or_else(unknown)?;
        if let Some(condition) = &expansion.condition {
            let mut kept = Vec::new();
            for part in parts {
                if super::metadata_filter::holds(condition, &part)? {
                    kept.push(part);
                }
            }
            parts = kept;
        }
        json[&expansion.name] = parts.into_iter().map(|part| narrowed(part, expansion.select.as_deref())).collect();
    }
    Ok(json)
}

/// A list that hangs on a table.
fn parts(store: &Store, table: &Table, name: &str, call: &Call) -> Option<Vec<Json>> {
    let shown = |relationship: Relationship| relationship.to_json();
    Some(match name {
        "Attributes" => table.fields.iter().map(|field| attribute(table, field, call)).collect(),
        "Keys" => table.keys.iter().map(|key| alternate_key(table, key)).collect(),
        "ManyToOneRelationships" => relationship::of_table(table).into_iter().map(shown).collect(),
        "OneToManyRelationships" => relationship::to_table(store, table).map(shown).collect(),
        "ManyToManyRelationships" => Vec::new(),
        _ => return None,
    })
}

/// Properties of every column that only a setting would change.
const PLAIN: &[(&str, Option<bool>)] = &[
    ("CanBeSecuredForCreate", Some(true)),
    ("CanBeSecuredForRead", Some(true)),
    ("CanBeSecuredForUpdate", Some(true)),
    ("IsDataSourceSecret", Some(false)),
    ("IsFilterable", Some(false)),
    ("IsManaged", Some(true)),
    ("IsRequiredForForm", Some(false)),
    ("IsRetrievable", Some(true)),
    ("IsSearchable", Some(true)),
    ("IsSecured", Some(false)),
    ("IsValidForForm", Some(true)),
    ("IsValidForGrid", Some(true)),
    ("AutoNumberFormat", None),
    ("DeprecatedVersion", None),
    ("ExternalName", None),
    ("HasChanged", None),
    ("InheritsFrom", None),
    ("LinkedAttributeId", None),
    ("SourceType", None),
];

/// The same, of the kind that says whether it may be changed, and the setting that decides.
const MANAGED: &[(&str, &str)] = &[
    ("CanModifyAdditionalSettings", "canmodifyadditionalsettings"),
    ("IsAuditEnabled", "canmodifyauditsettings"),
    ("IsCustomizable", "iscustomizable"),
    ("IsGlobalFilterEnabled", "canmodifyglobalfiltersettings"),
    ("IsRenameable", "isrenameable"),
    ("IsSortableEnabled", "canmodifyissortablesettings"),
    ("IsValidForAdvancedFind", "canmodifysearchsettings"),
];

fn attribute(table: &Table, field: &Field, call: &Call) -> Json {
    let TypeName { attribute_type, type_name, metadata } = type_name(&field.kind);
    let required = match field.required {
        Required::None => "None",
        Required::Recommended => "Recommended",
        Required::Application => "ApplicationRequired",
        Required::System => "SystemRequired",
    };
    let mut json = json!({
        "@odata.type": format!("#{NAMESPACE}{metadata}"),
        "MetadataId": metadata_id(table.shape.name, &field.name).to_string(),
        "LogicalName": field.name,
        "SchemaName": field.schema_name,
        "EntityLogicalName": table.shape.name,
        "AttributeType": attribute_type,
        "AttributeTypeName": {"Value": type_name},
        "AttributeOf": attribute_of(table, field),
        "DisplayName": label(&field.label),
        "IsPrimaryId": field.fact == Some(Fact::Id),
        "IsPrimaryName": field.name == table.shape.name_field,
        "IsCustomAttribute": field.custom,
        "IsLogical": attribute_of(table, field).is_some(),
        "IsValidForCreate": field.can_create,
        "IsValidForUpdate": field.can_update,
        "IsValidForRead": !matches!(field.kind, FieldKind::Virtual),
        "IsValidODataAttribute": field.kind.is_readable(),
        "RequiredLevel": {"Value": required, "CanBeChanged": true, "ManagedPropertyLogicalName": "canmodifyrequirementlevelsettings"},
    });
    if let Json::Object(properties) = &mut json {
        properties.extend(PLAIN.iter().map(|(name, value)| ((*name).to_owned(), json!(value))));
        let managed = |(name, setting): &(&str, &str)| ((*name).to_owned(), entity::managed(true, setting));
        properties.extend(MANAGED.iter().map(managed));
    }
    if let Json::Object(properties) = &mut json {
        properties.extend(details(&field.kind));
        let expand = call.option("$expand").unwrap_or_default();
        if expand.contains("OptionSet")
            && let Some(options) = choices::of_field(table, field)
        {
            let shared = if options["IsGlobal"] == true { options.clone() } else { Json::Null };
            properties.insert("OptionSet".into(), options);
            properties.insert("GlobalOptionSet".into(), shared);
        }
    }
    json
}

/// What only columns of one type have.
fn details(kind: &FieldKind) -> Map<String, Json> {
    let details = match kind {
        FieldKind::Text { length_max, format } => {
            json!({"MaxLength": length_max, "DatabaseLength": length_max * 2, "Format": format, "FormatName": {"Value": format}, "ImeMode": "Auto"})
        }
        FieldKind::Memo { length_max } => json!({"MaxLength": length_max, "Format": "TextArea"}),
        FieldKind::DateTime(behavior) => {
            let (behavior, format) = match behavior {
                DateBehavior::UserLocal => ("UserLocal", "DateAndTime"),
                DateBehavior::DateOnly => ("DateOnly", "DateOnly"),
                DateBehavior::TimeZoneIndependent => ("TimeZoneIndependent", "DateAndTime"),
            };
            json!({"Format": format, "DateTimeBehavior": {"Value": behavior}})
        }
        FieldKind::Integer { min, max } => {
            json!({"MinValue": min, "MaxValue": max, "Format": "None"})
        }
        FieldKind::BigInt => json!({"MinValue": i64::MIN, "MaxValue": i64::MAX}),
        FieldKind::Money { precision } => {
            json!({"Precision": precision, "PrecisionSource": 2, "MinValue": -922_337_203_685_477.0, "MaxValue": 922_337_203_685_477.0})
        }
        FieldKind::Decimal { precision } => {
            json!({"Precision": precision, "MinValue": -100_000_000_000.0, "MaxValue": 100_000_000_000.0})
        }
        FieldKind::Double { precision } => {
            json!({"Precision": precision, "MinValue": -100_000_000_000.0, "MaxValue": 100_000_000_000.0})
        }
        FieldKind::Lookup { targets, .. } => json!({"Targets": targets, "Format": "None"}),
        FieldKind::Picklist(_) | FieldKind::MultiPicklist(_) => json!({"DefaultFormValue": -1}),
        FieldKind::Boolean { .. } => json!({"DefaultValue": false}),
        FieldKind::PartyList => json!({"Targets": PARTIES, "Format": "None"}),
        FieldKind::File => json!({"MaxSizeInKB": 32_768}),
        FieldKind::Image => {
            json!({"MaxSizeInKB": 10_240, "MaxHeight": 144, "MaxWidth": 144, "CanStoreFullImage": true})
        }
        FieldKind::ManagedProperty => json!({"ValueAttributeTypeCode": "Boolean"}),
        _ => Json::Null,
    };
    match details {
        Json::Object(properties) => properties,
        _ => Map::new(),
    }
}

fn alternate_key(table: &Table, key: &Key) -> Json {
    let fields: Vec<&str> = key.fields.iter().map(|field| table.fields[*field].name.as_str()).collect();
    json!({
        "MetadataId": metadata_id(table.shape.name, &key.name).to_string(),
        "LogicalName": key.name,
        "SchemaName": key.name,
        "EntityLogicalName": table.shape.name,
        "KeyAttributes": fields,
        "EntityKeyIndexStatus": key.status,
        "DisplayName": label(&key.name),
    })
}

/// The column that a computed shadow (`gendercodename`), a reference's type column or a part of a file or image belongs to.
fn attribute_of(table: &Table, field: &Field) -> Option<String> {
    let is_there = |name: &&str| table.field(name).is_some();
    if !field.kind.is_readable() {
        let shadowed = ["name", "type"].iter().find_map(|end| field.name.strip_suffix(end));
        return shadowed.filter(is_there).map(str::to_owned);
    }
    let is_medium = |name: &&str| {
        let kind = table.field(name).map(|index| &table.fields[index].kind);
        matches!(kind, Some(FieldKind::File | FieldKind::Image))
    };
    let medium = ["_name", "_url", "_timestamp"].iter().find_map(|end| field.name.strip_suffix(end));
    let medium = medium.filter(is_medium)?;
    let id = format!("{medium}id");
    Some(if table.field(&id).is_some() { id } else { medium.to_owned() })
}

fn label(text: &str) -> Json {
    let localized = json!({"Label": text, "LanguageCode": 1033, "IsManaged": true});
    json!({"LocalizedLabels": [localized], "UserLocalizedLabel": localized})
}

fn metadata_id(table: &str, name: &str) -> Guid {
    let chance = format!("{table}.{name}").bytes().fold(7, |chance, byte| mix(chance, u64::from(byte)));
    let bits = u128::from(mix(chance, 1)) << 64 | u128::from(mix(chance, 2));
    Guid::from_u128(bits & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62)
}

struct Expansion {
    name: String,
    select: Option<String>,
    condition: Option<filter::Filter>,
}

/// `$expand=Attributes($select=LogicalName,AttributeType;$filter=AttributeType eq …),Keys`
fn expansions(call: &Call) -> Result<Vec<Expansion>, Error> {
    let text = call.option("$expand").unwrap_or_default();
    let parts = super::expand::split(&text, ',');
    let one = |part: &str| {
        let (name, options) = part.split_once('(').unwrap_or((part, ""));
        let options = super::expand::split(options.strip_suffix(')').unwrap_or(options), ';');
        let option = |name: &str| options.iter().find_map(|option| option.trim().strip_prefix(name));
        let condition = option("$filter=").map(|text| filter::parse(&call.with_aliases(text))).transpose()?;
        Ok(Expansion { name: name.trim().to_owned(), select: option("$select=").map(str::to_owned), condition })
    };
    parts.into_iter().filter(|part| !part.trim().is_empty()).map(one).collect()
}

fn one(item: Json, call: &Call, context: &str) -> Result<Reply, Error> {
    let mut body = Map::from_iter([("@odata.context".to_owned(), context.into())]);
    if let Json::Object(properties) = selected(item, call)? {
        body.extend(properties);
    }
    Ok(Reply::json(200, &Json::Object(body)).header("OData-Version", "4.0"))
}

fn list(items: Vec<Json>, call: &Call, context: &str) -> Result<Reply, Error> {
    let text = call.option("$filter");
    let condition = text.map(|text| filter::parse(&call.with_aliases(&text))).transpose()?;
    let mut value = Vec::new();
    for item in items {
        let keep = match &condition {
            Some(condition) => super::metadata_filter::holds(condition, &item)?,
            None => true,
        };
        if keep {
            value.push(selected(item, call)?);
        }
    }
    let select = call.option("$select").map_or_else(String::new, |select| format!("({select})"));
    let body = json!({"@odata.context": format!("{context}{select}"), "value": value});
    Ok(Reply::json(200, &body).header("OData-Version", "4.0"))
}

/// Only what `$select` names, which must be there; ids, types and expansions stay.
fn selected(item: Json, call: &Call) -> Result<Json, Error> {
    let select = call.option("$select");
    if let (Some(select), Json::Object(properties)) = (&select, &item) {
        let known = |name: &&str| properties.contains_key(*name) || TYPED.contains(name);
        if let Some(unknown) = select.split(',').map(str::trim).find(|name| !known(name)) {
            return Err(Error::query(format!(
                "Could not find a property named '{unknown}' on type 'Microsoft.Dynamics.CRM.EntityMetadata'."
            )));
        }
    }
    let expanded: Vec<String> = expansions(call)?.into_iter().map(|expansion| expansion.name).collect();
    let kept = select.map(|select| format!("{select},{},GlobalOptionSet", expanded.join(",")));
    Ok(narrowed(item, kept.as_deref()))
}

/// Properties of single column types, which a list of mixed columns has only here and there.
const TYPED: &[&str] = &[
    "MaxLength",
    "Format",
    "FormatName",
    "DateTimeBehavior",
    "MinValue",
    "MaxValue",
    "Precision",
    "Targets",
    "DefaultFormValue",
];

fn narrowed(item: Json, select: Option<&str>) -> Json {
    let (Some(select), Json::Object(properties)) = (select, &item) else {
        return item;
    };
    let names: Vec<&str> = select.split(',').map(str::trim).collect();
    let kept = properties
        .iter()
        .filter(|(name, _)| names.contains(&name.as_str()) || *name == "MetadataId" || *name == "@odata.type");
    Json::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect())
}
