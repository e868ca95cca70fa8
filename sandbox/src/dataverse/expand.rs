//! `$expand`: records together with those that they refer to.

use super::{
    error::Error,
    model::Scope,
    query,
    render::{Annotations, Columns},
};

/// A reference to follow, and what to show of the record behind it.
#[derive(Debug)]
pub(crate) struct Expansion {
    /// Navigation property, such as `parentcustomerid_account`.
    pub(crate) name: String,
    /// The reference.
    pub(crate) link: usize,
    /// Index of the table that it leads to.
    pub(crate) table: usize,
    select: Vec<usize>,
    select_text: Option<String>,
    below: Vec<Expansion>,
}

/// References within each other at most.
const DEPTH_MAX: usize = 15;

/// Reads `parentcustomerid_account($select=name,accountnumber),owninguser`.
pub(crate) fn parse(text: Option<&str>, scope: Scope<'_>) -> Result<Vec<Expansion>, Error> {
    list(text.unwrap_or(""), scope, 0)
}

fn list(text: &str, scope: Scope<'_>, depth: usize) -> Result<Vec<Expansion>, Error> {
    if depth > DEPTH_MAX {
        return Err(Error::query(format!("$expand is nested more than {DEPTH_MAX} times.")));
    }
    let parts = split(text, ',').into_iter().filter(|part| !part.trim().is_empty());
    parts.map(|part| one(part, scope, depth)).collect()
}

fn one(text: &str, scope: Scope<'_>, depth: usize) -> Result<Expansion, Error> {
    let text = text.trim();
    let (name, options) = match text.split_once('(') {
        None => (text, ""),
        Some((name, rest)) => (name.trim(), rest.strip_suffix(')').ok_or_else(|| unclosed(text))?),
    };
    let (link, table) = scope.navigation(name)?;
    let scope = Scope { table: &scope.store.tables[table], ..scope };
    let (mut select_text, mut expand) = (None, "");
    for option in split(options, ';').into_iter().map(str::trim).filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some(("$select", names)) => select_text = Some(names.trim().to_owned()),
            Some(("$expand", names)) => expand = names,
            _ => {
                return Err(Error::query(format!(
                    "The option '{option}' is not allowed in $expand of the single-valued navigation property '{name}'."
                )));
            }
        }
    }
    let select = query::select(scope.table, select_text.as_deref())?;
    Ok(Expansion { name: name.to_owned(), link, table, select, select_text, below: list(expand, scope, depth + 1)? })
}

fn unclosed(text: &str) -> Error {
    Error::query(format!(
        "Found an unbalanced bracket expression: ')' expected at position {} in '{text}'.",
        text.len()
    ))
}

impl Expansion {
    /// The columns of the records behind the reference.
    pub(crate) fn columns<'a>(&self, scope: Scope<'a>, annotations: Annotations) -> Columns<'a> {
        let scope = Scope { table: &scope.store.tables[self.table], ..scope };
        Columns::new(scope, &self.select, &self.below, annotations)
    }

    fn context(&self) -> String {
        format!("{}({})", self.name, selection(self.select_text.as_deref(), &self.below))
    }
}

/// What stands in the parentheses of an `@odata.context`; empty if everything is shown.
pub(crate) fn selection(select: Option<&str>, expansions: &[Expansion]) -> String {
    let own = select.map(str::to_owned).into_iter();
    own.chain(expansions.iter().map(Expansion::context)).collect::<Vec<_>>().join(",")
}

/// Parts between separators that stand in no parentheses.
pub(crate) fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_usize);
    for (place, char) in text.char_indices() {
        match char {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ if char == separator && depth == 0 => {
                parts.push(&text[start..place]);
                start = place + char.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}
