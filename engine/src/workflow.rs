//! The workflow file, as authors write it.

/// Whether it can name a workflow or an activity: letters, digits, `_` and `-`, beginning with a letter or `_`,
/// 64 characters at most. Names become folders, options and run names.
pub fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    text.len() <= 64
        && chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}
