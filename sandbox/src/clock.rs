//! The clock of the stand-in: real time, unless a test sets, freezes or advances it.

use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

/// What a clock shows, in whole seconds since 1970.
#[derive(Debug)]
pub(crate) struct Clock(Mutex<Setting>);

#[derive(Debug, Clone, Copy)]
enum Setting {
    /// Real time plus so many seconds.
    Running { offset: i64 },
    /// Stands still.
    Frozen { at: i64 },
}

impl Clock {
    /// A clock that runs on from `start`, or stands there.
    pub(crate) fn new(start: Option<i64>, frozen: bool) -> Self {
        let clock = Self(Mutex::new(Setting::Running { offset: 0 }));
        if start.is_some() || frozen {
            clock.set(start.unwrap_or_else(real_seconds), frozen);
        }
        clock
    }

    /// The instant it shows.
    pub(crate) fn now(&self) -> i64 {
        match *self.lock() {
            Setting::Running { offset } => real_seconds() + offset,
            Setting::Frozen { at } => at,
        }
    }

    /// True if it stands still.
    pub(crate) fn is_frozen(&self) -> bool {
        matches!(*self.lock(), Setting::Frozen { .. })
    }

    /// Lets it show `at` from here on, and run on or stand still.
    pub(crate) fn set(&self, at: i64, frozen: bool) {
        *self.lock() = if frozen { Setting::Frozen { at } } else { Setting::Running { offset: at - real_seconds() } };
    }

    /// Moves it by so many seconds, backwards if negative.
    pub(crate) fn advance(&self, seconds: i64) {
        match &mut *self.lock() {
            Setting::Running { offset } => *offset += seconds,
            Setting::Frozen { at } => *at += seconds,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Setting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[expect(clippy::disallowed_methods, reason = "the one door to real time; every other file asks the Clock")]
fn real_seconds() -> i64 {
    Timestamp::now().as_second()
}
