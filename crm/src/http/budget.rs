//! The share of an account's allowance that Campanile may use: what is over it waits.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::outside::clock::Clock;
use engine::progress::{is_task, showing};
use jiff::Timestamp;

use super::WAITS;

/// While it waits, a request asks again after this part of the allowance's window, within these bounds.
const PROBES_A_WINDOW: u32 = 100;
const PROBE_MIN: Duration = Duration::from_secs(1);
const PROBE_MAX: Duration = Duration::from_secs(300);

/// What the system last said of an allowance.
#[derive(Debug, Clone, Copy)]
struct Said {
    max: u64,
    left: u64,
    window: Duration,
}

/// The budget of one account. It waits by the engine's clock, since it may wait for hours.
pub(super) struct Budget {
    /// Of a hundred; none for no bound.
    percent: Option<u8>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget").field("percent", &self.percent).field("state", &self.state).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct State {
    said: Option<Said>,
    /// Until when nothing is sent; then one request finds out what is left.
    until: Option<Timestamp>,
}

impl Budget {
    pub(super) fn new(percent: Option<u8>, clock: Arc<dyn Clock>) -> Self {
        Self { percent, clock, state: Mutex::default() }
    }

    /// The system says how much of an allowance is left.
    pub(super) fn note(&self, max: u64, left: u64, window: Duration) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let said = Said { max, left, window };
        if !self.is_used_up(said) {
            state.until = None;
        }
        state.said = Some(said);
    }

    /// The most that there is, where the system has told it.
    pub(super) fn max(&self) -> Option<u64> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).said.map(|said| said.max)
    }

    fn is_used_up(&self, said: Said) -> bool {
        let Some(percent) = self.percent else { return false };
        let used = u128::from(said.max.saturating_sub(said.left));
        used * 100 >= u128::from(said.max) * u128::from(percent)
    }

    /// Waits while more than the share is used.
    pub(super) async fn wait(&self, account: &str) {
        while let Some(until) = self.wait_until(self.clock.now()) {
            let percent = self.percent.unwrap_or(100);
            let reason = format!("{account}: {percent} % of its requests are used up");
            if !is_task() {
                tracing::warn!(target: WAITS, "{reason}; asking again at {until:.0}");
            }
            let left = Duration::try_from(until.duration_since(self.clock.now())).unwrap_or_default();
            if showing(reason, left, self.clock.sleep_until(until)).await {
                // An operator knows that there is more: one request finds out.
                self.state.lock().unwrap_or_else(PoisonError::into_inner).until = Some(self.clock.now());
            }
        }
    }

    /// Until when to wait; where that time has come, one caller goes on and the others wait for what it finds.
    fn wait_until(&self, now: Timestamp) -> Option<Timestamp> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let said = state.said.filter(|said| self.is_used_up(*said))?;
        let wait = (said.window / PROBES_A_WINDOW).clamp(PROBE_MIN, PROBE_MAX);
        let next = now.checked_add(wait).unwrap_or(Timestamp::MAX);
        match state.until {
            // No later than from now on, should somebody set the clock back.
            Some(until) if until > now => Some(until.min(next)),
            Some(_) => {
                state.until = Some(next);
                None
            }
            None => {
                state.until = Some(next);
                state.until
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use engine::outside::clock::SystemClock;

    use super::*;

    #[test]
    fn what_is_over_the_share_waits_and_one_request_finds_out_when_it_may_go_on() {
        let budget = |percent| Budget::new(percent, Arc::new(SystemClock));
        let (unbounded, budget, window) = (budget(None), budget(Some(50)), Duration::from_secs(300));
        let now: Timestamp = "2026-03-03T10:00:00Z".parse().unwrap();
        let later = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(budget.wait_until(now), None);
        budget.note(100, 51, window);
        assert_eq!(budget.wait_until(now), None);
        budget.note(100, 50, window);
        assert_eq!(budget.wait_until(now), Some(later(3)));
        // When the time has come one goes, and the next one waits for what it finds.
        assert_eq!(budget.wait_until(later(3)), None);
        assert_eq!(budget.wait_until(later(3)), Some(later(6)));
        // A clock that is set back makes nobody wait longer.
        assert_eq!(budget.wait_until(now - Duration::from_secs(3_600)), Some(now - Duration::from_secs(3_597)));
        budget.note(100, 80, window);
        assert_eq!(budget.wait_until(later(3)), None);
        unbounded.note(100, 0, window);
        assert_eq!(unbounded.wait_until(now), None);
    }
}
