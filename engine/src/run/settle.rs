//! Which windows of automatic indexes are done, rule 8.

use std::collections::BTreeSet;

use super::{Run, TaskStatus};
use crate::event::{IndexWindow, TaskId};
use crate::outside::store::SeenFile;

/// A window that is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The import's task.
    pub task: TaskId,
    /// Its window.
    pub window: IndexWindow,
    /// Whether a script has set the option meanwhile.
    pub put: bool,
    /// What the next import must know to have been imported already.
    pub seen: Option<SeenFile>,
    /// The tasks whose failure holds the option back, by number and activity.
    pub failed: Vec<(TaskId, String)>,
}

/// How a task is about to end.
#[derive(Debug, Clone, Copy)]
pub struct Ending<'a> {
    /// The task.
    pub task: TaskId,
    /// Whether it ends well.
    pub well: bool,
    /// The ports it puts an event on.
    pub ports: &'a [String],
}

impl Run {
    /// The windows that are done once this task has ended so.
    pub fn settled_by(&self, ending: Ending<'_>) -> Vec<Settled> {
        let open = self.windows.iter().filter(|(task, _)| !self.settled.contains_key(task));
        open.filter_map(|(import, window)| self.settle(*import, window, ending)).collect()
    }

    /// What the import that opened a window of this option up to this text saw, where it ended.
    pub fn seen_until(&self, option: &str, value: &str) -> Option<SeenFile> {
        let mut windows = self.windows.iter().rev();
        let (task, _) = windows.find(|(_, window)| window.option == option && window.after == value)?;
        self.task(*task)?.tally.seen.clone()
    }

    fn settle(&self, import: TaskId, window: &IndexWindow, ending: Ending<'_>) -> Option<Settled> {
        let family = self.family(import);
        if !family.contains(&ending.task) {
            return None;
        }
        let activity = &self.task(ending.task)?.activity;
        let leads_on = ending.ports.iter().any(|port| self.graph.targets(activity, port).next().is_some());
        let waits = self.queues.values().flatten().any(|arrival| family.contains(&arrival.id.from));
        let works =
            family.iter().filter(|id| **id != ending.task).filter_map(|id| self.task(*id)).any(super::Task::is_live);
        if leads_on || waits || works {
            return None;
        }
        let ended_well = |id: TaskId| match id == ending.task {
            true => ending.well,
            false => self.task(id).is_some_and(|task| task.status == TaskStatus::Ended),
        };
        // An import that was made good is so by one with a window of its own, which moves the option.
        let counts = |id: TaskId| ended_well(id) || (id != import && self.was_made_good(id, &ended_well));
        let failed = family.iter().filter(|id| !counts(**id));
        Some(Settled {
            task: import,
            window: window.clone(),
            put: self.put.contains(&import),
            seen: self.task(import).and_then(|task| task.tally.seen.clone()),
            failed: failed.filter_map(|id| Some((*id, self.task(*id)?.activity.clone()))).collect(),
        })
    }

    /// Whether a later task of the same activity, which descends from this one, ended well.
    fn was_made_good(&self, failed: TaskId, ended_well: &impl Fn(TaskId) -> bool) -> bool {
        let activity = |id: TaskId| self.task(id).map(|task| &task.activity);
        self.family(failed).into_iter().any(|id| id != failed && activity(id) == activity(failed) && ended_well(id))
    }

    /// A task and all that descend from it. Parents have lower numbers than their children.
    fn family(&self, ancestor: TaskId) -> BTreeSet<TaskId> {
        let mut family = BTreeSet::from([ancestor]);
        for task in self.tasks.iter().skip(ancestor as usize) {
            if task.parents.iter().any(|parent| family.contains(parent)) {
                family.insert(task.id);
            }
        }
        family
    }
}
