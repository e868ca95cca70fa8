//! Which variables activities set, and which of them what comes after may read.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap, HashSet};

use crate::check::Workflow;
use crate::expr::Variable;

/// Variables that an activity sets for what comes after it.
#[derive(Debug, Clone, Default)]
pub struct Sets {
    /// Those that are known.
    pub variables: BTreeSet<Variable>,
    /// Whether there may be others, which only the run tells.
    pub any: bool,
}

impl Sets {
    /// These of `vars`.
    pub fn vars<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let variables = names.into_iter().map(|name| Variable::Event(name.to_owned())).collect();
        Self { variables, any: false }
    }

    fn anything() -> Self {
        Self { variables: BTreeSet::new(), any: true }
    }
}

/// What the engine sets where an activity failed.
pub const OF_FAILURE: [&str; 3] = ["errorActivity", "errorMessage", "errorClass"];

/// Transitions that one check follows to find who sets a variable; what is not found by then is left to the run.
const FOLLOWED_MAX: usize = 1_000_000;

/// What the activities of a workflow set.
#[derive(Debug)]
pub(crate) struct Variables<'a> {
    workflow: &'a Workflow,
    by_activity: HashMap<&'a str, Sets>,
    followed: Cell<usize>,
}

impl<'a> Variables<'a> {
    pub(crate) fn of(workflow: &'a Workflow) -> Self {
        let sets = |name| match workflow.activities.get(name) {
            Some(node) => node.activity.sets(),
            // What an activity sets whose settings are wrong is not known.
            None => Sets::anything(),
        };
        let by_activity = workflow.graph.activities().map(|(name, _)| (name, sets(name))).collect();
        Self { workflow, by_activity, followed: Cell::default() }
    }

    /// The names that an activity may read instead, where nothing can have set this one before it.
    pub(crate) fn instead_of(&self, variable: &Variable, activity: &str) -> Option<BTreeSet<&str>> {
        let declared = self.workflow.vars.keys().map(String::as_str);
        match variable {
            // Whoever sets an option, now or by hand, is not known.
            Variable::Option(_) | Variable::HasOption(_) => None,
            // Of a script, which begins without any.
            Variable::Task(_) => Some(BTreeSet::new()),
            // Of the run: whichever activity sets it may have ended before.
            Variable::Instance(name) => {
                let set = self.by_activity.values().flat_map(|sets| sets.variables.iter().filter_map(of_run));
                let names: BTreeSet<&str> = declared.chain(set).collect();
                let may_be = names.contains(name.as_str()) || self.by_activity.values().any(|sets| sets.any);
                (!may_be).then_some(names)
            }
            Variable::Event(name) => {
                let names = declared.chain(self.before(activity)?).collect::<BTreeSet<&str>>();
                (!names.contains(name.as_str())).then_some(names)
            }
        }
    }

    /// What an activity and all that lead to it set; nothing where that is not known.
    fn before(&self, activity: &str) -> Option<Vec<&str>> {
        let (mut names, mut seen) = (Vec::new(), HashSet::from([activity.to_owned()]));
        let mut next = vec![activity.to_owned()];
        while let Some(activity) = next.pop() {
            let sets = self.by_activity.get(activity.as_str())?;
            if sets.any {
                return None;
            }
            names.extend(sets.variables.iter().filter_map(of_event));
            for inbound in self.workflow.graph.inbound(&activity) {
                self.followed.set(self.followed.get() + 1);
                if self.followed.get() > FOLLOWED_MAX {
                    return None;
                }
                if matches!(inbound.port.as_str(), "error" | "exhausted") {
                    names.extend(OF_FAILURE);
                }
                if seen.insert(inbound.from.clone()) {
                    next.push(inbound.from);
                }
            }
        }
        Some(names)
    }
}

fn of_event(variable: &Variable) -> Option<&str> {
    if let Variable::Event(name) = variable { Some(name) } else { None }
}

fn of_run(variable: &Variable) -> Option<&str> {
    if let Variable::Instance(name) = variable { Some(name) } else { None }
}
