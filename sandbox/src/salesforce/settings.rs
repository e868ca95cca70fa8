//! What a test can set about an organisation.

use serde::{Deserialize, Serialize};

/// What a test can set about an organisation; each has the product's usual value unless it is set.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SalesforceSettings {
    /// Lifetime of sessions given from now on, in seconds.
    pub session_seconds: i64,
    /// A refresh token is good once, and a new one comes with the answer.
    pub rotate_refresh_tokens: bool,
    /// A password is refused without the security token behind it.
    pub require_security_token: bool,
    /// Calls within 24 hours.
    pub daily_requests: u64,
    /// Calls used of them just now, set when this is given; counted on from there, and free again 24 hours later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used_requests: Option<u64>,
    /// A call counts as long after so many real seconds.
    pub long_call_seconds: f64,
    /// Long calls at once.
    pub long_calls_max: usize,
    /// A query locator is lost after so many seconds.
    pub locator_seconds: i64,
    /// Query locators at once; the oldest is lost with the next.
    pub locators_max: usize,
    /// Days for which getUpdated looks back.
    pub updated_days: i64,
    /// Days for which the delete log is kept.
    pub deleted_days: i64,
    /// How far `latestDateCovered` lags behind, in seconds.
    pub coverage_lag_seconds: i64,
    /// Ids that getUpdated and getDeleted answer at most.
    pub replication_ids_max: usize,
    /// The delete log also has records that were restored since.
    pub log_restored: bool,
    /// Days that the recycle bin keeps records.
    pub bin_days: i64,
    /// Polls of a bulk job that find it `InProgress` before its end: at least 1.
    pub bulk_polls: u32,
    /// Seconds of the sandbox's clock that a bulk job takes besides.
    pub bulk_seconds: i64,
    /// Rows of a bulk query's results unless the client asks for fewer.
    pub bulk_page_rows: usize,
    /// Rows that a bulk job works on together.
    pub bulk_batch_rows: usize,
    /// Days that bulk jobs are kept.
    pub job_days: i64,
    /// Bulk jobs that fail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail_jobs: Option<JobFailure>,
    /// Objects that the Bulk API does not know, such as many of the product's own for setup.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_in_bulk: Vec<String>,
}

/// Bulk jobs that fail.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct JobFailure {
    /// How many of the next jobs.
    pub times: u64,
    /// Rows that were worked on before; they stay, the others are unprocessed.
    pub after_rows: usize,
    /// `errorMessage`; without it, an internal error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl Default for SalesforceSettings {
    fn default() -> Self {
        Self {
            session_seconds: 7_200,
            rotate_refresh_tokens: false,
            require_security_token: true,
            daily_requests: 100_000,
            used_requests: None,
            long_call_seconds: 20.0,
            long_calls_max: 25,
            locator_seconds: 900,
            locators_max: 10,
            updated_days: 30,
            deleted_days: 15,
            coverage_lag_seconds: 0,
            replication_ids_max: 600_000,
            log_restored: false,
            bin_days: 15,
            bulk_polls: 1,
            bulk_seconds: 0,
            bulk_page_rows: 50_000,
            bulk_batch_rows: 10_000,
            job_days: 7,
            fail_jobs: None,
            not_in_bulk: Vec::new(),
        }
    }
}

impl SalesforceSettings {
    /// Whether the Bulk API knows an object.
    pub(super) fn is_in_bulk(&self, object: &str) -> bool {
        !self.not_in_bulk.iter().any(|other| other.eq_ignore_ascii_case(object))
    }

    /// How long the bin keeps records, in days.
    pub(super) fn bin_days(&self) -> u32 {
        u32::try_from(self.bin_days.max(0)).unwrap_or(u32::MAX)
    }
}
