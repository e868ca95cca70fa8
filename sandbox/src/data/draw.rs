//! Drawing from lists and ranges.

use super::value::Value;
use crate::random::{below, fraction};

pub(super) fn choose<T>(list: &'static [T], chance: u64) -> &'static T {
    &list[below(chance, list.len())]
}

pub(super) fn word(list: &'static [&'static str], chance: u64) -> Value<'static> {
    Value::literal(choose::<&str>(list, chance))
}

pub(super) fn pick(chance: u64, count: u32) -> i64 {
    i64::try_from(chance % u64::from(count)).unwrap_or(0)
}

pub(super) fn scaled(chance: u64, span: i64) -> i64 {
    let span = u64::try_from(span.max(1)).unwrap_or(1);
    i64::try_from((chance >> 1) % span).unwrap_or(0)
}

pub(super) fn degrees(chance: u64, limit: f64) -> f64 {
    ((fraction(chance) * 2.0 - 1.0) * limit * 100_000.0).round() / 100_000.0
}
