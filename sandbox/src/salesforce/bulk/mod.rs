//! Bulk API 2.0: jobs that read and write many records, worked on by threads of their own.

mod csv;
mod ingest;
mod job;
mod multipart;
mod select;

pub(super) use job::Jobs;

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use serde_json::{Value as Json, json};

use super::{
    Request,
    error::{Error, json_reply},
};
use crate::reply::Reply;
use csv::Format;
use job::{Job, JobState, Work};

/// Bytes of an upload: 150 MB once they are written in base 64.
const UPLOAD_MAX: usize = 150_000_000 / 4 * 3;

/// Characters of an upload that comes together with its job.
const MULTIPART_MAX: usize = 100_000;

/// Rows of results in one answer at most.
const PAGE_ROWS_MAX: usize = 1_000_000;

/// Answers what lies below `/jobs`.
pub(super) fn dispatch(request: &Request<'_>, path: &[&str]) -> Result<Reply, Error> {
    let Some((kind @ (&"ingest" | &"query"), path)) = path.split_first() else {
        return Err(Error::not_found());
    };
    let is_query = *kind == "query";
    match (path, request.call.method.as_str()) {
        ([] | [""], "GET") => Ok(list(request, is_query)),
        ([] | [""], "POST") if is_query => create_query(request),
        ([] | [""], "POST") => create_ingest(request),
        ([id], "GET") => info(request, is_query, id),
        ([id], "PATCH") => change(request, is_query, id),
        ([id], "DELETE") => delete(request, is_query, id),
        ([id, "batches"], "PUT") if !is_query => upload(request, id),
        ([id, "results"], "GET") if is_query => query_results(request, id),
        (
            [id, which @ ("successfulResults" | "failedResults" | "unprocessedrecords" | "unprocessedRecords")],
            "GET",
        ) if !is_query => ingest_results(request, id, which),
        ([_] | [_, _], _) => Err(Error::not_found()),
        _ => Err(Error::usual(405)),
    }
}

fn user(request: &Request<'_>) -> String {
    request.org().sessions().credentials.user.clone()
}

fn not_in_bulk(object: &str) -> Error {
    Error::new("INVALIDENTITY", format!("InvalidEntity : Entity '{object}' is not supported by the Bulk API."))
}

fn invalid_state(text: impl Into<String>) -> Error {
    Error::new("INVALIDJOBSTATE", text)
}

fn format_of(body: &Json) -> Result<Format, Error> {
    if body["contentType"].as_str().is_some_and(|kind| kind != "CSV") {
        return Err(Error::new("INVALIDJOB", "InvalidJob : contentType must be CSV"));
    }
    let text = |name: &str, usual: &'static str| body[name].as_str().unwrap_or(usual).to_owned();
    Format::new(&text("columnDelimiter", "COMMA"), &text("lineEnding", "LF"))
}

fn create_query(request: &Request<'_>) -> Result<Reply, Error> {
    let body: Json = serde_json::from_slice(&request.call.body).map_err(Error::json)?;
    let operation = body["operation"].as_str().unwrap_or("");
    if !matches!(operation, "query" | "queryAll") {
        return Err(Error::new("INVALIDJOB", format!("InvalidJob : {operation} is not query or queryAll")));
    }
    let query = body["query"].as_str().ok_or_else(|| Error::new("INVALIDJOB", "InvalidJob : query is missing"))?;
    let format = format_of(&body)?;
    let (plan, object) = {
        let store = request.store();
        let plan = select::plan(&store, query, request.call.now)?;
        let object = plan.table(&store).object.name;
        if !request.org().settings().is_in_bulk(object) {
            return Err(not_in_bulk(object));
        }
        (plan, object)
    };
    let mut job = Job::new(object, operation, format, request.version, Work::Query, request.call.now);
    job.begin(&request.org().settings(), request.call.now);
    request.org().usage.count_query_job(request.call.now);
    let job = request.org().jobs().add(job);
    let (state, there) = (request.state.clone(), job.clone());
    start(move || select::work(&state, &there, &plan))?;
    Ok(json_reply(200, &job.to_json(&user(request), false)))
}

fn create_ingest(request: &Request<'_>) -> Result<Reply, Error> {
    let content_type = request.call.header("content-type").unwrap_or("");
    let (body, content) = if content_type.starts_with("multipart/form-data") {
        let parts = multipart::parts(content_type, &request.call.body);
        let parts = parts.ok_or_else(|| Error::new("INVALIDJOB", "InvalidJob : the multipart body cannot be read"))?;
        let part = |name: &str| parts.iter().find(|part| part.name == name).map(|part| part.content.clone());
        let job = part("job").ok_or_else(|| Error::new("INVALIDJOB", "InvalidJob : the part job is missing"))?;
        let content =
            part("content").ok_or_else(|| Error::new("INVALIDJOB", "InvalidJob : the part content is missing"))?;
        if String::from_utf8_lossy(&content).chars().count() > MULTIPART_MAX {
            return Err(Error::new(
                "INVALIDJOB",
                format!("InvalidJob : more than {MULTIPART_MAX} characters with a job"),
            ));
        }
        (job, Some(content))
    } else {
        (request.call.body.clone(), None)
    };
    let body: Json = serde_json::from_slice(&body).map_err(Error::json)?;
    let operation = body["operation"].as_str().unwrap_or("");
    if !matches!(operation, "insert" | "update" | "upsert" | "delete" | "hardDelete") {
        return Err(Error::new("INVALIDJOB", format!("InvalidJob : {operation} is no operation of ingest jobs")));
    }
    let object = body["object"].as_str().unwrap_or("");
    let external_id = {
        let store = request.store();
        let is_known = |table: &usize| {
            let object = &store.tables[*table].object;
            object.writable && request.org().settings().is_in_bulk(object.name)
        };
        let table = store.index(object).filter(is_known).ok_or_else(|| not_in_bulk(object))?;
        external_id(&store, table, operation, body["externalIdFieldName"].as_str())?
    };
    let mut job = Job::new(
        object,
        operation,
        format_of(&body)?,
        request.version,
        Work::Ingest(content.clone()),
        request.call.now,
    );
    job.external_id = external_id;
    if content.is_some() {
        job.begin(&request.org().settings(), request.call.now);
    }
    let job = request.org().jobs().add(job);
    if content.is_some() {
        start_ingest(request, &job)?;
    }
    Ok(json_reply(200, &job.to_json(&user(request), false)))
}

/// The field of an upsert.
fn external_id(
    store: &super::store::Store,
    table: usize,
    operation: &str,
    name: Option<&str>,
) -> Result<Option<String>, Error> {
    if operation != "upsert" {
        return Ok(None);
    }
    let name =
        name.ok_or_else(|| Error::new("INVALIDJOB", "InvalidJob : externalIdFieldName is required for upsert"))?;
    let object = &store.tables[table].object;
    let field = object.field(name).map(|index| &object.fields[index]);
    match field.filter(|field| field.external_id || field.kind == super::schema::Kind::Id) {
        Some(field) => Ok(Some(field.name.clone())),
        None => Err(Error::new(
            "INVALIDJOB",
            format!("InvalidJob : Field name provided, {name} does not match an External ID for {}", object.name),
        )),
    }
}

fn start(work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let thread = std::thread::Builder::new().name("sandbox-bulk".into()).spawn(work);
    thread.map(drop).map_err(|_| Error::usual(503))
}

fn start_ingest(request: &Request<'_>, job: &Job) -> Result<(), Error> {
    let (state, job) = (request.state.clone(), job.clone());
    let upload = match &job.work {
        Work::Ingest(upload) => upload.clone().unwrap_or_default(),
        Work::Query => return Ok(()),
    };
    start(move || ingest::work(&state, job, &upload))
}

fn info(request: &Request<'_>, is_query: bool, id: &str) -> Result<Reply, Error> {
    let user = user(request);
    let mut jobs = request.org().jobs();
    let job = jobs.poll(is_query, id, &request.org().settings(), request.call.now)?;
    Ok(json_reply(200, &job.to_json(&user, true)))
}

fn list(request: &Request<'_>, is_query: bool) -> Reply {
    let user = user(request);
    let jobs = request.org().jobs();
    let records: Vec<Json> = jobs.list(is_query).map(|job| job.to_json(&user, false)).collect();
    json_reply(200, &json!({"done": true, "records": records, "nextRecordsUrl": null}))
}

fn upload(request: &Request<'_>, id: &str) -> Result<Reply, Error> {
    if !request.call.header("content-type").is_some_and(|kind| kind.starts_with("text/csv")) {
        return Err(Error::usual(415));
    }
    if request.call.body.len() > UPLOAD_MAX {
        return Err(Error::usual(413));
    }
    let mut jobs = request.org().jobs();
    let job = jobs.get(false, id, &request.org().settings(), request.call.now)?;
    let (JobState::Open, Work::Ingest(upload)) = (job.state, &mut job.work) else {
        return Err(invalid_state("Data can be uploaded to an open job only"));
    };
    if upload.is_some() {
        return Err(invalid_state(format!(
            "Found multiple contents for job: <{id}>, please 'Close' / 'Abort' / 'Delete' the current Job then create a new Job and make sure you only do 'PUT' once on a given Job."
        )));
    }
    *upload = Some(request.call.body.clone());
    Ok(Reply::empty(201))
}

fn change(request: &Request<'_>, is_query: bool, id: &str) -> Result<Reply, Error> {
    let body: Json = serde_json::from_slice(&request.call.body).map_err(Error::json)?;
    let settings = request.org().settings();
    let user = user(request);
    let mut jobs = request.org().jobs();
    let job = jobs.get(is_query, id, &settings, request.call.now)?;
    match (body["state"].as_str().unwrap_or(""), job.state) {
        ("UploadComplete", JobState::Open) => {
            job.begin(&settings, request.call.now);
            let there = job.clone();
            let shown = job.to_json(&user, false);
            drop(jobs);
            start_ingest(request, &there)?;
            Ok(json_reply(200, &shown))
        }
        ("Aborted", state) if !state.is_end() => {
            job.abort(request.call.now);
            Ok(json_reply(200, &job.to_json(&user, false)))
        }
        (wanted @ ("UploadComplete" | "Aborted"), _) => {
            Err(invalid_state(format!("The job's state does not allow to change it to {wanted}")))
        }
        (other, _) => Err(Error::new("INVALIDJOB", format!("InvalidJob : {other} is no state that a client can set"))),
    }
}

fn delete(request: &Request<'_>, is_query: bool, id: &str) -> Result<Reply, Error> {
    let mut jobs = request.org().jobs();
    let job = jobs.get(is_query, id, &request.org().settings(), request.call.now)?;
    if !job.state.is_end() {
        return Err(invalid_state("Only a job that is complete, failed or aborted can be deleted"));
    }
    let id = job.id.clone();
    jobs.remove(&id);
    Ok(Reply::empty(204))
}

/// A job whose results can be read at this version.
fn with_results(request: &Request<'_>, is_query: bool, id: &str) -> Result<Job, Error> {
    let mut jobs = request.org().jobs();
    let job = jobs.get(is_query, id, &request.org().settings(), request.call.now)?;
    if job.version != request.version {
        let text = format!("The job was created with version {}, not {}", job.version, request.version);
        return Err(Error::new("API_VERSION_MISMATCH", text).status(409));
    }
    Ok(job.clone())
}

fn csv_reply(body: Vec<u8>) -> Reply {
    Reply { body, ..Reply::empty(200) }.header("Content-Type", "text/csv")
}

fn query_results(request: &Request<'_>, id: &str) -> Result<Reply, Error> {
    let job = with_results(request, true, id)?;
    let selection = job.progress.lock().selection.clone().filter(|_| job.state == JobState::JobComplete);
    let selection = selection.ok_or_else(|| invalid_state("The results are not available: the job is not complete"))?;
    let usual = request.org().settings().bulk_page_rows;
    let max = match request.call.option("maxRecords") {
        Some(text) => {
            text.parse().map_err(|_| Error::new("INVALID_ARGUMENT", format!("maxRecords is no number: {text}")))?
        }
        None => usual,
    };
    let from = match request.call.option("locator").filter(|text| !text.is_empty()) {
        Some(text) => offset_of(&text).filter(|at| *at < selection.len()).ok_or_else(super::cursor::lost)?,
        None => 0,
    };
    let to = selection.len().min(from + max.clamp(1, PAGE_ROWS_MAX));
    let body = selection.page(&request.store(), job.format, from, to);
    // The word for no further page is a text as well.
    let next = if to < selection.len() { STANDARD_NO_PAD.encode(to.to_string()) } else { "null".to_owned() };
    let count = (to - from).to_string();
    Ok(csv_reply(body).header("Sforce-NumberOfRecords", count).header("Sforce-Locator", next))
}

fn offset_of(locator: &str) -> Option<usize> {
    let bytes = STANDARD_NO_PAD.decode(locator.trim_end_matches('=')).ok()?;
    String::from_utf8(bytes).ok()?.parse().ok()
}

fn ingest_results(request: &Request<'_>, id: &str, which: &str) -> Result<Reply, Error> {
    let job = with_results(request, false, id)?;
    if !job.state.is_end() {
        return Err(invalid_state("The results are not available: the job is not complete"));
    }
    let prefix = {
        let store = request.store();
        store.index(&job.object).map_or("000", |table| store.tables[table].object.prefix)
    };
    let upload = match &job.work {
        Work::Ingest(upload) => upload.clone().unwrap_or_default(),
        Work::Query => return Err(Error::not_found()),
    };
    Ok(csv_reply(ingest::results(&job, prefix, &upload, which)))
}
