//! The automatic index: an import reads only what changed since the last one, and nothing twice.
//!
//! ```text
//!        before − overlap     before                     to − overlap    to
//!   ───────────┬────────────────┬─────────────────────────────┬──────────┬───────▶ index field
//!              │ read again     │ read for the first time                │
//!              │ dropped if     │                             │ kept for │
//!              │ seen           │                             │ next time│
//! ```
//!
//! A record may be committed late, with an older time than the end of the window that should have had it. So the
//! beginning of each window is read again, and what was seen then, by id and version, is dropped.

pub mod place;

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use engine::context::Cx;
use engine::event::{Backfill, IndexWindow, Level};
use engine::failure::{Class, Failure};
use engine::outside::store::SeenFile;
use engine::private;
use engine::scope::IndexScope;
use engine::words::counted;
use jiff::civil::DateTime;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};

/// How the text of an option is written, always in UTC.
pub const FORMAT: &str = "yyyy/MM/dd hh:mm:ss";
const PATTERN: &str = "%Y/%m/%d %H:%M:%S";
/// What `crmStartImport` is where the option is missing: the import is full.
pub const BEGINNING: &str = "1970/01/01 00:00:00";
/// What is appended to the name of the option for scripts while a window is imported again, so that they do not move it.
const BACKFILL: &str = "_backfill";
/// Where the files of what was seen lie, within the data folder.
const FOLDER: &str = "overlap";
/// Bytes of an id and version, hashed.
const SEEN_BYTES: usize = 16;

/// An instant as the text of an option.
pub fn to_text(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime(PATTERN).to_string()
}

/// The instant that the text of an option means.
///
/// # Errors
/// Where it is not of the form [`FORMAT`]; the message names the option, its value and the form.
pub fn to_instant(option: &str, text: &str) -> Result<Timestamp, Failure> {
    let read = DateTime::strptime(PATTERN, text.trim()).and_then(|at| at.to_zoned(TimeZone::UTC));
    read.map(|at| at.timestamp()).map_err(|_| {
        let message = format!("option {option} is \"{text}\", which is not of the form {FORMAT}");
        let help = format!(
            "set it with `campanile options set {option} \"2026/03/03 10:00:00\"`, or remove it for a full import"
        );
        Failure::new(Class::Config, message).help(help)
    })
}

/// The window of one import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Opened {
    /// The option.
    pub option: String,
    /// Its text before; `None` where it was missing.
    pub before: Option<String>,
    /// The end of the last import, from which on everything is new.
    pub start: Option<Timestamp>,
    /// The first instant not read, by the CRM's clock.
    pub to: Timestamp,
    /// How far back it reads again.
    pub overlap_s: i64,
    /// Whether it is imported again, so that the option stays where it is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_backfill: bool,
}

/// The variables that tell of the window.
pub const VARS: [&str; 4] = ["crmOptionName", "crmStartImport", "crmStartDate", "crmEndDate"];

impl Opened {
    /// Opens the window that follows `before` and ends now, by the CRM's clock.
    ///
    /// # Errors
    /// Where the option is not a time, or one that the CRM's clock has not reached.
    pub fn new(option: &str, before: Option<String>, now: Timestamp, overlap: SignedDuration) -> Result<Self, Failure> {
        // Options have whole seconds; what happens within the current one is read by the next import.
        let to = now.round(jiff::TimestampRound::new().smallest(jiff::Unit::Second).mode(jiff::RoundMode::Trunc));
        let to = to.map_err(|error| Failure::internal(error.to_string()))?;
        let start = before.as_deref().map(|text| to_instant(option, text)).transpose()?;
        if let Some(start) = start
            && start > to
        {
            let now = to_text(to);
            let message =
                format!("option {option} is {}, later than the CRM's clock, which shows {now}", to_text(start));
            let help = format!("set it to a time that has passed: `campanile options set {option} \"{now}\"`");
            return Err(Failure::new(Class::Config, message).help(help));
        }
        let (option, overlap_s) = (option.to_owned(), overlap.as_secs());
        Ok(Self { option, before, start, to, overlap_s, is_backfill: false })
    }

    /// The window that is imported again, whatever the option is.
    ///
    /// # Errors
    /// Where it ends later than the CRM's clock.
    pub fn again(option: &str, backfill: &Backfill, now: Timestamp) -> Result<Self, Failure> {
        let (start, to) = (Some(backfill.from), backfill.to);
        if to > now {
            let message = format!("the backfill ends at {to}, later than the CRM's clock, which shows {now}");
            return Err(Failure::new(Class::Config, message).help("let it end at a time that has passed"));
        }
        Ok(Self { option: option.to_owned(), before: None, start, to, overlap_s: 0, is_backfill: true })
    }

    /// The same, as it ends where the CRM says that it has told all. The option never goes back, whatever the CRM says.
    #[must_use]
    pub fn ending(&self, covered: Timestamp) -> Self {
        Self { to: self.start.map_or(covered, |start| start.max(covered)), ..self.clone() }
    }

    /// As the journal keeps it, of these records.
    pub fn recorded(&self, scope: Option<IndexScope>) -> IndexWindow {
        let (option, before) = (self.option.clone(), self.before.clone());
        IndexWindow { option, before, after: to_text(self.to), scope }
    }

    /// Sets the variables that tell scripts of it.
    pub fn set_vars(&self, cx: &mut Cx) {
        let start = match (&self.before, self.start) {
            (Some(before), _) => before.clone(),
            (None, Some(start)) => to_text(start),
            (None, None) => BEGINNING.to_owned(),
        };
        let option = if self.is_backfill { format!("{}{BACKFILL}", self.option) } else { self.option.clone() };
        cx.set_var("crmOptionName", option);
        cx.set_var("crmStartImport", start.clone());
        cx.set_var("crmStartDate", start);
        cx.set_var("crmEndDate", to_text(self.to));
    }

    /// The first instant read; none reads from the beginning.
    pub fn from(&self) -> Option<Timestamp> {
        self.start.map(|start| self.back(start))
    }

    /// The first instant that the next import will read again.
    pub fn tail(&self) -> Timestamp {
        self.back(self.to)
    }

    fn back(&self, at: Timestamp) -> Timestamp {
        at.checked_sub(SignedDuration::from_secs(self.overlap_s)).unwrap_or(Timestamp::MIN)
    }
}

/// What the last import saw in the time that this one reads again.
#[derive(Debug, Default)]
pub struct Seen(HashSet<u128>);

impl Seen {
    /// Reads it.
    ///
    /// # Errors
    /// Where the file is missing or is not the one that was written.
    pub fn read(data: &Path, file: &SeenFile) -> Result<Self, Failure> {
        let path = data.join(&file.path);
        let bytes = fs::read(&path).map_err(|error| Failure::io(format!("cannot read {}", path.display()), &error))?;
        if blake3::hash(&bytes).to_hex().as_str() != file.checksum {
            let message = format!("{} is not the file that was written", path.display());
            let help = "put it back from a backup; or set the option again by hand, and records of its last minutes come once more";
            return Err(Failure::new(Class::Storage, message).help(help));
        }
        let chunks = bytes.chunks_exact(SEEN_BYTES);
        Ok(Self(chunks.filter_map(|chunk| chunk.try_into().ok().map(u128::from_le_bytes)).collect()))
    }

    /// Whether a record was seen in this version.
    pub fn has(&self, id: &str, version: &str) -> bool {
        !self.0.is_empty() && self.0.contains(&hash(id, version))
    }
}

/// Tells a version of a record from all others.
pub(crate) fn hash(id: &str, version: &str) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(id.as_bytes()).update(&[0]).update(version.as_bytes());
    let mut first = [0; SEEN_BYTES];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..SEEN_BYTES]);
    u128::from_le_bytes(first)
}

/// Writes down what this import sees in the time that the next one reads again.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    file: BufWriter<File>,
    records: u64,
    records_max: u64,
    /// How many it did not take, being full.
    pub left_out: u64,
    dirty: bool,
}

impl Tail {
    /// Begins it, or goes on after `records`.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn open(data: &Path, window: &Opened, task: &str, records: u64, records_max: usize) -> Result<Self, Failure> {
        let folder = data.join(FOLDER);
        let name = format!("{}{}.seen", prefix(window), task.replace('/', "-"));
        let path = Path::new(FOLDER).join(name);
        let open = || {
            private::make_folders(&folder)?;
            let file = private::open(&data.join(&path))?;
            let bytes = records * SEEN_BYTES as u64;
            file.set_len(bytes)?;
            (&file).seek(SeekFrom::Start(bytes))?;
            File::open(&folder)?.sync_all()?;
            Ok(BufWriter::new(file))
        };
        let file = open().map_err(|error| wrong(&path, &error))?;
        Ok(Self { path, file, records, records_max: records_max as u64, left_out: 0, dirty: false })
    }

    /// Adds a record.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn add(&mut self, id: &str, version: &str) -> Result<(), Failure> {
        if self.records == self.records_max {
            self.left_out += 1;
            return Ok(());
        }
        self.dirty = true;
        self.records += 1;
        self.file.write_all(&hash(id, version).to_le_bytes()).map_err(|error| wrong(&self.path, &error))
    }

    /// Makes what was added durable, and tells how many there are.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn sync(&mut self) -> Result<u64, Failure> {
        if std::mem::take(&mut self.dirty) {
            let synced = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
            synced.map_err(|error| wrong(&self.path, &error))?;
        }
        Ok(self.records)
    }

    /// Tells in the journal of those that it did not take.
    ///
    /// # Errors
    /// Where the store does not take it.
    pub async fn warn_of_rest(&self, cx: &Cx) -> Result<(), Failure> {
        if self.left_out == 0 {
            return Ok(());
        }
        let message = format!(
            "{} of the last minutes could not be remembered (limit overlapRecords = {}); the next import brings \
             them once more",
            counted(self.left_out, "record"),
            cx.limits().overlap_records
        );
        cx.log(Level::Warning, message).await
    }

    /// Ends it.
    ///
    /// # Errors
    /// Where the file cannot be written or read.
    pub fn finish(mut self) -> Result<SeenFile, Failure> {
        self.sync()?;
        // Another run may have removed the file by its name, since this one's option has moved meanwhile.
        let mut bytes = Vec::new();
        let mut file = self.file.get_ref();
        let read = file.rewind().and_then(|()| file.read_to_end(&mut bytes));
        read.map_err(|error| wrong(&self.path, &error))?;
        Ok(SeenFile { path: self.path, records: self.records, checksum: blake3::hash(&bytes).to_hex().to_string() })
    }
}

/// Removes files of windows that can no longer move this option, since it has another value than they began with; the
/// one that the option itself names stays.
pub fn clean_up(data: &Path, window: &Opened, current: Option<&SeenFile>) {
    let (own, option) = (prefix(window), option_prefix(&window.option));
    let Ok(files) = fs::read_dir(data.join(FOLDER)) else { return };
    for file in files.flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        let is_current = current.is_some_and(|current| current.path.file_name() == Some(&file.file_name()));
        if name.starts_with(&option)
            && !name.starts_with(&own)
            && !is_current
            && let Err(error) = fs::remove_file(file.path())
        {
            tracing::debug!(%error, name, "a file of what was seen stays");
        }
    }
}

fn option_prefix(option: &str) -> String {
    format!("{}-", &blake3::hash(option.as_bytes()).to_hex()[..16])
}

fn prefix(window: &Opened) -> String {
    let before = window.before.as_deref().unwrap_or_default();
    format!("{}{}-", option_prefix(&window.option), &blake3::hash(before.as_bytes()).to_hex()[..8])
}

fn wrong(path: &Path, error: &std::io::Error) -> Failure {
    Failure::io(format!("cannot write {}", path.display()), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_window_begins_where_the_last_one_ended_and_reads_the_overlap_again() {
        let overlap = SignedDuration::from_mins(5);
        let before = Some("2026/03/03 10:00:00".to_owned());
        let window = Opened::new("X", before, at("2026-03-03T11:00:00.9Z"), overlap).unwrap();
        assert_eq!(window.from(), Some(at("2026-03-03T09:55:00Z")));
        assert_eq!(window.start, Some(at("2026-03-03T10:00:00Z")));
        assert_eq!(window.to, at("2026-03-03T11:00:00Z"));
        assert_eq!(to_text(window.to), "2026/03/03 11:00:00");
    }

    #[test]
    fn an_option_that_is_no_time_or_lies_ahead_is_refused_with_its_name_and_value() {
        let now = at("2026-03-03T11:00:00Z");
        let refused = |text: &str| Opened::new("MY", Some(text.to_owned()), now, SignedDuration::ZERO).unwrap_err();
        let message = refused("03/03/2026").to_string();
        assert!(message.contains("MY") && message.contains("03/03/2026") && message.contains(FORMAT), "{message}");
        assert!(refused("2026/03/03 11:00:01").to_string().contains("2026/03/03 11:00:01"));
    }

    #[test]
    fn what_was_seen_survives_and_goes_on_where_it_was_recorded() {
        let data = tempfile::tempdir().unwrap();
        let window = Opened::new("X", None, at("2026-03-03T11:00:00Z"), SignedDuration::ZERO).unwrap();
        let mut tail = Tail::open(data.path(), &window, "w-1/2", 0, 3).unwrap();
        tail.add("a", "1").unwrap();
        assert_eq!(tail.sync().unwrap(), 1);
        tail.add("lost", "1").unwrap();
        drop(tail);
        let mut tail = Tail::open(data.path(), &window, "w-1/2", 1, 3).unwrap();
        for id in ["b", "c", "one too many"] {
            tail.add(id, "1").unwrap();
        }
        assert_eq!(tail.left_out, 1);
        let file = tail.finish().unwrap();
        let seen = Seen::read(data.path(), &file).unwrap();
        assert!(seen.has("a", "1") && seen.has("b", "1") && seen.has("c", "1"));
        assert!(!seen.has("a", "2") && !seen.has("lost", "1") && !seen.has("one too many", "1"));
        fs::write(data.path().join(&file.path), [0; 48]).unwrap();
        assert!(Seen::read(data.path(), &file).is_err());
    }

    #[test]
    fn files_of_windows_that_lost_are_removed_and_the_others_stay() {
        let data = tempfile::tempdir().unwrap();
        let now = at("2026-03-03T11:00:00Z");
        let window = |before: &str| Opened::new("X", Some(before.to_owned()), now, SignedDuration::ZERO).unwrap();
        let file =
            |before: &str, task: &str| Tail::open(data.path(), &window(before), task, 0, 9).unwrap().finish().unwrap();
        let current = file("2026/03/03 08:00:00", "w-1/1");
        let lost = file("2026/03/03 07:00:00", "w-2/1");
        let rival = file("2026/03/03 09:00:00", "w-3/1");
        clean_up(data.path(), &window("2026/03/03 09:00:00"), Some(&current));
        let exists = |file: &SeenFile| data.path().join(&file.path).exists();
        assert_eq!((exists(&current), exists(&lost), exists(&rival)), (true, false, true));
        let mut slow = Tail::open(data.path(), &window("2026/03/03 07:00:00"), "w-4/1", 0, 9).unwrap();
        slow.add("a", "1").unwrap();
        clean_up(data.path(), &window("2026/03/03 09:00:00"), Some(&current));
        assert_eq!(slow.finish().unwrap().records, 1, "its import ends well, and moves no option");
    }
}
