//! How a field is called on the wire.

use engine::failure::Failure;
use engine::outside::crm::{FieldKind, Object, ObjectField, Read};

use super::path;
use crate::names;
pub(super) use crate::names::{field, found, is_identifier, is_path, similar};

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

/// Whether the field is of a type that we do not know: a text, or JSON of any form.
pub(super) fn is_unknown(field: &ObjectField) -> bool {
    field.kind == FieldKind::Text && field.incomparable
}

/// Where a record carries a field, and how a query names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wire {
    /// The navigation property that leads to the related record which has it; none for the record's own.
    pub(super) way: Option<String>,
    /// The property that `$select` must name for it.
    pub(super) property: String,
    /// The key under which the record carries it.
    pub(super) key: String,
}

/// Where records of this object carry a field, its own or that of a related record.
///
/// # Errors
/// `Class::Config` where the way to a related record is not known.
pub(super) fn wire(object: &Object, field: &ObjectField) -> Result<Wire, Failure> {
    if !is_path(&field.name) {
        return Ok(own(field, &field.name, None));
    }
    let way = path::way(object, &field.name)?;
    Ok(own(field, way.field, Some(way.target.path.clone())))
}

/// The key under which a record carries a field of its own.
pub(super) fn own_key(field: &ObjectField) -> String {
    own(field, &field.name, None).key
}

fn own(field: &ObjectField, name: &str, way: Option<String>) -> Wire {
    if is_lookup_type(field) {
        let lookup = name.strip_suffix(LOOKUP_TYPE_SUFFIX).unwrap_or(name);
        let property = format!("_{lookup}_value");
        return Wire { way, key: format!("{property}@{LOOKUP_ANNOTATION}"), property };
    }
    let property = match field.kind {
        FieldKind::Lookup => format!("_{name}_value"),
        _ => name.to_owned(),
    };
    Wire { way, key: property.clone(), property }
}

impl Wire {
    /// As filters and orders name it.
    pub(super) fn in_query(&self) -> String {
        match &self.way {
            Some(way) => format!("{way}/{}", self.property),
            None => self.property.clone(),
        }
    }

    /// Whether its names may stand in a query.
    pub(super) fn is_safe(&self) -> bool {
        is_identifier(&self.property) && self.way.as_deref().is_none_or(is_identifier)
    }
}

/// A field with the name by which the CRM can compare and order; `None` where it cannot.
pub(super) fn comparable<'a>(read: &'a Read, name: &str) -> Option<(&'a ObjectField, String)> {
    let is_comparable = |field: &&ObjectField| field.readable && !field.incomparable && !is_lookup_type(field);
    let field = names::find(read, name).filter(is_comparable)?;
    let wire = wire(&read.object, field).ok().filter(Wire::is_safe)?;
    Some((field, wire.in_query()))
}
