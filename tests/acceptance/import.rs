//! The first import, what changed since, an option that waits, its field and name, conversions.

use engine::event::{Event, Vars};
use engine::outside::store::{Expect, OptionChange, OptionValue, RunId, Store};
use engine::run::Status;
use serde_json::json;
use store::Memory;

use crate::side::Side;
use crate::world::{DYNAMICS_IMPORT, Ended, World, events, instant};

on_both!(
    the_first_import_is_full,
    an_import_that_cannot_be_counted_is_read_in_one_part,
    only_what_changed_is_imported_with_late_commits_and_nothing_twice,
    a_record_of_the_overlap_that_changed_since_is_imported_once_more,
    a_resumed_run_goes_on_with_what_it_read_and_the_option_moves_to_its_end,
    after_a_stop_the_next_run_reads_the_window_anew,
    a_crash_after_any_event_of_the_run_leaves_what_a_run_without_one_leaves,
    the_index_has_the_field_and_the_option_that_its_author_names,
    an_option_that_is_no_time_or_lies_ahead_refuses_the_import_before_it_reads,
    a_field_that_is_no_time_is_a_problem_before_the_run,
    each_conversion_takes_dates_over_as_it_says,
);

const OPTION: &str = "LASTIMPORT_dynamicsImport_import";

/// The CRM of the example, its clock at the first run.
fn section_one(side: Side) -> World {
    let world = World::new(side, "2026-03-03 10:00:00");
    let contact =
        |number, first: Option<&str>, last: &str, mail: Option<&str>, country: &str, state: u8, modified: &str| {
            world.contact(
                number,
                json!({
                    "firstname": first, "lastname": last, "emailaddress1": mail, "address1_country": country,
                    "statecode": state, "modifiedon": instant(modified).to_string(),
                }),
            );
        };
    contact(1, Some("Ada"), "Lovelace", Some("ada@example.com"), "GB", 0, "2026-03-01 08:00:00");
    contact(2, Some("Ada"), "Lovelace", Some("ADA@example.com"), "GB", 0, "2026-03-02 08:00:00");
    contact(3, Some("Grace"), "Hopper", Some("grace@example.com"), "US", 0, "2026-03-02 09:00:00");
    contact(4, None, "Turing", Some("alan@example.com"), "GB", 0, "2026-03-02 09:00:00");
    contact(5, Some("Edsger"), "Dijkstra", None, "NL", 0, "2026-03-02 10:00:00");
    contact(6, Some("Barbara"), "Liskov", Some("barbara@example.com"), "US", 1, "2026-03-02 11:00:00");
    contact(7, Some("José"), "Ñandú", Some("jose@example.com"), "ZZ", 0, "2026-03-02 12:00:00");
    contact(8, Some("Pat"), "O'Brien", Some("pat@example.com"), "IE", 0, "2026-03-02 13:00:00");
    contact(11, Some("Zoë"), "Quirk", Some("zoe@example.com"), "GB", 0, "2026-03-03 09:58:00");
    contact(9, Some("Lin"), "Yu", Some("lin@example.com"), "US", 0, "2026-03-03 10:00:00");
    world
}

/// What happens in the CRM after the first import.
fn changes(world: &World) {
    let at = |modified: &str| instant(modified).to_string();
    let late = json!({
        "firstname": "Max", "lastname": "Ode", "emailaddress1": "max@example.com", "address1_country": "US",
        "modifiedon": at("2026-03-03 09:59:30"), "@visibleFrom": at("2026-03-03 10:05:00"),
    });
    world.contact(10, late);
    world.contact(3, json!({ "lastname": "Hopper-Murray", "modifiedon": at("2026-03-03 10:30:00") }));
    world.contact(1, json!({ "firstname": "Augusta Ada", "modifiedon": at("2026-03-03 10:40:00") }));
    let new = json!({
        "firstname": "Kai", "lastname": "Abe", "emailaddress1": "kai@example.com", "address1_country": "IE",
        "modifiedon": at("2026-03-03 11:00:00"),
    });
    world.contact(12, new);
}

async fn an_import_that_cannot_be_counted_is_read_in_one_part(side: Side) {
    let world = section_one(side);
    let count = if side == Side::Dynamics { "count=true" } else { "COUNT()" };
    let refused = json!({ "containing": count, "status": 400, "code": "0x80040203" });
    world.sandbox.admin().add_fault(serde_json::from_value(refused).unwrap()).unwrap();
    let ended = world.run(DYNAMICS_IMPORT).await;
    assert_eq!((ended.status, ended.out("import", "ok") > 0), (Status::Finished, true));
    assert!(world.sandbox.admin().faults()[0].fired > 0, "the count was asked for");
}

const AFTER_FIRST: [&str; 7] = [
    "C02 | ada@example.com | Ada | Lovelace | United Kingdom",
    "C04 | alan@example.com | ∅ | Turing | United Kingdom",
    "C03 | grace@example.com | Grace | Hopper | United States",
    "C07 | jose@example.com | José | Ñandú | ∅",
    "∅ | old@example.com | Old | Entry | ∅",
    "C08 | pat@example.com | Pat | O'Brien | Ireland",
    "C11 | zoe@example.com | Zoë | Quirk | United Kingdom",
];

/// What holds at the end of every scenario.
fn nothing_was_written(world: &World) {
    assert_eq!(world.side.changes(&world.sandbox).len(), 0, "the import writes nothing to the CRM");
}

async fn first_import(world: &World) -> Ended {
    let ended = world.run(DYNAMICS_IMPORT).await;
    assert_eq!(ended.status, Status::Finished);
    ended
}

async fn the_first_import_is_full(side: Side) {
    let world = section_one(side);
    let ended = first_import(&world).await;
    let mut ids = ended.column("import", "ok", "contactid").await;
    ids.sort();
    assert_eq!(ids, ["C01", "C02", "C03", "C04", "C07", "C08", "C11"]);
    assert_eq!(ended.out("import", "reject"), 0);
    let columns = ended.columns("import", "ok").await;
    let expected = ["firstname", "lastname", "emailaddress1", "address1_country", "contactid", "modifiedon"];
    assert_eq!(columns, expected.map(|column| side.say(column)));
    assert_eq!(ended.var("import", "crmOptionName"), OPTION);
    assert_eq!(ended.var("import", "crmStartImport"), "1970/01/01 00:00:00");
    assert_eq!(ended.var("import", "crmStartDate"), "1970/01/01 00:00:00");
    assert_eq!(ended.var("import", "crmEndDate"), "2026/03/03 10:00:00");
    assert_eq!(ended.var("note", "noted"), format!("{OPTION} 1970/01/01 00:00:00 2026/03/03 10:00:00"));
    assert_eq!((ended.out("dedupe", "ok"), ended.out("dedupe", "complement")), (6, 1));
    assert_eq!(ended.column("dedupe", "complement", "contactid").await, ["C01"]);
    assert_eq!(ended.out("enrich", "ok"), 6);
    let count = |what| ended.count("save", what);
    assert_eq!((count("inserted"), count("updated"), count("unchanged")), (5, 1, 0));
    assert_eq!(ended.out("save", "reject"), 0);
    assert_eq!(world.recipients(), AFTER_FIRST);
    assert_eq!(world.option(OPTION).await.as_deref(), Some("2026/03/03 10:00:00"));
    assert_eq!(world.sql("SELECT task FROM campanile_ledger"), Vec::<String>::new(), "a run that is over needs none");
    nothing_was_written(&world);
}

async fn only_what_changed_is_imported_with_late_commits_and_nothing_twice(side: Side) {
    let world = section_one(side);
    first_import(&world).await;
    changes(&world);
    world.at("2026-03-03 11:00:00");
    world.sandbox.admin().clear_log();
    let ended = first_import(&world).await;
    let query = world.queries().remove(0);
    let window = side.window("modifiedon", Some("2026-03-03T09:55:00Z"), "2026-03-03T11:00:00Z");
    assert!(query.contains(&window), "{query}");
    assert_eq!(ended.task("import").tally.added, 5);
    assert_eq!(ended.dropped("import", "alreadyImported"), 1);
    let mut ids = ended.column("import", "ok", "contactid").await;
    ids.sort();
    assert_eq!(ids, ["C01", "C03", "C09", "C10"]);
    assert_eq!(ended.var("import", "crmStartImport"), "2026/03/03 10:00:00");
    assert_eq!(ended.var("import", "crmEndDate"), "2026/03/03 11:00:00");
    assert_eq!(ended.out("dedupe", "ok"), 4);
    assert_eq!((ended.count("save", "inserted"), ended.count("save", "updated")), (2, 2));
    let rows = world.recipients();
    assert_eq!(rows.len(), 9);
    assert!(rows.contains(&"C01 | ada@example.com | Augusta Ada | Lovelace | United Kingdom".to_owned()), "{rows:#?}");
    assert!(rows.contains(&"C03 | grace@example.com | Grace | Hopper-Murray | United States".to_owned()));
    assert_eq!(world.option(OPTION).await.as_deref(), Some("2026/03/03 11:00:00"));

    world.at("2026-03-03 11:30:00");
    let ended = first_import(&world).await;
    assert_eq!((ended.out("import", "ok"), ended.count("save", "inserted")), (1, 1));
    assert_eq!(world.recipients().len(), 10);

    world.at("2026-03-03 12:00:00");
    let before = world.recipients();
    let ended = first_import(&world).await;
    assert_eq!((ended.out("import", "ok"), ended.tasks("save").len()), (0, 1));
    assert_eq!((ended.count("save", "inserted"), ended.count("save", "updated")), (0, 0));
    assert_eq!(world.recipients(), before);
    assert_eq!(world.option(OPTION).await.as_deref(), Some("2026/03/03 12:00:00"));
    nothing_was_written(&world);
}

async fn a_record_of_the_overlap_that_changed_since_is_imported_once_more(side: Side) {
    let world = section_one(side);
    first_import(&world).await;
    // Changed within the overlap, and committed only after the first import.
    let change = json!({
        "lastname": "Quirk-Late", "modifiedon": instant("2026-03-03 09:59:00").to_string(),
        "@visibleFrom": instant("2026-03-03 10:01:00").to_string(),
    });
    world.contact(11, change);
    world.at("2026-03-03 10:02:00");
    let ended = first_import(&world).await;
    assert!(ended.column("import", "ok", "contactid").await.contains(&"C11".to_owned()));
    world.at("2026-03-03 10:03:00");
    let ended = first_import(&world).await;
    assert_eq!(ended.out("import", "ok"), 0, "neither it nor C09 comes again while the overlap still covers them");
    assert_eq!(ended.dropped("import", "alreadyImported"), 2);
}

async fn refused_at_eleven(world: &World) -> RunId {
    first_import(world).await;
    changes(world);
    world.at("2026-03-03 11:00:00");
    world.database.refuse(true);
    let ended = world.run(DYNAMICS_IMPORT).await;
    assert_eq!(ended.status, Status::Suspended);
    assert_eq!(world.option(OPTION).await.as_deref(), Some("2026/03/03 10:00:00"));
    assert_eq!(world.recipients(), AFTER_FIRST);
    let change = json!({ "lastname": "Hopper-Smith", "modifiedon": instant("2026-03-03 11:15:00").to_string() });
    world.at("2026-03-03 11:15:00");
    world.contact(3, change);
    world.database.refuse(false);
    world.at("2026-03-03 11:20:00");
    ended.id
}

fn grace(world: &World) -> String {
    world.recipients().into_iter().find(|row| row.contains("grace@")).unwrap()
}

async fn a_resumed_run_goes_on_with_what_it_read_and_the_option_moves_to_its_end(side: Side) {
    let world = section_one(side);
    let id = refused_at_eleven(&world).await;
    world.sandbox.admin().clear_log();
    let ended = world.resume(&id).await;
    assert_eq!(ended.status, Status::Finished);
    assert_eq!(world.queries(), Vec::<String>::new());
    assert!(grace(&world).contains("Hopper-Murray"));
    assert_eq!(world.option(OPTION).await.as_deref(), Some("2026/03/03 11:00:00"));
    world.at("2026-03-03 12:00:00");
    let ended = first_import(&world).await;
    assert_eq!(ended.out("import", "ok"), 2);
    assert!(grace(&world).contains("Hopper-Smith"));
}

async fn after_a_stop_the_next_run_reads_the_window_anew(side: Side) {
    let world = section_one(side);
    let id = refused_at_eleven(&world).await;
    assert_eq!(world.engine().stop(&id).await, Ok(Status::Stopped));
    let ended = first_import(&world).await;
    let mut ids = ended.column("import", "ok", "contactid").await;
    ids.sort();
    assert_eq!(ids, ["C01", "C03", "C09", "C10", "C12"]);
    assert!(grace(&world).contains("Hopper-Smith"));
    assert_eq!(world.option(OPTION).await.as_deref(), Some("2026/03/03 11:20:00"));
}

async fn a_crash_after_any_event_of_the_run_leaves_what_a_run_without_one_leaves(side: Side) {
    let world = section_one(side);
    first_import(&world).await;
    changes(&world);
    world.at("2026-03-03 11:00:00");
    let whole = first_import(&world).await;
    let count = events(&world.store, &whole.id).await.len() as u64;
    let expected = (world.recipients(), world.option(OPTION).await);
    assert!(count > 12, "{count}");
    for crash in 0..=count {
        let mut world = section_one(side);
        first_import(&world).await;
        changes(&world);
        world.at("2026-03-03 11:00:00");
        let broken: Memory = world.store.reopened_failing_after(crash);
        let engine = world.engine_on(broken);
        if let Ok((_, driven)) = engine.start("dynamicsImport.json", &side.say(DYNAMICS_IMPORT), Vars::new()).await {
            driven.wait().await.ok();
        }
        drop(engine);
        world.store = world.store.reopened();
        let id = RunId::new("dynamicsImport", 2);
        match events(&world.store, &id).await.last() {
            None => assert_eq!(first_import(&world).await.status, Status::Finished),
            Some(Event::Finished) => {}
            Some(_) => assert_eq!(world.resume(&id).await.status, Status::Finished, "crash {crash}"),
        }
        assert_eq!((world.recipients(), world.option(OPTION).await), expected, "crash after event {crash}");
    }
}

async fn set_option(world: &World, name: &str, value: &str) {
    let value = OptionValue {
        value: value.to_owned(),
        at: instant("2026-03-03 09:00:00"),
        by: "operator".into(),
        seen: None,
        scope: None,
    };
    let change = OptionChange { name: name.to_owned(), expect: Expect::Any, value: Some(value) };
    world.store.set_options(vec![change]).await.unwrap();
}

async fn the_index_has_the_field_and_the_option_that_its_author_names(side: Side) {
    let world = section_one(side);
    let named = DYNAMICS_IMPORT
        .replace(r#"{ "overlap": "5m" }"#, r#"{ "option": "MY_IMPORT", "field": "createdon" }"#)
        .replace("modifiedon", "createdon");
    let ended = world.run(&named).await;
    assert_eq!(ended.var("import", "crmOptionName"), "MY_IMPORT");
    assert_eq!(world.option("MY_IMPORT").await.as_deref(), Some("2026/03/03 10:00:00"));
    let query = world.queries().remove(0);
    assert!(query.contains(&side.window("createdon", None, "2026-03-03T10:00:00Z")), "{query}");
    assert!(!query.contains(&side.window("modifiedon", None, "")), "{query}");
}

/// Imports all of an object of Salesforce, by the field that tells its changes.
fn by_its_own_index(object: &str, field: &str) -> String {
    let import = json!({
        "type": "crm.import", "account": "salesforce", "object": object, "fields": [field], "automaticIndex": true,
    });
    json!({ "version": 1, "activities": { "import": import } }).to_string()
}

#[tokio::test]
async fn an_object_of_salesforce_that_has_no_last_modified_date_has_its_system_modstamp() {
    let world = World::new(Side::Salesforce, "2026-03-03 10:00:00");
    let admin = world.sandbox.admin().salesforce();
    let user = admin.id("User", 0).unwrap();
    let member = |at: &str| json!({ "GroupId": "00G000000000001", "UserOrGroupId": user, "SystemModstamp": at });
    admin.create("GroupMember", &[member("2026-03-03T09:00:00Z"), member("2026-03-03T10:00:00Z")]).unwrap();
    let text = by_its_own_index("GroupMember", "GroupId");
    let ended = world.run(&text).await;
    assert_eq!((ended.status, ended.out("import", "ok")), (Status::Finished, 1), "the end is excluded");
    assert_eq!(ended.columns("import", "ok").await, ["GroupId", "Id", "SystemModstamp"]);
    assert!(world.queries().iter().any(|query| query.contains("SystemModstamp < 2026-03-03T10:00:00Z")));
    world.at("2026-03-03 11:00:00");
    assert_eq!(world.run(&text).await.out("import", "ok"), 1, "the other one");
}

#[tokio::test]
async fn an_object_without_any_date_that_tells_changes_is_a_problem_that_names_it() {
    let world = World::new(Side::Salesforce, "2026-03-03 10:00:00");
    let text = by_its_own_index("ContactHistory", "Field");
    let (_, findings) = world.engine().check("x.json", "x", &text, engine::describe::Ask::Refresh).await;
    let [problem] = findings.problems.as_slice() else { panic!("{:#?}", findings.problems) };
    assert_eq!(problem.code, "no-index-field");
    assert!(problem.message.contains("ContactHistory"), "{problem:?}");
}

async fn an_option_that_is_no_time_or_lies_ahead_refuses_the_import_before_it_reads(side: Side) {
    for value in ["03/03/2026", "2026/03/03 10:00:01"] {
        let world = section_one(side);
        set_option(&world, OPTION, value).await;
        let ended = world.run(DYNAMICS_IMPORT).await;
        assert_eq!(ended.status, Status::Suspended);
        let failure = ended.task("import").failure.clone().unwrap().to_string();
        assert!(failure.contains(OPTION) && failure.contains(value), "{failure}");
        assert_eq!(world.queries(), Vec::<String>::new());
        assert_eq!(world.option(OPTION).await.as_deref(), Some(value));
    }
}

async fn a_field_that_is_no_time_is_a_problem_before_the_run(side: Side) {
    let world = section_one(side);
    let wrong = DYNAMICS_IMPORT.replace(r#"{ "overlap": "5m" }"#, r#"{ "field": "lastname" }"#);
    let (_, findings) = world.engine().check("x.json", "x", &side.say(&wrong), engine::describe::Ask::Refresh).await;
    assert_eq!(findings.problems.iter().map(|problem| problem.code).collect::<Vec<_>>(), ["index-field"]);
}

async fn each_conversion_takes_dates_over_as_it_says(side: Side) {
    let world = World::new(side, "2026-08-01 00:00:00");
    world.contact(1, json!({ "lastonholdtime": "2026-07-01T22:30:00Z", "birthdate": "1980-05-31", "lastname": "A" }));
    world.contact(2, json!({ "lastname": "B" }));
    let expected = [
        ("default", "2026-07-01T22:30:00Z", "1980-05-31"),
        ("dateOnly", "2026-07-02", "1980-05-31"),
        ("withoutTimeOffset", "2026-07-01T22:30:00", "1980-05-31"),
        (
            "copy",
            if side == Side::Dynamics { "2026-07-01T22:30:00Z" } else { "2026-07-01T22:30:00.000+0000" },
            "1980-05-31",
        ),
    ];
    for (conversion, time, date) in expected {
        let workflow = json!({
            "version": 1, "timeZone": "Europe/Paris",
            "activities": { "import": {
                "type": "crm.import", "account": "dynamics", "object": "contacts", "orderBy": ["lastname"],
                "fields": [
                    { "field": "lastonholdtime", "conversion": conversion },
                    { "field": "birthdate", "conversion": conversion },
                ],
            } },
        });
        let ended = world.run(&workflow.to_string()).await;
        assert_eq!(ended.column("import", "ok", "lastonholdtime").await, [time, "∅"], "{conversion}");
        assert_eq!(ended.column("import", "ok", "birthdate").await, [date, "∅"], "{conversion}");
    }
}
