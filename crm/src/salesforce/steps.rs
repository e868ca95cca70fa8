//! Small questions to Salesforce: its clock, and whether the account works, step by step.

use engine::failure::{Class, Failure};
use engine::outside::crm::{Allowance, Step};
use jiff::Timestamp;
use reqwest::header::DATE;
use serde::Deserialize;

use super::describe;
use super::session::{Ask, Session, any};
use crate::http::{Refusal, Reply, Request, date};

/// The clock of the CRM, from the `Date` of an answer; whole seconds.
pub(super) async fn now(session: &Session) -> Result<Timestamp, Failure> {
    let reply = session.send(&Ask::get("limits"), "asking for the time", &any).await?;
    date(&reply.headers, DATE).ok_or_else(|| {
        let account = session.account();
        Failure::new(
            Class::Config,
            format!("{account}: the CRM's answers carry no `Date`, so that its clock is not known"),
        )
        .help("a proxy may take the header away; an incremental import needs it")
    })
}

/// Allowances, those of requests and bulk jobs first.
pub(super) async fn limits(session: &Session) -> Result<Vec<Allowance>, Failure> {
    let all = session.limits().await?;
    let mut allowances: Vec<Allowance> = all.iter().filter_map(|(name, limit)| limit.allowance(name)).collect();
    let first = ["DailyApiRequests", "DailyBulkApiBatches", "DailyBulkV2QueryJobs", "DailyBulkV2QueryFileStorageMB"];
    allowances.sort_by_key(|allowance| first.iter().position(|name| *name == allowance.name).unwrap_or(first.len()));
    Ok(allowances)
}

/// Tries the account from the outside in, and stops at the first step that fails.
pub(super) async fn test(session: &Session) -> Vec<Step> {
    let mut steps = Vec::with_capacity(5);
    let mut step = |name: &str, result: Result<String, Failure>| {
        let goes_on = result.is_ok();
        steps.push(Step { name: name.to_owned(), result });
        goes_on
    };
    let goes_on = step("find the host", find(session).await)
        && step("connect", connect(session).await)
        && step("log in", log_in(session).await)
        && step("use the API", requests(session).await);
    if goes_on {
        step("read the objects' descriptions", descriptions(session).await);
    }
    steps
}

async fn find(session: &Session) -> Result<String, Failure> {
    let (host, port) =
        (session.root.host_str().unwrap_or_default(), session.root.port_or_known_default().unwrap_or(443));
    let account = session.account();
    let unknown = |reason: String| {
        Failure::new(Class::Transient, format!("{account}: the host {host} is not found: {reason}"))
            .help("check the account's `url` (Setup, My Domain), and this computer's name service")
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let found = tokio::net::lookup_host((bare, port)).await.map_err(|error| unknown(error.to_string()))?;
    let addresses: Vec<String> = found.map(|address| address.ip().to_string()).collect();
    if addresses.is_empty() { Err(unknown("it has no address".to_owned())) } else { Ok(addresses.join(", ")) }
}

#[derive(Deserialize)]
struct Version {
    version: String,
}

/// The list of versions needs no login.
async fn connect(session: &Session) -> Result<String, Failure> {
    let accept = |_: &Reply| -> Result<(), Refusal> { Ok(()) };
    let url = session.root.join("/services/data/").map_err(|error| Failure::internal(error.to_string()))?;
    let reply = session.http.send(&Request::get(url), &accept).await.map_err(|refusal| refusal.failure)?;
    let how = if session.root.scheme() == "https" { "encrypted" } else { "not encrypted, on this computer" };
    let Ok(versions) = serde_json::from_slice::<Vec<Version>>(&reply.body) else {
        return Ok(format!("{how}; answered {}", reply.status.as_u16()));
    };
    if versions.iter().any(|known| session.version == format!("v{}", known.version)) {
        return Ok(format!("{how}; knows API {}", session.version));
    }
    let newest = versions.last().map_or("", |version| version.version.as_str());
    let message = format!("{}: the organisation does not know API {}", session.account(), session.version);
    Err(Failure::new(Class::Config, message).help(format!("set `apiVersion` to v{newest} or an earlier one")))
}

async fn log_in(session: &Session) -> Result<String, Failure> {
    let token = session.login.token(&session.http).await?;
    Ok(format!("got a token for {}", token.instance.host_str().unwrap_or_default()))
}

async fn requests(session: &Session) -> Result<String, Failure> {
    let of_the_day = limits(session).await?.into_iter().find(|allowance| allowance.name == "DailyApiRequests");
    Ok(of_the_day.map_or_else(
        || "it answers".to_owned(),
        |Allowance { left, max, .. }| format!("{left} of {max} requests of the day are left"),
    ))
}

async fn descriptions(session: &Session) -> Result<String, Failure> {
    Ok(format!("{} objects", describe::objects(session).await?.len()))
}
