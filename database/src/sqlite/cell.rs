//! From Arrow to SQLite. A value that SQLite would change on the way into its column is refused.

use std::borrow::Cow;

use arrow::array::ArrayRef;
use engine::failure::Failure;
use engine::numbers::float_of_int;
use engine::outside::database::Refused;
use engine::written::{self, Written};
use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, ValueRef};

use super::affinity::Affinity;

/// SQLite promises to keep as many digits of a decimal when it makes a binary number of it.
const EXACT_DIGITS: usize = 15;

/// A value as it is bound.
#[derive(Debug, PartialEq)]
pub(super) enum Cell<'a> {
    Null,
    Int(i64),
    Real(f64),
    Text(Cow<'a, str>),
}

impl ToSql for Cell<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(value) => ValueRef::Integer(*value),
            Self::Real(value) => ValueRef::Real(*value),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

/// A value that cannot be in this column as it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unwritable {
    code: &'static str,
    message: String,
}

impl Unwritable {
    pub(super) fn refused(self, row: u32, column: &str) -> Refused {
        let message = format!("column {column}: {}", self.message);
        Refused { row, code: self.code.to_owned(), message, column: Some(column.to_owned()) }
    }
}

impl From<written::Unwritable> for Unwritable {
    fn from(unwritable: written::Unwritable) -> Self {
        Self { code: "VALUE_RANGE", message: unwritable.to_string() }
    }
}

/// The values of a column on their way to a column of the database.
pub(super) struct Values<'a> {
    written: Written<'a>,
    target: Affinity,
}

impl<'a> Values<'a> {
    pub(super) fn new(column: &str, array: &'a ArrayRef, target: Affinity) -> Result<Self, Failure> {
        let written = Written::of(array).ok_or_else(|| {
            Failure::internal(format!("column {column} is of type {}, which no population holds", array.data_type()))
        })?;
        Ok(Self { written, target })
    }

    pub(super) fn cell(&self, row: usize) -> Result<Cell<'a>, Unwritable> {
        let int = |value: i64| match self.target == Affinity::Real && float_of_int(value).is_none() {
            true => Err(inexact_int(value)),
            false => Ok(Cell::Int(value)),
        };
        match self.written {
            _ if self.written.is_null(row) => return Ok(Cell::Null),
            Written::Bool(array) => return Ok(Cell::Int(array.value(row).into())),
            Written::Int32(array) => return int(array.value(row).into()),
            Written::Int64(array) => return int(array.value(row)),
            Written::Float(array) if array.value(row).is_nan() => {
                return Err(Unwritable { code: "VALUE_RANGE", message: "the value is not a number".to_owned() });
            }
            // SQLite would write 15 digits of it.
            Written::Float(_) if self.target == Affinity::Text => {}
            Written::Float(array) => return Ok(Cell::Real(array.value(row))),
            _ => {}
        }
        let Some(text) = self.written.text(row)? else { return Ok(Cell::Null) };
        if self.target.makes_numbers() {
            match self.written {
                Written::Decimal(..) if is_inexact(&text, self.target) => return Err(inexact_decimal(&text)),
                Written::Text(_) => {
                    if let Some(number) = becomes_another(&text) {
                        return Err(text_as_number(&text, &number));
                    }
                }
                _ => {}
            }
        }
        Ok(Cell::Text(text))
    }
}

/// The number that SQLite makes of a text in a column that makes numbers, if it is not read back as that text: 007 as 7.
fn becomes_another(text: &str) -> Option<String> {
    let trimmed = text.trim_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
    if !is_number(trimmed) {
        return None;
    }
    let float: f64 = trimmed.parse().unwrap_or(f64::INFINITY);
    let number = match trimmed.parse::<i64>() {
        Ok(int) => int.to_string(),
        Err(_) => float.to_string(),
    };
    // Of more digits SQLite may keep others than those that are written here.
    let is_kept = number == text && (trimmed.parse::<i64>().is_ok() || digits(&number) <= EXACT_DIGITS);
    (!is_kept).then_some(number)
}

/// Whether SQLite takes this for a number.
fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    all_digits(whole)
        && all_digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|exponent| !exponent.is_empty() && all_digits(exponent))
}

/// How many digits count.
fn digits(number: &str) -> usize {
    number.trim_start_matches(['-', '0', '.']).bytes().filter(u8::is_ascii_digit).count()
}

fn is_inexact(decimal: &str, target: Affinity) -> bool {
    if target != Affinity::Real && !decimal.contains('.') && decimal.parse::<i64>().is_ok() {
        return false;
    }
    digits(decimal) > EXACT_DIGITS
}

fn inexact_decimal(decimal: &str) -> Unwritable {
    let digits = digits(decimal);
    let message = format!(
        "SQLite keeps {EXACT_DIGITS} digits of a decimal in a column declared as a number, and this has {digits}; \
         declared as DECIMAL_TEXT it keeps all"
    );
    Unwritable { code: "DECIMAL_INEXACT", message }
}

fn inexact_int(value: i64) -> Unwritable {
    let message = format!(
        "SQLite would keep {value} as another number, as floating point; declared as INTEGER it keeps all digits"
    );
    Unwritable { code: "NUMBER_INEXACT", message }
}

fn text_as_number(text: &str, number: &str) -> Unwritable {
    let message = format!(
        "SQLite would keep the text \"{text}\" as the number {number}, since it takes the declared type of this column for \
         one of numbers; declared as TEXT it keeps texts"
    );
    Unwritable { code: "TEXT_AS_NUMBER", message }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    /// SQLite itself says what it makes of each text.
    #[test]
    fn a_text_is_refused_where_sqlite_would_make_another_of_it() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t(v STRING)").unwrap();
        let (signs, parts) =
            (["", "-", "+", " ", "\u{a0}"], ["", "0", "7", "007", "9007199254740993", "12.5", "1e3", "."]);
        let ends = ["", " ", ".0", ".", "e5", "E+2", "e", "0", "x", "_1", "\n", "00000000000000000000"];
        let begins: Vec<String> = signs.iter().flat_map(|sign| parts.map(|part| format!("{sign}{part}"))).collect();
        let texts: Vec<String> = begins.iter().flat_map(|begin| ends.map(|end| format!("{begin}{end}"))).collect();
        let mut kept = 0;
        for text in texts {
            connection.execute("DELETE FROM t", []).unwrap();
            connection.execute("INSERT INTO t VALUES (?1)", [&text]).unwrap();
            let read: String = connection
                .query_row("SELECT v FROM t", [], |row| {
                    Ok(crate::sqlite::column::written(row.get_ref(0)?).unwrap_or_default())
                })
                .unwrap();
            match becomes_another(&text) {
                None => {
                    kept += 1;
                    assert_eq!(read, text, "{text:?} is written though SQLite keeps {read:?}");
                }
                Some(number) => {
                    assert!(read != text || digits(&read) > EXACT_DIGITS, "{text:?} is refused as {number}")
                }
            }
        }
        assert!(kept > 100, "most texts are no numbers");
    }
}
