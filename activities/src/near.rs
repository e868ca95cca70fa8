//! What to write instead of the name of a field that an object does not have.

use engine::outside::crm::Object;
use engine::problem::Suggestions;

/// The field that was probably meant, or where its fields are listed.
pub(crate) fn field(name: &str, object: &Object, account: &str, suggestions: &Suggestions) -> String {
    let usable = object.fields.values().filter(|field| field.is_usable());
    suggestions
        .of(name, usable.map(|field| field.name.as_str()))
        .unwrap_or_else(|| format!("`campanile discover {account} {}` lists its fields", object.name))
}

#[cfg(test)]
mod tests {
    use engine::outside::crm::{FieldKind, ObjectField};

    use super::*;

    #[test]
    fn of_many_fields_the_near_one_is_named_or_the_command_that_lists_them() {
        let names =
            ["lastname", "firstname"].into_iter().map(str::to_owned).chain((0..20).map(|n| format!("new_{n}x")));
        let object = Object {
            name: "contacts".to_owned(),
            label: String::new(),
            internal_name: "contact".to_owned(),
            id: "contactid".to_owned(),
            fields: names.map(|name| (name.clone(), ObjectField::new(&name, FieldKind::Text))).collect(),
            keys: Vec::new(),
            feed: false,
            deletion_log: None,
        };
        let suggestions = Suggestions::default();
        assert_eq!(field("lastnam", &object, "crm", &suggestions), "did you mean \"lastname\"?");
        assert_eq!(
            field("shoeSize", &object, "crm", &suggestions),
            "`campanile discover crm contacts` lists its fields"
        );
    }
}
