//! Between runs: what an export left in doubt, or created and did not hand on, is never created a second time.

use std::sync::Arc;

use engine::engine::Engine;
use engine::event::{Event, Vars};
use engine::outside::memory::{Answer, Memory, State};
use engine::outside::store::RunId;
use engine::run::Status;
use sandbox::ChangeKind;
use serde_json::{Value, json};
use store::SqliteMemory;

use crate::cuts::{add_fault, killed_at_the_fault, temp_files};
use crate::export::{changed, workflow};
use crate::side::Side;
use crate::world::{Ended, World, events};

on_both!(
    a_run_that_is_stopped_after_any_event_and_started_anew_makes_nothing_twice,
    a_run_that_was_killed_while_it_sent_and_is_stopped_leaves_nothing_to_make_twice,
    what_a_guard_stopped_is_shown_and_the_next_run_passes_on_what_was_created,
);

/// An insert that nothing names, ten records a batch; of those only that the database knows no id of.
fn insert() -> String {
    let set = json!({ "firstname": "first_name", "lastname": "last_name" });
    workflow(&json!({ "operation": "insert", "set": set, "batch": { "size": 10, "parallel": 1 } }))
        .replace(r#""table":"recipient""#, r#""table":"recipient","filter":"is_empty(crm_id)""#)
}

/// 25 records that the CRM does not have, some minutes after those that it has were created.
fn twenty_five(side: Side) -> World {
    let world = crate::cuts::twenty_five(side);
    world.at("2026-03-03 10:05:00");
    world
}

/// Writes the ids of what was created into the database, as the workflow's next activity would.
async fn hand_on(world: &World, ended: &Ended) {
    for (name, id) in
        ended.column("export", "ok", "first_name").await.iter().zip(ended.column("export", "ok", "crmId").await)
    {
        world.sql_write(&format!("UPDATE recipient SET crm_id = '{id}' WHERE first_name = '{name}'"));
    }
}

/// How many records were created, none of them twice.
fn created(world: &World, context: &str) -> usize {
    let made = changed(world).into_iter().filter(|(kind, _)| *kind == ChangeKind::Created);
    let record = |id: String| world.side.record(&world.sandbox, &world.long(&id)).unwrap();
    let mut names: Vec<String> = made.map(|(_, id)| record(id)["firstname"].to_string()).collect();
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all, "{context}: a record was created twice");
    all
}

fn names(from: u8, to: u8) -> Vec<String> {
    (from..to).map(|number| format!("N{number:02}")).collect()
}

/// No answer came; the CRM carried it out, or did not.
fn unanswered(carried_out: bool) -> Value {
    match carried_out {
        true => json!({ "containing": "Name 1", "cutAfterCommit": true }),
        false => json!({ "containing": "Name 1", "body": "[", "cutAfterBytes": 1 }),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_in_doubt_that_the_crm_has_are_found_there_by_the_next_run() {
    let world = twenty_five(Side::Salesforce);
    add_fault(&world, unanswered(true), Some(1));
    let first = world.run(&insert()).await;
    assert_eq!((first.status, first.out("export", "ok")), (Status::Finished, 15));
    assert_eq!(first.column("export", "inDoubt", "first_name").await, names(10, 20));
    hand_on(&world, &first).await;
    let second = world.run(&insert()).await;
    assert_eq!(second.column("export", "ok", "first_name").await, names(10, 20));
    let ids = second.column("export", "ok", "crmId").await;
    for (name, id) in names(10, 20).iter().zip(&ids) {
        assert_eq!(world.side.record(&world.sandbox, &world.long(id)).unwrap()["firstname"], *name);
    }
    assert_eq!(created(&world, "two runs"), 25);
    hand_on(&world, &second).await;
    // What was handed on is over: a record that is new to the database is new to the CRM.
    world.sql_write("UPDATE recipient SET crm_id = NULL WHERE first_name = 'N12'");
    assert_eq!(world.run(&insert()).await.out("export", "ok"), 1);
    assert_eq!(changed(&world).len(), 26);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_in_doubt_that_the_crm_lacks_are_set_aside_until_it_can_no_longer_take_them_and_then_sent() {
    let world = twenty_five(Side::Salesforce);
    add_fault(&world, unanswered(false), Some(1));
    let first = world.run(&insert()).await;
    assert_eq!(first.column("export", "inDoubt", "first_name").await, names(10, 20));
    hand_on(&world, &first).await;
    for _ in 0..2 {
        let next = world.run(&insert()).await;
        assert_eq!((next.status, next.out("export", "ok")), (Status::Finished, 0));
        assert_eq!(next.column("export", "inDoubt", "first_name").await, names(10, 20));
        assert_eq!(next.count("export", "setAside"), 10);
        assert!(next.column("export", "inDoubt", "inDoubtReason").await[0].contains("dynamicsImport-1"));
    }
    assert_eq!(created(&world, "set aside"), 15);
    world.at("2026-03-03 10:30:00");
    let last = world.run(&insert()).await;
    assert_eq!(last.column("export", "ok", "first_name").await, names(10, 20));
    assert_eq!(created(&world, "sent again"), 25);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_our_user_that_nothing_explains_leaves_the_questions_to_a_person() {
    let world = twenty_five(Side::Salesforce);
    add_fault(&world, unanswered(false), Some(1));
    let first = world.run(&insert()).await;
    hand_on(&world, &first).await;
    // Another program that logs in as our user.
    let other = workflow(&json!({ "operation": "insert", "set": { "lastname": "\"Other\"" } }));
    let other = other.replace(r#""table":"recipient""#, r#""table":"recipient","filter":"first_name == \"N00\"""#);
    assert_eq!(world.run(&other).await.out("export", "ok"), 1);
    world.at("2026-03-03 10:30:00");
    assert_eq!(world.run(&insert()).await.out("export", "inDoubt"), 10);
    let memory = SqliteMemory::new(world.folder.path());
    let questions = memory.of("salesforce", "Contact").await.unwrap();
    assert!(questions.iter().all(|known| matches!(known.state, State::InDoubt(_))), "{questions:?}");
    let created = Answer::Created { id: Some("003000000000001".into()) };
    memory.settle(&[(questions[0].id, created), (questions[1].id, Answer::NotCreated)]).await.unwrap();
    let last = world.run(&insert()).await;
    assert_eq!(last.column("export", "ok", "first_name").await, names(10, 12));
    assert_eq!(last.column("export", "ok", "crmId").await[0], "003000000000001");
    assert_eq!(last.out("export", "inDoubt"), 8);
    assert_eq!(changed(&world).len(), 15 + 1 + 1);
}

fn first_run() -> RunId {
    RunId::new("dynamicsImport", 1)
}

/// The ways of an insert that nothing names.
fn worlds(side: Side) -> Vec<World> {
    let mut worlds = vec![twenty_five(side)];
    if side == Side::Salesforce {
        let mut bulk = twenty_five(side);
        bulk.bulk = json!({ "from": 20, "pollMin": "5ms", "pollMax": "5ms" });
        worlds.push(bulk);
    }
    worlds
}

/// Runs the workflow anew until nothing is in doubt, at a time when nothing can take hold any more.
async fn until_all_are_created(world: &World, context: &str) {
    let again = world.run(&insert()).await;
    assert_eq!(again.status, Status::Finished, "{context}");
    assert_eq!(again.out("export", "ok") + again.out("export", "inDoubt"), 25, "{context}");
    created(world, context);
    hand_on(world, &again).await;
    world.at("2026-03-13 10:00:00");
    let last = world.run(&insert()).await;
    assert_eq!(last.out("export", "inDoubt"), 0, "{context}");
    assert_eq!(created(world, context), 25, "{context}");
}

/// Whether the export, which is the second task, ended well.
fn has_ended(events: &[Event]) -> bool {
    events.iter().any(|event| matches!(event, Event::TaskEnded { task: 2, .. }))
}

async fn a_run_that_is_stopped_after_any_event_and_started_anew_makes_nothing_twice(side: Side) {
    for number in 0..worlds(side).len() {
        let world = worlds(side).remove(number);
        let whole = world.run(&insert()).await;
        let count = events(&world.store, &whole.id).await.len() as u64;
        for crash in 1..count {
            let context = format!("way {number}, crash after event {crash}");
            let mut world = worlds(side).remove(number);
            let engine: Arc<Engine> = world.engine_on(world.store.reopened_failing_after(crash));
            let started = engine.start("dynamicsImport.json", &side.say(&insert()), Vars::new()).await;
            if let Ok((_, driven)) = started {
                driven.wait().await.ok();
            }
            drop(engine);
            world.store = world.store.reopened();
            let begun = events(&world.store, &first_run()).await;
            // What an export that ended well handed on is no longer its own.
            if begun.is_empty() || has_ended(&begun) {
                continue;
            }
            world.engine().stop(&first_run()).await.unwrap();
            until_all_are_created(&world, &context).await;
        }
    }
}

async fn a_run_that_was_killed_while_it_sent_and_is_stopped_leaves_nothing_to_make_twice(side: Side) {
    for number in 0..worlds(side).len() {
        let world = worlds(side).remove(number);
        let fault = match number {
            0 => json!({ "containing": "Name 1", "cutAfterCommit": true, "delayMs": 3_600_000 }),
            _ => json!({ "containing": "UploadComplete", "skip": 1, "cutAfterCommit": true, "delayMs": 3_600_000 }),
        };
        add_fault(&world, fault, Some(1));
        tokio::task::block_in_place(|| killed_at_the_fault(&world, &insert()));
        world.engine().stop(&first_run()).await.unwrap();
        assert_eq!(temp_files(&world), Vec::<std::path::PathBuf>::new());
        until_all_are_created(&world, &format!("way {number}")).await;
    }
}

/// Of twenty records, five of which are refused, fifteen are created before the guard stops.
async fn what_a_guard_stopped_is_shown_and_the_next_run_passes_on_what_was_created(side: Side) {
    let world = twenty_five(side);
    world.sql_write("DELETE FROM recipient WHERE first_name >= 'N20'");
    let long = "x".repeat(100);
    world.sql_write(&format!("UPDATE recipient SET last_name = '{long}' WHERE first_name >= 'N15'"));
    let guarded = insert().replace(r#""operation":"insert""#, r#""operation":"insert","maxRejects":2"#);
    let first = world.run(&guarded).await;
    assert_eq!((first.status, created(&world, "before the guard")), (Status::Suspended, 15));
    let failure = first.task("export").failure.clone().unwrap();
    assert!(failure.message.contains("5 records were rejected") && failure.message.contains("15 created"), "{failure}");
    assert_eq!(first.column("export", "reject", "first_name").await, names(15, 20), "they can be looked at");
    assert_eq!(first.column("export", "ok", "first_name").await, names(0, 15));
    let next = world.run(&insert()).await;
    assert_eq!(next.column("export", "ok", "first_name").await, names(0, 15));
    assert_eq!(next.column("export", "ok", "crmId").await, first.column("export", "ok", "crmId").await);
    assert_eq!((next.out("export", "reject"), created(&world, "after the guard")), (5, 15));
    // The first run may hand them on as well, and makes none again.
    let allowed = Vars::from_iter([("allowRejects".to_owned(), json!(20))]);
    let engine = world.engine();
    engine.resume_with(&first_run(), allowed).await.unwrap().wait().await.unwrap();
    assert_eq!(created(&world, "after the first run went on"), 15);
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_and_repeated_keys_count_before_the_first_request() {
    let world = twenty_five(Side::Salesforce);
    world.sql_write("UPDATE recipient SET first_name = NULL WHERE first_name >= 'N23'");
    world.sql_write("UPDATE recipient SET first_name = 'N00' WHERE first_name = 'N01'");
    let settings = json!({ "operation": "upsert", "key": ["new_extid"], "maxRejects": 2,
        "set": { "new_extid": "first_name", "lastname": "last_name" } });
    let ended = world.run(&workflow(&settings)).await;
    assert_eq!((ended.status, changed(&world)), (Status::Suspended, vec![]));
    let failure = ended.task("export").failure.clone().unwrap().message;
    for part in ["3 records were rejected", "nothing was sent", "1 × KEY_REPEATED", "2 × KEY_EMPTY"] {
        assert!(failure.contains(part), "{failure}");
    }
}
