//! `$batch`: what clients send, and what holds together.

use crate::client::{Client, contact, start};
use reqwest::Method;
use sandbox::{Fault, Sandbox};
use serde_json::json;

/// The answer to a batch: its status, its parts' status lines, and all of its text.
struct Answer {
    status: u16,
    parts: Vec<String>,
    text: String,
}

async fn send(client: &Client, content_type: &str, prefer: &str, body: String) -> Answer {
    let request = client.http.request(Method::POST, format!("{}$batch", client.root)).bearer_auth(&client.token);
    let request = request.header("Content-Type", content_type).header("Prefer", prefer).body(body);
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    let parts = text.lines().filter_map(|line| line.strip_prefix("HTTP/1.1 ")).map(str::to_owned).collect();
    Answer { status, parts, text }
}

fn part(request: &str, body: &str) -> String {
    format!(
        "--b\nContent-Type: application/http\nContent-Transfer-Encoding: binary\n\n{request} HTTP/1.1\nContent-Type: application/json\n\n{body}\n"
    )
}

fn in_set(id: &str, request: &str, body: &str) -> String {
    format!(
        "--s\r\nContent-Type:application/http\r\nContent-Transfer-Encoding:binary\r\nContent-ID: {id}\r\n\r\n{request} HTTP/1.1\r\nContent-Type: application/json;type=entry\r\n\r\n{body}\r\n"
    )
}

fn set(parts: &[String]) -> String {
    format!("--b\r\nContent-Type: multipart/mixed;boundary=s\r\n\r\n{}--s--\r\n", parts.concat())
}

fn count(sandbox: &Sandbox) -> usize {
    sandbox.admin().state().sets["contacts"].records
}

#[tokio::test]
async fn an_address_of_64_kilobytes_is_the_longest_in_a_batch() {
    let sandbox = start(1);
    let client = Client::new(&sandbox).await;
    let ask = async |length: usize| {
        let head = "contacts?$select=lastname&$filter=lastname eq '";
        let address = format!("{head}{}'", "x".repeat(length));
        let body = format!("{}--b--", part(&format!("GET {address}"), ""));
        send(&client, "multipart/mixed;boundary=b", "", body).await.status
    };
    assert_eq!((ask(60_000).await, ask(66_000).await), (200, 414));
}

#[tokio::test]
async fn operations_stand_alone_and_a_failure_ends_the_batch_unless_it_may_go_on() {
    let sandbox = start(0);
    let client = Client::new(&sandbox).await;
    let parts = [
        part(&format!("POST {}contacts", client.root), r#"{"lastname":"absolute"}"#),
        part("PATCH /api/data/v9.2/contacts(c0000000-0000-4000-8000-000000000002)", r#"{"lastname":"root"}"#),
        part("POST contacts", &json!({"lastname": "x".repeat(51)}).to_string()),
        part("GET contacts?$select=lastname&$filter=lastname eq 'root' HTTP/1.1\nAccept: application/json", ""),
    ];
    let body = format!("{}--b--", parts.concat())
        .replace(" HTTP/1.1\nAccept: application/json HTTP/1.1", " HTTP/1.1\nAccept: application/json");
    let answer = send(&client, "multipart/mixed;boundary=b", "", body.clone()).await;
    assert_eq!(
        (answer.status, &answer.parts[..]),
        (400, &["204 No Content", "204 No Content", "400 Bad Request"].map(str::to_owned)[..])
    );
    assert!(answer.text.starts_with("--batchresponse_"), "{}", answer.text);
    assert!(answer.text.contains("REQ_ID: ") && answer.text.contains("\"0x80044331\""), "{}", answer.text);
    assert!(answer.text.contains(&format!("Location: {}contacts(", client.root)));
    assert_eq!(count(&sandbox), 2, "what went before stays");
    let answer =
        send(&client, "multipart/mixed; boundary=\"b\"", "odata.continue-on-error", body.replace('\n', "\r\n")).await;
    assert_eq!((answer.status, answer.parts[3].as_str()), (200, "200 OK"));
    assert!(answer.text.contains("\"lastname\":\"root\""));
    assert_eq!(count(&sandbox), 3);
}

#[tokio::test]
async fn a_change_set_holds_together_and_refers_to_itself() {
    let sandbox = start(0);
    let client = Client::new(&sandbox).await;
    let account = in_set("1", "POST /api/data/v9.2/accounts", r#"{"name":"Contoso"}"#);
    let person = in_set(
        "2",
        &format!("PATCH {}contacts({})", client.root, contact(1)),
        r#"{"lastname":"one","parentcustomerid_account@odata.bind":"$1"}"#,
    );
    let rename = in_set("3", "PUT $2/lastname", r#"{"value":"two"}"#);
    let bind = in_set("4", "PUT $1/primarycontactid/$ref", r#"{"@odata.id":"$2"}"#);
    let bad = in_set("5", "PATCH $2", &json!({"firstname": "x".repeat(51)}).to_string());
    let good = [account, person, rename, bind];
    let failing = format!("{}--b--", set(&[good.as_slice(), &[bad]].concat()));
    let answer = send(&client, "multipart/mixed;boundary=b", "", failing).await;
    assert_eq!((answer.status, answer.parts), (400, vec!["400 Bad Request".to_owned()]));
    assert!(answer.text.contains("Content-ID: 5"));
    assert_eq!(
        (count(&sandbox), sandbox.admin().changes(1).len()),
        (0, 0),
        "nothing of it is left, in the log neither"
    );
    let answer = send(&client, "multipart/mixed;boundary=b", "", format!("{}--b--", set(&good))).await;
    assert_eq!((answer.status, answer.parts.len()), (200, 4), "{}", answer.text);
    assert!(answer.text.contains("--changesetresponse_"));
    for id in 1..=4 {
        assert!(answer.text.contains(&format!("Content-ID: {id}\r\n")));
    }
    let record = client.json(&format!("contacts({})", contact(1))).await;
    assert_eq!(record["lastname"], "two");
    let account = client.json("accounts?$select=_primarycontactid_value").await["value"][0].clone();
    assert_eq!(
        (&record["_parentcustomerid_value"], &account["_primarycontactid_value"]),
        (&account["accountid"], &json!(contact(1)))
    );
    let forward = set(&[in_set("1", "PATCH $2", "{}")]);
    let answer = send(&client, "multipart/mixed;boundary=b", "", format!("{forward}--b--")).await;
    assert!(answer.text.contains("Content-ID Reference: '$2' does not exist in the batch context."), "{}", answer.text);
}

#[tokio::test]
async fn a_change_set_that_fails_brings_back_what_it_changed_and_deleted() {
    let sandbox = start(3);
    let client = Client::new(&sandbox).await;
    let before = client.all("contacts", 100).await;
    let ids: Vec<&str> = before.iter().map(|record| record["contactid"].as_str().unwrap()).collect();
    sandbox.admin().put("contacts", &contact(1), &json!({"lastname": "written"})).unwrap();
    let before = client.all("contacts", 100).await;
    let parts = [
        in_set("1", &format!("DELETE contacts({})", ids[0]), ""),
        in_set("2", &format!("PATCH contacts({})", ids[1]), r#"{"lastname":"changed"}"#),
        in_set("3", &format!("DELETE contacts({})", contact(1)), ""),
        in_set("4", &format!("DELETE contacts({})", contact(2)), ""),
    ];
    let answer =
        send(&client, "multipart/mixed;boundary=b", "odata.continue-on-error", format!("{}--b--", set(&parts))).await;
    assert_eq!((answer.status, answer.parts), (200, vec!["404 Not Found".to_owned()]));
    assert_eq!(client.all("contacts", 100).await, before);
    assert_eq!(client.column("contacts?$orderby=modifiedon", "contactid").await.len(), 4);
}

#[tokio::test]
async fn what_no_batch_may_hold_is_refused_whole() {
    let sandbox = start(0);
    let client = Client::new(&sandbox).await;
    let create = part("POST contacts", r#"{"lastname":"x"}"#);
    let cases = [
        (format!("{}--b--", create.repeat(1_001)), "too many parts"),
        (format!("{create}{}--b--", set(&[in_set("1", "GET contacts", "")])), "'GET' was detected"),
        (format!("{create}{}--b--", part("POST /api/data/v9.2/$batch", "")), "another batch"),
        (create.clone(), "closing line"),
        (format!("{create}--b\nContent-Type: text/plain\n\nhello\n--b--"), "neither 'application/http'"),
        (format!("{create}--b\nContent-Type: application/http\n\nhello\n--b--"), "request line 'hello'"),
    ];
    for (body, right) in cases {
        let answer = send(&client, "multipart/mixed;boundary=b", "odata.continue-on-error", body).await;
        assert_eq!(answer.status, 400, "{}", answer.text);
        assert!(answer.text.contains(right), "{right}: {}", answer.text);
    }
    assert_eq!(send(&client, "application/json", "", String::new()).await.status, 400);
    assert_eq!(count(&sandbox), 0);
    let many = format!("{}--b--", create.repeat(1_000));
    assert_eq!(send(&client, "multipart/mixed;boundary=b", "", many).await.parts.len(), 1_000);
}

#[tokio::test]
async fn faults_strike_single_operations() {
    let sandbox = start(0);
    let client = Client::new(&sandbox).await;
    let body = || {
        let parts = (1..=5).map(|number| {
            part(
                &format!("PATCH contacts({})", contact(number)),
                &json!({"lastname": format!("n{number}")}).to_string(),
            )
        });
        format!("{}--b--", parts.collect::<String>())
    };
    let arm = |fault: serde_json::Value| {
        sandbox.admin().clear_faults();
        sandbox.admin().add_fault(serde_json::from_value::<Fault>(fault).unwrap()).unwrap();
    };
    arm(json!({"route": "part", "containing": "n3", "status": 400, "code": "0x80040265", "message": "plug-in"}));
    let answer = send(&client, "multipart/mixed;boundary=b", "odata.continue-on-error", body()).await;
    assert_eq!((answer.status, answer.parts[2].as_str(), count(&sandbox)), (200, "400 Bad Request", 4));
    arm(json!({"route": "part", "skip": 2, "times": 1, "status": 429, "retryAfter": 9}));
    let answer = send(&client, "multipart/mixed;boundary=b", "", body()).await;
    assert_eq!((answer.status, answer.parts.len()), (429, 3));
    assert!(answer.text.contains("Retry-After: 9"));
    sandbox.admin().clear("contacts").unwrap();
    arm(json!({"route": "part", "skip": 1, "times": 1, "cutAfterCommit": true}));
    let request = client.http.request(Method::POST, format!("{}$batch", client.root)).bearer_auth(&client.token);
    assert!(request.header("Content-Type", "multipart/mixed;boundary=b").body(body()).send().await.is_err());
    assert_eq!(count(&sandbox), 2, "a prefix of the batch has taken hold");
    arm(json!({"route": "batch", "times": 1, "status": 503}));
    assert_eq!(send(&client, "multipart/mixed;boundary=b", "", body()).await.status, 503);
    assert_eq!(count(&sandbox), 2);
}

#[tokio::test]
async fn a_change_set_that_is_held_up_holds_up_nobody_else() {
    let sandbox = start(0);
    let client = Client::new(&sandbox).await;
    let fault = json!({"route": "part", "times": 1, "delayMs": 3_600_000});
    sandbox.admin().add_fault(serde_json::from_value::<Fault>(fault).unwrap()).unwrap();
    let held_up = format!("{}--b--", set(&[in_set("1", "POST contacts", r#"{"lastname":"held up"}"#)]));
    let held_up = send(&client, "multipart/mixed;boundary=b", "", held_up);
    let others = async {
        // It has taken hold, and others read and write.
        while client.column("contacts", "lastname").await.is_empty() {}
        let bulk = json!({"Targets": [{"@odata.type": "Microsoft.Dynamics.CRM.contact", "lastname": "bulk"}]});
        let path = "contacts/Microsoft.Dynamics.CRM.CreateMultiple";
        client.request(Method::POST, path).json(&bulk).send().await.unwrap().status()
    };
    let others = tokio::time::timeout(std::time::Duration::from_secs(60), others);
    tokio::select! {
        answer = held_up => panic!("answered at once: {}", answer.text),
        status = others => assert_eq!(status.unwrap(), 200),
    }
    assert_eq!(count(&sandbox), 2);
}
