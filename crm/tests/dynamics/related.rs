//! Fields of related records, long queries, counts, and places that the CRM loses.

use std::collections::BTreeSet;

use engine::failure::Class;
use engine::outside::crm::{Crm, Object, Read, ReadField};
use sandbox::{Fault, Route};
use serde_json::json;

use crate::common::{World, filtered, ordered, quick, read, records, windowed, world};

const ENGINES: &str = "acc00000-0000-4000-8000-000000000001";

fn contact(world: &World, n: u32, fields: serde_json::Value) {
    world.admin().put("contacts", &format!("c0000000-0000-4000-8000-{n:012}"), &fields).unwrap();
}

async fn with(world: &World, object: &Object, read: Read, path: &str) -> Read {
    let field = world.crm.describe_path(object, path).await.unwrap();
    let mut fields = read.fields.clone();
    fields.push(ReadField { field, raw: false });
    Read { fields, ..read }
}

#[tokio::test]
async fn a_contact_brings_its_accounts_fields_and_is_filtered_and_ordered_by_them() {
    let world = world(0, quick());
    world.admin().put("accounts", ENGINES, &json!({ "name": "Analytical Engines", "accountnumber": "A-1" })).unwrap();
    let other = "acc00000-0000-4000-8000-000000000002";
    world.admin().put("accounts", other, &json!({ "name": "Bletchley", "accountnumber": "A-2" })).unwrap();
    let parent = |account: &str| json!({ "table": "account", "id": account });
    contact(&world, 1, json!({ "lastname": "Ada", "parentcustomerid": parent(ENGINES) }));
    contact(&world, 2, json!({ "lastname": "Alan", "parentcustomerid": parent(other) }));
    contact(&world, 3, json!({ "lastname": "None" }));
    let object = world.contacts().await;
    let targets: BTreeSet<_> =
        object.fields["parentcustomerid"].targets.iter().map(|t| (t.name.as_str(), t.path.as_str())).collect();
    assert_eq!(
        targets,
        BTreeSet::from([("accounts", "parentcustomerid_account"), ("contacts", "parentcustomerid_contact")])
    );

    let path = "parentcustomerid_account.accountnumber";
    let wanted = with(&world, &object, read(&object, &["lastname"]), path).await;
    assert_eq!(wanted.fields[1].field.length, Some(20));
    let mut all = records(&world.all(&wanted, None).await.unwrap());
    all.sort();
    assert_eq!(all, ["Ada | A-1", "Alan | A-2", "None | ∅"]);
    let by = ordered(wanted.clone(), &[&format!("-{path}")]);
    assert_eq!(records(&world.all(&by, None).await.unwrap()), ["Alan | A-2", "Ada | A-1", "None | ∅"]);
    let some = filtered(wanted.clone(), &format!("field(\"{path}\") == \"A-2\""));
    assert_eq!(
        world.crm.query(&some).unwrap().filter.as_deref(),
        Some("parentcustomerid_account/accountnumber eq 'A-2'")
    );
    assert_eq!(records(&world.all(&some, None).await.unwrap()), ["Alan | A-2"]);
    // A contact without an account fulfils the other half of an `or`, and must come.
    let either = filtered(wanted.clone(), &format!("field(\"{path}\") == \"A-2\" || lastname == \"None\""));
    assert_eq!(world.crm.query(&either).unwrap().filter, None);
    let both = filtered(wanted.clone(), &format!("field(\"{path}\") in [\"A-1\", \"A-2\"] && lastname == \"Alan\""));
    assert_eq!(records(&world.all(&both, None).await.unwrap()), ["Alan | A-2"]);
    assert!(world.crm.query(&both).unwrap().filter.is_some_and(|filter| filter.contains(" or ")));
    // That there is no such account is decided here.
    assert_eq!(world.crm.query(&filtered(wanted, &format!("is_empty(field(\"{path}\"))"))).unwrap().filter, None);

    for (path, said) in [
        ("parentcustomerid.name", "parentcustomerid_account.name"),
        ("parentcustomerid_acount.name", "`parentcustomerid_account`"),
        ("parentcustomerid_account.nam", "`name`"),
        ("parentcustomerid_account.primarycontactid.fullname", "enrich"),
    ] {
        let failure = world.crm.describe_path(&object, path).await.unwrap_err();
        assert!(failure.class == Class::Config && failure.help.as_ref().unwrap().contains(said), "{path}: {failure:?}");
    }
}

#[tokio::test]
async fn no_request_line_is_longer_than_2000_characters_and_many_ids_are_one_call() {
    let world = world(0, quick());
    contact(&world, 1, json!({ "lastname": "Ada" }));
    let object = world.contacts().await;
    let plain = read(&object, &["contactid", "lastname"]);
    let names: Vec<String> = (0..90).map(|n| format!("lastname == \"Somebody {n}\"")).collect();
    let long = filtered(plain.clone(), &format!("{} || lastname == \"Ada\"", names[..60].join(" || ")));
    assert!(world.crm.query(&long).unwrap().text.len() > 2_000);
    assert_eq!(records(&world.all(&long, None).await.unwrap()).len(), 1);

    let ids: Vec<String> = (0..2_000).map(|n| format!("c0000000-0000-4000-8000-{n:012}")).collect();
    let before = world.admin().requests(0).len();
    let page = world.crm.fetch(&plain, "contactid", &ids).await.unwrap();
    assert_eq!(records(&[page]), ["c0000000-0000-4000-8000-000000000001 | Ada"]);
    assert_eq!(world.admin().requests(0).len() - before, 1);
    assert!(world.admin().requests(0).iter().all(|request| request.path.len() <= 2_000));
    for odd in ["O'Neil", "a%b", "[x]", "_y"] {
        world.admin().put("contacts", "c0000000-0000-4000-8000-000000000002", &json!({ "lastname": odd })).unwrap();
        let found = world.crm.fetch(&plain, "lastname", &[odd.to_lowercase()]).await.unwrap();
        assert!(records(&[found]).len() <= 1, "{odd}");
    }
}

#[tokio::test]
async fn few_records_are_counted_and_not_read_in_parts() {
    let world = world(57, quick());
    let object = world.contacts().await;
    let plain = read(&object, &["contactid"]);
    let none = filtered(plain.clone(), "lastname == \"Nobody at all\"");
    assert_eq!(world.crm.count(&none).await.unwrap(), Some(0));
    let all = windowed(plain.clone(), None, "2026-03-03T10:00:00Z");
    assert_eq!(world.crm.count(&all).await.unwrap(), Some(57));
    assert_eq!(world.crm.count(&plain).await.unwrap(), Some(57));
    assert!(world.crm.ranges(&plain, 8).await.unwrap().is_empty());
    // More than Dynamics counts, and fewer than are worth it.
    let more = crate::common::world(6_000, quick());
    let object = more.contacts().await;
    let some = filtered(read(&object, &["contactid"]), "lastname != \"x\" && statecode < 9");
    assert_eq!(more.crm.count(&some).await.unwrap(), None);
    assert!(more.crm.ranges(&some, 8).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_place_that_the_crm_loses_is_found_again_by_the_time_of_the_last_record() {
    let world = world(57, json!({ "recordsPerPage": 10, "retryWaitMin": "1ms" }));
    let object = world.contacts().await;
    let wanted = windowed(read(&object, &["contactid", "modifiedon"]), None, "2026-03-03T10:00:00Z");
    let whole = records(&world.all(&wanted, None).await.unwrap());
    let lost = || Fault {
        route: Route::Page,
        status: Some(400),
        code: Some("0x80044352".into()),
        skip: 2,
        times: Some(1),
        ..Fault::default()
    };
    world.admin().add_fault(lost()).unwrap();
    let pages = world.all(&wanted, None).await.unwrap();
    assert_eq!(records(&pages), whole);
    // From every cursor after that, too, and where the place is lost again after a crash.
    for page in pages.iter().filter(|page| page.next.is_some()) {
        world.admin().clear_faults();
        world.admin().add_fault(Fault { skip: 0, ..lost() }).unwrap();
        let rest = records(&world.all(&wanted, page.next.clone()).await.unwrap());
        assert_eq!(rest, whole[whole.len() - rest.len()..]);
    }
    // Without an order of time it cannot be found.
    world.admin().clear_faults();
    world.admin().add_fault(lost()).unwrap();
    let failure = world.all(&read(&object, &["contactid"]), None).await.unwrap_err();
    assert!(failure.class == Class::CursorLost && failure.help.is_some(), "{failure:?}");
}
