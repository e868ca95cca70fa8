//! The API over HTTP: the same routes for a caller in this process, on the socket, and later on TCP.
//!
//! | Method and path | What |
//! | --- | --- |
//! | `GET /owner` | the process that has the data folder open |
//! | `GET /runs?workflow=&open=&before=&limit=` · `POST /runs` | list the latest runs, or those that are not over · start a workflow |
//! | `GET /runs/{run}` | a run, as `run --json` prints it |
//! | `GET /runs/{run}/journal?from=` | its events from this number on, 1,000 at most |
//! | `GET /runs/{run}/news?from=&waitMs=` | what happened since; waits for something to happen |
//! | `POST /runs/{run}/resume` · `/pause` · `/stop` | tell it to go on, to rest, to end |
//! | `POST /runs/{run}/wakeup?activity=` | end its waits, or those of one activity |
//! | `POST /runs/{run}/restart` | end it and start anew what it began with |
//! | `GET /runs/{run}/populations/{activity}/{port}?task=&limit=` | the first records of a population |
//! | `GET /options` · `GET`, `PUT`, `DELETE /options/{name}` | options |
//! | `POST /accept` | take a data folder, database or account as it is, after a restored backup or a wanted change |
//! | `GET /accounts` · `POST /accounts/{name}/test` | accounts |
//! | `POST /check` | check a workflow against what is known |
//! | `POST /explain` | what an activity would ask of a CRM |
//! | `POST /tables` | make a table of the database, or add columns to one |
//! | `GET /rejects?workflow=&activity=&code=&closed=&limit=` · `GET /rejects/{id}` | rejected records |
//! | `POST /rejects/{id}/settle` | say what became of one in doubt |
//! | `POST /rejects/{id}/correct` · `/rejects/ignore` · `/rejects/resend` | correct one, leave some alone, send some again |
//!
//! A refusal is a status of 400 or above with `{message, help, class, problems}`: 400 what was asked is wrong, 404 nothing has
//! this name, 405 not this method, 409 something changed meanwhile or another run holds the workflow, 413 too large, 422 a
//! workflow with problems or data that does not fit, 502 a CRM refuses us, 503 try again later, 500 a fault of ours.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use engine::accept::Accepted;
use engine::activity::Columns;
use engine::check::Findings;
use engine::describe::Ask;
use engine::document::FILE_BYTES_MAX;
use engine::event::{Recorded, TaskId, Vars};
use engine::failure::{Class, Failure};
use engine::outside::clock;
use engine::outside::crm::Step;
use engine::outside::database::{Extended, NewTable};
use engine::outside::desk::{KeptReject, RejectId, Wanted};
use engine::outside::memory;
use engine::outside::store::{OptionValue, Page, RunFilter, RunId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::explain::{self, Asked, Explained};
use crate::preview::{self, Column, Preview};
use crate::refusal::{ProblemView, Refusal};
use crate::rejects::{Ignore, RejectsView, Resend, Resent};
use crate::service::{Began, News, Service, Submission};
use crate::view::{RunLine, RunView};

/// The largest body of a request: a workflow whose every character is escaped, and what goes around it.
const BODY_BYTES_MAX: usize = 2 * FILE_BYTES_MAX + 64 * 1024;
/// The longest that reading and changing the store may take.
const STORE_TIME_MAX: Duration = Duration::from_secs(60);
/// The longest that asking an account may take.
const ACCOUNT_TIME_MAX: Duration = Duration::from_secs(300);
/// How many runs a list has where the caller says nothing.
pub const RUNS_DEFAULT: usize = 50;
/// How many records a preview has where the caller says nothing.
pub const ROWS_DEFAULT: usize = 20;

/// Bodies, paths and queries that cannot be read are refused as everything else is.
#[derive(FromRequest)]
#[from_request(via(axum::Json), rejection(Refusal))]
struct Json<T>(T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Refusal))]
struct Path<T>(T);

#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Refusal))]
struct Query<T>(T);

type Shared = State<Arc<Service>>;
type Answer<T> = Result<Json<T>, Refusal>;

/// The process that has a data folder open.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnerView {
    /// Its number.
    pub pid: u32,
    /// Its version of Campanile.
    pub version: String,
}

/// An account.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AccountView {
    /// Its name.
    pub name: String,
    /// The system.
    pub system: String,
}

/// The body of a resume.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Resume {
    /// [`Project::identity`](crate::project::Project::identity) of who asks.
    pub identity: String,
    /// Variables of the run to set first, such as `allowDeletes`.
    #[serde(default, skip_serializing_if = "Vars::is_empty")]
    pub vars: Vars,
    /// Whether its waits end too, as when an operator resumes it; not when a process takes it over from one that died.
    #[serde(default)]
    pub wake: bool,
}

/// The body of a restart.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Restart {
    /// [`Project::identity`](crate::project::Project::identity) of who asks.
    pub identity: String,
    /// Also where records that nothing names are made again.
    #[serde(default)]
    pub again: bool,
}

/// The body of a change of an option.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NewValue {
    /// Its new text.
    pub value: String,
}

/// A workflow to check.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Checked {
    /// The workflow's file, for its name and for messages.
    pub file: std::path::PathBuf,
    /// The workflow.
    pub text: String,
}

/// What a check found.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct FindingsView {
    /// What is wrong.
    pub problems: Vec<ProblemView>,
    /// Risks that do not keep it from running.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<ProblemView>,
    /// What could not be checked, and why.
    pub unchecked: Vec<String>,
    /// What a CRM could not be asked although it was to be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unasked: Vec<ProblemView>,
    /// What has changed in the CRM that does no harm to the workflow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The columns that leave each port.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<PortColumns>,
}

/// The columns that leave a port.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PortColumns {
    /// The activity.
    pub activity: String,
    /// Its port.
    pub port: String,
    /// Its columns; none if they depend on something that is not known. A port without records has an empty list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<Column>>,
}

impl std::convert::From<Findings> for FindingsView {
    fn from(found: Findings) -> Self {
        Self {
            problems: found.problems.into_iter().map(ProblemView::from).collect(),
            warnings: found.warnings.into_iter().map(ProblemView::from).collect(),
            unchecked: found.unchecked.into_iter().collect(),
            columns: found.columns.into_iter().map(PortColumns::of).collect(),
            ..Self::default()
        }
    }
}

impl PortColumns {
    fn of(((activity, port), columns): ((String, String), Columns)) -> Self {
        let columns = match columns {
            Columns::None => Some(Vec::new()),
            Columns::Unknown => None,
            Columns::Known(schema) => Some(preview::columns(&schema)),
        };
        Self { activity, port, columns }
    }
}

/// A table to make or to extend.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TableToExtend {
    /// The table.
    pub table: NewTable,
    /// [`Project::identity`](crate::project::Project::identity) of who asks.
    pub identity: String,
}

/// All routes.
pub fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/owner", get(owner))
        .route("/runs", get(runs).post(submit))
        .route("/runs/{run}", get(run))
        .route("/runs/{run}/journal", get(journal))
        .route("/runs/{run}/news", get(news))
        .route("/runs/{run}/resume", post(resume))
        .route("/runs/{run}/restart", post(restart))
        .route("/runs/{run}/wakeup", post(wakeup))
        .route("/runs/{run}/pause", post(pause))
        .route("/runs/{run}/stop", post(stop))
        .route("/runs/{run}/populations/{activity}/{port}", get(look))
        .route("/options", get(options))
        .route("/options/{name}", get(option).put(set_option).delete(remove_option))
        .route("/accept", post(accept))
        .route("/accounts", get(accounts))
        .route("/accounts/{name}/test", post(test_account))
        .route("/check", post(check))
        .route("/explain", post(explain))
        .route("/tables", post(extend_table))
        .route("/rejects", get(rejects))
        .route("/rejects/ignore", post(ignore_rejects))
        .route("/rejects/resend", post(resend_rejects))
        .route("/rejects/{id}", get(reject))
        .route("/rejects/{id}/correct", post(correct_reject))
        .route("/rejects/{id}/settle", post(settle_reject))
        .fallback(unknown)
        .method_not_allowed_fallback(unknown_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(service)
}

/// What this process tells of itself.
pub(crate) fn this_process() -> OwnerView {
    OwnerView { pid: std::process::id(), version: env!("CARGO_PKG_VERSION").to_owned() }
}

async fn unknown() -> Refusal {
    Failure::new(Class::NotFound, "the API has no such path").into()
}

async fn unknown_method() -> (StatusCode, Refusal) {
    (StatusCode::METHOD_NOT_ALLOWED, Failure::new(Class::Config, "this path does not take this method").into())
}

async fn owner() -> Json<OwnerView> {
    Json(this_process())
}

#[derive(Deserialize)]
struct Listed {
    workflow: Option<String>,
    #[serde(default)]
    open: bool,
    before: Option<u64>,
    limit: Option<usize>,
}

async fn runs(State(service): Shared, Query(listed): Query<Listed>) -> Answer<Vec<RunLine>> {
    let Listed { workflow, open, before, limit } = listed;
    let (filter, page) = (RunFilter { workflow, open }, Page { before, limit: limit.unwrap_or(RUNS_DEFAULT) });
    within(STORE_TIME_MAX, service.runs(&filter, page)).await
}

// It asks CRMs, which have their own limits of time.
async fn submit(State(service): Shared, Json(submission): Json<Submission>) -> Answer<Began> {
    service.submit(submission).await.map(Json)
}

async fn run(State(service): Shared, Path(run): Path<String>) -> Answer<RunView> {
    within(STORE_TIME_MAX, service.run(&run_id(&run)?)).await
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct From {
    #[serde(default)]
    from: u64,
    #[serde(default)]
    wait_ms: u64,
}

async fn journal(State(service): Shared, Path(run): Path<String>, Query(query): Query<From>) -> Answer<Vec<Recorded>> {
    within(STORE_TIME_MAX, service.journal(&run_id(&run)?, query.from)).await
}

async fn news(State(service): Shared, Path(run): Path<String>, Query(query): Query<From>) -> Answer<News> {
    let wait = Duration::from_millis(query.wait_ms);
    within(STORE_TIME_MAX, service.news(&run_id(&run)?, query.from, wait)).await
}

async fn resume(State(service): Shared, Path(run): Path<String>, Json(body): Json<Resume>) -> Answer<Began> {
    within(STORE_TIME_MAX, service.resume(&run_id(&run)?, body)).await
}

// It asks CRMs, which have their own limits of time.
async fn restart(State(service): Shared, Path(run): Path<String>, Json(body): Json<Restart>) -> Answer<Began> {
    service.restart(&run_id(&run)?, &body).await.map(Json)
}

async fn pause(State(service): Shared, Path(run): Path<String>) -> Answer<RunView> {
    within(STORE_TIME_MAX, service.pause(&run_id(&run)?)).await
}

#[derive(Deserialize)]
struct Wakeup {
    activity: Option<String>,
}

async fn wakeup(
    State(service): Shared,
    Path(run): Path<String>,
    Query(Wakeup { activity }): Query<Wakeup>,
) -> Answer<RunView> {
    within(STORE_TIME_MAX, service.wakeup(&run_id(&run)?, activity.as_deref())).await
}

async fn stop(State(service): Shared, Path(run): Path<String>) -> Answer<RunView> {
    within(STORE_TIME_MAX, service.stop(&run_id(&run)?)).await
}

#[derive(Deserialize)]
struct Look {
    task: Option<TaskId>,
    limit: Option<usize>,
}

async fn look(
    State(service): Shared,
    Path((run, activity, port)): Path<(String, String, String)>,
    Query(Look { task, limit }): Query<Look>,
) -> Answer<Preview> {
    let wanted = preview::Wanted { activity, port, task, limit: limit.unwrap_or(ROWS_DEFAULT) };
    within(STORE_TIME_MAX, service.preview(&run_id(&run)?, wanted)).await
}

async fn options(State(service): Shared) -> Answer<BTreeMap<String, OptionValue>> {
    within(STORE_TIME_MAX, service.options()).await
}

async fn option(State(service): Shared, Path(name): Path<String>) -> Answer<OptionValue> {
    within(STORE_TIME_MAX, service.option(&name)).await
}

async fn set_option(
    State(service): Shared,
    Path(name): Path<String>,
    Json(new): Json<NewValue>,
) -> Answer<OptionValue> {
    within(STORE_TIME_MAX, service.set_option(&name, new.value)).await
}

async fn remove_option(State(service): Shared, Path(name): Path<String>) -> Answer<OptionValue> {
    within(STORE_TIME_MAX, service.remove_option(&name)).await
}

// It stops runs, which forget what they kept elsewhere.
async fn accept(State(service): Shared, Json(what): Json<Accepted>) -> Answer<Vec<RunId>> {
    within(STORE_TIME_MAX, service.accept(&what)).await
}

async fn accounts(State(service): Shared) -> Json<Vec<AccountView>> {
    Json(account_list(&service.engine))
}

/// The accounts of an engine.
pub fn account_list(engine: &engine::engine::Engine) -> Vec<AccountView> {
    let accounts = engine.environment.accounts.iter();
    accounts.map(|(name, account)| AccountView { name: name.clone(), system: account.system.name.to_owned() }).collect()
}

async fn test_account(State(service): Shared, Path(name): Path<String>) -> Answer<Vec<Step>> {
    let account = service.engine.environment.account(&name)?;
    within(ACCOUNT_TIME_MAX, async { Ok(account.test().await) }).await
}

async fn check(State(service): Shared, Json(checked): Json<Checked>) -> Json<FindingsView> {
    Json(check_workflow(&service.engine, &checked).await)
}

/// Checks a workflow against what is kept of the outside; no CRM is asked.
pub async fn check_workflow(engine: &engine::engine::Engine, checked: &Checked) -> FindingsView {
    let name = checked.file.file_stem().unwrap_or_default().to_string_lossy();
    let (_, found) = engine.check(&checked.file.display().to_string(), &name, &checked.text, Ask::Kept).await;
    found.into()
}

// It asks CRMs, which have their own limits of time.
async fn explain(State(service): Shared, Json(asked): Json<Asked>) -> Answer<Explained> {
    service.same_project(&asked.identity)?;
    explain::explain(&service.engine, &asked).await.map(Json)
}

async fn extend_table(State(service): Shared, Json(wanted): Json<TableToExtend>) -> Answer<Extended> {
    service.same_project(&wanted.identity)?;
    let database = Arc::clone(&service.engine.environment.database);
    within(STORE_TIME_MAX, async { Ok(database.extend(&wanted.table).await?) }).await
}

async fn rejects(State(service): Shared, Query(wanted): Query<Wanted>) -> Answer<RejectsView> {
    within(STORE_TIME_MAX, service.rejects(&wanted)).await
}

async fn reject(State(service): Shared, Path(id): Path<RejectId>) -> Answer<KeptReject> {
    within(STORE_TIME_MAX, service.reject(id)).await
}

async fn correct_reject(
    State(service): Shared,
    Path(id): Path<RejectId>,
    Json(values): Json<Map<String, Value>>,
) -> Answer<KeptReject> {
    within(STORE_TIME_MAX, service.correct(id, &values)).await
}

async fn settle_reject(
    State(service): Shared,
    Path(id): Path<RejectId>,
    Json(answer): Json<memory::Answer>,
) -> Answer<KeptReject> {
    within(STORE_TIME_MAX, service.settle(id, &answer)).await
}

async fn ignore_rejects(State(service): Shared, Json(ignore): Json<Ignore>) -> Answer<Vec<KeptReject>> {
    within(STORE_TIME_MAX, service.ignore(&ignore)).await
}

// It asks CRMs before it starts runs.
async fn resend_rejects(State(service): Shared, Json(resend): Json<Resend>) -> Answer<Resent> {
    service.resend(resend).await.map(Json)
}

fn run_id(text: &str) -> Result<RunId, Refusal> {
    RunId::parse(text).ok_or_else(|| {
        let help =
            "a run is called as its workflow and a number, such as dynamicsImport-7; `campanile runs` lists them";
        Failure::new(Class::Config, format!("\"{text}\" cannot be the name of a run")).help(help).into()
    })
}

async fn within<T>(time: Duration, work: impl Future<Output = Result<T, Refusal>>) -> Answer<T> {
    match clock::within(time, work).await {
        Some(done) => done.map(Json),
        None => {
            let message = format!("it took more than {} seconds", time.as_secs());
            Err(Failure::new(Class::Transient, message).help("try again later").into())
        }
    }
}

#[cfg(test)]
mod tests;
