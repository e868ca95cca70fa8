//! How much of the day's requests is used up, by whomever, and the share that Campanile leaves alone.

use std::sync::atomic::{AtomicU64, Ordering};

use engine::failure::{Class, Failure};
use engine::outside::crm::Allowance;
use reqwest::header::HeaderMap;
use serde::Deserialize;

use crate::http::Span;

const HEADER: &str = "sforce-limit-info";

/// The share of the day's requests of one organisation that may be used.
#[derive(Debug)]
pub(super) struct Quota {
    pub(super) percent: u8,
    pub(super) check: Span,
    pub(super) wait_max: Span,
    used: AtomicU64,
    max: AtomicU64,
}

impl Quota {
    pub(super) fn new(percent: u8, check: Span, wait_max: Span) -> Self {
        Self { percent: percent.clamp(1, 100), check, wait_max, used: AtomicU64::new(0), max: AtomicU64::new(0) }
    }

    /// Takes note of what an answer says.
    pub(super) fn saw(&self, headers: &HeaderMap) {
        let text = headers.get(HEADER).and_then(|value| value.to_str().ok());
        if let Some((used, max)) = text.and_then(usage) {
            self.used.store(used, Ordering::Relaxed);
            self.max.store(max, Ordering::Relaxed);
        }
    }

    /// Takes note that Salesforce itself says that nothing is left.
    pub(super) fn ran_out(&self) {
        self.used.store(u64::MAX, Ordering::Relaxed);
        self.max.fetch_max(1, Ordering::Relaxed);
    }

    /// Whether the share is used up.
    pub(super) fn is_spent(&self) -> bool {
        let (used, max) = (self.used.load(Ordering::Relaxed), self.max.load(Ordering::Relaxed));
        max > 0 && used >= max.saturating_mul(u64::from(self.percent)) / 100
    }

    /// What is said after waiting in vain.
    pub(super) fn failure(&self, account: &str) -> Failure {
        let percent = self.percent;
        let message = match self.used.load(Ordering::Relaxed) {
            u64::MAX => format!("{account}: the organisation's requests of the day are used up"),
            used => {
                let max = self.max.load(Ordering::Relaxed);
                format!(
                    "{account}: {used} of the organisation's {max} requests of the day are used, {percent} % may be"
                )
            }
        };
        let mut failure = Failure::new(Class::Quota, message)
            .help("resume the run when the allowance has come back, or set `quotaPercent` higher in the account")
            .code("REQUEST_LIMIT_EXCEEDED");
        failure.retry_after_s = Some(self.check.0.as_secs());
        failure
    }
}

/// `api-usage=18/5000`, with or without `; per-app-api-usage=17/250(appName=x)`.
fn usage(text: &str) -> Option<(u64, u64)> {
    let part = text.split([';', ',']).find_map(|part| part.trim().strip_prefix("api-usage="))?;
    let (used, max) = part.trim().split_once('/')?;
    Some((used.trim().parse().ok()?, max.trim().parse().ok()?))
}

/// One line of `/limits`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Limit {
    max: i64,
    remaining: i64,
}

impl Limit {
    /// As it is shown.
    pub(super) fn allowance(&self, name: &str) -> Option<Allowance> {
        let max = u64::try_from(self.max).ok().filter(|max| *max > 0)?;
        let window = match name {
            _ if name.starts_with("Daily") => "24 hours",
            _ if name.starts_with("Hourly") => "1 hour",
            _ if name.starts_with("Monthly") => "1 month",
            _ => "in all",
        };
        let left = u64::try_from(self.remaining).unwrap_or(0);
        Some(Allowance { name: name.to_owned(), max, left, window: window.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usage_is_read_in_both_forms_and_the_share_ends_where_it_says() {
        assert_eq!(usage("api-usage=18/5000"), Some((18, 5_000)));
        assert_eq!(usage("api-usage=25/5000; per-app-api-usage=17/250(appName=x)"), Some((25, 5_000)));
        assert_eq!(usage("per-app-api-usage=17/250(appName=x)"), None);
        let quota = Quota::new(80, Span::seconds(1), Span::seconds(1));
        assert!(!quota.is_spent(), "nothing is known yet");
        let mut headers = HeaderMap::new();
        for (text, spent) in [("api-usage=79/100", false), ("api-usage=80/100", true), ("api-usage=5/100", false)] {
            headers.insert(HEADER, text.parse().unwrap());
            quota.saw(&headers);
            assert_eq!(quota.is_spent(), spent, "{text}");
        }
        quota.ran_out();
        assert!(quota.is_spent());
    }
}
