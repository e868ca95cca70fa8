//! Performs the steps of a test, one after the other.

use std::time::{Duration, Instant};

use engine::document::escape;
use engine::engine::NotStarted;
use engine::event::{Event, Level};
use engine::failure::Failure;
use engine::outside::store::{RunId, Store};
use engine::problem::Problem;
use engine::run;
use indexmap::IndexMap;
use serde_json::json;
use server::refusal::ProblemView;

use super::compare::{After, Compare};
use super::deed::perform as perform_deed;
use super::file::{Status, Step};
use super::outcome::{Difference, Outcome};
use super::process::Ended;
use super::read::Loaded;
use super::world::{NoWorld, World};

/// Performs a test; none of its processes works longer than `at_most`.
pub(crate) fn perform(loaded: &Loaded, test: &str, at_most: Duration) -> Outcome {
    let began = Instant::now();
    let mut outcome = Outcome::default();
    let failed = |what: &str, failure: &Failure| Difference {
        step: what.to_owned(),
        what: "cannot be done".to_owned(),
        columns: Vec::new(),
        expected: json!(null),
        found: json!(told(failure)),
    };
    match World::new(loaded, test) {
        Err(NoWorld::Problems(problems)) => outcome.problems = problems,
        Err(NoWorld::Failure(failure)) => outcome.differences.push(failed("before", &failure)),
        Ok(world) => {
            let mut steps = Steps { loaded, world, at_most, last: None, pointer: String::new() };
            for (n, step) in loaded.tests.tests[test].steps.iter().enumerate() {
                let name = named(n, step);
                steps.pointer = format!("/tests/{}/steps/{n}", escape(test));
                match steps.step(step, &name) {
                    Ok((differences, problems)) => {
                        outcome.differences.extend(differences);
                        outcome.problems.extend(problems);
                    }
                    Err(failure) => outcome.differences.push(failed(&name, &failure)),
                }
                // What follows from a step that went otherwise says nothing.
                if !outcome.is_passed() {
                    break;
                }
            }
        }
    }
    outcome.seconds = began.elapsed().as_secs_f64();
    outcome
}

fn named(n: usize, step: &Step) -> String {
    let deed = step.deeds().first().map_or("change", |deed| deed.name());
    format!("step {} ({})", n + 1, step.label.as_deref().unwrap_or(deed))
}

fn told(failure: &Failure) -> String {
    failure.help.as_ref().map_or_else(|| failure.to_string(), |help| format!("{failure} (help: {help})"))
}

struct Steps<'a> {
    loaded: &'a Loaded,
    world: World,
    at_most: Duration,
    /// The last run that was started.
    last: Option<RunId>,
    /// Of the step in the file.
    pointer: String,
}

type Found = (Vec<Difference>, Vec<Problem>);

impl Steps<'_> {
    fn step(&mut self, step: &Step, name: &str) -> Result<Found, Failure> {
        let before = self.world.crms.iter().map(|(name, crm)| (name.clone(), crm.next())).collect::<IndexMap<_, _>>();
        let refused = self.change(step)?;
        if !refused.is_empty() {
            let wrong = |(inner, why): (String, String)| {
                self.loaded.document.problem(&format!("{}/{inner}", self.pointer), "refused", why, None)
            };
            return Ok((Vec::new(), refused.into_iter().map(wrong).collect()));
        }
        let told_before = self.world.told.count();
        let (run_before, events_before) = (self.last.clone(), self.events()?.len());
        let ended = self.deed(step)?;
        let mut expect = step.expect.clone().unwrap_or_default();
        let mut after = After { status: None, problems: None, run: None, warnings: Vec::new() };
        match ended {
            Some(Ended::NotStarted(NotStarted::Problems(problems))) => {
                after.problems = Some(problems.into_iter().map(ProblemView::from).collect());
            }
            Some(Ended::NotStarted(NotStarted::Failure(failure))) => return Err(failure),
            Some(Ended::At(id, status)) => after.status = Some((self.began(id), status_of(status)?)),
            Some(Ended::BrokenOff(id)) => after.status = Some((self.began(id), Status::BrokenOff)),
            Some(Ended::Checked(problems)) => {
                after.problems = Some(problems);
                expect.problems = Some(expect.problems.unwrap_or_default());
            }
            Some(Ended::Done) | None => {}
        }
        if expect.status.is_none() && expect.problems.is_none() {
            expect.status = step.usual_status();
        }
        if let Some(id) = &self.last {
            after.run = Some((id.clone(), self.load(id)?));
            let is_same = self.last == run_before;
            after.warnings = self.warnings(if is_same { events_before } else { 0 })?;
        }
        let compare = Compare {
            loaded: self.loaded,
            world: &self.world,
            before: &before,
            told_before,
            after: &after,
            pointer: format!("{}/expect", self.pointer),
            step: name.to_owned(),
            differences: Vec::new(),
            problems: Vec::new(),
        };
        Ok(compare.all(&expect))
    }

    /// What happens before Campanile does anything; tells what is refused.
    fn change(&self, step: &Step) -> Result<Vec<(String, String)>, Failure> {
        let mut refused = Vec::new();
        if let Some(clock) = step.clock {
            refused.extend(self.world.clock.set(clock.0).err().map(|why| ("clock".to_owned(), why)));
        }
        for (account, change) in &step.crm {
            let crm = &self.world.crms[account];
            let of = |(inner, why)| (format!("crm/{}/{inner}", escape(account)), why);
            refused.extend(crm.change(change).into_iter().map(of));
        }
        if !step.sql.is_empty() {
            let contents = self.world.contents()?;
            for (n, sql) in step.sql.iter().enumerate() {
                refused.extend(contents.perform(sql).err().map(|why| (format!("sql/{n}"), why)));
            }
        }
        self.world.set_options(step.options.clone().into_iter())?;
        for (account, faults) in &step.faults {
            let admin = self.world.crms[account].sandbox.admin();
            admin.clear_faults();
            for (n, fault) in faults.iter().enumerate() {
                let added = admin.add_fault(fault.clone());
                let at = || format!("faults/{}/{n}", escape(account));
                refused.extend(added.err().map(|why| (at(), why.to_string())));
            }
        }
        refused.extend(self.world.put_right(step)?);
        Ok(refused)
    }

    /// What Campanile does.
    fn deed(&self, step: &Step) -> Result<Option<Ended>, Failure> {
        let Some(deed) = step.deeds().into_iter().next() else { return Ok(None) };
        let work = async |engine: &_| perform_deed(deed, self.last.as_ref(), self.loaded, &self.world, engine).await;
        self.world.process(step, self.at_most, work).map(Some)
    }

    fn began(&mut self, id: RunId) -> RunId {
        self.last = Some(id.clone());
        id
    }

    /// The last run as its journal tells it.
    fn load(&self, id: &RunId) -> Result<run::Run, Failure> {
        let engine = self.world.engine(std::sync::Arc::new(self.world.store.reopened()));
        futures::executor::block_on(engine.load(id)).map(|(_, run)| run)
    }

    fn events(&self) -> Result<Vec<engine::event::Recorded>, Failure> {
        match &self.last {
            Some(id) => Ok(futures::executor::block_on(self.world.store.events(id, 0, usize::MAX))?),
            None => Ok(Vec::new()),
        }
    }

    /// Warnings of the last run's journal from this event on.
    fn warnings(&self, from: usize) -> Result<Vec<String>, Failure> {
        let events = self.events()?.into_iter().skip(from);
        let warning = |event| match event {
            Event::Logged { level: Level::Warning | Level::Error, message, .. } => Some(message),
            _ => None,
        };
        Ok(events.filter_map(|recorded| warning(recorded.event)).collect())
    }
}

fn status_of(status: run::Status) -> Result<Status, Failure> {
    Ok(match status {
        run::Status::Finished => Status::Finished,
        run::Status::Suspended => Status::Suspended,
        run::Status::Failed => Status::Failed,
        run::Status::Stopped => Status::Stopped,
        run::Status::Paused => Status::Paused,
        run::Status::Queued | run::Status::Running | run::Status::Waiting => {
            return Err(Failure::internal("the run is left without anything that drives it"));
        }
    })
}
