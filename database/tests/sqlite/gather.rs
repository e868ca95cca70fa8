//! Finding rows in what was read of a table.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use engine::outside::database::{Database, Gathered, Lookup, Matches};
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::{Place, block_on, texts};

fn lookup(keys: &[&str]) -> Lookup {
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    Lookup { table: "t".to_owned(), keys: owned(keys), columns: owned(&["n", "name"]), zone: TimeZone::UTC }
}

fn gather(place: &Place, keys: &[&str], many: u64, bytes: usize) -> Option<Box<dyn Gathered>> {
    block_on(place.sqlite.gather(&lookup(keys), many, bytes)).unwrap()
}

const MIB: usize = 1024 * 1024;

/// What may stand in a column, as SQL.
const STORED: [&str; 24] = [
    "NULL",
    "''",
    "'a'",
    "'A'",
    "'a '",
    "' a'",
    "'É'",
    "'é'",
    "'a' || char(0) || 'b'",
    "'A' || char(0) || 'c'",
    "'7'",
    "'007'",
    "'7.0'",
    "7",
    "7.0",
    "7.5",
    "1",
    "'true'",
    "9007199254740993",
    "9007199254740992.0",
    "'2026-01-31'",
    "'2026-01-31 13:05:00.000000Z'",
    "x'61'",
    "CAST(x'61ff' AS TEXT)",
];

/// Columns as they are declared, and what is searched in them.
fn columns() -> Vec<(&'static str, Vec<ArrayRef>)> {
    let day = Date32Array::from(vec![Some(20_484), Some(0), None]);
    let instant = TimestampMicrosecondArray::from(vec![Some(1_769_864_700_000_000), Some(0), None]);
    let texts = ["", "a", "A", "a  ", " a", "É", "a\0b", "a\0d", "7", "007", "7.0", "7.5", "1", "2026-01-31"];
    let texts = Arc::new(texts.into_iter().map(Some).chain([None]).collect::<StringArray>()) as ArrayRef;
    let ints = Arc::new(Int64Array::from(vec![Some(7), Some(1), Some(9_007_199_254_740_993), None])) as ArrayRef;
    let floats = [Some(7.0), Some(7.5), Some(-0.0), Some(f64::NAN), Some(9_007_199_254_740_992.0), Some(1e300), None];
    let floats = Arc::new(Float64Array::from(floats.to_vec())) as ArrayRef;
    let bools = Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])) as ArrayRef;
    let (days, instants) = (Arc::new(day) as ArrayRef, Arc::new(instant.with_timezone("UTC")) as ArrayRef);
    let any = vec![texts, ints.clone(), floats.clone(), bools.clone(), days.clone(), instants.clone()];
    vec![
        ("TEXT", any.clone()),
        ("TEXT COLLATE NOCASE", any.clone()),
        ("VARCHAR(9) COLLATE RTRIM", any.clone()),
        ("", any),
        ("INT", vec![ints]),
        ("REAL", vec![floats]),
        ("BOOLEAN", vec![bools]),
        ("DATE", vec![days]),
        ("TIMESTAMP", vec![instants]),
    ]
}

fn single(keys: &[(&str, &ArrayRef, usize)]) -> RecordBatch {
    let columns = keys.iter().map(|(name, array, row)| (*name, array.slice(*row, 1), true));
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn same(found: &Matches, searched: &Matches) -> bool {
    found.found == searched.found && found.rows == searched.rows
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Collations, types, nulls, repeated keys and values that do not fit their column included.
    #[test]
    fn what_was_read_gives_the_answers_of_a_search(
        first in 0..9_usize,
        second in 0..9_usize,
        index in proptest::sample::select(vec![
            "", "CREATE INDEX i ON t(k)", "CREATE UNIQUE INDEX i ON t(k, l)", "CREATE UNIQUE INDEX i ON t(k COLLATE NOCASE)",
        ]),
        rows in proptest::collection::vec(
            (proptest::sample::select(&STORED[..]), proptest::sample::select(&STORED[..]), 0..12_u8), 0..12,
        ),
    ) {
        let all = columns();
        let ((k, k_keys), (l, l_keys)) = (&all[first], &all[second]);
        let rows = rows.iter().map(|(k, l, n)| match n {
            0 => format!("INSERT OR IGNORE INTO t VALUES ({k}, {l}, 'none', 'x');"),
            1 => format!("INSERT OR IGNORE INTO t VALUES ({k}, {l}, 1, CAST(x'ff' AS TEXT));"),
            n => format!("INSERT OR IGNORE INTO t VALUES ({k}, {l}, {n}, 'name {n}');"),
        });
        let place = Place::new(&format!("CREATE TABLE t(k {k}, l {l}, n INT, name TEXT); {index}; {}", rows.collect::<String>()));
        let check = |by: &[&str], keys: RecordBatch| {
            let gathered = gather(&place, by, 1_000, MIB).unwrap();
            let (found, searched) = (gathered.find(&keys), block_on(place.sqlite.lookup(&lookup(by), keys.clone())));
            let is_same = match (&found, &searched) {
                (Ok(found), Ok(searched)) => same(found, searched),
                (Err(found), Err(searched)) => found.class == searched.class,
                _ => false,
            };
            prop_assert!(is_same, "{by:?} {keys:?}\n{found:?}\n{searched:?}");
            Ok(())
        };
        for array in k_keys {
            for row in 0..array.len() {
                check(&["k"], single(&[("k", array, row)]))?;
            }
        }
        for row in 0..k_keys[0].len() {
            for other in 0..l_keys[0].len() {
                check(&["k", "l"], single(&[("k", &k_keys[0], row), ("l", &l_keys[0], other)]))?;
            }
        }
    }
}

#[test]
fn a_table_is_read_only_where_that_is_faster_and_fits_into_the_memory() {
    let rows = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 10000)
        INSERT INTO t SELECT 'person' || n, n, 'name ' || n FROM c";
    let place = Place::new(&format!("CREATE TABLE t(k TEXT PRIMARY KEY, n INT, name TEXT); {rows}"));
    assert!(gather(&place, &["k"], 4_999, MIB).is_none(), "few keys are searched");
    let gathered = gather(&place, &["k"], 5_000, MIB).unwrap();
    assert!(gathered.bytes() < MIB, "{}", gathered.bytes());
    assert!(gather(&place, &["k"], 5_000, MIB / 2).is_none(), "what does not fit is searched");
    let found = gathered.find(&texts(&[("k", &[Some("person10000"), Some("person0"), Some("person1")])])).unwrap();
    assert_eq!(found.found, [1, 0, 1]);
    // As it was when it was read.
    place.other().execute_batch("DELETE FROM t").unwrap();
    assert_eq!(gathered.find(&texts(&[("k", &[Some("person1")])])).unwrap().found, [1]);
}

#[test]
fn a_text_of_which_sqlite_makes_a_number_is_left_to_sqlite() {
    for kind in ["STRING", "NUMERIC(9, 2)", "LIST", "INTEGER LIST"] {
        let place = Place::new(&format!("CREATE TABLE t(k {kind}, n INT, name TEXT)"));
        assert!(gather(&place, &["k"], 1_000, MIB).is_none(), "{kind}");
    }
}
