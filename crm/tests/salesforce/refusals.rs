//! An answer that refuses the request by one of the organisation's codes means that nothing was done; only a missing answer
//! leaves it open.

use std::time::{Duration, Instant};

use engine::failure::Class;
use engine::outside::crm::{Crm, Operation, Outcome, Steps};
use sandbox::{Fault, RetryAfter, Route};
use serde_json::{Value, json};

use crate::world::{Kept, World, connect, read, rows, send, words, world, write};

fn refused(status: u16, code: &str) -> Fault {
    Fault { status: Some(status), code: Some(code.to_owned()), ..Fault::default() }
}

fn once(fault: Fault) -> Fault {
    Fault { route: Route::Write, times: Some(1), ..fault }
}

/// An error list with another status than that of an error.
fn list(code: &str) -> Fault {
    Fault {
        status: Some(200),
        body: Some(json!([{ "errorCode": code, "message": "it is refused" }]).to_string()),
        content_type: Some("application/json".to_owned()),
        ..Fault::default()
    }
}

/// Two contacts inserted without a key of theirs, after these faults.
async fn insert(world: &World, steps: &Kept, again: bool) -> Result<Vec<Outcome>, engine::failure::Failure> {
    let insert = write(&world.contacts().await, Operation::Insert, &[], &["LastName"]);
    let plan = world.crm.write_plan(&insert, 2).unwrap();
    let records = rows(&insert, &[&[Some("One")], &[Some("Two")]]);
    send(&world.crm, &insert, &plan, &records, steps, again).await
}

fn hasty() -> Value {
    json!({ "limits": { "retryWaitMin": "1ms", "retries": 1 } })
}

#[tokio::test]
async fn an_insert_that_the_organisation_refuses_is_sent_again_and_made_once() {
    for (name, fault) in [
        ("unavailable", refused(503, "SERVER_UNAVAILABLE")),
        ("unavailable, in a list with status 200", list("SERVER_UNAVAILABLE")),
        ("too many requests", Fault { retry_after: Some(RetryAfter::Seconds(1)), ..refused(429, "TOO_MANY_REQUESTS") }),
        ("the session has ended, in a list with status 200", list("INVALID_SESSION_ID")),
    ] {
        let world = world(0, hasty());
        world.contacts().await;
        world.fault(once(fault));
        let outcomes =
            insert(&world, &Kept::default(), false).await.unwrap_or_else(|failure| panic!("{name}: {failure}"));
        assert_eq!((words(&outcomes), world.changes().len()), (vec!["created".to_owned(); 2], 2), "{name}");
    }
}

#[tokio::test]
async fn an_error_list_is_read_whatever_its_status() {
    let world = world(3, hasty());
    let object = world.contacts().await;
    world.fault(once(list("INVALID_FIELD")));
    let failure = insert(&world, &Kept::default(), false).await.unwrap_err();
    assert_eq!((failure.class, failure.code.as_deref()), (Class::Config, Some("INVALID_FIELD")));
    world.fault(Fault { route: Route::Query, times: Some(1), ..list("INVALID_FIELD") });
    let failure = world.crm.count(&read(&object, &["Id"])).await.unwrap_err();
    assert_eq!((failure.class, failure.code.as_deref()), (Class::Config, Some("INVALID_FIELD")));
    assert!(failure.message.contains("it is refused"), "{failure}");
}

#[tokio::test]
async fn an_insert_is_in_doubt_only_where_no_answer_of_the_organisation_came_and_says_why() {
    for (name, fault, why) in [
        ("an error inside", refused(500, "UNKNOWN_EXCEPTION"), "unexpected error"),
        ("a gateway", Fault { body: Some("<html>bad gateway</html>".to_owned()), ..refused(502, "") }, "502"),
        ("a gateway that is busy", Fault { body: Some("<html>busy</html>".to_owned()), ..refused(503, "") }, "503"),
        ("the connection", Fault { cut_after_commit: true, ..Fault::default() }, "broke"),
    ] {
        let world = world(0, hasty());
        world.contacts().await;
        world.fault(once(fault));
        let steps = Kept::default();
        assert_eq!(insert(&world, &steps, false).await.unwrap_err().class, Class::InDoubt, "{name}");
        let outcomes = insert(&world, &steps, true).await.unwrap();
        let [Outcome::InDoubt { reason }, Outcome::InDoubt { .. }] = outcomes.as_slice() else {
            panic!("{name}: {:?}", words(&outcomes))
        };
        assert!(reason.contains(why) && reason.contains("look the record up"), "{name}: {reason}");
    }
}

#[tokio::test]
async fn an_insert_that_is_killed_while_it_waits_is_not_in_doubt() {
    let busy =
        |status: u16, code: &str| once(Fault { retry_after: Some(RetryAfter::Seconds(60)), ..refused(status, code) });
    let slow_login = Fault { route: Route::Token, delay_ms: Some(60_000), ..Fault::default() };
    for (name, faults) in [
        ("after a 429", vec![busy(429, "TOO_MANY_REQUESTS")]),
        ("after a 503", vec![busy(503, "SERVER_UNAVAILABLE")]),
        ("for an allowance", vec![once(refused(403, "REQUEST_LIMIT_EXCEEDED"))]),
        ("for another session", vec![once(refused(401, "INVALID_SESSION_ID")), slow_login]),
    ] {
        let world = world(0, json!({}));
        world.contacts().await;
        faults.into_iter().for_each(|fault| world.fault(fault));
        let steps = Kept::default();
        let rests = async {
            while steps.last().is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            ended = insert(&world, &steps, false) => panic!("{name}: it does not wait: {ended:?}"),
            rested = tokio::time::timeout(Duration::from_secs(30), rests) => rested.expect(name),
        }
        // Another process.
        world.sandbox.admin().clear_faults();
        let world = World { crm: connect(&world.sandbox, json!({})), ..world };
        let outcomes = insert(&world, &steps, true).await.unwrap();
        assert_eq!((words(&outcomes), world.changes().len()), (vec!["created".to_owned(); 2], 2), "{name}");
    }
}

#[tokio::test]
async fn retry_after_is_waited_for_and_no_longer() {
    let world = world(3, json!({ "limits": { "retries": 1 } }));
    let plain = read(&world.contacts().await, &["Id"]);
    for (status, code) in [(429, "TOO_MANY_REQUESTS"), (403, "REQUEST_LIMIT_EXCEEDED"), (503, "SERVER_UNAVAILABLE")] {
        let busy = Fault { retry_after: Some(RetryAfter::Seconds(1)), times: Some(1), ..refused(status, code) };
        world.fault(Fault { route: Route::Query, ..busy });
        let begin = Instant::now();
        assert_eq!(world.pages(&plain, None).await.unwrap().len(), 1);
        let waited = begin.elapsed().as_secs_f64();
        assert!((1.0..5.0).contains(&waited), "{status}: {waited} s");
    }
}

#[tokio::test]
async fn a_deletion_is_done_only_where_the_organisation_says_that_the_record_is_not_there() {
    for bulk in [false, true] {
        let world = world(2, json!({ "bulk": { "from": 1, "pollMin": "1ms" }, "limits": { "retries": 0 } }));
        let delete = write(&world.contacts().await, Operation::Delete, &["Id"], &["Id"]);
        let (one, two) = (world.id(0), world.id(1));
        let records = rows(&delete, &[&[Some(&one)], &[Some(&two)]]);
        let plan = world.crm.write_plan(&delete, if bulk { 2 } else { 1 }).unwrap();
        for (status, body) in
            [(404, "<html>not found</html>"), (404, ""), (410, ""), (200, ""), (200, "<html>hello</html>")]
        {
            world.sandbox.admin().clear_faults();
            let route = if bulk { Route::Bulk } else { Route::Write };
            world.fault(Fault { route, status: Some(status), body: Some(body.to_owned()), ..Fault::default() });
            let outcomes = send(&world.crm, &delete, &plan, &records, &Kept::default(), false).await;
            assert!(outcomes.is_err(), "{status} {body}: {:?}", outcomes.map(|outcomes| words(&outcomes)));
        }
        world.sandbox.admin().clear_faults();
        let outcomes = send(&world.crm, &delete, &plan, &records, &Kept::default(), false).await.unwrap();
        assert_eq!((words(&outcomes), world.changes().len()), (vec!["deleted".to_owned(); 2], 2));
    }
}

#[tokio::test]
async fn a_login_that_is_refused_for_now_is_tried_again() {
    for (name, fault) in [
        (
            "retry",
            Fault {
                code: Some("unknown_error".into()),
                message: Some("retry your request".into()),
                ..refused(400, "")
            },
        ),
        (
            "rate",
            Fault {
                message: Some("login rate exceeded".into()),
                retry_after: Some(RetryAfter::Seconds(1)),
                ..refused(400, "invalid_grant")
            },
        ),
        ("limit", Fault { retry_after: Some(RetryAfter::Seconds(1)), ..refused(400, "rate_limit_exceeded") }),
        ("busy", Fault { retry_after: Some(RetryAfter::Seconds(1)), ..refused(429, "slow_down") }),
        ("unavailable", refused(503, "server_error")),
        (
            "with status 200",
            Fault {
                body: Some(r#"{"error":"unknown_error","error_description":"retry your request"}"#.into()),
                ..refused(200, "")
            },
        ),
    ] {
        let world = world(0, hasty());
        let code = fault.code.clone().filter(|code| !code.is_empty());
        world.fault(Fault { route: Route::Token, times: Some(1), code, ..fault });
        world.crm.now().await.unwrap_or_else(|failure| panic!("{name}: {failure}"));
        assert_eq!(world.requests("oauth2/token").len(), 2, "{name}");
    }
    // Within bounds, and a refusal that stays is asked for once.
    let world = world(0, hasty());
    let forever = |code: &str, message: &str| Fault {
        route: Route::Token,
        message: Some(message.to_owned()),
        ..refused(400, code)
    };
    world.fault(forever("unknown_error", "retry your request"));
    let failure = world.crm.now().await.unwrap_err();
    assert_eq!((failure.class, world.requests("oauth2/token").len()), (Class::Transient, 2));
    assert!(failure.message.contains("retry your request"), "{failure}");
    world.sandbox.admin().clear_faults();
    world.fault(forever("invalid_grant", "authentication failure"));
    assert_eq!(world.crm.now().await.unwrap_err().class, Class::Auth);
    assert_eq!(world.requests("oauth2/token").len(), 3);
}

#[tokio::test]
async fn a_count_that_does_not_come_is_worth_no_second_question() {
    let slow = Fault { delay_ms: Some(60_000), ..Fault::default() };
    for (name, class, fault) in
        [("refused", Class::Config, refused(400, "OPERATION_TOO_LARGE")), ("late", Class::Transient, slow)]
    {
        let world = world(3, json!({ "limits": { "retryWaitMin": "1ms", "firstByteTimeout": "1s" } }));
        let plain = read(&world.contacts().await, &["Id", "CreatedDate"]);
        world.fault(Fault { route: Route::Query, containing: Some("COUNT".to_owned()), ..fault });
        assert_eq!(world.crm.ranges(&plain, 4).await.unwrap_err().class, class, "{name}");
        assert_eq!(world.requests("COUNT").len(), 1, "{name}");
    }
}
