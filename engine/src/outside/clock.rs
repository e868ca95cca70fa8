//! Time, so that tests can set it.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

/// What time it is, here.
#[async_trait]
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Timestamp;
    /// Returns once `now()` is `until` or later, at once where it already is.
    async fn sleep_until(&self, until: Timestamp);
}

/// The machine's clock. A step of it is noticed within [`SystemClock::NAP`].
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl SystemClock {
    /// How long it sleeps at most before it looks at the clock again.
    pub const NAP: Duration = Duration::from_secs(30);
}

#[async_trait]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is where the engine's time comes from")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn sleep_until(&self, until: Timestamp) {
        while let Ok(left) = Duration::try_from(until.duration_since(self.now()))
            && !left.is_zero()
        {
            tokio::time::sleep(left.min(Self::NAP)).await;
        }
    }
}
