//! A reading that is begun anew, because the CRM has lost the place.

use sandbox::{Fault, Route};
use serde_json::json;

use crate::common::{quick, read, records, windowed, world};

#[tokio::test]
async fn where_the_place_is_lost_a_record_that_does_not_fit_is_rejected_once() {
    let world = world(0, quick());
    let object = world.contacts().await;
    let record = |id: &str, minute: u32, birthdate: &str| json!({ "contactid": id, "modifiedon": format!("2026-03-01T10:{minute:02}:00Z"), "birthdate": birthdate });
    let (ok, misfit, last) = (record("a", 1, "1980-05-31"), record("b", 2, "31/05/1980"), record("c", 3, "1980-05-31"));
    let next = format!("{}/api/data/v9.2/contacts?$skiptoken=lost", world.sandbox.url());
    let first = json!({ "value": [ok.clone(), misfit.clone()], "@odata.nextLink": next });
    for page in [first, json!({ "value": [ok, misfit, last] })] {
        let (body, content_type) = (Some(page.to_string()), Some("application/json".to_owned()));
        let fault = Fault { route: Route::Query, times: Some(1), body, content_type, ..Fault::default() };
        world.admin().add_fault(fault).unwrap();
    }
    let code = Some("0x80044352".to_owned());
    world.admin().add_fault(Fault { route: Route::Page, status: Some(400), code, ..Fault::default() }).unwrap();
    let read = windowed(read(&object, &["contactid", "modifiedon", "birthdate"]), None, "2026-03-03T10:00:00Z");
    let pages = world.all(&read, None).await.unwrap();
    let ids: Vec<String> = records(&pages).iter().map(|line| line[..1].to_owned()).collect();
    assert_eq!(
        (ids, pages.iter().map(|page| page.rejects.len()).sum::<usize>()),
        (vec!["a".to_owned(), "c".into()], 1)
    );
}
