//! Records that an export compares with the CRM's are sent while they differ, and no longer.

use serde_json::{Value, json};

use crate::world::World;

/// Of three runs that export the same numbers: how many records each has updated, and left unchanged.
fn outcomes(world: &World, account: &str, object: &str, id: &str, fields: &[&str]) -> Vec<(Value, Value)> {
    let mut set = json!({ id: "crm_id" });
    fields.iter().for_each(|field| set[field] = json!("amount"));
    let file = world.workflow(
        account,
        &json!({
            "people": { "type": "database.query", "table": "amounts", "to": "export" },
            "export": { "type": "crm.export", "account": account, "object": object, "operation": "update",
                "compare": true, "set": set },
        }),
    );
    let runs = (1..=3).map(|run| {
        world.ask(&["run", &file]).expect(0);
        let view = world.run(&format!("{account}-{run}"));
        let export = view["tasks"].as_array().unwrap().iter().find(|task| task["activity"] == "export").unwrap();
        (export["counts"]["updated"].clone(), export["counts"]["unchanged"].clone())
    });
    runs.collect()
}

fn once() -> [(Value, Value); 3] {
    [(json!(1), json!(0)), (json!(0), json!(1)), (json!(0), json!(1))]
}

/// More places than the fields describe, of which the stand-in keeps some.
fn with_amounts(world: &World, id: &str) {
    world.database(&format!(
        "CREATE TABLE amounts (number INTEGER PRIMARY KEY, crm_id TEXT, amount REAL);
         INSERT INTO amounts (crm_id, amount) VALUES ('{id}', 1.23456)"
    ));
}

#[test]
fn numbers_that_dynamics_rounds_are_sent_once() {
    let world = World::new(0);
    let id = "c0000000-0000-4000-8000-000000000001";
    let admin = world.sandbox.admin();
    for kind in ["Decimal", "Double", "Money"] {
        let attribute = json!({ "name": format!("new_{}", kind.to_lowercase()), "type": kind, "precision": 2 });
        admin.add_attribute("contact", &serde_json::from_value(attribute).unwrap()).unwrap();
    }
    admin.put("contacts", id, &json!({ "lastname": "Lovelace" })).unwrap();
    with_amounts(&world, id);
    let fields = ["new_decimal", "new_double", "new_money"];
    assert_eq!(outcomes(&world, "dynamics", "contacts", "contactid", &fields), once());
}

#[test]
fn numbers_that_salesforce_rounds_are_sent_once() {
    let world = World::new(0);
    world.add_salesforce("");
    let admin = world.sandbox.admin().salesforce();
    for kind in ["double", "percent", "currency"] {
        let field = json!({ "name": format!("{kind}__c"), "type": kind, "scale": 2 });
        admin.add_field("Contact", &serde_json::from_value(field).unwrap()).unwrap();
    }
    let id = admin.id("Contact", 1_001).unwrap();
    admin.put("Contact", &id, &json!({ "LastName": "Lovelace" })).unwrap();
    with_amounts(&world, &id);
    let fields = ["double__c", "percent__c", "currency__c"];
    assert_eq!(outcomes(&world, "salesforce", "Contact", "Id", &fields), once());
}
