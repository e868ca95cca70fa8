//! What an activity would ask of a CRM, told without asking.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::Schema;
use jiff::tz::TimeZone;

use crate::check::Workflow;
use crate::context::{bind, values};
use crate::driver::first_vars;
use crate::environment::{Environment, Limits};
use crate::event::Vars;
use crate::expr::{Bound, Source, Values};
use crate::failure::Failure;
use crate::outside::clock::Clock;
use crate::outside::crm::{Crm, Object, Read, ReadDeleted, Write};
use crate::outside::store::OptionValue;
use crate::script::Functions;

/// What an activity would ask of a CRM.
#[derive(Debug, Clone)]
pub enum Plan {
    /// It reads.
    Read {
        /// The account.
        account: String,
        /// What it would ask for, with the window that it would open now.
        read: Box<Read>,
        /// The author's filter, which is evaluated again here.
        filter: Option<String>,
        /// Other rules by which it lets go of what came, such as `alreadyImported`.
        rules: Vec<&'static str>,
        /// The most parts that it would read side by side; fewer than two for a reading as a whole.
        parts_max: usize,
        /// What else there is to know, a sentence each.
        notes: Vec<String>,
    },
    /// It reads the records whose ids come in.
    Fetch {
        /// The account.
        account: String,
        /// What it would ask for.
        read: Box<Read>,
        /// Rules by which it lets go of what came.
        rules: Vec<&'static str>,
    },
    /// It reads the ids of records that were deleted.
    Deleted {
        /// The account.
        account: String,
        /// What it would ask for.
        read: Box<ReadDeleted>,
        /// Rules by which it lets go of what came.
        rules: Vec<&'static str>,
    },
    /// It writes the records that come in.
    Write {
        /// The account.
        account: String,
        /// How.
        write: Box<Write>,
        /// How records are read first, so that those that are the same already are not sent.
        compare: Option<Box<Read>>,
    },
}

/// What planning may see of the outside: all that can be read.
pub struct PlanCx {
    /// The workflow's name.
    pub workflow: String,
    /// The activity's name.
    pub activity: String,
    /// The time zone of its dates.
    pub time_zone: TimeZone,
    /// Variables that a run begins with.
    pub vars: Vars,
    /// Records that are thought to come in.
    pub records: u64,
    /// Whether the activity brings back what its workflow itself writes.
    pub brings_back: bool,
    pub(crate) environment: Arc<Environment>,
    functions: Arc<Functions>,
    indexes: BTreeSet<String>,
}

impl PlanCx {
    /// For an activity of a workflow, which so many records are thought to come into.
    pub fn new(environment: Arc<Environment>, workflow: &Workflow, activity: &str, records: u64) -> Self {
        let node = workflow.activities.get(activity);
        let brings = node.and_then(|node| node.activity.brings_changes());
        Self {
            workflow: workflow.name.clone(),
            activity: activity.to_owned(),
            time_zone: node.map_or(TimeZone::UTC, |node| node.time_zone.clone()),
            vars: first_vars(workflow, &Vars::new()),
            records,
            brings_back: brings.is_some_and(|(account, object)| !workflow.brings_back(account, object).is_empty()),
            environment,
            functions: Arc::clone(&workflow.functions),
            indexes: workflow.index_options(),
        }
    }

    /// An account's CRM.
    ///
    /// # Errors
    /// Where there is no such account, or its configuration is wrong.
    pub fn crm(&self, account: &str) -> Result<Arc<dyn Crm>, Failure> {
        self.environment.crm(account)
    }

    /// What a CRM says of an object.
    ///
    /// # Errors
    /// Where the CRM says that there is none, or cannot be asked.
    pub async fn object(&self, account: &str, object: &str) -> Result<Arc<Object>, Failure> {
        self.object_with(account, object, &[]).await
    }

    /// The same with fields of related records, by their paths.
    ///
    /// # Errors
    /// Where the CRM says that there is none, or cannot be asked.
    pub async fn object_with(&self, account: &str, object: &str, paths: &[String]) -> Result<Arc<Object>, Failure> {
        self.environment.descriptions.object_with(&self.environment, account, object, paths).await
    }

    /// Limits.
    pub fn limits(&self) -> &Limits {
        &self.environment.limits
    }

    /// The data folder.
    pub fn data_folder(&self) -> &Path {
        &self.environment.folder
    }

    /// An option.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn option(&self, name: &str) -> Result<Option<OptionValue>, Failure> {
        Ok(self.environment.store.option(name).await?)
    }

    /// Time.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.environment.clock
    }

    /// Reads an expression over columns.
    ///
    /// # Errors
    /// What is wrong with it first.
    pub fn bind(&self, source: &Source, columns: &Schema) -> Result<Bound, Failure> {
        bind(source, columns, &self.functions)
    }

    /// Functions that scripts share.
    pub fn functions(&self) -> &Arc<Functions> {
        &self.functions
    }

    /// What an expression reads besides the record: variables, options, the time, the zone.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn values<'a>(&self, bounds: impl IntoIterator<Item = &'a Bound>) -> Result<Values, Failure> {
        let vars = (self.vars.clone(), self.vars.clone());
        let values = values(&self.environment, vars, self.time_zone.clone(), bounds).await?;
        // What an activity before it sets is not known now.
        Ok(Values { indexes: self.indexes.clone(), foretell: true, ..values })
    }
}

impl std::fmt::Debug for PlanCx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlanCx").field("activity", &self.activity).finish_non_exhaustive()
    }
}
