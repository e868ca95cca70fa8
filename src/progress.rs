//! Shows how a run goes on: a bar a running task where somebody watches, else plain lines.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use engine::event::{Event, Level, Recorded, TaskId, Then};
use engine::printable;
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use server::service::News;
use server::view::{TaskState, TaskView};

use crate::table::{duration, number};
use crate::terminal;

/// How often a bar moves by itself.
const TICK: Duration = Duration::from_millis(120);
/// How often a plain line tells how far a task is.
const PLAIN_EVERY: Duration = Duration::from_secs(5);
/// The most bars at once; a screen has no room for more.
const BARS_MAX: usize = 12;

/// Shows how a run goes on.
#[derive(Debug)]
pub(crate) struct Progress {
    watched: bool,
    bars: BTreeMap<TaskId, ProgressBar>,
    told: BTreeMap<TaskId, Told>,
    names: BTreeMap<TaskId, String>,
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
        Self { watched: terminal::is_watched(), bars: BTreeMap::new(), told: BTreeMap::new(), names: BTreeMap::new() }
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
                    Then::Retry { at } => format!("tried again at {}", crate::table::instant(*at)),
                    Then::ErrorPort => "its port error leads on".to_owned(),
                    Then::Suspend => "the run waits for you".to_owned(),
                    Then::Ignore => "ignored, as the workflow says".to_owned(),
                    Then::Abort => "the run ends, as the workflow says".to_owned(),
                };
                let failure = failure.to_string();
                terminal::note(&format!("× {}: {} ({follows})", name(task), printable::line(&failure)));
            }
            Event::TaskWaiting { task, until } => {
                terminal::note(&format!("· {}: waits until {}", name(task), crate::table::instant(*until)));
            }
            Event::OptionHeld { task, option, reason } => {
                terminal::note(&format!("! {}: option {option} stays where it is: {reason}", name(task)));
            }
            Event::Alerted { receiver, failure: None, .. } => terminal::note(&format!("· {receiver} was told")),
            _ => {}
        }
    }

    fn task(&mut self, task: &TaskView) {
        let before = self.told.get(&task.task).copied();
        let news = before.is_none_or(|told| told.status != task.status || told.attempt != task.attempt);
        let done = task.progress.map_or(0, |progress| progress.done);
        // What only waits has said until when.
        let due = before.is_none_or(|told| told.at.elapsed() >= PLAIN_EVERY && told.done != done);
        let works = matches!(task.status, TaskState::Running);
        if works && self.watched {
            self.bar(task);
        } else if !works && let Some(bar) = self.bars.remove(&task.task) {
            bar.finish_and_clear();
        }
        if news || (due && !self.watched && works) {
            self.told.insert(task.task, Told { status: task.status, attempt: task.attempt, done, at: Instant::now() });
            if !(works && self.watched) {
                terminal::note(&line(task));
            }
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
        _ => counts(task),
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

/// Records by port, then what was dropped, then what else was counted.
pub(crate) fn counts(task: &TaskView) -> String {
    // Of a task without records, such as a scheduler's, there is nothing to tell.
    let has_records = task.came + task.added > 0 || task.kind.starts_with("crm.");
    let out = task.out.iter().filter(|_| has_records).map(|(port, rows)| format!("{port} {}", number(*rows)));
    let dropped = task.dropped.iter().map(|(rule, rows)| format!("dropped by {rule} {}", number(*rows)));
    let counted = task.counts.iter().filter(|(_, rows)| **rows > 0);
    let counted = counted.map(|(what, rows)| format!("{what} {}", number(*rows)));
    out.chain(dropped).chain(counted).collect::<Vec<_>>().join(" · ")
}
