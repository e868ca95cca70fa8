//! Bulk API 2.0.

use std::collections::BTreeSet;

use reqwest::Method;
use sandbox::{Fault, JobFailure, Route, SalesforceSettings};
use serde_json::{Value as Json, json};

use crate::client::{Answer, Client, start};

impl Client {
    /// Creates a job, uploads, closes and waits. The job as it ended, and the states seen.
    async fn ingest(&self, job: Json, csv: &str) -> (Json, Vec<String>) {
        let created = self.post("/jobs/ingest", &job).await.ok();
        let id = created["id"].as_str().unwrap().to_owned();
        let path = format!("/jobs/ingest/{id}");
        let url = created["contentUrl"].as_str().unwrap();
        let upload = self.request(Method::PUT, &format!("/{url}")).header("Content-Type", "text/csv");
        let uploaded = self.send(upload.body(csv.to_owned())).await;
        assert_eq!((uploaded.status, uploaded.text.as_str()), (201, ""));
        let closed = self.patch(&path, &json!({"state": "UploadComplete"})).await.ok();
        let mut states = vec![created["state"].clone(), closed["state"].clone()];
        let job = self.wait(&path, &mut states).await;
        (job, states.iter().map(|state| state.as_str().unwrap().to_owned()).collect())
    }

    /// Polls until a job has ended.
    async fn wait(&self, path: &str, states: &mut Vec<Json>) -> Json {
        for _ in 0..2_000 {
            let job = self.get(path).await.ok();
            if states.last() != Some(&job["state"]) {
                states.push(job["state"].clone());
            }
            if ["JobComplete", "Failed", "Aborted"].contains(&job["state"].as_str().unwrap()) {
                return job;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!("the job never ended")
    }

    async fn results(&self, job: &Json, which: &str) -> Vec<String> {
        let answer = self.get(&format!("/jobs/ingest/{}/{which}/", job["id"].as_str().unwrap())).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let mut lines: Vec<String> = answer.text.lines().map(str::to_owned).collect();
        lines[1..].sort();
        lines
    }
}

fn upsert() -> Json {
    json!({"object": "Contact", "operation": "upsert", "externalIdFieldName": "ExtId__c", "contentType": "CSV", "lineEnding": "LF"})
}

#[tokio::test]
async fn an_upsert_job_passes_its_states_and_tells_what_became_of_each_row() {
    let sandbox = start(0);
    let client = Client::new(&sandbox).await;
    let kept =
        client.create("Contact", json!({"LastName": "Kept", "FirstName": "Old", "Phone": "1", "ExtId__c": "1"})).await;
    let account = client.create("Account", json!({"Name": "Acme", "ExtId__c": "A"})).await;
    // Empty leaves, #N/A empties.
    let csv = "ExtId__c,LastName,FirstName,Phone,Account.ExtId__c\n1,Changed,,#N/A,a\n2,\"New, \"\"quoted\"\"\",x,,\n3,,no name,,\n4,y, \"z\",,\n2,Again,,,\n";
    let (job, states) = client.ingest(upsert(), csv).await;
    assert_eq!(states, ["Open", "UploadComplete", "InProgress", "JobComplete"]);
    assert_eq!((&job["numberRecordsProcessed"], &job["numberRecordsFailed"]), (&json!(5), &json!(3)));
    assert_eq!(job["jobType"], "V2Ingest");
    let succeeded = client.results(&job, "successfulResults").await;
    assert_eq!(
        succeeded[0],
        "\"sf__Id\",\"sf__Created\",\"ExtId__c\",\"LastName\",\"FirstName\",\"Phone\",\"Account.ExtId__c\""
    );
    assert_eq!(succeeded[1], format!("\"{kept}\",\"false\",\"1\",\"Changed\",\"\",\"#N/A\",\"a\""));
    assert!(succeeded[2].ends_with("\"true\",\"2\",\"New, \"\"quoted\"\"\",\"x\",\"\",\"\""), "{succeeded:?}");
    let failed = client.results(&job, "failedResults").await;
    assert_eq!(
        failed[0],
        "\"sf__Id\",\"sf__Error\",\"ExtId__c\",\"LastName\",\"FirstName\",\"Phone\",\"Account.ExtId__c\""
    );
    assert!(failed.contains(&"\"\",\"REQUIRED_FIELD_MISSING:Required fields are missing: [LastName]:LastName --\",\"3\",\"\",\"no name\",\"\",\"\"".to_owned()), "{failed:?}");
    assert!(
        failed.iter().any(|line| line.contains("DUPLICATE_VALUE:Duplicate external id specified: 2:ExtId__c --")),
        "{failed:?}"
    );
    let read = client.get(&format!("/sobjects/Contact/{kept}?fields=LastName,FirstName,Phone,AccountId")).await.ok();
    let fields = ["LastName", "FirstName", "Phone", "AccountId"].map(|name| read[name].clone());
    assert_eq!(fields, [json!("Changed"), json!("Old"), Json::Null, json!(account)]);
    for spelling in ["unprocessedrecords", "unprocessedRecords"] {
        assert_eq!(client.results(&job, spelling).await.len(), 1);
    }
    let id = job["id"].as_str().unwrap();
    let other = client.get(&format!("/services/data/v60.0/jobs/ingest/{id}/successfulResults")).await;
    assert_eq!(other.status, 409);
    let listed = client.get("/jobs/ingest?jobType=V2Ingest").await.ok();
    assert_eq!((&listed["records"][0]["id"], &listed["nextRecordsUrl"]), (&json!(id), &Json::Null));
    assert_eq!(client.delete(&format!("/jobs/ingest/{id}")).await.status, 204);
    assert_eq!(client.get(&format!("/jobs/ingest/{id}")).await.status, 404);
}

#[tokio::test]
async fn insert_update_delete_and_hard_delete_by_id_in_any_format() {
    let sandbox = start(0);
    let client = Client::new(&sandbox).await;
    let job = |operation: &str, delimiter: &str| json!({"object": "Contact", "operation": operation, "columnDelimiter": delimiter, "lineEnding": "CRLF"});
    let (inserted, _) =
        client.ingest(job("insert", "SEMICOLON"), "LastName;FirstName\r\n\"Two\nlines\";a\r\nB;\r\n").await;
    assert_eq!((&inserted["numberRecordsProcessed"], &inserted["numberRecordsFailed"]), (&json!(2), &json!(0)));
    let ids = client.column("SELECT Id FROM Contact", "Id").await;
    let ids: Vec<&str> = ids.iter().map(|id| id.as_str().unwrap()).collect();
    for delimiter in ["BACKQUOTE", "CARET", "COMMA", "PIPE", "TAB"] {
        let sign = match delimiter {
            "BACKQUOTE" => "`",
            "CARET" => "^",
            "COMMA" => ",",
            "PIPE" => "|",
            _ => "\t",
        };
        let csv = format!("Id{sign}Title\r\n{}{sign}{delimiter}\r\n", ids[0]);
        assert_eq!(client.ingest(job("update", delimiter), &csv).await.0["numberRecordsFailed"], 0);
    }
    assert_eq!(client.column("SELECT Title FROM Contact ORDER BY Id", "Title").await[0], "TAB");
    let csv = format!("Id\r\n{}\r\n003gL00000ZZZZZZZZ\r\n", ids[0]);
    let (deleted, _) = client.ingest(job("delete", "COMMA"), &csv).await;
    assert_eq!(deleted["numberRecordsFailed"], 1);
    client.ingest(job("hardDelete", "COMMA"), &format!("Id\r\n{}\r\n{}\r\n", ids[0], ids[1])).await;
    assert_eq!(client.query_with("queryAll", "SELECT Id FROM Contact").await.ok()["totalSize"], 0);
    let deleted =
        client.get("/sobjects/Contact/deleted?start=2026-03-03T09:00:00Z&end=2026-03-03T10:10:00Z").await.ok();
    assert_eq!(deleted["deletedRecords"].as_array().unwrap().len(), 2);
    let (wrong, _) = client.ingest(job("insert", "COMMA"), "LastName,Nothing\r\nx,y\r\n").await;
    assert_eq!(
        (&wrong["state"], &wrong["errorMessage"]),
        (&json!("Failed"), &json!("InvalidBatch : Field name not found : Nothing"))
    );
    let (mixed, _) = client.ingest(job("insert", "COMMA"), "LastName\nx\n").await;
    assert!(mixed["errorMessage"].as_str().unwrap().contains("LineEnding is invalid on user data"));
    let (empty, _) = client.ingest(job("insert", "COMMA"), "").await;
    assert_eq!(empty["state"], "JobComplete");
}

#[tokio::test]
async fn a_job_can_fail_half_way_be_aborted_expire_and_lock_single_rows() {
    let sandbox = start(0);
    let (admin, client) = (sandbox.admin(), Client::new(&sandbox).await);
    let rows: String = (0..250).map(|row| format!("{row},Name {row}\n")).collect();
    let csv = format!("ExtId__c,LastName\n{rows}");
    let failure = JobFailure { times: 1, after_rows: 100, message: Some("InternalServerError : boom".into()) };
    let settings = admin.salesforce().settings();
    admin.salesforce().set_settings(SalesforceSettings { fail_jobs: Some(failure), bulk_polls: 3, ..settings });
    let (failed, _) = client.ingest(upsert(), &csv).await;
    assert_eq!((&failed["state"], &failed["errorMessage"]), (&json!("Failed"), &json!("InternalServerError : boom")));
    // What succeeded before stays.
    assert_eq!(client.results(&failed, "successfulResults").await.len(), 101);
    let unprocessed = client.results(&failed, "unprocessedrecords").await;
    assert_eq!((unprocessed.len(), unprocessed[0].as_str()), (151, "\"ExtId__c\",\"LastName\""));
    let fault = Fault {
        route: Route::Part,
        containing: Some("Name 7".into()),
        times: Some(3),
        status: Some(400),
        ..Fault::default()
    };
    admin.add_fault(fault).unwrap();
    let (again, _) = client.ingest(upsert(), &csv).await;
    assert_eq!((&again["numberRecordsProcessed"], &again["numberRecordsFailed"]), (&json!(250), &json!(3)));
    let locked = client.results(&again, "failedResults").await;
    assert!(
        locked[1].contains("UNABLE_TO_LOCK_ROW:unable to obtain exclusive access to this record: --"),
        "{locked:?}"
    );
    let order = client.get(&format!("/jobs/ingest/{}/successfulResults", again["id"].as_str().unwrap())).await.text;
    let numbers: Vec<&str> =
        order.lines().skip(1).map(|line| line.split(',').nth(2).unwrap().trim_matches('"')).collect();
    assert!(
        !numbers.is_sorted_by_key(|number| number.parse::<u32>().unwrap()),
        "results come in an order of their own"
    );
    let open = client.post("/jobs/ingest", &upsert()).await.ok();
    let path = format!("/jobs/ingest/{}", open["id"].as_str().unwrap());
    assert_eq!(client.delete(&path).await.error(), (400, "INVALIDJOBSTATE".into()));
    assert_eq!(client.patch(&path, &json!({"state": "Aborted"})).await.ok()["state"], "Aborted");
    assert_eq!(client.patch(&path, &json!({"state": "UploadComplete"})).await.error().1, "INVALIDJOBSTATE");
    admin.advance_clock(7 * 86_400).unwrap();
    let client = Client::new(&sandbox).await;
    assert_eq!(client.get(&path).await.status, 404);
    for (body, code) in [
        (json!({"object": "Nothing", "operation": "insert"}), "INVALIDENTITY"),
        (json!({"object": "Contact", "operation": "upsert"}), "INVALIDJOB"),
        (json!({"object": "Contact", "operation": "upsert", "externalIdFieldName": "Email"}), "INVALIDJOB"),
        (json!({"object": "Contact", "operation": "insert", "columnDelimiter": "DOT"}), "INVALIDJOB"),
    ] {
        assert_eq!(client.post("/jobs/ingest", &body).await.error(), (400, code.into()), "{body}");
    }
}

#[tokio::test]
async fn rows_of_a_job_that_did_nothing_are_unprocessed_and_its_batches_are_counted() {
    let sandbox = start(0);
    let client = Client::new(&sandbox).await;
    let insert = json!({"object": "Contact", "operation": "insert", "contentType": "CSV", "lineEnding": "LF"});
    for (csv, rows) in [("LastName,Nope\na,b\nc,d\n", 2), ("LastName\r\na\r\n", 1)] {
        let (job, _) = client.ingest(insert.clone(), csv).await;
        assert_eq!(job["state"], "Failed", "{job}");
        assert_eq!(client.results(&job, "unprocessedrecords").await.len(), 1 + rows);
        assert_eq!(client.results(&job, "failedResults").await.len(), 1);
    }
    let job = client.post("/jobs/ingest", &insert).await.ok();
    let url = format!("/{}", job["contentUrl"].as_str().unwrap());
    let upload = client.request(Method::PUT, &url).header("Content-Type", "text/csv");
    client.send(upload.body("LastName\na\nb\n")).await;
    let path = format!("/jobs/ingest/{}", job["id"].as_str().unwrap());
    client.patch(&path, &json!({"state": "Aborted"})).await.ok();
    assert_eq!(client.results(&job, "unprocessedrecords").await, ["\"LastName\"", "\"a\"", "\"b\""]);
    let (job, _) = client.ingest(insert, "LastName\na\n").await;
    assert_eq!(client.results(&job, "unprocessedrecords").await.len(), 1);
    assert_eq!(client.get("/limits").await.ok()["DailyBulkApiBatches"]["Remaining"], 14_999);
}

#[tokio::test]
async fn a_job_and_its_data_can_come_together() {
    let sandbox = start(0);
    let client = Client::new(&sandbox).await;
    let job = upsert();
    let body = format!(
        "--X\r\nContent-Type: application/json\r\nContent-Disposition: form-data; name=\"job\"\r\n\r\n{job}\r\n--X\r\nContent-Type: text/csv\r\nContent-Disposition: form-data; name=\"content\"; filename=\"content\"\r\n\r\nExtId__c,LastName\n1,One\n\r\n--X--\r\n"
    );
    let request =
        client.request(Method::POST, "/jobs/ingest").header("Content-Type", "multipart/form-data; boundary=X");
    let created = client.send(request.body(body)).await.ok();
    assert_eq!(created["state"], "UploadComplete");
    let job = client.wait(&format!("/jobs/ingest/{}", created["id"].as_str().unwrap()), &mut Vec::new()).await;
    assert_eq!((&job["numberRecordsProcessed"], &job["numberRecordsFailed"]), (&json!(1), &json!(0)));
}

/// Id column of a page.
fn ids(page: &Answer) -> Vec<String> {
    page.text.lines().skip(1).map(|line| line.split(',').next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_query_job_pages_by_locators_that_stay_as_they_were() {
    let sandbox = start(2_500);
    let (admin, client) = (sandbox.admin(), Client::new(&sandbox).await);
    let first_id = admin.salesforce().id("Contact", 0).unwrap();
    let who = json!({"name": "Who__c", "type": "reference", "referenceTo": ["Account", "Contact"]});
    admin.salesforce().add_field("Contact", &serde_json::from_value(who).unwrap()).unwrap();
    let first = json!({"LastName": "Say \"hi\",\nyou", "Email": null, "Who__c": first_id});
    admin.put("Contact", &first_id, &first).unwrap();
    let body = json!({"operation": "query", "query": "SELECT Id, LastName, Email, DoNotCall, CreatedDate, Birthdate, Account.Name, Who__r.Type FROM Contact"});
    let created = client.post("/jobs/query", &body).await.ok();
    assert_eq!(
        (&created["state"], &created["object"], &created["jobType"]),
        (&json!("UploadComplete"), &json!("Contact"), &json!("V2Query"))
    );
    let path = format!("/jobs/query/{}", created["id"].as_str().unwrap());
    assert_eq!(client.get(&format!("{path}/results")).await.error().1, "INVALIDJOBSTATE");
    let mut states = Vec::new();
    let job = client.wait(&path, &mut states).await;
    assert_eq!(
        (states, &job["numberRecordsProcessed"]),
        (vec![json!("InProgress"), json!("JobComplete")], &json!(2_500))
    );
    admin.put("Contact", &first_id, &json!({"LastName": "Later"})).unwrap();
    let (mut all, mut locator, mut firsts) = (BTreeSet::new(), String::new(), Vec::new());
    loop {
        let page = client.get(&format!("{path}/results?maxRecords=1000&locator={locator}")).await;
        assert_eq!(page.header("content-type"), "text/csv");
        firsts.push(page.header("sforce-numberofrecords").to_owned());
        if locator.is_empty() {
            assert!(page.text.starts_with(&format!("\"Id\",\"LastName\",\"Email\",\"DoNotCall\",\"CreatedDate\",\"Birthdate\",\"Account.Name\",\"Who__r.Type\"\n\"{first_id}\",\"Say \"\"hi\"\",\nyou\",\"\",")), "{}", &page.text[..300]);
            assert_eq!(page.text.matches(",\"Contact\"\n").count(), 1, "what the only one with a reference leads to");
        }
        all.extend(ids(&page).into_iter().filter(|id| id.starts_with("\"003")));
        locator = page.header("sforce-locator").to_owned();
        if locator == "null" {
            break;
        }
    }
    assert_eq!((all.len(), firsts), (2_500, vec!["1000".to_owned(), "1000".into(), "500".into()]));
    let none = client
        .post(
            "/jobs/query",
            &json!({"operation": "queryAll", "query": "SELECT Id FROM Contact WHERE LastName = 'nobody at all'"}),
        )
        .await
        .ok();
    let none_path = format!("/jobs/query/{}", none["id"].as_str().unwrap());
    client.wait(&none_path, &mut Vec::new()).await;
    assert_eq!(client.get(&format!("{none_path}/results")).await.text, "\"Id\"\n");
    for (query, code) in [
        ("SELECT MailingAddress FROM Contact", "FUNCTIONALITY_NOT_ENABLED"),
        ("SELECT COUNT() FROM Contact", "FUNCTIONALITY_NOT_ENABLED"),
        ("SELECT Id FROM Contact LIMIT 5 OFFSET 1", "FUNCTIONALITY_NOT_ENABLED"),
        ("SELECT Nothing FROM Contact", "INVALID_FIELD"),
    ] {
        assert_eq!(
            client.post("/jobs/query", &json!({"operation": "query", "query": query})).await.error(),
            (400, code.into())
        );
    }
}

#[tokio::test]
async fn an_object_that_the_bulk_api_does_not_know_is_refused_and_read_otherwise() {
    let sandbox = start(1);
    let client = Client::new(&sandbox).await;
    let admin = sandbox.admin().salesforce();
    admin.set_settings(SalesforceSettings { not_in_bulk: vec!["Contact".into()], ..admin.settings() });
    let query = json!({"operation": "query", "query": "SELECT Id FROM Contact"});
    assert_eq!(client.post("/jobs/query", &query).await.error(), (400, "INVALIDENTITY".into()));
    let ingest = json!({"object": "Contact", "operation": "insert"});
    assert_eq!(client.post("/jobs/ingest", &ingest).await.error(), (400, "INVALIDENTITY".into()));
    assert_eq!(client.query("SELECT Id FROM Contact").await.ok()["totalSize"], 1);
}
