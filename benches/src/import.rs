//! Import of contacts: Campanile beside a plain loop beside the download alone.

pub(crate) mod bulk;
mod download;
mod ours;
mod plain;

use std::path::PathBuf;

use crate::measure::{Fallible, float, median, rate, target, title};
use crate::server::Server;
use crate::work::{Done, Work, elsewhere, memory, middle, middle_processor};

pub(crate) use download::{client, download};
pub(crate) use ours::ours;
pub(crate) use plain::plain;

/// What each page takes where latency is measured, in milliseconds.
const LATENCY_MS: u64 = 50;

/// How much is measured.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Contacts of each import.
    #[arg(long, default_value_t = 1_000_000)]
    records: u32,
    /// Rounds, of which the middle one counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Rounds with latency; each takes ten seconds a contender and million.
    #[arg(long, default_value_t = 3)]
    latency_rounds: usize,
    /// Contacts of one more import, for the memory; 0 leaves it out.
    #[arg(long, default_value_t = 5_000_000)]
    large: u32,
    /// The folder of the files that are written.
    #[arg(long)]
    folder: Option<PathBuf>,
}

impl Default for Args {
    fn default() -> Self {
        Self { records: 1_000_000, rounds: 5, latency_rounds: 3, large: 5_000_000, folder: None }
    }
}

/// Measures all of it.
pub(crate) fn bench(args: &Args) -> Fallible<()> {
    title(&format!("import of {} contacts of 12 fields", args.records))?;
    let server = Server::start(args.records)?;
    println!(
        "  {:.0} bytes a record as JSON, {} pages",
        float(server.bytes) / f64::from(args.records),
        args.records.div_ceil(crate::contacts::PAGE)
    );
    let rounds = contenders(args, &server)?;
    let [download, plain, ours] = &rounds;
    for (name, rounds) in [("download alone", download), ("plain loop", plain), ("crm.import", ours)] {
        show(name, rounds, &server);
    }
    ratio("crm.import ÷ plain loop", ours, plain, 1.5);
    rate("crm.import", f64::from(args.records) / middle(ours), 500_000.0, " records/s");
    println!("  (processor time: crm.import ÷ plain loop {:.2})", middle_processor(ours) / middle_processor(plain));
    if args.latency_rounds > 0 {
        latency(args, &server)?;
    }
    memory(&format!("peak memory of {} records", args.records), ours);
    drop(server);
    if args.large > 0 {
        let server = Server::start(args.large)?;
        let large = work(args, &server, Kind::Ours)?;
        show(&format!("crm.import of {}", args.large), std::slice::from_ref(&large), &server);
        memory(&format!("peak memory of {} records", args.large), &[large]);
    }
    Ok(())
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Download,
    Plain,
    Ours,
}

fn work(args: &Args, server: &Server, kind: Kind) -> Fallible<Done> {
    let url = server.url.clone();
    let place = tempfile::tempdir_in(args.folder.clone().unwrap_or_else(std::env::temp_dir))?;
    let folder = place.path().to_owned();
    elsewhere(&match kind {
        Kind::Download => Work::Download { url },
        Kind::Plain => Work::Plain { url, folder },
        Kind::Ours => Work::Ours { url, folder },
    })
}

/// Each in turn, so that what else the machine does hits all alike.
fn contenders(args: &Args, server: &Server) -> Fallible<[Vec<Done>; 3]> {
    let mut rounds: [Vec<Done>; 3] = Default::default();
    for _ in 0..args.rounds.max(1) {
        for (place, kind) in [Kind::Download, Kind::Plain, Kind::Ours].into_iter().enumerate() {
            let done = work(args, server, kind)?;
            let expected = if place == 0 { server.bytes } else { u64::from(args.records) };
            let came = if place == 0 { done.bytes } else { done.records };
            if came != expected {
                return Err(format!("{kind:?}: {came} came, not {expected}").into());
            }
            rounds[place].push(done);
        }
    }
    Ok(rounds)
}

fn latency(args: &Args, server: &Server) -> Fallible<()> {
    server.latency(LATENCY_MS)?;
    let (mut download, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..args.latency_rounds {
        download.push(work(args, server, Kind::Download)?);
        ours.push(work(args, server, Kind::Ours)?);
    }
    server.latency(0)?;
    show(&format!("download alone, {LATENCY_MS} ms a page"), &download, server);
    show(&format!("crm.import, {LATENCY_MS} ms a page"), &ours, server);
    ratio(&format!("crm.import ÷ download, {LATENCY_MS} ms a page"), &ours, &download, 1.15);
    Ok(())
}

/// The middle of the ratios of the rounds: what the machine does besides is alike within a round.
fn ratio(what: &str, of: &[Done], to: &[Done], most: f64) {
    let each = of.iter().zip(to).map(|(of, to)| of.seconds / to.seconds).collect();
    target(
        &format!("{what} (middle of each round's; of the middles {:.2})", middle(of) / middle(to)),
        median(each),
        most,
        "",
    );
}

fn show(name: &str, rounds: &[Done], server: &Server) {
    let seconds = middle(rounds);
    let best = rounds.iter().map(|done| done.seconds).fold(f64::INFINITY, f64::min);
    let done = rounds.last().cloned().unwrap_or_default();
    let records =
        if done.records > 0 { format!("{:.0} records/s, ", float(done.records) / seconds) } else { String::new() };
    println!(
        "  {name}: {seconds:.2} s (best {best:.2}), {records}{:.0} MB/s, {:.2} s of processor, {} MiB at most, {} files of {:.0} MB together",
        float(server.bytes) / seconds / 1e6,
        middle_processor(rounds),
        done.peak_kib / 1024,
        done.segments,
        if done.segments > 0 { float(done.bytes) / 1e6 } else { 0.0 },
    );
}
