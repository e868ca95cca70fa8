//! How a field is called on the wire.

use std::borrow::Cow;

use engine::failure::{Class, Failure};
use engine::outside::crm::{FieldKind, Object, ObjectField};

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

/// Whether the name may stand in a query unquoted; names come from the CRM, but by way of a file.
pub(super) fn is_identifier(name: &str) -> bool {
    !name.is_empty() && name.len() <= 200 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// A field that a request names.
pub(super) fn field<'a>(object: &'a Object, name: &str, account: &str) -> Result<&'a ObjectField, Failure> {
    object.fields.get(name).ok_or_else(|| {
        let failure = Failure::new(Class::Config, format!("{account}: {} has no field `{name}`", object.name));
        match similar(name, object.fields.keys().map(String::as_str)) {
            Some(help) => failure.help(help),
            None => failure.help("`discover` lists the fields of an object"),
        }
    })
}

/// "did you mean …?", with at most three names.
pub(super) fn similar<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<String> {
    let name = name.to_ascii_lowercase();
    let mut near: Vec<(f64, &str)> = candidates
        .map(|candidate| (strsim::jaro_winkler(&name, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .collect();
    near.sort_by(|(a, x), (b, y)| b.total_cmp(a).then_with(|| x.cmp(y)));
    near.dedup_by_key(|(_, candidate)| *candidate);
    let names: Vec<String> = near.iter().take(3).map(|(_, candidate)| format!("`{candidate}`")).collect();
    (!names.is_empty()).then(|| format!("did you mean {}?", names.join(", ")))
}
