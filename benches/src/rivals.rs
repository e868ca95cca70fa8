//! What others do with the same work, beside ours in the same run. Seconds are those of the processor, of a process of its own
//! each, in pairs that take turns: they depend less on what else the machine does than time does.

pub(crate) mod bulk_update;
pub(crate) mod join;
pub(crate) mod load;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::measure::{Fallible, children_processor_seconds, median, target};

/// How often each pair is measured.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Records.
    #[arg(long)]
    records: Option<u32>,
    /// Pairs, of which the middle one counts.
    #[arg(long, default_value_t = 5)]
    pairs: usize,
}

impl Default for Args {
    fn default() -> Self {
        Self { records: None, pairs: 5 }
    }
}

/// Measures ours and a rival in turns, and prints both with their ratio.
fn compare(
    args: &Args,
    names: [&str; 2],
    most: f64,
    mut ours: impl FnMut() -> Fallible<f64>,
    mut rival: impl FnMut() -> Fallible<f64>,
) -> Fallible<()> {
    let [our_name, rival_name] = names;
    let (mut all, mut ratios) = ([Vec::new(), Vec::new()], Vec::new());
    for pair in 0..args.pairs.max(1) {
        // Neither is always the first.
        let (ours, rival) = match pair % 2 {
            0 => {
                let ours = ours()?;
                (ours, rival()?)
            }
            _ => {
                let rival = rival()?;
                (ours()?, rival)
            }
        };
        println!("  {ours:.2} s of processor, {rival_name} {rival:.2} s: {:.2}", ours / rival);
        all[0].push(ours);
        all[1].push(rival);
        ratios.push(ours / rival);
    }
    let [ours, rival] = all.map(median);
    println!("  {our_name}: {ours:.2} s of processor; {rival_name}: {rival:.2} s");
    target(&format!("{our_name} ÷ {rival_name} (middle of each pair's)"), median(ratios), most, "");
    Ok(())
}

/// The seconds of the processor that a command takes, and what it says.
fn measured(command: &mut Command) -> Fallible<(f64, Vec<u8>)> {
    let before = children_processor_seconds()?;
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", output.status).into());
    }
    Ok((children_processor_seconds()? - before, output.stdout))
}

/// What a rival in Python says of itself: its start and its imports are not in it.
#[derive(Debug, Deserialize)]
struct Said {
    processor_seconds: f64,
    records: u64,
}

/// Runs a rival in Python, which must come to so many records.
fn python(script: &str, arguments: &[&str], records: u32) -> Fallible<f64> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("rivals");
    let python = installed();
    if !python.exists() {
        return Err(format!("{} is not there: `make rivals` installs it", python.display()).into());
    }
    let output = Command::new(&python).arg(folder.join(script)).args(arguments).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("{script}: {}", output.status).into());
    }
    let said: Said = serde_json::from_slice(&output.stdout)?;
    match said.records == u64::from(records) {
        true => Ok(said.processor_seconds),
        false => Err(format!("{script} came to {} records, not {records}", said.records).into()),
    }
}

/// The Python that `make rivals` installs.
fn installed() -> PathBuf {
    let folder = std::env::var_os("CAMPANILE_RIVALS").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/campanile/rivals");
    folder.unwrap_or_else(home).join("venv/bin/python")
}

/// Lets the command line of SQLite work on a file.
fn sqlite3(file: &Path, script: &str) -> Fallible<()> {
    let missing = |error| format!("sqlite3, which Debian has as a package: {error}");
    let mut child = Command::new("sqlite3").arg("-bail").arg(file).stdin(Stdio::piped()).spawn().map_err(missing)?;
    child.stdin.take().ok_or("no input to write to")?.write_all(script.as_bytes())?;
    let status = child.wait()?;
    if status.success() { Ok(()) } else { Err(format!("sqlite3: {status}").into()) }
}
