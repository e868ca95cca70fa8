//! Finding rows for other records.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema};
use engine::failure::Failure;
use engine::outside::database::{Lookup, Matches};
use rusqlite::Connection;
use rusqlite::types::{Value, ValueRef};

use super::Session;
use super::cell::{Cell, Values};
use super::column::{Column, unreadable};
use super::describe::{self, Described, described};
use super::error::failed;
use super::sql::{each, quoted};

/// More than one is as good as many.
const FOUND_MAX: u8 = 2;

pub(super) fn lookup(session: &mut Session, lookup: &Lookup, keys: &RecordBatch) -> Result<Matches, Failure> {
    let begun = session.connection.execute_batch("BEGIN").and_then(|()| session.finders.begin(&session.connection));
    begun.map_err(|e| failed("cannot begin to read", e))?;
    let found = find_all(session, lookup, keys);
    // A temporary index made on the way is kept, also where the search failed.
    match session.connection.execute_batch("COMMIT") {
        Ok(()) => session.finders.settle(&session.connection),
        Err(e) => {
            drop(session.connection.execute_batch("ROLLBACK"));
            session.finders.reset(&session.connection).map_err(|e| failed("cannot clean up", e))?;
            return Err(failed("cannot end reading", e));
        }
    }
    found
}

fn find_all(session: &mut Session, lookup: &Lookup, keys: &RecordBatch) -> Result<Matches, Failure> {
    let connection = &session.connection;
    let described = described(connection, &lookup.table)?;
    let key_columns = lookup.keys.iter().map(|key| described.column(key)).collect::<Result<Vec<_>, _>>()?;
    let columns = lookup.columns.iter().map(|name| described.column(name)).collect::<Result<Vec<_>, _>>()?;
    if key_columns.is_empty() || key_columns.len() != keys.num_columns() {
        let (names, given) = (key_columns.len(), keys.num_columns());
        return Err(Failure::internal(format!("a lookup by {names} columns was given {given} columns of keys")));
    }
    let values =
        key_columns.iter().zip(keys.columns()).map(|(column, array)| Values::new(&column.name, array, column.affinity));
    let values = values.collect::<Result<Vec<_>, _>>()?;
    let key_names: Vec<String> = key_columns.iter().map(|column| column.name.clone()).collect();
    let access = session.finders.access(connection, &described, &key_names)?;
    let selected = match columns.is_empty() {
        true => "1".to_owned(),
        false => each(&columns, ", ", |column| format!("t.{}", quoted(&column.name))),
    };
    let query = format!("SELECT {selected} {} LIMIT {FOUND_MAX}", access.rows(&described, &key_names, 1));
    search(connection, &query, &described, &columns, lookup, &values, keys.num_rows())
}

fn search(
    connection: &Connection,
    query: &str,
    described: &Described,
    columns: &[&describe::Column],
    lookup: &Lookup,
    keys: &[Values<'_>],
    rows: usize,
) -> Result<Matches, Failure> {
    let table = &described.table.name;
    let failed = |e| failed(&format!("cannot search table {table}"), e);
    let mut statement = connection.prepare_cached(query).map_err(failed)?;
    let mut builders =
        columns.iter().map(|column| Column::new(&column.arrow, &lookup.zone)).collect::<Result<Vec<_>, _>>()?;
    let mut found = Vec::with_capacity(rows);
    let mut first: Vec<Value> = Vec::new();
    for row in 0..rows {
        let (mut count, mut unread) = (0, None);
        if let Some(cells) = key_cells(keys, row) {
            for (cell, place) in cells.iter().zip(1..) {
                statement.raw_bind_parameter(place, cell).map_err(failed)?;
            }
            let mut matching = statement.raw_query();
            while let Some(row) = matching.next().map_err(failed)? {
                count += 1;
                if count == 1 {
                    first.clear();
                    for (place, column) in columns.iter().enumerate() {
                        let value = row.get_ref(place).map_err(failed)?;
                        first.push(Value::try_from(value).unwrap_or_else(|_| {
                            unread.get_or_insert_with(|| unreadable(table, &column.name, &column.arrow, value, None));
                            Value::Null
                        }));
                    }
                }
            }
        }
        // Of several rows none is returned, so that it does not matter what is in them.
        if let Some(failure) = unread.filter(|_| count == 1) {
            return Err(failure);
        }
        found.push(count);
        for (place, builder) in builders.iter_mut().enumerate() {
            match first.get(place) {
                Some(value) if count == 1 => builder.push(ValueRef::from(value)).ok_or_else(|| {
                    unreadable(table, &columns[place].name, &columns[place].arrow, ValueRef::from(value), None)
                })?,
                _ => builder.push_null(),
            }
        }
    }
    let fields = lookup.columns.iter().zip(columns).map(|(name, column)| Field::new(name, column.arrow.clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let arrays = builders.into_iter().map(Column::finish).collect::<Result<Vec<_>, _>>()?;
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
    let rows = RecordBatch::try_new_with_options(schema, arrays, &options);
    Ok(Matches { rows: rows.map_err(|e| Failure::internal(e.to_string()))?, found })
}

/// `None` where the key cannot match: it is null, or nothing like it can be in the table.
fn key_cells<'a>(keys: &[Values<'a>], row: usize) -> Option<Vec<Cell<'a>>> {
    keys.iter().map(|key| key.cell(row).ok().filter(|cell| *cell != Cell::Null)).collect()
}
