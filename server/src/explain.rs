//! What an activity would ask of a CRM, what stays here, and what it costs.

use std::path::PathBuf;
use std::sync::Arc;

use engine::check;
use engine::engine::{Engine, NotStarted};
use engine::failure::{Class, Failure};
use engine::outside::crm::{Allowance, Crm, Read, Write};
use engine::plan::{Plan, PlanCx};
use engine::problem::suggestion;
use engine::schema::Schemas;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;

/// The most parts of a reading that are counted.
const RANGES_MAX: usize = 64;

/// An activity to explain.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Asked {
    /// The workflow's file, for its name and for messages.
    pub file: PathBuf,
    /// The workflow.
    pub text: String,
    /// The activity.
    pub activity: String,
    /// Records that a write is thought to have.
    pub records: u64,
    /// [`Project::identity`](crate::project::Project::identity) of who asks.
    pub identity: String,
}

/// What an activity would ask.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explained {
    /// The activity.
    pub activity: String,
    /// `read`, `fetch` or `write`.
    pub kind: String,
    /// The account.
    pub account: String,
    /// The kind of CRM.
    pub system: String,
    /// The object.
    pub object: String,
    /// The request as it would be sent, without host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The part of it that stands for the filter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<String>,
    /// Whether that part lets exactly the right records through.
    pub exact: bool,
    /// The author's filter, which is evaluated again here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Other rules by which records are let go here.
    pub rules: Vec<String>,
    /// The window of the automatic index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowView>,
    /// How a write goes, such as `collections` or `bulk`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Records: those that the CRM counts, or those that a write is thought to have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<u64>,
    /// Records of one call, or of one batch of a write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_call: Option<u64>,
    /// Parts that are read side by side.
    pub ranges: u64,
    /// Batches of a write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batches: Option<u64>,
    /// Calls to be expected; of a write, at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<u64>,
    /// Allowances of the account.
    pub limits: Vec<Allowance>,
    /// What could not be found out, and why.
    pub unknown: Vec<String>,
}

/// The window of an automatic index.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WindowView {
    /// The index field.
    pub field: String,
    /// The first instant read; none reads from the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// The first instant not read.
    pub to: Timestamp,
}

/// Explains an activity. It reads; nothing is written.
///
/// # Errors
/// Where the workflow is not right, there is no such activity, or it asks no CRM.
pub async fn explain(engine: &Engine, asked: &Asked) -> Result<Explained, Refusal> {
    let name = asked.file.file_stem().unwrap_or_default().to_string_lossy();
    let environment = &engine.environment;
    let schemas = Schemas::default();
    let (workflow, problems) =
        check::read(environment.palette, &schemas, &asked.file.display().to_string(), &name, &asked.text);
    let Some(workflow) = workflow.filter(|_| problems.is_empty()) else {
        return Err(NotStarted::Problems(problems).into());
    };
    let Some(node) = workflow.activities.get(&asked.activity) else {
        let failure = Failure::new(Class::Config, format!("there is no activity \"{}\"", asked.activity));
        let help = suggestion(&asked.activity, workflow.activities.keys().map(String::as_str));
        return Err(help.map_or(failure.clone(), |help| failure.help(help)).into());
    };
    let cx = PlanCx::new(Arc::clone(environment), &workflow, &asked.activity);
    let Some(plan) = node.activity.plan(&cx).await? else {
        let message = format!("{} ({}) asks no CRM", asked.activity, node.spec.kind);
        let help = "name an activity that reads from a CRM or writes to one";
        return Err(Failure::new(Class::Config, message).help(help).into());
    };
    let mut told = match plan {
        Plan::Read { account, read, filter, rules } => {
            let crm = cx.crm(&account)?;
            let mut told = Explained { account, filter, kind: "read".to_owned(), ..of_read(&*crm, &read).await? };
            told.rules = rules.into_iter().map(str::to_owned).collect();
            told
        }
        Plan::Fetch { account, read } => {
            let crm = cx.crm(&account)?;
            let query = crm.query(&read)?;
            let (kind, system) = ("fetch".to_owned(), crm.system().name.to_owned());
            let object = read.object.name.clone();
            Explained { account, kind, system, object, request: Some(query.text), ..Explained::default() }
        }
        Plan::Write { account, write } => {
            let crm = cx.crm(&account)?;
            Explained { account, kind: "write".to_owned(), ..of_write(&*crm, &write, asked.records)? }
        }
    };
    told.activity.clone_from(&asked.activity);
    match cx.crm(&told.account)?.limits().await {
        Ok(limits) => told.limits = limits,
        Err(failure) => told.unknown.push(format!("the account's limits: {failure}")),
    }
    Ok(told)
}

async fn of_read(crm: &dyn Crm, read: &Read) -> Result<Explained, Failure> {
    let query = crm.query(read)?;
    let mut told = Explained {
        system: crm.system().name.to_owned(),
        object: read.object.name.clone(),
        request: Some(query.text),
        sent: query.filter,
        exact: query.exact,
        per_call: crm.page_size(read),
        ..Explained::default()
    };
    told.window =
        read.window.as_ref().map(|window| WindowView { field: window.field.clone(), from: window.from, to: window.to });
    match crm.count(read).await {
        Ok(Some(records)) => told.records = Some(records),
        Ok(None) => told.unknown.push("how many records: the CRM does not tell".to_owned()),
        Err(failure) => told.unknown.push(format!("how many records: {failure}")),
    }
    match crm.ranges(read, RANGES_MAX).await {
        Ok(ranges) => told.ranges = ranges.len() as u64,
        Err(failure) => told.unknown.push(format!("parts to read side by side: {failure}")),
    }
    // Each part ends with a page that is not full.
    told.calls =
        told.records.zip(told.per_call).map(|(records, page)| records.div_ceil(page.max(1)).max(1) + told.ranges);
    Ok(told)
}

fn of_write(crm: &dyn Crm, write: &Write, records: u64) -> Result<Explained, Failure> {
    let plan = crm.write_plan(write, records)?;
    let per_call = plan.records_max.max(1) as u64;
    let batches = records.div_ceil(per_call);
    Ok(Explained {
        system: crm.system().name.to_owned(),
        object: write.object.name.clone(),
        records: Some(records),
        per_call: Some(per_call),
        ranges: plan.at_once as u64,
        batches: Some(batches),
        calls: Some(batches * crm.calls_per_batch(&plan)),
        method: Some(plan.method),
        ..Explained::default()
    })
}
