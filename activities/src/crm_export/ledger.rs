//! The temp file of an export: what is about to be sent and what came of it, in one file that only grows.
//!
//! ```text
//!   header ─▶ intended 0 ─▶ intended 1 ─▶ answered 1 ─▶ intended 2 ─▶ step 2 ─▶ answered 0 ─▶ …
//!              │ durable       │ durable
//!              └─▶ send        └─▶ send          entries of all lanes that wait are synced together
//! ```
//!
//! An entry is durable before what follows from it begins: an intent before its request, an answer before its records are
//! passed on. No entry is changed or moved. [`state`] says what the entries mean, [`frame`] what a crash may leave.

mod frame;
pub(super) mod state;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use engine::failure::{Class, Failure};
use engine::private;
use tokio::sync::oneshot;

use frame::{Salt, Unsound};
use state::{Batch, Entry, Fate, Header, State};

/// Bytes that are written with one sync at most, besides the entry that passes the limit.
const GROUP_BYTES_MAX: usize = 32 * 1024 * 1024;

/// How long an answer waits for other entries, to be synced together with them.
const GATHER: Duration = Duration::from_micros(300);

/// A ledger that is open. Dropping it ends its thread once all that was given to it is written.
#[derive(Debug)]
pub(crate) struct Ledger {
    path: PathBuf,
    salt: Salt,
    orders: mpsc::Sender<Order>,
}

#[derive(Debug)]
struct Order {
    kind: u8,
    payload: Vec<u8>,
    reply: oneshot::Sender<Result<u64, Failure>>,
}

/// Tells when an entry is durable.
#[derive(Debug)]
pub(crate) struct Receipt(oneshot::Receiver<Result<u64, Failure>>);

impl Receipt {
    /// Waits until it is; tells how long the durable file is.
    ///
    /// # Errors
    /// `Class::Storage` where the disk does not take it.
    pub(crate) async fn durable(self) -> Result<u64, Failure> {
        self.0.await.unwrap_or_else(|_| Err(Failure::internal("the thread that writes an export's temp file ended")))
    }
}

impl Ledger {
    /// Opens the file, or makes it. Waits for another thread of this process that still writes to it.
    ///
    /// # Errors
    /// `Class::Storage` where it cannot be read or is damaged.
    pub(crate) fn open(path: &Path) -> Result<(Self, State), Failure> {
        let io = |error: &std::io::Error| Failure::io(format!("cannot open {}", path.display()), error);
        let file = private::open(path).map_err(|error| io(&error))?;
        file.lock().map_err(|error| io(&error))?;
        let length = file.metadata().map_err(|error| io(&error))?.len();
        let mut state = State::default();
        let mut reader = BufReader::with_capacity(1024 * 1024, &file);
        let (salt, end) = match frame::read_head(&mut reader, length).map_err(|unsound| told(path, unsound))? {
            None => (begin(path, &file).map_err(|error| io(&error))?, frame::HEAD),
            Some(salt) => {
                let end = frame::read_all(&mut reader, salt, length, |frame| apply(path, &mut state, frame))?;
                // What a crash cut short is of no use, and must not be taken for something later on.
                if end < length {
                    file.set_len(end).and_then(|()| file.sync_all()).map_err(|error| io(&error))?;
                }
                (salt, end)
            }
        };
        drop(reader);
        let (orders, queue) = mpsc::channel();
        let mut writing = Writing { path: path.to_owned(), file, salt, end, failed: None };
        std::thread::Builder::new()
            .name("export-ledger".to_owned())
            .spawn(move || writing.serve(&queue))
            .map_err(|error| Failure::io("cannot start a thread", &error))?;
        Ok((Self { path: path.to_owned(), salt, orders }, state))
    }

    /// What was decided when the export began, read beside whoever writes; none where it has not begun.
    ///
    /// # Errors
    /// `Class::Storage` where the file cannot be read or is damaged.
    pub(crate) fn header(path: &Path) -> Result<Option<Header>, Failure> {
        let read = || {
            let mut file = File::open(path)?;
            let length = file.metadata()?.len();
            let Some(salt) = frame::read_head(&mut file, length)? else { return Ok(None) };
            Ok(frame::read(&mut file, salt, frame::HEAD, length)?)
        };
        let frame = read().map_err(|unsound| told(path, unsound))?;
        Ok(match frame.and_then(|frame| Entry::decode(frame.kind, frame.payload)) {
            Some(Entry::Header(header)) => Some(*header),
            _ => None,
        })
    }

    /// Adds an entry; entries are in the file in the order of the calls.
    ///
    /// # Errors
    /// Only a fault of ours.
    pub(crate) fn append(&self, entry: &Entry) -> Result<Receipt, Failure> {
        let (kind, payload) = entry.encode().map_err(|error| Failure::internal(error.to_string()))?;
        let (reply, receipt) = oneshot::channel();
        // Where the thread is gone, the receipt tells.
        self.orders.send(Order { kind, payload, reply }).ok();
        Ok(Receipt(receipt))
    }

    /// What is to become of each record of a batch.
    ///
    /// # Errors
    /// `Class::Storage` where the file cannot be read any more.
    pub(crate) fn intended(&self, batch: &Batch) -> Result<Vec<Fate>, Failure> {
        match self.entry(batch.at)? {
            Entry::Intended { mut records, .. } => {
                for row in &batch.older {
                    if let Some(fate) = usize::try_from(*row).ok().and_then(|row| records.get_mut(row)) {
                        *fate = Fate::Older;
                    }
                }
                Ok(records)
            }
            _ => Err(told(&self.path, Unsound::Damaged { at: batch.at })),
        }
    }

    /// What became of the records of a batch that were sent.
    ///
    /// # Errors
    /// `Class::Storage` where the file cannot be read any more.
    pub(crate) fn answer(&self, at: u64) -> Result<Vec<engine::outside::crm::Outcome>, Failure> {
        match self.entry(at)? {
            Entry::Answered { outcomes, .. } => Ok(outcomes),
            _ => Err(told(&self.path, Unsound::Damaged { at })),
        }
    }

    fn entry(&self, at: u64) -> Result<Entry, Failure> {
        let read = || {
            let mut file = File::open(&self.path)?;
            let length = file.metadata()?.len();
            frame::read(&mut file, self.salt, at, length)
        };
        let frame = read().map_err(|error| told(&self.path, Unsound::Io(error)))?;
        frame
            .and_then(|frame| Entry::decode(frame.kind, frame.payload))
            .ok_or_else(|| told(&self.path, Unsound::Damaged { at }))
    }
}

fn apply(path: &Path, state: &mut State, frame: frame::Frame) -> Result<(), Wrong> {
    let at = frame.at;
    let strange = |why: String| {
        let message = format!("{} is not understood at byte {at}: {why}", path.display());
        Wrong(Failure::new(Class::Storage, message).help(HELP))
    };
    let kind = frame.kind;
    let entry = Entry::decode(kind, frame.payload).ok_or_else(|| strange(format!("an entry of kind {kind}")))?;
    state.apply(at, entry).map_err(strange)
}

/// A failure, also where a frame itself is at fault.
struct Wrong(Failure);

impl From<Unsound> for Wrong {
    fn from(unsound: Unsound) -> Self {
        Self(told(Path::new("the temp file of the export"), unsound))
    }
}

impl From<Wrong> for Failure {
    fn from(Wrong(failure): Wrong) -> Self {
        failure
    }
}

const HELP: &str = "put the file back from a backup and resume the run; or stop the run, look up in the CRM what was \
                    written, and start the workflow again";

fn told(path: &Path, unsound: Unsound) -> Failure {
    let path = path.display();
    match unsound {
        Unsound::Io(error) => Failure::io(format!("cannot read {path}"), &error),
        Unsound::Foreign => Failure::new(Class::Storage, format!("{path} is no temp file of an export")).help(HELP),
        Unsound::Damaged { at } => {
            let message = format!("{path} is damaged at byte {at}: what follows is sound, and what was there is not");
            Failure::new(Class::Storage, message).help(HELP)
        }
    }
}

/// Writes the head, durably with the file's name.
fn begin(path: &Path, mut file: &File) -> std::io::Result<Salt> {
    let salt: Salt = uuid::Uuid::new_v4().as_bytes().first_chunk().copied().unwrap_or_default();
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&frame::head(salt))?;
    file.sync_all()?;
    for folder in path.ancestors().skip(1).take(2) {
        File::open(folder)?.sync_all()?;
    }
    Ok(salt)
}

/// The thread that writes. It holds the file's lock as long as it lives.
struct Writing {
    path: PathBuf,
    file: File,
    salt: Salt,
    end: u64,
    /// After a write that failed nothing is known of the file's end: it must be opened again.
    failed: Option<Failure>,
}

impl Writing {
    fn serve(&mut self, queue: &mpsc::Receiver<Order>) {
        let mut buffer = Vec::new();
        while let Ok(first) = queue.recv() {
            let mut size = first.payload.len();
            // The answer of one batch is followed by the intent of the next on its lane.
            let patience = if first.kind == state::ANSWERED { GATHER } else { Duration::ZERO };
            let mut group = vec![first];
            let until = Instant::now() + patience;
            while size < GROUP_BYTES_MAX
                && let Ok(next) = queue.recv_timeout(until.saturating_duration_since(Instant::now()))
            {
                size += next.payload.len();
                group.push(next);
            }
            let written = match &self.failed {
                Some(failure) => Err(failure.clone()),
                None => self.write(&group, &mut buffer),
            };
            if let Err(failure) = &written {
                self.failed = Some(failure.clone());
            }
            for order in group {
                order.reply.send(written.clone()).ok();
            }
        }
    }

    fn write(&mut self, group: &[Order], buffer: &mut Vec<u8>) -> Result<u64, Failure> {
        buffer.clear();
        let mut write = || {
            for order in group {
                frame::put(buffer, self.salt, self.end, self.end, order.kind, &order.payload)?;
            }
            self.file.seek(SeekFrom::Start(self.end))?;
            self.file.write_all(buffer)?;
            self.file.sync_data()?;
            Ok(buffer.len() as u64)
        };
        let length = write().map_err(|error| Failure::io(format!("cannot write {}", self.path.display()), &error))?;
        self.end += length;
        Ok(self.end)
    }
}
