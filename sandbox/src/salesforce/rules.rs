//! What the writes of an object must keep, besides its fields' types.

use super::{
    error::Error,
    soql::Test,
    store::Store,
    table::{Record, Row, Table},
    value::Wire,
};

/// The rules of an object.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// Records that are refused.
    pub(super) validations: Vec<Validation>,
    /// Records that may be another's double.
    pub(super) duplicates: Vec<Duplicates>,
}

/// A validation rule.
#[derive(Debug)]
pub(super) struct Validation {
    /// Its name.
    pub(super) name: String,
    /// A record that fulfils it is refused.
    pub(super) test: Test,
    /// The message.
    pub(super) message: String,
    /// The field that it is shown at.
    pub(super) field: Option<String>,
}

/// A duplicate rule.
#[derive(Debug)]
pub(super) struct Duplicates {
    /// Its name.
    pub(super) name: String,
    /// Two records with the same values in these fields are doubles.
    pub(super) fields: Vec<usize>,
    /// A client can save nevertheless.
    pub(super) can_save: bool,
}

impl Rules {
    /// Checks a record as it would be.
    pub(super) fn check(&self, store: &Store, table: &Table, row: &Row, saves_doubles: bool) -> Result<(), Error> {
        let record = Record::Written(row);
        let number = record.number();
        if let Some(rule) = self.validations.iter().find(|rule| rule.test.holds(store, table, record)) {
            let mut error = Error::new("FIELD_CUSTOM_VALIDATION_EXCEPTION", rule.message.as_str());
            error.fields.extend(rule.field.clone());
            return Err(error);
        }
        for rule in self.duplicates.iter().filter(|rule| !(rule.can_save && saves_doubles)) {
            let own: Vec<_> = rule.fields.iter().map(|field| table.value(record, *field)).collect();
            if own.iter().any(|value| value.is_null()) {
                continue;
            }
            let is_double = |other: Record<'_>| {
                other.number() != number
                    && rule.fields.iter().zip(&own).all(|(field, own)| table.value(other, *field).order(own).is_eq())
            };
            if table.records(false).any(is_double) {
                return Err(Error::new("DUPLICATES_DETECTED", "Use one of these records?"));
            }
        }
        Ok(())
    }
}
