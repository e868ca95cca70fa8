//! Every type of field of both systems, from its description to what an import brings and an export writes.
//!
//! Each table has a line for every type that the stand-in knows, so that none can be forgotten.

use sandbox::{Attribute, AttributeOption, SalesforceField};
use serde_json::{Map, Value, json};

use crate::world::World;

/// What is to be known of a type: its name (with a behavior behind a colon), the kind of value that it becomes, what the CRM holds, what an import brings of it,
/// and whether an export writes it. Without a kind it is neither read nor written, and a word of what is told instead.
struct Case {
    system_type: &'static str,
    kind: Option<&'static str>,
    held: &'static str,
    brought: &'static str,
    written: bool,
}

impl Case {
    /// The type's name without a behavior.
    fn name(&self) -> &'static str {
        self.system_type.split(':').next().unwrap()
    }
}

const fn value(
    system_type: &'static str,
    kind: &'static str,
    held: &'static str,
    brought: &'static str,
    written: bool,
) -> Case {
    Case { system_type, kind: Some(kind), held, brought, written }
}

const fn no_value(system_type: &'static str, instead: &'static str) -> Case {
    Case { system_type, kind: None, held: "null", brought: instead, written: false }
}

const SALESFORCE: &[Case] = &[
    value("string", "text", r#""a""#, r#""a""#, true),
    value("textarea", "text", r#""a b""#, r#""a b""#, true),
    value("email", "text", r#""a@b.example""#, r#""a@b.example""#, true),
    value("phone", "text", r#""+1""#, r#""+1""#, true),
    value("url", "text", r#""u.example""#, r#""u.example""#, true),
    value("encryptedstring", "text", r#""secret""#, r#""******""#, true),
    value("picklist", "textPicklist", r#""One""#, r#""One""#, true),
    value("multipicklist", "textMultiPicklist", r#""One;Two""#, r#"["One","Two"]"#, true),
    value("combobox", "text", r#""Other""#, r#""Other""#, true),
    value("boolean", "bool", "true", "true", true),
    value("int", "int", "7", "7", true),
    value("long", "bigInt", "9007199254740993", "9007199254740993", true),
    value("double", "double", "1.5", "1.5", true),
    value("currency", "decimal", "1.5", "1.5", true),
    value("percent", "double", "12.5", "12.5", true),
    value("date", "date", r#""2026-03-03""#, r#""2026-03-03""#, true),
    value("datetime", "dateTime", r#""2026-03-03T10:00:00Z""#, r#""2026-03-03T10:00:00Z""#, true),
    value("time", "time", r#""10:30:00.000Z""#, r#""10:30:00""#, true),
    value("reference", "lookup", r#""003gL0000000009QAA""#, r#""003gL0000000009QAA""#, true),
    no_value("base64", "other tools"),
    no_value("address", "Any_address__Street__s, Any_address__City__s"),
    no_value("location", "Any_location__Latitude__s, Any_location__Longitude__s"),
    value("anyType", "text", "true", r#""true""#, false),
    value("json", "text", r#""{}""#, r#""{}""#, false),
    value("complexvalue", "text", r#"{"a":1}"#, r#""{\"a\":1}""#, false),
    value("masterrecord", "text", r#""003gL0000000009QAA""#, r#""003gL0000000009QAA""#, false),
    value("datacategorygroupreference", "text", r#""Faq""#, r#""Faq""#, false),
    // A type that we do not know.
    value("floatarray", "text", "[1,2]", r#""[1,2]""#, false),
];

const DYNAMICS: &[Case] = &[
    value("String", "text", r#""a""#, r#""a""#, true),
    value("Memo", "text", r#""a b""#, r#""a b""#, true),
    value("Uniqueidentifier", "text", ID, ID, true),
    value("DateTime", "dateTime", r#""2026-03-03T10:00:00Z""#, r#""2026-03-03T10:00:00Z""#, true),
    value("DateTime:DateOnly", "date", r#""2026-03-03""#, r#""2026-03-03""#, true),
    value(
        "DateTime:TimeZoneIndependent",
        "localDateTime",
        r#""2026-03-03T10:00:00Z""#,
        r#""2026-03-03T10:00:00""#,
        true,
    ),
    value("Integer", "int", "7", "7", true),
    value("BigInt", "bigInt", "9007199254740993", "9007199254740993", false),
    value("Money", "decimal", "1.5", "1.5", true),
    value("Decimal", "decimal", "1.5", "1.5", true),
    value("Double", "double", "1.5", "1.5", true),
    value("Boolean", "bool", "true", "true", true),
    value("Picklist", "picklist", "1", "1", true),
    value("State", "picklist", "1", "1", true),
    value("Status", "picklist", "2", "2", true),
    value("MultiSelectPicklist", "multiPicklist", r#""1,2""#, "[1,2]", true),
    value("Lookup", "lookup", ACCOUNT, ID, true),
    value("Customer", "lookup", ACCOUNT, ID, true),
    value("Owner", "lookup", TEAM, ID, true),
    value("EntityName", "text", r#""contact""#, r#""contact""#, true),
    no_value("PartyList", "activityparties"),
    no_value("CalendarRules", "records of their own"),
    no_value("ManagedProperty", "solutions"),
    no_value("Virtual", "does not bring it"),
    value("File", "text", ID, ID, false),
    no_value("Image", "new_image_url"),
    // A type that we do not know.
    value("Newest", "text", r#"{"a":1}"#, r#""{\"a\":1}""#, true),
];

const ID: &str = r#""acc00000-0000-4000-8000-000000000001""#;
const ACCOUNT: &str = r#"{"table": "account", "id": "acc00000-0000-4000-8000-000000000001"}"#;
const TEAM: &str = r#"{"table": "team", "id": "acc00000-0000-4000-8000-000000000001"}"#;

/// A system with a field of every type.
struct Side {
    cases: &'static [Case],
    account: &'static str,
    object: &'static str,
    id: &'static str,
    name: &'static str,
    /// The record that is read, and the one that gets its values.
    records: [String; 2],
    prefix: &'static str,
    suffix: &'static str,
}

impl Side {
    fn salesforce(world: &World) -> Self {
        world.add_salesforce("");
        let admin = world.sandbox.admin().salesforce();
        let records = [100_001, 100_002].map(|number| admin.id("Contact", number).unwrap());
        let (account, object, id, name) = ("salesforce", "Contact", "Id", "LastName");
        let side = Self { cases: SALESFORCE, account, object, id, name, records, prefix: "Any_", suffix: "__c" };
        for case in SALESFORCE {
            let field = SalesforceField {
                name: side.field(case),
                kind: Some(case.system_type.to_owned()),
                values: Some(vec!["One".to_owned(), "Two".to_owned()]),
                reference_to: Some(vec!["Contact".to_owned()]),
                ..SalesforceField::default()
            };
            admin.add_field("Contact", &field).unwrap();
        }
        let unknown = SalesforceField { name: "X__c".into(), kind: Some("?".into()), ..SalesforceField::default() };
        side.names_all(&admin.add_field("Contact", &unknown).unwrap_err().to_string());
        admin.put("Contact", "003gL0000000009QAA", &json!({ "LastName": "Other" })).unwrap();
        side.fill(world);
        side
    }

    fn dynamics(world: &World) -> Self {
        let admin = world.sandbox.admin();
        let records = [1, 2].map(|number| format!("c0000000-0000-4000-8000-{number:012}"));
        let (account, object, id, name) = ("dynamics", "contacts", "contactid", "lastname");
        let side = Self { cases: DYNAMICS, account, object, id, name, records, prefix: "new_", suffix: "" };
        let attribute = |name: String, kind: &str, behavior: Option<&str>| Attribute {
            name,
            kind: kind.to_owned(),
            date_behavior: behavior.map(str::to_owned),
            options: [(1, "One"), (2, "Two")]
                .map(|(value, label)| AttributeOption { value, label: label.into() })
                .into(),
            targets: vec!["account".to_owned()],
            ..Attribute::default()
        };
        for case in DYNAMICS.iter().filter(|case| !matches!(case.system_type, "State" | "Status")) {
            let behavior = case.system_type.split_once(':').map(|(_, behavior)| behavior);
            admin.add_attribute("contact", &attribute(side.field(case), case.name(), behavior)).unwrap();
        }
        let unknown = admin.add_attribute("contact", &attribute("new_x".to_owned(), "?", None));
        side.names_all(&unknown.unwrap_err().to_string());
        admin.put("accounts", "acc00000-0000-4000-8000-000000000001", &json!({ "name": "A" })).unwrap();
        side.fill(world);
        side
    }

    /// Every type that the stand-in can make has a case.
    fn names_all(&self, refusal: &str) {
        let (_, names) = refusal.split_once("is not one of ").unwrap();
        names.split(", ").for_each(|name| self.has(name));
    }

    /// A case for this type.
    fn has(&self, system_type: &str) {
        assert!(self.cases.iter().any(|case| case.name() == system_type), "no case for {system_type}");
    }

    fn field(&self, case: &Case) -> String {
        match case.system_type {
            "State" | "Status" => format!("{}code", case.system_type.to_lowercase()),
            _ => format!("{}{}{}", self.prefix, case.system_type.to_lowercase().replace(':', "_"), self.suffix),
        }
    }

    fn fill(&self, world: &World) {
        let mut first = Map::from_iter([(self.name.to_owned(), json!("Typed"))]);
        for case in self.cases.iter().filter(|case| case.kind.is_some()) {
            first.insert(self.field(case), serde_json::from_str(case.held).unwrap());
        }
        let [from, to] = &self.records;
        world.sandbox.admin().put(self.object, from, &Value::Object(first)).unwrap();
        world.sandbox.admin().put(self.object, to, &json!({ self.name: "Empty" })).unwrap();
    }

    fn record(&self, world: &World, place: usize) -> Value {
        let id = &self.records[place];
        match self.object {
            "Contact" => world.sandbox.admin().salesforce().record(self.object, id).unwrap().unwrap(),
            _ => world.sandbox.admin().record(self.object, id).unwrap().unwrap(),
        }
    }

    fn import(&self, fields: &[String], to: Value) -> Value {
        json!({ "type": "crm.import", "account": self.account, "object": self.object, "fields": fields,
            "filter": format!("{} == \"Typed\"", self.name), "to": to })
    }

    fn export(&self, set: Map<String, Value>) -> Value {
        json!({ "type": "crm.export", "account": self.account, "object": self.object, "operation": "update", "set": set })
    }

    /// `discover` tells of each type what it becomes.
    fn is_discovered(&self, world: &World) {
        let told = world.ask(&["discover", self.account, self.object, "--json"]).expect(0).json();
        let shown = world.ask(&["discover", self.account, self.object]).expect(0).out;
        for case in self.cases {
            let field = &told["fields"][self.field(case)];
            assert_eq!(field["systemType"], case.name());
            let kind = field["kind"].as_object().and_then(|kind| kind.keys().next().cloned());
            let kind = kind.unwrap_or_else(|| field["kind"].as_str().unwrap().to_owned());
            let may = ["readable", "creatable", "updatable"].map(|may| field[may].as_bool().unwrap());
            let context = format!("{}: {field}", case.system_type);
            match case.kind {
                Some(expected) => {
                    assert_eq!((kind.as_str(), may), (expected, [true, case.written, case.written]), "{context}")
                }
                None => {
                    assert_eq!(may, [false; 3], "{context}");
                    assert!(field["instead"].as_str().unwrap().contains(case.brought), "{context}");
                }
            }
            assert!(shown.contains(&self.field(case)), "{context}");
        }
        // Those of the product's own fields too, but for a record's id and our own companions of lookups.
        let all = told["fields"].as_object().unwrap().values().map(|field| field["systemType"].as_str().unwrap());
        all.filter(|name| !matches!(*name, "id" | "LookupType")).for_each(|name| self.has(name));
    }

    /// An import brings each value as what it is, and an export writes it to another record as it was.
    fn is_moved(&self, world: &World) {
        let of = |case: &&Case| case.kind.is_some();
        let mut fields: Vec<String> = self.cases.iter().filter(of).map(|case| self.field(case)).collect();
        let mut set = Map::from_iter([(self.id.to_owned(), json!(format!("\"{}\"", self.records[1])))]);
        for case in self.cases.iter().filter(|case| case.written) {
            set.insert(self.field(case), json!(self.field(case)));
        }
        // Where a lookup leads to several kinds of record.
        for several in self.cases.iter().filter(|case| matches!(case.system_type, "Customer" | "Owner")) {
            let kind = format!("{}_type", self.field(several));
            set.insert(kind.clone(), json!(kind));
            fields.push(kind);
        }
        let activities = json!({ "import": self.import(&fields, json!("export")), "export": self.export(set) });
        let file = world.workflow("types", &activities);
        world.ask(&["run", &file]).expect(0);
        let row = world.ask(&["preview", "types-1", "import", "--json"]).expect(0).json()[0].clone();
        let (from, to) = (self.record(world, 0), self.record(world, 1));
        for case in self.cases.iter().filter(of) {
            let name = self.field(case);
            let brought: Value = serde_json::from_str(case.brought).unwrap();
            assert_eq!(row[&name], brought, "{}", case.system_type);
            let expected = match case.system_type {
                // Nobody is shown the secret, so that its asterisks are what is written.
                "encryptedstring" => json!("******"),
                _ if case.written => from[&name].clone(),
                _ => Value::Null,
            };
            assert_eq!(to[&name], expected, "{}", case.system_type);
        }
    }

    /// `check` tells of each field that is not read, and of each that is not written, what to do instead.
    fn is_refused(&self, world: &World) {
        world.ask(&[
            "check",
            &world.workflow("known", &json!({ "import": self.import(&[self.name.to_owned()], json!([])) })),
        ]);
        for case in self.cases.iter().filter(|case| !case.written) {
            let name = self.field(case);
            let set = Map::from_iter([(self.id.to_owned(), json!(self.id)), (name.clone(), json!(format!("\"\"")))]);
            let mut wanted = vec![self.name.to_owned()];
            wanted.extend(case.kind.is_none().then(|| name.clone()));
            let activities = json!({ "import": self.import(&wanted, json!("export")), "export": self.export(set) });
            let file = world.workflow("refused", &activities);
            let problems = world.ask(&["check", &file, "--json"]).expect(2).json();
            let told = |pointer: &str| {
                let problem = problems.as_array().unwrap().iter().find(|problem| problem["pointer"] == pointer);
                problem.unwrap_or_else(|| panic!("{pointer} is not in {problems}"))
            };
            let written = told(&format!("/activities/export/set/{name}"));
            assert_eq!(written["code"], "read-only-field", "{written}");
            if case.kind.is_none() {
                let read = told("/activities/import/fields/1");
                assert_eq!(read["code"], "unreadable-field", "{read}");
                for problem in [read, written] {
                    assert!(problem["help"].as_str().unwrap().contains(case.brought), "{problem}");
                }
            }
        }
    }

    fn walk(&self, world: &World) {
        self.is_discovered(world);
        self.is_moved(world);
        self.is_refused(world);
    }
}

#[test]
fn every_type_of_salesforce_is_discovered_imported_exported_or_refused() {
    let world = World::new(0);
    Side::salesforce(&world).walk(&world);
}

#[test]
fn every_type_of_dynamics_is_discovered_imported_exported_or_refused() {
    let world = World::new(0);
    Side::dynamics(&world).walk(&world);
}
