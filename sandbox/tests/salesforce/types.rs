//! Every type of field: how it is described, read, queried and written.

use sandbox::{SalesforceField, Sandbox};
use serde_json::{Value as Json, json};

use crate::client::{Answer, Client, start};

/// Type, a value that the admin API puts, and what the REST API and a bulk result show of it; then what describe says that
/// it can: `f`ilter, `s`ort, `g`roup, `c`reate, `u`pdate.
const TYPES: &[(&str, &str, &str, &str, &str)] = &[
    ("string", r#""a""#, r#""a""#, "a", "fsgcu"),
    ("textarea", r#""a\nb""#, r#""a\nb""#, "a\nb", "cu"),
    ("email", r#""a@b.example""#, r#""a@b.example""#, "a@b.example", "fsgcu"),
    ("phone", r#""1""#, r#""1""#, "1", "fsgcu"),
    ("url", r#""u""#, r#""u""#, "u", "fsgcu"),
    ("encryptedstring", r#""secret""#, r#""******""#, "******", "cu"),
    ("picklist", r#""a""#, r#""a""#, "a", "fsgcu"),
    ("multipicklist", r#""a;b""#, r#""a;b""#, "a;b", "fcu"),
    ("combobox", r#""other""#, r#""other""#, "other", "fsgcu"),
    ("boolean", "true", "true", "true", "fsgcu"),
    ("int", "7", "7", "7", "fsgcu"),
    ("long", "9007199254740993", "9007199254740993", "9007199254740993", "fsgcu"),
    ("double", "1.5", "1.5", "1.5", "fscu"),
    ("currency", "1.5", "1.5", "1.5", "fscu"),
    ("percent", "1.5", "1.5", "1.5", "fscu"),
    ("date", r#""2026-03-03""#, r#""2026-03-03""#, "2026-03-03", "fsgcu"),
    ("datetime", r#""2026-03-03T10:00:00Z""#, r#""2026-03-03T10:00:00.000+0000""#, "2026-03-03T10:00:00.000Z", "fscu"),
    ("time", r#""10:30:00.000Z""#, r#""10:30:00.000Z""#, "10:30:00.000Z", "fscu"),
    ("anyType", "true", "true", "true", "s"),
    ("json", r#""{\"a\":1}""#, r#""{\"a\":1}""#, "{\"a\":1}", ""),
    ("complexvalue", r#"{"a":1}"#, r#"{"a":1}"#, "{\"a\":1}", ""),
    ("masterrecord", r#""003gL0000000001QAA""#, r#""003gL0000000001QAA""#, "003gL0000000001QAA", "fsg"),
    ("datacategorygroupreference", r#""Faq""#, r#""Faq""#, "Faq", "fsg"),
    ("floatarray", "[1,2]", "[1,2]", "[1,2]", ""),
];

fn add(sandbox: &Sandbox, name: &str, kind: &str) {
    let values = Some(vec!["a".to_owned(), "b".to_owned()]);
    let field =
        SalesforceField { name: name.to_owned(), kind: Some(kind.to_owned()), values, ..SalesforceField::default() };
    sandbox.admin().salesforce().add_field("Contact", &field).unwrap();
}

fn parsed(text: &str) -> Json {
    serde_json::from_str(text).unwrap()
}

/// What describe says of a field.
async fn described(client: &Client, name: &str) -> Json {
    let body = client.get("/sobjects/Contact/describe").await.ok();
    body["fields"].as_array().unwrap().iter().find(|field| field["name"] == name).unwrap().clone()
}

/// The results of a bulk job, or why there is none.
async fn bulk(client: &Client, query: &str) -> Answer {
    let job = client.post("/jobs/query", &json!({"operation": "query", "query": query})).await;
    if job.status != 200 {
        return job;
    }
    let path = format!("/jobs/query/{}", job.json()["id"].as_str().unwrap());
    while client.get(&path).await.json()["state"] != "JobComplete" {
        tokio::task::yield_now().await;
    }
    client.get(&format!("{path}/results")).await
}

#[tokio::test]
async fn every_simple_type_is_described_shown_and_refused_as_the_product_does() {
    let sandbox = start(0);
    let client = Client::new(&sandbox).await;
    let admin = sandbox.admin();
    let id = admin.salesforce().id("Contact", 1).unwrap();
    for (kind, value, in_rest, in_bulk, can) in TYPES {
        add(&sandbox, "Any__c", kind);
        admin.salesforce().put("Contact", &id, &json!({"LastName": "A", "Any__c": parsed(value)})).unwrap();
        let field = described(&client, "Any__c").await;
        assert_eq!(field["type"], *kind);
        let flags =
            [("filterable", 'f'), ("sortable", 's'), ("groupable", 'g'), ("createable", 'c'), ("updateable", 'u')];
        let said: String = flags.iter().filter(|(name, _)| field[name] == true).map(|(_, sign)| *sign).collect();
        assert_eq!(said, *can, "{kind}");

        let select = "SELECT Any__c FROM Contact";
        assert_eq!(client.column(select, "Any__c").await, [parsed(in_rest)], "{kind}");
        let results = bulk(&client, select).await;
        assert_eq!(results.text, format!("\"Any__c\"\n\"{}\"\n", in_bulk.replace('"', "\"\"")), "{kind}");
        let sorted = client.query(&format!("{select} ORDER BY Any__c")).await;
        assert_eq!(sorted.status == 200, can.contains('s'), "{kind}: {}", sorted.text);
        let filtered = client.query(&format!("{select} WHERE Any__c != null")).await;
        assert_eq!(filtered.status, if can.contains('f') { 200 } else { 400 }, "{kind}: {}", filtered.text);
        let written = client.patch(&format!("/sobjects/Contact/{id}"), &json!({"Any__c": parsed(value)})).await;
        match can.contains('u') {
            true => assert_eq!(written.status, 204, "{kind}: {}", written.text),
            false => assert_eq!(written.error(), (400, "INVALID_FIELD_FOR_INSERT_UPDATE".to_owned()), "{kind}"),
        }
    }
}

#[tokio::test]
async fn compound_fields_are_one_object_of_parts_that_are_fields_of_their_own() {
    let sandbox = start(0);
    add(&sandbox, "Base__c", "location");
    add(&sandbox, "Home__c", "address");
    let client = Client::new(&sandbox).await;
    let part = described(&client, "Base__Latitude__s").await;
    assert_eq!((&part["type"], &part["compoundFieldName"]), (&json!("double"), &json!("Base__c")));
    let whole = described(&client, "Base__c").await;
    assert_eq!(
        (&whole["type"], &whole["createable"], &whole["queryByDistance"]),
        (&json!("location"), &json!(false), &json!(true))
    );

    let body =
        json!({"LastName": "A", "Base__Latitude__s": 52.5, "Base__Longitude__s": 13.4, "Home__City__s": "Berlin"});
    let id = client.create("Contact", body).await;
    let select = "SELECT Base__c, Home__c, MailingAddress FROM Contact";
    let record = client.query(select).await.ok()["records"][0].clone();
    assert_eq!(record["Base__c"], json!({"latitude": 52.5, "longitude": 13.4}));
    assert_eq!((&record["Home__c"]["city"], &record["Home__c"]["street"]), (&json!("Berlin"), &Json::Null));
    assert!(record["MailingAddress"].is_null());

    let refused = client.patch(&format!("/sobjects/Contact/{id}"), &json!({"Base__c": null})).await;
    assert_eq!(refused.error(), (400, "INVALID_FIELD_FOR_INSERT_UPDATE".to_owned()));
    assert_eq!(client.query("SELECT Id FROM Contact WHERE Base__c = null").await.status, 400);
    let refused = bulk(&client, select).await;
    assert!(refused.text.contains("Selecting compound data not supported in Bulk Query"), "{}", refused.text);
    assert_eq!(bulk(&client, "SELECT Base__Latitude__s FROM Contact").await.text, "\"Base__Latitude__s\"\n\"52.5\"\n");
}

#[tokio::test]
async fn a_file_is_written_in_base_64_and_read_by_its_address_and_never_in_bulk() {
    let sandbox = start(0);
    add(&sandbox, "Scan__c", "base64");
    let client = Client::new(&sandbox).await;
    let field = described(&client, "Scan__c").await;
    assert_eq!(
        (&field["filterable"], &field["createable"], &field["soapType"]),
        (&json!(false), &json!(true), &json!("xsd:base64Binary"))
    );
    let wrong = client.post("/sobjects/Contact", &json!({"LastName": "A", "Scan__c": "*"})).await;
    assert_eq!(wrong.error(), (400, "INVALID_TYPE_ON_FIELD_IN_RECORD".to_owned()));
    let id = client.create("Contact", json!({"LastName": "A", "Scan__c": "aGVsbG8="})).await;
    let address = format!("/services/data/v67.0/sobjects/Contact/{id}/Scan__c");
    assert_eq!(client.column("SELECT Scan__c FROM Contact", "Scan__c").await, [json!(address)]);
    assert_eq!(client.get(&address).await.text, "hello");
    assert!(bulk(&client, "SELECT Scan__c FROM Contact").await.text.contains("Binary field not supported"));
}

#[tokio::test]
async fn an_encrypted_text_keeps_its_length_and_refuses_more() {
    let sandbox = start(0);
    let secret = SalesforceField {
        name: "Pin__c".into(),
        kind: Some("encryptedstring".into()),
        length: Some(4),
        ..SalesforceField::default()
    };
    sandbox.admin().salesforce().add_field("Contact", &secret).unwrap();
    let client = Client::new(&sandbox).await;
    let long = client.post("/sobjects/Contact", &json!({"LastName": "A", "Pin__c": "12345"})).await;
    assert_eq!(long.error(), (400, "STRING_TOO_LONG".to_owned()));
    let id = client.create("Contact", json!({"LastName": "A", "Pin__c": "1234"})).await;
    assert_eq!(client.column("SELECT Pin__c FROM Contact", "Pin__c").await, [json!("****")]);
    assert_eq!(sandbox.admin().salesforce().record("Contact", &id).unwrap().unwrap()["Pin__c"], "1234");
}
