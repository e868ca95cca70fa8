//! Faults on demand: what a test asks to go wrong, where, how often and until when.

use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::random::{fraction, mix};

/// What a request asks for, as faults and the log name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Route {
    /// A token.
    Token,
    /// Who the caller is.
    Whoami,
    /// Descriptions of tables and columns.
    #[serde(alias = "describe")]
    Metadata,
    /// The first page of a query, or a count.
    Query,
    /// A further page of a query.
    Page,
    /// One record by its key.
    Record,
    /// A create, update or delete.
    Write,
    /// Several operations in one request (`$batch`).
    Batch,
    /// Many records in one operation (`CreateMultiple` and its like).
    Bulk,
    /// One operation of a batch, one record of a bulk operation. `any` does not mean these.
    Part,
    /// What was changed or deleted in a span of time.
    Replication,
    /// Something else in the CRM's protocol.
    Other,
    /// Every one of these (of a fault only).
    #[default]
    Any,
}

/// A fault. A request that matches counts; the fault fires after `skip` matches, `times` times, before `until`, and then
/// with `probability`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Fault {
    /// Requests that it is for.
    pub route: Route,
    /// Only requests whose path, query or body contains this text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub containing: Option<String>,
    /// Matching requests that it lets pass first.
    pub skip: u64,
    /// How often it fires at most; without it, for ever.
    pub times: Option<u64>,
    /// The share of requests on which it fires, 0 to 1; without it, all.
    pub probability: Option<f64>,
    /// The seed of that chance.
    pub seed: u64,
    /// It fires only before this time of the sandbox's clock.
    #[schemars(with = "Option<String>")]
    pub until: Option<Timestamp>,
    /// Answer with this status and do nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The error's code; without it, the usual one of the status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The error's message; without it, the usual one of the status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// A `Retry-After` header: seconds, or an HTTP date as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<RetryAfter>,
    /// Answer with this text instead (with `status`, or 200) and do nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The type of that text; without it `text/html`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Send the answer's head and so many bytes of its body, then cut the connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut_after_bytes: Option<usize>,
    /// Do what was asked, then cut the connection without any answer.
    pub cut_after_commit: bool,
    /// Wait so many real milliseconds before the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// Send the body no faster than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<u64>,
    /// Let the next link lead to this host (with port, if any).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_link_host: Option<String>,
    /// Let the next link lead to the page just sent.
    pub repeat_page: bool,
    /// Change or delete these records right before the request is answered, such as between two pages.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<Edit>,
}

/// A record that somebody else changes or deletes at the worst of times.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// Its set, such as `contacts`.
    pub set: String,
    /// Its id.
    pub id: String,
    /// Fields to change, as for `PUT /admin/records`; without them the record is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<serde_json::Value>,
}

/// The value of a `Retry-After` header.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum RetryAfter {
    /// Seconds from now.
    Seconds(u64),
    /// The header's text, such as an HTTP date.
    Text(String),
}

/// A fault and what it did.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FaultReport {
    /// Its number, from 1.
    pub number: u64,
    /// How many requests matched it.
    pub matched: u64,
    /// How often it fired.
    pub fired: u64,
    /// The fault.
    pub fault: Fault,
}

/// All faults asked for.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    reports: Vec<FaultReport>,
    given: u64,
}

/// Faults that a sandbox holds at most.
const FAULTS_MAX: usize = 1_000;

impl Fault {
    /// Why this fault makes no sense, if it does not.
    fn problem(&self) -> Option<String> {
        let acts = self.status.is_some()
            || self.body.is_some()
            || self.cut_after_bytes.is_some()
            || self.cut_after_commit
            || self.delay_ms.is_some()
            || self.bytes_per_second.is_some()
            || self.next_link_host.is_some()
            || self.repeat_page
            || !self.before.is_empty();
        if !acts {
            return Some("a fault needs one of status, body, cutAfterBytes, cutAfterCommit, delayMs, bytesPerSecond, nextLinkHost, repeatPage, before".into());
        }
        if self.status.is_some_and(|status| !(200..600).contains(&status)) {
            return Some("status must be from 200 to 599".into());
        }
        if self.bytes_per_second == Some(0) {
            return Some("bytesPerSecond must be at least 1".into());
        }
        if self.probability.is_some_and(|probability| !(0.0..=1.0).contains(&probability)) {
            return Some("probability must be from 0 to 1".into());
        }
        None
    }

    /// True if the request is answered by the fault alone, and nothing is done.
    pub(crate) fn is_answer(&self) -> bool {
        self.status.is_some() || self.body.is_some()
    }
}

/// How long faults hold up an answer, all of them together.
pub(crate) fn delay<'a>(faults: impl IntoIterator<Item = &'a Fault>) -> Duration {
    let delays = faults.into_iter().filter_map(|fault| fault.delay_ms).map(Duration::from_millis);
    delays.fold(Duration::ZERO, Duration::saturating_add)
}

impl Faults {
    /// Adds a fault and returns its number.
    pub(crate) fn add(&mut self, fault: Fault) -> Result<u64, String> {
        if let Some(problem) = fault.problem() {
            return Err(problem);
        }
        if self.reports.len() >= FAULTS_MAX {
            return Err(format!("there are {FAULTS_MAX} faults already: DELETE /admin/faults first"));
        }
        self.given += 1;
        self.reports.push(FaultReport { number: self.given, matched: 0, fired: 0, fault });
        Ok(self.given)
    }

    /// The faults with how often each fired.
    pub(crate) fn reports(&self) -> Vec<FaultReport> {
        self.reports.clone()
    }

    /// Whether there is a fault for this route and no other.
    pub(crate) fn any_of(&self, route: Route) -> bool {
        self.reports.iter().any(|report| report.fault.route == route)
    }

    /// Takes all faults back.
    pub(crate) fn clear(&mut self) {
        self.reports.clear();
    }

    /// The faults that fire on a request, in the order in which they were given; none after one that answers.
    pub(crate) fn fire(&mut self, route: Route, now: i64, contains: impl Fn(&str) -> bool) -> Vec<(u64, Fault)> {
        self.fire_of(route, now, contains, |_| true)
    }

    /// The fault that answers for a row, of those that answer.
    pub(crate) fn fire_answer(&mut self, route: Route, now: i64, contains: impl Fn(&str) -> bool) -> Option<Fault> {
        self.fire_of(route, now, contains, Fault::is_answer).pop().map(|(_, fault)| fault)
    }

    fn fire_of(
        &mut self,
        route: Route,
        now: i64,
        contains: impl Fn(&str) -> bool,
        of: impl Fn(&Fault) -> bool,
    ) -> Vec<(u64, Fault)> {
        let mut fired = Vec::new();
        for report in self.reports.iter_mut().filter(|report| of(&report.fault)) {
            let fault = &report.fault;
            let matches = (fault.route == route || fault.route == Route::Any && route != Route::Part)
                && fault.until.is_none_or(|until| now < until.as_second())
                && fault.containing.as_deref().is_none_or(&contains);
            if !matches {
                continue;
            }
            report.matched += 1;
            let chance = fraction(mix(fault.seed, report.matched));
            if report.matched <= fault.skip
                || fault.times.is_some_and(|times| report.fired >= times)
                || fault.probability.is_some_and(|probability| chance >= probability)
            {
                continue;
            }
            report.fired += 1;
            fired.push((report.number, fault.clone()));
            if fault.is_answer() {
                break;
            }
        }
        fired
    }
}
