//! The records of one table, whatever CRM it is of: generated ones that are never stored, and the overlay of those that were
//! written. What their fields are is the table's own; here they have numbers.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::{Arc, OnceLock},
};

use super::{
    generate::Population,
    index::{Index, hash_of},
    store::By,
    value::Value,
    walk::{Place, Walk, forward, is_range, merged},
};
use crate::guid::Guid;

/// What the records must know of their fields, to keep indexes over them.
pub(crate) trait Describe {
    /// Appends the bytes by which an index compares what a record holds in a field. False for null.
    fn write_key(&self, records: &Records, record: Record<'_>, field: usize, key: &mut Vec<u8>) -> bool;
}

/// The records of a table.
#[derive(Debug)]
pub(crate) struct Records {
    pub(super) population: Population,
    /// Bit `i` is set if generated record `i` was changed or deleted: the overlay then speaks for it.
    pub(super) touched: Vec<u64>,
    /// How many bits are set.
    pub(super) touched_count: usize,
    /// Written records; shared with readers that keep them as they were.
    pub(super) rows: BTreeMap<Guid, Arc<Row>>,
    /// Written records by their version.
    pub(super) versions: BTreeMap<u64, Guid>,
    /// What was deleted, by the version of its deletion.
    pub(super) deleted: BTreeMap<u64, Deleted>,
    /// The deletions of records that are still gone, by their ids.
    pub(super) buried: BTreeMap<Guid, u64>,
    pub(super) indexes: Vec<Index>,
    pub(super) created: Dates,
    pub(super) modified: Dates,
}

/// A record that was deleted.
#[derive(Debug, Clone)]
pub(crate) struct Deleted {
    /// Its id.
    pub(crate) id: Guid,
    /// When, seconds since 1970.
    pub(crate) at: i64,
    /// What it was, as long as there is a recycle bin.
    pub(crate) row: Option<Arc<Row>>,
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
    /// Who changed it last.
    pub(crate) by: By,
    /// Its row version; larger after every change.
    pub(crate) version: u64,
    /// When it was deleted, for a record in the recycle bin.
    pub(crate) deleted_at: Option<i64>,
    /// The record that it was merged into.
    pub(crate) master: Option<Guid>,
    /// The generated record that it began as.
    pub(crate) generated: Option<u32>,
    /// Values that were written, by field; the others are the generated record's, or the field's default.
    pub(crate) values: BTreeMap<usize, Value<'static>>,
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

impl Records {
    /// These generated records, and none written.
    pub(crate) fn new(population: Population) -> Self {
        let words = usize::try_from(population.count.div_ceil(64)).unwrap_or(0);
        Self {
            population,
            touched: vec![0; words],
            touched_count: 0,
            rows: BTreeMap::new(),
            versions: BTreeMap::new(),
            deleted: BTreeMap::new(),
            buried: BTreeMap::new(),
            indexes: Vec::new(),
            created: Dates::default(),
            modified: Dates::default(),
        }
    }

    /// How many records there are.
    pub(crate) fn len(&self) -> usize {
        let generated = usize::try_from(self.population.count).unwrap_or(usize::MAX);
        generated - self.touched_count + self.rows.len()
    }

    /// The generated records, changed or not.
    pub(crate) fn population(&self) -> &Population {
        &self.population
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

    /// A written record, to keep as it is now; also one in the recycle bin.
    pub(crate) fn row(&self, id: Guid) -> Option<&Arc<Row>> {
        self.rows.get(&id).or_else(|| self.binned(id))
    }

    /// A record in the recycle bin.
    pub(crate) fn binned(&self, id: Guid) -> Option<&Arc<Row>> {
        self.deleted.get(self.buried.get(&id)?)?.row.as_ref()
    }

    /// Whether a record was deleted and has not come back.
    pub(crate) fn is_buried(&self, id: Guid) -> bool {
        self.buried.contains_key(&id)
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

    /// The bytes of a record's values in these fields; none if one of them is null.
    pub(super) fn key_bytes(&self, describe: &impl Describe, fields: &[usize], record: Record<'_>) -> Option<Vec<u8>> {
        let mut key = Vec::with_capacity(24 * fields.len());
        fields.iter().all(|field| describe.write_key(self, record, *field, &mut key)).then_some(key)
    }

    /// Ids of the written records with these bytes in the fields of an index.
    pub(crate) fn written_with<'a>(&'a self, index: usize, key: &'a [u8]) -> impl Iterator<Item = Guid> + 'a {
        self.indexes[index].written_with(key)
    }

    /// Ids of the generated records, none of them changed, with these bytes in the fields of an index.
    pub(crate) fn generated_with<'a>(
        &'a self,
        describe: &'a impl Describe,
        index: usize,
        key: &'a [u8],
    ) -> impl Iterator<Item = Guid> + 'a {
        let index = &self.indexes[index];
        index.generated.get_or_init(|| {
            let hash = |number| {
                let key = self.key_bytes(describe, &index.fields, Record::Generated(number))?;
                Some((hash_of(&key), number))
            };
            let mut hashes: Vec<_> = (0..self.population.count).filter_map(hash).collect();
            hashes.sort_unstable();
            hashes
        });
        let numbers = index.generated_with(hash_of(key)).filter(|number| !self.is_touched(*number));
        let found = numbers.filter(move |number| {
            self.key_bytes(describe, &index.fields, Record::Generated(*number)).as_deref() == Some(key)
        });
        found.map(|number| self.population.id(number))
    }

    /// The index over these fields, if there is one.
    pub(crate) fn index_of(&self, fields: &[usize]) -> Option<usize> {
        self.indexes.iter().position(|index| index.fields == fields)
    }

    /// The fields of an index.
    pub(crate) fn indexed(&self, index: usize) -> &[usize] {
        &self.indexes[index].fields
    }

    /// The index over these fields in this order, made if there is none.
    pub(crate) fn index_over(&mut self, describe: &impl Describe, fields: &[usize]) -> usize {
        if let Some(place) = self.index_of(fields) {
            return place;
        }
        let mut index = Index::new(fields.to_vec());
        for (id, row) in &self.rows {
            if let Some(key) = self.key_bytes(describe, fields, Record::Written(row)) {
                index.written.insert((key.into(), *id));
            }
        }
        self.indexes.push(index);
        self.indexes.len() - 1
    }

    /// Makes the index over these fields again, after what it compares by has changed.
    pub(crate) fn index_again(&mut self, describe: &impl Describe, fields: &[usize]) {
        self.indexes.retain(|index| index.fields != fields);
        self.index_over(describe, fields);
    }

    /// Records written after a version, oldest first.
    pub(crate) fn written_since(&self, version: u64) -> impl Iterator<Item = Record<'_>> {
        let newer = self.versions.range((Bound::Excluded(version), Bound::Unbounded));
        newer.filter_map(|(_, id)| self.rows.get(id)).map(|row| Record::Written(row))
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

    /// All records in the order of their ids, those in the recycle bin among them.
    pub(crate) fn with_bin(&self) -> impl Iterator<Item = Record<'_>> {
        let generated = (0..self.population.count).filter(|number| !self.is_touched(*number));
        let generated = generated.map(|number| ((0, self.population.id(number)), Record::Generated(number)));
        let written = self.rows.iter().map(|(id, row)| ((0, *id), Record::Written(row)));
        let binned = self.buried.iter().filter_map(|(id, version)| {
            let row = self.deleted.get(version)?.row.as_ref()?;
            Some(((0, *id), Record::Written(row)))
        });
        forward(generated, forward(written, binned)).map(|(_, record)| record)
    }

    /// Deletions of records that are still gone, in the order of their ids.
    pub(crate) fn deletions(&self) -> impl Iterator<Item = &Deleted> {
        self.buried.values().filter_map(|version| self.deleted.get(version))
    }

    /// Deletions of records that came back since, oldest first.
    pub(crate) fn undone_deletions(&self) -> impl Iterator<Item = &Deleted> {
        let undone = |(version, deleted): &(&u64, &Deleted)| self.buried.get(&deleted.id) != Some(*version);
        self.deleted.iter().filter(undone).map(|(_, deleted)| deleted)
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
