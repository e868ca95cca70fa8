//! Writing batches.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use database::Sqlite;
use engine::failure::Class;
use engine::outside::database::{Database, LedgerKey, Operation, Write};

use super::{Place, block_on, counts, rejects, texts, write};

const TABLE: &str = "CREATE TABLE t(email TEXT, name TEXT, city TEXT DEFAULT 'nowhere')";
const INDEX: &str = "CREATE INDEX i ON t(email)";

/// With and without an index on the key.
fn places() -> [Place; 3] {
    let unrowed = "CREATE TABLE t(email TEXT PRIMARY KEY, name TEXT, city TEXT DEFAULT 'nowhere') WITHOUT ROWID";
    [Place::new(TABLE), Place::new(&format!("{TABLE}; {INDEX}")), Place::new(unrowed)]
}

fn people(emails: &[Option<&str>], names: &[Option<&str>]) -> RecordBatch {
    texts(&[("email", emails), ("name", names)])
}

#[test]
fn only_rows_that_differ_are_written_and_a_null_is_not_an_empty_text() {
    for place in places() {
        let emails = [Some("a"), Some("b"), Some("c"), Some("d")];
        let first = people(&emails, &[Some("é"), Some(""), None, Some("x")]);
        assert_eq!(counts(&place.write(Operation::Upsert, &["email"], first).unwrap()), [4, 0, 0, 0]);
        let second = people(&emails, &[Some("É"), None, Some(""), Some("x")]);
        assert_eq!(counts(&place.write(Operation::Upsert, &["email"], second.clone()).unwrap()), [0, 3, 1, 0]);
        assert_eq!(counts(&place.write(Operation::Upsert, &["email"], second).unwrap()), [0, 0, 4, 0]);
        assert_eq!(place.rows("SELECT name FROM t ORDER BY email"), ["É", "∅", "", "x"]);
        // The same key twice: the second changes what the first made.
        let twice = people(&[Some("n"), Some("n"), Some("n")], &[Some("1"), Some("2"), Some("2")]);
        assert_eq!(counts(&place.write(Operation::Upsert, &["email"], twice).unwrap()), [1, 1, 1, 0]);
        let absent = people(&[Some("a"), Some("zz")], &[Some("A"), Some("Z")]);
        assert_eq!(counts(&place.write(Operation::Update, &["EMAIL"], absent).unwrap()), [0, 1, 0, 1]);
        assert_eq!(place.rows("SELECT count(*), max(name) FROM t"), ["5|x"]);
    }
}

#[test]
fn tables_of_ours_are_neither_listed_nor_read_nor_written() {
    let place = Place::new(TABLE);
    place.write(Operation::Upsert, &["email"], people(&[Some("a")], &[Some("A")])).unwrap();
    let before = place.rows("SELECT * FROM campanile_ledger");
    assert_eq!(before.len(), 1);
    for name in ["campanile_ledger", "Campanile_Ledger", "campanile_mine"] {
        let refused =
            place.write_as(&write(name, Operation::Insert, &[]), texts(&[("task", &[Some("x")])])).unwrap_err();
        assert!(refused.class == Class::Config && refused.message.contains("reserved"), "{refused}");
        let refused = block_on(place.sqlite.table(name)).unwrap_err();
        assert!(refused.class == Class::Config && refused.message.contains("reserved"), "{refused}");
    }
    assert_eq!(place.rows("SELECT * FROM campanile_ledger"), before);
    assert_eq!(block_on(place.sqlite.tables()).unwrap(), ["t"]);
}

#[test]
fn a_link_in_the_place_of_the_database_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let (victim, link) = (folder.path().join("victim"), folder.path().join("marketing.db"));
    for exists in [false, true] {
        if exists {
            std::fs::write(&victim, "").unwrap();
        }
        std::os::unix::fs::symlink(&victim, &link).unwrap();
        let refused = Sqlite::open(&link).map(drop).unwrap_err();
        assert!(refused.message.contains("symbolic link"), "{refused}");
        assert_eq!(std::fs::read(&victim).unwrap_or_default(), b"");
        assert_eq!(victim.exists(), exists);
        std::fs::remove_file(&link).unwrap();
    }
    // A folder may be a link: it is the user's own place for it.
    std::fs::create_dir(folder.path().join("real")).unwrap();
    std::os::unix::fs::symlink("real", folder.path().join("linked")).unwrap();
    Sqlite::open(&folder.path().join("linked/marketing.db")).unwrap();
    assert!(folder.path().join("real/marketing.db").exists());
}

#[test]
fn a_null_empties_a_column_only_where_it_is_told_to() {
    for place in places() {
        let keep = Write { null_empties: false, ..write("t", Operation::Upsert, &["email"]) };
        let row = |name, city| texts(&[("email", &[Some("a")]), ("name", &[name]), ("city", &[city])]);
        assert_eq!(counts(&place.write_as(&keep, row(Some("Ann"), None)).unwrap()), [1, 0, 0, 0]);
        assert_eq!(place.rows("SELECT * FROM t"), ["a|Ann|nowhere"], "the column's default");
        assert_eq!(counts(&place.write_as(&keep, row(None, Some("Rome"))).unwrap()), [0, 1, 0, 0]);
        assert_eq!(counts(&place.write_as(&keep, row(None, None)).unwrap()), [0, 0, 1, 0]);
        assert_eq!(place.rows("SELECT * FROM t"), ["a|Ann|Rome"]);
        assert_eq!(counts(&place.write(Operation::Upsert, &["email"], row(None, None)).unwrap()), [0, 1, 0, 0]);
        assert_eq!(place.rows("SELECT * FROM t"), ["a|∅|∅"]);
    }
}

#[test]
fn a_refused_row_does_not_harm_the_others() {
    let place = Place::new(
        "CREATE TABLE log(text TEXT);
         CREATE TABLE p(id INTEGER PRIMARY KEY);
         CREATE TABLE t(k TEXT PRIMARY KEY ON CONFLICT REPLACE, u TEXT UNIQUE ON CONFLICT ROLLBACK, n TEXT NOT NULL ON CONFLICT IGNORE,
                        c TEXT CHECK (length(c) < 5), p INTEGER REFERENCES p);
         CREATE TRIGGER ignored BEFORE INSERT ON t WHEN NEW.c = 'skip' BEGIN SELECT RAISE(IGNORE); END;
         CREATE TRIGGER aborted BEFORE INSERT ON t WHEN NEW.c = 'abrt' BEGIN SELECT RAISE(ABORT, 'not this one'); END;
         CREATE TRIGGER failing AFTER INSERT ON t WHEN NEW.c = 'fail' BEGIN
             INSERT INTO log VALUES (NEW.k); SELECT RAISE(FAIL, 'too late'); END;
         CREATE TRIGGER undoing AFTER INSERT ON t WHEN NEW.c = 'undo' BEGIN SELECT RAISE(ROLLBACK, 'all of it'); END;
         INSERT INTO t VALUES ('old', 'taken', 'n', NULL, NULL)",
    );
    let rows = [
        ["a", "a", "n", "ok"],
        ["b", "taken", "n", ""],
        ["c", "c", "", ""],
        ["d", "d", "n", "too long"],
        ["e", "e", "n", "skip"],
        ["f", "f", "n", "abrt"],
        ["g", "g", "n", "fail"],
        ["h", "h", "n", "undo"],
        ["i", "i", "n", "undo"],
        ["j", "j", "n", "p"],
        ["old", "new", "n", ""],
        ["z", "z", "n", "ok"],
    ];
    let column = |n: usize| StringArray::from_iter(rows.iter().map(|row| Some(row[n]).filter(|text| !text.is_empty())));
    let parent = Int64Array::from_iter(rows.iter().map(|row| (row[3] == "p").then_some(7)));
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("k", Arc::new(column(0)) as _, true),
        ("u", Arc::new(column(1)) as _, true),
        ("n", Arc::new(column(2)) as _, true),
        ("c", Arc::new(column(3)) as _, true),
        ("p", Arc::new(parent) as _, true),
    ]);
    let written = place.write(Operation::Insert, &[], batch.unwrap()).unwrap();
    assert_eq!(
        rejects(&written),
        [
            (1, "SQLITE_CONSTRAINT_UNIQUE"),
            (2, "SQLITE_CONSTRAINT_NOTNULL"),
            (3, "SQLITE_CONSTRAINT_CHECK"),
            (4, "TRIGGER_IGNORED"),
            (5, "SQLITE_CONSTRAINT_TRIGGER"),
            (6, "SQLITE_CONSTRAINT_TRIGGER"),
            (7, "SQLITE_CONSTRAINT_TRIGGER"),
            (8, "SQLITE_CONSTRAINT_TRIGGER"),
            (9, "SQLITE_CONSTRAINT_FOREIGNKEY"),
            (10, "SQLITE_CONSTRAINT_PRIMARYKEY"),
        ]
    );
    let columns: Vec<_> = written.rejects.iter().map(|refused| refused.column.as_deref()).collect();
    assert_eq!(columns[..4], [Some("u"), Some("n"), None, None]);
    assert_eq!(written.rejects[5].message, "too late");
    assert_eq!(counts(&written), [2, 0, 0, 0]);
    assert_eq!(place.rows("SELECT k, u FROM t ORDER BY k"), ["a|a", "old|taken", "z|z"]);
    assert_eq!(place.rows("SELECT * FROM log"), [""; 0], "nothing is left of the row that failed late");
}

#[test]
fn a_key_that_is_empty_or_not_unique_refuses_the_row() {
    for index in ["", INDEX] {
        let place = Place::new(&format!("{TABLE}; {index}; INSERT INTO t(email) VALUES ('b'), ('b'), ('b'), (NULL)"));
        let batch = people(&[None, Some("b"), Some("c")], &[Some("x"), Some("x"), Some("x")]);
        let written = place.write(Operation::Upsert, &["email"], batch).unwrap();
        assert_eq!(rejects(&written), [(0, "KEY_EMPTY"), (1, "KEY_AMBIGUOUS")]);
        assert_eq!(written.rejects[1].message, "3 rows of table t have this key (\"email\")");
        assert_eq!(place.rows("SELECT count(*) FROM t WHERE name = 'x'"), ["1"]);
    }
}

#[test]
fn a_batch_that_was_written_is_not_written_again() {
    let place = Place::new(&format!("CREATE TABLE t(k TEXT UNIQUE, n TEXT); {}", ""));
    let ledger = |task: &str, batch| LedgerKey { folder: "folder".to_owned(), task: task.to_owned(), batch };
    let insert = write("t", Operation::Insert, &[]);
    let rows = || texts(&[("k", &[Some("a"), Some("b"), Some("a")])]);
    let first = block_on(place.sqlite.write(&ledger("r/1", 0), &insert, rows())).unwrap();
    assert_eq!(
        (counts(&first), rejects(&first), first.replayed),
        ([2, 0, 0, 0], vec![(2, "SQLITE_CONSTRAINT_UNIQUE")], false)
    );
    place.other().execute_batch("DELETE FROM t").unwrap();
    let again = block_on(place.sqlite.write(&ledger("r/1", 0), &insert, rows())).unwrap();
    assert!(again.replayed);
    assert_eq!((again.counts, again.rejects), (first.counts, first.rejects));
    assert_eq!(place.rows("SELECT * FROM t"), [""; 0]);
    for key in [ledger("r/1", 1), ledger("r/2", 0)] {
        place.other().execute_batch("DELETE FROM t").unwrap();
        assert!(!block_on(place.sqlite.write(&key, &insert, rows())).unwrap().replayed);
    }
    assert_eq!(block_on(place.sqlite.tables()).unwrap(), ["t"]);
    block_on(place.sqlite.forget("r/1")).unwrap();
    assert_eq!(place.rows("SELECT task, batch FROM campanile_ledger"), ["r/2|0"]);
}

#[test]
fn a_batch_that_fails_as_a_whole_leaves_nothing() {
    let place = Place::new(
        "CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE t(k TEXT, p REFERENCES p DEFERRABLE INITIALLY DEFERRED)",
    );
    let rows = |parent| {
        let parent = Arc::new(Int64Array::from(vec![None, parent]));
        let keys = Arc::clone(texts(&[("k", &[Some("a"), Some("b")])]).column(0));
        RecordBatch::try_from_iter_with_nullable([("k", keys, true), ("p", parent as _, true)]).unwrap()
    };
    let failure = place.write(Operation::Upsert, &["k"], rows(Some(7))).unwrap_err();
    assert_eq!((failure.class, failure.code.as_deref()), (Class::Data, Some("SQLITE_CONSTRAINT_FOREIGNKEY")));
    assert_eq!(place.rows("SELECT * FROM t"), [""; 0]);
    assert_eq!(counts(&place.write(Operation::Upsert, &["k"], rows(None)).unwrap()), [2, 0, 0, 0]);
}
