//! `campanile test`

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use engine::failure::{Class, Failure};
use serde::Serialize;
use serde_json::Value;
use server::refusal::ProblemView;

use crate::fault::Fault;
use crate::global::Global;
use crate::table::{Table, counted, duration};
use crate::testing::{self, Difference, Loaded, Outcome};
use crate::{report, terminal};

/// The most test files of one command.
const FILES_MAX: usize = 10_000;

/// Test workflows: run `x.test.json` beside `x.json`, against stand-ins for the CRMs, a database and a data folder of
/// each test's own.
///
/// Nothing of yours is asked or changed: accounts of campanile.toml are pointed to stand-ins, and clocks stand still.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "`campanile help testing` explains the files. With --json: one object with all tests on stdout.\n\
                        Exit codes: 0 all is as expected, 1 something is not, 2 a test file is not right."
)]
pub(crate) struct Args {
    /// Workflows, test files, or folders of them.
    #[arg(value_name = "FILE", default_value = "workflows")]
    files: Vec<PathBuf>,
    /// Only tests whose file or name contains this text.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// How many tests work at once. Without it, as many as the machine has cores.
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// How long a run of a test may take, in seconds of real time.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
}

/// A test that was performed.
struct Tested<'a> {
    loaded: &'a Loaded,
    test: &'a str,
    outcome: Outcome,
}

pub(super) fn perform(args: &Args, global: &Global) -> Result<ExitCode, Fault> {
    let began = Instant::now();
    let mut wrong = Vec::new();
    let mut loaded = Vec::new();
    for file in files(&args.files)? {
        match testing::load(&file, global) {
            Ok(file) => loaded.push(file),
            Err(Fault::Problems { problems, text }) => {
                if !global.json {
                    report::problems(&problems, &text);
                }
                wrong.extend(problems);
            }
            Err(fault) => return Err(fault),
        }
    }
    let is_meant = |file: &Loaded, test: &str| match &args.filter {
        Some(filter) => file.file.display().to_string().contains(filter) || test.contains(filter.as_str()),
        None => true,
    };
    let mut tests: Vec<(&Loaded, &str)> =
        loaded.iter().flat_map(|file| file.names().map(move |test| (file, test))).collect();
    tests.retain(|(file, test)| is_meant(file, test));
    if tests.is_empty() && wrong.is_empty() {
        let help = "name a workflow that has a .test.json beside it, or leave --filter out";
        return Err(Failure::new(Class::Config, "there is no such test").help(help).into());
    }
    let tested = all(&tests, args, global);
    for Tested { outcome, .. } in &tested {
        wrong.extend(outcome.problems.iter().cloned().map(ProblemView::from));
    }
    let passed = tested.iter().filter(|tested| tested.outcome.is_passed()).count();
    if global.json {
        terminal::json(&Report::new(&tested, &wrong, passed, began.elapsed()));
    } else if !tested.is_empty() {
        let failed = tested.len() - passed;
        let took = duration(began.elapsed().as_secs_f64());
        let count = counted(tested.len() as u64, "test");
        let failed = if failed == 0 { String::new() } else { format!(", {failed} not as expected") };
        terminal::line(&format!("{count}, {passed} passed{failed} ({took})"));
    }
    Ok(match (wrong.is_empty(), passed == tested.len()) {
        (false, _) => ExitCode::from(report::NOT_RIGHT),
        (true, false) => ExitCode::from(report::FAILED),
        (true, true) => ExitCode::SUCCESS,
    })
}

/// Performs tests, so many at once, and tells each when it and those before it are done.
fn all<'a>(tests: &[(&'a Loaded, &'a str)], args: &Args, global: &Global) -> Vec<Tested<'a>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = args.jobs.unwrap_or(cores).clamp(1, tests.len().max(1));
    let at_most = Duration::from_secs(args.timeout.max(1));
    let next = AtomicUsize::new(0);
    let done: Mutex<(Vec<Option<Tested<'a>>>, usize)> = Mutex::new((tests.iter().map(|_| None).collect(), 0));
    let work = || {
        while let Some((loaded, test)) = tests.get(next.fetch_add(1, Ordering::SeqCst)).copied() {
            let place = tests.iter().position(|(file, name)| std::ptr::eq(*file, loaded) && *name == test);
            let outcome = testing::perform(loaded, test, at_most);
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            let (all, told) = &mut *done;
            if let Some(slot) = place.and_then(|place| all.get_mut(place)) {
                *slot = Some(Tested { loaded, test, outcome });
            }
            while let Some(Some(tested)) = all.get(*told) {
                *told += 1;
                if !global.json {
                    tell(tested);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(work);
        }
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner).0.into_iter().flatten().collect()
}

/// The test files that are meant, in order.
fn files(given: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in given {
        if path.is_dir() {
            let before = files.len();
            below(path, &mut files)?;
            if files.len() == before {
                let message = format!("there is no test in {}", path.display());
                return Err(Failure::new(Class::Config, message).help("a test of x.json is called x.test.json"));
            }
        } else if testing::is_test(path) {
            files.push(path.clone());
        } else {
            let test = testing::test_of(path);
            if path.exists() && !test.exists() {
                let message = format!("{} has no test", path.display());
                return Err(Failure::new(Class::Config, message).help(format!("write one in {}", test.display())));
            }
            files.push(if path.exists() { test } else { path.clone() });
        }
    }
    files.dedup();
    Ok(files)
}

fn below(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::io(format!("cannot read {}", folder.display()), &error);
    let entries: Result<Vec<PathBuf>, _> = std::fs::read_dir(folder).map_err(failed)?.map(|e| Ok(e?.path())).collect();
    let mut entries = entries.map_err(failed)?;
    entries.sort();
    for path in entries {
        let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if path.is_dir() && !is_hidden && !path.is_symlink() {
            below(&path, files)?;
        } else if testing::is_test(&path) {
            files.push(path);
        }
        if files.len() > FILES_MAX {
            let message = format!("there are more than {FILES_MAX} test files in {}", folder.display());
            return Err(Failure::new(Class::Limit, message).help("name some of them"));
        }
    }
    Ok(())
}

fn tell(tested: &Tested<'_>) {
    let Tested { loaded, test, outcome } = tested;
    let mark = if outcome.is_passed() { "✓" } else { "×" };
    let file = loaded.file.display().to_string();
    terminal::line(&format!("{mark} {file}: {test} ({})", duration(outcome.seconds)));
    for difference in &outcome.differences {
        differs(difference);
    }
    let problems: Vec<ProblemView> = outcome.problems.iter().cloned().map(ProblemView::from).collect();
    report::problems(&problems, &loaded.text);
}

fn differs(difference: &Difference) {
    let Difference { step, what, columns, expected, found } = difference;
    terminal::line(&format!("  {step}, {what}"));
    if columns.is_empty() {
        for (name, value) in [("expected", expected), ("found   ", found)] {
            lines(value).iter().enumerate().for_each(|(n, line)| {
                terminal::line(&format!("    {} {line}", if n == 0 { name } else { "        " }));
            });
        }
        return;
    }
    let mut names = vec![""];
    names.extend(columns.iter().map(String::as_str));
    let mut table = Table::new(&names).with_empty_columns();
    for (mark, rows) in [("- expected", expected), ("+ found", found)] {
        for row in rows.as_array().into_iter().flatten() {
            let cells = row.as_array().into_iter().flatten().map(cell);
            table.row(std::iter::once(mark.to_owned()).chain(cells).collect());
        }
    }
    table.print("    ");
}

fn lines(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) if !items.is_empty() => items.iter().map(cell).collect(),
        value => vec![cell(value)],
    }
}

/// As it is read: null has a sign of its own, and an empty text shows.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => "∅".to_owned(),
        Value::String(text) if !text.is_empty() && text.parse::<f64>().is_err() => text.clone(),
        other => other.to_string(),
    }
}

/// What programs get.
#[derive(Serialize)]
struct Report<'a> {
    passed: usize,
    failed: usize,
    seconds: f64,
    tests: Vec<TestReport<'a>>,
    problems: &'a [ProblemView],
}

#[derive(Serialize)]
struct TestReport<'a> {
    file: String,
    test: &'a str,
    passed: bool,
    seconds: f64,
    differences: Vec<DifferenceReport<'a>>,
}

#[derive(Serialize)]
struct DifferenceReport<'a> {
    step: &'a str,
    what: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    columns: &'a [String],
    expected: &'a Value,
    found: &'a Value,
}

impl<'a> Report<'a> {
    fn new(tested: &'a [Tested<'a>], problems: &'a [ProblemView], passed: usize, took: Duration) -> Self {
        let test = |Tested { loaded, test, outcome }: &'a Tested<'a>| TestReport {
            file: loaded.file.display().to_string(),
            test,
            passed: outcome.is_passed(),
            seconds: outcome.seconds,
            differences: outcome.differences.iter().map(DifferenceReport::new).collect(),
        };
        let (failed, seconds) = (tested.len() - passed, took.as_secs_f64());
        Self { passed, failed, seconds, tests: tested.iter().map(test).collect(), problems }
    }
}

impl<'a> DifferenceReport<'a> {
    fn new(difference: &'a Difference) -> Self {
        let Difference { step, what, columns, expected, found } = difference;
        Self { step, what, columns, expected, found }
    }
}
