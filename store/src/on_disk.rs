//! The store on disk: one thread writes, for all runs at once.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};

use async_trait::async_trait;
use engine::event::Recorded;
use engine::outside::store::{
    Append, Identity, OptionChange, OptionValue, Page, RunEntry, RunFilter, RunId, Store, StoreError, WorkflowRuns,
};
use engine::private;
use tokio::sync::{mpsc, oneshot, watch};

use crate::disk::{self, Careful, Disk, Kind, damaged, failed, io_failed};
use crate::folder::{self, Lock, Witness, Witnessed};
use crate::plan::{Plan, Request};
use crate::record::{self, Meta};
use crate::{read, upgrade};

/// How many callers may wait for the writer before the next one waits to be let in.
const QUEUE_MAX: usize = 256;
/// How many callers one commit may serve.
const GROUP_MAX: usize = 256;

/// Journals and options in a folder.
///
/// Callers that append at the same time share one durable commit. After any failure to write, this store refuses
/// everything with that failure: what the database then holds in memory may not be what it has on disk, and only
/// opening it again tells.
///
/// A caller that stops waiting for its append does not undo it.
pub struct OnDisk {
    pub(crate) shared: Arc<Shared>,
    queue: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
    commits: watch::Receiver<u64>,
}

struct Job {
    request: Request,
    answer: oneshot::Sender<Result<(), StoreError>>,
}

/// The fields are dropped in this order: the folder is free once the database is closed.
pub(crate) struct Shared {
    pub(crate) disk: Careful,
    pub(crate) epoch: u64,
    /// The folder's id.
    folder: Mutex<String>,
    /// Why everything is refused.
    broken: OnceLock<StoreError>,
    _lock: Lock,
}

impl OnDisk {
    /// Opens the store in `folder`, made where it is missing, and takes it over from its last owner.
    ///
    /// It blocks for as long as the database needs to recover.
    ///
    /// # Errors
    /// [`StoreError::InUse`] where another process, or this one, has it open. [`StoreError::Damaged`] where the
    /// database is missing, older than its witness, or does not hold all runs and options; events are checked when
    /// they are read. [`StoreError::Format`] where a newer version wrote it. [`StoreError::Io`] where the disk fails, or
    /// the folder has the other kind of store.
    pub fn open(folder: &Path, kind: Kind) -> Result<Self, StoreError> {
        private::make_folders(folder).map_err(|e| io_failed(format!("make {}", folder.display()), &e))?;
        let lock = Lock::take(folder)?;
        let witnessed = Witness::read(folder)?;
        if let Some(witnessed) = witnessed {
            check_kind(folder, kind, witnessed)?;
        }
        let disk = match disk::open(folder, kind) {
            Err(StoreError::Io { full: true, .. }) if folder::give_up_reserve(folder) => disk::open(folder, kind)?,
            opened => opened?,
        };
        let before = read::meta(&disk)?;
        check_age(before.as_ref(), witnessed)?;
        let mut meta = match before {
            Some(meta) if meta.format < record::FORMAT => upgrade::to_newest(&disk, meta)?,
            Some(meta) => meta,
            None => Meta::new(new_folder_id()),
        };
        read::runs(&disk, &RunFilter::open(), Page::ALL)?;
        read::options(&disk)?;

        meta.epoch += 1;
        disk.commit(&vec![(record::META.to_vec(), Some(meta.encode()?))])?;
        let witness = Witness::begin(folder, Witnessed { kind, epoch: meta.epoch, commits: meta.commits })?;
        folder::keep_reserve(folder);
        Self::start(disk, &meta, witness, lock)
    }

    pub(crate) fn start(disk: Careful, meta: &Meta, witness: Witness, lock: Lock) -> Result<Self, StoreError> {
        let (queue, jobs) = mpsc::channel(QUEUE_MAX);
        let (sender, commits) = watch::channel(meta.commits);
        let shared = Arc::new(Shared {
            disk,
            epoch: meta.epoch,
            folder: Mutex::new(meta.folder.clone()),
            broken: OnceLock::new(),
            _lock: lock,
        });
        let writer = Writer { shared: Arc::clone(&shared), witness, commits: sender };
        let writer = thread::Builder::new().name("store".to_owned()).spawn(move || writer.work(jobs));
        let writer = writer.map_err(|e| io_failed("start its thread", &e))?;
        Ok(Self { shared, queue: Some(queue), writer: Some(writer), commits })
    }

    /// Reads every event of every run, and says what is damaged first.
    ///
    /// # Errors
    /// Where anything is missing or was changed.
    pub async fn verify(&self) -> Result<(), StoreError> {
        self.read(read::verify).await
    }

    async fn write(&self, request: Request) -> Result<(), StoreError> {
        let gone = || self.shared.broken.get().cloned().unwrap_or_else(|| failed("write", "it was closed", false));
        let queue = self.queue.as_ref().ok_or_else(gone)?;
        let (answer, answered) = oneshot::channel();
        queue.send(Job { request, answer }).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }

    /// Reading may wait for the disk, which the threads that run everything else must not.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Disk) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.shared);
        let task = tokio::task::spawn_blocking(move || match shared.broken.get() {
            Some(error) => Err(error.clone()),
            None => read(&shared.disk),
        });
        task.await.map_err(|e| failed("read", e.to_string(), false))?
    }
}

pub(crate) fn new_folder_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

fn check_kind(folder: &Path, kind: Kind, witnessed: Witnessed) -> Result<(), StoreError> {
    if witnessed.kind != kind {
        let message = format!("{} is kept in {}", folder.display(), witnessed.kind);
        return Err(failed(format!("be opened as {kind}"), message, false));
    }
    // The database would make a new one, and all imports would begin anew.
    let file = folder.join(kind.main_file());
    match fs::metadata(&file) {
        Ok(found) if found.len() > 0 => Ok(()),
        _ => Err(damaged(file.display().to_string(), "the file is missing or empty, but there was a store here")),
    }
}

fn check_age(meta: Option<&Meta>, witnessed: Option<Witnessed>) -> Result<(), StoreError> {
    let Some(witnessed) = witnessed else {
        return Ok(());
    };
    let (epoch, commits) = meta.map_or((0, 0), |meta| (meta.epoch, meta.commits));
    if commits < witnessed.commits {
        let how = format!("its last {} commits of {} are missing", witnessed.commits - commits, witnessed.commits);
        return Err(damaged("the store", how));
    }
    if epoch < witnessed.epoch {
        let how = format!("it was opened {} times, and knows of {epoch} only", witnessed.epoch);
        return Err(damaged("the store", how));
    }
    Ok(())
}

impl Drop for OnDisk {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(writer) = self.writer.take() {
            // It has answered everybody; were it to have panicked, its callers know.
            drop(writer.join());
        }
    }
}

struct Writer {
    shared: Arc<Shared>,
    witness: Witness,
    commits: watch::Sender<u64>,
}

impl Writer {
    fn work(mut self, mut queue: mpsc::Receiver<Job>) {
        while let Some(first) = queue.blocking_recv() {
            let mut jobs = vec![first];
            while jobs.len() < GROUP_MAX
                && let Ok(job) = queue.try_recv()
            {
                jobs.push(job);
            }
            self.serve(jobs);
        }
    }

    /// One commit for all, then the answers.
    fn serve(&mut self, jobs: Vec<Job>) {
        let (requests, answers): (Vec<_>, Vec<_>) = jobs.into_iter().map(|job| (job.request, job.answer)).unzip();
        let done = match self.shared.broken.get() {
            Some(error) => Err(error.clone()),
            None => self.commit(requests),
        };
        let verdicts = match done {
            Ok(verdicts) => verdicts,
            Err(error) => {
                self.break_with(&error);
                vec![Err(error); answers.len()]
            }
        };
        for (answer, verdict) in answers.into_iter().zip(verdicts) {
            // Nobody hears it where the caller stopped waiting.
            drop(answer.send(verdict));
        }
    }

    /// One verdict for each request, or why nothing can be written any more.
    fn commit(&mut self, requests: Vec<Request>) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        let Shared { disk, epoch, .. } = &*self.shared;
        self.witness.check(*epoch)?;
        let mut plan = Plan::new(disk, *epoch)?;
        let verdicts: Vec<_> = requests.into_iter().map(|request| plan.admit(request)).collect();
        if let Some(error) = verdicts.iter().find_map(unreadable) {
            return Err(error);
        }
        let Some((number, batch)) = plan.finish()? else {
            return Ok(verdicts);
        };
        disk.commit(&batch)?;
        if let Err(error) = self.witness.write(*epoch, number) {
            // What was asked for is durable; only the next commit is refused.
            self.break_with(&error);
        }
        self.commits.send_replace(number);
        Ok(verdicts)
    }

    /// The first error stands.
    fn break_with(&self, error: &StoreError) {
        drop(self.shared.broken.set(error.clone()));
    }
}

/// A disk that cannot be read is no ground to write on.
fn unreadable(verdict: &Result<(), StoreError>) -> Option<StoreError> {
    verdict.as_ref().err().filter(|error| matches!(error, StoreError::Io { .. })).cloned()
}

#[async_trait]
impl Store for OnDisk {
    fn identity(&self) -> Identity {
        let folder = self.shared.folder.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Identity { folder, starts: self.shared.epoch }
    }

    async fn renew(&self) -> Result<(), StoreError> {
        let folder = new_folder_id();
        self.write(Request::renew(folder.clone())).await?;
        *self.shared.folder.lock().unwrap_or_else(PoisonError::into_inner) = folder;
        Ok(())
    }

    async fn append(&self, append: Append) -> Result<(), StoreError> {
        self.write(Request::append(append)?).await
    }

    async fn events(&self, run: &RunId, from: u64, limit: usize) -> Result<Vec<Recorded>, StoreError> {
        let run = run.clone();
        self.read(move |disk| read::events(disk, &run, from, limit)).await
    }

    async fn run(&self, run: &RunId) -> Result<Option<RunEntry>, StoreError> {
        let run = run.clone();
        self.read(move |disk| read::run(disk, &run)).await
    }

    async fn runs(&self, filter: &RunFilter, page: Page) -> Result<Vec<RunEntry>, StoreError> {
        let filter = filter.clone();
        self.read(move |disk| read::runs(disk, &filter, page)).await
    }

    async fn workflow(&self, name: &str) -> Result<WorkflowRuns, StoreError> {
        let name = name.to_owned();
        self.read(move |disk| read::workflow(disk, &name)).await
    }

    async fn options(&self) -> Result<BTreeMap<String, OptionValue>, StoreError> {
        self.read(read::options).await
    }

    /// All options are read for it: only their sum tells an option that was never set from one that was lost.
    async fn option(&self, name: &str) -> Result<Option<OptionValue>, StoreError> {
        let mut options = self.options().await?;
        Ok(options.remove(name))
    }

    async fn set_options(&self, options: Vec<OptionChange>) -> Result<(), StoreError> {
        self.write(Request::options(options)?).await
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.commits.clone()
    }
}
