//! Makes an engine of a project.

use std::sync::Arc;

use crm::secret::Vault;
use engine::activity::Palette;
use engine::describe::Descriptions;
use engine::engine::Engine;
use engine::environment::Environment;
use engine::failure::Failure;
use engine::identity::Compared;
use engine::outside::alerts::{Alerts, NoAlerts};
use engine::outside::clock::{Clock, SystemClock};
use engine::outside::store::{Store, StoreError};
use engine::private;
use store::{Memory, OnDisk, SqliteDesk, SqliteMemory};

use crate::accounts;
use crate::alerts::Receivers;
use crate::database::{Lazy, Missing};
use crate::folder;
use crate::project::Project;
use crate::secrets::Secrets;

/// The folders within a data folder.
const PARTS: [&str; 4] = ["store", "runs", "descriptions", "overlap"];

/// An engine that keeps nothing, for `check` and for asking accounts: it works without a data folder.
pub fn bare(project: &Project, palette: Palette) -> Arc<Engine> {
    engine(resting(project, palette))
}

/// An engine on a store, a clock and receivers of the caller's own, for tests of workflows.
pub fn on(
    project: &Project,
    palette: Palette,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    alerts: Arc<dyn Alerts>,
) -> Arc<Engine> {
    engine(environment(project, palette, (store, clock, alerts), Missing::Make))
}

/// Who is told when a run needs a person.
pub fn receivers(project: &Project) -> Receivers {
    let vault = Arc::new(Secrets::of(&project.data));
    Receivers::new(project.config.alerts.clone(), &project.data, vault, Arc::new(SystemClock))
}

/// An engine that keeps nothing, not even what it asks, for looking at the CRMs as they are now.
pub fn looking(project: &Project, palette: Palette) -> Arc<Engine> {
    let descriptions = Descriptions::unchanged(&project.data);
    engine(Environment { descriptions, ..resting(project, palette) })
}

/// Opens the store of the data folder, which is made where it is missing.
///
/// # Errors
/// `StoreError::InUse` where another process has it open; otherwise where the folder cannot be made or the store is not
/// what was written.
pub(crate) async fn open(project: &Project, palette: Palette) -> Result<Arc<Engine>, OpenError> {
    folder::check_there(&project.data, &project.store_folder())?;
    make_private(project).map_err(|error| Failure::io(format!("cannot make {}", project.data.display()), &error))?;
    let (folder, kind) = (project.store_folder(), project.store_kind());
    let opened = tokio::task::spawn_blocking(move || OnDisk::open(&folder, kind)).await;
    let opened = opened.map_err(|error| Failure::internal(error.to_string()))??;
    folder::check_same(&project.data, &opened.identity())?;
    Ok(on(project, palette, Arc::new(opened), Arc::new(SystemClock), Arc::new(receivers(project))))
}

/// Why the store was not opened.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// Another process has it open.
    InUse,
    /// Anything else.
    Failure(Failure),
}

impl From<Failure> for OpenError {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::InUse { .. } => Self::InUse,
            error => Self::Failure(error.into()),
        }
    }
}

fn engine(environment: Environment) -> Arc<Engine> {
    Arc::new(Engine::new(Arc::new(environment)))
}

/// The outside of an engine that runs nothing.
fn resting(project: &Project, palette: Palette) -> Environment {
    let outside: Outside = (Arc::new(Memory::default()), Arc::new(SystemClock), Arc::new(NoAlerts));
    environment(project, palette, outside, Missing::Leave)
}

type Outside = (Arc<dyn Store>, Arc<dyn Clock>, Arc<dyn Alerts>);

fn environment(project: &Project, palette: Palette, (store, clock, alerts): Outside, missing: Missing) -> Environment {
    let vault: Arc<dyn Vault> = Arc::new(Secrets::of(&project.data));
    Environment {
        store,
        desk: Arc::new(SqliteDesk::new(&project.data)),
        memory: Arc::new(SqliteMemory::new(&project.data)),
        alerts,
        database: Arc::new(Lazy::new(&project.database, missing)),
        accounts: accounts::open(&project.config.accounts, &vault, &clock),
        clock,
        descriptions: Descriptions::new(&project.data),
        palette,
        folder: project.data.clone(),
        files: project.files.clone(),
        files_access: project.config.files_access,
        library: project.library.clone(),
        limits: project.config.limits.clone(),
        compared: Compared::default(),
    }
}

/// Makes what is missing of the data folder, readable by its user only also within a folder that others may look into.
fn make_private(project: &Project) -> std::io::Result<()> {
    let folder = &project.data;
    if let Some(above) = folder.parent() {
        private::make_folders(above)?;
    }
    private::make_folder(folder)?;
    let parts = PARTS.iter().map(|part| folder.join(part));
    let files = Some(&project.files).filter(|files| files.parent() == Some(folder)).cloned();
    parts.chain(files).try_for_each(|part| private::make_folder(&part))
}
