//! Updates of the database.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use engine::engine::Engine;
use engine::event::Vars;
use engine::failure::{Class, Failure};
use engine::outside::database::{Database, LedgerKey, Lookup, Matches, Scan, Scanned, Table, Write, Written};
use engine::run::Status;
use serde_json::{Value, json};
use store::Memory;

use crate::harness::World;

const RECIPIENT: &str = "
    CREATE TABLE recipient(id INTEGER PRIMARY KEY, email TEXT, name TEXT CHECK (name <> 'bad'), age INTEGER);
    INSERT INTO recipient(email, name, age) VALUES ('grace@example.com', 'Grace B.', 30), ('old@example.com', 'Old', 1);
    CREATE TABLE writes(id INTEGER PRIMARY KEY, email TEXT);
    CREATE TRIGGER i AFTER INSERT ON recipient BEGIN INSERT INTO writes(email) VALUES (NEW.email); END;
    CREATE TRIGGER u AFTER UPDATE ON recipient BEGIN INSERT INTO writes(email) VALUES (NEW.email); END;";

fn records(segment: usize) -> Value {
    json!({
        "type": "records", "to": "save", "segment": segment,
        "columns": { "mail": "text", "name": "text", "age": "text" },
        "rows": [
            ["Ada@example.com", "Ada", "36"],
            ["grace@example.com", null, "31"],
            [null, "Nobody", "1"],
            ["", "Nobody", "2"],
            ["ada@EXAMPLE.com", "Ada Again", "37"],
            ["bad@example.com", "bad", "5"],
            ["old@example.com", "Old", "1"],
            ["kai@example.com", "Kai", "young"],
            ["josé@example.com", "José", null],
            ["ADA@example.com", "Ada Third", "38"]
        ]
    })
}

fn activities(segment: usize, settings: Value) -> Value {
    let mut save = json!({
        "type": "database.update", "table": "recipient", "key": ["email"],
        "set": { "email": "lower(mail)", "name": "name", "age": "to_int(age)" }
    });
    save.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    json!({ "records": records(segment), "save": save })
}

const AFTER: [&str; 4] =
    ["grace@example.com|∅|31", "old@example.com|Old|1", "ada@example.com|Ada|36", "josé@example.com|José|∅"];
const SELECT: &str = "SELECT email, name, age FROM recipient ORDER BY id";

async fn check_upsert(world: &World, ran: &crate::harness::Ran) {
    assert_eq!(ran.status, Status::Finished, "{:?}", ran.task("save").failure);
    assert_eq!(world.query(SELECT), AFTER);
    assert_eq!(
        world.query("SELECT email FROM writes ORDER BY email"),
        ["ada@example.com", "grace@example.com", "josé@example.com"]
    );
    let ok = ran.port("save", "ok").await;
    let ok: Vec<&str> = ok.iter().map(|row| row.split('|').next().unwrap()).collect();
    assert_eq!(ok, ["Ada@example.com", "grace@example.com", "old@example.com", "josé@example.com"]);
    let rejects = ran.port("save", "reject").await;
    let rejects: Vec<String> = rejects
        .iter()
        .map(|row| {
            let cells: Vec<&str> = row.split('|').collect();
            format!("{} {} {}", cells[1], cells[3], cells[6])
        })
        .collect();
    assert_eq!(
        rejects,
        [
            "Nobody KEY_EMPTY email",
            "Nobody KEY_EMPTY email",
            "Ada Again KEY_REPEATED email",
            "bad SQLITE_CONSTRAINT_CHECK ∅",
            "Kai EXPRESSION age",
            "Ada Third KEY_REPEATED email",
        ]
    );
    let counts = &ran.tally("save").counts;
    assert_eq!((counts["inserted"], counts["updated"], counts["unchanged"]), (2, 1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_made_and_changed_and_bad_records_are_rejects() {
    for (segment, rows) in [(100, 10_000), (3, 10_000), (3, 2), (1, 1), (100, 3)] {
        let mut world = World::new(RECIPIENT);
        world.limits.rows_per_transaction = rows;
        let ran = world.run(&activities(segment, json!({}))).await;
        check_upsert(&world, &ran).await;
        let repeated = ran.port("save", "reject").await;
        assert!(repeated[5].contains("record 1 has the same email; only the first is written"), "{repeated:?}");
        let warnings = ran.warnings().await;
        assert_eq!(warnings.len(), 4, "{warnings:?}");
        assert!(
            warnings.contains(&"2 records rejected, KEY_EMPTY: the key \"email\" is empty".to_owned()),
            "{warnings:?}"
        );
    }
}

/// What fails first, column by column, belongs to the second record here, or to the first.
#[tokio::test(flavor = "multi_thread")]
async fn each_bad_record_of_a_batch_is_a_reject_and_the_others_are_written() {
    for days in ["days_between(date(joined), date(left))", "days_between(date(left), date(joined))"] {
        let world = World::new("CREATE TABLE stay(name TEXT, days INTEGER)");
        let ran = world
            .run(&json!({
                "records": {
                    "type": "records", "to": "save", "segment": 10,
                    "columns": { "name": "text", "joined": "text", "left": "text" },
                    "rows": [["Ada", "2026-01-01", "n/a"], ["Bob", "unknown", "2026-02-01"], ["Cy", "2026-01-01", "2026-01-01"]]
                },
                "save": { "type": "database.update", "table": "stay", "operation": "insert",
                          "set": { "name": "name", "days": days } }
            }))
            .await;
        assert_eq!(ran.status, Status::Finished, "{days}: {:?}", ran.task("save").failure);
        assert_eq!(world.query("SELECT name, days FROM stay"), ["Cy|0"], "{days}");
        let rejects = ran.port("save", "reject").await;
        let messages: Vec<_> = rejects.iter().map(|row| row.split('|').nth(5).unwrap()).collect();
        let wanted = ["\"n/a\" is not a date such as 2012-11-01", "\"unknown\" is not a date such as 2012-11-01"];
        assert_eq!(messages, wanted, "{days}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_repeated_where_the_database_takes_it_for_equal() {
    for (email, repeated) in [("TEXT COLLATE NOCASE UNIQUE", "ADA@x"), ("TEXT COLLATE RTRIM PRIMARY KEY", "ada@x ")] {
        let world = World::new(&format!("CREATE TABLE person(email {email}, name TEXT)"));
        let ran = world
            .run(&json!({
                "records": {
                    "type": "records", "to": "save", "segment": 10, "columns": { "email": "text", "name": "text" },
                    "rows": [["ada@x", "Ada"], ["kai@x", "Kai"], [repeated, "Again"]]
                },
                "save": { "type": "database.update", "table": "person", "key": ["email"],
                          "set": { "email": "email", "name": "name" } }
            }))
            .await;
        assert_eq!(ran.status, Status::Finished, "{email}: {:?}", ran.task("save").failure);
        assert_eq!(world.query("SELECT email, name FROM person ORDER BY name"), ["ada@x|Ada", "kai@x|Kai"], "{email}");
        let rejects = ran.port("save", "reject").await;
        assert!(rejects.len() == 1 && rejects[0].contains("|KEY_REPEATED|"), "{email}: {rejects:?}");
        assert!(rejects[0].contains("record 1 has the same email"), "{email}: {rejects:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn text_that_a_column_would_make_a_number_of_is_a_reject_and_check_says_so() {
    let world = World::new("CREATE TABLE person(phone STRING PRIMARY KEY, name TEXT)");
    let activities = json!({
        "records": {
            "type": "records", "to": "save", "columns": { "phone": "text", "name": "text" },
            "rows": [["7", "Ada"], ["007", "Bond"], ["+49 30", "Kai"]]
        },
        "save": { "type": "database.update", "table": "person", "key": ["phone"],
                  "set": { "phone": "phone", "name": "name" } }
    });
    assert_eq!(world.risks(&activities).await, ["save/set/phone: text-as-number"]);
    let ran = world.run(&activities).await;
    assert_eq!(world.query("SELECT phone, name FROM person ORDER BY name"), ["7|Ada", "+49 30|Kai"]);
    let rejects = ran.port("save", "reject").await;
    assert!(rejects.len() == 1 && rejects[0].contains("TEXT_AS_NUMBER"), "{rejects:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_without_rejects_are_passed_on() {
    let ran = World::new(RECIPIENT).run(&activities(2, json!({}))).await;
    assert_eq!(ran.passed_on("records", "save", "ok"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_operation_does_what_it_says() {
    let world = World::new(RECIPIENT);
    let ran = world.run(&activities(3, json!({ "operation": "update", "emptySource": "keeps" }))).await;
    assert_eq!(world.query(SELECT), ["grace@example.com|Grace B.|31", "old@example.com|Old|1"]);
    let counts = &ran.tally("save").counts;
    assert_eq!((counts["updated"], counts["unchanged"], counts["absent"]), (1, 1, 3));
    // An insert has no key, so nothing is repeated or empty.
    let world = World::new(RECIPIENT);
    let insert = json!({ "operation": "insert", "key": [], "set": { "email": "mail", "name": "name" } });
    let ran = world.run(&activities(3, insert)).await;
    assert_eq!(ran.tally("save").counts["inserted"], 9);
    assert_eq!(world.query("SELECT count(*) FROM recipient"), ["11"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_after_any_event_writes_nothing_twice_and_loses_nothing() {
    for writes in 1..30 {
        let mut world = World::new(RECIPIENT);
        world.limits.rows_per_transaction = 2;
        let ran = world.run_dying(&activities(3, json!({})), writes).await;
        check_upsert(&world, &ran).await;
    }
    for writes in 1..20 {
        let mut world = World::new(RECIPIENT);
        world.limits.rows_per_transaction = 2;
        let insert = json!({ "operation": "insert", "key": [], "set": { "email": "mail", "name": "name" } });
        world.run_dying(&activities(3, insert), writes).await;
        assert_eq!(world.query("SELECT count(*) FROM recipient"), ["11"], "after {writes} writes");
    }
}

/// A database that fails, before or after a batch took hold.
struct Failing {
    inner: Arc<dyn Database>,
    calls: AtomicU64,
    /// The calls that fail: odd ones before, even ones after the batch took hold.
    from: u64,
    forgotten: Mutex<Vec<String>>,
}

impl Failing {
    fn new(inner: &Arc<dyn Database>, from: u64) -> Self {
        Self { inner: Arc::clone(inner), calls: AtomicU64::new(0), from, forgotten: Mutex::default() }
    }
}

#[async_trait]
impl Database for Failing {
    async fn tables(&self) -> Result<Vec<String>, Failure> {
        self.inner.tables().await
    }

    async fn table(&self, name: &str) -> Result<Table, Failure> {
        self.inner.table(name).await
    }

    async fn lookup(&self, lookup: &Lookup, keys: RecordBatch) -> Result<Matches, Failure> {
        self.inner.lookup(lookup, keys).await
    }

    async fn read(&self, scan: &Scan, from: Option<Value>) -> Result<Scanned, Failure> {
        self.inner.read(scan, from).await
    }

    async fn write(&self, ledger: &LedgerKey, write: &Write, rows: RecordBatch) -> Result<Written, Failure> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        let fails = call >= self.from && call < self.from + 2;
        let gone = || Failure::new(Class::Transient, "the database is gone");
        if fails && call % 2 == 1 {
            return Err(gone());
        }
        let written = self.inner.write(ledger, write, rows).await?;
        if fails { Err(gone()) } else { Ok(written) }
    }

    async fn forget(&self, task: &str) -> Result<(), Failure> {
        self.forgotten.lock().unwrap().push(task.to_owned());
        self.inner.forget(task).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_fails_before_or_after_a_batch_took_hold_gets_each_row_once() {
    for from in 0..4 {
        let mut world = World::new(RECIPIENT);
        world.limits.rows_per_transaction = 2;
        world.database = Arc::new(Failing::new(&world.database, from));
        let store = Arc::new(Memory::new());
        let engine: Arc<Engine> = world.engine(Arc::<Memory>::clone(&store));
        let text = json!({ "version": 1, "activities": activities(3, json!({})) }).to_string();
        let Ok((id, driven)) = engine.start("test.json", &text, Vars::new()).await else { panic!("not started") };
        let mut driven = driven;
        let mut suspended = 0;
        while driven.wait().await.unwrap() == Status::Suspended {
            suspended += 1;
            // Neither another size of batches nor another time changes the batches of a task that has begun.
            world.limits.rows_per_transaction = 5;
            world.clock.0.fetch_add(100_000, Ordering::SeqCst);
            driven = world.engine(Arc::<Memory>::clone(&store)).resume(&id).await.unwrap();
        }
        assert!(suspended > 0);
        let run = driven.journal.run().clone();
        assert_eq!(run.tasks[1].tally.counts["inserted"], 2);
        assert_eq!(world.query(SELECT), AFTER);
        assert_eq!(world.query("SELECT count(*) FROM writes"), ["3"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_ended_leaves_no_ledger() {
    let mut world = World::new(RECIPIENT);
    let database = Arc::new(Failing::new(&world.database, u64::MAX - 2));
    world.database = Arc::<Failing>::clone(&database);
    let mut activities = activities(3, json!({}));
    activities["again"] = records(100);
    activities["again"]["to"] = json!("save");
    let ran = world.run(&activities).await;
    assert_eq!(ran.status, Status::Finished);
    let first = ran.task("save").id;
    let folder = engine::outside::store::Store::identity(ran.store.as_ref()).folder;
    assert_eq!(database.forgotten.lock().unwrap()[0], format!("{folder}/test-1/{first}"));
    assert_eq!(world.query("SELECT count(*) FROM campanile_ledger"), ["0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_record_at_all_writes_nothing() {
    let world = World::new(RECIPIENT);
    let mut activities = activities(3, json!({}));
    activities["records"]["rows"] = json!([]);
    let ran = world.run(&activities).await;
    assert_eq!(ran.status, Status::Finished);
    let counts: Vec<_> = ran.tally("save").counts.iter().map(|(what, rows)| format!("{what} {rows}")).collect();
    assert_eq!(counts, ["inserted 0", "unchanged 0", "updated 0"]);
    assert_eq!(ran.task("save").emitted, ["ok"]);
    assert!(ran.task("save").ports.contains_key("ok"));
    assert!(world.query("SELECT name FROM sqlite_schema WHERE name = 'campanile_ledger'").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_before_the_run() {
    let world = World::new(RECIPIENT);
    let settings = json!({ "key": ["emial"], "set": { "emial": "mail", "age": "age", "name": "nmae" } });
    assert_eq!(
        world.problems(&activities(3, settings)).await,
        [
            "save/set/emial: table recipient has no column \"emial\" (did you mean \"email\"?)",
            "save/set/age: this is text, but column age of table recipient is a whole number (write to_int(…))",
            "save/set/name: there is no column `nmae` (did you mean `name`?)",
        ]
    );
    assert_eq!(
        world.problems(&activities(3, json!({ "key": ["id"] }))).await,
        ["save/key/0: the key column \"id\" is not among those that are set \
             (write \"id\": \"<column of the record>\" in \"set\")"]
    );
    assert_eq!(
        world.problems(&activities(3, json!({ "operation": "insert" }))).await,
        ["save/key: an insert looks for no existing row, so it has no key (leave \"key\" out, or use \"upsert\")"]
    );
    assert_eq!(
        world.problems(&activities(3, json!({ "operation": "update", "key": [] }))).await,
        ["save: it is not said by which key existing rows are found \
             (write \"key\": [\"<column of the table>\"], or use \"insert\")"]
    );
}
