//! The tables of the stand-in, with the columns of the real ones that anybody moves.

mod columns;

use crate::data::{
    Choice, DateBehavior, Field, FieldKind, LookupRole, Population, PopulationKind, Required, Table, TableShape, Value,
    generate::{Others, seed_of},
};
use Spec::{
    BigInt, Customer, Day, Decimal, Double, EntityName, Flag, Format, Guid, Id, Instant, Integer, List, Lookup, Memo,
    Money, Owner, State, Status, Text, Virtual,
};
use columns::{ACCOUNT, CONTACT, Column, READ_ONLY, SHARED, SYSTEM, Spec, USER};

/// All tables, with so many generated people, companies and users.
pub(crate) fn tables(others: Others, until: i64) -> Vec<Table> {
    let population = |kind, count| Population { kind, count, seed: seed_of(kind, others.seed), until, others };
    let contact = TableShape {
        name: "contact",
        set: "contacts",
        schema_name: "Contact",
        label: "Contact",
        plural: "Contacts",
        type_code: 2,
        id_field: "contactid",
        name_field: "fullname",
    };
    let account = TableShape {
        name: "account",
        set: "accounts",
        schema_name: "Account",
        label: "Account",
        plural: "Accounts",
        type_code: 1,
        id_field: "accountid",
        name_field: "name",
    };
    let user = TableShape {
        name: "systemuser",
        set: "systemusers",
        schema_name: "SystemUser",
        label: "User",
        plural: "Users",
        type_code: 8,
        id_field: "systemuserid",
        name_field: "fullname",
    };
    vec![
        Table::new(
            contact,
            fields(&[CONTACT, SHARED, SYSTEM], "contact"),
            population(PopulationKind::People, others.people),
        ),
        Table::new(
            account,
            fields(&[ACCOUNT, SHARED, SYSTEM], "account"),
            population(PopulationKind::Companies, others.companies),
        ),
        Table::new(user, fields(&[USER], "systemuser"), population(PopulationKind::Users, others.users)),
    ]
}

fn fields(lists: &[&[Column]], table: &str) -> Vec<Field> {
    lists.iter().flat_map(|list| list.iter()).map(|column| field(column, table)).collect()
}

fn field((schema_name, label, spec, fact): &Column, table: &str) -> Field {
    let name = schema_name.to_lowercase();
    let kind = kind(*spec);
    let is_read_only = READ_ONLY.contains(&name.as_str()) || !kind.is_readable();
    // Accounts demand a name in forms, contacts a last name; the API demands neither.
    let required = match (table, name.as_str()) {
        ("contact", "lastname") | ("account", "name") => Required::Application,
        (_, "firstname") => Required::Recommended,
        (_, "statecode" | "ownerid") => Required::System,
        _ if matches!(spec, Id) => Required::System,
        _ => Required::None,
    };
    let default = match (spec, fact) {
        (Flag(_, _, default), _) => Value::Boolean(*default),
        (State, _) => Value::Integer(0),
        (Status, _) => Value::Integer(1),
        (List(_), _)
            if name.starts_with("preferred")
                || name == "customertypecode" && table == "contact"
                || name == "leadsourcecode" =>
        {
            Value::Integer(1)
        }
        _ => Value::Null,
    };
    Field {
        name,
        schema_name: (*schema_name).to_owned(),
        label: (*label).to_owned(),
        kind,
        can_create: !is_read_only,
        can_update: !is_read_only && !matches!(spec, Id) && *schema_name != "OverriddenCreatedOn",
        required,
        custom: false,
        fact: *fact,
        default,
    }
}

fn kind(spec: Spec) -> FieldKind {
    match spec {
        Text(length_max) => FieldKind::Text { length_max, format: "Text" },
        Format(length_max, format) => FieldKind::Text { length_max, format },
        Memo(length_max) => FieldKind::Memo { length_max },
        Id | Guid => FieldKind::Guid,
        Instant => FieldKind::DateTime(DateBehavior::UserLocal),
        Day => FieldKind::DateTime(DateBehavior::DateOnly),
        Integer(min, max) => FieldKind::Integer { min, max },
        BigInt => FieldKind::BigInt,
        Money => FieldKind::Money { precision: 2 },
        Decimal(precision) => FieldKind::Decimal { precision },
        Double(precision) => FieldKind::Double { precision },
        Flag(yes, no, _) => FieldKind::Boolean { yes: yes.to_owned(), no: no.to_owned() },
        List(labels) => {
            FieldKind::Picklist((1..).zip(labels).map(|(value, label)| Choice::new(value, *label)).collect())
        }
        State => FieldKind::State(vec![Choice::new(0, "Active"), Choice::new(1, "Inactive")]),
        Status => FieldKind::Status(vec![
            Choice { state: Some(0), ..Choice::new(1, "Active") },
            Choice { state: Some(1), ..Choice::new(2, "Inactive") },
        ]),
        Lookup(targets) => FieldKind::Lookup { targets: targets.to_vec(), role: LookupRole::Plain },
        Customer => FieldKind::Lookup { targets: vec!["account", "contact"], role: LookupRole::Customer },
        Owner => FieldKind::Lookup { targets: vec!["systemuser", "team"], role: LookupRole::Owner },
        EntityName => FieldKind::EntityName,
        Virtual => FieldKind::Virtual,
    }
}
