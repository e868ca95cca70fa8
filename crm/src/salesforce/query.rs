//! From a [`Read`] to SOQL.

use engine::failure::{Class, Failure};
use engine::outside::crm::{FieldKind, OrderBy, Query, Range, Read, Window};
use jiff::Timestamp;

use super::field;
use super::session::Session;
use super::soql::{self, quoted};
use crate::http::in_query;
use crate::names;
use crate::pushdown::Pushed;

/// The longest query that goes into an address, in bytes; Salesforce takes 16,384 with the headers.
const ADDRESS_BYTES_MAX: usize = 12_000;
/// Tells a change of a record in the second before it; every object has it but a few.
pub(super) const VERSION: &str = "SystemModstamp";

/// What a reading asks for.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) object: String,
    /// The id's name.
    pub(super) id: String,
    /// Paths to select, each once; the id and the version are among them.
    pub(super) select: Vec<String>,
    conditions: Vec<String>,
    order: Vec<String>,
    /// Whether it is in the order of ids alone, so that it can go on after any of them.
    pub(super) is_by_id: bool,
    /// Deleted records too.
    pub(super) all: bool,
    pushed: Option<Pushed>,
    is_filtered: bool,
    base: String,
    /// Tells this query of this account from any other.
    pub(super) hash: String,
}

impl Plan {
    /// # Errors
    /// `Class::Config` where the object or a field cannot be asked for.
    pub(super) fn new(session: &Session, read: &Read) -> Result<Self, Failure> {
        let (object, account) = (read.object.as_ref(), session.account());
        if !names::is_identifier(&object.name) || !names::is_identifier(&object.id) {
            return Err(config(format!("{account}: `{}` is not the name of an object", object.name)));
        }
        let mut conditions = Vec::new();
        if let Some(window) = &read.window {
            conditions.extend(windowed(read, window, account)?);
        }
        if let Some(range) = &read.range {
            conditions.extend(ranged(read, range, account)?);
        }
        let mut plan = Self {
            object: object.name.clone(),
            id: object.id.clone(),
            select: select(read, account)?,
            conditions,
            order: order(read, account)?,
            is_by_id: read.order.is_empty(),
            all: read.all,
            pushed: soql::pushed(read),
            is_filtered: read.filter.is_some(),
            base: session.base(),
            hash: String::new(),
        };
        let mut hasher = blake3::Hasher::new();
        hasher
            .update(session.root.as_str().as_bytes())
            .update(plan.soql(None).as_bytes())
            .update(&[u8::from(plan.all)]);
        for field in &read.fields {
            hasher.update(field.field.name.as_bytes()).update(&[u8::from(field.raw), 0]);
        }
        plan.hash = hasher.finalize().to_hex()[..16].to_owned();
        Ok(plan)
    }

    /// The query, from the record after this id.
    pub(super) fn soql(&self, after: Option<&str>) -> String {
        let from = after.map(|id| format!("{} > {}", self.id, quoted(id)));
        let mut text = self.selecting(&self.select.join(", "), from);
        if !self.order.is_empty() {
            text += &format!(" ORDER BY {}", self.order.join(", "));
        }
        text
    }

    /// The query without its order, which lets a bulk job split its work.
    pub(super) fn unordered(&self) -> String {
        self.selecting(&self.select.join(", "), None)
    }

    /// Other columns of the same records, of those with one more condition.
    pub(super) fn selecting(&self, columns: &str, more: Option<String>) -> String {
        let mut conditions: Vec<String> = self.conditions.iter().cloned().chain(more).collect();
        match &self.pushed {
            Some(pushed) if conditions.is_empty() => conditions.push(pushed.text.clone()),
            Some(pushed) => conditions.push(pushed.in_conjunction()),
            None => {}
        }
        let filter = if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
        format!("SELECT {columns} FROM {}{filter}", self.object)
    }

    /// The address of a query.
    pub(super) fn address(&self, soql: &str) -> String {
        address(soql, self.all)
    }

    /// Whether the query is too long for an address.
    pub(super) fn is_too_long(&self) -> bool {
        self.address(&self.soql(None)).len() > ADDRESS_BYTES_MAX
    }

    /// What is shown of it. Without a filter, that which is sent is exact.
    pub(super) fn into_query(self) -> Query {
        Query {
            text: format!("{}{}", self.base, self.address(&self.soql(None))),
            exact: self.pushed.as_ref().map_or(!self.is_filtered, |pushed| pushed.exact),
            filter: self.pushed.map(|pushed| pushed.text),
        }
    }
}

/// The address of a query, beneath the version.
pub(super) fn address(soql: &str, all: bool) -> String {
    let text = in_query(soql).replace("%20", "+");
    format!("{}?q={text}", if all { "queryAll" } else { "query" })
}

fn config(message: String) -> Failure {
    Failure::new(Class::Config, message)
}

/// The paths to ask for, each once.
fn select(read: &Read, account: &str) -> Result<Vec<String>, Failure> {
    let object = &read.object;
    let mut select: Vec<String> = vec![object.id.clone()];
    for wanted in &read.fields {
        let field = names::found(read, &wanted.field.name, account)?;
        if !field.readable {
            let help = field.instead.as_deref().unwrap_or("choose another field");
            return Err(config(format!("{account}: {}.{} may not be read", object.name, field.name)).help(help));
        }
        let Some(path) = field::path(field) else {
            return Err(config(format!("{account}: `{}` is not the name of a field", field.name)));
        };
        if !select.iter().any(|known| *known == path) {
            select.push(path.into_owned());
        }
    }
    if object.fields.get(VERSION).is_some_and(|field| field.readable) && !select.iter().any(|path| path == VERSION) {
        select.push(VERSION.to_owned());
    }
    Ok(select)
}

/// The window, half open.
fn windowed(read: &Read, window: &Window, account: &str) -> Result<Vec<String>, Failure> {
    let field = names::found(read, &window.field, account)?;
    let path = field::comparable(field).filter(|_| field.is_date_time());
    let Some(path) = path else {
        let message =
            format!("{account}: {}.{} cannot be the field of the automatic index", read.object.name, field.name);
        return Err(
            config(message).help("choose a date and time that Salesforce sets by itself, such as LastModifiedDate")
        );
    };
    let from = window.from.map(|from| format!("{path} >= {from}"));
    Ok(from.into_iter().chain([format!("{path} < {}", window.to)]).collect())
}

/// A part of the whole, half open; the first one takes nulls too.
fn ranged(read: &Read, range: &Range, account: &str) -> Result<Vec<String>, Failure> {
    let field = names::found(read, &range.field, account)?;
    let bound = |text: &str| match field.kind {
        FieldKind::DateTime => text.parse::<Timestamp>().ok().map(|at| at.to_string()),
        _ if field::is_id(field) => field::id(text).ok().map(|id| quoted(&id)),
        _ => None,
    };
    let wrong = || config(format!("{account}: {} cannot be read in parts by {}", read.object.name, field.name));
    let path = field::comparable(field).ok_or_else(wrong)?;
    let from = range.from.as_deref().map(|from| bound(from).ok_or_else(wrong)).transpose()?;
    let to = range.to.as_deref().map(|to| bound(to).ok_or_else(wrong)).transpose()?;
    Ok(match (from, to) {
        (None, None) => Vec::new(),
        (None, Some(to)) => vec![format!("({path} < {to} OR {path} = null)")],
        (Some(from), None) => vec![format!("{path} >= {from}")],
        (Some(from), Some(to)) => vec![format!("{path} >= {from}"), format!("{path} < {to}")],
    })
}

/// The order; the id comes last, so that no two records share a place and none is lost between two pages. Without an
/// order of the author's it is that of ids, which Salesforce has at hand.
fn order(read: &Read, account: &str) -> Result<Vec<String>, Failure> {
    let object = read.object.as_ref();
    let mut order = Vec::with_capacity(read.order.len() + 1);
    let mut has_id = false;
    for OrderBy { field, descending } in &read.order {
        let field = names::found(read, field, account)?;
        let path = field::comparable(field).filter(|_| field.kind != FieldKind::TextMultiPicklist);
        let Some(path) = path else {
            let message = format!("{account}: {} cannot be ordered by {}", object.name, field.name);
            return Err(config(message).help("choose a field that Salesforce can order by"));
        };
        has_id |= field.name == object.id;
        order.push(format!("{path} {}", if *descending { "DESC NULLS LAST" } else { "ASC NULLS FIRST" }));
    }
    if !has_id {
        order.push(object.id.clone());
    }
    Ok(order)
}
