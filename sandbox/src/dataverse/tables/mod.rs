//! The tables of the stand-in, with the columns of the real ones that anybody moves.

mod columns;

use std::collections::BTreeMap;

use crate::data::{
    By, Choice, DateBehavior, Draft, Field, FieldKind, Link, LookupRole, Population, PopulationKind, Required, Store,
    Table, TableShape, Value,
    generate::{Ids, Others, seed_of},
};
use Spec::{
    BigInt, Customer, Day, Decimal, Double, EntityName, Flag, Format, Guid, Id, Image, Instant, Integer, LeadState,
    LeadStatus, List, Lookup, Memo, Money, Owner, State, Status, Text, Virtual,
};
use columns::{ACCOUNT, AUDIT, CONTACT, Column, LEAD, MESSAGE, MESSAGE_FILTER, READ_ONLY, SHARED, SYSTEM, Spec, USER};

/// Messages that can be sent to a table, as `sdkmessagefilters` tells.
const MESSAGES: [&str; 8] =
    ["Create", "Update", "Upsert", "Delete", "CreateMultiple", "UpdateMultiple", "UpsertMultiple", "RetrieveMultiple"];

/// Tables whose changes are tracked and which are audited unless set otherwise, and which take all messages.
const TRACKED: [&str; 3] = ["contact", "account", "lead"];

const SHAPES: [TableShape; 7] = [
    shape(["contact", "contacts", "Contact", "Contacts", "contactid", "fullname"], 2),
    shape(["account", "accounts", "Account", "Accounts", "accountid", "name"], 1),
    shape(["lead", "leads", "Lead", "Leads", "leadid", "fullname"], 4),
    shape(["systemuser", "systemusers", "User", "Users", "systemuserid", "fullname"], 8),
    shape(["audit", "audits", "Audit", "Audits", "auditid", "objecttypecode"], 4_567),
    shape(["sdkmessage", "sdkmessages", "SdkMessage", "SdkMessages", "sdkmessageid", "name"], 4_606),
    shape(
        [
            "sdkmessagefilter",
            "sdkmessagefilters",
            "SdkMessageFilter",
            "SdkMessageFilters",
            "sdkmessagefilterid",
            "name",
        ],
        4_607,
    ),
];

const fn shape(names: [&'static str; 6], type_code: i64) -> TableShape {
    let [name, set, label, plural, id_field, name_field] = names;
    let schema_name = if type_code == 8 { "SystemUser" } else { label };
    TableShape { name, set, schema_name, label, plural, type_code, id_field, name_field }
}

/// All tables, with so many generated people, companies and users.
pub(crate) fn tables(others: Others, until: i64) -> Vec<Table> {
    let table = |shape: TableShape| {
        let (columns, kind, count): (&[&[Column]], _, _) = match shape.name {
            "contact" => (&[CONTACT, SHARED, SYSTEM], PopulationKind::People, others.people),
            "account" => (&[ACCOUNT, SHARED, SYSTEM], PopulationKind::Companies, others.companies),
            "lead" => (&[LEAD], PopulationKind::People, 0),
            "systemuser" => (&[USER], PopulationKind::Users, others.users),
            "audit" => (&[AUDIT], PopulationKind::Users, 0),
            "sdkmessage" => (&[MESSAGE], PopulationKind::Users, 0),
            _ => (&[MESSAGE_FILTER], PopulationKind::Users, 0),
        };
        let fields = fields(columns, shape.name);
        let mut table = Table::new(
            shape,
            fields,
            Population { kind, count, seed: seed_of(kind, others.seed), ids: Ids::Drawn, until, others },
        );
        table.tracks_changes = TRACKED.contains(&table.shape.name);
        table.is_audited = table.tracks_changes;
        table
    };
    SHAPES.into_iter().map(table).collect()
}

/// Fills the tables that tell which messages each table takes.
pub(crate) fn describe_messages(store: &mut Store, now: i64) {
    let index = |name: &str| store.table_index(name).unwrap_or(0);
    let (messages, filters) = (index("sdkmessage"), index("sdkmessagefilter"));
    let field = |table: usize, name: &str| store.tables[table].field(name).unwrap_or(0);
    let (name, of_table, message) =
        (field(messages, "name"), field(filters, "primaryobjecttypecode"), field(filters, "sdkmessageid"));
    let mut drafts = Vec::new();
    for (number, text) in (1_u128..).zip(MESSAGES) {
        let id = crate::guid::Guid::from_u128(0x5d00_0000_0000_4000_8000_0000_0000_0000 | number << 64 | number);
        drafts.push(Draft::now(messages, id, BTreeMap::from([(name, Value::literal(text))])));
        for (place, table) in (1_u128..).zip(TRACKED) {
            let filter = crate::guid::Guid::from_u128(id.as_u128() | place << 96);
            let link = Value::Link(Link { table: "sdkmessage", id });
            let values = BTreeMap::from([(of_table, Value::literal(table)), (message, link)]);
            drafts.push(Draft::now(filters, filter, values));
        }
    }
    for draft in drafts {
        store.write(draft, now, By::Admin);
    }
    store.settle_history();
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
        ("contact" | "lead", "lastname") | ("account", "name") => Required::Application,
        (_, "firstname") => Required::Recommended,
        (_, "statecode" | "ownerid") => Required::System,
        _ if matches!(spec, Id) => Required::System,
        _ => Required::None,
    };
    let default = match (spec, fact) {
        (Flag(_, _, default), _) => Value::Boolean(*default),
        (State | LeadState, _) => Value::Integer(0),
        (Status | LeadStatus, _) => Value::Integer(1),
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
        shared_choices: None,
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
        LeadState => {
            FieldKind::State(vec![Choice::new(0, "Open"), Choice::new(1, "Qualified"), Choice::new(2, "Disqualified")])
        }
        LeadStatus => FieldKind::Status(
            [
                (1, "New", 0),
                (2, "Contacted", 0),
                (3, "Qualified", 1),
                (4, "Lost", 2),
                (5, "Cannot Contact", 2),
                (6, "No Longer Interested", 2),
                (7, "Canceled", 2),
            ]
            .map(|(value, label, state)| Choice { state: Some(state), ..Choice::new(value, label) })
            .to_vec(),
        ),
        Lookup(targets) => FieldKind::Lookup { targets: targets.to_vec(), role: LookupRole::Plain },
        Customer => FieldKind::Lookup { targets: vec!["account", "contact"], role: LookupRole::Customer },
        Owner => FieldKind::Lookup { targets: vec!["systemuser", "team"], role: LookupRole::Owner },
        EntityName => FieldKind::EntityName { is_shadow: true },
        Virtual => FieldKind::Virtual,
        Image => FieldKind::Image,
    }
}
