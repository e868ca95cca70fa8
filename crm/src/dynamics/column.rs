//! How a field is called on the wire.

use std::borrow::Cow;

use engine::outside::crm::{FieldKind, ObjectField};

pub(super) use crate::names::{field, is_identifier, similar};

/// The system type that we give to `<lookup>_type`, the companion of a lookup; Dataverse has no such attribute.
pub(super) const LOOKUP_TYPE: &str = "LookupType";
/// What `<lookup>_type` adds to the lookup's name.
pub(super) const LOOKUP_TYPE_SUFFIX: &str = "_type";
/// The annotation that says which object a lookup points to.
pub(super) const LOOKUP_ANNOTATION: &str = "Microsoft.Dynamics.CRM.lookuplogicalname";
/// A text attribute that holds a GUID.
pub(super) const GUID: &str = "Uniqueidentifier";

/// Whether this field is the companion of a lookup.
pub(super) fn is_lookup_type(field: &ObjectField) -> bool {
    field.system_type == LOOKUP_TYPE
}

/// The key under which a record carries the field.
pub(super) fn key(field: &ObjectField) -> Cow<'_, str> {
    if is_lookup_type(field) {
        return Cow::Owned(format!("{}@{LOOKUP_ANNOTATION}", property(field)));
    }
    property(field)
}

/// The property that `$select` must name for it.
pub(super) fn property(field: &ObjectField) -> Cow<'_, str> {
    if is_lookup_type(field) {
        let lookup = field.name.strip_suffix(LOOKUP_TYPE_SUFFIX).unwrap_or(&field.name);
        return Cow::Owned(format!("_{lookup}_value"));
    }
    match field.kind {
        FieldKind::Lookup => Cow::Owned(format!("_{}_value", field.name)),
        _ => Cow::Borrowed(&field.name),
    }
}

/// The property by which the CRM can compare and order; `None` where it cannot.
pub(super) fn comparable(field: &ObjectField) -> Option<Cow<'_, str>> {
    (field.readable && !is_lookup_type(field)).then(|| property(field))
}
