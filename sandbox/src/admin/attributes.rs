//! Columns and alternate keys of one's own.

use serde::{Deserialize, Serialize};

use super::{Admin, Refused, records::table_index};
use crate::{
    data::{Choice, DateBehavior, Field, FieldKind, KeyStatus, LookupRole, Required, Rule, Table, Value},
    dataverse::TYPE_NAMES,
};

/// Columns that a table can have at most, as the platform's tables do.
const FIELDS_MAX: usize = 1_024;

/// A column to add.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Attribute {
    /// Logical name, such as `new_number`: small letters, digits and `_`.
    pub name: String,
    /// `String`, `Memo`, `Uniqueidentifier`, `DateTime`, `Integer`, `BigInt`, `Money`, `Decimal`, `Double`, `Boolean`,
    /// `Picklist`, `MultiSelectPicklist`, `Lookup`, `Customer`, `Owner`, `EntityName` (of a lookup, where it is called like one
    /// with `type` behind), `PartyList`, `CalendarRules`, `ManagedProperty`, `Virtual`, `File` and `Image` (both with their
    /// own columns, such as `new_scan_name` and `new_photo_url`), or `Newest`, which no client knows yet.
    #[serde(rename = "type")]
    pub kind: String,
    /// Name shown to people; without it, the logical name.
    #[serde(default)]
    pub label: Option<String>,
    /// Longest text: 100 for `String`, 2,000 for `Memo` unless given.
    #[serde(default)]
    pub max_length: Option<usize>,
    /// Places after the point, 0 to 10: 2 unless given.
    #[serde(default)]
    pub precision: Option<u8>,
    /// `UserLocal` (unless given), `DateOnly` or `TimeZoneIndependent`.
    #[serde(default)]
    pub date_behavior: Option<String>,
    /// Choices of a list, or the words for 0 and 1 of a `Boolean`.
    #[serde(default)]
    pub options: Vec<AttributeOption>,
    /// Name of a global option set that has these options: columns of several tables can name the same.
    #[serde(default)]
    pub option_set: Option<String>,
    /// Tables that a `Lookup` can point to: `contact`, `account`, `systemuser`.
    #[serde(default)]
    pub targets: Vec<String>,
}

/// A choice of a list.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttributeOption {
    /// Its number.
    pub value: i64,
    /// Its word.
    pub label: String,
}

impl Admin {
    /// Adds a column to a table (`contact` or `contacts`), or puts another in place of one that was added before.
    pub fn add_attribute(&self, table: &str, attribute: &Attribute) -> Result<(), Refused> {
        let mut store = self.state.store_mut();
        let index = table_index(&store, table)?;
        let targets = attribute.targets.iter().map(|target| {
            store
                .table(target)
                .map(|table| table.shape.name)
                .ok_or_else(|| Refused(format!("there is no table \"{target}\" to point to")))
        });
        let kind = kind(attribute, targets.collect::<Result<_, _>>()?, &store.tables[index])?;
        let table = &mut store.tables[index];
        let is_name = attribute.name.starts_with(|first: char| first.is_ascii_lowercase())
            && attribute.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if !is_name {
            return Err(Refused(format!(
                "\"{}\" is no logical name: use small letters, digits and _, a letter first",
                attribute.name
            )));
        }
        if table.field(&attribute.name).is_some_and(|index| !table.fields[index].custom) {
            return Err(Refused(format!("\"{}\" is a column of the product", attribute.name)));
        }
        if table.fields.len() >= FIELDS_MAX {
            return Err(Refused(format!("the table has {FIELDS_MAX} columns already")));
        }
        table.add_field(Field {
            name: attribute.name.clone(),
            schema_name: attribute.name.clone(),
            label: attribute.label.clone().unwrap_or_else(|| attribute.name.clone()),
            can_create: kind.is_writable(),
            can_update: kind.is_writable(),
            kind,
            required: Required::None,
            custom: true,
            fact: None,
            default: Value::Null,
            shared_choices: attribute.option_set.clone(),
        });
        store.described_at = self.state.clock.now();
        let table = &mut store.tables[index];
        for part in parts(&attribute.name, &attribute.kind) {
            table.add_field(part);
        }
        Ok(())
    }

    /// Adds an alternate key over columns of a table, active at once.
    pub fn add_key(&self, table: &str, name: &str, attributes: &[String]) -> Result<(), Refused> {
        self.add_key_with(table, name, attributes, KeyStatus::Active)
    }

    /// Adds an alternate key over columns of a table, or puts another in place of the one of the same name. Only an active one
    /// can be used and is enforced.
    pub fn add_key_with(
        &self,
        table: &str,
        name: &str,
        attributes: &[String],
        status: KeyStatus,
    ) -> Result<(), Refused> {
        let mut store = self.state.store_mut();
        let index = table_index(&store, table)?;
        let table = &mut store.tables[index];
        let fields = fields(table, attributes)?;
        table.add_key(name, fields, status);
        Ok(())
    }

    /// Adds a duplicate-detection rule over columns of a table, or puts another in place of the one of the same name. It is
    /// asked for writes with `MSCRM.SuppressDuplicateDetection: false`, and with `always` for every write.
    pub fn add_rule(&self, table: &str, name: &str, attributes: &[String], always: bool) -> Result<(), Refused> {
        let mut store = self.state.store_mut();
        let index = table_index(&store, table)?;
        let table = &mut store.tables[index];
        let fields = fields(table, attributes)?;
        let index = table.index_over(&fields);
        table.rules.retain(|rule| rule.name != name);
        table.rules.push(Rule { name: name.to_owned(), fields, always, index });
        Ok(())
    }

    /// Takes all duplicate-detection rules of a table back.
    pub fn clear_rules(&self, table: &str) -> Result<(), Refused> {
        let mut store = self.state.store_mut();
        let index = table_index(&store, table)?;
        store.tables[index].rules.clear();
        Ok(())
    }
}

fn fields(table: &Table, attributes: &[String]) -> Result<Vec<usize>, Refused> {
    let fields: Option<Vec<usize>> = attributes.iter().map(|attribute| table.field(attribute)).collect();
    fields
        .filter(|fields| !fields.is_empty())
        .ok_or_else(|| Refused("a key or a rule is made of columns that the table has".into()))
}

/// What the system keeps beside a file or an image, for clients to read.
fn parts(name: &str, kind: &str) -> Vec<Field> {
    let text = || FieldKind::Text { length_max: 200, format: "Text" };
    let ends = match kind {
        "File" => vec![("_name", text())],
        "Image" => vec![("id", FieldKind::Guid), ("_url", text()), ("_timestamp", FieldKind::BigInt)],
        _ => return Vec::new(),
    };
    let part = |(end, kind)| Field {
        name: format!("{name}{end}"),
        schema_name: format!("{name}{end}"),
        label: String::new(),
        kind,
        can_create: false,
        can_update: false,
        required: Required::None,
        custom: true,
        fact: None,
        default: Value::Null,
        shared_choices: None,
    };
    ends.into_iter().map(part).collect()
}

fn kind(attribute: &Attribute, targets: Vec<&'static str>, table: &Table) -> Result<FieldKind, Refused> {
    let precision = attribute.precision.unwrap_or(2);
    if precision > 10 {
        return Err(Refused("precision must be from 0 to 10".into()));
    }
    let choices = || {
        let choices =
            attribute.options.iter().map(|option| Choice::new(option.value, option.label.as_str())).collect::<Vec<_>>();
        if choices.is_empty() {
            Err(Refused(format!("a {} needs \"options\": [{{\"value\": 1, \"label\": \"…\"}}]", attribute.kind)))
        } else {
            Ok(choices)
        }
    };
    let word = |value: i64, usual: &str| {
        attribute
            .options
            .iter()
            .find(|option| option.value == value)
            .map_or_else(|| usual.to_owned(), |option| option.label.clone())
    };
    Ok(match attribute.kind.as_str() {
        "String" => FieldKind::Text { length_max: attribute.max_length.unwrap_or(100), format: "Text" },
        "Memo" => FieldKind::Memo { length_max: attribute.max_length.unwrap_or(2_000) },
        "Uniqueidentifier" => FieldKind::Guid,
        "DateTime" => FieldKind::DateTime(match attribute.date_behavior.as_deref() {
            None | Some("UserLocal") => DateBehavior::UserLocal,
            Some("DateOnly") => DateBehavior::DateOnly,
            Some("TimeZoneIndependent") => DateBehavior::TimeZoneIndependent,
            Some(other) => {
                return Err(Refused(format!(
                    "dateBehavior \"{other}\" is not one of UserLocal, DateOnly, TimeZoneIndependent"
                )));
            }
        }),
        "Integer" => FieldKind::Integer { min: i64::from(i32::MIN), max: i64::from(i32::MAX) },
        "BigInt" => FieldKind::BigInt,
        "Money" => FieldKind::Money { precision },
        "Decimal" => FieldKind::Decimal { precision },
        "Double" => FieldKind::Double { precision },
        "Boolean" => FieldKind::Boolean { yes: word(1, "Yes"), no: word(0, "No") },
        "Picklist" => FieldKind::Picklist(choices()?),
        "MultiSelectPicklist" => FieldKind::MultiPicklist(choices()?),
        "Lookup" if targets.is_empty() => {
            return Err(Refused("a Lookup needs \"targets\": [\"account\"]".into()));
        }
        "Lookup" => FieldKind::Lookup { targets, role: LookupRole::Plain },
        "Customer" => FieldKind::Lookup { targets: vec!["account", "contact"], role: LookupRole::Customer },
        "Owner" => FieldKind::Lookup { targets: vec!["systemuser", "team"], role: LookupRole::Owner },
        "EntityName" => {
            let lookup = attribute.name.strip_suffix("type").and_then(|name| table.field(name));
            FieldKind::EntityName { is_shadow: lookup.is_some() }
        }
        "PartyList" => FieldKind::PartyList,
        "CalendarRules" => FieldKind::CalendarRules,
        "ManagedProperty" => FieldKind::ManagedProperty,
        "Virtual" => FieldKind::Virtual,
        "File" => FieldKind::File,
        "Image" => FieldKind::Image,
        "Newest" => FieldKind::Newest,
        other => {
            return Err(Refused(format!("type \"{other}\" is not one of {}", TYPE_NAMES.join(", "))));
        }
    })
}
