//! Performs the steps of a test, one after the other.

use std::time::{Duration, Instant};

use engine::document::escape;
use engine::engine::NotStarted;
use engine::event::{Backfill, Event, Level};
use engine::failure::{Class, Failure};
use engine::outside::store::{RunId, Store};
use engine::problem::Problem;
use engine::run;
use indexmap::IndexMap;
use serde_json::json;

use super::compare::{After, Compare};
use super::file::{DriveStep, Kill, RunStep, Status, Step};
use super::outcome::{Difference, Outcome};
use super::process::{Deed, End, Ended};
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
    let deed = match step {
        Step { run: Some(_), .. } => "run",
        Step { resume: Some(_), .. } => "resume",
        Step { stop: Some(_), .. } => "stop",
        _ => "change",
    };
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
        let events_before = self.events()?.len();
        let ended = self.deed(step)?;
        let mut expect = step.expect.clone().unwrap_or_default();
        let mut after = After { status: None, problems: None, run: None, warnings: Vec::new() };
        match ended {
            Some(Ended::NotStarted(NotStarted::Problems(problems))) => after.problems = Some(problems),
            Some(Ended::NotStarted(NotStarted::Failure(failure))) => return Err(failure),
            Some(Ended::At(id, status)) => after.status = Some((self.began(id), status_of(status)?)),
            Some(Ended::BrokenOff(id)) => after.status = Some((self.began(id), Status::BrokenOff)),
            None => {}
        }
        if ended_is_expected(step, &expect) {
            expect.status = Some(usual_status(step));
        }
        if let Some(id) = &self.last {
            after.run = Some((id.clone(), self.load(id)?));
            let is_new = step.run.is_some() && after.status.is_some();
            after.warnings = self.warnings(if is_new { 0 } else { events_before })?;
        }
        let compare = Compare {
            loaded: self.loaded,
            world: &self.world,
            before: &before,
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
        Ok(refused)
    }

    /// What Campanile does.
    fn deed(&self, step: &Step) -> Result<Option<Ended>, Failure> {
        let last = || self.last.as_ref().ok_or_else(|| Failure::new(Class::Config, "no run has begun"));
        let end = |kill: &Option<Kill>, until: &Option<super::file::Instant>| End {
            kill: kill.clone(),
            until: until.map(|until| until.0),
        };
        let (deed, end) = match step {
            Step { run: Some(RunStep { vars, until, kill, backfill }), .. } => {
                let mut all = self.world.vars.clone();
                all.extend(vars.clone());
                let (file, text) = &self.loaded.workflow;
                let backfill = backfill.as_ref().map(|window| Backfill {
                    from: window.from.0,
                    to: window.to.0,
                    activity: window.activity.clone(),
                });
                (Deed::Run { file, text, vars: all, backfill }, end(kill, until))
            }
            Step { resume: Some(DriveStep { allow, until, kill }), .. } => {
                (Deed::Resume(last()?, allow.unwrap_or_default().vars()), end(kill, until))
            }
            Step { stop: Some(_), .. } => (Deed::Stop(last()?), End::default()),
            _ => return Ok(None),
        };
        self.world.process(&deed, &end, self.at_most).map(Some)
    }

    fn began(&mut self, id: RunId) -> RunId {
        self.last = Some(id.clone());
        id
    }

    /// The last run as its journal tells it.
    fn load(&self, id: &RunId) -> Result<run::Run, Failure> {
        let store = std::sync::Arc::new(self.world.store.reopened());
        let engine = server::opening::on(&self.world.project, activities::PALETTE, store, self.world.clock.clone());
        futures::executor::block_on(engine.load(id)).map(|(_, run)| run)
    }

    fn events(&self) -> Result<Vec<engine::event::Recorded>, Failure> {
        match &self.last {
            Some(id) => Ok(futures::executor::block_on(self.world.store.events(id, 0))?),
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

/// Whether a run's status is expected although the author says none.
fn ended_is_expected(step: &Step, expect: &super::file::Expect) -> bool {
    let deed = step.run.is_some() || step.resume.is_some() || step.stop.is_some();
    deed && expect.status.is_none() && expect.problems.is_none()
}

/// What a run is at where nothing else is said.
fn usual_status(step: &Step) -> Status {
    let kill = step.run.as_ref().is_some_and(|run| run.kill.is_some())
        || step.resume.as_ref().is_some_and(|resume| resume.kill.is_some());
    match step {
        Step { stop: Some(_), .. } => Status::Stopped,
        _ if kill => Status::BrokenOff,
        _ => Status::Finished,
    }
}

fn status_of(status: run::Status) -> Result<Status, Failure> {
    Ok(match status {
        run::Status::Finished => Status::Finished,
        run::Status::Suspended => Status::Suspended,
        run::Status::Failed => Status::Failed,
        run::Status::Stopped => Status::Stopped,
        run::Status::Running | run::Status::Waiting | run::Status::Paused => {
            return Err(Failure::internal("the run is left without anything that drives it"));
        }
    })
}
