//! The way to a data folder: through the process that has it open, else by opening it.
//!
//! ```text
//!   owner.json ─▶ socket answers ──────────────▶ guest: calls go through the socket
//!        │ none, or nobody answers
//!        ▼
//!   open the store ─▶ opened ──────────────────▶ owner: calls stay in this process
//!        │ in use: another process was faster
//!        └──▶ look again, for [`OWNER_WAIT_MAX`] at most
//! ```

use std::sync::Arc;
use std::time::Duration;

use engine::activity::Palette;
use engine::driver::Order;
use engine::engine::{Driven, Engine};
use engine::failure::{Class, Failure};
use engine::outside::store::{RunId, StoreError};
use engine::run::Status;
use futures::future::join_all;
use tokio::time::Instant;

use crate::api::{self, OwnerView};
use crate::client::{CallError, Client};
use crate::opening::{self, OpenError};
use crate::owner::{Owner, OwnerFile};
use crate::project::Project;
use crate::service::Service;

/// How long a process waits for another one that has the store open to listen, or to let it go.
pub const OWNER_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long a process that has nothing else to do waits for alerts to be taken.
pub const ALERTS_WAIT_MAX: Duration = Duration::from_secs(60);
/// How long a command that asks one thing waits for them: meanwhile others cannot open the data folder.
const ALERTS_BRIEF_WAIT_MAX: Duration = Duration::from_secs(3);
/// How long it waits before it looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The way to a data folder.
#[derive(Debug)]
pub struct Door {
    /// Asks whoever has the folder open.
    pub client: Client,
    here: Option<Here>,
}

/// What this process has open.
#[derive(Debug)]
struct Here {
    engine: Arc<Engine>,
    owner: Option<Owner>,
}

/// Whether the process stays a while, so that others must be able to reach it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stay {
    /// It asks one thing and ends.
    Brief,
    /// It drives runs.
    Long,
}

impl Door {
    /// Finds the way.
    ///
    /// # Errors
    /// Where the data folder is held by a process that does not answer or is of another version, or cannot be opened.
    pub async fn open(project: &Arc<Project>, palette: Palette, stay: Stay) -> Result<Self, Failure> {
        let until = Instant::now() + OWNER_WAIT_MAX;
        loop {
            if let Some(client) = guest(project).await? {
                return Ok(Self { client, here: None });
            }
            match opening::open(project, palette).await {
                Ok(engine) => return Self::owner(engine, project, stay),
                Err(OpenError::Failure(failure)) => return Err(failure),
                Err(OpenError::InUse) if Instant::now() >= until => {
                    return Err(StoreError::InUse { folder: project.data.clone() }.into());
                }
                Err(OpenError::InUse) => tokio::time::sleep(LOOK_AGAIN).await,
            }
        }
    }

    fn owner(engine: Arc<Engine>, project: &Arc<Project>, stay: Stay) -> Result<Self, Failure> {
        let router = api::router(Arc::new(Service::new(Arc::clone(&engine), Arc::clone(project))));
        let owner = match stay {
            Stay::Long => Some(Owner::listen(&project.data, router.clone())?),
            Stay::Brief => None,
        };
        Ok(Self { client: Client::here(router), here: Some(Here { engine, owner }) })
    }

    /// Finds which runs were interrupted since the folder was open last, but the one that is taken over now, and begins to
    /// tell what they and others owe; each is found once. It must be asked before anything is driven.
    pub async fn find_interrupted(&self, but: Option<&RunId>) -> Vec<RunId> {
        let Some(here) = &self.here else { return Vec::new() };
        let found = here.engine.find_interrupted(but).await;
        here.engine.tell_what_was_owed().await;
        found
    }

    /// Whether this process has the data folder open.
    pub fn is_owner(&self) -> bool {
        self.here.is_some()
    }

    /// Runs that this process drives now.
    pub fn driving(&self) -> Vec<RunId> {
        let driving = self.here.as_ref().map(|here| here.engine.driving()).unwrap_or_default();
        driving.into_iter().map(|(run, _)| run).collect()
    }

    /// Waits until this process drives nothing any more, its own runs and those that others submitted.
    pub async fn until_idle(&self) {
        let Some(here) = &self.here else { return };
        while let Some((_, driven)) = here.engine.driving().into_iter().next() {
            // What keeps a run from being driven on is told to whoever follows it.
            driven.wait().await.ok();
        }
    }

    /// Waits until those are told who are to be told that a run needs them, for [`ALERTS_WAIT_MAX`] at most; tells
    /// whether they are. Else they are told by the next process that drives runs in this data folder.
    pub async fn until_told(&self) -> bool {
        match &self.here {
            Some(here) => here.engine.until_told(ALERTS_WAIT_MAX).await,
            None => true,
        }
    }

    /// Interrupts all runs that this process drives, so that they can be resumed. If a person watches who wants it so, no
    /// alert follows.
    pub async fn leave(&self, is_watched: bool) {
        let Some(here) = &self.here else { return };
        let leave = |(run, driven): (RunId, Driven)| async move {
            driven.order(Order::Leave).await;
            let status = driven.wait().await;
            if is_watched && status.is_ok_and(Status::is_driven) {
                here.engine.interrupted(&run, Vec::new()).await;
            }
        };
        join_all(here.engine.driving().into_iter().map(leave)).await;
    }

    /// Lets the data folder go. A process that only asked has told nobody else of what is owed until now.
    pub async fn close(mut self) {
        let Some(here) = &mut self.here else { return };
        match here.owner.take() {
            Some(owner) => owner.close().await,
            None => drop(here.engine.until_told(ALERTS_BRIEF_WAIT_MAX).await),
        }
        here.engine.stop_telling();
    }
}

/// The owner's API, if there is an owner and it answers.
async fn guest(project: &Project) -> Result<Option<Client>, Failure> {
    let Some(owner) = OwnerFile::read(&project.data) else { return Ok(None) };
    let client = Client::socket(&owner.socket, owner.pid);
    let view: OwnerView = match client.get("/owner").await {
        Ok(view) => view,
        Err(CallError::Gone { .. }) => return Ok(None),
        Err(CallError::Refused(refusal)) => return Err(refusal.into()),
    };
    let ours = env!("CARGO_PKG_VERSION");
    if view.version != ours {
        let message = format!(
            "process {}, which has the data folder open, is Campanile {}; this is {ours}",
            view.pid, view.version
        );
        return Err(
            Failure::new(Class::Conflict, message).help("use the same version, or wait until that process ends")
        );
    }
    Ok(Some(client))
}
