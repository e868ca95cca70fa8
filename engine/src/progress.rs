//! How far the tasks of a run are and what they wait for, for onlookers. Nothing depends on it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

tokio::task_local! {
    static OF_TASK: Arc<Progress>;
}

/// How far a task is, and what it waits for.
#[derive(Debug, Default)]
pub struct Progress {
    done: AtomicU64,
    /// 0 where it is not known.
    total: AtomicU64,
    waits: Mutex<Vec<Pause>>,
    wake: Notify,
}

/// A wait within a task, such as for a CRM that limits its callers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// What for.
    pub reason: String,
    /// Until when.
    pub until: Instant,
    /// Which attempt follows, if it is one.
    pub attempt: Option<u32>,
}

impl Progress {
    /// Sets it.
    pub fn set(&self, done: u64, total: Option<u64>) {
        self.done.store(done, Ordering::Relaxed);
        self.total.store(total.unwrap_or(0), Ordering::Relaxed);
    }

    /// Records done.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Records in all, where that is known.
    pub fn total(&self) -> Option<u64> {
        Some(self.total.load(Ordering::Relaxed)).filter(|total| *total > 0)
    }

    /// The wait that lasts longest, if the task waits in some of its parts.
    pub fn pause(&self) -> Option<Pause> {
        self.waits().iter().max_by_key(|pause| pause.until).cloned()
    }

    /// Ends all waits of the task.
    pub fn wake(&self) {
        self.wake.notify_waiters();
    }

    fn waits(&self) -> std::sync::MutexGuard<'_, Vec<Pause>> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The work of a task: its waits show in this progress.
pub(crate) async fn of_task<T>(progress: Arc<Progress>, work: impl Future<Output = T>) -> T {
    OF_TASK.scope(progress, work).await
}

/// A part of a task's work that is about to be spawned; its waits show as those of the task.
pub fn part_of_task<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    let progress = OF_TASK.try_with(Arc::clone).ok();
    async move {
        match progress {
            Some(progress) => OF_TASK.scope(progress, work).await,
            None => work.await,
        }
    }
}

/// Whether this is the work of a task, so that onlookers see its waits.
pub fn is_task() -> bool {
    OF_TASK.try_with(|_| ()).is_ok()
}

/// Waits so long, or until an operator wakes the task; meanwhile onlookers see what for, and which attempt follows.
pub async fn pause(reason: String, wait: Duration, attempt: Option<u32>) {
    waiting(reason, wait, attempt, tokio::time::sleep(wait)).await;
}

/// Waits for something that is expected to take so long, or until an operator wakes the task; meanwhile onlookers see what for.
/// Whether an operator did.
pub async fn showing(reason: String, expected: Duration, wait: impl Future<Output = ()>) -> bool {
    waiting(reason, expected, None, wait).await
}

async fn waiting(reason: String, expected: Duration, attempt: Option<u32>, wait: impl Future<Output = ()>) -> bool {
    let Ok(progress) = OF_TASK.try_with(Arc::clone) else {
        wait.await;
        return false;
    };
    let shown = Shown::new(progress, Pause { reason, until: Instant::now() + expected, attempt });
    tokio::select! {
        () = wait => false,
        () = shown.progress.wake.notified() => true,
    }
}

/// A wait that shows until this is dropped, also where its work is broken off.
struct Shown {
    progress: Arc<Progress>,
    pause: Pause,
}

impl Shown {
    fn new(progress: Arc<Progress>, pause: Pause) -> Self {
        progress.waits().push(pause.clone());
        Self { progress, pause }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let mut waits = self.progress.waits();
        if let Some(place) = waits.iter().position(|other| *other == self.pause) {
            waits.swap_remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wait_in_a_spawned_part_shows_as_the_tasks_and_ends_when_an_operator_says_so() {
        let progress = Arc::new(Progress::default());
        let work = of_task(Arc::clone(&progress), async {
            tokio::spawn(part_of_task(pause("429".to_owned(), Duration::from_secs(600), Some(2)))).await
        });
        let begin = Instant::now();
        let onlooker = async {
            while progress.pause().is_none() {
                tokio::task::yield_now().await;
            }
            let seen = progress.pause().map(|pause| (pause.reason, pause.attempt));
            assert_eq!(seen, Some(("429".to_owned(), Some(2))));
            progress.wake();
        };
        let (ended, ()) = tokio::join!(work, onlooker);
        ended.unwrap();
        assert!(begin.elapsed() < Duration::from_secs(60));
        assert_eq!(progress.pause(), None);
    }

    #[tokio::test]
    async fn work_outside_of_tasks_waits_as_well() {
        let (begin, wait) = (Instant::now(), Duration::from_millis(20));
        pause(String::new(), wait, None).await;
        assert!(begin.elapsed() >= wait);
    }
}
