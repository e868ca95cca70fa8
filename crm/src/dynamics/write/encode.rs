//! From columns to payloads, without a value in between.

use std::io::Write as _;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
    ListArray, PrimitiveArray, RecordBatch, StringArray, Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Decimal128Type, Int32Type, Int64Type, TimeUnit};
use bytes::{BufMut, BytesMut};
use engine::expr::local_of;
use engine::failure::Failure;
use engine::outside::crm::{FieldKind, Operation, Payload, Target, Write, WriteField};
use engine::reject::Reject;
use jiff::civil;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::dynamics::column::{self, LOOKUP_TYPE_SUFFIX};
use crate::dynamics::key;
use crate::values;

/// What stays readable in a key's value.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'@');
/// What Dataverse does not take in the value of an alternate key: addresses with these find no record, or another one.
const NOT_IN_KEYS: &[char] = &['/', '<', '>', '*', '%', '&', ':', '\\', '?', '+', '#'];
const EPOCH: civil::Date = civil::date(1970, 1, 1);
const MICROS_A_DAY: i64 = 86_400_000_000;
/// Dataverse takes no earlier date, see
/// <https://learn.microsoft.com/previous-versions/dynamicscrm-2016/developers-guide/dn996866(v=crm.8)>.
const YEAR_MIN: i16 = 1753;
/// What days and times must be.
const TAKEN: &str = "a date from 1753-01-01 to 9999-12-31";
/// Room for a record's numbers and dates, beside its texts.
const VALUE_BYTES: usize = 24;

/// Turns records into payloads.
pub(in crate::dynamics) fn encode(
    write: &Write,
    records: &RecordBatch,
) -> Result<Vec<Result<Payload, Reject>>, Failure> {
    let columns = Column::all(write, records)?;
    let place = Place::of(write, &columns);
    let own: Vec<&Column<'_>> = columns.iter().filter(|column| !place.has(column)).collect();
    let rows = records.num_rows();
    let room: usize = own.iter().map(|column| column.name.len() + VALUE_BYTES).sum();
    let mut out = BytesMut::with_capacity(rows * room);
    let mut payloads = Vec::with_capacity(rows);
    for row in 0..rows {
        let payload = record(write, &place, &own, row, &mut out);
        payloads.push(match payload {
            Ok(key) => Ok(Payload { key, bytes: out.split().freeze() }),
            Err(reject) => {
                out.clear();
                Err(reject)
            }
        });
    }
    Ok(payloads)
}

/// Writes one record, and gives its key.
fn record(
    write: &Write,
    place: &Place<'_>,
    own: &[&Column<'_>],
    row: usize,
    out: &mut BytesMut,
) -> Result<Option<String>, Reject> {
    let key = place.write(row, out)?;
    out.put_u8(b'\n');
    if write.operation == Operation::Delete {
        return Ok(key);
    }
    out.put_u8(b'{');
    let mut is_first = true;
    for column in own {
        column.write(row, write.operation == Operation::Insert, &mut is_first, out)?;
    }
    out.put_u8(b'}');
    Ok(key)
}

/// A column of the records, and the field that it is for.
struct Column<'a> {
    field: &'a WriteField,
    name: &'a str,
    values: Values,
    /// Rows whose text is no value of the field's type, and why.
    unfit: Vec<values::Unfit>,
    /// Of a lookup: which object each value points to, where the records say it.
    kinds: Option<StringArray>,
}

enum Values {
    Text(StringArray),
    /// Text that goes as it is, also to where there should be a number.
    Raw(StringArray),
    Bool(BooleanArray),
    Int(Int32Array),
    BigInt(Int64Array),
    Double(Float64Array),
    Decimal(Decimal128Array, i8),
    Date(Date32Array),
    DateTime(TimestampMicrosecondArray),
    Time(Time64MicrosecondArray),
    Numbers(ListArray),
    Null,
}

impl<'a> Column<'a> {
    fn all(write: &'a Write, records: &RecordBatch) -> Result<Vec<Self>, Failure> {
        let object = &write.object.name;
        if records.num_columns() < write.fields.len() {
            return Err(Failure::internal(format!(
                "{object}: {} columns are written, {} came",
                write.fields.len(),
                records.num_columns()
            )));
        }
        let column = |(place, field): (usize, &'a WriteField)| {
            let name = field.field.name.as_str();
            if records.schema_ref().field(place).name() != name {
                return Err(Failure::internal(format!("{object}: column {place} is not {name}")));
            }
            let kinds = records.column_by_name(&format!("{name}{LOOKUP_TYPE_SUFFIX}"));
            let kinds = kinds.filter(|_| field.field.kind == FieldKind::Lookup);
            let mut unfit = Vec::new();
            let values = Values::of(field, records.column(place), &mut unfit).ok_or_else(|| {
                let found = records.column(place).data_type();
                Failure::internal(format!("{object}: no way to write {found} to {name}, a {}", field.field.system_type))
            })?;
            let kinds = kinds.and_then(|kinds| kinds.as_string_opt::<i32>()).cloned();
            Ok(Self { field, name, values, unfit, kinds })
        };
        write.fields.iter().enumerate().map(column).collect()
    }

    fn is_null(&self, row: usize) -> bool {
        match &self.values {
            Values::Text(array) | Values::Raw(array) => array.is_null(row),
            Values::Bool(array) => array.is_null(row),
            Values::Int(array) => array.is_null(row),
            Values::BigInt(array) => array.is_null(row),
            Values::Double(array) => array.is_null(row),
            Values::Decimal(array, _) => array.is_null(row),
            Values::Date(array) => array.is_null(row),
            Values::DateTime(array) => array.is_null(row),
            Values::Time(array) => array.is_null(row),
            Values::Numbers(array) => array.is_null(row),
            Values::Null => true,
        }
    }

    fn check(&self, row: usize) -> Result<(), Reject> {
        match self.unfit.iter().find(|unfit| unfit.row == row) {
            None => Ok(()),
            Some(unfit) => Err(Reject::new("VALUE_TYPE", format!("{}: {}", self.name, unfit.message))
                .field(self.name)
                .help("convert the value in the mapping, or correct it where it comes from")),
        }
    }

    /// Writes the field with its name; of a new record, a reference to nothing is left out.
    fn write(&self, row: usize, is_new: bool, is_first: &mut bool, out: &mut BytesMut) -> Result<(), Reject> {
        self.check(row)?;
        let is_null = self.is_null(row);
        let target = match self.field.field.kind {
            FieldKind::Lookup if is_null && is_new => return Ok(()),
            FieldKind::Lookup => Some(self.target(row, is_null)?),
            _ => None,
        };
        if !std::mem::take(is_first) {
            out.put_u8(b',');
        }
        out.put_u8(b'"');
        match &target {
            Some(target) => {
                out.put_slice(target.path.as_bytes());
                out.put_slice(b"@odata.bind");
            }
            None => out.put_slice(self.name.as_bytes()),
        }
        out.put_slice(b"\":");
        match target {
            _ if is_null => out.put_slice(b"null"),
            Some(target) => self.reference(row, target, out)?,
            None => self.value(row, out),
        }
        Ok(())
    }

    /// Which object a reference points to. Where there is none, any way unbinds it.
    fn target(&self, row: usize, is_null: bool) -> Result<&'a Target, Reject> {
        let targets = &self.field.field.targets;
        let said = self.kinds.as_ref().filter(|kinds| kinds.is_valid(row)).map(|kinds| kinds.value(row));
        let said = said.or(self.field.target.as_deref()).map(str::trim).filter(|said| !said.is_empty());
        let found = match said {
            Some(said) => targets.iter().find(|target| target.object == said || target.name == said),
            None if targets.len() == 1 || is_null => targets.first(),
            None => None,
        };
        found.ok_or_else(|| {
            let names: Vec<&str> = targets.iter().map(|target| target.object.as_str()).collect();
            let what = match said {
                Some(said) => format!("{} cannot refer to `{said}`", self.name),
                None => format!("{} may refer to several objects", self.name),
            };
            Reject::new("VALUE_TYPE", format!("{what}: it is one of {}", names.join(", ")))
                .field(self.name)
                .help(format!("say which with `target`, or in a column `{}{LOOKUP_TYPE_SUFFIX}`", self.name))
        })
    }

    fn reference(&self, row: usize, target: &Target, out: &mut BytesMut) -> Result<(), Reject> {
        let (Values::Text(ids) | Values::Raw(ids)) = &self.values else { return Err(self.malformed("this is no id")) };
        let id = key::guid(ids.value(row)).map_err(|message| self.malformed(&message))?;
        for piece in ["\"/", &target.name, "(", &id, ")\""] {
            out.put_slice(piece.as_bytes());
        }
        Ok(())
    }

    fn malformed(&self, message: &str) -> Reject {
        Reject::new("ID_MALFORMED", format!("{}: {message}", self.name))
            .field(self.name)
            .help("map a field that holds the other record's id")
    }

    /// The value in JSON; it is not null.
    fn value(&self, row: usize, out: &mut BytesMut) {
        match &self.values {
            Values::Text(array) => string(array.value(row), out),
            Values::Raw(array) => raw(self.field.field.kind, array.value(row), out),
            Values::Bool(array) => out.put_slice(if array.value(row) { b"true" } else { b"false" }),
            Values::Numbers(array) => numbers(&array.value(row), out),
            Values::Date(_) | Values::DateTime(_) | Values::Time(_) => {
                out.put_u8(b'"');
                self.plain(row, out);
                out.put_u8(b'"');
            }
            _ => self.plain(row, out),
        }
    }

    /// Numbers and times without quotes.
    fn plain(&self, row: usize, out: &mut BytesMut) {
        match &self.values {
            Values::Int(array) => print(out, format_args!("{}", array.value(row))),
            Values::BigInt(array) => print(out, format_args!("{}", array.value(row))),
            Values::Double(array) => print(out, format_args!("{}", array.value(row))),
            Values::Decimal(array, scale) => decimal(array.value(row), *scale, out),
            // `Values::of` has made sure that there are such days and times.
            Values::Date(array) => {
                print(out, format_args!("{}", day(array.value(row)).unwrap_or_default()));
            }
            Values::DateTime(array) => {
                print(out, format_args!("{}Z", local_of(array.value(row)).unwrap_or_default()));
            }
            Values::Time(array) => {
                let time = civil::Time::midnight().wrapping_add(jiff::SignedDuration::from_micros(array.value(row)));
                print(out, format_args!("{time}"));
            }
            Values::Text(array) | Values::Raw(array) => out.put_slice(array.value(row).as_bytes()),
            Values::Bool(array) => print(out, format_args!("{}", array.value(row))),
            Values::Numbers(_) | Values::Null => {}
        }
    }
}

impl Values {
    /// The values as what they are sent as; text for another type is read as that type. `None` where there is no way.
    fn of(field: &WriteField, array: &ArrayRef, unfit: &mut Vec<values::Unfit>) -> Option<Self> {
        let kind = field.field.kind;
        let array = match array.data_type() {
            DataType::Null => return Some(Self::Null),
            DataType::Utf8 if field.raw => return Some(Self::Raw(array.as_string::<i32>().clone())),
            DataType::Utf8 if !matches!(kind, FieldKind::Text | FieldKind::Lookup) => {
                values::convert(array.as_string::<i32>(), &kind.arrow(), unfit)
            }
            _ => array.clone(),
        };
        Some(match array.data_type() {
            DataType::Utf8 => Self::Text(array.as_string::<i32>().clone()),
            DataType::Boolean => Self::Bool(array.as_boolean().clone()),
            DataType::Int32 => Self::Int(array.as_primitive::<Int32Type>().clone()),
            DataType::Int64 => Self::BigInt(array.as_primitive::<Int64Type>().clone()),
            DataType::Float64 => Self::Double(sound(&array, f64::is_finite, "a finite number", unfit)),
            DataType::Decimal128(_, scale) => Self::Decimal(array.as_primitive::<Decimal128Type>().clone(), *scale),
            DataType::Date32 => {
                Self::Date(sound(&array, |days| day(days).is_some_and(|day| day.year() >= YEAR_MIN), TAKEN, unfit))
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                let is_taken = |micros| local_of(micros).is_some_and(|at: civil::DateTime| at.year() >= YEAR_MIN);
                Self::DateTime(sound(&array, is_taken, TAKEN, unfit))
            }
            DataType::Time64(TimeUnit::Microsecond) => {
                Self::Time(sound(&array, |micros| (0..MICROS_A_DAY).contains(&micros), "a time of day", unfit))
            }
            DataType::List(item) if *item.data_type() == DataType::Int32 => {
                Self::Numbers(array.as_list::<i32>().clone())
            }
            _ => return None,
        })
    }
}

/// The values, of which those that do not fit are named.
fn sound<T: ArrowPrimitiveType>(
    array: &ArrayRef,
    fits: impl Fn(T::Native) -> bool,
    what: &str,
    unfit: &mut Vec<values::Unfit>,
) -> PrimitiveArray<T> {
    let array = array.as_primitive::<T>();
    let wrong = array.iter().enumerate().filter(|(_, value)| value.is_some_and(|value| !fits(value)));
    unfit.extend(wrong.map(|(row, _)| values::Unfit { row, message: format!("this is not {what}") }));
    array.clone()
}

fn day(days: i32) -> Option<civil::Date> {
    EPOCH.checked_add(jiff::Span::new().try_days(days).ok()?).ok()
}

/// By what a record is found: nothing, the id, or an alternate key.
enum Place<'a> {
    New,
    Id(&'a Column<'a>),
    Key(Vec<&'a Column<'a>>, &'a Write),
}

impl<'a> Place<'a> {
    fn of(write: &'a Write, columns: &'a [Column<'a>]) -> Self {
        let id = columns.iter().find(|column| column.name == write.object.id);
        let by_id = write.operation == Operation::Insert || write.key.contains(&write.object.id);
        match id.filter(|_| by_id) {
            Some(id) => Self::Id(id),
            None if write.key.is_empty() => Self::New,
            None => {
                let named = |name: &String| columns.iter().find(|column| column.name == name);
                Self::Key(write.key.iter().filter_map(named).collect(), write)
            }
        }
    }

    fn has(&self, column: &Column<'_>) -> bool {
        match self {
            Self::New => false,
            Self::Id(id) => id.name == column.name,
            Self::Key(columns, _) => columns.iter().any(|key| key.name == column.name),
        }
    }

    /// Writes what stands in the parentheses of the record's address, and gives the key in its normal form.
    fn write(&self, row: usize, out: &mut BytesMut) -> Result<Option<String>, Reject> {
        match self {
            Self::New => Ok(None),
            Self::Id(column) => {
                let (Values::Text(ids) | Values::Raw(ids)) = &column.values else { return Err(empty(column.name)) };
                if ids.is_null(row) || ids.value(row).trim().is_empty() {
                    return Err(empty(column.name));
                }
                let id = key::guid(ids.value(row)).map_err(|message| {
                    Reject::new("ID_MALFORMED", message).field(column.name).help("map a field that holds the CRM's id")
                })?;
                out.put_slice(id.as_bytes());
                Ok(Some(id))
            }
            Self::Key(columns, write) => {
                let mut keys = Vec::with_capacity(columns.len());
                for (number, column) in columns.iter().enumerate() {
                    if number > 0 {
                        out.put_u8(b',');
                    }
                    keys.push(key_value(write, column, row, out)?);
                }
                Ok(Some(keys.join("\u{1f}")))
            }
        }
    }
}

/// Writes one field of an alternate key, and gives its normal form.
fn key_value(write: &Write, column: &Column<'_>, row: usize, out: &mut BytesMut) -> Result<String, Reject> {
    column.check(row)?;
    if column.is_null(row) {
        return Err(empty(column.name));
    }
    let mut text = BytesMut::new();
    column.plain(row, &mut text);
    let text = String::from_utf8_lossy(&text).into_owned();
    let kind = column.field.field.kind;
    let is_text = kind == FieldKind::Text && column.field.field.system_type != column::GUID;
    if text.trim().is_empty() {
        return Err(empty(column.name));
    }
    if let Some(found) = text.chars().find(|c| is_text && (NOT_IN_KEYS.contains(c) || c.is_control())) {
        let message = format!("Dataverse finds no record by a key that has `{}`", found.escape_default());
        return Err(Reject::new("VALUE_TYPE", message)
            .field(column.name)
            .help("use the record's id, or another alternate key, for such values"));
    }
    let normal = key::normal(&write.object, column.name, &text).map_err(|message| column.malformed(&message))?;
    let property = match kind {
        FieldKind::Lookup => format!("_{}_value", column.name),
        _ => column.name.to_owned(),
    };
    out.put_slice(property.as_bytes());
    out.put_u8(b'=');
    if is_text {
        let quoted = text.replace('\'', "''");
        print(out, format_args!("'{}'", utf8_percent_encode(&quoted, KEPT)));
    } else {
        let value = if kind == FieldKind::Lookup { &normal } else { &text };
        print(out, format_args!("{}", utf8_percent_encode(value, KEPT)));
    }
    Ok(normal)
}

fn empty(name: &str) -> Reject {
    Reject::new("KEY_EMPTY", format!("{name} is empty: it is not known which record is meant"))
        .field(name)
        .help("insert such records by an activity of their own, or find their key first")
}

fn print(out: &mut BytesMut, text: std::fmt::Arguments<'_>) {
    // Memory takes everything.
    let written = out.writer().write_fmt(text);
    debug_assert!(written.is_ok(), "writing to memory");
}

fn string(text: &str, out: &mut BytesMut) {
    let written = serde_json::to_writer(out.writer(), text);
    debug_assert!(written.is_ok(), "writing to memory");
}

/// Text as it is. Where the field takes a number or a truth, one that is written so is sent without quotes.
fn raw(kind: FieldKind, text: &str, out: &mut BytesMut) {
    let is_bare = match kind {
        FieldKind::Bool => matches!(text, "true" | "false"),
        FieldKind::Int
        | FieldKind::BigInt
        | FieldKind::Double
        | FieldKind::Money
        | FieldKind::Decimal { .. }
        | FieldKind::Picklist => serde_json::from_str::<serde_json::Number>(text).is_ok(),
        _ => false,
    };
    if is_bare { out.put_slice(text.trim().as_bytes()) } else { string(text, out) }
}

/// A number with its places, without zeros at its end.
fn decimal(value: i128, scale: i8, out: &mut BytesMut) {
    let Ok(scale @ 1..) = u32::try_from(scale) else { return print(out, format_args!("{value}")) };
    let power = 10_u128.pow(scale);
    let (whole, mut fraction) = (value.unsigned_abs() / power, value.unsigned_abs() % power);
    let sign = if value < 0 { "-" } else { "" };
    if fraction == 0 {
        return print(out, format_args!("{sign}{whole}"));
    }
    let mut width = scale as usize;
    while fraction.is_multiple_of(10) {
        fraction /= 10;
        width -= 1;
    }
    print(out, format_args!("{sign}{whole}.{fraction:0width$}"));
}

/// `"1,2"`; nothing chosen is null.
fn numbers(list: &ArrayRef, out: &mut BytesMut) {
    let list = list.as_primitive::<Int32Type>();
    if list.is_empty() {
        return out.put_slice(b"null");
    }
    out.put_u8(b'"');
    for (place, number) in list.iter().flatten().enumerate() {
        if place > 0 {
            out.put_u8(b',');
        }
        print(out, format_args!("{number}"));
    }
    out.put_u8(b'"');
}

#[cfg(test)]
mod tests;
