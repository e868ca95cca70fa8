//! How columns flow from activity to activity, and what is known of the outside to tell it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::Schema;
use jiff::tz::TimeZone;

use crate::activity::{Columns, Port};
use crate::check::Workflow;
use crate::document::Document;
use crate::expr::{Bound, ExprError, Parsed, Source, Variable, default_for};
use crate::failure::{Class, Failure};
use crate::outside::crm::{Object, ObjectField, System};
use crate::outside::database::{Table, check_reserved};
use crate::problem::{Problem, Suggestions};
use crate::script::Functions;
use crate::types::Type;
use crate::variables::Variables;

/// What is known of the outside. What could not be asked is kept with the reason.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The systems of the accounts, by name.
    pub accounts: BTreeMap<String, &'static System>,
    /// Accounts that cannot be used, such as for a missing secret, where that was tried.
    pub broken: BTreeMap<String, Failure>,
    /// Objects by account and name.
    pub objects: BTreeMap<(String, String), Result<Arc<Object>, Failure>>,
    /// Fields of related records by account, object and path.
    pub fields: BTreeMap<(String, String, String), Result<ObjectField, Failure>>,
    /// Tables by name.
    pub tables: BTreeMap<String, Result<Arc<Table>, Failure>>,
}

/// Where a flow's problems go, and what it may know.
#[derive(Debug)]
pub struct FlowCx<'a> {
    /// The document, for places.
    pub(crate) document: &'a Document,
    /// `/activities/<name>`
    pub(crate) pointer: String,
    /// The activity's name.
    pub activity: &'a str,
    /// The activity's ways out, with these settings.
    pub ports: &'a [Port],
    /// The workflow's name.
    pub workflow: &'a str,
    pub(crate) definition: &'a Workflow,
    /// The time zone of the activity's dates.
    pub time_zone: &'a TimeZone,
    pub(crate) known: &'a Known,
    pub(crate) functions: &'a Arc<Functions>,
    pub(crate) variables: &'a Variables<'a>,
    /// Finds the names that were probably meant.
    pub suggestions: &'a Suggestions,
    pub(crate) problems: &'a mut Vec<Problem>,
    pub(crate) warnings: &'a mut Vec<Problem>,
    pub(crate) unchecked: &'a mut BTreeSet<String>,
}

impl Workflow {
    /// The activities that bring back what the workflow itself writes to this object: those that import its changes, where
    /// another one exports to it.
    pub fn brings_back(&self, account: &str, object: &str) -> Vec<&str> {
        let of = Some((account, object));
        let mut all = self.activities.values();
        if !all.any(|node| node.activity.changes_records() == of) {
            return Vec::new();
        }
        let own = self.activities.iter().filter(|(_, node)| node.activity.brings_changes() == of);
        own.map(|(name, _)| name.as_str()).collect()
    }
}

impl FlowCx<'_> {
    /// Reports a problem at a pointer below the activity, such as `/filter`.
    pub fn problem(&mut self, pointer: &str, code: &'static str, message: impl Into<String>, help: Option<String>) {
        let pointer = format!("{}{pointer}", self.pointer);
        self.problems.push(self.document.problem(&pointer, code, message.into(), help));
    }

    /// Reports a risk that does not keep the workflow from running.
    pub fn risk(&mut self, pointer: &str, code: &'static str, message: impl Into<String>, help: Option<String>) {
        let pointer = format!("{}{pointer}", self.pointer);
        self.warnings.push(self.document.problem(&pointer, code, message.into(), help));
    }

    /// The object, where it is known; else a problem, or a note that it could not be checked.
    pub fn object(&mut self, account: &str, object: &str) -> Option<Arc<Object>> {
        if !self.known.accounts.contains_key(account) {
            let help = self
                .suggestions
                .of(account, self.known.accounts.keys().map(String::as_str))
                .unwrap_or_else(|| format!("add [accounts.{account}] to campanile.toml"));
            self.problem("/account", "unknown-account", format!("there is no account \"{account}\""), Some(help));
            return None;
        }
        if let Some(failure) = self.known.broken.get(account).cloned() {
            self.problem("/account", "account-not-usable", failure.message, failure.help);
            return None;
        }
        match self.known.objects.get(&(account.to_owned(), object.to_owned())) {
            Some(Ok(object)) => return Some(Arc::clone(object)),
            Some(Err(failure)) if failure.class == Class::Config => {
                let failure = failure.clone();
                self.problem("/object", "unknown-object", failure.message, failure.help);
            }
            Some(Err(failure)) => {
                self.unchecked.insert(format!("the fields of {object} in {account}: {failure}"));
            }
            None => {
                self.unchecked.insert(format!(
                    "the fields of {object} in {account}: no description is kept yet; a run or `campanile check --online` \
                     asks the CRM"
                ));
            }
        }
        None
    }

    /// A field of a related record, where it is known; else a problem, or a note that it could not be checked.
    pub fn field(&mut self, pointer: &str, account: &str, object: &str, path: &str) -> Option<ObjectField> {
        match self.known.fields.get(&(account.to_owned(), object.to_owned(), path.to_owned())) {
            Some(Ok(field)) => return Some(field.clone()),
            Some(Err(failure)) if failure.class == Class::Config => {
                let failure = failure.clone();
                self.problem(pointer, "unknown-field", failure.message, failure.help);
            }
            Some(Err(failure)) => {
                self.unchecked.insert(format!("{path} of {object} in {account}: {failure}"));
            }
            None => {
                self.unchecked.insert(format!(
                    "{path} of {object} in {account}: no description is kept yet; a run or `campanile check --online` asks \
                     the CRM"
                ));
            }
        }
        None
    }

    /// The kind of CRM that an account is of, where there is such an account.
    pub fn system(&self, account: &str) -> Option<&'static System> {
        self.known.accounts.get(account).copied()
    }

    /// Whether this activity brings back what its workflow itself writes to this object.
    pub fn brings_back(&self, account: &str, object: &str) -> bool {
        self.definition.brings_back(account, object).contains(&self.activity)
    }

    /// Functions that scripts share.
    pub fn functions(&self) -> &Arc<Functions> {
        self.functions
    }

    /// The table, where it is known; else a problem, or a note that it could not be checked.
    pub fn table(&mut self, pointer: &str, table: &str) -> Option<Arc<Table>> {
        // Known without the database, which may not be there yet.
        if let Err(failure) = check_reserved(table) {
            self.problem(pointer, "unknown-table", failure.message, failure.help);
            return None;
        }
        match self.known.tables.get(table) {
            Some(Ok(table)) => return Some(Arc::clone(table)),
            Some(Err(failure)) if failure.class == Class::Config => {
                let failure = failure.clone();
                self.problem(pointer, "unknown-table", failure.message, failure.help);
            }
            Some(Err(failure)) => {
                self.unchecked.insert(format!("table {table}: {failure}"));
            }
            None => {
                self.unchecked.insert(format!("table {table}: the database was not asked"));
            }
        }
        None
    }

    /// Reads and types an expression over these columns; problems are reported at their place in it.
    pub fn expression(
        &mut self,
        pointer: &str,
        source: &Source,
        input: &Columns,
        must: Option<&Type>,
    ) -> Option<Bound> {
        let parsed = match source.parsed() {
            Ok(parsed) => parsed,
            Err(error) => {
                self.expression_problem(pointer, error);
                return None;
            }
        };
        self.reads(pointer, &parsed);
        let bound = match input {
            // Without columns, what can be read without them is still read.
            Columns::Unknown => {
                let calls = parsed.shared();
                let wrong = calls.iter().filter_map(|(name, args, at)| self.functions.check(name, *args, *at).err());
                for error in wrong.collect::<Vec<_>>() {
                    self.expression_problem(pointer, error);
                }
                return None;
            }
            Columns::None => Bound::bind_parsed(&parsed, &Schema::empty(), self.functions),
            Columns::Known(schema) => Bound::bind_parsed(&parsed, schema, self.functions),
        };
        let bound = match bound {
            Ok(bound) => bound,
            Err(errors) => {
                for error in errors {
                    self.expression_problem(pointer, error);
                }
                return None;
            }
        };
        match must {
            Some(must) if !bound.may_give(must) => {
                let message = format!("this is {}, not {must}", bound.ty());
                self.problem(pointer, "wrong-type", message, None);
                None
            }
            _ => Some(bound),
        }
    }

    /// Reports the variables that an expression reads without a default and that nothing before it can have set.
    pub fn reads(&mut self, pointer: &str, parsed: &Parsed) {
        for (variable, at) in parsed.reads() {
            if let Some(error) = self.unset(variable, at) {
                self.unset_problem(pointer, error);
            }
        }
    }

    /// What is wrong where a variable is read that nothing before the activity can have set.
    pub fn unset(&self, variable: &Variable, at: Option<usize>) -> Option<ExprError> {
        let names = self.variables.instead_of(variable, self.activity)?;
        let default = default_for(variable);
        let (message, name) = match variable {
            Variable::Task(name) => (format!("{variable} is not set: `task.vars` live as long as one script"), name),
            Variable::Instance(name) => (format!("{variable} is not set: no activity of the workflow sets it"), name),
            Variable::Event(name) | Variable::Option(name) | Variable::HasOption(name) => {
                (format!("{variable} is not set: no activity that leads here sets it"), name)
            }
        };
        let help = match (self.suggestions.of(name, names), variable) {
            (Some(instead), _) => {
                format!("{instead}{} Or give a default: {default}", if instead.ends_with('?') { "" } else { "." })
            }
            (None, Variable::Task(_)) => "use `vars` or `instance.vars`".to_owned(),
            (None, _) => format!("set it before, declare it in \"vars\" of the workflow, or give a default: {default}"),
        };
        Some(ExprError { message, help: Some(help), at, row: None })
    }

    /// Reports what [`unset`](Self::unset) found at its place in the text.
    pub fn unset_problem(&mut self, pointer: &str, error: ExprError) {
        let pointer = format!("{}{pointer}", self.pointer);
        let at = error.at.unwrap_or(usize::MAX);
        self.problems.push(self.document.problem_within(&pointer, at, "not-set", error.message, error.help));
    }

    /// Reports what is wrong with an expression or script at its place in the text.
    pub fn expression_problem(&mut self, pointer: &str, error: ExprError) {
        let pointer = format!("{}{pointer}", self.pointer);
        let problem = self.document.problem_within(
            &pointer,
            error.at.unwrap_or(usize::MAX),
            "expression",
            error.message,
            error.help,
        );
        self.problems.push(problem);
    }
}
