//! What many requests need and one of them fetches: a token.

use std::sync::Arc;
use std::time::Duration;

use engine::failure::{Class, Failure};
use engine::progress::part_of_task;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::Instant;
use tracing::Instrument;

/// How long a refused login is believed to be refused again: the time between two questions of one command. Somebody may
/// cure it at any moment.
const REFUSAL_BELIEVED: Duration = Duration::from_secs(5);

/// A thing that is fetched when it is first needed, and again when it is no longer good.
#[derive(Debug)]
pub(crate) struct SingleFlight<T> {
    state: Arc<Mutex<State<T>>>,
}

#[derive(Debug)]
struct State<T> {
    kept: Option<Arc<T>>,
    refused: Option<(Instant, Failure)>,
}

impl<T> Default for SingleFlight<T> {
    fn default() -> Self {
        Self { state: Arc::new(Mutex::new(State { kept: None, refused: None })) }
    }
}

impl<T: Send + Sync + 'static> SingleFlight<T> {
    /// What is kept if it is good, else what `fetch` brings; callers at the same time wait for the same answer.
    ///
    /// A refused login is remembered for [`REFUSAL_BELIEVED`], given to the next caller without a request, and then
    /// forgotten: who describes an object before a run and then reads it asks once about a wrong secret, and who tries again
    /// after curing it is heard. Callers that waited for the request that was refused are given its answer too.
    pub(crate) async fn get(
        &self,
        is_good: impl Fn(&T) -> bool,
        fetch: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Result<Arc<T>, Failure> {
        let asked = Instant::now();
        let state = Arc::clone(&self.state).lock_owned().await;
        if let Some(kept) = state.kept.as_ref().filter(|kept| is_good(kept)) {
            return Ok(kept.clone());
        }
        fetch_into(state, fetch, asked).await
    }

    /// Another one than `used`, which is no longer good; fetched only if nobody has done so since.
    pub(crate) async fn renew(
        &self,
        used: &Arc<T>,
        fetch: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Result<Arc<T>, Failure> {
        let asked = Instant::now();
        let state = Arc::clone(&self.state).lock_owned().await;
        match &state.kept {
            Some(kept) if !Arc::ptr_eq(kept, used) => Ok(kept.clone()),
            _ => fetch_into(state, fetch, asked).await,
        }
    }
}

/// Fetches in a task of its own. Where the caller goes away in the midst of it, what was fetched is kept all the same: the
/// system may have taken back what it gave before, such as a refresh token.
async fn fetch_into<T: Send + Sync + 'static>(
    mut state: OwnedMutexGuard<State<T>>,
    fetch: impl Future<Output = Result<T, Failure>> + Send + 'static,
    asked: Instant,
) -> Result<Arc<T>, Failure> {
    if let Some(refused) = state.refused_before(asked) {
        return Err(refused);
    }
    let task = async move {
        state.kept = None;
        match fetch.await {
            Ok(fetched) => Ok(state.kept.insert(Arc::new(fetched)).clone()),
            Err(failure) => {
                state.refused = Some((Instant::now(), failure.clone()));
                Err(failure)
            }
        }
    };
    let broken = |error: tokio::task::JoinError| Failure::internal(format!("a login broke off: {error}"));
    tokio::spawn(part_of_task(task).in_current_span()).await.map_err(broken)?
}

impl<T> State<T> {
    /// The refusal that is also the answer to who asked then.
    fn refused_before(&mut self, asked: Instant) -> Option<Failure> {
        let (at, failure) = self.refused.take()?;
        if at >= asked {
            self.refused = Some((at, failure.clone()));
            return Some(failure);
        }
        (failure.class == Class::Auth && asked - at < REFUSAL_BELIEVED).then_some(failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_refused_login_is_believed_for_the_next_question_and_no_longer_than_it_takes_to_cure_it() {
        let refused = || async { Err(Failure::new(Class::Auth, "wrong secret")) };
        let flight = SingleFlight::<u8>::default();
        flight.get(|_| true, refused()).await.unwrap_err();
        flight.get(|_| true, async { Ok(1) }).await.unwrap_err();
        assert_eq!(*flight.get(|_| true, async { Ok(1) }).await.unwrap(), 1);

        let flight = SingleFlight::<u8>::default();
        flight.get(|_| true, refused()).await.unwrap_err();
        if let Some((at, _)) = &mut flight.state.lock().await.refused {
            *at -= REFUSAL_BELIEVED;
        }
        assert_eq!(*flight.get(|_| true, async { Ok(1) }).await.unwrap(), 1);
    }
}
