//! How names on the wire lead to the fields of a table.

use super::{error::Error, metadata::relationship, payload};
use crate::data::{Fact, Field, FieldKind, Record, Store, Table, Value};

/// A table as queries see it: with the others that its references lead to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'a> {
    /// All tables.
    pub(crate) store: &'a Store,
    /// The one that is queried.
    pub(crate) table: &'a Table,
}

/// A field of the records queried, or of those that they refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// A field of their own.
    Own(usize),
    /// A field of the record that they refer to, if it is one of that table.
    Related {
        /// The reference.
        link: usize,
        /// Index of the table.
        table: usize,
        /// The field there.
        field: usize,
    },
}

impl<'a> Scope<'a> {
    /// The field behind `lastname`, or `parentcustomerid_account/name`.
    pub(crate) fn reach(self, name: &str) -> Result<Reach, Error> {
        let Some((navigation, name)) = name.split_once('/') else {
            return property(self.table, name).map(Reach::Own);
        };
        let (link, table) = self.navigation(navigation)?;
        Ok(Reach::Related { link, table, field: property(&self.store.tables[table], name)? })
    }

    /// The reference behind a navigation property, and the index of the table that it leads to.
    pub(crate) fn navigation(self, name: &str) -> Result<(usize, usize), Error> {
        let unknown = || match relationship::to_table(self.store, self.table).any(|list| list.name == name) {
            true => Error::not_there(format!("Lists of related records ('{name}') are not part of this stand-in.")),
            false => Error::property(name, self.table.shape.name),
        };
        let (link, target) = payload::navigation(self.table, name).ok_or_else(unknown)?;
        let FieldKind::Lookup { targets, .. } = &self.table.fields[link].kind else {
            return Err(unknown());
        };
        // A reference to several tables is followed to the first that there is.
        let target = target.or_else(|| targets.iter().copied().find(|target| self.store.table(target).is_some()));
        let table = target.and_then(|target| self.store.table_index(target)).ok_or_else(unknown)?;
        Ok((link, table))
    }

    /// What a record holds there.
    pub(crate) fn value(self, record: Record<'a>, reach: Reach) -> Value<'a> {
        match reach {
            Reach::Own(field) => self.table.value(record, field),
            Reach::Related { link, table, field } => self
                .related(record, link, table)
                .map_or(Value::Null, |related| self.store.tables[table].value(related, field)),
        }
    }

    /// The record that a record refers to, if it is one of this table.
    pub(crate) fn related(self, record: Record<'a>, link: usize, table: usize) -> Option<Record<'a>> {
        let table = &self.store.tables[table];
        match self.table.value(record, link) {
            Value::Link(link) if link.table == table.shape.name => table.get(link.id),
            _ => None,
        }
    }

    /// The field itself.
    pub(crate) fn field(self, reach: Reach) -> &'a Field {
        match reach {
            Reach::Own(field) => &self.table.fields[field],
            Reach::Related { table, field, .. } => &self.store.tables[table].fields[field],
        }
    }
}

/// The field behind the name of a property: references are read as `_name_value`, all others by their own name.
pub(crate) fn property(table: &Table, name: &str) -> Result<usize, Error> {
    find_property(table, name).ok_or_else(|| Error::property(name, table.shape.name))
}

fn find_property(table: &Table, name: &str) -> Option<usize> {
    let reference = name.strip_prefix('_').and_then(|rest| rest.strip_suffix("_value"));
    if let Some(field) = reference.and_then(|name| table.field(name)) {
        return matches!(table.fields[field].kind, FieldKind::Lookup { .. }).then_some(field);
    }
    let field = table.field(name)?;
    let kind = &table.fields[field].kind;
    (kind.is_readable() && !matches!(kind, FieldKind::Lookup { .. })).then_some(field)
}

/// The name under which a field is read.
pub(crate) fn property_name(table: &Table, field: usize) -> String {
    let field = &table.fields[field];
    match field.kind {
        FieldKind::Lookup { .. } => format!("_{}_value", field.name),
        _ => field.name.clone(),
    }
}

impl Reach {
    /// Whether it is the records' own id.
    pub(crate) fn is_id(self, table: &Table) -> bool {
        self.fact(table) == Some(Fact::Id)
    }

    /// The fact behind a field of the records themselves.
    pub(crate) fn fact(self, table: &Table) -> Option<Fact> {
        match self {
            Self::Own(field) => table.fields[field].fact,
            Self::Related { .. } => None,
        }
    }
}
