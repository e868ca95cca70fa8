//! Values on their way into a column of the database.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Float64Array, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int32Type, Int64Type};
use engine::failure::Failure;
use engine::numbers::{decimal_of_float, float_of_digits, float_of_int};
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
    let cast = exactly(values, to)?;
    let lost = (0..values.len()).filter(|row| values.is_valid(*row) && cast.is_null(*row)).collect();
    Ok((cast, lost))
}

/// Values as another type, null if one cannot be. Numbers keep their whole digits, and fractions are rounded to the digits
/// that a decimal has, half away from zero.
pub(crate) fn exactly(values: &ArrayRef, to: &DataType) -> Result<ArrayRef, Failure> {
    use DataType::{Decimal128, Float64, Int32, Int64, Utf8};
    Ok(match (values.data_type(), to) {
        (Int32, Float64) => Arc::new(values.as_primitive::<Int32Type>().unary::<_, Float64Type>(f64::from)),
        (Int64, Float64) => {
            let ints = values.as_primitive::<Int64Type>();
            Arc::new(ints.iter().map(|int| float_of_int(int?)).collect::<Float64Array>())
        }
        (Decimal128(..), Float64) => {
            let decimals = values.as_primitive::<Decimal128Type>();
            let float = |row| decimals.is_valid(row).then(|| float_of_digits(&decimals.value_as_string(row))).flatten();
            Arc::new((0..decimals.len()).map(float).collect::<Float64Array>())
        }
        (Utf8, Float64) => {
            let texts = values.as_string::<i32>();
            Arc::new(texts.iter().map(|text| float_of_digits(text?)).collect::<Float64Array>())
        }
        (Float64, Decimal128(precision, scale)) => {
            let floats = values.as_primitive::<Float64Type>();
            let decimal = |float: Option<f64>| decimal_of_float(float?, *precision, *scale);
            Arc::new(floats.iter().map(decimal).collect::<Decimal128Array>().with_data_type(to.clone()))
        }
        _ => {
            let options = CastOptions { safe: true, ..CastOptions::default() };
            cast_with_options(values, to, &options).map_err(wrong)?
        }
    })
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, Int64Array, StringArray};

    use super::*;

    #[test]
    fn a_number_keeps_its_digits_or_does_not_fit() {
        let two_53 = 9_007_199_254_740_992;
        let decimals = |digits: Vec<i128>| Decimal128Array::from(digits).with_precision_and_scale(38, 2).unwrap();
        for (values, lost) in [
            (Arc::new(Int64Array::from(vec![two_53, two_53 + 1, 5])) as ArrayRef, vec![1]),
            (Arc::new(decimals(vec![1234, i128::from(two_53 + 1) * 100, i128::from(two_53) * 100 + 50])), vec![1, 2]),
            (Arc::new(StringArray::from(vec!["0.1", "9007199254740993", "x"])), vec![1, 2]),
        ] {
            assert_eq!(convert(&values, &DataType::Float64).unwrap().1, lost, "{values:?}");
        }
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![123_456_789_012.345_7, 0.5, 1e300]));
        let (money, lost) = convert(&floats, &DataType::Decimal128(19, 4)).unwrap();
        assert_eq!(lost, [2]);
        let money = money.as_primitive::<Decimal128Type>();
        assert_eq!((money.value_as_string(0), money.value_as_string(1)), ("123456789012.3457".into(), "0.5000".into()));
    }
}
