//! Versions of source records: they travel with the records, and an older one is not written over a newer one.

use std::sync::Arc;

use engine::run::Status;
use serde_json::{Value, json};

use crate::double::{Double, SYSTEM};
use crate::harness::World;

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
