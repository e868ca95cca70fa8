//! Values of one part of an expression for all records of a batch.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
    ListBuilder, StringArray, StringBuilder, Time64MicrosecondArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, TimeUnit};
use rust_decimal::Decimal;

use super::value::{Value, as_decimal, as_float, days_of, decimal_at};
use crate::types::Type;

/// Values, one a record.
#[derive(Debug, Clone)]
pub(super) enum Vector {
    /// The same for every record.
    Const(Value),
    /// As Arrow keeps them.
    Array(ArrayRef),
    /// Decimals that were computed: each has its own number of digits.
    Decimals(Vec<Option<Decimal>>),
}

impl Vector {
    pub(super) fn row(&self, row: usize) -> Value {
        match self {
            Self::Const(value) => value.clone(),
            Self::Array(array) => Value::at(array, row),
            Self::Decimals(all) => all[row].map_or(Value::Null, Value::Decimal),
        }
    }

    /// As [`row`](Vector::row), where a decimal of too many digits is said rather than taken for null.
    pub(super) fn exact(&self, row: usize) -> Result<Value, String> {
        match (self.row(row), self) {
            (Value::Null, Self::Array(array)) if array.is_valid(row) && matches!(self.ty(), Type::Decimal) => {
                Err("a decimal number has more than 28 digits".to_owned())
            }
            (value, _) => Ok(value),
        }
    }

    /// Which values are there; `None` where all are.
    pub(super) fn valid(&self, len: usize) -> Option<NullBuffer> {
        match self {
            Self::Const(Value::Null) => Some(NullBuffer::new_null(len)),
            Self::Const(_) => None,
            Self::Array(array) if *array.data_type() == DataType::Null => Some(NullBuffer::new_null(len)),
            Self::Array(array) => array.nulls().filter(|n| n.null_count() > 0).cloned(),
            Self::Decimals(all) => Some(all.iter().map(Option::is_some).collect()),
        }
    }

    /// What type the values have.
    pub(super) fn ty(&self) -> Type {
        match self {
            Self::Const(value) => value.ty(),
            Self::Array(array) => Type::of(array.data_type()).unwrap_or(Type::Any),
            Self::Decimals(_) => Type::Decimal,
        }
    }

    /// From values of one type, or of several kinds of numbers.
    pub(super) fn collect(values: Vec<Value>) -> Self {
        let ty = values.iter().map(Value::ty).fold(Type::Null, |all, one| match (&all, &one) {
            (_, Type::Null) => all,
            (Type::Null, _) | (_, Type::Float) | (Type::Int, Type::Decimal) => one,
            _ => all,
        });
        match &ty {
            Type::Null => Self::Const(Value::Null),
            Type::Decimal => Self::Decimals(values.iter().map(as_decimal).collect()),
            // Lists take the slow way only where they are chosen between, so texts do.
            _ => match array(&ty.arrow(), &values) {
                Ok(array) => Self::Array(array),
                Err(_) => Self::Const(Value::Null),
            },
        }
    }

    /// As a column of this type; the row of the first value that does not fit it.
    pub(super) fn into_array(self, data: &DataType, len: usize) -> Result<ArrayRef, (usize, String)> {
        match self {
            Self::Array(array) if array.data_type() == data => Ok(array),
            Self::Const(Value::Null) => Ok(new_null_array(data, len)),
            other => array(data, &(0..len).map(|row| other.row(row)).collect::<Vec<_>>()),
        }
    }
}

/// Values as an Arrow array; the row of the first value that does not fit.
fn array(data: &DataType, values: &[Value]) -> Result<ArrayRef, (usize, String)> {
    fn each<T, O>(values: &[Value], data: &DataType, f: impl Fn(&Value) -> Option<T>) -> Result<O, (usize, String)>
    where
        O: FromIterator<Option<T>>,
    {
        let one = |(row, value): (usize, &Value)| match value {
            Value::Null => Ok(None),
            value => f(value).map(Some).ok_or_else(|| (row, misfit(value, data))),
        };
        values.iter().enumerate().map(one).collect()
    }
    let ints = |f: fn(&Value) -> Option<i64>| each::<i64, Vec<Option<i64>>>(values, data, f);
    Ok(match data {
        DataType::Boolean => Arc::new(each::<_, BooleanArray>(values, data, |v| match v {
            Value::Bool(b) => Some(*b),
            _ => None,
        })?),
        DataType::Int32 => Arc::new(each::<_, Int32Array>(values, data, |v| match v {
            Value::Int(i) => i32::try_from(*i).ok(),
            _ => None,
        })?),
        DataType::Int64 => Arc::new(Int64Array::from(ints(Value::integer)?)),
        DataType::Float64 => Arc::new(each::<_, Float64Array>(values, data, as_float)?),
        DataType::Decimal128(p, s) => {
            let all: Decimal128Array = each(values, data, |v| decimal_at(as_decimal(v)?, *p, *s))?;
            Arc::new(all.with_precision_and_scale(*p, *s).map_err(|e| (0, e.to_string()))?)
        }
        DataType::Utf8 => Arc::new(each::<_, StringArray>(values, data, |v| Some(v.to_string()))?),
        DataType::Date32 => Arc::new(each::<_, Date32Array>(values, data, |v| match v {
            Value::Date(date) => Some(days_of(*date)),
            _ => None,
        })?),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            Arc::new(TimestampMicrosecondArray::from(ints(Value::integer)?).with_timezone_opt(zone.clone()))
        }
        DataType::Time64(TimeUnit::Microsecond) => Arc::new(Time64MicrosecondArray::from(ints(Value::integer)?)),
        DataType::List(_) => {
            let mut lists = ListBuilder::new(StringBuilder::new());
            for value in values {
                if let Value::List(items) = value {
                    lists.append_value(items.iter().map(|item| Some(item.to_string())));
                } else {
                    lists.append_null();
                }
            }
            Arc::new(lists.finish())
        }
        _ => new_null_array(data, values.len()),
    })
}

fn misfit(value: &Value, data: &DataType) -> String {
    let ty = Type::of(data).unwrap_or(Type::Any);
    match data {
        DataType::Decimal128(p, s) => format!("{value} does not fit {ty} of {p} digits, {s} of them after the point"),
        _ => format!("{value} is not {ty}"),
    }
}

/// Whole numbers, dates, instants and times as Arrow keeps them.
pub(super) enum Integers<'a> {
    Const(i64),
    Short(&'a [i32]),
    Long(&'a [i64]),
}

impl<'a> Integers<'a> {
    pub(super) fn of(vector: &'a Vector) -> Option<Self> {
        let array = match vector {
            Vector::Const(value) => return value.integer().map(Self::Const),
            Vector::Array(array) => array,
            Vector::Decimals(_) => return None,
        };
        let any = array.as_any();
        Some(match array.data_type() {
            DataType::Int32 => Self::Short(any.downcast_ref::<Int32Array>()?.values()),
            DataType::Date32 => Self::Short(any.downcast_ref::<Date32Array>()?.values()),
            DataType::Int64 => Self::Long(any.downcast_ref::<Int64Array>()?.values()),
            DataType::Timestamp(..) => Self::Long(any.downcast_ref::<TimestampMicrosecondArray>()?.values()),
            DataType::Time64(_) => Self::Long(any.downcast_ref::<Time64MicrosecondArray>()?.values()),
            _ => return None,
        })
    }
}

/// Texts as Arrow keeps them.
pub(super) fn texts(vector: &Vector) -> Option<&StringArray> {
    match vector {
        Vector::Array(array) => array.as_string_opt::<i32>(),
        _ => None,
    }
}
