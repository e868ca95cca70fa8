//! The two systems. Scenarios are written in Dynamics' words and hold on both.

use sandbox::{By, Change, Sandbox};
use serde_json::{Value, json};

/// Which system a scenario is played on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Dynamics,
    Salesforce,
}

/// What Salesforce calls what the scenarios speak of. Contacts there have no state; a field of the organisation's own serves.
const WORDS: [(&str, &str); 20] = [
    ("dynamics", "salesforce"),
    ("contacts", "Contact"),
    ("contact", "Contact"),
    ("accounts", "Account"),
    ("contactid", "Id"),
    ("firstname", "FirstName"),
    ("lastname", "LastName"),
    ("emailaddress1", "Email"),
    ("address1_country", "MailingCountry"),
    ("modifiedon", "LastModifiedDate"),
    ("createdon", "CreatedDate"),
    ("statecode", "StateCode__c"),
    ("department", "Department"),
    ("jobtitle", "Title"),
    ("birthdate", "Birthdate"),
    ("lastonholdtime", "OnHold__c"),
    ("new_number", "Number__c"),
    ("new_activity", "Activity__c"),
    ("new_extid", "ExtId__c"),
    ("telephone1", "Phone"),
];

impl Side {
    /// The same in this system's words. Only whole words are taken, so that `lastname` in `last_name` stays.
    pub(crate) fn say(self, text: &str) -> String {
        if self == Self::Dynamics {
            return text.to_owned();
        }
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let mut said = String::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let end = rest.find(|next: char| is_word(next) != is_word(c)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            said.push_str(WORDS.iter().find(|(ours, _)| *ours == word).map_or(word, |(_, theirs)| theirs));
            rest = after;
        }
        said
    }

    /// A condition on a date as it is sent.
    pub(crate) fn window(self, field: &str, from: Option<&str>, to: &str) -> String {
        let field = self.say(field);
        let (least, less, and) = match self {
            Self::Dynamics => ("ge", "lt", "and"),
            Self::Salesforce => (">=", "<", "AND"),
        };
        let from = from.map(|from| format!("{field} {least} {from} {and} ")).unwrap_or_default();
        format!("{from}{field} {less} {to}")
    }

    /// The id of C01 and its like.
    pub(crate) fn id(self, sandbox: &Sandbox, number: u8) -> String {
        match self {
            Self::Dynamics => format!("c0000000-0000-4000-8000-0000000000{number:02}"),
            Self::Salesforce => sandbox.admin().salesforce().id("Contact", number.into()).unwrap(),
        }
    }

    /// Makes a contact or changes it.
    pub(crate) fn put(self, sandbox: &Sandbox, id: &str, fields: &Value) {
        match self {
            Self::Dynamics => sandbox.admin().put("contacts", id, fields).unwrap(),
            Self::Salesforce => sandbox.admin().salesforce().put("Contact", id, &self.said(fields)).unwrap(),
        }
    }

    /// The fields of a contact, by Dynamics' names.
    pub(crate) fn record(self, sandbox: &Sandbox, id: &str) -> Option<Value> {
        let admin = sandbox.admin();
        match self {
            Self::Dynamics => admin.record("contacts", id).unwrap(),
            Self::Salesforce => {
                let record = admin.salesforce().record("Contact", id).unwrap()?;
                let ours = |name: &String| {
                    let word = WORDS.iter().find(|(ours, theirs)| theirs == name && *ours != "contact");
                    word.map_or(name.clone(), |(ours, _)| (*ours).to_owned())
                };
                let fields = record.as_object()?.iter().map(|(name, value)| (ours(name), value.clone()));
                Some(Value::Object(fields.collect()))
            }
        }
    }

    /// Deletes a contact.
    pub(crate) fn delete(self, sandbox: &Sandbox, id: &str) {
        let was_there = match self {
            Self::Dynamics => sandbox.admin().delete("contacts", id),
            Self::Salesforce => sandbox.admin().salesforce().delete("Contact", id),
        };
        assert!(was_there.unwrap());
    }

    /// A column of contacts that the product does not have: a whole number, a day, a date and time, a text.
    pub(crate) fn add_field(self, sandbox: &Sandbox, name: &str, kind: &str) {
        let (dynamics, salesforce) = match kind {
            "number" => (json!({ "type": "Integer" }), json!({ "type": "int" })),
            "day" => (json!({ "type": "DateTime", "dateBehavior": "DateOnly" }), json!({ "type": "date" })),
            "time" => (json!({ "type": "DateTime" }), json!({ "type": "datetime" })),
            "key" => (json!({ "type": "String" }), json!({ "type": "string", "externalId": true, "unique": true })),
            other => panic!("no kind of field {other}"),
        };
        match self {
            Self::Dynamics => {
                let attribute = with_name(dynamics, name);
                sandbox.admin().add_attribute("contact", &serde_json::from_value(attribute).unwrap()).unwrap();
                if kind == "key" {
                    sandbox.admin().add_key("contact", &format!("{name}_key"), &[name.to_owned()]).unwrap();
                }
            }
            Self::Salesforce => {
                let field = serde_json::from_value(with_name(salesforce, &self.say(name))).unwrap();
                sandbox.admin().salesforce().add_field("Contact", &field).unwrap();
            }
        }
    }

    /// What was changed over the wire.
    pub(crate) fn changes(self, sandbox: &Sandbox) -> Vec<Change> {
        let all = match self {
            Self::Dynamics => sandbox.admin().changes(0),
            Self::Salesforce => sandbox.admin().salesforce().changes(0),
        };
        all.into_iter().filter(|change| change.by == By::Wire).collect()
    }

    /// Whether a request reads or writes contacts.
    pub(crate) fn is_data(self, path: &str) -> bool {
        match self {
            Self::Dynamics => path.contains("/contacts") || path.contains("/$batch"),
            Self::Salesforce => {
                let parts = ["/query", "/composite", "/jobs/", "/Contact/"];
                parts.iter().any(|part| path.contains(part)) && !path.ends_with("/describe")
            }
        }
    }

    fn said(self, fields: &Value) -> Value {
        let fields = fields.as_object().unwrap().iter();
        Value::Object(fields.map(|(name, value)| (self.say(name), value.clone())).collect())
    }
}

fn with_name(mut field: Value, name: &str) -> Value {
    field["name"] = name.into();
    field
}
