//! Exports into a CRM that can be cut off at any moment.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use engine::event::Vars;
use engine::run::Status;
use serde_json::{Value, json};
use store::Memory;

use crate::crm_double::{Double, Fault, contact};
use crate::harness::{Ran, World};

const CONTACTS: [(u32, &str); 3] = [(3, "Hopper"), (4, "Turing"), (8, "O'Brien")];

/// The records of the scenario: two that are fine, one that the CRM lacks, one without a key, one with a name that is too
/// long, and one whose key came before.
pub(crate) fn six(settings: Value) -> Value {
    let mut export = json!({
        "type": "crm.export", "account": "crm", "object": "contacts", "operation": "update",
        "set": { "contactid": "crm_id", "lastname": "last_name" }
    });
    export.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    json!({
        "records": {
            "type": "records", "to": "export", "segment": 4,
            "columns": { "crm_id": "text", "last_name": "text" },
            "rows": [
                [contact(3), "Hopper-Lee"], [contact(4), "Turing"], [contact(99), "Ghost"], [null, "Nobody"],
                [contact(8), "x".repeat(51)], [contact(3).to_uppercase(), "Hopper-Two"]
            ]
        },
        "export": export
    })
}

/// Records that the CRM does not have, with a number as their key.
fn new(count: u32, settings: Value) -> Value {
    let mut export = json!({
        "type": "crm.export", "account": "crm", "object": "contacts", "operation": "insert",
        "set": { "lastname": "name" }, "idFrom": "number", "batch": { "size": 10, "parallel": 1 }
    });
    export.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    let rows: Vec<Value> = (0..count).map(|number| json!([number, format!("Name {number}")])).collect();
    json!({
        "records": { "type": "records", "to": "export", "columns": { "number": "int", "name": "text" }, "rows": rows },
        "export": export
    })
}

pub(crate) async fn run(double: Double, activities: &Value) -> (World, Arc<Double>, Ran) {
    let mut world = World::new("");
    let double = Arc::new(double);
    world.crm = Some(Arc::<Double>::clone(&double));
    let ran = world.run(activities).await;
    (world, double, ran)
}

/// The cells of these columns of each record.
pub(crate) async fn cells(ran: &Ran, port: &str, columns: &[usize]) -> Vec<String> {
    let rows = ran.port("export", port).await;
    let of = |row: String| {
        let cells: Vec<&str> = row.split('|').collect();
        columns.iter().map(|column| cells[*column]).collect::<Vec<_>>().join(" ")
    };
    rows.into_iter().map(of).collect()
}

fn temp_files(ran: &Ran) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(ran.folder.join("temp")).into_iter().flatten().flatten();
    folders.map(|folder| folder.path().join("export.ledger")).filter(|file| file.exists()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_changes_what_is_there_and_rejects_the_rest_whatever_the_size_of_batches() {
    for (size, compare) in [(1, false), (2, false), (6, false), (1000, false), (2, true), (1000, true)] {
        let settings = json!({ "batch": { "size": size }, "compare": compare });
        let (_world, double, ran) = run(Double::choosing().with(&CONTACTS), &six(settings)).await;
        assert_eq!(ran.status, Status::Finished, "{:?}", ran.task("export").failure);
        let turing = if compare { "unchanged" } else { "updated" };
        let [three, four] = [contact(3), contact(4)];
        assert_eq!(
            cells(&ran, "ok", &[1, 2, 3]).await,
            [format!("Hopper-Lee {three} updated"), format!("Turing {four} {turing}")]
        );
        assert_eq!(
            cells(&ran, "reject", &[1, 2, 5]).await,
            [
                "Ghost 0x80040217 ∅".to_owned(),
                "Nobody KEY_EMPTY contactid".to_owned(),
                format!("{} 0x80044331 lastname", "x".repeat(51)),
                "Hopper-Two KEY_REPEATED contactid".to_owned(),
            ]
        );
        let repeated = &ran.port("export", "reject").await[3];
        assert!(repeated.contains("record 1 has the same contactid; only the first is sent"), "{repeated}");
        let mut changes = vec![format!("update {three} lastname")];
        if !compare {
            changes.push(format!("update {four} lastname"));
        }
        assert_eq!(double.changes(), changes, "batches of {size}");
        let counts = &ran.tally("export").counts;
        assert_eq!(counts["updated"], if compare { 1 } else { 2 });
        assert_eq!(counts["unchanged"], u64::from(compare));
        // Nothing leads on from the rejects, and the journal has them all the same.
        let warnings = ran.warnings().await;
        assert_eq!(warnings.len(), 4, "{warnings:?}");
        assert!(warnings.contains(&"1 record rejected, KEY_EMPTY: the key \"contactid\" is empty".to_owned()));
        assert!(temp_files(&ran).is_empty(), "the temp file is gone");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_insert_makes_each_record_once_and_a_duplicate_is_a_reject_that_is_not_sent_again() {
    let mut activities = new(3, json!({ "set": { "lastname": "name", "emailaddress1": "mail" } }));
    activities["records"] = json!({
        "type": "records", "to": "export", "columns": { "number": "int", "name": "text", "mail": "text" },
        "rows": [[1, "One", null], [2, "Two", "duplicate@example.com"], [3, "Three", "three@example.com"]]
    });
    let (_world, double, ran) = run(Double::choosing(), &activities).await;
    assert_eq!(cells(&ran, "ok", &[1, 4]).await, ["One created", "Three created"]);
    assert_eq!(cells(&ran, "reject", &[1, 3]).await, ["Two 0x80040333"]);
    assert_eq!(double.sends.load(Ordering::SeqCst), 1);
    let ids: BTreeSet<String> = cells(&ran, "ok", &[3]).await.into_iter().collect();
    let there: BTreeSet<String> = double.all("contactid").iter().filter_map(Value::as_str).map(str::to_owned).collect();
    assert_eq!(ids, there);
    // The id is made of account, object and key: no other Campanile, run or order makes another.
    assert!(ids.contains("8890b174-1d11-5e44-a0e3-53f8620a5a32"), "{ids:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn records_without_a_key_are_told_apart_by_their_place() {
    let mut activities = new(4, json!({}));
    activities["export"].as_object_mut().unwrap().remove("idFrom");
    activities["records"]["rows"] = json!([[1, "Same"], [1, "Same"], [1, "Same"]]);
    let (world, double, ran) = run(Double::choosing(), &activities).await;
    assert_eq!(world.risks(&activities).await, ["export/operation: insert-again"]);
    assert_eq!(ran.tally("export").counts["created"], 3);
    assert_eq!(double.changes().len(), 3);
    // With a key, the same records are one.
    activities["export"]["idFrom"] = json!(["number", "name"]);
    let (world, double, ran) = run(Double::choosing(), &activities).await;
    assert!(world.risks(&activities).await.is_empty());
    assert_eq!(cells(&ran, "reject", &[2, 5]).await, ["KEY_REPEATED number, name", "KEY_REPEATED number, name"]);
    assert_eq!(double.changes().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_while_a_batch_is_sent_loses_no_record_and_sends_none_twice() {
    for fault in [Fault::DieBefore, Fault::DieAfter] {
        for send in 0..3 {
            let double = Arc::new(Double::choosing().fault(send, fault));
            let mut world = World::new("");
            world.crm = Some(Arc::<Double>::clone(&double));
            let dead = world.run_until(&new(25, json!({})), double.dying.notified()).await;
            assert_eq!(temp_files(&dead).len(), 1, "the temp file stays");
            let ran = world.resume(&dead, Vars::new()).await;
            assert_eq!(ran.status, Status::Finished, "{:?}", ran.task("export").failure);
            let names = cells(&ran, "ok", &[1]).await;
            assert_eq!(names, (0..25).map(|number| format!("Name {number}")).collect::<Vec<_>>(), "in order");
            check_each_once(&double, &ran, 25).await;
            assert!(temp_files(&ran).is_empty());
        }
    }
}

/// Each record was made once, and its id came out.
async fn check_each_once(double: &Double, ran: &Ran, count: usize) {
    let log = double.log.lock().unwrap().clone();
    assert!(log.iter().all(|change| change.what == "create"), "{log:?}");
    let made: BTreeSet<&String> = log.iter().map(|change| &change.id).collect();
    assert_eq!((log.len(), made.len()), (count, count));
    let ids = cells(ran, "ok", &[2]).await;
    assert_eq!(ids.iter().collect::<BTreeSet<_>>(), made);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_run_after_a_kill_makes_no_record_a_second_time() {
    let double = Arc::new(Double::choosing().fault(1, Fault::DieAfter));
    let mut world = World::new("");
    world.crm = Some(Arc::<Double>::clone(&double));
    world.run_until(&new(25, json!({})), double.dying.notified()).await;
    assert_eq!(double.changes().len(), 20);
    let ran = world.run(&new(25, json!({}))).await;
    assert_eq!(ran.task("export").ports["ok"].iter().map(|segment| segment.rows).sum::<u64>(), 25);
    check_each_once(&double, &ran, 25).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_insert_that_nothing_makes_one_is_in_doubt_after_a_cut_and_is_not_sent_again() {
    for fault in [Fault::DieAfter, Fault::CutAfter] {
        let mut activities = new(25, json!({}));
        activities["export"].as_object_mut().unwrap().remove("idFrom");
        let double = Arc::new(Double::numbering().fault(1, fault));
        let mut world = World::new("");
        world.crm = Some(Arc::<Double>::clone(&double));
        assert_eq!(world.risks(&activities).await, ["export/operation: insert-in-doubt"], "check says so before");
        let ran = match fault {
            Fault::DieAfter => {
                let dead = world.run_until(&activities, double.dying.notified()).await;
                world.resume(&dead, Vars::new()).await
            }
            _ => world.run(&activities).await,
        };
        assert_eq!(ran.status, Status::Finished);
        let names = |from, to| (from..to).map(|number| format!("Name {number}")).collect::<Vec<_>>();
        assert_eq!(cells(&ran, "inDoubt", &[1]).await, names(10, 20));
        assert_eq!(cells(&ran, "ok", &[1]).await, [names(0, 10), names(20, 25)].concat());
        assert!(ran.port("export", "inDoubt").await[0].ends_with("|the connection broke while it was inserted"));
        assert_eq!(double.changes().len(), 25, "those in doubt were made, and not again");
        let warnings = ran.warnings().await;
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].starts_with("10 records in doubt, not sent again"), "{warnings:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_and_a_busy_crm_are_waited_for_and_a_lasting_one_suspends() {
    for fault in [Fault::CutBefore, Fault::CutAfter, Fault::Busy] {
        let (_world, double, ran) = run(Double::choosing().fault(1, fault), &new(25, json!({}))).await;
        assert_eq!(ran.status, Status::Finished);
        check_each_once(&double, &ran, 25).await;
        assert_eq!(double.sends.load(Ordering::SeqCst), 4);
    }
    let lasting = (1..6).fold(Double::choosing(), |double, send| double.fault(send, Fault::CutAfter));
    let (world, double, ran) = run(lasting, &new(25, json!({}))).await;
    assert_eq!(ran.status, Status::Suspended);
    assert!(ran.failure("export").contains("the connection was cut"));
    assert_eq!((double.changes().len(), temp_files(&ran).len()), (20, 1));
    let ran = world.resume(&ran, Vars::new()).await;
    check_each_once(&double, &ran, 25).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_more_batches_can_be_cut_those_before_are_sent_and_the_rest_by_who_resumes() {
    let mut double = Double::choosing();
    double.encode_fails = Some(1);
    let (world, double, ran) = run(double, &new(2_500, json!({ "batch": { "size": 500, "parallel": 2 } }))).await;
    assert_eq!((ran.status, ran.failure("export").as_str()), (Status::Suspended, "this call fails"));
    assert_eq!(double.changes().len(), 2_000);
    let ran = world.resume(&ran, Vars::new()).await;
    assert_eq!(ran.status, Status::Finished);
    check_each_once(&double, &ran, 2_500).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failure_that_lasts_nothing_else_is_sent_however_many_lanes_are_free() {
    let mut double = Double::choosing().fault(0, Fault::Forbidden);
    double.encode_takes = Duration::from_millis(50);
    let settings = json!({ "batch": { "size": 2000, "parallel": 8 } });
    let (_world, double, ran) = run(double, &new(12_000, settings)).await;
    assert_eq!((ran.failure("export").as_str(), double.sends.load(Ordering::SeqCst)), ("not allowed", 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_leaves_a_few_batches_in_doubt_and_not_all() {
    let mut activities = new(200, json!({}));
    activities["export"].as_object_mut().unwrap().remove("idFrom");
    // Each is asked for once more, to see whether it can be known.
    let double =
        Arc::new([2, 4, 6].into_iter().fold(Double::numbering(), |double, send| double.fault(send, Fault::CutAfter)));
    let mut world = World::new("");
    world.crm = Some(Arc::<Double>::clone(&double));
    let ran = world.run(&activities).await;
    assert_eq!(ran.status, Status::Suspended);
    assert!(ran.failure("export").contains("3 batches in a row had no answer"), "{}", ran.failure("export"));
    assert_eq!(double.changes().len(), 50, "no batch after the third");
    let ran = world.resume(&ran, Vars::new()).await;
    assert_eq!(ran.status, Status::Finished);
    let names = |from, to| (from..to).map(|number| format!("Name {number}")).collect::<Vec<_>>();
    assert_eq!(cells(&ran, "inDoubt", &[1]).await, names(20, 50));
    assert_eq!(double.changes().len(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_try_again_through_a_loop_goes_on_from_the_temp_file() {
    let mut activities = new(25, json!({ "to": { "error": "again" } }));
    activities["again"] = json!({ "type": "wait", "for": "5m", "attempts": 3, "to": "export" });
    let lasting = (1..6).fold(Double::choosing(), |double, send| double.fault(send, Fault::CutBefore));
    let (_world, double, ran) = run(lasting, &activities).await;
    assert_eq!(ran.status, Status::Finished);
    let tasks: Vec<_> = ran.run.tasks.iter().filter(|task| task.activity == "export").collect();
    assert_eq!(tasks.len(), 2);
    assert_eq!(double.changes().len(), 25);
    assert_eq!(double.sends.load(Ordering::SeqCst), 1 + 5 + 2, "the first batch was not sent again");
    assert_eq!(tasks[1].ports["ok"].iter().map(|segment| segment.rows).sum::<u64>(), 25);
    assert!(temp_files(&ran).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn lanes_send_at_once_and_records_come_out_in_order() {
    let slow = (0..40).fold(Double::choosing(), |double, send| double.fault(send, Fault::Slow(40 - send)));
    let (_world, double, ran) = run(slow, &new(200, json!({ "batch": { "size": 5, "parallel": 4 } }))).await;
    assert_eq!(double.at_once.load(Ordering::SeqCst), 4);
    let names = cells(&ran, "ok", &[1]).await;
    assert_eq!(names, (0..200).map(|number| format!("Name {number}")).collect::<Vec<_>>());
    check_each_once(&double, &ran, 200).await;
}

/// A small random number generator, so that each case can be had again by its seed.
struct Dice(u64);

impl Dice {
    fn up_to(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_fails_whenever_each_record_is_made_once_and_comes_out_once() {
    for seed in 0..24 {
        let mut dice = Dice(seed * 7919 + 1);
        let (size, lanes, count) = (1 + dice.up_to(9), 1 + dice.up_to(5), u32::try_from(dice.up_to(70)).unwrap());
        let double = Arc::new(Double::choosing());
        for _ in 0..dice.up_to(8) {
            let kinds =
                [Fault::CutBefore, Fault::CutAfter, Fault::DieBefore, Fault::DieAfter, Fault::Busy, Fault::Slow(3)];
            let fault = kinds[usize::try_from(dice.up_to(6)).unwrap()];
            double.faults.lock().unwrap().insert(dice.up_to(30), fault);
        }
        let mut world = World::new("");
        world.limits.segment_seconds = 0;
        world.crm = Some(Arc::<Double>::clone(&double));
        let activities = new(count, json!({ "batch": { "size": size, "parallel": lanes } }));
        let mut store = Arc::new(Memory::failing_after(3 + dice.up_to(40)));
        let mut id = None;
        let ran = loop {
            let killed = double.dying.notified();
            match world.live(&store, id.as_ref(), &activities, killed).await {
                (_, Some(ran)) if ran.status == Status::Finished => break ran,
                (known, _) => id = known,
            }
            store = Arc::new(store.reopened_failing_after(10 + dice.up_to(60)));
        };
        let names = cells(&ran, "ok", &[1]).await;
        assert_eq!(names, (0..count).map(|number| format!("Name {number}")).collect::<Vec<_>>(), "seed {seed}");
        check_each_once(&double, &ran, count as usize).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_rejects_stop_what_was_not_sent_and_an_operator_lets_it_go_on() {
    let settings = json!({ "maxRejects": 1, "batch": { "size": 1, "parallel": 1 }, "rejectsFile": "refused.csv" });
    let (world, double, ran) = run(Double::choosing().with(&CONTACTS), &six(settings)).await;
    assert_eq!(ran.status, Status::Suspended);
    assert!(ran.failure("export").contains("2 records were rejected, more than maxRejects 1"));
    let help = ran.task("export").failure.clone().unwrap().help.unwrap();
    assert!(help.contains("--allow-rejects 6`") && !help.contains("RUN"), "{help}");
    assert_eq!(double.changes().len(), 0, "keys that are empty or repeated count before the first request");
    let ran = world.resume(&ran, vars("allowRejects", 4)).await;
    assert_eq!(ran.status, Status::Finished, "{:?}", ran.task("export").failure);
    let file = world.file("refused.csv").unwrap();
    let lines: Vec<&str> = file.lines().collect();
    assert_eq!(lines.len(), 5, "{file}");
    assert_eq!(lines[0], "crm_id,last_name,errorCode,errorSymbol,errorMessage,errorField,errorHelp");
    assert!(lines[1].contains("Ghost,0x80040217"), "{file}");
}

pub(crate) fn vars(name: &str, value: u64) -> Vars {
    Vars::from_iter([(name.to_owned(), value.into())])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unusual_number_of_records_is_not_sent() {
    for (volume, why) in [(json!({ "most": 24 }), "more than 24"), (json!({ "least": 26 }), "fewer than 26")] {
        let (world, double, ran) = run(Double::choosing(), &new(25, json!({ "volume": volume }))).await;
        assert!(ran.failure("export").contains(why), "{}", ran.failure("export"));
        assert_eq!(double.sends.load(Ordering::SeqCst), 0);
        let ran = world.resume(&ran, vars("allowVolume", 25)).await;
        check_each_once(&double, &ran, 25).await;
    }
    // Against the last runs.
    let mut world = World::new("");
    world.crm = Some(Arc::new(Double::choosing()));
    let store = Arc::new(Memory::new());
    let volume = json!({ "volume": { "timesLast": 2 } });
    let first = world.run_in(Arc::clone(&store), &new(10, volume.clone())).await;
    assert_eq!(first.status, Status::Finished);
    let usual = world.run_in(Arc::clone(&store), &new(20, volume.clone())).await;
    assert_eq!(usual.status, Status::Finished);
    let unusual = world.run_in(store, &new(41, volume)).await;
    assert!(unusual.failure("export").contains("41 records came in, more than 40"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_temp_file_that_was_damaged_or_lost_is_told() {
    let lasting = (6..11).fold(Double::choosing(), |double, send| double.fault(send, Fault::Busy));
    let mut world = World::new("");
    world.limits.segment_seconds = 0;
    world.crm = Some(Arc::new(lasting));
    let ran = world.run(&new(25, json!({ "batch": { "size": 2, "parallel": 1 } }))).await;
    assert_eq!(ran.status, Status::Suspended);
    let [file] = temp_files(&ran).try_into().unwrap();
    let bytes = std::fs::read(&file).unwrap();
    let mut damaged = bytes.clone();
    damaged[200] ^= 1;
    std::fs::write(&file, damaged).unwrap();
    let again = world.resume(&ran, Vars::new()).await;
    assert!(again.failure("export").contains("is damaged at byte"), "{}", again.failure("export"));
    std::fs::write(&file, &bytes[..16]).unwrap();
    let again = world.resume(&again, Vars::new()).await;
    assert!(again.failure("export").contains("has less than this task has passed on"), "{}", again.failure("export"));
    std::fs::write(&file, bytes).unwrap();
    assert_eq!(world.resume(&again, Vars::new()).await.status, Status::Finished);
}

/// Figures are those of an optimised build: `cargo test --release`.
#[tokio::test(flavor = "multi_thread")]
async fn the_export_itself_does_more_than_50_000_records_a_second() {
    let count = if cfg!(debug_assertions) { 5_000 } else { 100_000 };
    for (size, lanes) in [(1000, 1), (200, 8)] {
        let settings = json!({ "batch": { "size": size, "parallel": lanes } });
        let (_world, double, ran) = run(Double::choosing(), &new(count, settings)).await;
        assert_eq!(ran.tally("export").counts["created"], u64::from(count));
        let took = double.began.lock().unwrap().unwrap().elapsed();
        let rate = f64::from(count) / took.as_secs_f64();
        println!("batches of {size} on {lanes} lanes: {rate:.0} records a second");
        if !cfg!(debug_assertions) {
            assert!(rate > 50_000.0, "{rate}");
        }
    }
}
