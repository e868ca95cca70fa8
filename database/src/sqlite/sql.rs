//! SQL as text. Names are quoted, values are always bound.

/// A name in quotes.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A table of the file, never one of ours in `temp` that has the same name.
pub(super) fn main_table(name: &str) -> String {
    format!("main.{}", quoted(name))
}

/// Joins what each item gives.
pub(super) fn each<T>(items: impl IntoIterator<Item = T>, between: &str, part: impl FnMut(T) -> String) -> String {
    items.into_iter().map(part).collect::<Vec<_>>().join(between)
}

/// `(?1, ?2, …)`.
pub(super) fn values(count: usize) -> String {
    format!("({})", each(1..=count, ", ", |n| format!("?{n}")))
}

/// The names in quotes, separated by commas.
pub(super) fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    each(names, ", ", quoted)
}
