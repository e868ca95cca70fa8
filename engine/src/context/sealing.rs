//! What a task puts on its ports, and how it becomes durable.
//!
//! ```text
//!   write, pass_on ─▶ checkpoint ── enough, or time ──▶ files on their way ─▶ `Sealed` in the journal
//!                         └── else: the task works on          └── the task works on
//! ```

use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use indexmap::IndexMap;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Cx, Done, position};
use crate::desk;
use crate::event::{Event, Segment, Tally};
use crate::failure::Failure;
use crate::population::Writer;

/// How many files one event names at most, so that it stays below what the store takes.
const SEGMENTS_PER_EVENT_MAX: usize = 40;
/// How many it names at most that has the place to go on from too, which may have
/// [`POSITION_BYTES_MAX`](super::POSITION_BYTES_MAX).
const SEGMENTS_WITH_POSITION_MAX: usize = 4;

/// Files that are on their way to the disk, with the position and counts that belong to them.
pub(crate) struct Sealing {
    files: oneshot::Receiver<Result<IndexMap<String, Segment>, Failure>>,
    passed_on: IndexMap<String, Vec<Segment>>,
    position: Value,
    tally: Tally,
}

impl Cx {
    /// Puts records on a port. They are numbered in the order of arrival unless they have numbers.
    pub async fn write(&mut self, port: &str, batch: RecordBatch) {
        self.writer().write(port, batch).await;
    }

    /// Makes sure that a port has a population, even where no record comes.
    pub async fn open(&mut self, port: &str, schema: SchemaRef) {
        self.writer().open(port, schema).await;
    }

    /// Puts files of another population on a port as they are, without copying them.
    pub fn pass_on(&mut self, port: &str, segments: &[Segment]) {
        self.passed_on.entry(port.to_owned()).or_default().extend(segments.iter().cloned());
    }

    /// Puts what came in on a port, as it is.
    pub fn pass_input_on(&mut self, port: &str) {
        if let Some(segments) = self.input().map(|input| input.segments().to_vec()) {
            self.pass_on(port, &segments);
        }
    }

    /// A place to go on from: all that was written so far belongs to `position`. Now and then, when enough was written
    /// or enough time has passed, it is made durable, while the task works on.
    ///
    /// # Errors
    /// Where the disk or the store does not take it.
    pub async fn checkpoint(&mut self, position: &(impl Serialize + Sync)) -> Result<(), Failure> {
        self.go_on()?;
        let limits = self.environment.limits.segments();
        let bytes = self.writer.as_ref().map_or(0, Writer::unsealed_bytes);
        if self.sealing.is_some() && (self.is_sealed() || bytes >= 2 * limits.segment_bytes) {
            self.record_seal().await?;
        }
        let due = self.last_seal.elapsed() >= Duration::from_secs(limits.segment_seconds.into());
        if self.sealing.is_none() && (bytes >= limits.segment_bytes || due) {
            self.begin_seal(self.to_position(position)?).await;
        }
        Ok(())
    }

    /// Makes everything written so far durable, with the place to go on from, before it returns.
    ///
    /// # Errors
    /// Where the disk or the store does not take it.
    pub async fn seal(&mut self, position: &(impl Serialize + Sync)) -> Result<(), Failure> {
        self.record_seal().await?;
        self.begin_seal(self.to_position(position)?).await;
        self.record_seal().await
    }

    fn to_position(&self, position: &impl Serialize) -> Result<Value, Failure> {
        position::write(position, &self.position, &self.journal_folder().join(&self.folder))
    }

    fn writer(&mut self) -> &Writer {
        let folder = self.folder.display().to_string();
        let run_folder = self.environment.run_folder(&self.journal.id);
        self.writer.get_or_insert_with(|| Writer::new(&run_folder, &folder, self.attempt, &self.sealed))
    }

    fn is_sealed(&self) -> bool {
        self.sealing.as_ref().is_some_and(|sealing| !sealing.files.is_empty() || sealing.files.is_terminated())
    }

    async fn begin_seal(&mut self, position: Value) {
        let files = match &self.writer {
            Some(writer) => writer.seal().await,
            None => {
                let (reply, files) = oneshot::channel();
                reply.send(Ok(IndexMap::new())).ok();
                files
            }
        };
        let passed_on = std::mem::take(&mut self.passed_on);
        self.sealing = Some(Sealing { files, passed_on, position, tally: self.done.tally.clone() });
        self.last_seal = Instant::now();
    }

    async fn record_seal(&mut self) -> Result<(), Failure> {
        let sealed = self.await_seal().await?;
        let position = match sealed.last() {
            Some(Event::Sealed { position, .. }) => position.clone(),
            _ => return Ok(()),
        };
        self.journal.append(sealed).await?;
        self.position = position;
        desk::file_sealed(self).await
    }

    /// The events of the files that are on their way, once they have arrived; several where one would be too large.
    async fn await_seal(&mut self) -> Result<Vec<Event>, Failure> {
        let Some(Sealing { files, passed_on, position, tally }) = self.sealing.take() else { return Ok(Vec::new()) };
        let files = files.await.map_err(|_| Failure::internal("the thread that writes populations ended"))??;
        let mut segments = passed_on;
        for (port, segment) in files {
            segments.entry(port).or_default().push(segment);
        }
        let mut events = Vec::new();
        for (port, new) in &segments {
            self.sealed.entry(port.clone()).or_default().extend(new.iter().cloned());
            for some in new.chunks(SEGMENTS_PER_EVENT_MAX) {
                let segments = IndexMap::from([(port.clone(), some.to_vec())]);
                events.push(Event::Sealed {
                    task: self.task,
                    segments,
                    position: Value::Null,
                    tally: Tally::default(),
                });
            }
        }
        // All are recorded together, and the last one has the place to go on from.
        events.push(Event::Sealed { task: self.task, segments: IndexMap::new(), position, tally });
        if let [Event::Sealed { segments: first, .. }, Event::Sealed { segments: last, .. }] = events.as_mut_slice()
            && first.values().map(Vec::len).sum::<usize>() <= SEGMENTS_WITH_POSITION_MAX
        {
            *last = std::mem::take(first);
            events.remove(0);
        }
        Ok(events)
    }

    /// The last files, and what the task leaves behind.
    pub(crate) async fn finish(&mut self) -> Result<(Vec<Event>, Done, IndexMap<String, u64>), Failure> {
        self.record_seal().await?;
        if self.writer.is_some() || !self.passed_on.is_empty() {
            self.begin_seal(Value::Null).await;
        }
        let events = self.await_seal().await?;
        let rows = |segments: &Vec<Segment>| segments.iter().map(|segment| segment.rows).sum();
        let out = self.sealed.iter().map(|(port, segments)| (port.clone(), rows(segments))).collect();
        Ok((events, std::mem::take(&mut self.done), out))
    }
}
