//! Alerts of workflows that did not start: there is no run whose journal could owe them.
//!
//! The data folder keeps which were sent. A schedule that fails every minute for the same reason sends one a day.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::failure::{Class, Failure};
use engine::outside::alerts::{Alert, Alerts, Need};
use engine::private;
use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::Receivers;

/// What was sent, in the data folder.
const FILE: &str = "not-started.json";
/// After how long the same alert is sent again.
const AGAIN_AFTER: SignedDuration = SignedDuration::from_hours(24);
/// How long all receivers may take.
const TELLING_MAX: Duration = Duration::from_secs(60);

/// A workflow that did not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unstarted {
    /// Its name.
    pub workflow: String,
    /// Why.
    pub message: String,
    /// What helps.
    pub help: Option<String>,
    /// The command that is next.
    pub next: String,
}

/// An alert that was sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Sent {
    /// BLAKE3 of its message.
    digest: String,
    at: Timestamp,
}

impl Receivers {
    /// Alerts all receivers that a workflow did not start, unless they know; those that did not take it, and why.
    pub async fn not_started(&self, what: &Unstarted) -> Vec<(String, Failure)> {
        let now = self.clock.now();
        let (file, digest) = (file(&self.place.folder), blake3::hash(what.message.as_bytes()).to_hex().to_string());
        let mut sent = read(&file);
        sent.retain(|_, sent| now.duration_since(sent.at) < AGAIN_AFTER);
        if sent.get(&what.workflow).is_some_and(|sent| sent.digest == digest) {
            return Vec::new();
        }
        let alert = Alert {
            id: format!("{}/notStarted/{}", what.workflow, now.as_millisecond()),
            workflow: what.workflow.clone(),
            run: None,
            task: None,
            activity: None,
            status: Need::NotStarted,
            at: now,
            message: what.message.clone(),
            help: what.help.clone(),
            next: what.next.clone(),
        };
        let alert = &alert;
        let told = self.receivers().into_iter().map(|receiver| async move {
            let told = tokio::time::timeout(TELLING_MAX, self.tell(&receiver, alert)).await;
            let late = || Failure::new(Class::Transient, format!("no answer within {} s", TELLING_MAX.as_secs()));
            let failure = told.unwrap_or_else(|_| Err(late())).err();
            (receiver, failure)
        });
        let told = join_all(told).await;
        // One that was not told is told of the next failure.
        if !told.is_empty() && told.iter().all(|(_, failure)| failure.is_none()) {
            sent.insert(what.workflow.clone(), Sent { digest, at: now });
            write(&file, &sent);
        }
        told.into_iter().filter_map(|(receiver, failure)| Some((receiver, failure?))).collect()
    }
}

/// The workflow started: the next time that it does not is news.
pub fn has_started(data: &Path, workflow: &str) {
    let file = file(data);
    let mut sent = read(&file);
    if sent.remove(workflow).is_some() {
        write(&file, &sent);
    }
}

fn file(data: &Path) -> PathBuf {
    data.join(FILE)
}

/// What cannot be read was not sent: an alert too many is better than none.
fn read(file: &Path) -> BTreeMap<String, Sent> {
    fs::read(file).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

fn write(file: &Path, sent: &BTreeMap<String, Sent>) {
    // Without a data folder there is no place for it, and none is made.
    if !file.parent().is_some_and(Path::is_dir) {
        return;
    }
    let written = serde_json::to_vec(sent).map_err(std::io::Error::other);
    if let Err(error) = written.and_then(|text| private::replace(file, &text)) {
        tracing::warn!(%error, "which alerts were sent could not be kept");
    }
}
