//! The most used clients of Salesforce in JavaScript and in Python.

use sandbox::{Options, SalesforceField, SalesforceOptions, Sandbox};

use crate::run;

/// An organisation with people, and with an external id on contacts and accounts.
fn start() -> Sandbox {
    let salesforce = SalesforceOptions { contacts: 5_000, accounts: 100, leads: 100 };
    let sandbox = Sandbox::start(Options { seed: 5, salesforce, ..Options::default() }).unwrap();
    let field = SalesforceField {
        name: "ExtId__c".into(),
        kind: Some("string".into()),
        external_id: Some(true),
        unique: Some(true),
        ..SalesforceField::default()
    };
    for object in ["Contact", "Account"] {
        sandbox.admin().salesforce().add_field(object, &field).unwrap();
    }
    sandbox
}

#[test]
fn jsforce_works_unmodified() {
    run::node("jsforce", &start());
}

#[test]
fn simple_salesforce_works_unmodified() {
    run::run("simple-salesforce", run::python("simple-salesforce"), &start());
}
