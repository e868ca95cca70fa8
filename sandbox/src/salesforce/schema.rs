//! Objects and their fields.

use std::collections::HashMap;

pub(super) use super::kind::{Kind, Rare};
use super::value::Value;
use crate::data::Fact;

/// An object: what a table is called and how it is described.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    /// API name, such as `Contact`.
    pub(crate) name: &'static str,
    /// Name shown to people.
    pub(super) label: &'static str,
    /// Name of its records shown to people.
    pub(super) plural: &'static str,
    /// First three characters of its records' ids.
    pub(crate) prefix: &'static str,
    /// Whether clients may write it at all.
    pub(super) writable: bool,
    /// Whether its records can be deleted, restored and merged.
    pub(super) deletable: bool,
    /// The fields; a field's index never changes.
    pub(super) fields: Vec<Field>,
    by_name: HashMap<String, usize>,
}

/// A field of an object.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    /// API name, such as `LastName` or `ExtId__c`.
    pub(crate) name: String,
    /// Name shown to people.
    pub(super) label: String,
    /// Type and limits.
    pub(super) kind: Kind,
    /// Where its value comes from.
    pub(super) source: Source,
    /// May be given when a record is created.
    pub(super) createable: bool,
    /// May be changed later.
    pub(super) updateable: bool,
    /// Null is refused, and a record cannot be created without it.
    pub(super) required: bool,
    /// Two records cannot have the same value.
    pub(super) unique: bool,
    /// That comparison tells case apart.
    pub(super) case_sensitive: bool,
    /// Records can be addressed by it.
    pub(super) external_id: bool,
    /// The compound field that it is a part of.
    pub(super) compound: Option<String>,
    /// Added by the admin API, not part of the product.
    pub(super) custom: bool,
}

/// Where a field's value comes from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// What was written, or this.
    Stored(Value),
    /// What was written, or what is known of the generated person or company.
    Fact(Fact),
    /// The same, as one of these words.
    Word(Fact, &'static [&'static str]),
    /// What was written, or a word drawn for so many of a thousand generated records.
    Drawn(&'static [&'static str], u64),
    /// What was written, or the name of some generated company.
    Company,
    /// What was written, or these letters and the generated record's number in seven digits.
    Numbered(String),
    /// The record's id.
    Id,
    /// When it was created.
    Created,
    /// When it was last changed.
    Modified,
    /// Whether it is in the recycle bin.
    IsDeleted,
    /// The record that it was merged into.
    Master,
    /// The user of the connection.
    User,
    /// Who changed it last.
    ModifiedBy,
    /// First and last name.
    FullName,
    /// Fields below it.
    Compound,
}

impl Object {
    /// An object with these fields and those that all objects have.
    pub(super) fn new(
        (name, label, plural): (&'static str, &'static str, &'static str),
        prefix: &'static str,
        fields: Vec<Field>,
    ) -> Self {
        let by_name = fields.iter().enumerate().map(|(index, field)| (field.name.to_lowercase(), index)).collect();
        Self { name, label, plural, prefix, writable: true, deletable: true, fields, by_name }
    }

    /// The index of a field by its API name in any case.
    pub(super) fn field(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied().or_else(|| self.by_name.get(&name.to_lowercase()).copied())
    }

    /// The reference that a relationship's name such as `Account` follows.
    pub(super) fn relationship(&self, name: &str) -> Option<usize> {
        self.fields
            .iter()
            .position(|field| field.relationship().is_some_and(|relationship| relationship.eq_ignore_ascii_case(name)))
    }

    /// Adds a field, or puts another in place of the one of the same name. Its index.
    pub(super) fn add(&mut self, field: Field) -> usize {
        if let Some(index) = self.field(&field.name) {
            self.fields[index] = field;
            return index;
        }
        self.by_name.insert(field.name.to_lowercase(), self.fields.len());
        self.fields.push(field);
        self.fields.len() - 1
    }
}

impl Field {
    /// A field that can be written, is not required and has nothing else about it.
    pub(super) fn new(name: &str, label: &str, kind: Kind) -> Self {
        let default = if kind == Kind::Boolean { Value::Boolean(false) } else { Value::Null };
        Self {
            name: name.to_owned(),
            label: label.to_owned(),
            kind,
            source: Source::Stored(default),
            createable: true,
            updateable: true,
            required: false,
            unique: false,
            case_sensitive: false,
            external_id: false,
            compound: None,
            custom: false,
        }
    }

    /// The same with another source.
    pub(super) fn from(mut self, source: Source) -> Self {
        self.source = source;
        self
    }

    /// The same, showing a fact of generated records.
    pub(super) fn fact(self, fact: Fact) -> Self {
        self.from(Source::Fact(fact))
    }

    /// The same, required.
    pub(super) fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// The same, given by the system.
    pub(super) fn system(mut self, source: Source) -> Self {
        (self.createable, self.updateable) = (false, false);
        self.from(source)
    }

    /// The same as part of a compound field.
    pub(super) fn part_of(mut self, compound: &str) -> Self {
        self.compound = Some(compound.to_owned());
        self
    }

    /// Whether records are found by its values.
    pub(super) fn is_indexed(&self) -> bool {
        self.unique || self.external_id
    }

    /// The name under which queries follow a reference.
    pub(super) fn relationship(&self) -> Option<&str> {
        match &self.kind {
            Kind::Reference { relationship, .. } => relationship.as_deref(),
            _ => None,
        }
    }
}
