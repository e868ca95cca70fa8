//! Small questions to the CRM: its clock, and whether the account works, step by step.

use engine::failure::{Class, Failure};
use engine::outside::crm::{Allowance, Step};
use jiff::Timestamp;
use reqwest::header::DATE;
use serde::Deserialize;

use super::metadata;
use super::session::{REQUESTS_LEFT, REQUESTS_MAX, Session, TIME_LEFT, TIME_MAX_S, number};
use crate::http::{Refusal, Reply, Request, date};

/// The clock of the CRM, from the `Date` of a `WhoAmI`; whole seconds.
pub(super) async fn now(session: &Session) -> Result<Timestamp, Failure> {
    let reply = session.get(session.address("WhoAmI")?, None, "asking who we are", &|_| Ok(())).await?;
    date(&reply.headers, DATE).ok_or_else(|| {
        let account = session.account();
        Failure::new(
            Class::Config,
            format!("{account}: the CRM's answers carry no `Date`, so that its clock is not known"),
        )
        .help("a proxy may take the header away; an incremental import needs it")
    })
}

/// What is left of what Dataverse allows one user in five minutes, as far as this environment says it.
pub(super) async fn limits(session: &Session) -> Result<Vec<Allowance>, Failure> {
    let reply = session.get(session.address("WhoAmI")?, None, "asking who we are", &|_| Ok(())).await?;
    let allowance = |name: &str, header: &str, max: u64| {
        let left = number(&reply.headers, header)?.min(max);
        Some(Allowance { name: name.to_owned(), max, left, window: "5 minutes".to_owned() })
    };
    let requests = allowance("Requests", REQUESTS_LEFT, REQUESTS_MAX);
    let time = allowance("ExecutionSeconds", TIME_LEFT, TIME_MAX_S);
    Ok(requests.into_iter().chain(time).collect())
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
        && step("reach the environment", who_am_i(session).await);
    if goes_on {
        step("read the tables' descriptions", descriptions(session).await);
    }
    steps
}

async fn find(session: &Session) -> Result<String, Failure> {
    let (host, port) =
        (session.root.host_str().unwrap_or_default(), session.root.port_or_known_default().unwrap_or(443));
    let account = session.account();
    let unknown = |reason: String| {
        Failure::new(Class::Transient, format!("{account}: the host {host} is not found: {reason}"))
            .help("check the account's `url` for a slip of the pen, and this computer's name service")
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let found = tokio::net::lookup_host((bare, port)).await.map_err(|error| unknown(error.to_string()))?;
    let addresses: Vec<String> = found.map(|address| address.ip().to_string()).collect();
    if addresses.is_empty() { Err(unknown("it has no address".to_owned())) } else { Ok(addresses.join(", ")) }
}

/// Any answer will do: without a token it is a refusal.
async fn connect(session: &Session) -> Result<String, Failure> {
    let any = |_: &Reply| -> Result<(), Refusal> { Ok(()) };
    let reply =
        session.http.send(&Request::get(session.root.clone()), &any).await.map_err(|refusal| refusal.failure)?;
    let how = if session.root.scheme() == "https" { "encrypted" } else { "not encrypted, on this computer" };
    Ok(format!("{how}; answered {}", reply.status.as_u16()))
}

async fn log_in(session: &Session) -> Result<String, Failure> {
    session.login.token(&session.http).await.map(|_| "got a token".to_owned())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WhoAmI {
    user_id: String,
    organization_id: String,
}

async fn who_am_i(session: &Session) -> Result<String, Failure> {
    let who: WhoAmI = session.get_json("WhoAmI", "asking who we are").await?;
    Ok(format!("user {}, organization {}", who.user_id, who.organization_id))
}

async fn descriptions(session: &Session) -> Result<String, Failure> {
    Ok(format!("{} tables", metadata::objects(session).await?.len()))
}
