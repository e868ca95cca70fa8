//! Values of every kind, and their annotations.

use reqwest::Method;
use sandbox::{Attribute, AttributeOption, Sandbox};
use serde_json::{Value as Json, json};

use crate::client::{Client, contact, start};

const ACCOUNT: &str = "acc00000-0000-4000-8000-000000000001";

/// A stand-in with one contact that has a value of every kind, and that contact with all annotations, as text.
async fn annotated() -> (Sandbox, String) {
    let sandbox = start(0);
    let admin = sandbox.admin();
    admin.put("accounts", ACCOUNT, &json!({"name": "O'Hara & \"Sons\""})).unwrap();
    for (name, kind, behavior) in [
        ("new_slot", "DateTime", Some("TimeZoneIndependent")),
        ("new_likes", "MultiSelectPicklist", None),
        ("new_rate", "Decimal", None),
    ] {
        let options =
            vec![AttributeOption { value: 1, label: "Tea".into() }, AttributeOption { value: 3, label: "Rain".into() }];
        let attribute = Attribute {
            name: name.into(),
            kind: kind.into(),
            date_behavior: behavior.map(Into::into),
            options,
            ..Attribute::default()
        };
        admin.add_attribute("contact", &attribute).unwrap();
    }
    let fields = json!({
        "firstname": "Zo\u{308}e\u{1f33b}\n\"q\"", "birthdate": "1980-05-31", "lastonholdtime": "2026-07-02T00:30:00+02:00", "creditlimit": 20000,
        "numberofchildren": 1234, "gendercode": 2, "donotemail": true, "address1_latitude": 51.5, "parentcustomerid": {"table": "account", "id": ACCOUNT},
        "new_slot": "2026-01-01T08:00:00Z", "new_likes": "3,1", "new_rate": 1.005,
    });
    admin.put("contacts", &contact(1), &fields).unwrap();
    let client = Client::new(&sandbox).await;
    let select = "firstname,lastname,birthdate,lastonholdtime,creditlimit,numberofchildren,gendercode,donotemail,address1_latitude,_parentcustomerid_value,statecode,new_slot,new_likes,new_rate,modifiedon";
    let request = client.request(Method::GET, &format!("contacts({})?$select={select}", contact(1)));
    let response = request.header("Prefer", "odata.include-annotations=\"*\"").send().await.unwrap();
    assert_eq!(response.headers()["preference-applied"], "odata.include-annotations=\"*\"");
    assert_eq!(response.headers()["date"], "Tue, 03 Mar 2026 10:00:00 GMT");
    let text = response.text().await.unwrap();
    (sandbox, text)
}

#[tokio::test]
async fn values_have_the_forms_of_the_wire() {
    let (_sandbox, text) = annotated().await;
    let record: Json = serde_json::from_str(&text).unwrap();
    let expected = json!({
        "firstname": "Zo\u{308}e\u{1f33b}\n\"q\"", "lastname": null, "birthdate": "1980-05-31", "lastonholdtime": "2026-07-01T22:30:00Z",
        "creditlimit": 20000.0, "numberofchildren": 1234, "gendercode": 2, "donotemail": true, "address1_latitude": 51.5,
        "_parentcustomerid_value": ACCOUNT, "statecode": 0, "new_slot": "2026-01-01T08:00:00Z", "new_likes": "1,3", "new_rate": 1.01,
        "modifiedon": "2026-03-03T10:00:00Z", "contactid": contact(1),
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&record[name], value, "{name}");
    }
    assert!(record["@odata.etag"].as_str().unwrap().starts_with("W/\""));
}

#[tokio::test]
async fn annotations_stand_before_their_property_as_people_read_it() {
    let (_sandbox, text) = annotated().await;
    let record: Json = serde_json::from_str(&text).unwrap();
    let formatted = |name: &str| record[format!("{name}@OData.Community.Display.V1.FormattedValue")].clone();
    let spoken = [
        "creditlimit",
        "numberofchildren",
        "gendercode",
        "donotemail",
        "birthdate",
        "_parentcustomerid_value",
        "new_likes",
        "modifiedon",
        "lastname",
    ]
    .map(formatted);
    assert_eq!(
        spoken,
        [
            json!("$20,000.00"),
            json!("1,234"),
            json!("Female"),
            json!("Do Not Allow"),
            json!("5/31/1980"),
            json!("O'Hara & \"Sons\""),
            json!("Tea; Rain"),
            json!("3/3/2026 10:00 AM"),
            json!(null)
        ]
    );
    assert_eq!(record["_parentcustomerid_value@Microsoft.Dynamics.CRM.lookuplogicalname"], "account");
    assert_eq!(
        record["_parentcustomerid_value@Microsoft.Dynamics.CRM.associatednavigationproperty"],
        "parentcustomerid_account"
    );
    assert!(
        text.find("\"creditlimit@OData").unwrap() < text.find("\"creditlimit\":").unwrap(),
        "an annotation stands before its property"
    );
}
