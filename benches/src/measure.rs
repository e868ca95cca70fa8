//! Times, memory, processes, and how figures are printed.

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What a bench comes to; it ends at the first thing that goes wrong.
pub(crate) type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Ticks of the processor's clock a second, in `/proc/self/stat`; Linux has had no other for programs.
const TICKS_A_SECOND: f64 = 100.0;

/// The middle one; of an even number, the smaller.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

/// How long something takes, in seconds.
pub(crate) fn seconds<T>(work: impl FnOnce() -> Fallible<T>) -> Fallible<(f64, T)> {
    let begin = Instant::now();
    let done = work()?;
    Ok((begin.elapsed().as_secs_f64(), done))
}

/// A count as a number to divide by.
pub(crate) fn float(count: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a figure to print")]
    let float = count as f64;
    float
}

/// The most memory that this process was given so far, in kibibytes.
pub(crate) fn peak_kib() -> Fallible<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmHWM")).ok_or("no VmHWM in /proc/self/status")?;
    Ok(line.split_whitespace().nth(1).ok_or("no figure")?.parse()?)
}

/// The processor's time that this process used so far, in all its threads, in seconds.
pub(crate) fn processor_seconds() -> Fallible<f64> {
    processor([11, 12])
}

/// That of the processes that this one started and that have ended, together.
pub(crate) fn children_processor_seconds() -> Fallible<f64> {
    processor([13, 14])
}

/// For programs and for the system, from their fields of `/proc/self/stat`.
fn processor(places: [usize; 2]) -> Fallible<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The program's name is in parentheses and may hold spaces.
    let (_, after) = stat.rsplit_once(')').ok_or("no name in /proc/self/stat")?;
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks = |place: usize| -> Fallible<f64> { Ok(fields.get(place).ok_or("a short /proc/self/stat")?.parse()?) };
    Ok((ticks(places[0])? + ticks(places[1])?) / TICKS_A_SECOND)
}

/// Prints the name of a bench with how busy the machine is anyway.
pub(crate) fn title(name: &str) -> Fallible<()> {
    let load = fs::read_to_string("/proc/loadavg")?;
    let load = load.split_whitespace().next().unwrap_or("?");
    let cores = std::thread::available_parallelism()?;
    println!("\n{name} ({cores} cores, load before {load})");
    Ok(())
}

/// Prints whether a target is kept.
pub(crate) fn target(what: &str, is: f64, most: f64, unit: &str) {
    let word = if is <= most { "PASS " } else { "short" };
    println!("  {word} {what}: {is:.2}{unit}, at most {most}{unit}");
}

/// Prints whether a rate is reached.
pub(crate) fn rate(what: &str, is: f64, least: f64, unit: &str) {
    let word = if is >= least { "PASS " } else { "short" };
    println!("  {word} {what}: {is:.0}{unit}, at least {least}{unit}");
}

/// This program in another process, which says in its first line how it can be reached and ends with its input.
pub(crate) struct Beside {
    child: Child,
    /// What it said.
    pub(crate) hello: serde_json::Value,
}

impl Beside {
    /// Starts it.
    pub(crate) fn start(arguments: &[String]) -> Fallible<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take().ok_or("no output to read")?;
        BufReader::new(stdout).read_line(&mut line)?;
        Ok(Self { child, hello: serde_json::from_str(&line)? })
    }

    /// A text of what it said.
    pub(crate) fn text(&self, name: &str) -> Fallible<String> {
        Ok(self.hello[name].as_str().ok_or_else(|| format!("it did not say {name}"))?.to_owned())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().ok();
    }
}

/// Ends this process with its input, which is whoever started it.
pub(crate) fn end_with_input() {
    std::thread::spawn(|| {
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).ok();
        std::process::exit(0);
    });
}

/// As people read it.
pub(crate) fn ms(seconds: f64) -> String {
    format!("{:.2?}", Duration::from_secs_f64(seconds))
}
