//! What an expression sees besides the record.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Variable;
use super::functions::Moment;
use super::value::{Value, to_micros};
use crate::event::Vars;

/// What an expression sees besides the record; the same for all records of a task.
#[derive(Debug, Clone)]
pub struct Values {
    /// `vars`, which came with the population.
    pub vars: Vars,
    /// `instance.vars`, of the whole run.
    pub instance: Vars,
    /// `task.vars`, of this task.
    pub task: Vars,
    /// The options that the expression reads; see [`Expr::variables`].
    pub options: BTreeMap<String, String>,
    /// What `now()` gives.
    pub now: Timestamp,
    /// The workflow's time zone.
    pub zone: TimeZone,
    /// Options of the workflow's own automatic indexes: null before the first import.
    pub indexes: BTreeSet<String>,
    /// Whether a variable that is not set stays unknown, as when a reading is explained before the run; else it is an error
    /// to read it.
    pub foretell: bool,
}

impl Values {
    /// What a task sees.
    pub fn new(
        vars: Vars,
        instance: Vars,
        task: Vars,
        options: BTreeMap<String, String>,
        now: Timestamp,
        zone: TimeZone,
    ) -> Self {
        Self { vars, instance, task, options, now, zone, indexes: BTreeSet::new(), foretell: false }
    }

    /// No variables and no options, in UTC.
    pub fn empty(now: Timestamp) -> Self {
        Self::new(Vars::new(), Vars::new(), Vars::new(), BTreeMap::new(), now, TimeZone::UTC)
    }

    /// Whether it is set.
    pub fn has(&self, variable: &Variable) -> bool {
        match variable {
            Variable::Event(name) => self.vars.contains_key(name),
            Variable::Instance(name) => self.instance.contains_key(name),
            Variable::Task(name) => self.task.contains_key(name),
            Variable::Option(name) => self.options.contains_key(name) || self.indexes.contains(name),
            Variable::HasOption(_) => true,
        }
    }

    /// The value of a variable by itself; null where it is not set.
    pub fn get(&self, variable: &Variable) -> Value {
        let json = match variable {
            Variable::HasOption(name) => return Value::Bool(self.options.contains_key(name)),
            Variable::Event(name) => self.vars.get(name),
            Variable::Instance(name) => self.instance.get(name),
            Variable::Task(name) => self.task.get(name),
            Variable::Option(name) => return self.options.get(name).map_or(Value::Null, |v| Value::Text(v.clone())),
        };
        json.map_or(Value::Null, Value::of_json)
    }

    /// When and where.
    pub fn moment(&self) -> Moment {
        Moment { now: to_micros(self.now), zone: self.zone.clone() }
    }
}
