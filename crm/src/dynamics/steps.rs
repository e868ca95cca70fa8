//! Small questions to the CRM: its clock, and whether the account works, step by step.

use engine::failure::Failure;
use engine::outside::crm::{Allowance, Step};
use engine::words::counted;
use futures::FutureExt;
use jiff::Timestamp;
use serde::Deserialize;

use super::metadata;
use super::session::{REQUESTS_LEFT, REQUESTS_MAX, Session, TIME_LEFT, TIME_MAX_S, number};
use crate::http::{Refusal, Reply, Request};
use crate::steps::{clock, find_host, secrecy, try_in_turn};

/// The answer to a `WhoAmI`. The time in a proxy's answer is not the CRM's.
async fn ask(session: &Session) -> Result<Reply, Failure> {
    const WHAT: &str = "asking who we are";
    let is_own = |reply: &Reply| match serde_json::from_slice::<WhoAmI>(&reply.body) {
        Ok(_) => Ok(()),
        Err(_) => Err(Refusal::from(session.no_sense(WHAT, reply))),
    };
    session.get(session.address("WhoAmI")?, None, WHAT, &is_own).await
}

/// The clock of the CRM, by a `WhoAmI`.
pub(super) async fn now(session: &Session) -> Result<Timestamp, Failure> {
    clock(session.account(), &ask(session).await?)
}

/// What is left of what Dataverse allows one user in five minutes, as far as this environment says it.
pub(super) async fn limits(session: &Session) -> Result<Vec<Allowance>, Failure> {
    let reply = ask(session).await?;
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
    let find = find_host(session.account(), &session.root, "for a slip of the pen");
    try_in_turn([
        ("find the host", find.boxed()),
        ("connect", connect(session).boxed()),
        ("log in", log_in(session).boxed()),
        ("reach the environment", who_am_i(session).boxed()),
        ("read the tables' descriptions", descriptions(session).boxed()),
    ])
    .await
}

/// Any answer will do: without a token it is a refusal.
async fn connect(session: &Session) -> Result<String, Failure> {
    let any = |_: &Reply| -> Result<(), Refusal> { Ok(()) };
    let reply =
        session.http.send(&Request::get(session.root.clone()), &any).await.map_err(|refusal| refusal.failure)?;
    Ok(format!("{}; answered {}", secrecy(&session.root), reply.status.as_u16()))
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

/// The organisation's id, by a `WhoAmI`.
pub(super) async fn organisation(session: &Session) -> Result<String, Failure> {
    let who: WhoAmI = session.get_json("WhoAmI", "asking for the organisation").await?;
    Ok(who.organization_id)
}

/// The id of the user that the token is for, by a `WhoAmI`.
pub(super) async fn user(session: &Session) -> Result<String, Failure> {
    let who: WhoAmI = session.get_json("WhoAmI", "asking who we are").await?;
    Ok(who.user_id.to_ascii_lowercase())
}

async fn who_am_i(session: &Session) -> Result<String, Failure> {
    let who: WhoAmI = session.get_json("WhoAmI", "asking who we are").await?;
    Ok(format!("user {}, organization {}", who.user_id, who.organization_id))
}

async fn descriptions(session: &Session) -> Result<String, Failure> {
    Ok(counted(metadata::objects(session).await?.len(), "table"))
}
