//! Running a query: which records, in which order.

use std::{borrow::Cow, cmp::Ordering, collections::HashSet};

use super::plan::{Aggregate, Function, Path, Plan};
use crate::salesforce::{
    schema::{Kind, Source},
    store::Store,
    table::{Record, Table},
    value::{Value, Wire},
};

/// What a record holds at the end of a path; null behind a reference to nothing.
pub(in crate::salesforce) fn resolve<'a>(
    store: &'a Store,
    table: &'a Table,
    record: Record<'a>,
    path: &Path,
) -> Cow<'a, Value> {
    let (mut table, mut record) = (table, record);
    for (reference, parent) in &path.hops {
        let Some(found) = table.referred(record, *reference, &store.tables[*parent]) else {
            return Cow::Owned(Value::Null);
        };
        (table, record) = (&store.tables[*parent], found);
    }
    if path.leads {
        let name = store.leads_to(table, record, path.field);
        return Cow::Owned(name.map_or(Value::Null, |name| Value::Text(name.into())));
    }
    table.shown(record, path.field)
}

/// The numbers of the records that a query asks for, in its order. With those in the bin if asked for.
pub(in crate::salesforce) fn matching(store: &Store, plan: &Plan, with_deleted: bool) -> Vec<u32> {
    let table = plan.table(store);
    let is_match = |record: &Record<'_>| plan.test.as_ref().is_none_or(|test| test.holds(store, table, *record));
    let candidates = plan.test.as_ref().and_then(|test| test.candidates(table, with_deleted));
    let records: Box<dyn Iterator<Item = Record<'_>>> = match candidates {
        Some(numbers) => {
            Box::new(numbers.into_iter().filter_map(
                move |number| {
                    if with_deleted { table.get(number) } else { table.live(number) }
                },
            ))
        }
        None => table.records(with_deleted),
    };
    let records = records.filter(is_match);
    let limit = plan.limit.unwrap_or(usize::MAX);
    let Some(((first, is_descending, nulls_last), rest)) = plan.order.split_first() else {
        return records.skip(plan.offset).take(limit).map(Record::number).collect();
    };
    let by_id = first.own().is_some_and(|field| matches!(table.object.fields[field].source, Source::Id));
    if by_id && !is_descending {
        return records.skip(plan.offset).take(limit).map(Record::number).collect();
    }
    let first_is_id = is_id(store, first);
    let mut keyed: Vec<(Value, u32)> =
        records.map(|record| (resolve(store, table, record, first).into_owned(), record.number())).collect();
    keyed.sort_by(|left, right| {
        order(&left.0, &right.0, first_is_id, *is_descending, *nulls_last)
            .then_with(|| by_the_rest(store, table, (left.1, right.1), rest))
            .then(left.1.cmp(&right.1))
    });
    keyed.into_iter().skip(plan.offset).take(limit).map(|(_, number)| number).collect()
}

fn by_the_rest(store: &Store, table: &Table, numbers: (u32, u32), rest: &[(Path, bool, bool)]) -> Ordering {
    let (Some(left), Some(right)) = (table.get(numbers.0), table.get(numbers.1)) else {
        return Ordering::Equal;
    };
    for (path, is_descending, nulls_last) in rest {
        let (left, right) = (resolve(store, table, left, path), resolve(store, table, right, path));
        let order = order(&left, &right, is_id(store, path), *is_descending, *nulls_last);
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// Whether a path ends in an id, in which capitals and small letters are different digits.
fn is_id(store: &Store, path: &Path) -> bool {
    matches!(store.tables[path.table].object.fields[path.field].kind, Kind::Id | Kind::Reference { .. })
}

fn order(left: &Value, right: &Value, is_id: bool, is_descending: bool, nulls_last: bool) -> Ordering {
    match (left.is_null(), right.is_null()) {
        (false, false) => {
            let order = if is_id { left.as_text().cmp(&right.as_text()) } else { left.order(right) };
            if is_descending { order.reverse() } else { order }
        }
        (left, right) if nulls_last => left.cmp(&right),
        (left, right) => right.cmp(&left),
    }
}

/// What a function gives over records.
pub(in crate::salesforce) fn aggregate(store: &Store, table: &Table, numbers: &[u32], aggregate: &Aggregate) -> Value {
    let values = numbers.iter().filter_map(|number| table.get(*number));
    let values = values.map(|record| resolve(store, table, record, &aggregate.path)).filter(|value| !value.is_null());
    let count = |count: usize| Value::Integer(i64::try_from(count).unwrap_or(i64::MAX));
    match aggregate.function {
        Function::Count => count(values.count()),
        Function::CountDistinct => {
            let keys = values.map(|value| {
                let mut out = Vec::new();
                value.write_csv(&mut out);
                out.to_ascii_lowercase()
            });
            count(keys.collect::<HashSet<_>>().len())
        }
        Function::Min => values.min_by(|left, right| left.order(right)).map_or(Value::Null, Cow::into_owned),
        Function::Max => values.max_by(|left, right| left.order(right)).map_or(Value::Null, Cow::into_owned),
    }
}
