//! Fields of related records: `parentcustomerid_account.accountnumber`.
//!
//! The first word is a navigation property, or a lookup that can point to one kind of object only. One step is all:
//! beyond it Dataverse neither orders nor filters.

use std::collections::BTreeSet;

use engine::failure::{Class, Failure};
use engine::outside::crm::{Object, ObjectField, Target};

use super::session::Session;
use super::{column, metadata};

/// What stands between the way and the field.
const DOT: char = '.';

/// A path in its parts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Way<'a> {
    pub(super) lookup: &'a ObjectField,
    pub(super) target: &'a Target,
    /// Of the other object.
    pub(super) field: &'a str,
}

/// The parts of a path; `Err` says what is wrong.
pub(super) fn way<'a>(object: &'a Object, path: &'a str) -> Result<Way<'a>, Failure> {
    let wrong = |message: String| Failure::new(Class::Config, format!("`{path}` of {}: {message}", object.name));
    let Some((first, field)) = path.split_once(DOT).filter(|(first, field)| !first.is_empty() && !field.is_empty())
    else {
        return Err(wrong("this is no path to a field of a related record".to_owned())
            .help("write the way and the field, such as `parentcustomerid_account.accountnumber`"));
    };
    if column::is_path(field) {
        return Err(wrong("a path goes one step only".to_owned())
            .help("import the related object by itself, and join the two with `enrich`"));
    }
    let lookups = || object.fields.values().filter(|field| !field.targets.is_empty() && !column::is_path(&field.name));
    for lookup in lookups() {
        let mut ways = lookup.targets.iter().filter(|target| target.path == first);
        match (ways.next(), ways.next()) {
            (Some(target), None) => return Ok(Way { lookup, target, field }),
            (Some(_), Some(_)) => {
                return Err(wrong(format!("`{first}` may lead to {}", objects(lookup)))
                    .help("choose a lookup that points to one kind of record"));
            }
            _ => {}
        }
    }
    match object.fields.get(first).map(|lookup| (lookup, lookup.targets.as_slice())) {
        Some((lookup, [target])) => Ok(Way { lookup, target, field }),
        Some((lookup, [_, ..])) => {
            let ways: Vec<String> =
                lookup.targets.iter().map(|target| format!("`{}{DOT}{field}`", target.path)).collect();
            Err(wrong(format!("`{first}` may lead to {}", objects(lookup)))
                .help(format!("say which: {}", ways.join(" or "))))
        }
        found => {
            let what = if found.is_some() { "is no reference" } else { "leads nowhere" };
            let failure = wrong(format!("`{first}` {what}"));
            let ways: BTreeSet<&str> = lookups().flat_map(|field| &field.targets).map(|t| t.path.as_str()).collect();
            Err(match column::similar(first, ways.into_iter()) {
                Some(help) => failure.help(help),
                None => failure.help("`discover` lists the references of an object"),
            })
        }
    }
}

fn objects(lookup: &ObjectField) -> String {
    lookup.targets.iter().map(|target| target.name.as_str()).collect::<Vec<_>>().join(" or ")
}

/// Describes the field at the end of a path; its name is the path.
pub(super) async fn describe(session: &Session, object: &Object, path: &str) -> Result<ObjectField, Failure> {
    let Way { lookup, target, field } = way(object, path)?;
    let related = metadata::related(session, &target.object).await?;
    let found = column::field(&related, field, session.account())?;
    Ok(ObjectField {
        name: path.to_owned(),
        label: format!("{}: {}", lookup.label, found.label),
        creatable: false,
        updatable: false,
        required: false,
        ..found.clone()
    })
}
