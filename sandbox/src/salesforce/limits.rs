//! Calls within 24 hours, and long calls at once.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde_json::json;

use super::{
    Settings,
    error::{Error, json_reply},
};
use crate::{reply::Reply, time::DAY};

/// What was used of the limits.
#[derive(Debug, Default)]
pub(crate) struct Usage(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    calls: Rolling,
    bulk_batches: Rolling,
    query_jobs: Rolling,
    /// When each call that is running began, by number.
    running: Vec<(u64, Instant)>,
    begun: u64,
}

/// What was used within the last 24 hours, by the second, so that a busy day needs no room for each call.
#[derive(Debug, Default)]
struct Rolling {
    /// Second since 1970, and how much was used in it; the oldest first.
    seconds: VecDeque<(i64, u64)>,
    used: u64,
}

impl Rolling {
    /// What is older than a day is free again. A clock that was set back forgets nothing.
    fn expire(&mut self, now: i64) {
        while let Some((_, used)) = self.seconds.pop_front_if(|(second, _)| *second <= now - DAY) {
            self.used -= used;
        }
    }

    fn add(&mut self, used: u64, now: i64) {
        self.used += used;
        match self.seconds.back_mut() {
            Some((last, count)) if *last >= now => *count += used,
            _ => self.seconds.push_back((now, used)),
        }
    }

    fn set(&mut self, used: u64, now: i64) {
        *self = Self::default();
        self.add(used, now);
    }
}

/// A call while it runs.
#[derive(Debug)]
pub(crate) struct Running<'a> {
    usage: &'a Usage,
    number: u64,
}

impl Usage {
    /// Counts a call; the value of `Sforce-Limit-Info`.
    pub(super) fn count(&self, settings: &Settings, now: i64) -> Result<String, Error> {
        let mut counts = self.counts(now);
        let limit = |text: &str| Err(Error::new("REQUEST_LIMIT_EXCEEDED", text).status(403));
        if counts.calls.used >= settings.daily_requests {
            return limit("TotalRequests Limit exceeded.");
        }
        let long = Duration::try_from_secs_f64(settings.long_call_seconds).unwrap_or(Duration::MAX);
        let long_calls = counts.running.iter().filter(|(_, since)| since.elapsed() >= long).count();
        if long_calls >= settings.long_calls_max {
            return limit("ConcurrentRequests (Concurrent API Requests) Limit exceeded.");
        }
        counts.calls.add(1, now);
        Ok(format!("api-usage={}/{}", counts.calls.used, settings.daily_requests))
    }

    /// Lets so many calls have been used up just now.
    pub(super) fn set(&self, used: u64, now: i64) {
        self.counts(now).calls.set(used, now);
    }

    /// Calls used up within 24 hours.
    pub(super) fn used(&self, now: i64) -> u64 {
        self.counts(now).calls.used
    }

    /// Counts a batch of rows of an ingest job.
    pub(super) fn count_bulk_batch(&self, now: i64) {
        self.counts(now).bulk_batches.add(1, now);
    }

    /// Counts a query job.
    pub(super) fn count_query_job(&self, now: i64) {
        self.counts(now).query_jobs.add(1, now);
    }

    /// Marks a call as running until the mark is dropped.
    pub(crate) fn begin(&self) -> Running<'_> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.begun += 1;
        let number = counts.begun;
        counts.running.push((number, Instant::now()));
        Running { usage: self, number }
    }

    /// Answers `GET /limits`.
    pub(super) fn limits(&self, settings: &Settings, now: i64) -> Reply {
        let (used, batches, jobs) = {
            let counts = self.counts(now);
            (counts.calls.used, counts.bulk_batches.used, counts.query_jobs.used)
        };
        let limit = |max: u64, used: u64| json!({"Max": max, "Remaining": max.saturating_sub(used)});
        let body = json!({
            "DailyApiRequests": limit(settings.daily_requests, used),
            "DailyAsyncApexExecutions": limit(250_000, 0),
            "DailyBulkApiBatches": limit(15_000, batches),
            "DailyBulkV2QueryFileStorageMB": limit(976_562, 0),
            "DailyBulkV2QueryJobs": limit(10_000, jobs),
            "ConcurrentAsyncGetReportInstances": limit(200, 0),
            "DataStorageMB": limit(10_240, 0),
            "FileStorageMB": limit(10_240, 0),
        });
        json_reply(200, &body)
    }

    fn counts(&self, now: i64) -> std::sync::MutexGuard<'_, Counts> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Counts { calls, bulk_batches, query_jobs, .. } = &mut *counts;
        [calls, bulk_batches, query_jobs].into_iter().for_each(|rolling| rolling.expire(now));
        counts
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut counts = self.usage.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.running.retain(|(number, _)| *number != self.number);
    }
}
