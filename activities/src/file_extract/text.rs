//! The one written form of each type in a file, as in the database.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::datatypes::{DataType, Decimal128Type};
use engine::expr::Value;
use engine::failure::Failure;

/// Values as text; null stays null.
pub(crate) fn written(values: &ArrayRef) -> Result<ArrayRef, Failure> {
    if *values.data_type() == DataType::Utf8 {
        return Ok(Arc::clone(values));
    }
    if let DataType::Decimal128(..) = values.data_type() {
        return Ok(decimals(values));
    }
    let texts: StringArray = (0..values.len()).map(|row| text(&Value::at(values, row))).collect();
    let same_nulls = (0..values.len()).all(|row| texts.is_null(row) == is_null(values, row));
    match same_nulls {
        true => Ok(Arc::new(texts)),
        false => Err(Failure::internal(format!("a value of type {} has no written form", values.data_type()))),
    }
}

/// With a `'` before what a spreadsheet would take for a formula; numbers are none.
pub(super) fn defused(texts: &ArrayRef) -> ArrayRef {
    let texts = texts.as_string::<i32>();
    let defuse = |text: &str| match text.starts_with(['=', '+', '-', '@', '\t', '\r']) && text.parse::<f64>().is_err() {
        true => format!("'{text}"),
        false => text.to_owned(),
    };
    Arc::new(texts.iter().map(|text| text.map(defuse)).collect::<StringArray>())
}

fn is_null(values: &ArrayRef, row: usize) -> bool {
    *values.data_type() == DataType::Null || values.is_null(row)
}

fn text(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::DateTime(at) => at.strftime("%Y-%m-%d %H:%M:%S.%6fZ").to_string(),
        Value::LocalDateTime(at) => at.strftime("%Y-%m-%d %H:%M:%S.%6f").to_string(),
        Value::Time(time) => time.strftime("%H:%M:%S.%6f").to_string(),
        Value::List(_) => value.to_json().to_string(),
        other => other.to_string(),
    })
}

/// All digits, without needless zeros.
fn decimals(values: &ArrayRef) -> ArrayRef {
    let decimals = values.as_primitive::<Decimal128Type>();
    let text = |row| {
        let digits = decimals.value_as_string(row);
        match digits.contains('.') {
            true => digits.trim_end_matches('0').trim_end_matches('.').to_owned(),
            false => digits,
        }
    };
    let texts = (0..decimals.len()).map(|row| decimals.is_valid(row).then(|| text(row)));
    Arc::new(texts.collect::<StringArray>())
}
