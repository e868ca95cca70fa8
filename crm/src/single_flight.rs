//! What many requests need and one of them fetches: a token.

use std::sync::Arc;

use engine::failure::{Class, Failure};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// A thing that is fetched when it is first needed, and again when it is no longer good.
#[derive(Debug)]
pub(crate) struct SingleFlight<T> {
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    kept: Option<Arc<T>>,
    refused: Option<(Instant, Failure)>,
}

impl<T> Default for SingleFlight<T> {
    fn default() -> Self {
        Self { state: Mutex::new(State { kept: None, refused: None }) }
    }
}

impl<T> SingleFlight<T> {
    /// What is kept if it is good, else what `fetch` brings; callers at the same time wait for the same answer.
    ///
    /// A refusal for good is remembered and given to the next caller without a request, and then forgotten: who
    /// describes an object before a run and then reads it asks once about a wrong secret, and who tries again after
    /// curing it is heard. Callers that waited for the request that was refused are given its answer too.
    pub(crate) async fn get(
        &self,
        is_good: impl Fn(&T) -> bool,
        fetch: impl Future<Output = Result<T, Failure>>,
    ) -> Result<Arc<T>, Failure> {
        let asked = Instant::now();
        let mut state = self.state.lock().await;
        if let Some(kept) = state.kept.as_ref().filter(|kept| is_good(kept)) {
            return Ok(kept.clone());
        }
        state.fetch(fetch, asked).await
    }

    /// Another one than `used`, which is no longer good; fetched only if nobody has done so since.
    pub(crate) async fn renew(
        &self,
        used: &Arc<T>,
        fetch: impl Future<Output = Result<T, Failure>>,
    ) -> Result<Arc<T>, Failure> {
        let asked = Instant::now();
        let mut state = self.state.lock().await;
        match &state.kept {
            Some(kept) if !Arc::ptr_eq(kept, used) => Ok(kept.clone()),
            _ => state.fetch(fetch, asked).await,
        }
    }
}

impl<T> State<T> {
    async fn fetch(
        &mut self,
        fetch: impl Future<Output = Result<T, Failure>>,
        asked: Instant,
    ) -> Result<Arc<T>, Failure> {
        match self.refused.take() {
            Some((at, failure)) if at >= asked => {
                self.refused = Some((at, failure.clone()));
                return Err(failure);
            }
            Some((_, failure)) if failure.class == Class::Auth => return Err(failure),
            _ => {}
        }
        self.kept = None;
        match fetch.await {
            Ok(fetched) => Ok(self.kept.insert(Arc::new(fetched)).clone()),
            Err(failure) => {
                self.refused = Some((Instant::now(), failure.clone()));
                Err(failure)
            }
        }
    }
}
