//! Descriptions of tables and columns.

use reqwest::Method;
use sandbox::Attribute;
use serde_json::json;

use crate::client::{Client, start};

#[tokio::test]
async fn metadata_names_tables_and_the_types_of_their_columns() {
    let sandbox = start(0);
    let client = Client::new(&sandbox).await;
    let tables = client
        .json("EntityDefinitions?$select=LogicalName,EntitySetName,PrimaryIdAttribute&$filter=LogicalName eq 'contact'")
        .await;
    assert_eq!(tables["value"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&tables["value"][0]["EntitySetName"], &tables["value"][0].get("SchemaName")),
        (&json!("contacts"), &None)
    );
    let all = client.json("EntityDefinitions?$expand=Attributes").await;
    assert!(all["value"].as_array().unwrap().iter().all(|table| table["Attributes"][0]["AttributeType"].is_string()));
    let contact = "EntityDefinitions(LogicalName='contact')";
    let columns = client
        .json(&format!(
            "{contact}/Attributes?$select=LogicalName,AttributeType,AttributeTypeName,IsValidForUpdate,RequiredLevel"
        ))
        .await;
    let types: std::collections::BTreeMap<_, _> = columns["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| (column["LogicalName"].as_str().unwrap(), column["AttributeType"].as_str().unwrap()))
        .collect();
    for (name, kind) in [
        ("contactid", "Uniqueidentifier"),
        ("lastname", "String"),
        ("description", "Memo"),
        ("modifiedon", "DateTime"),
        ("versionnumber", "BigInt"),
        ("creditlimit", "Money"),
        ("parentcustomerid", "Customer"),
        ("ownerid", "Owner"),
        ("createdby", "Lookup"),
        ("gendercode", "Picklist"),
        ("statecode", "State"),
        ("statuscode", "Status"),
        ("donotemail", "Boolean"),
        ("numberofchildren", "Integer"),
        ("address1_latitude", "Double"),
        ("exchangerate", "Decimal"),
        ("parentcustomeridtype", "EntityName"),
        ("gendercodename", "Virtual"),
    ] {
        assert_eq!(types.get(name), Some(&kind), "{name}");
    }
}

#[tokio::test]
async fn typed_casts_tell_lengths_choices_targets_and_keys() {
    let sandbox = start(0);
    let code =
        Attribute { name: "new_code".into(), kind: "String".into(), max_length: Some(7), ..Attribute::default() };
    sandbox.admin().add_attribute("contact", &code).unwrap();
    sandbox.admin().add_key("contact", "new_code_key", &["new_code".into()]).unwrap();
    let client = Client::new(&sandbox).await;
    let contact = "EntityDefinitions(LogicalName='contact')";
    let cast = |name: &str| format!("{contact}/Attributes/Microsoft.Dynamics.CRM.{name}");
    let strings = client.json(&format!("{}?$select=LogicalName,MaxLength", cast("StringAttributeMetadata"))).await;
    assert!(
        strings["value"]
            .as_array()
            .unwrap()
            .iter()
            .any(|column| column["LogicalName"] == "new_code" && column["MaxLength"] == 7)
    );
    let lists =
        client.json(&format!("{}?$select=LogicalName&$expand=OptionSet", cast("PicklistAttributeMetadata"))).await;
    let gender =
        lists["value"].as_array().unwrap().iter().find(|column| column["LogicalName"] == "gendercode").unwrap();
    assert_eq!(gender["OptionSet"]["Options"][1]["Label"]["UserLocalizedLabel"]["Label"], "Female");
    let birth = client.json(&format!("{contact}/Attributes(LogicalName='birthdate')")).await;
    assert_eq!((&birth["DateTimeBehavior"]["Value"], &birth["Format"]), (&json!("DateOnly"), &json!("DateOnly")));
    let lookups = client.json(&format!("{}?$select=LogicalName,Targets", cast("LookupAttributeMetadata"))).await;
    assert!(lookups["value"].as_array().unwrap().iter().any(
        |column| column["LogicalName"] == "parentcustomerid" && column["Targets"] == json!(["account", "contact"])
    ));
    let keys = client.json(&format!("{contact}/Keys?$select=KeyAttributes,EntityKeyIndexStatus")).await;
    assert_eq!(
        (&keys["value"][0]["KeyAttributes"], &keys["value"][0]["EntityKeyIndexStatus"]),
        (&json!(["new_code"]), &json!("Active"))
    );
    assert_eq!(client.error("EntityDefinitions(LogicalName='nosuch')").await.0, 404);
    assert_eq!(
        client.error("nosuchs").await,
        (404, "0x8006088a".into(), "Resource not found for the segment 'nosuchs'.".into())
    );
    assert!(client.json("").await["value"].as_array().unwrap().iter().any(|set| set["url"] == "contacts"));
}

#[tokio::test]
async fn a_definition_is_changed_by_put_and_tracked_changes_stay_tracked() {
    let sandbox = start(0);
    let client = Client::new(&sandbox).await;
    let table = "EntityDefinitions(LogicalName='systemuser')";
    let put = async |method: Method, body: serde_json::Value| {
        client.request(method, table).json(&body).send().await.unwrap().status().as_u16()
    };
    let is_tracked =
        async || client.json(&format!("{table}?$select=ChangeTrackingEnabled")).await["ChangeTrackingEnabled"].clone();
    assert_eq!(is_tracked().await, false);
    assert_eq!(put(Method::PATCH, json!({"ChangeTrackingEnabled": true})).await, 405);
    assert_eq!(put(Method::PUT, json!({"ChangeTrackingEnabled": true, "IsAuditEnabled": {"Value": true}})).await, 204);
    assert_eq!(is_tracked().await, true);
    assert_eq!(put(Method::PUT, json!({"ChangeTrackingEnabled": false})).await, 400);
}
