//! Posts alerts to an address.

use std::sync::Arc;

use axum::http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode};
use crm::http::{Http, Refusal, Repeat, Reply, Request, is_loopback, require_https};
use crm::secret::SecretSource;
use crm::steps::{secrecy, try_in_turn};
use engine::failure::{Class, Failure};
use engine::outside::alerts::Alert;
use engine::outside::crm::Step;
use futures::FutureExt;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::{Place, Receivers, SECRET_HELP, text};

/// How it is called in messages.
const NAME: &str = "the webhook of [alerts]";
/// Shorter parts of an address, such as `hooks`, are no secret.
const SECRET_BYTES_MIN: usize = 8;
/// Receivers that take the same key twice know that it is the same alert.
const KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// An address that alerts are posted to.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Webhook {
    /// Its address, which is a secret where whoever knows it may post there: `{ env = "NAME" }`, `{ file = "path" }` or
    /// `{ stored = "NAME" }`; as a text for this computer's addresses only. https, except for this computer.
    pub url: SecretSource,
    /// What is posted. Default json.
    #[serde(default)]
    pub format: Format,
    /// A proxy for its requests, such as `http://proxy.example:3128`.
    pub proxy: Option<String>,
}

/// What is posted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Format {
    /// All that is known, key by key, and `text`, a sentence that chats show.
    #[default]
    Json,
    /// `text` alone, escaped as Slack asks for and without formatting.
    Slack,
    /// A card, as the workflows of Microsoft Teams ask for.
    Teams,
}

impl Webhook {
    /// Tells it; says how it was taken.
    pub(super) async fn tell(&self, alert: &Alert, of: &Receivers) -> Result<String, Failure> {
        self.post(self.address(of)?, alert, of).await
    }

    pub(super) async fn test(&self, alert: &Alert, of: &Receivers) -> Vec<Step> {
        let address = async {
            let url = self.address(of)?;
            Ok(format!("{}, {}", url.host_str().unwrap_or_default(), secrecy(&url)))
        };
        try_in_turn([("address", address.boxed()), ("message", self.tell(alert, of).boxed())]).await
    }

    fn address(&self, of: &Receivers) -> Result<Url, Failure> {
        let secret = self.url.resolve(&*of.vault)?;
        let url = Url::parse(secret.reveal().trim()).map_err(|error| {
            Failure::new(Class::Config, format!("the `url` of {NAME} is not an address: {error}"))
                .help("copy the whole address, with https:// in front")
        })?;
        require_https(NAME, &url)?;
        if self.url.is_literal() && !is_loopback(&url) {
            return Err(Failure::new(Class::Config, format!("the `url` of {NAME} stands in the configuration itself"))
                .help(SECRET_HELP));
        }
        Ok(url)
    }

    async fn post(&self, url: Url, alert: &Alert, of: &Receivers) -> Result<String, Failure> {
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        if let Ok(id) = HeaderValue::from_str(&alert.id) {
            headers.insert(KEY, id);
        }
        let body = self.format.body(alert, &of.place)?.to_string().into();
        let http = Http::new(NAME, of.config.limits.http(), self.proxy.as_deref(), Arc::clone(&of.clock))?;
        let judge = |reply: &Reply| judge(reply, &url);
        let request = Request { method: Method::POST, url: url.clone(), headers, body, repeat: Repeat::Always };
        match http.hiding_paths().send(&request, &judge).await {
            Ok(reply) => Ok(format!("taken ({})", reply.status)),
            Err(Refusal { failure, .. }) => {
                Err(failure.help("put the webhook right, and try it with `campanile alerts test`"))
            }
        }
    }
}

/// What is wrong with an address that stands in the configuration itself, and what would be right.
pub(super) fn wrong(url: &str) -> Option<(String, &'static str)> {
    if Url::parse(url).is_ok_and(|url| is_loopback(&url)) {
        return None;
    }
    let why = "the address of the webhook is a secret, and may stand here for this computer only".to_owned();
    Some((why, SECRET_HELP))
}

/// Whether the alert was taken; nothing of the address but its host is told.
fn judge(reply: &Reply, url: &Url) -> Result<(), Refusal> {
    let (status, host) = (reply.status, url.host_str().unwrap_or_default());
    let class = match status {
        _ if status.is_success() => return Ok(()),
        StatusCode::TOO_MANY_REQUESTS => Class::Quota,
        StatusCode::REQUEST_TIMEOUT => Class::Transient,
        _ if status.is_server_error() => Class::Transient,
        _ => Class::Config,
    };
    let why = match status.is_redirection() {
        true => ", a redirect, which is not followed".to_owned(),
        false => {
            let is_silent = reply.body.is_empty() || tells_address(&String::from_utf8_lossy(&reply.body), url);
            if is_silent { String::new() } else { format!(": {}", reply.excerpt()) }
        }
    };
    Err(Failure::new(class, format!("{NAME}: {host} answers {status}{why}")).into())
}

/// Whether a text has a part of the address that may be its secret.
fn tells_address(text: &str, url: &Url) -> bool {
    let steps = url.path_segments().into_iter().flatten().map(str::to_owned);
    let values = url.query_pairs().map(|(_, value)| value.into_owned());
    steps.chain(values).any(|part| part.len() >= SECRET_BYTES_MIN && text.contains(&part))
}

impl Format {
    fn body(self, alert: &Alert, place: &Place) -> Result<Value, Failure> {
        let text = text(alert, place);
        Ok(match self {
            Self::Json => {
                let mut body =
                    serde_json::to_value(alert).map_err(|error| Failure::internal(format!("the alert: {error}")))?;
                body["host"] = place.host.clone().into();
                body["folder"] = place.folder.display().to_string().into();
                body["text"] = text.into();
                body
            }
            Self::Slack => {
                let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
                json!({ "text": text, "mrkdwn": false })
            }
            Self::Teams => json!({
                "type": "message",
                "attachments": [{
                    "contentType": "application/vnd.microsoft.card.adaptive",
                    "content": {
                        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                        "type": "AdaptiveCard",
                        "version": "1.4",
                        "body": text.lines().map(|line| json!({ "type": "TextBlock", "text": without_markdown(line), "wrap": true }))
                            .collect::<Vec<_>>(),
                    },
                }],
            }),
        })
    }
}

/// A line of which Teams shows each character: what a record or a server says makes no link, picture or list.
fn without_markdown(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    for (at, c) in line.char_indices() {
        let begins = line[..at].trim().is_empty() && matches!(c, '#' | '-' | '+' | '>');
        let numbers = c == '.' && at > 0 && line[..at].bytes().all(|byte| byte.is_ascii_digit());
        if begins || numbers || matches!(c, '\\' | '`' | '*' | '_' | '~' | '[' | ']' | '<' | '!') {
            shown.push('\\');
        }
        shown.push(c);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::outside::alerts::Need;
    use engine::outside::store::RunId;

    fn alert(message: &str) -> Alert {
        Alert {
            id: "w-1/7/0".to_owned(),
            workflow: "w".to_owned(),
            run: Some(RunId::new("w", 1)),
            task: Some(3),
            activity: Some("save".to_owned()),
            status: Need::Failed,
            at: "2026-03-03T10:00:00Z".parse().unwrap(),
            message: message.to_owned(),
            help: Some("cure it".to_owned()),
            next: "campanile restart w-1".to_owned(),
        }
    }

    fn place() -> Place {
        Place { host: "crm-1".to_owned(), folder: "/srv/*data*".into() }
    }

    #[test]
    fn each_format_has_what_its_receiver_shows() {
        let alert = alert("<!channel> & co");
        let text = "Run w-1 has failed and is over.\nsave (task 3): <!channel> & co\nHelp: cure it\nNext: campanile restart w-1\nHost: crm-1\nFolder: /srv/*data*";
        let json = Format::Json.body(&alert, &place()).unwrap();
        assert_eq!((json["text"].as_str(), json["at"].as_str()), (Some(text), Some("2026-03-03T10:00:00Z")));
        let slack = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        assert_eq!(Format::Slack.body(&alert, &place()).unwrap(), json!({ "text": slack, "mrkdwn": false }));
        let card = &Format::Teams.body(&alert, &place()).unwrap()["attachments"][0];
        assert_eq!(card["contentType"], "application/vnd.microsoft.card.adaptive");
        let lines: Vec<_> = card["content"]["body"].as_array().unwrap().iter().map(|block| &block["text"]).collect();
        assert_eq!(lines, text.replace("<!", r"\<\!").replace('*', r"\*").lines().collect::<Vec<_>>());
    }

    #[test]
    fn what_a_record_says_makes_no_line_link_or_picture_of_its_own() {
        let alert = alert("*no* [pay](https://evil.example) ![](https://evil.example/x.png)\nRun w-1 is fine\u{202e}");
        let json = Format::Json.body(&alert, &place()).unwrap();
        assert_eq!(json["text"].as_str().unwrap().lines().count(), 6);
        assert!(!json["text"].as_str().unwrap().contains('\u{202e}'));
        let card = &Format::Teams.body(&alert, &place()).unwrap()["attachments"][0];
        let line = card["content"]["body"][1]["text"].as_str().unwrap();
        assert!(
            line.contains(r"\*no\* \[pay\](https://evil.example) \!\[\](https://evil.example/x.png) Run"),
            "{line}"
        );
        assert_eq!(without_markdown("# a - b"), r"\# a - b");
        assert_eq!(without_markdown("1. a"), r"1\. a");
    }

    #[test]
    fn an_answer_that_repeats_the_address_is_not_told() {
        let url = Url::parse("https://hooks.example/services/T0AAAAAA/canary-1?sig=canary-22").unwrap();
        for part in ["T0AAAAAA", "canary-1", "canary-22"] {
            assert!(tells_address(&format!("no {part} here"), &url), "{part}");
        }
        assert!(!tells_address("services: no such hook", &url.join("/x").unwrap()));
    }
}
