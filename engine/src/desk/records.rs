//! Records as the desk keeps them: their values as JSON, beside the columns that they are values of.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray, RecordBatch, StringArray, new_null_array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use serde_json::{Map, Value as Json};

use super::SENT_AGAIN;
use crate::expr::Value;
use crate::failure::{Class, Failure};
use crate::outside::desk::KeptReject;
use crate::reject::{COLUMNS, Reject};
use crate::types::{SEQ, Type, is_hidden};

pub(super) fn reason(batch: &RecordBatch, row: usize) -> Reject {
    let text = |name: &str| {
        let column = batch.column_by_name(name)?.as_string_opt::<i32>()?;
        (!column.is_null(row)).then(|| column.value(row).to_owned())
    };
    let [code, symbol, message, field, help] = COLUMNS.map(text);
    let code = code.unwrap_or_default();
    let symbol = symbol.unwrap_or_else(|| code.clone());
    Reject { code, symbol, message: message.unwrap_or_default(), field, help }
}

pub(super) fn record_columns(schema: &Schema) -> SchemaRef {
    let own = |field: &&FieldRef| !is_hidden(field) && !COLUMNS.contains(&field.name().as_str());
    Arc::new(Schema::new(schema.fields().iter().filter(own).cloned().collect::<Vec<_>>()))
}

pub(super) fn record(batch: &RecordBatch, row: usize) -> Map<String, Json> {
    let columns = record_columns(&batch.schema());
    let value = |field: &FieldRef| {
        let column = batch.column_by_name(field.name())?;
        Some((field.name().clone(), Value::json_at(column, row)))
    };
    columns.fields().iter().filter_map(value).collect()
}

pub(super) fn to_shape(columns: &Schema) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let written = StreamWriter::try_new(&mut bytes, columns).and_then(|mut writer| writer.finish());
    written.map_err(|error| Failure::internal(error.to_string()))?;
    Ok(bytes)
}

pub(super) fn of_shape(bytes: &[u8]) -> Result<SchemaRef, Failure> {
    let reader = StreamReader::try_new(bytes, None);
    Ok(reader.map_err(|error| Failure::new(Class::Storage, format!("the rejects desk is damaged: {error}")))?.schema())
}

/// The records as they go out again, each with its number.
pub(super) fn to_batch(columns: &Schema, rejects: &[KeptReject]) -> Result<RecordBatch, Failure> {
    let mut fields: Vec<FieldRef> = columns.fields().iter().cloned().collect();
    let mut arrays = Vec::new();
    for field in &fields {
        let value = |reject: &KeptReject| reject.record.get(field.name()).cloned().unwrap_or_default();
        let values: Vec<Json> = rejects.iter().map(value).collect();
        arrays.push(to_column(field, &values.iter().collect::<Vec<_>>())?);
    }
    fields.push(Arc::new(Field::new(SEQ, DataType::Int64, false)));
    arrays.push(Arc::new(Int64Array::from_iter_values(rejects.iter().map(|reject| reject.id + SENT_AGAIN))));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(|error| Failure::internal(error.to_string()))
}

/// Values as the column holds them.
pub(super) fn to_column(field: &Field, values: &[&Json]) -> Result<ArrayRef, Failure> {
    if let DataType::List(item) = field.data_type() {
        let lists: Vec<Option<&Vec<Json>>> = values.iter().map(|value| value.as_array()).collect();
        let items: Vec<&Json> = lists.iter().copied().flatten().flatten().collect();
        let offsets = OffsetBuffer::from_lengths(lists.iter().map(|list| list.map_or(0, Vec::len)));
        let valid = NullBuffer::from_iter(lists.iter().map(Option::is_some));
        if let Some(wrong) = values.iter().find(|value| !value.is_array() && !value.is_null()) {
            return Err(misfit(field, &wrong.to_string()));
        }
        return Ok(Arc::new(ListArray::new(Arc::clone(item), offsets, to_column(item, &items)?, Some(valid))));
    }
    let text = |value: &&Json| match value {
        Json::Null => None,
        Json::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    let texts: StringArray = values.iter().map(text).collect();
    if texts.null_count() == texts.len() {
        return Ok(new_null_array(field.data_type(), texts.len()));
    }
    let options = CastOptions { safe: true, ..CastOptions::default() };
    // Arrow's own parser knows zones by their distance only; all of ours are UTC.
    let parsed = match field.data_type() {
        DataType::Timestamp(unit, Some(_)) => &DataType::Timestamp(*unit, Some("+00:00".into())),
        data => data,
    };
    let column = cast_with_options(&texts, parsed, &options).and_then(|column| cast(&column, field.data_type()));
    let column = column.map_err(|error| Failure::internal(error.to_string()))?;
    match (0..texts.len()).find(|row| column.is_null(*row) && !texts.is_null(*row)) {
        Some(row) => Err(misfit(field, texts.value(row))),
        None => Ok(column),
    }
}

fn misfit(field: &Field, value: &str) -> Failure {
    let kind = Type::of(field.data_type()).map_or_else(|| field.data_type().to_string(), |kind| kind.to_string());
    Failure::new(Class::Config, format!("\"{value}\" is not {kind}, which column {} holds", field.name()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Date32Array, Decimal128Array, TimestampMicrosecondArray};
    use arrow::datatypes::TimeUnit;

    /// Every type of a population, with a null in each: what is kept of it comes back the same.
    #[test]
    fn a_record_that_was_kept_comes_back_as_it_was() {
        let list = Field::new_list_field(DataType::Int32, true);
        let fields = [
            ("text", DataType::Utf8),
            ("bool", DataType::Boolean),
            ("int", DataType::Int32),
            ("big", DataType::Int64),
            ("double", DataType::Float64),
            ("digits", DataType::Float64),
            ("wide", DataType::Decimal128(38, 4)),
            ("money", crate::types::MONEY),
            ("day", DataType::Date32),
            ("instant", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
            ("local", DataType::Timestamp(TimeUnit::Microsecond, None)),
            ("time", DataType::Time64(TimeUnit::Microsecond)),
            ("several", DataType::List(Arc::new(list.clone()))),
        ];
        let schema = Arc::new(Schema::new(fields.map(|(name, data)| Field::new(name, data, true)).to_vec()));
        let micros = |values: Vec<Option<i64>>| TimestampMicrosecondArray::from(values);
        let several = ListArray::new(
            Arc::new(list),
            OffsetBuffer::from_lengths([2, 0, 0]),
            Arc::new(arrow::array::Int32Array::from(vec![Some(3), None])),
            Some(NullBuffer::from(vec![true, false, true])),
        );
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec![Some("Zoë, \"q\""), None, Some("")])),
            Arc::new(arrow::array::BooleanArray::from(vec![Some(true), None, Some(false)])),
            Arc::new(arrow::array::Int32Array::from(vec![Some(-7), None, Some(0)])),
            Arc::new(Int64Array::from(vec![Some(i64::MAX), None, Some(i64::MIN)])),
            Arc::new(arrow::array::Float64Array::from(vec![Some(0.1), None, Some(-1e300)])),
            Arc::new(arrow::array::Float64Array::from(vec![Some(1.234_567_890_123_456_7e-300), None, Some(f64::MAX)])),
            Arc::new(
                Decimal128Array::from(vec![Some(i128::pow(10, 38) - 1), None, Some(1)])
                    .with_data_type(DataType::Decimal128(38, 4)),
            ),
            Arc::new(
                Decimal128Array::from(vec![Some(1_234_567_890_123_456_789), None, Some(-1)])
                    .with_data_type(crate::types::MONEY),
            ),
            Arc::new(Date32Array::from(vec![Some(3_804), None, Some(-1)])),
            Arc::new(micros(vec![Some(1_772_524_800_123_456), None, Some(-1)]).with_timezone("UTC")),
            // The last of all dates has no instants any more.
            Arc::new(micros(vec![Some(253_402_300_799_999_999), None, Some(-1)])),
            Arc::new(arrow::array::Time64MicrosecondArray::from(vec![Some(86_399_999_999), None, Some(0)])),
            Arc::new(several),
        ];
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
        let columns = of_shape(&to_shape(&schema).unwrap()).unwrap();
        assert_eq!(columns, schema);
        let records: Vec<Map<String, Json>> = (0..3).map(|row| record(&batch, row)).collect();
        for (place, field) in schema.fields().iter().enumerate() {
            let values: Vec<&Json> = records.iter().map(|record| &record[field.name()]).collect();
            assert_eq!(&to_column(field, &values).unwrap(), batch.column(place), "{}", field.name());
        }
        let wrong = to_column(schema.field(8), &[&Json::from("31/05/1980")]).unwrap_err();
        assert!(wrong.message.contains("31/05/1980") && wrong.message.contains("day"), "{wrong}");
    }
}
