//! What an activity would ask of a CRM, what stays here, and what it costs.

use std::path::PathBuf;
use std::sync::Arc;

use engine::check;
use engine::engine::{Engine, NotStarted};
use engine::failure::{Class, Failure};
use engine::outside::crm::{Allowance, Crm, DeletedSpan, Read, Way, Write};
use engine::plan::{Plan, PlanCx};
use engine::problem::suggestion;
use engine::schema::Schemas;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;

/// An activity to explain.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Asked {
    /// The workflow's file, for its name and for messages.
    pub file: PathBuf,
    /// The workflow.
    pub text: String,
    /// The activity.
    pub activity: String,
    /// Records that are thought to come in, of a write or a reading by ids.
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
    /// `read`, `fetch` (by ids that come in), `deleted` or `write`.
    pub kind: String,
    /// The account.
    pub account: String,
    /// The kind of CRM.
    pub system: String,
    /// The object.
    pub object: String,
    /// How it goes, in the words of an administrator of the CRM, such as `REST query` or `$batch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way: Option<String>,
    /// Requests that come before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<String>,
    /// The request as it would be sent, with its verb and without host; `…` stands for what only the records tell.
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
    /// When records were deleted that are asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<PeriodView>,
    /// The word by which journals call the way of a write, such as `collections` or `bulk`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Records: those that the CRM counts, or those that are thought to come in.
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
    /// Calls to be expected; of a write and of deletions, at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<u64>,
    /// Allowances of the account.
    pub limits: Vec<Allowance>,
    /// What else there is to know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
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

/// When records were deleted, both ends included.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PeriodView {
    /// The first instant; none for the beginning of what the CRM keeps, or of the feed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// The last instant; none for the CRM's clock when it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
}

impl From<&DeletedSpan> for PeriodView {
    fn from(span: &DeletedSpan) -> Self {
        match span {
            DeletedSpan::Period { from, to } => Self { from: Some(*from), to: Some(*to) },
            DeletedSpan::Since { from, .. } => Self { from: *from, to: None },
        }
    }
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
        let failure = Failure::new(Class::NotFound, format!("there is no activity \"{}\"", asked.activity));
        let help = suggestion(&asked.activity, workflow.activities.keys().map(String::as_str));
        return Err(help.map_or(failure.clone(), |help| failure.help(help)).into());
    };
    let cx = PlanCx::new(Arc::clone(environment), &workflow, &asked.activity, asked.records);
    let Some(plan) = node.activity.plan(&cx).await? else {
        let message = format!("{} ({}) asks no CRM", asked.activity, node.spec.kind);
        let help = "name an activity that reads from a CRM or writes to one";
        return Err(Failure::new(Class::Config, message).help(help).into());
    };
    let mut told = of_plan(&cx, plan).await?;
    told.activity.clone_from(&asked.activity);
    match cx.crm(&told.account)?.limits().await {
        Ok(limits) => told.limits = limits,
        Err(failure) => told.unknown.push(format!("the account's limits: {failure}")),
    }
    Ok(told)
}

async fn of_plan(cx: &PlanCx, plan: Plan) -> Result<Explained, Failure> {
    let words = |rules: Vec<&str>| rules.into_iter().map(str::to_owned).collect();
    Ok(match plan {
        Plan::Read { account, read, filter, rules, parts_max, notes } => {
            let told = of_read(&*cx.crm(&account)?, &read, parts_max).await?;
            let notes = told.notes.iter().cloned().chain(notes).collect();
            Explained { account, filter, rules: words(rules), notes, ..told }
        }
        Plan::Fetch { account, read, rules } => {
            let crm = cx.crm(&account)?;
            let told = Explained::of("fetch", &*crm, &read.object.name);
            let (records, rules) = (Some(cx.records), words(rules));
            Explained { account, records, rules, ..told }.by(crm.fetch_way(&read, cx.records)?)
        }
        Plan::Deleted { account, read, rules } => {
            let crm = cx.crm(&account)?;
            let told = Explained::of("deleted", &*crm, &read.object.name);
            let (period, rules) = (Some(PeriodView::from(&read.span)), words(rules));
            Explained { account, period, rules, ..told }.by(crm.deleted_way(&read).await?)
        }
        Plan::Write { account, write, compare } => {
            let crm = cx.crm(&account)?;
            let mut told = of_write(&*crm, &write, cx.records)?;
            if let Some(read) = compare {
                let way = crm.fetch_way(&read, cx.records)?;
                told.before.push(way.request);
                told.calls = told.calls.zip(way.calls).map(|(write, read)| write + read);
                told.notes
                    .push("records are read before they are sent; what is the same already is not sent".to_owned());
            }
            Explained { account, ..told }
        }
    })
}

impl Explained {
    fn of(kind: &str, crm: &dyn Crm, object: &str) -> Self {
        let (kind, system, object) = (kind.to_owned(), crm.system().name.to_owned(), object.to_owned());
        Self { kind, system, object, ..Self::default() }
    }

    /// With the way in which it goes.
    fn by(self, way: Way) -> Self {
        let Way { method, before, request, per_call, calls, notes } = way;
        let request = (!request.is_empty()).then_some(request);
        Self { way: Some(method), before, request, per_call: per_call.or(self.per_call), calls, notes, ..self }
    }
}

async fn of_read(crm: &dyn Crm, read: &Read, parts_max: usize) -> Result<Explained, Failure> {
    let query = crm.query(read)?;
    let told = Explained::of("read", crm, &read.object.name);
    let mut told = Explained { sent: query.filter, exact: query.exact, ..told };
    told.window =
        read.window.as_ref().map(|window| WindowView { field: window.field.clone(), from: window.from, to: window.to });
    match crm.count(read).await {
        Ok(Some(records)) => told.records = Some(records),
        Ok(None) => told.unknown.push("how many records: the CRM does not tell".to_owned()),
        Err(failure) => told.unknown.push(format!("how many records: {failure}")),
    }
    let mut part = None;
    if parts_max > 1 {
        match crm.ranges(read, parts_max).await {
            Ok(ranges) => {
                told.ranges = ranges.len() as u64;
                part = ranges.into_iter().next().map(|range| range.field);
            }
            Err(failure) => told.unknown.push(format!("parts to read side by side: {failure}")),
        }
    }
    let way = crm.read_way(read, told.records, told.ranges)?;
    let mut told = told.by(way);
    told.notes.extend(part.map(|field| format!("each part is asked for by a condition on {field} besides")));
    Ok(told)
}

fn of_write(crm: &dyn Crm, write: &Write, records: u64) -> Result<Explained, Failure> {
    let plan = crm.write_plan(write, records)?;
    let per_call = plan.records_max.max(1) as u64;
    let batches = records.div_ceil(per_call);
    let told = Explained {
        records: Some(records),
        per_call: Some(per_call),
        ranges: plan.at_once as u64,
        batches: Some(batches),
        method: Some(plan.method.clone()),
        ..Explained::of("write", crm, &write.object.name)
    };
    Ok(told.by(crm.write_way(write, &plan, batches)))
}
