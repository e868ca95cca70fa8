//! What the columns' types are called in metadata.

use crate::data::{FieldKind, LookupRole};

/// `AttributeType`, `AttributeTypeName.Value` and the metadata's own type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TypeName {
    /// Such as `Picklist`.
    pub(crate) attribute_type: &'static str,
    /// Such as `PicklistType`.
    pub(crate) type_name: &'static str,
    /// Such as `PicklistAttributeMetadata`, without its namespace.
    pub(crate) metadata: &'static str,
}

const fn named(attribute_type: &'static str, type_name: &'static str, metadata: &'static str) -> TypeName {
    TypeName { attribute_type, type_name, metadata }
}

/// The names of a column's type.
pub(crate) fn type_name(kind: &FieldKind) -> TypeName {
    match kind {
        FieldKind::Text { .. } => named("String", "StringType", "StringAttributeMetadata"),
        FieldKind::Memo { .. } => named("Memo", "MemoType", "MemoAttributeMetadata"),
        FieldKind::Guid => named("Uniqueidentifier", "UniqueidentifierType", "UniqueIdentifierAttributeMetadata"),
        FieldKind::DateTime(_) => named("DateTime", "DateTimeType", "DateTimeAttributeMetadata"),
        FieldKind::Integer { .. } => named("Integer", "IntegerType", "IntegerAttributeMetadata"),
        FieldKind::BigInt => named("BigInt", "BigIntType", "BigIntAttributeMetadata"),
        FieldKind::Money { .. } => named("Money", "MoneyType", "MoneyAttributeMetadata"),
        FieldKind::Decimal { .. } => named("Decimal", "DecimalType", "DecimalAttributeMetadata"),
        FieldKind::Double { .. } => named("Double", "DoubleType", "DoubleAttributeMetadata"),
        FieldKind::Boolean { .. } => named("Boolean", "BooleanType", "BooleanAttributeMetadata"),
        FieldKind::Picklist(_) => named("Picklist", "PicklistType", "PicklistAttributeMetadata"),
        // The product calls a list of several choices virtual, and only its type name tells it apart.
        FieldKind::MultiPicklist(_) => {
            named("Virtual", "MultiSelectPicklistType", "MultiSelectPicklistAttributeMetadata")
        }
        FieldKind::State(_) => named("State", "StateType", "StateAttributeMetadata"),
        FieldKind::Status(_) => named("Status", "StatusType", "StatusAttributeMetadata"),
        FieldKind::Lookup { role: LookupRole::Plain, .. } => named("Lookup", "LookupType", "LookupAttributeMetadata"),
        FieldKind::Lookup { role: LookupRole::Customer, .. } => {
            named("Customer", "CustomerType", "LookupAttributeMetadata")
        }
        FieldKind::Lookup { role: LookupRole::Owner, .. } => named("Owner", "OwnerType", "LookupAttributeMetadata"),
        FieldKind::EntityName { .. } => named("EntityName", "EntityNameType", "EntityNameAttributeMetadata"),
        FieldKind::Virtual => named("Virtual", "VirtualType", "AttributeMetadata"),
        FieldKind::PartyList => named("PartyList", "PartyListType", "LookupAttributeMetadata"),
        FieldKind::CalendarRules => named("CalendarRules", "CalendarRulesType", "AttributeMetadata"),
        FieldKind::ManagedProperty => {
            named("ManagedProperty", "ManagedPropertyType", "ManagedPropertyAttributeMetadata")
        }
        // As with lists of several choices, only the type's name tells these apart.
        FieldKind::File => named("Virtual", "FileType", "FileAttributeMetadata"),
        FieldKind::Image => named("Virtual", "ImageType", "ImageAttributeMetadata"),
        FieldKind::Newest => named("Virtual", "NewestType", "NewestAttributeMetadata"),
    }
}
