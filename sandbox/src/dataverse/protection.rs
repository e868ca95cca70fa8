//! Service protection: how much a user may ask for within five minutes, and how much at once.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::error::{
    Error,
    code::{CONCURRENCY, EXECUTION, REQUESTS},
};

/// Length of the window in seconds, as documented.
const WINDOW_SECONDS: u64 = 300;

/// Seconds to wait after too many requests at once.
const CONCURRENCY_WAIT: u64 = 2;

/// What a user may ask for. Each limit is off where it is not given.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// Requests within the window; the platform has 6,000.
    pub requests: Option<u64>,
    /// Time of all requests within the window, in milliseconds; the platform has 1,200,000.
    pub execution_ms: Option<u64>,
    /// Requests at once; the platform has 52.
    pub concurrency: Option<u64>,
    /// Length of the window in seconds.
    pub window_seconds: u64,
    /// The window moves with real time and not with the sandbox's clock.
    pub real_time: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { requests: None, execution_ms: None, concurrency: None, window_seconds: WINDOW_SECONDS, real_time: false }
    }
}

/// The limits and what each user has used of them.
#[derive(Debug)]
pub(crate) struct Protection {
    limits: Limits,
    started: Instant,
    users: HashMap<String, Usage>,
}

#[derive(Debug, Default)]
struct Usage {
    running: u64,
    /// When each request of the window began, in seconds, and how long it took.
    requests: VecDeque<(i64, Duration)>,
    /// Requests refused since the last one admitted.
    refused: u64,
}

impl Protection {
    /// Without limits.
    pub(crate) fn new() -> Self {
        Self { limits: Limits::default(), started: Instant::now(), users: HashMap::new() }
    }

    /// The limits.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Sets other limits; what was used is forgotten, but for the requests that run.
    pub(crate) fn set(&mut self, limits: Limits) {
        self.limits = limits;
        for usage in self.users.values_mut() {
            usage.requests.clear();
            usage.refused = 0;
        }
    }

    fn is_on(&self) -> bool {
        self.limits.requests.is_some() || self.limits.execution_ms.is_some() || self.limits.concurrency.is_some()
    }

    /// Lets a request begin, or says how long its user must wait.
    pub(crate) fn admit(&mut self, user: &str, now: i64) -> Result<(), Error> {
        let is_on = self.is_on();
        let now = self.seconds(now);
        let limits = self.limits.clone();
        let window = i64::try_from(limits.window_seconds).unwrap_or(i64::MAX);
        let usage = self.users.entry(user.to_owned()).or_default();
        if is_on {
            while usage.requests.front().is_some_and(|(at, _)| *at <= now - window) {
                usage.requests.pop_front();
            }
            if let Some(error) = usage.excess(&limits) {
                usage.refused += 1;
                let wait = usage.requests.front().map_or(1, |(at, _)| (at + window - now).max(1));
                let wait = u64::try_from(wait).unwrap_or(1);
                // Whoever pushes on waits longer.
                let wait = (wait + usage.refused - 1).min(limits.window_seconds);
                let is_concurrency = error.code == CONCURRENCY;
                let wait = if is_concurrency { CONCURRENCY_WAIT + usage.refused - 1 } else { wait };
                return Err(Error { retry_after: Some(wait.to_string()), ..error });
            }
            usage.requests.push_back((now, Duration::ZERO));
        }
        usage.refused = 0;
        usage.running += 1;
        Ok(())
    }

    /// A request that was let begin has ended.
    pub(crate) fn finish(&mut self, user: &str, took: Duration) {
        let Some(usage) = self.users.get_mut(user) else {
            return;
        };
        usage.running = usage.running.saturating_sub(1);
        // Which of the window's requests it was makes no difference to their sum.
        if let Some((_, time)) = usage.requests.back_mut() {
            *time += took;
        }
    }

    /// The headers that tell a user what is left, once there are limits.
    pub(crate) fn headers(&self, user: &str) -> Vec<(&'static str, String)> {
        let (Some(usage), true) = (self.users.get(user), self.is_on()) else {
            return Vec::new();
        };
        let mut headers = Vec::new();
        if let Some(limit) = self.limits.requests {
            let left = limit.saturating_sub(usage.count());
            headers.push(("x-ms-ratelimit-burst-remaining-xrm-requests", left.to_string()));
        }
        if let Some(limit) = self.limits.execution_ms {
            let left = Duration::from_millis(limit).saturating_sub(usage.time());
            let whole = super::render::grouped(&left.as_secs().to_string());
            let seconds = format!("{whole}.{:02}", left.subsec_millis() / 10);
            headers.push(("x-ms-ratelimit-time-remaining-xrm-requests", seconds));
        }
        headers
    }

    fn seconds(&self, now: i64) -> i64 {
        if self.limits.real_time { i64::try_from(self.started.elapsed().as_secs()).unwrap_or(i64::MAX) } else { now }
    }
}

impl Usage {
    fn count(&self) -> u64 {
        u64::try_from(self.requests.len()).unwrap_or(u64::MAX)
    }

    fn time(&self) -> Duration {
        self.requests.iter().map(|(_, took)| *took).sum()
    }

    /// The limit that one more request would break.
    fn excess(&self, limits: &Limits) -> Option<Error> {
        let window = limits.window_seconds;
        if let Some(limit) = limits.concurrency.filter(|limit| self.running >= *limit) {
            let message = format!("Number of concurrent requests exceeded the limit of {limit}.");
            return Some(Error::new(429, CONCURRENCY, message));
        }
        if let Some(limit) = limits.requests.filter(|limit| self.count() >= *limit) {
            let message =
                format!("Number of requests exceeded the limit of {limit} over time window of {window} seconds.");
            return Some(Error::new(429, REQUESTS, message));
        }
        let limit = limits.execution_ms.filter(|limit| self.time() >= Duration::from_millis(*limit))?;
        let limit = super::render::grouped(&limit.to_string());
        let message = format!(
            "Combined execution time of incoming requests exceeded limit of {limit} milliseconds over time window of {window} seconds. Decrease number of concurrent requests or reduce the duration of requests and try again later."
        );
        Some(Error::new(429, EXECUTION, message))
    }
}
