//! Exports that are cut off, killed and started again: no record twice, none lost.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use engine::describe::Ask;
use engine::event::Vars;
use engine::outside::store::RunId;
use engine::run::Status;
use sandbox::ChangeKind;
use serde_json::{Value, json};
use store::Memory;

use crate::export::{changed, workflow, world};
use crate::side::Side;
use crate::world::{World, events};

on_both!(
    a_cut_around_the_second_batch_and_a_kill_lose_nothing_and_repeat_nothing,
    a_crash_after_any_event_of_the_run_makes_each_record_once,
    a_run_anew_before_any_id_was_kept_makes_nothing_twice,
    the_temp_file_is_there_while_the_run_is_suspended_and_gone_at_its_end,
);

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// `$batch`, as rules against duplicates ask for.
    Batch,
    /// `CreateMultiple`.
    Multiple,
    /// sObject Collections, by an external id.
    Collections,
    /// A bulk job, by an external id.
    Bulk,
    /// A bulk job without any key.
    BulkInsert,
}

impl Way {
    fn of(side: Side) -> &'static [Self] {
        match side {
            Side::Dynamics => &[Self::Batch, Self::Multiple],
            Side::Salesforce => &[Self::Collections, Self::Bulk, Self::BulkInsert],
        }
    }

    fn workflow(self) -> String {
        let mut settings = match self {
            Self::Batch | Self::BulkInsert => json!({ "operation": "insert", "set": { "lastname": "last_name" } }),
            Self::Multiple => {
                json!({ "operation": "insert", "set": { "lastname": "last_name" }, "duplicateRules": "ignore" })
            }
            Self::Collections | Self::Bulk => json!({
                "operation": "upsert", "key": ["new_extid"],
                "set": { "new_extid": "first_name", "lastname": "last_name" },
            }),
        };
        settings["batch"] = json!({ "size": 10, "parallel": 1 });
        workflow(&settings)
    }

    /// 25 records that the CRM does not have.
    fn world(self) -> World {
        let side = match self {
            Self::Batch | Self::Multiple => Side::Dynamics,
            Self::Collections | Self::Bulk | Self::BulkInsert => Side::Salesforce,
        };
        let mut world = twenty_five(side);
        if matches!(self, Self::Bulk | Self::BulkInsert) {
            world.bulk = json!({ "from": 20, "pollMin": "5ms", "pollMax": "5ms" });
        }
        world
    }

    /// What goes wrong at the second batch: before the CRM had it, after it carried it out, the same while no answer comes,
    /// within its answer; and before the third one.
    fn faults(self) -> Vec<Value> {
        let mut faults = vec![
            json!({ "containing": "Name 1", "status": 503 }),
            json!({ "containing": "Name 1", "cutAfterCommit": true }),
            json!({ "containing": "Name 1", "cutAfterCommit": true, "delayMs": 3_600_000 }),
            json!({ "containing": "Name 1", "cutAfterBytes": 1 }),
            json!({ "containing": "Name 2", "status": 503 }),
        ];
        if matches!(self, Self::Bulk | Self::BulkInsert) {
            faults.extend([
                json!({ "containing": "\"operation\"", "skip": 1, "cutAfterCommit": true }),
                json!({ "containing": "UploadComplete", "skip": 1, "cutAfterCommit": true }),
                json!({ "containing": "successfulResults", "skip": 1, "cutAfterBytes": 1 }),
            ]);
        }
        faults
    }
}

pub(crate) fn twenty_five(side: Side) -> World {
    let records: Vec<(String, String)> = (0..25).map(|n| (format!("N{n:02}"), format!("Name {n:02}"))).collect();
    let records: Vec<(&str, Option<u8>, &str)> = records.iter().map(|(mark, name)| (&**mark, None, &**name)).collect();
    let world = world(side, &records);
    side.add_field(&world.sandbox, "new_extid", "key");
    world
}

pub(crate) fn add_fault(world: &World, mut fault: Value, times: Option<u64>) {
    fault["route"] = json!("any");
    fault["times"] = json!(times);
    world.sandbox.admin().add_fault(serde_json::from_value(fault).unwrap()).unwrap();
}

/// The longest that a test waits for a fault to be met.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts a run in a process of its own, so to speak, and kills it once a request met a fault and the CRM is done with it.
pub(crate) fn killed_at_the_fault(world: &World, workflow: &str) {
    let process = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (engine, text) = (world.engine(), world.side.say(workflow));
    process.spawn(async move {
        let started = engine.start("dynamicsImport.json", &text, Vars::new()).await;
        if let Ok((_, driven)) = started {
            driven.wait().await.ok();
        }
    });
    let until = Instant::now() + PATIENCE;
    while world.sandbox.admin().requests(0).iter().all(|request| request.faults.is_empty()) {
        assert!(Instant::now() < until, "no request met the fault");
        std::thread::sleep(Duration::from_millis(2));
    }
    process.shutdown_timeout(Duration::from_millis(500));
}

/// The run that each scenario begins with.
fn first_run() -> RunId {
    RunId::new("dynamicsImport", 1)
}

/// 25 records were made, each once, and nothing else was done.
fn each_once(world: &World, context: &str) {
    let mut created = changed(world);
    assert_eq!(created.len(), 25, "{context}: each record once, and nothing else: {created:?}");
    assert!(created.iter().all(|(kind, _)| *kind == ChangeKind::Created), "{context}");
    created.dedup();
    assert_eq!(created.len(), 25, "{context}");
}

async fn a_cut_around_the_second_batch_and_a_kill_lose_nothing_and_repeat_nothing(side: Side) {
    for way in Way::of(side) {
        for fault in way.faults() {
            let context = format!("{way:?} {fault}");
            let world = way.world();
            add_fault(&world, fault, Some(1));
            tokio::task::block_in_place(|| killed_at_the_fault(&world, &way.workflow()));
            // Where the answer came, the kill comes within whatever follows; on a busy machine also after it.
            let ended = world.resume_unless_over(&first_run()).await;
            assert_eq!(ended.status, Status::Finished, "{context}");
            assert_eq!(ended.out("export", "ok"), 25, "{context}");
            let ids = ended.column("export", "ok", "crmId").await;
            assert!(ids.iter().all(|id| id != "∅"), "{context}");
            each_once(&world, &context);
            let asked = world.sandbox.admin().requests(0);
            let sent_by = |part: &str| asked.iter().any(|request| request.path.contains(part));
            let route = match way {
                Way::Batch => "$batch",
                Way::Multiple => "CreateMultiple",
                Way::Collections => "composite/sobjects",
                Way::Bulk | Way::BulkInsert => "jobs/ingest",
            };
            assert!(sent_by(route), "{context}: it was sent another way");
        }
    }
}

async fn a_crash_after_any_event_of_the_run_makes_each_record_once(side: Side) {
    for way in Way::of(side) {
        let world = way.world();
        let whole = world.run(&way.workflow()).await;
        let count = events(&world.store, &whole.id).await.len() as u64;
        assert!(count > 5, "{count}");
        for crash in 1..count {
            let mut world = way.world();
            let broken: Memory = world.store.reopened_failing_after(crash);
            let engine = world.engine_on(broken);
            let started = engine.start("dynamicsImport.json", &side.say(&way.workflow()), Vars::new()).await;
            if let Ok((_, driven)) = started {
                driven.wait().await.ok();
            }
            drop(engine);
            world.store = world.store.reopened();
            let context = format!("{way:?}, crash after event {crash}");
            match events(&world.store, &first_run()).await.last() {
                None => assert_eq!(world.run(&way.workflow()).await.status, Status::Finished, "{context}"),
                Some(engine::event::Event::Finished) => {}
                Some(_) => {
                    let ended = world.resume(&first_run()).await;
                    assert_eq!((ended.status, ended.out("export", "ok")), (Status::Finished, 25), "{context}");
                }
            }
            each_once(&world, &context);
        }
    }
}

async fn a_run_anew_before_any_id_was_kept_makes_nothing_twice(side: Side) {
    let ways: &[Way] = if side == Side::Dynamics { Way::of(side) } else { &[Way::Collections, Way::Bulk] };
    for way in ways {
        let world = way.world();
        let mut text: Value = serde_json::from_str(&way.workflow()).unwrap();
        if side == Side::Dynamics {
            text["activities"]["export"]["idFrom"] = json!("first_name");
        }
        let text = text.to_string();
        // A job takes hold once it is closed, whenever the CRM has time for it.
        let (mut cut, before) = match way {
            Way::Bulk | Way::BulkInsert => (json!({ "containing": "UploadComplete", "skip": 1 }), 10),
            _ => (json!({ "containing": "Name 1" }), 20),
        };
        cut["cutAfterCommit"] = json!(true);
        add_fault(&world, cut, Some(1));
        tokio::task::block_in_place(|| killed_at_the_fault(&world, &text));
        assert!(changed(&world).len() >= before, "{way:?}: what was committed took hold");
        world.engine().stop(&first_run()).await.unwrap();
        assert_eq!(temp_files(&world), Vec::<PathBuf>::new(), "{way:?}");
        let again = world.run(&text).await;
        assert_ne!(again.id, first_run());
        assert_eq!((again.status, again.out("export", "ok")), (Status::Finished, 25), "{way:?}");
        let made = changed(&world).into_iter().filter(|(kind, _)| *kind == ChangeKind::Created).count();
        assert_eq!(made, 25, "{way:?}");
    }
}

/// What exports keep of what they send.
pub(crate) fn temp_files(world: &World) -> Vec<PathBuf> {
    let mut folders = vec![world.folder.path().join("runs")];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "ledger") {
                found.push(path);
            }
        }
    }
    found
}

async fn the_temp_file_is_there_while_the_run_is_suspended_and_gone_at_its_end(side: Side) {
    for way in Way::of(side) {
        let world = way.world();
        add_fault(&world, json!({ "containing": "Name 1", "status": 503 }), None);
        let ended = world.run(&way.workflow()).await;
        assert_eq!(ended.status, Status::Suspended, "{way:?}");
        assert_eq!(temp_files(&world).len(), 1, "{way:?}");
        world.sandbox.admin().clear_faults();
        let ended = world.resume(&ended.id).await;
        assert_eq!((ended.status, ended.out("export", "ok")), (Status::Finished, 25), "{way:?}");
        assert_eq!(temp_files(&world), Vec::<PathBuf>::new(), "{way:?}");
        each_once(&world, &format!("{way:?}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn inserts_that_nothing_tells_apart_are_in_doubt_and_not_sent_again() {
    let world = twenty_five(Side::Salesforce);
    let settings = json!({
        "operation": "insert", "set": { "lastname": "last_name" }, "batch": { "size": 10, "parallel": 1 },
    });
    let text = workflow(&settings);
    let said = world.side.say(&text);
    let (_, findings) = world.engine().check("x.json", "x", &said, Ask::Refresh).await;
    assert!(findings.warnings.iter().any(|risk| risk.code == "insert-in-doubt"), "{:?}", findings.warnings);
    // The second batch waits for its answer when the kill comes: the third is not even meant yet.
    add_fault(&world, json!({ "containing": "Name 1", "cutAfterCommit": true, "delayMs": 3_600_000 }), Some(1));
    tokio::task::block_in_place(|| killed_at_the_fault(&world, &text));
    let ended = world.resume(&first_run()).await;
    assert_eq!(ended.status, Status::Finished);
    let expected: Vec<String> = (10..20).map(|n| format!("N{n}")).collect();
    assert_eq!(ended.column("export", "inDoubt", "first_name").await, expected);
    assert_eq!((ended.out("export", "ok"), ended.out("export", "reject")), (15, 0));
    each_once(&world, "what is in doubt took hold, and was not sent again");
}
