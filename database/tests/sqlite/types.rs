//! Values go in and come out the same, and tables are described as they are.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, ListArray, RecordBatch,
    StringArray, Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Int64Type};
use database::Sqlite;
use engine::failure::Class;
use engine::outside::database::{Database, Lookup, Operation, Scan};
use jiff::tz::TimeZone;

use super::{Place, block_on, counts, rejects, texts};

/// All types, with nulls and the ends of their ranges.
fn values() -> Vec<(&'static str, &'static str, ArrayRef)> {
    let instants = vec![Some(1_769_864_700_000_001), None, Some(-1), Some(253_402_300_799_999_999)];
    let money = |digits: Vec<Option<i128>>| Decimal128Array::from(digits).with_precision_and_scale(19, 4).unwrap();
    let list = ListArray::from_iter_primitive::<Int64Type, _, _>(vec![
        Some(vec![Some(1), None, Some(-3)]),
        None,
        Some(vec![]),
        Some(vec![Some(i64::MAX)]),
    ]);
    let mut words = arrow::array::ListBuilder::new(arrow::array::StringBuilder::new());
    words.append_value([Some("a,\"b"), None]);
    words.append_null();
    words.append_value(Vec::<Option<&str>>::new());
    words.append_value([Some("é")]);
    vec![
        ("n", "INTEGER", Arc::new(Int64Array::from(vec![0, 1, 2, 3]))),
        ("yes", "BOOLEAN", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), Some(true)]))),
        ("whole", "BIGINT", Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(0), Some(i64::MAX)]))),
        ("real", "DOUBLE", Arc::new(Float64Array::from(vec![Some(0.1), None, Some(-1e300), Some(3.0)]))),
        (
            "exact",
            "DECIMAL_TEXT(19, 4)",
            Arc::new(money(vec![Some(9_999_999_999_999_999_999), None, Some(-1), Some(120_000)])),
        ),
        ("money", "DECIMAL(19,4)", Arc::new(money(vec![Some(123_456_789_012_345), None, Some(-1), Some(120_000)]))),
        ("price", "MONEY", Arc::new(money(vec![Some(1_234_567_890_123_450_000), None, Some(0), Some(10)]))),
        ("words", "TEXT", Arc::new(StringArray::from(vec![Some("É🦀\u{0}'\";--"), None, Some(""), Some("007")]))),
        ("plain", "", Arc::new(StringArray::from(vec![Some("007"), None, Some(" "), Some("1e3")]))),
        ("day", "DATE", Arc::new(Date32Array::from(vec![Some(20_484), None, Some(-1), Some(2_932_896)]))),
        ("at", "TIMESTAMP", Arc::new(TimestampMicrosecondArray::from(instants.clone()).with_timezone("UTC"))),
        ("local", "TIMESTAMP WITHOUT TIME ZONE", Arc::new(TimestampMicrosecondArray::from(instants))),
        ("clock", "TIME", Arc::new(Time64MicrosecondArray::from(vec![Some(0), None, Some(86_399_999_999), Some(1)]))),
        ("numbers", "INTEGER LIST", Arc::new(list)),
        ("names", "LIST", Arc::new(words.finish())),
    ]
}

#[test]
fn every_type_comes_back_as_it_was_and_is_found_unchanged() {
    let columns = values();
    let declared: Vec<_> = columns.iter().map(|(name, declared, _)| format!("{name} {declared}")).collect();
    let place = Place::new(&format!("CREATE TABLE t({})", declared.join(", ")));
    let batch = || {
        let columns = columns.iter().map(|(name, _, array)| (*name, Arc::clone(array), true));
        RecordBatch::try_from_iter_with_nullable(columns).unwrap()
    };
    let first = place.write(Operation::Upsert, &["n"], batch()).unwrap();
    assert_eq!((counts(&first), rejects(&first)), ([4, 0, 0, 0], vec![]));
    let again = place.write(Operation::Upsert, &["n"], batch()).unwrap();
    assert_eq!(counts(&again), [0, 0, 4, 0]);

    let names: Vec<String> = columns.iter().map(|(name, ..)| (*name).to_owned()).collect();
    let lookup = Lookup { table: "t".to_owned(), keys: vec!["n".to_owned()], columns: names, zone: TimeZone::UTC };
    let found = block_on(place.sqlite.lookup(&lookup, batch().project(&[0]).unwrap())).unwrap();
    for (name, declared, array) in &columns {
        let read = found.rows.column_by_name(name).unwrap();
        assert_eq!(read.to_data(), array.to_data(), "{name} {declared}");
    }
    let table = block_on(place.sqlite.table("t")).unwrap();
    for (name, declared, array) in &columns {
        assert_eq!(table.columns.field_with_name(name).unwrap().data_type(), array.data_type(), "{name} {declared}");
    }
    let written = "SELECT yes, exact, money, day, at, local, clock, numbers, names FROM t WHERE n = 0";
    assert_eq!(
        place.rows(written),
        ["1|999999999999999.9999|12345678901.2345|2026-01-31|2026-01-31 13:05:00.000001Z|2026-01-31 13:05:00.000001|\
          00:00:00.000000|[1,null,-3]|[\"a,\\\"b\",null]"]
    );
}

/// A column of text takes each type in its written form; SQLite's own would cut numbers to 15 digits.
#[test]
fn a_column_of_text_holds_the_written_form_of_every_type() {
    let columns = values();
    let names = columns.iter().map(|(name, ..)| format!("{name} TEXT")).collect::<Vec<_>>().join(", ");
    let place = Place::new(&format!("CREATE TABLE t({names})"));
    let third: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.0 / 3.0), None, Some(-1e300), Some(3.0)]));
    let columns =
        columns.into_iter().map(|(name, _, array)| (name, if name == "real" { Arc::clone(&third) } else { array }));
    let columns: Vec<_> = columns.collect();
    let batch = columns.iter().map(|(name, array)| (*name, Arc::clone(array), true));
    let batch = RecordBatch::try_from_iter_with_nullable(batch).unwrap();
    assert_eq!(rejects(&place.write(Operation::Insert, &[], batch).unwrap()), []);
    for (name, array) in columns.iter().filter(|(name, _)| *name != "yes") {
        let written = engine::written::Written::of(array).unwrap();
        let wanted: Vec<_> = (0..array.len())
            .map(|row| written.text(row).unwrap().map_or("∅".into(), |text| text.into_owned()))
            .collect();
        assert_eq!(place.rows(&format!("SELECT {name} FROM t ORDER BY CAST(n AS INTEGER)")), wanted, "{name}");
    }
    assert_eq!(place.rows("SELECT real FROM t WHERE n = 0"), ["0.3333333333333333"]);
}

#[test]
fn a_list_of_numbers_is_read_digit_by_digit() {
    let place = Place::new(
        "CREATE TABLE t(k TEXT, real \"REAL LIST\", money \"DECIMAL(38,10) LIST\", names LIST);
         INSERT INTO t VALUES ('a', '[0.1, 2.2250738585072014e-308]', '[1234567890123456789.0123456789]', '[1.50, true, null]')",
    );
    let columns = ["real", "money", "names"].map(str::to_owned).to_vec();
    let lookup = Lookup { table: "t".to_owned(), keys: vec!["k".to_owned()], columns, zone: TimeZone::UTC };
    let found = block_on(place.sqlite.lookup(&lookup, texts(&[("k", &[Some("a")])]))).unwrap().rows;
    let text = |n: usize| engine::written::Written::of(found.column(n)).unwrap().text(0).unwrap().unwrap().into_owned();
    assert_eq!(text(0), "[0.1,2.2250738585072014e-308]");
    assert_eq!(text(1), "[\"1234567890123456789.0123456789\"]");
    assert_eq!(text(2), "[\"1.50\",\"1\",null]");
}

#[test]
fn a_value_that_sqlite_would_change_is_refused() {
    let place = Place::new("CREATE TABLE t(money DECIMAL(19,4), day DATE, real REAL)");
    let money = |n| Arc::new(Decimal128Array::from(vec![n]).with_precision_and_scale(19, 4).unwrap()) as ArrayRef;
    let one = |name: &str, array: ArrayRef| {
        let batch = RecordBatch::try_from_iter([(name, array)]).unwrap();
        let written = place.write(Operation::Insert, &[], batch).unwrap();
        written.rejects.first().map(|refused| (refused.code.clone(), refused.column.clone().unwrap()))
    };
    let refused = |code: &str, column: &str| Some((code.to_owned(), column.to_owned()));
    assert_eq!(one("money", money(1_234_567_890_123_456)), refused("DECIMAL_INEXACT", "money"));
    assert_eq!(one("money", money(1_234_567_890_123_450_000)), None);
    assert_eq!(one("day", Arc::new(Date32Array::from(vec![-800_000]))), refused("VALUE_RANGE", "day"));
    assert_eq!(one("real", Arc::new(Float64Array::from(vec![f64::NAN]))), refused("VALUE_RANGE", "real"));
    assert_eq!(place.rows("SELECT money FROM t"), ["123456789012345"]);
}

#[test]
fn what_other_programs_wrote_is_read_by_the_declared_type_or_fails() {
    let place = Place::new(
        "CREATE TABLE t(k TEXT, day DATE, at DATETIME);
         INSERT INTO t VALUES ('a', '2026-01-31T00:00:00', '2026-01-31T14:05:00+01:00'), ('b', NULL, '2026-01-31'),
                              ('c', '2026-01-31 10:00', NULL), ('d', 'soon', NULL),
                              ('e', CAST(x'4cff' AS TEXT), NULL)",
    );
    let lookup = |key: &str| {
        let columns = vec!["day".to_owned(), "at".to_owned()];
        let lookup = Lookup { table: "t".to_owned(), keys: vec!["k".to_owned()], columns, zone: TimeZone::UTC };
        block_on(place.sqlite.lookup(&lookup, texts(&[("k", &[Some(key)])]))).map(|found| found.rows)
    };
    let a = lookup("a").unwrap();
    assert_eq!(a.column(0).to_data(), Date32Array::from(vec![20_484]).to_data());
    let at = |us| TimestampMicrosecondArray::from(vec![us]).with_timezone("UTC").to_data();
    assert_eq!(a.column(1).to_data(), at(1_769_864_700_000_000));
    assert_eq!(lookup("b").unwrap().column(1).to_data(), at(1_769_817_600_000_000));
    for key in ["c", "d"] {
        let failure = lookup(key).unwrap_err();
        assert_eq!(failure.class, Class::Data);
        assert_eq!(failure.message, "column day of table t is declared as a date, but holds something else");
    }
    let failure = lookup("e").unwrap_err();
    assert_eq!(failure.class, Class::Data);
    assert_eq!(failure.message, "column day of table t holds text that is not valid UTF-8");
}

#[test]
fn an_instant_that_does_not_say_its_zone_is_what_clocks_in_the_reader_s_zone_show() {
    let place = Place::new(
        "CREATE TABLE t(k TEXT PRIMARY KEY, at TIMESTAMP, all_at \"TIMESTAMP LIST\");
         INSERT INTO t VALUES ('summer', '2026-07-02 00:30:00', '[\"2026-07-02 00:30:00\"]'),
                              ('zoned', '2026-07-02 00:30:00Z', '[\"2026-07-02T00:30:00+00:00\"]'),
                              ('day', '2026-01-31', '[]'), ('last', '9999-12-31 23:00:00', NULL)",
    );
    let read = |zone: &str| {
        let (columns, zone) = (vec!["at".to_owned(), "all_at".to_owned()], TimeZone::get(zone).unwrap());
        let scan = Scan { table: "t".to_owned(), columns, rows_max: 9, zone };
        let rows = block_on(place.sqlite.read(&scan, None)).unwrap().rows;
        let text = |row, column| engine::written::Written::of(rows.column(column)).unwrap().text(row).unwrap();
        (0..4)
            .map(|row| text(row, 0).unwrap().into_owned())
            .chain([text(0, 1).unwrap().into_owned()])
            .collect::<Vec<_>>()
    };
    let last = "9999-12-31 23:00:00.000000Z";
    assert_eq!(
        read("Europe/Paris"),
        [
            "2026-07-01 22:30:00.000000Z",
            "2026-07-02 00:30:00.000000Z",
            "2026-01-30 23:00:00.000000Z",
            last,
            "[\"2026-07-01 22:30:00.000000Z\"]"
        ]
    );
    let utc = "2026-07-02 00:30:00.000000Z";
    assert_eq!(read("UTC"), [utc, utc, "2026-01-31 00:00:00.000000Z", last, "[\"2026-07-02 00:30:00.000000Z\"]"]);
}

#[test]
fn a_table_is_described_with_its_keys_and_a_misspelt_one_with_its_neighbours() {
    let place = Place::new(
        "CREATE TABLE recipient(b VARCHAR(40) NOT NULL, a INT, c TEXT UNIQUE, d, PRIMARY KEY(a, b), UNIQUE(c, d));
         CREATE UNIQUE INDEX some ON recipient(d) WHERE d > 1; CREATE UNIQUE INDEX lowered ON recipient(lower(c));
         CREATE TABLE \"odd \"\" name; DROP TABLE recipient\"(\"a\"\"b; --\" TEXT)",
    );
    let table = block_on(place.sqlite.table("RECIPIENT")).unwrap();
    assert_eq!((table.name.as_str(), table.primary_key.join(",")), ("recipient", "a,b".to_owned()));
    assert_eq!(table.unique, [vec!["c"], vec!["c", "d"]]);
    let b = table.columns.field_with_name("b").unwrap();
    assert!(!b.is_nullable() && b.data_type() == &DataType::Utf8 && b.metadata()["length"] == "40");

    let misspelt = block_on(place.sqlite.table("recipients")).unwrap_err();
    assert_eq!(misspelt.class, Class::Config);
    assert_eq!(misspelt.message, "there is no table \"recipients\"");
    assert_eq!(misspelt.help.as_deref(), Some("did you mean recipient?"));
    let names = block_on(place.sqlite.tables()).unwrap();
    assert_eq!(names, ["odd \" name; DROP TABLE recipient", "recipient"]);
}

#[test]
fn a_new_file_becomes_a_marketing_database_and_an_old_one_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/marketing.db");
    for _ in 0..2 {
        let sqlite = Sqlite::open(&path).unwrap();
        assert_eq!(block_on(sqlite.tables()).unwrap(), ["country", "recipient"]);
        let keys = texts(&[("iso", &[Some("GB"), Some("US"), Some("ZZ")])]);
        let columns = vec!["label".to_owned()];
        let lookup = Lookup { table: "country".to_owned(), keys: vec!["iso".to_owned()], columns, zone: TimeZone::UTC };
        let found = block_on(sqlite.lookup(&lookup, keys)).unwrap();
        let labels = StringArray::from(vec![Some("United Kingdom"), Some("United States"), None]);
        assert_eq!(found.rows.column(0).to_data(), labels.to_data());
    }
    let place = Place::new("CREATE TABLE mine(a)");
    assert_eq!(block_on(place.sqlite.tables()).unwrap(), ["mine"]);
    std::fs::write(folder.path().join("text.db"), "not a database, though it is long enough to be one".repeat(9))
        .unwrap();
    let failure = Sqlite::open(&folder.path().join("text.db")).unwrap_err();
    assert_eq!((failure.class, failure.code.as_deref()), (Class::Storage, Some("SQLITE_NOTADB")));
}
