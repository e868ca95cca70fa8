//! How names on the wire lead to the fields of a table.

use crate::{
    data::{FieldKind, Table},
    dataverse::error::Error,
};

/// The field behind the name of a property: references are read as `_name_value`, all others by their own name.
pub(crate) fn property(table: &Table, name: &str) -> Result<usize, Error> {
    find_property(table, name).ok_or_else(|| Error::property(name, table.shape.name))
}

fn find_property(table: &Table, name: &str) -> Option<usize> {
    let reference = name.strip_prefix('_').and_then(|rest| rest.strip_suffix("_value"));
    if let Some(field) = reference.and_then(|name| table.field(name)) {
        return matches!(table.fields[field].kind, FieldKind::Lookup { .. }).then_some(field);
    }
    let field = table.field(name)?;
    let kind = &table.fields[field].kind;
    (kind.is_readable() && !matches!(kind, FieldKind::Lookup { .. })).then_some(field)
}

/// The name under which a field is read.
pub(crate) fn property_name(table: &Table, field: usize) -> String {
    let field = &table.fields[field];
    match field.kind {
        FieldKind::Lookup { .. } => format!("_{}_value", field.name),
        _ => field.name.clone(),
    }
}
