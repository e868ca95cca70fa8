//! One table: generated records that are never stored, and the overlay of records that were written.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Bound,
    sync::OnceLock,
};

use super::{
    generate::{Fact, Population},
    index::{Index, hash_of, write_value},
    schema::{self, Field, Key, KeyStatus, Rule},
    value::Value,
    walk::{Place, Walk, is_range, merged},
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
    pub(super) population: Population,
    /// Bit `i` is set if generated record `i` was changed or deleted: the overlay then speaks for it.
    pub(super) touched: Vec<u64>,
    /// How many bits are set.
    pub(super) touched_count: usize,
    pub(super) rows: BTreeMap<Guid, Row>,
    /// Written records by their version.
    pub(super) versions: BTreeMap<u64, Guid>,
    /// What was deleted, by the version of its deletion.
    pub(super) deleted: BTreeMap<u64, Deleted>,
    pub(super) indexes: Vec<Index>,
    pub(super) created: Dates,
    pub(super) modified: Dates,
}

/// A record that is gone.
#[derive(Debug, Clone)]
pub(crate) struct Deleted {
    /// Its id.
    pub(crate) id: Guid,
    /// When, seconds since 1970.
    pub(crate) at: i64,
    /// What it was, as long as there is a recycle bin.
    pub(crate) row: Option<Row>,
}

/// A written record.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// Its id.
    pub(crate) id: Guid,
    /// When it was created, seconds since 1970.
    pub(crate) created_on: i64,
    /// When it was last changed, seconds since 1970.
    pub(crate) modified_on: i64,
    /// Its row version; larger after every change.
    pub(crate) version: u64,
    /// The generated record that it began as.
    pub(super) generated: Option<u32>,
    /// Values that were written, by field; the others are the generated record's, or the field's default.
    pub(super) values: BTreeMap<usize, Value<'static>>,
}

/// A record as a query sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Record<'a> {
    /// The generated record of this number, never changed.
    Generated(u32),
    /// A written one.
    Written(&'a Row),
}

/// One of the two dates by which records can be walked in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DateIndex {
    /// When they were created.
    Created,
    /// When they were last changed.
    Modified,
}

/// Records in the order of a date, then of their ids.
#[derive(Debug, Default)]
pub(super) struct Dates {
    /// Numbers of all generated records in order; made at the first walk. Four bytes a record.
    generated: OnceLock<Vec<u32>>,
    /// Written records.
    pub(super) rows: BTreeSet<(i64, Guid)>,
}

impl Table {
    /// A table with these generated records.
    pub(crate) fn new(shape: schema::Table, fields: Vec<Field>, population: Population) -> Self {
        let by_name = fields.iter().enumerate().map(|(index, field)| (field.name.clone(), index)).collect();
        let words = usize::try_from(population.count.div_ceil(64)).unwrap_or(0);
        Self {
            shape,
            fields,
            keys: Vec::new(),
            rules: Vec::new(),
            tracks_changes: false,
            is_audited: false,
            by_name,
            population,
            touched: vec![0; words],
            touched_count: 0,
            rows: BTreeMap::new(),
            versions: BTreeMap::new(),
            deleted: BTreeMap::new(),
            indexes: Vec::new(),
            created: Dates::default(),
            modified: Dates::default(),
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
        let generated = usize::try_from(self.population.count).unwrap_or(usize::MAX);
        generated - self.touched_count + self.rows.len()
    }

    /// How many records were generated, changed or not.
    pub(crate) fn generated_count(&self) -> u32 {
        self.population.count
    }

    /// A generated record by its number, as it is now.
    pub(crate) fn generated(&self, number: u32) -> Option<Record<'_>> {
        self.get(self.population.id(number)).filter(|_| number < self.population.count)
    }

    /// A fact of some other record, generated or imagined, for changes that look real.
    pub(crate) fn other_fact(&self, chance: u64, fact: Fact) -> Value<'static> {
        self.population.fact(u32::try_from(chance >> 33).unwrap_or(0), fact)
    }

    /// How many records were written since.
    pub(crate) fn written_count(&self) -> usize {
        self.rows.len()
    }

    /// A record by its id.
    pub(crate) fn get(&self, id: Guid) -> Option<Record<'_>> {
        if let Some(row) = self.rows.get(&id) {
            return Some(Record::Written(row));
        }
        let number = self.population.number_of(id)?;
        (!self.is_touched(number)).then_some(Record::Generated(number))
    }

    /// What a record holds in a field.
    pub(crate) fn value<'a>(&'a self, record: Record<'a>, field: usize) -> Value<'a> {
        match record {
            Record::Generated(number) => self.generated_value(number, field),
            Record::Written(row) => match self.fields[field].fact {
                Some(Fact::Id) => Value::Guid(row.id),
                Some(Fact::CreatedOn) => Value::Instant(row.created_on),
                Some(Fact::ModifiedOn) => Value::Instant(row.modified_on),
                Some(Fact::Version) => Value::Integer(i64::try_from(row.version).unwrap_or(i64::MAX)),
                _ => match (row.values.get(&field), row.generated) {
                    (Some(value), _) => value.clone(),
                    (None, Some(number)) => self.generated_value(number, field),
                    (None, None) => self.fields[field].default.clone(),
                },
            },
        }
    }

    /// A record's id.
    pub(crate) fn id(&self, record: Record<'_>) -> Guid {
        match record {
            Record::Generated(number) => self.population.id(number),
            Record::Written(row) => row.id,
        }
    }

    /// A record's version.
    pub(crate) fn version(&self, record: Record<'_>) -> u64 {
        match record {
            Record::Generated(number) => self.population.version(number),
            Record::Written(row) => row.version,
        }
    }

    /// A record's date in one of the two orders.
    pub(crate) fn date(&self, record: Record<'_>, index: DateIndex) -> i64 {
        match (record, index) {
            (Record::Generated(number), DateIndex::Created) => self.population.created_on(number),
            (Record::Generated(number), DateIndex::Modified) => self.population.modified_on(number),
            (Record::Written(row), DateIndex::Created) => row.created_on,
            (Record::Written(row), DateIndex::Modified) => row.modified_on,
        }
    }

    /// Whether a generated record can hold anything but the default in a field.
    pub(crate) fn is_generated(&self, field: usize) -> bool {
        self.fields[field].fact.is_some() && self.population.count > 0
    }

    /// The bytes of a record's values in these fields; none if one of them is null.
    pub(super) fn key_bytes(&self, fields: &[usize], record: Record<'_>) -> Option<Vec<u8>> {
        let mut key = Vec::with_capacity(24 * fields.len());
        for field in fields {
            let value = self.value(record, *field);
            if value.is_null() {
                return None;
            }
            write_value(&value, &mut key);
        }
        Some(key)
    }

    /// The first record other than `except` with these values in the fields of an index, as the database compares them.
    pub(crate) fn find(&self, index: usize, values: &[Value<'_>], except: Option<Guid>) -> Option<Guid> {
        if values.iter().any(Value::is_null) {
            return None;
        }
        let mut key = Vec::with_capacity(24 * values.len());
        values.iter().for_each(|value| write_value(value, &mut key));
        let index = &self.indexes[index];
        let written = index.written_with(&key).find(|id| Some(*id) != except);
        if written.is_some() || !index.fields.iter().all(|field| self.is_generated(*field)) {
            return written;
        }
        index.generated.get_or_init(|| self.generated_hashes(&index.fields));
        let numbers = index.generated_with(hash_of(&key)).filter(|number| !self.is_touched(*number));
        let found = numbers.filter(|number| {
            let record = Record::Generated(*number);
            self.key_bytes(&index.fields, record).as_ref() == Some(&key)
        });
        found.map(|number| self.population.id(number)).find(|id| Some(*id) != except)
    }

    fn generated_hashes(&self, fields: &[usize]) -> Vec<(u64, u32)> {
        let hash = |number| self.key_bytes(fields, Record::Generated(number)).map(|key| (hash_of(&key), number));
        let mut hashes: Vec<_> = (0..self.population.count).filter_map(hash).collect();
        hashes.sort_unstable();
        hashes
    }

    /// The index over these fields in this order, made if there is none.
    pub(crate) fn index_over(&mut self, fields: &[usize]) -> usize {
        if let Some(place) = self.indexes.iter().position(|index| index.fields == fields) {
            return place;
        }
        let mut index = Index::new(fields.to_vec());
        for (id, row) in &self.rows {
            if let Some(key) = self.key_bytes(fields, Record::Written(row)) {
                index.written.insert((key.into(), *id));
            }
        }
        self.indexes.push(index);
        self.indexes.len() - 1
    }

    /// Declares an alternate key, in place of the one of the same name.
    pub(crate) fn add_key(&mut self, name: &str, fields: Vec<usize>, status: KeyStatus) {
        let index = self.index_over(&fields);
        self.keys.retain(|key| key.name != name);
        self.keys.push(Key { name: name.to_owned(), fields, status, index });
    }

    /// Records written after a version, oldest first.
    pub(crate) fn written_since(&self, version: u64) -> impl Iterator<Item = Record<'_>> {
        let newer = self.versions.range((Bound::Excluded(version), Bound::Unbounded));
        newer.filter_map(|(_, id)| self.rows.get(id)).map(Record::Written)
    }

    /// Records deleted after a version, with the version of the deletion, oldest first.
    pub(crate) fn deleted_since(&self, version: u64) -> impl Iterator<Item = (u64, &Deleted)> {
        self.deleted.range((Bound::Excluded(version), Bound::Unbounded)).map(|(version, deleted)| (*version, deleted))
    }

    /// All records in the order of their ids, from `from` (0 as its date) up to `to`, forwards or backwards.
    pub(crate) fn by_id(&self, from: Bound<Place>, to: Bound<Place>, backwards: bool) -> Walk<'_> {
        let start = match from {
            Bound::Unbounded => 0,
            Bound::Included((_, id)) => self.population.count_below(id, false),
            Bound::Excluded((_, id)) => self.population.count_below(id, true),
        };
        let end = match to {
            Bound::Unbounded => self.population.count,
            Bound::Included((_, id)) => self.population.count_below(id, true),
            Bound::Excluded((_, id)) => self.population.count_below(id, false),
        };
        let generated = (start..end.max(start)).filter(|number| !self.is_touched(*number));
        let generated = generated.map(|number| ((0, self.population.id(number)), Record::Generated(number)));
        let bounds = (from.map(|place| place.1), to.map(|place| place.1));
        let written = is_range(&bounds).then(|| self.rows.range(bounds)).into_iter().flatten();
        let written = written.map(|(id, row)| ((0, *id), Record::Written(row)));
        merged(generated, written, backwards)
    }

    /// All records in the order of a date and then of their ids, forwards or backwards.
    pub(crate) fn by_date(&self, index: DateIndex, from: Bound<Place>, to: Bound<Place>, backwards: bool) -> Walk<'_> {
        let numbers = self.generated_in_window(index, from, to);
        let generated = numbers.iter().copied().filter(|number| !self.is_touched(*number));
        let generated = generated.map(move |number| (self.generated_place(index, number), Record::Generated(number)));
        let bounds = (from, to);
        let written = is_range(&bounds).then(|| self.dates(index).rows.range(bounds)).into_iter().flatten();
        let written = written.filter_map(|place| Some((*place, Record::Written(self.rows.get(&place.1)?))));
        merged(generated, written, backwards)
    }

    /// About how many records lie in a window of a date: exact but for deleted ones.
    pub(crate) fn count_in_window(&self, index: DateIndex, from: Bound<Place>, to: Bound<Place>) -> usize {
        let written = if is_range(&(from, to)) { self.rows.len() } else { 0 };
        self.generated_in_window(index, from, to).len() + written
    }

    fn generated_value(&self, number: u32, field: usize) -> Value<'static> {
        match self.fields[field].fact {
            Some(fact) => self.population.fact(number, fact),
            None => self.fields[field].default.clone(),
        }
    }

    fn dates(&self, index: DateIndex) -> &Dates {
        match index {
            DateIndex::Created => &self.created,
            DateIndex::Modified => &self.modified,
        }
    }

    fn generated_place(&self, index: DateIndex, number: u32) -> Place {
        (self.date(Record::Generated(number), index), self.population.id(number))
    }

    fn generated_in_window(&self, index: DateIndex, from: Bound<Place>, to: Bound<Place>) -> &[u32] {
        let numbers = self.dates(index).generated.get_or_init(|| {
            // Ids ascend with the numbers, so that a number breaks a tie as its id does.
            let mut keyed: Vec<(i64, u32)> = (0..self.population.count)
                .map(|number| (self.date(Record::Generated(number), index), number))
                .collect();
            keyed.sort_unstable();
            keyed.into_iter().map(|(_, number)| number).collect()
        });
        let start = match from {
            Bound::Unbounded => 0,
            Bound::Included(place) => numbers.partition_point(|number| self.generated_place(index, *number) < place),
            Bound::Excluded(place) => numbers.partition_point(|number| self.generated_place(index, *number) <= place),
        };
        let end = match to {
            Bound::Unbounded => numbers.len(),
            Bound::Included(place) => numbers.partition_point(|number| self.generated_place(index, *number) <= place),
            Bound::Excluded(place) => numbers.partition_point(|number| self.generated_place(index, *number) < place),
        };
        &numbers[start..end.max(start)]
    }

    pub(super) fn is_touched(&self, number: u32) -> bool {
        let (word, bit) = bit_of(number);
        self.touched.get(word).is_none_or(|bits| bits >> bit & 1 == 1)
    }
}

/// The word and the bit in it that speak for a generated record.
pub(super) fn bit_of(number: u32) -> (usize, u32) {
    (usize::try_from(number / 64).unwrap_or(usize::MAX), number % 64)
}
