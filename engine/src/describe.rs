//! Descriptions of what CRMs have, kept in the data folder between runs: objects as `contacts.json`, fields of related
//! records as `contacts.Account.Name.json`.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::activity::Need;
use crate::environment::Environment;
use crate::failure::{Class, Failure};
use crate::flow::Known;
use crate::outside::crm::{Account, Object, ObjectField};
use crate::private;

/// Objects of CRMs, kept as `descriptions/<account>/<object>.json`.
#[derive(Debug)]
pub struct Descriptions {
    folder: PathBuf,
    /// Whether what is fetched is kept.
    keeps: bool,
    /// What this process fetched itself.
    fresh: Mutex<HashMap<(String, String), Arc<Object>>>,
    /// Fields of related records, likewise, by account, object and path.
    fresh_fields: Mutex<HashMap<(String, String, String), ObjectField>>,
    /// Who describes what now, by account and the name of what is described.
    flights: Mutex<Flights>,
}

type Flights = HashMap<(String, String), Arc<tokio::sync::Mutex<()>>>;

/// Whether the outside is asked, or only what is kept of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Only what is kept is used.
    Kept,
    /// Everything needed is asked for again.
    Refresh,
}

impl Descriptions {
    /// Those of a data folder.
    pub fn new(data: &Path) -> Self {
        let folder = data.join("descriptions");
        let (fresh, fresh_fields, flights) = Default::default();
        Self { folder, keeps: true, fresh, fresh_fields, flights }
    }

    /// Those of a data folder, of which nothing changes by asking.
    pub fn unchanged(data: &Path) -> Self {
        Self { keeps: false, ..Self::new(data) }
    }

    /// An object as it was when it was described last.
    pub fn kept_object(&self, account: &str, name: &str) -> Option<Arc<Object>> {
        self.kept(account, name).map(Arc::new)
    }

    /// An object: what was fetched by this process, else what the CRM says now.
    ///
    /// # Errors
    /// Where the CRM says that there is none, or cannot be asked.
    pub async fn object(&self, environment: &Environment, account: &str, name: &str) -> Result<Arc<Object>, Failure> {
        if let Some(object) = self.fetched(account, name) {
            return Ok(object);
        }
        let flight = self.flight(account, name);
        let _turn = flight.lock().await;
        match self.fetched(account, name) {
            Some(object) => Ok(object),
            None => self.fetch(environment, account, name).await,
        }
    }

    /// Held while something is described, so that tasks which need the same at the same time ask once.
    fn flight(&self, account: &str, name: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(flights.entry((account.to_owned(), name.to_owned())).or_default())
    }

    fn fetched(&self, account: &str, name: &str) -> Option<Arc<Object>> {
        let fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        fresh.get(&(account.to_owned(), name.to_owned())).cloned()
    }

    async fn fetch(&self, environment: &Environment, account: &str, name: &str) -> Result<Arc<Object>, Failure> {
        let object = Arc::new(environment.crm(account)?.describe(name).await?);
        self.keep(account, name, &*object);
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        fresh.insert((account.to_owned(), name.to_owned()), Arc::clone(&object));
        Ok(object)
    }

    /// An object with fields of related records, each named by its path.
    ///
    /// # Errors
    /// Where the CRM says that there is none, or cannot be asked.
    pub async fn object_with(
        &self,
        environment: &Environment,
        account: &str,
        name: &str,
        paths: &[String],
    ) -> Result<Arc<Object>, Failure> {
        let object = self.object(environment, account, name).await?;
        let mut fields = Vec::new();
        for path in paths {
            fields.push(self.field(environment, account, &object, path).await?);
        }
        Ok(if fields.is_empty() { object } else { Arc::new(object.with_fields(fields)) })
    }

    /// A field of a related record: what was fetched by this process, else what the CRM says now.
    ///
    /// # Errors
    /// Where the CRM says that there is none, or cannot be asked.
    async fn field(
        &self,
        environment: &Environment,
        account: &str,
        object: &Object,
        path: &str,
    ) -> Result<ObjectField, Failure> {
        let key = (account.to_owned(), object.name.clone(), path.to_owned());
        let known = || self.fresh_fields.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(field) = known() {
            return Ok(field);
        }
        let flight = self.flight(account, &field_name(&object.name, path));
        let _turn = flight.lock().await;
        match known() {
            Some(field) => Ok(field),
            None => self.fetch_field(environment, account, object, path).await,
        }
    }

    async fn fetch_field(
        &self,
        environment: &Environment,
        account: &str,
        object: &Object,
        path: &str,
    ) -> Result<ObjectField, Failure> {
        let field = environment.crm(account)?.describe_path(object, path).await?;
        self.keep(account, &field_name(&object.name, path), &field);
        let key = (account.to_owned(), object.name.clone(), path.to_owned());
        self.fresh_fields.lock().unwrap_or_else(PoisonError::into_inner).insert(key, field.clone());
        Ok(field)
    }

    fn path(&self, account: &str, name: &str) -> Option<PathBuf> {
        let sound =
            |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        let is_sound = sound(account) && name.split('.').all(sound);
        is_sound.then(|| self.folder.join(account).join(format!("{name}.json")))
    }

    /// It serves the next start; a run has what it fetched, also if it cannot be kept.
    fn keep(&self, account: &str, name: &str, description: &impl Serialize) {
        let Some(path) = self.path(account, name).filter(|_| self.keeps) else { return };
        let write = || {
            private::make_folders(&self.folder.join(account))?;
            private::replace(&path, &serde_json::to_vec_pretty(description).map_err(io::Error::other)?)
        };
        if let Err(error) = write() {
            tracing::warn!(%error, file = %path.display(), "a description is not kept for the next start");
        }
    }

    fn kept<T: DeserializeOwned>(&self, account: &str, name: &str) -> Option<T> {
        let text = fs::read(self.path(account, name)?).ok()?;
        serde_json::from_slice(&text).ok()
    }
}

fn field_name(object: &str, path: &str) -> String {
    format!("{object}.{path}")
}

impl Known {
    /// What is known of everything that a workflow needs.
    pub async fn gather(environment: &Environment, needs: &BTreeSet<Need>, ask: Ask) -> Self {
        let accounts = environment.accounts.iter().map(|(name, account)| (name.clone(), account.system)).collect();
        let mut known = Self { accounts, ..Self::default() };
        if ask == Ask::Refresh {
            let broken = |(name, account): (&String, &Account)| Some((name.clone(), account.crm().err()?));
            let needed =
                environment.accounts.iter().filter(|(name, _)| needs.contains(&Need::Account((*name).clone())));
            known.broken = needed.filter_map(broken).collect();
        }
        for need in needs {
            match need {
                Need::Object { account, .. } if known.broken.contains_key(account) => {}
                Need::Object { account, object } if known.accounts.contains_key(account) => {
                    if let Some(described) = describe(environment, account, object, ask).await {
                        known.objects.insert((account.clone(), object.clone()), described);
                    }
                }
                Need::Table(name) => {
                    let table = environment.database.table(name).await.map(Arc::new);
                    known.tables.insert(name.clone(), table);
                }
                Need::Field { account, object, path } => {
                    // Objects come before their fields.
                    let key = (account.clone(), object.clone());
                    let Some(Ok(described)) = known.objects.get(&key).cloned() else { continue };
                    if let Some(field) = describe_field(environment, account, &described, path, ask).await {
                        known.fields.insert((account.clone(), object.clone(), path.clone()), field);
                    }
                }
                Need::Object { .. } | Need::Account(_) => {}
            }
        }
        known
    }
}

/// Asks; where the CRM cannot be reached, what is kept serves.
async fn describe(
    environment: &Environment,
    account: &str,
    object: &str,
    ask: Ask,
) -> Option<Result<Arc<Object>, Failure>> {
    let descriptions = &environment.descriptions;
    let kept = descriptions.kept(account, object).map(Arc::new);
    if ask == Ask::Kept {
        return kept.map(Ok);
    }
    Some(or_kept(descriptions.fetch(environment, account, object).await, kept, account, object))
}

async fn describe_field(
    environment: &Environment,
    account: &str,
    object: &Object,
    path: &str,
    ask: Ask,
) -> Option<Result<ObjectField, Failure>> {
    let descriptions = &environment.descriptions;
    let kept = descriptions.kept(account, &field_name(&object.name, path));
    if ask == Ask::Kept {
        return kept.map(Ok);
    }
    Some(or_kept(descriptions.fetch_field(environment, account, object, path).await, kept, account, path))
}

fn or_kept<T>(fetched: Result<T, Failure>, kept: Option<T>, account: &str, what: &str) -> Result<T, Failure> {
    match fetched {
        Err(failure) if failure.class != Class::Config => {
            tracing::warn!(account, what, %failure, "the description could not be fetched");
            kept.ok_or(failure)
        }
        fetched => fetched,
    }
}
