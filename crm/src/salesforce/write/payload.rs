//! From records to what is sent: an object of JSON each for collections, a line of CSV each for a job.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::DataType;
use bytes::Bytes;
use engine::expr::Value;
use engine::failure::Failure;
use engine::outside::crm::{FieldKind, Operation, Payload, Write, WriteField};
use engine::reject::Reject;
use indexmap::IndexMap;
use jiff::tz::TimeZone;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Number, json};

use super::super::field;
use super::key_of;

/// What a job takes for null; an empty value would leave the field as it is.
const NULL: &str = "#N/A";
/// The longest value that a job takes, in characters.
const VALUE_CHARS_MAX: usize = 131_072;

/// Each record, or why it cannot be sent.
pub(super) fn encode(
    write: &Write,
    is_bulk: bool,
    records: &RecordBatch,
) -> Result<Vec<Result<Payload, Reject>>, Failure> {
    let mut columns = Vec::with_capacity(write.fields.len());
    for (place, field) in write.fields.iter().enumerate() {
        let found = records.schema_ref().fields().get(place).is_some_and(|column| *column.name() == field.field.name);
        if !found {
            return Err(Failure::internal(format!("the column {} is missing", field.field.name)));
        }
        columns.push((field, records.column(place)));
    }
    let records = (0..records.num_rows()).map(|row| texts(write, &columns, row));
    if is_bulk {
        return lines(records);
    }
    let payload = |(key, values): (Option<String>, Texts<'_>)| {
        let bytes = match write.operation {
            Operation::Delete => Bytes::from(key.clone().unwrap_or_default()),
            _ => object(write, &values).map_err(|error| Reject::new("VALUE_TYPE", error.to_string()))?,
        };
        Ok(Payload { key, bytes })
    };
    Ok(records.map(|record| record.and_then(payload)).collect())
}

/// The values of a record, as Salesforce writes them.
type Texts<'a> = Vec<(&'a WriteField, Option<String>)>;

/// The key of a record, and its values.
fn texts<'a>(
    write: &Write,
    columns: &[(&'a WriteField, &ArrayRef)],
    row: usize,
) -> Result<(Option<String>, Texts<'a>), Reject> {
    let mut values = Vec::with_capacity(columns.len());
    let mut key = None;
    for (field, column) in columns {
        let name = field.field.name.as_str();
        let mut text = text(field, column, row)?;
        if write.key.iter().any(|key| key == name) {
            let found = text.clone().filter(|text| !text.trim().is_empty()).ok_or_else(|| {
                Reject::new("KEY_EMPTY", format!("{name} is empty, so that no record is meant"))
                    .field(name)
                    .help("fill the key in, or leave the record out")
            })?;
            key = Some(key_of(write, &found));
        }
        if field::is_id(&field.field)
            && let Some(id) = &mut text
        {
            *id = field::id(id).map_err(|message| {
                let help = match name == write.object.id {
                    true => "map a field that holds the CRM's id",
                    false => "map a field that holds the other record's id",
                };
                Reject::new("ID_MALFORMED", message).field(name).help(help)
            })?;
        }
        values.push((*field, text));
    }
    Ok((key, values))
}

/// The text of a value, as Salesforce writes it; empty text is null there.
fn text(field: &WriteField, column: &ArrayRef, row: usize) -> Result<Option<String>, Reject> {
    let name = field.field.name.as_str();
    let wrong = |message: String| Reject::new("VALUE_TYPE", message).field(name);
    let text = match Value::at(column, row) {
        Value::Null if is_out_of_reach(column, row) => {
            return Err(wrong(format!("{name} has more digits, or lies further in time, than can be sent")));
        }
        Value::Null => return Ok(None),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) if value.is_finite() => value.to_string(),
        Value::Float(_) => return Err(wrong(format!("{name} is no finite number"))),
        Value::Decimal(value) => value.normalize().to_string(),
        Value::Text(text) => text,
        Value::Date(day) => day.to_string(),
        Value::DateTime(at) => instant(at),
        Value::LocalDateTime(at) => match at.to_zoned(TimeZone::UTC) {
            Ok(at) => instant(at.timestamp()),
            Err(error) => return Err(wrong(format!("{name}: {error}"))),
        },
        Value::Time(at) => format!("{}.{:03}Z", at.strftime("%H:%M:%S"), at.millisecond()),
        Value::List(items) => list(name, &items)?,
    };
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// A decimal of more than 28 digits, or an instant later than the last one that is known, reads as null, which must not be
/// sent.
fn is_out_of_reach(column: &ArrayRef, row: usize) -> bool {
    *column.data_type() != DataType::Null && column.is_valid(row)
}

fn instant(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// Several choices, with semicolons between.
fn list(name: &str, items: &[Value]) -> Result<String, Reject> {
    let mut texts = Vec::with_capacity(items.len());
    for item in items {
        match item {
            Value::Null => {}
            Value::Text(text) if !text.contains(';') => texts.push(text.clone()),
            Value::Int(number) => texts.push(number.to_string()),
            _ => {
                let message = format!("{name} has a choice that is no text without a semicolon");
                return Err(Reject::new("VALUE_TYPE", message).field(name));
            }
        }
    }
    Ok(texts.join(";"))
}

/// A record of collections: values by name, each as it is written, since numbers of JSON would lose digits.
pub(super) type Object = IndexMap<String, Box<RawValue>>;

/// An object of collections. Fields of a related record, such as `Account.Ext__c`, say which one is meant; where no record
/// is, the lookup is left as it is, as a job does with an empty value.
fn object(write: &Write, values: &[(&WriteField, Option<String>)]) -> serde_json::Result<Bytes> {
    let mut object = Object::new();
    object.insert("attributes".to_owned(), to_raw_value(&json!({ "type": write.object.name }))?);
    for (field, text) in values {
        let field = &field.field;
        match (field.name.split_once('.'), text) {
            (None, text) => {
                let name = if field.name == write.object.id { "id" } else { &field.name };
                let value = text.as_deref().map_or_else(|| to_raw_value(&()), |text| value(field.kind, text))?;
                object.insert(name.to_owned(), value);
            }
            (Some((way, key)), Some(text)) => {
                let related = Object::from_iter([(key.to_owned(), value(field.kind, text)?)]);
                object.insert(way.to_owned(), to_raw_value(&related)?);
            }
            (Some(_), None) => {}
        }
    }
    serde_json::to_vec(&object).map(Bytes::from)
}

/// Numbers and truth stand bare; what is neither, Salesforce will refuse by itself.
fn value(kind: FieldKind, text: &str) -> serde_json::Result<Box<RawValue>> {
    let is_bare = match kind {
        FieldKind::Bool => matches!(text, "true" | "false"),
        kind if field::is_number(kind) => serde_json::from_str::<Number>(text).is_ok(),
        _ => false,
    };
    if is_bare { RawValue::from_string(text.to_owned()) } else { to_raw_value(text) }
}

/// A line of a job for each record, with its end. One writer makes them all: one of its own for each costs more than the line.
fn lines<'a>(
    records: impl Iterator<Item = Result<(Option<String>, Texts<'a>), Reject>>,
) -> Result<Vec<Result<Payload, Reject>>, Failure> {
    let mut writer = csv::WriterBuilder::new().quote_style(csv::QuoteStyle::Necessary).from_writer(Vec::new());
    let mut line = |(key, values): (Option<String>, Texts<'a>)| {
        // A line that was begun cannot be taken back, so all its values are looked at first.
        let values = values.iter().map(|(field, text)| line_value(field, text.as_deref()));
        let values = values.collect::<Result<Vec<&str>, Reject>>()?;
        let begin = writer.get_ref().len();
        let written = writer.write_record(values).and_then(|()| Ok(writer.flush()?));
        written.map_err(|error| Reject::new("VALUE_TYPE", error.to_string()))?;
        Ok((key, begin..writer.get_ref().len()))
    };
    let placed: Vec<Result<_, Reject>> = records.map(|record| record.and_then(&mut line)).collect();
    let lines = writer.into_inner().map_err(|error| Failure::internal(error.to_string()))?;
    let lines = Bytes::from(lines);
    let payload = |(key, place): (_, Range<usize>)| Payload { key, bytes: lines.slice(place) };
    Ok(placed.into_iter().map(|placed| placed.map(payload)).collect())
}

/// A value as a line of a job has it, or why it cannot have it.
fn line_value<'a>(field: &WriteField, text: Option<&'a str>) -> Result<&'a str, Reject> {
    let name = field.field.name.as_str();
    match text {
        None if name.contains('.') => Ok(""),
        None => Ok(NULL),
        Some(NULL) => {
            let message = format!("{name} is `{NULL}`, which a bulk job takes for null");
            Err(Reject::new("VALUE_TYPE", message).field(name))
        }
        Some(text) if text.contains('\0') => {
            Err(Reject::new("VALUE_TYPE", format!("{name} holds a zero byte")).field(name))
        }
        Some(text) if text.len() > VALUE_CHARS_MAX && text.chars().count() > VALUE_CHARS_MAX => {
            let message = format!("{name} has more than {VALUE_CHARS_MAX} characters, which a bulk job does not take");
            Err(Reject::new("STRING_TOO_LONG", message).field(name))
        }
        Some(text) => Ok(text),
    }
}

/// The columns of a job.
pub(super) fn header(write: &Write) -> Result<Bytes, Failure> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let internal = |error: String| Failure::internal(error);
    writer
        .write_record(write.fields.iter().map(|field| field.field.name.as_str()))
        .map_err(|error| internal(error.to_string()))?;
    writer.into_inner().map(Bytes::from).map_err(|error| internal(error.to_string()))
}

/// Reads the values of lines, each of which [`lines`] wrote. One reader takes them all: one of its own for each would cost more
/// than all else that is done for a record.
pub(super) fn each_line(lines: &[Bytes], mut take: impl FnMut(&csv::StringRecord)) -> Result<(), Failure> {
    let wrong = || Failure::internal("a line of a bulk job is not understood");
    let text = lines.concat();
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_slice());
    let mut values = csv::StringRecord::new();
    for _ in lines {
        match reader.read_record(&mut values) {
            Ok(true) => take(&values),
            Ok(false) | Err(_) => return Err(wrong()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
