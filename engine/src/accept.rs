//! Continues after a restored backup or a wanted change: what the data folder relies on is taken as it is.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::activity::Need;
use crate::check::Workflow;
use crate::engine::Engine;
use crate::event::{EVENT_VERSION, Event, Recorded};
use crate::failure::{Class, Failure};
use crate::identity;
use crate::indexes;
use crate::outside::store::{Append, Hold, Page, RunEntry, RunFilter, RunId, check_option_name};

/// What is taken as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "what", content = "name")]
pub enum Accepted {
    /// The data folder: it gets a new id.
    Data,
    /// The database.
    Database,
    /// The organisation that an account leads to.
    Account(String),
    /// That the option of an automatic index is missing: its next import reads everything.
    Index(String),
}

impl Engine {
    /// Takes something as it is. Runs that are not over and rely on it are stopped: what they did since is not known. So is
    /// a run whose files cannot be read, which nothing can resume. The runs that were stopped.
    ///
    /// # Errors
    /// If a run that relies on it is driven now, there is no such account, or the store cannot be written.
    pub async fn accept(self: &Arc<Self>, what: &Accepted) -> Result<Vec<RunId>, Failure> {
        if let Accepted::Account(account) = what {
            self.environment.account(account)?;
        }
        if let Accepted::Index(option) = what {
            check_option_name(option)?;
            let wanted = indexes::want_everything(option, self.environment.clock.now());
            self.environment.store.set_options(vec![wanted]).await?;
            return Ok(Vec::new());
        }
        let mut stops = Vec::new();
        for entry in self.environment.store.runs(&RunFilter::open(), Page::ALL).await? {
            if entry.head.status().is_over() {
                continue;
            }
            let relies = self.load(&entry.id).await.map_or(true, |(workflow, _)| relies(&workflow, what));
            if !relies {
                continue;
            }
            if self.driven(&entry.id).is_some_and(|driven| driven.is_driven()) {
                let message = format!("run {} is at work", entry.id);
                let help = format!("wait until it ends, or stop it with `campanile stop {}`", entry.id);
                return Err(Failure::new(Class::Conflict, message).help(help));
            }
            stops.push(entry);
        }
        for entry in &stops {
            if let Err(failure) = self.stop(&entry.id).await {
                tracing::warn!(run = %entry.id, %failure, "the run is stopped without what it kept");
                self.stop_unread(entry).await?;
            }
        }
        match what {
            Accepted::Data => identity::accept_data(&self.environment).await?,
            Accepted::Database => identity::accept_database(&self.environment).await?,
            Accepted::Account(account) => identity::accept_account(&self.environment, account).await?,
            Accepted::Index(_) => {}
        }
        Ok(stops.into_iter().map(|entry| entry.id).collect())
    }

    /// Stops a run whose state cannot be folded: its head says that it is not over.
    async fn stop_unread(&self, entry: &RunEntry) -> Result<(), Failure> {
        let _turn = self.turn.lock().await;
        let stopped = Recorded { v: EVENT_VERSION, at: self.environment.clock.now(), event: Event::Stopped };
        let (run, expected) = (entry.id.clone(), entry.events);
        let append = Append { run, expected, events: vec![stopped], options: Vec::new(), hold: Hold::Keep };
        Ok(self.environment.store.append(append).await?)
    }
}

fn relies(workflow: &Workflow, what: &Accepted) -> bool {
    let mut needs = workflow.needs().into_iter();
    match what {
        Accepted::Data => true,
        Accepted::Index(_) => false,
        Accepted::Database => needs.any(|need| matches!(need, Need::Table(_))),
        Accepted::Account(account) => needs.any(|need| need == Need::Account(account.clone())),
    }
}
