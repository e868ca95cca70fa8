//! The one place that prints problems and errors.

use std::fmt;
use std::process::ExitCode;
use std::sync::OnceLock;

use engine::failure::Failure;
use engine::outside::store::RunId;
use engine::printable;
use engine::words::counted;
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};
use server::refusal::ProblemView;
use server::view::RunView;

use crate::fault::Fault;
use crate::global::Global;
use crate::terminal;

/// It failed.
pub(crate) const FAILED: u8 = 1;
/// What the author wrote is not right.
pub(crate) const NOT_RIGHT: u8 = 2;

/// The most problems that are shown; `--json` has them all.
const SHOWN_MAX: usize = 50;
/// The longest line of which an excerpt is shown, in bytes.
const EXCERPT_LINE_MAX: usize = 400;
/// How wide messages are at most.
const WIDTH: usize = 110;

/// What was said of where things lie; commands that messages name are called with the same.
static WHERE_THINGS_LIE: OnceLock<String> = OnceLock::new();

/// Lets messages name commands as whoever reads them can call them.
pub(crate) fn begin(global: &Global) {
    WHERE_THINGS_LIE.get_or_init(|| global.where_things_lie());
}

/// A help text whose commands, such as `campanile options set`, say where things lie as this one was told.
fn callable(help: &str) -> String {
    let given = WHERE_THINGS_LIE.get().map_or("", String::as_str);
    let part = |(place, part): (usize, &str)| match place % 2 == 1 && part.starts_with("campanile ") {
        true => format!("{part}{given}"),
        false => part.to_owned(),
    };
    help.split('`').enumerate().map(part).collect::<Vec<_>>().join("`")
}

/// Prints why a command ended early; tells the exit code.
pub(crate) fn fault(fault: &Fault) -> ExitCode {
    match fault {
        Fault::Problems { problems, text } => {
            self::problems(problems, text);
            ExitCode::from(NOT_RIGHT)
        }
        Fault::NotRight(failure) => {
            self::failure(failure);
            ExitCode::from(NOT_RIGHT)
        }
        Fault::Failure(failure) => {
            self::failure(failure);
            ExitCode::from(FAILED)
        }
    }
}

/// Names the runs that were found interrupted; no command names them again.
pub(crate) fn interrupted(runs: &[RunId]) {
    for run in runs.iter().take(SHOWN_MAX) {
        let help = callable(&format!("`campanile resume {run}` continues it"));
        warning(&format!("run {run} was interrupted: its process ended before the run did; {help}"));
    }
    if runs.len() > SHOWN_MAX {
        warning(&format!("{} more runs were interrupted; `campanile runs` lists them", runs.len() - SHOWN_MAX));
    }
}

/// Prints what is wrong with a file, with excerpts.
pub(crate) fn problems(problems: &[ProblemView], text: &str) {
    for problem in problems.iter().take(SHOWN_MAX) {
        terminal::coloured(&format!("{}\n", rendered(&Shown::new(problem, text)).trim_end()));
    }
    if problems.len() > SHOWN_MAX {
        terminal::note(&format!("… and {} more; --json has them all", problems.len() - SHOWN_MAX));
    }
    if let Some(problem) = problems.first() {
        let count = counted(problems.len(), "problem");
        terminal::note(&format!("{}: {count}", problem.file));
    }
}

/// Prints what went wrong and what to do.
pub(crate) fn failure(failure: &Failure) {
    terminal::coloured(&failed("", &failure.to_string(), failure.help.as_deref()));
}

/// Prints a warning.
pub(crate) fn warning(message: &str) {
    terminal::note(&format!("! {}", printable::line(message)));
}

/// Prints risks that do not keep a workflow from running.
pub(crate) fn risks<'a>(warnings: impl IntoIterator<Item = &'a ProblemView>) {
    let mut warnings = warnings.into_iter();
    warnings.by_ref().take(SHOWN_MAX).for_each(risk);
    let more = warnings.count();
    if more > 0 {
        terminal::note(&format!("! … and {more} more; `campanile check --json` has them all"));
    }
}

fn risk(warning: &ProblemView) {
    let ProblemView { file, line, column, message, code, .. } = warning;
    let help = warning.help.as_deref().map(|help| format!("\n  help: {}", printable::line(help))).unwrap_or_default();
    let message = printable::line(message);
    terminal::note(&format!("! {file}:{line}:{column}: {message} ({code}){help}"));
}

/// Prints what could not be checked.
pub(crate) fn unchecked(notes: &[String]) {
    for note in notes {
        terminal::note(&format!("  not checked: {}", printable::line(note)));
    }
}

/// Prints the commands with which a run that stands still continues. Why it does is in its progress and in `show`.
pub(crate) fn what_now(view: &RunView, run: &RunId, global: &Global) {
    use engine::run::Status;
    let is_interrupted = !view.driven && view.status.is_driven();
    if view.in_doubt > 0 {
        let records =
            if view.in_doubt == 1 { "1 record is".to_owned() } else { format!("{} records are", view.in_doubt) };
        terminal::note(&format!(
            "! {records} in doubt: it is not known whether the CRM took them, and no later run sends them\n  \
             help: the next export looks them up; `campanile rejects list` lists them, `campanile rejects settle` settles one"
        ));
    }
    let resume = global.command("resume", run);
    match view.status {
        Status::Suspended => {
            terminal::note(&format!("  run {run} is suspended. Fix the problem, then resume it with\n    {resume}"));
            terminal::note(&format!("  or end it for good with\n    {}", global.command("stop", run)));
        }
        Status::Paused => terminal::note(&format!("  run {run} is paused; resume it with\n    {resume}")),
        Status::Failed => terminal::note(&format!("  run {run} has failed and is over; start the workflow again")),
        Status::Queued | Status::Running | Status::Waiting if is_interrupted => {
            terminal::note(&format!("  run {run} was interrupted; nothing is lost. Resume it with\n    {resume}"));
        }
        Status::Queued | Status::Running | Status::Waiting | Status::Finished | Status::Stopped => {}
    }
}

/// What went wrong, where, and what to do, as it is printed.
pub(crate) fn failed(place: &str, message: &str, help: Option<&str>) -> String {
    let (place, message) = (printable::line(place), printable::line(message));
    let mark = if terminal::has_colours() { "\u{1b}[31m×\u{1b}[0m" } else { "×" };
    match help {
        Some(help) => format!("{mark} {place}{message}\n  help: {}", callable(&printable::line(help))),
        None => format!("{mark} {place}{message}"),
    }
}

fn rendered(shown: &Shown<'_>) -> String {
    let theme = if terminal::has_colours() { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let mut text = String::new();
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(terminal::note_width().map_or(WIDTH, |width| width.min(WIDTH)))
        .with_links(false)
        .with_context_lines(1);
    match handler.render_report(&mut text, shown) {
        Ok(()) => text,
        Err(fmt::Error) => shown.to_string(),
    }
}

/// A problem as miette shows it.
#[derive(Debug)]
struct Shown<'a> {
    problem: &'a ProblemView,
    source: Option<(NamedSource<String>, LabeledSpan)>,
}

impl<'a> Shown<'a> {
    fn new(problem: &'a ProblemView, text: &str) -> Self {
        let source = span(problem, text).map(|(start, length)| {
            let label = LabeledSpan::new(None, start, length);
            (NamedSource::new(&problem.file, text.to_owned()), label)
        });
        Self { problem, source }
    }
}

/// Where the problem stands in the text, in bytes; none where the text has no such place or its line is too long to show.
fn span(problem: &ProblemView, text: &str) -> Option<(usize, usize)> {
    let before: usize = text.split_inclusive('\n').take(problem.line.checked_sub(1)?).map(str::len).sum();
    let line = text.get(before..)?.lines().next()?;
    let neighbours = text.lines().skip(problem.line.saturating_sub(2)).take(3);
    if neighbours.map(str::len).max().unwrap_or(0) > EXCERPT_LINE_MAX {
        return None;
    }
    let column = line.char_indices().nth(problem.column.checked_sub(1)?).map_or(line.len(), |(at, _)| at);
    let rest = line.get(column..)?;
    let length = match rest.strip_prefix('"') {
        Some(inner) => inner.find('"').map_or(rest.len(), |end| end + 2),
        None => rest.find([',', ' ', ']', '}', '=']).unwrap_or(rest.len()).max(usize::from(!rest.is_empty())),
    };
    Some((before + column, length))
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ProblemView { file, line, column, message, .. } = self.problem;
        match self.source {
            Some(_) => f.write_str(message),
            None => write!(f, "{file}:{line}:{column}: {message}"),
        }
    }
}

impl std::error::Error for Shown<'_> {}

impl Diagnostic for Shown<'_> {
    fn code(&self) -> Option<Box<dyn fmt::Display + '_>> {
        Some(Box::new(&self.problem.code))
    }

    fn help(&self) -> Option<Box<dyn fmt::Display + '_>> {
        Some(Box::new(callable(self.problem.help.as_ref()?)))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|(source, _)| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let (_, label) = self.source.as_ref()?;
        Some(Box::new(std::iter::once(label.clone())))
    }
}
