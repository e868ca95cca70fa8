//! How a task ends: what it leaves behind, what follows a failure, and what becomes of the options that waited for it.

use std::collections::HashSet;

use indexmap::IndexMap;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize as _;

use super::Driver;
use crate::activity::{Effect, Need, When};
use crate::check::Node;
use crate::context::{Cx, Done};
use crate::desk;
use crate::event::{Attention, Event, TaskId, Then};
use crate::failure::{Class, Failure};
use crate::identity;
use crate::indexes;
use crate::journal::AppendError;
use crate::outside::alerts::AlertLimits;
use crate::outside::store::{Expect, OptionChange, OptionValue, SeenFile, StoreError};
use crate::run::{Ending, Run, Settled, Task, TaskStatus};
use crate::scope::IndexScope;
use crate::temp;
use crate::words::counted;
use crate::workflow::OnError;

/// How many tasks are named as the reason why an option stays where it is.
const FAILED_TOLD_MAX: usize = 10;
/// How the work on a task came to rest, or why it failed.
pub(super) type Outcome = Result<Rest, Failure>;

/// How the work on a task came to rest.
pub(super) enum Rest {
    /// It ended well: its last files, what it leaves behind, and its records by port.
    Ended(Vec<Event>, Box<Done>, IndexMap<String, u64>),
    /// It continues at this time.
    Waits(Timestamp),
}

impl Driver {
    /// Nothing is left to do. An alert is owed in the same append if more was refused or left in doubt than may pass without.
    pub(super) async fn finish_run(&self) -> Result<(), Failure> {
        if self.journal.run().backfill.is_some() {
            self.filled().await?;
        }
        let alerts = &self.environment.alerts;
        let (receivers, limits) = (alerts.receivers(), alerts.limits());
        let mut events = Vec::new();
        if !receivers.is_empty() && limits != AlertLimits::default() {
            let rejects = self.journal.run().rejects();
            let in_doubt = self.environment.memory.open().await?.get(&self.journal.id).copied().unwrap_or(0);
            if limits.is_over(rejects, in_doubt) {
                let why = Attention::OverLimit { rejects, in_doubt };
                events.push(Event::Attention { why, alerts: receivers });
            }
        }
        events.push(Event::Finished);
        Ok(self.journal.append(events).await?)
    }

    /// A backfill brought what the options of these imports lacked: they keep what the imports read now.
    async fn filled(&self) -> Result<(), Failure> {
        let changes: Vec<(String, IndexScope)> = {
            let run = self.journal.run();
            let is_filled = |name: &str| {
                let mut tasks = run.tasks.iter().filter(|task| task.activity == name).peekable();
                let is_of = run.backfill.as_ref().is_some_and(|backfill| backfill.is_of(name));
                is_of && tasks.peek().is_some() && tasks.all(|task| task.status == TaskStatus::Ended)
            };
            let indexes = self.workflow.indexes().filter(|(name, ..)| is_filled(name));
            indexes.filter_map(|(_, option, scope)| Some((option, scope?))).collect()
        };
        for (name, scope) in changes {
            let Some(kept) = self.environment.store.option(&name).await? else { continue };
            if kept.scope.as_ref().is_some_and(|before| before.lacks(&scope).is_some()) {
                let expect = Expect::Is(Some(kept.value.clone()));
                let value = Some(OptionValue { scope: Some(scope), ..kept });
                let filled = self.environment.store.set_options(vec![OptionChange { name, expect, value }]).await;
                match filled {
                    // It is another one's now, which has said what it lacks.
                    Err(StoreError::OptionMoved { .. }) => {}
                    filled => filled?,
                }
            }
        }
        Ok(())
    }

    pub(super) async fn record_end(
        &mut self,
        task: &Task,
        node: &Node,
        sealed: Vec<Event>,
        done: Done,
        out: &IndexMap<String, u64>,
    ) -> Result<(), Failure> {
        let ports = ports(node, task, &done, out);
        let stop_all = done.stop_all;
        let ended = Event::TaskEnded {
            task: task.id,
            ports: ports.clone(),
            vars: done.vars,
            instance_vars: done.instance_vars,
            tally: done.tally,
            stop_all: done.stop_all,
        };
        if stop_all {
            self.leave().await;
            temp::remember_others(&self.environment, &self.workflow, &self.journal, task.id).await?;
        }
        let mut events = sealed;
        events.push(ended);
        let writes_to_database = node.spec.effect == Effect::Writes
            && node.activity.needs().iter().any(|need| matches!(need, Need::Table(_)));
        let mut known = Vec::new();
        if writes_to_database {
            known.extend(identity::written(&self.environment).await?);
        }
        if temp::is_kept_by(&self.workflow, task) {
            identity::remembered(&self.environment).await?;
        }
        if out.get("reject").is_some_and(|rejects| *rejects > 0) {
            known.extend(identity::refused(&self.environment).await?);
        }
        self.record(events, known, Ending { task: task.id, well: true, ports: &ports }).await?;
        if temp::is_kept_by(&self.workflow, task) {
            self.forget(task).await;
        }
        Ok(())
    }

    pub(super) async fn record_failure(
        &mut self,
        task: &Task,
        node: Option<&Node>,
        failure: Failure,
    ) -> Result<(), Failure> {
        if failure.class == Class::Stopped {
            return Ok(());
        }
        let then = self.then(task, node, &failure);
        if !matches!(then, Then::Retry { .. }) {
            let remembered = self.remember_failed(task, &then).await;
            match then {
                // What it has written stays in its temp file, for whoever resumes the run.
                Then::Suspend => {
                    if let Err(failure) = remembered {
                        tracing::warn!(task = task.id, %failure, "what the task has written is not remembered yet");
                    }
                }
                _ => remembered?,
            }
        }
        tracing::warn!(run = %self.journal.id, activity = %task.activity, %failure, "the task failed");
        let ports = if then == Then::ErrorPort { vec!["error".to_owned()] } else { Vec::new() };
        let ends = matches!(then, Then::ErrorPort | Then::Ignore | Then::Abort);
        let alerts = self.to_be_told(&then);
        let failed = Event::TaskFailed { task: task.id, failure, then, alerts };
        if ends {
            self.record(vec![failed], Vec::new(), Ending { task: task.id, well: false, ports: &ports }).await
        } else {
            Ok(self.journal.append(vec![failed]).await?)
        }
    }

    /// What a task has written that failed is remembered before its failure is in the journal; and what those have that end
    /// with it.
    async fn remember_failed(&mut self, task: &Task, then: &Then) -> Result<(), Failure> {
        if *then == Then::Abort {
            self.leave().await;
            return self.remember().await;
        }
        temp::remember(&self.environment, &self.workflow, &self.journal, task).await
    }

    /// Who is to be told that the run needs a person after this failure.
    fn to_be_told(&self, then: &Then) -> Vec<String> {
        if !self.journal.run().is_stopped_by(then) {
            return Vec::new();
        }
        self.environment.alerts.receivers()
    }

    /// What follows a failure: its own retry, then its port `error`, then what it or the workflow says.
    fn then(&self, task: &Task, node: Option<&Node>, failure: &Failure) -> Then {
        let Some(node) = node else { return Then::Suspend };
        if let Some(retry) = &node.common.retry
            && failure.class.is_retried()
            && task.retried + 1 < retry.attempts
        {
            let asked = SignedDuration::from_secs(failure.retry_after_s.unwrap_or(0).min(86_400).cast_signed());
            let pause = retry.pause(task.retried + 1).max(asked);
            let at = self.environment.clock.now().checked_add(pause).unwrap_or(Timestamp::MAX);
            return Then::Retry { at };
        }
        if failure.class != Class::Exhausted && node.common.to.0.contains_key("error") {
            return Then::ErrorPort;
        }
        match node.common.on_error.unwrap_or(self.workflow.on_error) {
            OnError::Suspend => Then::Suspend,
            OnError::Ignore => Then::Ignore,
            OnError::Abort => Then::Abort,
        }
    }

    /// Records how a task ended, and in the same batch what becomes of the options that waited for it. An option that
    /// somebody moved meanwhile stays where they moved it.
    async fn record(&self, events: Vec<Event>, known: Vec<OptionChange>, ending: Ending<'_>) -> Result<(), Failure> {
        let mut moved = HashSet::new();
        let mut settled_options = Vec::new();
        loop {
            let appended = self
                .journal
                .append_with(|run| {
                    let mut events = events.clone();
                    let mut options = known.clone();
                    // The latest first: of several windows of an option that are done, its end is where the option moves to.
                    for mut settled in run.settled_by(ending).into_iter().rev() {
                        // The run does not know yet what a task leaves behind that ends now.
                        settled.seen = seen_of(&events, settled.task).or(settled.seen);
                        self.settle(settled, &moved, &mut events, &mut options);
                    }
                    settled_options = moved_by(&events);
                    (events, options)
                })
                .await;
            match appended {
                Err(AppendError::Store(StoreError::OptionMoved { name })) if moved.insert(name.clone()) => {}
                other => {
                    other?;
                    indexes::moved(&self.environment, &self.workflow, &settled_options).await;
                    return Ok(());
                }
            }
        }
    }

    fn settle(
        &self,
        settled: Settled,
        moved: &HashSet<String>,
        events: &mut Vec<Event>,
        options: &mut Vec<OptionChange>,
    ) {
        let Settled { task, window, put, seen, failed } = settled;
        let option = window.option;
        // A script that sets it to the window's end does what would be done here.
        if put.as_ref() == Some(&window.after) && failed.is_empty() {
            events.push(Event::OptionMoved { task, option, value: window.after });
            return;
        }
        let reason = if put.is_some() || moved.contains(&option) {
            Some("it was changed meanwhile".to_owned())
        } else if failed.is_empty() {
            None
        } else {
            let mut names: Vec<String> =
                failed.iter().take(FAILED_TOLD_MAX).map(|(id, name)| format!("{name} (task {id})")).collect();
            if failed.len() > FAILED_TOLD_MAX {
                names.push(format!("{} more", failed.len() - FAILED_TOLD_MAX));
            }
            Some(format!("{} did not end well", names.join(", ")))
        };
        if let Some(reason) = reason {
            tracing::warn!(option, reason, "the automatic index stays where it is");
            events.push(Event::OptionHeld { task, option, reason });
            return;
        }
        if let Some(later) =
            options.iter().find(|change| change.name == option).and_then(|change| change.value.as_ref())
        {
            events.push(Event::OptionMoved { task, option, value: later.value.clone() });
            return;
        }
        let by = format!("{}/{task}", self.journal.id);
        let value = OptionValue {
            value: window.after.clone(),
            at: self.environment.clock.now(),
            by,
            seen,
            scope: window.scope,
        };
        if window.before.is_none() {
            options.push(indexes::has_everything(&option));
        }
        options.push(OptionChange { name: option.clone(), expect: Expect::Is(window.before), value: Some(value) });
        events.push(Event::OptionMoved { task, option, value: window.after });
    }
}

/// What a task leaves behind; its rejects are on the desk before its end is in the journal.
pub(super) async fn finish(cx: &mut Cx, node: Option<&Node>, task: &Task) -> Outcome {
    let (sealed, done, out) = cx.finish().await?;
    balance(&cx.journal.run(), task, &done, &out)?;
    if let Some(node) = node {
        declared(node, &done)?;
        desk::file(cx, node.activity.as_ref(), task.inputs.is_empty()).await?;
    }
    Ok(Rest::Ended(sealed, Box::new(done), out))
}

fn moved_by(events: &[Event]) -> Vec<String> {
    let moved = events.iter().filter_map(|event| match event {
        Event::OptionMoved { option, .. } => Some(option.clone()),
        _ => None,
    });
    moved.collect()
}

fn seen_of(events: &[Event], import: TaskId) -> Option<SeenFile> {
    events.iter().find_map(|event| match event {
        Event::TaskEnded { task, tally, .. } if *task == import => tally.seen.clone(),
        _ => None,
    })
}

/// A loop has used up its attempts: what came in leaves by `exhausted`, if that leads on.
pub(super) fn exhausted(cx: &mut Cx, node: &Node) -> Result<(), Failure> {
    if node.common.to.0.contains_key("exhausted") {
        cx.pass_input_on("exhausted");
        cx.choose("exhausted");
        return Ok(());
    }
    let attempts = node.common.attempts.or(node.activity.attempts_default()).unwrap_or_default();
    let class = cx.vars().get("errorClass").and_then(|class| Class::deserialize(class).ok());
    let message = match cx.vars().get("errorMessage").and_then(serde_json::Value::as_str) {
        Some(error) if class.is_some_and(Class::is_lasting) => format!("trying again does not cure this: {error}"),
        Some(error) => {
            format!("this loop has used up its {}; the last error was: {error}", counted(attempts, "attempt"))
        }
        None => format!("this loop has used up its {}", counted(attempts, "attempt")),
    };
    Err(Failure::new(Class::Exhausted, message).help("cure the cause, then resume the run: it begins the count anew"))
}

/// The ports that carry an event, of a task that ended well.
fn ports(node: &Node, task: &Task, done: &Done, out: &IndexMap<String, u64>) -> Vec<String> {
    if task.exhausted {
        return vec!["exhausted".to_owned()];
    }
    let carries = |name: &str, when: When| match when {
        When::Always => true,
        When::WithRecords => out.get(name).is_some_and(|rows| *rows > 0),
        When::Chosen => done.chosen.as_deref() == Some(name),
    };
    let ports = node.ports().iter().filter(|port| carries(&port.name, port.when));
    ports.map(|port| port.name.to_string()).collect()
}

/// The manual lists by which rules an activity drops records, so it drops by no other.
fn declared(node: &Node, done: &Done) -> Result<(), Failure> {
    let declares = |rule: &String| node.spec.drops.iter().any(|(declared, _)| declared == rule);
    match done.tally.dropped.keys().find(|rule| !declares(rule)) {
        None => Ok(()),
        Some(rule) => Err(Failure::internal(format!(
            "{} drops records by the rule {rule}, which is not among its `drops`",
            node.spec.kind
        ))),
    }
}

/// No record may be missing: what came in and what was made must have gone out or been dropped by a rule.
fn balance(run: &Run, task: &Task, done: &Done, out: &IndexMap<String, u64>) -> Result<(), Failure> {
    let came = run.came(task);
    let (added, dropped): (u64, u64) = (done.tally.added, done.tally.dropped.values().sum());
    let went: u64 = out.values().sum();
    if came + added == went + dropped {
        return Ok(());
    }
    Err(Failure::internal(format!(
        "the account does not balance: {came} in + {added} added is not {went} out + {dropped} dropped"
    )))
}
