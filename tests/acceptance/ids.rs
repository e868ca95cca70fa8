//! Records that are found by ids, fields of related records, and reading side by side.

use engine::describe::Ask;
use engine::run::Status;
use serde_json::{Value, json};

use crate::side::Side;
use crate::world::{Ended, World};

on_both!(
    records_are_found_by_the_ids_of_the_population_upstream,
    thousands_of_ids_make_no_long_request_lines,
    a_comparison_of_keys_tells_what_the_crm_no_longer_has,
);

fn people(world: &World, ids: &[Option<String>]) {
    let database = rusqlite::Connection::open(world.folder.path().join("marketing.db")).unwrap();
    database.execute_batch("CREATE TABLE person (n INTEGER PRIMARY KEY, crm_id TEXT)").unwrap();
    for (n, id) in (1_i64..).zip(ids) {
        database.execute("INSERT INTO person VALUES (?1, ?2)", (n, id)).unwrap();
    }
}

fn workflow(more: &Value) -> String {
    let mut import = json!({
        "type": "crm.import", "account": "dynamics", "object": "contacts", "ids": "crm_id", "fields": ["lastname", "emailaddress1"],
    });
    import.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let query = json!({ "type": "database.query", "table": "person", "fields": ["n", "crm_id"], "to": "import" });
    json!({ "version": 1, "activities": { "known": query, "import": import } }).to_string()
}

async fn rows(ended: &Ended, port: &str, columns: &[&str]) -> Vec<String> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for column in columns {
        for (row, value) in ended.column("import", port, column).await.into_iter().enumerate() {
            if rows.len() <= row {
                rows.push(Vec::new());
            }
            rows[row].push(value);
        }
    }
    rows.into_iter().map(|row| row.join(" ")).collect()
}

async fn records_are_found_by_the_ids_of_the_population_upstream(side: Side) {
    let world = World::new(side, "2026-03-03 10:00:00");
    world.contact(3, json!({ "lastname": "Hopper", "emailaddress1": "grace@example.com" }));
    world.contact(4, json!({ "lastname": "Turing", "emailaddress1": "alan@example.com" }));
    people(&world, &[Some(world.id(3)), Some(world.id(4)), Some(world.id(99)), None, Some(world.id(3))]);
    // A fault that changes nothing counts the requests that name C03, wherever they do.
    let counter = json!({ "containing": world.id(3), "delayMs": 0 });
    world.sandbox.admin().add_fault(serde_json::from_value(counter).unwrap()).unwrap();
    let ended = world.run(&workflow(&json!({}))).await;
    assert_eq!(ended.status, Status::Finished);
    let expected = ["n", "crm_id", "lastname", "emailaddress1"].map(|column| side.say(column));
    assert_eq!(ended.columns("import", "ok").await, expected);
    assert_eq!(
        rows(&ended, "ok", &["n", "crm_id", "lastname", "emailaddress1"]).await,
        ["1 C03 Hopper grace@example.com", "2 C04 Turing alan@example.com", "5 C03 Hopper grace@example.com"]
    );
    assert_eq!(rows(&ended, "reject", &["n", "errorCode"]).await, ["3 NOT_FOUND", "4 ID_EMPTY"]);
    assert_eq!(world.sandbox.admin().faults()[0].matched, 1, "C03 is asked for once");

    let wrong = json!({ "filter": "statecode == 0", "automaticIndex": true, "orderBy": ["lastname"] });
    let (_, findings) = world.engine().check("x.json", "x", &side.say(&workflow(&wrong)), Ask::Refresh).await;
    assert_eq!(findings.problems.iter().map(|problem| problem.code).collect::<Vec<_>>(), ["ids-with-other"; 3]);
}

async fn thousands_of_ids_make_no_long_request_lines(side: Side) {
    let world = World::new(side, "2026-03-03 10:00:00");
    let id = |n: u32| match side {
        Side::Dynamics => format!("c0000000-0000-4000-8000-{n:012}"),
        Side::Salesforce => world.sandbox.admin().salesforce().id("Contact", n).unwrap(),
    };
    let ids: Vec<String> = (0..2_500).map(id).collect();
    for id in ids.iter().step_by(2) {
        side.put(&world.sandbox, id, &json!({ "lastname": id }));
    }
    people(&world, &ids.iter().cloned().map(Some).collect::<Vec<_>>());
    let ended = world.run(&workflow(&json!({ "fields": ["lastname"] }))).await;
    assert_eq!((ended.out("import", "ok"), ended.out("import", "reject")), (1_250, 1_250));
    let longest = world.sandbox.admin().requests(0).iter().map(|request| request.path.len()).max();
    assert!(longest.is_some_and(|longest| longest <= 2_000), "{longest:?}");
}

#[tokio::test]
async fn fields_of_related_records_are_imported_filtered_by_and_ordered_by() {
    let world = World::new(Side::Dynamics, "2026-03-03 10:00:00");
    let mill = "acc00000-0000-4000-8000-000000000001";
    let park = "acc00000-0000-4000-8000-000000000002";
    for (account, name, number) in [(mill, "Mill", "A-1"), (park, "Park", "A-2")] {
        world.sandbox.admin().put("accounts", account, &json!({ "name": name, "accountnumber": number })).unwrap();
    }
    for (number, account) in [(1, mill), (2, park), (3, mill)] {
        let company = json!({ "table": "account", "id": account });
        let lookup = json!({ "lastname": format!("N{number}"), "parentcustomerid": company });
        world.contact(number, lookup);
    }
    world.contact(4, json!({ "lastname": "N4" }));
    let path = "parentcustomerid_account.accountnumber";
    let import = json!({
        "type": "crm.import", "account": "dynamics", "object": "contacts", "fields": ["lastname", path],
        "filter": format!("field(\"{path}\") != \"A-2\""), "orderBy": [{ "field": "lastname", "descending": true }],
    });
    let text = json!({ "version": 1, "activities": { "import": import } }).to_string();
    let ended = world.run(&text).await;
    assert_eq!(rows(&ended, "ok", &["lastname", path]).await, ["N4 ∅", "N3 A-1", "N1 A-1"]);
    let wrong = text.replace(
        "\"lastname\",\"parentcustomerid_account.accountnumber\"",
        "\"lastname\",\"parentcustomerid_account.acountnumber\"",
    );
    let (_, findings) = world.engine().check("x.json", "x", &wrong, Ask::Refresh).await;
    let problem = findings.problems.iter().find(|problem| problem.pointer == "/activities/import/fields/1").unwrap();
    assert!(problem.help.as_ref().is_some_and(|help| help.contains("accountnumber")), "{problem:?}");
}

async fn a_comparison_of_keys_tells_what_the_crm_no_longer_has(side: Side) {
    let world = World::new(side, "2026-03-03 10:00:00");
    for number in 1..=3 {
        world.contact(number, json!({ "lastname": format!("N{number}") }));
    }
    side.delete(&world.sandbox, &world.id(2));
    // Ids of Salesforce tell letters of both cases apart.
    let gone = if side == Side::Dynamics { world.id(2).to_uppercase() } else { world.id(2) };
    people(&world, &[Some(world.id(1)), Some(gone.clone()), Some(world.id(3)), Some("no id".to_owned())]);
    let import = json!({ "type": "crm.importDeleted", "account": "dynamics", "object": "contacts", "ids": "crm_id" });
    let query = json!({ "type": "database.query", "table": "person", "to": "import" });
    let text = json!({ "version": 1, "activities": { "known": query, "import": import } }).to_string();
    let ended = world.run(&text).await;
    assert_eq!(
        ended.column("import", "ok", "contactid").await,
        [world.short(&gone)],
        "as it came, so that it is found"
    );
    assert_eq!(ended.column("import", "reject", "errorCode").await, ["ID_MALFORMED"]);
}

#[tokio::test]
async fn deletions_in_dynamics_come_from_its_feed_each_once() {
    let world = World::new(Side::Dynamics, "2026-03-03 10:00:00");
    for number in 1..=4 {
        world.contact(number, json!({ "lastname": format!("N{number}") }));
    }
    let import =
        json!({ "type": "crm.importDeleted", "account": "dynamics", "object": "contacts", "automaticIndex": true });
    let text = json!({ "version": 1, "activities": { "import": import } }).to_string();
    let first = world.run(&text).await;
    assert_eq!((first.status, first.out("import", "ok")), (Status::Finished, 0), "what was before is not known");
    world.sandbox.admin().delete("contacts", &world.id(2)).unwrap();
    world.at("2026-03-03 11:00:00");
    let second = world.run(&text).await;
    assert_eq!(second.column("import", "ok", "contactid").await, ["C02"]);
    let third = world.run(&text).await;
    assert_eq!((third.status, third.out("import", "ok")), (Status::Finished, 0));
    world.at("2026-03-20 11:00:00");
    let late = world.run(&text).await;
    assert_eq!(late.status, Status::Suspended, "a gap is never passed over");
    assert!(late.task("import").failure.clone().unwrap().help.unwrap().contains("ids"));
}

#[tokio::test]
async fn ranges_that_are_read_side_by_side_bring_each_record_once() {
    const CONTACTS: u32 = 52_000;
    let world = World::with_contacts(Side::Dynamics, "2026-03-03 10:00:00", CONTACTS);
    let import = json!({ "type": "crm.import", "account": "dynamics", "object": "contacts", "fields": ["statecode"] });
    let text = json!({ "version": 1, "activities": { "import": import } }).to_string();
    let ended = world.run(&text).await;
    let mut ids = ended.column("import", "ok", "contactid").await;
    let came = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((came, ids.len()), (52_000, 52_000));
    let parts = world.queries().iter().filter(|query| query.contains("createdon ge") && query.contains("lt")).count();
    assert!(parts > 4, "it was not read as a whole: {parts}");
}
