//! What a CRM says that it has: objects, their fields and keys.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::types::{MONEY, UTC, meta};

/// A name of an object, for lists and "did you mean".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectName {
    /// As workflows write it, such as `contacts`.
    pub name: String,
    /// As people see it.
    pub label: String,
}

/// An object of a CRM as the CRM describes it; kept between runs, so it is versioned by its fields' defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Object {
    /// As workflows write it, such as `contacts`.
    pub name: String,
    /// As people see it.
    pub label: String,
    /// The system's internal name where it differs, such as `contact`.
    pub internal_name: String,
    /// The field that identifies a record.
    pub id: String,
    /// By name.
    pub fields: IndexMap<String, ObjectField>,
    /// Fields that together find one record, besides the id: alternate keys, external ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<ObjectKey>,
    /// Whether the system keeps a feed of its changes and deletions.
    #[serde(default)]
    pub feed: bool,
    /// Whether the system is set to log deletions of it, as far as it says so here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_log: Option<bool>,
}

impl Object {
    /// The key of exactly these fields, in any order.
    pub fn key(&self, fields: &[String]) -> Option<&ObjectKey> {
        let same = |key: &&ObjectKey| key.fields.len() == fields.len() && key.fields.iter().all(|f| fields.contains(f));
        self.keys.iter().find(same)
    }

    /// The object with fields of related records, each named by its path.
    #[must_use]
    pub fn with_fields(&self, fields: impl IntoIterator<Item = ObjectField>) -> Self {
        let mut object = self.clone();
        object.fields.extend(fields.into_iter().map(|field| (field.name.clone(), field)));
        object
    }

    /// The field of the automatic index: the first of `candidates` that this object has as a date and time.
    pub fn index_field(&self, candidates: &[&str]) -> Option<&ObjectField> {
        candidates.iter().find_map(|name| self.fields.get(*name)).filter(|field| field.is_date_time())
    }
}

/// A field of an object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectField {
    /// As workflows write it.
    pub name: String,
    /// As people see it.
    pub label: String,
    /// The system's own type, such as `Picklist`.
    pub system_type: String,
    /// What a population keeps.
    pub kind: FieldKind,
    /// The longest text, in characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u32>,
    /// Of a number: the digits after the point that are described. What the system keeps may have more, see
    /// [`kind`](Self::kind).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub places: Option<u8>,
    /// Values and labels of a picklist.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub options: IndexMap<String, String>,
    /// Whether it may be read.
    pub readable: bool,
    /// Whether a new record may set it.
    pub creatable: bool,
    /// Whether it may be changed.
    pub updatable: bool,
    /// Whether the CRM refuses a record without it.
    pub required: bool,
    /// Of a reference: what it may point to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<Target>,
    /// The least number that it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The greatest number that it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// Whether the system can neither filter nor order by it.
    #[serde(default)]
    pub incomparable: bool,
    /// Whether the system tells capitals from small letters when it compares it.
    #[serde(default)]
    pub case_sensitive: bool,
    /// Of a field that holds no value, or none that can be written: what an administrator turns to in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead: Option<String>,
}

/// An object that a reference may point to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Its internal name, such as `account`.
    pub object: String,
    /// Its name as workflows write it, such as `accounts`.
    pub name: String,
    /// What the way from here to there is called: a navigation property such as `parentcustomerid_account`, a relationship
    /// such as `Account`. Fields of the other record are written after it: `Account.Name`.
    pub path: String,
}

/// Fields that together find one record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectKey {
    /// The system's name of the key; of one field, often the field's.
    pub name: String,
    /// Its fields.
    pub fields: Vec<String>,
    /// Why it cannot be relied on, such as an index that is still being built, or an external id that is not unique.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unusable: Option<String>,
}

/// The most choices of a picklist that a message names.
pub const CHOICES_TOLD_MAX: usize = 10;

/// Choices of a picklist for people, such as `1 Male`; of more than `most`, how many others there are.
pub fn choices(options: &IndexMap<String, String>, most: usize) -> Vec<String> {
    let told = options.iter().take(most).map(|(value, label)| format!("{value} {label}"));
    let others = options.len().saturating_sub(most);
    told.chain((others > 0).then(|| format!("… {others} more"))).collect()
}

impl ObjectField {
    /// A field that may be read and written and has no limits, labelled by its name.
    pub fn new(name: &str, kind: FieldKind) -> Self {
        Self {
            name: name.to_owned(),
            label: name.to_owned(),
            system_type: String::new(),
            kind,
            length: None,
            places: None,
            options: IndexMap::new(),
            readable: true,
            creatable: true,
            updatable: true,
            required: false,
            targets: Vec::new(),
            min: None,
            max: None,
            incomparable: false,
            case_sensitive: false,
            instead: None,
        }
    }

    /// A field of the system that is no value of a record, such as an address that is made of other fields.
    pub fn no_value(name: &str, system_type: &str, instead: String) -> Self {
        Self {
            system_type: system_type.to_owned(),
            readable: false,
            creatable: false,
            updatable: false,
            instead: Some(instead),
            ..Self::new(name, FieldKind::Text)
        }
    }

    /// Whether anything can be done with it.
    pub fn is_usable(&self) -> bool {
        self.readable || self.creatable || self.updatable
    }

    /// The column it becomes, with label, length, key and the system's type in its metadata.
    pub fn column(&self, raw: bool) -> FieldRef {
        let data = if raw { DataType::Utf8 } else { self.kind.arrow() };
        let mut metadata = HashMap::from([
            (meta::LABEL.to_owned(), self.label.clone()),
            (meta::SYSTEM_TYPE.to_owned(), self.system_type.clone()),
        ]);
        if let Some(length) = self.length {
            metadata.insert(meta::LENGTH.to_owned(), length.to_string());
        }
        if !self.options.is_empty()
            && let Ok(options) = serde_json::to_string(&self.options)
        {
            metadata.insert(meta::OPTIONS.to_owned(), options);
        }
        Arc::new(Field::new(&self.name, data, true).with_metadata(metadata))
    }

    /// Whether it can be the field of an automatic index.
    pub fn is_date_time(&self) -> bool {
        self.kind == FieldKind::DateTime
    }
}

/// What kind of value a field holds; each has one Arrow type, see [`FieldKind::arrow`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FieldKind {
    /// Text, ids and GUIDs.
    Text,
    /// The id of another record; the type of that record is in a column of its own, see [`ObjectField::name`].
    Lookup,
    /// True or false.
    Bool,
    /// A whole number of 32 bits.
    Int,
    /// A whole number of 64 bits.
    BigInt,
    /// A binary floating point number.
    Double,
    /// Money of descriptions that were kept before these had its places: 19 digits, 4 of them after the point. Described
    /// now, it is [`Decimal`](Self::Decimal).
    Money,
    /// An exact decimal number with so many digits after the point.
    Decimal {
        /// Digits after the point.
        scale: i8,
    },
    /// A day.
    Date,
    /// An instant.
    DateTime,
    /// Day and time independent of zones.
    LocalDateTime,
    /// A time of day.
    Time,
    /// One of a list of numbers.
    Picklist,
    /// One of a list of texts.
    TextPicklist,
    /// Several of a list of numbers.
    MultiPicklist,
    /// Several of a list of texts.
    TextMultiPicklist,
}

impl FieldKind {
    /// How a population keeps it.
    pub fn arrow(self) -> DataType {
        let list = |item: DataType| DataType::List(Arc::new(Field::new_list_field(item, true)));
        match self {
            Self::Text | Self::Lookup | Self::TextPicklist => DataType::Utf8,
            Self::Bool => DataType::Boolean,
            Self::Int | Self::Picklist => DataType::Int32,
            Self::BigInt => DataType::Int64,
            Self::Double => DataType::Float64,
            Self::Money => MONEY,
            Self::Decimal { scale } => DataType::Decimal128(38, scale),
            Self::Date => DataType::Date32,
            Self::DateTime => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
            Self::LocalDateTime => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::MultiPicklist => list(DataType::Int32),
            Self::TextMultiPicklist => list(DataType::Utf8),
        }
    }
}
