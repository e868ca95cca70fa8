//! Pages that are fetched before they are taken.

use engine::failure::Failure;
use engine::progress::part_of_task;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// Pages that are fetched but not yet taken, beside the one that is on its way.
const PAGES_AHEAD: usize = 1;

/// What was at a place, and the place after it, as far as that is known before the page is decoded.
pub(crate) type Fetched<T, P> = Result<(T, Option<P>), Failure>;

/// A task that fetches one page after the other, and so no more than [`PAGES_AHEAD`] and one before they are taken. It ends
/// at a failure, where the next place is not known, and with this.
pub(crate) struct Ahead<T, P> {
    pages: mpsc::Receiver<Fetched<T, P>>,
    task: AbortHandle,
}

impl<T: Send + 'static, P: Clone + Send + 'static> Ahead<T, P> {
    /// From this place on.
    pub(crate) fn start<F>(mut place: P, fetch: impl Fn(P) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Fetched<T, P>> + Send,
    {
        let (sender, pages) = mpsc::channel(PAGES_AHEAD);
        let task = tokio::spawn(part_of_task(async move {
            loop {
                let fetched = fetch(place).await;
                let next = fetched.as_ref().ok().and_then(|(_, next)| next.clone());
                if sender.send(fetched).await.is_err() {
                    return;
                }
                let Some(next) = next else { return };
                place = next;
            }
        }));
        Self { pages, task: task.abort_handle() }
    }

    /// The next page, in order.
    pub(crate) async fn next(&mut self) -> Fetched<T, P> {
        let ended = || Err(Failure::internal("the reading of pages ended before its last page"));
        self.pages.recv().await.unwrap_or_else(ended)
    }
}

impl<T, P> Drop for Ahead<T, P> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_few_pages_are_fetched_before_they_are_taken_and_none_after_the_reading() {
        let fetched = Arc::new(AtomicUsize::new(0));
        let so_far = async || {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            fetched.load(Ordering::SeqCst)
        };
        let count = fetched.clone();
        let mut ahead = Ahead::start(1, move |page: usize| {
            count.fetch_add(1, Ordering::SeqCst);
            async move { Ok((page, (page < 100).then_some(page + 1))) }
        });
        assert_eq!(so_far().await, 1 + PAGES_AHEAD);
        for page in 1..=5 {
            assert_eq!(ahead.next().await.unwrap().0, page);
            assert_eq!(so_far().await, page + 1 + PAGES_AHEAD);
        }
        drop(ahead);
        assert_eq!(so_far().await, 6 + PAGES_AHEAD);
        let mut last = Ahead::start(100, |page: usize| async move { Ok((page, None)) });
        assert_eq!(last.next().await.unwrap(), (100, None));
        assert!(last.next().await.is_err());
    }
}
