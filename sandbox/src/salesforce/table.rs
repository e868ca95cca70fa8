//! One object's records, by their numbers.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use super::{
    generate::Generator,
    id::Id,
    rules::Rules,
    schema::{Field, Kind, Object, Source},
    value::{Value, Wire},
};
pub(super) use crate::data::{Record, Row};
use crate::{
    data::{self, By, DateIndex, Describe, Fact, Held, Records},
    guid::Guid,
};

/// An object with its records.
#[derive(Debug)]
pub(crate) struct Table {
    /// What it is.
    pub(crate) object: Object,
    /// What its writes must keep.
    pub(super) rules: Rules,
    generator: Generator,
    records: Records,
    next: u32,
}

/// Whether a record is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowState {
    /// It is.
    Live,
    /// It is in the recycle bin since then.
    Deleted(i64),
}

/// The id under which the store keeps the record of this number.
pub(super) fn key(number: u32) -> Guid {
    Guid::from_u128(u128::from(number))
}

/// The number of the record that the store keeps under an id.
pub(super) fn number_of(key: Guid) -> u32 {
    u32::try_from(key.as_u128()).unwrap_or(u32::MAX)
}

impl Record<'_> {
    /// Its number.
    pub(super) fn number(self) -> u32 {
        match self {
            Self::Generated(number) => number,
            Self::Written(row) => number_of(row.id),
        }
    }

    /// Whether it is there.
    pub(super) fn state(self) -> RowState {
        match self {
            Self::Generated(_) => RowState::Live,
            Self::Written(row) => row.deleted_at.map_or(RowState::Live, RowState::Deleted),
        }
    }
}

impl Table {
    /// A table with these generated records.
    pub(super) fn new(object: Object, generator: Generator) -> Self {
        let population = generator.population();
        Self { object, rules: Rules::default(), next: population.count, records: Records::new(population), generator }
    }

    /// The id of the record with this number.
    pub(super) fn id(&self, number: u32) -> Id {
        Id::new(self.object.prefix, number)
    }

    /// The number in an id of this object.
    pub(super) fn number(&self, id: Id) -> Option<u32> {
        if id.prefix() == self.object.prefix { id.number() } else { None }
    }

    /// The generator of its records.
    pub(super) fn generator(&self) -> &Generator {
        &self.generator
    }

    /// The number that the next new record gets.
    pub(super) fn next(&self) -> u32 {
        self.next
    }

    /// This number is taken: new records get later ones.
    pub(super) fn take(&mut self, number: u32) {
        self.next = self.next.max(number.saturating_add(1));
    }

    /// A record that is live or in the bin.
    pub(super) fn get(&self, number: u32) -> Option<Record<'_>> {
        let binned = || self.records.binned(key(number)).map(|row| Record::Written(row));
        self.live(number).or_else(binned)
    }

    /// A record that is live.
    pub(super) fn live(&self, number: u32) -> Option<Record<'_>> {
        self.records.get(key(number))
    }

    /// Whether a record was purged or deleted for good.
    pub(super) fn is_gone(&self, number: u32) -> bool {
        self.records.is_buried(key(number)) && self.records.binned(key(number)).is_none()
    }

    /// The record of another table that a record refers to, if it is one of that table.
    pub(super) fn referred<'a>(&self, record: Record<'_>, reference: usize, to: &'a Self) -> Option<Record<'a>> {
        let id = Id::parse(self.value(record, reference).as_text()?)?;
        to.get(to.number(id)?)
    }

    /// A written record, to keep as it is now.
    pub(super) fn row(&self, number: u32) -> Option<&Arc<Row>> {
        self.records.row(key(number))
    }

    /// All records in the order of their ids; with those in the bin if asked for.
    pub(super) fn records(&self, with_deleted: bool) -> Box<dyn Iterator<Item = Record<'_>> + '_> {
        use std::ops::Bound::Unbounded;
        if with_deleted { Box::new(self.records.with_bin()) } else { self.records.by_id(Unbounded, Unbounded, false) }
    }

    /// What a record holds in a field.
    pub(super) fn value<'a>(&'a self, record: Record<'a>, index: usize) -> Cow<'a, Value> {
        value(&self.object, &self.generator, record, index)
    }

    /// What a client is shown of it: of an encrypted text no more than its length.
    pub(super) fn shown<'a>(&'a self, record: Record<'a>, index: usize) -> Cow<'a, Value> {
        let value = self.value(record, index);
        match (&self.object.fields[index].kind, value.as_text()) {
            (Kind::Encrypted(_), Some(text)) => Cow::Owned(Value::text("*".repeat(text.chars().count()))),
            _ => value,
        }
    }

    /// A record's last change.
    pub(super) fn modified(&self, record: Record<'_>) -> i64 {
        self.records.date(record, DateIndex::Modified)
    }

    /// Live records with this value in a field that is unique or an external id.
    pub(super) fn find(&self, index: usize, value: &Value) -> Vec<u32> {
        let mut found = Vec::new();
        let field = &self.object.fields[index];
        if let (Source::Numbered(prefix), Some(text)) = (&field.source, value.as_text())
            && let Some(digits) = text.get(..prefix.len()).filter(|head| head.eq_ignore_ascii_case(prefix))
            && let Ok(number) = text[digits.len()..].parse()
            && matches!(self.live(number), Some(Record::Generated(_)))
        {
            found.push(number);
        }
        let mut bytes = Vec::new();
        let place =
            self.records.index_of(&[index]).filter(|_| field.is_indexed() && write_key(field, value, &mut bytes));
        if let Some(place) = place {
            found.extend(self.records.written_with(place, &bytes).map(number_of));
        }
        found
    }

    /// The row that a change of a record begins with: the written one, or an empty one over the generated one.
    pub(super) fn row_to_change(&self, number: u32) -> Option<Row> {
        Some(match self.get(number)? {
            Record::Written(row) => row.clone(),
            Record::Generated(number) => self.records.generated_row(number),
        })
    }

    /// The delete log: record and time of each record that is not live, in the order of records.
    pub(super) fn deletions(&self) -> impl Iterator<Item = (u32, i64)> {
        self.records.deletions().map(|deleted| (number_of(deleted.id), deleted.at))
    }

    /// The earlier deletions of records that were restored, the last of each.
    pub(super) fn restored(&self) -> impl Iterator<Item = (u32, i64)> {
        let undone = self.records.undone_deletions().map(|deleted| (number_of(deleted.id), deleted.at));
        undone.collect::<BTreeMap<_, _>>().into_iter()
    }

    /// Records in the bin.
    pub(super) fn bin(&self) -> Vec<u32> {
        let binned = self.records.deletions().filter(|deleted| deleted.row.is_some());
        binned.map(|deleted| number_of(deleted.id)).collect()
    }

    /// Adds a field, and an index of it if it is unique or an external id.
    pub(super) fn add_field(&mut self, field: Field) {
        let is_indexed = field.is_indexed();
        let index = self.object.add(field);
        if is_indexed {
            let (describe, records) = self.parts();
            records.index_again(&describe, &[index]);
        }
    }
}

/// What is known of an object's fields, as its records need it.
struct Fields<'a> {
    object: &'a Object,
    generator: &'a Generator,
}

impl Describe for Fields<'_> {
    fn write_key(&self, _: &Records, record: Record<'_>, index: usize, key: &mut Vec<u8>) -> bool {
        let value = value(self.object, self.generator, record, index);
        write_key(&self.object.fields[index], &value, key)
    }
}

impl Held for Table {
    fn records(&self) -> &Records {
        &self.records
    }

    fn parts(&mut self) -> (impl Describe, &mut Records) {
        (Fields { object: &self.object, generator: &self.generator }, &mut self.records)
    }

    fn set(&self) -> &str {
        self.object.name
    }

    fn field_name(&self, field: usize) -> &str {
        &self.object.fields[field].name
    }

    fn held(&self, id: Guid, field: usize) -> Option<data::Value<'static>> {
        Some(self.value(self.get(number_of(id))?, field).into_owned())
    }

    fn shown_id(&self, id: Guid) -> String {
        self.id(number_of(id)).to_string()
    }
}

fn value<'a>(object: &'a Object, generator: &'a Generator, record: Record<'a>, index: usize) -> Cow<'a, Value> {
    let field = &object.fields[index];
    let id = |number| Value::text(Id::new(object.prefix, number).as_str());
    let generated = |number| match &field.source {
        Source::Stored(value) => Cow::Borrowed(value),
        source => Cow::Owned(generator.value(number, source)),
    };
    match (&field.source, record) {
        (Source::Id, _) => Cow::Owned(id(record.number())),
        (Source::User, _) => Cow::Owned(user(By::Wire)),
        (Source::ModifiedBy, Record::Written(row)) => Cow::Owned(user(row.by)),
        (Source::ModifiedBy, Record::Generated(_)) => Cow::Owned(user(By::Admin)),
        (Source::IsDeleted, _) => Cow::Owned(Value::Boolean(record.state() != RowState::Live)),
        (Source::Created, Record::Written(row)) => Cow::Owned(Value::Instant(row.created_on)),
        (Source::Modified, Record::Written(row)) => Cow::Owned(Value::Instant(row.modified_on)),
        (Source::Master, Record::Written(row)) => {
            Cow::Owned(row.master.map_or(Value::Null, |master| id(number_of(master))))
        }
        (Source::Master | Source::Compound, _) => Cow::Owned(Value::Null),
        (Source::FullName, Record::Written(_)) => Cow::Owned(full_name(object, generator, record)),
        (_, Record::Written(row)) => match (row.values.get(&index), row.generated) {
            (Some(value), _) => Cow::Borrowed(value),
            (None, Some(number)) => generated(number),
            (None, None) => default(field),
        },
        (_, Record::Generated(number)) => generated(number),
    }
}

fn full_name(object: &Object, generator: &Generator, record: Record<'_>) -> Value {
    let part = |name| object.field(name).map(|field| value(object, generator, record, field));
    let [first, last] = ["FirstName", "LastName"].map(|name| part(name).map_or(Value::Null, Cow::into_owned));
    data::generate::full_name(&first, &last)
}

/// The user behind a write: clients log in as one, and the admin API stands for another.
fn user(by: By) -> Value {
    let number = match by {
        By::Wire => 0,
        By::Admin => 1,
    };
    Value::text(Id::new("005", number).as_str())
}

fn default(field: &Field) -> Cow<'_, Value> {
    match &field.source {
        Source::Stored(value) => Cow::Borrowed(value),
        // Who creates a record owns it, unless told otherwise.
        Source::Fact(Fact::Owner) => Cow::Owned(user(By::Wire)),
        // Boolean fields are never null.
        _ if field.kind == Kind::Boolean => Cow::Owned(Value::Boolean(false)),
        _ => Cow::Owned(Value::Null),
    }
}

/// Appends a value as unique fields compare it. False for null.
fn write_key(field: &Field, value: &Value, key: &mut Vec<u8>) -> bool {
    match value {
        Value::Null => return false,
        Value::Text(text) if field.case_sensitive => key.extend_from_slice(text.as_bytes()),
        Value::Text(text) => key.extend_from_slice(text.to_lowercase().as_bytes()),
        other => other.write_csv(key),
    }
    true
}
