//! When to try again.

use std::time::Duration;

use engine::failure::{Class, Failure};
use engine::progress;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

use super::Limits;
use super::header::{self, date, instant, whole_number};

/// The longest `Retry-After` that is believed, in seconds; a larger one is taken as this.
pub const RETRY_AFTER_S_MAX: u64 = 3_600;

/// The longest wait that doubling leads to.
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// The waits of one request.
#[derive(Debug)]
pub struct Waits {
    retries_left: u32,
    attempts: u32,
    backoff: Duration,
    left: Duration,
}

impl Waits {
    /// Those that these limits allow.
    pub fn new(limits: &Limits) -> Self {
        Self {
            retries_left: limits.retries,
            attempts: 1,
            backoff: limits.retry_wait_min.0,
            left: limits.retry_wait_max.0,
        }
    }

    /// Attempts made, the one that just failed included.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// How long to wait before the next attempt; `None` where this failure is final or the allowance is used up.
    pub(crate) fn next(&mut self, failure: &Failure) -> Option<Duration> {
        let may_pass = matches!(failure.class, Class::Transient | Class::Quota);
        if !may_pass || self.retries_left == 0 || self.left.is_zero() {
            return None;
        }
        let wait = match failure.retry_after_s {
            // Never earlier than asked, and not all lanes at the same moment.
            Some(seconds) => Duration::from_secs(seconds.min(RETRY_AFTER_S_MAX)).mul_f64(1.0 + 0.1 * fastrand::f64()),
            None => self.backoff.mul_f64(0.5 + 0.5 * fastrand::f64()),
        };
        let wait = wait.min(self.left);
        self.left -= wait;
        self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
        self.retries_left -= 1;
        self.attempts += 1;
        Some(wait)
    }

    /// Waits until what failed so is worth asking for again.
    ///
    /// # Errors
    /// The failure, where it is not.
    pub async fn pause(&mut self, account: &str, failure: Failure) -> Result<(), Failure> {
        let Some(wait) = self.next(&failure) else { return Err(failure) };
        tracing::warn!(account, %failure, "asking again");
        progress::pause(failure.to_string(), wait, Some(self.attempts)).await;
        Ok(())
    }
}

/// What `Retry-After` asks for, in seconds or as a date; `None` where it is absent, 0 or makes no sense.
///
/// A date is compared with the answer's own `Date`, so that a wrong clock on this side does not matter.
pub(crate) fn retry_after_s(headers: &HeaderMap) -> Option<u64> {
    let text = header::text(headers, RETRY_AFTER)?;
    let seconds = match instant(text) {
        Some(until) => u64::try_from(until.duration_since(date(headers, DATE)?).as_secs()).ok()?,
        // Never earlier than asked.
        None if text.contains('.') => whole_number(text)?.saturating_add(1),
        None => whole_number(text)?,
    };
    (seconds > 0).then(|| seconds.min(RETRY_AFTER_S_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(retry_after: &str) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert(DATE, "Tue, 03 Mar 2026 10:00:00 GMT".parse().unwrap());
        headers.insert(RETRY_AFTER, retry_after.parse().unwrap());
        retry_after_s(&headers)
    }

    #[test]
    fn retry_after_is_read_in_every_form_and_never_believed_beyond_its_limit() {
        assert_eq!(asked("7"), Some(7));
        assert_eq!(asked("1,200"), Some(1_200));
        assert_eq!(asked("0.5"), Some(1));
        assert_eq!(asked("Tuesday, 03-Mar-26 10:00:30 GMT"), Some(30));
        assert_eq!(asked("Tue, 03 Mar 2026 10:00:30 GMT"), Some(30));
        assert_eq!(asked("Tue, 03 Mar 2026 09:00:00 GMT"), None);
        assert_eq!(asked("0"), None);
        assert_eq!(asked("soon"), None);
        assert_eq!(asked("1000000"), Some(RETRY_AFTER_S_MAX));
        assert_eq!(asked("99999999999999999999999"), Some(RETRY_AFTER_S_MAX));
    }

    #[test]
    fn a_request_waits_no_longer_in_all_than_its_limit() {
        let limits = Limits { retries: 9, retry_wait_max: crate::http::Span::seconds(5), ..Limits::default() };
        let mut failure = Failure::new(Class::Quota, "slow down");
        failure.retry_after_s = Some(3);
        let mut waits = Waits::new(&limits);
        let all: Vec<_> = std::iter::from_fn(|| waits.next(&failure)).collect();
        assert!(all[0] >= Duration::from_secs(3), "earlier than asked: {all:?}");
        assert_eq!(all.iter().sum::<Duration>(), Duration::from_secs(5));
        assert_eq!(Waits::new(&limits).next(&Failure::new(Class::Config, "wrong")), None);
        let off = Limits { retries: 0, ..limits };
        assert_eq!(Waits::new(&off).next(&failure), None);
    }
}
