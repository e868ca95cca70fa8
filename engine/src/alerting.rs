//! Tells people that a run needs them: once for each stop, also where the process died in between.
//!
//! A stop is owed from the event on that made it, until an `Alerted` says that it was told. The process that opens the data
//! folder next records which runs it found interrupted, and tells what is still owed. A process that dies between the
//! telling and its event tells again, with the same id.
//!
//! Telling never holds up a run: it goes on beside, and after its end.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::engine::{Driven, Engine};
use crate::event::{Attention, Event};
use crate::failure::Failure;
use crate::journal::Journal;
use crate::outside::alerts::{Alert, Need};
use crate::outside::store::{Page, RunFilter, RunId};
use crate::run::{Cause, Run, Stop};
use crate::words::counted;

/// The target of what the log says of alerts that were not taken, which people should hear of who did not ask for a log.
pub const UNTOLD: &str = "alerts";

/// One telling: a run, the number of the event that stopped it, and who is told.
type Key = (RunId, u64, String);

/// Who is being told of what by this process now.
#[derive(Debug)]
pub(crate) struct Telling {
    now: Mutex<HashSet<Key>>,
    left: watch::Sender<usize>,
    is_over: watch::Sender<bool>,
}

impl Default for Telling {
    fn default() -> Self {
        Self { now: Mutex::default(), left: watch::Sender::new(0), is_over: watch::Sender::new(false) }
    }
}

/// Nobody else of this process tells the same, as long as it is there.
struct Claim {
    engine: Arc<Engine>,
    key: Key,
}

impl Claim {
    fn new(engine: &Arc<Engine>, key: Key) -> Option<Self> {
        let telling = &engine.telling;
        let is_new = telling.now.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
        is_new.then(|| {
            telling.left.send_modify(|left| *left += 1);
            Self { engine: Arc::clone(engine), key }
        })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let telling = &self.engine.telling;
        telling.now.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
        telling.left.send_modify(|left| *left -= 1);
    }
}

impl Engine {
    /// Begins to tell what runs of this data folder still owe since the process died that drove them. It must be asked
    /// before this process drives anything.
    pub async fn tell_what_was_owed(self: &Arc<Self>) {
        let open = match self.environment.store.runs(&RunFilter::open(), Page::ALL).await {
            Ok(open) => open,
            Err(error) => {
                tracing::warn!(target: UNTOLD, "the runs that owe alerts cannot be read: {error}");
                return;
            }
        };
        for entry in open.into_iter().filter(|entry| entry.head.owed > 0) {
            match self.load(&entry.id).await {
                Ok((_, run)) => self.tell_owed(&entry.id, &run),
                Err(failure) => {
                    tracing::warn!(target: UNTOLD, "the alerts of run {} cannot be sent: {failure}", entry.id);
                }
            }
        }
    }

    /// Records of which runs of this data folder the process ended before they did, each once, so that alerts of them are
    /// owed. It must be asked before this process drives anything. `but` is taken over now.
    pub async fn find_interrupted(&self, but: Option<&RunId>) -> Vec<RunId> {
        let open = match self.environment.store.runs(&RunFilter::open(), Page::ALL).await {
            Ok(open) => open,
            Err(error) => {
                tracing::warn!(target: UNTOLD, "interrupted runs cannot be found: {error}");
                return Vec::new();
            }
        };
        let mut found = Vec::new();
        for entry in open.into_iter().rev().filter(|entry| Some(&entry.id) != but) {
            if !entry.head.status().is_driven() || entry.head.interrupted || self.is_driving(&entry.id) {
                continue;
            }
            self.interrupted(&entry.id, self.environment.alerts.receivers()).await;
            found.push(entry.id);
        }
        found
    }

    /// Records that a run was interrupted, so that it is not found again.
    pub async fn interrupted(&self, id: &RunId, alerts: Vec<String>) {
        let event = Event::Attention { why: Attention::Interrupted, alerts };
        if let Err(failure) = self.record(id, event).await {
            tracing::warn!(target: UNTOLD, "that run {id} was interrupted is not recorded: {failure}");
        }
    }

    /// Waits until everybody is told who is to be told now, or given up, but no longer than this; tells whether they are.
    pub async fn until_told(&self, at_most: Duration) -> bool {
        let mut left = self.telling.left.subscribe();
        tokio::time::timeout(at_most, left.wait_for(|left| *left == 0)).await.is_ok()
    }

    /// Gives up what is not told by now: it stays owed.
    pub fn stop_telling(&self) {
        self.telling.is_over.send_replace(true);
    }

    /// Tells what a run that is driven comes to owe, as long as it is polled.
    pub(crate) async fn tell_as_owed(self: &Arc<Self>, journal: &Journal) -> Infallible {
        let mut changed = journal.watch();
        loop {
            self.tell_owed(&journal.id, &journal.run());
            if changed.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Begins to tell what this run owes, unless it is being told already.
    pub(crate) fn tell_owed(self: &Arc<Self>, id: &RunId, run: &Run) {
        for (of, stop) in &run.owed {
            let alert = alert(id, *of, stop, run);
            for receiver in &stop.receivers {
                let Some(claim) = Claim::new(self, (id.clone(), *of, receiver.clone())) else { continue };
                let (engine, alert) = (Arc::clone(self), alert.clone());
                let mut over = self.telling.is_over.subscribe();
                tokio::spawn(async move {
                    let told = tokio::select! {
                        told = engine.tell(&claim, &alert) => told,
                        _ = over.wait_for(|over| *over) => return,
                    };
                    if let Err(failure) = told {
                        tracing::warn!(target: UNTOLD, "an alert {} is not recorded: {failure}", alert.id);
                    }
                });
            }
        }
    }

    /// Tells one receiver, unless somebody else did since the run was read.
    async fn tell(&self, claim: &Claim, alert: &Alert) -> Result<(), Failure> {
        let (id, of, receiver) = &claim.key;
        let owes = |run: &Run| run.owes(*of, receiver);
        let is_owed = match self.driven(id).filter(Driven::is_driven) {
            Some(driven) => owes(&driven.journal.run()),
            None => owes(&self.load(id).await?.1),
        };
        if !is_owed {
            return Ok(());
        }
        let failure = self.environment.alerts.tell(receiver, alert).await.err();
        if let Some(failure) = &failure {
            tracing::warn!(target: UNTOLD, "{receiver} was not told that run {id} needs somebody: {failure}");
        }
        self.record(id, Event::Alerted { of: *of, receiver: receiver.clone(), failure }).await
    }

    async fn record(&self, id: &RunId, event: Event) -> Result<(), Failure> {
        // As long as it is held, a run that nothing drives gets no driver, whose journal would not know of this event.
        let _turn = self.turn.lock().await;
        let journal = match self.driven(id).filter(Driven::is_driven) {
            Some(driven) => driven.journal,
            None => self.journal(id, self.load(id).await?.1),
        };
        Ok(journal.append(vec![event]).await?)
    }
}

fn alert(id: &RunId, of: u64, stop: &Stop, run: &Run) -> Alert {
    let alert = Alert {
        // Another data folder may have a run of this name, and whoever drops what came before must not drop its alerts.
        id: format!("{id}/{of}/{}", stop.at.as_millisecond()),
        workflow: run.workflow.clone(),
        run: Some(id.clone()),
        task: None,
        activity: None,
        status: Need::Interrupted,
        at: stop.at,
        message: "its process ended before the run did: it was stopped or killed, or the computer was".to_owned(),
        help: Some("the next `campanile run` of the workflow resumes it".to_owned()),
        next: format!("campanile resume {id}"),
    };
    match &stop.cause {
        Cause::Other(Attention::Interrupted) => alert,
        Cause::Other(Attention::OverLimit { rejects, in_doubt }) => Alert {
            status: Need::Finished,
            message: format!("it has {} and {} in doubt", counted(*rejects, "reject"), counted(*in_doubt, "record")),
            help: None,
            next: format!("campanile rejects list --workflow {}", run.workflow),
            ..alert
        },
        Cause::Failed { task, failure, is_end } => {
            let (status, next) = if *is_end { (Need::Failed, "restart") } else { (Need::Suspended, "resume") };
            Alert {
                task: Some(*task),
                activity: run.task(*task).map(|task| task.activity.clone()),
                status,
                message: failure.to_string(),
                help: failure.help.clone(),
                next: format!("campanile {next} {id}"),
                ..alert
            }
        }
    }
}
