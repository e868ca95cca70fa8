//! An engine put together from its parts, as the binary does it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crm::dynamics::{Dynamics, DynamicsAccount};
use crm::secret::NoVault;
use database::Sqlite;
use engine::activity::Spec;
use engine::describe::Descriptions;
use engine::engine::{Engine, NotStarted};
use engine::environment::{Environment, Limits};
use engine::event::Vars;
use engine::outside::alerts::NoAlerts;
use engine::outside::clock::SystemClock;
use engine::outside::crm::{Account, Crm};
use engine::outside::desk::NoDesk;
use engine::outside::memory::NoMemory;
use engine::outside::store::Store;
use engine::private::Access;
use engine::run::{Run, Status};
use serde_json::Value;
use store::{Kind, OnDisk};

use crate::measure::Fallible;
use crate::{nothing, people};

/// What an engine is made of.
pub(crate) struct World {
    folder: PathBuf,
    store: Arc<dyn Store>,
    accounts: BTreeMap<String, Account>,
    database: Arc<Sqlite>,
    pub(crate) limits: Limits,
}

impl World {
    /// A data folder with a store in sled and a database in SQLite.
    pub(crate) fn new(folder: &Path) -> Fallible<Self> {
        let store = Arc::new(OnDisk::open(&folder.join("store"), Kind::Sled)?);
        Self::on(folder, store)
    }

    /// The same on a store of its own.
    pub(crate) fn on(folder: &Path, store: Arc<dyn Store>) -> Fallible<Self> {
        let database = Arc::new(Sqlite::open(&folder.join("marketing.db"))?);
        Ok(Self { folder: folder.to_owned(), store, accounts: BTreeMap::new(), database, limits: Limits::default() })
    }

    /// With an account `dynamics`.
    pub(crate) fn account(self, crm: Arc<dyn Crm>) -> Self {
        self.account_named("dynamics", crm)
    }

    /// With an account of this name.
    pub(crate) fn account_named(mut self, name: &str, crm: Arc<dyn Crm>) -> Self {
        self.accounts.insert(name.to_owned(), crm.into());
        self
    }

    /// The engine.
    pub(crate) fn engine(self) -> Arc<Engine> {
        Arc::new(Engine::new(Arc::new(Environment {
            store: self.store,
            desk: Arc::new(NoDesk),
            memory: Arc::new(NoMemory),
            alerts: Arc::new(NoAlerts),
            clock: Arc::new(SystemClock),
            database: self.database,
            accounts: self.accounts,
            descriptions: Descriptions::new(&self.folder),
            palette: palette(),
            files: self.folder.join("files"),
            files_access: Access::default(),
            folder: self.folder,
            library: Vec::new(),
            limits: self.limits,
            compared: Default::default(),
        })))
    }
}

/// All that there is, and what only benches use.
fn palette() -> &'static [&'static Spec] {
    let ours = [&nothing::SPEC, &people::SPEC];
    activities::PALETTE.iter().copied().chain(ours).collect::<Vec<_>>().leak()
}

/// An account of Dynamics, as its configuration says.
pub(crate) fn dynamics(account: Value) -> Fallible<Arc<dyn Crm>> {
    let account: DynamicsAccount = serde_json::from_value(account)?;
    Ok(Arc::new(Dynamics::new("dynamics", account, &NoVault, Arc::new(SystemClock))?))
}

/// Runs a workflow to its end.
pub(crate) async fn run(engine: &Arc<Engine>, file: &str, workflow: &str) -> Fallible<Run> {
    let driven = match engine.start(file, workflow, Vars::new()).await {
        Ok((_, driven)) => driven,
        Err(NotStarted::Problems(problems)) => return Err(format!("{problems:#?}").into()),
        Err(NotStarted::Failure(failure)) => return Err(failure.into()),
    };
    let status = driven.wait().await?;
    let run = driven.journal.run().clone();
    if status != Status::Finished {
        let failures: Vec<_> = run.tasks.iter().filter_map(|task| task.failure.as_ref()).collect();
        return Err(format!("the run is {status:?}: {failures:?}").into());
    }
    Ok(run)
}
