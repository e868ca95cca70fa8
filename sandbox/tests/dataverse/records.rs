//! Single writes, keys and filters.

use crate::client::{Client, contact, error_of, start};
use reqwest::Method;
use sandbox::{Attribute, ChangeKind};
use serde_json::{Value as Json, json};

#[tokio::test]
async fn writes_answer_and_refuse_as_the_platform_does() {
    let sandbox = start(5);
    let client = Client::new(&sandbox).await;
    let one = format!("contacts({})", contact(1));
    let send = |method: Method, path: &str, headers: &[(&str, &str)], body: Json| {
        let mut request =
            client.http.request(method, format!("{}{path}", client.root)).bearer_auth(&client.token).json(&body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        async move { request.send().await.unwrap() }
    };
    let missing = send(Method::PATCH, &one, &[("If-Match", "*")], json!({"lastname": "Ghost"})).await;
    assert_eq!(
        error_of(missing).await,
        (404, "0x80040217".into(), format!("contact With Id = {} Does Not Exist", contact(1)))
    );
    let created = send(Method::PATCH, &one, &[], json!({"firstname": "Ada", "lastname": "Lovelace"})).await;
    assert_eq!(
        (created.status().as_u16(), created.headers()["odata-entityid"].to_str().unwrap()),
        (204, format!("{}{one}", client.root).as_str()),
        "a patch creates"
    );
    let again = send(Method::PATCH, &one, &[("If-None-Match", "*")], json!({"lastname": "x"})).await;
    assert_eq!(error_of(again).await.0, 412);
    let twice = send(Method::POST, "contacts", &[], json!({"contactid": contact(1), "lastname": "x"})).await;
    assert_eq!(
        error_of(twice).await,
        (412, "0x80040237".into(), "A record with matching key values already exists.".into())
    );
    let record = client.json(&format!("{one}?$select=fullname,emailaddress1,_ownerid_value")).await;
    assert_eq!(record["fullname"], "Ada Lovelace");
    assert!(record["_ownerid_value"].is_string());
    let etag = record["@odata.etag"].as_str().unwrap();
    assert_eq!(send(Method::GET, &one, &[("If-None-Match", etag)], Json::Null).await.status(), 304);
    assert_eq!(send(Method::PATCH, &one, &[("If-Match", etag)], json!({"emailaddress1": ""})).await.status(), 204);
    let stale = send(Method::PATCH, &one, &[("If-Match", etag)], json!({"lastname": "x"})).await;
    assert_eq!(error_of(stale).await.1, "0x80060882");
    assert_eq!(client.json(&one).await["emailaddress1"], Json::Null, "empty text is null");
    let long = send(Method::PATCH, &one, &[], json!({"lastname": "x".repeat(51)})).await;
    assert_eq!(error_of(long).await, (400, "0x80044331".into(), "A validation error occurred.  The length of the 'lastname' attribute of the 'contact' entity exceeded the maximum allowed length of '50'.".into()));
    assert_eq!(error_of(send(Method::PATCH, &one, &[], json!({"gendercode": 9})).await).await.1, "0x8004431a");
    assert!(
        error_of(send(Method::PATCH, &one, &[], json!({"nosuch": 9})).await)
            .await
            .2
            .contains("Invalid property 'nosuch'")
    );
    let returned = send(
        Method::POST,
        "contacts?$select=lastname",
        &[("Prefer", "return=representation")],
        json!({"lastname": "New", "statecode": 1}),
    )
    .await;
    assert_eq!((returned.status().as_u16(), returned.headers().get("odata-entityid")), (201, None));
    let body: Json = returned.json().await.unwrap();
    assert_eq!(
        client.json(&format!("contacts({})", body["contactid"].as_str().unwrap())).await["statuscode"],
        2,
        "the reason follows the state"
    );
    assert_eq!(send(Method::DELETE, &one, &[], Json::Null).await.status(), 204);
    assert_eq!(error_of(send(Method::DELETE, &one, &[], Json::Null).await).await.0, 404);
    let kinds: Vec<_> = sandbox.admin().changes(1).iter().map(|change| change.kind).collect();
    assert_eq!(kinds, [ChangeKind::Created, ChangeKind::Updated, ChangeKind::Created, ChangeKind::Deleted]);
}

#[tokio::test]
async fn references_are_bound_and_alternate_keys_lead_to_their_record() {
    let sandbox = start(5);
    let admin = sandbox.admin();
    admin
        .add_attribute(
            "contact",
            &Attribute { name: "new_extid".into(), kind: "String".into(), ..Attribute::default() },
        )
        .unwrap();
    let client = Client::new(&sandbox).await;
    let path = "contacts(new_extid='A 1''s')";
    let patch = |body: Json| client.request(Method::PATCH, path).header("If-None-Match", "null").json(&body).send();
    let (status, _, message) = error_of(patch(json!({"lastname": "x"})).await.unwrap()).await;
    assert_eq!(status, 400);
    assert!(
        message.starts_with("The key in the request URI is not valid for resource 'Microsoft.Dynamics.CRM.contact'."),
        "{message}"
    );
    admin.add_key("contact", "new_extid_key", &["new_extid".into()]).unwrap();
    admin.put("accounts", &contact(7), &json!({"name": "Contoso"})).unwrap();
    assert_eq!(
        patch(json!({"lastname": "x", "parentcustomerid_account@odata.bind": format!("/accounts({})", contact(7))}))
            .await
            .unwrap()
            .status(),
        204
    );
    assert_eq!(patch(json!({"lastname": "y"})).await.unwrap().status(), 204);
    let record = client.json(path).await;
    assert_eq!(
        (&record["lastname"], &record["new_extid"], &record["_parentcustomerid_value"]),
        (&json!("y"), &json!("A 1's"), &json!(contact(7)))
    );
    let missing =
        patch(json!({"parentcustomerid_account@odata.bind": format!("accounts({})", contact(8))})).await.unwrap();
    assert_eq!(error_of(missing).await.1, "0x80040217");
    let taken = client.request(Method::POST, "contacts").json(&json!({"new_extid": "a 1'S"})).send().await.unwrap();
    assert_eq!(error_of(taken).await.1, "0x80060892", "keys ignore case");
}

#[tokio::test]
async fn filters_by_id_date_and_reference_find_the_same_with_and_without_an_index() {
    let sandbox = start(400);
    let client = Client::new(&sandbox).await;
    let all =
        client.json("contacts?$select=modifiedon,_parentcustomerid_value,address1_country,birthdate").await["value"]
            .as_array()
            .unwrap()
            .clone();
    let expect = |keep: &dyn Fn(&Json) -> bool| {
        let mut ids: Vec<Json> =
            all.iter().filter(|record| keep(record)).map(|record| record["contactid"].clone()).collect();
        ids.sort_by_key(Json::to_string);
        ids
    };
    let (from, to) = ("2025-01-01T00:00:00Z", "2025-03-01T00:00:00Z");
    let between = |record: &Json| (from..to).contains(&record["modifiedon"].as_str().unwrap());
    let picked: Vec<&str> = all[3..9].iter().map(|record| record["contactid"].as_str().unwrap()).collect();
    let employer = all.iter().find_map(|record| record["_parentcustomerid_value"].as_str()).unwrap();
    let cases: Vec<(String, Vec<Json>)> = vec![
        (format!("modifiedon ge {from} and modifiedon lt {to}"), expect(&between)),
        (
            format!("modifiedon ge {from} and address1_country eq 'gb' and modifiedon lt {to}"),
            expect(&|record| between(record) && record["address1_country"] == "GB"),
        ),
        (
            picked.iter().map(|id| format!("contactid eq {id}")).collect::<Vec<_>>().join(" or "),
            expect(&|record| picked.contains(&record["contactid"].as_str().unwrap())),
        ),
        (
            format!("Microsoft.Dynamics.CRM.In(PropertyName='contactid',PropertyValues=['{}'])", picked.join("','")),
            expect(&|record| picked.contains(&record["contactid"].as_str().unwrap())),
        ),
        (
            format!("_parentcustomerid_value eq {employer}"),
            expect(&|record| record["_parentcustomerid_value"] == employer),
        ),
        (
            "birthdate ge 1980-01-01 and not (birthdate gt 1990-12-31)".into(),
            expect(&|record| {
                record["birthdate"].as_str().is_some_and(|date| ("1980-01-01"..="1990-12-31").contains(&date))
            }),
        ),
    ];
    for (filter, expected) in cases {
        assert!(!expected.is_empty(), "{filter}");
        for order in ["", "modifiedon", "modifiedon desc", "lastname"] {
            let query = url::form_urlencoded::Serializer::new(String::new())
                .append_pair("$filter", &filter)
                .append_pair("$orderby", order)
                .finish();
            let query = if order.is_empty() {
                query.trim_end_matches("%24orderby=").trim_end_matches('&').to_owned()
            } else {
                query
            };
            let mut found: Vec<Json> = client
                .all(&format!("contacts?$select=lastname&{query}"), 50)
                .await
                .iter()
                .map(|record| record["contactid"].clone())
                .collect();
            found.sort_by_key(Json::to_string);
            assert_eq!(found, expected, "{filter} by {order}");
        }
    }
}

#[tokio::test]
async fn a_record_tells_who_changed_it_last() {
    let sandbox = start(0);
    let client = Client::new(&sandbox).await;
    let own = client.json("WhoAmI").await["UserId"].clone();
    let path = format!("contacts({})", contact(1));
    let patch = async |name: &str| {
        let request = client.request(Method::PATCH, &path).json(&json!({ "firstname": name }));
        assert_eq!(request.send().await.unwrap().status(), 204);
    };
    patch("Ada").await;
    assert_eq!(client.json(&path).await["_modifiedby_value"], own);
    sandbox.admin().put("contacts", &contact(1), &json!({ "lastname": "Lovelace" })).unwrap();
    let read = client.json(&path).await;
    assert_ne!(read["_modifiedby_value"], own);
    assert_eq!(read["_createdby_value"], own);
    patch("Augusta").await;
    assert_eq!(client.json(&path).await["_modifiedby_value"], own);
}
