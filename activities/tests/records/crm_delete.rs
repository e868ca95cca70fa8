//! Deletes in a CRM.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use engine::run::Status;
use serde_json::{Value, json};

use crate::crm_double::{Double, contact};
use crate::crm_export::vars;
use crate::harness::World;

fn activities(most: u64) -> Value {
    json!({
        "records": {
            "type": "records", "to": "delete", "columns": { "crm_id": "text" },
            "rows": [[contact(3)], [contact(4)], [contact(99)], [contact(5)], [null], ["nonsense"], [contact(4)]]
        },
        "delete": { "type": "crm.delete", "account": "crm", "object": "contacts", "id": "crm_id", "maxDeletes": most }
    })
}

fn world() -> (World, Arc<Double>) {
    let mut world = World::new("");
    let double = Arc::new(Double::choosing().with(&[(3, "Hopper"), (4, "Turing"), (8, "O'Brien")]));
    world.crm = Some(Arc::<Double>::clone(&double));
    (world, double)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_is_deleted_and_what_is_not_is_fine() {
    let (world, double) = world();
    let ran = world.run(&activities(10)).await;
    assert_eq!(ran.status, Status::Finished, "{:?}", ran.task("delete").failure);
    let expected = [(3, "deleted"), (4, "deleted"), (99, "absent"), (5, "absent")];
    let expected = expected.map(|(number, what)| format!("{0}|{0}|{what}", contact(number)));
    assert_eq!(ran.port("delete", "ok").await, expected);
    let rejects = ran.port("delete", "reject").await;
    let codes: Vec<&str> = rejects.iter().map(|row| row.split('|').nth(1).unwrap()).collect();
    assert_eq!(codes, ["KEY_EMPTY", "ID_MALFORMED", "KEY_REPEATED"]);
    assert_eq!(double.changes(), [3, 4].map(|number| format!("delete {} ", contact(number))));
    let counts = &ran.tally("delete").counts;
    assert_eq!((counts["deleted"], counts["absent"]), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_deletes_stop_before_the_first_until_an_operator_allows_them() {
    let (world, double) = world();
    let ran = world.run(&activities(3)).await;
    assert_eq!(ran.status, Status::Suspended);
    let failure = ran.failure("delete");
    assert!(failure.contains("4 records would be deleted, more than maxDeletes 3; nothing was sent"), "{failure}");
    let ran = world.resume(&ran, vars("allowDeletes", 3)).await;
    assert_eq!((ran.status, double.sends.load(Ordering::SeqCst)), (Status::Suspended, 0));
    let ran = world.resume(&ran, vars("allowDeletes", 4)).await;
    assert_eq!(ran.status, Status::Finished);
    assert_eq!(double.changes().len(), 2);
}
