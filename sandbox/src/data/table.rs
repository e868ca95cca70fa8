//! One table: generated records that are never stored, and the overlay of records that were written.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Bound,
    sync::OnceLock,
};

use super::{
    generate::{Fact, Population, full_name},
    schema::{self, Field, Key},
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
    by_name: HashMap<String, usize>,
    population: Population,
    /// Bit `i` is set if generated record `i` was changed or deleted: the overlay then speaks for it.
    touched: Vec<u64>,
    rows: BTreeMap<Guid, Row>,
    deleted_generated: usize,
    created: Dates,
    modified: Dates,
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
    generated: Option<u32>,
    /// Values that were written, by field; the others are the generated record's, or the field's default.
    values: BTreeMap<usize, Value<'static>>,
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
struct Dates {
    /// Numbers of all generated records in order; made at the first walk. Four bytes a record.
    generated: OnceLock<Vec<u32>>,
    /// Written records.
    rows: BTreeSet<(i64, Guid)>,
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
            by_name,
            population,
            touched: vec![0; words],
            rows: BTreeMap::new(),
            deleted_generated: 0,
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
        let of_generated = usize::try_from(self.population.count).unwrap_or(usize::MAX) - self.deleted_generated;
        let overlaid = self.rows.values().filter(|row| row.generated.is_some()).count();
        of_generated + self.rows.len() - overlaid
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

    /// All records in the order of their ids.
    pub(crate) fn all(&self) -> Walk<'_> {
        self.by_id(Bound::Unbounded, Bound::Unbounded, false)
    }

    /// The records that were written, in the order of their ids.
    pub(crate) fn written(&self) -> impl Iterator<Item = Record<'_>> {
        self.rows.values().map(Record::Written)
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

    /// Writes a record: a new one, or other values of one that exists. What the patch does not name stays.
    pub(crate) fn put(&mut self, id: Guid, patch: BTreeMap<usize, Value<'static>>, stamp: Stamp) {
        let mut row = match self.get(id) {
            Some(Record::Written(row)) => row.clone(),
            Some(Record::Generated(number)) => Row {
                id,
                created_on: self.population.created_on(number),
                modified_on: self.population.modified_on(number),
                version: 0,
                generated: Some(number),
                values: BTreeMap::new(),
            },
            None => Row {
                id,
                created_on: stamp.created_on.unwrap_or(stamp.modified_on),
                modified_on: stamp.modified_on,
                version: 0,
                generated: None,
                values: BTreeMap::new(),
            },
        };
        self.remove_from_indexes(id);
        row.modified_on = stamp.modified_on;
        row.created_on = stamp.created_on.unwrap_or(row.created_on);
        row.version = stamp.version;
        row.values.extend(patch);
        self.derive_full_name(&mut row);
        if let Some(number) = self.population.number_of(id) {
            self.touch(number);
        }
        self.created.rows.insert((row.created_on, id));
        self.modified.rows.insert((row.modified_on, id));
        self.rows.insert(id, row);
    }

    /// Deletes a record. True if there was one.
    pub(crate) fn remove(&mut self, id: Guid) -> bool {
        if self.get(id).is_none() {
            return false;
        }
        self.remove_from_indexes(id);
        let began_generated = self.rows.remove(&id).is_none_or(|row| row.generated.is_some());
        if let Some(number) = self.population.number_of(id)
            && began_generated
        {
            self.touch(number);
            self.deleted_generated += 1;
        }
        true
    }

    /// Deletes all records, generated ones too.
    pub(crate) fn clear(&mut self) {
        self.population.count = 0;
        self.touched.clear();
        self.rows.clear();
        self.deleted_generated = 0;
        self.created = Dates::default();
        self.modified = Dates::default();
    }

    /// The product's own rule: the full name follows the first and the last.
    fn derive_full_name(&self, row: &mut Row) {
        let fields = [Fact::FirstName, Fact::LastName, Fact::FullName].map(|fact| self.field_of(fact));
        let [Some(first), Some(last), Some(full)] = fields else {
            return;
        };
        let record = Record::Written(row);
        let name = full_name(&self.value(record, first), &self.value(record, last));
        row.values.insert(full, name);
    }

    fn generated_value(&self, number: u32, field: usize) -> Value<'static> {
        match self.fields[field].fact {
            Some(fact) => self.population.fact(number, fact),
            None => self.fields[field].default.clone(),
        }
    }

    fn remove_from_indexes(&mut self, id: Guid) {
        if let Some(row) = self.rows.get(&id) {
            self.created.rows.remove(&(row.created_on, id));
            self.modified.rows.remove(&(row.modified_on, id));
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

    fn is_touched(&self, number: u32) -> bool {
        let (word, bit) = bit_of(number);
        self.touched.get(word).is_none_or(|bits| bits >> bit & 1 == 1)
    }

    fn touch(&mut self, number: u32) {
        let (word, bit) = bit_of(number);
        if let Some(bits) = self.touched.get_mut(word) {
            *bits |= 1 << bit;
        }
    }
}

/// What a write leaves on a record besides its values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp {
    /// The time of creation, if it is given and not to stay.
    pub(crate) created_on: Option<i64>,
    /// The time of this change.
    pub(crate) modified_on: i64,
    /// The new row version.
    pub(crate) version: u64,
}

fn bit_of(number: u32) -> (usize, u32) {
    (usize::try_from(number / 64).unwrap_or(usize::MAX), number % 64)
}
