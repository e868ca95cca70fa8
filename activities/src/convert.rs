//! Values on their way into a column of the database.

use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::DataType;
use engine::failure::Failure;
use engine::types::Type;

use crate::rows::wrong;

/// Whether values of a type can become those of a column; else what to write instead, where there is something.
///
/// A column of text takes everything, in its written form. What changes a value (a text that may be a number, an instant
/// that is a day only somewhere) is never done silently.
pub(crate) fn fits(from: &Type, to: &DataType) -> Result<(), Option<&'static str>> {
    use Type as T;
    let Some(to) = Type::of(to) else { return Err(None) };
    match (from, &to) {
        (T::Null | T::Any, _) | (_, T::Text) => Ok(()),
        (T::Bool, T::Int) | (T::Int | T::Decimal | T::Float, T::Decimal | T::Float) => Ok(()),
        (from, to) if from == to => Ok(()),
        (_, T::Int) => Err(Some("to_int(…)")),
        (_, T::Decimal | T::Float) => Err(Some("to_decimal(…)")),
        (_, T::Date) => Err(Some("date(…)")),
        (_, T::DateTime) => Err(Some("datetime(…)")),
        (_, T::Time) => Err(Some("time(…)")),
        (T::Int, T::Bool) => Err(Some("… != 0")),
        _ => Err(None),
    }
}

/// A column's type, as authors call it.
pub(crate) fn named(data: &DataType) -> String {
    Type::of(data).map_or_else(|| data.to_string(), |ty| ty.to_string())
}

/// Values as those of a column, and the rows of those that do not fit into it, such as a number with too many digits.
pub(crate) fn convert(values: &ArrayRef, to: &DataType) -> Result<(ArrayRef, Vec<usize>), Failure> {
    if values.data_type() == to || (*to == DataType::Utf8 && *values.data_type() != DataType::Null) {
        return Ok((ArrayRef::clone(values), Vec::new()));
    }
    if values.null_count() == values.len() || *values.data_type() == DataType::Null {
        return Ok((new_null_array(to, values.len()), Vec::new()));
    }
    let options = CastOptions { safe: true, ..CastOptions::default() };
    let cast = cast_with_options(values, to, &options).map_err(wrong)?;
    let lost = (0..values.len()).filter(|row| values.is_valid(*row) && cast.is_null(*row)).collect();
    Ok((cast, lost))
}
