//! How much of the day's requests is used up, by whomever.

use std::time::Duration;

use engine::outside::crm::Allowance;
use reqwest::header::HeaderMap;
use serde::Deserialize;

use crate::http::{Http, header_text, whole_number};

const HEADER: &str = "sforce-limit-info";

/// The name of the allowance that the header is about.
pub(super) const REQUESTS_A_DAY: &str = "DailyApiRequests";

/// The time after which the allowance is whole again.
const WINDOW: Duration = Duration::from_secs(24 * 3_600);

/// Tells the client what an answer says of the day's requests.
pub(super) fn note(http: &Http, headers: &HeaderMap) {
    if let Some((used, max)) = header_text(headers, HEADER).and_then(usage) {
        http.note_allowance(max, max.saturating_sub(used), WINDOW);
    }
}

/// Nothing is left of the day's requests, where the system has told how many there are.
pub(super) fn spent(http: &Http) -> Option<Limit> {
    let max = i64::try_from(http.allowance_max()?).ok()?;
    Some(Limit { max, remaining: 0 })
}

/// `api-usage=18/5000`, with or without others such as `; api-bursts=1/750; per-app-api-usage=17/250(appName=x)`.
fn usage(text: &str) -> Option<(u64, u64)> {
    let mut parts = text.split(';').flat_map(|part| part.split(", "));
    let part = parts.find_map(|part| part.trim().strip_prefix("api-usage="))?;
    let (used, max) = part.split_once('/')?;
    Some((whole_number(used.trim())?, whole_number(max.trim())?))
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
    fn the_usage_is_read_whatever_stands_around_it() {
        assert_eq!(usage("api-usage=18/5000"), Some((18, 5_000)));
        assert_eq!(usage("api-usage=25/5000; per-app-api-usage=17/250(appName=x)"), Some((25, 5_000)));
        assert_eq!(
            usage("per-app-api-usage=17/250(appName=a;b), api-usage=10018/100000; api-bursts=1/750"),
            Some((10_018, 100_000))
        );
        assert_eq!(usage("api-usage=1,200/100,000"), Some((1_200, 100_000)));
        assert_eq!(usage("per-app-api-usage=17/250(appName=x)"), None);
    }
}
