//! Values of one part of an expression for all records of a batch.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
    ListArray, StringArray, Time64MicrosecondArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, FieldRef, TimeUnit};
use rust_decimal::Decimal;

use super::value::{Value, as_decimal, as_float, days_of};
use crate::numbers::decimal_at;
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

    /// From values of one type, or of several kinds of numbers; those that do not fit the type of all are null.
    pub(super) fn collect(values: Vec<Value>) -> (Self, Vec<Misfit>) {
        let ty = values.iter().map(Value::ty).fold(Type::Null, |all, one| match (&all, &one) {
            (_, Type::Null) => all,
            (Type::Null, _) | (_, Type::Float) | (Type::Int, Type::Decimal) => one,
            _ => all,
        });
        match &ty {
            Type::Null => (Self::Const(Value::Null), Vec::new()),
            Type::Decimal => (Self::Decimals(values.iter().map(as_decimal).collect()), Vec::new()),
            _ => {
                let (array, misfits) = array(&ty.arrow(), &values);
                (Self::Array(array), misfits)
            }
        }
    }

    /// As a column of this type, and the rows of the values that do not fit it, each with what is wrong; they are null.
    pub(super) fn into_array(self, data: &DataType, len: usize) -> (ArrayRef, Vec<Misfit>) {
        match self {
            Self::Array(array) if array.data_type() == data => (array, Vec::new()),
            Self::Const(Value::Null) => (new_null_array(data, len), Vec::new()),
            other => array(data, &(0..len).map(|row| other.row(row)).collect::<Vec<_>>()),
        }
    }
}

/// The row of a value that does not fit a type, and what is wrong.
pub(super) type Misfit = (usize, String);

/// Values as an Arrow array, and those that do not fit.
fn array(data: &DataType, values: &[Value]) -> (ArrayRef, Vec<Misfit>) {
    let mut misfits = Vec::new();
    let array = fitted(data, values, &mut misfits);
    (array, misfits)
}

fn fitted(data: &DataType, values: &[Value], misfits: &mut Vec<Misfit>) -> ArrayRef {
    fn each<T, O: FromIterator<Option<T>>>(
        values: &[Value],
        data: &DataType,
        misfits: &mut Vec<Misfit>,
        f: impl Fn(&Value) -> Option<T>,
    ) -> O {
        let one = |(row, value): (usize, &Value)| {
            let fitting = f(value);
            if fitting.is_none() && *value != Value::Null {
                misfits.push((row, misfit(value, data)));
            }
            fitting
        };
        values.iter().enumerate().map(one).collect()
    }
    match data {
        DataType::Boolean => Arc::new(each::<_, BooleanArray>(values, data, misfits, |v| match v {
            Value::Bool(b) => Some(*b),
            _ => None,
        })),
        DataType::Int32 => Arc::new(each::<_, Int32Array>(values, data, misfits, |v| match v {
            Value::Int(i) => i32::try_from(*i).ok(),
            _ => None,
        })),
        DataType::Int64 => Arc::new(each::<_, Int64Array>(values, data, misfits, Value::integer)),
        DataType::Float64 => Arc::new(each::<_, Float64Array>(values, data, misfits, as_float)),
        DataType::Decimal128(p, s) => {
            let all: Decimal128Array = each(values, data, misfits, |v| decimal_at(as_decimal(v)?, *p, *s));
            Arc::new(all.with_data_type(data.clone()))
        }
        DataType::Utf8 => Arc::new(each::<_, StringArray>(values, data, misfits, |v| match v {
            Value::Null => None,
            value => Some(value.to_string()),
        })),
        DataType::Date32 => Arc::new(each::<_, Date32Array>(values, data, misfits, |v| match v {
            Value::Date(date) => Some(days_of(*date)),
            _ => None,
        })),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let all: TimestampMicrosecondArray = each(values, data, misfits, Value::integer);
            Arc::new(all.with_timezone_opt(zone.clone()))
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            Arc::new(each::<_, Time64MicrosecondArray>(values, data, misfits, Value::integer))
        }
        DataType::List(item) => lists(item, values, misfits),
        _ => new_null_array(data, values.len()),
    }
}

/// A list with an item that does not fit is null.
fn lists(item: &FieldRef, values: &[Value], misfits: &mut Vec<Misfit>) -> ArrayRef {
    let (mut items, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new());
    for (row, value) in values.iter().enumerate() {
        let list = match value {
            Value::List(list) => list.as_slice(),
            Value::Null => &[],
            other => {
                misfits.push((row, misfit(other, &DataType::List(Arc::clone(item)))));
                &[]
            }
        };
        let wrong = array(item.data_type(), list).1;
        misfits.extend(wrong.first().map(|(_, message)| (row, message.clone())));
        let fits = wrong.is_empty() && matches!(value, Value::List(_));
        lengths.push(if fits { list.len() } else { 0 });
        valid.push(fits);
        items.extend_from_slice(if fits { list } else { &[] });
    }
    let (items, _) = array(item.data_type(), &items);
    let offsets = OffsetBuffer::from_lengths(lengths);
    Arc::new(ListArray::new(Arc::clone(item), offsets, items, Some(NullBuffer::from(valid))))
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
