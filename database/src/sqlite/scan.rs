//! Reading a table some rows at a time, in the order of its `rowid`, or of its primary key where it has none.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, FieldRef, Schema};
use engine::failure::{Class, Failure};
use engine::outside::database::{Scan, Scanned};
use engine::reject::Reject;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, params_from_iter};
use serde_json::Value as Json;

use super::column::{Column, unreadable, written};
use super::describe::{Described, described};
use super::error::failed;
use super::sql::{each, main_table, quoted, values};

pub(super) fn read(connection: &Connection, scan: &Scan, from: Option<&Json>) -> Result<Scanned, Failure> {
    let described = described(connection, &scan.table)?;
    let columns = scan.columns.iter().map(|name| described.column(name)).collect::<Result<Vec<_>, _>>()?;
    let order = order(&described)?;
    let after = from.map(|place| cells(place, order.len())).transpose()?;
    let places = each(&order, ", ", |name| format!("t.{}", quoted(name)));
    let selected =
        each(columns.iter().map(|column| &column.name).chain(&order), ", ", |name| format!("t.{}", quoted(name)));
    let beyond = match after {
        Some(_) => format!("WHERE ({places}) > {}", values(order.len())),
        None => String::new(),
    };
    let table = &described.table.name;
    let query =
        format!("SELECT {selected} FROM {} AS t {beyond} ORDER BY {places} LIMIT {}", main_table(table), scan.rows_max);

    let failed = |e| failed(&format!("cannot read table {table}"), e);
    let mut statement = connection.prepare_cached(&query).map_err(failed)?;
    let mut rows = statement.query(params_from_iter(after.unwrap_or_default())).map_err(failed)?;
    let mut builders =
        columns.iter().map(|column| Column::new(&column.arrow, &scan.zone)).collect::<Result<Vec<_>, _>>()?;
    let (mut count, mut last, mut misfits) = (0, Vec::new(), Vec::<(usize, Reject)>::new());
    while let Some(row) = rows.next().map_err(failed)? {
        for (place, builder) in builders.iter_mut().enumerate() {
            let value = row.get_ref(place).map_err(failed)?;
            let column = columns[place];
            if builder.push(value).is_none() {
                builder.push_null();
                if misfits.last().is_none_or(|(row, _)| *row < count) {
                    let row = named(row, columns.len(), &order);
                    let Failure { message, help, .. } =
                        unreadable(table, &column.name, &column.arrow, value, row.as_deref());
                    let reject = Reject::new("VALUE_TYPE", message).field(&column.name);
                    misfits.push((count, Reject { help, ..reject }));
                }
            }
        }
        count += 1;
        if count == scan.rows_max {
            for (n, name) in order.iter().enumerate() {
                let cell = json(row.get_ref(columns.len() + n).map_err(failed)?);
                last.push(cell.ok_or_else(|| unordered(table, name))?);
            }
        }
    }
    let field = |name: &String, column: &super::describe::Column| -> FieldRef {
        let known = described.table.columns.field_with_name(&column.name).ok().cloned();
        Arc::new(known.unwrap_or_else(|| Field::new(&column.name, column.arrow.clone(), true)).with_name(name))
    };
    let fields = scan.columns.iter().zip(&columns).map(|(name, column)| field(name, column));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let arrays = builders.into_iter().map(Column::finish).collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    let rows = RecordBatch::try_new_with_options(schema, arrays, &options);
    let next = (count == scan.rows_max).then_some(Json::Array(last));
    Ok(Scanned { rows: rows.map_err(|e| Failure::internal(e.to_string()))?, misfits, next })
}

/// The columns that order the rows, each row differing from every other.
fn order(described: &Described) -> Result<Vec<String>, Failure> {
    match described.rowid {
        Some(rowid) => Ok(vec![rowid.to_owned()]),
        None if described.table.primary_key.is_empty() => {
            let message = format!("table {} has neither row ids nor a primary key to be read by", described.table.name);
            Err(Failure::new(Class::Config, message).help("make a table of it, with a primary key"))
        }
        None => Ok(described.table.primary_key.clone()),
    }
}

fn cells(place: &Json, count: usize) -> Result<Vec<Value>, Failure> {
    let cell = |value: &Json| match value {
        Json::Number(number) => number.as_i64().map(Value::Integer).or(number.as_f64().map(Value::Real)),
        Json::String(text) => Some(Value::Text(text.clone())),
        Json::Array(real) => real.first()?.as_str()?.parse().ok().map(Value::Real),
        _ => None,
    };
    let cells = place.as_array().and_then(|parts| parts.iter().map(cell).collect::<Option<Vec<_>>>());
    cells.filter(|cells| cells.len() == count).ok_or_else(|| {
        Failure::new(Class::Config, "the table was changed while it was being read")
            .help("restart the activity, so that it reads the table from the beginning")
    })
}

/// The value as [`cells`] gives it back; none if it could not.
fn json(value: ValueRef<'_>) -> Option<Json> {
    match value {
        ValueRef::Integer(number) => Some(number.into()),
        // In a list by itself, as text: a JSON number may lose its last digit.
        ValueRef::Real(number) => Some(Json::Array(vec![number.to_string().into()])),
        ValueRef::Text(text) => std::str::from_utf8(text).ok().map(Json::from),
        // A null cannot stand in a primary key without row ids.
        ValueRef::Null | ValueRef::Blob(_) => None,
    }
}

/// Which row it is, for messages, by the columns that order the rows; they stand from `first` on.
fn named(row: &rusqlite::Row<'_>, first: usize, order: &[String]) -> Option<String> {
    let part = |(n, name): (usize, &String)| Some(format!("{name} {}", written(row.get_ref(first + n).ok()?)?));
    let parts: Option<Vec<String>> = order.iter().enumerate().map(part).collect();
    parts.map(|parts| parts.join(", "))
}

fn unordered(table: &str, column: &str) -> Failure {
    let message = format!("table {table} is too large to be read by its key: {column} has bytes that are no text");
    Failure::new(Class::Data, message).help("give the table row ids, or a key of numbers or text")
}
