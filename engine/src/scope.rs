//! Which records an automatic index is of: those that its imports read up to the option's time.
//!
//! An import whose filter, object or fields changed reads only what changes from now on: older records that only match now
//! stay out. The option keeps of what all was imported, so that each import says so until a backfill brought the others.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::words::counted;

/// The longest filter, and the longest list of fields, that is kept as it is, in bytes; of a longer one, its digest.
const TEXT_BYTES_MAX: usize = 2048;
/// How many new fields are named.
const NAMED_MAX: usize = 5;

/// What an import reads, as far as it decides which older records are missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexScope {
    /// The kind of record.
    pub object: String,
    /// The filter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// The fields, sorted.
    pub fields: BTreeSet<String>,
    /// Whether the imports have read something else since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub changed: bool,
}

impl IndexScope {
    /// What an import reads.
    pub fn new<'a>(object: &str, filter: Option<&str>, fields: impl IntoIterator<Item = &'a str>) -> Self {
        let fields: BTreeSet<String> = fields.into_iter().map(str::to_owned).collect();
        let bytes: usize = fields.iter().map(String::len).sum();
        let fields = match bytes > TEXT_BYTES_MAX {
            true => BTreeSet::from([digest(&fields.into_iter().collect::<Vec<_>>().join("\0"))]),
            false => fields,
        };
        let short = |text: &str| if text.len() > TEXT_BYTES_MAX { digest(text) } else { text.to_owned() };
        Self { object: object.to_owned(), filter: filter.map(short), fields, changed: false }
    }

    /// Why older records may be missing for an import that reads `now`, in words; none if all were imported.
    pub fn lacks(&self, now: &Self) -> Option<String> {
        let mut why = Vec::new();
        if self.object != now.object {
            why.push(format!("the object was {} and is {}", self.object, now.object));
        }
        if self.filter != now.filter {
            let text = |filter: &Option<String>| filter.as_ref().map_or("none".to_owned(), |text| format!("`{text}`"));
            why.push(format!("the filter was {} and is {}", text(&self.filter), text(&now.filter)));
        }
        let new: Vec<&str> = now.fields.difference(&self.fields).map(String::as_str).collect();
        if new.len() > NAMED_MAX {
            why.push(format!("{} are new", counted(new.len(), "field")));
        } else if !new.is_empty() {
            why.push(format!("new fields: {}", new.join(", ")));
        }
        if why.is_empty() && self.changed {
            why.push("it read something else for a while".to_owned());
        }
        (!why.is_empty()).then(|| why.join("; "))
    }

    /// What the option keeps after an import that read `now`.
    #[must_use]
    pub fn after(self, now: Self) -> Self {
        match self.lacks(&now) {
            // What is missing stays missing, also if it is changed back.
            Some(_) => Self { changed: true, ..self },
            None => now,
        }
    }
}

/// What to say of an import whose option keeps something else than it reads.
pub fn message(option: &str, why: &str) -> String {
    format!(
        "the import has changed since its option {option} began ({why}): older records that only match now, and older \
         values of new fields, are not imported"
    )
}

/// What to do about it.
pub fn help(option: &str, value: &str, file: &str) -> String {
    format!(
        "`campanile backfill {file} --from DATE --to DATE` imports them; if you do not need them, \
         `campanile options set {option} \"{value}\"`"
    )
}

fn digest(text: &str) -> String {
    format!("blake3:{}", blake3::hash(text.as_bytes()).to_hex())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(object: &str, filter: Option<&str>, fields: &[&str]) -> IndexScope {
        IndexScope::new(object, filter, fields.iter().copied())
    }

    #[test]
    fn what_matches_only_now_is_lacked_until_it_is_accepted_and_what_was_read_before_is_not() {
        let kept = scope("contacts", Some("a == 1"), &["x", "y"]);
        let is = |now: &IndexScope| kept.lacks(now);
        assert_eq!(is(&kept), None);
        assert_eq!(is(&scope("contacts", Some("a == 1"), &["y"])), None, "a field less");
        assert_eq!(is(&scope("contacts", Some("a == 1"), &["z", "x"])).unwrap(), "new fields: z");
        assert_eq!(is(&scope("contacts", None, &["x"])).unwrap(), "the filter was `a == 1` and is none");
        assert_eq!(is(&scope("leads", Some("a == 1"), &["x"])).unwrap(), "the object was contacts and is leads");
        let back = kept.clone().after(scope("contacts", None, &["x"])).lacks(&kept);
        assert_eq!(back.unwrap(), "it read something else for a while");
        let narrower = kept.after(scope("contacts", Some("a == 1"), &["x"]));
        assert!(narrower.lacks(&scope("contacts", Some("a == 1"), &["x", "y"])).is_some(), "y was not read meanwhile");
    }

    #[test]
    fn what_is_long_is_compared_by_its_digest() {
        let long = "x".repeat(TEXT_BYTES_MAX + 1);
        let kept = scope("contacts", Some(&long), &[&long]);
        assert!(kept.filter.as_ref().is_some_and(|filter| filter.len() < 100));
        assert_eq!(kept.lacks(&scope("contacts", Some(&long), &[&long])), None);
        assert!(kept.lacks(&scope("contacts", Some(&format!("{long}y")), &[&long])).is_some());
    }
}
