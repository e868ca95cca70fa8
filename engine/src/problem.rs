//! What is wrong with a workflow, for its author, before it runs.

use std::cell::Cell;

use serde::Serialize;

/// One thing that is wrong, with its place and its cure. Printed in one place, the command line's `report`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Problem {
    /// The file, as it was named.
    pub file: String,
    /// JSON pointer into the file, such as `/activities/import/filter`.
    pub pointer: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// A word for programs, such as `unknown-key`; `docs/reference/problems.md` explains each.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// The longest names that are compared, in characters: comparing two takes time and memory by the product of their lengths.
const COMPARED_CHARS_MAX: usize = 200;

/// The name that was probably meant, among those there are.
pub fn did_you_mean<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = wrong.to_lowercase();
    let length = lower.chars().count();
    if length > COMPARED_CHARS_MAX {
        return None;
    }
    let near = |name: &str| {
        let other = name.chars().count();
        let most = (other.max(length) / 3).max(1);
        // Names whose lengths differ by more need not be compared.
        let may_be = other <= COMPARED_CHARS_MAX && other.abs_diff(length) <= most;
        let distance = may_be.then(|| strsim::damerau_levenshtein(&lower, &name.to_lowercase()))?;
        (distance <= most).then_some(distance)
    };
    let found = names.into_iter().filter_map(|name| Some((near(name)?, name)));
    found.min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// "did you mean …?", else the names there are where they are few.
pub fn suggestion<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str> + Clone) -> Option<String> {
    const LISTED_MAX: usize = 12;
    if let Some(name) = did_you_mean(wrong, names.clone()) {
        return Some(format!("did you mean \"{name}\"?"));
    }
    let names: Vec<&str> = names.into_iter().collect();
    (!names.is_empty() && names.len() <= LISTED_MAX).then(|| format!("there are: {}", names.join(", ")))
}

/// Suggestions of one check. Together they look at [`LOOKED_AT_MAX`](Self::LOOKED_AT_MAX) names at most, so that a file
/// with thousands of wrong names takes no longer for it; the problems after that have no suggestion.
#[derive(Debug, Default)]
pub struct Suggestions {
    looked_at: Cell<usize>,
}

impl Suggestions {
    /// The most names that one check compares wrong ones with.
    pub const LOOKED_AT_MAX: usize = 200_000;

    /// As [`suggestion`]; none once the check has looked at too many names.
    pub fn of<'a>(&self, wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
        if self.looked_at.get() >= Self::LOOKED_AT_MAX {
            return None;
        }
        let names: Vec<&str> = names.into_iter().collect();
        self.looked_at.set(self.looked_at.get() + names.len());
        suggestion(wrong, names.iter().copied())
    }

    /// How many names were looked at.
    pub fn looked_at(&self) -> usize {
        self.looked_at.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_too_long_to_be_compared_has_no_suggestion_and_costs_nothing() {
        let long = "x".repeat(1_000_000);
        assert_eq!(did_you_mean(&long, [long.as_str()]), None);
        assert_eq!(did_you_mean("dedup", [long.as_str(), "dedupe"]), Some("dedupe"));
    }

    #[test]
    fn the_names_that_a_check_looks_at_are_bounded_however_many_are_wrong() {
        let names: Vec<String> = (0..10_000).map(|n| format!("activity{n}")).collect();
        let all = || names.iter().map(String::as_str);
        let suggestions = Suggestions::default();
        assert_eq!(suggestions.of("activity77x", all()).as_deref(), Some("did you mean \"activity77\"?"));
        let answered = (0..8_000).filter(|_| suggestions.of("acivity1", all()).is_some()).count();
        assert_eq!(answered, Suggestions::LOOKED_AT_MAX / names.len() - 1);
        assert_eq!(suggestions.looked_at(), Suggestions::LOOKED_AT_MAX);
    }
}
