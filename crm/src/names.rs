//! Names of objects and fields: which may stand in a query, and which an author may have meant.

use engine::failure::{Class, Failure};
use engine::outside::crm::{Object, ObjectField, Read};

/// Whether the name may stand in a query unquoted; names come from the CRM, but by way of a file.
pub(crate) fn is_identifier(name: &str) -> bool {
    !name.is_empty() && name.len() <= 200 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// A field that a request names.
pub(crate) fn field<'a>(object: &'a Object, name: &str, account: &str) -> Result<&'a ObjectField, Failure> {
    object.fields.get(name).ok_or_else(|| {
        let failure = Failure::new(Class::Config, format!("{account}: {} has no field `{name}`", object.name));
        match similar(name, object.fields.keys().map(String::as_str)) {
            Some(help) => failure.help(help),
            None => failure.help("`discover` lists the fields of an object"),
        }
    })
}

/// Whether this is the name of a field of a related record, such as `Account.Name`.
pub(crate) fn is_path(name: &str) -> bool {
    name.contains('.')
}

/// A field that a reading may name: of its object, or of a related record that is read as well.
pub(crate) fn find<'a>(read: &'a Read, name: &str) -> Option<&'a ObjectField> {
    let related = || read.fields.iter().map(|read| &read.field).find(|field| field.name == name);
    read.object.fields.get(name).or_else(related)
}

/// The same; `Class::Config` where there is none.
pub(crate) fn found<'a>(read: &'a Read, name: &str, account: &str) -> Result<&'a ObjectField, Failure> {
    find(read, name).map_or_else(|| field(&read.object, name, account), Ok)
}

/// "did you mean …?", with at most three names.
pub(crate) fn similar<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<String> {
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
