//! Records to evaluate expressions for.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, ListBuilder,
    RecordBatch, StringArray, StringBuilder, Time64MicrosecondArray, TimestampMicrosecondArray,
};
use engine::expr::{Value, Values};
use jiff::Timestamp;

pub(crate) fn values() -> Values {
    let now: Timestamp = "2026-03-03T10:00:00Z".parse().unwrap();
    Values::empty(now)
}

pub(crate) fn records(batch: &RecordBatch) -> Vec<BTreeMap<String, Value>> {
    let names: Vec<String> = batch.schema().fields().iter().map(|f| f.name().clone()).collect();
    let value = |row| move |(i, name): (usize, &String)| (name.clone(), Value::at(batch.column(i), row));
    (0..batch.num_rows()).map(|row| names.iter().enumerate().map(value(row)).collect()).collect()
}

/// Records with every type, nulls, letters beyond ASCII, and dates around a change of the clock.
pub(crate) fn wide(turn: usize) -> RecordBatch {
    const ROWS: usize = 23;
    fn column<T: Clone>(pool: &[T], step: usize, turn: usize) -> Vec<T> {
        (0..ROWS).map(|row| pool[(row * step + turn) % pool.len()].clone()).collect()
    }
    let texts = [
        None,
        Some(""),
        Some("ada"),
        Some("Ada"),
        Some("ZOË"),
        Some("zoë"),
        Some(" a b "),
        Some("ﬀ"),
        Some("10"),
        Some("İ@x"),
    ];
    let days = [None, Some(0), Some(15645), Some(15646), Some(-1), Some(20000)];
    let instants =
        [None, Some(0), Some(1_774_745_999_000_000), Some(1_774_746_000_000_000), Some(1_792_890_000_123_456)];
    let decimals = [None, Some(0i128), Some(502_500), Some(-25_000), Some(10_000), Some(9_999_999_999_999_999)];
    let mut lists = ListBuilder::new(StringBuilder::new());
    for items in column(&[None, Some(vec![]), Some(vec!["ada"]), Some(vec!["Ada", "x"])], 1, turn) {
        match items {
            Some(items) => lists.append_value(items.into_iter().map(Some)),
            None => lists.append_null(),
        }
    }
    let money = Decimal128Array::from(column(&decimals, 5, turn)).with_precision_and_scale(19, 4).unwrap();
    let exact = Decimal128Array::from(column(&decimals, 7, turn)).with_precision_and_scale(38, 10).unwrap();
    let columns: [(&str, ArrayRef); 14] = [
        ("name", Arc::new(StringArray::from(column(&texts, 3, turn)))),
        ("First Name", Arc::new(StringArray::from(column(&texts, 7, turn)))),
        ("number", Arc::new(Int32Array::from(column(&[None, Some(0), Some(10), Some(-3), Some(7)], 3, turn)))),
        (
            "big",
            Arc::new(Int64Array::from(column(
                &[None, Some(0), Some(10), Some(i64::MAX), Some(i64::MIN), Some(3), Some(9_007_199_254_740_993)],
                5,
                turn,
            ))),
        ),
        ("money", Arc::new(money)),
        ("exact", Arc::new(exact)),
        (
            "ratio",
            Arc::new(Float64Array::from(column(
                &[None, Some(0.0), Some(-0.0), Some(0.1), Some(10.0), Some(-2.5), Some(1e300)],
                3,
                turn,
            ))),
        ),
        ("flag", Arc::new(BooleanArray::from(column(&[None, Some(true), Some(false)], 1, turn)))),
        ("day", Arc::new(Date32Array::from(column(&days, 5, turn)))),
        ("at", Arc::new(TimestampMicrosecondArray::from(column(&instants, 3, turn)).with_timezone("UTC"))),
        ("since", Arc::new(TimestampMicrosecondArray::from(column(&instants, 2, turn)).with_timezone("UTC"))),
        ("local", Arc::new(TimestampMicrosecondArray::from(column(&instants, 4, turn)))),
        (
            "clock",
            Arc::new(Time64MicrosecondArray::from(column(
                &[None, Some(0), Some(36_000_000_000), Some(86_399_999_999)],
                3,
                turn,
            ))),
        ),
        ("tags", Arc::new(lists.finish())),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}
