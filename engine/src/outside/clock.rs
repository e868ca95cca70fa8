//! Time, so that tests can set it.

use std::pin::pin;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::Timestamp;

/// What time it is, here.
#[async_trait]
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Timestamp;
    /// Returns once `now()` is `until` or later, or the time that was left until then has passed.
    async fn sleep_until(&self, until: Timestamp);
    /// How the passing of time is measured however the clock is set; none where only setting the clock moves time.
    fn steady(&self) -> Option<Instant> {
        None
    }
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is where the engine's time comes from")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn sleep_until(&self, until: Timestamp) {
        Deadline::new(self, until).sleep(self).await;
    }

    fn steady(&self) -> Option<Instant> {
        Some(Instant::now())
    }
}

/// A time to wait for. It comes when the clock shows it, as after a machine was suspended, or when as much time has
/// passed as was left at first, so that a clock that is set back does not lengthen the wait.
///
/// Deadlines are in the order in which they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline {
    steady: Option<Instant>,
    until: Timestamp,
}

impl Deadline {
    /// How long a wait lasts at most before it looks at the clock again, which may have been set.
    const NAP: Duration = Duration::from_secs(30);

    /// A time to wait for from now on.
    pub fn new(clock: &dyn Clock, until: Timestamp) -> Self {
        let left = Duration::try_from(until.duration_since(clock.now())).unwrap_or_default();
        Self { steady: clock.steady().and_then(|now| now.checked_add(left)), until }
    }

    /// Whether it has come.
    pub fn has_come(&self, clock: &dyn Clock) -> bool {
        self.left(clock).is_zero()
    }

    /// Returns once it has come.
    pub async fn sleep(&self, clock: &dyn Clock) {
        if clock.steady().is_none() {
            return clock.sleep_until(self.until).await;
        }
        loop {
            let left = self.left(clock);
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(Self::NAP)).await;
        }
    }

    fn left(&self, clock: &dyn Clock) -> Duration {
        let shown = Duration::try_from(self.until.duration_since(clock.now())).unwrap_or_default();
        match (self.steady, clock.steady()) {
            (Some(at), Some(now)) => at.saturating_duration_since(now).min(shown),
            _ => shown,
        }
    }
}

/// How much of a time limit is measured in one piece.
const SLICE: Duration = Duration::from_secs(1);

/// What a work brings; `None` where it takes longer than this. Time in which this process is stopped, as by Ctrl-Z, does not
/// count: an answer that came meanwhile could not be heard.
pub async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    in_slices(limit, SLICE, work).await
}

async fn in_slices<T>(limit: Duration, slice: Duration, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut left = limit;
    loop {
        // However late it is when the slice is over, it counts once.
        let now = left.min(slice);
        if let Ok(done) = tokio::time::timeout(now, work.as_mut()).await {
            return Some(done);
        }
        left -= now;
        if left.is_zero() {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use jiff::SignedDuration;

    use super::*;

    const HOUR: SignedDuration = SignedDuration::from_hours(1);

    /// A clock whose hands are set while time passes.
    struct Hands {
        shown: Mutex<Timestamp>,
        passed: Mutex<Instant>,
    }

    impl Hands {
        fn set(&self, by: SignedDuration) {
            let mut shown = self.shown.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            *shown += by;
        }

        fn pass(&self, seconds: u64) {
            let mut passed = self.passed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            *passed += Duration::from_secs(seconds);
            drop(passed);
            self.set(SignedDuration::from_secs(seconds.cast_signed()));
        }
    }

    #[async_trait]
    impl Clock for Hands {
        fn now(&self) -> Timestamp {
            *self.shown.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
        }

        async fn sleep_until(&self, _: Timestamp) {}

        fn steady(&self) -> Option<Instant> {
            Some(*self.passed.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
        }
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_lengthen_a_wait() {
        let clock = Hands { shown: Mutex::new(Timestamp::UNIX_EPOCH), passed: Mutex::new(Instant::now()) };
        let deadline = Deadline::new(&clock, clock.now() + SignedDuration::from_secs(60));
        clock.set(-HOUR);
        clock.pass(59);
        assert!(!deadline.has_come(&clock));
        clock.pass(1);
        assert!(deadline.has_come(&clock));
    }

    #[tokio::test]
    async fn time_in_which_the_process_is_stopped_does_not_count() {
        let limit = Duration::from_millis(200);
        let (answer, answered) = tokio::sync::oneshot::channel();
        let waiting = tokio::spawn(in_slices(limit, limit / 10, answered));
        tokio::time::sleep(Duration::from_millis(1)).await;
        // The one thread of this test does nothing, as a process that is stopped.
        std::thread::sleep(2 * limit);
        tokio::time::sleep(Duration::from_millis(1)).await;
        answer.send("late").unwrap();
        assert_eq!(waiting.await.unwrap(), Some(Ok("late")));
        assert_eq!(in_slices(limit, limit / 10, std::future::pending::<()>()).await, None);
    }

    #[test]
    fn a_wait_ends_when_the_clock_shows_its_time_as_after_the_machine_was_suspended() {
        let clock = Hands { shown: Mutex::new(Timestamp::UNIX_EPOCH), passed: Mutex::new(Instant::now()) };
        let deadline = Deadline::new(&clock, clock.now() + HOUR);
        clock.set(HOUR);
        assert!(deadline.has_come(&clock));
    }
}
