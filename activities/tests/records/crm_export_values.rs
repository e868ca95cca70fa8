//! What an export takes for values, and what it refuses before the run.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::crm_double::Double;
use crate::crm_export::{cells, run, six};
use crate::harness::World;

#[tokio::test(flavor = "multi_thread")]
async fn values_that_do_not_fit_are_rejects_and_dates_follow_the_time_zone() {
    let activities = json!({
        "records": {
            "type": "records", "to": "export",
            "columns": { "number": "int", "born": "text", "at": "text" },
            "rows": [[1, "1980-05-31", "2026-03-29T02:30:00"], [2, "31/05/1980", null], [3, null, "2026-10-25T02:30:00"]]
        },
        "export": {
            "type": "crm.export", "account": "crm", "object": "contacts", "operation": "insert", "idFrom": "number",
            "timeZone": "Europe/Paris",
            "set": { "lastname": "to_text(number)", "birthdate": "born", "lastonholdtime": "at" }
        }
    });
    let (_world, double, ran) = run(Double::choosing(), &activities).await;
    assert_eq!(cells(&ran, "reject", &[0, 3, 6]).await, ["2 VALUE_TYPE birthdate"]);
    let mut sent: Vec<String> = double.all("lastonholdtime").iter().map(Value::to_string).collect();
    sent.sort();
    assert_eq!(sent, ["\"2026-03-29T01:30:00Z\"", "\"2026-10-25T00:30:00Z\""]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crm_that_gives_new_records_their_ids_itself_takes_none_that_are_made_of_a_key() {
    let mut world = World::new("");
    world.crm = Some(Arc::new(Double::numbering()));
    let activities = case(json!({ "operation": "insert", "idFrom": "last_name", "set": { "lastname": "last_name" } }));
    assert_eq!(
        world.problems(&activities).await,
        [
            "export/idFrom: Numbering gives new records their ids itself (leave \"idFrom\" out; for a key of your own use \
             \"upsert\" with an external id)"
        ]
    );
}

/// An export; settings of null are left out.
fn case(settings: Value) -> Value {
    let mut activities = six(settings);
    activities["export"].as_object_mut().unwrap().retain(|_, value| !value.is_null());
    activities
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_before_the_run() {
    let mut world = World::new("");
    world.crm = Some(Arc::new(Double::choosing()));
    for (settings, told) in [
        (
            json!({ "operation": null, "set": { "lastname": "last_name" } }),
            "export: every record would be made anew in the CRM, since neither a key nor an insert is said \
             (map contactid in \"set\", or write \"operation\": \"insert\")",
        ),
        (json!({ "set": { "contactid": "crm_id", "lastnam": "last_name" } }), "no field \"lastnam\""),
        (json!({ "set": { "contactid": "crm_id", "fullname": "last_name" } }), "fullname cannot be written"),
        (
            json!({ "set": { "contactid": "crm_id", "account.name": "last_name" } }),
            "account.name cannot be written (set the lookup itself; in Salesforce an external id",
        ),
        (json!({ "set": { "contactid": "crm_id", "acount.name": "last_name" } }), "nothing leads to acount.name"),
        (
            json!({ "set": { "contactid": "crm_id", "account.number": "last_name", "account.code": "last_name" } }),
            "account.number and account.code set the same lookup (leave one of them out)",
        ),
        (
            json!({ "operation": "insert", "set": { "statecode": "1" } }),
            "export/set/statecode: statecode cannot be set when a record is made",
        ),
        (
            json!({ "set": { "contactid": "crm_id", "new_number": "1.5" } }),
            "this is a decimal number, but new_number takes a whole number (write to_int(…))",
        ),
        (
            json!({ "set": { "contactid": "crm_id", "birthdate": "now()" } }),
            "(write \"conversion\": \"dateOnly\" beside it, or date(…))",
        ),
        (
            json!({ "key": ["lastname"] }),
            "contacts has no key of lastname (there are: [contactid], [emailaddress1]; another is made in Keys)",
        ),
        (
            json!({ "key": ["new_number"], "set": { "new_number": "1" } }),
            "the key key_new_number cannot be relied on: its index is being built: wait until it is (do so in the CRM",
        ),
        (json!({ "key": ["emailaddress1"] }), "the key field \"emailaddress1\" is not among those that are set"),
        (
            json!({ "operation": "upsert", "set": { "lastname": "last_name" } }),
            "it is not said by which key existing records are found",
        ),
        (
            json!({ "set": { "contactid": "crm_id", "parentcustomerid": "crm_id" } }),
            "parentcustomerid may point to several objects, and it is not said to which",
        ),
        (
            json!({ "set": { "contactid": "crm_id", "parentcustomerid": { "value": "crm_id", "target": "leads" } } }),
            "parentcustomerid cannot point to \"leads\"",
        ),
        (json!({ "operation": "insert", "compare": true }), "only records that are found by one field can be compared"),
        (json!({ "volume": { "least": 5, "most": 4 } }), "at least 5 and at most 4 is nothing"),
        (json!({ "rejectsFile": "../x.csv" }), "leads out of its folder"),
    ] {
        let problems = world.problems(&case(settings.clone())).await;
        assert!(problems.iter().any(|problem| problem.contains(told)), "{settings}: {problems:#?}");
    }
    assert_eq!(world.problems(&case(json!({}))).await, [""; 0]);
    let by_key_of_related = json!({ "set": { "contactid": "crm_id", "account.number": "last_name" } });
    assert_eq!(world.problems(&case(by_key_of_related)).await, [""; 0]);
    // The key is mapped, so it is an update.
    assert_eq!(world.problems(&case(json!({ "operation": null }))).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_description_of_the_object_refutes_is_told_before_the_run() {
    let mut world = World::new("");
    world.crm = Some(Arc::new(Double::choosing()));
    for (settings, told) in [
        (
            json!({ "operation": "insert", "set": { "emailaddress1": "last_name" } }),
            "export/set: contacts takes no new record without lastname (set lastname; where a flow or plug-in",
        ),
        (
            json!({ "set": { "contactid": "crm_id", "statecode": "7" } }),
            "7 is no number of the list of statecode (send one of its numbers: 0 Active, 1 Inactive)",
        ),
        (json!({ "set": { "contactid": "crm_id", "statecode": "last_name == \"x\"" } }), "if … { 1 } else { 2 }"),
        (
            json!({ "set": { "contactid": "crm_id", "new_number": "50 * 3" } }),
            "150 is beyond the ends of new_number (correct the value, or what is computed of it: new_number takes 0 to 100)",
        ),
        (
            json!({ "set": { "contactid": "crm_id", "lastname": format!("\"{}\"", "x".repeat(51)) } }),
            "lastname takes 50 characters, and this has 51",
        ),
        (
            json!({ "set": { "contactid": "crm_id", "birthdate": "\"31/05/1980\"" } }),
            "cannot be sent as a date (correct the value, or what is computed of it: birthdate takes a date such as 2026-03-01)",
        ),
    ] {
        let problems = world.problems(&case(settings.clone())).await;
        assert!(problems.iter().any(|problem| problem.contains(told)), "{settings}: {problems:#?}");
    }
    // Null leaves a required field to the CRM, and what is within the limits is taken.
    let sound = json!({ "operation": "insert", "set": { "lastname": "()", "new_number": "100" } });
    assert_eq!(world.problems(&case(sound)).await, [""; 0]);
    let upsert = json!({ "operation": "upsert", "set": { "contactid": "crm_id", "new_number": "100" } });
    assert_eq!(world.risks(&case(upsert)).await, ["export/set: required-field-not-set"]);
    let unlisted = |source: &str| json!({ "set": { "contactid": "crm_id", "source": source } });
    assert_eq!(world.risks(&case(unlisted("\"Fair\""))).await, ["export/set/source: value-not-listed"]);
    assert_eq!(world.risks(&case(unlisted("\"Web\""))).await, [""; 0]);
}
