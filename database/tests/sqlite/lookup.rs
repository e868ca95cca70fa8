//! Finding rows by key.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch};
use engine::failure::Class;
use engine::outside::database::{Database, Lookup, Operation};
use jiff::tz::TimeZone;

use super::{Place, block_on, counts, rejects, texts};

fn lookup(keys: &[&str], columns: &[&str]) -> Lookup {
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    Lookup { table: "t".to_owned(), keys: owned(keys), columns: owned(columns), zone: TimeZone::UTC }
}

const PEOPLE: &str =
    "INSERT INTO t VALUES ('a@x', 'Ann', 1), ('b@x', 'Bob', 2), ('b@x', 'Bea', 3), (NULL, 'Nil', 4), ('', 'Emp', 5)";

#[test]
fn a_lookup_finds_one_and_says_where_it_found_none_or_several() {
    // The column compares without case, with and without index.
    let indexes = ["", "CREATE INDEX i ON t(email)", "CREATE INDEX i ON t(email COLLATE BINARY)"];
    for index in indexes {
        let place =
            Place::new(&format!("CREATE TABLE t(email TEXT COLLATE NOCASE, name TEXT, n INT); {PEOPLE}; {index}"));
        let keys = [Some("b@x"), Some("a@x"), Some("A@x"), None, Some("nobody"), Some(""), Some("a@x")];
        let found = block_on(place.sqlite.lookup(&lookup(&["email"], &["n", "name"]), texts(&[("e", &keys)]))).unwrap();
        assert_eq!(found.found, [2, 1, 1, 0, 0, 1, 1], "{index}");
        let names: Vec<_> = found.rows.column(1).as_string::<i32>().iter().collect();
        assert_eq!(names, [None, Some("Ann"), Some("Ann"), None, None, Some("Emp"), Some("Ann")], "{index}");
        assert_eq!(found.rows.schema().field(0).name(), "n");

        let two =
            texts(&[("e", &[Some("b@x"), Some("b@x"), None]), ("name", &[Some("Bea"), Some("Ann"), Some("Nil")])]);
        let found = block_on(place.sqlite.lookup(&lookup(&["email", "name"], &["n"]), two)).unwrap();
        assert_eq!(found.found, [1, 0, 0], "{index}");
        assert_eq!(found.rows.column(0).to_data(), Int64Array::from(vec![Some(3), None, None]).to_data());
    }
}

#[test]
fn a_lookup_without_index_sees_what_anybody_changed_since_the_last() {
    let place = Place::new(&format!("CREATE TABLE t(email TEXT, name TEXT, n INT); {PEOPLE}"));
    let found = |key: &str| {
        let keys = texts(&[("e", &[Some(key)])]);
        block_on(place.sqlite.lookup(&lookup(&["email"], &["n"]), keys)).unwrap().found[0]
    };
    assert_eq!((found("a@x"), found("z@x")), (1, 0));
    place.other().execute_batch("INSERT INTO t VALUES ('z@x', 'Zoe', 9); DELETE FROM t WHERE n = 1").unwrap();
    assert_eq!((found("a@x"), found("z@x")), (0, 1));
    // Ourselves: by that key, by another, and without one.
    let row = |email, name| texts(&[("email", &[Some(email)]), ("name", &[Some(name)])]);
    place.write(Operation::Upsert, &["email"], row("y@x", "Yan")).unwrap();
    assert_eq!((found("y@x"), found("z@x")), (1, 1));
    assert_eq!(counts(&place.write(Operation::Upsert, &["name"], row("w@x", "Yan")).unwrap()), [0, 1, 0, 0]);
    assert_eq!((found("y@x"), found("w@x")), (0, 1));
    place.write(Operation::Insert, &[], row("w@x", "Wil")).unwrap();
    assert_eq!(found("w@x"), 2);
    let twice = place.write(Operation::Upsert, &["email"], row("w@x", "Wil")).unwrap();
    assert_eq!(rejects(&twice), [(0, "KEY_AMBIGUOUS")]);
}

#[test]
fn names_and_keys_are_never_taken_for_sql() {
    let odd = "a\"b; DROP TABLE t; --";
    let place = Place::new("CREATE TABLE t(\"a\"\"b; DROP TABLE t; --\" TEXT, n INT)");
    let keys: Vec<_> = ["' OR 1=1 --", "\" OR \"\"=\"", "x'); DELETE FROM t; --", "\u{0}", "%"].map(Some).into();
    let numbers = Arc::new(Int64Array::from_iter_values(0..5));
    let rows = RecordBatch::try_from_iter([(odd, Arc::clone(texts(&[("k", &keys)]).column(0))), ("n", numbers as _)]);
    let written = place.write(Operation::Upsert, &[odd], rows.unwrap()).unwrap();
    assert_eq!(counts(&written), [5, 0, 0, 0]);
    let found = block_on(place.sqlite.lookup(&lookup(&[odd], &["n", odd]), texts(&[("k", &keys)]))).unwrap();
    assert_eq!(found.found, [1; 5]);
    assert_eq!(found.rows.column(0).to_data(), Int64Array::from_iter_values(0..5).to_data());

    for (name, table) in [("n FROM t; DROP TABLE t; --", "t"), ("n", "t; DROP TABLE t"), ("1", "t"), ("nope", "t")] {
        let lookup = Lookup {
            table: table.to_owned(),
            keys: vec![odd.to_owned()],
            columns: vec![name.to_owned()],
            zone: TimeZone::UTC,
        };
        let failure = block_on(place.sqlite.lookup(&lookup, texts(&[("k", &[Some("x")])]))).unwrap_err();
        assert_eq!(failure.class, Class::Config, "{name} of {table}");
    }
    let unknown = texts(&[("nope", &[Some("x")])]);
    assert_eq!(place.write(Operation::Insert, &[], unknown).unwrap_err().class, Class::Config);
    assert_eq!(place.rows("SELECT count(*) FROM t"), ["5"]);
}

#[test]
fn a_key_finds_what_the_database_takes_for_equal() {
    let table = "CREATE TABLE t(email TEXT, name TEXT)";
    for (schema, same, other) in [
        ("CREATE TABLE t(email TEXT COLLATE NOCASE PRIMARY KEY, name TEXT)", "ADA@x", "ada@x "),
        ("CREATE TABLE t(email TEXT COLLATE NOCASE PRIMARY KEY, name TEXT) WITHOUT ROWID", "ADA@x", "ada@x "),
        ("CREATE TABLE t(email TEXT COLLATE NOCASE, name TEXT)", "ADA@x", "ada@x "),
        ("CREATE TABLE t(email TEXT COLLATE RTRIM, name TEXT, UNIQUE(email))", "ada@x  ", "ADA@x"),
        (&format!("{table}; CREATE UNIQUE INDEX i ON t(email COLLATE NOCASE)"), "ADA@x", "ada@x "),
        (
            &format!("{table}; CREATE UNIQUE INDEX i ON t(email); CREATE UNIQUE INDEX j ON t(email COLLATE RTRIM)"),
            "ada@x ",
            "ADA@x",
        ),
        // What holds keys unique decides, not what the column says beside it.
        (
            "CREATE TABLE t(email TEXT COLLATE NOCASE, name TEXT); CREATE UNIQUE INDEX i ON t(email COLLATE BINARY)",
            "ada@x",
            "ADA@x",
        ),
        // A set of more columns holds nothing of this one.
        (&format!("{table}; CREATE UNIQUE INDEX i ON t(email COLLATE NOCASE, name)"), "ada@x", "ADA@x"),
    ] {
        let place = Place::new(&format!("{schema}; INSERT INTO t VALUES ('ada@x', 'Ada')"));
        let keys = texts(&[("email", &[Some(same), Some(other)])]);
        let found = block_on(place.sqlite.lookup(&lookup(&["email"], &["name"]), keys)).unwrap();
        assert_eq!(found.found, [1, 0], "{schema}");
        let row = texts(&[("email", &[Some(same)]), ("name", &[Some("Countess")])]);
        let written = place.write(Operation::Upsert, &["EMAIL"], row).unwrap();
        assert_eq!((counts(&written), rejects(&written)), ([0, 1, 0, 0], vec![]), "{schema}");
        assert_eq!(place.rows("SELECT * FROM t"), ["ada@x|Countess"], "{schema}");
        let gone = place.write(Operation::Delete, &["email"], texts(&[("email", &[Some(same)])])).unwrap();
        assert_eq!(gone.counts["deleted"], 1, "{schema}");
    }
}

#[test]
fn a_key_never_finds_a_row_that_only_looks_like_it_as_a_number() {
    let place = Place::new("CREATE TABLE t(phone STRING PRIMARY KEY, score REAL UNIQUE, name TEXT)");
    let row = texts(&[("phone", &[Some("7")]), ("name", &[Some("Ada")])]);
    assert_eq!(counts(&place.write(Operation::Upsert, &["phone"], row).unwrap()), [1, 0, 0, 0]);
    let keys = texts(&[("phone", &[Some("7"), Some("007"), Some("7.0"), Some(" 7"), Some("+7")])]);
    let found = block_on(place.sqlite.lookup(&lookup(&["phone"], &["name", "phone"]), keys)).unwrap();
    assert_eq!(found.found, [1, 0, 0, 0, 0]);
    let people = texts(&[
        ("phone", &[Some("007"), Some("7"), Some("1e3"), Some("0x7"), Some("12.50"), Some("12345678901234567890")]),
        ("name", &[Some("Bond"), Some("Ada"), Some("x"), Some("Hex"), Some("y"), Some("z")]),
    ]);
    let written = place.write(Operation::Upsert, &["phone"], people).unwrap();
    let code = "TEXT_AS_NUMBER";
    assert_eq!(rejects(&written), [(0, code), (2, code), (4, code), (5, code)]);
    assert_eq!(place.rows("SELECT phone, name FROM t ORDER BY name"), ["7|Ada", "0x7|Hex"]);

    let two_53 = 9_007_199_254_740_992;
    let score = |n: i64| {
        let score = std::sync::Arc::new(Int64Array::from(vec![n]));
        RecordBatch::try_from_iter([("score", score as _)]).unwrap()
    };
    let written = place.write(Operation::Insert, &[], score(two_53)).unwrap();
    assert_eq!(rejects(&written), []);
    let written = place.write(Operation::Insert, &[], score(two_53 + 1)).unwrap();
    assert_eq!(rejects(&written), [(0, "NUMBER_INEXACT")]);
    let found = block_on(place.sqlite.lookup(&lookup(&["score"], &["name"]), score(two_53 + 1))).unwrap();
    assert_eq!(found.found, [0]);
}
