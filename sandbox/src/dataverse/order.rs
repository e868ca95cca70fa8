//! `$orderby`: keys as bytes whose order is the order of the records, so that a position in a query is just such a key.

use crate::{
    data::{Record, write_id, write_value},
    dataverse::{
        error::Error,
        model::{Reach, Scope},
    },
};

/// One part of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OrderPart {
    /// The field.
    pub(crate) field: Reach,
    /// From large to small, nulls last.
    pub(crate) descending: bool,
}

/// Parts of an order at most, as in the real system's documentation of query limits.
const PARTS_MAX: usize = 10;

/// Reads `lastname asc, createdon desc`.
pub(crate) fn parse(text: &str, scope: Scope<'_>) -> Result<Vec<OrderPart>, Error> {
    let parts: Vec<&str> = text.split(',').collect();
    if parts.len() > PARTS_MAX {
        return Err(Error::query(format!("The number of order by properties exceeds the limit of {PARTS_MAX}.")));
    }
    parts
        .into_iter()
        .map(|part| {
            let mut words = part.split_whitespace();
            let name = words
                .next()
                .ok_or_else(|| Error::query(format!("Expression expected at position {} in '{text}'.", text.len())))?;
            let descending = match (words.next(), words.next()) {
                (None | Some("asc"), None) => false,
                (Some("desc"), None) => true,
                _ => {
                    return Err(Error::query(format!("Syntax error at position {} in '{text}'.", name.len())));
                }
            };
            Ok(OrderPart { field: scope.reach(name)?, descending })
        })
        .collect()
}

/// The order key of a record: nulls first in ascending, last in descending parts; equal records by their id.
pub(crate) fn key(scope: Scope<'_>, record: Record<'_>, parts: &[OrderPart]) -> Vec<u8> {
    let mut key = Vec::with_capacity(32 * (parts.len() + 1));
    for part in parts {
        let start = key.len();
        write_value(&scope.value(record, part.field), &mut key);
        if part.descending {
            key[start..].iter_mut().for_each(|byte| *byte = !*byte);
        }
        if part.field.is_id(scope.table) {
            return key;
        }
    }
    write_id(scope.table.id(record), &mut key);
    key
}
