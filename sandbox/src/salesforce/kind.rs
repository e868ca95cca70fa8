//! The types of fields, and what each of them can do.

/// Type and limits of a field.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    /// The record's id.
    Id,
    /// A reference to a record of one of these objects, and the name under which queries follow it.
    Reference { to: Vec<&'static str>, relationship: Option<String> },
    /// One line of text of so many characters.
    Text(usize),
    /// Many lines of text.
    TextArea(usize),
    /// A mail address.
    Email,
    /// A telephone number.
    Phone,
    /// A link.
    Url,
    /// A text of so many characters that nobody may read: it comes as asterisks.
    Encrypted(usize),
    /// One of several words; any other word too, unless restricted.
    Picklist { words: Vec<String>, restricted: bool },
    /// Any of several words, joined by `;`.
    MultiPicklist { words: Vec<String>, restricted: bool },
    /// Any text, for which several words are proposed.
    Combobox(Vec<String>),
    /// Yes or no; never null.
    Boolean,
    /// A whole number of so many digits.
    Int(u8),
    /// A whole number of 64 bits.
    Long,
    /// A number with so many digits before the point and places after it.
    Double { digits: u8, places: u8 },
    /// Money.
    Currency { digits: u8, places: u8 },
    /// A share of a hundred.
    Percent { digits: u8, places: u8 },
    /// A day.
    Date,
    /// An instant.
    DateTime,
    /// A time of day.
    Time,
    /// A file, written in base 64 and read by an address of its own.
    Base64,
    /// Several fields as one: street, city and so on.
    Address,
    /// Latitude and longitude as one.
    Location,
    /// One of the rare types, which nobody writes.
    Rare(Rare),
}

/// Types that only few of the product's own objects have, and no organisation of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rare {
    /// A value of any single type: what a field held before, in the history of another object.
    AnyType,
    /// JSON, as text.
    Json,
    /// A value of several parts, as an object.
    ComplexValue,
    /// The record that others were merged into.
    MasterRecord,
    /// The unique name of a data category or of a group of them.
    DataCategoryGroupReference,
    /// Reserved by the product for the future, so that no client can know it yet.
    FloatArray,
}

/// All types that the admin API can add.
pub(super) const NAMES: &[&str] = &[
    "string",
    "textarea",
    "email",
    "phone",
    "url",
    "encryptedstring",
    "picklist",
    "multipicklist",
    "combobox",
    "boolean",
    "int",
    "long",
    "double",
    "currency",
    "percent",
    "date",
    "datetime",
    "time",
    "reference",
    "base64",
    "address",
    "location",
    "anyType",
    "json",
    "complexvalue",
    "masterrecord",
    "datacategorygroupreference",
    "floatarray",
];

impl Rare {
    const ALL: [(Self, &'static str); 6] = [
        (Self::AnyType, "anyType"),
        (Self::Json, "json"),
        (Self::ComplexValue, "complexvalue"),
        (Self::MasterRecord, "masterrecord"),
        (Self::DataCategoryGroupReference, "datacategorygroupreference"),
        (Self::FloatArray, "floatarray"),
    ];

    /// The type of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(rare, _)| *rare)
    }

    /// The type as describe names it.
    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(rare, _)| *rare == self).map_or("", |(_, name)| name)
    }
}

impl Kind {
    /// The type as describe names it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Reference { .. } => "reference",
            Self::Text(_) => "string",
            Self::TextArea(_) => "textarea",
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Url => "url",
            Self::Encrypted(_) => "encryptedstring",
            Self::Picklist { .. } => "picklist",
            Self::MultiPicklist { .. } => "multipicklist",
            Self::Combobox(_) => "combobox",
            Self::Boolean => "boolean",
            Self::Int(_) => "int",
            Self::Long => "long",
            Self::Double { .. } => "double",
            Self::Currency { .. } => "currency",
            Self::Percent { .. } => "percent",
            Self::Date => "date",
            Self::DateTime => "datetime",
            Self::Time => "time",
            Self::Base64 => "base64",
            Self::Address => "address",
            Self::Location => "location",
            Self::Rare(rare) => rare.name(),
        }
    }

    /// The type as the SOAP API would carry it.
    pub(super) fn soap_type(&self) -> &'static str {
        match self {
            Self::Id | Self::Reference { .. } | Self::Rare(Rare::MasterRecord) => "tns:ID",
            Self::Boolean => "xsd:boolean",
            Self::Int(_) => "xsd:int",
            Self::Long => "xsd:long",
            Self::Double { .. } | Self::Currency { .. } | Self::Percent { .. } => "xsd:double",
            Self::Date => "xsd:date",
            Self::DateTime => "xsd:dateTime",
            Self::Time => "xsd:time",
            Self::Base64 => "xsd:base64Binary",
            Self::Address => "urn:address",
            Self::Location => "urn:location",
            Self::Rare(Rare::AnyType) => "xsd:anyType",
            Self::Rare(Rare::Json) => "urn:json",
            _ => "xsd:string",
        }
    }

    /// Characters that a text can have.
    pub(super) fn length(&self) -> Option<usize> {
        Some(match self {
            Self::Id | Self::Reference { .. } | Self::Rare(Rare::MasterRecord) => 18,
            Self::Text(length) | Self::TextArea(length) | Self::Encrypted(length) => *length,
            Self::Email | Self::Rare(Rare::DataCategoryGroupReference) => 80,
            Self::Phone => 40,
            Self::Url | Self::Picklist { .. } | Self::Combobox(_) => 255,
            Self::MultiPicklist { .. } => 4_099,
            _ => return None,
        })
    }

    /// The words that describe proposes.
    pub(super) fn words(&self) -> &[String] {
        match self {
            Self::Picklist { words, .. } | Self::MultiPicklist { words, .. } | Self::Combobox(words) => words,
            _ => &[],
        }
    }

    /// True for what is made of other fields and has no column of its own.
    pub(super) fn is_compound(&self) -> bool {
        matches!(self, Self::Address | Self::Location)
    }

    /// True for any kind of number.
    pub(super) fn is_number(&self) -> bool {
        matches!(self, Self::Int(_) | Self::Long | Self::Double { .. } | Self::Currency { .. } | Self::Percent { .. })
    }

    /// Whether a condition can name it. Compound fields pass: `DISTANCE` takes them, which is not there, and nothing else.
    pub(super) fn is_filterable(&self) -> bool {
        !self.is_opaque() && !matches!(self, Self::Rare(Rare::AnyType))
    }

    /// Whether an order can name it.
    pub(super) fn is_sortable(&self) -> bool {
        !self.is_opaque() && !self.is_compound() && !matches!(self, Self::MultiPicklist { .. })
    }

    /// Whether rows can be grouped by it.
    pub(super) fn is_groupable(&self) -> bool {
        let is_listed = matches!(self, Self::Boolean | Self::Int(_) | Self::Long | Self::Date);
        (is_listed || self.length().is_some()) && self.is_sortable()
    }

    /// Too long, too secret or too odd for the product to compare.
    fn is_opaque(&self) -> bool {
        match self {
            Self::TextArea(256..) | Self::Encrypted(_) | Self::Base64 => true,
            Self::Rare(rare) => matches!(rare, Rare::Json | Rare::ComplexValue | Rare::FloatArray),
            _ => false,
        }
    }
}
