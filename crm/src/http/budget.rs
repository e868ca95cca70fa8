//! The share of an account's allowance that Campanile may use: what is over it waits.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

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

/// The budget of one account.
#[derive(Debug)]
pub(super) struct Budget {
    /// Of a hundred; none for no bound.
    percent: Option<u8>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    said: Option<Said>,
    /// Until when nothing is sent; then one request finds out what is left.
    until: Option<Instant>,
}

impl Budget {
    pub(super) fn new(percent: Option<u8>) -> Self {
        Self { percent, state: Mutex::default() }
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

    fn is_used_up(&self, said: Said) -> bool {
        let Some(percent) = self.percent else { return false };
        let used = u128::from(said.max.saturating_sub(said.left));
        used * 100 >= u128::from(said.max) * u128::from(percent)
    }

    /// Waits while more than the share is used.
    pub(super) async fn wait(&self, account: &str) {
        while let Some(until) = self.wait_until(Instant::now()) {
            tracing::warn!(account, percent = self.percent, "the share of the account's quota is used up, waiting");
            tokio::time::sleep_until(until).await;
        }
    }

    /// Until when to wait; where that time has come, one caller goes on and the others wait for what it finds.
    fn wait_until(&self, now: Instant) -> Option<Instant> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let said = state.said.filter(|said| self.is_used_up(*said))?;
        let wait = (said.window / PROBES_A_WINDOW).clamp(PROBE_MIN, PROBE_MAX);
        match state.until {
            Some(until) if until > now => Some(until),
            Some(_) => {
                state.until = Some(now + wait);
                None
            }
            None => {
                state.until = Some(now + wait);
                state.until
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_the_share_waits_and_one_request_finds_out_when_it_may_go_on() {
        let (budget, window, now) = (Budget::new(Some(50)), Duration::from_secs(300), Instant::now());
        assert_eq!(budget.wait_until(now), None);
        budget.note(100, 51, window);
        assert_eq!(budget.wait_until(now), None);
        budget.note(100, 50, window);
        let until = now + Duration::from_secs(3);
        assert_eq!(budget.wait_until(now), Some(until));
        // When the time has come one goes, and the next one waits for what it finds.
        assert_eq!(budget.wait_until(until), None);
        assert_eq!(budget.wait_until(until), Some(until + Duration::from_secs(3)));
        budget.note(100, 80, window);
        assert_eq!(budget.wait_until(until), None);
        let unbounded = Budget::new(None);
        unbounded.note(100, 0, window);
        assert_eq!(unbounded.wait_until(now), None);
    }
}
