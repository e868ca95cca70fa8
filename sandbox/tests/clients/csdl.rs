//! OASIS' converter of CSDL, which checks what it reads, and a generator that follows every type of it.

use sandbox::{Attribute, Options, Sandbox};

use crate::run;

#[test]
fn the_model_is_valid_for_a_converter_and_a_generator() {
    let sandbox = Sandbox::start(Options { contacts: 10, accounts: 10, seed: 5, ..Options::default() }).unwrap();
    // Every type of column that readers see, and references of one and of several tables.
    for kind in ["ManagedProperty", "File", "Image", "Newest", "Decimal", "BigInt", "MultiSelectPicklist", "Lookup"] {
        let attribute = Attribute {
            name: format!("new_{}", kind.to_lowercase()),
            kind: kind.into(),
            options: vec![sandbox::AttributeOption { value: 1, label: "One".into() }],
            targets: vec!["account".into(), "lead".into()],
            ..Attribute::default()
        };
        sandbox.admin().add_attribute("contact", &attribute).unwrap();
    }
    run::node("odata-csdl", &sandbox);
}
