//! Changes such as people make all day: a new telephone number, a move, a marriage.

use std::{collections::BTreeMap, ops::Bound};

use super::{
    generate::Fact,
    store::{By, Draft, Store},
    table::Table,
    value::Value,
};
use crate::{
    guid::Guid,
    random::{below, mix},
};

/// How often a record is drawn anew when the one drawn is deleted or already changed.
const DRAWS_MAX: u64 = 50;

/// Changes `count` records of a table and returns their ids, fewer if there are not so many.
pub(crate) fn as_people_do(store: &mut Store, table: usize, count: usize, seed: u64, now: i64) -> Vec<Guid> {
    let chosen = choose(&store.tables[table], count, seed);
    for id in &chosen {
        let Some(values) = new_values(&store.tables[table], *id, seed) else {
            continue;
        };
        store.write(Draft::now(table, *id, values), now, By::Admin);
    }
    chosen
}

/// Different records, drawn by chance; all of them where there are no more than `count`.
fn choose(table: &Table, count: usize, seed: u64) -> Vec<Guid> {
    let all = table.len();
    if count.saturating_mul(2) >= all || table.generated_count() == 0 {
        let mut ids: Vec<Guid> =
            table.by_id(Bound::Unbounded, Bound::Unbounded, false).map(|record| table.id(record)).collect();
        ids.sort_by_key(|id| mix(seed, id_chance(*id)));
        ids.truncate(count);
        return ids;
    }
    let mut chosen = std::collections::BTreeSet::new();
    let mut draw = 0;
    while chosen.len() < count && draw < DRAWS_MAX * u64::try_from(count).unwrap_or(1) {
        let number = mix(seed, draw) % u64::from(table.generated_count());
        if let Some(record) = table.generated(u32::try_from(number).unwrap_or(0)) {
            chosen.insert(table.id(record));
        }
        draw += 1;
    }
    let mut ids: Vec<Guid> = chosen.into_iter().collect();
    ids.sort_by_key(|id| mix(seed, id_chance(*id)));
    ids
}

/// One of the record's facts, and what it becomes: what another record has there.
fn new_values(table: &Table, id: Guid, seed: u64) -> Option<BTreeMap<usize, Value<'static>>> {
    const WHAT_CHANGES: &[Fact] = &[Fact::Phone, Fact::City, Fact::LastName, Fact::JobTitle, Fact::CompanyName];
    let changeable: Vec<(usize, Fact)> =
        WHAT_CHANGES.iter().filter_map(|fact| Some((table.field_of(*fact)?, *fact))).collect();
    let record = table.get(id)?;
    let chance = mix(seed, id_chance(id));
    let (field, fact) = *changeable.get(below(chance, changeable.len()))?;
    let old = table.value(record, field);
    for draw in 0..DRAWS_MAX {
        let new = table.other_fact(mix(chance, draw), fact);
        if !new.is_null() && new != old {
            return Some(BTreeMap::from([(field, new)]));
        }
    }
    None
}

fn id_chance(id: Guid) -> u64 {
    let bytes = id.as_u128().to_le_bytes();
    u64::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]])
}
