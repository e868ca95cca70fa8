//! What a search needs of a table, read into memory once: many keys are found there faster than by a search of SQLite for
//! each.
//!
//! A key is kept as bytes that are equal where SQLite takes values for equal, by the affinity and the collation of their
//! column. What SQLite alone can tell (which number it makes of a text) is not gathered.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, Schema};
use engine::failure::Failure;
use engine::outside::database::{Collation, Gathered, Lookup, Matches};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use super::affinity::Affinity;
use super::cell::{Cell, Values};
use super::column::{Column, unreadable};
use super::describe::{self, Described, described};
use super::error::failed;
use super::sql::{each, main_table, quoted};

/// Up to how many rows of the table are read for each key: to read a row takes a third of the time of a search.
const ROWS_A_KEY_MAX: u64 = 2;
/// Arrow counts the bytes of a column of text in 32 bits.
const BYTES_MAX: usize = i32::MAX as usize;
/// What a key takes besides its bytes, and what a value takes besides its text, at most.
const KEY_BYTES: usize = 40;
const VALUE_BYTES: usize = 17;
/// What a value takes that cannot be read, with the message that says so.
const UNREADABLE_BYTES: usize = 512;

pub(super) fn gather(
    connection: &Connection,
    lookup: &Lookup,
    keys: u64,
    bytes: usize,
) -> Result<Option<Box<dyn Gathered>>, Failure> {
    let described = described(connection, &lookup.table)?;
    let columns = lookup.columns.iter().map(|name| described.column(name)).collect::<Result<Vec<_>, _>>()?;
    let key_columns = lookup.keys.iter().map(|key| described.column(key)).collect::<Result<Vec<_>, _>>()?;
    if key_columns.is_empty() || !key_columns.iter().all(|column| is_plain(column)) {
        return Ok(None);
    }
    if !has_at_most(connection, &described, keys.saturating_mul(ROWS_A_KEY_MAX))? {
        return Ok(None);
    }
    let names: Vec<String> = key_columns.iter().map(|column| column.name.clone()).collect();
    let collations = described.table.collations.of(&names);
    let parts = key_columns.iter().zip(collations).map(|(column, collation)| Part::new(column, collation)).collect();
    let builders =
        columns.iter().map(|column| Column::new(&column.arrow, &lookup.zone)).collect::<Result<Vec<_>, _>>()?;
    let mut reading = Reading {
        table: &described.table.name,
        columns: &columns,
        builders,
        places: Places::default(),
        several: Vec::new(),
        unreadable: HashMap::new(),
        bytes: 0,
        bytes_max: bytes.min(BYTES_MAX),
    };
    let whole = reading.read(connection, parts)?;
    whole.map(|parts| reading.finish(lookup, parts)).transpose()
}

/// Whether keys are compared with this column as they are bound.
fn is_plain(column: &describe::Column) -> bool {
    match column.arrow {
        DataType::Utf8 => !column.affinity.makes_numbers(),
        DataType::Boolean | DataType::Int64 | DataType::Float64 => true,
        DataType::Date32 | DataType::Timestamp(..) | DataType::Time64(_) => true,
        _ => false,
    }
}

fn has_at_most(connection: &Connection, described: &Described, rows: u64) -> Result<bool, Failure> {
    let rows = i64::try_from(rows).unwrap_or(i64::MAX - 1);
    let query =
        format!("SELECT count(*) <= ?1 FROM (SELECT 1 FROM {} LIMIT ?1 + 1)", main_table(&described.table.name));
    let counted = connection.prepare_cached(&query).and_then(|mut query| query.query_row([rows], |row| row.get(0)));
    counted.map_err(|e| failed(&format!("cannot count the rows of table {}", described.table.name), e))
}

/// A column of the key.
struct Part {
    name: String,
    affinity: Affinity,
    arrow: DataType,
    collation: Collation,
}

impl Part {
    fn new(column: &describe::Column, collation: Collation) -> Self {
        let (name, arrow) = (column.name.clone(), column.arrow.clone());
        Self { name, affinity: column.affinity, arrow, collation }
    }

    /// Adds a value of the table to a key; `false` if no key equals it.
    fn add_stored(&self, value: ValueRef<'_>, key: &mut Vec<u8>) -> bool {
        match value {
            ValueRef::Integer(int) => add_int(int, key),
            ValueRef::Real(real) => add_real(real, key),
            ValueRef::Text(text) => match std::str::from_utf8(text) {
                Ok(text) => add_text(text, self.collation, key),
                Err(_) => return false,
            },
            ValueRef::Null | ValueRef::Blob(_) => return false,
        }
        true
    }

    /// Adds what is searched to a key; `false` if it finds nothing.
    fn add_sought(&self, cell: &Cell<'_>, key: &mut Vec<u8>) -> bool {
        match cell {
            Cell::Null => return false,
            // As SQLite makes a text of it.
            Cell::Int(int) if self.affinity == Affinity::Text => add_text(&int.to_string(), self.collation, key),
            Cell::Int(int) => add_int(*int, key),
            Cell::Real(real) => add_real(*real, key),
            Cell::Text(text) => add_text(text, self.collation, key),
        }
        true
    }
}

const INT: u8 = 1;
const REAL: u8 = 2;
const TEXT: u8 = 3;

fn add_int(int: i64, key: &mut Vec<u8>) {
    key.push(INT);
    key.extend_from_slice(&int.to_le_bytes());
}

/// A whole number is equal to the same one as an integer.
fn add_real(real: f64, key: &mut Vec<u8>) {
    const TWO_63: f64 = 9_223_372_036_854_775_808.0;
    if real.fract() == 0.0 && (-TWO_63..TWO_63).contains(&real) {
        #[expect(clippy::cast_possible_truncation, reason = "it is whole, and within the range")]
        return add_int(real as i64, key);
    }
    key.push(REAL);
    key.extend_from_slice(&real.to_le_bytes());
}

fn add_text(text: &str, collation: Collation, key: &mut Vec<u8>) {
    key.push(TEXT);
    let begin = key.len();
    let folded = collation.fold(text);
    match folded.bytes().position(|byte| byte == 0) {
        // SQLite's NOCASE compares up to there, then only lengths.
        Some(end) if collation == Collation::NoCase => {
            key.extend_from_slice(&folded.as_bytes()[..end]);
            key.resize(begin + folded.len(), 0);
        }
        _ => key.extend_from_slice(folded.as_bytes()),
    }
    // So that the next column's value begins at the same place in equal keys only.
    key.extend_from_slice(&(key.len() - begin).to_le_bytes());
}

/// Different keys, each with its place.
#[derive(Default)]
struct Places {
    bytes: Vec<u8>,
    /// Where the bytes of each end.
    ends: Vec<u32>,
    slots: HashTable<Slot>,
    hasher: RandomState,
}

#[derive(Clone, Copy)]
struct Slot {
    hash: u32,
    place: u32,
}

impl Slot {
    /// What the table is ordered by.
    fn spread(hash: u32) -> u64 {
        u64::from(hash).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }
}

impl Places {
    #[expect(clippy::cast_possible_truncation, reason = "half of a hash is one")]
    fn hash(&self, key: &[u8]) -> u32 {
        self.hasher.hash_one(key) as u32
    }

    fn key<'a>(bytes: &'a [u8], ends: &[u32], place: u32) -> Option<&'a [u8]> {
        let place = place as usize;
        let begin = place.checked_sub(1).map_or(Some(0), |before| ends.get(before).copied())?;
        bytes.get(begin as usize..*ends.get(place)? as usize)
    }

    fn find(&self, key: &[u8]) -> Option<usize> {
        let hash = self.hash(key);
        let same = |slot: &Slot| slot.hash == hash && Self::key(&self.bytes, &self.ends, slot.place) == Some(key);
        self.slots.find(Slot::spread(hash), same).map(|slot| slot.place as usize)
    }

    /// The place of a key that is there already; a new one has the next place.
    fn insert(&mut self, key: &[u8]) -> Option<usize> {
        let hash = self.hash(key);
        let Self { bytes, ends, slots, .. } = self;
        let same = |slot: &Slot| slot.hash == hash && Self::key(bytes, ends, slot.place) == Some(key);
        match slots.entry(Slot::spread(hash), same, |slot| Slot::spread(slot.hash)) {
            Entry::Occupied(slot) => Some(slot.get().place as usize),
            Entry::Vacant(slot) => {
                // Both are far below the limit on bytes.
                let place = u32::try_from(ends.len()).unwrap_or(u32::MAX);
                slot.insert(Slot { hash, place });
                bytes.extend_from_slice(key);
                ends.push(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
                None
            }
        }
    }
}

/// A table that is being read.
struct Reading<'a> {
    table: &'a str,
    columns: &'a [&'a describe::Column],
    builders: Vec<Column>,
    places: Places,
    /// Whether more than one row has the key.
    several: Vec<bool>,
    unreadable: HashMap<usize, Failure>,
    bytes: usize,
    bytes_max: usize,
}

impl Reading<'_> {
    /// Reads all of it; `None` if that takes too much memory.
    fn read(&mut self, connection: &Connection, parts: Vec<Part>) -> Result<Option<Vec<Part>>, Failure> {
        let table = self.table;
        let failed = |e| failed(&format!("cannot read table {table}"), e);
        let names = parts.iter().map(|part| &part.name).chain(self.columns.iter().map(|column| &column.name));
        let selected = each(names, ", ", |name| format!("t.{}", quoted(name)));
        let query = format!("SELECT {selected} FROM {} AS t", main_table(self.table));
        let mut statement = connection.prepare_cached(&query).map_err(failed)?;
        let mut rows = statement.raw_query();
        let mut key = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            key.clear();
            let mut is_found = true;
            for (number, part) in parts.iter().enumerate() {
                is_found = is_found && part.add_stored(row.get_ref(number).map_err(failed)?, &mut key);
            }
            if !is_found {
                continue;
            }
            match self.places.insert(&key) {
                Some(place) => self.several[place] = true,
                None => {
                    self.several.push(false);
                    self.bytes += key.len() + KEY_BYTES;
                    self.add(row, parts.len())?;
                }
            }
            if self.bytes > self.bytes_max {
                return Ok(None);
            }
        }
        Ok(Some(parts))
    }

    /// Adds the values of a row, which stand from `first` on.
    fn add(&mut self, row: &Row<'_>, first: usize) -> Result<(), Failure> {
        let place = self.several.len() - 1;
        for (number, builder) in self.builders.iter_mut().enumerate() {
            let value = row.get_ref(first + number);
            let value = value.map_err(|e| failed(&format!("cannot read table {}", self.table), e))?;
            if builder.push(value).is_none() {
                builder.push_null();
                let column = self.columns[number];
                self.bytes += UNREADABLE_BYTES;
                self.unreadable
                    .entry(place)
                    .or_insert_with(|| unreadable(self.table, &column.name, &column.arrow, value, None));
            }
            self.bytes += VALUE_BYTES + if let ValueRef::Text(text) = value { text.len() } else { 0 };
        }
        Ok(())
    }

    fn finish(self, lookup: &Lookup, parts: Vec<Part>) -> Result<Box<dyn Gathered>, Failure> {
        let fields = lookup.columns.iter().zip(self.columns);
        let fields = fields.map(|(name, column)| Field::new(name, column.arrow.clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let arrays = self.builders.into_iter().map(Column::finish).collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.several.len()));
        let rows = RecordBatch::try_new_with_options(schema, arrays, &options).map_err(wrong)?;
        let Self { places, several, unreadable, bytes, .. } = self;
        Ok(Box::new(InMemory { parts, places, several, rows, unreadable, bytes }))
    }
}

/// What was read.
struct InMemory {
    parts: Vec<Part>,
    places: Places,
    several: Vec<bool>,
    /// Of each place, the values of the first row that has the key.
    rows: RecordBatch,
    /// Places of rows with a value that is not what its column is declared as.
    unreadable: HashMap<usize, Failure>,
    bytes: usize,
}

impl Gathered for InMemory {
    fn find(&self, keys: &RecordBatch) -> Result<Matches, Failure> {
        if self.parts.len() != keys.num_columns() {
            return Err(Failure::internal("a search was given another number of columns of keys"));
        }
        let mut values = Vec::with_capacity(self.parts.len());
        for (part, array) in self.parts.iter().zip(keys.columns()) {
            if *array.data_type() != part.arrow && part.arrow != DataType::Utf8 {
                let message = format!("a key of {} for column {} of {}", array.data_type(), part.name, part.arrow);
                return Err(Failure::internal(message));
            }
            values.push((part, Values::new(&part.name, array, part.affinity)?));
        }
        let mut found = Vec::with_capacity(keys.num_rows());
        let mut places = Vec::with_capacity(keys.num_rows());
        let mut key = Vec::new();
        for row in 0..keys.num_rows() {
            key.clear();
            // What cannot be written to the column is not there.
            let is_key =
                values.iter().all(|(part, values)| values.cell(row).is_ok_and(|cell| part.add_sought(&cell, &mut key)));
            let place = is_key.then(|| self.places.find(&key)).flatten();
            let is_several = place.is_some_and(|place| self.several[place]);
            found.push(u8::from(place.is_some()) + u8::from(is_several));
            let place = place.filter(|_| !is_several);
            if let Some(failure) = place.and_then(|place| self.unreadable.get(&place)) {
                return Err(failure.clone());
            }
            places.push(place.and_then(|place| u32::try_from(place).ok()));
        }
        let rows = match self.rows.num_columns() {
            0 => {
                let options = RecordBatchOptions::new().with_row_count(Some(keys.num_rows()));
                RecordBatch::try_new_with_options(self.rows.schema(), Vec::new(), &options)
            }
            _ => take_record_batch(&self.rows, &UInt32Array::from(places)),
        };
        Ok(Matches { rows: rows.map_err(wrong)?, found })
    }

    fn bytes(&self) -> usize {
        self.bytes
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in map_err")]
fn wrong(error: arrow::error::ArrowError) -> Failure {
    Failure::internal(error.to_string())
}
