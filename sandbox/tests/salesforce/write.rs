//! Single records, collections and composite requests.

use reqwest::Method;
use sandbox::{ChangeKind, DuplicateRule, SalesforceAdmin, SalesforceField, ValidationRule};
use serde_json::{Value as Json, json};

use crate::client::{Client, field, start};

fn contact(fields: Json) -> Json {
    let mut record = json!({"attributes": {"type": "Contact"}});
    record.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    record
}

#[tokio::test]
async fn one_record_is_created_read_changed_and_deleted() {
    let sandbox = start(0);
    let client = Client::new(&sandbox).await;
    let account = client.create("Account", json!({"Name": "Acme", "ExtId__c": "A1"})).await;
    let body = json!({"LastName": " Lovelace ", "FirstName": "", "Account": {"ExtId__c": "a1"}, "DoNotCall": true});
    let id = client.create("Contact", body).await;
    let path = format!("/sobjects/Contact/{id}");
    let read = client.get(&path).await.ok();
    assert_eq!(
        (&read["LastName"], &read["FirstName"], &read["AccountId"]),
        (&json!("Lovelace"), &Json::Null, &json!(account))
    );
    // The first 15 characters are the id as well.
    let short = client.get(&format!("/sobjects/Contact/{}?fields=Name,DoNotCall", &id[..15])).await.ok();
    assert_eq!((&short["Name"], &short["DoNotCall"], short.get("Email")), (&json!("Lovelace"), &json!(true), None));
    sandbox.admin().advance_clock(10).unwrap();
    assert_eq!(client.patch(&path, &json!({"FirstName": "Ada", "AccountId": null})).await.status, 204);
    let read = client.get(&path).await.ok();
    assert_eq!((&read["Name"], &read["AccountId"]), (&json!("Ada Lovelace"), &Json::Null));
    assert_eq!(read["SystemModstamp"], "2026-03-03T10:00:10.000+0000");
    let stale =
        client.request(Method::PATCH, &path).header("If-Unmodified-Since", "Tue, 03 Mar 2026 10:00:05 GMT").body("{}");
    assert_eq!(client.send(stale).await.status, 412);
    assert_eq!(client.delete(&path).await.status, 204);
    assert_eq!(client.patch(&path, &json!({"FirstName": "x"})).await.error(), (404, "ENTITY_IS_DELETED".into()));
    assert_eq!(client.get("/sobjects/Contact/003gL00000ZZZZZZZZ").await.status, 404);
    let changes = sandbox.admin().salesforce().changes(1);
    let kinds: Vec<ChangeKind> = changes.iter().filter(|change| change.id == id).map(|change| change.kind).collect();
    assert_eq!(kinds, [ChangeKind::Created, ChangeKind::Updated, ChangeKind::Deleted]);
}

#[tokio::test]
async fn an_upsert_creates_once_then_changes_and_tells_which() {
    let sandbox = start(0);
    let client = Client::new(&sandbox).await;
    sandbox.admin().salesforce().add_field("Contact", &field("Loose__c", false)).unwrap();
    let path = "/sobjects/Contact/ExtId__c/a%2Fb%20%C3%A9";
    assert_eq!(client.patch(&format!("{path}?updateOnly=true"), &json!({"LastName": "x"})).await.status, 404);
    let first = client.patch(path, &json!({"LastName": "One"})).await;
    assert_eq!((first.status, &first.json()["created"]), (201, &json!(true)));
    let second = client.patch(path, &json!({"LastName": "Two"})).await;
    assert_eq!((second.status, &second.json()["created"]), (200, &json!(false)));
    assert_eq!(first.json()["id"], second.json()["id"]);
    assert_eq!(client.column("SELECT ExtId__c FROM Contact", "ExtId__c").await, [json!("a/b é")]);
    assert_eq!(client.patch(&format!("/services/data/v45.0{path}"), &json!({"LastName": "Three"})).await.status, 204);
    assert_eq!(client.patch(path, &json!({"ExtId__c": "x"})).await.error(), (400, "INVALID_FIELD".into()));
    for last in ["A", "B"] {
        client.create("Contact", json!({"LastName": last, "Loose__c": "same"})).await;
    }
    let several = client.patch("/sobjects/Contact/Loose__c/same", &json!({"LastName": "C"})).await;
    assert_eq!((several.status, several.json().as_array().unwrap().len()), (300, 2));
    assert_eq!(client.patch("/sobjects/Contact/Email/x", &json!({})).await.error(), (404, "NOT_FOUND".into()));
}

/// A restricted picklist, a number, a read-only field, a validation and a duplicate rule.
fn add_rules(admin: &SalesforceAdmin<'_>) {
    admin
        .add_field(
            "Contact",
            &SalesforceField { name: "LeadSource".into(), restricted: Some(true), ..SalesforceField::default() },
        )
        .unwrap();
    admin
        .add_field(
            "Contact",
            &SalesforceField { name: "Score__c".into(), kind: Some("currency".into()), ..SalesforceField::default() },
        )
        .unwrap();
    admin
        .add_field(
            "Contact",
            &SalesforceField { name: "Fax".into(), createable: Some(false), ..SalesforceField::default() },
        )
        .unwrap();
    let rule = |condition: &str| ValidationRule {
        name: "r".into(),
        condition: condition.into(),
        message: "Not him".into(),
        field: Some("LastName".into()),
    };
    admin.add_validation_rule("Contact", &rule("LastName = 'Forbidden'")).unwrap();
    let doubles = DuplicateRule { name: "mail".into(), fields: vec!["Email".into()], allow_save: true };
    admin.add_duplicate_rule("Contact", &doubles).unwrap();
}

#[tokio::test]
async fn a_record_that_breaks_a_rule_is_refused_with_the_products_code() {
    let sandbox = start(0);
    let (admin, client) = (sandbox.admin().salesforce(), Client::new(&sandbox).await);
    let other =
        client.create("Contact", json!({"LastName": "Other", "ExtId__c": "E1", "Email": "one@example.com"})).await;
    let gone = client.create("Account", json!({"Name": "Gone"})).await;
    client.delete(&format!("/sobjects/Account/{gone}")).await;
    add_rules(&admin);
    for (fields, code, at) in [
        (json!({"FirstName": "x"}), "REQUIRED_FIELD_MISSING", "LastName"),
        (json!({"FirstName": "x".repeat(41)}), "STRING_TOO_LONG", "FirstName"),
        (json!({"Email": "a@@example.com"}), "INVALID_EMAIL_ADDRESS", "Email"),
        (json!({"ExtId__c": "e1"}), "DUPLICATE_VALUE", "ExtId__c"),
        (json!({"Email": "ONE@example.com"}), "DUPLICATES_DETECTED", ""),
        (json!({"LeadSource": "Dream"}), "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "LeadSource"),
        (json!({"AccountId": "nonsense"}), "MALFORMED_ID", "AccountId"),
        (json!({"AccountId": "001gL00000ZZZZZZZZ"}), "MALFORMED_ID", "AccountId"),
        (json!({"AccountId": admin.id("Account", 99).unwrap()}), "INVALID_CROSS_REFERENCE_KEY", "AccountId"),
        (json!({"AccountId": other}), "FIELD_INTEGRITY_EXCEPTION", "AccountId"),
        (json!({"AccountId": gone}), "ENTITY_IS_DELETED", "AccountId"),
        (json!({"Score__c": 1e17}), "NUMBER_OUTSIDE_VALID_RANGE", "Score__c"),
        (json!({"Name": "x"}), "INVALID_FIELD_FOR_INSERT_UPDATE", "Name"),
        (json!({"Fax": "1"}), "INVALID_FIELD_FOR_INSERT_UPDATE", "Fax"),
        (json!({"DoNotCall": "maybe"}), "JSON_PARSER_ERROR", ""),
        (json!({"Birthdate": "yesterday"}), "JSON_PARSER_ERROR", ""),
        (json!({"Nothing": 1}), "INVALID_FIELD", ""),
        (json!({"Account": {"ExtId__c": "nobody"}}), "INVALID_FIELD", ""),
        (json!({"LastName": "Forbidden"}), "FIELD_CUSTOM_VALIDATION_EXCEPTION", "LastName"),
    ] {
        let mut body = json!({"LastName": "x"});
        if code == "REQUIRED_FIELD_MISSING" {
            body = json!({});
        }
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let refused = client.post("/sobjects/Contact/", &body).await;
        assert_eq!((refused.status, refused.error().1.as_str()), (400, code), "{body}: {}", refused.text);
        assert_eq!(refused.json()[0]["fields"][0].as_str().unwrap_or(""), at, "{body}");
        let row = client.post("/composite/sobjects", &json!({"records": [contact(body.clone())]})).await;
        match code {
            "JSON_PARSER_ERROR" => assert_eq!(row.error(), (400, code.into())),
            _ => assert_eq!((row.status, &row.json()[0]["errors"][0]["statusCode"]), (200, &json!(code)), "{body}"),
        }
    }
    let duplicate = client.post("/sobjects/Contact", &json!({"LastName": "x", "ExtId__c": "E1"})).await;
    assert!(
        duplicate.json()[0]["message"]
            .as_str()
            .unwrap()
            .ends_with(&format!("duplicates value on record with id: {other}"))
    );
    let allowed = client
        .request(Method::POST, "/sobjects/Contact")
        .header("Sforce-Duplicate-Rule-Header", "allowSave=true; runAsCurrentUser=true");
    assert_eq!(
        client.send(allowed.body(json!({"LastName": "x", "Email": "one@example.com"}).to_string())).await.status,
        201
    );
    assert_eq!(client.column("SELECT LastName FROM Contact", "LastName").await.len(), 2);
}

#[tokio::test]
async fn collections_answer_each_row_in_order() {
    let sandbox = start(0);
    let client = Client::new(&sandbox).await;
    let created = client
        .post(
            "/composite/sobjects",
            &json!({"allOrNone": false, "records": [
        contact(json!({"LastName": "One", "ExtId__c": "1"})), contact(json!({"FirstName": "no last name"})),
        contact(json!({"LastName": "Three", "ExtId__c": "3"}))]}),
        )
        .await
        .ok();
    let successes: Vec<bool> =
        created.as_array().unwrap().iter().map(|row| row["success"].as_bool().unwrap()).collect();
    assert_eq!(successes, [true, false, true]);
    assert_eq!(
        created[1]["errors"],
        json!([{"statusCode": "REQUIRED_FIELD_MISSING", "message": "Required fields are missing: [LastName]", "fields": ["LastName"]}])
    );
    let one = created[0]["id"].as_str().unwrap();
    let upserted = client
        .patch(
            "/composite/sobjects/Contact/ExtId__c",
            &json!({"records": [
        contact(json!({"ExtId__c": "3", "FirstName": "C"})), contact(json!({"ExtId__c": "4", "LastName": "Four"})),
        contact(json!({"ExtId__c": "5"})), contact(json!({"ExtId__c": "4", "LastName": "Again"}))]}),
        )
        .await
        .ok();
    let told: Vec<(bool, bool)> = upserted
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["success"].as_bool().unwrap(), row["created"].as_bool().unwrap()))
        .collect();
    // What fails and would have been created says so: nobody may read `created` without `success`.
    assert_eq!(told[..3], [(true, false), (true, true), (false, true)]);
    assert_eq!((told[3].0, &upserted[3]["errors"][0]["statusCode"]), (false, &json!("DUPLICATE_VALUE")));
    let updated = client.patch("/composite/sobjects", &json!({"allOrNone": true, "records": [
        contact(json!({"id": one, "FirstName": "Changed"})), contact(json!({"id": "003gL00000ZZZZZZZZ", "FirstName": "x"}))]})).await.ok();
    assert_eq!(updated[0]["errors"][0]["statusCode"], "ALL_OR_NONE_OPERATION_ROLLED_BACK");
    assert_eq!(client.column("SELECT Id FROM Contact WHERE FirstName = 'Changed'", "Id").await, Vec::<Json>::new());
    let read = client.post("/composite/sobjects/Contact", &json!({"ids": [one, sandbox.admin().salesforce().id("Contact", 99).unwrap()], "fields": ["Id", "LastName"]})).await.ok();
    assert_eq!((&read[0]["LastName"], &read[1]), (&json!("One"), &Json::Null));
    let deleted = client.delete(&format!("/composite/sobjects?ids={one},{one}&allOrNone=false")).await.ok();
    assert_eq!((&deleted[0]["id"], &deleted[1]["errors"][0]["statusCode"]), (&json!(one), &json!("ENTITY_IS_DELETED")));
    let many: Vec<Json> = (0..201).map(|_| contact(json!({"LastName": "x"}))).collect();
    assert_eq!(client.post("/composite/sobjects", &json!({"records": many})).await.status, 400);
    assert_eq!(sandbox.admin().salesforce().changes(1).len(), 5);
}

#[tokio::test]
async fn composite_requests_refer_to_earlier_ones_and_a_tree_is_all_or_none() {
    let sandbox = start(0);
    let client = Client::new(&sandbox).await;
    let composite = client.post("/composite", &json!({"compositeRequest": [
        {"method": "POST", "url": "/services/data/v67.0/sobjects/Account", "referenceId": "a", "body": {"Name": "Acme"}},
        {"method": "POST", "url": "/services/data/v67.0/sobjects/Contact", "referenceId": "c", "body": {"LastName": "x", "AccountId": "@{a.id}"}},
        {"method": "GET", "url": "/services/data/v67.0/sobjects/Contact/@{c.id}?fields=AccountId", "referenceId": "r"},
        {"method": "POST", "url": "/services/data/v67.0/sobjects/Contact", "referenceId": "bad", "body": {}},
    ]})).await.ok();
    let answers = composite["compositeResponse"].as_array().unwrap();
    assert_eq!(answers[2]["body"]["AccountId"], answers[0]["body"]["id"]);
    assert_eq!(
        (&answers[3]["httpStatusCode"], &answers[3]["body"][0]["errorCode"]),
        (&json!(400), &json!("REQUIRED_FIELD_MISSING"))
    );
    let tree = client
        .post(
            "/composite/tree/Contact",
            &json!({"records": [
        {"attributes": {"type": "Contact", "referenceId": "1"}, "LastName": "y"},
        {"attributes": {"type": "Contact", "referenceId": "2"}}]}),
        )
        .await;
    assert_eq!((tree.status, &tree.json()["results"][0]["referenceId"]), (400, &json!("2")));
    assert_eq!(client.query("SELECT COUNT() FROM Contact").await.ok()["totalSize"], 1);
}

#[tokio::test]
async fn collections_know_upserts_only_from_the_version_that_brought_them() {
    let sandbox = start(0);
    let client = Client::new(&sandbox).await;
    let body = json!({"records": [{"attributes": {"type": "Contact"}, "LastName": "A", "ExtId__c": "1"}]});
    let path = |version: &str| format!("/services/data/v{version}.0/composite/sobjects/Contact/ExtId__c");
    assert_eq!(client.patch(&path("45"), &body).await.error(), (404, "NOT_FOUND".into()));
    assert_eq!(client.patch(&path("46"), &body).await.ok()[0]["created"], true);
}

#[tokio::test]
async fn a_record_does_not_come_back_beside_one_that_has_its_external_id_by_now() {
    let sandbox = start(0);
    let client = Client::new(&sandbox).await;
    let admin = sandbox.admin().salesforce();
    let old = client.create("Contact", json!({"LastName": "Old", "ExtId__c": "1"})).await;
    client.delete(&format!("/sobjects/Contact/{old}")).await;
    let new = client.create("Contact", json!({"LastName": "New", "ExtId__c": "1"})).await;
    let refused = admin.undelete("Contact", &old).unwrap_err().to_string();
    assert!(refused.contains("DUPLICATE_VALUE") && refused.contains(&new), "{refused}");
    client.delete(&format!("/sobjects/Contact/{new}")).await;
    assert!(admin.undelete("Contact", &old).unwrap());
}

#[tokio::test]
async fn a_record_tells_who_changed_it_last() {
    let sandbox = start(0);
    let client = Client::new(&sandbox).await;
    let own = client.get("/").await.ok()["identity"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let id = client.create("Contact", json!({"LastName": "Lovelace"})).await;
    let path = format!("/sobjects/Contact/{id}");
    assert_eq!(client.get(&path).await.ok()["LastModifiedById"], *own);
    sandbox.admin().salesforce().put("Contact", &id, &json!({"FirstName": "Ada"})).unwrap();
    let read = client.get(&path).await.ok();
    assert_ne!(read["LastModifiedById"], *own);
    assert_eq!(read["CreatedById"], *own);
    client.patch(&path, &json!({"FirstName": "Augusta"})).await;
    assert_eq!(client.get(&path).await.ok()["LastModifiedById"], *own);
}
