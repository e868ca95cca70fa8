//! Small questions that every CRM is asked alike: its clock, and whether the account works, step by step.

use engine::failure::{Class, Failure};
use engine::outside::crm::Step;
use futures::future::BoxFuture;
use jiff::Timestamp;
use reqwest::header::DATE;
use url::Url;

use crate::http::{Reply, date};

/// The clock of the CRM, from the `Date` of an answer; whole seconds.
pub(crate) fn clock(account: &str, reply: &Reply) -> Result<Timestamp, Failure> {
    date(&reply.headers, DATE).ok_or_else(|| {
        Failure::new(
            Class::Config,
            format!("{account}: the CRM's answers carry no `Date`, so that its clock is not known"),
        )
        .help("a proxy may take the header away; an incremental import needs it")
    })
}

/// A step by its name; nothing happens before its turn.
pub type Trial<'a> = (&'static str, BoxFuture<'a, Result<String, Failure>>);

/// Takes the steps in turn, and stops at the first one that fails.
pub async fn try_in_turn(trials: impl IntoIterator<Item = Trial<'_>>) -> Vec<Step> {
    let mut steps = Vec::new();
    for (name, trial) in trials {
        let result = trial.await;
        let is_end = result.is_err();
        steps.push(Step { name: name.to_owned(), result });
        if is_end {
            break;
        }
    }
    steps
}

/// The addresses of the account's host; `url_help` says where its name is found in the CRM.
pub(crate) async fn find_host(account: &str, root: &Url, url_help: &str) -> Result<String, Failure> {
    let (host, port) = (root.host_str().unwrap_or_default(), root.port_or_known_default().unwrap_or(443));
    let unknown = |reason: String| {
        Failure::new(Class::Transient, format!("{account}: the host {host} is not found: {reason}"))
            .help(format!("check the account's `url` {url_help}, and this computer's DNS"))
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let found = tokio::net::lookup_host((bare, port)).await.map_err(|error| unknown(error.to_string()))?;
    let addresses: Vec<String> = found.map(|address| address.ip().to_string()).collect();
    if addresses.is_empty() { Err(unknown("it has no address".to_owned())) } else { Ok(addresses.join(", ")) }
}

/// How what is sent to this address is kept from others.
pub fn secrecy(root: &Url) -> &'static str {
    if root.scheme() == "https" { "encrypted" } else { "not encrypted, on this computer" }
}
