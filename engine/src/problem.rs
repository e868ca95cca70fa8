//! What is wrong with a workflow, for its author, before it runs.

use serde::Serialize;

/// One thing that is wrong, with its place and its cure. Printed in one place, the command line's `report`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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

/// The name that was probably meant, among those there are.
pub fn did_you_mean<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = wrong.to_lowercase();
    names
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&lower, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= (name.chars().count().max(lower.chars().count()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
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
