//! The limits of one account: how long, how much, how often, how many at once.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use jiff::SignedDuration;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

/// What the requests of one account may take. Every value has a default and can be set in the account.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// How often a request is sent again after an answer that may pass by itself: 429, 5xx, a cut connection, a torn
    /// page. Default 4; 0 switches it off, and the activity's own `retry` is all there is.
    pub retries: u32,
    /// The wait before the first of these, doubled each time up to 30 seconds, with a random part. Default 1s.
    pub retry_wait_min: Span,
    /// The longest time one request waits in all between its attempts; a longer `Retry-After` is cut to what is left
    /// of it. Default 10m.
    pub retry_wait_max: Span,
    /// The most requests of this account at the same time, of all runs together; fewer where more would not be faster.
    /// Default 8; Dataverse refuses more than 52 of one user.
    #[schemars(range(min = 1))]
    pub requests_at_once: u32,
    /// To open a connection, with name look-up and TLS. Default 10s.
    #[serde(deserialize_with = "some_time")]
    pub connect_timeout: Span,
    /// From sending a request to the first byte of its answer; Dataverse itself gives up after 2 minutes. Default 150s.
    #[serde(deserialize_with = "some_time")]
    pub first_byte_timeout: Span,
    /// Without a single byte in the midst of an answer. Default 60s.
    #[serde(deserialize_with = "some_time")]
    pub idle_timeout: Span,
    /// One attempt as a whole. Default 10m.
    #[serde(deserialize_with = "some_time")]
    pub total_timeout: Span,
    /// The largest answer, in bytes after decompression. Default 268435456 (256 MiB).
    #[schemars(range(min = 1))]
    pub body_bytes_max: usize,
    /// The share of the account's allowance of requests that Campanile may use, in percent; what is over it waits. Of
    /// Dynamics the allowance is that of five minutes, of Salesforce that of a day. Without it, all may be used.
    pub quota_percent: Option<QuotaPercent>,
    /// Records asked for at a time. Default 5000, which is also the most that Dataverse gives.
    #[schemars(range(min = 1))]
    pub records_per_page: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            retries: 4,
            retry_wait_min: Span::seconds(1),
            retry_wait_max: Span::seconds(600),
            requests_at_once: 8,
            connect_timeout: Span::seconds(10),
            first_byte_timeout: Span::seconds(150),
            idle_timeout: Span::seconds(60),
            total_timeout: Span::seconds(600),
            body_bytes_max: 256 << 20,
            quota_percent: None,
            records_per_page: 5_000,
        }
    }
}

/// A share of an allowance, 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "u8")]
#[schemars(inline)]
pub struct QuotaPercent(#[schemars(range(min = 1, max = 100))] u8);

impl QuotaPercent {
    /// Of a hundred.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for QuotaPercent {
    type Error = String;

    fn try_from(percent: u8) -> Result<Self, String> {
        if (1..=100).contains(&percent) {
            Ok(Self(percent))
        } else {
            Err(format!("{percent} is not a share of 1 to 100 percent"))
        }
    }
}

/// A length of time, written as people write it: `"90s"`, `"5m"`, `"1h 30m"`, `"250ms"`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl Span {
    /// So many seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let wrong = || serde::de::Error::custom(format!("`{text}` is not a length of time such as \"90s\" or \"5m\""));
        let span: SignedDuration = text.parse().map_err(|_| wrong())?;
        Duration::try_from(span).map(Self).map_err(|_| wrong())
    }
}

/// A length of time in which something can happen.
fn some_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
    let span = Span::deserialize(deserializer)?;
    if span.0.is_zero() {
        let message = "nothing is done in no time: write a length of time such as \"90s\" or \"5m\"";
        return Err(serde::de::Error::custom(message));
    }
    Ok(span)
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["90s", "5m", "1h 30m"] })
    }
}
