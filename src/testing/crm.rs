//! The stand-in for one CRM account of a test.

use engine::document::escape;
use indexmap::IndexMap;
use jiff::Timestamp;
use sandbox::{By, Change, DuplicateRule, Options, Refused, Request, SalesforceOptions, Sandbox};
use serde_json::{Map, Value};

use super::file::{Account, CrmBefore, CrmChange, Generated, Kind, Login, Rows};

/// A stand-in, and what its account is called.
#[derive(Debug)]
pub(crate) struct Crm {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) sandbox: Sandbox,
    login: Login,
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
        let mut options =
            Options { seed: generated.seed.unwrap_or(1), now: Some(now), frozen: true, ..Options::default() };
        let Generated { contacts, accounts, leads, .. } = generated;
        match account.kind() {
            Kind::Dynamics => (options.contacts, options.accounts) = (contacts, accounts),
            Kind::Salesforce => options.salesforce = SalesforceOptions { contacts, accounts, leads },
        }
        let sandbox = Sandbox::start(options)?;
        let mut limits = Map::from_iter([("retries".to_owned(), Value::from(0))]);
        let mut login = Login::default();
        if let Account::Full(account) = account {
            login = account.login;
            limits.extend(account.limits.clone());
        }
        Ok(Self { name: name.to_owned(), kind: account.kind(), sandbox, login, limits })
    }

    /// The account, as in `campanile.toml`, once the stand-in knows how it logs in.
    ///
    /// # Errors
    /// Why it cannot log in so.
    pub(crate) fn configuration(&self) -> Result<String, String> {
        let limits: Vec<String> = self.limits.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        let account = match self.kind {
            Kind::Dynamics => self.dynamics()?,
            Kind::Salesforce => self.salesforce()?,
        };
        // What is a text in JSON is the same text in TOML.
        let keys: String = account.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        Ok(format!("[accounts.{}]\n{keys}limits = {{ {} }}\n", self.name, limits.join(", ")))
    }

    fn dynamics(&self) -> Result<Map<String, Value>, String> {
        let told = self.sandbox.describe();
        let mut account = Map::from_iter([
            ("kind".to_owned(), "dynamics".into()),
            ("url".to_owned(), told["dynamics"].clone()),
            ("tokenUrl".to_owned(), told["tokenUrl"].clone()),
            ("tenantId".to_owned(), told["tenantId"].clone()),
            ("clientId".to_owned(), told["clientId"].clone()),
        ]);
        match self.login {
            Login::ClientCredentials => account.insert("clientSecret".to_owned(), told["clientSecret"].clone()),
            Login::Certificate => {
                said(self.sandbox.admin().add_certificate(sandbox::CERTIFICATE))?;
                let both = format!("{}{}", sandbox::CERTIFICATE, sandbox::PRIVATE_KEY);
                account.insert("certificate".to_owned(), both.into())
            }
            other => return Err(format!("Dynamics has no login \"{}\"", other.name())),
        };
        Ok(account)
    }

    fn salesforce(&self) -> Result<Map<String, Value>, String> {
        let told = self.sandbox.salesforce();
        let mut account =
            Map::from_iter([("kind".to_owned(), "salesforce".into()), ("login".to_owned(), self.login.name().into())]);
        let keys: &[&str] = match self.login {
            Login::ClientCredentials => &["url", "clientId", "clientSecret"],
            Login::Jwt => &["url", "clientId", "username"],
            Login::Password => &["url", "clientId", "clientSecret", "username", "password", "securityToken"],
            Login::RefreshToken => &["url", "clientId", "clientSecret", "refreshToken"],
            Login::Certificate => return Err("Salesforce has no login \"certificate\": it is \"jwt\" there".to_owned()),
        };
        account.extend(keys.iter().map(|key| ((*key).to_owned(), told[*key].clone())));
        if self.login == Login::Jwt {
            said(self.sandbox.admin().salesforce().set_public_key(sandbox::CERTIFICATE))?;
            account.insert("privateKey".to_owned(), sandbox::PRIVATE_KEY.into());
        }
        Ok(account)
    }

    /// Puts in it what the test begins with; tells what it refuses.
    pub(crate) fn fill(&self, before: &CrmBefore) -> Vec<Refusal> {
        let mut refused = Vec::from_iter(self.set(&before.settings).err().map(|why| ("settings".to_owned(), why)));
        refused.extend(self.add_fields(&before.fields));
        let mut tell = |at: String, done: Result<(), String>| refused.extend(done.err().map(|why| (at, why)));
        for (object, keys) in &before.keys {
            for (name, fields) in keys {
                tell(format!("keys/{}/{}", escape(object), escape(name)), self.add_key(object, name, fields));
            }
        }
        for (object, rules) in &before.duplicates {
            for (name, fields) in rules {
                tell(format!("duplicates/{}/{}", escape(object), escape(name)), self.add_rule(object, name, fields));
            }
        }
        refused.extend(self.put("records", &before.records));
        refused
    }

    fn set(&self, settings: &Map<String, Value>) -> Result<(), String> {
        let (admin, given) = (self.sandbox.admin(), Value::Object(settings.clone()));
        match self.kind {
            _ if settings.is_empty() => Ok(()),
            Kind::Dynamics => said(admin.set_tracking(&read(given)?)),
            Kind::Salesforce => {
                admin.salesforce().set_settings(read(given)?);
                Ok(())
            }
        }
    }

    fn add_fields(&self, fields: &IndexMap<String, Vec<Map<String, Value>>>) -> Vec<Refusal> {
        let all =
            fields.iter().flat_map(|(object, fields)| fields.iter().enumerate().map(move |field| (object, field)));
        let add = |(object, (n, field)): (&String, (usize, &Map<String, Value>))| {
            let why = self.add_field(object, field).err()?;
            Some((format!("fields/{}/{n}", escape(object)), why))
        };
        all.filter_map(add).collect()
    }

    fn add_field(&self, object: &str, field: &Map<String, Value>) -> Result<(), String> {
        let (admin, field) = (self.sandbox.admin(), Value::Object(field.clone()));
        match self.kind {
            Kind::Dynamics => said(admin.add_attribute(object, &read(field)?)),
            Kind::Salesforce => said(admin.salesforce().add_field(object, &read(field)?)),
        }
    }

    fn add_key(&self, object: &str, name: &str, fields: &[String]) -> Result<(), String> {
        match self.kind {
            Kind::Dynamics => said(self.sandbox.admin().add_key(object, name, fields)),
            Kind::Salesforce => Err("Salesforce has no such keys: give a field \"externalId\": true".to_owned()),
        }
    }

    fn add_rule(&self, object: &str, name: &str, fields: &[String]) -> Result<(), String> {
        let admin = self.sandbox.admin();
        match self.kind {
            Kind::Dynamics => said(admin.add_rule(object, name, fields, false)),
            Kind::Salesforce => {
                let rule = DuplicateRule { name: name.to_owned(), fields: fields.to_vec(), allow_save: true };
                said(admin.salesforce().add_duplicate_rule(object, &rule))
            }
        }
    }

    /// Changes it as people do; tells what it refuses.
    pub(crate) fn change(&self, change: &CrmChange) -> Vec<Refusal> {
        let admin = self.sandbox.admin();
        let mut refused = self.add_fields(&change.fields);
        refused.extend(self.put("put", &change.put));
        for (object, ids) in &change.delete {
            for (n, id) in ids.iter().enumerate() {
                let why = match admin.delete(object, id) {
                    Ok(true) => continue,
                    Ok(false) => format!("there is no record {id}"),
                    Err(refused) => refused.to_string(),
                };
                refused.push((format!("delete/{}/{n}", escape(object)), why));
            }
        }
        for (object, merges) in &change.merge {
            for (n, merge) in merges.iter().enumerate() {
                let done = match self.kind {
                    Kind::Dynamics => Err("records cannot be merged here".to_owned()),
                    Kind::Salesforce => said(admin.salesforce().merge(object, &merge.into, &merge.records)),
                };
                refused.extend(done.err().map(|why| (format!("merge/{}/{n}", escape(object)), why)));
            }
        }
        refused
    }

    fn put(&self, key: &str, records: &IndexMap<String, Rows>) -> Vec<Refusal> {
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
        let changes = self.all_changes(from).into_iter();
        changes.filter(|change| change.number >= from && change.by == By::Wire).collect()
    }

    fn all_changes(&self, from: u64) -> Vec<Change> {
        let admin = self.sandbox.admin();
        match self.kind {
            Kind::Dynamics => admin.changes(from),
            Kind::Salesforce => admin.salesforce().changes(from),
        }
    }

    /// Requests from this number on.
    pub(crate) fn requests(&self, from: u64) -> Vec<Request> {
        self.sandbox.admin().requests(from).into_iter().filter(|request| request.number >= from).collect()
    }

    /// The numbers that the next change and the next request will have.
    pub(crate) fn next(&self) -> (u64, u64) {
        let last_change = self.all_changes(1).last().map_or(0, |change| change.number);
        (last_change + 1, self.sandbox.admin().state().requests + 1)
    }
}

fn read<T: serde::de::DeserializeOwned>(given: Value) -> Result<T, String> {
    serde_json::from_value(given).map_err(|error| error.to_string())
}

fn said(done: Result<(), Refused>) -> Result<(), String> {
    done.map_err(|refused| refused.to_string())
}

/// What is said of the only record of a list, in the words of a test file.
fn of_one(why: &str) -> String {
    let why = why.strip_prefix("record 0: ").unwrap_or(why);
    match why.split_once(": add it with POST") {
        Some((why, _)) => format!("{why}: add it to \"fields\""),
        None => why.replace("record 0 has", "the record has"),
    }
}
