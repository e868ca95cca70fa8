//! Limits of users, and records that change while somebody reads.

use std::time::{Duration, Instant};

use crate::client::{Client, contact, error_of, start};
use reqwest::Response;
use sandbox::{Fault, Limits};
use serde_json::json;

fn retry_after(response: &Response) -> u64 {
    response.headers()["retry-after"].to_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn requests_are_counted_in_a_window_that_moves_with_the_clock() {
    let sandbox = start(0);
    let client = Client::new(&sandbox).await;
    sandbox.admin().set_limits(Limits { requests: Some(3), ..Limits::default() });
    for left in [2, 1, 0] {
        let response = client.get("WhoAmI").await;
        assert_eq!(
            (
                response.status().as_u16(),
                response.headers()["x-ms-ratelimit-burst-remaining-xrm-requests"].to_str().unwrap()
            ),
            (200, left.to_string().as_str())
        );
        sandbox.admin().advance_clock(60).unwrap();
    }
    let refused = client.get("WhoAmI").await;
    assert_eq!(retry_after(&refused), 120);
    let (status, code, message) = error_of(refused).await;
    assert_eq!(
        (status, code.as_str(), message.as_str()),
        (429, "0x80072322", "Number of requests exceeded the limit of 3 over time window of 300 seconds.")
    );
    assert_eq!(retry_after(&client.get("WhoAmI").await), 121, "whoever pushes on waits longer");
    sandbox.admin().advance_clock(120).unwrap();
    assert_eq!(client.get("WhoAmI").await.status(), 200);
    assert_eq!(client.get("WhoAmI").await.status(), 429, "only the oldest has left the window");
}

#[tokio::test]
async fn time_and_requests_at_once_have_limits_of_their_own() {
    let sandbox = start(0);
    let client = Client::new(&sandbox).await;
    sandbox.admin().set_latency(100);
    sandbox.admin().set_limits(Limits { execution_ms: Some(1_000), ..Limits::default() });
    let started = Instant::now();
    let mut served = 0;
    let refused = loop {
        let response = client.get("WhoAmI").await;
        if response.status() != 200 {
            break response;
        }
        served += 1;
    };
    // Nearly 100 ms of each count: what passes until it is admitted does not.
    assert!((3..=11).contains(&served), "{served} requests of some 100 ms or more");
    assert!(started.elapsed() > Duration::from_millis(900));
    let (_, code, message) = error_of(refused).await;
    assert_eq!(code, "0x80072321");
    assert!(message.contains("exceeded limit of 1,000 milliseconds over time window of 300 seconds."), "{message}");

    sandbox.admin().set_latency(1_500);
    sandbox.admin().set_limits(Limits { concurrency: Some(2), ..Limits::default() });
    let (first, second, third) = tokio::join!(client.get("WhoAmI"), client.get("WhoAmI"), client.get("WhoAmI"));
    let all = [first, second, third];
    assert_eq!(all.iter().filter(|response| response.status() == 200).count(), 2);
    let refused = all.into_iter().find(|response| response.status() == 429).unwrap();
    assert!(retry_after(&refused) > 0);
    assert_eq!(error_of(refused).await.1, "0x80072326");
    sandbox.admin().set_latency(0);
    assert_eq!(client.get("WhoAmI").await.status(), 200, "those that ended do not count");
}

#[tokio::test]
async fn a_record_is_changed_and_another_deleted_between_two_pages() {
    let sandbox = start(0);
    let client = Client::new(&sandbox).await;
    for number in 1..=6 {
        sandbox.admin().put("contacts", &contact(number), &json!({"lastname": format!("n{number}")})).unwrap();
    }
    let fault = json!({"route": "page", "times": 1, "before": [
        {"set": "contacts", "id": contact(4), "fields": {"lastname": "other"}},
        {"set": "contacts", "id": contact(5)},
    ]});
    sandbox.admin().add_fault(serde_json::from_value::<Fault>(fault).unwrap()).unwrap();
    let names: Vec<_> =
        client.all("contacts?$select=lastname", 2).await.iter().map(|record| record["lastname"].clone()).collect();
    assert_eq!(names, ["n1", "n2", "n3", "other", "n6"]);
    let wrong = json!({"before": [{"set": "contacts", "id": contact(4), "fields": {"nosuch": 1}}]});
    assert!(sandbox.admin().add_fault(serde_json::from_value::<Fault>(wrong).unwrap()).is_err());
}
