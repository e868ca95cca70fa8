//! Tells people that a run needs them, as `[alerts]` of the configuration says. Each alert names the host and the data
//! folder, as a team has several.
//!
//! Secrets are read for each alert anew: one that was wrong when the process began may be right by then.

mod mail;
mod unstarted;
mod webhook;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use crm::http::{Limits as HttpLimits, Span};
use crm::secret::Vault;
use engine::document::Document;
use engine::failure::{Class, Failure};
use engine::outside::alerts::{Alert, AlertLimits, Alerts, Need};
use engine::outside::clock::Clock;
use engine::outside::crm::Step;
use engine::outside::store::RunId;
use engine::printable;
use engine::problem::Problem;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

pub use mail::Mail;
pub use unstarted::{Unstarted, has_started};
pub use webhook::{Format, Webhook};

/// What receivers are called in journals.
const WEBHOOK: &str = "webhook";
const MAIL: &str = "mail";
/// How a secret is written.
const SECRET_HELP: &str = "write { env = \"NAME\" }, { file = \"path\" } or { stored = \"NAME\" }";
/// The largest answer of a receiver, in bytes; nothing of it is needed but why it refused.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// `[alerts]`: who is told when a run needs a person.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// An address that alerts are posted to.
    pub webhook: Option<Webhook>,
    /// A mail server, and who gets mail.
    pub mail: Option<Mail>,
    /// With how many rejects a run may finish without an alert. Default: any number.
    pub rejects: Option<u64>,
    /// With how many records in doubt a run may finish without an alert. Default 0.
    pub in_doubt: u64,
    /// How often and how long it is tried.
    pub limits: Limits,
}

/// What telling a receiver may take.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// How often an alert is sent again that was not taken. Default 3.
    pub retries: u32,
    /// The wait before the first of these, doubled each time up to 30 seconds, with a random part. Default 1s.
    pub retry_wait_min: Span,
    /// The longest time that one alert waits in all between its attempts. Default 1m.
    pub retry_wait_max: Span,
    /// One attempt as a whole. Default 10s.
    pub timeout: Span,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            retries: 3,
            retry_wait_min: Span::seconds(1),
            retry_wait_max: Span::seconds(60),
            timeout: Span::seconds(10),
        }
    }
}

impl Limits {
    fn http(&self) -> HttpLimits {
        HttpLimits {
            retries: self.retries,
            retry_wait_min: self.retry_wait_min,
            retry_wait_max: self.retry_wait_max,
            connect_timeout: self.timeout,
            first_byte_timeout: self.timeout,
            idle_timeout: self.timeout,
            total_timeout: self.timeout,
            body_bytes_max: ANSWER_BYTES_MAX,
            ..HttpLimits::default()
        }
    }
}

/// What is wrong with `[alerts]` beyond the form of its keys.
pub(crate) fn check(document: &Document) -> Vec<Problem> {
    let webhook = document.value.pointer("/alerts/webhook/url").and_then(Value::as_str).and_then(webhook::wrong);
    let webhook = webhook.map(|(why, help)| ("/alerts/webhook/url".to_owned(), why, help));
    let mail = document.value.pointer("/alerts/mail").and_then(|mail| Mail::deserialize(mail).ok());
    let mail = mail.iter().flat_map(Mail::wrong).map(|(key, why, help)| (format!("/alerts/mail{key}"), why, help));
    let problem = |(pointer, why, help): (String, String, &str)| {
        document.problem(&pointer, "wrong-value", why, Some(help.to_owned()))
    };
    webhook.into_iter().chain(mail).map(problem).collect()
}

/// Where an alert comes from.
#[derive(Debug, Clone)]
struct Place {
    host: String,
    folder: PathBuf,
}

impl Place {
    fn of(data: &Path) -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self { host, folder: data.to_owned() }
    }
}

/// The receivers of the configuration.
pub struct Receivers {
    config: Config,
    place: Place,
    vault: Arc<dyn Vault>,
    clock: Arc<dyn Clock>,
}

impl Receivers {
    /// Those that the configuration names, for this data folder.
    pub fn new(config: Config, data: &Path, vault: Arc<dyn Vault>, clock: Arc<dyn Clock>) -> Self {
        Self { config, place: Place::of(data), vault, clock }
    }

    /// Tells a receiver of a run that does not exist, step by step, up to the first step that fails.
    ///
    /// # Errors
    /// Where there is no such receiver.
    pub async fn test(&self, receiver: &str) -> Result<Vec<Step>, Failure> {
        let alert = self.trial();
        match (receiver, &self.config) {
            (WEBHOOK, Config { webhook: Some(webhook), .. }) => Ok(webhook.test(&alert, self).await),
            (MAIL, Config { mail: Some(mail), .. }) => Ok(mail.test(&alert, self).await),
            _ => Err(unknown(receiver)),
        }
    }

    /// What is told to try it.
    fn trial(&self) -> Alert {
        let at = self.clock.now();
        let run = RunId::new("alertsTest", 1);
        Alert {
            id: format!("{run}/0/{}", at.as_millisecond()),
            workflow: run.workflow().to_owned(),
            run: Some(run),
            task: Some(1),
            activity: Some("test".to_owned()),
            status: Need::Suspended,
            at,
            message: "this is a test of `campanile alerts test`; no run needs you".to_owned(),
            help: None,
            next: "campanile alerts test".to_owned(),
        }
    }
}

impl std::fmt::Debug for Receivers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receivers").field("config", &self.config).finish_non_exhaustive()
    }
}

#[async_trait]
impl Alerts for Receivers {
    fn receivers(&self) -> Vec<String> {
        let Config { webhook, mail, .. } = &self.config;
        let names = [webhook.as_ref().map(|_| WEBHOOK), mail.as_ref().map(|_| MAIL)];
        names.into_iter().flatten().map(str::to_owned).collect()
    }

    fn limits(&self) -> AlertLimits {
        AlertLimits { rejects: self.config.rejects, in_doubt: Some(self.config.in_doubt) }
    }

    async fn tell(&self, receiver: &str, alert: &Alert) -> Result<(), Failure> {
        match (receiver, &self.config) {
            (WEBHOOK, Config { webhook: Some(webhook), .. }) => webhook.tell(alert, self).await.map(drop),
            (MAIL, Config { mail: Some(mail), .. }) => mail.tell(alert, self).await.map(drop),
            _ => Err(unknown(receiver)),
        }
    }
}

/// As of a stop before the configuration was changed.
fn unknown(receiver: &str) -> Failure {
    Failure::new(Class::Config, format!("[alerts] of the configuration has no {receiver}"))
        .help("add it to campanile.toml; `campanile help configuration` shows how")
}

/// What an alert is about, in a few words.
fn subject(alert: &Alert) -> String {
    let is = match alert.status {
        Need::Suspended => "is suspended",
        Need::Failed => "has failed",
        Need::Interrupted => "was interrupted",
        Need::Finished => "finished with rejects or doubts",
        Need::NotStarted => "did not start",
    };
    match (&alert.run, &alert.activity) {
        (Some(run), Some(activity)) => format!("Run {run} {is} at {activity}"),
        (Some(run), None) => format!("Run {run} {is}"),
        (None, _) => format!("Workflow {} {is}", printable::line(&alert.workflow)),
    }
}

/// An alert in a sentence, where it comes from, and what to do.
fn text(alert: &Alert, place: &Place) -> String {
    let Alert { workflow, run, task, activity, message, help, next, .. } = alert;
    let name =
        run.as_ref().map_or_else(|| format!("Workflow {}", printable::line(workflow)), |run| format!("Run {run}"));
    let is = match alert.status {
        Need::Suspended => "is suspended and waits for you",
        Need::Failed => "has failed and is over",
        Need::Interrupted => "was interrupted",
        Need::Finished => "finished, and leaves something to you",
        Need::NotStarted => "did not start",
    };
    let (host, folder) = (printable::line(&place.host), place.folder.display().to_string());
    let folder = printable::line(&folder);
    let message = printable::line(message);
    let at = activity.as_ref().zip(*task).map(|(activity, task)| format!("{activity} (task {task}): "));
    let help = help.as_ref().map(|help| format!("\nHelp: {}", printable::line(help))).unwrap_or_default();
    let next = printable::line(next);
    format!("{name} {is}.\n{}{message}{help}\nNext: {next}\nHost: {host}\nFolder: {folder}", at.unwrap_or_default())
}
