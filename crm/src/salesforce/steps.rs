//! Small questions to Salesforce: its clock, and whether the account works, step by step.

use engine::failure::{Class, Failure};
use engine::outside::crm::{Allowance, Step};
use engine::words::counted;
use futures::FutureExt;
use jiff::Timestamp;
use serde::Deserialize;

use super::describe;
use super::quota::REQUESTS_A_DAY;
use super::session::{Ask, Session};
use crate::http::{Refusal, Repeat, Reply, Request};
use crate::steps::{clock, find_host, secrecy, try_in_turn};

/// The clock of the CRM, by a question that any user may ask.
pub(super) async fn now(session: &Session) -> Result<Timestamp, Failure> {
    const WHAT: &str = "asking for the time";
    // The time in a proxy's answer is not Salesforce's.
    let is_own = |reply: &Reply| session.require_json(WHAT, reply);
    let reply = session.send(&Ask::get("limits"), WHAT, &is_own).await?;
    clock(session.account(), &reply)
}

/// Allowances, those of requests and bulk jobs first.
pub(super) async fn limits(session: &Session) -> Result<Vec<Allowance>, Failure> {
    let all = session.limits().await?;
    let mut allowances: Vec<Allowance> = all.iter().filter_map(|(name, limit)| limit.allowance(name)).collect();
    let first = [REQUESTS_A_DAY, "DailyBulkApiBatches", "DailyBulkV2QueryJobs", "DailyBulkV2QueryFileStorageMB"];
    allowances.sort_by_key(|allowance| first.iter().position(|name| *name == allowance.name).unwrap_or(first.len()));
    Ok(allowances)
}

/// Tries the account from the outside in, and stops at the first step that fails.
pub(super) async fn test(session: &Session) -> Vec<Step> {
    let find = find_host(session.account(), &session.root, "(Setup, My Domain)");
    try_in_turn([
        ("find the host", find.boxed()),
        ("connect", connect(session).boxed()),
        ("log in", log_in(session).boxed()),
        ("use the API", requests(session).boxed()),
        ("read the objects' descriptions", descriptions(session).boxed()),
    ])
    .await
}

#[derive(Deserialize)]
struct Version {
    version: String,
}

/// The list of versions needs no login.
async fn connect(session: &Session) -> Result<String, Failure> {
    let accept = |_: &Reply| -> Result<(), Refusal> { Ok(()) };
    let url = session.root.join("/services/data/").map_err(|error| Failure::internal(error.to_string()))?;
    let request = Request { repeat: Repeat::UnlessSpent, ..Request::get(url) };
    let reply = session.http.send(&request, &accept).await.map_err(|refusal| refusal.failure)?;
    let how = secrecy(&session.root);
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
    let of_the_day = limits(session).await?.into_iter().find(|allowance| allowance.name == REQUESTS_A_DAY);
    match of_the_day {
        None => Ok("it answers".to_owned()),
        Some(Allowance { left: 0, max, .. }) => {
            let message = format!("{}: none of the {max} requests of the day is left", session.account());
            Err(Failure::new(Class::Quota, message).help("they come back within 24 hours, little by little"))
        }
        Some(Allowance { left, max, .. }) => Ok(format!("{left} of {max} requests of the day are left")),
    }
}

async fn descriptions(session: &Session) -> Result<String, Failure> {
    Ok(counted(describe::objects(session).await?.len(), "object"))
}
