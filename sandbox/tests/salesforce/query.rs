//! Describe, SOQL and pages.

use std::collections::BTreeSet;

use reqwest::Method;
use sandbox::{SalesforceField, SalesforceSettings};
use serde_json::{Value as Json, json};

use crate::client::{Client, start};

#[tokio::test]
async fn describe_has_the_keys_that_clients_read() {
    let sandbox = start(1);
    let client = Client::new(&sandbox).await;
    let global = client.get("/sobjects/").await.ok();
    let contact = global["sobjects"].as_array().unwrap().iter().find(|object| object["name"] == "Contact").unwrap();
    assert_eq!((&contact["keyPrefix"], &contact["replicateable"]), (&json!("003"), &json!(true)));
    let described = client.get("/sobjects/Contact/describe").await;
    let body = described.ok();
    for field in body["fields"].as_array().unwrap() {
        for key in [
            "name",
            "type",
            "label",
            "length",
            "precision",
            "scale",
            "digits",
            "nillable",
            "createable",
            "updateable",
            "defaultedOnCreate",
            "unique",
            "caseSensitive",
            "externalId",
            "idLookup",
            "calculated",
            "compoundFieldName",
            "picklistValues",
            "restrictedPicklist",
            "referenceTo",
            "relationshipName",
            "soapType",
            "filterable",
            "sortable",
        ] {
            assert!(field.get(key).is_some(), "{key} of {}", field["name"]);
        }
    }
    let field =
        |name: &str| body["fields"].as_array().unwrap().iter().find(|field| field["name"] == name).unwrap().clone();
    assert_eq!((&field("LastName")["nillable"], &field("ExtId__c")["externalId"]), (&json!(false), &json!(true)));
    assert_eq!(
        (&field("AccountId")["referenceTo"], &field("AccountId")["relationshipName"]),
        (&json!(["Account"]), &json!("Account"))
    );
    let request = client
        .request(Method::GET, "/sobjects/Contact/describe")
        .header("If-Modified-Since", described.header("last-modified"));
    assert_eq!(client.send(request).await.status, 304);
    let batch = json!({"haltOnError": true, "batchRequests": [
        {"method": "GET", "url": "/services/data/v61.0/sobjects/Lead/describe"}, {"method": "GET", "url": "v61.0/sobjects/Nothing"}]});
    let batch = client.post("/composite/batch", &batch).await.ok();
    assert_eq!(
        (&batch["results"][0]["result"]["name"], &batch["results"][1]["statusCode"]),
        (&json!("Lead"), &json!(404))
    );
}

#[tokio::test]
async fn conditions_select_as_the_product_does() {
    let sandbox = start(0);
    let admin = sandbox.admin();
    let client = Client::new(&sandbox).await;
    let account = client.create("Account", json!({"Name": "Müller & Söhne", "ExtId__c": "A1"})).await;
    let numbers =
        SalesforceField { name: "Score__c".into(), kind: Some("double".into()), ..SalesforceField::default() };
    let words = SalesforceField {
        name: "Topics__c".into(),
        kind: Some("multipicklist".into()),
        values: Some(vec!["a".into(), "b".into(), "c".into()]),
        ..SalesforceField::default()
    };
    admin.salesforce().add_field("Contact", &numbers).unwrap();
    admin.salesforce().add_field("Contact", &words).unwrap();
    for (last, first, birth, score, topics, is_employed) in [
        ("O'Hara", Some("Ada"), Some("1980-02-29"), Some(1.5), Some("a;b"), true),
        ("100%", Some("ÉLODIE"), Some("1990-01-01"), Some(10.0), Some("b;c"), false),
        ("under_score", None, None, None, None, true),
    ] {
        let account = is_employed.then_some(&account);
        client.create("Contact", json!({"LastName": last, "FirstName": first, "Birthdate": birth, "Score__c": score, "Topics__c": topics, "AccountId": account})).await;
        admin.advance_clock(1_200).unwrap();
    }
    for (condition, expected) in [
        (r"LastName = 'o\'hara'", "O'Hara"),
        ("FirstName = 'élodie'", "100%"),
        (r"LastName LIKE '%\%'", "100%"),
        (r"LastName LIKE '%r\_s%'", "under_score"),
        ("LastName LIKE '_00_'", "100%"),
        ("FirstName = null", "under_score"),
        ("FirstName = ''", "under_score"),
        // What is not equal includes what is not there.
        ("FirstName != 'Ada'", "100%,under_score"),
        ("FirstName NOT IN ('Ada', 'x')", "100%,under_score"),
        ("NOT FirstName IN ('Ada')", "100%,under_score"),
        ("Score__c > 1.5", "100%"),
        ("Score__c >= 1.5 AND Score__c < 10", "O'Hara"),
        ("Score__c IN (10, 3)", "100%"),
        ("Birthdate < 1985-01-01", "O'Hara"),
        ("Topics__c INCLUDES ('a;b', 'x')", "O'Hara"),
        ("Topics__c EXCLUDES ('a', 'c')", "under_score"),
        ("Topics__c INCLUDES ('a', '')", "O'Hara,under_score"),
        ("Topics__c EXCLUDES ('a', '')", "100%"),
        ("NOT Topics__c INCLUDES ('b')", "under_score"),
        ("Topics__c = null", "under_score"),
        ("Topics__c != null", "O'Hara,100%"),
        ("Account.Name = 'müller & söhne' AND (LastName = 'x' OR FirstName = 'ada')", "O'Hara"),
        ("Account.ExtId__c = null", "100%"),
        ("CreatedDate = TODAY AND CreatedDate >= 2026-03-03T11:10:00+01:00", "100%,under_score"),
        ("SystemModstamp > 2026-03-03T10:00:00.123Z AND IsDeleted = false", "100%,under_score"),
        ("CreatedDate < LAST_N_DAYS:3", ""),
        ("CreatedDate = LAST_N_DAYS:3 AND CreatedDate = THIS_MONTH", "O'Hara,100%,under_score"),
    ] {
        let names = client
            .column(&format!("SELECT LastName FROM Contact WHERE {condition} ORDER BY CreatedDate"), "LastName")
            .await;
        let names: Vec<&str> = names.iter().map(|name| name.as_str().unwrap()).collect();
        assert_eq!(names.join(","), expected, "{condition}");
    }
    for (order, expected) in [
        ("FirstName", "under_score,O'Hara,100%"),
        ("FirstName DESC NULLS LAST", "100%,O'Hara,under_score"),
        ("Account.Name NULLS LAST, LastName DESC LIMIT 2 OFFSET 1", "O'Hara,100%"),
    ] {
        let names = client.column(&format!("select lastname from contact c order by {order}"), "LastName").await;
        let names: Vec<&str> = names.iter().map(|name| name.as_str().unwrap()).collect();
        assert_eq!(names.join(","), expected, "{order}");
    }
}

#[tokio::test]
async fn a_boolean_is_never_null_to_a_condition_and_null_is_false() {
    let sandbox = start(0);
    let client = Client::new(&sandbox).await;
    let flag =
        SalesforceField { name: "Customer__c".into(), kind: Some("boolean".into()), ..SalesforceField::default() };
    sandbox.admin().salesforce().add_field("Account", &flag).unwrap();
    let account = client.create("Account", json!({"Name": "Acme", "Customer__c": true})).await;
    for (last, account, opted_out) in [("Employee", Some(&account), false), ("Nobody", None, true)] {
        let contact = json!({"LastName": last, "AccountId": account, "HasOptedOutOfEmail": opted_out});
        client.create("Contact", contact).await;
    }
    for (condition, expected) in [
        ("HasOptedOutOfEmail = null", "Employee"),
        ("HasOptedOutOfEmail != null", "Nobody"),
        ("HasOptedOutOfEmail != false", "Nobody"),
        ("HasOptedOutOfEmail IN (null)", "Employee"),
        ("HasOptedOutOfEmail NOT IN (null)", "Nobody"),
        // Nobody has an account, which is not a customer then.
        ("Account.Customer__c = true", "Employee"),
        ("Account.Customer__c = false", "Nobody"),
        ("Account.Customer__c != true", "Nobody"),
        ("Account.Customer__c != null", "Employee"),
        ("Account.Customer__c NOT IN (false)", "Employee"),
    ] {
        let query = format!("SELECT LastName FROM Contact WHERE {condition}");
        assert_eq!(client.column(&query, "LastName").await, [json!(expected)], "{condition}");
    }
    for wrong in ["HasOptedOutOfEmail > null", "HasOptedOutOfEmail > false", "HasOptedOutOfEmail = 'true'"] {
        let query = format!("SELECT Id FROM Contact WHERE {wrong}");
        assert_eq!(client.query(&query).await.error(), (400, "INVALID_FIELD".into()), "{wrong}");
    }
}

#[tokio::test]
async fn records_nest_their_parents_and_show_nulls() {
    let sandbox = start(0);
    let client = Client::new(&sandbox).await;
    let account = client.create("Account", json!({"Name": "Acme"})).await;
    let id = client.create("Contact", json!({"LastName": "One", "AccountId": account})).await;
    client.create("Contact", json!({"LastName": "Two"})).await;
    let body =
        client.query("SELECT Id, c.Account.Name, Account.Owner.Id, Email, CreatedDate FROM Contact c").await.ok();
    let user = body["records"][0]["Account"]["Owner"]["Id"].clone();
    assert_eq!(
        body["records"][0],
        json!({
            "attributes": {"type": "Contact", "url": format!("/services/data/v67.0/sobjects/Contact/{id}")},
            "Id": id,
            "Account": {
                "attributes": {"type": "Account", "url": format!("/services/data/v67.0/sobjects/Account/{account}")},
                "Name": "Acme",
                "Owner": {"attributes": {"type": "User", "url": format!("/services/data/v67.0/sobjects/User/{}", user.as_str().unwrap())}, "Id": user},
            },
            "Email": null,
            "CreatedDate": "2026-03-03T10:00:00.000+0000",
        })
    );
    assert_eq!(body["records"][1]["Account"], Json::Null);
    assert_eq!(
        client.query("SELECT COUNT() FROM Contact").await.ok(),
        json!({"totalSize": 2, "done": true, "records": []})
    );
    let who = json!({"name": "Who__c", "type": "reference", "referenceTo": ["Account", "Contact"]});
    sandbox.admin().salesforce().add_field("Contact", &serde_json::from_value(who).unwrap()).unwrap();
    client.patch(&format!("/sobjects/Contact/{id}"), &json!({"Who__c": id})).await;
    let who = client.query(&format!("SELECT Who__c, Who__r.Name FROM Contact WHERE Id = '{id}'")).await.ok();
    assert_eq!(
        (&who["records"][0]["Who__c"], &who["records"][0]["Who__r"]),
        (&json!(id), &Json::Null),
        "the account with the number of a contact is another"
    );
    let who = client.query("SELECT Who__c, Who__r.Type FROM Contact ORDER BY LastName").await.ok();
    assert_eq!(
        (&who["records"][0]["Who__r"], &who["records"][1]["Who__r"]),
        (&json!({"attributes": {"type": "Name"}, "Type": "Contact"}), &Json::Null)
    );
    let counted = client.query("SELECT COUNT(Id) n, MAX(LastName) FROM Contact").await.ok();
    assert_eq!((&counted["records"][0]["n"], &counted["records"][0]["expr1"]), (&json!(2), &json!("Two")));
    let all = client.query("SELECT FIELDS(ALL) FROM Contact LIMIT 1").await.ok();
    assert_eq!(all["records"][0]["MailingAddress"], Json::Null);
}

#[tokio::test]
async fn a_wrong_query_gets_the_products_error() {
    let sandbox = start(1);
    let client = Client::new(&sandbox).await;
    for (query, code) in [
        ("SELECT Id FROM", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact WHERE LastName = 'x", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact WHERE LastName = 'x' AND FirstName = 'y' OR Email = 'z'", "MALFORMED_QUERY"),
        ("SELECT Nothing FROM Contact", "INVALID_FIELD"),
        ("SELECT Id FROM Nothing", "INVALID_TYPE"),
        ("SELECT Id FROM Contact WHERE CreatedDate > '2026-01-01'", "INVALID_FIELD"),
        ("SELECT Id FROM Contact WHERE LastName = 5", "INVALID_FIELD"),
        ("SELECT Id FROM Contact WHERE Description = 'x'", "INVALID_FIELD"),
        ("SELECT Id FROM Contact WHERE AccountId = 'x'", "INVALID_QUERY_FILTER_OPERATOR"),
        ("SELECT Nobody.Name FROM Contact", "INVALID_FIELD"),
        ("SELECT FIELDS(ALL) FROM Contact", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact WHERE CreatedDate = LAST_N_YEARS:99999", "MALFORMED_QUERY"),
    ] {
        assert_eq!(client.query(query).await.error(), (400, code.into()), "{query}");
    }
    let deep = format!("SELECT Id FROM Contact WHERE {}LastName = 'x'", "(".repeat(3_000));
    assert_eq!(client.query(&deep).await.error(), (400, "MALFORMED_QUERY".into()));
    let message = client.query("SELECT Nothing FROM Contact").await.json()[0]["message"].clone();
    assert!(
        message.as_str().unwrap().contains("\nERROR at Row:1:Column:8\nNo such column 'Nothing' on entity 'Contact'."),
        "{message}"
    );
}

#[tokio::test]
async fn pages_give_each_record_once_and_remember_the_mode() {
    let sandbox = start(5_000);
    let client = Client::new(&sandbox).await;
    let first_id = sandbox.admin().salesforce().id("Contact", 7).unwrap();
    assert!(sandbox.admin().delete("Contact", &first_id).unwrap());
    for (resource, total) in [("query", 4_999), ("queryAll", 5_000)] {
        let mut ids = BTreeSet::new();
        let request = client
            .request(Method::GET, &format!("/{resource}"))
            .query(&[("q", "SELECT Id FROM Contact ORDER BY LastName DESC")]);
        let mut page = client.send(request.header("Sforce-Query-Options", "batchSize=1000")).await.ok();
        let mut sizes = Vec::new();
        loop {
            let records = page["records"].as_array().unwrap();
            sizes.push(records.len());
            ids.extend(records.iter().map(|record| record["Id"].as_str().unwrap().to_owned()));
            assert_eq!(page["totalSize"], json!(total));
            let Some(next) = page["nextRecordsUrl"].as_str() else { break };
            let (_, locator) = next.rsplit_once('/').unwrap();
            assert!(locator.starts_with("01g") && locator.ends_with(&format!("-{}", sizes.len() * 1_000)), "{next}");
            // Clients go on at /query whatever they began with.
            page = client.get(&format!("/query/{locator}")).await.ok();
        }
        assert_eq!((page["done"].clone(), sizes.len(), ids.len()), (json!(true), 5, total));
        assert_eq!(ids.contains(&first_id), resource == "queryAll");
    }
}

#[tokio::test]
async fn ids_order_by_their_bytes_so_that_capitals_come_before_small_letters() {
    let sandbox = start(200);
    let client = Client::new(&sandbox).await;
    let ascending = client.column("SELECT Id FROM Contact ORDER BY IsDeleted, Id", "Id").await;
    let mut descending = client.column("SELECT Id FROM Contact ORDER BY Id DESC", "Id").await;
    descending.reverse();
    assert_eq!(ascending, descending);
    assert!(ascending.is_sorted_by_key(|id| id.as_str().unwrap().to_owned()));
}

#[tokio::test]
async fn between_two_pages_a_record_changes_or_goes_and_a_locator_is_lost_in_time() {
    let sandbox = start(500);
    let (admin, client) = (sandbox.admin(), Client::new(&sandbox).await);
    let first = |name: &'static str| {
        client.request(Method::GET, "/query").query(&[("q", name)]).header("Sforce-Query-Options", "batchSize=200")
    };
    let page = client.send(first("SELECT Id, LastName FROM Contact")).await.ok();
    let next = page["nextRecordsUrl"].as_str().unwrap();
    let id = |number| admin.salesforce().id("Contact", number).unwrap();
    let before = json!({"route": "page", "times": 1, "before": [
        {"set": "Contact", "id": id(201)},
        {"set": "Contact", "id": id(202), "fields": {"LastName": "Changed"}},
    ]});
    admin.add_fault(serde_json::from_value(before).unwrap()).unwrap();
    for wrong in [json!({"set": "Contact", "id": "003"}), json!({"set": "Contact", "id": id(1), "fields": {"No": 1}})] {
        assert!(admin.add_fault(serde_json::from_value(json!({"before": [wrong]})).unwrap()).is_err());
    }
    let second = client.get(next).await.ok();
    assert_eq!(second["records"].as_array().unwrap().len(), 199);
    assert_eq!(second["records"][1]["LastName"], "Changed");
    admin.advance_clock(901).unwrap();
    assert_eq!(client.get(next).await.error(), (400, "INVALID_QUERY_LOCATOR".into()));
    admin.salesforce().set_settings(SalesforceSettings { locators_max: 1, ..admin.salesforce().settings() });
    let lost = client.send(first("SELECT Id FROM Contact")).await.ok();
    client.send(first("SELECT Id FROM Lead")).await.ok();
    client.send(first("SELECT Name FROM Contact")).await.ok();
    assert_eq!(client.get(lost["nextRecordsUrl"].as_str().unwrap()).await.error().1, "INVALID_QUERY_LOCATOR");
}
