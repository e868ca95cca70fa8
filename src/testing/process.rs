//! A process of a test: an engine on a runtime of its own, which can be ended as a kill ends it; and its clock.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use activities::PALETTE;
use async_trait::async_trait;
use engine::engine::{Driven, Engine, NotStarted};
use engine::event::{Event, Recorded, TaskId};
use engine::failure::{Class, Failure};
use engine::outside::clock::Clock;
use engine::outside::store::{OptionChange, OptionValue, RunId, Store, StoreError};
use engine::run::{Status, TaskStatus};
use jiff::{SignedDuration, Timestamp};
use server::opening;
use server::refusal::ProblemView;
use store::Memory;
use tokio::sync::watch;

use super::crm::Crm;
use super::file::{End, Kill, Moment};
use super::world::World;

/// How often it is looked whether a process has come to where it ends, in milliseconds.
const LOOK_MS: u64 = 2;
/// How long what an ended process still does on threads of its own is waited for.
const SHUTDOWN_MAX: Duration = Duration::from_secs(2);

/// How a process ended.
pub(super) enum Ended {
    /// Nothing drives the run any more, which is now at this.
    At(RunId, Status),
    /// It was killed, or waits beyond its time.
    BrokenOff(RunId),
    /// The workflow did not start.
    NotStarted(NotStarted),
    /// It found this wrong with the workflow.
    Checked(Vec<ProblemView>),
    /// It is done, and there is no run.
    Done,
}

impl World {
    /// Lets a process do its work, for so long at most, unless it ends before.
    pub(super) fn process(
        &self,
        end: &End,
        at_most: Duration,
        work: impl AsyncFnOnce(&Arc<Engine>) -> Result<Ended, Failure>,
    ) -> Result<Ended, Failure> {
        let faults = end.kill.as_ref().is_some_and(|kill| kill.after == Moment::Fault);
        let store = Arc::new(Mortal::new(self.store.reopened(), end.kill.clone()));
        self.clock.stop_at(end.until);
        let mut dead = store.dead.subscribe();
        let fault_after = if faults { self.faults_fired() + u64::from(store.nth()) } else { u64::MAX };
        self.on_runtime(Arc::clone(&store) as Arc<dyn Store>, async |engine| {
            tokio::select! {
                ended = work(engine) => ended,
                _ = dead.wait_for(|dead| *dead) => self.broken_off(&store.run()),
                () = self.fault_fires(fault_after) => self.broken_off(&store.run()),
                () = tokio::time::sleep(at_most) => {
                    let help = "see what the workflow waits for, or raise --timeout";
                    Err(Failure::new(Class::Limit, format!("it was not done after {} s", at_most.as_secs())).help(help))
                }
            }
        })
    }

    /// Asks a process something that needs no end.
    pub(super) fn ask<T>(&self, question: impl AsyncFnOnce(&Arc<Engine>) -> Result<T, Failure>) -> Result<T, Failure> {
        self.on_runtime(Arc::new(self.store.reopened()), question)
    }

    /// A process: a runtime of its own with an engine in it.
    fn on_runtime<T>(
        &self,
        store: Arc<dyn Store>,
        work: impl AsyncFnOnce(&Arc<Engine>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.map_err(|error| Failure::io("cannot start a runtime for the test", &error))?;
        let engine = opening::on(&self.project, PALETTE, store, self.clock.clone());
        let done = runtime.block_on(work(&engine));
        drop(engine);
        runtime.shutdown_timeout(SHUTDOWN_MAX);
        done
    }

    /// Waits until nothing drives a run any more.
    pub(super) async fn follow(&self, id: RunId, driven: &Driven) -> Result<Ended, Failure> {
        tokio::select! {
            status = driven.wait() => Ok(Ended::At(id, status?)),
            () = self.only_waits(driven) => Ok(Ended::BrokenOff(id)),
        }
    }

    fn broken_off(&self, run: &Option<RunId>) -> Result<Ended, Failure> {
        let none = || Failure::new(Class::Config, "the process ended before the run began");
        run.clone().map(Ended::BrokenOff).ok_or_else(none)
    }

    /// Returns once everything that works waits for a time that does not come.
    async fn only_waits(&self, driven: &Driven) {
        loop {
            tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
            let sleepers = self.clock.sleepers();
            if sleepers == 0 {
                continue;
            }
            let run = driven.journal.run();
            let working = run.tasks.iter().filter(|task| task.status == TaskStatus::Running).count();
            // The driver itself sleeps until the next retry.
            if sleepers == working + usize::from(run.next_retry().is_some()) {
                return;
            }
        }
    }

    /// Returns once so many requests have met a fault.
    async fn fault_fires(&self, fired: u64) {
        if fired == u64::MAX {
            return std::future::pending().await;
        }
        while self.faults_fired() < fired {
            tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
        }
    }

    /// How many requests met a fault, once what they asked for was done or refused.
    fn faults_fired(&self) -> u64 {
        let requests = self.crms.values().flat_map(|crm| crm.requests(1));
        requests.filter(|request| !request.faults.is_empty()).count() as u64
    }
}

/// The store of a process that ends at its moment: what was to be durable before it is, and nothing after it.
struct Mortal {
    inner: Memory,
    kill: Option<Kill>,
    /// How many such moments there were.
    seen: Mutex<u32>,
    run: Mutex<Option<RunId>>,
    activities: Mutex<BTreeMap<TaskId, String>>,
    dead: watch::Sender<bool>,
}

impl Mortal {
    fn new(inner: Memory, kill: Option<Kill>) -> Self {
        let (run, activities, seen) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { inner, kill, seen, run, activities, dead: watch::Sender::new(false) }
    }

    fn nth(&self) -> u32 {
        self.kill.as_ref().and_then(|kill| kill.nth).unwrap_or(1)
    }

    /// The run that it keeps.
    fn run(&self) -> Option<RunId> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the process ends with these events.
    fn ends_with(&self, events: &[Recorded]) -> bool {
        let Some(kill) = &self.kill else { return false };
        let mut activities = self.activities.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for recorded in events {
            if let Event::TaskStarted { task, activity, .. } = &recorded.event {
                activities.insert(*task, activity.clone());
            }
            let Some((moment, task)) = moment_of(&recorded.event) else { continue };
            let of = task.and_then(|task| activities.get(&task));
            let is_meant = kill.activity.as_ref().is_none_or(|meant| of == Some(meant));
            *seen += u32::from(moment == kill.after && is_meant);
        }
        *seen >= self.nth()
    }
}

fn moment_of(event: &Event) -> Option<(Moment, Option<TaskId>)> {
    Some(match event {
        Event::Started { .. } => (Moment::Started, None),
        Event::TaskStarted { task, .. } => (Moment::TaskStarted, Some(*task)),
        Event::WindowOpened { task, .. } => (Moment::WindowOpened, Some(*task)),
        Event::Sealed { task, .. } => (Moment::Sealed, Some(*task)),
        Event::TaskEnded { task, .. } => (Moment::TaskEnded, Some(*task)),
        Event::TaskFailed { task, .. } => (Moment::TaskFailed, Some(*task)),
        _ => return None,
    })
}

#[async_trait]
impl Store for Mortal {
    async fn append(
        &self,
        run: &RunId,
        expected: u64,
        events: Vec<Recorded>,
        options: Vec<OptionChange>,
    ) -> Result<(), StoreError> {
        if *self.dead.borrow() {
            return std::future::pending().await;
        }
        *self.run.lock().unwrap_or_else(PoisonError::into_inner) = Some(run.clone());
        let ends = self.ends_with(&events);
        self.inner.append(run, expected, events, options).await?;
        if ends {
            self.dead.send_replace(true);
            return std::future::pending().await;
        }
        Ok(())
    }

    async fn events(&self, run: &RunId, from: u64) -> Result<Vec<Recorded>, StoreError> {
        // A resumed run's tasks have their names in what was written before.
        let events = self.inner.events(run, from).await?;
        let mut activities = self.activities.lock().unwrap_or_else(PoisonError::into_inner);
        for recorded in &events {
            if let Event::TaskStarted { task, activity, .. } = &recorded.event {
                activities.insert(*task, activity.clone());
            }
        }
        Ok(events)
    }

    async fn runs(&self) -> Result<Vec<(RunId, u64)>, StoreError> {
        self.inner.runs().await
    }

    async fn options(&self) -> Result<BTreeMap<String, OptionValue>, StoreError> {
        self.inner.options().await
    }

    async fn option(&self, name: &str) -> Result<Option<OptionValue>, StoreError> {
        self.inner.option(name).await
    }

    async fn set_options(&self, options: Vec<OptionChange>) -> Result<(), StoreError> {
        if *self.dead.borrow() {
            return std::future::pending().await;
        }
        self.inner.set_options(options).await
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.inner.watch()
    }
}

/// The clocks of a test: they stand still, and move with Campanile's own to whatever is waited for.
pub(super) struct Hands {
    crms: Vec<Arc<Crm>>,
    state: Mutex<State>,
    ahead: SignedDuration,
    sleepers: AtomicUsize,
}

struct State {
    now: Timestamp,
    horizon: Option<Timestamp>,
}

impl Hands {
    pub(super) fn new(crms: Vec<Arc<Crm>>, now: Timestamp, ahead: SignedDuration) -> Self {
        Self { crms, state: Mutex::new(State { now, horizon: None }), ahead, sleepers: AtomicUsize::new(0) }
    }

    /// Sets the CRMs' clocks.
    ///
    /// # Errors
    /// Where a clock cannot show it.
    pub(super) fn set(&self, now: Timestamp) -> Result<(), String> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for crm in &self.crms {
            crm.sandbox.admin().set_clock(now, true).map_err(|refused| refused.to_string())?;
        }
        state.now = now;
        Ok(())
    }

    /// What is waited for beyond this time of the CRMs' clocks does not come.
    fn stop_at(&self, horizon: Option<Timestamp>) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).horizon = horizon;
    }

    /// How many wait for what does not come.
    fn sleepers(&self) -> usize {
        self.sleepers.load(Ordering::SeqCst)
    }

    fn ours(&self, crm: Timestamp) -> Timestamp {
        crm.checked_add(self.ahead).unwrap_or(Timestamp::MAX)
    }
}

#[async_trait]
impl Clock for Hands {
    fn now(&self) -> Timestamp {
        self.ours(self.state.lock().unwrap_or_else(PoisonError::into_inner).now)
    }

    async fn sleep_until(&self, until: Timestamp) {
        let crm = until.checked_sub(self.ahead).unwrap_or(Timestamp::MIN);
        let (now, horizon) = {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            (state.now, state.horizon)
        };
        if horizon.is_some_and(|horizon| crm > horizon) {
            let _asleep = Asleep::new(&self.sleepers);
            return std::future::pending().await;
        }
        // A clock that cannot show it leaves the wait as it is, until the test's time is over.
        if crm > now && self.set(crm).is_err() {
            std::future::pending().await
        }
    }
}

/// Counts who waits, for as long as it waits.
struct Asleep<'a>(&'a AtomicUsize);

impl<'a> Asleep<'a> {
    fn new(sleepers: &'a AtomicUsize) -> Self {
        sleepers.fetch_add(1, Ordering::SeqCst);
        Self(sleepers)
    }
}

impl Drop for Asleep<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
