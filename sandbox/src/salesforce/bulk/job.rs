//! Jobs: what they are told to do, how far they are, and how they are shown.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use indexmap::IndexMap;
use serde_json::{Value as Json, json};

use super::{
    super::{Settings, error::Error, id::Id, value::instant_text},
    csv::Format,
    ingest::Ingest,
    select::Selection,
};
use crate::time::DAY;

/// All jobs, by their ids.
#[derive(Debug, Default)]
pub(in crate::salesforce) struct Jobs {
    all: IndexMap<String, Job>,
    given: u32,
}

/// A job.
#[derive(Debug, Clone)]
pub(super) struct Job {
    /// Its id.
    pub(super) id: String,
    /// Object, as the client names it.
    pub(super) object: String,
    /// `insert`, `query` and so on.
    pub(super) operation: String,
    /// For an upsert.
    pub(super) external_id: Option<String>,
    /// How its files are written.
    pub(super) format: Format,
    /// The API's version at its creation, such as `67.0`.
    pub(super) version: String,
    /// How far it is, as clients see it.
    pub(super) state: JobState,
    /// What it does.
    pub(super) work: Work,
    /// How far its worker is.
    pub(super) progress: Arc<Progress>,
    created: i64,
    modified: i64,
    polls_left: u32,
    ready_at: i64,
}

/// What a job does.
#[derive(Debug, Clone)]
pub(super) enum Work {
    /// Writes what was uploaded.
    Ingest(Option<Bytes>),
    /// Reads.
    Query,
}

/// How far a job is, as clients see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JobState {
    Open,
    UploadComplete,
    InProgress,
    JobComplete,
    Failed,
    Aborted,
}

/// How far a job's worker is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    inner: Mutex<Inner>,
    is_aborted: AtomicBool,
}

#[derive(Debug, Default)]
pub(super) struct Inner {
    /// Rows worked on.
    pub(super) processed: usize,
    /// Rows of them that failed.
    pub(super) failed: usize,
    /// It has ended, and with this error if it failed.
    pub(super) end: Option<Result<(), String>>,
    /// What became of the rows.
    pub(super) ingest: Ingest,
    /// What was read.
    pub(super) selection: Option<Arc<Selection>>,
}

impl JobState {
    fn name(self) -> &'static str {
        match self {
            Self::Open => "Open",
            Self::UploadComplete => "UploadComplete",
            Self::InProgress => "InProgress",
            Self::JobComplete => "JobComplete",
            Self::Failed => "Failed",
            Self::Aborted => "Aborted",
        }
    }

    /// True if nothing more happens to the job.
    pub(super) fn is_end(self) -> bool {
        matches!(self, Self::JobComplete | Self::Failed | Self::Aborted)
    }
}

impl Progress {
    /// Its figures.
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the worker to stop.
    pub(super) fn abort(&self) {
        self.is_aborted.store(true, Ordering::Relaxed);
    }

    /// Whether the worker is to stop.
    pub(super) fn is_aborted(&self) -> bool {
        self.is_aborted.load(Ordering::Relaxed)
    }
}

impl Job {
    /// A job that nothing was uploaded to.
    pub(super) fn new(object: &str, operation: &str, format: Format, version: &str, work: Work, now: i64) -> Self {
        Self {
            id: String::new(),
            object: object.to_owned(),
            operation: operation.to_owned(),
            external_id: None,
            format,
            version: version.to_owned(),
            state: JobState::Open,
            work,
            progress: Arc::default(),
            created: now,
            modified: now,
            polls_left: 0,
            ready_at: now,
        }
    }

    /// The job is to begin.
    pub(super) fn begin(&mut self, settings: &Settings, now: i64) {
        self.state = JobState::UploadComplete;
        self.modified = now;
        self.polls_left = settings.bulk_polls.max(1);
        self.ready_at = now.saturating_add(settings.bulk_seconds);
    }

    /// The job is not to go on.
    pub(super) fn abort(&mut self, now: i64) {
        self.progress.abort();
        (self.state, self.modified) = (JobState::Aborted, now);
    }

    /// A client asks how far it is: the states are seen one after the other, `InProgress` at least once.
    fn poll(&mut self, now: i64) {
        if !matches!(self.state, JobState::UploadComplete | JobState::InProgress) {
            return;
        }
        self.state = JobState::InProgress;
        self.modified = now;
        if self.polls_left > 0 {
            self.polls_left -= 1;
            return;
        }
        if now < self.ready_at {
            return;
        }
        match &self.progress.lock().end {
            Some(Ok(())) => self.state = JobState::JobComplete,
            Some(Err(_)) => self.state = JobState::Failed,
            None => {}
        }
    }

    /// As the API shows it; with the figures that only its own resource has, if asked for.
    pub(super) fn to_json(&self, user: &str, with_figures: bool) -> Json {
        let is_query = matches!(self.work, Work::Query);
        let mut job = json!({
            "id": self.id,
            "operation": self.operation,
            "object": self.object,
            "createdById": user,
            "createdDate": instant_text(self.created),
            "systemModstamp": instant_text(self.modified),
            "state": self.state.name(),
            "concurrencyMode": "Parallel",
            "contentType": "CSV",
            "apiVersion": self.version.parse::<f64>().unwrap_or(0.0),
            "jobType": if is_query { "V2Query" } else { "V2Ingest" },
            "lineEnding": self.format.line_ending_name(),
            "columnDelimiter": self.format.delimiter_name(),
        });
        if let Some(field) = &self.external_id {
            job["externalIdFieldName"] = field.as_str().into();
        }
        if !is_query {
            job["contentUrl"] = format!("services/data/v{}/jobs/ingest/{}/batches", self.version, self.id).into();
        }
        if with_figures {
            let progress = self.progress.lock();
            // What the worker has done already is not told before the job shows that it works.
            let is_begun = !matches!(self.state, JobState::Open | JobState::UploadComplete);
            let (processed, failed) = if is_begun { (progress.processed, progress.failed) } else { (0, 0) };
            job["retries"] = 0.into();
            job["totalProcessingTime"] = (processed / 10).into();
            job["numberRecordsProcessed"] = processed.into();
            if is_query {
                job["isPkChunkingSupported"] = true.into();
            } else {
                job["numberRecordsFailed"] = failed.into();
                job["apiActiveProcessingTime"] = (processed / 10).into();
                job["apexProcessingTime"] = 0.into();
            }
            if let (JobState::Failed, Some(Err(text))) = (self.state, &progress.end) {
                job["errorMessage"] = text.as_str().into();
            }
        }
        job
    }
}

impl Jobs {
    /// Keeps a job and gives it an id.
    pub(super) fn add(&mut self, mut job: Job) -> Job {
        self.given += 1;
        job.id = Id::new("750", self.given).to_string();
        self.all.insert(job.id.clone(), job.clone());
        job
    }

    /// A job of a kind by its id, of 15 or 18 characters.
    pub(super) fn get(&mut self, is_query: bool, id: &str, settings: &Settings, now: i64) -> Result<&mut Job, Error> {
        self.all.retain(|_, job| now - job.created < settings.job_days.saturating_mul(DAY));
        let id = Id::parse(id).map(|id| id.to_string()).unwrap_or_default();
        let job = self.all.get_mut(&id).filter(|job| matches!(job.work, Work::Query) == is_query);
        job.ok_or_else(Error::not_found)
    }

    /// The same, asked how far it is.
    pub(super) fn poll(&mut self, is_query: bool, id: &str, settings: &Settings, now: i64) -> Result<&Job, Error> {
        let job = self.get(is_query, id, settings, now)?;
        job.poll(now);
        Ok(job)
    }

    /// Forgets a job.
    pub(super) fn remove(&mut self, id: &str) {
        self.all.shift_remove(id);
    }

    /// All jobs of a kind.
    pub(super) fn list(&self, is_query: bool) -> impl Iterator<Item = &Job> {
        self.all.values().filter(move |job| matches!(job.work, Work::Query) == is_query)
    }
}
