//! One object's records: generated ones that are never stored, and the overlay of those that were written.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    generate::Generator,
    id::Id,
    rules::Rules,
    schema::{Field, Kind, Object, Source},
    value::Value,
};
use crate::data::{By, Fact};

/// An object with its records.
#[derive(Debug)]
pub(crate) struct Table {
    /// What it is.
    pub(crate) object: Object,
    /// What its writes must keep.
    pub(super) rules: Rules,
    generator: Generator,
    rows: BTreeMap<u32, Arc<Row>>,
    next: u32,
    /// Generated records of which the overlay speaks, and records of the overlay that are live.
    overlaid: usize,
    live_rows: usize,
    /// Numbers of live written records by value, for every field that is unique or an external id.
    indexes: HashMap<usize, HashMap<String, Vec<u32>>>,
    /// When each record that is not live was deleted.
    deleted: BTreeMap<u32, i64>,
    /// When each record that was restored was deleted before.
    restored: BTreeMap<u32, i64>,
}

/// A written record.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// When it was created, seconds since 1970.
    pub(super) created: i64,
    /// When it was last changed, seconds since 1970.
    pub(super) modified: i64,
    /// By whom.
    pub(super) by: By,
    /// Whether it is there.
    pub(super) state: RowState,
    /// The record that it was merged into.
    pub(super) master: Option<u32>,
    /// Values by field, in the order of fields; the others are the generated record's, or the field's default.
    pub(super) values: Vec<(usize, Value)>,
}

/// Whether a record is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowState {
    /// It is.
    Live,
    /// It is in the recycle bin since then.
    Deleted(i64),
    /// It is not even there: purged, or deleted for good.
    Gone,
}

/// A record as a query sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Record<'a> {
    /// The generated record of this number, never changed.
    Generated(u32),
    /// A written one.
    Written(u32, &'a Row),
}

impl Record<'_> {
    /// Its number.
    pub(super) fn number(self) -> u32 {
        match self {
            Self::Generated(number) | Self::Written(number, _) => number,
        }
    }

    /// Whether it is there.
    pub(super) fn state(self) -> RowState {
        match self {
            Self::Generated(_) => RowState::Live,
            Self::Written(_, row) => row.state,
        }
    }
}

impl Row {
    /// A new record without values.
    pub(super) fn new(now: i64) -> Self {
        Self { created: now, modified: now, by: By::Admin, state: RowState::Live, master: None, values: Vec::new() }
    }

    /// Sets a value.
    pub(super) fn set(&mut self, field: usize, value: Value) {
        match self.values.binary_search_by_key(&field, |(field, _)| *field) {
            Ok(place) => self.values[place].1 = value,
            Err(place) => self.values.insert(place, (field, value)),
        }
    }

    fn get(&self, field: usize) -> Option<&Value> {
        let place = self.values.binary_search_by_key(&field, |(field, _)| *field).ok()?;
        Some(&self.values[place].1)
    }
}

impl Table {
    /// A table with these generated records.
    pub(super) fn new(object: Object, generator: Generator) -> Self {
        Self {
            object,
            rules: Rules::default(),
            next: generator.count(),
            generator,
            rows: BTreeMap::new(),
            overlaid: 0,
            live_rows: 0,
            indexes: HashMap::new(),
            deleted: BTreeMap::new(),
            restored: BTreeMap::new(),
        }
    }

    /// The id of the record with this number.
    pub(super) fn id(&self, number: u32) -> Id {
        Id::new(self.object.prefix, number)
    }

    /// The number in an id of this object.
    pub(super) fn number(&self, id: Id) -> Option<u32> {
        if id.prefix() == self.object.prefix { id.number() } else { None }
    }

    /// How many records are live.
    pub(super) fn len(&self) -> usize {
        usize::try_from(self.generator.count()).unwrap_or(usize::MAX) - self.overlaid + self.live_rows
    }

    /// How many records the overlay holds.
    pub(super) fn written_count(&self) -> usize {
        self.rows.len()
    }

    /// The generator of its records.
    pub(super) fn generator(&self) -> &Generator {
        &self.generator
    }

    /// The number that the next new record gets.
    pub(super) fn next(&self) -> u32 {
        self.next
    }

    /// A record that is live or in the bin.
    pub(super) fn get(&self, number: u32) -> Option<Record<'_>> {
        match self.rows.get(&number) {
            Some(row) if row.state == RowState::Gone => None,
            Some(row) => Some(Record::Written(number, row)),
            None => (number < self.generator.count()).then_some(Record::Generated(number)),
        }
    }

    /// The record of another table that a record refers to, if it is one of that table.
    pub(super) fn referred<'a>(&self, record: Record<'_>, reference: usize, to: &'a Self) -> Option<Record<'a>> {
        let id = Id::parse(self.value(record, reference).as_text()?)?;
        to.get(to.number(id)?)
    }

    /// A written record, to keep as it is now.
    pub(super) fn row(&self, number: u32) -> Option<&Arc<Row>> {
        self.rows.get(&number)
    }

    /// A record that is live.
    pub(super) fn live(&self, number: u32) -> Option<Record<'_>> {
        self.get(number).filter(|record| record.state() == RowState::Live)
    }

    /// All records in the order of their ids; with those in the bin if asked for.
    pub(super) fn records(&self, with_deleted: bool) -> impl Iterator<Item = Record<'_>> {
        let count = self.generator.count();
        let mut overlay = self.rows.range(..count).peekable();
        let generated = (0..count).map(move |number| match overlay.next_if(|(at, _)| **at == number) {
            Some((_, row)) => Record::Written(number, row),
            None => Record::Generated(number),
        });
        let written = self.rows.range(count..).map(|(number, row)| Record::Written(*number, row));
        generated.chain(written).filter(move |record| match record.state() {
            RowState::Live => true,
            RowState::Deleted(_) => with_deleted,
            RowState::Gone => false,
        })
    }

    /// What a record holds in a field.
    pub(super) fn value<'a>(&'a self, record: Record<'a>, index: usize) -> Cow<'a, Value> {
        let field = &self.object.fields[index];
        match (&field.source, record) {
            (Source::Id, _) => Cow::Owned(Value::text(self.id(record.number()).as_str())),
            (Source::User, _) => Cow::Owned(user(By::Wire)),
            (Source::ModifiedBy, Record::Written(_, row)) => Cow::Owned(user(row.by)),
            (Source::ModifiedBy, Record::Generated(_)) => Cow::Owned(user(By::Admin)),
            (Source::IsDeleted, _) => Cow::Owned(Value::Boolean(record.state() != RowState::Live)),
            (Source::Created, Record::Written(_, row)) => Cow::Owned(Value::Instant(row.created)),
            (Source::Modified, Record::Written(_, row)) => Cow::Owned(Value::Instant(row.modified)),
            (Source::Master, Record::Written(_, row)) => {
                Cow::Owned(row.master.map_or(Value::Null, |master| Value::text(self.id(master).as_str())))
            }
            (Source::Master | Source::Compound, _) => Cow::Owned(Value::Null),
            (Source::FullName, Record::Written(..)) => Cow::Owned(self.full_name(record)),
            (_, Record::Written(number, row)) => match row.get(index) {
                Some(value) => Cow::Borrowed(value),
                None if number < self.generator.count() => self.generated(number, field),
                None => default(field),
            },
            (_, Record::Generated(number)) => self.generated(number, field),
        }
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
        match record {
            Record::Generated(number) => self.generator.modified(number),
            Record::Written(_, row) => row.modified,
        }
    }

    /// Live records with this value in a field that is unique or an external id.
    pub(super) fn find(&self, field: usize, value: &Value) -> Vec<u32> {
        let mut found = Vec::new();
        if let (Source::Numbered(prefix), Some(text)) = (&self.object.fields[field].source, value.as_text())
            && let Some(digits) = text.get(..prefix.len()).filter(|head| head.eq_ignore_ascii_case(prefix))
            && let Ok(number) = text[digits.len()..].parse()
            && number < self.generator.count()
            && !self.rows.contains_key(&number)
        {
            found.push(number);
        }
        let key = key_of(&self.object.fields[field], value);
        if let Some(numbers) = key.and_then(|key| self.indexes.get(&field)?.get(&key)) {
            found.extend(numbers);
        }
        found
    }

    /// The row that a change of a record begins with: the written one, or an empty one over the generated one.
    pub(super) fn row_to_change(&self, number: u32) -> Option<Row> {
        match self.get(number)? {
            Record::Written(_, row) => Some(row.clone()),
            Record::Generated(_) => Some(Row {
                created: self.generator.created(number),
                modified: self.generator.modified(number),
                ..Row::new(0)
            }),
        }
    }

    /// Puts a row in the place of what was there.
    pub(super) fn put(&mut self, number: u32, row: Row) {
        self.replace(number, Some(Arc::new(row)));
    }

    /// Puts a row, or none, in the place of what was there, as it was at some time before.
    pub(super) fn replace(&mut self, number: u32, new: Option<Arc<Row>>) {
        let fields: Vec<usize> = self.indexes.keys().copied().collect();
        let old = self.rows.get(&number).cloned();
        for field in &fields {
            self.reindex(*field, number, old.as_deref(), false);
        }
        let is_live = |row: &Option<Arc<Row>>| row.as_ref().is_some_and(|row| row.state == RowState::Live);
        self.live_rows = self.live_rows + usize::from(is_live(&new)) - usize::from(is_live(&old));
        if number < self.generator.count() {
            self.overlaid = self.overlaid + usize::from(new.is_some()) - usize::from(old.is_some());
        }
        match new.as_ref().map(|row| row.state) {
            Some(RowState::Deleted(at)) => {
                self.deleted.insert(number, at);
            }
            Some(RowState::Gone) => {}
            Some(RowState::Live) | None => {
                self.restored.extend(self.deleted.remove_entry(&number));
            }
        }
        match &new {
            Some(row) => {
                self.next = self.next.max(number.saturating_add(1));
                self.rows.insert(number, row.clone());
            }
            None => {
                self.rows.remove(&number);
            }
        }
        for field in &fields {
            self.reindex(*field, number, new.as_deref(), true);
        }
    }

    /// Deletes a record for good: it leaves no more than its entry in the delete log.
    pub(super) fn erase(&mut self, number: u32, now: i64) {
        let Some(mut row) = self.row_to_change(number) else {
            return;
        };
        row.state = RowState::Gone;
        row.values = Vec::new();
        self.put(number, row);
        self.deleted.entry(number).or_insert(now);
    }

    /// The delete log: record and time of each record that is not live, in the order of records.
    pub(super) fn deletions(&self) -> impl Iterator<Item = (u32, i64)> {
        self.deleted.iter().map(|(number, at)| (*number, *at))
    }

    /// The earlier deletions of records that were restored.
    pub(super) fn restored(&self) -> impl Iterator<Item = (u32, i64)> {
        self.restored.iter().map(|(number, at)| (*number, *at))
    }

    /// Records in the bin.
    pub(super) fn bin(&self) -> Vec<(u32, i64)> {
        let in_bin = |(number, at): (u32, i64)| self.get(number).map(|_| (number, at));
        self.deletions().filter_map(in_bin).collect()
    }

    /// Empties the table: no generated records, no bin, no delete log.
    pub(super) fn clear(&mut self) {
        self.generator.clear();
        self.rows.clear();
        self.deleted.clear();
        self.restored.clear();
        (self.overlaid, self.live_rows) = (0, 0);
        self.indexes.values_mut().for_each(HashMap::clear);
    }

    /// Adds a field, and an index of it if it is unique or an external id.
    pub(super) fn add_field(&mut self, field: Field) {
        let is_indexed = field.unique || field.external_id;
        let index = self.object.add(field);
        self.indexes.remove(&index);
        if is_indexed {
            self.indexes.insert(index, HashMap::new());
            let numbers: Vec<u32> = self.rows.keys().copied().collect();
            for number in numbers {
                let row = self.rows.get(&number).cloned();
                self.reindex(index, number, row.as_deref(), true);
            }
        }
    }

    fn reindex(&mut self, field: usize, number: u32, row: Option<&Row>, is_there: bool) {
        let Some(row) = row.filter(|row| row.state == RowState::Live) else {
            return;
        };
        let value = self.value(Record::Written(number, row), field);
        let Some(key) = key_of(&self.object.fields[field], &value) else {
            return;
        };
        drop(value);
        let Some(index) = self.indexes.get_mut(&field) else {
            return;
        };
        if is_there {
            index.entry(key).or_default().push(number);
        } else if let Some(numbers) = index.get_mut(&key) {
            numbers.retain(|other| *other != number);
            if numbers.is_empty() {
                index.remove(&key);
            }
        }
    }

    fn generated<'a>(&'a self, number: u32, field: &'a Field) -> Cow<'a, Value> {
        match &field.source {
            Source::Stored(value) => Cow::Borrowed(value),
            source => Cow::Owned(self.generator.value(number, source)),
        }
    }

    fn full_name(&self, record: Record<'_>) -> Value {
        let part = |name| self.object.field(name).map(|field| self.value(record, field));
        match (part("FirstName").as_deref(), part("LastName").as_deref()) {
            (Some(Value::Text(first)), Some(Value::Text(last))) => Value::text(format!("{first} {last}")),
            (Some(Value::Text(one)), _) | (_, Some(Value::Text(one))) => Value::text(one.as_ref()),
            _ => Value::Null,
        }
    }
}

/// Who that is: clients log in as one user, and the admin API stands for another.
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

/// A value as unique fields compare it.
fn key_of(field: &Field, value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Text(text) if field.case_sensitive => Some(text.to_string()),
        Value::Text(text) => Some(text.to_lowercase()),
        other => {
            let mut out = Vec::new();
            other.write_csv(&mut out);
            Some(String::from_utf8_lossy(&out).into_owned())
        }
    }
}
