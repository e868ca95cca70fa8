//! How far the tasks of a run are, for onlookers. Nothing depends on it.

use std::sync::atomic::{AtomicU64, Ordering};

/// How far a task is.
#[derive(Debug, Default)]
pub struct Progress {
    done: AtomicU64,
    /// 0 where it is not known.
    total: AtomicU64,
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
}
