//! A process of a test: an engine on a runtime of its own, which can be ended as a kill ends it; and its clock.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use activities::PALETTE;
use async_trait::async_trait;
use engine::engine::{Driven, Engine, NotStarted};
use engine::event::{Event, Recorded, TaskId};
use engine::failure::{Class, Failure};
use engine::outside::clock::Clock;
use engine::outside::store::{Page, RunFilter, RunId, Store};
use engine::run::{Status, TaskStatus};
use jiff::{SignedDuration, Timestamp};
use server::opening;
use server::refusal::ProblemView;
use store::Memory;

use super::crm::Crm;
use super::file::{Kill, Moment, Step};
use super::world::World;

/// How often it is looked whether a process has come to where it ends, in milliseconds.
const LOOK_MS: u64 = 2;
/// How long a process waits until those are told who are to be told.
const TELLING_MAX: Duration = Duration::from_secs(10);
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
    /// Lets a process do the work of a step, for so long at most, unless the step ends it before.
    pub(super) fn process(
        &self,
        step: &Step,
        at_most: Duration,
        work: impl AsyncFnOnce(&Arc<Engine>) -> Result<Ended, Failure>,
    ) -> Result<Ended, Failure> {
        let faults = step.kill.as_ref().is_some_and(|kill| kill.after == Moment::Fault);
        let told = Arc::new(Mutex::new(Told::before(&self.store)?));
        let store = mortal(self.store.reopened(), step.kill.clone(), Arc::clone(&told));
        self.clock.stop_at(step.until.map(|until| until.0));
        let mut dead = store.silent();
        let nth = step.kill.as_ref().map_or(1, nth);
        let fault_after = if faults { self.faults_fired() + u64::from(nth) } else { u64::MAX };
        let broken_off = || Told::lock(&told).broken_off();
        self.on_runtime(Arc::new(store), async |engine| {
            let work = async {
                engine.tell_what_was_owed().await;
                let ended = work(engine).await;
                engine.until_told(TELLING_MAX).await;
                ended
            };
            tokio::select! {
                ended = work => ended,
                _ = dead.wait_for(|dead| *dead) => broken_off(),
                () = self.fault_fires(fault_after) => broken_off(),
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

    /// An engine on this store.
    pub(super) fn engine(&self, store: Arc<dyn Store>) -> Arc<Engine> {
        opening::on(&self.project, PALETTE, store, self.clock.clone(), self.told.clone())
    }

    /// A process: a runtime of its own with an engine in it.
    fn on_runtime<T>(
        &self,
        store: Arc<dyn Store>,
        work: impl AsyncFnOnce(&Arc<Engine>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.map_err(|error| Failure::io("cannot start a runtime for the test", &error))?;
        let engine = self.engine(store);
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
            // The driver sleeps for all that wait.
            if sleepers == working + usize::from(!run.waits().is_empty()) {
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
fn mortal(store: Memory, kill: Option<Kill>, told: Arc<Mutex<Told>>) -> Memory {
    store.silent_after(move |run, events| {
        let mut told = Told::lock(&told);
        told.run = Some(run.clone());
        told.started(run, events);
        kill.as_ref().is_some_and(|kill| told.is_end(kill, run, events))
    })
}

/// Which of such moments it is, from 1.
fn nth(kill: &Kill) -> u32 {
    kill.nth.unwrap_or(1)
}

/// What processes have told their store.
#[derive(Default)]
struct Told {
    /// The run that was told of last.
    run: Option<RunId>,
    activities: BTreeMap<(RunId, TaskId), String>,
    /// How many moments there were at which the process may end.
    moments: u32,
}

impl Told {
    /// What a process finds; the tasks of a resumed run have their names in it.
    fn before(store: &Memory) -> Result<Self, Failure> {
        let mut told = Self::default();
        futures::executor::block_on(async {
            for run in store.runs(&RunFilter::default(), Page::ALL).await? {
                told.started(&run.id, &store.events(&run.id, 0, usize::MAX).await?);
            }
            Ok(told)
        })
    }

    fn lock(told: &Mutex<Self>) -> MutexGuard<'_, Self> {
        told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn started(&mut self, run: &RunId, events: &[Recorded]) {
        for recorded in events {
            if let Event::TaskStarted { task, activity, .. } = &recorded.event {
                self.activities.insert((run.clone(), *task), activity.clone());
            }
        }
    }

    /// Whether the process ends with these events.
    fn is_end(&mut self, kill: &Kill, run: &RunId, events: &[Recorded]) -> bool {
        for (moment, task) in events.iter().filter_map(|recorded| moment_of(&recorded.event)) {
            let of = task.and_then(|task| self.activities.get(&(run.clone(), task)));
            let is_meant = kill.activity.as_ref().is_none_or(|meant| of == Some(meant));
            self.moments += u32::from(moment == kill.after && is_meant);
        }
        self.moments >= nth(kill)
    }

    fn broken_off(&self) -> Result<Ended, Failure> {
        let none = || Failure::new(Class::Config, "the process ended before the run began");
        self.run.clone().map(Ended::BrokenOff).ok_or_else(none)
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
