//! One measured piece of work in a process of its own, so that its memory is its own.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::measure::{Fallible, float, median, peak_kib, processor_seconds, target};
use crate::rivals::{bulk_update, join, load};
use crate::{demo, export, import, sets};

/// However many records there are.
const MEMORY_MIB_MAX: f64 = 300.0;

/// What is to be done.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Work {
    /// Downloads all pages and throws them away.
    Download { url: String },
    /// Downloads, decodes and writes them, as plainly as can be.
    Plain { url: String, folder: PathBuf },
    /// Imports them with Campanile.
    Ours { url: String, folder: PathBuf },
    /// Runs the demo workflow.
    Demo { account: String, folder: PathBuf },
    /// Imports contacts by a bulk query, as plainly as can be.
    BulkPlain { account: String, folder: PathBuf },
    /// The same with Campanile.
    BulkOurs { account: String, folder: PathBuf },
    /// Imports contacts and writes them back; lanes and records of each, where they are said.
    Export { account: String, lanes: Option<(u32, u32)>, folder: PathBuf },
    /// Makes records and deduplicates them with Campanile.
    Dedupe { records: u64, groups: u64, memory_mib: usize, folder: PathBuf },
    /// Puts contacts of Salesforce into a table.
    ContactsToTable { account: String, folder: PathBuf },
    /// Updates contacts of Salesforce from a table.
    BulkUpdate { account: String, folder: PathBuf },
    /// Imports contacts of Dynamics into a table.
    Load { account: String, folder: PathBuf },
    /// Enriches records with a table as large.
    Join { records: u32, from: join::From, folder: PathBuf },
}

/// What came of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Done {
    /// Of what is measured; the process's start is not in it.
    pub(crate) seconds: f64,
    /// Records that came.
    pub(crate) records: u64,
    /// Files that were written.
    pub(crate) segments: u64,
    /// Bytes that were written.
    pub(crate) bytes: u64,
    /// Anything else to be said.
    pub(crate) note: String,
    /// Of the whole process.
    pub(crate) processor_seconds: f64,
    /// Of the whole process.
    pub(crate) peak_kib: u64,
}

/// Does it in this process, and prints what came of it.
pub(crate) fn perform(work: &str) -> Fallible<()> {
    let done = match serde_json::from_str(work)? {
        Work::Download { url } => import::download(&url),
        Work::Plain { url, folder } => import::plain(&url, &folder),
        Work::Ours { url, folder } => import::ours(&url, &folder),
        Work::Demo { account, folder } => demo::once(&account, &folder),
        Work::BulkPlain { account, folder } => import::bulk::plain(&account, &folder),
        Work::BulkOurs { account, folder } => import::bulk::ours(&account, &folder),
        Work::Export { account, lanes, folder } => export::once(&account, lanes, &folder),
        Work::Dedupe { records, groups, memory_mib, folder } => sets::dedupe(records, groups, memory_mib, &folder),
        Work::ContactsToTable { account, folder } => bulk_update::prepare(&account, &folder),
        Work::BulkUpdate { account, folder } => bulk_update::ours(&account, &folder),
        Work::Load { account, folder } => load::ours(&account, &folder),
        Work::Join { records, from, folder } => join::ours(records, from, &folder),
    }?;
    let done = Done { processor_seconds: processor_seconds()?, peak_kib: peak_kib()?, ..done };
    println!("{}", serde_json::to_string(&done)?);
    Ok(())
}

/// Prints what rounds of the same work came to, and the middle of their seconds.
pub(crate) fn show(name: &str, rounds: &[Done]) {
    let done = rounds.last().cloned().unwrap_or_default();
    println!(
        "  {name}: {:.2} s, {:.0} records/s, {:.2} s of the process's processor, {} MiB at most",
        middle(rounds),
        float(done.records) / middle(rounds),
        middle_processor(rounds),
        done.peak_kib / 1024,
    );
}

/// The middle of the seconds that rounds took.
pub(crate) fn middle(rounds: &[Done]) -> f64 {
    median(rounds.iter().map(|done| done.seconds).collect())
}

/// The middle of the seconds that their processes used the processor.
pub(crate) fn middle_processor(rounds: &[Done]) -> f64 {
    median(rounds.iter().map(|done| done.processor_seconds).collect())
}

/// Prints whether rounds kept the target of memory.
pub(crate) fn memory(what: &str, rounds: &[Done]) {
    let most = rounds.iter().map(|done| done.peak_kib).max().unwrap_or_default();
    target(what, float(most) / 1024.0, MEMORY_MIB_MAX, " MiB");
}

/// Does it in another process, where it must come to so many records.
pub(crate) fn elsewhere_all(work: &Work, records: u32) -> Fallible<Done> {
    let done = elsewhere(work)?;
    match done.records == u64::from(records) {
        true => Ok(done),
        false => Err(format!("{} records came, not {records}", done.records).into()),
    }
}

/// Does it in another process.
pub(crate) fn elsewhere(work: &Work) -> Fallible<Done> {
    let output = Command::new(std::env::current_exe()?)
        .args(["work", &serde_json::to_string(work)?])
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("the process that did the work failed: {}", output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
