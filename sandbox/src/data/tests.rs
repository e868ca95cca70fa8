//! What the store promises to every system.

use super::{By, Draft, Patch, Store, Value, generate::Others};
use crate::{dataverse::tables, guid::Guid, time::DAY};

const ID: Guid = Guid::from_u128(7);

/// Contacts, none of them generated, with a recycle bin.
fn store() -> Store {
    let mut store = Store::new(tables(Others { seed: 0, people: 0, companies: 0, users: 0 }, 0));
    store.retention.bin_days = Some(30);
    store
}

fn write(store: &mut Store, name: &str, now: i64) {
    let field = store.tables[0].field("firstname").unwrap();
    store.write(Draft::now(0, ID, Patch::from([(field, Value::text(name))])), now, By::Admin);
}

/// The first name in the recycle bin.
fn binned(store: &Store) -> Option<String> {
    let table = &store.tables[0];
    let row = table.deleted_since(0).filter_map(|(_, deleted)| deleted.row.as_ref()).last()?;
    row.values.get(&table.field("firstname")?)?.as_text().map(str::to_owned)
}

#[test]
fn writes_that_are_taken_back_leave_the_bin_as_it_was() {
    let mut store = store();
    write(&mut store, "first", 1);
    assert!(store.delete(0, ID, 2, By::Wire));
    store.begin();
    write(&mut store, "second", 3);
    assert!(store.delete(0, ID, 4, By::Wire));
    write(&mut store, "third", 5);
    store.roll_back();
    assert!(store.tables[0].get(ID).is_none());
    assert_eq!(store.tables[0].deleted_since(0).count(), 1);
    assert!(store.undelete(0, ID, 6, By::Admin), "it is still in the bin");
    let field = store.tables[0].field("firstname").unwrap();
    let record = store.tables[0].get(ID).unwrap();
    assert_eq!(store.tables[0].value(record, field), Value::literal("first"));
}

#[test]
fn the_bin_keeps_a_record_for_its_days_and_the_log_of_deletions_for_good() {
    let mut store = store();
    write(&mut store, "kept", 1);
    store.delete(0, ID, 2, By::Wire);
    store.settle(2 + 30 * DAY - 1);
    assert_eq!(binned(&store).as_deref(), Some("kept"));
    store.settle(2 + 30 * DAY);
    assert_eq!((binned(&store), store.tables[0].deleted_since(0).count()), (None, 1));
    assert!(!store.undelete(0, ID, 3 + 30 * DAY, By::Admin));
}

#[test]
fn a_record_that_somebody_keeps_stays_as_it_was_for_them() {
    let mut store = store();
    write(&mut store, "then", 1);
    let kept = super::Held::records(&store.tables[0]).row(ID).unwrap().clone();
    write(&mut store, "now", 2);
    let field = store.tables[0].field("firstname").unwrap();
    assert_eq!(kept.values[&field], Value::literal("then"));
    assert_eq!(store.tables[0].value(store.tables[0].get(ID).unwrap(), field), Value::literal("now"));
}
