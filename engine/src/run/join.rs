//! Which arrivals belong together (rule 4) and when a loop is exhausted (rule 6).

use std::collections::{HashSet, VecDeque};

use super::{Arrival, Run, Task, TaskStatus};
use crate::event::{ArrivalId, TaskId};
use crate::graph::{Arrivals, Inbound, WhenMissing};

impl Run {
    /// The arrivals that the next task of an activity takes, and the order of the first of them.
    pub(super) fn takes(&self, activity: &str, queue: &VecDeque<Arrival>) -> Option<(u64, Vec<ArrivalId>)> {
        let first = queue.front()?;
        let Arrivals::All(_) = self.graph.get(activity)?.arrivals else {
            return Some((first.order, vec![first.id.clone()]));
        };
        let mut takes = Vec::new();
        let mut missing = Vec::new();
        for inbound in self.graph.inbound(activity) {
            match queue.iter().find(|arrival| self.came_by(arrival, &inbound)) {
                Some(arrival) => takes.push(arrival.id.clone()),
                None => missing.push(inbound),
            }
        }
        if takes.is_empty() {
            takes.push(first.id.clone());
        }
        (missing.is_empty() || !self.may_still_arrive(activity, &missing)).then_some((first.order, takes))
    }

    fn came_by(&self, arrival: &Arrival, inbound: &Inbound) -> bool {
        let from = self.task(arrival.id.from).map(|task| task.activity.as_str());
        arrival.id.port == inbound.port && from == Some(inbound.from.as_str())
    }

    /// Whether anything live could still lead to one of these transitions. Of several activities that only wait for
    /// each other, the first in the file goes on.
    fn may_still_arrive(&self, activity: &str, missing: &[Inbound]) -> bool {
        let mut live: HashSet<&str> =
            self.tasks.iter().filter(|task| task.is_live()).map(|task| task.activity.as_str()).collect();
        let queued = |name: &str| self.queues.get(name).is_some_and(|queue| !queue.is_empty());
        let mut first_waiting = None;
        for (name, vertex) in self.graph.activities().filter(|(name, _)| queued(name)) {
            if matches!(vertex.arrivals, Arrivals::Each) {
                live.insert(name);
            } else {
                first_waiting = first_waiting.or(Some(name));
            }
        }
        let reaches =
            |live: &HashSet<&str>| missing.iter().any(|inbound| self.graph.can_reach(live, &inbound.from, activity));
        if reaches(&live) {
            return true;
        }
        let waiting: HashSet<&str> = self
            .graph
            .activities()
            .filter(|(name, vertex)| matches!(vertex.arrivals, Arrivals::All(_)) && queued(name))
            .map(|(name, _)| name)
            .collect();
        first_waiting != Some(activity) && reaches(&waiting)
    }

    /// The inbound transitions of a task that nothing came by, where the activity says that this is a failure.
    pub fn missing(&self, task: &Task) -> Vec<Inbound> {
        let Some(vertex) = self.graph.get(&task.activity) else { return Vec::new() };
        // What a run begins with is all that comes.
        let is_entry = task.inputs.iter().any(|(from, _)| *from == 0);
        if vertex.arrivals != Arrivals::All(WhenMissing::Fail) || is_entry {
            return Vec::new();
        }
        let came = |inbound: &Inbound| {
            task.parents
                .iter()
                .filter_map(|parent| self.task(*parent))
                .any(|parent| parent.activity == inbound.from && parent.emitted.contains(&inbound.port))
        };
        self.graph.inbound(&task.activity).into_iter().filter(|inbound| !came(inbound)).collect()
    }

    /// Whether a task of this activity, with these parents, has used up the attempts of its loop.
    pub(super) fn is_exhausted(&self, activity: &str, parents: &[TaskId]) -> bool {
        let Some(attempts) = self.graph.get(activity).and_then(|vertex| vertex.attempts) else { return false };
        let mut passed = 0;
        let mut seen = HashSet::new();
        let mut line = parents.to_vec();
        while let Some(id) = line.pop() {
            let Some(task) = self.task(id).filter(|task| seen.insert(task.id)) else { continue };
            if task.activity == activity {
                passed += 1;
                if task.forgiven {
                    continue;
                }
            }
            line.extend(&task.parents);
        }
        passed >= attempts
    }

    /// Whether a task of this activity, with these parents, would only lead a failure that lasts back to where it failed.
    pub(super) fn is_in_vain(&self, activity: &str, parents: &[TaskId]) -> bool {
        let Some(vertex) = self.graph.get(activity).filter(|vertex| vertex.attempts.is_some()) else { return false };
        let on = vertex.to.iter().filter(|(port, _)| *port != "exhausted").flat_map(|(_, targets)| targets);
        let on: HashSet<&str> = on.map(String::as_str).collect();
        let failed = parents.iter().filter_map(|parent| self.task(*parent)).filter(|parent| {
            parent.status == TaskStatus::Failed
                && parent.failure.as_ref().is_some_and(|failure| failure.class.is_lasting())
        });
        failed.into_iter().any(|failed| self.graph.can_reach(&on, &failed.activity, activity))
    }
}
