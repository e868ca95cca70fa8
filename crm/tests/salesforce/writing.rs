//! Writing by collections and by bulk jobs, with what goes wrong in between.

use std::collections::BTreeSet;

use engine::failure::Class;
use engine::outside::crm::{Crm, Operation, Outcome, Steps, What, Write};
use sandbox::{Fault, JobFailure, Route};
use serde_json::json;

use crate::world::{Kept, connect, rows, send, words, world, write};

#[tokio::test]
async fn records_are_written_by_collections_each_with_its_outcome_in_order() {
    let world = world(5, json!({}));
    let object = world.contacts().await;
    let insert = write(&object, Operation::Insert, &[], &["LastName", "Email"]);
    let plan = world.crm.write_plan(&insert, 2_000).unwrap();
    assert_eq!((plan.method.as_str(), plan.records_max), ("collections", 200));
    assert_eq!(world.crm.write_plan(&insert, 2_001).unwrap().method, "bulk");
    let records = rows(&insert, &[&[Some("Lovelace"), None], &[None, None], &[Some("Hopper"), Some("no address")]]);
    for records_of_all in [2_000, 2_001] {
        let plan = world.crm.write_plan(&insert, records_of_all).unwrap();
        let outcomes = send(&world.crm, &insert, &plan, &records, &Kept::default(), false).await.unwrap();
        assert_eq!(words(&outcomes), ["created", "REQUIRED_FIELD_MISSING", "INVALID_EMAIL_ADDRESS"], "{}", plan.method);
        let Outcome::Refused(reject) = &outcomes[1] else { panic!("{outcomes:?}") };
        assert_eq!((reject.symbol.as_str(), reject.field.as_deref()), ("REQUIRED_FIELD_MISSING", Some("LastName")));
        assert!(reject.help.is_some());
    }
    let upsert = write(&object, Operation::Upsert, &["Ext__c"], &["Ext__c", "LastName"]);
    let records = rows(&upsert, &[&[Some("A"), Some("One")], &[Some("B"), Some("Two")]]);
    for expected in ["created", "updated"] {
        let plan = world.crm.write_plan(&upsert, 2).unwrap();
        let outcomes = send(&world.crm, &upsert, &plan, &records, &Kept::default(), false).await.unwrap();
        assert_eq!(words(&outcomes), [expected, expected]);
    }
    let update = write(&object, Operation::Update, &["Ext__c"], &["Ext__c", "LastName"]);
    let records = rows(&update, &[&[Some("C"), Some("Ghost")], &[Some("b"), Some("Three")]]);
    let plan = world.crm.write_plan(&update, 2).unwrap();
    let outcomes = send(&world.crm, &update, &plan, &records, &Kept::default(), false).await.unwrap();
    assert_eq!(words(&outcomes), ["NOT_FOUND", "updated"], "an update makes no record");

    let delete = write(&object, Operation::Delete, &["Id"], &["Id"]);
    let (one, gone, never) = (world.id(0), world.id(1), world.id(4_000));
    world.sandbox.admin().salesforce().delete("Contact", &gone).unwrap();
    let records = rows(&delete, &[&[Some(&one)], &[Some(&gone)], &[Some(&never)]]);
    for (records_of_all, first) in [(3, "deleted"), (3_000, "absent")] {
        let plan = world.crm.write_plan(&delete, records_of_all).unwrap();
        let outcomes = send(&world.crm, &delete, &plan, &records, &Kept::default(), false).await.unwrap();
        assert_eq!(words(&outcomes), [first, "absent", "absent"], "{}", plan.method);
    }
}

#[tokio::test]
async fn a_lookup_is_set_by_the_number_of_its_account_and_kept_where_there_is_none() {
    for records_of_all in [3, 3_000] {
        let world = world(0, json!({}));
        let accounts = world.sandbox.admin();
        let account = |number: u32| format!("001gL00000000{number:02}QAA");
        for number in 1..=2 {
            let record = json!({ "Name": "A", "Number__c": format!("A-{number}") });
            accounts.salesforce().put("Account", &account(number), &record).unwrap();
        }
        let object = world.contacts().await;
        let number = world.crm.describe_path(&object, "Account.Number__c").await.unwrap();
        let object = std::sync::Arc::new(object.with_fields([number]));
        let upsert = write(&object, Operation::Upsert, &["Ext__c"], &["Ext__c", "LastName", "Account.Number__c"]);
        let plan = world.crm.write_plan(&upsert, records_of_all).unwrap();
        let first: &[&[Option<&str>]] = &[
            &[Some("C-1"), Some("One"), Some("A-1")],
            &[Some("C-2"), Some("Two"), Some("A-1")],
            &[Some("C-3"), Some("Three"), Some("A-3")],
        ];
        let outcomes = send(&world.crm, &upsert, &plan, &rows(&upsert, first), &Kept::default(), false).await.unwrap();
        assert_eq!(words(&outcomes), ["created", "created", "INVALID_FIELD"], "{}", plan.method);
        let second: &[&[Option<&str>]] = &[&[Some("C-1"), Some("One"), Some("A-2")], &[Some("C-2"), Some("Two"), None]];
        let second = rows(&upsert, second);
        let outcomes = send(&world.crm, &upsert, &plan, &second, &Kept::default(), false).await.unwrap();
        assert_eq!(words(&outcomes), ["updated", "updated"], "{}", plan.method);
        let leads_to = || {
            let contacts = accounts.salesforce().records("Contact").unwrap();
            let of = |key: &str| contacts.iter().find(|one| one["Ext__c"] == key).unwrap()["AccountId"].clone();
            [of("C-1"), of("C-2")]
        };
        assert_eq!(leads_to(), [json!(account(2)), json!(account(1))], "{}", plan.method);
        if plan.method == "collections" {
            // Whether it took hold before is not known, and it did: nothing is written once more.
            world.sandbox.admin().clear_log();
            let outcomes = send(&world.crm, &upsert, &plan, &second, &Kept::default(), true).await.unwrap();
            assert_eq!((words(&outcomes).len(), world.changes().len()), (2, 0));
            assert_eq!(leads_to(), [json!(account(2)), json!(account(1))]);
        }
    }
}

#[tokio::test]
async fn what_cannot_be_written_so_is_said_with_what_is_possible() {
    let world = world(0, json!({}));
    let object = world.contacts().await;
    let refused = |write: Write| world.crm.write_plan(&write, 1).unwrap_err();
    let loose = refused(write(&object, Operation::Upsert, &["Loose__c"], &["Loose__c", "LastName"]));
    assert!(loose.message.contains("not unique") && loose.help.unwrap().contains("Ext__c"), "{}", loose.message);
    assert!(refused(write(&object, Operation::Upsert, &["Title"], &["Title"])).message.contains("no key"));
    assert!(refused(write(&object, Operation::Delete, &["Ext__c"], &["Ext__c"])).message.contains("Id only"));
    let chosen = Write { chosen_ids: true, ..write(&object, Operation::Insert, &[], &["LastName"]) };
    assert!(refused(chosen).help.unwrap().contains("external id"));
}

#[tokio::test]
async fn a_lost_reply_writes_nothing_twice_and_an_insert_without_a_key_is_in_doubt() {
    let world = world(0, json!({}));
    let object = world.contacts().await;
    let cut = || Fault { route: Route::Write, cut_after_commit: true, times: Some(1), ..Fault::default() };
    let insert = write(&object, Operation::Insert, &[], &["LastName"]);
    let plan = world.crm.write_plan(&insert, 2).unwrap();
    let records = rows(&insert, &[&[Some("One")], &[Some("Two")]]);
    world.fault(cut());
    let steps = Kept::default();
    let failure = send(&world.crm, &insert, &plan, &records, &steps, false).await.unwrap_err();
    assert_eq!(failure.class, Class::InDoubt);
    let outcomes = send(&world.crm, &insert, &plan, &records, &steps, true).await.unwrap();
    assert_eq!((words(&outcomes), world.changes().len()), (vec!["in doubt".to_owned(); 2], 2));

    world.sandbox.admin().clear_log();
    let upsert = write(&object, Operation::Upsert, &["Ext__c"], &["Ext__c", "LastName"]);
    let plan = world.crm.write_plan(&upsert, 2).unwrap();
    let records = rows(&upsert, &[&[Some("A"), Some("One")], &[Some("B"), Some("Two")]]);
    world.fault(cut());
    let outcomes = send(&world.crm, &upsert, &plan, &records, &Kept::default(), false).await.unwrap();
    assert_eq!(outcomes.len(), 2);
    let made = world.changes().into_iter().filter(|(kind, _)| matches!(kind, sandbox::ChangeKind::Created));
    assert_eq!(made.count(), 2);
}

#[tokio::test]
async fn a_bulk_insert_is_exact_wherever_it_is_cut() {
    // Each kind of request of the protocol, cut after it took hold, and the process gone with it.
    for (number, containing) in
        ["\"operation\"", "/batches", "UploadComplete", "successfulResults"].into_iter().enumerate()
    {
        let world = world(
            0,
            json!({ "bulk": { "from": 1, "pollMin": "1ms" }, "limits": { "retryWaitMin": "1ms", "retries": 0 } }),
        );
        let object = world.contacts().await;
        let insert = write(&object, Operation::Insert, &[], &["LastName", "Title"]);
        let plan = world.crm.write_plan(&insert, 25).unwrap();
        assert_eq!(plan.method, "bulk");
        let names: Vec<String> = (0..25).map(|number| format!("Person {}", number / 2)).collect();
        let all: Vec<Vec<Option<&str>>> = names.iter().map(|name| vec![Some(name.as_str()), None]).collect();
        let all: Vec<&[Option<&str>]> = all.iter().map(Vec::as_slice).collect();
        let records = rows(&insert, &all);
        world.fault(Fault {
            containing: Some(containing.to_owned()),
            cut_after_commit: true,
            times: Some(1),
            ..Fault::default()
        });
        let steps = Kept::default();
        let mut outcomes = send(&world.crm, &insert, &plan, &records, &steps, false).await;
        for _ in 0..3 {
            if outcomes.is_ok() {
                break;
            }
            // Another process, with the steps of the first.
            let crm = connect(&world.sandbox, json!({}));
            outcomes = send(&crm, &insert, &plan, &records, &steps, true).await;
        }
        let outcomes = outcomes.unwrap();
        assert_eq!(words(&outcomes), vec!["created"; 25], "{number}: {containing}");
        let made: BTreeSet<_> = world.changes().into_iter().map(|(_, id)| id).collect();
        let told: BTreeSet<_> = outcomes
            .iter()
            .filter_map(|outcome| match outcome {
                Outcome::Done { id, what: What::Created } => Some(id.clone()),
                _ => None,
            })
            .collect();
        assert_eq!((made.len(), &made), (25, &told), "{containing}");
    }
}

#[tokio::test]
async fn a_job_that_fails_in_the_midst_is_gone_on_with_by_another_and_nothing_comes_twice() {
    let world = world(0, json!({ "bulk": { "from": 1, "pollMin": "1ms" } }));
    world.settings(|settings| {
        settings.bulk_batch_rows = 10;
        settings.fail_jobs = Some(JobFailure { times: 2, after_rows: 10, message: None });
    });
    let object = world.contacts().await;
    let insert = write(&object, Operation::Insert, &[], &["LastName"]);
    let plan = world.crm.write_plan(&insert, 25).unwrap();
    let names: Vec<String> = (0..25).map(|number| format!("Person {number}")).collect();
    let all: Vec<Vec<Option<&str>>> = names.iter().map(|name| vec![Some(name.as_str())]).collect();
    let all: Vec<&[Option<&str>]> = all.iter().map(Vec::as_slice).collect();
    let outcomes = send(&world.crm, &insert, &plan, &rows(&insert, &all), &Kept::default(), false).await.unwrap();
    assert_eq!(words(&outcomes), vec!["created"; 25]);
    assert_eq!((world.changes().len(), world.requests("POST /services/data/v67.0/jobs/ingest").len()), (25, 3));
}

#[tokio::test]
async fn a_locked_record_is_sent_again_by_itself_and_its_batch_is_not() {
    let world = world(3, json!({}));
    let object = world.contacts().await;
    let update = write(&object, Operation::Update, &["Id"], &["Id", "LastName"]);
    let ids: Vec<String> = (0..3).map(|number| world.id(number)).collect();
    let all: Vec<Vec<Option<&str>>> = ids.iter().map(|id| vec![Some(id.as_str()), Some("New")]).collect();
    let all: Vec<&[Option<&str>]> = all.iter().map(Vec::as_slice).collect();
    for records_of_all in [3, 3_000] {
        world.sandbox.admin().clear_log();
        world.sandbox.admin().clear_faults();
        world.fault(Fault {
            route: Route::Part,
            skip: 1,
            times: Some(1),
            status: Some(400),
            code: Some("UNABLE_TO_LOCK_ROW".to_owned()),
            ..Fault::default()
        });
        let plan = world.crm.write_plan(&update, records_of_all).unwrap();
        let outcomes = send(&world.crm, &update, &plan, &rows(&update, &all), &Kept::default(), false).await.unwrap();
        assert_eq!(words(&outcomes), vec!["updated"; 3], "{}", plan.method);
        assert_eq!(world.changes().len(), 3, "{}", plan.method);
        assert_eq!(world.sandbox.admin().faults()[0].fired, 1);
    }
}

#[tokio::test]
async fn locked_records_are_sent_again_all_together() {
    let world = world(200, json!({}));
    let object = world.contacts().await;
    let update = write(&object, Operation::Update, &["Id"], &["Id", "LastName"]);
    let ids: Vec<String> = (0..200).map(|number| world.id(number)).collect();
    let all: Vec<Vec<Option<&str>>> = ids.iter().map(|id| vec![Some(id.as_str()), Some("New")]).collect();
    let all: Vec<&[Option<&str>]> = all.iter().map(Vec::as_slice).collect();
    // Each of them twice.
    world.fault(Fault {
        route: Route::Part,
        times: Some(400),
        status: Some(400),
        code: Some("UNABLE_TO_LOCK_ROW".to_owned()),
        ..Fault::default()
    });
    let plan = world.crm.write_plan(&update, 200).unwrap();
    let outcomes = send(&world.crm, &update, &plan, &rows(&update, &all), &Kept::default(), false).await.unwrap();
    assert_eq!(words(&outcomes), vec!["updated"; 200]);
    assert_eq!((world.changes().len(), world.requests("PATCH").len()), (200, 3));
}

/// The next request with this in it, after so many, is refused as one too many.
fn spent(skip: u64, containing: &str) -> Fault {
    Fault {
        route: Route::Write,
        containing: Some(containing.to_owned()),
        status: Some(403),
        code: Some("REQUEST_LIMIT_EXCEEDED".to_owned()),
        skip,
        times: Some(1),
        ..Fault::default()
    }
}

#[tokio::test]
async fn what_was_never_sent_of_an_insert_or_surely_refused_is_sent_when_the_export_goes_on() {
    let world = world(0, json!({ "limits": { "retryWaitMax": "10ms", "retries": 1 } }));
    let object = world.contacts().await;
    let insert = write(&object, Operation::Insert, &[], &["LastName"]);
    let plan = world.crm.write_plan(&insert, 4).unwrap();
    let records = rows(&insert, &[&[Some("One")], &[Some("Two")], &[Some("Malformed")], &[Some("Four")]]);
    // The first half is made, and nothing is left of the day for the second.
    [spent(1, "Four"), spent(1, "Four")].into_iter().for_each(|fault| world.fault(fault));
    world.fault(Fault {
        route: Route::Write,
        containing: Some("Malformed".to_owned()),
        status: Some(400),
        code: Some("JSON_PARSER_ERROR".to_owned()),
        ..Fault::default()
    });
    let steps = Kept::default();
    let failure = send(&world.crm, &insert, &plan, &records, &steps, false).await.unwrap_err();
    assert_eq!((failure.class, world.changes().len()), (Class::Quota, 2));
    let outcomes = send(&world.crm, &insert, &plan, &records, &steps, true).await.unwrap();
    assert_eq!(words(&outcomes), ["created", "created", "JSON_PARSER_ERROR", "created"]);
    assert_eq!(world.changes().len(), 3);

    // A record that was locked is not there, whatever the next request for it meets.
    world.sandbox.admin().clear_faults();
    world.fault(Fault {
        route: Route::Part,
        skip: 1,
        times: Some(1),
        status: Some(400),
        code: Some("UNABLE_TO_LOCK_ROW".to_owned()),
        ..Fault::default()
    });
    [spent(1, "Beta"), spent(1, "Beta")].into_iter().for_each(|fault| world.fault(fault));
    let records = rows(&insert, &[&[Some("Alpha")], &[Some("Beta")]]);
    let steps = Kept::default();
    let failure = send(&world.crm, &insert, &plan, &records, &steps, false).await.unwrap_err();
    assert_eq!((failure.class, world.changes().len()), (Class::Quota, 4));
    let outcomes = send(&world.crm, &insert, &plan, &records, &steps, true).await.unwrap();
    assert_eq!((words(&outcomes), world.changes().len()), (vec!["created".to_owned(); 2], 5));
}

#[tokio::test]
async fn of_an_insert_in_parts_only_the_one_without_an_answer_is_in_doubt_also_after_a_crash() {
    let world = world(0, json!({ "limits": { "retryWaitMin": "1ms", "retries": 0 } }));
    let object = world.contacts().await;
    let insert = write(&object, Operation::Insert, &[], &["LastName"]);
    let plan = world.crm.write_plan(&insert, 4).unwrap();
    let records = rows(&insert, &[&[Some("One")], &[Some("Two")], &[Some("Three")], &[Some("Four")]]);
    let too_large = || Fault {
        route: Route::Write,
        times: Some(1),
        status: Some(413),
        code: Some("413".to_owned()),
        ..Fault::default()
    };
    world.fault(too_large());
    world.fault(Fault { route: Route::Write, times: Some(1), cut_after_commit: true, ..Fault::default() });
    let steps = Kept::default();
    let outcomes = send(&world.crm, &insert, &plan, &records, &steps, false).await.unwrap();
    assert_eq!(words(&outcomes), ["in doubt", "in doubt", "created", "created"]);
    assert_eq!(world.changes().len(), 4);

    // The process ended while the first half was under way.
    let kept = Kept(vec![steps.0.lock().unwrap()[0].clone()].into());
    let outcomes = send(&world.crm, &insert, &plan, &records, &kept, true).await.unwrap();
    assert_eq!(words(&outcomes), ["in doubt", "in doubt", "created", "created"]);
    assert_eq!(world.changes().len(), 6);
}

#[tokio::test]
async fn a_batch_whose_job_failed_as_a_whole_is_written_when_the_cause_is_cured() {
    let world = world(0, json!({ "bulk": { "from": 1, "pollMin": "1ms" } }));
    let message = Some("InvalidBatch : Field name not found : Title".to_owned());
    world.settings(|settings| settings.fail_jobs = Some(JobFailure { times: 1, after_rows: 0, message }));
    let object = world.contacts().await;
    let insert = write(&object, Operation::Insert, &[], &["LastName", "Title"]);
    let plan = world.crm.write_plan(&insert, 2).unwrap();
    let records = rows(&insert, &[&[Some("One"), None], &[Some("Two"), None]]);
    let steps = Kept::default();
    let failure = send(&world.crm, &insert, &plan, &records, &steps, false).await.unwrap_err();
    assert!(failure.class == Class::Config && failure.message.contains("Title"), "{failure}");
    // The user may edit the field now, and the run is resumed.
    let outcomes = send(&world.crm, &insert, &plan, &records, &steps, true).await.unwrap();
    assert_eq!((words(&outcomes), world.changes().len()), (vec!["created".to_owned(); 2], 2));
}

#[tokio::test]
async fn jobs_whose_results_somebody_withholds_come_to_an_end_and_the_batch_goes_on_when_that_is_cured() {
    let world = world(0, json!({ "bulk": { "from": 1, "pollMin": "1ms" } }));
    let object = world.contacts().await;
    let upsert = write(&object, Operation::Upsert, &["Ext__c"], &["Ext__c", "LastName"]);
    let plan = world.crm.write_plan(&upsert, 2).unwrap();
    let records = rows(&upsert, &[&[Some("A"), Some("One")], &[Some("B"), Some("Two")]]);
    world.fault(Fault {
        containing: Some("/successfulResults".to_owned()),
        status: Some(404),
        code: Some("NOT_FOUND".to_owned()),
        ..Fault::default()
    });
    let steps = Kept::default();
    let failure = send(&world.crm, &upsert, &plan, &records, &steps, false).await.unwrap_err();
    assert!(failure.class == Class::Config && failure.message.contains("are not to be had"), "{failure}");
    assert!(failure.help.unwrap().contains("gateway"));
    let jobs = || world.requests("POST /services/data/v67.0/jobs/ingest").len();
    assert_eq!(jobs(), 4);

    world.sandbox.admin().clear_faults();
    let outcomes = send(&world.crm, &upsert, &plan, &records, &steps, true).await.unwrap();
    assert_eq!((words(&outcomes), jobs()), (vec!["updated".to_owned(); 2], 5));
}

#[tokio::test]
async fn an_insert_whose_earlier_job_is_forgotten_is_in_doubt_and_not_made_again() {
    let world = world(0, json!({ "bulk": { "from": 1, "pollMin": "1ms" } }));
    let object = world.contacts().await;
    let insert = write(&object, Operation::Insert, &[], &["LastName"]);
    let plan = world.crm.write_plan(&insert, 2).unwrap();
    let records = rows(&insert, &[&[Some("One")], &[Some("Two")]]);
    // The first job was over, the second not yet closed, when the process ended more than a week ago.
    let steps = Kept::default();
    steps.record(json!({ "jobs": ["750000000000001AAA", "750000000000002AAA"], "closing": false })).await.unwrap();
    let outcomes = send(&world.crm, &insert, &plan, &records, &steps, true).await.unwrap();
    assert_eq!((words(&outcomes), world.changes().len()), (vec!["in doubt".to_owned(); 2], 0));
}

#[tokio::test]
async fn an_insert_that_was_surely_refused_is_made_when_the_cause_is_gone_and_never_twice() {
    let world = world(0, json!({ "limits": { "retryWaitMin": "1ms", "retries": 0 } }));
    let object = world.contacts().await;
    let insert = write(&object, Operation::Insert, &[], &["LastName"]);
    let plan = world.crm.write_plan(&insert, 2).unwrap();
    let records = rows(&insert, &[&[Some("One")], &[Some("Two")]]);
    let steps = Kept::default();
    let refused = Fault {
        route: Route::Write,
        status: Some(403),
        code: Some("REQUEST_LIMIT_EXCEEDED".to_owned()),
        times: Some(1),
        ..Fault::default()
    };
    world.fault(refused);
    let failure = send(&world.crm, &insert, &plan, &records, &steps, false).await.unwrap_err();
    assert_eq!(failure.class, Class::Quota);
    // The run is resumed, and now the reply is lost.
    world.fault(Fault { route: Route::Write, cut_after_commit: true, times: Some(1), ..Fault::default() });
    let failure = send(&world.crm, &insert, &plan, &records, &steps, true).await.unwrap_err();
    assert_eq!((failure.class, world.changes().len()), (Class::InDoubt, 2));
    let outcomes = send(&world.crm, &insert, &plan, &records, &steps, true).await.unwrap();
    assert_eq!((words(&outcomes), world.changes().len()), (vec!["in doubt".to_owned(); 2], 2));
}

#[tokio::test]
async fn an_update_by_a_key_brings_every_digit() {
    let world = world(0, json!({}));
    let object = world.contacts().await;
    let fields = ["Ext__c", "LastName", "Worth__c"];
    let exact = "9007199254740993.01";
    world.fault(Fault {
        route: Route::Write,
        containing: Some(exact.to_owned()),
        delay_ms: Some(1),
        ..Fault::default()
    });
    for (operation, worth, told) in [(Operation::Upsert, "1", 0), (Operation::Update, exact, 1)] {
        let write = write(&object, operation, &["Ext__c"], &fields);
        let plan = world.crm.write_plan(&write, 1).unwrap();
        let records = rows(&write, &[&[Some("A"), Some("One"), Some(worth)]]);
        send(&world.crm, &write, &plan, &records, &Kept::default(), false).await.unwrap();
        assert_eq!(world.sandbox.admin().faults()[0].fired, told, "the number as it is written");
    }
}
