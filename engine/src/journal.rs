//! The journal of one run: durable first, then folded.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::event::{EVENT_VERSION, Event, Recorded};
use crate::failure::Failure;
use crate::outside::clock::Clock;
use crate::outside::store::{Append, Hold, OptionChange, RunId, Store, StoreError};
use crate::run::Run;

/// The journal of a run that this process drives. Events are folded only after they are durable.
pub struct Journal {
    /// The run.
    pub id: RunId,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    run: Mutex<Run>,
    /// Whose turn it is to append.
    turn: Arc<tokio::sync::Mutex<()>>,
    changed: watch::Sender<u64>,
}

/// Why an event was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// It cannot follow, as of a task that was stopped meanwhile.
    #[error("{0}")]
    Illegal(String),
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<AppendError> for Failure {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Illegal(why) => Self::internal(format!("an event cannot be recorded: {why}")),
            AppendError::Store(error) => error.into(),
        }
    }
}

impl Journal {
    /// The journal of a run as it was folded so far.
    pub fn new(id: RunId, store: Arc<dyn Store>, clock: Arc<dyn Clock>, run: Run) -> Self {
        let (changed, _) = watch::channel(run.events);
        Self { id, store, clock, run: Mutex::new(run), turn: Arc::default(), changed }
    }

    /// The run as it is now.
    pub fn run(&self) -> MutexGuard<'_, Run> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes with each event.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Records what `events` says of the run as it is when its turn comes, moves options with it, and folds it in. A caller
    /// that stops waiting, as a task that is broken off, does not undo it: what the store keeps is folded in.
    ///
    /// # Errors
    /// Where an event cannot follow or the store does not take it; nothing was recorded.
    pub async fn append_with(
        self: &Arc<Self>,
        events: impl FnOnce(&Run) -> (Vec<Event>, Vec<OptionChange>) + Send,
    ) -> Result<(), AppendError> {
        self.append_as(Hold::Keep, events).await
    }

    /// Records events with which the run takes its workflow's hold, or waits for it.
    ///
    /// # Errors
    /// As of [`append_with`](Self::append_with), and if another run has the hold.
    pub async fn append_holding(self: &Arc<Self>, events: Vec<Event>, hold: Hold) -> Result<(), AppendError> {
        self.append_as(hold, |_| (events, Vec::new())).await
    }

    async fn append_as(
        self: &Arc<Self>,
        hold: Hold,
        events: impl FnOnce(&Run) -> (Vec<Event>, Vec<OptionChange>) + Send,
    ) -> Result<(), AppendError> {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        let append = {
            let run = self.run();
            let (events, options) = events(&run);
            for event in &events {
                run.legal(event).map_err(AppendError::Illegal)?;
            }
            let at = self.clock.now();
            let events: Vec<_> = events.into_iter().map(|event| Recorded { v: EVENT_VERSION, at, event }).collect();
            Append { run: self.id.clone(), expected: run.events, events, options, hold }
        };
        if append.events.is_empty() {
            return Ok(());
        }
        let journal = Arc::clone(self);
        let record = tokio::spawn(async move {
            let _turn = turn;
            journal.record(append).await
        });
        record.await.unwrap_or_else(|error| Err(AppendError::Illegal(format!("the recording broke off: {error}"))))
    }

    async fn record(&self, append: Append) -> Result<(), AppendError> {
        let recorded = append.events.clone();
        self.store.append(append).await?;
        let mut run = self.run();
        for event in &recorded {
            run.apply(event).map_err(|illegal| AppendError::Illegal(illegal.to_string()))?;
        }
        self.changed.send_replace(run.events);
        Ok(())
    }

    /// Records events.
    ///
    /// # Errors
    /// Where one cannot follow or the store does not take them; nothing was recorded.
    pub async fn append(self: &Arc<Self>, events: Vec<Event>) -> Result<(), AppendError> {
        self.append_with(|_| (events, Vec::new())).await
    }
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").field("id", &self.id).finish_non_exhaustive()
    }
}
