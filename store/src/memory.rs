//! A store for tests of other crates: nothing is on disk, and it fails, dawdles or falls silent when it is told to.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use engine::event::Recorded;
use engine::outside::store::{
    Append, Identity, OptionChange, OptionValue, Page, RunEntry, RunFilter, RunId, Store, StoreError, WorkflowRuns,
};
use tokio::sync::watch;

use crate::disk::{Batch, Disk, Entries, failed};
use crate::on_disk::new_folder_id;
use crate::plan::{Plan, Request};
use crate::read;
use crate::record::{self, Meta};

/// Journals and options in memory, by the same rules as on disk.
///
/// A test of a crash works with `failing_after(n)` or `losing_answer_of(n)` until it is refused, then goes on with
/// [`Memory::reopened`], for every `n`.
pub struct Memory {
    kept: Arc<Kept>,
    /// The folder's id.
    folder: String,
    /// Writes until it fails; also what makes writers wait for each other.
    left: Mutex<Option<Left>>,
    commits: watch::Sender<u64>,
    /// How long every answer about journals waits.
    pause: Duration,
    ends: Box<Ends>,
    ended: watch::Sender<bool>,
}

/// Whether a process ends with these events of a run.
type Ends = dyn Fn(&RunId, &[Recorded]) -> bool + Send + Sync;

#[derive(Clone, Copy)]
struct Left {
    writes: u64,
    /// Whether the write that fails is kept all the same.
    keeps: bool,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory {
    /// An empty store that does not fail.
    pub fn new() -> Self {
        Self::over(Arc::default(), new_folder_id(), None)
    }

    /// An empty store that takes `writes` appends and moves of options, and then refuses every write, as a process
    /// does that ended before the next one.
    pub fn failing_after(writes: u64) -> Self {
        Self::over(Arc::default(), new_folder_id(), Some(Left { writes, keeps: false }))
    }

    /// An empty store that keeps the `write`-th write (from 1) but answers it with an error and then refuses all others,
    /// as a process does that ended after it was durable and before its caller heard of it.
    pub fn losing_answer_of(write: u64) -> Self {
        Self::over(Arc::default(), new_folder_id(), Some(Left { writes: write.saturating_sub(1), keeps: true }))
    }

    /// What a new process finds: all that was kept, in a store that does not fail.
    #[must_use]
    pub fn reopened(&self) -> Self {
        Self::over(Arc::clone(&self.kept), self.folder.clone(), None)
    }

    /// What a new process finds, in a store that fails after that many more writes.
    #[must_use]
    pub fn reopened_failing_after(&self, writes: u64) -> Self {
        Self::over(Arc::clone(&self.kept), self.folder.clone(), Some(Left { writes, keeps: false }))
    }

    /// It keeps what comes at once and answers so much later, as a disk does.
    #[must_use]
    pub fn slow(self, pause: Duration) -> Self {
        Self { pause, ..self }
    }

    /// Once events are appended for which `ends` holds, and are kept, it answers no write any more, as of a process that
    /// was killed then. `ends` is asked about every append, in order.
    #[must_use]
    pub fn silent_after(self, ends: impl Fn(&RunId, &[Recorded]) -> bool + Send + Sync + 'static) -> Self {
        Self { ends: Box::new(ends), ..self }
    }

    /// Becomes true when it falls silent.
    pub fn silent(&self) -> watch::Receiver<bool> {
        self.ended.subscribe()
    }

    fn over(kept: Arc<Kept>, folder: String, left: Option<Left>) -> Self {
        let commits = read::meta(&*kept).ok().flatten().map_or(0, |meta| meta.commits);
        Self {
            kept,
            folder,
            left: Mutex::new(left),
            commits: watch::Sender::new(commits),
            pause: Duration::ZERO,
            ends: Box::new(|_, _| false),
            ended: watch::Sender::new(false),
        }
    }

    /// Returns when the caller may go on: never, once the process has ended.
    async fn living(&self) {
        if *self.ended.borrow() {
            std::future::pending::<()>().await;
        }
    }

    async fn dawdle(&self) {
        if !self.pause.is_zero() {
            tokio::time::sleep(self.pause).await;
        }
    }

    fn write(&self, request: Request) -> Result<(), StoreError> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let mut plan = match read::meta(&*self.kept)? {
            Some(meta) => Plan::new(&*self.kept, meta.epoch)?,
            None => {
                self.kept.commit(&vec![(record::META.to_vec(), Some(Meta::new(self.folder.clone()).encode()?))])?;
                Plan::new(&*self.kept, 0)?
            }
        };
        plan.admit(request)?;
        let Some((number, batch)) = plan.finish()? else {
            return Ok(());
        };
        let crash = || failed("write", "the test ends this process here", false);
        match left.as_mut() {
            Some(Left { writes: 0, keeps }) => {
                if std::mem::take(keeps) {
                    self.kept.commit(&batch)?;
                }
                return Err(crash());
            }
            Some(left) => left.writes -= 1,
            None => (),
        }
        self.kept.commit(&batch)?;
        self.commits.send_replace(number);
        Ok(())
    }
}

#[async_trait]
impl Store for Memory {
    fn identity(&self) -> Identity {
        Identity { folder: self.folder.clone(), starts: 1 }
    }

    async fn renew(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn append(&self, append: Append) -> Result<(), StoreError> {
        self.living().await;
        let ends = (self.ends)(&append.run, &append.events);
        let written = self.write(Request::append(append)?);
        if ends {
            self.ended.send_replace(true);
        }
        self.living().await;
        self.dawdle().await;
        written
    }

    async fn events(&self, run: &RunId, from: u64, limit: usize) -> Result<Vec<Recorded>, StoreError> {
        let events = read::events(&*self.kept, run, from, limit);
        self.dawdle().await;
        events
    }

    async fn run(&self, run: &RunId) -> Result<Option<RunEntry>, StoreError> {
        read::run(&*self.kept, run)
    }

    async fn runs(&self, filter: &RunFilter, page: Page) -> Result<Vec<RunEntry>, StoreError> {
        read::runs(&*self.kept, filter, page)
    }

    async fn workflow(&self, name: &str) -> Result<WorkflowRuns, StoreError> {
        read::workflow(&*self.kept, name)
    }

    async fn options(&self) -> Result<BTreeMap<String, OptionValue>, StoreError> {
        read::options(&*self.kept)
    }

    async fn option(&self, name: &str) -> Result<Option<OptionValue>, StoreError> {
        let mut options = self.options().await?;
        Ok(options.remove(name))
    }

    async fn set_options(&self, options: Vec<OptionChange>) -> Result<(), StoreError> {
        self.living().await;
        self.write(Request::options(options)?)
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.commits.subscribe()
    }
}

#[derive(Default)]
pub(crate) struct Kept(Mutex<BTreeMap<Vec<u8>, Vec<u8>>>);

impl Kept {
    fn map(&self) -> MutexGuard<'_, BTreeMap<Vec<u8>, Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for Kept {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.map().get(key).cloned())
    }

    fn range(&self, from: &[u8], to: &[u8]) -> Result<Entries, StoreError> {
        let map = self.map();
        let entries = map.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)));
        Ok(entries.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut map = self.map();
        for (key, value) in batch {
            match value {
                Some(value) => drop(map.insert(key.clone(), value.clone())),
                None => drop(map.remove(key)),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
impl Memory {
    pub(crate) fn entries(&self) -> Entries {
        self.kept.map().clone().into_iter().collect()
    }
}
