//! Bulk messages, alternate keys and the rules of single writes.

use crate::client::{Client, contact, error_of, start};
use reqwest::{Method, Response};
use sandbox::{Attribute, AttributeOption, Fault, KeyStatus, Sandbox};
use serde_json::{Value as Json, json};

const KIND: &str = "Microsoft.Dynamics.CRM.contact";

async fn bulk(client: &Client, message: &str, targets: Json) -> Response {
    let path = format!("contacts/Microsoft.Dynamics.CRM.{message}");
    client.request(Method::POST, &path).json(&json!({"Targets": targets})).send().await.unwrap()
}

async fn refused(client: &Client, message: &str, targets: Json) -> (u16, String, String) {
    error_of(bulk(client, message, targets).await).await
}

fn count(sandbox: &Sandbox) -> usize {
    sandbox.admin().state().sets["contacts"].records
}

fn with_key(sandbox: &Sandbox, status: KeyStatus) {
    let attribute = Attribute { name: "new_extid".into(), kind: "String".into(), ..Attribute::default() };
    sandbox.admin().add_attribute("contact", &attribute).unwrap();
    sandbox.admin().add_key_with("contact", "new_extid_key", &["new_extid".into()], status).unwrap();
}

#[tokio::test]
async fn many_records_are_written_together_or_not_at_all() {
    let sandbox = start(0);
    let client = Client::new(&sandbox).await;
    let created = bulk(&client, "CreateMultiple", json!([{"@odata.type": KIND, "lastname": "a"}, {"@odata.type": format!("#{KIND}"), "contactid": contact(1), "lastname": "b"}])).await;
    assert_eq!(created.status(), 200);
    let body: Json = created.json().await.unwrap();
    assert!(body["@odata.context"].as_str().unwrap().ends_with("#Microsoft.Dynamics.CRM.CreateMultipleResponse"));
    assert_eq!((body["Ids"].as_array().unwrap().len(), &body["Ids"][1]), (2, &json!(contact(1))));
    let twice = json!([{"@odata.type": KIND, "lastname": "c"}, {"@odata.type": KIND, "contactid": contact(1), "lastname": "d"}]);
    assert_eq!(refused(&client, "CreateMultiple", twice).await.1, "0x80040237");
    assert_eq!(count(&sandbox), 2);
    let update = |last: &str| json!([{"@odata.type": KIND, "contactid": contact(1), "lastname": "changed"}, {"@odata.type": KIND, "contactid": last, "lastname": "e"}]);
    let (status, code, message) = refused(&client, "UpdateMultiple", update(&contact(9))).await;
    assert_eq!(
        (status, code.as_str(), message),
        (404, "0x80040217", format!("Contact With Ids = {} Do Not Exist", contact(9)))
    );
    assert_eq!(client.json(&format!("contacts({})", contact(1))).await["lastname"], "b", "rolled back");
    assert_eq!(bulk(&client, "UpsertMultiple", update(&contact(9))).await.status(), 204);
    assert_eq!(count(&sandbox), 3);
    assert!(
        refused(&client, "CreateMultiple", json!([{"lastname": "x"}]))
            .await
            .2
            .contains("'Microsoft.Dynamics.CRM.crmbaseentity'")
    );
    let (status, _, message) =
        refused(&client, "DeleteMultiple", json!([{"@odata.type": KIND, "contactid": contact(1)}])).await;
    assert_eq!((status, message.as_str()), (501, "DeleteMultiple has not yet been implemented."));
    sandbox
        .admin()
        .add_fault(
            serde_json::from_value::<Fault>(
                json!({"route": "part", "containing": "poison", "status": 400, "code": "0x80040265"}),
            )
            .unwrap(),
        )
        .unwrap();
    let poisoned = json!([{"@odata.type": KIND, "lastname": "f"}, {"@odata.type": KIND, "lastname": "poison"}]);
    assert_eq!(refused(&client, "CreateMultiple", poisoned).await.1, "0x80040265");
    assert_eq!(count(&sandbox), 3);
    sandbox.admin().clear_faults();
    let cut = json!({"route": "bulk", "times": 1, "cutAfterCommit": true});
    sandbox.admin().add_fault(serde_json::from_value::<Fault>(cut).unwrap()).unwrap();
    let request = client.request(Method::POST, "contacts/Microsoft.Dynamics.CRM.CreateMultiple");
    let last = json!([{"@odata.type": KIND, "contactid": contact(20), "lastname": "g"}]);
    assert!(request.json(&json!({"Targets": last})).send().await.is_err(), "no reply at all");
    assert_eq!(count(&sandbox), 4, "yet it has taken hold");
    assert_eq!(refused(&client, "CreateMultiple", last).await.1, "0x80040237", "and a second attempt tells so");
}

#[tokio::test]
async fn records_are_upserted_by_alternate_key_and_the_key_is_named_once() {
    let sandbox = start(0);
    let client = Client::new(&sandbox).await;
    with_key(&sandbox, KeyStatus::Active);
    let target = |key: &str, name: &str| json!({"@odata.type": KIND, "@odata.id": format!("contacts(new_extid='{key}')"), "lastname": name});
    for name in ["first", "second"] {
        assert_eq!(
            bulk(&client, "UpsertMultiple", json!([target("A1", name), target("a 2", name)])).await.status(),
            204
        );
    }
    assert_eq!(client.column("contacts?$orderby=new_extid", "new_extid").await, ["a 2", "A1"]);
    assert_eq!(client.column("contacts", "lastname").await, ["second", "second"]);
    let mut both = target("A3", "third");
    both["new_extid"] = "A3".into();
    assert!(
        refused(&client, "UpsertMultiple", json!([both.clone()])).await.2.contains("same key has already been added")
    );
    both["@odata.id"] = "/contacts(new_extid='A1')".into();
    both["new_extid"] = "A1".into();
    assert_eq!(
        bulk(&client, "UpsertMultiple", json!([both])).await.status(),
        204,
        "on the update path it does no harm"
    );
    let (_, code, message) =
        refused(&client, "CreateMultiple", json!([{"@odata.type": KIND, "new_extid": "a1"}])).await;
    assert_eq!(code, "0x80060892");
    assert!(message.starts_with("Entity Key new_extid_key violated."));
    for forbidden in ["a/b", "a+b", "50%", "x:y"] {
        let (status, ..) = refused(&client, "UpsertMultiple", json!([target(forbidden, "x")])).await;
        assert_eq!(status, 400, "{forbidden}");
    }
    let waiting = start(0);
    let client = Client::new(&waiting).await;
    with_key(&waiting, KeyStatus::Pending);
    let keys = client.json("EntityDefinitions(LogicalName='contact')/Keys").await;
    assert_eq!(keys["value"][0]["EntityKeyIndexStatus"], "Pending");
    assert!(
        refused(&client, "UpsertMultiple", json!([target("A1", "x")]))
            .await
            .2
            .starts_with("The key in the request URI is not valid")
    );
    for _ in 0..2 {
        assert_eq!(
            bulk(&client, "CreateMultiple", json!([{"@odata.type": KIND, "new_extid": "a1"}])).await.status(),
            200,
            "not enforced yet"
        );
    }
}

#[tokio::test]
async fn keys_over_generated_columns_lead_to_generated_records() {
    let sandbox = start(2_000);
    let client = Client::new(&sandbox).await;
    sandbox.admin().add_key("account", "number", &["accountnumber".into()]).unwrap();
    let account = client.json("accounts(accountnumber='a0000007')?$select=accountnumber").await;
    assert_eq!(account["accountnumber"], "A0000007");
    let path = format!("accounts({})", account["accountid"].as_str().unwrap());
    assert_eq!(
        client.request(Method::PATCH, &path).json(&json!({"accountnumber": "new"})).send().await.unwrap().status(),
        204
    );
    assert_eq!(client.error("accounts(accountnumber='a0000007')").await.1, "0x80060891");
    assert_eq!(client.json("accounts(accountnumber='NEW')").await["accountid"], account["accountid"]);
    let taken =
        client.request(Method::POST, "accounts").json(&json!({"accountnumber": "A0000008"})).send().await.unwrap();
    assert_eq!(error_of(taken).await.1, "0x80060892");
}

#[tokio::test]
async fn duplicate_rules_are_off_unless_asked_for_or_set_to_apply_always() {
    let sandbox = start(0);
    let client = Client::new(&sandbox).await;
    let rule =
        |always: bool| sandbox.admin().add_rule("contact", "same mail", &["emailaddress1".into()], always).unwrap();
    let create = |header: bool| {
        let request = client
            .request(Method::POST, "contacts")
            .json(&json!({"lastname": "x", "emailaddress1": "Ada@Example.com"}));
        let request = if header { request.header("MSCRM.SuppressDuplicateDetection", "false") } else { request };
        async move { request.send().await.unwrap() }
    };
    rule(false);
    assert_eq!(create(true).await.status(), 204);
    assert_eq!(create(false).await.status(), 204);
    let (status, code, message) = error_of(create(true).await).await;
    assert_eq!((status, code.as_str()), (500, "0x80040333"));
    assert!(message.contains("duplicate of the current record"));
    rule(true);
    assert_eq!(error_of(create(false).await).await.1, "0x80040333");
    assert_eq!(
        refused(&client, "CreateMultiple", json!([{"@odata.type": KIND, "emailaddress1": "ADA@example.com"}])).await.0,
        500
    );
    sandbox.admin().clear_rules("contact").unwrap();
    assert_eq!(create(true).await.status(), 204);
}

#[tokio::test]
async fn values_that_do_not_fit_are_refused_with_their_codes() {
    let sandbox = start(0);
    let client = Client::new(&sandbox).await;
    let options = [1, 2, 3].map(|value| AttributeOption { value, label: value.to_string() }).to_vec();
    for (name, kind) in [("new_likes", "MultiSelectPicklist"), ("new_rate", "Decimal")] {
        sandbox
            .admin()
            .add_attribute(
                "contact",
                &Attribute { name: name.into(), kind: kind.into(), options: options.clone(), ..Attribute::default() },
            )
            .unwrap();
    }
    sandbox.admin().put("contacts", &contact(1), &json!({"lastname": "x"})).unwrap();
    let path = format!("contacts({})", contact(1));
    let patch = |body: Json| client.request(Method::PATCH, &path).json(&body).send();
    let cases = [
        (json!({"lastname": "x".repeat(51)}), "0x80044331"),
        (json!({"numberofchildren": -1}), "0x80044330"),
        (json!({"new_rate": 1e12}), "0x80044332"),
        (json!({"gendercode": 7}), "0x8004431a"),
        (json!({"new_likes": "1,9"}), "0x8004431a"),
        (json!({"lastname": 5}), "0x80048d19"),
        (json!({"numberofchildren": "many"}), "0x80048d19"),
        (json!({"birthdate": "31.12.1980"}), "0x80048d19"),
        (json!({"birthdate": "1700-01-01"}), "0x80040239"),
        (json!({"statecode": 0, "statuscode": 2}), "0x80048408"),
        (json!({"parentcustomerid_account@odata.bind": format!("/accounts({})", contact(5))}), "0x80040217"),
        (json!({"parentcustomerid": contact(5)}), "0x80048d19"),
    ];
    for (body, code) in cases {
        let found = error_of(patch(body.clone()).await.unwrap()).await;
        assert_eq!(found.1, code, "{body}: {found:?}");
    }
    let good = json!({"new_likes": "3,1", "createdon": "2020-01-01T00:00:00Z", "fullname": "nobody", "statecode": 1});
    assert_eq!(patch(good).await.unwrap().status(), 204);
    let record = client.json(&path).await;
    assert_eq!(
        (&record["new_likes"], &record["createdon"], &record["fullname"], &record["statuscode"]),
        (&json!("1,3"), &json!("2026-03-03T10:00:00Z"), &json!("x"), &json!(2)),
        "what no client may write is passed over"
    );
}

#[tokio::test]
async fn single_properties_and_references_are_set_and_cleared() {
    let sandbox = start(0);
    let client = Client::new(&sandbox).await;
    sandbox.admin().put("contacts", &contact(1), &json!({"lastname": "x", "firstname": "y"})).unwrap();
    sandbox.admin().put("accounts", &contact(2), &json!({"name": "Contoso"})).unwrap();
    let path = |rest: &str| format!("contacts({}){rest}", contact(1));
    let send = |method: Method, rest: &str, body: Json| client.request(method, &path(rest)).json(&body).send();
    assert_eq!(send(Method::PUT, "/firstname", json!({"value": "z"})).await.unwrap().status(), 204);
    let address = json!({"@odata.id": format!("{}accounts({})", client.root, contact(2))});
    assert_eq!(send(Method::PUT, "/parentcustomerid_account/$ref", address).await.unwrap().status(), 204);
    let record = client.json(&path("")).await;
    assert_eq!((&record["firstname"], &record["_parentcustomerid_value"]), (&json!("z"), &json!(contact(2))));
    assert_eq!(send(Method::DELETE, "/firstname", Json::Null).await.unwrap().status(), 204);
    assert_eq!(send(Method::DELETE, "/parentcustomerid_account/$ref", Json::Null).await.unwrap().status(), 204);
    let record = client.json(&path("")).await;
    assert_eq!((&record["firstname"], &record["_parentcustomerid_value"]), (&Json::Null, &Json::Null));
    assert_eq!(error_of(send(Method::PUT, "/nosuch", json!({"value": 1})).await.unwrap()).await.0, 400);
}
