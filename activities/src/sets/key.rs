//! Keys and ranks as bytes.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StringArray};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Float64Type};
use arrow::row::{RowConverter, Rows, SortField};
use engine::failure::Failure;
use engine::outside::database::Collation;

use super::Key;

/// What a record is whose key has an empty part: null, or text without a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Empty {
    /// It belongs to no group.
    Alone,
    /// It belongs to the group of those whose key is the same; null and empty text are different.
    Grouped,
}

/// The group of each record, of its keys. Equal keys are equal as the values are: text byte by byte.
pub(crate) fn keys(columns: &[ArrayRef], empty: Empty) -> Result<Vec<Option<Key>>, Failure> {
    let columns: Vec<ArrayRef> = columns.iter().map(one_zero).collect();
    let ranks: Vec<_> = columns.iter().map(|column| (Arc::clone(column), SortOptions::default())).collect();
    let Some(rows) = rows(&ranks)? else { return Ok(Vec::new()) };
    let all = (0..rows.num_rows()).map(|row| {
        if empty == Empty::Alone && columns.iter().any(|column| is_empty(column, row)) {
            return None;
        }
        let hash = blake3::hash(rows.row(row).data());
        hash.as_bytes().first_chunk().copied().map(u128::from_be_bytes)
    });
    Ok(all.collect())
}

/// Keys as the database compares them: each text as the one that stands for all that are equal to it.
pub(crate) fn folded(column: &ArrayRef, collation: Collation) -> ArrayRef {
    match column.as_string_opt::<i32>() {
        Some(texts) if collation != Collation::Exact => {
            Arc::new(texts.iter().map(|text| text.map(|text| collation.fold(text))).collect::<StringArray>())
        }
        _ => Arc::clone(column),
    }
}

/// Whether a value is null or text without a character.
pub(crate) fn is_empty(column: &ArrayRef, row: usize) -> bool {
    match column.data_type() {
        DataType::Null => true,
        DataType::Utf8 => column.is_null(row) || column.as_string::<i32>().value(row).is_empty(),
        _ => column.is_null(row),
    }
}

/// Which values are null or text without a character.
pub(crate) fn empties(column: &ArrayRef) -> BooleanArray {
    (0..column.len()).map(|row| Some(is_empty(column, row))).collect()
}

/// Encodes columns so that the bytes of two rows compare as their values do; `None` for no columns.
pub(crate) fn rows(columns: &[(ArrayRef, SortOptions)]) -> Result<Option<Rows>, Failure> {
    if columns.is_empty() {
        return Ok(None);
    }
    let fields =
        columns.iter().map(|(column, options)| SortField::new_with_options(column.data_type().clone(), *options));
    let columns: Vec<ArrayRef> = columns.iter().map(|(column, _)| Arc::clone(column)).collect();
    let rows = RowConverter::new(fields.collect()).and_then(|converter| converter.convert_columns(&columns));
    rows.map(Some).map_err(|error| Failure::internal(format!("values cannot be compared: {error}")))
}

/// A key of its halves.
pub(super) fn whole(high: u64, low: u64) -> Key {
    (u128::from(high) << 64) | u128::from(low)
}

pub(super) fn halves(key: Key) -> [u64; 2] {
    let bytes = key.to_be_bytes();
    let (upper, lower) = bytes.split_at(8);
    [upper, lower].map(|half| half.try_into().map(u64::from_be_bytes).unwrap_or_default())
}

/// `-0.0` equals `0.0`, though not in their bits.
fn one_zero(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Float64 => {
            Arc::new(column.as_primitive::<Float64Type>().unary::<_, Float64Type>(|number| number + 0.0))
        }
        _ => Arc::clone(column),
    }
}
