//! What our own user created in a span of time, to find what became of a request without an answer.

use std::sync::Arc;

use engine::failure::{Class, Failure};
use engine::outside::crm::{Page, Read};
use jiff::Timestamp;
use serde::Deserialize;

use super::fetch;
use super::field;
use super::page::PageDecoder;
use super::query::Plan;
use super::session::Session;
use super::soql::quoted;

/// By whom and when a record was created; every object of an organisation's own data has them.
const BY: &str = "CreatedById";
const AT: &str = "CreatedDate";

#[derive(Deserialize)]
struct Resources {
    identity: String,
}

/// Deleted records are among them: they were created all the same.
pub(super) async fn created(
    session: &Session,
    read: &Read,
    (since, until): (Timestamp, Timestamp),
    most: usize,
) -> Result<Option<Page>, Failure> {
    let is_known = |name: &str| read.object.fields.get(name).is_some_and(|known| field::comparable(known).is_some());
    if !is_known(BY) || !is_known(AT) {
        return Ok(None);
    }
    let read = Read { all: true, ..fetch::bare(read) };
    let plan = Plan::new(session, &read)?;
    // CreatedDate has no fractions of a second.
    let condition =
        format!("{BY} = {} AND {AT} >= {} AND {AT} <= {}", quoted(&user(session).await?), second(since), second(until));
    let soql = format!("{} LIMIT {}", plan.selecting(&plan.select.join(", "), Some(condition)), most.saturating_add(1));
    let decoder = Arc::new(PageDecoder::new(&read, &plan, u32::MAX));
    let what = format!("looking for {} that were created", plan.object);
    let found = fetch::by_address(session, &decoder, plan.address(&soql), &what).await?;
    let page = fetch::page(&read, found)?;
    Ok(Some(page).filter(|page| page.records.num_rows() <= most && page.rejects.is_empty()))
}

fn second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// The id of the user that the token is for.
pub(super) async fn user(session: &Session) -> Result<String, Failure> {
    let resources: Resources = session.get("", "asking who we are").await?;
    let id = resources.identity.rsplit('/').next().and_then(|id| field::id(id).ok());
    id.ok_or_else(|| {
        let message = format!("{}: the organisation does not say who we are", session.account());
        Failure::new(Class::Transient, message)
    })
}
