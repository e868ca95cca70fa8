//! Writes the segments of one task's ports, on a thread of its own.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions};
use indexmap::IndexMap;
use tokio::sync::{mpsc, oneshot};

use crate::event::Segment;
use crate::failure::Failure;
use crate::private;
use crate::types::SEQ;

/// How many batches wait at most for the thread that encodes them.
const BATCHES_WAITING_MAX: usize = 4;

/// When a segment is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriterLimits {
    /// So many bytes of files, over all ports.
    pub segment_bytes: u64,
    /// So many seconds after the last time.
    pub segment_seconds: u32,
}

impl Default for WriterLimits {
    fn default() -> Self {
        Self { segment_bytes: 16 * 1024 * 1024, segment_seconds: 2 }
    }
}

/// Takes batches for ports, and seals them into files.
#[derive(Debug)]
pub struct Writer {
    orders: mpsc::Sender<Order>,
    written: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Order {
    Write { port: String, batch: RecordBatch },
    Open { port: String, schema: SchemaRef },
    Seal { reply: oneshot::Sender<Result<IndexMap<String, Segment>, Failure>> },
}

impl Writer {
    /// Writes into the folder `task` within the run's folder, after the segments that `sealed` already names by port.
    ///
    /// What earlier attempts left and the journal does not name is removed. The thread of an attempt that was broken off may
    /// still be writing, so names tell attempts apart, and no attempt touches the files of a later one.
    pub fn new(run_folder: &Path, task: &str, attempt: u32, sealed: &IndexMap<String, Vec<Segment>>) -> Self {
        let (orders, queue) = mpsc::channel(BATCHES_WAITING_MAX);
        let written = Arc::new(AtomicU64::new(0));
        let mut files = Files {
            run_folder: run_folder.to_owned(),
            task: task.to_owned(),
            attempt,
            ports: IndexMap::new(),
            written: Arc::clone(&written),
            failed: None,
        };
        for (port, segments) in sealed {
            files.ports.insert(port.clone(), Port::after(segments));
        }
        tokio::task::spawn_blocking(move || files.serve(queue));
        Self { orders, written }
    }

    /// Adds records to a port. Waits while too many wait already.
    ///
    /// # Errors
    /// Only at the next [`Writer::seal`]: that is where a full disk is told.
    pub async fn write(&self, port: &str, batch: RecordBatch) {
        self.order(Order::Write { port: port.to_owned(), batch }).await;
    }

    /// Makes sure that the port has a file, even where no record comes.
    pub async fn open(&self, port: &str, schema: SchemaRef) {
        self.order(Order::Open { port: port.to_owned(), schema }).await;
    }

    /// Bytes of files since the last seal, of what was encoded so far.
    pub fn unsealed_bytes(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Makes what was written since the last seal durable, and returns its files by port. What is written
    /// meanwhile goes into the next ones.
    ///
    /// # Errors
    /// Where anything could not be written.
    pub async fn seal(&self) -> oneshot::Receiver<Result<IndexMap<String, Segment>, Failure>> {
        let (reply, answer) = oneshot::channel();
        self.order(Order::Seal { reply }).await;
        answer
    }

    async fn order(&self, order: Order) {
        // The thread ends only when this sender is gone, or with a panic, which the next seal tells.
        self.orders.send(order).await.ok();
    }
}

struct Files {
    run_folder: PathBuf,
    task: String,
    attempt: u32,
    ports: IndexMap<String, Port>,
    written: Arc<AtomicU64>,
    failed: Option<Failure>,
}

struct Port {
    segments: usize,
    rows: u64,
    open: Option<Open>,
    /// Until this attempt first writes to it: the files that the journal names.
    named: Option<HashSet<PathBuf>>,
}

struct Open {
    part: PathBuf,
    path: PathBuf,
    rows: u64,
    writer: FileWriter<BufWriter<Summed>>,
}

impl Port {
    fn after(segments: &[Segment]) -> Self {
        Self {
            segments: segments.len(),
            rows: segments.iter().map(|segment| segment.rows).sum(),
            open: None,
            named: Some(segments.iter().map(|segment| segment.path.clone()).collect()),
        }
    }
}

impl Files {
    fn serve(&mut self, mut queue: mpsc::Receiver<Order>) {
        while let Some(order) = queue.blocking_recv() {
            let done = match order {
                Order::Write { .. } | Order::Open { .. } if self.failed.is_some() => Ok(()),
                Order::Write { port, batch } => self.write(&port, batch),
                Order::Open { port, schema } => self.open(&port, &with_seq(&schema)),
                Order::Seal { reply } => {
                    let sealed = match self.failed.take() {
                        Some(failure) => Err(failure),
                        None => self.seal(),
                    };
                    reply.send(sealed).ok();
                    Ok(())
                }
            };
            if let Err(failure) = done {
                self.failed = Some(failure);
            }
        }
    }

    fn write(&mut self, port: &str, batch: RecordBatch) -> Result<(), Failure> {
        if batch.num_rows() == 0 {
            return self.open(port, &with_seq(&batch.schema()));
        }
        let first = self.ports.get(port).map_or(0, |port| port.rows);
        let batch = number(batch, first)?;
        self.open(port, &batch.schema())?;
        let Some(Port { rows, open: Some(open), .. }) = self.ports.get_mut(port) else { return Ok(()) };
        open.writer.write(&batch).map_err(|error| written(&open.part, error))?;
        open.rows += batch.num_rows() as u64;
        *rows += batch.num_rows() as u64;
        Ok(())
    }

    fn open(&mut self, port: &str, schema: &SchemaRef) -> Result<(), Failure> {
        let state = self.ports.entry(port.to_owned()).or_insert_with(|| Port::after(&[]));
        if state.open.is_some() {
            return Ok(());
        }
        let place = Path::new(&self.task).join(port);
        let folder = self.run_folder.join(&place);
        private::make_folders(&folder)
            .map_err(|error| Failure::io(format!("cannot make {}", folder.display()), &error))?;
        if let Some(named) = state.named.take() {
            remove_leftovers(&folder, self.attempt, |name| named.contains(&place.join(name)));
        }
        let name = file_name(state.segments + 1, self.attempt);
        let part = folder.join(format!(".{name}.part"));
        let file =
            private::create(&part).map_err(|error| Failure::io(format!("cannot write {}", part.display()), &error))?;
        let sum = Summed { file, hasher: blake3::Hasher::new(), bytes: 0, written: Arc::clone(&self.written) };
        let options = IpcWriteOptions::default()
            .try_with_compression(Some(CompressionType::LZ4_FRAME))
            .map_err(|error| written(&part, error))?;
        let writer = FileWriter::try_new_with_options(BufWriter::with_capacity(256 * 1024, sum), schema, options)
            .map_err(|error| written(&part, error))?;
        state.open = Some(Open { part, path: place.join(name), rows: 0, writer });
        Ok(())
    }

    fn seal(&mut self) -> Result<IndexMap<String, Segment>, Failure> {
        let mut sealed = IndexMap::new();
        for (name, port) in &mut self.ports {
            let Some(open) = port.open.take() else { continue };
            sealed.insert(name.clone(), open.seal(&self.run_folder)?);
            port.segments += 1;
        }
        self.written.store(0, Ordering::Relaxed);
        Ok(sealed)
    }
}

impl Open {
    fn seal(mut self, run_folder: &Path) -> Result<Segment, Failure> {
        self.writer.finish().map_err(|error| written(&self.part, error))?;
        let io = |error: &io::Error| Failure::io(format!("cannot write {}", self.path.display()), error);
        let buffered = self.writer.into_inner().map_err(|error| written(&self.part, error))?;
        let sum = buffered.into_inner().map_err(|error| io(error.error()))?;
        sum.file.sync_all().map_err(|error| io(&error))?;
        let place = run_folder.join(&self.path);
        fs::rename(&self.part, &place).map_err(|error| io(&error))?;
        sync_folders(&place, run_folder).map_err(|error| io(&error))?;
        let checksum = sum.hasher.finalize().to_hex().to_string();
        Ok(Segment { path: self.path, rows: self.rows, bytes: sum.bytes, checksum })
    }
}

/// The name of a file that an attempt writes.
fn file_name(number: usize, attempt: u32) -> String {
    match attempt {
        1 => format!("{number:06}.arrow"),
        attempt => format!("{number:06}-{attempt}.arrow"),
    }
}

/// Which attempt wrote a file of this name, finished or not.
fn attempt_of(name: &str) -> u32 {
    let stem = name.trim_start_matches('.').split('.').next().unwrap_or_default();
    stem.split_once('-').and_then(|(_, attempt)| attempt.parse().ok()).unwrap_or(1)
}

/// Removes what earlier attempts left and the journal does not name; what cannot be removed is in nobody's way.
fn remove_leftovers(folder: &Path, attempt: u32, is_named: impl Fn(&str) -> bool) {
    for file in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = file.file_name();
        let is_left = |name: &str| attempt_of(name) < attempt && !is_named(name);
        if name.to_str().is_some_and(is_left)
            && let Err(error) = fs::remove_file(file.path())
        {
            tracing::debug!(%error, file = %file.path().display(), "a file that an earlier attempt left stays");
        }
    }
}

/// Syncs the folders from a file up to the run's own, which may all be new.
fn sync_folders(place: &Path, run_folder: &Path) -> io::Result<()> {
    for folder in place.ancestors().skip(1).take_while(|folder| folder.starts_with(run_folder)) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// With the column that keeps the order of arrival, numbered on from `first`, unless it has one.
fn number(batch: RecordBatch, first: u64) -> Result<RecordBatch, Failure> {
    if batch.column_by_name(SEQ).is_some() {
        return Ok(batch);
    }
    let first = i64::try_from(first).map_err(|_| Failure::internal("more records than can be numbered"))?;
    let rows = i64::try_from(batch.num_rows()).map_err(|_| Failure::internal("a batch too large"))?;
    let schema = with_seq(&batch.schema());
    let mut columns = batch.columns().to_vec();
    columns.push(Arc::new(Int64Array::from_iter_values(first..first + rows)));
    RecordBatch::try_new(schema, columns).map_err(|error| Failure::internal(error.to_string()))
}

fn with_seq(schema: &SchemaRef) -> SchemaRef {
    if schema.column_with_name(SEQ).is_some() {
        return Arc::clone(schema);
    }
    let mut fields = schema.fields().to_vec();
    fields.push(Arc::new(Field::new(SEQ, DataType::Int64, false)));
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

fn written(path: &Path, error: arrow::error::ArrowError) -> Failure {
    match error {
        arrow::error::ArrowError::IoError(_, error) => Failure::io(format!("cannot write {}", path.display()), &error),
        other => Failure::internal(format!("cannot encode {}: {other}", path.display())),
    }
}

/// A file that knows its own checksum and length.
struct Summed {
    file: File,
    hasher: blake3::Hasher,
    bytes: u64,
    written: Arc<AtomicU64>,
}

impl Write for Summed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.bytes += count as u64;
        self.written.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &Path, attempt: u32, sealed: &IndexMap<String, Vec<Segment>>) -> Files {
        Files {
            run_folder: folder.to_owned(),
            task: "1-a".to_owned(),
            attempt,
            ports: sealed.iter().map(|(port, segments)| (port.clone(), Port::after(segments))).collect(),
            written: Arc::default(),
            failed: None,
        }
    }

    fn batch(values: &[i64]) -> RecordBatch {
        let values: arrow::array::ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
        RecordBatch::try_from_iter([("n", values)]).unwrap()
    }

    fn names(folder: &Path) -> Vec<String> {
        let files = fs::read_dir(folder.join("1-a/ok")).unwrap();
        let mut names: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// A task is broken off, and the thread that writes its files comes to its orders after the next attempt has begun.
    #[test]
    fn an_attempt_that_was_broken_off_changes_no_file_of_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = files(folder.path(), 1, &IndexMap::new());
        first.write("ok", batch(&[1])).unwrap();
        let sealed: IndexMap<String, Vec<Segment>> =
            first.seal().unwrap().into_iter().map(|(port, segment)| (port, vec![segment])).collect();
        let mut broken_off = files(folder.path(), 2, &sealed);
        let mut next = files(folder.path(), 3, &sealed);
        next.write("ok", batch(&[2])).unwrap();
        broken_off.write("ok", batch(&[2])).unwrap();
        let segment = next.seal().unwrap().shift_remove("ok").unwrap();
        broken_off.write("ok", batch(&[3])).unwrap();
        broken_off.seal().unwrap();
        assert!(super::super::read_segment(folder.path(), &segment).is_ok(), "it is the file that was written");
        assert!(
            super::super::read_segment(folder.path(), &sealed["ok"][0]).is_ok(),
            "no file of the journal is removed"
        );
    }

    #[test]
    fn what_earlier_attempts_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = files(folder.path(), 1, &IndexMap::new());
        first.write("ok", batch(&[1])).unwrap();
        first.seal().unwrap();
        first.write("ok", batch(&[2])).unwrap();
        assert_eq!(names(folder.path()), [".000002.arrow.part", "000001.arrow"]);
        let mut second = files(folder.path(), 2, &IndexMap::new());
        second.write("ok", batch(&[1])).unwrap();
        second.seal().unwrap();
        assert_eq!(names(folder.path()), ["000001-2.arrow"]);
    }
}
