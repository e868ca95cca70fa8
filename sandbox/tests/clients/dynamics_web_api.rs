//! `DynamicsWebApi`, the most used client of Dataverse in JavaScript.

use sandbox::{Attribute, Options, Sandbox};

use crate::run;

#[test]
fn dynamics_web_api_works_unmodified() {
    let sandbox = Sandbox::start(Options { contacts: 12_000, accounts: 100, seed: 5, ..Options::default() }).unwrap();
    let attribute = Attribute { name: "new_extid".into(), kind: "String".into(), ..Attribute::default() };
    sandbox.admin().add_attribute("contact", &attribute).unwrap();
    sandbox.admin().add_key("contact", "new_extid_key", &["new_extid".into()]).unwrap();
    run::node("dynamics-web-api", &sandbox);
}
