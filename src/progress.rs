//! Shows how a run goes on: a bar a running task where somebody watches, else plain lines.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use engine::event::{Event, Level, Recorded, TaskId, Then};
use engine::printable;
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use jiff::{SignedDuration, Timestamp};
use server::service::News;
use server::view::{TaskState, TaskView};

use crate::table::{duration, number, upcoming};
use crate::{report, terminal};

/// How often a bar moves by itself.
const TICK: Duration = Duration::from_millis(120);
/// How often a plain line tells how far a task is.
const PLAIN_EVERY: Duration = Duration::from_secs(5);
/// A shorter wait within a task is not shown.
const WAIT_SHOWN_MIN: SignedDuration = SignedDuration::from_secs(5);
/// The most bars at once; a screen has no room for more.
const BARS_MAX: usize = 12;

/// Shows how a run goes on.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    watched: bool,
    bars: BTreeMap<TaskId, ProgressBar>,
    told: BTreeMap<TaskId, Told>,
    names: BTreeMap<TaskId, String>,
    /// Until when the wait lasts that was shown last.
    waits: BTreeMap<TaskId, Timestamp>,
}

/// What was told of a task.
#[derive(Debug, Clone, Copy)]
struct Told {
    status: TaskState,
    attempt: u32,
    /// How far it was.
    done: u64,
    at: Instant,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { watched: terminal::is_watched(), ..Self::default() }
    }

    /// Shows what happened.
    pub(crate) fn news(&mut self, news: &News) {
        for task in &news.tasks {
            self.names.insert(task.task, task.activity.clone());
        }
        for recorded in &news.journal {
            self.event(recorded);
        }
        for task in &news.tasks {
            self.task(task);
        }
    }

    /// Takes the bars away.
    pub(crate) fn end(&mut self) {
        for (_, bar) in std::mem::take(&mut self.bars) {
            bar.finish_and_clear();
        }
    }

    fn event(&self, recorded: &Recorded) {
        let name = |task: &TaskId| self.names.get(task).cloned().unwrap_or_else(|| format!("task {task}"));
        match &recorded.event {
            Event::Logged { task, level, message } => {
                let mark = match level {
                    Level::Info => "·",
                    Level::Warning => "!",
                    Level::Error => "×",
                };
                terminal::note(&format!("{mark} {}: {}", name(task), printable::line(message)));
            }
            Event::TaskFailed { task, failure, then, .. } => {
                let follows = match then {
                    Then::Retry { at } => format!("next try {}", upcoming(*at, seconds_between(recorded.at, *at))),
                    Then::ErrorPort => "port error follows".to_owned(),
                    Then::Suspend => "the run waits for you".to_owned(),
                    Then::Ignore => "ignored by onError".to_owned(),
                    Then::Abort => "the run ends by onError".to_owned(),
                };
                // What passes by itself, or is handled by the workflow, needs no help.
                let help = failure.help.as_deref().filter(|_| matches!(then, Then::Suspend | Then::Abort));
                let place = format!("{} (task {task}): ", name(task));
                terminal::coloured(&report::failed(&place, &format!("{failure} ({follows})"), help));
            }
            Event::TaskWaiting { task, until } => {
                let until = upcoming(*until, seconds_between(recorded.at, *until));
                terminal::note(&format!("· {} (task {task}) waits until {until}", name(task)));
            }
            Event::OptionHeld { task, option, reason } => {
                terminal::note(&format!("! {}: option {option} is held: {reason}", name(task)));
            }
            Event::Alerted { receiver, failure: None, .. } => terminal::note(&format!("· alert sent to {receiver}")),
            _ => {}
        }
    }

    fn task(&mut self, task: &TaskView) {
        let before = self.told.get(&task.task).copied();
        let news = before.is_none_or(|told| told.status != task.status || told.attempt != task.attempt);
        let done = task.progress.map_or(0, |progress| progress.done);
        self.wait(task);
        let due = before.is_none_or(|told| told.at.elapsed() >= PLAIN_EVERY && told.done != done);
        let works = matches!(task.status, TaskState::Running);
        if works && self.watched {
            self.bar(task);
        } else if !works && let Some(bar) = self.bars.remove(&task.task) {
            bar.finish_and_clear();
        }
        if news || (due && !self.watched && works) {
            self.told.insert(task.task, Told { status: task.status, attempt: task.attempt, done, at: Instant::now() });
            // Of a task that failed or waits, its event has told.
            let is_known = matches!(task.status, TaskState::Waiting | TaskState::Suspended | TaskState::Failed);
            let has_bar = works && self.watched;
            if !is_known && !has_bar {
                terminal::note(&line(task));
            }
        }
    }

    /// A wait within a task that works, such as for a CRM that limits its callers; once.
    fn wait(&mut self, task: &TaskView) {
        let until = task.wait.as_ref().filter(|_| task.status == TaskState::Running).map(|wait| wait.until);
        let Some(until) = until else { return };
        // The same wait, seen again, may end some milliseconds earlier or later.
        let is_same = |before: &Timestamp| until.duration_since(*before).abs() < WAIT_SHOWN_MIN;
        if self.waits.get(&task.task).is_some_and(is_same) {
            return;
        }
        let is_long =
            task.wait.as_ref().is_some_and(|wait| wait.seconds_left >= WAIT_SHOWN_MIN.as_secs().unsigned_abs());
        if let Some(line) = waiting(task).filter(|_| is_long) {
            self.waits.insert(task.task, until);
            terminal::note(&line);
        }
    }

    fn bar(&mut self, task: &TaskView) {
        if !self.bars.contains_key(&task.task) {
            if self.bars.len() >= BARS_MAX {
                return;
            }
            let bar = terminal::bars().add(ProgressBar::no_length());
            bar.enable_steady_tick(TICK);
            self.bars.insert(task.task, bar);
        }
        let Some(bar) = self.bars.get(&task.task) else { return };
        let total = task.progress.and_then(|progress| progress.total);
        let template = match total {
            Some(_) => "{spinner} {prefix:16} {bar:24} {msg} {rate:>12} {elapsed:>6}",
            None => "{spinner} {prefix:16} {msg} {rate:>12} {elapsed:>6}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.with_key("rate", rate));
        }
        bar.set_prefix(task.activity.clone());
        if let Some(progress) = task.progress {
            bar.set_position(progress.done);
            if let Some(total) = progress.total {
                bar.set_length(total);
            }
        }
        bar.set_message(far(task));
    }
}

/// Records a second, where there are any.
fn rate(state: &ProgressState, out: &mut dyn std::fmt::Write) {
    let rate = state.per_sec();
    if rate >= 1.0 {
        // A bar that cannot be drawn harms nobody.
        write!(out, "{rate:.0}/s").ok();
    }
}

fn far(task: &TaskView) -> String {
    match task.progress {
        Some(progress) => match progress.total {
            Some(total) => format!("{} of {}", number(progress.done), number(total)),
            None => number(progress.done),
        },
        None => String::new(),
    }
}

/// One line of what a task is at.
fn line(task: &TaskView) -> String {
    let attempt = if task.attempt > 1 { format!(", attempt {}", task.attempt) } else { String::new() };
    let mut line = format!("{:<16} {}{attempt}", task.activity, word(task.status));
    let counts = match task.status {
        TaskState::Running => far(task),
        _ => counts(task, &[]),
    };
    if !counts.is_empty() {
        line.push_str(&format!("  {counts}"));
    }
    if task.status == TaskState::Finished {
        line.push_str(&format!("  ({})", duration(task.seconds)));
    }
    line
}

/// What a task is at, as people read it.
pub(crate) fn word(state: TaskState) -> &'static str {
    match state {
        TaskState::Running => "running",
        TaskState::Waiting => "waiting",
        TaskState::Finished => "finished",
        TaskState::Failed => "failed",
        TaskState::Suspended => "suspended",
        TaskState::Stopped => "stopped",
    }
}

/// What a task waits for, until when, and which attempt follows.
pub(crate) fn waiting(task: &TaskView) -> Option<String> {
    let wait = task.wait.as_ref()?;
    let attempt = wait.attempt.map(|attempt| format!(", attempt {attempt}")).unwrap_or_default();
    let until = upcoming(wait.until, wait.seconds_left);
    let reason = if wait.reason.is_empty() { String::new() } else { format!(": {}", wait.reason) };
    Some(format!("· {} (task {}) waits until {until}{attempt}{reason}", task.activity, task.task))
}

fn seconds_between(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_secs()).unwrap_or(0)
}

/// Records by port, except these ports, then what was dropped, then what else was counted.
pub(crate) fn counts(task: &TaskView, except: &[&str]) -> String {
    // Of a task without records, such as a scheduler's, there is nothing to show.
    let has_records = task.came + task.added > 0 || task.kind.starts_with("crm.");
    let out = task.out.iter().filter(|(port, _)| has_records && !except.contains(&port.as_str()));
    let out = out.map(|(port, rows)| format!("{port} {}", number(*rows)));
    let dropped = task.dropped.iter().map(|(rule, rows)| match (task.kind.as_str(), rule.as_str()) {
        // They came where they were to come.
        ("end", "end") => format!("reached the end: {}", number(*rows)),
        _ => format!("dropped by {rule} {}", number(*rows)),
    });
    let counted = task.counts.iter().filter(|(_, rows)| **rows > 0);
    let counted = counted.map(|(what, rows)| format!("{what} {}", number(*rows)));
    out.chain(dropped).chain(counted).collect::<Vec<_>>().join(" · ")
}
