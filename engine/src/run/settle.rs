//! Which windows of automatic indexes are done, rule 8.

use std::collections::{BTreeSet, HashSet};

use super::{Run, TaskStatus};
use crate::event::{IndexWindow, TaskId};
use crate::outside::store::SeenFile;
use crate::scope::IndexScope;

/// A window that is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The import's task.
    pub task: TaskId,
    /// Its window.
    pub window: IndexWindow,
    /// What a script has set the option to meanwhile.
    pub put: Option<String>,
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
        let Some(activity) = self.task(ending.task).map(|task| &task.activity) else { return Vec::new() };
        if ending.ports.iter().any(|port| self.graph.targets(activity, port).next().is_some()) {
            return Vec::new();
        }
        let open = self.windows.iter().filter(|(task, _)| !self.settled.contains_key(task));
        let mut done: Vec<(TaskId, &IndexWindow, BTreeSet<TaskId>)> =
            open.map(|(import, window)| (*import, window, self.family(*import))).collect();
        done.retain(|(_, _, family)| family.contains(&ending.task) && !self.goes_on(family, ending.task));
        let Some((first, ..)) = done.first() else { return Vec::new() };
        let ended_well = |id: TaskId| match id == ending.task {
            true => ending.well,
            false => self.task(id).is_some_and(|task| task.status == TaskStatus::Ended),
        };
        let made_good = self.made_good(*first, &ended_well);
        // An import that was made good is so by one with a window of its own, which moves the option.
        let counts = |id: TaskId, import: TaskId| ended_well(id) || (id != import && made_good.contains(&id));
        let settled = done.into_iter().map(|(import, window, family)| {
            let failed = family.into_iter().filter(|id| !counts(*id, import));
            Settled {
                task: import,
                window: window.clone(),
                put: self.put.get(&import).cloned(),
                seen: self.task(import).and_then(|task| task.tally.seen.clone()),
                failed: failed.filter_map(|id| Some((id, self.task(id)?.activity.clone()))).collect(),
            }
        });
        settled.collect()
    }

    /// What the import that opened a window of this option up to this text saw, where it ended.
    pub fn seen_until(&self, option: &str, value: &str) -> Option<SeenFile> {
        let mut windows = self.windows.iter().rev();
        let (task, _) = windows.find(|(_, window)| window.option == option && window.after == value)?;
        self.task(*task)?.tally.seen.clone()
    }

    /// What an option keeps of the records of the window that ends so.
    pub fn scope_until(&self, option: &str, value: &str) -> Option<IndexScope> {
        let mut windows = self.windows.values().rev();
        windows.find(|window| window.option == option && window.after == value)?.scope.clone()
    }

    /// Whether anything of a family waits, or works besides this task.
    fn goes_on(&self, family: &BTreeSet<TaskId>, besides: TaskId) -> bool {
        let waits = self.queues.values().flatten().any(|arrival| family.contains(&arrival.id.from));
        let others = family.iter().filter(|id| **id != besides).filter_map(|id| self.task(*id));
        waits || others.into_iter().any(super::Task::is_live)
    }

    /// The tasks, from this one on, of which a later task of the same activity that descends from them ended well.
    fn made_good(&self, first: TaskId, ended_well: &impl Fn(TaskId) -> bool) -> HashSet<TaskId> {
        let mut made_good = HashSet::new();
        let mut passed: HashSet<(&str, TaskId)> = HashSet::new();
        for good in self.tasks.iter().skip(first as usize).filter(|task| ended_well(task.id)) {
            let mut line = good.parents.clone();
            while let Some(id) = line.pop() {
                let Some(task) = self.task(id).filter(|_| id >= first && passed.insert((&good.activity, id))) else {
                    continue;
                };
                if task.activity == good.activity {
                    made_good.insert(id);
                }
                line.extend(&task.parents);
            }
        }
        made_good
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
