//! What tests and people may do to an organisation past the protocol.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::{
    Id, SalesforceSettings,
    admin_fields::{SalesforceField, change, new_field, parts},
    error::Error,
    rules::{Duplicates, Validation},
    schema::{Field, Source},
    soql,
    store::{Author, Stamp, Store},
    table::{Record, Table, key, number_of},
    validate::{Input, value},
    value::{Value, parse_instant},
    write,
};
use crate::{
    admin::{Controls, Refused, System, index},
    data::{By, Draft, Patch},
    guid::Guid,
    jwt::PublicKey,
    log::Change,
    random::{below, mix},
    state::State,
};

/// The greatest number of a record that can be put by its id.
const NUMBER_MAX: u32 = 4_000_000_000;
/// How often a record or a value is drawn anew when the one drawn does not do.
const DRAWS_MAX: u64 = 50;

/// The controls of a stand-in's Salesforce organisation.
#[derive(Debug, Clone, Copy)]
pub struct SalesforceAdmin<'a> {
    state: &'a State,
}

/// A validation rule: records that fulfil the condition are refused.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ValidationRule {
    /// Its name; a rule of the same name is replaced.
    pub name: String,
    /// What could stand behind `WHERE`, such as `LastName = 'Forbidden'`.
    pub condition: String,
    /// The error's message.
    pub message: String,
    /// The field that the error is about.
    #[serde(default)]
    pub field: Option<String>,
}

/// A duplicate rule: two records with the same values in these fields are doubles.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DuplicateRule {
    /// Its name; a rule of the same name is replaced.
    pub name: String,
    /// The fields.
    pub fields: Vec<String>,
    /// It only warns: with `Sforce-Duplicate-Rule-Header: allowSave=true` the record is saved.
    #[serde(default)]
    pub allow_save: bool,
}

impl<'a> SalesforceAdmin<'a> {
    /// The controls of this state's organisation.
    pub(crate) fn new(state: &'a State) -> Self {
        Self { state }
    }

    /// What is set.
    pub fn settings(&self) -> SalesforceSettings {
        let used = self.state.salesforce.usage.used(self.state.clock.now());
        SalesforceSettings { used_requests: Some(used), ..self.state.salesforce.settings() }
    }

    /// Sets all of it. Take [`SalesforceAdmin::settings`] and change what is to change.
    pub fn set_settings(&self, settings: SalesforceSettings) {
        if let Some(used) = settings.used_requests {
            self.state.salesforce.usage.set(used, self.state.clock.now());
        }
        self.state.salesforce.set_settings(SalesforceSettings { used_requests: None, ..settings });
    }

    /// The id of the record with this number, from 0, of an object. Generated records have the numbers up to their count.
    pub fn id(&self, object: &str, number: u32) -> Result<String, Refused> {
        let store = self.state.salesforce.store(&self.state.clock);
        Ok(store.tables[index(&store, object)?].id(number).to_string())
    }

    /// The public key (PEM, `BEGIN PUBLIC KEY`) that JSON Web Tokens are checked with.
    pub fn set_public_key(&self, pem: &str) -> Result<(), Refused> {
        let key = PublicKey::from_pem(pem).map_err(Refused)?;
        self.state.salesforce.sessions().public_key = Some(key);
        Ok(())
    }

    /// Whether the user is active, and has approved the connected app.
    pub fn set_user(&self, is_active: bool, is_approved: bool) {
        let mut sessions = self.state.salesforce.sessions();
        (sessions.is_active, sessions.is_approved) = (is_active, is_approved);
    }

    /// Refuses every refresh token given so far.
    pub fn revoke_refresh_tokens(&self) {
        self.state.salesforce.sessions().revoke_refresh_tokens();
    }

    /// Loses every query locator.
    pub fn lose_locators(&self) {
        self.state.salesforce.cursors().clear();
    }

    /// Creates a record, or changes the fields of it that are named, past all checks; as [`crate::Admin::put`], with
    /// `CreatedDate`, `SystemModstamp` (or `LastModifiedDate`) and `@visibleFrom`.
    pub fn put(&self, object: &str, id: &str, fields: &Json) -> Result<(), Refused> {
        self.store_mut().put(object, id, fields, self.now())
    }

    /// Creates many records past all checks and returns their ids; one with an `Id` is put there. All or none.
    pub fn create(&self, object: &str, records: &[Json]) -> Result<Vec<String>, Refused> {
        self.store_mut().put_all(object, records, self.now())
    }

    /// A record, live or in the bin, with all its fields that are not null.
    pub fn record(&self, object: &str, id: &str) -> Result<Option<Json>, Refused> {
        self.store().record(object, id)
    }

    /// All live records of an object, each as [`record`](Self::record) gives it.
    pub fn records(&self, object: &str) -> Result<Vec<Json>, Refused> {
        self.store().records(object)
    }

    /// Moves a record to the bin. False if it is not live.
    pub fn delete(&self, object: &str, id: &str) -> Result<bool, Refused> {
        Controls::discard(&mut *self.store_mut(), object, id, self.now())
    }

    /// Deletes a record for good, live or in the bin: only the delete log still knows it. False if there is none.
    pub fn purge(&self, object: &str, id: &str) -> Result<bool, Refused> {
        let mut store = self.store_mut();
        let table = index(&store, object)?;
        let number = number(&store, table, id)?;
        Ok(store.erase(table, number, self.author()))
    }

    /// Empties the bin.
    pub fn empty_bin(&self) {
        let mut store = self.store_mut();
        let author = self.author();
        for table in 0..store.tables.len() {
            for number in store.tables[table].bin() {
                store.erase(table, number, author);
            }
        }
    }

    /// Takes a record out of the bin. False if it is not there. Refused where a live record has the value of a unique field.
    pub fn undelete(&self, object: &str, id: &str) -> Result<bool, Refused> {
        let mut store = self.store_mut();
        let table = index(&store, object)?;
        let number = number(&store, table, id)?;
        write::check_undelete(&store.tables[table], number)
            .map_err(|error| Refused(format!("{}: {}", error.code, error.message)))?;
        Ok(store.recover(table, number, self.author()))
    }

    /// Merges records into a master: they go to the bin with `MasterRecordId`. All or none.
    pub fn merge(&self, object: &str, master: &str, losers: &[String]) -> Result<(), Refused> {
        let mut store = self.store_mut();
        let table = index(&store, object)?;
        let master = number(&store, table, master)?;
        let losers: Vec<u32> = losers.iter().map(|id| number(&store, table, id)).collect::<Result<_, _>>()?;
        let is_live = |number: &u32| store.tables[table].live(*number).is_some();
        if !is_live(&master) || !losers.iter().all(is_live) || losers.contains(&master) {
            return Err(Refused(
                "the master and all losers must be live records, and the master none of the losers".into(),
            ));
        }
        for loser in losers {
            store.delete_merged(table, loser, master, self.author());
        }
        store.save(table, master, Vec::new(), Stamp::default(), self.author());
        Ok(())
    }

    /// Empties an object, generated records, bin and delete log with it. Not logged record by record.
    pub fn clear(&self, object: &str) -> Result<(), Refused> {
        Controls::empty(&mut *self.store_mut(), object)
    }

    /// Changes that many live records as people do, drawn by the seed, and returns their ids.
    pub fn change(&self, object: &str, count: usize, seed: u64) -> Result<Vec<String>, Refused> {
        self.store_mut().change(object, count, seed, self.now())
    }

    /// Adds a field to an object, or changes what is given about one that is there.
    pub fn add_field(&self, object: &str, field: &SalesforceField) -> Result<(), Refused> {
        let mut store = self.store_mut();
        let table = index(&store, object)?;
        let known = store.tables[table].object.field(&field.name);
        let mut new = match (known, &field.kind) {
            (Some(index), None) => store.tables[table].object.fields[index].clone(),
            (Some(index), Some(_)) if !store.tables[table].object.fields[index].custom => {
                return Err(Refused(format!("\"{}\" is a field of the product: its type cannot change", field.name)));
            }
            (_, Some(kind)) => new_field(&store, field, kind)?,
            (None, None) => {
                return Err(Refused(format!("{object} has no field \"{}\": give its type to add it", field.name)));
            }
        };
        change(&mut new, field);
        store.described_at = self.state.clock.now();
        let parts = if known.is_none() { parts(&new, field) } else { Vec::new() };
        for field in parts.into_iter().chain([new]) {
            store.tables[table].add_field(field);
        }
        Ok(())
    }

    /// Adds a validation rule to an object.
    pub fn add_validation_rule(&self, object: &str, rule: &ValidationRule) -> Result<(), Refused> {
        let now = self.state.clock.now();
        let mut store = self.store_mut();
        let table = index(&store, object)?;
        let test = soql::plan_condition(&store, table, &rule.condition, now).map_err(|error| Refused(error.message))?;
        let validations = &mut store.tables[table].rules.validations;
        validations.retain(|known| known.name != rule.name);
        validations.push(Validation {
            name: rule.name.clone(),
            test,
            message: rule.message.clone(),
            field: rule.field.clone(),
        });
        Ok(())
    }

    /// Adds a duplicate rule to an object.
    pub fn add_duplicate_rule(&self, object: &str, rule: &DuplicateRule) -> Result<(), Refused> {
        let mut store = self.store_mut();
        let table = index(&store, object)?;
        let object = &store.tables[table].object;
        let fields: Option<Vec<usize>> = rule.fields.iter().map(|name| object.field(name)).collect();
        let fields = fields.filter(|fields| !fields.is_empty());
        let fields = fields.ok_or_else(|| Refused("a duplicate rule is made of fields that the object has".into()))?;
        let duplicates = &mut store.tables[table].rules.duplicates;
        duplicates.retain(|known| known.name != rule.name);
        duplicates.push(Duplicates { name: rule.name.clone(), fields, can_save: rule.allow_save });
        Ok(())
    }

    /// Takes all rules of an object back.
    pub fn clear_rules(&self, object: &str) -> Result<(), Refused> {
        let mut store = self.store_mut();
        let table = index(&store, object)?;
        store.tables[table].rules = super::rules::Rules::default();
        Ok(())
    }

    /// The changes logged, from this number on (1 for all): at most the last 500,000. Numbers count for this organisation
    /// alone.
    pub fn changes(&self, from: u64) -> Vec<Change> {
        self.store().changes(from)
    }

    /// The number of the next change.
    pub(super) fn next_change(&self) -> u64 {
        self.store().next_change()
    }

    /// Forgets the log of changes. Numbers go on.
    pub fn clear_changes(&self) {
        self.store_mut().clear_changes();
    }

    fn store(&self) -> std::sync::RwLockReadGuard<'a, Store> {
        self.state.salesforce.store(&self.state.clock)
    }

    fn store_mut(&self) -> std::sync::RwLockWriteGuard<'a, Store> {
        self.state.salesforce.store_mut(&self.state.clock)
    }

    fn now(&self) -> i64 {
        self.state.clock.now()
    }

    fn author(&self) -> Author {
        Author { now: self.now(), by: By::Admin }
    }
}

impl System for Table {
    const NOUN: (&'static str, &'static str) = ("object", "objects");
    const GIVES_IDS: bool = true;
    const SHOWS_BIN: bool = true;

    fn find(store: &Store, object: &str) -> Option<usize> {
        store.index(object)
    }

    /// In small letters some names are Dataverse's.
    fn is_called(&self, object: &str) -> bool {
        self.object.name == object
    }

    fn id_name(&self) -> &str {
        "Id"
    }

    fn read_id(&self, text: &str) -> Result<Guid, Refused> {
        let number = Id::parse(text).and_then(|id| self.number(id)).filter(|number| *number <= NUMBER_MAX);
        number.map(key).ok_or_else(|| {
            Refused(format!("\"{text}\" is no id of {} here: write it as {}", self.object.name, self.id(41)))
        })
    }

    fn new_id(&self) -> Guid {
        key(self.next())
    }

    fn draft(store: &Store, table: usize, fields: &Map<String, Json>) -> Result<Draft, Refused> {
        draft(store, table, fields)
    }

    fn shown(&self, record: Record<'_>) -> Json {
        let fields = self.object.fields.iter().enumerate().filter(|(_, field)| !field.kind.is_compound());
        let values = fields.map(|(index, field)| (field.name.clone(), self.value(record, index).to_json()));
        Json::Object(values.filter(|(_, value)| !value.is_null()).collect())
    }

    fn save(store: &mut Store, draft: Draft, now: i64) {
        store.save_draft(draft, Author { now, by: By::Admin });
    }

    fn discard(store: &mut Store, table: usize, id: Guid, now: i64) -> bool {
        store.discard(table, number_of(id), Author { now, by: By::Admin })
    }

    fn empty(store: &mut Store, table: usize) {
        store.empty(table);
    }

    fn change(store: &mut Store, index: usize, count: usize, seed: u64, now: i64) -> Vec<Guid> {
        const WHAT_CHANGES: &[&str] = &["Phone", "MailingCity", "LastName", "Title", "BillingCity", "City"];
        let table = &store.tables[index];
        let live = table.records(false).map(Record::number);
        let mut chosen: Vec<(u64, u32)> = live.map(|number| (mix(seed, u64::from(number)), number)).collect();
        chosen.sort_unstable();
        chosen.truncate(count);
        let fields: Vec<usize> = WHAT_CHANGES.iter().filter_map(|name| table.object.field(name)).collect();
        let mut changes = Vec::with_capacity(chosen.len());
        for (chance, number) in chosen {
            let (Some(record), Some(field)) = (table.get(number), fields.get(below(chance, fields.len()))) else {
                continue;
            };
            let old = table.value(record, *field);
            let draw = |draw| table.generator().other_value(mix(chance, draw), &table.object.fields[*field].source);
            if let Some(new) = (0..DRAWS_MAX).map(draw).find(|new| !new.is_null() && *new != *old) {
                changes.push((number, vec![(*field, new)]));
            }
        }
        let author = Author { now, by: By::Admin };
        let write = |(number, values): (u32, Vec<(usize, Value)>)| {
            store.save(index, number, values, Stamp::default(), author);
            key(number)
        };
        changes.into_iter().map(write).collect()
    }
}

fn number(store: &Store, table: usize, id: &str) -> Result<u32, Refused> {
    store.tables[table].read_id(id).map(number_of)
}

fn draft(store: &Store, table: usize, fields: &Map<String, Json>) -> Result<Draft, Refused> {
    let object = &store.tables[table].object;
    let modified_on = instant(fields, "SystemModstamp")?.or(instant(fields, "LastModifiedDate")?);
    let (created_on, visible_from) = (instant(fields, "CreatedDate")?, instant(fields, "@visibleFrom")?);
    let mut values = Patch::new();
    for (name, json) in fields {
        if ["CreatedDate", "SystemModstamp", "LastModifiedDate", "@visibleFrom", "Id", "id", "attributes"]
            .contains(&name.as_str())
        {
            continue;
        }
        let index = object.field(name).filter(|index| is_stored(&object.fields[*index])).ok_or_else(|| {
            Refused(format!(
                "\"{name}\" is no field of {} that can be put: add it with POST /admin/salesforce/fields/{}",
                object.name, object.name
            ))
        })?;
        let refused = |error: Error| Refused(format!("\"{name}\": {}", error.message));
        values.insert(index, value(store, &object.fields[index], Input::Admin(json)).map_err(refused)?);
    }
    Ok(Draft { created_on, modified_on, visible_from, ..Draft::now(table, key(0), values) })
}

/// Whether a field has a value of its own.
fn is_stored(field: &Field) -> bool {
    !matches!(
        field.source,
        Source::Id
            | Source::Created
            | Source::Modified
            | Source::IsDeleted
            | Source::Master
            | Source::User
            | Source::ModifiedBy
            | Source::FullName
            | Source::Compound
    )
}

fn instant(fields: &Map<String, Json>, name: &str) -> Result<Option<i64>, Refused> {
    let Some(json) = fields.get(name) else {
        return Ok(None);
    };
    let seconds = json.as_str().and_then(parse_instant);
    seconds
        .map(Some)
        .ok_or_else(|| Refused(format!("{json} does not fit \"{name}\": give a time such as \"2026-03-03T10:00:00Z\"")))
}
