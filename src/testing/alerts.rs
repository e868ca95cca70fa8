//! Who is told in a test that a run needs somebody: nobody but the test.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use engine::failure::Failure;
use engine::outside::alerts::{Alert, Alerts};
use serde_json::Value;

/// What an alert's columns are called.
pub(super) const COLUMNS: [&str; 7] = ["run", "task", "activity", "status", "message", "help", "next"];

/// All that was told, the first first.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<Vec<Alert>>);

impl Told {
    /// What was told after the first so many.
    pub(super) fn after(&self, count: usize) -> Vec<Alert> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().skip(count).cloned().collect()
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

#[async_trait]
impl Alerts for Told {
    fn receivers(&self) -> Vec<String> {
        vec!["test".to_owned()]
    }

    async fn tell(&self, _: &str, alert: &Alert) -> Result<(), Failure> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(alert.clone());
        Ok(())
    }
}

/// A value of an alert; null where it has none.
pub(super) fn cell(alert: &Alert, column: &str) -> Value {
    serde_json::to_value(alert).ok().and_then(|alert| alert.get(column).cloned()).unwrap_or_default()
}
