//! What an event changes: whether it can follow the ones before it, and what the run is after it.

use indexmap::IndexMap;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{Arrival, Cause, End, HeldOption, Run, Task, TaskStatus};
use crate::event::{ArrivalId, Attention, Entry, Event, IndexWindow, Recorded, Tally, TaskId, Then, Vars};
use crate::failure::Failure;

impl Run {
    /// Whether an event can follow; of several that are recorded together, each is asked before the first is applied.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn legal(&self, event: &Event) -> Result<(), String> {
        let begins = matches!(event, Event::Started { .. });
        if begins != (self.events == 0) {
            return Err("a journal begins with `started`, once".to_owned());
        }
        if self.end.is_some() && !matches!(event, Event::OptionHeld { .. } | Event::Alerted { .. }) {
            return Err("the run is over".to_owned());
        }
        match event {
            Event::Started { entry: Some(entry), .. } if self.graph.get(&entry.activity).is_none() => {
                Err(format!("there is no activity {}", entry.activity))
            }
            Event::TaskStarted { task, activity, attempt, takes } => self.legal_start(*task, activity, *attempt, takes),
            Event::Sealed { task, .. }
            | Event::WindowOpened { task, .. }
            | Event::OptionSet { task, .. }
            | Event::TaskWaiting { task, .. }
            | Event::TaskEnded { task, .. }
            | Event::TaskFailed { task, .. } => match self.task(*task).map(|task| task.status) {
                Some(TaskStatus::Running) => Ok(()),
                Some(TaskStatus::Stopped) => Err(format!("task {task} was stopped")),
                _ => Err(format!("task {task} is not running")),
            },
            Event::Alerted { of, receiver, .. } if !self.owes(*of, receiver) => {
                Err(format!("{receiver} is not to be told of event {of}"))
            }
            Event::Attention { why: Attention::Interrupted, .. } if !self.status().is_driven() => {
                Err("a run that nothing is to drive cannot be interrupted".to_owned())
            }
            Event::Admitted if !self.queued => Err("the run does not wait for its workflow".to_owned()),
            Event::Finished if !self.is_done() => Err("something is left to do".to_owned()),
            _ => Ok(()),
        }
    }

    fn legal_start(&self, id: TaskId, activity: &str, attempt: u32, takes: &[ArrivalId]) -> Result<(), String> {
        if let Some(task) = self.task(id) {
            return match task.next_attempt() == Some(attempt) && takes.is_empty() {
                true => Ok(()),
                false => Err(format!("task {id} cannot begin attempt {attempt}")),
            };
        }
        if attempt > 1 {
            return Err(format!("there is no task {id}"));
        }
        if id as usize != self.tasks.len() + 1 || takes.is_empty() {
            return Err(format!("task {id} cannot begin"));
        }
        let arrived = |take: &ArrivalId| {
            self.queues.get(activity).is_some_and(|queue| queue.iter().any(|arrival| arrival.id == *take))
        };
        match takes.iter().find(|take| !arrived(take)) {
            Some(take) => Err(format!("{take:?} has not arrived")),
            None => Ok(()),
        }
    }

    /// Takes in an event that is legal.
    pub(super) fn step(&mut self, Recorded { at, event, .. }: &Recorded) {
        match event {
            Event::Started { workflow, file, scripts, vars, entry, backfill, folder, queued } => {
                workflow.clone_into(&mut self.workflow);
                file.clone_into(&mut self.file);
                self.scripts.clone_from(scripts);
                self.started = Some(*at);
                self.instance_vars = vars.clone();
                self.backfill.clone_from(backfill);
                self.folder.clone_from(folder);
                self.queued = *queued;
                self.begin(entry.clone());
            }
            Event::TaskStarted { task, activity, attempt, takes } => {
                self.start_task(*at, *task, activity, *attempt, takes);
            }
            Event::Sealed { task, segments, position, tally } => {
                let Some(task) = self.task_mut(*task) else { return };
                for (port, sealed) in segments {
                    task.ports.entry(port.clone()).or_default().extend(sealed.iter().cloned());
                }
                task.position = position.clone();
                task.tally = tally.clone();
            }
            Event::WindowOpened { task, window } => self.open_window(*task, window),
            Event::OptionMoved { task, option, value } => {
                self.settled.insert(*task, format!("{option} moved to {value}"));
            }
            Event::OptionHeld { task, option, reason } => {
                self.held.insert(*task, HeldOption { option: option.clone(), reason: reason.clone() });
                self.settled.insert(*task, reason.clone());
            }
            Event::TaskEnded { task, ports, vars, instance_vars, tally, stop_all } => {
                self.end_task(*at, *task, ports, vars, tally);
                self.instance_vars.extend(instance_vars.clone());
                if *stop_all {
                    self.stop_tasks(*at);
                }
            }
            Event::TaskFailed { task, failure, then, alerts } => {
                self.fail_task(*at, *task, failure, then);
                let cause = Cause::Failed { task: *task, failure: failure.clone(), is_end: *then == Then::Abort };
                self.owe(*at, cause, alerts);
            }
            Event::TaskWaiting { task, until } => {
                if let Some(task) = self.task_mut(*task) {
                    task.status = TaskStatus::Waiting(*until);
                }
            }
            Event::Woken { activity } => self.wake(*at, activity.as_deref()),
            Event::Attention { why, alerts } => self.attend(*at, why, alerts),
            Event::Alerted { of, receiver, .. } => self.told(*of, receiver),
            Event::OptionSet { option, value, .. } => self.put_option(option, value),
            Event::Logged { .. } => {}
            Event::Admitted => (self.queued, self.is_interrupted) = (false, false),
            Event::Paused => self.paused = true,
            Event::Resumed { vars } => {
                self.instance_vars.extend(vars.clone());
                self.resume();
            }
            Event::Stopped => {
                self.stop_tasks(*at);
                self.over(*at, End::Stopped);
            }
            Event::Finished => self.over(*at, End::Finished),
        }
    }

    /// One that is opened again, with another end, stays of the same records.
    fn open_window(&mut self, task: TaskId, window: &IndexWindow) {
        let before = self.windows.remove(&task).and_then(|window| window.scope);
        let window = window.clone();
        self.windows.insert(task, IndexWindow { scope: window.scope.or(before), ..window });
    }

    fn put_option(&mut self, option: &str, value: &str) {
        let open = self.windows.iter().filter(|(_, window)| window.option == option);
        self.put.extend(open.map(|(task, _)| (*task, value.to_owned())));
    }

    fn attend(&mut self, at: Timestamp, why: &Attention, alerts: &[String]) {
        self.is_interrupted |= *why == Attention::Interrupted;
        self.owe(at, Cause::Other(why.clone()), alerts);
    }

    fn begin(&mut self, entry: Option<Entry>) {
        self.entry = entry;
        if let Some(entry) = &self.entry {
            let id = ArrivalId { from: 0, port: String::new(), to: entry.activity.clone() };
            self.enqueue(id, Some((0, String::new())));
            return;
        }
        let roots: Vec<String> = self.graph.roots().into_iter().map(str::to_owned).collect();
        for to in roots {
            self.enqueue(ArrivalId { from: 0, port: String::new(), to }, None);
        }
    }

    fn start_task(&mut self, at: Timestamp, id: TaskId, activity: &str, attempt: u32, takes: &[ArrivalId]) {
        self.is_interrupted = false;
        if let Some(task) = self.task_mut(id) {
            task.attempt = attempt;
            task.waited |= matches!(task.status, TaskStatus::Waiting(_));
            task.status = TaskStatus::Running;
            if let Some(stood) = task.ended.take() {
                task.stood += at.duration_since(stood);
            }
            return;
        }
        let queue = self.queues.entry(activity.to_owned()).or_default();
        let mut taken = Vec::with_capacity(takes.len());
        for take in takes {
            let place = queue.iter().position(|arrival| arrival.id == *take);
            taken.extend(place.and_then(|place| queue.remove(place)));
        }
        let parents: Vec<TaskId> = taken.iter().map(|arrival| arrival.id.from).filter(|from| *from > 0).collect();
        // What begins a run sees what it was started with; from there it flows on with the population.
        let mut vars = if parents.is_empty() { self.instance_vars.clone() } else { Vars::new() };
        for parent in &parents {
            vars.extend(self.task(*parent).map(|task| task.vars.clone()).unwrap_or_default());
        }
        let exhausted = self.is_exhausted(activity, &parents) || self.is_in_vain(activity, &parents);
        self.tasks.push(Task {
            id,
            activity: activity.to_owned(),
            attempt,
            retried: 0,
            status: TaskStatus::Running,
            parents,
            inputs: taken.into_iter().filter_map(|arrival| arrival.population).collect(),
            vars_in: vars.clone(),
            vars,
            ports: IndexMap::new(),
            emitted: Vec::new(),
            position: Value::Null,
            tally: Tally::default(),
            failure: None,
            started: at,
            ended: None,
            stood: SignedDuration::ZERO,
            exhausted,
            waited: false,
            forgiven: false,
        });
    }

    fn end_task(&mut self, at: Timestamp, id: TaskId, ports: &[String], vars: &Vars, tally: &Tally) {
        let Some(task) = self.task_mut(id) else { return };
        task.status = TaskStatus::Ended;
        task.ended = Some(at);
        task.tally = tally.clone();
        task.emitted = ports.to_vec();
        task.vars.extend(vars.clone());
        for port in ports {
            self.arrive(id, port, |task| task.ports.contains_key(port).then(|| (task.id, port.clone())));
        }
    }

    fn fail_task(&mut self, at: Timestamp, id: TaskId, failure: &Failure, then: &Then) {
        let Some(task) = self.task_mut(id) else { return };
        task.failure = Some(failure.clone());
        task.ended = Some(at);
        task.status = match then {
            Then::Retry { at } => TaskStatus::Retrying(*at),
            Then::Suspend => TaskStatus::Suspended,
            Then::ErrorPort | Then::Ignore | Then::Abort => TaskStatus::Failed,
        };
        match then {
            Then::ErrorPort => {
                let class = serde_json::to_value(failure.class).unwrap_or_default();
                task.emitted = vec!["error".to_owned()];
                task.vars.insert("errorActivity".to_owned(), task.activity.clone().into());
                task.vars.insert("errorMessage".to_owned(), failure.to_string().into());
                task.vars.insert("errorClass".to_owned(), class);
                self.arrive(id, "error", |task| task.inputs.first().cloned());
            }
            Then::Abort => {
                self.stop_tasks(at);
                self.over(at, End::Aborted);
            }
            Then::Retry { .. } => task.retried += 1,
            Then::Suspend | Then::Ignore => {}
        }
    }

    fn resume(&mut self) {
        self.paused = false;
        self.is_interrupted = false;
        for task in &mut self.tasks {
            if task.status == TaskStatus::Suspended {
                task.status = TaskStatus::Running;
                task.exhausted = false;
                task.forgiven = true;
                task.retried = 0;
            }
        }
    }

    /// What waits, or only what waits of one activity, may continue at `now`.
    fn wake(&mut self, now: Timestamp, activity: Option<&str>) {
        for task in self.tasks.iter_mut().filter(|task| activity.is_none_or(|only| task.activity == only)) {
            match &mut task.status {
                TaskStatus::Retrying(at) | TaskStatus::Waiting(at) => *at = now.min(*at),
                _ => {}
            }
        }
    }

    fn over(&mut self, at: Timestamp, end: End) {
        self.end = Some(end);
        self.ended = Some(at);
    }

    fn stop_tasks(&mut self, at: Timestamp) {
        self.queues.clear();
        for task in &mut self.tasks {
            if task.is_live() {
                task.status = TaskStatus::Stopped;
                task.ended = Some(at);
            }
        }
    }

    fn task_mut(&mut self, id: TaskId) -> Option<&mut Task> {
        self.tasks.get_mut((id as usize).checked_sub(1)?)
    }

    fn arrive(&mut self, from: TaskId, port: &str, population: impl Fn(&Task) -> Option<(TaskId, String)>) {
        let Some(task) = self.task(from) else { return };
        let population = population(task);
        let targets: Vec<String> = self.graph.targets(&task.activity, port).map(str::to_owned).collect();
        for to in targets {
            self.enqueue(ArrivalId { from, port: port.to_owned(), to }, population.clone());
        }
    }

    fn enqueue(&mut self, id: ArrivalId, population: Option<(TaskId, String)>) {
        self.arrived += 1;
        let queue = self.queues.entry(id.to.clone()).or_default();
        queue.push_back(Arrival { id, population, order: self.arrived });
    }
}
