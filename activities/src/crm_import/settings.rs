//! What authors write in the settings of an import.

use engine::outside::crm::OrderBy;
use engine::workflow::Span;
use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::conversion::Conversion;

/// A field by name, or with a conversion.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum FieldChoice {
    /// The field's name, or the way to a field of a related record, such as `Account.AccountNumber`.
    Name(String),
    /// The field with how its values are taken over.
    Converted(ConvertedField),
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ConvertedField {
    /// The field's name, or the way to a field of a related record.
    field: String,
    /// How its values are taken over.
    #[serde(default)]
    conversion: Conversion,
}

impl FieldChoice {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Converted(converted) => &converted.field,
        }
    }

    pub(super) fn conversion(&self) -> Conversion {
        match self {
            Self::Name(_) => Conversion::Default,
            Self::Converted(converted) => converted.conversion,
        }
    }
}

/// A field to order by, ascending by name alone.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum OrderChoice {
    /// Ascending; empty values come first.
    Name(String),
    /// With a direction.
    Directed(DirectedOrder),
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct DirectedOrder {
    /// The field's name, or the way to a field of a related record.
    field: String,
    /// From the largest down; empty values come last.
    #[serde(default)]
    descending: bool,
}

impl OrderChoice {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Name(field) => field,
            Self::Directed(order) => &order.field,
        }
    }

    pub(super) fn order(&self) -> OrderBy {
        let descending = matches!(self, Self::Directed(order) if order.descending);
        OrderBy { field: self.name().to_owned(), descending }
    }
}

/// What becomes of own writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum OwnWritesChoice {
    /// They come as all others.
    #[default]
    Keep,
    /// They are dropped.
    Drop,
}

/// On or off, or on with settings.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum AutomaticIndex {
    /// On or off.
    Switch(bool),
    /// On, with settings.
    Settings(IndexSettings),
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct IndexSettings {
    /// The option that keeps the time of the last import; `LASTIMPORT_<workflow>_<activity>` where nothing is said.
    #[serde(default)]
    pub(super) option: Option<String>,
    /// The date and time by which changes are known; the system's own where nothing is said, such as `modifiedon`.
    #[serde(default)]
    pub(super) field: Option<String>,
    /// How much of the last import's time is read again, for records that were committed late; 5 minutes where nothing
    /// is said.
    #[serde(default)]
    pub(super) overlap: Option<Span>,
    /// Follows the system's own feed of changes instead of a date, of objects that have one: nothing is committed late, and
    /// the ids of deleted records leave by the port `deleted`.
    #[serde(default)]
    pub(super) changes: bool,
}

impl Default for AutomaticIndex {
    fn default() -> Self {
        Self::Switch(false)
    }
}

impl AutomaticIndex {
    const OVERLAP: SignedDuration = SignedDuration::from_mins(5);

    pub(super) fn settings(&self) -> Option<IndexSettings> {
        match self {
            Self::Switch(false) => None,
            Self::Switch(true) => Some(IndexSettings::default()),
            Self::Settings(settings) => Some(settings.clone()),
        }
    }

    pub(super) fn is_on(&self) -> bool {
        !matches!(self, Self::Switch(false))
    }

    pub(super) fn follows_changes(&self) -> bool {
        matches!(self, Self::Settings(settings) if settings.changes)
    }

    /// The option's name, or an empty text for the default one.
    pub(super) fn option(&self) -> Option<&str> {
        match self {
            Self::Switch(false) => None,
            Self::Switch(true) => Some(""),
            Self::Settings(settings) => Some(settings.option.as_deref().unwrap_or_default()),
        }
    }
}

impl IndexSettings {
    pub(super) fn overlap(&self) -> SignedDuration {
        self.overlap.map_or(AutomaticIndex::OVERLAP, |overlap| overlap.0)
    }
}
