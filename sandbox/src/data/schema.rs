//! Tables and their fields.

use serde::{Deserialize, Serialize};

use super::{generate::Fact, value::Value};

/// What a table is called and how it is described.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    /// Logical name, such as `contact`.
    pub(crate) name: &'static str,
    /// Name of the set of its records in URLs, such as `contacts`.
    pub(crate) set: &'static str,
    /// Name with capitals, such as `Contact`.
    pub(crate) schema_name: &'static str,
    /// Name shown to people.
    pub(crate) label: &'static str,
    /// Name of its records shown to people.
    pub(crate) plural: &'static str,
    /// The numeric type code of the table.
    pub(crate) type_code: i64,
    /// Name of the field with the id.
    pub(crate) id_field: &'static str,
    /// Name of the field that names a record to people.
    pub(crate) name_field: &'static str,
}

/// One column of a table.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    /// Logical name, lower case.
    pub(crate) name: String,
    /// Name with capitals.
    pub(crate) schema_name: String,
    /// Name shown to people.
    pub(crate) label: String,
    /// Type and limits.
    pub(crate) kind: FieldKind,
    /// May be given when a record is created.
    pub(crate) can_create: bool,
    /// May be changed later.
    pub(crate) can_update: bool,
    /// Whether a value must be given.
    pub(crate) required: Required,
    /// Added by the admin API, not part of the product.
    pub(crate) custom: bool,
    /// What generated records hold here.
    pub(crate) fact: Option<Fact>,
    /// What a record holds that was never given a value here.
    pub(crate) default: Value<'static>,
    /// Name of the choices, if columns of several tables share them.
    pub(crate) shared_choices: Option<String>,
}

/// How strictly a value is asked for. Only the last is enforced by the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Required {
    /// Optional.
    None,
    /// Recommended to people.
    Recommended,
    /// Demanded by forms, not by the API.
    Application,
    /// Demanded by the system: null is refused.
    System,
}

/// Type and limits of a field.
#[derive(Debug, Clone)]
pub(crate) enum FieldKind {
    /// One line of text; length in UTF-16 units at most; format as the product names it (`Text`, `Email`, `Phone`, `Url`).
    Text {
        /// Longest value.
        length_max: usize,
        /// `Text`, `Email`, `Phone`, `Url` or `TextArea`.
        format: &'static str,
    },
    /// Text of many lines.
    Memo {
        /// Longest value.
        length_max: usize,
    },
    /// The record's id or another id that is no reference.
    Guid,
    /// Date, or date and time.
    DateTime(DateBehavior),
    /// A whole number of 32 bits within limits.
    Integer {
        /// Least value.
        min: i64,
        /// Greatest value.
        max: i64,
    },
    /// A whole number of 64 bits, read only.
    BigInt,
    /// Money with so many places.
    Money {
        /// Places after the point.
        precision: u8,
    },
    /// An exact number with so many places.
    Decimal {
        /// Places after the point.
        precision: u8,
    },
    /// A floating-point number shown with so many places.
    Double {
        /// Places after the point.
        precision: u8,
    },
    /// Yes or no, and the words for them.
    Boolean {
        /// Word for yes.
        yes: String,
        /// Word for no.
        no: String,
    },
    /// One of several choices.
    Picklist(Vec<Choice>),
    /// Any of several choices.
    MultiPicklist(Vec<Choice>),
    /// The state of a record: active or not.
    State(Vec<Choice>),
    /// The reason of the state; each choice belongs to a state.
    Status(Vec<Choice>),
    /// A reference to a record of one of these tables.
    Lookup {
        /// Tables that it may point to.
        targets: Vec<&'static str>,
        /// Which of the product's three kinds of reference it is.
        role: LookupRole,
    },
    /// Name of a table; beside a reference the type of what it leads to, and then not readable by itself.
    EntityName {
        /// Whether it belongs to a reference.
        is_shadow: bool,
    },
    /// A computed shadow of another field; no client can read it.
    Virtual,
    /// People of an activity, such as those that a mail went to: no value, but records of their own.
    PartyList,
    /// Rules of a calendar: records of their own as well.
    CalendarRules,
    /// A setting that says whether it may be changed.
    ManagedProperty,
    /// A file; only its id stands in the record.
    File,
    /// An image, in base 64.
    Image,
    /// A type of the future, which no client knows yet: text, or JSON of any form.
    Newest,
}

/// Whether a date and time depends on the reader's time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DateBehavior {
    /// An instant, shown in each user's time zone.
    UserLocal,
    /// A day without time.
    DateOnly,
    /// A date and time without zone.
    TimeZoneIndependent,
}

/// The product's kinds of reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LookupRole {
    /// To one table, or several named ones.
    Plain,
    /// To a contact or an account.
    Customer,
    /// To the user or team that owns the record.
    Owner,
}

/// One choice of a list.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    /// The number on the wire.
    pub(crate) value: i64,
    /// The word for people.
    pub(crate) label: String,
    /// The state that it belongs to, for a status.
    pub(crate) state: Option<i64>,
}

/// An alternate key.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    /// Name, such as `new_extid_key`.
    pub(crate) name: String,
    /// Indexes of the key's fields.
    pub(crate) fields: Vec<usize>,
    /// Whether it can be used yet.
    pub(crate) status: KeyStatus,
    /// The index over its fields.
    pub(crate) index: usize,
}

/// How far the database's own index of an alternate key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum KeyStatus {
    /// Not begun.
    Pending,
    /// Being built.
    InProgress,
    /// Usable, and enforced.
    #[default]
    Active,
    /// Could not be built: some records have the same values.
    Failed,
}

/// A duplicate-detection rule: no two records have the same values in its fields.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    /// Its name.
    pub(crate) name: String,
    /// The fields.
    pub(crate) fields: Vec<usize>,
    /// Asked for every write, not only for those that want to be asked.
    pub(crate) always: bool,
    /// The index over its fields.
    pub(crate) index: usize,
}

impl FieldKind {
    /// The choices of a list, a state or a status.
    pub(crate) fn choices(&self) -> &[Choice] {
        match self {
            Self::Picklist(choices) | Self::MultiPicklist(choices) | Self::State(choices) | Self::Status(choices) => {
                choices
            }
            _ => &[],
        }
    }

    /// True for what is text on the wire and compared as text.
    pub(crate) fn is_text(&self) -> bool {
        matches!(self, Self::Text { .. } | Self::Memo { .. } | Self::EntityName { .. } | Self::Newest)
    }

    /// False for what no query can name.
    pub(crate) fn is_readable(&self) -> bool {
        !matches!(self, Self::Virtual | Self::EntityName { is_shadow: true } | Self::PartyList | Self::CalendarRules)
    }

    /// Whether clients write it together with other values of a record.
    pub(crate) fn is_writable(&self) -> bool {
        self.is_readable() && !matches!(self, Self::BigInt | Self::File | Self::ManagedProperty)
    }
}

impl Choice {
    /// A choice that belongs to no state.
    pub(crate) fn new(value: i64, label: impl Into<String>) -> Self {
        Self { value, label: label.into(), state: None }
    }
}
