//! The stand-in for one CRM account of a test.

use engine::document::escape;
use indexmap::IndexMap;
use jiff::Timestamp;
use sandbox::{By, Change, Options, Request, Sandbox};
use serde_json::{Map, Value};

use super::file::{Account, CrmBefore, CrmChange, Kind};

/// A stand-in, and what its account is called.
#[derive(Debug)]
pub(crate) struct Crm {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) sandbox: Sandbox,
    limits: Map<String, Value>,
}

/// Something of the test file that the stand-in refuses: where, from what was given, and why.
pub(crate) type Refusal = (String, String);

impl Crm {
    /// Starts it, its clock standing at `now`.
    pub(crate) fn start(
        name: &str,
        account: &Account,
        before: Option<&CrmBefore>,
        now: Timestamp,
    ) -> Result<Self, sandbox::Error> {
        let generated = before.and_then(|before| before.generated.clone()).unwrap_or_default();
        let sandbox = Sandbox::start(Options {
            contacts: generated.contacts,
            accounts: generated.accounts,
            seed: generated.seed.unwrap_or(1),
            now: Some(now),
            frozen: true,
            ..Options::default()
        })?;
        let mut limits = Map::from_iter([("retries".to_owned(), Value::from(0))]);
        if let Account::Full(account) = account {
            limits.extend(account.limits.clone());
        }
        Ok(Self { name: name.to_owned(), kind: account.kind(), sandbox, limits })
    }

    /// The account, as in `campanile.toml`.
    pub(crate) fn configuration(&self) -> String {
        let limits: Vec<String> = self.limits.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        let account = match self.kind {
            Kind::Dynamics => crate::commands::sandbox::account(&self.sandbox, &self.name),
        };
        format!("{account}limits = {{ {} }}\n", limits.join(", "))
    }

    /// Puts in it what the test begins with; tells what it refuses.
    pub(crate) fn fill(&self, before: &CrmBefore) -> Vec<Refusal> {
        let admin = self.sandbox.admin();
        let mut refused = Vec::new();
        for (object, fields) in &before.fields {
            for (n, field) in fields.iter().enumerate() {
                let field = serde_json::from_value(Value::Object(field.clone())).map_err(|error| error.to_string());
                let added = field.and_then(|field| admin.add_attribute(object, &field).map_err(|r| r.to_string()));
                refused.extend(added.err().map(|why| (format!("fields/{}/{n}", escape(object)), why)));
            }
        }
        for (object, keys) in &before.keys {
            for (name, fields) in keys {
                let added = admin.add_key(object, name, fields);
                let at = || format!("keys/{}/{}", escape(object), escape(name));
                refused.extend(added.err().map(|why| (at(), why.to_string())));
            }
        }
        for (object, rules) in &before.duplicates {
            for (name, fields) in rules {
                let added = admin.add_rule(object, name, fields, true);
                let at = || format!("duplicates/{}/{}", escape(object), escape(name));
                refused.extend(added.err().map(|why| (at(), why.to_string())));
            }
        }
        refused.extend(self.put("records", &before.records));
        refused
    }

    /// Changes it as people do; tells what it refuses.
    pub(crate) fn change(&self, change: &CrmChange) -> Vec<Refusal> {
        let mut refused = self.put("put", &change.put);
        for (object, ids) in &change.delete {
            for (n, id) in ids.iter().enumerate() {
                let why = match self.sandbox.admin().delete(object, id) {
                    Ok(true) => continue,
                    Ok(false) => format!("there is no record {id}"),
                    Err(refused) => refused.to_string(),
                };
                refused.push((format!("delete/{}/{n}", escape(object)), why));
            }
        }
        refused
    }

    fn put(&self, key: &str, records: &IndexMap<String, super::file::Rows>) -> Vec<Refusal> {
        let mut refused = Vec::new();
        for (object, rows) in records {
            let pointer = format!("{key}/{}", escape(object));
            for (n, record) in rows.objects().into_iter().enumerate() {
                // One by one, so that each that is refused is told with its place.
                if let Err(why) = self.sandbox.admin().put_all(object, &[Value::Object(record)]) {
                    refused.push((rows.pointer(&pointer, n), of_one(&why.to_string())));
                }
            }
        }
        refused
    }

    /// All records of an object.
    pub(crate) fn records(&self, object: &str) -> Result<Vec<Map<String, Value>>, String> {
        let records = self.sandbox.admin().records(object).map_err(|refused| refused.to_string())?;
        Ok(records.into_iter().filter_map(|record| record.as_object().cloned()).collect())
    }

    /// What came over the wire and changed something, from this number on.
    pub(crate) fn changes(&self, from: u64) -> Vec<Change> {
        let changes = self.sandbox.admin().changes(from).into_iter();
        changes.filter(|change| change.number >= from && change.by == By::Wire).collect()
    }

    /// Requests from this number on.
    pub(crate) fn requests(&self, from: u64) -> Vec<Request> {
        self.sandbox.admin().requests(from).into_iter().filter(|request| request.number >= from).collect()
    }

    /// The numbers that the next change and the next request will have.
    pub(crate) fn next(&self) -> (u64, u64) {
        let state = self.sandbox.admin().state();
        (state.changes + 1, state.requests + 1)
    }
}

/// What is said of the only record of a list, in the words of a test file.
fn of_one(why: &str) -> String {
    let why = why.strip_prefix("record 0: ").unwrap_or(why);
    match why.split_once(": add it with POST") {
        Some((why, _)) => format!("{why}: add it to \"fields\""),
        None => why.replace("record 0 has", "the record has"),
    }
}
