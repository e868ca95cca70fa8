//! Versions of source records: they travel with the records, and an older one is not written over a newer one.

use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use engine::event::Vars;
use engine::failure::{Class, Failure};
use engine::outside::database::{Database, LedgerKey, Lookup, Matches, Scan, Scanned, Table, Write, Written};
use engine::run::Status;
use serde_json::{Value, json};

use crate::double::{Double, SYSTEM};
use crate::harness::{Ran, World};

fn world(crm: &Double, sql: &str) -> World {
    let mut world = World::new(sql);
    world.crm = Some(Arc::new(crm.clone()));
    world
}

/// Three people, whose versions are 1, 2 and 3.
fn people() -> Double {
    let crm = Double::new(&SYSTEM);
    for (id, name) in [("p1", "Ada"), ("p2", "Grace"), ("p3", "Ada")] {
        crm.put(id, "09:00", &json!({ "name": name }));
    }
    crm
}

fn import(to: &str) -> Value {
    json!({ "type": "crm.import", "account": "crm", "object": "people", "fields": ["name"], "to": to })
}

#[tokio::test]
async fn the_version_of_a_record_travels_with_it_and_authors_never_see_it() {
    let world = world(&people(), "CREATE TABLE person(id TEXT PRIMARY KEY, name TEXT)");
    let ran = world
        .run(&json!({
            "import": import("dedupe"),
            "dedupe": { "type": "dedupe", "by": ["name"], "complement": true, "to": { "ok": "enrich" } },
            "enrich": {
                "type": "enrich", "compute": { "length": "if name == \"Ada\" { len(name) } else { 1 / 0 }" },
                "to": { "ok": "script", "reject": "look" }
            },
            "script": { "type": "script", "script": "vars.seen = true;", "to": "save" },
            "save": {
                "type": "database.update", "table": "person", "key": ["id"], "set": { "id": "id", "name": "name" }
            },
            "look": { "type": "script", "script": "vars.seen = true;" }
        }))
        .await;
    assert_eq!(ran.status, Status::Finished);
    let [one, two, three] = [1, 2, 3].map(|n| format!("crm people p{n} {n}"));
    assert_eq!(ran.versions("import", "ok").await, [one.clone(), two.clone(), three.clone()]);
    assert_eq!(ran.versions("dedupe", "complement").await, [three]);
    assert_eq!(ran.versions("save", "ok").await, [one]);
    assert_eq!(ran.versions("look", "ok").await, [two]);
    let import = json!({ "import": import("enrich"), "enrich": { "type": "enrich", "compute": { "x": "_version" } } });
    let problems = world.problems(&import).await;
    assert!(problems[0].contains("there is no column `_version`"), "{problems:?}");
}

#[tokio::test]
async fn an_import_by_ids_keeps_the_version_that_came_in_and_gives_one_to_records_that_had_none() {
    let world = world(&people(), "");
    let again = json!({ "type": "crm.import", "account": "crm", "object": "people", "fields": ["id"], "ids": "id" });
    let ran = world.run(&json!({ "import": import("again"), "again": again })).await;
    assert_eq!(ran.status, Status::Finished);
    assert_eq!(ran.port("again", "ok").await[0], "Ada|p1|p1", "the inbound id has got another name");
    assert_eq!(ran.versions("again", "ok").await, ran.versions("import", "ok").await);
    let given = json!({ "type": "records", "columns": { "of": "text" }, "rows": [["p2"], ["P1"]], "to": "import" });
    let import = json!({ "type": "crm.import", "account": "crm", "object": "people", "fields": ["name"], "ids": "of" });
    let ran = world.run(&json!({ "given": given, "import": import })).await;
    assert_eq!(ran.versions("import", "ok").await, ["crm people p2 2", "crm people p1 1"]);
}

/// A database that takes no batch.
struct Refusing(Arc<dyn Database>);

#[async_trait]
impl Database for Refusing {
    async fn tables(&self) -> Result<Vec<String>, Failure> {
        self.0.tables().await
    }

    async fn table(&self, name: &str) -> Result<Table, Failure> {
        self.0.table(name).await
    }

    async fn lookup(&self, lookup: &Lookup, keys: RecordBatch) -> Result<Matches, Failure> {
        self.0.lookup(lookup, keys).await
    }

    async fn read(&self, scan: &Scan, from: Option<Value>) -> Result<Scanned, Failure> {
        self.0.read(scan, from).await
    }

    async fn write(&self, _: &LedgerKey, _: &Write, _: RecordBatch) -> Result<Written, Failure> {
        Err(Failure::new(Class::Config, "the database takes nothing"))
    }

    async fn forget(&self, task: &str) -> Result<(), Failure> {
        self.0.forget(task).await
    }
}

fn save(more: &Value) -> Value {
    let mut save = json!({
        "type": "database.update", "table": "person", "key": ["id"], "set": { "id": "id", "name": "name" }
    });
    save.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "import": import("save"), "save": save })
}

/// A run that waits at `save`, and a later one that has written newer names of `p1` and `p3`.
async fn overtaken(more: &Value) -> (World, Ran) {
    let crm = people();
    let mut world = world(&crm, "CREATE TABLE person(id TEXT PRIMARY KEY, name TEXT)");
    world.limits.segment_seconds = 0;
    world.limits.rows_per_transaction = 2;
    let database = Arc::clone(&world.database);
    world.database = Arc::new(Refusing(Arc::clone(&database)));
    let old = world.run(&save(more)).await;
    assert_eq!(old.status, Status::Suspended);
    world.database = database;
    crm.put("p1", "09:30", &json!({ "name": "Ada Lovelace" }));
    crm.put("p3", "09:30", &json!({ "name": "Ada Yonath" }));
    assert_eq!(world.run_in(Arc::clone(&old.store), &save(more)).await.status, Status::Finished);
    (world, old)
}

const NAMES: &str = "SELECT name FROM person ORDER BY id";

#[tokio::test]
async fn a_run_that_is_resumed_writes_no_older_version_over_a_newer_one_wherever_the_process_dies() {
    for writes in 0..12 {
        let (world, old) = overtaken(&json!({})).await;
        let mut store = Arc::new(old.store.reopened_failing_after(writes));
        let resumed = loop {
            let (_, ran) = world.live(&store, Some(&old.id), &json!({}), std::future::pending()).await;
            match ran.filter(|ran| ran.status == Status::Finished) {
                Some(ran) => break ran,
                None => store = Arc::new(store.reopened()),
            }
        };
        assert_eq!(resumed.tally("save").dropped, [("older".to_owned(), 2)].into(), "after {writes} writes");
        assert_eq!(resumed.port("save", "ok").await, ["Grace|p2"], "after {writes} writes");
        assert_eq!(world.query(NAMES), ["Ada Lovelace", "Grace", "Ada Yonath"], "after {writes} writes");
        assert_eq!(world.query("SELECT count(*) FROM campanile_version"), ["0"], "after {writes} writes");
    }
}

#[tokio::test]
async fn an_older_version_is_written_where_the_workflow_says_so_and_nothing_is_remembered_for_that() {
    let (world, old) = overtaken(&json!({ "older": "write" })).await;
    assert_eq!(world.query("SELECT name FROM sqlite_schema WHERE name = 'campanile_version'"), [""; 0]);
    let resumed = world.resume(&old, Vars::new()).await;
    assert_eq!((resumed.status, resumed.tally("save").dropped.len()), (Status::Finished, 0));
    assert_eq!(world.query(NAMES), ["Ada", "Grace", "Ada"]);
}

#[tokio::test]
async fn a_run_without_others_that_are_unfinished_remembers_nothing() {
    let world = world(&people(), "CREATE TABLE person(id TEXT PRIMARY KEY, name TEXT)");
    assert_eq!(world.run(&save(&json!({}))).await.status, Status::Finished);
    assert_eq!(world.query("SELECT name FROM sqlite_schema WHERE name = 'campanile_version'"), [""; 0]);
    assert!(!world.path().join("memory.db").exists());
}
