//! Versions of source records: which row is older than what was written, and for how long that is remembered.

use engine::outside::database::{Database, LedgerKey, Older, Operation, Write, Written};
use engine::version::Versions;

use crate::{Place, block_on, texts, write};

const TABLE: &str = "CREATE TABLE t(k TEXT PRIMARY KEY, v TEXT, w TEXT)";

/// Writes a version of the record `r1` of this source into the column `v` or `w`.
fn put(place: &Place, source: (&str, &str), version: i64, column: &str, until: Option<u64>) -> Written {
    let write = Write { older: Older::LeaveOut { until }, ..write("t", Operation::Upsert, &["k"]) };
    let value = format!("{} {version}", source.1);
    let rows = texts(&[("k", &[Some("a")]), (column, &[Some(&value)])]);
    place.write_as(&write, versions(source, version).attach(&rows).unwrap()).unwrap()
}

fn versions((account, object): (&str, &str), version: i64) -> Versions {
    Versions::new(account, object, [("r1", version)])
}

fn tables(place: &Place) -> Vec<String> {
    place.rows("SELECT name FROM sqlite_schema WHERE name LIKE 'campanile_version%' ORDER BY name")
}

const LEAD: (&str, &str) = ("crm", "Lead");

#[test]
fn an_older_version_of_a_record_is_left_out_and_an_equal_or_newer_one_is_written() {
    let place = Place::new(TABLE);
    assert_eq!(put(&place, LEAD, 5, "v", Some(9)).older, [0; 0]);
    assert_eq!(put(&place, LEAD, 4, "v", None).older, [0]);
    assert_eq!(place.rows("SELECT v FROM t"), ["Lead 5"]);
    assert_eq!(put(&place, LEAD, 5, "v", None).counts["unchanged"], 1);
    assert_eq!(put(&place, LEAD, 6, "v", None).counts["updated"], 1);
}

#[test]
fn versions_of_other_sources_and_of_other_columns_are_not_compared() {
    let place = Place::new(TABLE);
    put(&place, LEAD, 5, "v", Some(9));
    for (source, column) in [(("other", "Lead"), "v"), (("crm", "Contact"), "v"), (LEAD, "w")] {
        assert_eq!(put(&place, source, 4, column, None).older, [0; 0], "{source:?} {column}");
    }
    let delete = Write { older: Older::LeaveOut { until: None }, ..write("t", Operation::Delete, &["k"]) };
    let rows = versions(LEAD, 4).attach(&texts(&[("k", &[Some("a")])])).unwrap();
    assert_eq!(place.write_as(&delete, rows).unwrap().older, [0], "a deletion writes over all columns");
}

#[test]
fn nothing_is_remembered_unless_a_run_needs_it_nor_longer_than_one_does() {
    let place = Place::new(TABLE);
    put(&place, LEAD, 5, "v", None);
    assert_eq!(tables(&place), [""; 0]);
    put(&place, LEAD, 5, "v", Some(9));
    block_on(place.sqlite.forget_versions("another folder", u64::MAX)).unwrap();
    block_on(place.sqlite.forget_versions("folder", 9)).unwrap();
    assert_eq!(put(&place, LEAD, 4, "v", None).older, [0]);
    block_on(place.sqlite.forget_versions("folder", 10)).unwrap();
    assert_eq!(place.rows("SELECT count(*) FROM campanile_version"), ["0"]);
    assert_eq!(put(&place, LEAD, 4, "v", None).older, [0; 0]);
    assert!(block_on(place.sqlite.tables()).unwrap().iter().all(|table| !table.starts_with("campanile_")));
}

#[test]
fn a_batch_that_is_replayed_decides_nothing_again() {
    let place = Place::new(TABLE);
    let write = Write { older: Older::LeaveOut { until: Some(1) }, ..write("t", Operation::Upsert, &["k"]) };
    let old = versions(LEAD, 4).attach(&texts(&[("k", &[Some("a")]), ("v", &[Some("old")])])).unwrap();
    let ledger = LedgerKey { folder: "folder".to_owned(), task: "old/1".to_owned(), batch: 0 };
    block_on(place.sqlite.write(&ledger, &write, old.clone())).unwrap();
    put(&place, LEAD, 5, "v", Some(1));
    let again = block_on(place.sqlite.write(&ledger, &write, old)).unwrap();
    assert!(again.replayed && again.older.is_empty() && again.counts["inserted"] == 1, "{again:?}");
    assert_eq!(place.rows("SELECT v FROM t"), ["Lead 5"]);
}
