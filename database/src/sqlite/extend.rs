//! Makes tables and adds columns; nothing that is there changes.

use arrow::datatypes::DataType;
use engine::failure::{Class, Failure};
use engine::outside::crm::FieldKind;
use engine::outside::database::{Extended, LABELS, NewColumn, NewTable, is_reserved};
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::affinity::arrow_type;
use super::describe::{described, tables};
use super::error::failed;
use super::sql::{each, main_table, quoted};

/// The most columns of one table; SQLite's own limit.
const COLUMNS_MAX: usize = 2_000;

pub(super) fn extend(connection: &mut Connection, table: &NewTable) -> Result<Extended, Failure> {
    let is_taken = table.name.to_lowercase().starts_with("sqlite_") || is_reserved(&table.name);
    if table.name.is_empty() || is_taken || table.columns.is_empty() {
        let message = format!("a table cannot be called {:?}, or has no columns", table.name);
        return Err(Failure::new(Class::Config, message));
    }
    if table.columns.len() > COLUMNS_MAX {
        let message =
            format!("table {} would have {} columns; the most is {COLUMNS_MAX}", table.name, table.columns.len());
        return Err(Failure::new(Class::Limit, message));
    }
    let wrong = |error| failed(&format!("cannot make table {:?}", table.name), error);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(wrong)?;
    let is_there = tables(&transaction)?.iter().any(|name| name.eq_ignore_ascii_case(&table.name));
    let mut extended = match is_there {
        true => add(&transaction, table)?,
        false => make(&transaction, table).map_err(wrong)?,
    };
    extended.labels = labels(&transaction, table).map_err(wrong)?;
    transaction.commit().map_err(wrong)?;
    Ok(extended)
}

fn make(transaction: &Transaction<'_>, table: &NewTable) -> rusqlite::Result<Extended> {
    let mut first = " PRIMARY KEY";
    let columns = each(&table.columns, ", ", |column| {
        format!("{} {}{}", quoted(&column.name), declared(column), std::mem::take(&mut first))
    });
    transaction.execute_batch(&format!("CREATE TABLE {}({columns})", main_table(&table.name)))?;
    let added = table.columns.iter().map(|column| column.name.clone()).collect();
    Ok(Extended { made: true, added, ..Extended::default() })
}

fn add(transaction: &Transaction<'_>, table: &NewTable) -> Result<Extended, Failure> {
    let there = described(transaction, &table.name)?;
    let mut extended = Extended::default();
    for column in &table.columns {
        let kind = arrow_type(&declared(column));
        match there.columns.iter().find(|known| known.name.eq_ignore_ascii_case(&column.name)) {
            Some(known) if known.arrow != kind => extended.differs.push(column.name.clone()),
            Some(_) => {}
            None => {
                let (name, kind) = (quoted(&column.name), declared(column));
                let sql = format!("ALTER TABLE {} ADD COLUMN {name} {kind}", main_table(&there.table.name));
                let wrong = |error| failed(&format!("cannot add column {}", column.name), error);
                transaction.execute_batch(&sql).map_err(wrong)?;
                extended.added.push(column.name.clone());
            }
        }
    }
    Ok(extended)
}

fn labels(transaction: &Transaction<'_>, table: &NewTable) -> rusqlite::Result<u64> {
    if table.columns.iter().all(|column| column.labels.is_empty()) {
        return Ok(0);
    }
    let name = main_table(LABELS);
    transaction.execute_batch(&format!(
        "CREATE TABLE IF NOT EXISTS {name}(table_name TEXT NOT NULL, column_name TEXT NOT NULL, value TEXT NOT NULL,
           label TEXT NOT NULL, PRIMARY KEY(table_name, column_name, value)) WITHOUT ROWID"
    ))?;
    let mut keep = transaction.prepare(&format!(
        "INSERT INTO {name}(table_name, column_name, value, label) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET label = excluded.label WHERE label IS NOT excluded.label"
    ))?;
    let mut changed = 0;
    for column in &table.columns {
        for (value, label) in &column.labels {
            changed += keep.execute((&table.name, &column.name, value, label))? as u64;
        }
    }
    Ok(changed)
}

/// The type by which the column is read as it was written.
fn declared(column: &NewColumn) -> String {
    match (column.kind, column.length) {
        (FieldKind::Text | FieldKind::Lookup | FieldKind::TextPicklist, Some(length)) => format!("VARCHAR({length})"),
        (FieldKind::Text | FieldKind::Lookup | FieldKind::TextPicklist, None) => "TEXT".to_owned(),
        (FieldKind::Bool, _) => "BOOLEAN".to_owned(),
        (FieldKind::Int | FieldKind::BigInt | FieldKind::Picklist, _) => "INTEGER".to_owned(),
        (FieldKind::Double, _) => "REAL".to_owned(),
        (FieldKind::Money | FieldKind::Decimal { .. }, _) => match column.kind.arrow() {
            DataType::Decimal128(digits, scale) => format!("DECIMAL({digits},{scale})"),
            _ => "DECIMAL".to_owned(),
        },
        (FieldKind::Date, _) => "DATE".to_owned(),
        (FieldKind::DateTime, _) => "TIMESTAMP".to_owned(),
        (FieldKind::LocalDateTime, _) => "TIMESTAMP WITHOUT TIME ZONE".to_owned(),
        (FieldKind::Time, _) => "TIME".to_owned(),
        (FieldKind::MultiPicklist, _) => "INTEGER LIST".to_owned(),
        (FieldKind::TextMultiPicklist, _) => "TEXT LIST".to_owned(),
    }
}
