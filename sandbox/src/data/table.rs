//! A table of Dataverse: its columns, keys and rules, and its records.

use std::{collections::HashMap, ops::Bound};

use super::{
    generate::{Fact, Population, full_name},
    index::write_value,
    records::{DateIndex, Deleted, Describe, Record, Records},
    schema::{self, Field, Key, KeyStatus, Rule},
    store::{By, Draft, Held, Store},
    value::{Link, Value},
    walk::{Place, Walk},
    write::Patch,
};
use crate::guid::Guid;

/// A table with its records.
#[derive(Debug)]
pub(crate) struct Table {
    /// What it is called.
    pub(crate) shape: schema::Table,
    /// Its fields; a field's index never changes.
    pub(crate) fields: Vec<Field>,
    /// Its alternate keys.
    pub(crate) keys: Vec<Key>,
    /// Its duplicate-detection rules.
    pub(crate) rules: Vec<Rule>,
    /// Whether clients can ask what has changed.
    pub(crate) tracks_changes: bool,
    /// Deletions go to the audit log, if auditing is on.
    pub(crate) is_audited: bool,
    by_name: HashMap<String, usize>,
    records: Records,
}

/// The fields of a table, as its records need them.
struct Fields<'a>(&'a [Field]);

impl Describe for Fields<'_> {
    fn write_key(&self, records: &Records, record: Record<'_>, field: usize, key: &mut Vec<u8>) -> bool {
        let value = value(self.0, records, record, field);
        write_value(&value, key);
        !value.is_null()
    }
}

fn value<'a>(fields: &'a [Field], records: &'a Records, record: Record<'a>, field: usize) -> Value<'a> {
    let generated = |number| match fields[field].fact {
        Some(fact) => records.population().fact(number, fact),
        None => fields[field].default.clone(),
    };
    match record {
        Record::Generated(number) => generated(number),
        Record::Written(row) => match fields[field].fact {
            Some(Fact::Id) => Value::Guid(row.id),
            Some(Fact::CreatedOn) => Value::Instant(row.created_on),
            Some(Fact::ModifiedOn) => Value::Instant(row.modified_on),
            Some(Fact::Version) => Value::Integer(i64::try_from(row.version).unwrap_or(i64::MAX)),
            _ => match (row.values.get(&field), row.generated) {
                (Some(value), _) => value.clone(),
                (None, Some(number)) => generated(number),
                (None, None) => fields[field].default.clone(),
            },
        },
    }
}

impl Table {
    /// A table with these generated records.
    pub(crate) fn new(shape: schema::Table, fields: Vec<Field>, population: Population) -> Self {
        let by_name = fields.iter().enumerate().map(|(index, field)| (field.name.clone(), index)).collect();
        Self {
            shape,
            fields,
            keys: Vec::new(),
            rules: Vec::new(),
            tracks_changes: false,
            is_audited: false,
            by_name,
            records: Records::new(population),
        }
    }

    /// The index of a field by its logical name.
    pub(crate) fn field(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The field that shows a fact.
    pub(crate) fn field_of(&self, fact: Fact) -> Option<usize> {
        self.fields.iter().position(|field| field.fact == Some(fact))
    }

    /// Adds a field, or puts another in place of the one of the same name.
    pub(crate) fn add_field(&mut self, field: Field) {
        if let Some(index) = self.field(&field.name) {
            self.fields[index] = field;
            return;
        }
        self.by_name.insert(field.name.clone(), self.fields.len());
        self.fields.push(field);
    }

    /// How many records there are.
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// How many records were generated, changed or not.
    pub(crate) fn generated_count(&self) -> u32 {
        self.records.population().count
    }

    /// A generated record by its number, as it is now.
    pub(crate) fn generated(&self, number: u32) -> Option<Record<'_>> {
        let population = self.records.population();
        self.get(population.id(number)).filter(|_| number < population.count)
    }

    /// A fact of some other record, generated or imagined, for changes that look real.
    pub(crate) fn other_fact(&self, chance: u64, fact: Fact) -> Value<'static> {
        self.records.population().fact(u32::try_from(chance >> 33).unwrap_or(0), fact)
    }

    /// A record by its id.
    pub(crate) fn get(&self, id: Guid) -> Option<Record<'_>> {
        self.records.get(id)
    }

    /// What a record holds in a field.
    pub(crate) fn value<'a>(&'a self, record: Record<'a>, field: usize) -> Value<'a> {
        value(&self.fields, &self.records, record, field)
    }

    /// A record's id.
    pub(crate) fn id(&self, record: Record<'_>) -> Guid {
        self.records.id(record)
    }

    /// A record's version.
    pub(crate) fn version(&self, record: Record<'_>) -> u64 {
        self.records.version(record)
    }

    /// Whether a generated record can hold anything but the default in a field.
    pub(crate) fn is_generated(&self, field: usize) -> bool {
        self.fields[field].fact.is_some() && self.generated_count() > 0
    }

    /// The first record other than `except` with these values in the fields of an index, as the database compares them.
    pub(crate) fn find(&self, index: usize, values: &[Value<'_>], except: Option<Guid>) -> Option<Guid> {
        if values.iter().any(Value::is_null) {
            return None;
        }
        let mut key = Vec::with_capacity(24 * values.len());
        values.iter().for_each(|value| write_value(value, &mut key));
        let written = self.records.written_with(index, &key).find(|id| Some(*id) != except);
        if written.is_some() || !self.records.indexed(index).iter().all(|field| self.is_generated(*field)) {
            return written;
        }
        let fields = Fields(&self.fields);
        let mut generated = self.records.generated_with(&fields, index, &key);
        generated.find(|id| Some(*id) != except)
    }

    /// The index over these fields in this order, made if there is none.
    pub(crate) fn index_over(&mut self, fields: &[usize]) -> usize {
        self.records.index_over(&Fields(&self.fields), fields)
    }

    /// Declares an alternate key, in place of the one of the same name.
    pub(crate) fn add_key(&mut self, name: &str, fields: Vec<usize>, status: KeyStatus) {
        let index = self.index_over(&fields);
        self.keys.retain(|key| key.name != name);
        self.keys.push(Key { name: name.to_owned(), fields, status, index });
    }

    /// Records written after a version, oldest first.
    pub(crate) fn written_since(&self, version: u64) -> impl Iterator<Item = Record<'_>> {
        self.records.written_since(version)
    }

    /// Records deleted after a version, with the version of the deletion, oldest first.
    pub(crate) fn deleted_since(&self, version: u64) -> impl Iterator<Item = (u64, &Deleted)> {
        self.records.deleted_since(version)
    }

    /// All records in the order of their ids, from `from` (0 as its date) up to `to`, forwards or backwards.
    pub(crate) fn by_id(&self, from: Bound<Place>, to: Bound<Place>, backwards: bool) -> Walk<'_> {
        self.records.by_id(from, to, backwards)
    }

    /// All records in the order of a date and then of their ids, forwards or backwards.
    pub(crate) fn by_date(&self, index: DateIndex, from: Bound<Place>, to: Bound<Place>, backwards: bool) -> Walk<'_> {
        self.records.by_date(index, from, to, backwards)
    }

    /// About how many records lie in a window of a date: exact but for deleted ones.
    pub(crate) fn count_in_window(&self, index: DateIndex, from: Bound<Place>, to: Bound<Place>) -> usize {
        self.records.count_in_window(index, from, to)
    }
}

impl Held for Table {
    fn records(&self) -> &Records {
        &self.records
    }

    fn parts(&mut self) -> (impl Describe, &mut Records) {
        (Fields(&self.fields), &mut self.records)
    }

    /// The product's own rule: the full name follows the first and the last.
    fn complete(&self, id: Guid, patch: &mut Patch) {
        let fields = [Fact::FirstName, Fact::LastName, Fact::FullName].map(|fact| self.field_of(fact));
        let [Some(first), Some(last), Some(full)] = fields else {
            return;
        };
        let record = self.get(id);
        if record.is_some() && !patch.contains_key(&first) && !patch.contains_key(&last) {
            return;
        }
        let value = |field: usize| match (patch.get(&field), record) {
            (Some(value), _) => value.clone(),
            (None, Some(record)) => self.value(record, field).into_owned(),
            (None, None) => self.fields[field].default.clone(),
        };
        let name = full_name(&value(first), &value(last));
        patch.insert(full, name);
    }

    fn signed(store: &Store, draft: &mut Draft, by: By) {
        if let (Some(field), Some(id)) = (store.tables[draft.table].field_of(Fact::ModifiedBy), store.user(by)) {
            draft.values.entry(field).or_insert(Value::Link(Link { table: "systemuser", id }));
        }
    }

    fn set(&self) -> &str {
        self.shape.set
    }

    fn field_name(&self, field: usize) -> &str {
        &self.fields[field].name
    }

    fn held(&self, id: Guid, field: usize) -> Option<Value<'static>> {
        Some(self.value(self.get(id)?, field).into_owned())
    }

    fn shown_id(&self, id: Guid) -> String {
        id.to_string()
    }

    fn deleted(store: &mut Store<Self>, table: usize, id: Guid, now: i64) {
        store.audit(table, id, now);
    }
}
