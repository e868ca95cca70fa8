//! Dates and times on their way into the CRM.

use engine::run::Status;
use serde_json::{Value, json};

use crate::export::{changed, workflow, world};
use crate::side::Side;
use crate::world::{Ended, World};

on_both!(each_conversion_sends_a_date_and_time_as_it_says, a_text_that_is_no_date_is_a_reject_that_names_the_field,);

/// C03 and C04, which have both dates already.
fn dated(side: Side, text: &str) -> World {
    let world = world(side, &[("D1", Some(3), ""), ("D2", Some(4), "")]);
    for number in [3, 4] {
        world.contact(number, json!({ "lastonholdtime": "2020-01-01T00:00:00Z", "birthdate": "1970-01-01" }));
    }
    world.sql_write(&format!("UPDATE recipient SET email = '{text}' WHERE first_name = 'D1'"));
    world
}

/// Exports the text of D1, and null of D2, by the clocks of Paris.
async fn exported(world: &World, field: &str, conversion: &str) -> Ended {
    let set = json!({ "contactid": "crm_id", field: { "value": "email", "conversion": conversion } });
    let mut text: Value = serde_json::from_str(&workflow(&json!({ "operation": "update", "set": set }))).unwrap();
    text["timeZone"] = json!("Europe/Paris");
    world.run(&text.to_string()).await
}

/// What the CRM has now.
fn kept(world: &World, number: u8, field: &str) -> Option<String> {
    let record = world.side.record(&world.sandbox, &world.id(number)).unwrap();
    record[field].as_str().map(|text| text.replace(".000+0000", "Z"))
}

async fn each_conversion_sends_a_date_and_time_as_it_says(side: Side) {
    let half_past = "2026-07-02 00:30:00";
    for (field, conversion, text, expected) in [
        ("lastonholdtime", "default", half_past, "2026-07-01T22:30:00Z"),
        ("birthdate", "dateOnly", half_past, "2026-07-02"),
        ("lastonholdtime", "dateOnly", half_past, "2026-07-02T00:00:00Z"),
        ("lastonholdtime", "withoutTimeOffset", half_past, "2026-07-02T00:30:00Z"),
        ("lastonholdtime", "copy", "2026-07-02T00:30:00Z", "2026-07-02T00:30:00Z"),
        ("birthdate", "copy", "2026-07-02", "2026-07-02"),
        ("birthdate", "default", "1980-05-31", "1980-05-31"),
        ("lastonholdtime", "default", "2026-03-29 02:30:00", "2026-03-29T01:30:00Z"),
        ("lastonholdtime", "default", "2026-10-25 02:30:00", "2026-10-25T00:30:00Z"),
    ] {
        let world = dated(side, text);
        let ended = exported(&world, field, conversion).await;
        let context = format!("{conversion} of {text} into {field}");
        assert_eq!((ended.status, ended.out("export", "ok")), (Status::Finished, 2), "{context}");
        assert_eq!(kept(&world, 3, field).as_deref(), Some(expected), "{context}");
        assert_eq!(kept(&world, 4, field), None, "{context}: null stays null");
    }
}

async fn a_text_that_is_no_date_is_a_reject_that_names_the_field(side: Side) {
    let world = dated(side, "31/05/1980");
    let ended = exported(&world, "birthdate", "default").await;
    assert_eq!(ended.column("export", "ok", "first_name").await, ["D2"]);
    assert_eq!(ended.column("export", "reject", "first_name").await, ["D1"]);
    assert_eq!(ended.column("export", "reject", "errorCode").await, ["VALUE_TYPE"]);
    assert_eq!(ended.column("export", "reject", "errorField").await, [side.say("birthdate")]);
    assert_eq!(kept(&world, 3, "birthdate").as_deref(), Some("1970-01-01"));
    assert_eq!(changed(&world).len(), 1, "of D2 only");
}
