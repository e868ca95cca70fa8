//! Related records, aggregates, and what the model tells about them.

use crate::client::{Client, contact, start};
use sandbox::Sandbox;
use serde_json::{Value as Json, json};

/// Four people, two of whom work for companies, and one of those names a main contact.
fn people() -> Sandbox {
    let sandbox = start(0);
    let admin = sandbox.admin();
    for (number, name, city) in [(11, "Zenith", "Oslo"), (12, "Acme", "Bergen")] {
        admin
            .put(
                "accounts",
                &contact(number),
                &json!({"name": name, "accountnumber": format!("A{number}"), "address1_city": city}),
            )
            .unwrap();
    }
    admin.put("accounts", &contact(11), &json!({"primarycontactid": contact(2)})).unwrap();
    for (number, company) in [(1, Some(11)), (2, Some(12)), (3, None)] {
        let employer = company.map(|company| json!({"table": "account", "id": contact(company)}));
        admin
            .put(
                "contacts",
                &contact(number),
                &json!({"lastname": format!("n{number}"), "parentcustomerid": employer, "numberofchildren": number}),
            )
            .unwrap();
    }
    admin
        .put(
            "contacts",
            &contact(4),
            &json!({"lastname": "n4", "parentcustomerid": {"table": "contact", "id": contact(1)}}),
        )
        .unwrap();
    sandbox
}

#[tokio::test]
async fn records_come_with_those_that_they_refer_to() {
    let sandbox = people();
    let client = Client::new(&sandbox).await;
    let body = client.json("contacts?$select=lastname&$expand=parentcustomerid_account($select=name,accountnumber;$expand=primarycontactid($select=lastname)),parentcustomerid_contact($select=lastname)&$orderby=lastname").await;
    assert!(body["@odata.context"].as_str().unwrap().ends_with("#contacts(lastname,parentcustomerid_account(name,accountnumber,primarycontactid(lastname)),parentcustomerid_contact(lastname))"), "{}", body["@odata.context"]);
    let company = |place: usize| body["value"][place]["parentcustomerid_account"].clone();
    assert_eq!((&company(0)["name"], &company(0)["accountnumber"]), (&json!("Zenith"), &json!("A11")));
    assert_eq!(
        (company(0)["primarycontactid"]["lastname"].as_str(), &company(1)["primarycontactid"]),
        (Some("n2"), &Json::Null)
    );
    assert_eq!((company(2), company(3)), (Json::Null, Json::Null));
    assert_eq!(body["value"][3]["parentcustomerid_contact"]["lastname"], "n1");
    let one = client
        .json(&format!("contacts({})?$select=lastname&$expand=parentcustomerid_account($select=name)", contact(2)))
        .await;
    assert_eq!(one["parentcustomerid_account"]["name"], "Acme");
    let related = client.json(&format!("contacts({})/parentcustomerid_account?$select=name", contact(2))).await;
    assert_eq!(related["name"], "Acme");
    let reference = client.json(&format!("contacts({})/parentcustomerid_account/$ref", contact(2))).await;
    assert_eq!(reference["@odata.id"], format!("{}accounts({})", client.root, contact(12)));
    assert_eq!(client.json(&format!("contacts({})/lastname", contact(2))).await["value"], "n2");
    assert_eq!(client.get(&format!("contacts({})/lastname/$value", contact(2))).await.text().await.unwrap(), "n2");
    assert_eq!(client.get(&format!("contacts({})/parentcustomerid_account", contact(3))).await.status(), 204);
    assert!(client.error("contacts?$expand=nosuch($select=name)").await.2.contains("'nosuch'"));
    assert!(client.error("contacts?$expand=parentcustomerid_account($select=nam)").await.2.contains("'nam'"));
    let deep = (0..100).fold("owninguser".to_owned(), |inner, _| {
        format!("parentcustomerid_account($expand=primarycontactid($expand={inner}))")
    });
    let (status, _, message) = client.error(&format!("contacts?$expand={deep}")).await;
    assert!(status == 400 && message.contains("nested"), "{message}");
}

#[tokio::test]
async fn filters_and_orders_reach_into_related_records() {
    let sandbox = people();
    let client = Client::new(&sandbox).await;
    let names = |query: &str| {
        let path = format!("contacts?$select=lastname&{query}");
        let client = &client;
        async move { client.column(&path, "lastname").await }
    };
    assert_eq!(names("$filter=parentcustomerid_account/name eq 'acme'").await, ["n2"]);
    assert_eq!(
        names("$filter=startswith(parentcustomerid_account/address1_city,'o') or lastname eq 'n3'&$orderby=lastname")
            .await,
        ["n1", "n3"]
    );
    assert_eq!(
        names("$filter=parentcustomerid_account/name ne null&$orderby=parentcustomerid_account/name").await,
        ["n2", "n1"]
    );
    assert_eq!(names("$filter=parentcustomerid_account/name eq null&$orderby=lastname").await, ["n3", "n4"]);
    assert_eq!(names("$filter=Microsoft.Dynamics.CRM.In(PropertyName=@p,PropertyValues=@v)&@p='lastname'&@v=['n1','n3']&$orderby=lastname").await, ["n1", "n3"]);
    let mut paged = Vec::new();
    for record in
        client.all("contacts?$select=lastname&$orderby=parentcustomerid_account/name desc,lastname desc", 1).await
    {
        paged.push(record["lastname"].clone());
    }
    assert_eq!(paged, ["n1", "n2", "n4", "n3"]);
    assert!(client.error("contacts?$filter=parentcustomerid_account/nam eq 'x'").await.2.contains("'nam'"));
}

#[tokio::test]
async fn numbers_are_told_without_reading_the_records() {
    let sandbox = people();
    let client = Client::new(&sandbox).await;
    let apply = client.json("contacts?$apply=filter(lastname ne 'n1')/aggregate($count as n,numberofchildren with max as most,numberofchildren with min as least,numberofchildren with sum as all)").await;
    let record = &apply["value"][0];
    assert_eq!((&record["n"], &record["most"], &record["least"]), (&json!(3), &json!(3), &json!(2)));
    assert_eq!(record["all"].as_f64(), Some(5.0));
    let counts = client.json("RetrieveTotalRecordCount(EntityNames=['contact','account'])").await;
    assert_eq!(
        counts["EntityRecordCountCollection"],
        json!({"Count": 2, "IsReadOnly": false, "Keys": ["contact", "account"], "Values": [4, 2]})
    );
    let big = start(50_001);
    let client = Client::new(&big).await;
    assert_eq!(client.error("contacts?$apply=aggregate($count as n)").await.1, "0x8004e023");
    assert_eq!(
        client.json("RetrieveTotalRecordCount(EntityNames=@e)?@e=['contact']").await["EntityRecordCountCollection"]["Values"],
        json!([50_001])
    );
}

#[tokio::test]
async fn the_model_tells_references_messages_and_tracked_tables() {
    let sandbox = people();
    let client = Client::new(&sandbox).await;
    let path = "EntityDefinitions(LogicalName='contact')/ManyToOneRelationships?$select=ReferencingAttribute,ReferencedEntity,ReferencingEntityNavigationPropertyName&$filter=ReferencingAttribute eq 'parentcustomerid'";
    assert_eq!(
        client.column(path, "ReferencingEntityNavigationPropertyName").await,
        ["parentcustomerid_account", "parentcustomerid_contact"]
    );
    let message = |table: &str, name: &str| {
        format!(
            "sdkmessagefilters?$select=sdkmessagefilterid&$filter=sdkmessageid/name eq @m and primaryobjecttypecode eq @t&@m='{name}'&@t='{table}'"
        )
    };
    assert_eq!(client.column(&message("contact", "UpsertMultiple"), "sdkmessagefilterid").await.len(), 1);
    assert_eq!(client.column(&message("contact", "DeleteMultiple"), "sdkmessagefilterid").await.len(), 0);
    let csdl = client.get("$metadata?annotations=true").await;
    assert_eq!(csdl.headers()["content-type"], "application/xml");
    let csdl = csdl.text().await.unwrap();
    for expected in [
        "<EntityType Name=\"contact\"",
        "Property Name=\"_parentcustomerid_value\" Type=\"Edm.Guid\"",
        "NavigationProperty Name=\"parentcustomerid_account\" Type=\"mscrm.account\"",
        "<NavigationPropertyBinding Path=\"parentcustomerid_account\" Target=\"accounts\" />",
        "<Annotation Term=\"Org.OData.Capabilities.V1.ChangeTracking\">",
    ] {
        assert!(csdl.contains(expected), "{expected}");
    }
    let created = client.request(reqwest::Method::POST, "leads").json(&json!({"lastname": "Lead", "firstname": "A", "parentaccountid@odata.bind": format!("/accounts({})", contact(12)), "statuscode": 4})).send().await.unwrap();
    assert_eq!(created.status(), 204);
    let lead =
        client.json("leads?$select=fullname,statecode&$expand=parentaccountid($select=name)").await["value"][0].clone();
    assert_eq!(
        (&lead["fullname"], &lead["statecode"], &lead["parentaccountid"]["name"]),
        (&json!("A Lead"), &json!(2), &json!("Acme"))
    );
}
