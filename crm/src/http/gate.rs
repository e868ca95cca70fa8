//! Whether a request that must not be sent twice is under way.

use std::pin::pin;
use std::task::Poll;

use async_trait::async_trait;
use engine::failure::Failure;

/// Records whether a request is under way, for one that must not be sent twice: a process that is killed while it waits
/// has nothing under way.
#[async_trait]
pub(crate) trait Gate: Send + Sync {
    /// A wait begins, and nothing is under way.
    ///
    /// # Errors
    /// Where that cannot be recorded; nothing may be sent then.
    async fn rests(&self) -> Result<(), Failure>;

    /// The request is about to leave.
    ///
    /// # Errors
    /// Where that cannot be recorded; nothing may be sent then.
    async fn leaves(&self) -> Result<(), Failure>;
}

/// The outcome of `work`; if it has to wait for it, the gate records that nothing is under way.
pub(crate) async fn at_rest<T>(gate: Option<&dyn Gate>, work: impl Future<Output = T>) -> Result<T, Failure> {
    let mut work = pin!(work);
    if let Poll::Ready(outcome) = futures::poll!(work.as_mut()) {
        return Ok(outcome);
    }
    if let Some(gate) = gate {
        gate.rests().await?;
    }
    Ok(work.await)
}
