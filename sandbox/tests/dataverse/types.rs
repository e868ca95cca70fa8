//! Every type of column: how it is described, read and written.

use reqwest::Method;
use sandbox::{Attribute, AttributeOption, Sandbox};
use serde_json::{Value as Json, json};

use crate::client::{Client, contact, error_of, start};

const ID: &str = "acc00000-0000-4000-8000-000000000001";

/// What is to be known of a type.
type Case = (&'static str, &'static str, &'static str, Option<(&'static str, &'static str)>, bool);

/// Type to add; `AttributeType` and `AttributeTypeName` of the description; what the admin API puts, and what the wire shows
/// of it, where it is a property at all; whether a client writes it.
const TYPES: &[Case] = &[
    ("String", "String", "StringType", Some((r#""a""#, r#""a""#)), true),
    ("Memo", "Memo", "MemoType", Some((r#""a""#, r#""a""#)), true),
    ("Uniqueidentifier", "Uniqueidentifier", "UniqueidentifierType", Some((ID_JSON, ID_JSON)), true),
    ("DateTime", "DateTime", "DateTimeType", Some((r#""2026-03-03T10:00:00Z""#, r#""2026-03-03T10:00:00Z""#)), true),
    ("Integer", "Integer", "IntegerType", Some(("7", "7")), true),
    ("BigInt", "BigInt", "BigIntType", Some(("9007199254740993", "9007199254740993")), false),
    ("Money", "Money", "MoneyType", Some(("1.5", "1.5")), true),
    ("Decimal", "Decimal", "DecimalType", Some(("1.5", "1.5")), true),
    ("Double", "Double", "DoubleType", Some(("1.5", "1.5")), true),
    ("Boolean", "Boolean", "BooleanType", Some(("true", "true")), true),
    ("Picklist", "Picklist", "PicklistType", Some(("1", "1")), true),
    ("MultiSelectPicklist", "Virtual", "MultiSelectPicklistType", Some((r#""2,1""#, r#""1,2""#)), true),
    ("EntityName", "EntityName", "EntityNameType", Some((r#""contact""#, r#""contact""#)), true),
    ("PartyList", "PartyList", "PartyListType", None, false),
    ("CalendarRules", "CalendarRules", "CalendarRulesType", None, false),
    (
        "ManagedProperty",
        "ManagedProperty",
        "ManagedPropertyType",
        Some(("true", r#"{"Value":true,"CanBeChanged":true}"#)),
        false,
    ),
    ("Virtual", "Virtual", "VirtualType", None, false),
    ("File", "Virtual", "FileType", Some((ID_JSON, ID_JSON)), false),
    ("Image", "Virtual", "ImageType", Some((r#""aGVsbG8=""#, r#""aGVsbG8=""#)), true),
    ("Newest", "Virtual", "NewestType", Some((r#""a""#, r#""a""#)), true),
];

const ID_JSON: &str = r#""acc00000-0000-4000-8000-000000000001""#;

fn add(sandbox: &Sandbox, name: &str, kind: &str) {
    let option = |value, label: &str| AttributeOption { value, label: label.into() };
    let attribute = Attribute {
        name: name.into(),
        kind: kind.into(),
        options: vec![option(1, "One"), option(2, "Two")],
        ..Attribute::default()
    };
    sandbox.admin().add_attribute("contact", &attribute).unwrap();
}

async fn described(client: &Client, name: &str) -> Json {
    client.json(&format!("EntityDefinitions(LogicalName='contact')/Attributes(LogicalName='{name}')")).await
}

#[tokio::test]
async fn every_simple_type_is_described_shown_and_refused_as_the_platform_does() {
    let sandbox = start(0);
    let client = Client::new(&sandbox).await;
    let parsed = |text: &str| -> Json { serde_json::from_str(text).unwrap() };
    let id = contact(1);
    for (kind, attribute_type, type_name, values, is_written) in TYPES {
        let name = format!("new_{}", kind.to_lowercase());
        add(&sandbox, &name, kind);
        let column = described(&client, &name).await;
        assert_eq!(
            (&column["AttributeType"], &column["AttributeTypeName"]["Value"]),
            (&json!(attribute_type), &json!(type_name))
        );
        let says =
            ["IsValidODataAttribute", "IsValidForCreate", "IsValidForUpdate"].map(|key| column[key].as_bool().unwrap());
        assert_eq!(says, [values.is_some(), *is_written, *is_written], "{kind}");

        let path = format!("contacts({id})?$select={name}");
        let Some((put, shown)) = values else {
            sandbox.admin().put("contacts", &id, &json!({"lastname": "A"})).unwrap();
            assert_eq!(client.error(&path).await.0, 400, "{kind}");
            let write = client.request(Method::PATCH, &format!("contacts({id})")).json(&json!({name.as_str(): "a"}));
            assert_eq!(error_of(write.send().await.unwrap()).await.0, 400, "{kind}");
            continue;
        };
        sandbox.admin().put("contacts", &id, &json!({name.as_str(): parsed(put)})).unwrap();
        assert_eq!(client.json(&path).await[&name], parsed(shown), "{kind}");
        // What no client writes is passed over in a payload.
        let write = client.request(Method::PATCH, &format!("contacts({id})")).json(&json!({name.as_str(): null}));
        assert_eq!(write.send().await.unwrap().status(), 204, "{kind}");
        assert_eq!(client.json(&path).await[&name].is_null(), *is_written, "{kind}");
    }
}

#[tokio::test]
async fn customers_and_owners_lead_to_several_tables_and_their_shadows_are_no_properties() {
    let sandbox = start(0);
    for (name, kind) in [
        ("new_buyer", "Customer"),
        ("new_buyertype", "EntityName"),
        ("new_buyername", "Virtual"),
        ("new_keeper", "Owner"),
    ] {
        add(&sandbox, name, kind);
    }
    let client = Client::new(&sandbox).await;
    sandbox.admin().put("accounts", ID, &json!({"name": "A"})).unwrap();
    let [buyer, keeper] = [described(&client, "new_buyer").await, described(&client, "new_keeper").await];
    assert_eq!((&buyer["AttributeType"], &buyer["Targets"]), (&json!("Customer"), &json!(["account", "contact"])));
    assert_eq!((&keeper["AttributeType"], &keeper["Targets"]), (&json!("Owner"), &json!(["systemuser", "team"])));
    for shadow in ["new_buyertype", "new_buyername"] {
        let column = described(&client, shadow).await;
        assert_eq!((&column["AttributeOf"], &column["IsValidODataAttribute"]), (&json!("new_buyer"), &json!(false)));
        assert_eq!(client.error(&format!("contacts?$select={shadow}")).await.0, 400);
    }
    let body = json!({"lastname": "B", "new_buyer_account@odata.bind": format!("/accounts({ID})"),
        "new_keeper@odata.bind": format!("/teams({ID})")});
    assert_eq!(client.request(Method::POST, "contacts").json(&body).send().await.unwrap().status(), 204);
    let read = client.request(Method::GET, "contacts?$select=_new_buyer_value,_new_keeper_value");
    let read = read.header("Prefer", "odata.include-annotations=\"*\"").send().await.unwrap();
    let record = read.json::<Json>().await.unwrap()["value"][0].clone();
    assert_eq!(record["_new_buyer_value@Microsoft.Dynamics.CRM.lookuplogicalname"], "account");
    assert_eq!(record["_new_keeper_value@Microsoft.Dynamics.CRM.lookuplogicalname"], "team");
}

#[tokio::test]
async fn files_and_images_have_columns_of_their_own_that_tell_where_they_are() {
    let sandbox = start(0);
    add(&sandbox, "new_scan", "File");
    add(&sandbox, "new_photo", "Image");
    let client = Client::new(&sandbox).await;
    for (part, of) in
        [("new_scan_name", "new_scan"), ("new_photo_url", "new_photoid"), ("new_photo_timestamp", "new_photoid")]
    {
        let column = described(&client, part).await;
        assert_eq!((&column["AttributeOf"], &column["IsValidODataAttribute"]), (&json!(of), &json!(true)), "{part}");
    }
    let id = contact(1);
    sandbox.admin().put("contacts", &id, &json!({"new_scan": ID, "new_scan_name": "a.pdf"})).unwrap();
    let write = |body: Json| client.request(Method::PATCH, &format!("contacts({id})")).json(&body);
    assert_eq!(write(json!({"new_photo": "*"})).send().await.unwrap().status(), 400);
    let before = described(&client, "entityimage").await;
    assert_eq!(before["AttributeTypeName"]["Value"], "ImageType");
    assert_eq!(write(json!({"new_photo": "aGVsbG8=", "new_scan": null})).send().await.unwrap().status(), 204);
    let select = "new_scan,new_scan_name,new_photo,new_photoid,new_photo_url,new_photo_timestamp";
    let record = client.json(&format!("contacts({id})?$select={select}")).await;
    assert_eq!((&record["new_scan"], &record["new_scan_name"]), (&json!(ID), &json!("a.pdf")));
    let image = record["new_photoid"].as_str().unwrap();
    assert!(record["new_photo_url"].as_str().unwrap().contains(image) && record["new_photo_timestamp"].is_i64());
    write(json!({"new_photo": null})).send().await.unwrap();
    assert!(client.json(&format!("contacts({id})?$select={select}")).await["new_photoid"].is_null());
}

#[tokio::test]
async fn money_brings_its_currency() {
    let sandbox = start(0);
    let client = Client::new(&sandbox).await;
    let currency = json!({"table": "transactioncurrency", "id": ID});
    sandbox
        .admin()
        .put("contacts", &contact(1), &json!({"annualincome": 5, "transactioncurrencyid": currency}))
        .unwrap();
    let [with, without] = ["annualincome", "lastname"].map(|field| format!("contacts?$select={field}"));
    assert_eq!(client.column(&with, "_transactioncurrencyid_value").await, [json!(ID)]);
    assert!(client.json(&without).await["value"][0].get("_transactioncurrencyid_value").is_none());
}
